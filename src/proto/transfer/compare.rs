//! Two copies of a partition, compared run by run: pure reads of a store.

use core::ops::ControlFlow;

use crate::proto::limits;
use crate::proto::message::{Compare, Compared, Message, decode_digests, put_digest, put_record};
use crate::proto::store::Store;

/// What a store has from a prefix on, as far as one message names it.
pub(super) struct Run {
    pub(super) digests: Vec<u8>,
    /// The first prefix behind it; `None` at the end of the partition.
    pub(super) until: Option<u64>,
}

const fn prefix_of(position: u128) -> u64 {
    (position >> 64) as u64
}

/// The next run of a partition, of the keyspaces that the peer is concerned with.
pub(super) fn own_run<S: Store>(store: &S, partition: u16, from: u64, concerns: impl Fn(u16) -> bool) -> Run {
    let mut run = Run { digests: Vec::new(), until: None };
    let (mut count, mut last) = (0, None);
    store.scan(partition, u128::from(from) << 64, &mut |key, record| {
        if !concerns(key.keyspace) {
            return ControlFlow::Continue(());
        }
        let prefix = prefix_of(key.position);
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

/// The records of a prefix that the peer is concerned with: keyspace, key and object.
pub(super) fn record_at<S: Store>(
    store: &S,
    partition: u16,
    prefix: u64,
    concerns: impl Fn(u16) -> bool,
) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    store.scan(partition, u128::from(prefix) << 64, &mut |key, record| {
        if prefix_of(key.position) != prefix {
            return ControlFlow::Break(());
        }
        if !concerns(key.keyspace) {
            return ControlFlow::Continue(());
        }
        records.push((key.keyspace, key.key.to_vec(), record.object.to_vec()));
        ControlFlow::Continue(())
    });
    records
}

/// Answers a comparison from a store: `send` is given the message. An unfit copy says so.
pub fn answer<S: Store>(store: &S, compare: &Compare<'_>, is_unfit: bool, send: impl FnOnce(&Message<'_>)) {
    let is_unfit = is_unfit || store.is_incomplete(compare.partition);
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
        let is_full = records.len() >= limits::TRANSFER_PAGE || visited >= 4 * limits::TRANSFER_DIGESTS;
        if last != Some(prefix) && is_full {
            next = Some(prefix);
            return ControlFlow::Break(());
        }
        last = Some(prefix);
        visited += 1;
        if let Ok(at) = theirs.binary_search(&(prefix, record.item_hash)) {
            known[at] = true;
        } else if compare.sends {
            put_record(&mut records, key.keyspace, key.key, &record.object);
        }
        ControlFlow::Continue(())
    });
    let mut lacking = Vec::new();
    if !compare.sends {
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
