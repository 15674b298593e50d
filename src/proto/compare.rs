//! Two copies of a partition, compared run by run, and what is taken from a peer for it.

use core::ops::ControlFlow;

use crate::proto::cluster::Scene;
use crate::proto::keys::ClusterKeys;
use crate::proto::limits;
use crate::proto::message::{
    Compare, Compared, Message, decode_digests, decode_records, put_digest, put_record,
};
use crate::proto::replica::{Refusal, Replica};
use crate::proto::ring::position;
use crate::proto::routes::Routes;
use crate::proto::store::{KeyRef, Lookup, Sequence, Store};

/// What a store has from a prefix on, as far as one message names it.
pub struct Run {
    pub digests: Vec<u8>,
    /// The first prefix behind it; what it was bound by if there is nothing more.
    pub until: Option<u64>,
}

const fn prefix_of(position: u128) -> u64 {
    (position >> 64) as u64
}

/// The next run of a partition, of the keyspaces that the peer is concerned with, up to a prefix or to the end.
pub fn own_run<S: Store>(
    store: &S,
    partition: u16,
    (from, end): (u64, Option<u64>),
    concerns: impl Fn(u16) -> bool,
) -> Run {
    let mut run = Run { digests: Vec::new(), until: end };
    let (mut count, mut last) = (0, None);
    store.scan(partition, u128::from(from) << 64, &mut |key, record| {
        let prefix = prefix_of(key.position);
        if end.is_some_and(|end| prefix >= end) {
            return ControlFlow::Break(());
        }
        if !concerns(key.keyspace) {
            return ControlFlow::Continue(());
        }
        if last != Some(prefix) && count >= limits::TRANSFER_DIGESTS {
            run.until = Some(prefix);
            return ControlFlow::Break(());
        }
        last = Some(prefix);
        count += 1;
        put_digest(&mut run.digests, prefix, record.item_hash);
        ControlFlow::Continue(())
    });
    run
}

/// The records of a prefix that the peer is concerned with, by keyspace and sequence: keyspace, key and object.
pub fn record_at<S: Store>(
    store: &S,
    partition: u16,
    prefix: u64,
    concerns: impl Fn(u16, Sequence) -> bool,
) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    store.scan(partition, u128::from(prefix) << 64, &mut |key, record| {
        if prefix_of(key.position) != prefix {
            return ControlFlow::Break(());
        }
        if !concerns(key.keyspace, record.sequence) {
            return ControlFlow::Continue(());
        }
        records.push((key.keyspace, key.key.to_vec(), record.object.to_vec()));
        ControlFlow::Continue(())
    });
    records
}

