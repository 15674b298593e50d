#!/usr/bin/env bash
# The README as a newcomer follows it: the blocks of "Linking it", in their order, in an empty folder of an empty home. A
# block of code that begins with a comment naming a file is written to that file, a block of sh is run.
set -eu
cd "$(dirname "$0")/.."
export QUORATE=$PWD
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT

# A home is empty, but what would be fetched again for it is not. Go's cache remembers where a library lay, and this one
# goes away.
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
export GOCACHE=$scratch/go GOMODCACHE=$(go env GOMODCACHE) GOFLAGS=-mod=mod
export CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export HOME=$scratch/home MAKEFLAGS='--no-print-directory MAN_FEATURES=--all-features'
mkdir "$HOME" "$scratch/empty"

# Writes the files that the section shows, and prints what it runs.
transcript() {
    awk -v folder="$scratch/empty" '
        /^## / { is_there = $0 == "## Linking it" }
        !is_there { next }
        /^```/ && is_open { is_open = 0; file = ""; next }
        /^```/ { is_open = 1; is_run = $0 == "```sh"; is_first = 1; next }
        is_open && is_run { print }
        is_open && !is_run {
            if (is_first && match($0, /hello\.[a-z]+/)) file = folder "/" substr($0, RSTART, RLENGTH)
            if (file) print > file
        }
        { is_first = 0 }
    ' README.md
}

transcript >"$scratch/transcript"
cd "$scratch/empty"
bash -eux "$scratch/transcript" >"$scratch/said" 2>"$scratch/log" || { cat "$scratch/said" "$scratch/log" >&2; exit 1; }
for said in 'hello from C' 'hello from C++' 'hello from Go'; do
    grep -qxF "$said" "$scratch/said" || { cat "$scratch/log" >&2; printf 'newcomer: `%s` was not printed\n' "$said" >&2; exit 1; }
done
[ "$(grep -cxF 'hello from C' "$scratch/said")" = 2 ] || { echo 'newcomer: both libraries must say it' >&2; exit 1; }
grep '^+' "$scratch/log" | cut -c1-140
