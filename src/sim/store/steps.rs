//! One step of a run: something asked of the store, or done to its disk.

use super::super::oracle::check_of;
use super::super::rot::Rot;
use super::Bench;
use super::judge::{Answer, Judged, Property, violation};
use super::model::Held;
use crate::proto::store::{Durability, LocalPart, NewRecord, Sequence, Store, StoreError};
use crate::proto::time::Instant;
use crate::proto::version::Epoch;

/// Most disk operations of one step.
const DISK_STEPS_MAX: u64 = 8;

impl Bench {
    /// Does one thing.
    pub fn step(&mut self) -> Judged {
        self.now += self.rng.below(2_000_000);
        self.written = self.store().marks().written;
        self.trace.note(self.now, 0, &[]);
        if self.rng.one_in(self.settings.stop_one_in) {
            return self.stop_and_start();
        }
        self.strike();
        if self.rng.one_in(self.settings.drop_one_in) {
            self.drop_partition()?;
        }
        match self.rng.below(1_000) {
            0..520 => {
                let key = self.draw_key();
                self.put(key)?;
            }
            520..590 => {
                let key = self.draw_key();
                self.remove(key)?;
            }
            590..700 => {
                let key = self.draw_key();
                let answer = self.ask(key)?;
                self.trace.say(self.now, Some(key), || format!("read: {answer:?}"));
            }
            700..760 => {
                let need = if self.rng.one_in(3) { Durability::Always } else { Durability::Interval };
                self.store_mut().flush(need);
            }
            760..880 => self.maintain(),
            880..960 => {
                for _ in 0..self.rng.below(DISK_STEPS_MAX) {
                    self.store().disk_step();
                }
            }
            960..985 => {
                let partition = self.draw_partition();
                self.follow(partition)?;
            }
            985..992 => self.check_everything()?,
            992..996 => self.repair()?,
            _ => self.catch_up()?,
        }
        self.look_at_the_disk()
    }

    fn draw_key(&mut self) -> usize {
        let keys = self.model.lines.len() as u64;
        // A few are written again and again.
        let keys = if self.rng.one_in(3) { keys.min(8) } else { keys };
        self.rng.below(keys) as usize
    }

    fn draw_partition(&mut self) -> u16 {
        self.rng.below(u64::from(self.settings.partitions)) as u16
    }

    fn maintain(&mut self) {
        self.now += self.rng.below(50_000_000);
        let now = Instant::from_nanos(self.now);
        self.store_mut().maintain(now);
    }

    /// A value that no other put has: its length, and bytes that name it.
    fn draw_value(&mut self) -> Vec<u8> {
        let segment = self.settings.segment_bytes;
        let length = match self.rng.below(100) {
            _ if self.rng.one_in(self.settings.long_one_in) => segment / 3 + self.rng.below(segment * 3 / 2),
            0..10 => self.rng.below(6_000),
            10..30 => self.rng.below(1_000),
            _ => self.rng.below(250),
        };
        let number = self.rng.next_u64().to_le_bytes();
        number.iter().copied().cycle().take(length as usize).collect()
    }

    fn put(&mut self, key: usize) -> Judged {
        let object = self.draw_value();
        let expires_ms = self.rng.one_in(5).then(|| self.rng.below(1 << 40));
        self.put_value(key, &object, expires_ms).map(drop)
    }

