//! Exact figures of small changes, what is printed, and laws.

use super::super::super::config::{Config, KeyspaceConfig, MemberSpec};
use super::super::super::keys::ClusterKeys;
use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn keys() -> ClusterKeys {
    ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC)
}

/// A balanced cluster of 16 partitions; members as (name, zone, weight).
fn config(members: &[(&str, &str, u32)]) -> Config {
    let mut config = Config::new(members[0].0);
    (config.placement, config.partitions) = (Mode::Balanced, 16);
    let member = |&(name, zone, weight): &(&str, &str, u32)| MemberSpec {
        zone: zone.into(),
        weight,
        ..MemberSpec::new(name, "")
    };
    config.members = members.iter().map(member).collect();
    config.check().unwrap();
    config
}

/// The first `count` of a, b, c and d, with weight 1 and no zone.
fn plain(count: usize) -> Config {
    config(&["a", "b", "c", "d"].map(|name| (name, "", 1))[..count])
}

fn first(config: &Config) -> Layout {
    Layout::first(config, &keys())
}

/// The plan from one list to another, with a MiB in each partition.
fn plan(old: &Config, new: &Config) -> Plan {
    let old = first(old);
    Plan::new(&old, &old.next(new, &keys()), |_| Some(MIB), NonZeroU64::new(MIB))
}

/// Moves, the fewest possible, MiB, seconds, orphans.
fn sums(plan: &Plan) -> (u32, u32, u64, u64, u32) {
    let seconds = plan.duration_min.unwrap().as_secs();
    (plan.moves, plan.moves_min, plan.bytes_moved / MIB, seconds, plan.orphans)
}

/// Of each member: partitions before and after, received, given up, MiB received, share.
fn rows(plan: &Plan) -> Vec<(u32, u32, u32, u32, u64, u32)> {
    let partitions = |side: &Option<Holding>| side.as_ref().map_or(0, |holding| holding.partitions);
    let row = |m: &MemberPlan| {
        let share = m.after.as_ref().map_or(0, |holding| holding.share_ppm);
        let (before, after) = (partitions(&m.before), partitions(&m.after));
        (before, after, m.receives, m.gives_up, m.bytes_received / MIB, share)
    };
    plan.members.iter().map(row).collect()
}

fn peers(min: u32, mean_thousandths: u32, max: u32) -> Peers {
    Peers { min, mean_thousandths, max }
}

#[test]
fn from_one_member_to_four() {
    let step = plan(&plain(1), &plain(2));
    assert_eq!(step.kept_min, 1);
    // The sender is alone, and so is the receiver.
    assert_eq!(sums(&step), (16, 16, 16, 16, 0));
    assert_eq!(rows(&step), [(16, 16, 0, 0, 0, 500_000), (0, 16, 16, 0, 16, 500_000)]);
    assert_eq!((step.from.version, step.to.version), (1, 2));
    assert_eq!((step.to.replicas, step.to.replicas_asked, step.to.is_degraded()), (2, 3, true));
    assert_eq!((step.from.peers, step.to.peers), (peers(0, 0, 0), peers(1, 1_000, 1)));

    let step = plan(&plain(2), &plain(3));
    assert_eq!(sums(&step), (16, 16, 16, 16, 0));
    assert_eq!(rows(&step)[2], (0, 16, 16, 0, 16, 333_333));
    assert!(step.from.is_degraded() && !step.to.is_degraded());

    let step = plan(&plain(3), &plain(4));
    assert_eq!(sums(&step), (12, 12, 12, 12, 0));
    assert_eq!(
        rows(&step),
        [
            (16, 12, 0, 4, 0, 250_000),
            (16, 12, 0, 4, 0, 250_000),
            (16, 12, 0, 4, 0, 250_000),
            (0, 12, 12, 0, 12, 250_000),
        ]
    );
    assert_eq!((step.to.usable_ppm, step.to.skew_ppm), (1_000_000, 1_000_000));
    assert_eq!((step.from.peers, step.to.peers), (peers(2, 2_000, 2), peers(3, 3_000, 3)));

    // Two at once: one machine sends what both receive, so it is the sender that takes time.
    assert_eq!(sums(&plan(&plain(1), &plain(3))), (32, 32, 32, 32, 0));
}

#[test]
fn a_member_leaves_or_drains() {
    let gone = plan(&plain(4), &plain(3));
    assert_eq!(sums(&gone), (12, 12, 12, 4, 0));
    assert_eq!(rows(&gone)[0], (12, 16, 4, 0, 4, 333_333));
    assert_eq!(rows(&gone)[3], (12, 0, 0, 12, 0, 0));
    assert_eq!(gone.members[3].after, None);

    let drained = plan(&plain(4), &config(&[("a", "", 1), ("b", "", 1), ("c", "", 1), ("d", "", 0)]));
    assert_eq!(sums(&drained), sums(&gone));
    assert_eq!(rows(&drained), rows(&gone));
    assert_eq!(drained.members[3].after.as_ref().map(|holding| holding.weight), Some(0));
    assert_eq!(drained.to.usable_ppm, 1_000_000, "who asks for nothing is not short of anything");
}

