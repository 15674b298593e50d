#!/usr/bin/env bash
# Everything that must pass, in one list. `make test` and CI run it whole.
#
#   scripts/test.sh [STAGE…]     run all stages, or those named
#   scripts/test.sh --list       name the stages
#
# All stages share one target folder, and all development builds one set of features, so that a
# dependency is compiled once. Nothing is left running and nothing outside of target/ and the temporary
# folder is written.
set -u
source "$(dirname "$0")/stages.sh"

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

docs() {
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --all-features --document-private-items || return
    make --no-print-directory reference || return
    local page name missing=0
    page=${CARGO_TARGET_DIR:-target}/reference/html/quorate_8h.html
    for name in $(awk '/^[0-9]/ { print $2 }' abi/symbols.txt); do
        grep -q ">$name<" "$page" || { printf 'the reference has no %s\n' "$name" >&2; missing=1; }
    done
    return $missing
}
export -f docs

stage prerequisites 10 scripts/prerequisites.sh gcc g++ redis-server redis-cli redis-benchmark valgrind python3 \
    mount mkfs.ext4 ip unshare nsenter cmake pkg-config abidiff readelf mandoc doxygen go /usr/include/gtest/gtest.h \
    /usr/include/uv.h
stage format        2  cargo fmt --check
stage clippy        20 cargo clippy --all-features --all-targets -- -D warnings
stage tidy          10 cargo test --all-features --test tidy
stage tests         20 cargo test --all-features --no-fail-fast -- --skip malformed_input_does_no_harm
# What a host drives, in bites of one socket or request.
stage budget        20 env QUORATE_STEP_BUDGET=1 cargo test --all-features --no-fail-fast --test ffi --test driver
stage docs          10 bash -c docs
stage c-examples    15 scripts/c-examples.sh
stage c-tests       15 scripts/c-tests.sh
stage syscalls      10 scripts/syscalls.sh
stage cpp           15 scripts/cpp.sh
stage abi           5  scripts/abi.sh
stage install       20 scripts/install-check.sh
stage newcomer      10 scripts/newcomer.sh
stage guide         10 scripts/guide.sh
stage go            15 scripts/go.sh
stage simulator     25 scripts/sim.sh
stage malformed     15 scripts/malformed.sh
stage loom          15 scripts/loom.sh
stage faults        15 scripts/faults.sh

finish
