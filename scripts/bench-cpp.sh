#!/usr/bin/env bash
# What quorate.hpp costs beside the C calls that it makes. Prints a table; see benches/cpp/batches.cpp.
set -eu
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cargo build --quiet --release --no-default-features --lib
mkdir -p "$target/cpp"
${CXX:-c++} -std=c++17 -O2 -Wall -Wextra -Wpedantic -Wconversion -Werror -Iinclude -o "$target/cpp/batches" \
    benches/cpp/batches.cpp "$target/release/libquorate.a" -lpthread -ldl -lm
exec "$target/cpp/batches"
