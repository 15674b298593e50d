//! The laws of a balanced table, over many random clusters and their changes.

use super::exact;
use quorate::proto::io::MemberId;
use quorate::proto::ring::balanced::{GONE, Infeasible, Machine, Old, Plan, Shape, plan};
use quorate::proto::rng::Rng;

/// A cluster that a test makes and changes.
#[derive(Clone, Debug)]
struct Cluster {
    /// Number, zone and weight of each machine.
    machines: Vec<(u64, String, u32)>,
    partitions: u32,
    replicas: usize,
    /// The default if `None`.
    max_per_zone: Option<usize>,
}

impl Cluster {
    /// Machines of weight 1, dealt to zones.
    fn even(machines: usize, zones: usize, partitions: u32) -> Cluster {
        let machine = |number: usize| (number as u64, format!("zone-{}", number % zones), 1);
        let machines = (0..machines).map(machine).collect();
        Cluster { machines, partitions, replicas: 3, max_per_zone: None }
    }

    fn random(rng: &mut Rng) -> Cluster {
        let zones = 1 + rng.below(4);
        let machines = 1 + rng.below(12);
        let replicas = 1 + rng.below(4) as usize;
        let mut cluster = Cluster {
            machines: Vec::new(),
            partitions: 1 << rng.below(8),
            replicas,
            max_per_zone: rng.one_in(2).then(|| 1 + rng.below(replicas as u64) as usize),
        };
        (0..machines).for_each(|_| cluster.join(rng, zones));
        cluster
    }

    fn join(&mut self, rng: &mut Rng, zones: u64) {
        let weight = [1, 1, 1, 1, 2, 3, 100, 0][rng.below(8) as usize];
        self.machines.push((rng.next_u64(), format!("zone-{}", rng.below(zones)), weight));
    }

    /// One to three changes of the kinds that an operator makes, and the rarer ones.
    fn change(&mut self, rng: &mut Rng) {
        for _ in 0..=rng.below(3) {
            let at = rng.below(self.machines.len() as u64) as usize;
            match rng.below(8) {
                0..=2 => self.join(rng, 4),
                3 | 4 if self.machines.len() > 1 => drop(self.machines.remove(at)),
                5 => self.machines[at].2 = 0,
                6 => self.machines[at].1 = format!("zone-{}", rng.below(4)),
                _ => self.machines[at].2 += 1,
            }
        }
        if rng.one_in(16) {
            self.replicas = 1 + rng.below(4) as usize;
        }
    }

    fn machines(&self) -> Vec<Machine<'_>> {
        self.machines
            .iter()
            .map(|(number, zone, weight)| Machine {
                id: MemberId(Rng::new(*number).next_u64()),
                zone,
                weight: *weight,
            })
            .collect()
    }

    fn shape(&self) -> Shape {
        let machines = self.machines();
        let zones = machines.iter().map(|machine| (machine.zone, machine.weight));
        let default = Shape::max_per_zone_default(self.replicas, zones);
        let max_per_zone = self.max_per_zone.unwrap_or(default);
        Shape { partitions: self.partitions, replicas: self.replicas, max_per_zone }
    }

    fn plan(&self) -> Result<Plan, Infeasible> {
        plan(&self.machines(), self.shape(), None)
    }

    /// The plan after `before`, of which `table` is the plan.
    fn plan_after(&self, before: &Cluster, old: &Plan) -> Result<Plan, Infeasible> {
        let table = self.renumbered(before, &old.table);
        plan(&self.machines(), self.shape(), Some(Old { width: old.width, table: &table }))
    }

    /// The entries of another cluster's table as places in this one's list.
    fn renumbered(&self, before: &Cluster, table: &[u16]) -> Vec<u16> {
        let place = |slot: &u16| {
            let number = before.machines[usize::from(*slot)].0;
            let at = self.machines.iter().position(|machine| machine.0 == number);
            at.map_or(GONE, |at| at as u16)
        };
        table.iter().map(place).collect()
    }

    /// Replicas that the rules allow by counting alone.
    fn possible(&self) -> usize {
        let of = |zone: &str| self.machines.iter().filter(|m| m.1 == zone && m.2 > 0).count();
        let mut zones: Vec<&str> = self.machines.iter().map(|m| m.1.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        zones.into_iter().map(|zone| of(zone).min(self.shape().max_per_zone)).sum()
    }

    fn holding(&self) -> usize {
        self.machines.iter().filter(|machine| machine.2 > 0).count()
    }
}

