//! The layout: who the members are, and which of them hold each partition, in order.
//!
//! A layout never changes; a new one replaces it. It has a version, and it is named by a hash over
//! everything that decides where data lies: partitions, mode, the N of each keyspace, every member's
//! name, id and weight, and the table. Two nodes whose hashes differ must not exchange data.
//!
//! Addresses are carried beside, but are no part of the name: a member that moves to another port holds
//! the same data. Nor is the version, so that equal placements have equal names however they came about.
//!
//! Whether a member is alive is not known here.

use super::super::config::Config;
use super::super::io::MemberId;
use super::super::keys::ClusterKeys;
use super::super::limits;
use super::position;
use super::tokens::{self, Machine};

/// How a table was filled. The numbers are part of the layout's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Random tokens, see [`tokens`].
    Tokens = 1,
}

/// A member as the layout knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutMember {
    /// Its id, [`member_id`] of its name.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where its peers reach it; opaque to the core.
    pub address: String,
    /// Share of the data relative to others; 0 holds none.
    pub weight: u32,
}

/// An immutable placement of all partitions. Members are numbered by *slots*: their places in the list
/// sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    version: u64,
    hash: u64,
    mode: Mode,
    partitions: u32,
    /// Length of every preference list: the largest N of any keyspace, or fewer if machines are.
    width: usize,
    /// N of each keyspace as configured, by number.
    replicas: [u8; limits::KEYSPACES_MAX as usize],
    /// Sorted by name.
    members: Vec<LayoutMember>,
    /// Sorted by id.
    slots: Vec<(MemberId, u16)>,
    /// Slots, `width` for each partition.
    table: Vec<u16>,
    /// Partitions held, by slot.
    held: Vec<u32>,
}

/// The id of the member with this name: the same on every node of the cluster, before they ever met.
pub fn member_id(keys: &ClusterKeys, name: &str) -> MemberId {
    keys.member_id(name)
}

