//! Sloppy quorums and hints: fallbacks stand in for replicas that are down, and give back what they keep.

use std::time::Duration;

use quorate::proto::cluster::{Change, Order};
use quorate::proto::error::Outcome;
use quorate::proto::hints::{Figures, Spot};
use quorate::proto::io::{Add, MemberId, Operation, Options};
use quorate::proto::message::{Acks, Hint, Message};
use quorate::proto::version::{Actor, Context, Dot, Epoch, Hlc, Object, Sibling};

use super::{Cluster, put, set, values, with_context};

const KEY: &str = "cart";

fn sloppy(w: u8) -> Options {
    Options { w: Some(w), sloppy: true, ..with_context() }
}

/// The numbers of the key's replicas, in order, and of the others.
fn placed(cluster: &Cluster) -> (Vec<usize>, Vec<usize>) {
    let latest = cluster.nodes.iter().max_by_key(|node| node.topology().version()).unwrap();
    let owners = latest.owners(0, KEY.as_bytes()).members;
    let number = |name: &String| name[1..].parse().unwrap();
    let replicas: Vec<usize> = owners.iter().map(number).collect();
    let others = (0..cluster.nodes.len()).filter(|at| !replicas.contains(at)).collect();
    (replicas, others)
}

fn figures(cluster: &Cluster) -> Figures {
    let mut all = Figures::default();
    for node in &cluster.nodes {
        let held = node.hints().figures();
        all.records += held.records;
        all.bytes += held.bytes;
        all.counted += held.counted;
    }
    all
}

impl Cluster {
    /// Lets hints be delivered.
    fn wait_for_hints(&mut self) {
        for _ in 0..80 {
            if figures(self).records == 0 {
                return;
            }
            self.advance(Duration::from_millis(50));
        }
        panic!("hints are left: {:?}", figures(self));
    }

    /// What a node itself holds of the key.
    fn own_values(&mut self, at: usize) -> Vec<String> {
        self.isolate(at);
        let reply = self.ask(at, KEY, Operation::Get, Options { r: Some(1), ..with_context() });
        self.heal();
        values(&reply)
    }
}