/// Everything that holds for a plan, whatever it came from.
fn check(cluster: &Cluster, plan: &Plan, seed: u64) {
    let shape = cluster.shape();
    assert_eq!(plan.width, cluster.replicas.min(cluster.holding()), "seed {seed}");
    assert_eq!(plan.table.len(), plan.width * cluster.partitions as usize, "seed {seed}");
    let machine = |slot: u16| &cluster.machines[usize::from(slot)];
    let mut loads = vec![0; cluster.machines.len()];
    for list in plan.table.chunks(plan.width) {
        for (at, &slot) in list.iter().enumerate() {
            loads[usize::from(slot)] += 1;
            assert!(!list[..at].contains(&slot), "seed {seed}: {list:?} repeats a machine");
            assert!(machine(slot).2 > 0, "seed {seed}: weight 0 holds data");
            let beside = list.iter().filter(|&&other| machine(other).1 == machine(slot).1).count();
            assert!(beside <= shape.max_per_zone, "seed {seed}: {list:?} fills a zone");
        }
    }
    assert_eq!(loads, plan.quotas, "seed {seed}");
    assert!(plan.moves >= plan.moves_min, "seed {seed}");
    check_quotas(cluster, plan, seed);
}

/// Quotas follow the weights, except where a cap stands against it.
fn check_quotas(cluster: &Cluster, plan: &Plan, seed: u64) {
    let zone_cap = cluster.partitions * cluster.shape().max_per_zone as u32;
    let in_zone = |zone: &str| -> u32 {
        (0..)
            .zip(&cluster.machines)
            .filter(|(_, m)| m.1 == zone)
            .map(|(at, _): (usize, _)| plan.quotas[at])
            .sum()
    };
    for (one, quota) in cluster.machines.iter().zip(&plan.quotas) {
        let is_capped = *quota == cluster.partitions || in_zone(&one.1) == zone_cap;
        for (other, other_quota) in cluster.machines.iter().zip(&plan.quotas) {
            if one.1 == other.1 && one.2 >= other.2 {
                let slack = u32::from(one.2 == other.2);
                assert!(
                    quota + slack >= *other_quota,
                    "seed {seed}: {one:?} {quota}, {other:?} {other_quota}"
                );
            }
            // Rounded twice, each time by less than one, on either side.
            if one.2 >= other.2 && !is_capped {
                assert!(quota + 3 >= *other_quota, "seed {seed}: {one:?} {quota}, {other:?} {other_quota}");
            }
        }
    }
    let weights: u64 = cluster.machines.iter().map(|machine| u64::from(machine.2)).sum();
    let units = u64::from(cluster.partitions) * plan.width as u64;
    let is_capped = |weight: u32| u64::from(weight) * units > u64::from(cluster.partitions) * weights;
    let one_zone = cluster.machines.iter().all(|machine| machine.1 == cluster.machines[0].1);
    if one_zone && !cluster.machines.iter().any(|machine| is_capped(machine.2)) {
        for (machine, &quota) in cluster.machines.iter().zip(&plan.quotas) {
            let share = u64::from(machine.2) * units;
            assert!(
                (u64::from(quota) * weights).abs_diff(share) < weights,
                "seed {seed}: {machine:?} {quota}"
            );
        }
    }
}

/// The plan by numbers of machines, so that plans of lists in another order compare.
fn numbers(cluster: &Cluster, plan: &Plan) -> Vec<u64> {
    plan.table.iter().map(|&slot| cluster.machines[usize::from(slot)].0).collect()
}

fn shuffle(cluster: &mut Cluster, rng: &mut Rng) {
    for at in (1..cluster.machines.len()).rev() {
        cluster.machines.swap(at, rng.below(at as u64 + 1) as usize);
    }
}

