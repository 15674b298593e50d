#!/usr/bin/env bash
# The C side: the header under every standard, the examples and the C tests built with warnings as errors,
# run, and run again under valgrind. `scripts/c-examples.sh --release` uses the optimised library; `--loops` builds the
# same and runs nothing but tests/loops.c, with QUORATE_LOOP_STEPS in each loop.
set -eu
cd "$(dirname "$0")/.."

profile=debug
case ${1:-} in --release | --loops) profile=release ;; esac
target=${CARGO_TARGET_DIR:-target}
out=$target/c-examples
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# header COMPILER LANGUAGE STANDARD…: includes the header twice, after names that a host may have taken.
header() {
    local compiler=$1 language=$2 standard
    shift 2
    command -v "$compiler" >/dev/null || { printf 'header: %s is not here\n' "$compiler"; return 0; }
    for standard; do
        printf '#define min(a, b) ((a) < (b) ? (a) : (b))\n#define small char\n%s\n%s\n%s\n' \
            '#include <quorate.h>' '#include <quorate.h>' \
            'int unused(void); int unused(void) { return QUORATE_OK; }' |
            "$compiler" -x "$language" -std="$standard" -pedantic-errors -Wall -Wextra -Wpedantic \
                -Wconversion -Wundef -Werror -Iinclude -fsyntax-only -
        printf 'header: %s %s\n' "$compiler" "$standard"
    done
}

header gcc c c89 c99 c11 c17 c2x
header g++ c++ c++98 c++11 c++17 c++20
header clang c c89 c11
header clang++ c++ c++17

if [ "$profile" = release ]; then
    cargo build --release --no-default-features --lib
else
    cargo build --no-default-features --lib
fi
# The shared library offers exactly the listed functions.
nm -D --defined-only "$target/$profile/libquorate.so" | sed 's/^[^ ]* [A-Z] //; s/@.*//' | sort >"$scratch/exported"
awk '!/^#/ { print $2 }' abi/symbols.txt | sort >"$scratch/listed"
diff "$scratch/listed" "$scratch/exported" || { echo 'symbols: abi/symbols.txt and the library differ' >&2; exit 1; }
printf 'symbols: %d exported, as listed\n' "$(wc -l <"$scratch/listed")"

libuv=
[ ! -f /usr/include/uv.h ] || libuv=1
[ -n "$libuv" ] || echo 'libuv is not here, and what needs it is left out (apt-get install libuv1-dev)'
make -C c-examples --always-make --no-print-directory LIB="$(realpath "$target")/$profile" OUT="$(realpath -m "$out")"
# test_program NAME OPTION…: builds a C test.
test_program() {
    cc -std=c99 -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -g -Iinclude -o "$out/$1" "tests/$1.c" \
        "$target/$profile/libquorate.a" "${@:2}" -lpthread -ldl -lm
}
for test in fork open; do
    test_program "$test"
done
if [ -n "$libuv" ]; then
    test_program loops -DWITH_LIBUV -luv
else
    test_program loops
fi
# In memory where that can be: a disk that takes a second for a sync is no stall of ours.
loops=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$scratch" "$loops"' EXIT
"$out/loops" "$loops" "${QUORATE_LOOP_STEPS:-10000}"
[ "${1:-}" != --loops ] || exit 0

# checked PROGRAM ARGUMENT…: under valgrind, where any error or leak is a failure.
checked() {
    valgrind --quiet --leak-check=full --error-exitcode=9 --trace-children=no "$out/$1" "${@:2}" >/dev/null
    printf 'valgrind: %s is clean\n' "$1"
}

"$out/hello"
"$out/async"
"$out/conflict"
"$out/stock"
"$out/merge_hook"
"$out/poll_loop"
"$out/epoll_server"
[ -z "$libuv" ] || "$out/libuv_loop"
"$out/watch"
"$out/packet_memory"
"$out/packet_udp"
"$out/cluster_admin" >/dev/null
"$out/fork"
mkdir "$scratch/one" "$scratch/two"
"$out/open" "$scratch/one"
checked hello
checked async
checked conflict
checked stock
checked merge_hook
checked poll_loop
checked epoll_server
[ -z "$libuv" ] || checked libuv_loop
checked watch
checked packet_memory
checked packet_udp
checked cluster_admin
checked open "$scratch/two"
