#!/usr/bin/env bash
# Is a release whole? Packs one and builds the source tarball of what is committed where there is no crate but its own,
# no network and no git.
set -eu
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

make --no-print-directory dist
tar -C "$scratch" -xzf "$target/dist/quorate-$version.tar.gz"
tar -C "$scratch" -xzf "$target/dist/quorate-$version-linux-$(uname -m).tar.gz"
cd "$scratch/quorate-$version"
export CARGO_HOME=$scratch/cargo CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$scratch/target
make --no-print-directory tree
# The folder's own copy: it has abi/ and the README of this version.
scripts/exports.sh "$scratch/target/tree/lib"
same() { (cd "$1" && find . -printf '%p %m %l\n' | sort); }
diff <(same "$scratch/target/tree") <(same "$scratch/quorate-$version-linux-$(uname -m)")
printf 'dist: the source builds the tree that was packed\n'
