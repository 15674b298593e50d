#!/usr/bin/env bash
# What requests cost, all in one run: from C at one node in mode packet and mode thread and round trips by how its
# thread waits (benches/costs/one.c), at three nodes over loopback in each mode (benches/costs/three.c), and what C++ and Go
# take beside C. Prints the tables that docs/costs.md has; the machine should have nothing else to do.
set -eu
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/costs
mkdir -p "$out"
cargo build --quiet --release --no-default-features --lib
for program in one three; do
    cc -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -Iinclude -o "$out/$program" \
        "benches/costs/$program.c" "$target/release/libquorate.a" -lpthread -ldl -lm
done
grep -m 1 'model name' /proc/cpuinfo || true
printf '%s CPUs, load %s\n\n' "$(nproc)" "$(cut -d ' ' -f 1 /proc/loadavg)"
"$out/one"
echo
"$out/three"
echo
scripts/bench-cpp.sh
echo
scripts/go.sh --bench
