//! Operators who change the members of a cluster, at two nodes at once if need be, and what befalls members:
//! machines that die for good, come back empty, or come back although they were removed.
//!
//! At one time at most one member is dead or empty, a majority of the keepers keeps its votes, and three members
//! hold data: what a cluster promises, it promises under these conditions.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{MS, Time};
use super::faults::{Moving, Profile};
use super::oracle::{Judged, Property, Stop, Violation};
use super::replies::outcome_name;
use super::strikes::Strike;
use super::world::{Event, Open, SLACK, World};
use crate::proto::cluster::{Change, Order, Topology};
use crate::proto::config::{Config, MemberSpec, Membership};
use crate::proto::error::Outcome;
use crate::proto::io::{Operation, Options, Reply, Request, RequestId};
use crate::proto::limits;
use crate::proto::rng::Rng;
use crate::proto::store::Store;

/// Numbers of orders begin here; those of clients' operations never come so far.
const ORDERS: u64 = 1 << 48;
/// Members that hold data, at least.
const HOLDERS_MIN: usize = 3;

/// What became of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its disk is empty, and it was not started.
    Unborn,
    /// It runs, or will run again.
    Lives,
    /// It was stopped for good, with what is on its disk.
    Dead,
}

/// One machine, as the nemesis sees it.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) state: State,
    /// Its directory is that of a founder.
    pub(super) founds: bool,
    /// What its joining leads to is committed by itself.
    commits: bool,
    /// Generation, version and hash of the topology that it follows.
    pub(super) follows: (u64, u64, u64),
}

/// See the head of this file.
pub(super) struct Nemesis {
    rng: Rng,
    moving: Moving,
    founders: Vec<MemberSpec>,
    pub(super) lives: Vec<Life>,
    /// The topology of the highest version that any node followed.
    pub(super) latest: Option<Topology>,
    /// The hash of each version.
    pub(super) hashes: BTreeMap<u64, u64>,
    /// Hashes of all layouts that were ever in force.
    pub(super) layouts: BTreeSet<u64>,
    /// The layouts that plans come to, by the plans' names.
    plans: BTreeMap<u64, u64>,
    /// Generations that were ever bound, and the version at which they were removed.
    generations: BTreeMap<u64, Option<u64>>,
    /// The member that is dead or empty now.
    broken: Option<usize>,
    /// Members that were told to hold nothing any more, whatever became of the order.
    leaving: BTreeSet<String>,
    /// Orders that wait for their reply.
    orders: BTreeMap<u64, Order>,
    next_order: u64,
}

impl Nemesis {
    pub(super) fn new(profile: &Profile, seed: u64) -> Option<Box<Nemesis>> {
        let moving = profile.membership.clone()?;
        let lives = (0..profile.machines).map(|machine| {
            let founds = machine < moving.founders;
            let state = if founds { State::Lives } else { State::Unborn };
            Life { state, founds, commits: true, follows: (0, 0, 0) }
        });
        Some(Box::new(Nemesis {
            rng: Rng::new(seed ^ 0x6e65_6d65),
            lives: lives.collect(),
            moving,
            founders: Vec::new(),
            latest: None,
            hashes: BTreeMap::new(),
            layouts: BTreeSet::new(),
            plans: BTreeMap::new(),
            generations: BTreeMap::new(),
            broken: None,
            leaving: BTreeSet::new(),
            orders: BTreeMap::new(),
            next_order: ORDERS,
        }))
    }

    /// Whether a request is an order.
    pub(super) const fn is_order(id: u64) -> bool {
        id >= ORDERS
    }

    /// Whether a machine stops that has just followed another topology.
    pub(super) fn strikes(&mut self) -> bool {
        let one_in = self.moving.crash_one_in;
        one_in > 0 && self.rng.one_in(one_in)
    }