/// `QUORATE_LAYOUTS` clusters, or 20,000.
#[test]
fn random_clusters_and_their_changes_keep_every_rule() {
    let count = std::env::var("QUORATE_LAYOUTS").map_or(20_000, |count| count.parse().expect("a number"));
    for seed in 0..count {
        let mut rng = Rng::new(seed);
        let mut cluster = Cluster::random(&mut rng);
        let mut plan = cluster.plan();
        for _ in 0..3 {
            let is_possible =
                cluster.holding() > 0 && cluster.possible() >= cluster.replicas.min(cluster.holding());
            assert_eq!(plan.is_ok(), is_possible, "seed {seed}: {plan:?}");
            let Ok(old) = plan else { break };
            check(&cluster, &old, seed);

            let again = cluster.plan_after(&cluster, &old).unwrap();
            assert_eq!((again.moves, &again.table), (0, &old.table), "seed {seed}: nothing changed");

            let before = cluster.clone();
            cluster.change(&mut rng);
            plan = cluster.plan_after(&before, &old);
            let mut shuffled = cluster.clone();
            shuffle(&mut shuffled, &mut rng);
            if let (Ok(one), Ok(other)) = (&plan, shuffled.plan_after(&before, &old)) {
                assert_eq!(
                    numbers(&cluster, one),
                    numbers(&shuffled, &other),
                    "seed {seed}: order has a say"
                );
            }
        }
    }
}

#[test]
fn moves_are_the_fewest_that_a_flow_finds() {
    let (mut ours, mut fewest, mut worse) = (0, 0, 0);
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut before = Cluster::random(&mut rng);
        before.partitions = 16;
        let Ok(old) = before.plan() else { continue };
        let mut after = before.clone();
        after.change(&mut rng);
        let Ok(new) = after.plan_after(&before, &old) else { continue };
        let table = after.renumbered(&before, &old.table);
        let lists: Vec<Vec<u16>> = table.chunks(old.width).map(<[u16]>::to_vec).collect();
        let machines: Vec<(&str, u32)> = after
            .machines
            .iter()
            .zip(&new.quotas)
            .map(|(machine, &quota)| (machine.1.as_str(), quota))
            .collect();
        let exact = exact::fewest_moves(&lists, &machines, new.width, after.shape().max_per_zone).unwrap();
        assert!(new.moves >= exact, "seed {seed}: fewer moves than there can be");
        (ours, fewest, worse) = (ours + new.moves, fewest + exact, worse + u32::from(new.moves > exact));
    }
    assert!(ours * 100 <= fewest * 101, "{ours} moves where {fewest} do; more in {worse} of 400 changes");
}

#[test]
fn a_machine_at_its_quota_keeps_what_it_has() {
    // Two joins: every old machine gives, none takes, so whatever stays was there before.
    let before = Cluster::even(10, 1, 256);
    let old = before.plan().unwrap();
    let after = Cluster::even(12, 1, 256);
    let new = after.plan_after(&before, &old).unwrap();
    for (old, new) in old.table.chunks(3).zip(new.table.chunks(3)) {
        assert!(new.iter().all(|slot| *slot >= 10 || old.contains(slot)), "{old:?} became {new:?}");
    }
    assert_eq!(new.moves, new.moves_min);
}

#[test]
fn a_replaced_machine_moves_its_own_partitions_only() {
    // Shares are 76.8, so whoever is rounded up must not change with the machine's id.
    let before = Cluster::even(10, 1, 256);
    let old = before.plan().unwrap();
    for replaced in 0..10 {
        for number in 1_000..1_010 {
            let mut after = before.clone();
            after.machines[replaced].0 = number;
            let new = after.plan_after(&before, &old).unwrap();
            assert_eq!(new.moves, old.quotas[replaced], "machine {replaced} by {number}");
        }
    }
}

#[test]
fn changes_move_hardly_more_than_they_must() {
    type Change = fn(&mut Cluster);
    let changes: [(&str, Change); 5] = [
        ("join", |c| c.machines.push((1_000, "zone-0".into(), 1))),
        ("two joins", |c| c.machines.extend([(1_000, "zone-0".into(), 1), (1_001, "zone-1".into(), 1)])),
        ("leave", |c| drop(c.machines.remove(4))),
        ("drain", |c| c.machines[4].2 = 0),
        ("reweigh", |c| c.machines[4].2 = 2),
    ];
    for (machines, partitions) in [(10, 256), (30, 256), (30, 1_024), (100, 4_096)] {
        for zones in [1, 3, 5] {
            let before = Cluster::even(machines, zones, partitions);
            let old = before.plan().unwrap();
            for (name, change) in changes {
                let mut after = before.clone();
                change(&mut after);
                if zones > 1 && name != "two joins" {
                    after.machines.iter_mut().filter(|m| m.0 == 1_000).for_each(|m| m.1 = "zone-1".into());
                }
                let new = after.plan_after(&before, &old).unwrap();
                check(&after, &new, 0);
                assert!(
                    new.moves * 100 <= new.moves_min * 102,
                    "{name} at {machines} machines, {zones} zones, Q {partitions}: {} of {}",
                    new.moves,
                    new.moves_min
                );
            }
        }
    }
}

