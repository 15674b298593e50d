//! What a member knows of keys that are to be reaped.

use super::Field;
use crate::proto::limits;
use crate::proto::message::{Evidence, Question, Tomb, decode_tombs};
use crate::proto::replica::Held;
use crate::proto::ring;
use crate::proto::store::{KeyRef, Lookup, Store};
use crate::proto::version::Object;

/// Whether a record has been nothing but tombstones and expired values since before a time, by every clock that is as
/// good as it must be.
pub fn is_over(object: &Object<'_>, before_ms: u64) -> bool {
    !object.siblings().is_empty()
        && !object.counts_alone()
        && object.siblings().iter().all(|sibling| {
            let over_ms =
                if sibling.tombstone { sibling.hlc.millis() } else { sibling.expires_ms.unwrap_or(u64::MAX) };
            over_ms.saturating_add(limits::CLOCK_DRIFT_MAX_MS) < before_ms
        })
}

/// What this node knows of each key; `None` if that cannot be said now.
pub fn examine<S: Store>(field: &mut Field<'_, S>, question: &Question<'_>) -> Option<Vec<u8>> {
    let tombs = decode_tombs(question.tombs).ok()?;
    // A log of hints that lost records may have lost that one was removed.
    let partitions = 0..crate::proto::hints::PARTITIONS as u16;
    let store = field.hints.store();
    let is_unsure = partitions.into_iter().any(|partition| store.is_incomplete(partition));
    let mut evidence = Vec::with_capacity(tombs.len());
    for tomb in &tombs {
        let hinted = is_unsure || field.hints.keeps(tomb.keyspace, tomb.key);
        evidence.push(match look_at(field, question.partition, tomb) {
            Evidence::Fine if hinted && !planted!("reap_ignores_hints") => Evidence::Hinted,
            other => other,
        } as u8);
    }
    Some(evidence)
}

/// What our own copy has of a key.
fn look_at<S: Store>(field: &mut Field<'_, S>, partition: u16, tomb: &Tomb<'_>) -> Evidence {
    let position = ring::position(field.hash_key, tomb.keyspace, tomb.key);
    if field.routes.partition(position) != partition {
        return Evidence::Differs;
    }
    let key = KeyRef { keyspace: tomb.keyspace, key: tomb.key, position, partition };
    let replicas = field.routes.replicas(tomb.keyspace, partition);
    if replicas.moves() {
        return Evidence::Moves;
    }
    let own = field.peers.own();
    let Some(rank) = replicas.rank(own) else {
        // What lies here from an earlier time offers itself to the owners before it is dropped.
        let store = field.replica.store();
        let is_empty = store.partition_stats(partition).keys == 0;
        let is_absent = is_empty || matches!(store.get(&key), Ok(Lookup::Absent));
        return if is_absent { Evidence::Fine } else { Evidence::Differs };
    };
    let wall_ms = field.now.wall.0;
    let is_this = match field.replica.read(&key) {
        Ok(Held::Record(record)) => {
            record.item_hash == tomb.item_hash
                && Object::decode(&record.object).is_ok_and(|object| is_over(&object, wall_ms))
        }
        _ => false,
    };
    if is_this && !replicas.unread.contains(rank) { Evidence::Fine } else { Evidence::Differs }
}