    /// Whether one stops between two steps of a transition.
    pub(super) fn strikes_between(&mut self) -> bool {
        let one_in = self.moving.crash_one_in;
        one_in > 0 && self.rng.one_in(one_in * 60)
    }

    /// The settings of a machine's node.
    pub(super) fn settle_config(&self, machine: usize, config: &mut Config) {
        let life = &self.lives[machine];
        if life.founds {
            config.membership = Membership::Founded;
            config.members.clone_from(&self.founders);
        } else {
            config.membership = Membership::Joined;
            config.members = vec![MemberSpec::new(&config.name, &config.name)];
            config.auto_commit = life.commits;
        }
    }

    /// A removed directory stays removed, and is no member of the layout to come.
    pub(super) fn judge_removed(&mut self, topology: &Topology) -> Judged {
        for member in topology.members() {
            self.generations.entry(member.generation).or_default();
        }
        let version = topology.version();
        for (&generation, removed) in &mut self.generations {
            let is_removed = topology.has_removed(generation);
            let is_member = topology.latest().members().iter().any(|member| member.generation == generation);
            let was_removed = removed.is_some_and(|at| at < version);
            if is_removed {
                removed.get_or_insert(version);
            }
            if (was_removed && !is_removed) || (is_removed && is_member) {
                let text =
                    format!("version {version}: {generation:016x} was removed and is a member or forgotten");
                return Err(Violation { property: Property::RemovedStays, key: None, text });
            }
        }
        Ok(())
    }

    /// Forgets what has come to its end. A broken member that does not know it yet is not whole again.
    fn look_back(&mut self, is_old: bool) {
        let Some(topology) = &self.latest else { return };
        if topology.next().is_some() {
            return;
        }
        if topology.staged().is_empty() && self.orders.is_empty() {
            self.leaving.clear();
        }
        if let Some(machine) = self.broken {
            let name = format!("n{machine}");
            let member = topology.members().into_iter().find(|member| member.name == name);
            let is_over = match self.lives[machine].state {
                State::Lives => {
                    let follows = self.lives[machine].follows;
                    !is_old && member.is_some_and(|member| member.generation == follows.0 && follows.1 > 0)
                }
                _ => member.is_none(),
            };
            if is_over {
                self.broken = None;
            }
        }
    }

    /// Members that will hold data whatever of the orders so far is carried out.
    fn holders(&self) -> Vec<String> {
        let Some(topology) = &self.latest else { return Vec::new() };
        let holds = topology.latest().members().iter().filter(|member| member.weight > 0);
        // A revert brings the layout before back.
        let was = |name: &str| {
            let mut before = topology.current().members().iter().filter(|member| member.weight > 0);
            before.any(|member| member.name == name)
        };
        let holds = holds.filter(|member| was(&member.name));
        let stays = holds.filter(|member| !self.leaving.contains(&member.name));
        stays.map(|member| member.name.clone()).collect()
    }

    /// Whether a member may go.
    fn may_shrink(&self, name: &str) -> bool {
        let holders = self.holders();
        holders.iter().filter(|holder| *holder != name).count() >= HOLDERS_MIN
    }
}

/// The number of a machine, by its name.
fn machine_of(name: &str) -> usize {
    name[1..].parse().expect("machines are numbered")
}

impl World {
    /// Counts what an operator did, or what befell a member.
    pub(super) fn act(&mut self, what: &str) {
        *self.counts.acts.entry(what.to_owned()).or_default() += 1;
    }

    /// Whether a machine shall run.
    pub(super) fn is_wanted(&self, machine: usize) -> bool {
        self.nemesis.as_ref().is_none_or(|nemesis| nemesis.lives[machine].state == State::Lives)
    }

