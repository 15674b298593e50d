//! From what was found to what it means: tail or damage, clean or not, where to go on.

use super::Reader;
use super::Recovered;
use super::RecoveredSegment;
use super::Scan;
use crate::proto::store::Sequence;
use crate::store::directory::OpenError;
use crate::store::disk::Disk;
use crate::store::manifest::Incomplete;
use crate::store::record::Mark;
use crate::store::segment::HEADER_LENGTH;
use crate::store::segment::Segment;
use core::ops::Range;
use std::borrow::Cow;
use std::sync::Arc;

impl<D: Disk> Reader<'_, D> {
    /// Decides what is tail and what is damage, and hands everything over.
    pub(super) fn finish(mut self, size: Option<u64>) -> Result<Recovered<D::File>, OpenError> {
        let clean = self.contents.clean.filter(|mark| self.is_the_end(mark));
        if let Some(mark) = &self.contents.clean {
            self.promise(&{ *mark });
        }
        let newest = self.newest();
        let (damage, cut) = self.judge(newest);
        self.resolve();
        let is_damaged = !damage.is_empty();
        let is_known = clean.is_some() && self.contents.identity.is_some();
        let is_clean = !is_damaged && !self.has_lost_manifest() && (is_known || self.is_new());
        let clean_sequence = clean.map_or(Sequence(0), |mark| mark.sequence);
        self.last = self.last.max(clean_sequence);
        let mut is_manifest_news = self.note_damage(&damage);
        if self.contents.manifest.is_none() {
            self.begin_manifest();
            is_manifest_news = true;
        }
        if self.checkpoint.is_none() && !self.is_new() {
            // What compaction took from the log was noted in the checkpoint.
            self.floors.fill(self.last);
        }
        let appendable = newest.filter(|&at| {
            let scan = &self.scans[at];
            is_clean && cut.is_none() && !scan.is_sealed && scan.bad.is_empty() && scan.has_zeros_behind
        });
        let is_torn = self.cut(newest.filter(|_| appendable.is_none()), cut);
        let spare = self.choose_spare(newest, size);
        let spare = spare.map(|spare| self.reopen(&spare)).transpose()?;
        let torn = newest.zip(cut).map(|(at, from)| (self.scans[at].segment.plan.number, from));
        if let Some(at) = self.newest() {
            self.scans[at].segment = self.reopen(&self.scans[at].segment)?;
        }
        let hand_over = |scan: Scan<D::File>| {
            (!scan.is_gone).then_some(RecoveredSegment {
                segment: scan.segment,
                end: scan.reach,
                newest: scan.newest,
                controls: scan.controls,
            })
        };
        let lost = self.manifest.quarantined.iter().map(|bad| bad.number);
        // A segment that was begun last may be gone with a stop, and the manifest have counted on its number: one that got a
        // number up to there again would be no part of the log.
        let met = [self.contents.segments.last().copied().unwrap_or(0), self.manifest.through];
        let highest = lost.chain(met).max().unwrap_or(0);
        let promised = newest.and_then(|at| self.promised.get(&self.scans[at].segment.plan.number));
        Ok(Recovered {
            promised: promised.copied().unwrap_or(0),
            torn,
            start: self.checkpoint.map(|(_, start)| start),
            // The one that was may have held nothing but a torn tail.
            newest: self.newest().map(|at| at as u32),
            segments: self.scans.into_iter().map(hand_over).collect(),
            spare,
            slots: self.slots,
            index: self.index,
            ledger: self.ledger,
            trees: self.trees,
            floors: self.floors,
            last: self.last,
            epoch_end: self.epoch_end,
            is_clean,
            manifest: self.manifest,
            is_manifest_news,
            checkpoint: self.checkpoint.map(|(id, _)| id),
            void: None,
            appendable: appendable.map(|at| (at as u32, self.counts)),
            highest,
            leftovers: self.leftovers,
            damage,
            is_torn,
        })
    }

    /// A segment with a descriptor of its own again, for one that is written to or synced.
    pub(super) fn reopen(&self, segment: &Segment<D::File>) -> Result<Arc<Segment<D::File>>, OpenError> {
        let plan = segment.plan;
        let file = self.disk.open(&plan.name()).map_err(|error| self.error(plan.number, error))?;
        Ok(Arc::new(Segment { plan, file }))
    }

    /// What is damage, and where the tail of the newest segment begins, if it is torn. What is sound behind
    /// damage has its effect.
    pub(super) fn judge(&mut self, newest: Option<usize>) -> (Vec<(u64, Range<u64>)>, Option<u64>) {
        let mut damage = self.broken_promises();
        let mut cut = None;
        for at in 0..self.scans.len() {
            let scan = &self.scans[at];
            if scan.is_gone {
                continue;
            }
            let number = scan.segment.plan.number;
            let promised = self.promised.get(&number).copied().unwrap_or(0);
            let is_newest = Some(at) == newest;
            // What was accepted had been promised, whatever tells of it now.
            let is_tail = |range: &&Range<u64>| {
                is_newest && range.start >= promised && !self.manifest.accepts(number, range)
            };
            let tail = scan.bad.iter().find(is_tail).map(|range| range.start);
            let is_damage = |range: &&Range<u64>| tail.is_none_or(|tail| range.start < tail);
            damage.extend(scan.bad.iter().filter(is_damage).map(|range| (number, range.clone())));
            // A segment that was left ends with its seal, or where a tail was cut: never in zeros.
            if !is_newest && scan.has_zeros_behind && !scan.is_sealed {
                damage.push((number, scan.reach..scan.segment.plan.size));
            }
            if scan.segment.plan.is_compacted && !scan.is_sealed && !scan.has_zeros_behind {
                damage.push((number, scan.reach..u64::MAX));
            }
            if scan.flaw.is_some() {
                damage.push((number, 0..HEADER_LENGTH as u64));
            }
            cut = cut.or(tail);
            let held = core::mem::take(&mut self.scans[at].held);
            for item in held.iter().filter(|item| tail.is_none_or(|tail| item.offset < tail)) {
                self.scans[at].count(item);
                if let Some(key) = self.key_at(item.location).map(Cow::into_owned) {
                    self.apply(item, &key);
                }
            }
        }
        damage.retain(|(number, range)| !self.manifest.accepts(*number, range));
        (damage, cut)
    }

    /// Notes damage in the manifest. What an earlier scan met took nothing more from the index this time; all
    /// else may have, or let an older record take a lost one's place, whether it was known or not.
    pub(super) fn note_damage(&mut self, damage: &[(u64, Range<u64>)]) -> bool {
        let mut is_news = false;
        for (number, range) in damage {
            is_news |= self.manifest.feel(*number, range);
        }
        if self.checkpoint.is_none() {
            is_news |= self.manifest.feel_all();
        }
        is_news |= !damage.is_empty() && self.manifest.incomplete.is_none();
        is_news |= self.has_lost_manifest();
        if is_news {
            let partitions = self.contents.format.partitions;
            self.manifest.incomplete = Some(Incomplete {
                until: self.last,
                partitions: (0..=u16::MAX).take(partitions as usize).collect(),
            });
        }
        is_news
    }

    /// Whether there was a manifest, and with it all that is known of damage: before a directory of this
    /// version has its first segment, it has one.
    pub(super) fn has_lost_manifest(&self) -> bool {
        let contents = self.contents;
        contents.manifest.is_none()
            && contents.format.version == crate::store::directory::VERSION
            && !contents.segments.is_empty()
    }

    /// A log without a manifest gets one, so that a compacted segment which none names is an unfinished one.
    pub(super) fn begin_manifest(&mut self) {
        let compacted = self.scans.iter().map(|scan| &scan.segment.plan).filter(|plan| plan.is_compacted);
        self.manifest.segments = compacted.map(|plan| plan.number).collect();
        self.manifest.through = 0;
    }

    /// The last segment that was appended to.
    pub(super) fn newest(&self) -> Option<usize> {
        self.scans.iter().rposition(|scan| !scan.segment.plan.is_compacted && !scan.is_gone)
    }

    pub(super) fn is_new(&self) -> bool {
        self.contents.identity.is_none() && self.contents.segments.is_empty()
    }

    /// Whether the clean marker speaks of this log: nothing sound lies behind it.
    pub(super) fn is_the_end(&self, mark: &Mark) -> bool {
        let behind = |scan: &Scan<D::File>| {
            let plan = &scan.segment.plan;
            !plan.is_compacted
                && !scan.is_gone
                && (plan.number > mark.number || (plan.number == mark.number && scan.reach > mark.offset))
        };
        !self.scans.iter().any(behind)
    }

    /// Promised parts of the log that are not there at all.
    pub(super) fn broken_promises(&self) -> Vec<(u64, Range<u64>)> {
        let mut broken = Vec::new();
        let scan_of =
            |number: u64| self.scans.iter().find(|scan| scan.segment.plan.number == number && !scan.is_gone);
        for (&number, &offset) in &self.promised {
            let scan = scan_of(number);
            let is_broken = scan.is_none_or(|scan| scan.reach.max(scan.bad_end()) < offset);
            if self.manifest.holds(number) && offset > HEADER_LENGTH as u64 && is_broken {
                broken.push((number, scan.map_or(0, |scan| scan.reach)..u64::MAX));
            }
        }
        let named = self.manifest.segments.iter();
        let is_unused = |number: u64| self.unused.iter().any(|segment| segment.plan.number == number);
        let lost = named.filter(|&&number| scan_of(number).is_none() && !is_unused(number));
        broken.extend(
            lost.filter(|number| !self.promised.contains_key(number)).map(|&number| (number, 0..u64::MAX)),
        );
        broken
    }

    /// Takes note of the cut: the newest segment ends at the tail, or where its records do. Whether
    /// something is cut off.
    pub(super) fn cut(&mut self, newest: Option<usize>, cut: Option<u64>) -> bool {
        let Some(at) = newest else { return false };
        let scan = &mut self.scans[at];
        if scan.is_sealed && cut.is_none() {
            return false;
        }
        scan.reach = cut.unwrap_or(scan.reach.max(scan.bad_end()));
        scan.bad.clear();
        if scan.reach <= HEADER_LENGTH as u64 {
            let plan = scan.segment.plan;
            scan.is_gone = true;
            self.slots.release(plan.slot, plan.slots());
            self.leftovers.push(plan.number);
        }
        cut.is_some()
    }

    /// Keeps the unused segment that the log can go on in; the others are leftovers.
    pub(super) fn choose_spare(
        &mut self,
        newest: Option<usize>,
        size: Option<u64>,
    ) -> Option<Arc<Segment<D::File>>> {
        let last_used = newest.map_or(0, |at| self.scans[at].segment.plan.number);
        let owner = u32::try_from(self.scans.len()).expect("a directory holds fewer segments");
        let mut spare = None;
        for segment in core::mem::take(&mut self.unused) {
            let plan = segment.plan;
            // One that has lost all that was in it is known as damaged under its number: what is damaged in
            // it later would be no news.
            let is_lost = self.manifest.quarantined.iter().any(|bad| bad.number == plan.number);
            let fits = plan.number > last_used && !is_lost && size.is_none_or(|size| plan.size == size);
            if spare.is_none() && fits && self.slots.claim(plan.slot, plan.slots(), owner) {
                spare = Some(segment);
            } else {
                self.leftovers.push(plan.number);
            }
        }
        spare
    }
}
