#!/usr/bin/env bash
# Malformed input against a live node, and then against one with a planted bug, which must be found.
#
#   scripts/malformed.sh                                20,000 inputs, as CI runs it
#   QUORATE_MALFORMED=1000000 scripts/malformed.sh      the soak
#
# QUORATE_MALFORMED_SEED chooses the seed. A failure prints it, with the thousand inputs to run again.
set -u
cd "$(dirname "$0")/.." || exit 1
unset QUORATE_MUTANT QUORATE_MALFORMED_NODE QUORATE_MALFORMED_FROM

run() {
    cargo test --all-features --test malformed -- --nocapture 2>&1
}

run || exit 1

# A build of its own, so that the other one stays as it is.
mutants=${CARGO_TARGET_DIR:-target}/mutants
QUORATE_MUTANT=unbounded_reserve \
    cargo build --all-features --bin quorate --target-dir "$mutants" || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if QUORATE_MALFORMED_NODE=$(realpath "$mutants/debug/quorate") QUORATE_MALFORMED=4000 run >"$log"; then
    echo 'malformed: an unbounded reserve is not found' >&2
    exit 1
fi
# It must have failed for its memory, not for something else.
found=$(grep -a -m 1 -o -E 'memory allocation of [0-9]+ bytes failed|capacity overflow|memory grew by [0-9]+ KiB' "$log")
if [ -z "$found" ]; then
    tail -n 30 "$log" >&2
    echo 'malformed: the node with an unbounded reserve failed for another reason' >&2
    exit 1
fi
echo "malformed: the planted unbounded reserve is found: $found"
