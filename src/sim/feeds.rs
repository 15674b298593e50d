//! Clients who follow change feeds, and what they must have been told; and writers who ask not to write beside what they
//! have not seen.
//!
//! A follower asks one machine for page after page, over its restarts, and keeps what it was told of each key. A page
//! behind which there is nothing more says what the copy is: each key that the machine has put, reaped or dropped since
//! must have been told as it is there now, unless the page says that there is a gap. In the end, when all is settled,
//! every acknowledged write of what is followed must have reached the follower, or have been there when it began.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{MS, Time};
use super::history::EventSet;
use super::oracle::{Judged, Oracle, Property, Violation, violation};
use super::strikes::Strike;
use super::watched::Noted;
use super::workload::Action;
use super::world::{Event, World};
use crate::proto::error::Outcome;
use crate::proto::io::{ChangePage, Operation, Options, Reply, Request, RequestId};
use crate::proto::rng::Rng;
use crate::proto::store::Store;

/// Clients who follow.
const FOLLOWERS: usize = 3;

/// Numbers of their requests: none of a client's or an operator's is one.
const PAGES: u64 = 1 << 47;

/// An expiry this near may have come between a look of the core and one of the oracle, in milliseconds.
const EXPIRES_NOW_MS: u64 = 2;

/// What feeds do, as a run counts it.
pub(super) const FEED_ACTS: [&str; 7] = [
    "feed begun",
    "feed has a gap",
    "feed refused",
    "feed goes on after a restart",
    "key told",
    "delete told",
    "write told in the end",
];

/// One who follows a feed.
#[derive(Debug)]
struct Follower {
    machine: usize,
    keyspace: u16,
    partition: Option<u16>,
    place: Option<Vec<u8>>,
    limit: u32,
    /// The longest pause between two pages.
    pause: Time,
    /// The start of the machine at the last page.
    boot: u64,
    /// There was more behind the last page.
    has_more: bool,
    /// Keys that the machine has changed, and not told as they are.
    changed: BTreeSet<usize>,
    /// What was told of keys, by event.
    told: BTreeMap<usize, Vec<usize>>,
    /// What the copy had of each key when the feed began, and what it had of it when that was told.
    known: Vec<EventSet>,
}

/// All followers of a run.
#[derive(Debug)]
pub(super) struct Feeds {
    rng: Rng,
    followers: Vec<Option<Follower>>,
}

impl Feeds {
    /// Nobody follows yet.
    pub(super) fn new(seed: u64) -> Box<Feeds> {
        let followers = (0..FOLLOWERS).map(|_| None).collect();
        Box::new(Feeds { rng: Rng::new(seed ^ 0x00fe_ed5e), followers })
    }

    /// Whether a request is one for a page of a feed.
    pub(super) const fn is_page(id: u64) -> bool {
        id >= PAGES && id < 2 * PAGES
    }
}

impl World {
    /// Plans the first page of every follower.
    pub(super) fn plan_feeds(&mut self) {
        for follower in 0..self.feeds.as_ref().map_or(0, |feeds| feeds.followers.len()) {
            self.plan(self.now + 100 * MS, Event::Strike(Strike::Follow(follower)));
        }
    }

    /// A follower asks for its next page, or begins with a feed.
    pub(super) fn follow(&mut self, number: usize) -> Judged {
        let serving: Vec<usize> = (0..self.machines.len()).filter(|&m| self.is_serving(m)).collect();
        let keyspaces = self.profile.keyspaces.len() as u64;
        let Some(feeds) = self.feeds.as_mut().filter(|_| self.is_safety_phase) else { return Ok(()) };
        let (rng, place) = (&mut feeds.rng, &mut feeds.followers[number]);
        if place.is_none() && !serving.is_empty() {
            let keys = self.oracle.keys();
            let key = &keys[rng.below(keys.len() as u64) as usize];
            *place = Some(Follower {
                machine: serving[rng.below(serving.len() as u64) as usize],
                keyspace: rng.below(keyspaces) as u16,
                partition: (!rng.one_in(2)).then_some(key.partition),
                place: None,
                limit: 1 + rng.below(5) as u32,
                pause: (8 * MS) << rng.below(10),
                boot: 0,
                has_more: false,
                changed: BTreeSet::new(),
                told: BTreeMap::new(),
                known: Vec::new(),
            });
        }
        let pause = place.as_ref().map_or(100 * MS, |follower| match follower.has_more {
            true => MS,
            false => follower.pause,
        });
        let at = self.now + MS + rng.below(pause);
        // Some follow another feed now and then.
        if rng.one_in(60) {
            *place = None;
        }
        let is_served = place.as_ref().is_some_and(|follower| serving.contains(&follower.machine));
        self.plan(at, Event::Strike(Strike::Follow(number)));
        if is_served { self.ask_for_changes(number) } else { Ok(()) }
    }

