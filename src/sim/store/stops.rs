//! Stops and starts of the store, and what must be there afterwards.

use super::Bench;
use super::judge::{Judged, Property, violation};
use super::model::Sure;
use crate::proto::store::{PartitionStats, Sequence, Store};
use crate::store::LogStore;

/// Openings that may fail in a row, as the power goes or there is no room.
const OPENINGS_MAX: u32 = 12;

impl Bench {
    /// Stops the store in one of the ways, perhaps loses its checkpoint, and starts it again.
    pub fn stop_and_start(&mut self) -> Judged {
        match self.rng.below(3) {
            0 if !self.store().marks().failed => self.stop_cleanly(),
            1 => {
                self.counts.kills += 1;
                self.trace.say(self.now, None, || "*** killed".to_owned());
                let sure = self.sure(Some(false));
                self.platter.kill_process();
                self.start_again(sure)
            }
            _ => self.lose_power(Some(false)),
        }
    }

    /// The power goes, or has gone in the middle of an operation.
    pub fn lose_power(&mut self, is_clean: Option<bool>) -> Judged {
        self.counts.power_cuts += 1;
        self.trace.say(self.now, None, || "*** the power goes".to_owned());
        let sure = self.sure(is_clean);
        self.platter.crash();
        self.start_again(Sure { written: sure.durable, ..sure })
    }

    fn stop_cleanly(&mut self) -> Judged {
        let is_clean = self.store_mut().close().is_ok();
        if self.platter.is_crashed() {
            return self.lose_power(None);
        }
        self.counts.closes += 1;
        self.trace.say(self.now, None, || format!("*** closed, {is_clean}"));
        let before = self.sums();
        let mut sure = self.sure(Some(is_clean));
        if is_clean {
            let last = self.store().change_cursor().sequence;
            (sure.durable, sure.written) = (last, last);
        }
        self.platter.kill_process();
        self.start_again(sure)?;
        if is_clean && !self.is_struck && before != self.sums() {
            let text = format!("closed with {before:?}, and opened with {:?}", self.sums());
            return violation(Property::SumsExact, None, text);
        }
        Ok(())
    }

    /// What a store counts: of each partition, and in all.
    fn sums(&self) -> (Vec<PartitionStats>, u64) {
        let partitions = (0..=u16::MAX).take(self.settings.partitions as usize);
        let stats = partitions.map(|partition| self.store().partition_stats(partition));
        (stats.collect(), self.store().stats().live_bytes)
    }

    fn sure(&mut self, is_clean: Option<bool>) -> Sure {
        self.note_struck();
        let marks = self.store().marks();
        let before = self.platter.stray().and_then(|stray| self.strays.get(stray as usize - 1));
        let most = before.copied().unwrap_or(Sequence(u64::MAX));
        Sure { durable: marks.durable.min(most), written: marks.written.min(most), is_clean }
    }

    fn start_again(&mut self, sure: Sure) -> Judged {
        self.count_store();
        self.store = None;
        if self.rng.one_in(self.settings.lost_checkpoint_one_in) && self.platter.lose("checkpoint") {
            self.trace.say(self.now, None, || "*** the checkpoint is lost".to_owned());
        }
        self.start(sure)?;
        if self.rng.one_in(2) { self.check_everything() } else { Ok(()) }
    }

    /// Opens the store, however often the power goes meanwhile.
    pub fn start(&mut self, mut sure: Sure) -> Judged {
        for _ in 0..OPENINGS_MAX {
            if self.rng.one_in(self.settings.crash_in_disk_one_in.min(8)) {
                self.platter.crash_after(self.rng.below(10));
            }
            let has_checkpoint = self.platter.has("checkpoint");
            let disk = self.platter.attach();
            let opened = LogStore::open(
                disk,
                self.settings.options.clone(),
                &mut || self.rng.next_u64(),
                Box::new(|| ()),
            );
            self.note_struck();
            match opened {
                Ok(store) => {
                    self.store = Some(store);
                    return self.judge_opened(sure, has_checkpoint);
                }
                Err(_) if self.platter.is_crashed() => {
                    self.counts.crashes_in_disk += 1;
                    self.trace.say(self.now, None, || "*** the power goes at the opening".to_owned());
                    self.platter.crash();
                    let is_clean = if sure.is_clean == Some(false) { Some(false) } else { None };
                    sure = Sure { written: sure.durable, is_clean, ..sure };
                }
                Err(_) if self.platter.is_full() => self.platter.set_full(false),
                Err(error) => return violation(Property::Opens, None, error.to_string()),
            }
        }
        self.platter.heal();
        self.start(sure)
    }

    fn judge_opened(&mut self, sure: Sure, has_checkpoint: bool) -> Judged {
        self.counts.checked(Property::Opens);
        let identity = self.store().identity();
        let is_from_checkpoint = has_checkpoint && self.figure("store_checkpoints_void") == 0;
        self.counts.openings[usize::from(is_from_checkpoint)] += 1;
        self.trace.note(self.now, 3, &identity.recovered.0.to_le_bytes());
        let status = self.store().status();
        self.trace.say(self.now, None, || {
            let figures = status.figures;
            let figures: Vec<_> = figures.into_iter().filter(|figure| figure.1 > 0).collect();
            format!("*** opened, from a checkpoint {is_from_checkpoint}: {identity:?} {figures:?}")
        });
        if identity.clean && sure.is_clean == Some(false) {
            let text = format!("a stop that was not clean counts as clean: {identity:?}");
            return violation(Property::NotLost, None, text);
        }
        if !self.is_struck && sure.is_clean == Some(true) && !identity.clean {
            let text = format!("a clean stop counts as unclean: {identity:?}");
            return violation(Property::NotLost, None, text);
        }
        // The highest sequence may be that of a removal which compaction has let go.
        let sure: Sequence = sure.durable.max(sure.written);
        self.model.forget_after(sure.max(identity.recovered));
        let incomplete = self.store().stats().incomplete;
        if incomplete > 0 && !self.is_struck {
            let text = format!("{incomplete} partitions are incomplete, and nothing was damaged");
            return violation(Property::DamageIsTold, None, text);
        }
        Ok(())
    }

    /// A figure of the store's own.
    pub fn figure(&self, name: &str) -> u64 {
        let figures = self.store().status().figures;
        figures.iter().find(|figure| figure.0 == name).map_or(0, |figure| figure.1)
    }

    /// Adds the figures of a store that is about to go.
    pub fn count_store(&mut self) {
        if self.store.is_none() {
            return;
        }
        self.counts.compactions += self.figure("store_compactions");
        self.counts.checkpoints += self.figure("store_checkpoints");
        self.counts.scrubs += self.figure("store_scrub_passes");
        self.counts.quarantined += self.figure("store_damaged_ranges");
        self.counts.refused_space += self.figure("store_refused_space");
    }
}
