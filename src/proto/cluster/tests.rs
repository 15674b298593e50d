//! The steps of a topology, without any node.

use super::{Change, Topology};
use crate::proto::config::{Config, MemberSpec};
use crate::proto::io::MemberId;
use crate::proto::keys::ClusterKeys;
use crate::proto::message::LEVEL;
use crate::proto::ring::Mode;
use crate::proto::routes::Routes;

fn keys() -> ClusterKeys {
    ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC)
}

fn member(name: &str, generation: u64) -> MemberSpec {
    MemberSpec { generation, ..MemberSpec::new(name, &format!("{name}:1")) }
}

/// A cluster of these members, each with the generation of its place.
fn founded(names: &[&str]) -> (Topology, Config) {
    let mut config = Config::new(names[0]);
    config.members = names.iter().zip(1..).map(|(name, generation)| member(name, generation)).collect();
    config.placement = Mode::Balanced;
    config.partitions = 16;
    config.check().unwrap();
    (Topology::found(&config, &keys()), config)
}

fn staged(topology: &Topology, change: Change) -> Topology {
    topology.stage(change, &keys()).unwrap().expect("it is a change")
}

/// The name of the plan that what is staged comes to.
fn plan(topology: &Topology) -> u64 {
    topology.plan_hash(&topology.planned(&keys()).unwrap(), &keys())
}

/// Stages and commits.
fn moved(topology: &Topology, change: Change) -> Topology {
    let staged = staged(topology, change);
    staged.commit(plan(&staged), &keys()).unwrap()
}

#[test]
fn a_transition_is_staged_committed_flipped_and_finished() {
    let (first, config) = founded(&["a", "b", "c"]);
    assert_eq!((first.version(), first.keepers().len(), first.level()), (1, 3, LEVEL));
    let moving = moved(&first, Change::Join(member("d", 4)));
    assert_eq!((moving.version(), moving.current().members().len()), (3, 3));
    assert_eq!(moving.latest().members().len(), 4);
    assert_eq!(moving.reading().version(), 1);
    let d = keys().member_id("d");
    let arrivals = moving.arrivals(d, &config);
    assert_eq!(arrivals.len(), 12, "three quarters of 16 partitions");
    assert_eq!(moving.receivers(&config), [d]);
    for &partition in &arrivals {
        let sources = moving.sources(partition, d);
        assert_eq!(sources.len(), 3);
        // N = 3 and W = 2: two of the old ones have every acknowledged write.
        assert!(!moving.is_reconciled(partition, d, &sources[..1], &config));
        assert!(moving.is_reconciled(partition, d, &sources[1..], &config));
    }
    let flipped = moving.flip(&keys());
    assert_eq!((flipped.flipped_at(), flipped.reading().members().len()), (4, 4));
    assert!(flipped.arrivals(d, &config).is_empty());
    // N = 3 and R = 2: two of three old ones refuse who reads of before.
    let names = |names: &'static [&'static str]| {
        move |m: &crate::proto::ring::LayoutMember| names.contains(&&*m.name)
    };
    assert!(!flipped.may_finish(&config, names(&["a"])));
    assert!(flipped.may_finish(&config, names(&["a", "c"])));
    let done = flipped.finish(&keys());
    assert_eq!((done.version(), done.next().is_none(), done.is_flipped()), (5, true, false));
    assert_eq!(done.current().members().len(), 4);
}

#[test]
fn only_who_stays_settles_hints_and_stands_in() {
    let names = ["a", "b", "c", "d"];
    let slot = |id: MemberId| {
        let is_it = |name: &&str| keys().member_id(name) == id;
        ["a", "b", "c", "d", "e"].iter().position(is_it).unwrap() as u16
    };
    let routes = |topology: &Topology| Routes::new(topology, slot, (keys().member_id("a"), 1), None);
    let stand_in = |routes: &Routes| {
        let replicas = routes.replicas(0, 0);
        routes.fallbacks(0, &replicas, replicas.as_slice()[0])
    };
    let (first, _) = founded(&names);
    let (settled, d, e) = (routes(&first), 3, 4);
    let of_d = (0..16).find(|&at| settled.replicas(0, at).rank(d).is_some()).unwrap();
    assert!(settled.settles_hints(0, of_d, d) && !settled.is_going_for_good(d) && settled.stays(d));
    for (change, leaver) in [(Change::Leave("d".into()), d), (Change::Join(member("e", 5)), e)] {
        let moving = moved(&first, change);
        let before = routes(&moving);
        assert!(!before.stays(leaver) && !before.is_going_for_good(leaver));
        let newcomers = (0..16).filter(|&at| before.replicas(0, at).rank(leaver).is_some());
        for at in newcomers {
            assert!(!before.settles_hints(0, at, leaver), "partition {at}: the change may be reverted");
            assert!(before.heirs(0, at).rank(leaver).is_some(), "partition {at}");
        }
        assert!(!stand_in(&before).contains(&leaver));
        let after = routes(&moving.flip(&keys()));
        assert_eq!((after.is_going_for_good(leaver), after.stays(leaver)), (leaver == d, leaver == e));
        for at in (0..16).filter(|&at| after.replicas(0, at).rank(leaver).is_some()) {
            let is_read = after.replicas(0, at).readable().any(|(_, other)| other == leaver);
            assert_eq!(
                (after.settles_hints(0, at, leaver), after.heirs(0, at).rank(leaver).is_some()),
                (is_read, is_read)
            );
        }
    }
    // Another directory in the place of one that was lost.
    let replaced = routes(&moved(&first, Change::Join(member("d", 9))));
    assert!(!replaced.settles_hints(0, of_d, d) && !replaced.stays(d));
}