    fn ask_for_changes(&mut self, number: usize) -> Judged {
        let Some(follower) = self.feeds.as_ref().and_then(|feeds| feeds.followers[number].as_ref()) else {
            return Ok(());
        };
        let (machine, keyspace, partition) = (follower.machine, follower.keyspace, follower.partition);
        let (place, limit) = (follower.place.clone(), follower.limit);
        let now = self.clock_of(machine);
        let operation = Operation::Changes { partition, since: place.as_deref(), limit };
        let request = Request { keyspace, key: b"", operation, options: Options::default() };
        self.trace.note(self.now, 19, &[machine as u8, number as u8]);
        let node = self.machines[machine].node.as_mut().expect("it serves");
        self.oracle.expect(machine, Vec::new());
        node.handle_request(now, RequestId(PAGES + number as u64), &request);
        self.settle(machine)
    }

    /// What a store did since, which has to be told.
    pub(super) fn note_change(&mut self, machine: usize, noted: &Noted) {
        let Some(feeds) = &mut self.feeds else { return };
        let keys = self.oracle.keys();
        let changed: Vec<usize> = match noted {
            Noted::Put(put) => self.oracle.key_number(&put.key).into_iter().collect(),
            Noted::Remove(name, _) => self.oracle.key_number(name).into_iter().collect(),
            Noted::Drop(partition, _) => {
                (0..keys.len()).filter(|&key| keys[key].partition == *partition).collect()
            }
        };
        for follower in feeds.followers.iter_mut().flatten().filter(|follower| follower.machine == machine) {
            let is_followed = |key: &&usize| {
                keys[**key].name.0 == follower.keyspace
                    && follower.partition.is_none_or(|partition| partition == keys[**key].partition)
            };
            let followed: Vec<usize> = changed.iter().filter(is_followed).copied().collect();
            follower.changed.extend(followed);
        }
    }

    /// A page came.
    pub(super) fn take_changes(&mut self, machine: usize, id: u64, reply: &Reply) -> Judged {
        let number = (id - PAGES) as usize;
        let Some(mut follower) = self.feeds.as_mut().and_then(|feeds| feeds.followers[number].take()) else {
            return Ok(());
        };
        self.trace.say(self.now, None, || {
            let (name, outcome) = (&self.names[machine], &reply.outcome);
            let page = reply.changes.as_deref().map(|page| (page.changed.len(), page.has_gap, page.has_more));
            format!("{name} tells follower {number} of {:?}: {outcome} {page:?}", follower.partition)
        });
        let Some(page) = reply.changes.as_deref().filter(|_| reply.outcome == Outcome::Ok) else {
            self.act("feed refused");
            return match reply.outcome {
                // It holds no copy (any more).
                Outcome::BadArgument(_) => Ok(()),
                ref other => {
                    let text = format!("{} answers a follower {other}", self.names[machine]);
                    Err(Violation { property: Property::Fed, key: None, text })
                }
            };
        };
        let boot = self.machines[machine].boot;
        if page.has_gap {
            self.act(if follower.place.is_none() { "feed begun" } else { "feed has a gap" });
            follower.changed.clear();
            follower.told.clear();
            let histories = self.oracle.histories.iter();
            let held = histories.map(|history| history.top(machine).map(|held| held.past.clone()));
            follower.known = held.map(Option::unwrap_or_default).collect();
        } else {
            if boot != follower.boot {
                self.act("feed goes on after a restart");
            }
            self.hear(&mut follower, page)?;
        }
        (follower.boot, follower.has_more) = (boot, page.has_more);
        follower.place = Some(page.next.clone());
        if let Some(feeds) = &mut self.feeds {
            feeds.followers[number] = Some(follower);
        }
        Ok(())
    }

