#!/usr/bin/env bash
# The long runs, for a quiet evening: what `make test` does in small, in large.
#
#   scripts/soak.sh [STAGE…]     run all stages, or those named
#   scripts/soak.sh --list       name the stages
set -u
source "$(dirname "$0")/stages.sh"

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

stage prerequisites 10 scripts/prerequisites.sh gcc g++ redis-server redis-cli redis-benchmark valgrind python3 \
    mount mkfs.ext4 ip unshare nsenter cmake pkg-config abidiff readelf mandoc go /usr/include/gtest/gtest.h \
    /usr/include/uv.h
stage simulator    600 scripts/sim.sh soak
stage kill         120 env QUORATE_KILL_ROUNDS=100 cargo test --release --test processes kill -- --nocapture
stage malformed    120 env QUORATE_MALFORMED=1000000 scripts/malformed.sh
stage differential 60 env QUORATE_DIFFERENTIAL_ROUNDS=1000 \
    cargo test --release --test differential -- --nocapture
stage store-kill   20 env QUORATE_STORE_KILL_ROUNDS=200 cargo test --profile sim --test store_kill -- --nocapture
stage store-model  60 env QUORATE_STORE_OPERATIONS=1000000 \
    cargo test --profile sim --lib store::tests::upkeep -- --nocapture
stage bits         120 env QUORATE_ALL_BITS=1 \
    cargo test --profile sim --lib -- --nocapture store::tests::images store::tests::crash_points
stage placement    120 env QUORATE_LAYOUTS=1000000 \
    cargo test --profile sim --test placement -- --nocapture
stage loom         120 scripts/loom.sh --full
stage upgrade      60 scripts/upgrade.sh
stage sanitizers   30 scripts/sanitizers.sh
stage breaks       240 scripts/breaks.sh
stage dist         60 scripts/dist-check.sh
stage musl         20 scripts/musl.sh
stage loops        240 env QUORATE_LOOP_STEPS=1000000 scripts/c-tests.sh loops
stage faults       120 env QUORATE_FAULTS_ROUNDS=20 scripts/faults.sh
stage flapping     30 env QUORATE_FLAP_ROUNDS=20 \
    cargo test --release --test processes flapping::a_network -- --nocapture
stage stopped      30 env QUORATE_STOP_SECONDS=1,5,20,60 \
    cargo test --release --test processes flapping::a_process -- --nocapture
stage exchange     10 cargo bench --bench exchange
stage trees        10 scripts/bench-trees.sh
stage cart         10 cargo bench --bench cart
stage allocations  20 env QUORATE_ALLOCATION_REQUESTS=1000000 cargo test --release --test allocations -- --nocapture
stage costs        30 scripts/costs.sh
stage overwrite    60 scripts/bench-store.sh --only space --reps 1 --seconds 600

finish
