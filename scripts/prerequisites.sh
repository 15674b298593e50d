#!/usr/bin/env bash
# Checks the compilers and installs what the tests need beside them. Says everything that is missing at
# once, and how to get it; installs it by apt where that is possible and we are root.
#
#   scripts/prerequisites.sh COMMAND…        the commands needed, of those in the table below; or files, by their path
set -u

RUST_MINIMUM=1.95
GO_MINIMUM=1.25

# command or file → Debian package
declare -A PACKAGES=(
    [redis-server]=redis-server [redis-cli]=redis-tools [redis-benchmark]=redis-tools
    [valgrind]=valgrind [gcc]=gcc [g++]=g++ [python3]=python3 [strace]=strace [make]=make
    [cmake]=cmake [pkg-config]=pkg-config [abidiff]=abigail-tools [readelf]=binutils [mandoc]=mandoc
    [musl-gcc]=musl-tools [mount]=mount [mkfs.ext4]=e2fsprogs [ip]=iproute2 [unshare]=util-linux [nsenter]=util-linux
    [/usr/include/gtest/gtest.h]=libgtest-dev [/usr/include/uv.h]=libuv1-dev
)

problems=()

# at_least FOUND MINIMUM: whether a dotted version is new enough.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

check_rust() {
    local tool found
    for tool in rustc cargo; do
        if ! found=$($tool --version 2>/dev/null); then
            problems+=("$tool is missing: install Rust $RUST_MINIMUM or newer from https://rustup.rs")
            continue
        fi
        found=$(printf '%s' "$found" | sed 's/^[a-z]* \([0-9.]*\).*/\1/')
        at_least "$found" "$RUST_MINIMUM" ||
            problems+=("$tool is $found, $RUST_MINIMUM or newer is needed: rustup update stable")
    done
    for tool in cargo-fmt cargo-clippy; do
        command -v $tool >/dev/null 2>&1 ||
            problems+=("$tool is missing: rustup component add rustfmt clippy")
    done
}

# Distributions have an older Go, so it is nothing to install from them.
check_go() {
    local found
    found=$(go env GOVERSION 2>/dev/null | sed 's/^go//')
    at_least "${found:-0}" "$GO_MINIMUM" ||
        problems+=("go is ${found:-missing}, $GO_MINIMUM or newer is needed: https://go.dev/dl")
}

missing_packages() {
    local command
    for command in "$@"; do
        [ "$command" != go ] || continue
        { [[ $command == /* ]] && [ -f "$command" ]; } || command -v "$command" >/dev/null 2>&1 || printf '%s\n' "${PACKAGES[$command]:-$command}"
    done | sort -u
}

install_packages() {
    local log
    log=$(mktemp)
    printf 'installing: %s\n' "$*"
    if (apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@") \
        >"$log" 2>&1; then
        rm -f "$log"
        # A package may have started a server of its own; the tests start theirs on free ports.
        return 0
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
    return 1
}

check_rust
[[ " $* " != *' go '* ]] || check_go
mapfile -t missing < <(missing_packages "$@")
if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    install_packages "${missing[@]}" || true
    mapfile -t missing < <(missing_packages "$@")
fi
[ "${#missing[@]}" -eq 0 ] ||
    problems+=("not installed: ${missing[*]} (as root: apt-get install ${missing[*]})")

if [ "${#problems[@]}" -gt 0 ]; then
    printf 'missing: %s\n' "${problems[@]}" >&2
    exit 1
fi
printf '%s; %s; %s\n' "$(rustc --version)" "$(gcc --version | head -n 1)" "$(uname -srm)"
