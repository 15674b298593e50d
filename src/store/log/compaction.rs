//! Compaction: what is live of a few segments is copied to one, and they go.
//!
//! ```text
//!  choose victims ─► output is created (worker)
//!    ┌► survey a block (worker) ─► which of its records are live? (loop) ─► copy them (worker) ─┐
//!    └────────────────────────────── until the last block of the last victim ◄──────────────────┘
//!  seal and sync the output (worker) ─► the manifest names it (worker) ─► move the slots (loop)
//!    ─► emptied; a later checkpoint is durable ─► the manifest leaves them out ─► remove (worker)
//! ```
//!
//! A record is live if the index points at its very location, so nothing is compared and the loop reads
//! no record. Copies keep their sequences. A slot is moved only if it still points where its record was
//! copied from. A stop at any point leaves either victims or copies in the log, or both, and never neither.
//!
//! Which segments are emptied, and when, is decided in `space`.

use std::collections::{BTreeSet, VecDeque};

use super::LogStore;
use super::maintain::{Purpose, Reason};
use super::segments::{Entry, State};
use crate::proto::store::Durability;
use crate::proto::time::Instant;
use crate::store::disk::Disk;
use crate::store::ledger::{Spot, Weight};
use crate::store::record::Kind;
use crate::store::segment::{HEADER_LENGTH, Location, SIZE_STEP};
use crate::store::upkeep::{Block, Closed, Moved, MovedList, Upkeep};

/// Bytes that may be surveyed for each byte that is appended.
const PACE: u64 = 4;
/// Bytes that may be surveyed a second besides.
const IDLE_PACE: u64 = 64 << 20;
/// How much of that may be saved up.
const CREDIT_MAX: u64 = 8 << 20;
/// When there was nothing to do, before looking again.
const SHORT_PAUSE: core::time::Duration = core::time::Duration::from_millis(20);
/// After a run that could not go on, before the next.
const PAUSE: core::time::Duration = core::time::Duration::from_secs(1);

/// How far compaction is.
#[derive(Debug)]
pub struct Compaction {
    run: Option<Run>,
    /// Surveys and manifests that were asked for.
    pub(super) surveys: VecDeque<Purpose>,
    pub(super) manifests: VecDeque<Reason>,
    /// Bytes that may be surveyed.
    credit: u64,
    /// What was appended, and when, as credit was last given.
    appended: u64,
    credited: Instant,
    /// No run before this, and no block of one before that.
    not_before: Instant,
    no_block_before: Instant,
    /// Why manifests that could not be written must be written again, and when.
    pub(super) unwritten: Vec<Reason>,
    write_again: Instant,
    /// Segments that were emptied and are not gone.
    pub(super) emptied: usize,
    /// Bytes of copies for which there may be room: fewer after each output for which there was none.
    pub(super) room: u64,
    /// The last append that asked for room was refused.
    pub(super) is_awaited: bool,
    /// Slots whose records could not be read when their keys may have been written anew, during this run.
    given_up: BTreeSet<Location>,
}

/// Some segments on their way into one.
#[derive(Debug)]
struct Run {
    victims: Vec<u32>,
    /// Which of them is read, and how far it was.
    at: usize,
    offset: u64,
    /// Partitions with records in each victim.
    partitions: Vec<BTreeSet<u16>>,
    output: Option<u32>,
    /// Bytes that it has room for, and whether something was copied to it.
    room: u64,
    has_copies: bool,
    /// Whether the tail of the active segment was given up for it.
    took_tail: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The output is being created.
    Creating,
    /// The active segment gives up its tail for it.
    Shortening(u64),
    /// Credit is awaited.
    Waiting,
    /// A block is being read.
    Surveying,
    /// The records of a block up to a number were looked up; these are live.
    Probing(Block, usize, Vec<u32>),
    /// The output is being closed.
    Closing,
    /// The manifest is being written.
    Naming(MovedList),
    /// Slots are being moved.
    Moving(MovedList),
}

impl Default for Compaction {
    fn default() -> Compaction {
        Compaction {
            run: None,
            surveys: VecDeque::new(),
            manifests: VecDeque::new(),
            credit: 0,
            appended: 0,
            credited: Instant::ZERO,
            not_before: Instant::ZERO,
            no_block_before: Instant::ZERO,
            unwritten: Vec::new(),
            write_again: Instant::NEVER,
            emptied: 0,
            room: u64::MAX,
            is_awaited: false,
            given_up: BTreeSet::new(),
        }
    }
}

