//! Writing a checkpoint: the index is copied shard by shard over many turns, the worker writes.
//!
//! The format and what makes such a copy good are in [`checkpoint`](crate::store::checkpoint). Here is when
//! one is made, and that it is put in place only after everything its slots point at is durable.

use super::LogStore;
use super::maintain::Purpose;
use super::segments::{Entry, State};
use super::trees::CopiedTrees;
use crate::proto::merkle::Digest;
use crate::proto::store::{Durability, PartitionStats, Sequence};
use crate::proto::time::Instant;
use crate::store::checkpoint::{Head, PartitionRow, SegmentRow, Tables, Writer};
use crate::store::disk::Disk;
use crate::store::ledger::Spot;
use crate::store::record::Mark;
use crate::store::upkeep::{Piece, Upkeep};

/// Partitions that one turn looks at.
const PARTITIONS_PER_TURN: usize = 4_096;
/// Bytes handed to the worker at one time.
const PIECE_LENGTH: usize = 512 << 10;
/// And what may be copied beyond that in its last turn.
const PIECE_SLACK: usize = 128 << 10;
/// Tasks of upkeep that may wait before copying waits, too.
const TASKS_MAX: usize = 8;
/// After one that failed, before the next.
const PAUSE: core::time::Duration = core::time::Duration::from_secs(60);
/// After one that could not be removed, before that is tried again.
const SHORT_PAUSE: core::time::Duration = core::time::Duration::from_secs(1);

/// How far checkpoints are.
#[derive(Debug)]
pub struct Checkpointing {
    /// The one on the disk.
    standing: Option<u64>,
    /// The number of the last one that was begun.
    begun: u64,
    copying: Option<Copying>,
    /// What had been appended when the last one was begun, and when that was.
    appended: Option<u64>,
    begun_at: Option<Instant>,
    not_before: Instant,
    /// The next one found no room: the standing one must go.
    is_in_the_way: bool,
    /// It is being removed; not tried again before this.
    is_forgetting: bool,
    forget_at: Instant,
}

#[derive(Debug)]
struct Copying {
    id: u64,
    writer: Writer,
    /// What is copied next; `None` when all was.
    next: Option<Spot>,
    /// Trees of a partition of which not all shards were copied.
    trees: Option<CopiedTrees>,
    /// Bytes of the active segment's partitions when the copy began.
    active: Vec<(u16, u64)>,
    buffer: Vec<u8>,
}

impl Checkpointing {
    /// With what was found at the opening.
    pub fn standing(standing: Option<u64>) -> Checkpointing {
        Checkpointing {
            standing,
            begun: standing.unwrap_or(0),
            copying: None,
            appended: standing.map(|_| 0),
            begun_at: None,
            not_before: Instant::ZERO,
            is_in_the_way: false,
            is_forgetting: false,
            forget_at: Instant::ZERO,
        }
    }

    /// The number of the last one that was begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// The one that a restart would use.
    pub fn standing_id(&self) -> Option<u64> {
        self.standing
    }

    /// Whether one is under way.
    pub fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// The trees that what changes behind the copy belongs in, see [`CopiedTrees`].
    pub fn copied_trees(&mut self) -> Option<&mut CopiedTrees> {
        self.copying.as_mut()?.trees.as_mut()
    }

    /// Bytes of memory that a copy takes.
    pub fn heap_bytes(&self) -> usize {
        self.copying.as_ref().map_or(0, |copying| copying.buffer.capacity())
    }
}

/// One that was copied whole waits, under this number, for its slots' records to be durable.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    id: u64,
    until: Sequence,
    is_sent: bool,
}

impl<D: Disk> LogStore<D> {
    /// A turn's share.
    pub(super) fn write_checkpoint(&mut self, now: Instant) {
        if self.shared.marks().failed {
            return;
        }
        if let Some(copied) = &mut self.copied {
            if !copied.is_sent && self.shared.marks().durable >= copied.until {
                copied.is_sent = true;
                self.shared.keep_up(Upkeep::Checkpoint(Piece::Commit(copied.id)));
            }
            return;
        }
        if self.checkpointing.copying.is_none() {
            self.forget_checkpoint(now);
            if !self.begin_checkpoint(now) {
                return;
            }
        }
        if self.shared.tasks() > TASKS_MAX {
            return;
        }
        self.copy_shards();
        self.wake_at(now);
    }

