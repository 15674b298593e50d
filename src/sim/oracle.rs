//! Judges a run: knows exactly who wrote what having seen what, and compares every put of every store
//! and every reply with it.
//!
//! This file holds what the oracle knows and how it judges puts, crashes and the end of a run; `replies`
//! judges what clients are told. It never looks at how the core reached a result, only at whether it may
//! stand.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::counting::items_of;
use super::faults::Kind;
use super::hinted;
use super::history::{EventSet, Held, KeyHistory, Stage, Unknown};
pub use super::property::{Judged, Property, Violation};
use super::watched::{KeyName, NotedPut};
use super::workload::{Action, Issued, last_piece};
use crate::proto::io::{Blind, Request};
use crate::proto::keys::ClusterKeys;
use crate::proto::store::{Durability, Marks, Sequence};
use crate::proto::version::{Object, Sibling};

/// A key of the run.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// Keyspace and key.
    pub name: KeyName,
    /// Replicas: min(N, machines).
    pub n: u8,
    /// Replicas that acknowledge a write by default.
    pub w: u8,
    /// That answer a read by default.
    pub r: u8,
    /// When a replica acknowledges.
    pub durability: Durability,
    /// What it is used as.
    pub kind: Kind,
    /// Its partition.
    pub partition: u16,
    /// The machines that hold it; where the members change, those whose copies are evidence now.
    pub owners: Vec<usize>,
    /// Where the members change: machines that were owners and have not dropped what they held, a bit each.
    pub obliged: u64,
}

/// What a machine holds of a key at the end: the object's bytes and its item hash.
pub type LastCopy = Option<(Vec<u8>, u64)>;

/// How a machine came to stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// In good order: everything is on disk.
    Clean,
    /// The process was killed: what was written stays.
    Killed,
    /// The power went: what was durable stays.
    Crashed,
    /// The power went while the store was being closed or opened: the same, and it may count as clean.
    CrashedAtRest,
}

/// What the oracle knows of a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct MachineView {
    pub(super) generation: u64,
    pub(super) opens: u64,
    pub(super) marks: (Sequence, Sequence),
    pub(super) last_sequence: Sequence,
    /// While it stands still: what of its records is sure to come back.
    pub(super) down: Option<Sequence>,
    /// Its disk rots.
    pub(super) is_rotten: bool,
    /// Its disk was put back to what it was, and not opened since.
    pub(super) is_restored: bool,
    /// Its disk was put back, and the cluster has not let it in since: nothing on it is promised.
    pub(super) is_put_back: bool,
    /// It runs on an old copy, and nobody has told it.
    pub(super) is_old: bool,
    /// The generation that it disowned, which comes back if the power goes too soon.
    pub(super) disowned: Option<u64>,
    /// What was written before each of its writes that strayed.
    pub(super) strays: Vec<Sequence>,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) issued: Issued,
    /// The machine whose node has it.
    pub(super) asked: usize,
    /// How many replies had been given when it was submitted.
    pub(super) started: u64,
    pub(super) event: Option<usize>,
    /// A reply named its event.
    pub(super) is_told: bool,
    /// What is known of its end.
    pub(super) end: End,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not yet.
    Open,
    /// Answered: it may have been carried out, or will be.
    Answered,
    /// Answered: nothing was or will be written.
    Refused,
    /// Its node was stopped: no answer will come.
    Abandoned,
}

/// The judge of one run.
pub struct Oracle {
    pub(super) keys: Vec<KeyInfo>,
    pub(super) histories: Vec<KeyHistory>,
    by_name: HashMap<KeyName, usize>,
    pub(super) operations: HashMap<u64, Tracked>,
    /// Machines, and behind them the places of hints, if there are any.
    pub(super) machines: Vec<MachineView>,
    pub(super) physical: usize,
    pub(super) nonces: BTreeSet<u64>,
    /// Operations that the call under way is about: a tombstone or a new expiry is theirs first.
    expected: Vec<u64>,
    /// For each machine those that earlier calls were about and that wait there.
    waiting: Vec<Vec<u64>>,
    pub(super) cluster: ClusterKeys,
    pub(super) siblings_max: usize,
    /// The members change: owners do, and a machine that comes back empty counts for nothing at first.
    pub is_kept: bool,
    pub(super) replies: u64,
    /// How often each property was checked.
    pub checks: BTreeMap<Property, u64>,
    /// Acknowledged writes that were lost with the tails of all their copies.
    pub excused: u64,
    /// Times two writes were taken for each other, so that their key was judged no more.
    pub doubtful: u64,
    /// Values whose bytes a machine dropped.
    pub shed: u64,
}