impl Compaction {
    /// Bytes of memory that a run takes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self.run.as_ref().map(|run| &run.phase) {
            Some(Phase::Naming(moved) | Phase::Moving(moved)) => {
                moved.iter().map(Vec::capacity).sum::<usize>() * size_of::<Moved>()
            }
            Some(Phase::Probing(block, ..)) => block.heap_bytes(),
            _ => 0,
        }
    }
}

impl<D: Disk> LogStore<D> {
    /// A turn's share: at most so many slots are looked at.
    pub(super) fn compact(&mut self, now: Instant, mut budget: usize) {
        if self.shared.marks().failed {
            return;
        }
        self.give_credit(now);
        self.write_manifests_again(now);
        self.drop_emptied();
        if self.compaction.run.is_none() && now >= self.compaction.not_before && self.is_wanted() {
            self.begin_run(now);
        }
        while budget > 0 && self.step(now, &mut budget) {}
    }

    fn give_credit(&mut self, now: Instant) {
        let since = core::mem::replace(&mut self.compaction.credited, now);
        let appended = self.appended - core::mem::replace(&mut self.compaction.appended, self.appended);
        let idle = (now.since(since).as_micros() as u64).min(1_000_000) * (IDLE_PACE / 1_000_000);
        let credit = self.compaction.credit + appended * PACE + idle;
        self.compaction.credit = credit.min(CREDIT_MAX);
    }

    /// Chooses victims and asks for an output.
    fn begin_run(&mut self, now: Instant) {
        let (victims, bytes) = self.choose_victims();
        if victims.is_empty() {
            self.compaction.not_before = now + SHORT_PAUSE;
            return;
        }
        self.counters.compactions += 1;
        let partitions = victims.iter().map(|_| BTreeSet::new()).collect();
        let mut run = Run {
            victims,
            at: 0,
            offset: HEADER_LENGTH as u64,
            partitions,
            output: None,
            room: bytes,
            has_copies: false,
            took_tail: false,
            phase: Phase::Waiting,
        };
        if bytes > 0 {
            match self.ask_for_output(bytes) {
                Some(output) => (run.output, run.phase) = (Some(output), Phase::Creating),
                None => {
                    self.compaction.not_before = now + PAUSE;
                    return;
                }
            }
        }
        self.compaction.run = Some(run);
    }

    fn ask_for_output(&mut self, bytes: u64) -> Option<u32> {
        self.ask_for_output_of((bytes + self.output_overhead()).next_multiple_of(SIZE_STEP))
    }

    fn ask_for_output_of(&mut self, size: u64) -> Option<u32> {
        // Whatever was removed by now is not live, and so will not be copied.
        let plan = self.plan(size, self.last, true)?;
        self.shared.create(plan);
        Some(self.segments.add(Entry::planned(plan, State::Output)))
    }

    /// One step of the run; whether the next can follow at once.
    fn step(&mut self, now: Instant, budget: &mut usize) -> bool {
        let Some(mut run) = self.compaction.run.take() else { return false };
        let phase = core::mem::replace(&mut run.phase, Phase::Waiting);
        let (phase, goes_on) = match phase {
            Phase::Creating => {
                let is_there = run.output.is_none_or(|output| self.segments.at(output).segment.is_some());
                if is_there {
                    self.compaction.room = u64::MAX;
                }
                (if is_there { Phase::Waiting } else { Phase::Creating }, is_there)
            }
            Phase::Waiting => self.go_on(now, &mut run),
            Phase::Probing(block, from, live) => self.probe(&mut run, block, from, live, budget),
            Phase::Moving(moved) => match self.move_slots(moved, budget) {
                Some(rest) => {
                    self.wake_at(now);
                    (Phase::Moving(rest), false)
                }
                None => {
                    self.end_run(run);
                    return true;
                }
            },
            waiting => (waiting, false),
        };
        if matches!(phase, Phase::Probing(..)) && *budget == 0 {
            self.wake_at(now);
        }
        run.phase = phase;
        self.compaction.run = Some(run);
        goes_on
    }