#[test]
fn a_topology_comes_back_as_bytes_and_no_bent_one_panics() {
    let (first, _) = founded(&["a", "b"]);
    let moving = staged(&moved(&first, Change::Join(member("c", 3))), Change::Weight("a".into(), 2));
    let flipped = moving.flip(&keys());
    for topology in [&first, &moving, &flipped] {
        let bytes = topology.encode();
        assert_eq!(Topology::decode(&bytes, &keys()).as_ref(), Ok(topology));
        for cut in 0..bytes.len() {
            assert!(Topology::decode(&bytes[..cut], &keys()).is_err());
        }
        for bit in 0..8 * bytes.len() {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            if let Ok(bent) = Topology::decode(&bent, &keys()) {
                assert_ne!(bent.hash(), topology.hash());
            }
        }
    }
}

#[test]
fn what_a_later_release_writes_is_refused_as_such() {
    let (mut first, _) = founded(&["a"]);
    first.level = LEVEL + 1;
    let error = Topology::decode(&first.encode(), &keys()).unwrap_err();
    assert!(error.to_string().contains("a later release"), "{error}");
    first.level = 0;
    let raised = first.raise(LEVEL, &keys());
    assert_eq!((raised.level(), raised.version()), (LEVEL, 2));
}

#[test]
fn a_plan_is_committed_as_it_was_seen() {
    let (first, _) = founded(&["a", "b", "c"]);
    assert_eq!(first.commit(1, &keys()).unwrap_err(), "nothing is staged");
    let one = staged(&first, Change::Join(member("d", 4)));
    let seen = plan(&one);
    let two = staged(&one, Change::Weight("d".into(), 3));
    assert!(two.commit(seen, &keys()).unwrap_err().contains("look at the plan again"));
    assert_eq!(two.stage(Change::Weight("d".into(), 3), &keys()), Ok(None), "it is staged already");
    assert!(two.unstage(&keys()).unwrap().staged().is_empty());
    let moving = one.commit(seen, &keys()).unwrap();
    let reverted = moving.revert(&keys()).unwrap();
    assert_eq!((reverted.latest().members().len(), reverted.next()), (3, None));
    assert!(moving.flip(&keys()).revert(&keys()).unwrap_err().contains("reads are on the new layout"));
    // What joins by itself takes nothing along.
    let admitted = two.admit(Change::Join(member("e", 5)), &keys()).unwrap().unwrap();
    assert_eq!(admitted.staged(), two.staged());
    let names: Vec<&str> = admitted.latest().members().iter().map(|member| &*member.name).collect();
    assert_eq!(names, ["a", "b", "c", "e"]);
}

#[test]
fn who_is_gone_does_not_come_back_and_the_last_copy_does_not_go() {
    let (first, config) = founded(&["a", "b", "c", "d"]);
    let dead = moved(&first, Change::Remove("b".into()));
    assert!(dead.has_removed(2));
    let b = keys().member_id("b");
    assert!((0..16).all(|partition| !dead.sources(partition, keys().member_id("a")).contains(&b)));
    let done = dead.flip(&keys()).finish(&keys());
    let error = done.stage(Change::Join(member("b", 2)), &keys()).unwrap_err();
    assert!(error.contains("was removed from the cluster"), "{error}");
    assert!(done.stage(Change::Join(member("b", 9)), &keys()).unwrap().is_some(), "an empty directory may");
    // A directory that was replaced under its name is as gone.
    let wiped = moved(&first, Change::Join(member("c", 7)));
    let c = keys().member_id("c");
    assert_eq!(wiped.arrivals(c, &config).len(), first.current().partitions_of(2) as usize);
    assert!(wiped.flip(&keys()).finish(&keys()).has_removed(3));
    // What the directory before it asked for meanwhile is gone with it.
    let asked = staged(&staged(&wiped, Change::Join(member("c", 3))), Change::Weight("a".into(), 2));
    assert_eq!(asked.staged().len(), 2);
    assert_eq!(asked.flip(&keys()).finish(&keys()).staged(), [Change::Weight("a".into(), 2)]);
    let mut all = first.clone();
    for name in ["a", "b", "c"] {
        all = staged(&all, Change::Remove(name.into()));
    }
    let error = all.planned(&keys()).unwrap_err();
    assert!(error.contains("would have no copy left"), "{error}");
    let error = all.stage(Change::Leave("d".into()), &keys()).unwrap_err();
    assert!(error.contains("the last member cannot go"), "{error}");
}

