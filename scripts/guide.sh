#!/usr/bin/env bash
# The programs of docs/embedding.md: each block of C there is a whole program, and is compiled, linked and run as it stands.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
make --no-print-directory library
awk -v folder="$scratch" '
    is_open && /^```/ { is_open = 0; next }
    /^```c$/ { is_open = 1; count++; next }
    is_open { print > (folder "/" sprintf("%02d", count) ".c") }
' docs/embedding.md
for source in "$scratch"/*.c; do
    number=$(basename "$source" .c)
    cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -Iinclude -o "$scratch/$number" "$source" \
        "$CARGO_TARGET_DIR/release/libquorate.a" -lpthread -ldl -lm
    printf 'guide: program %s: %s\n' "$number" "$(cd "$scratch" && timeout 30 "./$number")"
done
[ -e "$scratch/04.c" ] || { echo 'guide: the programs of the page are not found' >&2; exit 1; }
