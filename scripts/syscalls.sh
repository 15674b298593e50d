#!/usr/bin/env bash
# Requests to a node in mode packet with its records in memory make no system call: a program that sends ten times as many
# makes as many as before, but for a few by which the allocator gets its memory and gives it back, more or less from
# run to run. What asks for the time is the program's own.
set -eu
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! strace -f -o "$scratch/try" true 2>/dev/null; then
    echo 'syscalls: skipped, as strace is not here or may not trace'
    exit 0
fi
cargo build --quiet --no-default-features --lib
cc -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -Iinclude -o "$scratch/one" \
    benches/costs/one.c "$target/debug/libquorate.a" -lpthread -ldl -lm

# calls WAY REQUESTS: how many system calls a run makes.
calls() {
    strace -f -e 'trace=!clock_gettime' -o "$scratch/calls" "$scratch/one" "$1" "$2"
    grep -vc -e '+++' -e '---' "$scratch/calls"
}
for way in 0 1 2 3; do
    few=$(calls $way 6400) many=$(calls $way 64000)
    printf 'syscalls: %d in a run of 6,400 requests, %d in one of 64,000 (way %d)\n' "$few" "$many" $way
    # 900 batches lie between the two.
    [ $((many - few)) -lt 20 ] || { echo 'syscalls: requests make system calls' >&2; exit 1; }
done
