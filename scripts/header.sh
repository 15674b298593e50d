#!/usr/bin/env bash
# Writes include/quorate.h anew from src/ffi. `cargo test --features header` compares it.
set -eu
cd "$(dirname "$0")/.."
QUORATE_HEADER_WRITE=1 cargo test --quiet --features header --test header the_header_is_fresh
