//! Clients who walk through a keyspace, page by page, while everything else goes on; and what they must have met.
//!
//! A walk asks another node for each page, and again where one fails. What was there from before its first page to
//! its last must be shown, once; what was deleted by then must not be. What changed meanwhile may be shown or not.

use std::collections::BTreeMap;

use super::clock::{MS, Time};
use super::history::{Acknowledged, Event as Write};
use super::oracle::{Judged, Oracle, Property, Violation, violation};
use super::strikes::Strike;
use super::workload::Action;
use super::world::{Event, World};
use crate::proto::error::Outcome;
use crate::proto::io::Reply;
use crate::proto::rng::Rng;
use crate::proto::version::Object;

/// Clients who walk.
const WALKERS: usize = 3;

/// Pages that fail one after the other before a walk is given up.
const PATIENCE: u32 = 20;

/// How long a healed cluster may take to show all keys.
const LIST_MAX: Time = 30_000 * MS;

/// What walks do, as a run counts it.
pub(super) const WALK_ACTS: [&str; 5] =
    ["walk ended", "walk over a change", "page failed", "key must be shown", "key must not be shown"];

/// One walk.
#[derive(Debug, Default)]
struct Walk {
    keyspace: u16,
    r: Option<u8>,
    limit: u32,
    cursor: u64,
    /// The longest pause between two pages.
    pause: Time,
    /// How many replies had been given when it began, and the topology of then.
    started: u64,
    version: u64,
    /// The page that was asked for.
    waits_for: Option<u64>,
    /// Pages that failed, one after the other.
    failed: u32,
    /// How often each key was shown.
    shown: BTreeMap<usize, u32>,
}

/// All walks of a run.
#[derive(Debug)]
pub(super) struct Walks {
    rng: Rng,
    walks: Vec<Option<Walk>>,
    /// Pages that came when everything was healed.
    pages: BTreeMap<u64, Reply>,
}

impl Walks {
    /// Nobody walks yet.
    pub(super) fn new(seed: u64) -> Box<Walks> {
        let walks = (0..WALKERS).map(|_| None).collect();
        Box::new(Walks { rng: Rng::new(seed ^ 0x0077_a1c5), walks, pages: BTreeMap::new() })
    }
}

impl World {
    /// Plans the first page of every walker.
    pub(super) fn plan_walks(&mut self) {
        for walker in 0..self.walks.as_ref().map_or(0, |walks| walks.walks.len()) {
            self.plan(self.now + 100 * MS, Event::Strike(Strike::Walk(walker)));
        }
    }

    fn version(&self) -> u64 {
        let latest = self.nemesis.as_ref().and_then(|nemesis| nemesis.latest.as_ref());
        latest.map_or(0, |topology| topology.version())
    }

    /// A walker asks for its next page, or again for one that did not come.
    pub(super) fn walk(&mut self, walker: usize) -> Judged {
        let (started, version) = (self.oracle.replies, self.version());
        let serving: Vec<usize> = (0..self.machines.len()).filter(|&m| self.is_serving(m)).collect();
        let keyspaces = self.profile.keyspaces.len() as u64;
        let Some(walks) = self.walks.as_mut().filter(|_| self.is_safety_phase) else { return Ok(()) };
        let rng = &mut walks.rng;
        let walk = walks.walks[walker].get_or_insert_with(|| {
            let keyspace = rng.below(keyspaces) as u16;
            let n = u64::from(self.oracle.keys()[usize::from(keyspace)].n);
            let r = rng.one_in(4).then(|| 1 + rng.below(n) as u8);
            let limit = 1 + rng.below(5) as u32;
            Walk { keyspace, r, limit, pause: (16 * MS) << rng.below(7), started, version, ..Walk::default() }
        });
        let at = self.now + MS + rng.below(walk.pause);
        let is_waiting = walk.waits_for.is_some_and(|id| self.open.contains_key(&id));
        if is_waiting || serving.is_empty() {
            self.plan(at, Event::Strike(Strike::Walk(walker)));
            return Ok(());
        }
        let machine = serving[rng.below(serving.len() as u64) as usize];
        let action = Action::Scan { cursor: walk.cursor, limit: walk.limit };
        let key = usize::from(walk.keyspace);
        let issued = self.workload.page(key, action, walk.r);
        walk.waits_for = Some(issued.id);
        self.plan(at, Event::Strike(Strike::Walk(walker)));
        self.submit(machine, &issued)
    }

