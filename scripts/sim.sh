#!/usr/bin/env bash
# The simulator: what CI runs of it, and the long form.
#
#   scripts/sim.sh               1,600 seeds (some do not count; 1,500 must), 100 of them twice, 300 of clusters whose members change, 150 with fallbacks, 120 with everything
#                                on, and every planted bug from its recorded seed
#   scripts/sim.sh soak [N]      N seeds (20,000; of the profile with everything on 50,000), and a search for every planted bug within 500 seeds
#   scripts/sim.sh record        searches again and writes scripts/planted.txt
#
# A planted bug is one changed line of production code behind planted!("name"); one build has all of them, and
# QUORATE_PLANTED chooses. scripts/planted.txt has one a line: its name, the seed that finds it, the property that catches it, and `store` if that is a seed of
# the world of one store, or the name of another profile than the usual one. The same seed passes where
# nothing is planted; that is what the 1,600 seeds show, as every recorded seed is one of them.
set -u
cd "$(dirname "$0")/.." || exit 1

PLANTED=scripts/planted.txt
BUGS=(ack_before_append actor_reuse epoch_trust merge_context_one_side count_failed torn_tail shed_early tokens_no_skip shared_vector
    node_actor epoch_of_record token_covers_hidden keyspace_n_ignored)
MEMBERSHIP_BUGS=(flip_early union_quorum one_source drop_unverified stale_frames gapped_copy fork_accepted removed_rejoins
    wiped_keeper)
EXCHANGE_BUGS=(complete_early)
SLOPPY_BUGS=(hint_aged hint_replaced hint_undurable fallback_actor throttle_starves)
COUNTER_BUGS=(covered_forgotten covered_added count_plain_actor)
REAP_BUGS=(reap_any_replica reap_ignores_hints reap_unconditional reap_undurable reap_uncounted)
SET_BUGS=(set_remove_all set_merge_keeps)
SCAN_BUGS=(scan_one_replica scan_last_bound scan_first_copy scan_unknown_list)
FEED_BUGS=(feed_skips feed_removal_untold if_seen_one)
CANCEL_BUGS=(cancel_denies)
AWAY_BUGS=(cursor_undurable cursor_unsynced cursor_generation cursor_young)
EVERYTHING_BUGS=(reap_rests)
STORE_BUGS=(replay_order tombstone_rule checksum_seed manifest_order)
ALL_BUGS=("${BUGS[@]}" "${STORE_BUGS[@]}" "${MEMBERSHIP_BUGS[@]}" "${SLOPPY_BUGS[@]}" "${EXCHANGE_BUGS[@]}" "${COUNTER_BUGS[@]}"
    "${REAP_BUGS[@]}" "${SET_BUGS[@]}" "${SCAN_BUGS[@]}" "${FEED_BUGS[@]}" "${AWAY_BUGS[@]}" "${CANCEL_BUGS[@]}"
    "${EVERYTHING_BUGS[@]}")
SEARCHED=500
failures=0
summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
set -o pipefail

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    failures=$((failures + 1))
}

# Builds the program with all planted bugs (`all`) or without (nothing), and prints its path. Both in one folder, so
# that what they need is compiled once.
build() {
    local target=${CARGO_TARGET_DIR:-target} program
    program=$target/sim/quorate-${1:-clean}
    QUORATE_MUTANT=$1 cargo build --quiet --profile sim --features sim --bin quorate &&
        cp "$target/sim/quorate" "$program" ||
        { printf 'cannot build it with `%s` planted\n' "$1" >&2; exit 1; }
    printf '%s\n' "$program"
}

# The world or the profile of a seed, as the program takes it.
where() {
    case $1 in
    '') ;;
    store) printf -- '--store' ;;
    *) printf -- '--profile %s' "$1" ;;
    esac
}

# The first seed that finds a planted bug, and the property: `seed property`, or nothing.
search() {
    # shellcheck disable=SC2046
    QUORATE_PLANTED=$1 "$planted" sim $(where "$2") --seeds "0..$SEARCHED" --partial 2>/dev/null |
        sed -n 's/^FAILED seed \([0-9]*\) property \(.*\)$/\1 \2/p' | sort -n | head -n 1
}

replay_planted() {
    local name seed property world found
    while read -r name seed property world; do
        case $name in '#'* | '') continue ;; esac
        # shellcheck disable=SC2046
        found=$(QUORATE_PLANTED=$name "$planted" sim $(where "$world") --seed "$seed" 2>/dev/null | sed -n 's/^FAILED seed [0-9]* property \(.*\)$/\1/p')
        if [ "$found" = "$property" ]; then
            printf 'planted %s: caught by %s at seed %s\n' "$name" "$property" "$seed"
        else
            fail "planted $name: seed $seed found \`${found:-nothing}\` and not $property"
        fi
        # shellcheck disable=SC2046
        "$clean" sim $(where "$world") --seed "$seed" >/dev/null 2>&1 || fail "seed $seed fails with nothing planted"
    done <"$PLANTED"
    for name in "${ALL_BUGS[@]}"; do
        grep -q "^$name " "$PLANTED" || fail "no seed is recorded for $name"
    done
}