#[test]
fn a_weight_changes() {
    let heavier = config(&[("a", "", 1), ("b", "", 1), ("c", "", 1), ("d", "", 2)]);
    let step = plan(&plain(4), &heavier);
    // Of 48 replicas d would take 19.2, but nobody holds a partition twice: 16, and the others share 32.
    assert_eq!(sums(&step), (4, 4, 4, 4, 0));
    let partitions: Vec<u32> = rows(&step).iter().map(|row| row.1).collect();
    assert_eq!(partitions.iter().sum::<u32>(), 48);
    assert_eq!((partitions[3], partitions.iter().min()), (16, Some(&10)));
    // Whoever has 11 of 48 is to have a fifth: 48/55.
    assert_eq!(step.to.usable_ppm, 872_727);
    assert_eq!(step.to.skew_ppm, 1_145_833);
    assert_eq!(step.members[3].before.as_ref().map(|holding| holding.weight), Some(1));
}

#[test]
fn zones_are_counted_and_judged() {
    let old = config(&[("a", "x", 1), ("b", "x", 1), ("c", "y", 1)]);
    let new = config(&[("a", "x", 1), ("b", "x", 1), ("c", "y", 1), ("d", "y", 1)]);
    let step = plan(&old, &new);
    assert_eq!(step.to.max_per_zone, Some(2));
    let zones: Vec<_> = step
        .zones
        .iter()
        .map(|z| (z.zone.as_str(), z.machines, z.replicas_before, z.replicas_after, z.share_ppm, z.crowded))
        .collect();
    assert_eq!(zones, [("x", 2, 32, 24, 500_000, 0), ("y", 2, 16, 24, 500_000, 0)]);

    // A strict rule, and an uneven room for it: y holds a replica of everything, alone.
    let mut strict = config(&[("a", "x", 1), ("b", "x", 1), ("c", "y", 1), ("d", "y", 1), ("e", "z", 1)]);
    strict.max_per_zone = Some(1);
    let step = plan(&new, &strict);
    assert_eq!((step.to.usable_ppm, step.to.max_per_zone), (600_000, Some(1)));
    assert!(step.zones.iter().all(|zone| (zone.replicas_after, zone.crowded) == (16, 0)));
}

#[test]
fn a_crowded_zone_is_told() {
    // No table breaks the rule that it was made by, so the machines are moved under it: with all in one zone,
    // each partition has three replicas there.
    let zoned = config(&[("a", "x", 1), ("b", "x", 1), ("c", "y", 1)]);
    let layout = first(&zoned);
    let mut held = holdings(&layout, &Sizes::gather(16, |_| None));
    held[2].zone = "x".into();
    let zones = zones(&layout, &held, &layout, &held);
    assert_eq!((zones.len(), zones[0].replicas_after, zones[0].crowded), (1, 48, 16));
    let mut step = plan(&zoned, &zoned);
    step.zones = zones;
    let lines = step.to_lines();
    assert!(lines.contains(&"WARNING   16 partitions have more than 2 replicas in zone x".to_owned()));
    assert!(lines.iter().any(|line| line.ends_with("BROKEN by 16")), "{lines:#?}");
}

#[test]
fn partitions_that_keep_no_copy_are_counted() {
    let others = config(&[("e", "", 1), ("f", "", 1), ("g", "", 1)]);
    let step = plan(&plain(3), &others);
    assert_eq!((step.moves, step.orphans, step.kept_min), (48, 16, 0));
    assert!(step.to_lines().contains(&"WARNING   no copy of today stays of 16 partitions".to_owned()));
}

#[test]
fn unknown_bytes_are_taken_for_the_mean() {
    let old = first(&plain(3));
    let new = old.next(&plain(4), &keys());
    let told = |partition| (partition < 4).then_some(u64::from(partition) * 10);
    let step = Plan::new(&old, &new, told, None);
    assert_eq!((step.partitions_measured, step.duration_min), (4, None));
    // 0 + 10 + 20 + 30 and twelve times their mean.
    assert_eq!(step.members[0].before.as_ref().map(|holding| holding.bytes), Some(240));
    let unknown = Plan::new(&old, &new, |_| None, NonZeroU64::new(1));
    assert_eq!((unknown.bytes_moved, unknown.duration_min), (0, None));
    assert_eq!(rows(&unknown)[3], (0, 12, 12, 0, 0, 250_000), "shares are those of partitions");
    assert_eq!(unknown.to_lines()[3], "bytes     not known");
}