    /// A page came, for some walk if it is one's.
    pub(super) fn take_page(&mut self, id: u64, reply: &Reply) -> Judged {
        let version = self.version();
        let Some(walks) = &mut self.walks else { return Ok(()) };
        if !self.is_safety_phase {
            walks.pages.insert(id, reply.clone());
        }
        let is_waited_for =
            |walk: &&mut Option<Walk>| walk.as_ref().and_then(|walk| walk.waits_for) == Some(id);
        let Some(place) = walks.walks.iter_mut().find(is_waited_for) else { return Ok(()) };
        let Some(walk) = place.as_mut() else { return Ok(()) };
        walk.waits_for = None;
        let Some(page) = reply.page.as_ref().filter(|_| reply.outcome == Outcome::Ok) else {
            walk.failed += 1;
            if walk.failed > PATIENCE {
                *place = None;
            }
            self.act("page failed");
            return Ok(());
        };
        for name in &page.keys {
            let key = self.oracle.key_number(&(walk.keyspace, name.clone())).expect("judged before");
            *walk.shown.entry(key).or_default() += 1;
        }
        (walk.cursor, walk.failed) = (page.next, 0);
        if walk.cursor != 0 {
            return Ok(());
        }
        let Some(walk) = place.take() else { return Ok(()) };
        self.act("walk ended");
        if walk.version != version {
            self.act("walk over a change");
        }
        for key in 0..self.oracle.keys().len() {
            if self.oracle.keys()[key].name.0 == walk.keyspace {
                let shown = walk.shown.get(&key).copied().unwrap_or(0);
                let known = self.oracle.judge_walk(key, walk.r, walk.started, shown)?;
                known.into_iter().for_each(|known| self.act(known));
            }
        }
        Ok(())
    }

    /// At the end every member shows the same keys: those that its copies hold alive.
    pub(super) fn judge_lists(&mut self) -> Judged {
        if self.walks.is_none() {
            return Ok(());
        }
        for machine in 0..self.machines.len() {
            if !self.is_wanted(machine) || !self.is_seated(machine) {
                continue;
            }
            for keyspace in 0..self.profile.keyspaces.len() as u16 {
                let before = self.live_keys(keyspace)?;
                let shown = self.list_all(machine, keyspace)?;
                let after = self.live_keys(keyspace)?;
                for (key, is_live) in before {
                    self.oracle.checked(Property::Scanned);
                    let times = shown.iter().filter(|&&other| other == key).count();
                    // What expires meanwhile may be shown or not.
                    let is_live = is_live.filter(|_| after.get(&key) == Some(&is_live));
                    if is_live.is_some_and(|is_live| times != usize::from(is_live)) {
                        let name = &self.names[machine];
                        let text = format!("everything is settled, and {name} shows a key {times} times");
                        return violation(Property::Scanned, key, text);
                    }
                }
            }
        }
        Ok(())
    }

    /// Which keys of a keyspace have a value, as their copies say.
    fn live_keys(&self, keyspace: u16) -> Judged<BTreeMap<usize, Option<bool>>> {
        let wall_ms = self.clock_of(0).wall.0;
        let keys = 0..self.oracle.keys().len();
        let of_keyspace = keys.filter(|&key| self.oracle.keys()[key].name.0 == keyspace);
        of_keyspace
            .map(|key| {
                let copies = self.last_copies(key)?;
                let lives = copies.iter().map(|(_, copy)| {
                    copy.as_ref().is_some_and(|(bytes, _)| {
                        Object::decode(bytes).expect("judged when it was put").latest(wall_ms).is_some()
                    })
                });
                let lives: Vec<bool> = lives.collect();
                // A clock that was ahead may have shed at one what has not expired yet.
                let is_sure = lives.iter().all(|is_live| *is_live == lives[0]);
                Ok((key, is_sure.then(|| lives[0])))
            })
            .collect()
    }

