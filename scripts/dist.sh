#!/usr/bin/env bash
# Packs a release of what is committed: the source with every crate it is built from and its manual pages, so that it
# builds without a network; and the tree of `make`, to be unpacked anywhere.
#
#   scripts/dist.sh TREE MAN FOLDER VERSION
set -eu
tree=$1 man=$2 folder=$3 version=$4
here=$(cd "$(dirname "$0")/.." && pwd)
name=quorate-$version
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$folder"

# packed FOLDER NAME FILE: the same bytes whoever packs, and when.
packed() {
    tar -C "$1" --transform "s,^\.,$2,S" --sort=name --mtime="@$(git -C "$here" log -1 --format=%ct)" --owner=0 --group=0 \
        --numeric-owner -c . | gzip -n >"$3"
    printf 'dist: %s, %s bytes\n' "$3" "$(stat -c %s "$3")"
}

git -C "$here" diff --quiet HEAD || printf 'dist: what is not committed is not packed\n' >&2
mkdir "$scratch/source" "$scratch/source/.cargo"
git -C "$here" archive HEAD | tar -C "$scratch/source" -x
# Not --quiet, which keeps the configuration to itself as well.
(cd "$scratch/source" && cargo vendor --locked >.cargo/config.toml 2>"$scratch/log") || { cat "$scratch/log" >&2; exit 1; }
cp -R "$man" "$scratch/source/man"
packed "$scratch/source" "$name" "$folder/$name.tar.gz"
packed "$tree" "$name-linux-$(uname -m)" "$folder/$name-linux-$(uname -m).tar.gz"
