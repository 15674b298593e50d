//! The member table. Verdict and incarnation of a row change here only, so that the sums over them hold:
//! equal tables have equal digests, and two that differ find the rows by the sums of 64 parts.
//!
//! A row that left counts for nothing in the sums, as each node forgets it at a time of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::io::MemberId;
use crate::proto::keys::Key;

use super::member::{Incarnation, Member, Verdict};

/// Parts of the table, by the first bits of the id.
pub const PARTS: usize = 64;
const PART_SHIFT: u32 = 64 - PARTS.ilog2();

/// All members, this node included.
#[derive(Debug)]
pub struct Table {
    rows: BTreeMap<MemberId, Member>,
    /// The cluster's key for hashes: every node sums alike, and no stranger finds rows that cancel out.
    key: Key,
    sums: [u64; PARTS],
    alive: usize,
    suspects: BTreeSet<MemberId>,
    down: BTreeSet<MemberId>,
}

impl Table {
    /// An empty table.
    pub fn new(key: Key) -> Table {
        let (suspects, down) = (BTreeSet::new(), BTreeSet::new());
        Table { rows: BTreeMap::new(), key, sums: [0; PARTS], alive: 0, suspects, down }
    }

    /// The row of a member.
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.rows.get(&id)
    }

    /// The row of a member, to change what is not summed.
    pub fn get_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.rows.get_mut(&id)
    }

    /// All rows, by id.
    pub fn rows(&self) -> impl Iterator<Item = &Member> {
        self.rows.values()
    }

    /// Rows of all verdicts.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Members that are alive or suspected.
    pub fn here(&self) -> usize {
        self.alive + self.suspects.len()
    }

    /// Members that nobody suspects.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// Who is suspected.
    pub fn suspects(&self) -> &BTreeSet<MemberId> {
        &self.suspects
    }

    /// Who is down.
    pub fn down(&self) -> &BTreeSet<MemberId> {
        &self.down
    }

    /// Adds a row that is not there.
    pub fn insert(&mut self, member: Member) {
        self.count(&member, true);
        let before = self.rows.insert(member.id, member);
        assert!(before.is_none(), "a row is inserted once");
    }

    /// Takes a row out.
    pub fn remove(&mut self, id: MemberId) -> Option<Member> {
        let member = self.rows.remove(&id)?;
        self.count(&member, false);
        Some(member)
    }

    /// Changes what a row says, which must be there.
    pub fn set(&mut self, id: MemberId, incarnation: Incarnation, verdict: Verdict) -> &mut Member {
        let mut member = self.remove(id).expect("the row is there");
        member.incarnation = incarnation;
        member.verdict = verdict;
        self.insert(member);
        self.rows.get_mut(&id).expect("it was just inserted")
    }

    fn count(&mut self, member: &Member, more: bool) {
        let sum = &mut self.sums[part_of(member.id)];
        let hash = hash(&self.key, member);
        *sum = if more { sum.wrapping_add(hash) } else { sum.wrapping_sub(hash) };
        let set = match member.verdict {
            Verdict::Alive => {
                if more {
                    self.alive += 1;
                } else {
                    self.alive -= 1;
                }
                return;
            }
            Verdict::Suspect => &mut self.suspects,
            Verdict::Down => &mut self.down,
            Verdict::Left => return,
        };
        if more {
            set.insert(member.id);
        } else {
            set.remove(&member.id);
        }
    }

    /// The sum of all rows.
    pub fn digest(&self) -> u64 {
        self.sums.iter().fold(0, |digest, &sum| digest.wrapping_add(sum))
    }

    /// The sums of the parts, shortened.
    pub fn summary(&self) -> Box<[u32; PARTS]> {
        Box::new(self.sums.map(|sum| (sum ^ (sum >> 32)) as u32))
    }

    /// The rows of one part.
    pub fn part(&self, part: usize) -> impl Iterator<Item = &Member> {
        let first = (part as u64) << PART_SHIFT;
        let last = first | (u64::MAX >> PARTS.ilog2());
        self.rows.range(MemberId(first)..=MemberId(last)).map(|(_, member)| member)
    }
}

/// The part in which a member stands.
pub fn part_of(id: MemberId) -> usize {
    (id.0 >> PART_SHIFT) as usize
}

fn hash(key: &Key, member: &Member) -> u64 {
    if member.verdict == Verdict::Left {
        return 0;
    }
    key.hash64(&[
        b"gossip row",
        &member.id.0.to_le_bytes(),
        &member.incarnation.opens.to_le_bytes(),
        &member.incarnation.bumps.to_le_bytes(),
        &[member.verdict.settled() as u8],
    ])
}

#[cfg(test)]
mod tests {
    use super::super::member::Description;
    use super::*;

    fn member(id: u64) -> Member {
        let description = Description {
            name: format!("n{id}"),
            address: b"here".to_vec(),
            zone: 0,
            generation: id,
            nonce: 1,
        };
        Member::new(MemberId(id << 56 | id), description, Incarnation::default(), Verdict::Alive)
    }

    #[test]
    fn sums_depend_on_the_rows_alone() {
        let key = Key([7; 16]);
        let (mut one, mut other) = (Table::new(key), Table::new(key));
        for id in 1..100 {
            one.insert(member(id));
            other.insert(member(100 - id));
        }
        assert_eq!((one.digest(), one.summary()), (other.digest(), other.summary()));
        let id = member(40).id;
        one.set(id, Incarnation::default(), Verdict::Suspect);
        assert_eq!(one.digest(), other.digest(), "a suspicion passes");
        one.set(id, Incarnation::default(), Verdict::Down);
        assert_ne!(one.digest(), other.digest());
        let differ: Vec<usize> =
            (0..PARTS).filter(|&part| one.summary()[part] != other.summary()[part]).collect();
        assert_eq!(differ, [part_of(id)]);
        one.set(id, Incarnation { opens: 1, bumps: 0 }, Verdict::Left);
        other.remove(id);
        assert_eq!(one.digest(), other.digest(), "who left is in no sum");
        assert_eq!((one.alive(), one.here(), one.len()), (98, 98, 99));
    }

    #[test]
    fn every_row_stands_in_one_part() {
        let mut table = Table::new(Key([7; 16]));
        for id in 1..100 {
            table.insert(member(id));
        }
        let parts: Vec<usize> = (0..PARTS).map(|part| table.part(part).count()).collect();
        assert_eq!(parts.iter().sum::<usize>(), 99);
        assert!((0..PARTS).all(|part| table.part(part).all(|row| part_of(row.id) == part)));
    }
}
