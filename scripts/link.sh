#!/usr/bin/env bash
# Makes of cargo's archive the two libraries that are installed. abi/symbols.txt alone says what they export.
#
#   scripts/link.sh ARCHIVE VERSION FOLDER
#
# The shared one is linked here as rustc gives no symbol a version: GNU ld refuses our script beside rustc's own,
# and rust-lld ignores it without a word.
set -eu
archive=$1 version=$2 folder=$3
symbols=$(dirname "$0")/../abi/symbols.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$folder"
rm -f "$folder"/libquorate.*

# listed [SINCE]: the exported names, or those that came with one version.
listed() {
    awk -v since="${1:-}" '!/^#/ && (since == "" || $3 == since) { print $2 }' "$symbols"
}

# A node for each version, each on top of the one before: a program that needs a later one fails when it is loaded.
version_script() {
    local since before='' rest=' local: *;'
    for since in $(awk '!/^#/ { print $3 }' "$symbols" | sort -Vu); do
        printf 'QUORATE_%s { global: %s;%s }%s;\n' "$since" "$(listed "$since" | paste -sd ';')" "$rest" "$before"
        before=" QUORATE_$since" rest=''
    done
}

soname=libquorate.so.${version%%.*}
version_script >"$scratch/versions"
# nodelete: a dlclose would unmap code under a thread of the library.
${CC:-cc} -shared -o "$scratch/shared" -Wl,--whole-archive "$archive" -Wl,--no-whole-archive \
    -Wl,--version-script="$scratch/versions" -Wl,-soname,"$soname" -Wl,--gc-sections -Wl,--strip-debug \
    -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -Wl,--as-needed -lgcc_s -lpthread -lm -ldl
install -m 755 "$scratch/shared" "$folder/libquorate.so.$version"
ln -sf "libquorate.so.$version" "$folder/$soname"
ln -sf "$soname" "$folder/libquorate.so"

"$(dirname "$0")/archive.sh" "$folder" "$archive"