    /// Opens the stores of the founders, so that the directory of each is known to all, and starts them.
    pub(super) fn found(&mut self) -> Judged {
        let Some(moving) = self.nemesis.as_ref().map(|nemesis| nemesis.moving.clone()) else { return Ok(()) };
        let mut opened = Vec::new();
        for machine in 0..moving.founders {
            let Some((store, seed)) = self.open(machine)? else { continue };
            let name = &self.names[machine];
            let zone = if moving.has_zones { format!("z{}", machine % 3) } else { String::new() };
            let generation = store.identity().generation;
            let spec = MemberSpec { zone, generation, ..MemberSpec::new(name, name) };
            self.nemesis.as_mut().expect("it is there").founders.push(spec);
            opened.push((machine, store, seed));
        }
        for (machine, store, seed) in opened {
            self.launch(machine, store, seed)?;
        }
        Ok(())
    }

    /// Plans the next act.
    pub(super) fn plan_nemesis(&mut self) {
        let Some(nemesis) = &mut self.nemesis else { return };
        let mean = nemesis.moving.act_every;
        let at = self.now + mean / 4 + nemesis.rng.below(mean * 3 / 2);
        self.plan(at, Event::Strike(Strike::Nemesis));
    }

    /// Does one thing to the members.
    pub(super) fn strike_members(&mut self) -> Judged {
        if !self.is_safety_phase {
            return Ok(());
        }
        self.plan_nemesis();
        let Some(nemesis) = &mut self.nemesis else { return Ok(()) };
        let is_old = nemesis.broken.is_some_and(|machine| self.oracle.machines[machine].is_old);
        nemesis.look_back(is_old);
        let drawn = nemesis.rng.below(22);
        match drawn {
            0..3 => self.let_join(),
            3 => self.let_leave(),
            4..6 => self.let_die(),
            6 => self.weigh(),
            7 => self.zone(),
            8 => self.order_somewhere(Order::Revert),
            9 => self.order_somewhere(Order::Unstage),
            10..13 => self.empty_a_member(),
            13 => self.order_twice(),
            14 => self.cut_keepers_off(),
            15 => self.let_removed_return(),
            16 => self.order_somewhere(Order::Commit(Some(0x1234_5678))),
            17 => self.order_somewhere(Order::Look),
            18 => self.stop_all_keepers(),
            _ => self.commit_staged(None),
        }
    }

    fn draw(&mut self, bound: usize) -> usize {
        self.nemesis.as_mut().expect("it acts").rng.below(bound as u64) as usize
    }

    /// A machine that serves, to give an order to: a member, most of the time.
    fn pick_server(&mut self) -> Option<usize> {
        let all = 0..self.machines.len();
        let serving: Vec<usize> = all.filter(|&machine| self.is_serving(machine)).collect();
        let seated: Vec<usize> = serving.iter().copied().filter(|&machine| self.is_seated(machine)).collect();
        let from = if seated.is_empty() || self.draw(16) == 0 { serving } else { seated };
        if from.is_empty() { None } else { Some(from[self.draw(from.len())]) }
    }

    fn order_somewhere(&mut self, order: Order) -> Judged {
        match self.pick_server() {
            Some(machine) => self.order(machine, order),
            None => Ok(()),
        }
    }

    /// Stages a change, and commits it soon, most of the time.
    fn stage(&mut self, change: Change) -> Judged {
        self.order_somewhere(Order::Stage(change))?;
        if self.draw(4) > 0 {
            let at = self.now + 5 * MS + self.draw(400) as Time * MS;
            self.plan(at, Event::Strike(Strike::Commit(None)));
        }
        Ok(())
    }

    /// An operator commits what is staged: as it is, or as a plan was.
    pub(super) fn commit_staged(&mut self, plan: Option<u64>) -> Judged {
        if !self.is_safety_phase {
            return Ok(());
        }
        let order = match plan {
            None if self.draw(2) == 0 => Order::Plan,
            plan => Order::Commit(plan),
        };
        self.order_somewhere(order)
    }

