#!/usr/bin/env bash
# The library itself under the sanitizers of LLVM, as rustc builds it, in C programs of tests/.
#
#   scripts/sanitizers.sh [address] [thread]    both, or one
#
# helgrind says nothing of use here: it knows the locks of pthreads, and Rust has its own and atomics. ThreadSanitizer knows
# atomics, but sees nothing in the standard library, which stays as it was delivered.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- address thread
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
machine=$(rustc -vV | sed -n 's/^host: //p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# built SANITIZER PROGRAM: with the runtime that comes with rustc.
built() {
    local runtime
    runtime=$(ls "$(rustc --print sysroot)/lib/rustlib/$machine/lib"/librustc-*_rt."${1:0:1}"san.a)
    cc -std=c99 -D_POSIX_C_SOURCE=200809L -g -fsanitize="$1" -Iinclude -c -o "$scratch/$2.o" "tests/$2.c"
    cc -rdynamic -o "$scratch/$2" "$scratch/$2.o" "$target/sanitized-$1/$machine/debug/libquorate.a" \
        -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lpthread -ldl -lm -lrt -lgcc_s -lstdc++
}

for sanitizer; do
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer" \
        CARGO_TARGET_DIR="$target/sanitized-$sanitizer" \
        cargo rustc --no-default-features --lib --crate-type staticlib --target "$machine"
    programs=threads
    # The log's worker is spoken to by locks and channels of the standard library, of which ThreadSanitizer sees half.
    [ "$sanitizer" = thread ] || programs='open threads'
    for program in $programs; do
        built "$sanitizer" "$program"
        mkdir "$scratch/$sanitizer $program"
        "$scratch/$program" "$scratch/$sanitizer $program"
    done
done
