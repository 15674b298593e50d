#!/usr/bin/env bash
# A rolling upgrade under load from another release: builds it below target/ and lets the test use it.
#
#   scripts/upgrade.sh [REVISION]     by default the one before membership could change
set -eu
cd "$(dirname "$0")/.."
revision=${1:-53ccad8}
tree=${CARGO_TARGET_DIR:-target}/upgrade
rm -rf "$tree"
mkdir -p "$tree"
git archive "$revision" | tar -x -C "$tree"
tree=$(cd "$tree" && pwd)
(cd "$tree" && CARGO_TARGET_DIR="$tree/target" cargo build --quiet --bin quorate)
QUORATE_OLD_PROGRAM="$tree/target/debug/quorate" cargo test --test processes upgrade -- --nocapture