#[test]
fn a_write_that_misses_a_replica_reaches_it_when_it_returns() {
    let mut cluster = Cluster::new(5, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    cluster.isolate(replicas[2]);
    let reply = cluster.ask(replicas[0], KEY, set("milk"), with_context());
    assert_eq!((reply.outcome, reply.achieved.acked, reply.achieved.fallbacks), (Outcome::Ok, 2, 0));
    assert_eq!((figures(&cluster).records, figures(&cluster).counted), (1, 0));
    let keeps = |at: &&usize| cluster.nodes[**at].hints().figures().records == 1;
    assert_eq!(others.iter().filter(keeps).count(), 1, "a machine that is no replica keeps it");
    cluster.heal();
    cluster.wait_for_hints();
    assert_eq!(figures(&cluster), Figures::default());
    assert_eq!(cluster.own_values(replicas[2]), ["milk"]);
}

#[test]
fn a_fallback_counts_towards_w_in_sloppy_mode_only() {
    let mut cluster = Cluster::new(5, |_| {}, 0);
    let (replicas, _) = placed(&cluster);
    cluster.isolate(replicas[1]);
    let strict = cluster.ask(replicas[0], KEY, set("milk"), Options { w: Some(3), ..with_context() });
    assert_eq!(strict.outcome, Outcome::NotEnoughReplicas { reachable: 2, needed: 3 });
    let reply = cluster.ask(replicas[0], KEY, set("milk"), Options { dw: Some(3), ..sloppy(3) });
    let achieved = reply.achieved;
    assert_eq!((reply.outcome, achieved.acked, achieved.durable, achieved.fallbacks), (Outcome::Ok, 3, 3, 1));
    assert!(reply.weak, "no read quorum need meet it");
    assert_eq!(figures(&cluster).counted, 1);
    let primaries = cluster.ask(replicas[0], KEY, set("milk"), Options { pw: Some(3), ..sloppy(3) });
    assert_eq!(primaries.outcome, Outcome::NotEnoughReplicas { reachable: 2, needed: 3 });
    cluster.heal();
    cluster.wait_for_hints();
    assert_eq!(cluster.own_values(replicas[1]), ["milk"]);
}

#[test]
fn without_any_replica_a_fallback_coordinates_under_its_own_actor() {
    let mut cluster = Cluster::new(6, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    replicas.iter().for_each(|&at| cluster.isolate(at));
    let strict = cluster.ask(others[0], KEY, set("milk"), with_context());
    assert!(matches!(strict.outcome, Outcome::NotEnoughReplicas { .. }), "{:?}", strict.outcome);
    let mut dots = Vec::new();
    for &at in &others {
        let seen =
            cluster.ask(at, KEY, Operation::Get, Options { r: Some(2), sloppy: true, ..with_context() });
        let value = format!("by {at}");
        let reply = cluster.ask(at, KEY, put(&value, seen.context.as_deref()), sloppy(3));
        assert_eq!((&reply.outcome, reply.achieved.acked, reply.achieved.fallbacks), (&Outcome::Ok, 3, 3));
        dots.push(reply.dot.unwrap());
        let seen =
            cluster.ask(at, KEY, Operation::Get, Options { r: Some(2), sloppy: true, ..with_context() });
        assert_eq!((&seen.outcome, values(&seen), seen.achieved.fallbacks), (&Outcome::Ok, vec![value], 2));
    }
    let generations: Vec<u64> = others.iter().map(|&at| cluster.nodes[at].status().generation).collect();
    assert!(dots.iter().all(|dot| generations.contains(&dot.actor.generation)));
    assert!(dots.windows(2).all(|two| two[0].actor == two[1].actor), "one fallback and one epoch: {dots:?}");
    let gone = cluster.ask(
        others[0],
        KEY,
        Operation::Delete { context: None, blind: Default::default() },
        sloppy(2),
    );
    assert_eq!(gone.outcome, Outcome::Ok);
    cluster.heal();
    cluster.wait_for_hints();
    for &at in &replicas {
        assert_eq!(cluster.get(at, KEY).outcome, Outcome::NotFound);
        assert!(cluster.get(at, KEY).context.is_some(), "it was deleted, not forgotten");
    }
}

#[test]
fn increments_are_kept_for_replicas_that_are_all_down() {
    let mut cluster = Cluster::new(6, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    assert_eq!(cluster.ask(replicas[0], KEY, set("10"), with_context()).outcome, Outcome::Ok);
    replicas.iter().for_each(|&at| cluster.isolate(at));
    let by = |by| Operation::Add(Add::By { by, id: None });
    let strict = cluster.ask(others[0], KEY, by(1), with_context());
    assert!(matches!(strict.outcome, Outcome::NotEnoughReplicas { .. }), "{:?}", strict.outcome);
    for (step, at) in [0, 1, 0, 2].into_iter().enumerate() {
        let reply = cluster.ask(others[at], KEY, by(-2), sloppy(3));
        let shown = vec![(-2 - 2 * step as i64).to_string()];
        assert_eq!(
            (&reply.outcome, values(&reply)),
            (&Outcome::Ok, shown),
            "fallbacks have not seen the ten"
        );
        assert_eq!((reply.achieved.acked, reply.achieved.fallbacks), (3, 3));
    }
    // One of each side of a cut, which do not know of each other.
    cluster.cut.extend([(others[0], others[1]), (others[1], others[0])]);
    for at in [others[0], others[1]] {
        assert_eq!(cluster.ask(at, KEY, by(-1), sloppy(1)).outcome, Outcome::Ok);
    }
    cluster.heal();
    cluster.wait_for_hints();
    for &at in &replicas {
        assert_eq!(cluster.own_values(at), ["0"]);
    }
}

#[test]
fn hints_of_two_coordinators_are_merged() {
    let mut cluster = Cluster::new(5, |_| {}, 0);
    let (replicas, _) = placed(&cluster);
    cluster.isolate(replicas[2]);
    cluster.cut.extend([(replicas[0], replicas[1]), (replicas[1], replicas[0])]);
    for (at, value, options) in
        [(0, "milk", sloppy(2)), (1, "eggs", Options { w: Some(1), ..with_context() })]
    {
        let reply = cluster.ask(replicas[at], KEY, put(value, None), options);
        assert_eq!(reply.outcome, Outcome::Ok);
    }
    assert_eq!((figures(&cluster).records, figures(&cluster).counted), (1, 1), "one hint, and it is counted");
    cluster.heal();
    cluster.wait_for_hints();
    assert_eq!(cluster.own_values(replicas[2]), ["eggs", "milk"]);
}

#[test]
fn a_hint_that_holds_more_than_was_sent_is_not_removed() {
    let mut cluster = Cluster::new(4, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    let (writer, target, keeper) = (replicas[0], replicas[2], others[0]);
    cluster.isolate(target);
    assert_eq!(cluster.ask(writer, KEY, put("milk", None), sloppy(3)).outcome, Outcome::Ok);
    // Only keeper and target meet again; what is delivered is not acknowledged yet.
    cluster.cut.retain(|lane| *lane != (target, keeper) && *lane != (keeper, target));
    let (keeper_id, target_id) = (cluster.ids[keeper], cluster.ids[target]);
    cluster.nodes[target].handle_peer_up(cluster.now, keeper_id);
    cluster.nodes[keeper].handle_peer_up(cluster.now, target_id);
    cluster.run();
    let now = cluster.now;
    cluster.nodes[keeper].handle_timeout(now);
    cluster.carry_once();
    // Meanwhile the hint comes to hold more.
    cluster.begin(writer, KEY, put("eggs", None), sloppy(3));
    cluster.drain(writer);
    for (from, to, frames) in std::mem::take(&mut cluster.wire) {
        let from = cluster.ids[from];
        cluster.nodes[to].handle_frames(now, from, &frames).unwrap();
    }
    cluster.run();
    assert_eq!((figures(&cluster).records, cluster.counter(keeper, "hints_delivered")), (1, 0));
    cluster.wait_for_hints();
    assert_eq!(cluster.counter(keeper, "hints_delivered"), 1);
    assert_eq!(cluster.own_values(target), ["eggs", "milk"]);
}

#[test]
fn a_hint_names_its_target_and_key() {
    let name = |prefix: &[u8], key: &[u8]| [prefix, &[3, 0], key].concat();
    for key in [&b""[..], b"cart"] {
        let spot = Spot { target: MemberId(0xab), keyspace: 3, key };
        assert_eq!(Spot::of(&name(b"{00000000000000ab}", key)), Some(spot));
    }
    for bad in [&b"{00000000000000xb}"[..], b"(00000000000000ab}", b"{00000000000000ab)", b"{00"] {
        assert_eq!(Spot::of(&name(bad, b"")), None, "{bad:?}");
    }
}

#[test]
fn what_a_coordinator_keeps_for_want_of_another_machine_does_not_count() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    cluster.isolate(2);
    let reply = cluster.ask(0, KEY, set("milk"), sloppy(3));
    assert_eq!(reply.outcome, Outcome::NotEnoughReplicas { reachable: 2, needed: 3 });
    assert_eq!(cluster.ask(0, KEY, set("milk"), sloppy(2)).outcome, Outcome::Ok);
    let held = cluster.nodes[0].hints().figures();
    assert_eq!((held.records, held.counted), (1, 0));
    cluster.heal();
    cluster.wait_for_hints();
    assert_eq!(cluster.own_values(2), ["milk"]);
}

#[test]
fn a_hint_of_what_was_only_counted_is_as_old_as_its_last_increment() {
    let mut cluster = Cluster::new(5, |config| config.hint_age_max = Duration::from_secs(60), 0);
    let (replicas, _) = placed(&cluster);
    cluster.isolate(replicas[2]);
    let add = Operation::Add(Add::By { by: 3, id: None });
    assert_eq!(cluster.ask(replicas[0], KEY, add, with_context()).outcome, Outcome::Ok);
    for _ in 0..40 {
        cluster.advance(Duration::from_secs(1));
    }
    assert_eq!(figures(&cluster).records, 1);
    cluster.heal();
    cluster.wait_for_hints();
    assert_eq!(cluster.own_values(replicas[2]), ["3"]);
}

#[test]
fn age_drops_what_was_not_counted_and_tells() {
    let mut cluster = Cluster::new(5, |config| config.hint_age_max = Duration::from_secs(60), 0);
    let (replicas, others) = placed(&cluster);
    cluster.isolate(replicas[2]);
    assert_eq!(cluster.ask(replicas[0], KEY, set("milk"), with_context()).outcome, Outcome::Ok);
    let keeper = others.iter().copied().find(|&at| cluster.nodes[at].hints().figures().records == 1).unwrap();
    let partition = cluster.nodes[0].owners(0, KEY.as_bytes()).partition;
    assert!(cluster.nodes[keeper].hints().oldest_of(partition).is_some_and(|at| at >= 1_000_000));
    (0..200).for_each(|_| cluster.advance(Duration::from_millis(500)));
    assert_eq!(figures(&cluster).records, 0, "it was too old");
    assert_eq!(cluster.counter(keeper, "hints_dropped"), 1);
    assert!(cluster.nodes[keeper].hints().dirty().contains_key(&partition));
    assert_eq!(cluster.nodes[keeper].hints().oldest_of(partition), None);
    let since = cluster.nodes[keeper].hints().dirty()[&partition];
    cluster.nodes[keeper].hints_mut().mended(partition, since);
    assert!(cluster.nodes[keeper].hints().dirty().contains_key(&partition), "not compared since");
    cluster.nodes[keeper].hints_mut().mended(partition, since + Duration::from_nanos(1));
    assert!(cluster.nodes[keeper].hints().dirty().is_empty());
    assert_eq!(cluster.ask(replicas[0], KEY, set("eggs"), sloppy(3)).outcome, Outcome::Ok);
    (0..200).for_each(|_| cluster.advance(Duration::from_millis(500)));
    assert_eq!(figures(&cluster).counted, 1, "what was counted stays");
    cluster.heal();
    cluster.wait_for_hints();
    assert_eq!(cluster.own_values(replicas[2]), ["eggs"]);
}

#[test]
fn over_the_bound_no_sloppy_acknowledgement_is_given() {
    let mut cluster = Cluster::new(4, |config| config.hint_bytes_max = Some(100), 0);
    let (replicas, others) = placed(&cluster);
    cluster.isolate(replicas[2]);
    let large = "x".repeat(200);
    let reply = cluster.ask(replicas[0], KEY, set(&large), sloppy(3));
    assert_eq!((reply.outcome, reply.achieved.acked, reply.achieved.fallbacks), (Outcome::Partial, 2, 0));
    assert_eq!((figures(&cluster).records, cluster.counter(others[0], "hints_refused")), (0, 1));
    assert_eq!(cluster.counter(others[0], "hint_partitions_dirty"), 1);
    assert_eq!(cluster.ask(replicas[0], KEY, set(&large), sloppy(2)).outcome, Outcome::Ok);
}

#[test]
fn a_release_that_knows_no_hints_is_given_none() {
    let mut cluster = Cluster::new(4, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    cluster.isolate(replicas[2]);
    let old = cluster.ids[others[0]];
    replicas.iter().for_each(|&at| cluster.nodes[at].set_peer_level(old, 1));
    let reply = cluster.ask(replicas[0], KEY, set("milk"), sloppy(3));
    assert_eq!(reply.outcome, Outcome::NotEnoughReplicas { reachable: 2, needed: 3 });
    assert_eq!(cluster.ask(replicas[0], KEY, set("milk"), sloppy(2)).outcome, Outcome::Ok);
    assert_eq!(cluster.nodes[replicas[0]].hints().figures().records, 1, "the coordinator keeps it");
}

#[test]
fn a_hint_for_nobody_or_by_a_replica_is_not_taken() {
    let mut cluster = Cluster::new(5, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    let dot = Dot { actor: Actor { generation: 1, epoch: Epoch { nonce: 1, number: 1 } }, counter: 1 };
    let value = b"v"[..].into();
    let mut object = Object::default();
    let sibling = Sibling { dot, hlc: Hlc(1), tombstone: false, expires_ms: None, element: false, value };
    object.write(&Context::default(), sibling);
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    let (key, acks) = (KEY.as_bytes(), Acks::default());
    let hint =
        |target| Message::Hint(Hint { target, is_counted: true, keyspace: 0, key, acks, object: &bytes });
    let (outsider, target) = (cluster.ids[others[1]], cluster.ids[replicas[2]]);
    for target in [outsider, cluster.ids[others[0]], MemberId(7)] {
        cluster.say(replicas[0], others[0], &hint(target));
    }
    cluster.say(others[0], replicas[0], &hint(target));
    assert_eq!(figures(&cluster).records, 0);
    cluster.isolate(replicas[2]);
    cluster.say(replicas[0], others[0], &hint(target));
    assert_eq!(figures(&cluster).records, 1, "one for a replica is");
}

#[test]
fn hints_of_a_member_that_is_removed_go_to_those_who_own_the_key_then() {
    let mut cluster = super::following::founded(5);
    let (replicas, _) = placed(&cluster);
    let gone = replicas[2];
    cluster.isolate(gone);
    assert_eq!(cluster.ask(replicas[0], KEY, set("milk"), sloppy(3)).outcome, Outcome::Ok);
    assert_eq!(figures(&cluster).counted, 1);
    for order in [Order::Stage(Change::Remove(format!("n{gone}"))), Order::Commit(None)] {
        let reply = cluster.ask(replicas[0], "", Operation::Cluster(order), Options::default());
        assert_eq!(reply.outcome, Outcome::Ok);
    }
    cluster.wait_for_hints();
    let readdressed: u64 = (0..5).map(|at| cluster.counter(at, "hints_readdressed")).sum();
    assert_eq!(readdressed, 1);
    let (replicas, _) = placed(&cluster);
    assert!(!replicas.contains(&gone));
    let all = cluster.ask(replicas[0], KEY, Operation::Get, Options { r: Some(3), ..with_context() });
    assert_eq!((&all.outcome, values(&all)), (&Outcome::Ok, vec!["milk".to_owned()]));
}

/// A leaver is asked by nobody once it has left, so it stays as long as an acknowledgement stands on what it keeps.
#[test]
fn who_leaves_stays_until_what_it_keeps_is_with_others() {
    let mut cluster = super::following::founded(5);
    let (replicas, others) = placed(&cluster);
    let away = replicas[2];
    cluster.isolate(away);
    assert_eq!(cluster.ask(replicas[0], KEY, set("milk"), sloppy(3)).outcome, Outcome::Ok);
    let keeps = |at: &usize| cluster.nodes[*at].hints().figures().counted == 1;
    let leaver = others.into_iter().find(keeps).expect("one of the others stands in");
    for at in (0..5).filter(|at| ![away, leaver].contains(at)) {
        cluster.meet_one(away, at);
    }
    for order in [Order::Stage(Change::Leave(format!("n{leaver}"))), Order::Commit(None)] {
        let reply = cluster.ask(replicas[0], "", Operation::Cluster(order), Options::default());
        assert_eq!(reply.outcome, Outcome::Ok);
    }
    // It has its data handed over, and nobody takes its hint.
    let cut = cluster.cut.clone();
    for _ in 0..400 {
        cluster.run_without(|from, to, message| {
            cut.contains(&(from, to)) || from == leaver && matches!(message, Message::Hint(_))
        });
        cluster.now.mono = cluster.now.mono + Duration::from_millis(50);
        let now = cluster.now;
        let due = cluster.nodes.iter_mut().filter(|node| node.deadline() <= now.mono);
        due.for_each(|node| node.handle_timeout(now));
    }
    let topology = cluster.nodes[replicas[0]].topology();
    assert!(topology.is_flipped() && topology.next().is_some(), "it has left, and its hint with it");
    for _ in 0..400 {
        cluster.advance(Duration::from_millis(50));
    }
    assert!(cluster.nodes[replicas[0]].topology().next().is_none(), "the transition does not end");
    assert_eq!(cluster.nodes[leaver].hints().figures().counted, 0);
    assert_eq!(cluster.own_values(away), ["milk"]);
}

#[test]
fn a_fallback_that_went_and_came_back_counts_once() {
    let mut cluster = Cluster::new(5, |_| {}, 0);
    let (replicas, others) = placed(&cluster);
    let (coordinator, keeper) = (replicas[0], others[0]);
    cluster.isolate(replicas[1]);
    let id = cluster.begin(coordinator, KEY, set("milk"), sloppy(3));
    // What is on its way to these does not come.
    for at in [others[1], replicas[2]] {
        let all = (0..5).filter(|&other| other != at);
        cluster.cut.extend(all.flat_map(|other| [(at, other), (other, at)]));
    }
    cluster.isolate(others[1]);
    assert_eq!(figures(&cluster).counted, 1);
    cluster.isolate(keeper);
    cluster.meet_one(coordinator, keeper);
    // The second replica is only found to be down now.
    cluster.isolate(replicas[2]);
    while !cluster.replies.contains_key(&id) {
        cluster.advance(Duration::from_millis(50));
    }
    let reply = cluster.replies.remove(&id).unwrap();
    assert_eq!((reply.achieved.acked, reply.achieved.fallbacks), (2, 1), "{:?}", reply.outcome);
}
