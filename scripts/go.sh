#!/usr/bin/env bash
# The Go module, against the installed tree, as programs of others build it: vetted, its tests under the race detector
# and the strictest checks of cgo, linked shared and static, and vendored by another module.
#
#   scripts/go.sh            all of that
#   scripts/go.sh --bench    the benchmarks, each beside its twin in C; give arguments of go test behind it
set -eu
cd "$(dirname "$0")/.."
source=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    printf 'go: %s\n' "$*" >&2
    exit 1
}

# The features of the other development builds, so that nothing is compiled for the manual pages alone.
make --no-print-directory tree MAN_FEATURES=--all-features >"$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2; fail 'make tree'; }
export PKG_CONFIG_LIBDIR=$target/tree/lib/pkgconfig LD_LIBRARY_PATH=$target/tree/lib
# The module needs no other one, and no other Go than the one that is here.
export GOPROXY=off GOFLAGS=-mod=mod GOTOOLCHAIN=local GOWORK=off

cd go
if [ "${1:-}" = --bench ]; then
    go test -run '^$' -bench . "${@:2}" .
    exit
fi

unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || fail "gofmt: $unformatted"
go vet ./...

# checked HOW ARGUMENT…: the tests, built and run in one way. A pointer that the collector or C may not have shows as a crash.
checked() {
    printf 'go: %s\n' "$1"
    go test -count=1 -timeout 5m "${@:2}" ./...
}

checked 'as it is'
checked 'with the race detector' -race
GODEBUG=cgocheck=1 GOGC=1 checked 'collecting garbage at every copy, static' -tags quorate_gc,quorate_static \
    -short -skip Allocate
GOEXPERIMENT=cgocheck2 checked 'with each pointer that is written to C checked'

# A program of somebody else, by a path on this disk, from its vendor folder.
mkdir "$scratch/program"
cd "$scratch/program"
cat >main.go <<'EOF'
package main

import (
	"fmt"

	"example.org/quorate"
)

func main() {
	node, err := quorate.Open(quorate.Options{})
	if err == nil {
		err = node.Close()
	}
	fmt.Println(err)
}
EOF
go mod init program.example/program 2>"$scratch/log"
go mod edit -require=example.org/quorate@v0.0.0 -replace=example.org/quorate="$source/go"
go mod vendor
for kind in shared static; do
    tags=
    [ $kind = shared ] || tags=quorate_static
    GOFLAGS=-mod=vendor go build -tags "$tags" -o $kind .
    found=static
    ! readelf -d $kind | grep -q 'NEEDED.*libquorate' || found=shared
    [ $found = $kind ] || fail "the $kind program is linked with the $found library"
    [ "$(./$kind)" = '<nil>' ] || fail "the $kind program fails"
    printf 'go: a vendored program runs (%s)\n' $kind
done