/// Most entries of a context in a run: an epoch a key for each stop of each machine.
const CLOCK_ENTRIES_MAX: usize = 1_024;

pub(super) fn violation<T>(property: Property, key: usize, text: String) -> Judged<T> {
    Err(Violation { property, key: Some(key), text })
}

impl Oracle {
    /// A judge who knows nothing yet.
    pub fn new(
        keys: Vec<KeyInfo>,
        (machines, has_hints): (usize, bool),
        cluster: ClusterKeys,
        siblings_max: usize,
    ) -> Oracle {
        let places = if has_hints { hinted::places(machines) } else { machines };
        let by_name = keys.iter().enumerate().map(|(number, key)| (key.name.clone(), number)).collect();
        Oracle {
            histories: keys.iter().map(|_| KeyHistory::new((machines, places), cluster.hash)).collect(),
            by_name,
            keys,
            operations: HashMap::new(),
            machines: vec![MachineView::default(); places],
            physical: machines,
            nonces: BTreeSet::new(),
            expected: Vec::new(),
            waiting: vec![Vec::new(); machines],
            cluster,
            siblings_max,
            is_kept: false,
            replies: 0,
            checks: BTreeMap::new(),
            excused: 0,
            doubtful: 0,
            shed: 0,
        }
    }

    pub(super) fn checked(&mut self, property: Property) {
        *self.checks.entry(property).or_default() += 1;
    }

    /// A request of the liveness phase is submitted.
    pub fn count_liveness(&mut self) {
        self.checked(Property::Liveness);
    }

    /// The keys of the run.
    pub fn keys(&self) -> &[KeyInfo] {
        &self.keys
    }

