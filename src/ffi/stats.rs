//! Statistics: the named counters that a node keeps, as numbers that a program can gather without reading text.

use core::ffi::{CStr, c_char};

use super::boundary::{Site, with_node};
use super::node::{insight, quorate_node};
use super::plain::write_if;
use super::status::{AGAIN, E_NULL, OK, quorate_status};

/// Every counter, by its number. Numbers are never changed and never used again; new ones come last.
const STATS: [&CStr; 126] = [
    c"requests",
    c"requests_in_flight",
    c"requests_failed",
    c"forwards",
    c"retries",
    c"hedges",
    c"repairs",
    c"applied",
    c"unchanged",
    c"epochs",
    c"dot_alarms",
    c"clocks_ahead",
    c"records_damaged",
    c"sibling_warnings",
    c"expired_shed",
    c"expired_nominated",
    c"messages_sent",
    c"messages_too_large",
    c"frames_taken",
    c"frames_refused",
    c"frames_of_another_layout",
    c"rollbacks",
    c"topologies_followed",
    c"forks",
    c"transition_steps",
    c"transfer_records_taken",
    c"transfer_bytes_taken",
    c"transfer_bytes_sent",
    c"partitions_fetched",
    c"partitions_dropped",
    c"exchanges",
    c"exchanges_broken",
    c"exchange_oldest_ms",
    c"exchange_compared_bytes",
    c"exchange_records_taken",
    c"exchange_bytes_taken",
    c"exchange_records_sent",
    c"exchange_bytes_sent",
    c"catch_ups",
    c"catch_ups_broken",
    c"catch_up_gaps",
    c"catch_up_records_offered",
    c"catch_up_offered_bytes",
    c"catch_up_records_sent",
    c"catch_up_bytes_sent",
    c"hints",
    c"hints_counted",
    c"hint_bytes",
    c"hints_oldest_ms",
    c"hints_made",
    c"hints_delivered",
    c"hints_readdressed",
    c"hints_dropped",
    c"hints_refused",
    c"hint_partitions_dirty",
    c"reap_nominated",
    c"reaped",
    c"reap_blocked_by_peer",
    c"reap_blocked_by_difference",
    c"reap_blocked_by_hint",
    c"reap_blocked_by_move",
    c"stale_records_refused",
    c"reads_siblings_p99",
    c"reads_siblings_max",
    c"reads_object_bytes_p50",
    c"reads_object_bytes_p99",
    c"reads_object_bytes_max",
    c"reads_compared",
    c"reads_stale",
    c"reads_stale_ms_p99",
    c"reads_stale_ms_max",
    c"forecast_stale_ppm_at_once",
    c"forecast_stale_ppm_after_10_ms",
    c"forecast_r1_w1_stale_ppm_at_once",
    c"forecast_r1_w1_stale_ppm_after_10_ms",
    c"gossip_datagrams_sent",
    c"gossip_bytes_sent",
    c"gossip_datagrams_unsent",
    c"gossip_datagrams_received",
    c"gossip_bytes_received",
    c"gossip_datagrams_taken",
    c"gossip_probes",
    c"gossip_probes_failed",
    c"gossip_stream_only",
    c"gossip_refuted",
    c"gossip_stalls",
    c"gossip_repairs",
    c"gossip_health",
    c"gossip_refused_foreign",
    c"gossip_refused_version",
    c"gossip_refused_cluster",
    c"gossip_refused_key",
    c"gossip_refused_forged",
    c"gossip_refused_malformed",
    c"gossip_refused_misdirected",
    c"gossip_refused_echo",
    c"gossip_refused_era",
    c"gossip_refused_replayed",
    c"gossip_refused_stranger",
    c"gossip_refused_twin",
    c"gossip_refused_incarnation",
    c"gossip_refused_removed",
    c"gossip_refused_full",
    c"store_segments",
    c"store_disk_bytes",
    c"store_live_bytes",
    c"store_index_bytes",
    c"store_tree_bytes",
    c"store_memory_bytes",
    c"store_emptied_bytes",
    c"store_quarantined_ranges",
    c"store_compactions",
    c"store_compacted_bytes",
    c"store_copied_records",
    c"store_checkpoints",
    c"store_checkpoints_void",
    c"store_scrubbed_bytes",
    c"store_scrub_passes",
    c"store_tree_audits",
    c"store_tree_mismatches",
    c"store_damaged_ranges",
    c"store_torn_tails",
    c"store_refused_full",
    c"store_refused_space",
    c"store_refused_segment",
    c"store_refused_memory",
];

/// How many counters this library knows: their numbers are 0 to that less one.
///
/// Arguments: none.
/// Returns: the count. A later release may have more.
/// Thread class: A. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_stat_count() -> usize {
    STATS.len()
}

/// The name of a counter, as `quorate status` and INFO show it. Figures of the moment are
/// requests_in_flight, hints, hints_counted, hint_bytes, hint_partitions_dirty, gossip_health, store_segments,
/// store_quarantined_ranges, store_disk_bytes, store_live_bytes, store_index_bytes, store_tree_bytes, store_memory_bytes,
/// store_emptied_bytes, what ends with _ms, _p50, _p99 or _max, and what begins with forecast_; the others count from the
/// opening on.
///
/// Arguments: index: below quorate_stat_count.
/// Returns: the name; NULL for another number.
/// Thread class: A. Blocks: no. Owner: nobody, it is static. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_stat_name(index: usize) -> *const c_char {
    STATS.get(index).map_or(core::ptr::null(), |name| name.as_ptr())
}

/// Reads all counters of a node at one moment, each at the place of its number.
///
/// Arguments: node; values: receives them, UINT64_MAX for what this node does not count (the disk's of one in memory,
/// membership's of one alone, forecasts before there were reads); capacity: elements of values; n: receives how many
/// were written.
/// Returns: OK; AGAIN if there are more than capacity; E_NULL; E_BUSY in modes host and packet if another thread drives
/// the node; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: B. Blocks: in mode thread, for a turn of the loop. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_stats(
    node: *const quorate_node,
    values: *mut u64,
    capacity: usize,
    n: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(n, 0) };
    let read = |node: &quorate_node| {
        if values.is_null() || n.is_null() {
            return Err(E_NULL);
        }
        let counters = &insight(node)?.counters;
        for (at, name) in STATS.iter().take(capacity).enumerate() {
            let found = counters.iter().find(|(known, _)| known.as_bytes() == name.to_bytes());
            // SAFETY: inside of the caller's array, by the contract of the function.
            unsafe { values.add(at).write(found.map_or(u64::MAX, |(_, value)| *value)) };
        }
        // SAFETY: not NULL, and the caller's place for a number.
        unsafe { n.write(STATS.len().min(capacity)) };
        Ok(if STATS.len() > capacity { AGAIN } else { OK })
    };
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::Stats, node, read) }
}
