#!/usr/bin/env bash
# Puts together what is installed, in a folder that may be moved: nothing in it knows its own place.
#
#   scripts/tree.sh PROGRAM LINKED MAN TREE LIBDIR VERSION
#
# LINKED has the libraries (scripts/link.sh), MAN the pages of the program; LIBDIR is below the prefix, such as lib64.
set -eu
program=$1 linked=$2 man=$3 tree=$4 libdir=$5 version=$6
here=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$tree"

# up FOLDER: the way from a folder below the prefix back to it, as it is written: /lib may be a link on this machine.
up() { realpath -ms --relative-to="/$1" /; }

# filled TEMPLATE FOLDER: a template of ours, as the file that it is in the tree.
filled() {
    install -d "$tree/$2"
    sed -e "s|@VERSION@|$version|" -e "s|@LIBDIR@|$libdir|" -e "s|@PREFIX_FROM_PC@|$(up "$libdir/pkgconfig")|" \
        -e "s|@PREFIX_FROM_CMAKE@|$(up "$libdir/cmake/quorate")|" "$1" >"$tree/$2/$(basename "$1" .in)"
}

install -D -m 755 "$program" "$tree/bin/quorate"
install -D -m 644 -t "$tree/include" "$here"/include/*.h*
install -d "$tree/$libdir"
cp -P "$linked"/libquorate.* "$tree/$libdir/"
filled "$here/packaging/quorate.pc.in" "$libdir/pkgconfig"
filled "$here/packaging/quorate-static.pc.in" "$libdir/pkgconfig"
filled "$here/packaging/quorateConfig.cmake.in" "$libdir/cmake/quorate"
filled "$here/packaging/quorateConfigVersion.cmake.in" "$libdir/cmake/quorate"
install -m 644 "$here/packaging/quorateTargets.cmake" "$tree/$libdir/cmake/quorate/"
install -D -m 644 -t "$tree/share/man/man1" "$man"/*.1
filled "$here/docs/libquorate.3.in" share/man/man3
# Functions, and what each may do, come from the one list.
awk '!/^#/ { printf ".It Fn %s\nClass %s, %s, since %s.\n", $2, $4, $5 == "yes" ? "may block" : "does not block", $3 }' \
    "$here/abi/symbols.txt" | sed -i -e '/^@FUNCTIONS@$/ { r /dev/stdin' -e 'd }' "$tree/share/man/man3/libquorate.3"
install -D -m 644 -t "$tree/share/doc/quorate" "$here"/README.md "$here"/CHANGELOG.md "$here"/LICENSE-*