    /// The next block, if there is credit; or the end.
    fn go_on(&mut self, now: Instant, run: &mut Run) -> (Phase, bool) {
        let Some(&victim) = run.victims.get(run.at) else {
            return match run.output {
                Some(output) if run.has_copies => {
                    self.shared.keep_up(Upkeep::Close(self.segments.at(output).plan.number));
                    (Phase::Closing, false)
                }
                output => {
                    // Nothing was live any more when it was looked at.
                    if let Some(output) = output {
                        self.segments.begin_leaving(output);
                        self.shared.remove(self.segments.at(output).plan.number);
                    }
                    (Phase::Moving(VecDeque::new()), true)
                }
            };
        };
        let entry = self.segments.at(victim);
        if self.compaction.credit == 0 && !self.is_tight() {
            self.wake_at(now + core::time::Duration::from_millis(5));
            return (Phase::Waiting, false);
        }
        if now < self.compaction.no_block_before {
            self.wake_at(self.compaction.no_block_before);
            return (Phase::Waiting, false);
        }
        let task = Upkeep::Survey(entry.plan, run.offset..entry.end);
        self.survey(Purpose::Compaction, task);
        (Phase::Surveying, false)
    }

    pub(super) fn surveyed(&mut self, block: Block) {
        let read = block.next - block.start;
        self.compaction.credit = self.compaction.credit.saturating_sub(read);
        self.counters.compacted_bytes += read;
        let Some(run) = &mut self.compaction.run else { return };
        if block.is_read {
            run.phase = Phase::Probing(block, 0, Vec::new());
        } else {
            run.phase = Phase::Waiting;
            self.compaction.no_block_before = self.compaction.credited + PAUSE;
        }
    }

    /// Looks up which records of a block are live.
    fn probe(
        &mut self,
        run: &mut Run,
        block: Block,
        from: usize,
        mut live: Vec<u32>,
        budget: &mut usize,
    ) -> (Phase, bool) {
        let to = block.records.len().min(from + *budget);
        for (number, found) in (from..to).zip(&block.records[from..to]) {
            let is_kept = match found.kind {
                Kind::Put | Kind::Chunk => {
                    let location = block.plan.location(block.start + u64::from(found.at));
                    self.index.find(found.partition, found.fingerprint, |at| at == location).is_some()
                }
                Kind::Removal | Kind::Drop => !self.is_forgettable(found.sequence, block.plan.number),
                Kind::SyncMark | Kind::Seal => false,
            };
            if !matches!(found.kind, Kind::SyncMark | Kind::Seal) {
                run.partitions[run.at].insert(found.partition);
            }
            if is_kept {
                live.push(number as u32);
            }
        }
        *budget -= to - from;
        if to < block.records.len() {
            return (Phase::Probing(block, to, live), false);
        }
        let victim = run.victims[run.at];
        let kept: u64 = live.iter().map(|&at| u64::from(block.records[at as usize].length)).sum();
        let Some(room) = run.room.checked_sub(kept) else {
            // There are more removals than were counted, as a segment that was not read at a restart may
            // have. This one and those behind it stay as they are, and the next run knows.
            self.segments.at_mut(victim).controls += kept;
            run.victims.truncate(run.at);
            return (Phase::Waiting, true);
        };
        run.room = room;
        let is_last = block.next >= self.segments.at(victim).end;
        let offset = block.next;
        if let Some(output) = run.output.filter(|_| !live.is_empty()) {
            run.has_copies = true;
            self.counters.copied_records += live.len() as u64;
            self.shared.keep_up(Upkeep::Copy(self.segments.at(output).plan.number, block, live));
        }
        (run.at, run.offset) = if is_last { (run.at + 1, HEADER_LENGTH as u64) } else { (run.at, offset) };
        (Phase::Waiting, true)
    }

    /// What was copied is durable: the manifest has to name it before a slot points at it.
    pub(super) fn output_closed(&mut self, closed: Closed) {
        let Some(owner) = self.segments.owner_of(closed.number) else { return };
        let entry = self.segments.at_mut(owner);
        (entry.end, entry.newest, entry.staged_from) = (closed.end, closed.newest, u64::MAX);
        let size = entry.plan.size;
        self.segments.resize(owner, closed.end.min(size));
        let controls =
            closed.moved.iter().flatten().filter(|moved| matches!(moved.kind, Kind::Removal | Kind::Drop));
        self.segments.at_mut(owner).controls = controls.map(|moved| u64::from(moved.length)).sum();
        if let Some(run) = &mut self.compaction.run {
            run.phase = Phase::Naming(closed.moved);
        }
        self.name_segments(&[]);
        self.write_manifest(Reason::Named);
    }

