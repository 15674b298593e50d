//! The `tokens` placement, as the lecture and Dynamo (§4.2, §6.2) have it: every data store takes random
//! tokens on the ring, in proportion to its weight; a partition belongs to the first n distinct machines
//! met when walking forward from its end.
//!
//! ```text
//!        A    C  A      B     A  C        B
//!  ──────┴────┴──┴──┬───┴─────┴──┴────────┴──►  tokens, mod 2^64
//!     partition p   │end
//!                   └──► B, A, C            (the second A would be skipped)
//! ```
//!
//! Tokens are drawn from (the cluster's placement key, the member's name, an index) alone, so equal
//! member lists give equal tables on every machine, in whatever order they are written, and raising a
//! weight adds tokens without moving any. All arithmetic is on integers. A machine is one member here;
//! several data stores of one machine are not told apart yet.

use super::super::keys::Key;
use super::super::limits;

/// A location on the ring: the upper 64 bits of the positions it stands among.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// How far it is forward to `other`, around the end of the ring if need be.
    pub const fn distance_to(self, other: Token) -> u64 {
        other.0.wrapping_sub(self.0)
    }

    /// The token of a member. `index` counts its tokens from 0.
    pub fn draw(placement_key: &Key, name: &str, index: u64) -> Token {
        Token(placement_key.hash64(&[b"token\0", &index.to_le_bytes(), name.as_bytes()]))
    }

    /// Where partition `number` of `partitions` ends, which is where the next one begins; the last ends
    /// at the origin.
    pub fn partition_end(number: u16, partitions: u32) -> Token {
        let width_bits = 64 - partitions.trailing_zeros();
        Token(((u128::from(number) + 1) << width_bits) as u64)
    }
}

/// A machine as the placement sees it.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Unique name.
    pub name: &'a str,
    /// Share of the data relative to others; 0 holds none.
    pub weight: u32,
}