impl Layout {
    /// The first layout of a cluster with a manual member list, filled by [`tokens`]. The same for equal
    /// lists, in whatever order they are written. `config` must have passed [`Config::check`].
    ///
    /// # Panics
    /// If two names have one id, which takes some 2^32 names by chance and cannot be brought about
    /// without the cluster's key.
    pub fn tokens(config: &Config, keys: &ClusterKeys) -> Layout {
        let mut members: Vec<LayoutMember> = config
            .members
            .iter()
            .map(|member| LayoutMember {
                id: member_id(keys, &member.name),
                name: member.name.clone(),
                address: member.address.clone(),
                weight: member.weight,
            })
            .collect();
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));

        let replicas = core::array::from_fn(|number| config.keyspace(number as u16).n);
        let machines: Vec<Machine<'_>> =
            members.iter().map(|member| Machine { name: &member.name, weight: member.weight }).collect();
        let holding = machines.iter().filter(|machine| machine.weight > 0).count();
        let width = usize::from(replicas.into_iter().max().unwrap_or(1)).min(holding);
        let table = tokens::table(&keys.placement, &machines, config.tokens, config.partitions, width);

        let mut held = vec![0; members.len()];
        for &slot in &table {
            held[usize::from(slot)] += 1;
        }
        let mut slots: Vec<(MemberId, u16)> =
            members.iter().enumerate().map(|(slot, member)| (member.id, slot as u16)).collect();
        slots.sort_unstable();
        assert!(slots.windows(2).all(|pair| pair[0].0 != pair[1].0), "two member names have one id");

        let mode = Mode::Tokens;
        let partitions = config.partitions;
        let hash = 0;
        let layout =
            Layout { version: 1, hash, mode, partitions, width, replicas, members, slots, table, held };
        Layout { hash: keys.placement.hash64(&[b"layout\0", &layout.canonical()]), ..layout }
    }

    /// What the hash covers, byte by byte; integers are little-endian.
    ///
    /// ```text
    /// mode 1 | Q 4 | width 1 | N of keyspaces 0 to 15, 1 each | members 2 |
    /// by name: id 8, weight 4, name length 1, name | table: 2 for each slot
    /// ```
    fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![self.mode as u8];
        bytes.extend(self.partitions.to_le_bytes());
        bytes.push(self.width as u8);
        bytes.extend(self.replicas);
        bytes.extend((self.members.len() as u16).to_le_bytes());
        for member in &self.members {
            bytes.extend(member.id.0.to_le_bytes());
            bytes.extend(member.weight.to_le_bytes());
            bytes.push(member.name.len() as u8);
            bytes.extend(member.name.as_bytes());
        }
        bytes.extend(self.table.iter().flat_map(|slot| slot.to_le_bytes()));
        bytes
    }

    /// Counts the layouts of a cluster, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Names the placement: equal on two nodes exactly if they place every key alike.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How the table was filled.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Q, a power of two up to 65,536.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The partition of a position.
    pub fn partition(&self, position: u128) -> u16 {
        position::partition(position, self.partitions)
    }

    /// All members, sorted by name; the index is the slot.
    pub fn members(&self) -> &[LayoutMember] {
        &self.members
    }

    /// The member in a slot.
    ///
    /// # Panics
    /// If the slot is not of this layout.
    pub fn member(&self, slot: u16) -> &LayoutMember {
        &self.members[usize::from(slot)]
    }

    /// The slot of a member; `None` if it is not in the layout.
    pub fn slot_of(&self, id: MemberId) -> Option<u16> {
        let at = self.slots.binary_search_by_key(&id, |entry| entry.0).ok()?;
        Some(self.slots[at].1)
    }

    /// Length of every preference list: the largest N of any keyspace, or the number of machines that
    /// hold data if that is smaller.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The machines that hold a partition, in order, as slots. A keyspace with a smaller N uses the
    /// beginning of the list, see [`Layout::replicas`].
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn preference_list(&self, partition: u16) -> &[u16] {
        let start = usize::from(partition) * self.width;
        &self.table[start..start + self.width]
    }

    /// The machines that hold a keyspace's keys of a partition, in order: its first N' (trap T16).
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn replicas(&self, keyspace: u16, partition: u16) -> &[u16] {
        &self.preference_list(partition)[..self.replica_count(keyspace)]
    }

    /// N' of a keyspace: its N, or the number of machines that hold data if that is smaller. Keyspaces
    /// beyond the last possible one count as the first.
    pub fn replica_count(&self, keyspace: u16) -> usize {
        usize::from(self.configured(keyspace)).min(self.width)
    }

    /// Whether a keyspace has fewer replicas than its N asks for, since there are too few machines.
    pub fn degraded(&self, keyspace: u16) -> bool {
        usize::from(self.configured(keyspace)) > self.width
    }

    /// How many partitions a machine holds, at any place of their preference lists.
    ///
    /// # Panics
    /// If the slot is not of this layout.
    pub fn partitions_of(&self, slot: u16) -> u32 {
        self.held[usize::from(slot)]
    }

    fn configured(&self, keyspace: u16) -> u8 {
        self.replicas.get(usize::from(keyspace)).copied().unwrap_or(self.replicas[0])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::{KeyspaceConfig, MemberSpec};
    use super::*;
    use proptest::prelude::*;

    fn keys() -> ClusterKeys {
        ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC)
    }

    fn config(members: &[(&str, u32)]) -> Config {
        let mut config = Config::new(members[0].0);
        config.members = members
            .iter()
            .map(|&(name, weight)| MemberSpec { name: name.into(), address: format!("{name}:1"), weight })
            .collect();
        config.check().unwrap();
        config
    }

    fn layout(members: &[(&str, u32)]) -> Layout {
        Layout::tokens(&config(members), &keys())
    }

    #[test]
    fn members_stand_by_name_and_are_found_by_id() {
        let layout = layout(&[("b", 1), ("c", 1), ("a", 2)]);
        let names: Vec<&str> = layout.members().iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        for (slot, member) in layout.members().iter().enumerate() {
            assert_eq!(member.id, member_id(&keys(), &member.name));
            assert_eq!(layout.slot_of(member.id), Some(slot as u16));
            assert_eq!(layout.member(slot as u16), member);
        }
        assert_eq!(layout.slot_of(member_id(&keys(), "d")), None);
    }

    #[test]
    fn three_machines_hold_everything_three_times() {
        let layout = layout(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!((layout.version(), layout.partitions(), layout.width()), (1, 256, 3));
        let mut first = [0; 3];
        for partition in 0..256 {
            let mut list = layout.preference_list(partition).to_vec();
            first[usize::from(list[0])] += 1;
            list.sort_unstable();
            assert_eq!(list, [0, 1, 2]);
        }
        assert!((0..3).all(|slot| layout.partitions_of(slot) == 256));
        assert!(first.iter().all(|&count| count > 40), "every machine comes first somewhere: {first:?}");
        assert!(!layout.degraded(0));
    }

    #[test]
    fn fewer_machines_than_n_are_served_and_shown() {
        for (members, width) in [
            (vec![("a", 1)], 1),
            (vec![("a", 1), ("b", 1)], 2),
            (vec![("a", 1), ("b", 0), ("c", 1)], 2),
            (vec![("a", 1), ("b", 1), ("c", 1), ("d", 1)], 3),
        ] {
            let layout = layout(&members);
            assert_eq!(layout.width(), width);
            assert_eq!(layout.degraded(0), width < 3);
            assert_eq!(layout.preference_list(255).len(), width);
        }
    }

    #[test]
    fn a_keyspace_of_smaller_n_uses_the_beginning_of_the_list() {
        let mut config = config(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let keyspace = |n| KeyspaceConfig { n, ..KeyspaceConfig::default() };
        config.keyspaces = vec![keyspace(2), keyspace(4), keyspace(5)];
        let layout = Layout::tokens(&config, &keys());
        assert_eq!(layout.width(), 4);
        for (number, count, degraded) in [(0, 2, false), (1, 4, false), (2, 4, true), (3, 2, false)] {
            assert_eq!(layout.replicas(number, 9), &layout.preference_list(9)[..count]);
            assert_eq!(layout.degraded(number), degraded, "keyspace {number}");
        }
    }

    #[test]
    fn a_machine_of_weight_0_holds_nothing() {
        let layout = layout(&[("a", 1), ("b", 0), ("c", 1), ("d", 1)]);
        assert_eq!(layout.partitions_of(1), 0);
        assert_eq!(layout.partitions_of(0), 256);
    }

    #[test]
    fn the_hash_names_what_places_keys_and_nothing_else() {
        let base = config(&[("a", 1), ("b", 1), ("c", 1)]);
        let hash = |change: fn(&mut Config)| {
            let mut config = base.clone();
            change(&mut config);
            Layout::tokens(&config, &keys()).hash()
        };
        let original = hash(|_| ());
        type Change = fn(&mut Config);
        let differ: [(&str, Change); 6] = [
            ("name", |c| c.members[1].name = "bb".into()),
            ("weight", |c| c.members[1].weight = 2),
            ("member", |c| drop(c.members.pop())),
            ("partitions", |c| c.partitions = 512),
            ("tokens", |c| c.tokens = 65),
            ("N", |c| c.keyspaces[0].n = 2),
        ];
        for (what, change) in differ {
            assert_ne!(hash(change), original, "{what}");
        }
        let equal: [(&str, Change); 4] = [
            ("address", |c| c.members[1].address = "elsewhere:9".into()),
            ("order", |c| c.members.reverse()),
            ("quorums", |c| c.keyspaces[0].w = Some(1)),
            ("a keyspace spelled out", |c| c.keyspaces.push(c.keyspaces[0].clone())),
        ];
        for (what, change) in equal {
            assert_eq!(hash(change), original, "{what}");
        }
        let other = ClusterKeys::derive("other", &ClusterKeys::PUBLIC);
        assert_ne!(Layout::tokens(&base, &other).hash(), original, "another cluster");
    }

    #[test]
    fn layouts_never_change_between_releases() {
        // Nodes of two releases must agree, and data lies where the table said: whoever changes this
        // moves data.
        assert_eq!(layout(&[("a", 1), ("b", 1), ("c", 2), ("d", 1)]).hash(), HASH_OF_FOUR);
    }

    const HASH_OF_FOUR: u64 = 0xB0B4_DB1C_09C9_9924;

    proptest! {
        #[test]
        fn equal_lists_give_equal_layouts_in_any_order(
            members in Just((0..8).map(|n| (format!("node-{n}"), n % 3 + 1)).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let borrowed: Vec<(&str, u32)> = members.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
            let mut sorted = borrowed.clone();
            sorted.sort_unstable();
            prop_assert_eq!(layout(&borrowed), layout(&sorted));
        }
    }
}
