#!/usr/bin/env bash
# The installed tree, as the programs of others meet it: installed, moved elsewhere, linked in every way that the README
# names, and removed.
set -eu
cd "$(dirname "$0")/.."
source=$PWD
export CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree=$scratch/moved
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
program=$source/c-examples/conflict.c cxx_program=$source/c-examples/cpp/conflict.cpp

fail() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

# The features of the other development builds, so that nothing is compiled for the manual pages alone.
make --no-print-directory install MAN_FEATURES=--all-features DESTDIR="$scratch/stage" PREFIX=/usr >"$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2; fail 'make install'; }
mv "$scratch/stage/usr" "$tree"
! grep -rIl -e "$scratch" -e "$source" "$tree" >&2 || fail 'these know where they were made'
scripts/exports.sh "$tree/lib"
for header in include/*.h*; do cmp "$header" "$tree/$header"; done
"$tree/bin/quorate" --version

# Of clap_mangen we take the dates and empty paragraphs as they are; our own page has nothing to complain of.
mandoc -T lint -W error "$tree"/share/man/man1/quorate*.1 >&2
mandoc -T lint -W warning "$tree/share/man/man3/libquorate.3" >&2
for verb in $("$tree/bin/quorate" --help | sed -n '/^Commands:/,/^$/ s/^  \([a-z]*\) .*/\1/p'); do
    [ -s "$tree/share/man/man1/quorate-$verb.1" ] || fail "no manual page for $verb"
done
for name in $(grep -o 'quorate_[a-z0-9_]*' "$tree/share/man/man3/libquorate.3" | sort -u); do
    grep -q " $name " abi/symbols.txt || fail "libquorate(3) names $name, which there is not"
done

# linked shared|static PROGRAM: it runs, and takes the library in that way.
linked() {
    local found=static
    ! readelf -d "$2" | grep -q 'NEEDED.*libquorate' || found=shared
    [ "$found" = "$1" ] || fail "$2 is linked with the $found library"
    LD_LIBRARY_PATH=${3:-} "$2" >"$scratch/log" || { cat "$scratch/log" >&2; fail "$2 failed"; }
    printf 'install: %s runs (%s)\n' "${2#"$scratch"/}" "$1"
}

# By pkg-config alone, from a folder of its own.
export PKG_CONFIG_LIBDIR=$tree/lib/pkgconfig
mkdir "$scratch/pkg-config"
cd "$scratch/pkg-config"
[ "$(pkg-config --modversion quorate quorate-static | sort -u)" = "$version" ] || fail 'pkg-config tells another version'
compile=(cc -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror)
"${compile[@]}" -o shared "$program" $(pkg-config --cflags --libs quorate)
linked shared "$scratch/pkg-config/shared" "$tree/lib"
"${compile[@]}" -o static "$program" $(pkg-config --cflags --libs quorate-static)
linked static "$scratch/pkg-config/static"
"${compile[@]}" -static -o wholly-static "$program" $(pkg-config --cflags --libs --static quorate-static) 2>"$scratch/log" ||
    { cat "$scratch/log" >&2; fail 'a program without shared libraries'; }
linked static "$scratch/pkg-config/wholly-static"

cxx_compile=(c++ -std=c++17 -Wall -Wextra -Werror)
"${cxx_compile[@]}" -o cpp-shared "$cxx_program" $(pkg-config --cflags --libs quorate)
linked shared "$scratch/pkg-config/cpp-shared" "$tree/lib"
"${cxx_compile[@]}" -o cpp-static "$cxx_program" $(pkg-config --cflags --libs quorate-static)
linked static "$scratch/pkg-config/cpp-static"

# With a second archive of rustc's before ours and behind it: each has to bring its own runtime.
rustc --edition 2021 --crate-type staticlib -O -o libother.a "$source/tests/install/other.rs"
"${compile[@]}" -o two-archives "$source/tests/install/two_archives.c" libother.a \
    $(pkg-config --cflags --libs quorate-static)
linked static "$scratch/pkg-config/two-archives"
"${compile[@]}" -o two-archives-turned "$source/tests/install/two_archives.c" \
    $(pkg-config --cflags --libs quorate-static) libother.a
linked static "$scratch/pkg-config/two-archives-turned"

# cmake_project NAME OPTION…: configures and builds tests/install/CMakeLists.txt.
cmake_project() {
    { cmake -S "$source/tests/install" -B "$scratch/$1" -DPROGRAM="$program" -DCXX_PROGRAM="$cxx_program" "${@:2}" && cmake --build "$scratch/$1"; } \
        >"$scratch/log" 2>&1
}

cmake_project cmake -DCMAKE_PREFIX_PATH="$tree" -DWANTED="${version%.*}" -DBUILD_SHARED_LIBS=ON ||
    { cat "$scratch/log" >&2; fail 'find_package'; }
for kind in shared static; do linked $kind "$scratch/cmake/$kind"; done
linked shared "$scratch/cmake/quorate"
linked shared "$scratch/cmake/cpp"
patch=${version##*.} minor=${version%.*}
for refused in 0.0 "$minor.$((patch + 1))" "${minor%.*}.$((${minor#*.} + 1))" "$((${minor%.*} + 1)).0"; do
    ! cmake_project "cmake-$refused" -DCMAKE_PREFIX_PATH="$tree" -DWANTED="$refused" ||
        fail "find_package takes $version for $refused"
    grep -q 'compatible with requested version' "$scratch/log" || { cat "$scratch/log" >&2; fail "find_package $refused"; }
done
cmake_project source -DQUORATE_SOURCE="$source" || { cat "$scratch/log" >&2; fail 'FetchContent'; }
for kind in shared static; do linked $kind "$scratch/source/$kind"; done
linked static "$scratch/source/quorate"
linked shared "$scratch/source/cpp"

# A library folder further down, as Debian has it, finds its way back up as well.
cd "$source"
scripts/tree.sh "$tree/bin/quorate" "$CARGO_TARGET_DIR/linked" "$CARGO_TARGET_DIR/man" "$scratch/deep" lib/of/ours "$version"
found=$(PKG_CONFIG_LIBDIR=$scratch/deep/lib/of/ours/pkgconfig pkg-config --variable=includedir quorate)
[ -f "$found/quorate.h" ] || fail "with a deeper LIBDIR the header is sought in $found"

# Uninstalling leaves what others have put there.
mv "$tree" "$scratch/stage/usr"
touch "$scratch/stage/usr/lib/libother.a"
make --no-print-directory uninstall MAN_FEATURES=--all-features DESTDIR="$scratch/stage" PREFIX=/usr >"$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2; fail 'make uninstall'; }
left=$(find "$scratch/stage" ! -type d)
[ "$left" = "$scratch/stage/usr/lib/libother.a" ] || fail "make uninstall left $left"
printf 'install: nothing is left of it\n'