#[test]
fn skew_is_of_bytes_and_capacity_of_partitions() {
    let old = first(&plain(4));
    // All bytes lie in partition 0, on three of four machines.
    let step = Plan::new(&old, &old.next(&plain(4), &keys()), |at| Some(u64::from(at == 0)), None);
    assert_eq!((step.from.usable_ppm, step.from.skew_ppm), (1_000_000, 1_333_333));
}

#[test]
fn equal_layouts_move_nothing() {
    let step = plan(&plain(4), &plain(4));
    assert_eq!(sums(&step), (0, 0, 0, 0, 0));
    assert_eq!(step.from.hash, step.to.hash);
    assert!(rows(&step).iter().all(|row| row.0 == row.1));
}

#[test]
fn a_plan_is_printed() {
    let old = first(&plain(3));
    let plan = Plan::new(
        &old,
        &old.next(&plain(4), &keys()),
        |at| (at < 15).then_some(700 * MIB),
        NonZeroU64::new(20 * MIB),
    );
    assert_eq!(plan.to_string(), FROM_THREE_TO_FOUR);
}

#[test]
fn a_plan_with_zones_is_printed() {
    let old = config(&[("a", "attic", 1), ("b", "cellar", 1), ("old-one", "attic", 1)]);
    let new = config(&[("a", "attic", 2), ("b", "cellar", 1), ("c", "attic", 1)]);
    assert_eq!(plan(&old, &new).to_string(), REPLACED_AND_REWEIGHED);
}

const FROM_THREE_TO_FOUR: &str = "\
layout    1 -> 2: 3 -> 4 members, 16 partitions in 3 replicas, placement balanced
moves     12 of 48 replicas (25.0 %); fewest for these shares: 12
kept      at least 2 of 3 copies of each partition
bytes     about 8.2 GiB to copy: 1 of 16 partitions are taken for the mean of the others
time      at least 7 min, if a machine moves 20.0 MiB a second
capacity  1.000 usable of what machines of these weights could hold
skew      1.000 times the mean on the fullest machine for its weight, by bytes
peers     2/2.0/2 -> 3/3.0/3 machines share data with one (min/mean/max)

member  weight  partitions  receives  gives up  bytes in   share
a            1    16 -> 12         0         4       0 B  25.0 %
b            1    16 -> 12         0         4       0 B  25.0 %
c            1    16 -> 12         0         4       0 B  25.0 %
d            1     0 -> 12        12         0   8.2 GiB  25.0 %  joins
";

const REPLACED_AND_REWEIGHED: &str = "\
layout    1 -> 2: 3 members, 16 partitions in 3 replicas, placement balanced
moves     16 of 48 replicas (33.3 %); fewest for these shares: 16
kept      at least 2 of 3 copies of each partition
bytes     16.0 MiB to copy
time      at least 16 s, if a machine moves 1.0 MiB a second
capacity  1.000 -> 0.750 usable of what machines of these weights could hold
skew      1.000 -> 1.333 times the mean on the fullest machine for its weight, by bytes
peers     2/2.0/2 machines share data with one (min/mean/max)

zone    machines  replicas   share  rule
attic          2        32  66.7 %  at most 2 of a partition: holds
cellar         1        16  33.3 %  at most 2 of a partition: holds

member   zone    weight  partitions  receives  gives up  bytes in   share
a        attic        2          16         0         0       0 B  33.3 %  weight 1 -> 2
b        cellar       1          16         0         0       0 B  33.3 %
c        attic        1     0 -> 16        16         0  16.0 MiB  33.3 %  joins
old-one  attic        -     16 -> 0         0        16       0 B       -  leaves
";

#[test]
fn a_plan_of_many_is_bounded() {
    let names: Vec<String> = (0..100).map(|number| format!("member-{number:02}")).collect();
    let zones: Vec<String> = (0..25).map(|number| format!("zone-{number:02}")).collect();
    let members: Vec<(&str, &str, u32)> =
        (0..100).map(|at| (names[at].as_str(), zones[at % 25].as_str(), 1)).collect();
    let mut old = config(&members[..99]);
    old.partitions = 1_024;
    let mut new = config(&members);
    new.partitions = 1_024;
    let lines = plan(&old, &new).to_lines();
    assert!(lines.len() < 80, "{lines:#?}");
    assert!(lines.iter().all(|line| line.len() <= 100 && line.is_ascii()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("member-99") && line.ends_with("joins")));
    assert!(lines.contains(&"... and 5 more".to_owned()));
    let last = lines.last().unwrap();
    assert!(last.starts_with("... and 60 more, which receive 0 replicas and give up "), "{last}");
}