    /// A follower is told of changes without a gap; where they are all, the copy is as it was told.
    fn hear(&mut self, follower: &mut Follower, page: &ChangePage) -> Judged {
        for changed in &page.changed {
            let key = self.oracle.key_number(&(follower.keyspace, changed.key.clone()));
            let Some(key) = key else {
                let text = format!("a feed tells of a key that nobody wrote: {:?}", changed.key);
                return Err(Violation { property: Property::NoValueFromNowhere, key: None, text });
            };
            self.act(if changed.siblings.is_empty() { "delete told" } else { "key told" });
            let events =
                changed.siblings.iter().map(|sibling| self.oracle.histories[key].by_dot(sibling.dot));
            let Some(events) = events.collect::<Option<Vec<usize>>>() else {
                return violation(Property::NoValueFromNowhere, key, "a feed tells of an unknown dot".into());
            };
            follower.told.insert(key, events);
        }
        if page.has_more {
            return Ok(());
        }
        let wall_ms = self.clock_of(follower.machine).wall.0;
        for key in core::mem::take(&mut follower.changed) {
            if !self.holds(follower.machine, key) {
                continue;
            }
            let told = follower.told.remove(&key);
            let held = self.oracle.judge_told(follower.machine, key, wall_ms, told.as_deref())?;
            follower.known[key].add(&held);
        }
        follower.told.clear();
        Ok(())
    }

    /// Whether a machine reads of a key what its copy has, as far as it knows.
    fn holds(&self, machine: usize, key: usize) -> bool {
        let Some(node) = &self.machines[machine].node else { return false };
        let (topology, info) = (node.topology(), &self.oracle.keys()[key]);
        let (layout, own) = (topology.reading(), node.store().identity().generation);
        // A directory that is another one than the layout's is asked for nothing.
        let is_evidence = |generation: u64| {
            let latest = topology.member(self.ids[machine]).map(|latest| latest.generation);
            latest == Some(generation) && (generation == 0 || generation == own)
        };
        let slots = layout.replicas(info.name.0, info.partition);
        let member = slots.iter().map(|&slot| layout.member(slot)).find(|m| m.id == self.ids[machine]);
        member.is_some_and(|member| is_evidence(member.generation))
    }

    /// Everything is settled: who still follows is told of the rest, and has then heard of every acknowledged write.
    pub(super) fn judge_feeds(&mut self) -> Judged {
        for number in 0..self.feeds.as_ref().map_or(0, |feeds| feeds.followers.len()) {
            let feeds = self.feeds.as_ref().expect("there are some");
            // Who followed a machine that was removed follows nobody.
            if !feeds.followers[number].as_ref().is_some_and(|follower| self.is_serving(follower.machine)) {
                continue;
            }
            loop {
                self.ask_for_changes(number)?;
                let feeds = self.feeds.as_ref().expect("there are some");
                if !feeds.followers[number].as_ref().is_some_and(|follower| follower.has_more) {
                    break;
                }
            }
            let feeds = self.feeds.as_mut().expect("there are some");
            let Some(follower) = feeds.followers[number].take() else { continue };
            for key in 0..self.oracle.keys().len() {
                let info = &self.oracle.keys()[key];
                let is_followed = info.name.0 == follower.keyspace
                    && follower.partition.is_none_or(|partition| partition == info.partition);
                if is_followed && self.holds(follower.machine, key) {
                    let told = self.oracle.judge_all_told(follower.machine, key, &follower.known[key])?;
                    *self.counts.acts.entry("write told in the end".to_owned()).or_default() += told;
                }
            }
        }
        Ok(())
    }
}

