#!/usr/bin/env bash
# The queues under loom: every model must pass, and must fail once an ordering is taken away.
#
#   scripts/loom.sh            what CI runs: small models without a preemption bound, large ones with one
#   scripts/loom.sh --full     also the large ones as far as they end: a quarter of an hour
#   scripts/loom.sh --models   only the models        --mutants   only the planted bugs
#
# Models that end without a bound show every ordering at the smallest size that has it: a ring of 2 that
# goes round (one thread of 3: 445,202 executions), two threads after one position (1 each: 1,297,486),
# closing (17,638), the completion queue (2 through one slot: 24,352), the level at rest (9,417), the
# window (145). Two threads of 2 do not end in two minutes without a bound; they run with a bound of 3
# (854,259), and of 2 in CI.
set -u
cd "$(dirname "$0")/.." || exit 1

export RUSTFLAGS="--cfg loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export CARGO_PROFILE_RELEASE_LTO=off
unset QUORATE_MUTANT LOOM_MAX_PREEMPTIONS
failures=0

fail() {
    printf 'loom: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# build [NAME]: builds the models, with a bug planted if one is named, and prints their program's path.
build() {
    cargo rustc --release --no-default-features --test loom --message-format json \
        -- ${1:+--cfg "mutant=\"$1\""} 2>/dev/null |
        sed -n 's/.*"name":"loom".*"executable":"\([^"]*\)".*/\1/p'
}

# model BOUND NAME: runs one model; BOUND is a number of preemptions, or none.
model() {
    local bound=$1 name=$2 output started=$SECONDS
    if output=$(bounded "$bound" "$name"); then
        printf '%s, %s, %d s\n' "$(grep -o "$name: .* executions" <<<"$output")" \
            "$([ "$bound" = none ] && echo 'no preemption bound' || echo "at most $bound preemptions")" \
            "$((SECONDS - started))"
    else
        printf '%s\n' "$output" | tail -n 30 >&2
        fail "$name fails"
    fi
}

bounded() {
    if [ "$1" = none ]; then
        "$program" --exact "$2" --nocapture 2>&1
    else
        LOOM_MAX_PREEMPTIONS=$1 "$program" --exact "$2" --nocapture 2>&1
    fi
}

models() {
    program=$(build)
    [ -x "$program" ] || { fail "the models do not build: $program"; return; }
    model none submissions_one_thread_of_three
    model none submissions_closed_under_two_threads
    model none completions_two_through_one_slot
    model none completions_level_at_rest
    model none window_given_from_thread_to_thread
    model 3 completions_three_through_two_slots
    if [ "$1" = full ]; then
        model none submissions_two_threads_of_one
        model 3 submissions_two_threads_of_two
    else
        model 3 submissions_two_threads_of_one
        model 2 submissions_two_threads_of_two
    fi
}

# mutant BOUND NAME MODEL: the model must fail in a build with this ordering taken away.
mutant() {
    local bound=$1 name=$2 model=$3 output
    program=$(build "$name")
    [ -x "$program" ] || { fail "$name does not build: $program"; return; }
    if output=$(bounded "$bound" "$model"); then
        fail "$name is not found by $model"
    else
        printf '%s: found by %s: %s\n' "$name" "$model" \
            "$(grep -m 1 -A 1 'panicked at' <<<"$output" | tail -n 1 | cut -c 1-80)"
    fi
}

mutants() {
    local ring=submissions_one_thread_of_three slots=completions_two_through_one_slot
    mutant 3 queue_publish_relaxed "$ring"
    mutant 3 queue_consume_relaxed "$ring"
    mutant 3 queue_free_relaxed "$ring"
    mutant 3 queue_claim_relaxed "$ring"
    mutant 3 queue_submit_fence "$ring"
    mutant 3 queue_sleep_fence "$ring"
    mutant 3 completion_publish_relaxed "$slots"
    mutant 3 completion_consume_relaxed "$slots"
    mutant 3 completion_free_relaxed "$slots"
    mutant 3 completion_reuse_relaxed "$slots"
    mutant 3 completion_announce_fence "$slots"
    mutant 3 completion_pending_fence "$slots"
    mutant 3 signal_settle_relaxed "$slots"
    mutant 3 signal_take_relaxed "$slots"
    mutant none window_leave_relaxed window_given_from_thread_to_thread
    mutant none window_enter_relaxed window_given_from_thread_to_thread
}

case "${1:-}" in
    '') models short; mutants ;;
    --full) models full; mutants ;;
    --models) models short ;;
    --mutants) mutants ;;
    *) printf 'usage: scripts/loom.sh [--full | --models | --mutants]\n' >&2; exit 64 ;;
esac
[ "$failures" -eq 0 ] && printf 'loom: all models hold, every planted bug is found\n'
exit "$((failures > 0))"
