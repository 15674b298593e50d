//! The world: true time, the machines with their clocks, disks and nodes, and what happens next.
//!
//! Everything that happens is an event at a point of true time; equal times happen in the order in which
//! they were planned. The world calls into one node at a time, carries out what it wants done, shows the
//! oracle every put, mark and reply, and plans what follows. `strikes` decides when something breaks.

use core::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use super::clock::{Clock, MS, Time};
use super::disk::Platter;
use super::faults::{Fault, Profile};
use super::feeds::Feeds;
use super::nemesis::Nemesis;
use super::network::{Flight, Network};
use super::oracle::{Judged, Oracle, Property, Stop, Violation};
use super::report::Counts;
use super::restored::Backup;
use super::strikes::Strike;
use super::trace::{Trace, show};
use super::walks::Walks;
use super::watched::{KeyName, Noted, WatchedStore};
use super::workload::Workload;
use crate::proto::config::Config;
use crate::proto::io::{MemberId, Output};
use crate::proto::message;
use crate::proto::node::Node;
use crate::proto::rng::Rng;
use crate::proto::store::{Sequence, Store, Ticket};
use crate::proto::time::{Instant, Now};

/// How late a reply may be: a tick of the coordinator's timers, and nothing else.
pub(super) const SLACK: Time = 5 * MS;

/// Events within one millisecond, at most: more, and a node asks to be woken again and again for nothing.
const SPINS_MAX: u64 = 200_000;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A frame arrives.
    Frame { from: usize, to: usize, flight: Flight },
    /// A machine looks whether its connection to a peer is what it believes.
    Notice { machine: usize, peer: usize },
    /// A node's deadline comes.
    Wake { machine: usize, boot: u64 },
    /// The log worker does one thing.
    DiskStep { machine: usize, boot: u64 },
    /// A cold read is done.
    ReadDone { machine: usize, boot: u64, ticket: Ticket, key: KeyName },
    /// A client has thought.
    Turn { client: usize },
    /// A client waits no more for a request.
    Leave { id: u64 },
    /// A request should have been answered by now.
    Overdue { id: u64 },
    /// Something breaks or is mended.
    Strike(Strike),
}

struct Planned {
    at: Time,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One machine.
pub(super) struct Machine {
    pub(super) node: Option<Node<WatchedStore>>,
    pub(super) platter: Platter,
    /// The disk of its hints.
    pub(super) hint_platter: Platter,
    pub(super) clock: Clock,
    /// Counts starts: events for an earlier one mean nothing.
    pub(super) boot: u64,
    /// Stands still until then.
    pub(super) paused_until: Time,
    /// How it stopped; `None` before its first start and after a wipe.
    pub(super) stop: Option<Stop>,
    /// It runs with another layout, and nobody asks it anything.
    pub(super) is_foreign: bool,
    /// Its disk was full at some time.
    pub(super) was_full: bool,
    /// Records that cannot be read: of each of these keys all up to a sequence.
    pub(super) damaged: BTreeMap<KeyName, Sequence>,
    /// Its disk rots.
    pub(super) is_rotten: bool,
    /// What its node believed of others' disks was judged up to here.
    pub(super) claims_seen: u64,
    /// What its disk was once.
    pub(super) backup: Option<Backup>,
    /// The generation that the hints on its disk are of.
    pub(super) hints_of: u64,
    /// The earliest planned wake-up.
    wake_at: Option<Time>,
    /// A step of the log worker is planned.
    disk_planned: bool,
}

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) machine: usize,
    pub(super) deadline: Instant,
    pub(super) writes: bool,
}

/// Everything.
pub(super) struct World {
    pub(super) now: Time,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    pub(super) profile: Profile,
    pub(super) machines: Vec<Machine>,
    pub(super) names: Vec<String>,
    pub(super) ids: Vec<MemberId>,
    pub(super) network: Network,
    pub(super) oracle: Oracle,
    pub(super) workload: Workload,
    pub(super) rng: Rng,
    pub(super) open: BTreeMap<u64, Open>,
    /// The last replies, for the liveness phase: which outcome each request of it had.
    pub(super) outcomes: BTreeMap<u64, String>,
    pub(super) counts: Counts,
    pub(super) trace: Trace,
    pub(super) acknowledged: u64,
    /// Clients ask and faults strike.
    pub(super) is_safety_phase: bool,
    pub(super) config: Config,
    /// Who changes the members, if they change.
    pub(super) nemesis: Option<Box<Nemesis>>,
    /// Who walks through all keys, if anybody does.
    pub(super) walks: Option<Box<Walks>>,
    /// Who follows change feeds, if anybody does.
    pub(super) feeds: Option<Box<Feeds>>,
    /// Events of this millisecond.
    spins: u64,
}

