# Sourced by the scripts that run stages: one after the other, each timed, all of them even if one fails.
#
#   stage NAME MINUTES COMMAND…    run it, end it after so many minutes
#   finish                         print the summary and exit: 0 only if something ran and nothing failed
#
# Arguments of the calling script choose stages by name; without any, all run.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

STAGES_CHOSEN=("$@")
STAGES_SEEN=()
STAGES_PASSED=()
STAGES_FAILED=()

# A stage has a process group of its own, so that all of it ends with it; an interrupt must be passed on.
STAGE=
trap '[ -z "$STAGE" ] || kill "$STAGE" 2>/dev/null; exit 130' INT TERM

stage_is_chosen() {
    local chosen
    [ "${#STAGES_CHOSEN[@]}" -eq 0 ] && return 0
    for chosen in "${STAGES_CHOSEN[@]}"; do
        [ "$chosen" = "$1" ] && return 0
    done
    return 1
}

stage() {
    local name=$1 minutes=$2 started status
    shift 2
    STAGES_SEEN+=("$name")
    if [ "${STAGES_CHOSEN[0]:-}" = --list ]; then
        printf '%s\n' "$name"
        return
    fi
    stage_is_chosen "$name" || return 0
    printf '\n=== %s: %s\n' "$name" "$*"
    started=$SECONDS
    timeout --kill-after=10 "$((minutes * 60))" "$@" &
    STAGE=$!
    wait "$STAGE"
    status=$?
    if [ "$status" -eq 0 ]; then
        STAGES_PASSED+=("$name")
        printf '=== %s: passed in %d s\n' "$name" "$((SECONDS - started))"
    else
        STAGES_FAILED+=("$name")
        [ "$status" -eq 124 ] && printf '=== %s: ended after %d minutes\n' "$name" "$minutes" >&2
        printf '=== %s: FAILED with %d after %d s\n' "$name" "$status" "$((SECONDS - started))" >&2
    fi
}

finish() {
    local chosen
    [ "${STAGES_CHOSEN[0]:-}" = --list ] && exit 0
    for chosen in "${STAGES_CHOSEN[@]}"; do
        if ! printf '%s\n' "${STAGES_SEEN[@]}" | grep -qx -- "$chosen"; then
            printf 'no stage is named %s\n' "$chosen" >&2
            STAGES_FAILED+=("$chosen")
        fi
    done
    printf '\n%d s in all' "$SECONDS"
    [ "${#STAGES_FAILED[@]}" -eq 0 ] || printf '; failed: %s' "${STAGES_FAILED[*]}"
    printf '\n%d passed, %d failed\n' "${#STAGES_PASSED[@]}" "${#STAGES_FAILED[@]}"
    [ "${#STAGES_FAILED[@]}" -eq 0 ] && [ "${#STAGES_PASSED[@]}" -gt 0 ]
    exit
}
