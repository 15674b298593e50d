#!/usr/bin/env bash
# What the libraries in a folder offer to the linker and the loader, and what they ask of the system: exactly what
# abi/symbols.txt and the convention say.
#
#   scripts/exports.sh FOLDER
set -eu
folder=$1
symbols=$(dirname "$0")/../abi/symbols.txt
shared=$folder/libquorate.so archive=$folder/libquorate.a
# The oldest glibc with which the libraries run; the README names it.
glibc_oldest=2.34
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    printf 'exports: %s\n' "$*" >&2
    exit 1
}

# Every function carries the version in which it came, and nothing else is exported but the versions themselves.
awk '!/^#/ { print "T " $2 "@@QUORATE_" $3; print "A QUORATE_" $3 }' "$symbols" | sort -u >"$scratch/listed"
nm -D --defined-only "$shared" | cut -d ' ' -f 2- | sort -u >"$scratch/shared"
diff "$scratch/listed" "$scratch/shared" >&2 || fail "abi/symbols.txt (<) and $shared (>) differ"

awk '!/^#/ { print "T " $2 }' "$symbols" | sort >"$scratch/listed"
nm -g --defined-only "$archive" | sed -n 's/^[0-9a-f]\{16\} //p' | sort >"$scratch/archive"
diff "$scratch/listed" "$scratch/archive" >&2 || fail "abi/symbols.txt (<) and $archive (>) differ"

readelf -dlW "$shared" >"$scratch/elf"
for wanted in "SONAME.*\[libquorate\.so\.[0-9]*\]" 'FLAGS).*BIND_NOW' 'FLAGS_1).*NODELETE' GNU_RELRO; do
    grep -q "$wanted" "$scratch/elf" || fail "$shared lacks $wanted"
done
for unwanted in TEXTREL RPATH RUNPATH; do
    ! grep "$unwanted" "$scratch/elf" >&2 || fail "$shared has $unwanted"
done
soname=$(sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p' "$scratch/elf")
[ "$(readlink -f "$folder/$soname")" = "$(readlink -f "$shared")" ] || fail "$soname is not $shared"

glibc=$(objdump -T "$shared" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
[ "$(printf 'GLIBC_%s\n%s\n' "$glibc_oldest" "$glibc" | sort -V | tail -n 1)" = "GLIBC_$glibc_oldest" ] ||
    fail "$shared needs $glibc, and glibc $glibc_oldest is promised"
grep -q "glibc $glibc_oldest" "$(dirname "$0")/../README.md" || fail "README does not name glibc $glibc_oldest"
printf 'exports: %d functions, %s, %s\n' "$(wc -l <"$scratch/listed")" "$soname" "$glibc"
