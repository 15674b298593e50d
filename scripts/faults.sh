#!/usr/bin/env bash
# Real faults against the real program: a full disk, a disk that fails syncs and writes, files that are cut
# under a running node, a file system that turns read-only, a second opener.
#
#   scripts/faults.sh [PART…]     run all parts, or those named
#   scripts/faults.sh --list      name the parts
#
# QUORATE_FAULTS_ROUNDS repeats them so often.
#
# As root a part that cannot run has failed; anybody else skips those that mount, and the summary counts them.
# Everything happens in one temporary directory. Its mounts, and the processes started, end with the script.
set -u
cd "$(dirname "$0")/.." || exit 1

PARTS=(full-disk-tmpfs full-disk-ext4 failed-disk cut-files read-only-mount second-opener)

command_of() {
    case $1 in
    full-disk-*) printf '%s\n' full_disk.py "${1##*-}" ;;
    failed-disk) printf '%s\n' failed_disk.py ;;
    cut-files) printf '%s\n' cut_files.py ;;
    read-only-mount) printf '%s\n' read_only_mount.py ;;
    second-opener) printf '%s\n' second_opener.py ;;
    *) return 1 ;;
    esac
}

[ "${1:-}" = --list ] && { printf '%s\n' "${PARTS[@]}"; exit 0; }
for part in "$@"; do
    command_of "$part" >/dev/null || { printf 'no part is named %s\n' "$part" >&2; exit 1; }
done
[ $# -gt 0 ] && PARTS=("$@")

cargo build --all-features --bin quorate || exit 1
FAULTS_PROGRAM=$(realpath "${CARGO_TARGET_DIR:-target}/debug/quorate")
home=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/quorate-faults.XXXXXX")")
export FAULTS_PROGRAM FAULTS_SHIM=$home/shim.so PYTHONDONTWRITEBYTECODE=1

# Only processes that still run our program: a number may have gone to somebody else.
end_processes() {
    local pid
    for pid in $(cat "$home"/*/pids 2>/dev/null); do
        [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$FAULTS_PROGRAM" ] && kill -9 "$pid" 2>/dev/null
    done
}

# The last mount first. A loop device goes with its mount.
take_down_mounts() {
    local place
    awk -v home="$home/" 'index($2, home) == 1 { print $2 }' /proc/self/mounts | tac |
        while read -r place; do
            umount "$place" 2>/dev/null || umount -l "$place"
        done
}

clean_up() {
    trap - EXIT INT TERM
    [ -z "${running:-}" ] || kill "$running" 2>/dev/null
    end_processes
    take_down_mounts
    rm -rf --one-file-system "$home"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

gcc -Wall -Wextra -Werror -O2 -fPIC -shared -o "$FAULTS_SHIM" tests/faults/shim.c || exit 1

passed=0 failed=0 skipped=0
run_part() {
    local part=$1 words started status
    mapfile -t words < <(command_of "$part")
    export FAULTS_DIRECTORY=$home/$part
    mkdir "$FAULTS_DIRECTORY"
    started=$SECONDS
    python3 "tests/faults/${words[0]}" "${words[@]:1}" >"$home/$part.out" 2>&1 &
    running=$!
    wait "$running"
    status=$?
    running=
    cat "$home/$part.out"
    if [ "$status" -eq 77 ] && [ "$(id -u)" -ne 0 ]; then
        skipped=$((skipped + 1))
        echo "faults: $part SKIP $(tail -n 1 "$home/$part.out")"
    elif [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        echo "faults: $part passed in $((SECONDS - started)) s"
    else
        failed=$((failed + 1))
        tail -n 5 "$FAULTS_DIRECTORY"/*.stderr 2>/dev/null
        echo "faults: $part FAILED with $status after $((SECONDS - started)) s" >&2
    fi
    end_processes
    take_down_mounts
    rm -rf --one-file-system "$FAULTS_DIRECTORY"
}

for ((round = 0; round < ${QUORATE_FAULTS_ROUNDS:-1}; round++)); do
    for part in "${PARTS[@]}"; do
        run_part "$part"
    done
done
echo "faults: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