#[test]
fn a_further_layout_replaces_one_that_is_not_finished() {
    let (first, config) = founded(&["a", "b", "c"]);
    let moving = moved(&first, Change::Join(member("d", 4)));
    // The one that was to receive dies.
    let further = moved(&moving, Change::Remove("d".into()));
    // Everything is back where it was, so nothing is left to move.
    assert_eq!(further.next(), None);
    assert!(further.current().slot_of(keys().member_id("d")).is_none() && further.has_removed(4));
    // Another one joins instead: what was to move to the first moves to it.
    let instead = staged(&staged(&moving, Change::Remove("d".into())), Change::Join(member("e", 5)));
    let instead = instead.commit(plan(&instead), &keys()).unwrap();
    assert_eq!(instead.current().version(), 1);
    assert_eq!(instead.receivers(&config), [keys().member_id("e")]);
    assert!(moved_error(&moving.flip(&keys())).contains("is about to end"));
}

fn moved_error(topology: &Topology) -> String {
    let staged = staged(topology, Change::Leave("d".into()));
    staged.commit(0, &keys()).unwrap_err()
}

#[test]
fn where_a_quorum_could_miss_a_write_all_replicas_reconcile() {
    // From three replicas to one: the one that stays may have missed a write that two acknowledged.
    let (first, config) = founded(&["a", "b", "c"]);
    let one = staged(&first, Change::Leave("b".into()));
    let moving = moved(&one, Change::Leave("c".into()));
    assert_eq!(moving.latest().width(), 1);
    let a = keys().member_id("a");
    assert_eq!(moving.arrivals(a, &config).len(), 16);
    assert!(!moving.is_reconciled(0, a, &[], &config));
    assert!(moving.is_reconciled(0, a, &[keys().member_id("b")], &config));
}

#[test]
fn a_plan_is_named_by_what_becomes_of_members_too() {
    let (first, _) = founded(&["a", "b", "c"]);
    let (leaves, dead) =
        (staged(&first, Change::Leave("c".into())), staged(&first, Change::Remove("c".into())));
    let layout = |topology: &Topology| topology.planned(&keys()).unwrap().hash();
    assert_eq!(layout(&leaves), layout(&dead), "one layout");
    assert!(leaves.commit(plan(&leaves), &keys()).is_ok());
    assert!(dead.commit(plan(&leaves), &keys()).unwrap_err().contains("look at the plan again"));
}

#[test]
fn who_left_is_told_from_who_was_removed() {
    let (first, _) = founded(&["a", "b", "c", "d"]);
    let d = keys().member_id("d");
    let leaving = moved(&first, Change::Leave("d".into()));
    let flipped = leaving.flip(&keys());
    let gone = flipped.finish(&keys());
    for (topology, is_leaving) in [(&first, false), (&leaving, true), (&flipped, true), (&gone, false)] {
        assert_eq!(topology.leaves(d, 4), is_leaving, "version {}", topology.version());
        // Who saw only that it is a member cannot know how it went.
        assert_eq!(topology.has_left_by(&gone, d, 4), is_leaving, "version {}", topology.version());
        assert!(!topology.has_left_by(&flipped, d, 4), "not yet");
        assert!(!topology.has_left_by(&gone, d, 5), "another directory");
        assert!(!topology.has_left_by(&gone, keys().member_id("c"), 3));
    }
    let removing = moved(&first, Change::Remove("d".into()));
    // The operator had it leave, and it died over that.
    let died = moved(&leaving, Change::Remove("d".into()));
    for history in [vec![&first, &removing], vec![&first, &leaving, &died]] {
        let flipped = history[history.len() - 1].flip(&keys());
        let gone = flipped.finish(&keys());
        assert!(gone.has_removed(4));
        for topology in history.into_iter().chain([&flipped]) {
            assert!(!topology.has_left_by(&gone, d, 4), "version {}", topology.version());
        }
    }
    // What holds nothing gives its hints away like any other.
    let empty = moved(&first, Change::Weight("d".into(), 0)).flip(&keys()).finish(&keys());
    let asked = staged(&empty, Change::Leave("d".into()));
    let gone = asked.commit(plan(&asked), &keys()).unwrap();
    assert!(gone.leaves(d, 4) && !asked.has_left_by(&gone, d, 4));
    assert!(gone.has_left_by(&gone.flip(&keys()).finish(&keys()), d, 4));
    let asked = staged(&empty, Change::Remove("d".into()));
    let gone = asked.commit(plan(&asked), &keys()).unwrap();
    assert!(gone.next().is_none() && gone.has_removed(4) && !asked.has_left_by(&gone, d, 4));
}