    /// Begins one if it is due; whether it did.
    fn begin_checkpoint(&mut self, now: Instant) -> bool {
        let since = *self.checkpointing.begun_at.get_or_insert(now);
        let is_changed = match self.checkpointing.appended {
            Some(appended) => self.appended > appended,
            None => self.ledger.keys() > 0,
        };
        let waits = self.compaction.emptied > 0 && self.emptied_since(self.checkpointing.begun) > 0;
        if !is_changed && !waits {
            return false;
        }
        let appended = self.appended - self.checkpointing.appended.unwrap_or(0);
        // Room that waits is worth a checkpoint when it is several times as large, or needed.
        let is_worth_it = waits
            && (self.is_tight()
                || self.emptied_since(self.checkpointing.begun) >= 4 * self.index.heap_bytes() as u64);
        let timer = (since + self.options.checkpoint_interval).max(self.checkpointing.not_before);
        let is_due = appended >= self.options.checkpoint_bytes || is_worth_it || now >= timer;
        if !is_due || now < self.checkpointing.not_before || !self.dropped.is_empty() {
            self.wake_at(timer);
            return false;
        }
        let active = self.segments.at(self.segments.active);
        if active.segment.is_none() {
            return false;
        }
        let (number, offset, sequence) = (active.plan.number, self.head, self.last);
        self.checkpointing.begun += 1;
        self.checkpointing.begun_at = Some(now);
        self.checkpointing.appended = Some(self.appended);
        let head = Head {
            partitions: self.options.partitions,
            directory: self.directory,
            id: self.checkpointing.begun,
            start: Mark { sequence, number, offset },
        };
        let mut buffer = Vec::with_capacity(PIECE_LENGTH + PIECE_SLACK);
        let writer = Writer::begin(&mut buffer, &head);
        let counted = self.touched.iter().map(|&at| (at, self.counts[usize::from(at)]));
        let active = counted.collect();
        let next = Some(Spot { partition: 0, fingerprint: 0 });
        self.checkpointing.copying = Some(Copying { id: head.id, writer, next, trees: None, active, buffer });
        self.ledger.begin_copy();
        self.shared.keep_up(Upkeep::Checkpoint(Piece::Begin));
        true
    }

    /// Copies some shards; after the last one, the tables.
    fn copy_shards(&mut self) {
        let Some(mut copying) = self.checkpointing.copying.take() else { return };
        let start = copying.buffer.len();
        let mut partitions = 0;
        while copying.buffer.len() - start < self.options.checkpoint_share
            && partitions < PARTITIONS_PER_TURN
            && let Some(spot) = copying.next
        {
            let image = self.index.shard(spot.partition, spot.fingerprint);
            let mut end = None;
            if let Some(image) = &image {
                copying.writer.shard(&mut copying.buffer, spot.partition, image);
                end = image.end();
            }
            self.copy_trees(&mut copying, spot, end);
            copying.next = match end {
                Some(fingerprint) => Some(Spot { fingerprint, ..spot }),
                None => {
                    partitions += 1;
                    let is_last = u32::from(spot.partition) + 1 == self.options.partitions;
                    (!is_last).then(|| Spot { partition: spot.partition + 1, fingerprint: 0 })
                }
            };
            if let Some(next) = copying.next {
                self.ledger.advance_copy(next);
            }
        }
        if copying.next.is_none() {
            self.end_copy(copying);
        } else {
            if copying.buffer.len() >= PIECE_LENGTH {
                let piece =
                    core::mem::replace(&mut copying.buffer, Vec::with_capacity(PIECE_LENGTH + PIECE_SLACK));
                self.shared.keep_up(Upkeep::Checkpoint(Piece::Append(piece)));
            }
            self.checkpointing.copying = Some(copying);
        }
    }

