//! One run: draws its profile, builds its world, lets faults strike, heals everything and judges what is
//! left.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use super::clock::{MS, Time};
use super::faults::{Fault, Kind, Profile};
use super::oracle::{Judged, KeyInfo, Oracle, Property, Stop, Violation};
use super::report::RunReport;
use super::workload::Action;
use super::world::{Event, Parts, World};
use crate::proto::config::{Config, MemberSpec};
use crate::proto::keys::ClusterKeys;
use crate::proto::ring::{self, Layout, Mode};
use crate::proto::store::Durability;

/// Keys of a run, the empty one and two with one tag among them.
const KEYS: [&[u8]; 12] = [
    b"cart",
    b"{u}1",
    b"",
    b"stock",
    b"{u}2",
    b"a",
    b"session:77",
    b"b",
    b"c",
    b"d",
    b"longer:key:with:parts",
    b"z",
];

/// How many more there are where clients walk through all of them.
const MORE_KEYS: usize = 28;

/// How long the exchange has to make copies equal when nothing breaks any more.
const EXCHANGE_MAX: Time = 120_000 * MS;

/// Which run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The seed.
    pub seed: u64,
    /// Name of the profile.
    pub profile: String,
    /// Keep the trace as text.
    pub trace: bool,
}

/// Runs a seed. A run that fails is run again for its trace.
pub fn run(options: &RunOptions) -> RunReport {
    let report = run_once(options, options.trace);
    match &report.violation {
        Some(violation) if !options.trace => {
            let again = run_once(options, true);
            let same = again.violation.as_ref().is_some_and(|second| second.text == violation.text);
            let doubt = if same { "" } else { "(the second run differed: it is not deterministic)\n" };
            RunReport { trace: format!("{doubt}{}", again.trace), ..report }
        }
        _ => report,
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Lets panics of runs be reports. To be called once before the first run.
pub fn catch_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let is_run = PANIC.with_borrow_mut(|message| {
            let is_run = message.is_some();
            if is_run {
                *message = Some(info.to_string());
            }
            is_run
        });
        if !is_run {
            before(info);
        }
    }));
}

/// Carries out a run; if it panics, what it said.
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    PANIC.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    let message = PANIC.take();
    result.map_err(|_| message.unwrap_or_default())
}

fn run_once(options: &RunOptions, text: bool) -> RunReport {
    let profile = Profile::draw(&options.profile, options.seed);
    let mut world = build(profile, options.seed, text);
    let judged = catch(|| live(&mut world))
        .unwrap_or_else(|text| Err(Violation { property: Property::Assertion, key: None, text }));
    let violation = judged.err();
    (0..world.machines.len()).for_each(|machine| world.count_upkeep(machine));
    (0..world.machines.len()).for_each(|machine| world.count_hints(machine));
    (0..world.machines.len()).for_each(|machine| world.count_reaps(machine));
    (0..world.machines.len()).for_each(|machine| world.count_catch_ups(machine));
    let mut counts = std::mem::take(&mut world.counts);
    counts.checks = world.oracle.checks.clone();
    *counts.checks.entry(Property::Assertion).or_default() += 1;
    counts.excused = world.oracle.excused;
    counts.doubtful = world.oracle.doubtful;
    counts.shed = world.oracle.shed;
    if world.oracle.keys().iter().all(|key| key.durability == Durability::Always) {
        counts.excused_always = counts.excused;
    }
    let trace = if text && violation.is_some() && !options.trace {
        world.trace.excerpt(violation.as_ref().and_then(|violation| violation.key), 60)
    } else {
        world.trace.excerpt(None, usize::MAX)
    };
    RunReport {
        seed: options.seed,
        profile: options.profile.clone(),
        counts,
        acknowledged: world.acknowledged,
        trace_hash: world.trace.hash(),
        events: world.trace.events(),
        simulated_ms: world.now / MS,
        violation,
        trace,
    }
}

