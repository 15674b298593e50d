//! The properties of one store, each asked in the words of the border (`proto::store`).

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::oracle::check_of;
use super::Bench;
use super::model::Held;
use crate::proto::store::{Change, Changes, Durability, KeyRef, Lookup, Record, Sequence, Store, StoreError};
use crate::proto::time::Instant;

/// What must hold of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// S1: what was durable is there after any stop; what was written, after a kill.
    NotLost,
    /// S2: never a value that its key was not given, nor one under a sequence that it did not have.
    NoWrongValue,
    /// S3: what was removed or dropped durably does not come back.
    NoReturn,
    /// S4: what damage took is answered with *incomplete* or *damaged*, never with *absent* or an older
    /// value as if it were the newest; and nothing else is.
    DamageIsTold,
    /// S5: keys, records that expire and bytes are counted exactly, whatever was restarted from what.
    SumsExact,
    /// S6: who follows the changes misses none without being told of a gap.
    NothingMissed,
    /// S7: after catching up, the log takes at most twice what is live and three segments.
    SpaceBound,
    /// S8: the directory opens again, whatever happened to it.
    Opens,
    /// The store's own assertions.
    Assertion,
}

impl Property {
    /// All, in the order of the report.
    pub const ALL: [Property; 9] = [
        Property::NotLost,
        Property::NoWrongValue,
        Property::NoReturn,
        Property::DamageIsTold,
        Property::SumsExact,
        Property::NothingMissed,
        Property::SpaceBound,
        Property::Opens,
        Property::Assertion,
    ];

    /// Its name in reports and in the register of planted bugs.
    pub const fn name(self) -> &'static str {
        match self {
            Property::NotLost => "S1-not-lost",
            Property::NoWrongValue => "S2-no-wrong-value",
            Property::NoReturn => "S3-no-return",
            Property::DamageIsTold => "S4-damage-is-told",
            Property::SumsExact => "S5-sums-exact",
            Property::NothingMissed => "S6-nothing-missed",
            Property::SpaceBound => "S7-space-bound",
            Property::Opens => "S8-opens",
            Property::Assertion => "S9-assertion",
        }
    }
}

/// A property that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// The key, by number, if it is about one.
    pub key: Option<usize>,
    /// What happened.
    pub text: String,
}

/// The result of judging.
pub type Judged<T = ()> = Result<T, Violation>;

/// That a property does not hold.
pub fn violation<T>(property: Property, key: Option<usize>, text: String) -> Judged<T> {
    Err(Violation { property, key, text })
}

/// What a store says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This is the record.
    Found(Sequence, u64),
    /// This is a record, and may be an older one.
    Suspect(Sequence, u64),
    /// There is none.
    Absent,
    /// It cannot tell.
    Unknown,
}

fn answer_of(looked_up: Result<Lookup<'_>, StoreError>) -> Result<Answer, String> {
    let of = |record: &Record<'_>| (record.sequence, check_of(&record.object));
    match looked_up {
        Ok(Lookup::Found(record)) => Ok(Answer::Found(of(&record).0, of(&record).1)),
        Ok(Lookup::Suspect(record)) => Ok(Answer::Suspect(of(&record).0, of(&record).1)),
        Ok(Lookup::Absent) => Ok(Answer::Absent),
        Ok(Lookup::Incomplete) | Err(StoreError::Damaged) => Ok(Answer::Unknown),
        other => Err(format!("{other:?}")),
    }
}

impl Bench {
    /// What the store says of a key, judged.
    pub fn ask(&mut self, key: usize) -> Judged<Answer> {
        let answer = match answer_of(self.store().get(&self.model.lines[key].key())) {
            Ok(answer) => answer,
            Err(text) => return violation(Property::NoWrongValue, Some(key), text),
        };
        self.judge_answer(key, answer)?;
        Ok(answer)
    }