    fn let_join(&mut self) -> Judged {
        let commits = self.draw(2) == 0;
        let nemesis = self.nemesis.as_mut().expect("it acts");
        let Some(machine) = nemesis.lives.iter().position(|life| life.state == State::Unborn) else {
            return Ok(());
        };
        let life = &mut nemesis.lives[machine];
        (life.state, life.founds, life.commits, life.follows) = (State::Lives, false, commits, (0, 0, 0));
        nemesis.leaving.remove(&format!("n{machine}"));
        self.act("join");
        self.start(machine)
    }

    fn let_leave(&mut self) -> Judged {
        let Some(name) = self.pick_holder() else { return Ok(()) };
        if self.draw(3) == 0 && self.clear_away()? {
            return Ok(());
        }
        let nemesis = self.nemesis.as_mut().expect("it acts");
        if !nemesis.may_shrink(&name) {
            return self.clear_away().map(|_| ());
        }
        nemesis.leaving.insert(name.clone());
        self.act("leave");
        self.stage(Change::Leave(name))
    }

    /// A machine that has left for good is given an empty disk, to join anew.
    fn clear_away(&mut self) -> Judged<bool> {
        let nemesis = self.nemesis.as_ref().expect("it acts");
        let Some(latest) = nemesis.latest.clone().filter(|latest| latest.next().is_none()) else {
            return Ok(false);
        };
        let left = (0..self.machines.len()).find(|&machine| {
            let life = &self.nemesis.as_ref().expect("it acts").lives[machine];
            life.state != State::Unborn
                && latest.member(self.ids[machine]).is_none()
                && latest.has_removed(life.follows.0)
        });
        let Some(machine) = left else { return Ok(false) };
        if !self.oracle.may_lose_all(machine) {
            return Ok(false);
        }
        self.act("left machine emptied");
        if self.machines[machine].node.is_some() {
            self.stop(machine, Stop::Crashed)?;
        }
        self.oracle.emptied(machine);
        self.take_disk(machine);
        self.nemesis.as_mut().expect("it acts").lives[machine].state = State::Unborn;
        Ok(true)
    }

    fn pick_holder(&mut self) -> Option<String> {
        let holders = self.nemesis.as_ref().expect("it acts").holders();
        if holders.is_empty() { None } else { Some(holders[self.draw(holders.len())].clone()) }
    }

    /// Whether a member may lose its directory now, for a while or for good.
    pub(super) fn may_break(&self, machine: usize) -> bool {
        let nemesis = self.nemesis.as_ref().expect("it acts");
        let Some(topology) = &nemesis.latest else { return false };
        let seats = topology.keepers();
        let intact = seats.iter().filter(|seat| {
            let keeper = self.ids.iter().position(|&id| id == seat.member).expect("keepers are machines");
            keeper != machine
                && nemesis.lives[keeper].state == State::Lives
                && self.oracle.machines[keeper].generation == seat.generation
        });
        nemesis.broken.is_none()
            && intact.count() * 2 > seats.len()
            && self.is_seated(machine)
            && self.oracle.may_lose_all(machine)
    }

    /// A member dies for good, and is removed or replaced.
    fn let_die(&mut self) -> Judged {
        let Some(name) = self.pick_holder() else { return Ok(()) };
        let machine = machine_of(&name);
        let may_shrink = self.nemesis.as_ref().expect("it acts").may_shrink(&name);
        if !self.may_break(machine) || !may_shrink {
            return Ok(());
        }
        self.act("member dies");
        self.stop(machine, Stop::Crashed)?;
        let spare = self.spare();
        let nemesis = self.nemesis.as_mut().expect("it acts");
        nemesis.lives[machine].state = State::Dead;
        nemesis.broken = Some(machine);
        nemesis.leaving.insert(name.clone());
        match spare {
            Some(new) if self.draw(2) == 0 => self.stage(Change::Replace(name, new)),
            _ => self.stage(Change::Remove(name)),
        }
    }