fn config_of(profile: &Profile) -> Config {
    let members_first = profile.membership.as_ref().map_or(profile.machines, |drawn| drawn.founders);
    let names = (0..members_first).map(|number| format!("n{number}"));
    let members = names.map(|name| MemberSpec::new(&name, &name));
    let mut config = Config::new("n0");
    config.members = members.collect();
    config.partitions = profile.membership.as_ref().map_or(8, |drawn| drawn.partitions);
    if let Some(drawn) = &profile.membership {
        config.placement = Mode::Balanced;
        config.drop_after = drawn.drop_after;
    }
    config.tokens = 8;
    // In the other profiles none are kept: their seeds find what they found before there were any.
    config.hint_bytes_max = Some(profile.hints.map_or(0, |hints| hints.bytes_max));
    if let Some(hints) = profile.hints {
        config.hint_age_max = hints.age_max;
        config.hint_rate = hints.rate;
    }
    config.keyspaces.clone_from(&profile.keyspaces);
    config.siblings_max = profile.siblings_max;
    config.client_deadline = profile.client_deadline;
    config.replica_deadline = profile.replica_deadline;
    config.sync_interval = profile.sync_interval;
    config.sweep_interval = profile.sweep_interval;
    config.background_read_one_in = profile.background_read_one_in;
    config.exchange_interval = profile.exchange_interval;
    config.reap_after = profile.reap_after;
    config.in_flight_max = profile.in_flight_max;
    config
}

fn keys_of(profile: &Profile, config: &Config, layout: &Layout, cluster: &ClusterKeys) -> Vec<KeyInfo> {
    let keyspaces = profile.keyspaces.len();
    let more = (0..if profile.walks { MORE_KEYS } else { 0 }).map(|number| format!("w{number}").into_bytes());
    let names = KEYS.iter().map(|key| key.to_vec()).chain(more);
    let keys = names.enumerate().map(|(number, key)| {
        let keyspace = (number % keyspaces) as u16;
        let settings = config.keyspace(keyspace);
        let position = ring::position(&cluster.hash, keyspace, &key);
        let owners = layout.replicas(keyspace, layout.partition(position));
        let n = owners.len() as u8;
        let majority = n / 2 + 1;
        let name_of = |slot: u16| &layout.member(slot).name;
        let machine = |slot: u16| config.members.iter().position(|member| member.name == *name_of(slot));
        KeyInfo {
            name: (keyspace, key),
            n,
            w: settings.w.unwrap_or(majority),
            r: settings.r.unwrap_or(majority),
            durability: settings.durability,
            // Keyspaces alternate from key to key, so that each has keys of all kinds.
            kind: profile.kinds[number / keyspaces % profile.kinds.len()],
            partition: layout.partition(position),
            obliged: 0,
            owners: owners.iter().map(|&slot| machine(slot).expect("members are machines")).collect(),
        }
    });
    keys.collect()
}

fn build(profile: Profile, seed: u64, text: bool) -> World {
    let config = config_of(&profile);
    let cluster = ClusterKeys::derive(&config.cluster, &config.secret);
    let layout = Layout::first(&config, &cluster);
    let keys = keys_of(&profile, &config, &layout, &cluster);
    let names: Vec<String> = (0..profile.machines).map(|number| format!("n{number}")).collect();
    let ids = names.iter().map(|name| ring::member_id(&cluster, name)).collect();
    let mut oracle =
        Oracle::new(keys, (profile.machines, profile.hints.is_some()), cluster, profile.siblings_max);
    profile.rotten.into_iter().for_each(|machine| oracle.expect_rot(machine));
    oracle.is_kept = profile.membership.is_some();
    World::new(Parts { profile, config, names, ids, oracle, seed, text })
}

