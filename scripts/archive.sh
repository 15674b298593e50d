#!/usr/bin/env bash
# Makes of cargo's archive, and of others that it needs, the libquorate.a that is installed: what abi/symbols.txt lists
# is there for the linker, and nothing else.
#
#   scripts/archive.sh FOLDER ARCHIVE…
#
# Two archives that rustc made both define its runtime, so a program could not link a second one (rust-lang/rust#104707).
# As one object ours keeps that to itself. One name is changed: it names a group of sections, of which the linker takes
# one for all objects even if it is local. Embedded bitcode is of no use here, and GNU ar cannot read it.
set -eu
folder=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
awk '!/^#/ { print $2 }' "$(dirname "$0")/../abi/symbols.txt" >"$scratch/exported"
${LD:-ld} -r --whole-archive "${@:2}" -o "$scratch/whole.o"
${OBJCOPY:-objcopy} --strip-debug -R .llvmbc -R .llvmcmd --keep-global-symbols="$scratch/exported" \
    --redefine-sym DW.ref.rust_eh_personality=DW.ref.quorate_eh_personality "$scratch/whole.o" "$scratch/quorate.o"
rm -f "$folder/libquorate.a"
${AR:-ar} rcsD "$folder/libquorate.a" "$scratch/quorate.o"
chmod 644 "$folder/libquorate.a"