impl Machine {
    /// What was planned for the boot before means nothing now.
    pub(super) fn reset_plans(&mut self) {
        self.wake_at = None;
        self.disk_planned = false;
        self.claims_seen = 0;
    }
}

/// What a new world is made of.
pub(super) struct Parts {
    pub(super) profile: Profile,
    pub(super) config: Config,
    pub(super) names: Vec<String>,
    pub(super) ids: Vec<MemberId>,
    pub(super) oracle: Oracle,
    pub(super) seed: u64,
    pub(super) text: bool,
}

impl World {
    /// Machines that were never started.
    pub(super) fn new(parts: Parts) -> World {
        let Parts { profile, config, names, ids, oracle, seed, text } = parts;
        let mut rng = Rng::new(seed ^ 0x0030_171d);
        let machines = (0..profile.machines).map(|number| Machine {
            node: None,
            platter: Platter::new(number as u64 + 1, rng.next_u64()),
            hint_platter: World::hint_platter(number, seed),
            clock: Clock::new(&mut rng, profile.skew_ms, profile.drift_ppm),
            boot: 0,
            paused_until: 0,
            stop: None,
            is_foreign: false,
            was_full: false,
            damaged: BTreeMap::new(),
            is_rotten: profile.rotten == Some(number),
            claims_seen: 0,
            backup: None,
            hints_of: 0,
            wake_at: None,
            disk_planned: false,
        });
        let machines = machines.collect();
        let keys = oracle.keys().iter().map(|key| (key.n, key.kind)).collect();
        World {
            now: 0,
            queue: BinaryHeap::new(),
            planned: 0,
            network: Network::new(profile.machines, rng.next_u64()),
            workload: Workload::new(keys, &profile, rng.next_u64()),
            machines,
            names,
            ids,
            oracle,
            rng,
            open: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            counts: Counts::default(),
            trace: Trace::new(text),
            acknowledged: 0,
            is_safety_phase: true,
            nemesis: Nemesis::new(&profile, seed),
            walks: profile.walks.then(|| Walks::new(seed)),
            feeds: profile.feeds.then(|| Feeds::new(seed)),
            spins: 0,
            profile,
            config,
        }
    }

