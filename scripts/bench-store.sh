#!/usr/bin/env bash
# The store bench: the log beside embedded peers and beside what the machine can do at all, in one run.
# Arguments go to the bench: scripts/bench-store.sh --help
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
exec cargo run --release --locked --quiet --manifest-path "$root/benches/embedded/Cargo.toml" \
    --target-dir "$root/target/embedded" -- "$@"