    fn judge_answer(&mut self, key: usize, answer: Answer) -> Judged {
        for property in
            [Property::NotLost, Property::NoWrongValue, Property::NoReturn, Property::DamageIsTold]
        {
            self.counts.checked(property);
        }
        let line = &self.model.lines[key];
        let (truth, is_struck) = (line.now(), self.is_struck);
        let wrong = |property: Property| {
            let text = format!("key {key} is {truth:?}, and the store answers {answer:?}");
            violation(property, Some(key), text)
        };
        match (answer, truth) {
            (Answer::Absent, None) => Ok(()),
            (Answer::Found(sequence, check), Some((newest, held)))
                if (newest, held.check) == (sequence, check) =>
            {
                Ok(())
            }
            (Answer::Found(sequence, check) | Answer::Suspect(sequence, check), _)
                if !line.was_given(sequence, check) =>
            {
                wrong(Property::NoWrongValue)
            }
            (Answer::Suspect(..) | Answer::Unknown, _) if is_struck => Ok(()),
            (Answer::Suspect(..) | Answer::Unknown, _) => wrong(Property::DamageIsTold),
            (Answer::Found(..), None) => wrong(Property::NoReturn),
            (Answer::Found(..), Some(_)) | (Answer::Absent, Some(_)) if is_struck => {
                wrong(Property::DamageIsTold)
            }
            (Answer::Found(..), Some(_)) | (Answer::Absent, Some(_)) => wrong(Property::NotLost),
        }
    }

    /// Every key, one by one and by scans, and what is counted.
    pub fn check_everything(&mut self) -> Judged {
        let mut known = Vec::with_capacity(self.model.lines.len());
        for key in 0..self.model.lines.len() {
            known.push(self.ask(key)?);
        }
        for partition in 0..self.settings.partitions as u16 {
            self.check_scan(partition, &known)?;
            self.check_sums(partition)?;
        }
        if self.is_struck {
            return Ok(());
        }
        let held = self.model.lines.iter().filter(|line| line.now().is_some()).count() as u64;
        match self.store().len() {
            length if length == held => Ok(()),
            length => {
                let text = format!("the store counts {length} keys and holds {held}");
                violation(Property::SumsExact, None, text)
            }
        }
    }

