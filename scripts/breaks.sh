#!/usr/bin/env bash
# Whether each row of abi/breaks/README.md is held by its test: in a copy of the tree the rule is broken by the row's
# patch, and the test must fail, with the words that the patch expects.
#
#   scripts/breaks.sh [NAME…]    all patches of abi/breaks, or those named
#   scripts/breaks.sh --check    only that each patch applies and stands in the table, which CI does
#
# Above its diff a patch says `run:`, the command, and `says:`, an expression for grep -E that the output then holds; its
# last line is `exit` and the status.
set -u
cd "$(dirname "$0")/.." || exit 1
source=$PWD
export CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
copy=$CARGO_TARGET_DIR/breaks
failures=0

fail() {
    printf 'breaks: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# said WHAT PATCH: a line of its head.
said() { sed -n "s/^$1: //p" "$2" | head -n 1; }

# check: every patch applies, and the table has it with its command.
check() {
    local patch name count=0
    for patch in abi/breaks/*.patch; do
        name=$(basename "$patch" .patch) count=$((count + 1))
        git apply --check "$patch" || fail "$name: the patch does not apply any more"
        [ -n "$(said run "$patch")" ] && [ -n "$(said says "$patch")" ] || fail "$name: lacks run: or says:"
        grep -F "\`$name\`" abi/breaks/README.md | grep -qF "\`$(said run "$patch")\`" || fail "$name: not in the table with its command"
    done
    [ "$failures" -gt 0 ] || printf 'breaks: %d patches apply\n' "$count"
}

# broken PATCH: applies it to the copy, sees its test fail, and takes it back.
broken() {
    local patch=$1 name run says status started=$SECONDS log=$CARGO_TARGET_DIR/breaks.log
    name=$(basename "$patch" .patch) run=$(said run "$patch") says=$(said says "$patch")
    git -C "$copy" apply "$patch" || { fail "$name: the patch does not apply any more"; return; }
    (cd "$copy" && timeout --kill-after=10 1800 bash -c "$run") >"$log" 2>&1
    status=$?
    printf 'exit %d\n' "$status" >>"$log"
    git -C "$copy" apply --reverse "$patch" || { fail "$name: cannot be taken back"; exit 1; }
    if [ "$status" -eq 0 ]; then
        fail "$name is not found by $run"
    elif ! grep -aqE -- "$says" "$log"; then
        tail -n 30 "$log" >&2
        fail "$name: $run fails, and not with \`$says\`"
    else
        printf '%s: found in %d s: %s\n' "$name" "$((SECONDS - started))" "$(grep -aE -m 1 -- "$says" "$log" | cut -c 1-100)"
    fi
}

[ "${1:-}" != --check ] || { check; exit "$((failures > 0))"; }
[ $# -gt 0 ] || set -- $(basename -a -s .patch abi/breaks/*.patch)
# At one place, so that its builds are incremental; git must not take it for a part of ours.
export GIT_CEILING_DIRECTORIES=$CARGO_TARGET_DIR
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z | tar --null --files-from - -c | tar -C "$copy" -x
for name; do
    [ -f "abi/breaks/$name.patch" ] || { fail "there is no abi/breaks/$name.patch"; continue; }
    broken "$source/abi/breaks/$name.patch"
done
rm -rf "$copy"
[ "$failures" -gt 0 ] || printf 'breaks: each of %d was found\n' $#
exit "$((failures > 0))"
