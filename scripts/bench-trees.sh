#!/usr/bin/env bash
# What the hash trees take of the puts of clients: one node with its log on the disk and one built without trees
# (QUORATE_MUTANT=no_trees), in turn, under redis-benchmark; medians of the rounds. The store alone, without a client, is
# measured by `cargo bench --bench store -- trees`.
#
#   bench-trees.sh [ROUNDS [PUTS]]
set -eu
cd "$(dirname "$0")/.."
scripts/prerequisites.sh redis-benchmark redis-cli >&2
rounds=${1:-5} puts=${2:-1000000} keys=250000
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
home=$(mktemp -d)
node=
trap '[ -z "$node" ] || kill "$node" 2>/dev/null; rm -rf "$home"' EXIT

build() { # NAME MUTANT
    QUORATE_MUTANT=$2 cargo build --quiet --release --bin quorate
    cp "$target/release/quorate" "$home/$1"
}
build without no_trees
build with ''

ticks() { awk '{ print $14 + $15 }' "/proc/$node/stat"; }

# measure NAME: puts a second, and nanoseconds of the node's CPU for each, of keys that are there.
measure() {
    local begun rate
    rm -rf "$home/data"
    "$home/$1" node --data "$home/data" --client 127.0.0.1:0 --peer 127.0.0.1:0 --unix "$home/socket" >"$home/log" 2>&1 &
    node=$!
    until redis-cli -s "$home/socket" PING >/dev/null 2>&1; do sleep 0.1; done
    redis-benchmark -s "$home/socket" -t set -n $((2 * keys)) -r "$keys" -d 100 -c 8 -P 4 -q >/dev/null
    begun=$(ticks)
    rate=$(redis-benchmark -s "$home/socket" -t set -n "$puts" -r "$keys" -d 100 -c 8 -P 4 --csv | awk -F '"' '$2 == "SET" { print $4 }')
    printf '%s %s\n' "$rate" "$((($(ticks) - begun) * (1000000000 / $(getconf CLK_TCK)) / puts))"
    kill "$node"
    wait "$node" || true
    node=
}

for _ in $(seq "$rounds"); do
    for name in with without; do measure $name >>"$home/$name.figures"; done
done
median() { cut -d ' ' -f "$2" "$home/$1.figures" | sort -g | awk '{ row[NR] = $1 } END { print row[int((NR + 1) / 2)] }'; }
printf '%-14s %12s %12s\n' '' 'puts a second' 'CPU ns a put'
for name in with without; do printf '%-14s %12.0f %12d\n' "$name trees" "$(median $name 1)" "$(median $name 2)"; done
awk -v a="$(median with 1)" -v b="$(median without 1)" -v c="$(median with 2)" -v d="$(median without 2)" \
    'BEGIN { printf "with over without: %.3f of the puts a second, %.3f of the puts a CPU second\n", a / b, d / c }'