#[test]
fn keyspaces_of_smaller_n_are_noted() {
    let mut config = plain(4);
    config.keyspaces.push(KeyspaceConfig { n: 2, ..KeyspaceConfig::default() });
    let step = plan(&config, &config);
    assert_eq!((step.to.replicas, step.to.replicas_least), (3, 2));
    assert!(step.to_lines().iter().any(|line| line.starts_with("note      keyspaces of 2 replicas")));
}

/// A cluster of some of eight members. Zones only where all are to be had.
fn any_config() -> impl Strategy<Value = Config> {
    let members = prop::collection::vec(prop::option::of((0..3_u32, 0..3_usize)), 8);
    (members, any::<bool>(), any::<bool>()).prop_filter_map("no such cluster", |(members, zoned, tokens)| {
        let mut config = Config::new("");
        (config.partitions, config.tokens) = (16, 4);
        config.placement = if tokens { Mode::Tokens } else { Mode::Balanced };
        let zoned = zoned && !tokens;
        config.members = (0..)
            .zip(members)
            .filter_map(|(number, member): (u32, _)| {
                let (weight, zone) = member?;
                let zone = if zoned { ["x", "y", "z"][zone] } else { "" };
                let spec = MemberSpec::new(&format!("m{number}"), "");
                Some(MemberSpec { zone: zone.into(), weight, ..spec })
            })
            .collect();
        config.name.clone_from(&config.members.first()?.name);
        config.check().is_ok().then_some(config)
    })
}

proptest! {
    #[test]
    fn what_goes_comes_somewhere(
        old in any_config(),
        new in any_config(),
        sizes in prop::collection::vec(prop::option::of(0..1_000_u64), 16),
    ) {
        let old = first(&old);
        let new = old.next(&new, &keys());
        let plan = Plan::new(&old, &new, |at| sizes[usize::from(at)], NonZeroU64::new(7));
        prop_assert!(plan.moves >= plan.moves_min);
        let ids = |of: &Layout, at: u16| -> Vec<MemberId> {
            of.preference_list(at).iter().map(|&slot| of.member(slot).id).collect()
        };
        let kept = |at: u16| {
            let before = ids(&old, at);
            ids(&new, at).iter().filter(|&id| before.contains(id)).count() as u32
        };
        prop_assert_eq!(plan.moves, 16 * new.width() as u32 - (0..16).map(kept).sum::<u32>());
        prop_assert_eq!(plan.orphans as usize, (0..16).filter(|&at| kept(at) == 0).count());
        prop_assert_eq!(Some(plan.kept_min), (0..16).map(kept).min());
        let sum = |part: fn(&MemberPlan) -> u64| plan.members.iter().map(part).sum::<u64>();
        prop_assert_eq!(sum(|m| m.receives.into()), u64::from(plan.moves));
        prop_assert_eq!(sum(|m| m.bytes_received), plan.bytes_moved);
        for member in &plan.members {
            let held = |side: &Option<Holding>| side.as_ref().map_or((0, 0), |h| (h.partitions, h.bytes));
            let (before, after) = (held(&member.before), held(&member.after));
            prop_assert_eq!(before.0 + member.receives, after.0 + member.gives_up);
            prop_assert_eq!(before.1 + member.bytes_received, after.1 + member.bytes_given_up);
        }
        let shares: i64 = plan.members.iter().flat_map(|m| &m.after).map(|h| i64::from(h.share_ppm)).sum();
        prop_assert!((shares - 1_000_000).abs() <= 8, "rounded once for each of eight: {}", shares);
        let zones: i64 = plan.zones.iter().map(|zone| i64::from(zone.share_ppm)).sum();
        prop_assert!((zones - 1_000_000).abs() <= 8);
        let in_zones = |part: fn(&ZonePlan) -> u32| plan.zones.iter().map(part).sum::<u32>() as usize;
        prop_assert_eq!(in_zones(|zone| zone.replicas_before), 16 * old.width());
        prop_assert_eq!(in_zones(|zone| zone.replicas_after), 16 * new.width());
        prop_assert_eq!(in_zones(|zone| zone.crowded), 0);
        for figures in [&plan.from, &plan.to] {
            prop_assert!(figures.usable_ppm <= 1_000_000 && figures.skew_ppm >= 1_000_000);
        }
        // There and back moves each replica once in each direction.
        let back = Plan::new(&new, &old, |at| sizes[usize::from(at)], None);
        prop_assert_eq!(sum(|m| m.gives_up.into()), u64::from(back.moves));
        let same = Plan::new(&new, &new, |at| sizes[usize::from(at)], None);
        prop_assert_eq!((same.moves, same.moves_min, same.bytes_moved, same.orphans), (0, 0, 0, 0));
        prop_assert!(plan.to_lines().iter().all(|line| line.is_ascii() && line.trim_end() == line));
    }
}