/// Answers a comparison from a store: `send` is given the message. An unfit copy says so. What is young is not compared,
/// unless the peer asks for the whole: its copy may be on the way.
pub fn answer<S: Store>(
    store: &S,
    compare: &Compare<'_>,
    is_unfit: bool,
    is_young: impl Fn(Sequence) -> bool,
    send: impl FnOnce(&Message<'_>),
) {
    let is_incomplete = store.is_incomplete(compare.partition);
    let is_unfit = is_unfit || (is_incomplete && compare.keyspace.is_none());
    let mut theirs: Vec<(u64, u64)> = decode_digests(compare.digests).collect();
    theirs.sort_unstable();
    let mut known = vec![false; theirs.len()];
    let mut records = Vec::new();
    let (mut visited, mut last, mut next) = (0, None, None);
    store.scan(compare.partition, u128::from(compare.from) << 64, &mut |key, record| {
        let prefix = prefix_of(key.position);
        if compare.until.is_some_and(|until| prefix >= until) {
            return ControlFlow::Break(());
        }
        if compare.keyspace.is_some_and(|keyspace| keyspace != key.keyspace) {
            return ControlFlow::Continue(());
        }
        let is_full = records.len() >= limits::TRANSFER_PAGE || visited >= 4 * limits::TRANSFER_DIGESTS;
        if last != Some(prefix) && is_full {
            next = Some(prefix);
            return ControlFlow::Break(());
        }
        last = Some(prefix);
        visited += 1;
        let same_prefix = theirs.partition_point(|&(other, _)| other < prefix);
        let of_prefix = theirs[same_prefix..].iter().take_while(|&&(other, _)| other == prefix).count();
        let is_known = theirs.binary_search(&(prefix, record.item_hash));
        if let Ok(at) = is_known {
            known[at] = true;
        } else if compare.keyspace.is_some() && !compare.whole && is_young(record.sequence) {
            // Ours may be on its way. Theirs is lacking here all the same: it need not be part of ours.
            if planted!("cursor_young") {
                known[same_prefix..same_prefix + of_prefix].fill(true);
            }
        } else if compare.sends && (!is_incomplete || of_prefix > 0 || is_sure(store, key)) {
            put_record(&mut records, key.keyspace, key.key, &record.object);
        }
        ControlFlow::Continue(())
    });
    let mut lacking = Vec::new();
    if compare.tells {
        // Behind `next` nothing was looked at.
        let looked_at =
            theirs.iter().zip(&known).take_while(|((prefix, _), _)| next.is_none_or(|next| *prefix < next));
        for ((prefix, _), _) in looked_at.filter(|(_, known)| !**known) {
            lacking.extend_from_slice(&prefix.to_le_bytes());
        }
    }
    let (partition, from) = (compare.partition, compare.from);
    let compared = Compared { partition, from, next, is_unfit, lacking: &lacking, records: &records };
    send(&Message::Compared(compared));
}

/// Which of these digests name no record that lies here on disk: prefixes, 8 bytes each.
pub fn wanted<S: Store>(store: &S, routes: &Routes, digests: &[u8]) -> Vec<u8> {
    let durable = store.marks().durable;
    let mut wanted = Vec::new();
    for (prefix, item_hash) in decode_digests(digests) {
        let from = u128::from(prefix) << 64;
        let mut is_held = false;
        store.scan(routes.partition(from), from, &mut |key, record| {
            is_held = record.item_hash == item_hash && record.sequence <= durable;
            match prefix_of(key.position) == prefix && !is_held {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        if !is_held {
            wanted.extend_from_slice(&prefix.to_le_bytes());
        }
    }
    wanted
}

/// Whether no newer version of a key can be among the records that its partition lost: otherwise it is offered to nobody
/// who has no version of the key (trap T4).
fn is_sure<S: Store>(store: &S, key: &KeyRef<'_>) -> bool {
    matches!(store.get(key), Ok(Lookup::Found(_)))
}

/// Merges records of a peer into our own; says how many they were and how many bytes. `each` sees what was sent, with
/// the copy that holds it by now.
pub fn take_records<S: Store>(
    scene: &mut Scene<'_, S>,
    routes: &Routes,
    records: &[u8],
    mut each: impl FnMut(&mut Replica<S>, &KeyRef<'_>, &[u8]),
) -> Result<(u64, u64), Refusal> {
    let (keys, own): (&ClusterKeys, u16) = (scene.keys, scene.peers.own());
    let (now, replica) = (scene.now, &mut *scene.replica);
    let (mut count, mut bytes) = (0, 0);
    decode_records(records, |keyspace, key, object| {
        let at = position(&keys.hash, keyspace, key);
        let partition = routes.partition(at);
        let replicas = routes.replicas(keyspace.min(limits::KEYSPACES_MAX - 1), partition);
        if replicas.rank(own).is_none() {
            return Ok(());
        }
        let key = KeyRef { keyspace, key, position: at, partition };
        replica.apply(now, &key, object)?;
        each(replica, &key, object);
        count += 1;
        bytes += (key.key.len() + object.len()) as u64;
        Ok::<(), Refusal>(())
    })?;
    Ok((count, bytes))
}