    /// Makes the manifest name what makes the log now, without these.
    fn name_segments(&mut self, but: &[u32]) {
        // What may not exist after a stop cannot be named: it is a member by being newer than what is.
        let is_missing = |entry: &Entry<D::File>| entry.segment.is_none() && !entry.plan.is_compacted;
        let missing = self.segments.iter().map(|(_, entry)| entry).find(|entry| is_missing(entry));
        let active = self.segments.at(self.segments.active).plan.number;
        let open = missing.map_or(active, |entry| entry.plan.number.min(active));
        let is_named = |(owner, entry): &(u32, &Entry<D::File>)| {
            let is_whole = match entry.state {
                State::Left | State::Emptied(_) => entry.plan.is_compacted || entry.plan.number < open,
                State::Output => entry.end != u64::MAX,
                State::Open | State::Leaving => false,
            };
            is_whole && !but.contains(owner)
        };
        let named = self.segments.iter().filter(is_named).map(|(_, entry)| entry.plan.number);
        self.manifest.segments = named.collect();
        self.manifest.through = open.saturating_sub(1);
        for &owner in but {
            let gone = self.segments.at(owner).plan.number;
            self.manifest.retain_segments(|number| number != gone);
        }
    }

    fn write_manifests_again(&mut self, now: Instant) {
        if self.compaction.unwritten.is_empty() {
            return;
        }
        if self.compaction.write_again == Instant::NEVER {
            self.compaction.write_again = now + PAUSE;
        }
        if now >= self.compaction.write_again {
            self.compaction.write_again = Instant::NEVER;
            for reason in core::mem::take(&mut self.compaction.unwritten) {
                self.write_manifest(reason);
            }
        } else {
            self.wake_at(self.compaction.write_again);
        }
    }

    pub(super) fn manifest_written(&mut self, reason: Reason, is_written: bool) {
        if !is_written {
            // The old one may stand: whatever waits for it waits on.
            self.compaction.unwritten.push(reason);
            return;
        }
        match reason {
            Reason::Named => {
                if let Some(run) = &mut self.compaction.run
                    && let Phase::Naming(moved) = &mut run.phase
                {
                    run.phase = Phase::Moving(core::mem::take(moved));
                    if let Some(output) = run.output {
                        self.segments.at_mut(output).state = State::Left;
                    }
                }
            }
            Reason::Dropped(owners) => {
                for owner in owners {
                    self.shared.remove(self.segments.at(owner).plan.number);
                }
            }
            Reason::Loss => {}
        }
    }

    /// Points slots at the copies, where they still point at what was copied; what is left of them.
    fn move_slots(&mut self, mut moved: MovedList, budget: &mut usize) -> Option<MovedList> {
        while *budget > 0 {
            let Some(next) = moved.front_mut()?.pop() else {
                moved.pop_front();
                continue;
            };
            *budget -= 1;
            self.move_slot(&next);
        }
        Some(moved)
    }

    fn move_slot(&mut self, moved: &Moved) {
        if matches!(moved.kind, Kind::Removal | Kind::Drop) || self.compaction.given_up.contains(&moved.from)
        {
            return;
        }
        let Some(found) = self.index.find(moved.partition, moved.fingerprint, |at| at == moved.from) else {
            return;
        };
        self.index.replace(&found, moved.to);
        let spot = Spot { partition: moved.partition, fingerprint: moved.fingerprint };
        let is_key = moved.kind == Kind::Put;
        let weight = Weight { length: u64::from(moved.length), is_key, expires: moved.expires };
        let owners = (self.segments.owner(moved.from), self.segments.owner(moved.to));
        if let (Some(from), Some(to)) = owners {
            self.ledger.shift(spot, from, to, weight);
        }
    }

    /// A key is written or removed that has no slot, as far as can be told: one of this fingerprint whose
    /// record cannot be read may be its. If compaction read that before it was damaged, its copy must not
    /// come back beside, or in place of, what is newer.
    pub(super) fn give_up_unreadable(&mut self, spot: Spot) {
        if self.compaction.run.is_none() {
            return;
        }
        let mut unreadable = Vec::new();
        self.index.find(spot.partition, spot.fingerprint, |location| {
            unreadable.extend(self.read(location).is_none().then_some(location));
            false
        });
        self.compaction.given_up.extend(unreadable);
    }

