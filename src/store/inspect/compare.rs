//! Whether two ways of reading a log back came to the same end.
//!
//! Where a record lies may differ, as compaction leaves two copies of it for a while. Which record stands
//! for a key may not, and so not the sums of partitions, nor their hash trees.

use super::report::Checkpoint;
use crate::store::disk::File;
use crate::store::recovery::Recovered;

/// What an index says of one fingerprint: sequence, kind and item hash of the record.
type Entry = (u32, u64, u8, u64);

/// Compares the index that a checkpoint gave with the one of the whole log. A damaged log lacks records that
/// the checkpoint knows.
pub fn compare<F: File>(
    checkpoint: &Recovered<F>,
    log: &Recovered<F>,
    partitions: u32,
    is_damaged: bool,
) -> Checkpoint {
    let (mut only_checkpoint, mut only_log, mut sums) = (0, 0, false);
    for partition in (0..=u16::MAX).take(partitions as usize) {
        let (ours, theirs) = (entries(checkpoint, partition), entries(log, partition));
        only_checkpoint += missing(&ours, &theirs);
        only_log += missing(&theirs, &ours);
        sums |= checkpoint.ledger.partition(partition) != log.ledger.partition(partition);
    }
    sums |= checkpoint.trees.roots() != log.trees.roots();
    match (only_checkpoint, only_log, sums) {
        (0, 0, false) => Checkpoint::Agrees,
        (lost, ..) if is_damaged => Checkpoint::Remembers(lost),
        _ => Checkpoint::Differs { only_checkpoint, only_log, sums },
    }
}

fn entries<F: File>(recovered: &Recovered<F>, partition: u16) -> Vec<Entry> {
    let entry = |(fingerprint, location)| match recovered.header_at(location) {
        Some(header) => {
            let kind = header.kind().map_or(0, |kind| kind as u8);
            (fingerprint, header.sequence.0, kind, header.item_hash)
        }
        None => (fingerprint, 0, 0, 0),
    };
    let mut entries: Vec<Entry> = recovered.index.iter(partition, 0).map(entry).collect();
    entries.sort_unstable();
    entries
}

/// How many of the first are not among the second; both are sorted.
fn missing(these: &[Entry], those: &[Entry]) -> u64 {
    let mut those = those.iter().peekable();
    let mut missing = 0;
    for entry in these {
        while those.next_if(|other| *other < entry).is_some() {}
        missing += u64::from(those.next_if_eq(&entry).is_none());
    }
    missing
}