/// The whole life of a world.
fn live(world: &mut World) -> Judged {
    if world.profile.foreign_layout {
        world.start_with_foreign_layout();
    }
    if world.nemesis.is_some() {
        world.found()?;
    }
    for machine in 0..world.machines.len() {
        if world.is_wanted(machine) {
            world.start(machine)?;
        }
    }
    if world.profile.skew_ms > 0 || world.profile.drift_ppm > 0 {
        world.struck(Fault::Skew);
    }
    for client in 0..world.workload.clients() {
        let at = world.now + 50 * MS + world.workload.think();
        world.plan(at, Event::Turn { client });
    }
    world.plan_strikes();
    world.plan_walks();
    world.plan_feeds();
    let (target, limit) = (world.profile.acknowledged_target, world.profile.time_limit);
    world.run_until(limit, &|world| world.acknowledged >= target)?;
    heal(world)?;
    world.settle_cluster()?;
    world.deliver_hints()?;
    if world.profile.exchange_interval.is_some() {
        // Without a single read. Old copies that are handed over may bring what only they had.
        world.judge_old_copies()?;
        world.run_until(world.now + EXCHANGE_MAX, &World::are_copies_equal)?;
        world.oracle.count_liveness();
        if let Some((key, machine)) = world.incomplete_copy() {
            let text = format!("n{machine} was compared with everybody, and its copy is still incomplete");
            return Err(Violation { property: Property::Liveness, key: Some(key), text });
        }
    } else {
        read_everything(world)?;
        world.deliver_hints()?;
        world.judge_old_copies()?;
    }
    world.await_reaps()?;
    // A tombstone that was on its way as its key was reaped is there again, alone.
    if world.profile.exchange_interval.is_some() {
        world.run_until(world.now + EXCHANGE_MAX, &World::are_copies_equal)?;
    } else if !world.are_copies_equal() {
        read_everything(world)?;
    }
    world.judge_lists()?;
    world.judge_feeds()?;
    let keys = 0..world.oracle.keys().len();
    let found = keys.map(|key| world.last_copies(key)).collect::<Judged<Vec<_>>>()?;
    world.oracle.finish(&found)
}

/// Nothing breaks any more, and everything that is broken is mended.
fn heal(world: &mut World) -> Judged {
    world.trace.say(world.now, None, || "*** everything is healed".to_owned());
    world.is_safety_phase = false;
    world.profile.heal();
    world.network.heal();
    for machine in &mut world.machines {
        machine.platter.heal();
        machine.hint_platter.heal();
        machine.clock.correct();
    }
    let pauses = world.machines.iter().map(|machine| machine.paused_until).max().unwrap_or(0);
    world.run_until(pauses.max(world.now) + 1, &|_| false)?;
    for machine in 0..world.machines.len() {
        if !world.is_wanted(machine) {
            continue;
        }
        world.correct_layout(machine)?;
        if std::mem::take(&mut world.machines[machine].was_full) && world.is_serving(machine) {
            // A store tries the disk again only every so many puts; its operator starts it anew.
            world.stop(machine, Stop::Clean)?;
        }
        if world.is_read_only(machine) {
            // Nothing that it says will be on its disk, so it keeps every key from being reaped.
            world.stop(machine, Stop::Killed)?;
        }
        world.start(machine)?;
        // One that stops at a step of a transition is started once more.
        if let Some(node) = &mut world.machines[machine].node {
            node.store_mut().heal();
        }
    }
    for a in 0..world.machines.len() {
        for b in 0..a {
            world.plan_notices(a, b, 20 * MS);
        }
    }
    // What is under way ends by its deadline, and late copies arrive.
    world.run_until(world.now + 8_000 * MS, &|_| false)
}

/// Every key is read at R = N, written where that is possible, and read again.
fn read_everything(world: &mut World) -> Judged {
    let keys = world.oracle.keys().len();
    for key in 0..keys {
        read(world, key)?;
    }
    for key in (0..keys).step_by(3) {
        // A clock that was far ahead keeps its keys from being written until true time has caught up.
        let was_ahead = world.profile.skew_ms > 0 || world.counts.faults.contains_key(&Fault::WallJump);
        let good: &[&str] =
            if was_ahead { &["Ok", "ClockTooFar", "TooManySiblings"] } else { &["Ok", "TooManySiblings"] };
        let action = match world.oracle.keys()[key].kind {
            Kind::Bytes => Action::Put,
            Kind::Counter => Action::Add,
            Kind::Set => Action::AddElement,
        };
        ask_until(world, key, action, true, good)?;
    }
    // Repairs beyond R go on in the background. A store that was making room has refused them: it is asked
    // again when it had time for that.
    for _ in 0..2 {
        for key in 0..keys {
            read(world, key)?;
        }
        world.run_until(world.now + 3_000 * MS, &|_| false)?;
    }
    Ok(())
}