    /// The shard at this spot was copied: in the same turn the trees of its partition, up to the next one.
    fn copy_trees(&self, copying: &mut Copying, spot: Spot, next: Option<u32>) {
        if planted!("leaf_turn") {
            return;
        }
        let Spot { partition, fingerprint } = spot;
        match (copying.trees.take(), next) {
            (None, Some(cursor)) => {
                debug_assert_eq!(fingerprint, 0, "the first shard of the partition");
                let trees = self.trees.of(partition).map(|(keyspace, tree)| (keyspace, tree.clone()));
                copying.trees = Some(CopiedTrees { partition, cursor, trees: trees.collect() });
            }
            (Some(copied), Some(cursor)) => copying.trees = Some(CopiedTrees { cursor, ..copied }),
            (None, None) => self.write_trees(&mut copying.writer, &mut copying.buffer, partition),
            (Some(copied), None) => {
                for (keyspace, tree) in
                    copied.trees.iter().filter(|(_, tree)| tree.root() != Digest::default())
                {
                    copying.writer.tree(&mut copying.buffer, partition, *keyspace, tree);
                }
            }
        }
    }

    /// Writes the trees of a partition as they are.
    fn write_trees(&self, writer: &mut Writer, buffer: &mut Vec<u8>, partition: u16) {
        for (keyspace, tree) in self.trees.of(partition) {
            writer.tree(buffer, partition, keyspace, tree);
        }
    }

    /// Everything was copied, in this very turn to the end: the tables follow.
    fn end_copy(&mut self, copying: Copying) {
        let Copying { id, mut writer, active, mut buffer, .. } = copying;
        if planted!("leaf_turn") {
            let partitions = (0..=u16::MAX).take(self.options.partitions as usize);
            partitions.for_each(|partition| self.write_trees(&mut writer, &mut buffer, partition));
        }
        let tables = self.tables(id, active);
        self.ledger.end_copy();
        writer.end(&mut buffer, &tables);
        self.shared.keep_up(Upkeep::Checkpoint(Piece::Append(buffer)));
        self.copied = Some(Copied { id, until: self.last, is_sent: false });
        self.bring_forward(Durability::Always);
    }

    /// What a checkpoint says besides the shards.
    fn tables(&self, id: u64, active: Vec<(u16, u64)>) -> Tables {
        let is_known = |entry: &Entry<D::File>| match entry.state {
            State::Open => {
                entry.segment.is_some()
                    && entry.plan.number <= self.segments.at(self.segments.active).plan.number
            }
            State::Left => true,
            State::Emptied(after) => after >= id,
            State::Output | State::Leaving => false,
        };
        let row = |(owner, entry): (u32, &Entry<D::File>)| SegmentRow {
            number: entry.plan.number,
            seed: entry.plan.seed,
            slot: entry.plan.slot,
            size: entry.size,
            end: if entry.end == u64::MAX { crate::store::segment::HEADER_LENGTH as u64 } else { entry.end },
            live: self.ledger.copied_live(owner),
            first: entry.plan.first,
            newest: entry.newest,
            controls: entry.controls,
            is_compacted: entry.plan.is_compacted,
            is_sealed: entry.state != State::Open,
        };
        let partitions =
            (0..=u16::MAX).take(self.options.partitions as usize).map(|partition| PartitionRow {
                partition,
                stats: self.ledger.copied_partition(partition),
                floor: self.floors[usize::from(partition)],
            });
        let is_said = |row: &PartitionRow| row.stats != PartitionStats::default() || row.floor.0 > 0;
        Tables {
            segments: self.segments.iter().filter(|(_, entry)| is_known(entry)).map(row).collect(),
            partitions: partitions.filter(is_said).collect(),
            active,
        }
    }

    /// Gives one up that is under way: what it copied is not what it says any more.
    pub(super) fn give_up_checkpoint(&mut self) {
        if self.checkpointing.copying.take().is_some() {
            self.ledger.end_copy();
            self.checkpointing.appended = None;
            self.shared.keep_up(Upkeep::Checkpoint(Piece::Abandon));
        }
    }

    pub(super) fn checkpoint_stands(&mut self, id: u64) {
        self.copied = None;
        self.checkpointing.standing = Some(id);
        self.checkpointing.is_in_the_way = false;
        self.counters.checkpoints += 1;
    }