    /// A machine that could take the place of a member: one that is staged to join, or a member that holds nothing.
    fn spare(&self) -> Option<String> {
        let topology = self.nemesis.as_ref()?.latest.as_ref()?;
        let staged = topology.staged().iter().find_map(|change| match change {
            Change::Join(member) => Some(member.name.clone()),
            _ => None,
        });
        let idle = topology.latest().members().iter().find(|member| member.weight == 0);
        staged.or(idle.map(|member| member.name.clone()))
    }

    fn weigh(&mut self) -> Judged {
        let Some(name) = self.pick_holder() else { return Ok(()) };
        let weight = self.draw(4) as u32;
        let nemesis = self.nemesis.as_mut().expect("it acts");
        if weight == 0 {
            if !nemesis.may_shrink(&name) {
                return Ok(());
            }
            nemesis.leaving.insert(name.clone());
        }
        self.act("weight");
        self.stage(Change::Weight(name, weight))
    }

    fn zone(&mut self) -> Judged {
        let Some(name) = self.pick_holder() else { return Ok(()) };
        let (zone, max) = (self.draw(4), self.draw(4) as u8);
        self.act("zone");
        match zone {
            0 => self.stage(Change::MaxPerZone(Some(max).filter(|&max| max > 0))),
            _ => self.stage(Change::Zone(name, format!("z{zone}"))),
        }
    }

    /// A member loses its disk, and comes back under its name.
    fn empty_a_member(&mut self) -> Judged {
        let Some(name) = self.pick_holder() else { return Ok(()) };
        let (machine, commits) = (machine_of(&name), self.draw(3) > 0);
        if !self.is_serving(machine) || !self.may_break(machine) {
            return Ok(());
        }
        self.act("member emptied");
        self.empty(machine, commits)
    }

    /// Takes the disk of a member that runs.
    fn empty(&mut self, machine: usize, commits: bool) -> Judged {
        self.trace.say(self.now, None, || format!("*** n{machine} loses its disk"));
        self.stop(machine, Stop::Crashed)?;
        self.oracle.emptied(machine);
        self.take_disk(machine);
        let life = &mut self.nemesis.as_mut().expect("it acts").lives[machine];
        (life.founds, life.commits) = (false, commits);
        self.unbind(machine);
        let outage = MS + self.rng.below(self.profile.outage_max);
        self.plan(self.now + outage, Event::Strike(Strike::Start(machine)));
        Ok(())
    }

    /// A member's directory is not what the others know: until it is let in again its copies are no evidence.
    pub(super) fn unbind(&mut self, machine: usize) {
        let nemesis = self.nemesis.as_mut().expect("it acts");
        nemesis.broken = Some(machine);
        nemesis.lives[machine].follows = (0, 0, 0);
        self.name_owners();
    }

    /// Trap T9: two of three keepers decide something of which nobody else hears.
    pub(super) fn part_keepers(&mut self) -> Judged {
        if !self.is_safety_phase {
            return Ok(());
        }
        self.plan(self.now + 1_500 * MS, Event::Strike(Strike::PartKeepers));
        let mut keepers = self.keepers();
        if keepers.len() != 3 || keepers.iter().any(|&keeper| !self.is_serving(keeper)) {
            return Ok(());
        }
        let first = self.draw(3);
        keepers.rotate_left(first);
        let inside = [keepers[0], keepers[1]];
        self.act("keepers parted");
        self.part(&inside, 700 * MS);
        let weight = 1 + self.draw(3) as u32;
        self.order(keepers[0], Order::Stage(Change::Weight(format!("n{}", keepers[2]), weight)))?;
        self.plan(self.now + 600 * MS, Event::Strike(Strike::Forget([keepers[0], keepers[1], keepers[2]])));
        Ok(())
    }

    /// One of the two forgets it, and the other cannot tell: the third is told to decide something else.
    pub(super) fn forget(&mut self, [knows, forgets, asked]: [usize; 3]) -> Judged {
        if !self.is_safety_phase || !self.is_serving(forgets) || !self.may_break(forgets) {
            return Ok(());
        }
        self.act("keeper forgets");
        self.part(&[knows], 2_500 * MS);
        self.empty(forgets, true)?;
        self.start(forgets)?;
        self.order(asked, Order::Stage(Change::Weight(format!("n{knows}"), 4)))
    }