/// A key is read at R = N; where a replica cannot tell what it holds, at R as well.
fn read(world: &mut World, key: usize) -> Judged {
    if world.is_lost(key) {
        let unknown = ["Ok", "NotFound", "Incomplete", "NotEnoughReplicas", "Timeout"];
        ask_until(world, key, Action::Get, true, &unknown)?;
        return ask_until(world, key, Action::Get, false, &["Ok", "NotFound"]);
    }
    ask_until(world, key, Action::Get, true, &["Ok", "NotFound"])
}

/// Asks until the answer is good: with everything healed, the eighth time at the latest: a node may have to lease numbers first.
fn ask_until(world: &mut World, key: usize, action: Action, from_all: bool, good: &[&str]) -> Judged {
    world.oracle.count_liveness();
    let mut last = String::new();
    for _ in 0..8 {
        let machine = world.pick_member();
        let issued = world.workload.last(key, action, from_all);
        let id = issued.id;
        world.submit(machine, &issued)?;
        let end: Time = world.now + 6_000 * MS;
        if !world.outcomes.contains_key(&id) {
            world.run_until(end, &|world| world.outcomes.contains_key(&id))?;
        }
        last = world.outcomes.get(&id).cloned().unwrap_or_else(|| "nothing".to_owned());
        if good.contains(&last.as_str()) {
            return Ok(());
        }
        world.run_until(world.now + 300 * MS, &|_| false)?;
    }
    let text = format!("everything is healed, and {action:?} is answered {last}");
    Err(Violation { property: Property::Liveness, key: Some(key), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_seed(profile: &str, seed: u64) -> RunReport {
        run(&RunOptions { seed, profile: profile.to_owned(), trace: false })
    }

    /// Runs one seed of a profile; nothing may go wrong, and `fault` must have struck.
    fn check(profile: &str, fault: Fault) {
        let report = run_seed(profile, 1);
        let violation = report.violation.as_ref().map(|violation| (violation.property, &violation.text));
        assert_eq!(violation, None, "{}\n{}", report.trace, report.command());
        assert!(report.counts.faults.contains_key(&fault), "{fault:?} never struck");
    }

    #[test]
    fn a_late_copy_of_a_forwarded_put_writes_nothing_and_acknowledges_nothing() {
        check("late", Fault::LateReplay);
    }

    #[test]
    fn no_dot_is_issued_twice_whatever_the_stops_forget() {
        check("amnesia", Fault::MachineCrash);
    }

    #[test]
    fn a_coordinator_that_missed_writes_hides_none_of_them() {
        check("stale", Fault::Isolate);
    }

    #[test]
    fn every_copy_comes_to_what_was_counted() {
        check("counters", Fault::LostRecord);
    }

    #[test]
    fn every_copy_has_what_was_added_and_not_removed() {
        check("sets", Fault::LostRecord);
    }

    #[test]
    fn a_walk_shows_each_key_once_while_members_change() {
        check("scans", Fault::Pause);
    }

    #[test]
    fn a_follower_is_told_of_what_changes_or_of_a_gap() {
        check("feeds", Fault::Pause);
    }

    #[test]
    fn a_mixture_of_everything_does_no_harm() {
        check("swarm", Fault::ColdRead);
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let (first, second) = (run_seed("swarm", 7), run_seed("swarm", 7));
        assert_eq!((first.trace_hash, first.events), (second.trace_hash, second.events));
        assert_ne!(first.trace_hash, run_seed("swarm", 8).trace_hash);
    }
}