# The world or the profile in which a planted bug is looked for.
world_of() {
    case " ${STORE_BUGS[*]} " in *" $1 "*) printf store && return ;; esac
    case " ${MEMBERSHIP_BUGS[*]} " in *" $1 "*) printf membership && return ;; esac
    case " ${SLOPPY_BUGS[*]} " in *" $1 "*) printf sloppy && return ;; esac
    case " ${EXCHANGE_BUGS[*]} " in *" $1 "*) printf exchange && return ;; esac
    case " ${COUNTER_BUGS[*]} " in *" $1 "*) printf counters && return ;; esac
    case " ${REAP_BUGS[*]} " in *" $1 "*) printf reap && return ;; esac
    case " ${SET_BUGS[*]} " in *" $1 "*) printf sets && return ;; esac
    case " ${SCAN_BUGS[*]} " in *" $1 "*) printf scans && return ;; esac
    case " ${FEED_BUGS[*]} " in *" $1 "*) printf feeds && return ;; esac
    case " ${AWAY_BUGS[*]} " in *" $1 "*) printf away && return ;; esac
    case " ${CANCEL_BUGS[*]} " in *" $1 "*) printf cancels && return ;; esac
    case " ${EVERYTHING_BUGS[*]} " in *" $1 "*) printf everything && return ;; esac
}

search_planted() {
    local name world found
    for name in "${ALL_BUGS[@]}"; do
        world=$(world_of "$name")
        found=$(search "$name" "$world")
        printf 'planted %s: %s\n' "$name" "${found:-not found in $SEARCHED seeds}"
        [ -n "$found" ] || fail "planted $name is not found within $SEARCHED seeds"
        [ "${1:-}" != record ] || [ -z "$found" ] || printf '%s %s%s\n' "$name" "$found" "${world:+ $world}" >>"$PLANTED"
    done
}

unset QUORATE_PLANTED
planted=$(build all) || exit 1
clean=$(build '') || exit 1
case ${1:-} in
'')
    "$clean" sim --seeds 0..1600 | tee "$summary" || fail '1,600 seeds'
    uncounted=$(sed -n 's/^1600 runs, \([0-9]*\) do not count.*/\1/p' "$summary")
    [ "${uncounted:-1600}" -le 100 ] || fail "${uncounted:-all} of 1,600 seeds do not count: 1,500 must"
    "$clean" sim --store --seeds 0..150 >/dev/null || fail '150 seeds of the world of one store'
    "$clean" sim --profile rot --seeds 0..150 >/dev/null || fail '150 seeds of a cluster with a disk that rots'
    "$clean" sim --profile membership --seeds 0..300 >/dev/null || fail '300 seeds of a cluster whose members change'
    "$clean" sim --profile sloppy --seeds 0..150 >/dev/null || fail '150 seeds of a cluster whose fallbacks stand in'
    "$clean" sim --profile exchange --seeds 0..100 >/dev/null || fail '100 seeds of a cluster whose copies are compared'
    "$clean" sim --profile counters --seeds 0..150 >/dev/null || fail '150 seeds of keys that are counted on'
    "$clean" sim --profile reap --seeds 0..100 >/dev/null || fail '100 seeds of a cluster that reaps'
    "$clean" sim --profile sets --seeds 0..150 >/dev/null || fail '150 seeds of keys that are sets'
    "$clean" sim --profile scans --seeds 0..150 >/dev/null || fail '150 seeds of clients who walk through all keys'
    "$clean" sim --profile feeds --seeds 0..60 >/dev/null || fail '60 seeds of clients who follow change feeds'
    "$clean" sim --profile away --seeds 0..150 >/dev/null || fail '150 seeds of machines that are away'
    "$clean" sim --profile cancels --seeds 0..100 >/dev/null || fail '100 seeds of clients who wait no more'
    "$clean" sim --profile everything --seeds 0..120 >/dev/null || fail '120 seeds of a cluster with everything on'
    "$clean" sim --seeds 0..100 --twice --partial >/dev/null || fail '100 seeds twice'
    replay_planted
    ;;
soak)
    "$clean" sim --seeds "0..${2:-20000}" || fail "${2:-20000} seeds"
    "$clean" sim --store --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of the world of one store"
    "$clean" sim --profile rot --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of a cluster with a disk that rots"
    "$clean" sim --profile membership --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of a cluster whose members change"
    "$clean" sim --profile sloppy --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of a cluster whose fallbacks stand in"
    "$clean" sim --profile exchange --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of a cluster whose copies are compared"
    "$clean" sim --profile counters --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of keys that are counted on"
    "$clean" sim --profile reap --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of a cluster that reaps"
    "$clean" sim --profile sets --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of keys that are sets"
    "$clean" sim --profile scans --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of clients who walk through all keys"
    "$clean" sim --profile feeds --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of clients who follow change feeds"
    "$clean" sim --profile away --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of machines that are away"
    "$clean" sim --profile cancels --seeds "0..${2:-20000}" || fail "${2:-20000} seeds of clients who wait no more"
    "$clean" sim --profile everything --seeds "0..${2:-50000}" || fail "${2:-50000} seeds of a cluster with everything on"
    search_planted
    ;;
record)
    printf '# Planted bugs: name, the first seed that finds it, the property that catches it.\n' >"$PLANTED"
    search_planted record
    ;;
*)
    printf 'usage: scripts/sim.sh [soak [N] | record]\n' >&2
    exit 64
    ;;
esac
[ "$failures" -eq 0 ]