    /// A scan shows what lookups show, in the order of positions.
    fn check_scan(&mut self, partition: u16, known: &[Answer]) -> Judged {
        let mut seen: Vec<(u128, usize, Sequence, u64)> = Vec::new();
        let mut stranger = None;
        self.store().scan(partition, 0, &mut |key, record| {
            match self.model.find(key.key) {
                Some(number) => seen.push((key.position, number, record.sequence, check_of(&record.object))),
                None => stranger = Some(key.key.len()),
            }
            ControlFlow::Continue(())
        });
        if let Some(length) = stranger {
            let text = format!("a scan shows a key of {length} bytes that nobody put");
            return violation(Property::NoWrongValue, None, text);
        }
        if let Some(pair) = seen.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            let shown = [pair[0], pair[1]].map(|(_, key, sequence, _)| (key, sequence));
            let text = format!("a scan of partition {partition} shows {shown:?}, in this order");
            return violation(Property::NoWrongValue, Some(shown[0].0), text);
        }
        let shown: BTreeMap<usize, (Sequence, u64)> =
            seen.iter().map(|&(_, key, sequence, check)| (key, (sequence, check))).collect();
        for key in self.model.of(partition) {
            let expected = match known[key] {
                Answer::Found(sequence, check) | Answer::Suspect(sequence, check) => Some((sequence, check)),
                Answer::Absent => None,
                Answer::Unknown => continue,
            };
            if shown.get(&key).copied() != expected {
                let text = format!("a scan shows {:?}, and a lookup {:?}", shown.get(&key), known[key]);
                return violation(Property::NoWrongValue, Some(key), text);
            }
        }
        Ok(())
    }

    fn check_sums(&mut self, partition: u16) -> Judged {
        if self.is_struck {
            return Ok(());
        }
        self.counts.checked(Property::SumsExact);
        let held = self.model.of(partition).filter_map(|key| self.model.lines[key].now());
        let held: Vec<Held> = held.map(|(_, held)| held).collect();
        let expiring = held.iter().filter(|held| held.expires).count() as u64;
        let stats = self.store().partition_stats(partition);
        if (stats.keys, stats.expiring) == (held.len() as u64, expiring) {
            return Ok(());
        }
        let keys = held.len();
        let text = format!("partition {partition} holds {keys} keys, {expiring} expiring: {stats:?}");
        violation(Property::SumsExact, None, text)
    }

    /// Lets a follower catch up, and compares what it then holds.
    pub fn follow(&mut self, partition: u16) -> Judged {
        let (mut cursor, mut held, mut unread) = self.followers.remove(&partition).unwrap_or_default();
        let is_ended = loop {
            let (limit, effort) = (self.rng.below(20), 1 + self.rng.below(20_000));
            let mut seen = 0;
            let model = &self.model;
            let mut visit = |change: &Change<'_>| {
                match change {
                    Change::Put(key, record) => note(model, key, record, &mut held),
                    Change::Removed(key, _) => {
                        let key = model.find(key.key).unwrap_or(usize::MAX);
                        held.remove(&key);
                        unread.remove(&key);
                    }
                    Change::Dropped(_) => {
                        held.clear();
                        unread.clear();
                    }
                }
                seen += 1;
                if seen > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let store = self.store();
            let ended = match store.covers(partition, &cursor) {
                true => store.changes(&|other| other == partition, &cursor, effort, &mut visit),
                false => Changes::Gap(store.change_cursor()),
            };
            self.counts.changes += seen;
            match ended {
                Changes::More(next) if next != cursor || seen > 0 => cursor = next,
                // It stands still: nobody could ever follow.
                Changes::More(next) => break next == cursor && seen > 0,
                Changes::End(next) => {
                    cursor = next;
                    break true;
                }
                Changes::Gap(next) => {
                    self.counts.gaps += 1;
                    held.clear();
                    let model = &self.model;
                    self.store().scan(partition, 0, &mut |key, record| {
                        note(model, key, record, &mut held);
                        ControlFlow::Continue(())
                    });
                    cursor = next;
                    unread = self.unreadable(partition)?;
                    break true;
                }
            }
        };
        if !is_ended {
            let text = format!("the changes of partition {partition} stand still at {cursor:?}");
            return violation(Property::NothingMissed, None, text);
        }
        self.judge_follower(partition, &held, &unread)?;
        self.followers.insert(partition, (cursor, held, unread));
        Ok(())
    }

    /// What a scan cannot show now. It may be read again later although nothing changed: compaction had read it
    /// before it was damaged, and then its copy counts.
    fn unreadable(&mut self, partition: u16) -> Judged<BTreeSet<usize>> {
        let mut unread = BTreeSet::new();
        for key in self.model.of(partition).collect::<Vec<_>>() {
            if self.ask(key)? == Answer::Unknown {
                unread.insert(key);
            }
        }
        Ok(unread)
    }

    fn judge_follower(
        &mut self,
        partition: u16,
        held: &BTreeMap<usize, u64>,
        unread: &BTreeSet<usize>,
    ) -> Judged {
        self.counts.checked(Property::NothingMissed);
        for key in self.model.of(partition).collect::<Vec<_>>() {
            let expected = match self.ask(key)? {
                Answer::Found(_, check) => Some(check),
                Answer::Absent => None,
                Answer::Suspect(..) | Answer::Unknown => continue,
            };
            let mine = held.get(&key).copied();
            let may_miss = mine.is_none() && unread.contains(&key);
            if mine != expected && !may_miss {
                let text =
                    format!("a follower of partition {partition} holds {mine:?}, the store {expected:?}");
                return violation(Property::NothingMissed, Some(key), text);
            }
        }
        Ok(())
    }

    /// Gives the store time to catch up with everything, and looks what the log takes then.
    pub fn catch_up(&mut self) -> Judged {
        self.platter.set_full(false);
        self.store_mut().flush(Durability::Always);
        for _ in 0..400 {
            self.now += 40_000_000;
            let now = Instant::from_nanos(self.now);
            self.store_mut().maintain(now);
            while self.store().disk_step() {}
            if self.platter.is_crashed() || self.store().marks().failed {
                return Ok(());
            }
        }
        if self.is_struck || !self.settings.options.compaction {
            return Ok(());
        }
        self.counts.checked(Property::SpaceBound);
        let (stats, taken) = (self.store().stats(), self.platter.log_bytes());
        let bound = 2 * stats.live_bytes + 3 * self.settings.segment_bytes;
        if stats.disk_bytes <= bound && taken <= bound {
            return Ok(());
        }
        let text = format!("{taken} bytes of log, where {bound} are allowed: {stats:?}");
        violation(Property::SpaceBound, None, text)
    }
}

fn note(model: &super::Model, key: &KeyRef<'_>, record: &Record<'_>, held: &mut BTreeMap<usize, u64>) {
    // One that nobody put is found by the scans.
    if let Some(key) = model.find(key.key) {
        held.insert(key, check_of(&record.object));
    }
}