    /// Whether it was taken.
    fn put_value(&mut self, key: usize, object: &[u8], expires_ms: Option<u64>) -> Judged<bool> {
        let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: object.len() as u64 }) };
        let item_hash = check_of(object);
        let is_delete = object.is_empty();
        let new = NewRecord { local, object, item_hash, expires_ms, is_delete };
        let put = self.store.as_mut().expect("it is open").put(&self.model.lines[key].key(), &new);
        let Some(sequence) = self.taken(put)? else { return Ok(false) };
        let held = Held { check: item_hash, expires: expires_ms.is_some() };
        self.trace.say(self.now, Some(key), || format!("put {} bytes: {sequence:?} {held:?}", object.len()));
        self.model.set(key, sequence, Some(held));
        Ok(true)
    }

    /// The sequence of what was taken; `None` if the store could not take it now.
    fn taken(&mut self, taken: Result<Sequence, StoreError>) -> Judged<Option<Sequence>> {
        match taken {
            Ok(sequence) => {
                self.trace.note(self.now, 1, &sequence.0.to_le_bytes());
                Ok(Some(sequence))
            }
            Err(StoreError::Overloaded) => {
                self.counts.overloaded += 1;
                self.store_mut().flush(Durability::Interval);
                for _ in 0..self.rng.below(60) {
                    self.maintain();
                    while self.store().disk_step() {}
                }
                Ok(None)
            }
            Err(StoreError::Full) => {
                self.counts.full += 1;
                Ok(None)
            }
            Err(StoreError::ReadOnly) if self.store().marks().failed => Ok(None),
            Err(other) => violation(Property::Assertion, None, format!("a write is refused: {other}")),
        }
    }

    fn remove(&mut self, key: usize) -> Judged {
        let before = self.store().change_cursor().sequence;
        let removed = self.store.as_mut().expect("it is open").remove(&self.model.lines[key].key());
        let Some(sequence) = self.taken(removed)? else { return Ok(()) };
        self.trace.say(self.now, Some(key), || format!("removed: {sequence:?} after {before:?}"));
        if sequence > before {
            self.model.set(key, sequence, None);
        } else if !self.is_struck && self.model.lines[key].now().is_some() {
            return violation(Property::NotLost, Some(key), "nothing was there to be removed".to_owned());
        }
        Ok(())
    }

    fn drop_partition(&mut self) -> Judged {
        let partition = self.draw_partition();
        let dropped = self.store_mut().drop_partition(partition);
        if let Some(sequence) = self.taken(dropped)? {
            self.counts.drops += 1;
            self.trace.say(self.now, None, || format!("partition {partition} dropped: {sequence:?}"));
            self.model.drop_partition(partition, sequence);
        }
        Ok(())
    }

    /// What an exchange with other replicas will do to a store that lost something: everything that should be
    /// there is put again, what should not be there is removed, and the partition is complete.
    fn repair(&mut self) -> Judged {
        if !self.is_struck {
            return Ok(());
        }
        let partition = self.draw_partition();
        for key in self.model.of(partition).collect::<Vec<_>>() {
            let answer = self.ask(key)?;
            let is_taken = match (self.model.lines[key].now(), answer) {
                (Some(_), _) => {
                    let object = self.draw_value();
                    self.put_value(key, &object, None)?
                }
                (None, Answer::Found(..) | Answer::Suspect(..)) => {
                    let removed =
                        self.store.as_mut().expect("it is open").remove(&self.model.lines[key].key());
                    match self.taken(removed)? {
                        Some(sequence) => {
                            self.model.set(key, sequence, None);
                            true
                        }
                        None => false,
                    }
                }
                (None, _) => true,
            };
            if !is_taken || self.platter.is_crashed() {
                return Ok(());
            }
        }
        // An exchange is over when what it brought is on disk.
        self.store_mut().flush(Durability::Always);
        while self.store().disk_step() {}
        if !self.store().is_synced() || self.platter.is_crashed() || self.platter.stray().is_some() {
            return Ok(());
        }
        self.counts.repairs += 1;
        self.trace.say(self.now, None, || format!("partition {partition} is complete"));
        self.store_mut().complete(partition);
        Ok(())
    }

    /// Lets the disk do something bad.
    fn strike(&mut self) {
        let settings = &self.settings;
        if self.rng.one_in(settings.full_one_in) {
            let is_full = !self.platter.is_full();
            self.platter.set_full(is_full);
        }
        if self.rng.one_in(settings.failed_sync_one_in) {
            self.platter.fail_next_sync();
        }
        if self.rng.one_in(settings.crash_in_disk_one_in) {
            self.platter.crash_after(self.rng.below(12));
        }
        if self.rng.one_in(settings.rot_one_in) {
            let rot = settings.rots[self.rng.below(settings.rots.len() as u64) as usize];
            self.platter.rot(rot);
        }
        self.note_struck();
    }

    /// Takes note of damage that was done.
    pub fn note_struck(&mut self) {
        for struck in self.platter.take_struck() {
            self.is_struck = true;
            self.counts.rot(struck.rot);
            if struck.rot == Rot::Misdirected {
                self.strays.push(self.written);
            }
            self.trace.note(self.now, 2, struck.text.as_bytes());
            self.trace.say(self.now, None, || format!("*** {}", struck.text));
        }
    }

    /// Starts the store anew where its disk let it down.
    fn look_at_the_disk(&mut self) -> Judged {
        self.note_struck();
        if self.platter.is_crashed() {
            self.counts.crashes_in_disk += 1;
            return self.lose_power(Some(false));
        }
        if self.store().marks().failed {
            self.counts.failed_syncs += 1;
            return self.stop_and_start();
        }
        Ok(())
    }
}
