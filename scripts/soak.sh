#!/usr/bin/env bash
# The long runs, for a quiet evening: what `make test` does in small, in large.
#
#   scripts/soak.sh [STAGE…]     run all stages, or those named
#   scripts/soak.sh --list       name the stages
set -u
source "$(dirname "$0")/stages.sh"

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

stage prerequisites 10 scripts/prerequisites.sh gcc g++ redis-server redis-cli redis-benchmark valgrind python3
stage simulator    600 scripts/sim.sh soak
stage kill         120 env QUORATE_KILL_ROUNDS=100 cargo test --release --test processes kill -- --nocapture
stage malformed    120 env QUORATE_MALFORMED=1000000 scripts/malformed.sh
stage bits         20 env QUORATE_ALL_BITS=1 cargo test --release --lib store::tests::crash
stage loom         120 scripts/loom.sh --full

finish
