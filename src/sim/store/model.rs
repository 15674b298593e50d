//! What every key held after which sequence: the plain map beside the store, with its past.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::HASH_KEY;
use crate::proto::ring;
use crate::proto::store::{KeyRef, Sequence};

/// A value, as far as it must be known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// A hash of its bytes.
    pub check: u64,
    /// Whether it expires.
    pub expires: bool,
}

/// A key.
pub struct Line {
    /// Its name.
    pub name: Vec<u8>,
    /// Its position.
    position: u128,
    /// Its partition.
    pub partition: u16,
    /// What it held from which sequence on; `None` is nothing.
    states: BTreeMap<Sequence, Option<Held>>,
    /// What was ever put, whatever a stop took: its sequence, and the hash of its bytes.
    given: BTreeSet<(Sequence, u64)>,
}

impl Line {
    /// As the store wants it.
    pub fn key(&self) -> KeyRef<'_> {
        KeyRef { keyspace: 1, key: &self.name, position: self.position, partition: self.partition }
    }

    /// What it holds, and since when.
    pub fn now(&self) -> Option<(Sequence, Held)> {
        let (&sequence, held) = self.states.last_key_value()?;
        held.map(|held| (sequence, held))
    }

    /// Whether it was ever given this value with this sequence.
    pub fn was_given(&self, sequence: Sequence, check: u64) -> bool {
        self.given.contains(&(sequence, check))
    }
}

/// All keys.
pub struct Model {
    /// The keys, by number.
    pub lines: Vec<Line>,
}

/// What must be there after a stop: everything up to here.
#[derive(Clone, Copy, Debug)]
pub struct Sure {
    /// In any case.
    pub durable: Sequence,
    /// Unless the power went.
    pub written: Sequence,
    /// Whether the stop was clean; `None` if it may count as either, as it came to nothing.
    pub is_clean: Option<bool>,
}

impl Sure {
    /// Of a new directory.
    pub fn nothing() -> Sure {
        Sure { durable: Sequence(0), written: Sequence(0), is_clean: None }
    }
}

impl Model {
    /// Nothing was put yet.
    pub fn new(keys: usize, partitions: u32) -> Model {
        let lines = (0..keys).map(|number| {
            let long = if number % 40 == 7 { "k".repeat(3_000) } else { String::new() };
            let name = format!("key {number} {long}").into_bytes();
            let position = ring::position(&HASH_KEY, 1, &name);
            let partition = ring::partition(position, partitions);
            Line { name, position, partition, states: BTreeMap::new(), given: BTreeSet::new() }
        });
        Model { lines: lines.collect() }
    }

    /// A key was put or taken out.
    pub fn set(&mut self, key: usize, sequence: Sequence, held: Option<Held>) {
        let line = &mut self.lines[key];
        // A directory that forgot who it was may number again what it has lost.
        line.states.split_off(&sequence);
        line.states.insert(sequence, held);
        line.given.extend(held.map(|held| (sequence, held.check)));
    }

    /// The key with a name.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let number = name.split(|&byte| byte == b' ').nth(1)?;
        let number: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.lines.get(number).is_some_and(|line| line.name == name).then_some(number)
    }

    /// Numbers of the keys of a partition.
    pub fn of(&self, partition: u16) -> impl Iterator<Item = usize> + '_ {
        let is_in = move |key: &usize| self.lines[*key].partition == partition;
        (0..self.lines.len()).filter(is_in)
    }

    /// A partition was dropped.
    pub fn drop_partition(&mut self, partition: u16, sequence: Sequence) {
        for key in self.of(partition).collect::<Vec<_>>() {
            if self.lines[key].now().is_some() {
                self.set(key, sequence, None);
            }
        }
    }

    /// Everything later than this was lost.
    pub fn forget_after(&mut self, last: Sequence) {
        for line in &mut self.lines {
            line.states.retain(|&sequence, _| sequence <= last);
        }
    }
}