    /// Plans an event.
    pub(super) fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse(Planned { at: at.max(self.now), order: self.planned, event }));
    }

    /// Carries on until `end` or until `enough` says so after an event.
    pub(super) fn run_until(&mut self, end: Time, enough: &dyn Fn(&World) -> bool) -> Judged {
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at > end {
                break;
            }
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.spins = if next.at / MS == self.now / MS { self.spins + 1 } else { 0 };
            self.now = next.at;
            if self.spins > SPINS_MAX {
                let text = format!("something spins: {:?}", next.event);
                return Err(Violation { property: Property::Liveness, key: None, text });
            }
            self.happen(next.event)?;
            if enough(self) {
                return Ok(());
            }
        }
        self.now = self.now.max(end);
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Judged {
        match event {
            Event::Turn { client } => self.take_turn(client),
            Event::Leave { id } => self.cancel(id),
            Event::Overdue { id } => self.look_for_reply(id),
            Event::Strike(strike) => self.strike(strike),
            event => {
                let machine = match event {
                    Event::Frame { to, .. } => to,
                    Event::Notice { machine, .. }
                    | Event::Wake { machine, .. }
                    | Event::DiskStep { machine, .. }
                    | Event::ReadDone { machine, .. } => machine,
                    _ => unreachable!("handled above"),
                };
                let until = self.machines[machine].paused_until;
                if until > self.now {
                    // Everything waits in the sockets and queues of a machine that stands still.
                    if matches!(event, Event::Wake { .. }) {
                        self.machines[machine].wake_at = Some(until);
                    }
                    self.plan(until, event);
                    return Ok(());
                }
                self.happen_to(machine, event)
            }
        }
    }

    fn happen_to(&mut self, machine: usize, event: Event) -> Judged {
        let is_current =
            |boot: u64| self.machines[machine].boot == boot && self.machines[machine].node.is_some();
        match event {
            Event::Frame { from, to, flight } => self.arrive(from, to, flight),
            Event::Notice { machine, peer } => self.notice(machine, peer),
            Event::Wake { boot, .. } if is_current(boot) => self.wake(machine),
            Event::DiskStep { boot, .. } if is_current(boot) => self.disk_step(machine),
            Event::ReadDone { boot, ticket, key, .. } if is_current(boot) => {
                self.trace.note(self.now, 5, &[machine as u8]);
                let now = self.clock_of(machine);
                let node = self.machines[machine].node.as_mut().expect("it runs");
                self.oracle.expect(machine, Vec::new());
                node.store_mut().finish_cold_read(key);
                node.handle_read(now, ticket);
                self.settle(machine)
            }
            _ => Ok(()),
        }
    }

    /// What a machine's clocks say.
    pub(super) fn clock_of(&self, machine: usize) -> Now {
        self.machines[machine].clock.read(self.now)
    }

    /// Notes that a fault struck.
    pub(super) fn struck(&mut self, fault: Fault) {
        let with_write = self.open.values().any(|open| open.writes);
        self.counts.fault(fault, with_write);
    }

    fn arrive(&mut self, from: usize, to: usize, flight: Flight) -> Judged {
        let connection = self.network.connection(from, to);
        if self.profile.stream {
            if flight.connection != connection {
                return Ok(());
            }
            if self.network.sees(to, from) != Some(connection) {
                // The listener learns of a connection before the first byte on it.
                self.notice(to, from)?;
            }
        }
        if self.machines[to].node.is_none() {
            return Ok(());
        }
        self.trace.note(self.now, 1 + 8 * from as u64 + 64 * to as u64, &flight.bytes);
        if self.trace.is_read() {
            let (key, text) = self.describe(&flight.bytes);
            self.trace.say(self.now, key, || format!("{} -> {}: {text}", self.names[from], self.names[to]));
        }
        let expected = self.operations_in(&flight.bytes);
        self.oracle.expect(to, expected);
        let (now, peer) = (self.clock_of(to), self.ids[from]);
        let node = self.machines[to].node.as_mut().expect("checked above");
        let result = node.handle_frames(now, peer, &flight.bytes);
        self.settle(to)?;
        match result {
            // Datagrams may come before their sender is known to be there.
            Err(_) if self.is_stranger(to, from) => Ok(()),
            Ok(()) if flight.corrupt => {
                let text = "a frame with a changed byte was taken".to_owned();
                Err(Violation { property: Property::NoValueFromNowhere, key: None, text })
            }
            Err(error) if !flight.corrupt => {
                let text = format!("a frame of a peer was refused: {error:?}");
                Err(Violation { property: Property::Assertion, key: None, text })
            }
            Ok(()) => Ok(()),
            Err(_) => {
                // As the driver does: such a connection is not to be trusted.
                self.network.break_connection(from, to);
                self.plan_notices(from, to, 5 * MS);
                Ok(())
            }
        }
    }

    /// The operations that a forward in a frame may be.
    fn operations_in(&self, frame: &[u8]) -> Vec<u64> {
        let Ok((_, message::Message::Forward(forward))) = message::decode_frame(frame) else {
            return Vec::new();
        };
        let Ok(request) = message::decode_request(forward.request) else { return Vec::new() };
        let key = self.oracle.key_number(&(request.keyspace, request.key.to_vec()));
        key.map(|key| self.oracle.forwarded(key, &request)).unwrap_or_default()
    }

    fn describe(&self, frame: &[u8]) -> (Option<usize>, String) {
        let Ok((envelope, message)) = message::decode_frame(frame) else {
            return (None, format!("{} bytes that are no frame", frame.len()));
        };
        let key = match &message {
            message::Message::Replicate { keyspace, key, .. }
            | message::Message::Fetch { keyspace, key, .. } => {
                self.oracle.key_number(&(*keyspace, key.to_vec()))
            }
            message::Message::Forward(forward) => message::decode_request(forward.request)
                .ok()
                .and_then(|request| self.oracle.key_number(&(request.keyspace, request.key.to_vec()))),
            _ => None,
        };
        let mut text = format!("#{} {message:?}", envelope.request_id);
        text.truncate(text.char_indices().nth(220).map_or(text.len(), |(at, _)| at));
        (key, text)
    }

    /// Plans that both ends look at their connection soon.
    pub(super) fn plan_notices(&mut self, a: usize, b: usize, most: Time) {
        for (machine, peer) in [(a, b), (b, a)] {
            let at = self.now + 1 + self.rng.below(most.max(1));
            self.plan(at, Event::Notice { machine, peer });
        }
    }

    /// A machine compares its connection to a peer with what there is.
    fn notice(&mut self, machine: usize, peer: usize) -> Judged {
        if self.machines[machine].node.is_none() {
            return Ok(());
        }
        let is_open = self.network.is_open(machine, peer) && self.machines[peer].node.is_some();
        let mut connection = self.network.connection(machine, peer);
        let seen = self.network.sees(machine, peer);
        if seen.is_some() && !is_open && seen == Some(connection) {
            self.network.break_connection(machine, peer);
            connection += 1;
            let most = self.profile.detection_max;
            self.plan_notices(machine, peer, most);
        }
        self.trace.note(self.now, 2, &[machine as u8, peer as u8, u8::from(is_open)]);
        let (now, id) = (self.clock_of(machine), self.ids[peer]);
        if seen.is_some_and(|old| old != connection) {
            self.network.set_sees(machine, peer, None);
            self.trace.say(self.now, None, || format!("{} lost {}", self.names[machine], self.names[peer]));
            self.machines[machine].node.as_mut().expect("it runs").handle_peer_down(now, id);
            self.settle(machine)?;
        }
        if is_open && self.machines[machine].node.is_some() && self.network.sees(machine, peer).is_none() {
            self.network.set_sees(machine, peer, Some(connection));
            self.trace
                .say(self.now, None, || format!("{} reaches {}", self.names[machine], self.names[peer]));
            self.machines[machine].node.as_mut().expect("it runs").handle_peer_up(now, id);
            self.settle(machine)?;
        }
        Ok(())
    }

    fn wake(&mut self, machine: usize) -> Judged {
        if self.machines[machine].wake_at != Some(self.now) {
            return Ok(());
        }
        self.machines[machine].wake_at = None;
        let now = self.clock_of(machine);
        let node = self.machines[machine].node.as_mut().expect("it runs");
        if node.deadline() <= now.mono {
            self.trace.note(self.now, 3, &[machine as u8]);
            node.handle_timeout(now);
        }
        self.settle(machine)
    }

    fn disk_step(&mut self, machine: usize) -> Judged {
        self.machines[machine].disk_planned = false;
        let now = self.clock_of(machine);
        let this = &mut self.machines[machine];
        let node = this.node.as_mut().expect("it runs");
        let did = super::hinted::disk_step(node);
        self.trace.note(self.now, 4, &[machine as u8, u8::from(did)]);
        if this.platter.is_crashed() {
            self.struck(Fault::CrashInDisk);
            return self.stop_and_plan_restart(machine, Stop::Crashed);
        }
        if !did {
            return Ok(());
        }
        node.handle_synced(now);
        self.plan_disk_step(machine);
        self.settle(machine)
    }

    /// Carries out what a node wants done, and shows the oracle what it did.
    pub(super) fn settle(&mut self, machine: usize) -> Judged {
        let now = self.clock_of(machine);
        let this = &mut self.machines[machine];
        let Some(node) = this.node.as_mut() else { return Ok(()) };
        let (mut replies, mut sends) = (Vec::new(), Vec::new());
        node.maintain(now);
        loop {
            let before = [node.store().marks(), node.hints().store().marks()];
            while let Some(output) = node.poll_output(now) {
                match output {
                    Output::Reply { id, reply } => replies.push((id, reply)),
                    Output::Send { to, frames } => sends.push((to, frames)),
                    Output::Sync(need) => node.store_mut().flush(need),
                    Output::SyncHints(need) => node.hints_mut().store_mut().flush(need),
                    // For membership, which is simulated by itself.
                    Output::Probed { .. } | Output::Met(_) => {}
                }
            }
            if this.platter.is_crashed() {
                return self.lose_power(machine);
            }
            if [node.store().marks(), node.hints().store().marks()] == before {
                break;
            }
            node.handle_synced(now);
        }
        let store = node.store_mut();
        let (cold, refused) = (store.take_cold_reads(), store.take_refused());
        let (marks, mut touched) = (store.marks(), store.take_touched());
        store.cool_down();
        touched |= node.hints_mut().store_mut().take_touched();
        let (deadline, in_flight) = (node.deadline(), node.in_flight());
        self.judge_puts(machine)?;
        self.judge_hints(machine)?;
        self.look_for_rot(machine)?;
        self.oracle.marks(machine, marks)?;
        self.judge_claims(machine)?;
        if in_flight > self.profile.in_flight_max {
            let text = format!("{} has {in_flight} requests in flight", self.names[machine]);
            return Err(Violation { property: Property::Bounds, key: None, text });
        }
        for _ in 0..refused {
            self.struck(Fault::StagingFull);
        }
        let boot = self.machines[machine].boot;
        for (ticket, key) in cold {
            self.struck(Fault::ColdRead);
            let at = self.now + MS / 20 + self.rng.below(8 * MS);
            self.plan(at, Event::ReadDone { machine, boot, ticket, key });
        }
        self.plan_wake(machine, deadline);
        if touched {
            self.plan_disk_step(machine);
        }
        for (id, reply) in replies {
            self.take_reply(machine, id, &reply)?;
        }
        for (to, frames) in sends {
            self.send(machine, to, frames)?;
        }
        self.look_at_topology(machine)
    }

    pub(super) fn judge_puts(&mut self, machine: usize) -> Judged {
        let node = self.machines[machine].node.as_mut().expect("it runs");
        let generation = node.store().identity().generation;
        let noted = node.store_mut().take_noted();
        if self.oracle.goes_on_as(machine, generation) {
            self.act("rollback found");
            self.name_owners();
        }
        let wall_ms = self.clock_of(machine).wall.0;
        for noted in &noted {
            self.note_change(machine, noted);
            let put = match noted {
                Noted::Put(put) => put,
                &Noted::Drop(partition, sequence) => {
                    self.judge_drop(machine, partition, sequence)?;
                    continue;
                }
                Noted::Remove(name, sequence) => {
                    self.judge_reap(machine, name, *sequence)?;
                    continue;
                }
            };
            self.trace.note(self.now, 6, &put.item_hash.to_le_bytes());
            let key = self.oracle.key_number(&put.key);
            self.trace.say(self.now, key, || format!("{} puts {}", self.names[machine], show(&put.object)));
            self.oracle.put(machine, generation, wall_ms, put)?;
            let held = key.and_then(|key| self.oracle.histories[key].top(machine));
            self.trace
                .say(self.now, key, || format!("    which are events {:?}", held.map(|held| &held.siblings)));
        }
        Ok(())
    }

    fn plan_disk_step(&mut self, machine: usize) {
        let boot = self.machines[machine].boot;
        if !std::mem::replace(&mut self.machines[machine].disk_planned, true) {
            let (least, most) = self.profile.sync_delay;
            let at = self.now + least + self.rng.below(most - least + 1);
            self.plan(at, Event::DiskStep { machine, boot });
        }
    }

    fn plan_wake(&mut self, machine: usize, deadline: Instant) {
        let this = &mut self.machines[machine];
        let Some(at) = this.clock.when(deadline) else { return };
        // A deadline in the past would spin; the next moment will do.
        let at = at.max(self.now + 1);
        if this.wake_at.is_none_or(|planned| at < planned || planned <= self.now) {
            this.wake_at = Some(at);
            let boot = this.boot;
            self.plan(at, Event::Wake { machine, boot });
        }
    }

    fn send(&mut self, from: usize, to: MemberId, frames: Vec<u8>) -> Judged {
        let to = self.ids.iter().position(|&id| id == to).expect("a node sends to members");
        let mut rest = frames.as_slice();
        let mut faults = Vec::new();
        let mut flights = Vec::new();
        while !rest.is_empty() {
            let (frame, after) = match message::split_frame(rest) {
                Ok(split) => split,
                Err(error) => {
                    let text = format!("{} sends no whole frames: {error}", self.names[from]);
                    return Err(Violation { property: Property::Assertion, key: None, text });
                }
            };
            rest = after;
            let (now, profile) = (self.now, &self.profile);
            flights
                .extend(self.network.send(now, (from, to), frame, profile, &mut |fault| faults.push(fault)));
        }
        for flight in flights {
            self.plan(flight.at, Event::Frame { from, to, flight });
        }
        for fault in faults {
            self.struck(fault);
        }
        if let Some(node) = self.machines[from].node.as_mut() {
            node.recycle(frames);
        }
        Ok(())
    }
}