    /// Cuts some machines off from all others.
    fn part(&mut self, inside: &[usize], outage: Time) {
        let all = self.machines.len();
        let pairs = (0..all).flat_map(|a| (0..all).map(move |b| (a, b)));
        let lanes: Vec<(usize, usize)> =
            pairs.filter(|(a, b)| a != b && inside.contains(a) != inside.contains(b)).collect();
        self.cut_lanes(lanes, outage);
    }

    /// Two operators want different things at one time.
    fn order_twice(&mut self) -> Judged {
        self.act("two operators");
        let zone = format!("z{}", self.draw(3));
        let names = (self.pick_holder(), self.pick_holder());
        let (Some(one), Some(two)) = names else { return Ok(()) };
        let weight = 1 + self.draw(3) as u32;
        self.order_somewhere(Order::Stage(Change::Weight(one, weight)))?;
        self.order_somewhere(Order::Stage(Change::Zone(two, zone)))?;
        self.order_somewhere(Order::Plan)?;
        self.order_somewhere(Order::Commit(None))
    }

    fn keepers(&self) -> Vec<usize> {
        let latest = self.nemesis.as_ref().and_then(|nemesis| nemesis.latest.as_ref());
        let seats = latest.map(|topology| topology.keepers().to_vec()).unwrap_or_default();
        seats.iter().filter_map(|seat| self.ids.iter().position(|&id| id == seat.member)).collect()
    }

    /// Some keepers hear nobody for a while.
    fn cut_keepers_off(&mut self) -> Judged {
        let keepers = self.keepers();
        if keepers.is_empty() {
            return Ok(());
        }
        let some: Vec<usize> = keepers.iter().copied().filter(|_| self.draw(3) > 0).collect();
        self.act("keepers cut off");
        let outage = MS + self.rng.below(self.profile.outage_max);
        self.part(&some, outage);
        Ok(())
    }

    fn stop_all_keepers(&mut self) -> Judged {
        self.act("keepers stopped");
        for machine in self.keepers() {
            if self.is_serving(machine) {
                self.stop_and_plan_restart(machine, Stop::Crashed)?;
            }
        }
        Ok(())
    }

    /// A machine that was removed is started again, with what is on its disk.
    fn let_removed_return(&mut self) -> Judged {
        let nemesis = self.nemesis.as_mut().expect("it acts");
        let Some(latest) = &nemesis.latest else { return Ok(()) };
        let back = nemesis.lives.iter().position(|life| {
            life.state == State::Dead && latest.has_removed(life.follows.0) && latest.next().is_none()
        });
        let Some(machine) = back else { return Ok(()) };
        nemesis.lives[machine].state = State::Lives;
        if nemesis.broken == Some(machine) {
            nemesis.broken = None;
        }
        self.act("removed returns");
        self.start(machine)
    }

    /// Gives an order at a machine.
    pub(super) fn order(&mut self, machine: usize, order: Order) -> Judged {
        let now = self.clock_of(machine);
        let Some(node) = self.machines[machine].node.as_mut() else { return Ok(()) };
        let nemesis = self.nemesis.as_mut().expect("it acts");
        let id = nemesis.next_order;
        nemesis.next_order += 1;
        nemesis.orders.insert(id, order.clone());
        self.trace.note(self.now, 15, &id.to_le_bytes());
        self.trace.say(self.now, None, || {
            format!("an operator asks {}: order {} {order:?}", self.names[machine], id - ORDERS)
        });
        let deadline = now.mono + limits::ORDER_DEADLINE;
        self.open.insert(id, Open { machine, deadline, writes: false });
        self.oracle.expect(machine, Vec::new());
        let (operation, options) = (Operation::Cluster(order), Options::default());
        node.handle_request(now, RequestId(id), &Request { keyspace: 0, key: &[], operation, options });
        let at = self.machines[machine].clock.when(deadline).unwrap_or(Time::MAX) + 2 * SLACK;
        self.plan(at, Event::Overdue { id });
        self.settle(machine)
    }