    /// The number of a key.
    pub fn key_number(&self, name: &KeyName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The key of an operation.
    pub fn key_of(&self, id: u64) -> Option<usize> {
        self.operations.get(&id).map(|tracked| tracked.issued.key)
    }

    /// The client of an operation; the first if there is no such operation.
    pub fn client_of(&self, id: u64) -> usize {
        self.operations.get(&id).map_or(0, |tracked| tracked.issued.client)
    }

    /// A request is submitted to a machine's node.
    pub fn submitted(&mut self, machine: usize, issued: &Issued) {
        let tracked = Tracked {
            issued: issued.clone(),
            asked: machine,
            started: self.replies,
            event: None,
            is_told: false,
            end: End::Open,
        };
        self.operations.insert(issued.id, tracked);
    }

    /// The next call into a machine is about these operations.
    pub fn expect(&mut self, machine: usize, operations: Vec<u64>) {
        let waiting = &mut self.waiting[machine];
        waiting.extend(operations.iter().filter(|id| !waiting.contains(id)).copied().collect::<Vec<_>>());
        if waiting.len() > 64 {
            waiting.drain(..32);
        }
        self.expected = operations;
    }

    /// The operations that a forwarded request may be.
    pub fn forwarded(&self, key: usize, request: &Request<'_>) -> Vec<u64> {
        let ids = self.operations.values().filter(|tracked| tracked.issued.key == key);
        let (keyspace, name) = &self.keys[key].name;
        let same = ids.filter(|tracked| {
            tracked.issued.action.writes()
                && tracked.issued.request(*keyspace, name).operation == request.operation
        });
        let mut ids: Vec<u64> = same.map(|tracked| tracked.issued.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The node that had a request was stopped.
    pub fn abandoned(&mut self, id: u64) {
        if let Some(tracked) = self.operations.get_mut(&id) {
            tracked.end = End::Abandoned;
        }
    }

    /// A store's marks as they are now.
    pub fn marks(&mut self, machine: usize, marks: Marks) -> Judged {
        self.checked(Property::Restart);
        let known = &mut self.machines[machine].marks;
        let now = (marks.written, marks.durable);
        if now.0 < known.0 || now.1 < known.1 {
            let text = format!("machine {machine}: marks went back from {known:?} to {now:?}");
            return Err(Violation { property: Property::Restart, key: None, text });
        }
        *known = now;
        Ok(())
    }

    /// A store took a record. `generation` is that of the store now, `wall_ms` what the machine's clock says.
    ///
    /// # Errors
    /// The record may not stand.
    pub fn put(&mut self, machine: usize, generation: u64, wall_ms: u64, put: &NotedPut) -> Judged {
        if put.over_unknown
            && let Some(key) = self.key_number(&put.key)
        {
            self.rotted(machine, key)?;
        }
        let Some(key) = self.key_number(&put.key) else {
            let text = format!("machine {machine} put {:?}, which nobody wrote", put.key);
            return Err(Violation { property: Property::NoValueFromNowhere, key: None, text });
        };
        let object = match Object::decode(&put.object) {
            Ok(object) => object,
            Err(error) => {
                let text = format!("machine {machine} stored an object that cannot be read: {error}");
                return violation(Property::NoValueFromNowhere, key, text);
            }
        };
        let view = &mut self.machines[machine];
        if put.sequence <= view.last_sequence && generation == view.generation {
            let (last, now) = (view.last_sequence, put.sequence);
            return violation(
                Property::Restart,
                key,
                format!("machine {machine}: sequence {now:?} after {last:?}"),
            );
        }
        let generations = [view.generation, generation];
        view.last_sequence = put.sequence;
        view.generation = generation;
        let before = self.histories[key].events.len();
        let mut held = self.judge_object(machine, key, &object, generations, put)?;
        if before < self.histories[key].events.len() && !put.over_unknown {
            self.judge_condition(machine, key, before, wall_ms)?;
        }
        let shed = object.siblings().iter().filter(|sibling| sibling.is_shed());
        held.shed = shed.filter_map(|sibling| self.histories[key].find(sibling).ok()).collect();
        self.judge_shed(machine, key, &held, wall_ms)?;
        let durable = self.machines[machine].marks.1;
        if put.over_unknown {
            self.forget_lost(machine, key, &held);
        }
        self.histories[key].hold(machine, held, durable);
        Ok(())
    }

    /// Recognises the siblings of a stored object, issues the one that is new, and checks the causality
    /// of the whole.
    fn judge_object(
        &mut self,
        machine: usize,
        key: usize,
        object: &Object<'_>,
        generations: [u64; 2],
        put: &NotedPut,
    ) -> Judged<Held> {
        self.checked(Property::NoValueFromNowhere);
        self.checked(Property::DotsUnique);
        let items = items_of(object);
        let mut known = Vec::with_capacity(items.len());
        let mut fresh = None;
        for sibling in &items {
            match self.histories[key].find(sibling) {
                Ok(event) => known.push(event),
                Err(Unknown::Dot(dot))
                    if generations.contains(&dot.actor.generation)
                        && fresh.is_none()
                        && !sibling.is_shed() =>
                {
                    fresh = Some(sibling);
                }
                Err(Unknown::Dot(dot)) => {
                    let text = format!("machine {machine} stores {dot:?}, which nobody issued");
                    return violation(Property::NoValueFromNowhere, key, text);
                }
                Err(Unknown::Content(dot, event)) => {
                    let text =
                        format!("machine {machine}: {dot:?} names two writes; the first is event {event}");
                    return violation(Property::DotsUnique, key, text);
                }
            }
        }
        let removal = if fresh.is_none() { self.removal_of(key, object, generations) } else { None };
        let fresh = fresh.or(removal.as_ref());
        known.extend(self.removals_in(key, object));
        let held = match fresh {
            Some(sibling) => self.issue(machine, key, object, sibling, known, put)?,
            None => {
                let (past, claims) = (
                    self.histories[key].past_of(known.clone()),
                    self.histories[key].claims_of(known.clone()),
                );
                self.held(put, known, past, claims)
            }
        };
        self.judge_causality(machine, key, object, &held)?;
        self.judge_sum(machine, key, object, &held.past)?;
        self.judge_buried(machine, key, &held)?;
        self.judge_elements(machine, key, object, &held.past)?;
        self.judge_bounds(machine, key, object, fresh.is_some())?;
        Ok(held)
    }

    fn held(&self, put: &NotedPut, siblings: Vec<usize>, past: EventSet, claims: EventSet) -> Held {
        let check = check_of(&put.object);
        let (item_hash, epoch) = (put.item_hash, put.local.epoch);
        let (sequence, shed, is_gone) = (put.sequence, Vec::new(), false);
        Held { sequence, check, item_hash, epoch, siblings, shed, past, claims, is_gone }
    }

    /// A new dot appeared in the store of its issuer: finds the operation it belongs to, and what that
    /// one's writer had seen.
    fn issue(
        &mut self,
        machine: usize,
        key: usize,
        object: &Object<'_>,
        sibling: &Sibling<'_>,
        others: Vec<usize>,
        put: &NotedPut,
    ) -> Judged<Held> {
        let candidates = match self.keys[key].kind == Kind::Set {
            true => self.candidates_of_element(machine, key, object, (sibling, &others)),
            false => self.candidates(machine, key, sibling),
        };
        let (candidates, mut first_refusal) = match candidates {
            Ok(ids) => (ids, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        for id in candidates {
            let (past, claims) = self.knowledge(machine, key, object, (id, &others));
            let history = &self.histories[key];
            let (mut all_past, mut all_claims) =
                (history.past_of(others.iter().copied()), history.claims_of(others.iter().copied()));
            all_past.add(&past);
            all_claims.add(&claims);
            // The event's own number is the next one; it is in the sets before it exists.
            let number = history.events.len();
            all_past.insert(number);
            all_claims.insert(number);
            let mut siblings = others.clone();
            siblings.push(number);
            let held = self.held(put, siblings, all_past, all_claims);
            let event = self.histories[key].issue(sibling, Some(id), past, claims);
            self.histories[key].events[event].is_itemless =
                !object.siblings().iter().any(|item| item.dot == sibling.dot)
                    && !object.counts().iter().any(|item| item.dot == sibling.dot);
            let judged = self.judge_causality(machine, key, object, &held);
            let judged = judged.and_then(|()| self.judge_sum(machine, key, object, &held.past));
            match judged.and_then(|()| self.judge_elements(machine, key, object, &held.past)) {
                Ok(()) => {
                    self.operations.get_mut(&id).expect("a candidate is an operation").event = Some(event);
                    return Ok(held);
                }
                Err(refusal) => {
                    self.histories[key].take_back(sibling.dot);
                    first_refusal.get_or_insert(refusal);
                }
            }
        }
        if sibling.tombstone && self.may_be_mistaken(key) {
            return Ok(self.issue_in_doubt(machine, key, sibling, others, put));
        }
        Err(first_refusal.expect("without a candidate there is a refusal"))
    }

    /// Whether an earlier tombstone may have been taken for another delete's: there is one that has not been
    /// told its dot.
    fn may_be_mistaken(&self, key: usize) -> bool {
        self.operations.values().any(|tracked| {
            let issued = &tracked.issued;
            issued.key == key && issued.action.deletes() && tracked.event.is_some() && !tracked.is_told
        })
    }

    /// Issues a tombstone of which nobody can tell whose it is; its key is judged no more.
    fn issue_in_doubt(
        &mut self,
        machine: usize,
        key: usize,
        sibling: &Sibling<'_>,
        others: Vec<usize>,
        put: &NotedPut,
    ) -> Held {
        self.doubtful += 1;
        let history = &mut self.histories[key];
        history.is_doubtful = true;
        let before = history.top(machine).map(|held| held.past.clone()).unwrap_or_default();
        let event = history.issue(sibling, None, before.clone(), before);
        let mut siblings = others;
        siblings.push(event);
        let (past, claims) = (history.past_of(siblings.clone()), history.claims_of(siblings.clone()));
        self.held(put, siblings, past, claims)
    }

    /// The operations on a key without an event that are wanted: those the call is about first, then those still
    /// under way, then the oldest.
    pub(super) fn waiting_for(
        &self,
        machine: usize,
        key: usize,
        wanted: &dyn Fn(&Issued) -> bool,
    ) -> Vec<u64> {
        let mut ids: Vec<u64> = self
            .operations
            .values()
            .filter(|tracked| tracked.issued.key == key && wanted(&tracked.issued))
            .filter(|tracked| tracked.event.is_none() && tracked.end != End::Refused)
            .map(|tracked| tracked.issued.id)
            .collect();
        ids.sort_by_key(|id| {
            let is_open = self.operations[id].end == End::Open;
            let is_waiting = self.waiting[hinted::machine_of(self.physical, machine)].contains(id);
            (!self.expected.contains(id), !is_waiting, !is_open, *id)
        });
        ids
    }

    /// The operations that a new sibling may belong to, at least one.
    fn candidates(&self, machine: usize, key: usize, sibling: &Sibling<'_>) -> Judged<Vec<u64>> {
        let waiting = |wanted: &dyn Fn(Action) -> bool| {
            self.waiting_for(machine, key, &|issued: &Issued| wanted(issued.action))
        };
        let nowhere = |text: String| violation(Property::NoValueFromNowhere, key, text);
        if sibling.tombstone {
            let ids = waiting(&|action| action.deletes());
            return if ids.is_empty() {
                nowhere(format!("{:?} deletes; nobody asked", sibling.dot))
            } else {
                Ok(ids)
            };
        }
        if self.keys[key].kind == Kind::Counter {
            return self.candidate_of_count(key, sibling);
        }
        let Some(id) = last_piece(sibling.bytes()) else {
            return nowhere(format!("{:?} has a value that nobody wrote", sibling.dot));
        };
        let Some(tracked) = self.operations.get(&id).filter(|tracked| tracked.issued.key == key) else {
            return nowhere(format!(
                "{:?} has a value of operation {id}, which is of another key",
                sibling.dot
            ));
        };
        if tracked.event.is_some() {
            let ids = waiting(&|action| action == Action::Expire);
            let known = self.histories[key].events.iter().any(|event| event.value == sibling.bytes());
            if ids.is_empty() || !known {
                return nowhere(format!(
                    "operation {id} was carried out twice; the second is {:?}",
                    sibling.dot
                ));
            }
            return Ok(ids);
        }
        if tracked.end == End::Refused {
            return nowhere(format!("operation {id} was refused, and then issued {:?}", sibling.dot));
        }
        let base = sibling.bytes().strip_suffix(tracked.issued.piece.as_slice());
        let whole = match (tracked.issued.action, base) {
            (Action::Put | Action::PutIfSeen | Action::BlindPut(_) | Action::Set(_), Some(b"")) => true,
            (Action::Append, Some(base)) => {
                base.is_empty() || self.histories[key].events.iter().any(|event| event.value == base)
            }
            _ => false,
        };
        if whole { Ok(vec![id]) } else { nowhere(format!("operation {id} did not write this value")) }
    }

    /// What the writer of an operation had seen, and what its write's context promises to cover.
    fn knowledge(
        &self,
        machine: usize,
        key: usize,
        object: &Object<'_>,
        (id, others): (u64, &[usize]),
    ) -> (EventSet, EventSet) {
        let history = &self.histories[key];
        let issued = &self.operations[&id].issued;
        match (issued.action, &issued.token) {
            (Action::Put | Action::PutIfSeen | Action::Delete, Some(seen)) => {
                let mut claims = seen.claims.clone();
                if seen.partial {
                    claims.keep(&history.covered(object.context()));
                }
                (seen.past.clone(), claims)
            }
            // An increment covers what it takes the place of: its actor's count, and what is dead.
            (Action::Add | Action::AddTo, _) => {
                let before = history.top(machine).map(|held| held.siblings.clone()).unwrap_or_default();
                let gone = || before.iter().copied().filter(|event| !others.contains(event));
                (history.past_of(gone()), history.claims_of(gone()))
            }
            // A change of a set has seen what it leaves, and covers what it takes the place of.
            (Action::AddElement | Action::RemoveElement, _) => {
                let past = history.top(machine).map(|held| held.past.clone()).unwrap_or_default();
                (past, history.claims_of(self.gone(machine, key, others)))
            }
            (Action::BlindPut(Blind::Siblings), _) => Default::default(),
            (Action::Put | Action::PutIfSeen, None) => Default::default(),
            // The others supersede what their coordinator holds; an edit first merges R replicas into it.
            _ => {
                history.top(machine).map(|held| (held.past.clone(), held.claims.clone())).unwrap_or_default()
            }
        }
    }

    fn judge_causality(&mut self, machine: usize, key: usize, object: &Object<'_>, held: &Held) -> Judged {
        self.checked(Property::Causality);
        let history = &self.histories[key];
        if history.is_doubtful {
            return Ok(());
        }
        let covered = history.covered(object.context());
        let wrong = |text: String| violation(Property::Causality, key, format!("machine {machine}: {text}"));
        if let Some(event) = covered.first_missing_in(&held.past) {
            return wrong(format!("the context covers event {event}, which nothing here had seen"));
        }
        if let Some(event) = held.claims.first_missing_in(&covered) {
            return wrong(format!("the context does not cover event {event}, which was seen"));
        }
        for &old in held.siblings.iter().filter(|&&old| !history.events[old].is_itemless) {
            if let Some(new) = held.siblings.iter().find(|&&new| history.events[new].claims.contains(old)) {
                return wrong(format!("event {old} stands beside event {new}, which had seen it"));
            }
        }
        if let Some(before) = history.top(machine)
            && let Some(event) = before.past.first_missing_in(&held.past)
        {
            return wrong(format!("event {event} was known and is forgotten"));
        }
        Ok(())
    }

    fn judge_bounds(&mut self, machine: usize, key: usize, object: &Object<'_>, issued: bool) -> Judged {
        self.checked(Property::Bounds);
        let siblings = object.siblings().len() - object.elements().count();
        let entries = object.context().len();
        // A limit holds where a dot is issued; two sides that were apart may each have reached it.
        let bound = if issued { self.siblings_max } else { self.siblings_max * self.machines.len() };
        if siblings > bound.max(1) {
            let text = format!("machine {machine} holds {siblings} siblings; {bound} are allowed");
            return violation(Property::Bounds, key, text);
        }
        if entries > CLOCK_ENTRIES_MAX {
            return violation(Property::Bounds, key, format!("a context of {entries} entries"));
        }
        Ok(())
    }

    /// The end of a run: `found` is what the owners of each key hold, as far as they can tell: the machine,
    /// and the object's bytes with its item hash.
    ///
    /// # Errors
    /// Replicas differ, or an acknowledged write is gone.
    pub fn finish(&mut self, found: &[Vec<(usize, LastCopy)>]) -> Judged {
        for (key, copies) in found.iter().enumerate() {
            self.checked(Property::Convergence);
            let settled: Vec<LastCopy> = copies.iter().map(|(_, copy)| self.settled(copy)).collect();
            if let Some(at) = settled.iter().position(|copy| *copy != settled[0]) {
                let text = format!("machines {} and {} hold different records", copies[0].0, copies[at].0);
                return violation(Property::Convergence, key, text);
            }
            let history = &self.histories[key];
            let present = match &copies[0].1 {
                None => EventSet::default(),
                Some((bytes, _)) => {
                    let object = Object::decode(bytes).expect("judged when it was put");
                    let items = items_of(&object);
                    let items = items.iter().map(|item| history.find(item).expect("judged before"));
                    let items: Vec<usize> = items.collect();
                    if let Some(event) = items.iter().find(|&&event| self.is_buried(key, event)) {
                        let text = format!("event {event} is there at the end, and was deleted and reaped");
                        return violation(Property::Reaped, key, text);
                    }
                    history.past_of(items.into_iter().chain(self.removals_in(key, &object)))
                }
            };
            for (number, event) in history.events.iter().enumerate() {
                let is_known = present.contains(number) || history.reaped.contains(number);
                if event.acknowledged.is_none() || is_known || history.is_doubtful {
                    continue;
                }
                if !event.excused || self.keys[key].durability == Durability::Always {
                    let text = format!(
                        "event {number} (operation {:?}) was acknowledged; it is neither present nor covered",
                        event.operation
                    );
                    return violation(Property::NoLostWrite, key, text);
                }
                self.excused += 1;
            }
            self.checked(Property::NoLostWrite);
        }
        Ok(())
    }

    /// For a report: which sequences hold an event on each machine, and its marks; places of hints only where it is.
    pub(super) fn stages(&self, key: usize, event: usize) -> String {
        let place = |(number, view): (usize, &MachineView)| {
            let held = self.histories[key].held[number].iter().filter(|held| held.past.contains(event));
            let sequences: Vec<u64> = held.map(|held| held.sequence.0).collect();
            let is_told = number < self.physical || !sequences.is_empty();
            let text =
                format!("n{number} {sequences:?} written {} durable {}", view.marks.0.0, view.marks.1.0);
            is_told.then_some(text)
        };
        self.machines.iter().enumerate().filter_map(place).collect::<Vec<_>>().join("; ")
    }

    /// Whether a copy of an event reached a stage on so many machines.
    pub(super) fn copies(&self, key: usize, event: usize, stage: Stage) -> u32 {
        let marks: Vec<_> = self.machines.iter().map(|machine| machine.marks).collect();
        self.histories[key].copies(event, stage, &marks)
    }
}

/// A hash of a record's bytes, to compare what was put with what came back.
pub fn check_of(object: &[u8]) -> u64 {
    // FNV-1a: any function of all bytes will do, nobody plays against it.
    object
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
