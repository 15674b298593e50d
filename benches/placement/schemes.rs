//! The ways to place partitions that Fig. 8 of the Dynamo paper compares (§6.2), and ours: what each loads on
//! every machine. Machines weigh alike; all randomness comes from a seed.

use quorate::proto::io::MemberId;
use quorate::proto::keys::Key;
use quorate::proto::ring::balanced::{self, Machine, Plan, Shape};
use quorate::proto::ring::tokens::{self, Token};
use quorate::proto::rng::Rng;

/// Replicas of each key.
pub const REPLICAS: usize = 3;

/// Load efficiency as the paper defines it: the mean load of a machine over the largest.
pub fn efficiency(loads: &[u128]) -> f64 {
    let (sum, most) = (loads.iter().sum::<u128>(), loads.iter().max().copied().unwrap_or(1));
    sum as f64 / loads.len() as f64 / most as f64
}

/// Strategy 1: T random tokens a machine, and the ranges between them are the partitions. Loads in points of
/// the 64-bit ring.
pub fn strategy_1(seed: u64, machines: usize, tokens: u32) -> Vec<u128> {
    let ring = ring(seed, machines, tokens);
    let mut loads = vec![0; machines];
    let mut list = Vec::new();
    let mut before = ring[ring.len() - 1].0;
    for &(token, _) in &ring {
        list.clear();
        tokens::walk(&ring, token, REPLICAS, &mut list);
        for &slot in &list {
            loads[usize::from(slot)] += u128::from(before.distance_to(token));
        }
        before = token;
    }
    loads
}

/// Strategy 2: T random tokens a machine and Q equal partitions, the mode `tokens`. Loads in partitions.
pub fn strategy_2(seed: u64, machines: usize, tokens: u32, partitions: u32) -> Vec<u128> {
    let names = names(machines);
    let table = tokens::table(&key(seed), &token_machines(&names), tokens, partitions, REPLICAS);
    count(&table, machines)
}

/// Strategy 3: Q equal partitions and Q/S tokens a machine, each at the end of a partition. Loads in partitions.
pub fn strategy_3(seed: u64, machines: usize, partitions: u32) -> Vec<u128> {
    let mut rng = Rng::new(seed);
    let mut owners: Vec<u16> = (0..partitions as usize).map(|at| (at % machines) as u16).collect();
    for at in (1..owners.len()).rev() {
        owners.swap(at, rng.below(at as u64 + 1) as usize);
    }
    let ring: Vec<(Token, u16)> = (0..).zip(owners).map(|(at, slot)| (Token(at), slot)).collect();
    let mut table = Vec::new();
    for at in 0..partitions {
        tokens::walk(&ring, Token(at.into()), REPLICAS, &mut table);
    }
    count(&table, machines)
}

/// Ours: whole-number quotas, the mode `balanced`. Loads in partitions.
pub fn balanced(seed: u64, machines: usize, partitions: u32) -> Vec<u128> {
    let plan = plan(&fleet(seed, machines, 1), partitions, None);
    plan.quotas.into_iter().map(u128::from).collect()
}

/// Machines of weight 1 in `zones`, at most ten.
pub fn fleet(seed: u64, machines: usize, zones: usize) -> Vec<Machine<'static>> {
    static ZONES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut ids = Rng::new(seed);
    let zones = ZONES[..zones].iter().cycle();
    zones.take(machines).map(|zone| Machine { id: MemberId(ids.next_u64()), zone, weight: 1 }).collect()
}

/// The table for these machines, with the fewest moves from `old`, whose machines stand at the same places.
pub fn plan(machines: &[Machine<'_>], partitions: u32, old: Option<&Plan>) -> Plan {
    let zones = machines.iter().map(|machine| (machine.zone, machine.weight));
    let max_per_zone = Shape::max_per_zone_default(REPLICAS, zones);
    let shape = Shape { partitions, replicas: REPLICAS, max_per_zone };
    let old = old.map(|plan| balanced::Old { width: plan.width, table: &plan.table });
    balanced::plan(machines, shape, old).expect("enough machines in every zone")
}

fn ring(seed: u64, machines: usize, tokens: u32) -> Vec<(Token, u16)> {
    let names = names(machines);
    tokens::ring(&key(seed), &token_machines(&names), tokens)
}

fn names(machines: usize) -> Vec<String> {
    (0..machines).map(|number| format!("machine-{number}")).collect()
}

fn token_machines(names: &[String]) -> Vec<tokens::Machine<'_>> {
    names.iter().map(|name| tokens::Machine { name, weight: 1 }).collect()
}

fn key(seed: u64) -> Key {
    let mut bytes = [3; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Key(bytes)
}

fn count(table: &[u16], machines: usize) -> Vec<u128> {
    let mut loads = vec![0; machines];
    for &slot in table {
        loads[usize::from(slot)] += 1;
    }
    loads
}