impl Oracle {
    /// A feed has told all that changed. Returns what the copy has seen.
    fn judge_told(
        &mut self,
        machine: usize,
        key: usize,
        wall_ms: u64,
        told: Option<&[usize]>,
    ) -> Judged<EventSet> {
        self.checked(Property::Fed);
        let history = &self.histories[key];
        // What a fault made unreadable nobody can compare.
        let Some(held) = history.top(machine) else { return Ok(EventSet::default()) };
        let past = held.past.clone();
        if history.is_doubtful {
            return Ok(past);
        }
        let Some(told) = told else {
            let text = format!("machine {machine} has changed it, and does not tell a follower so");
            return violation(Property::Fed, key, text);
        };
        let lives = |event: &&usize| {
            let event = &history.events[**event];
            !event.tombstone
                && event.expires_ms.is_none_or(|expires_ms| expires_ms > wall_ms + EXPIRES_NOW_MS)
        };
        let siblings = held.siblings.as_slice();
        let is = |events: &[usize]| events.iter().filter(lives).copied().collect::<BTreeSet<usize>>();
        if is(siblings) != is(told) {
            let text = format!(
                "machine {machine} holds events {siblings:?}, and has told a follower of {told:?} last"
            );
            return violation(Property::Fed, key, text);
        }
        Ok(past)
    }

    /// A follower has heard of these events, or they were there before. Returns how many writes had to be among them.
    fn judge_all_told(&mut self, machine: usize, key: usize, known: &EventSet) -> Judged<u64> {
        self.checked(Property::Fed);
        let (history, mut told) = (&self.histories[key], 0);
        if history.is_doubtful {
            return Ok(0);
        }
        for (number, event) in history.events.iter().enumerate() {
            let is_gone = event.excused || event.damaged || history.reaped.contains(number);
            if event.acknowledged.is_none() || is_gone {
                continue;
            }
            if !known.contains(number) {
                let text = format!(
                    "event {number} was acknowledged, and a follower of machine {machine} never heard of it"
                );
                return violation(Property::Fed, key, text);
            }
            told += 1;
        }
        Ok(told)
    }

    /// A version was issued: if its writer asked for it, its coordinator's copy had nothing that the context does not
    /// cover. To one who has seen nothing, deletes and what has expired are nothing.
    pub(super) fn judge_condition(
        &mut self,
        machine: usize,
        key: usize,
        event: usize,
        wall_ms: u64,
    ) -> Judged {
        let Some(id) = self.histories[key].events[event].operation else { return Ok(()) };
        let issued = &self.operations[&id].issued;
        let is_judged = machine < self.physical && !self.histories[key].is_doubtful;
        if issued.action != Action::PutIfSeen || !is_judged {
            return Ok(());
        }
        let covered = self.covered_of(id, key)?;
        let has_seen = covered.iter().next().is_some();
        self.checked(Property::IfSeen);
        let history = &self.histories[key];
        let held = history.top(machine).map(|held| held.siblings.as_slice()).unwrap_or_default();
        let counts = |&&held: &&usize| {
            let held = &history.events[held];
            let is_dead = held.expires_ms.is_some_and(|expires_ms| expires_ms <= wall_ms);
            has_seen || (!held.tombstone && !is_dead)
        };
        match held.iter().filter(counts).find(|&&held| !covered.contains(held)) {
            Some(unseen) => {
                let text = format!(
                    "operation {id} was to write only if it had seen all that machine {machine} holds, and became \
                     event {event} beside event {unseen}"
                );
                violation(Property::IfSeen, key, text)
            }
            None => Ok(()),
        }
    }

    /// A write was refused because of its condition: there is something that its context does not cover.
    pub(super) fn judge_changed(&mut self, id: u64, key: usize) -> Judged {
        self.checked(Property::IfSeen);
        let covered = self.covered_of(id, key)?;
        if (0..self.histories[key].events.len()).all(|event| covered.contains(event)) {
            let text = format!("operation {id} had seen all there is, and is told that something changed");
            return violation(Property::IfSeen, key, text);
        }
        Ok(())
    }

    /// What the context of an operation covers.
    fn covered_of(&self, id: u64, key: usize) -> Judged<EventSet> {
        match &self.operations[&id].issued.token {
            Some(seen) => Ok(self.covered_by(key, &seen.token)?.0),
            None => Ok(EventSet::default()),
        }
    }
}
