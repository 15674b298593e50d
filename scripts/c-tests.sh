#!/usr/bin/env bash
# What only a C program can show of the library, each of tests/*.c built with warnings as errors and run.
#
#   scripts/c-tests.sh [NAME…]    all of them, or those named
#
# QUORATE_LOOP_STEPS is how many steps `loops` takes in each loop (10,000).
set -eu
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/c-tests
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$out"
[ $# -gt 0 ] || set -- fork open signals threads loops nulls

# built NAME OPTION…
built() {
    cc -std=c99 -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -g -Iinclude \
        -o "$out/$1" "tests/$1.c" "$target/debug/libquorate.a" "${@:2}" -lpthread -ldl -lm
}

cargo build --no-default-features --lib
for name; do
    mkdir "$scratch/$name" "$scratch/$name again"
    case $name in
    # A test of Rust's calls each function with each pointer NULL; here it is seen what they look at then.
    nulls)
        program=$(cargo test --all-features --test ffi --no-run --message-format json 2>/dev/null |
            sed -n 's/.*"name":"ffi".*"executable":"\([^"]*\)".*/\1/p')
        valgrind --quiet --error-exitcode=9 "$program" --quiet --exact every_null_is_refused
        ;;
    fork)
        for function in $(awk '!/^#/ && $1 > 0 { print $2 }' abi/symbols.txt); do
            grep -q "$function(" tests/fork.c || { printf 'fork: %s is listed and not tested\n' "$function" >&2; exit 1; }
        done
        built fork
        "$out/fork" "$scratch/fork"
        ;;
    open)
        built open
        "$out/open" "$scratch/open"
        valgrind --quiet --leak-check=full --error-exitcode=9 --trace-children=no \
            "$out/open" "$scratch/open again"
        ;;
    loops)
        if [ -f /usr/include/uv.h ]; then
            built loops -DWITH_LIBUV -luv
        else
            echo 'libuv is not here, and its loop is left out (apt-get install libuv1-dev)'
            built loops
        fi
        # In memory where that can be: a disk that takes a second for a sync is no stall of ours.
        memory=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
        trap 'rm -rf "$scratch" "$memory"' EXIT
        "$out/loops" "$memory" "${QUORATE_LOOP_STEPS:-10000}"
        ;;
    *)
        built "$name"
        "$out/$name" "$scratch/$name"
        ;;
    esac
done
