#!/usr/bin/env bash
# The C++ side: quorate.hpp by itself, the examples and the tests (GoogleTest), each as C++17 and C++20, with exceptions
# and without, warnings as errors; run under the sanitizers of gcc, and again under valgrind.
set -eu
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/cpp
lib=$target/debug
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# header COMPILER STANDARD OPTION…: includes the header twice, after names that a host may have taken.
header() {
    command -v "$1" >/dev/null || { printf 'header: %s is not here\n' "$1"; return 0; }
    printf '#define small char\n#include <quorate.hpp>\n#include <quorate.hpp>\nint unused(); int unused() { return 0; }\n' |
        "$1" -x c++ -std="$2" "${@:3}" -pedantic-errors -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow \
            -Wundef -Werror -Iinclude -fsyntax-only -
    printf 'header: %s\n' "$*"
}
for compiler in g++ clang++; do
    for standard in c++17 c++20; do
        header $compiler $standard
        header $compiler $standard -DQUORATE_HPP_EXCEPTIONS
        header $compiler $standard -fno-exceptions -fno-rtti
    done
done

cargo build --no-default-features --lib

# checked PROGRAM ARGUMENT…: under valgrind, where any error or leak is a failure.
checked() {
    valgrind --quiet --leak-check=full --error-exitcode=9 --trace-children=no "$@" >/dev/null
    printf 'valgrind: %s is clean\n' "${1#"$out"/}"
}

for standard in c++17 c++20; do
    make -C c-examples/cpp --always-make --no-print-directory LIB="$lib" OUT="$out/$standard" STANDARD=$standard
done
for example in hello conflict stock async; do
    "$out/c++17/$example"
    checked "$out/c++20/$example"
done

# tests NAME STANDARD FLAGS: builds the tests in one way.
tests() {
    make -C tests/cpp --always-make --no-print-directory LIB="$lib" OUT="$out/$1" STANDARD="$2" CXXFLAGS="$3"
}
tests sanitized c++17 '-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
nm "$out/sanitized/tests" | grep -q __asan_init || { echo 'cpp: the sanitizers are not linked' >&2; exit 1; }
"$out/sanitized/tests" --gtest_brief=1
tests throwing c++20 '-O0 -g -DQUORATE_HPP_EXCEPTIONS'
"$out/throwing/tests" --gtest_brief=1
# A child that aborts on purpose gives nothing back.
checked "$out/throwing/tests" --gtest_brief=1 --gtest_filter=-*DeathTest*