    /// The victims are emptied, except for what could not be read.
    fn end_run(&mut self, run: Run) {
        self.compaction.given_up.clear();
        for (&victim, partitions) in run.victims.iter().zip(run.partitions) {
            let live = self.ledger.live(victim);
            let (begun, last) = (self.checkpointing.begun(), self.last);
            let is_counted = self.is_counted(self.segments.at(victim));
            let entry = self.segments.at_mut(victim);
            if live > 0 || !is_counted {
                entry.stuck = live;
                continue;
            }
            entry.state = State::Emptied(begun);
            entry.emptied_at = last;
            self.compaction.emptied += 1;
            if !entry.plan.is_compacted {
                for partition in partitions {
                    let floor = &mut self.floors[usize::from(partition)];
                    *floor = entry.newest.max(*floor);
                }
            }
        }
        if self.compaction.emptied > 0 && self.checkpointing.standing_id().is_none() {
            self.bring_forward(Durability::Always);
        }
    }

    /// Lets emptied segments go that no checkpoint on the disk knows (trap T14), and whose records nothing
    /// took the place of that a stop can still take back.
    pub(super) fn drop_emptied(&mut self) {
        if self.compaction.emptied == 0 {
            return;
        }
        let standing = self.checkpointing.standing_id();
        let durable = self.shared.marks().durable;
        let is_free = |entry: &Entry<D::File>| match (entry.state, standing) {
            _ if entry.emptied_at > durable => false,
            (State::Emptied(after), Some(id)) => id > after,
            (State::Emptied(_), None) => !self.checkpointing.is_copying(),
            _ => false,
        };
        let free: Vec<u32> =
            self.segments.iter().filter(|(_, entry)| is_free(entry)).map(|(owner, _)| owner).collect();
        if free.is_empty() {
            return;
        }
        self.compaction.emptied -= free.len();
        self.name_segments(&free);
        for &owner in &free {
            self.segments.begin_leaving(owner);
        }
        self.write_manifest(Reason::Dropped(free));
    }

    /// Bytes of segments that wait for a checkpoint to go.
    pub(super) fn emptied_bytes(&self) -> u64 {
        let emptied = self.segments.iter().filter(|(_, entry)| matches!(entry.state, State::Emptied(_)));
        emptied.map(|(_, entry)| entry.size).sum()
    }

    /// There was no room for the output. What the active segment does not need yet is given back for it.
    pub(super) fn output_not_created(&mut self, number: u64) {
        let Some(owner) = self.segments.owner_of(number) else { return };
        let needed = self.segments.at(owner).plan.size;
        self.segments.remove(owner);
        self.compaction.room = needed / 2;
        let Some(mut run) = self.compaction.run.take() else { return };
        run.output = None;
        let active = self.segments.at(self.segments.active);
        let size = active.plan.size.saturating_sub(needed + SIZE_STEP) / SIZE_STEP * SIZE_STEP;
        // A part of it stays for deletes.
        let kept = self.head + self.options.segment_size / 16;
        if run.took_tail || size < kept || active.segment.is_none() {
            self.give_up_run();
            return;
        }
        let (active, number) = (self.segments.active, active.plan.number);
        run.took_tail = true;
        run.phase = Phase::Shortening(needed);
        self.compaction.run = Some(run);
        self.segments.at_mut(active).plan.size = size;
        self.segments.resize(active, size);
        self.shared.keep_up(Upkeep::Shorten(number, size));
    }

    pub(super) fn tail_given_back(&mut self, is_shorter: bool) {
        let Some(mut run) = self.compaction.run.take() else { return };
        let Phase::Shortening(needed) = run.phase else {
            self.compaction.run = Some(run);
            return;
        };
        let output = if is_shorter { self.ask_for_output_of(needed) } else { None };
        match output {
            Some(output) => {
                (run.output, run.phase) = (Some(output), Phase::Creating);
                self.compaction.run = Some(run);
            }
            None => self.give_up_run(),
        }
    }

    fn give_up_run(&mut self) {
        self.compaction.not_before = self.compaction.credited + PAUSE;
        self.compaction.given_up.clear();
        self.compaction.run = None;
    }
}