    /// An order was answered.
    pub(super) fn take_order_reply(&mut self, machine: usize, id: u64, reply: &Reply) -> Judged {
        self.open.remove(&id);
        let name = outcome_name(&reply.outcome);
        self.trace.note(self.now, 16, name.as_bytes());
        self.trace.say(self.now, None, || {
            format!("{} answers order {}: {}", self.names[machine], id - ORDERS, reply.outcome)
        });
        let nemesis = self.nemesis.as_mut().expect("it acts");
        let Some(order) = nemesis.orders.remove(&id) else {
            let text = format!("order {} was answered twice", id - ORDERS);
            return Err(Violation { property: Property::OneReply, key: None, text });
        };
        let is_done = reply.outcome == Outcome::Ok;
        if let Some(node) = &self.machines[machine].node {
            nemesis.layouts.extend([node.topology().current().hash(), node.topology().latest().hash()]);
        }
        if let Order::Commit(Some(hash)) = order
            && is_done
            && !nemesis.plans.get(&hash).is_some_and(|layout| nemesis.layouts.contains(layout))
        {
            let text = format!("a plan {hash:016x} was committed, and no layout is called so");
            return Err(Violation { property: Property::OneTopology, key: None, text });
        }
        let kind = match &order {
            Order::Look => "look",
            Order::Plan => "plan",
            Order::Stage(_) => "stage",
            Order::Unstage => "unstage",
            Order::Commit(_) => "commit",
            Order::Revert => "revert",
            Order::ForceKeepers => "force",
        };
        self.act(&format!("order {kind} {name}"));
        let overview = reply.overview.as_ref();
        let plan = overview.and_then(|overview| Some((overview.plan_hash, overview.plan.as_ref()?.1.hash())));
        if let Some((plan, layout)) = plan {
            self.nemesis.as_mut().expect("it acts").plans.insert(plan, layout);
            // The operator reads it first; meanwhile another may change it.
            let at = self.now + 1 + self.draw(200) as Time * MS;
            self.plan(at, Event::Strike(Strike::Commit(Some(plan))));
        }
        Ok(())
    }

    /// Does for a healed cluster what an operator would.
    pub(super) fn bring_to_rest(&mut self) -> Judged {
        let nemesis = self.nemesis.as_mut().expect("it is kept");
        let Some(latest) = nemesis.latest.clone() else { return Ok(()) };
        for machine in 0..self.machines.len() {
            let nemesis = self.nemesis.as_mut().expect("it is kept");
            let life = &mut nemesis.lives[machine];
            let is_member = latest.member(self.ids[machine]).is_some();
            if life.state == State::Dead && is_member && !latest.has_removed(life.follows.0) {
                life.state = State::Lives;
                self.start(machine)?;
            }
        }
        if !latest.staged().is_empty() && !latest.is_flipped() {
            let order = if self.draw(4) == 0 { Order::Unstage } else { Order::Commit(None) };
            let machine = self.pick_member();
            return self.order(machine, order);
        }
        Ok(())
    }

    /// Once everything is healed, orders succeed.
    pub(super) fn order_until_done(&mut self) -> Judged {
        let before = self.counts.acts.get("order look Ok").copied().unwrap_or(0);
        let machine = self.pick_member();
        self.order(machine, Order::Look)?;
        if self.counts.acts.get("order look Ok").copied().unwrap_or(0) == before {
            let text = "everything is healed, and an order is not carried out".to_owned();
            return Err(Violation { property: Property::Liveness, key: None, text });
        }
        Ok(())
    }
}
