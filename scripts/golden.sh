#!/usr/bin/env bash
# Writes the data directory that tests/golden.rs keeps of the current format version, and its list. Once
# kept it is never written anew: make the next one before the version changes.
#
#   scripts/golden.sh DIRECTORY     for example tests/golden/v3, which must not exist yet
set -eu
[ $# -eq 1 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d; exit 2; }
target=$(realpath --canonicalize-missing "$1")
[ ! -e "$target" ] || { echo "$1 is there already" >&2; exit 1; }
cd "$(dirname "$0")/.."
QUORATE_GOLDEN_WRITE="$target" cargo test --test golden the_directory_of_this_version_can_be_kept
rm -f "$target/data/LOCK" "$target"/data/*.tmp
