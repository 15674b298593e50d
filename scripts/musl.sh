#!/usr/bin/env bash
# Builds libquorate.a for musl, for programs that are one static file, and runs examples that are linked so; a panic of
# ours is caught there, too. It is in the soak alone, as rustup's standard library for musl may be out of reach: it is built
# from Debian's sources, by the compiler that Debian has of the same version.
#
#   scripts/musl.sh [FOLDER]    puts the archive there, or into target/musl
set -eu
cd "$(dirname "$0")/.."
command -v apt-get >/dev/null || { echo 'musl: skipped, as there is no apt-get to fetch the compiler with'; exit 0; }
scripts/prerequisites.sh musl-gcc dpkg >&2
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
folder=$(realpath -m "${1:-$target/musl}")
tools=$target/musl/tools triple=$(uname -m)-unknown-linux-musl
mkdir -p "$folder" "$tools"

# The compiler, what it runs with, the sources of the standard library, and an unwinder in an archive.
if [ ! -x "$tools/rustc" ]; then
    scratch=$(mktemp -d)
    (
        cd "$scratch"
        version=$(apt-cache depends libstd-rust-web-dev | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p')
        llvm=$(apt-cache depends "$version" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p')
        apt-get -qq download rustc-web rust-web-src libstd-rust-web-dev "$version" "$llvm" libunwind-14-dev 2>/dev/null
        for package in *.deb; do dpkg -x "$package" "$tools"; done
    )
    rm -rf "$scratch"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$tools/usr/lib/$(uname -m)-linux-gnu" "$tools/usr/bin/rustc" >"$tools/rustc"
    chmod +x "$tools/rustc"
fi
"$tools/rustc" --version

# Debian's unwinder was compiled for glibc, of which it asks one thing that musl has not.
cat >"$target/musl/checked.c" <<'C'
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *to, int flag, const char *format, ...);
int __fprintf_chk(FILE *to, int flag, const char *format, ...)
{
    va_list rest;
    int written;
    (void)flag;
    va_start(rest, format);
    written = vfprintf(to, format, rest);
    va_end(rest);
    return written;
}
C
musl-gcc -O2 -Wall -Wextra -c -o "$target/musl/checked.o" "$target/musl/checked.c"

# archive FOLDER FEATURES
archive() {
    mkdir -p "$1"
    # Without bitcode, which GNU ld takes for its plugin's.
    RUSTC=$tools/rustc RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off cargo rustc --quiet --release --lib --crate-type staticlib \
        --no-default-features --features "$2" --target "$triple" -Z build-std=std,panic_unwind
    scripts/archive.sh "$1" "$target/$triple/release/libquorate.a" "$tools/usr/lib/llvm-14/lib/libunwind.a" "$target/musl/checked.o"
}

# run NAME ARCHIVE SOURCE OPTION…
run() {
    # The unwinder finds its tables by the header that gcc leaves out of static programs.
    musl-gcc -static -Wl,--eh-frame-hdr -std=c99 -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -O1 -Iinclude -o "$target/musl/$1" "$3" \
        "${@:4}" "$2/libquorate.a"
    "$target/musl/$1" >"$target/musl/$1.out" || { cat "$target/musl/$1.out" >&2; echo "musl: $1 failed" >&2; exit 1; }
    printf 'musl: %s runs\n' "$1"
}

archive "$target/musl/hooks" test-hooks
cat >"$target/musl/panic.c" <<'C'
#include <quorate.h>
uint32_t quorate_test_panic(uint32_t site);
int main(void)
{
    quorate_options *options = NULL;
    quorate_test_panic(2);
    return quorate_options_new(1, &options) == QUORATE_E_PANIC && quorate_options_new(1, &options) == QUORATE_OK ? 0 : 1;
}
C
${OBJCOPY:-objcopy} --globalize-symbol=quorate_test_panic "$target/musl/hooks/libquorate.a"
run panic "$target/musl/hooks" "$target/musl/panic.c"

archive "$folder" ''
nm -g --defined-only "$folder/libquorate.a" | sed -n 's/^[0-9a-f]\{16\} T //p' | sort |
    diff <(awk '!/^#/ { print $2 }' abi/symbols.txt | sort) - >&2 || { echo 'musl: it offers other names than abi/symbols.txt' >&2; exit 1; }
for example in hello conflict stock async packet_memory own_disk_thread; do
    run "$example" "$folder" "c-examples/$example.c"
done
printf 'musl: %s, %s bytes\n' "$folder/libquorate.a" "$(stat -c %s "$folder/libquorate.a")"