/// The tokens of all machines in ring order, each with the slot of its machine in `machines`. A member
/// of weight w draws w times `tokens_per_weight`.
pub fn ring(placement_key: &Key, machines: &[Machine<'_>], tokens_per_weight: u32) -> Vec<(Token, u16)> {
    assert!(machines.len() <= limits::MEMBERS_MAX, "{} machines", machines.len());
    let mut ring = Vec::new();
    for (slot, machine) in machines.iter().enumerate() {
        let count = u64::from(machine.weight) * u64::from(tokens_per_weight);
        ring.extend((0..count).map(|at| (Token::draw(placement_key, machine.name, at), slot as u16)));
    }
    // Tokens that coincide stand in the order of slots, which the caller took from the names.
    ring.sort_unstable();
    ring
}

/// The first `replicas` distinct slots met on the ring from `start` on, appended to `list`. There must
/// be that many machines with tokens.
pub fn walk(ring: &[(Token, u16)], start: Token, replicas: usize, list: &mut Vec<u16>) {
    let begin = list.len();
    let first = ring.partition_point(|&(token, _)| token < start);
    for &(_, slot) in ring[first..].iter().chain(&ring[..first]) {
        if list.len() - begin == replicas {
            break;
        }
        if !list[begin..].contains(&slot) || planted!("tokens_no_skip") {
            list.push(slot);
        }
    }
    assert_eq!(list.len() - begin, replicas, "fewer machines on the ring than replicas asked for");
}

/// The whole table, flat: the preference list of partition p stands at `p * replicas`. `machines` must
/// come in one order everywhere (by name), as slots are numbered by it.
pub fn table(
    placement_key: &Key,
    machines: &[Machine<'_>],
    tokens_per_weight: u32,
    partitions: u32,
    replicas: usize,
) -> Vec<u16> {
    let ring = ring(placement_key, machines, tokens_per_weight);
    let mut table = Vec::with_capacity(partitions as usize * replicas);
    for number in 0..partitions {
        walk(&ring, Token::partition_end(number as u16, partitions), replicas, &mut table);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u64) -> Key {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Key(bytes)
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("machine-{number:03}")).collect()
    }

    fn machines<'a>(names: &'a [String], weights: &[u32]) -> Vec<Machine<'a>> {
        let weight = |at: usize| weights.get(at).copied().unwrap_or(1);
        names.iter().enumerate().map(|(at, name)| Machine { name, weight: weight(at) }).collect()
    }

    fn loads(table: &[u16], machines: usize) -> Vec<u32> {
        let mut loads = vec![0; machines];
        for &slot in table {
            loads[usize::from(slot)] += 1;
        }
        loads
    }

    #[test]
    fn distance_goes_forward_and_around_the_end() {
        let quarter = 1 << 62;
        let table = [
            (0, 0, 0),
            (5, 9, 4),
            (9, 5, u64::MAX - 3),
            (u64::MAX, 0, 1),
            (3 * quarter, quarter, 2 * quarter),
            (quarter, 3 * quarter, 2 * quarter),
        ];
        for (from, to, distance) in table {
            assert_eq!(Token(from).distance_to(Token(to)), distance, "{from} to {to}");
        }
    }

    #[test]
    fn a_partition_ends_where_the_next_begins() {
        assert_eq!(Token::partition_end(0, 1), Token(0));
        assert_eq!(Token::partition_end(0, 2), Token(1 << 63));
        assert_eq!(Token::partition_end(1, 2), Token(0), "the last ends at the origin");
        assert_eq!(Token::partition_end(2, 4), Token(3 << 62));
        assert_eq!(Token::partition_end(65_534, 65_536), Token(65_535 << 48));
    }

    #[test]
    fn the_walk_skips_machines_already_represented() {
        let ring = [(10, 0), (20, 2), (30, 0), (40, 1), (50, 0), (60, 2)].map(|(t, slot)| (Token(t), slot));
        let table: [(u64, usize, &[u16]); 6] = [
            (25, 3, &[0, 1, 2]),
            (40, 2, &[1, 0]),
            (41, 2, &[0, 2]),
            (61, 3, &[0, 2, 1]),
            (0, 1, &[0]),
            (55, 3, &[2, 0, 1]),
        ];
        for (start, replicas, expected) in table {
            let mut list = vec![77];
            walk(&ring, Token(start), replicas, &mut list);
            assert_eq!(list[1..], *expected, "from {start}");
            assert_eq!(list[0], 77, "what stood in the list stays");
        }
    }

    proptest! {
        #[test]
        fn the_walk_finds_what_a_naive_search_finds(
            seed: u64, count in 1..12_usize, tokens in 1..9_u32, start: u64, replicas in 1..6_usize,
        ) {
            let names = names(count);
            let replicas = replicas.min(count);
            let ring = ring(&key(seed), &machines(&names, &[]), tokens);
            let mut list = Vec::new();
            walk(&ring, Token(start), replicas, &mut list);

            // The naive way: each machine by the least distance from `start` to one of its tokens.
            let mut nearest: Vec<(u64, u16)> = (0..count as u16)
                .map(|slot| {
                    let of = ring.iter().filter(|entry| entry.1 == slot);
                    (of.map(|entry| Token(start).distance_to(entry.0)).min().unwrap(), slot)
                })
                .collect();
            nearest.sort_unstable();
            let expected: Vec<u16> = nearest.iter().take(replicas).map(|entry| entry.1).collect();
            prop_assert_eq!(list, expected);
        }

        #[test]
        fn every_list_has_distinct_machines(
            seed: u64, weights in prop::collection::vec(0..4_u32, 1..10), bits in 0..8_u32,
        ) {
            let holding = weights.iter().filter(|&&weight| weight > 0).count();
            prop_assume!(holding > 0);
            let replicas = holding.min(3);
            let names = names(weights.len());
            let table = table(&key(seed), &machines(&names, &weights), 8, 1 << bits, replicas);
            prop_assert_eq!(table.len(), replicas << bits);
            for list in table.chunks(replicas) {
                for (at, slot) in list.iter().enumerate() {
                    prop_assert!(!list[..at].contains(slot), "{list:?}");
                    prop_assert!(weights[usize::from(*slot)] > 0, "weight 0 holds none");
                }
            }
        }
    }

    #[test]
    fn weights_give_proportional_shares() {
        let (names, weights) = (names(4), [1, 2, 3, 4]);
        let mut total = [0_u32; 4];
        for seed in 0..20 {
            let table = table(&key(seed), &machines(&names, &weights), 64, 1_024, 1);
            for (sum, load) in total.iter_mut().zip(loads(&table, 4)) {
                *sum += load;
            }
        }
        for (load, weight) in total.into_iter().zip(weights) {
            let fair = 20 * 1_024 * weight / 10;
            assert!(load.abs_diff(fair) < fair / 10, "weight {weight} holds {load}, fair is {fair}");
        }
    }

    #[test]
    fn a_joining_machine_takes_its_share_and_nothing_else_moves() {
        let (old_names, new_names) = (names(10), names(11));
        let (mut moved, mut all) = (0_usize, 0_usize);
        for seed in 0..10 {
            let of = |names: &[String]| table(&key(seed), &machines(names, &[]), 64, 1_024, 3);
            let (old, new) = (of(&old_names), of(&new_names));
            for (old, new) in old.chunks(3).zip(new.chunks(3)) {
                let kept: Vec<u16> = new.iter().copied().filter(|&slot| slot != 10).collect();
                assert_eq!(kept[..], old[..kept.len()], "only the newcomer may push others back");
                moved += 3 - kept.len();
            }
            all += old.len();
        }
        let fair = all / 11;
        assert!(moved.abs_diff(fair) < fair / 10, "moved {moved} of {all}, fair is {fair}");
    }

    #[test]
    fn raising_a_weight_moves_data_only_to_the_raised() {
        let names = names(6);
        let of = |weights: &[u32]| table(&key(3), &machines(&names, weights), 32, 512, 3);
        for (old, new) in of(&[1, 1]).chunks(3).zip(of(&[1, 2]).chunks(3)) {
            let others = |list: &[u16]| list.iter().copied().filter(|&slot| slot != 1).collect::<Vec<_>>();
            let (old, new) = (others(old), others(new));
            assert_eq!(new[..], old[..new.len()]);
        }
    }

    #[test]
    fn thirty_machines_of_64_tokens_are_as_even_as_the_simulations_said() {
        let (names, mut sum) = (names(30), 0);
        for seed in 0..25 {
            let loads = loads(&table(&key(seed), &machines(&names, &[]), 64, 2_048, 3), 30);
            let mean = 2_048 * 3 * 1_000 / 30;
            sum += mean / loads.into_iter().max().unwrap();
        }
        // Mean load over the largest, in thousandths: 871 in the table this design was made from.
        let efficiency = sum / 25;
        assert!(efficiency.abs_diff(871) < 15, "{efficiency}");
    }
}
