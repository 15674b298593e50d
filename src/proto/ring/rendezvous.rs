//! Rendezvous hashing (Thaler and Ravishankar 1998): each pair of a partition and a machine has a rank of its
//! own, so a machine that joins or leaves changes nobody else's place in any order.
//!
//! It reaches only 0.83 of an even load at 1,024 partitions on 30 machines, so it fills no table here. It
//! breaks the ties of [`balanced`](super::balanced), orders preference lists, and says who stands in for a
//! replica that cannot be reached ([`fallbacks`]). Member ids are hashes under the cluster's key, so nobody
//! outside can choose names that rank first. Who is alive is not known here.

use super::super::io::MemberId;
use super::super::rng::Rng;

/// What a ranking is for: each has ranks of its own, else who wins a tie would also come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Purpose {
    /// Which of equally empty machines takes a partition.
    Tie = 1,
    /// In which order the machines of a preference list stand.
    Order = 2,
    /// Who stands in for a replica.
    Fallback = 3,
}

/// The ranks of all machines at one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranking(u64);

impl Ranking {
    pub(super) fn new(purpose: Purpose, partition: u16) -> Ranking {
        Ranking(Rng::new(u64::from(purpose as u8) << 16 | u64::from(partition)).next_u64())
    }

    /// The machine's rank; the highest comes first.
    pub(super) fn rank(self, machine: MemberId) -> u64 {
        Rng::new(self.0 ^ machine.0).next_u64()
    }
}

/// A machine that may stand in for another.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: MemberId,
    /// What fails with it.
    pub zone: &'a str,
    /// Share of the data relative to others; with 0 it stands in for nobody.
    pub weight: u32,
}

/// The order in which machines stand in for the replica `missing` of a partition: every machine of a weight
/// above 0 that is no replica itself, as its place in `machines`; first those of zones in which no other
/// replica lies, each group by rank.
///
/// `replicas` are the partition's machines, `missing` is one of them, both as places in `machines`. A machine
/// that joins takes its own place in the order and moves no other (design §7, hints).
///
/// # Panics
/// If a place lies outside of `machines`.
pub fn fallbacks(machines: &[Candidate<'_>], partition: u16, replicas: &[u16], missing: u16) -> Vec<u16> {
    let ranking = Ranking::new(Purpose::Fallback, partition);
    let peers = || replicas.iter().filter(|&&slot| slot != missing).map(|&slot| &machines[usize::from(slot)]);
    let mut order: Vec<(bool, u64, u16)> = (0..machines.len() as u16)
        .filter(|slot| !replicas.contains(slot) && machines[usize::from(*slot)].weight > 0)
        .map(|slot| {
            let machine = &machines[usize::from(slot)];
            (!peers().any(|peer| peer.zone == machine.zone), ranking.rank(machine.id), slot)
        })
        .collect();
    order.sort_unstable_by(|one, other| other.cmp(one));
    order.into_iter().map(|entry| entry.2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids as hashes give them.
    fn id(number: u64) -> MemberId {
        MemberId(Rng::new(number).next_u64())
    }

    fn machines<'a>(zones: &[&'a str]) -> Vec<Candidate<'a>> {
        (0..).zip(zones).map(|(number, zone)| Candidate { id: id(number), zone, weight: 1 }).collect()
    }

    #[test]
    fn all_others_stand_in_each_once() {
        let mut machines = machines(&["", "", "", "", "", ""]);
        machines[4].weight = 0;
        for partition in 0..100 {
            let mut order = fallbacks(&machines, partition, &[1, 3], 3);
            order.sort_unstable();
            assert_eq!(order, [0, 2, 5], "no replica, and none that holds nothing");
        }
    }

    #[test]
    fn zones_without_another_replica_come_first() {
        let machines = machines(&["a", "b", "c", "a", "b", "c", "a"]);
        for partition in 0..100 {
            // Replicas in a, b and c; the one in b is missing, so b alone has none of the others.
            let order = fallbacks(&machines, partition, &[0, 1, 2], 1);
            assert_eq!(order[0], 4);
            assert_eq!(order.len(), 4);
        }
    }

    #[test]
    fn a_machine_that_joins_moves_nobody_in_the_order() {
        let all = machines(&["a", "b", "c", "a", "b", "c", "a", "b"]);
        for partition in 0..100 {
            let before = fallbacks(&all[..7], partition, &[0, 1], 0);
            let after = fallbacks(&all, partition, &[0, 1], 0);
            let others: Vec<u16> = after.into_iter().filter(|&slot| slot != 7).collect();
            assert_eq!(others, before);
        }
    }

    #[test]
    fn the_load_of_a_lost_machine_spreads() {
        let machines = machines(&[""; 11]);
        let mut first = [0_u32; 11];
        for partition in 0..10_000 {
            first[usize::from(fallbacks(&machines, partition, &[0], 0)[0])] += 1;
        }
        // A thousand each, with a deviation of 30.
        assert!(first[1..].iter().all(|count| count.abs_diff(1_000) < 200), "{first:?}");
    }

    #[test]
    fn ranks_never_change_between_releases() {
        // Tables are built from them: whoever changes this moves data.
        assert_eq!(Ranking::new(Purpose::Tie, 7).rank(MemberId(9)), RANK);
    }

    const RANK: u64 = 0x26E1_F5B0_1A66_22A6;
}
