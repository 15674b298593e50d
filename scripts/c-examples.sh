#!/usr/bin/env bash
# The C side: the header under every standard, the examples built with warnings as errors, run, and run again under
# valgrind. The C tests are scripts/c-tests.sh's. `scripts/c-examples.sh --release` uses the optimised library.
set -eu
cd "$(dirname "$0")/.."

profile=debug
case ${1:-} in --release) profile=release ;; esac
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
# checked PROGRAM ARGUMENT…: under valgrind, where any error or leak is a failure.
checked() {
    valgrind --quiet --leak-check=full --error-exitcode=9 --trace-children=no "$out/$1" "${@:2}" >/dev/null
    printf 'valgrind: %s is clean\n' "$1"
}

"$out/hello"
"$out/async"
"$out/cancel"
"$out/conflict"
"$out/stock"
"$out/merge_hook"
"$out/poll_loop"
"$out/own_disk_thread"
"$out/epoll_server"
[ -z "$libuv" ] || "$out/libuv_loop"
"$out/placement"
"$out/watch"
"$out/packet_memory"
"$out/packet_udp"
"$out/cluster_admin" >/dev/null
checked hello
checked async
checked cancel
checked conflict
checked stock
checked merge_hook
checked poll_loop
checked own_disk_thread
checked epoll_server
[ -z "$libuv" ] || checked libuv_loop
checked placement
checked watch
checked packet_memory
checked packet_udp
checked cluster_admin