    /// It could not be written, and is tried again later.
    pub(super) fn checkpoint_failed(&mut self, for_want_of_room: bool) {
        self.copied = None;
        if self.checkpointing.copying.take().is_some() {
            self.ledger.end_copy();
        }
        self.checkpointing.appended = None;
        self.checkpointing.not_before = self.checkpointing.begun_at.unwrap_or(Instant::ZERO) + PAUSE;
        self.checkpointing.is_in_the_way |= for_want_of_room;
    }

    /// Removes the standing one where it is in the way: there was no room for the next; or the next failed, or
    /// has no segment to begin in, and segments whose room is needed wait for it. Without one they can go.
    /// Until the next one a restart reads the whole log.
    fn forget_checkpoint(&mut self, now: Instant) {
        let Some(standing) = self.checkpointing.standing else { return };
        let has_no_place = self.segments.at(self.segments.active).segment.is_none();
        let is_waited_for = (now < self.checkpointing.not_before || has_no_place)
            && self.compaction.emptied > 0
            && self.is_tight()
            && self.emptied_since(standing) > 0;
        if self.checkpointing.is_forgetting || !(self.checkpointing.is_in_the_way || is_waited_for) {
            return;
        }
        if now < self.checkpointing.forget_at {
            self.wake_at(self.checkpointing.forget_at);
            return;
        }
        self.checkpointing.is_forgetting = true;
        self.checkpointing.forget_at = now + SHORT_PAUSE;
        self.shared.keep_up(Upkeep::Forget);
    }

    pub(super) fn checkpoint_forgotten(&mut self, is_gone: bool) {
        self.checkpointing.is_forgetting = false;
        if is_gone {
            self.checkpointing.standing = None;
            self.checkpointing.is_in_the_way = false;
        }
    }

    /// Bytes of segments that were emptied when this checkpoint, or a later one, had been begun: they wait
    /// for the next.
    fn emptied_since(&self, begun: u64) -> u64 {
        let waits = |entry: &Entry<D::File>| matches!(entry.state, State::Emptied(after) if after >= begun);
        self.segments.iter().filter(|(_, entry)| waits(entry)).map(|(_, entry)| entry.size).sum()
    }

    /// The whole checkpoint at once, for a log to which nothing is appended any more.
    pub(super) fn checkpoint_now(&mut self) -> std::io::Result<()> {
        use crate::store::checkpoint::CHECKPOINT;
        use crate::store::disk::Draft;

        self.give_up_checkpoint();
        debug_assert!(!self.compaction.surveys.contains(&Purpose::Compaction) || self.is_closed);
        self.settle_drops(usize::MAX);
        let active = self.segments.at(self.segments.active);
        let id = self.checkpointing.begun + 1;
        let start = Mark { sequence: self.last, number: active.plan.number, offset: self.head };
        let head = Head { partitions: self.options.partitions, directory: self.directory, id, start };
        let mut draft = self.disk.draft(CHECKPOINT)?;
        let mut buffer = Vec::with_capacity(PIECE_LENGTH);
        let mut writer = Writer::begin(&mut buffer, &head);
        self.ledger.begin_copy();
        for partition in (0..=u16::MAX).take(self.options.partitions as usize) {
            let mut next = Some(0);
            while let Some(from) = next {
                let Some(image) = self.index.shard(partition, from) else { break };
                writer.shard(&mut buffer, partition, &image);
                next = image.end();
                if next.is_none() {
                    self.write_trees(&mut writer, &mut buffer, partition);
                }
                if buffer.len() >= PIECE_LENGTH {
                    draft.append(&buffer)?;
                    buffer.clear();
                }
            }
        }
        let active = self.touched.iter().map(|&at| (at, self.counts[usize::from(at)])).collect();
        writer.end(&mut buffer, &self.tables(id, active));
        self.ledger.end_copy();
        draft.append(&buffer)?;
        draft.commit()?;
        self.checkpointing.standing = Some(id);
        self.checkpointing.begun = id;
        Ok(())
    }
}