#[test]
fn thirty_machines_are_as_even_as_whole_numbers_can_be() {
    for (partitions, thousandths) in [(256, 985), (1_024, 994), (4_096, 999)] {
        let plan = Cluster::even(30, 1, partitions).plan().unwrap();
        let (units, most) = (partitions * 3, *plan.quotas.iter().max().unwrap());
        assert_eq!(most, units.div_ceil(30));
        // Mean load over the largest.
        assert_eq!((units * 1_000 + 15 * most) / (30 * most), thousandths, "Q = {partitions}");
    }
}

#[test]
fn uneven_zones_keep_their_caps_and_share_what_is_over() {
    // One zone of six machines, two of one: at most one replica a zone, so each zone holds everything once.
    let mut cluster = Cluster::even(8, 1, 64);
    cluster.machines[6].1 = "b".into();
    cluster.machines[7].1 = "c".into();
    cluster.max_per_zone = Some(1);
    let quotas = cluster.plan().unwrap().quotas;
    assert_eq!(quotas[6..], [64, 64]);
    assert!(quotas[..6].iter().all(|&quota| quota == 10 || quota == 11), "{quotas:?}");

    // A giant holds every partition once, and what its weight asks beyond that goes to the others.
    let mut cluster = Cluster::even(4, 1, 64);
    cluster.machines[0].2 = 1_000_000;
    let mut quotas = cluster.plan().unwrap().quotas;
    quotas[1..].sort_unstable();
    assert_eq!(quotas, [64, 42, 43, 43]);
}

#[test]
fn what_cannot_be_met_names_the_zone_that_is_short() {
    let mut cluster = Cluster::even(4, 1, 16);
    cluster.machines[3].1 = "attic".into();
    cluster.max_per_zone = Some(1);
    let problem = cluster.plan().unwrap_err();
    assert_eq!(
        problem.to_string(),
        "with at most 1 in a zone, 2 of 3 replicas can be placed: of 2 zones with data `attic` is short, with machines: 1"
    );
    cluster.machines.iter_mut().for_each(|machine| machine.2 = 0);
    assert_eq!(cluster.plan(), Err(Infeasible::NoMachine));
}

#[test]
fn no_zone_takes_all_replicas_by_default() {
    let shape = |zones: &[(&'static str, u32)], replicas| {
        Shape::max_per_zone_default(replicas, zones.iter().copied())
    };
    assert_eq!(shape(&[("", 1), ("", 1)], 3), 3);
    assert_eq!(shape(&[("a", 1), ("b", 1)], 3), 2);
    assert_eq!(shape(&[("a", 1), ("b", 0)], 3), 3, "a zone without data is none");
    assert_eq!(shape(&[("a", 1), ("b", 1)], 1), 1);
}

#[test]
fn the_first_of_a_list_is_spread_and_its_beginning_spans_zones() {
    let cluster = Cluster::even(8, 2, 1_024);
    let plan = cluster.plan().unwrap();
    let mut first = [0_u32; 8];
    for list in plan.table.chunks(3) {
        first[usize::from(list[0])] += 1;
        assert_ne!(list[0] % 2, list[1] % 2, "{list:?}: the first two lie in one zone");
    }
    // 128 each, with a deviation of about 11.
    assert!(first.iter().all(|count| count.abs_diff(128) < 50), "{first:?}");
}

#[test]
fn data_is_shared_widely() {
    // So that many machines restore one that was lost. Exact flow without hashes leaves 2 peers (§3.3).
    let plan = Cluster::even(30, 1, 1_024).plan().unwrap();
    for machine in 0..30 {
        let lists = plan.table.chunks(3).filter(|list| list.contains(&machine));
        let mut peers: Vec<u16> = lists.flatten().copied().collect();
        peers.sort_unstable();
        peers.dedup();
        assert!(peers.len() > 15, "{machine} shares data with {} machines", peers.len() - 1);
    }
}

#[test]
fn tables_never_change_between_releases() {
    // Nodes of two releases must agree on a plan: whoever changes this makes them refuse each other.
    let plan = Cluster::even(5, 2, 4).plan().unwrap();
    assert_eq!(plan.table, TABLE);
}

const TABLE: [u16; 12] = [4, 3, 2, 1, 4, 0, 0, 3, 1, 3, 2, 4];