    /// All keys that a machine shows of a keyspace.
    fn list_all(&mut self, machine: usize, keyspace: u16) -> Judged<Vec<usize>> {
        let (mut shown, mut cursor, end) = (Vec::new(), 0, self.now + LIST_MAX);
        loop {
            self.oracle.count_liveness();
            let action = Action::Scan { cursor, limit: 7 };
            let issued = self.workload.page(usize::from(keyspace), action, None);
            let id = issued.id;
            self.submit(machine, &issued)?;
            let is_answered =
                |world: &World| world.walks.as_ref().is_some_and(|walks| walks.pages.contains_key(&id));
            if !is_answered(self) {
                self.run_until(self.now + 6_000 * MS, &is_answered)?;
            }
            match self.walks.as_mut().and_then(|walks| walks.pages.remove(&id)) {
                Some(Reply { page: Some(page), .. }) => {
                    let keys = page.keys.into_iter().map(|name| self.oracle.key_number(&(keyspace, name)));
                    shown.extend(keys.map(|key| key.expect("judged before")));
                    cursor = page.next;
                    if cursor == 0 {
                        return Ok(shown);
                    }
                }
                other if self.now > end => {
                    let outcome = other.map(|reply| reply.outcome);
                    let text = format!("everything is healed, and a page is answered {outcome:?}");
                    return Err(Violation { property: Property::Liveness, key: None, text });
                }
                _ => self.run_until(self.now + 300 * MS, &|_| false)?,
            }
        }
    }
}

impl Oracle {
    /// A walk has ended that began after so many replies and read by R, and showed a key so many times. Says what had
    /// to be.
    fn judge_walk(
        &mut self,
        key: usize,
        r: Option<u8>,
        started: u64,
        shown: u32,
    ) -> Judged<Option<&'static str>> {
        self.checked(Property::Scanned);
        if shown > 1 {
            return violation(Property::Scanned, key, format!("a walk shows it {shown} times"));
        }
        let (info, history) = (&self.keys[key], &self.histories[key]);
        let r = r.unwrap_or(info.r);
        if history.is_doubtful || (self.is_kept && r < info.r) {
            return Ok(None);
        }
        // What moves is reconciled as the keyspace's defaults ask for (trap T8).
        let w_least = if self.is_kept { info.w } else { 0 };
        let is_met = |write: &Write| match write.acknowledged {
            Some(Acknowledged { at, w }) => at <= started && !write.damaged && w >= w_least && r + w > info.n,
            None => false,
        };
        let writes = || history.events.iter().enumerate();
        let met = || writes().filter(|(number, write)| is_met(write) && !history.reaped.contains(*number));
        // Whatever takes the place of a value is one as well.
        let stays =
            |number: usize| !writes().any(|(_, later)| later.may_be_hidden() && later.past.contains(number));
        if let Some((number, _)) = met().find(|&(number, write)| !write.may_be_hidden() && stays(number)) {
            if shown == 0 {
                let text = format!("a walk by {r} misses it; event {number} was there throughout");
                return violation(Property::Scanned, key, text);
            }
            return Ok(Some("key must be shown"));
        }
        let covers =
            |tomb: &Write| writes().all(|(number, write)| write.tombstone || tomb.claims.contains(number));
        if let Some((number, _)) = met().find(|(_, write)| write.tombstone && covers(write)) {
            if shown > 0 {
                let text = format!("a walk by {r} shows it; event {number} had deleted it before");
                return violation(Property::Scanned, key, text);
            }
            return Ok(Some("key must not be shown"));
        }
        Ok(None)
    }
}
