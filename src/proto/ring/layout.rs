//! The layout: who the members are, and which of them hold each partition, in order.
//!
//! A layout never changes; a new one replaces it. It has a version, and it is named by a hash over
//! everything that decides where data lies: partitions, mode, the N of each keyspace, every member's
//! name, id, weight and zone, and the table. Two nodes whose hashes differ must not exchange data.
//!
//! Addresses are carried beside, but are no part of the name: a member that moves to another port holds
//! the same data. Nor is the version, so that equal placements have equal names however they came about.
//!
//! Whether a member is alive is not known here.

mod codec;

use super::super::config::{Config, KeyspaceConfig, MemberSpec};
use super::super::io::MemberId;
use super::super::keys::ClusterKeys;
use super::super::limits;
use super::balanced::{self, Infeasible, Old, Shape};
use super::position;
use super::rendezvous::{self, Candidate};
use super::tokens;

/// How a table was filled. The numbers are part of the layout's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Random tokens, see [`tokens`].
    Tokens = 1,
    /// Whole-number shares and zones, see [`balanced`].
    Balanced = 2,
}

impl Mode {
    /// Both modes.
    pub const ALL: [Mode; 2] = [Mode::Tokens, Mode::Balanced];

    /// How settings and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Tokens => "tokens",
            Mode::Balanced => "balanced",
        }
    }
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
    /// What fails with it; empty if nothing was said.
    pub zone: String,
    /// Share of the data relative to others; 0 holds none.
    pub weight: u32,
    /// The generation of its data directory, if the cluster binds the member to one; else 0.
    pub generation: u64,
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
    /// Replicas of a partition that may lie in one zone; no rule in mode tokens.
    max_per_zone: u8,
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

/// Whether the rules about zones can be met by the members.
///
/// # Errors
/// They cannot, and which zone is short.
pub fn check_zones(config: &Config) -> Result<(), Infeasible> {
    // Zones are judged by names and weights alone, so the ids need not be known yet.
    let machines: Vec<balanced::Machine<'_>> = config
        .members
        .iter()
        .map(|member| balanced::Machine { id: MemberId(0), zone: &member.zone, weight: member.weight })
        .collect();
    balanced::width(&machines, shape(config)).map(drop)
}

/// What the table must be like.
fn shape(config: &Config) -> Shape {
    let replicas = (0..limits::KEYSPACES_MAX).map(|number| usize::from(config.keyspace(number).n)).max();
    let replicas = replicas.expect("there are keyspaces");
    let weights = config.members.iter().map(|member| (member.zone.as_str(), member.weight));
    let default = Shape::max_per_zone_default(replicas, weights);
    let max_per_zone = config.max_per_zone.map_or(default, usize::from);
    Shape { partitions: config.partitions, replicas, max_per_zone }
}

impl Layout {
    /// The first layout of a cluster with a manual member list, filled as [`Config::placement`] says. The same
    /// for equal lists, in whatever order they are written. `config` must have passed [`Config::check`].
    ///
    /// # Panics
    /// If two names have one id, which takes some 2^32 names by chance and cannot be brought about
    /// without the cluster's key.
    pub fn first(config: &Config, keys: &ClusterKeys) -> Layout {
        Layout::fill(config, keys, None)
    }

    /// The layout that follows on this one when the members, their weights or zones, N or the mode change.
    /// With [`Mode::Balanced`] as few replicas move as can be. `config` must have passed [`Config::check`].
    ///
    /// # Panics
    /// As [`Layout::first`]; or the number of partitions differs.
    pub fn next(&self, config: &Config, keys: &ClusterKeys) -> Layout {
        assert_eq!(config.partitions, self.partitions, "partitions are fixed when a cluster is made");
        Layout::fill(config, keys, Some(self))
    }

    /// No members, and nobody who holds anything: what a node knows before it has joined a cluster.
    pub fn empty(config: &Config, keys: &ClusterKeys) -> Layout {
        let mut layout = Layout {
            version: 0,
            hash: 0,
            mode: Mode::Balanced,
            partitions: config.partitions,
            width: 0,
            max_per_zone: 0,
            replicas: core::array::from_fn(|number| config.keyspace(number as u16).n),
            members: Vec::new(),
            slots: Vec::new(),
            table: Vec::new(),
            held: Vec::new(),
        };
        layout.name(keys);
        layout
    }

    fn fill(config: &Config, keys: &ClusterKeys, old: Option<&Layout>) -> Layout {
        let mut members: Vec<LayoutMember> = config
            .members
            .iter()
            .map(|member| LayoutMember {
                id: member_id(keys, &member.name),
                name: member.name.clone(),
                address: member.address.clone(),
                zone: member.zone.clone(),
                weight: member.weight,
                generation: member.generation,
            })
            .collect();
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut slots: Vec<(MemberId, u16)> =
            members.iter().enumerate().map(|(slot, member)| (member.id, slot as u16)).collect();
        slots.sort_unstable();
        assert!(slots.windows(2).all(|pair| pair[0].0 != pair[1].0), "two member names have one id");

        let replicas = core::array::from_fn(|number| config.keyspace(number as u16).n);
        let (mode, partitions) = (config.placement, config.partitions);
        let shape = shape(config);
        let (width, max_per_zone) = (0, shape.max_per_zone as u8);
        let (table, held) = (Vec::new(), vec![0; members.len()]);
        let version = old.map_or(1, |old| old.version + 1);
        let hash = 0;
        let mut layout = Layout {
            version,
            hash,
            mode,
            partitions,
            width,
            max_per_zone,
            replicas,
            members,
            slots,
            table,
            held,
        };
        (layout.width, layout.table) = match mode {
            Mode::Tokens => layout.by_tokens(config, keys),
            Mode::Balanced => layout.by_quotas(shape, old),
        };
        for &slot in &layout.table {
            layout.held[usize::from(slot)] += 1;
        }
        layout.name(keys);
        layout
    }

    fn name(&mut self, keys: &ClusterKeys) {
        self.hash = keys.placement.hash64(&[b"layout\0", &self.canonical()]);
    }

    /// The settings that a layout like this one is made by, to be changed for the one that follows. What is no
    /// matter of layouts has its default; so has the rule about zones.
    pub fn settings(&self) -> Config {
        let name = self.members.first().map_or("", |member| member.name.as_str());
        let mut config = Config::new(name);
        let spec = |member: &LayoutMember| MemberSpec {
            name: member.name.clone(),
            address: member.address.clone(),
            zone: member.zone.clone(),
            weight: member.weight,
            generation: member.generation,
        };
        config.members = self.members.iter().map(spec).collect();
        config.partitions = self.partitions;
        config.placement = self.mode;
        config.keyspaces = self.replicas.map(|n| KeyspaceConfig { n, ..KeyspaceConfig::default() }).to_vec();
        config
    }

    /// The same layout under another version.
    pub fn with_version(self, version: u64) -> Layout {
        Layout { version, ..self }
    }

    fn by_tokens(&self, config: &Config, keys: &ClusterKeys) -> (usize, Vec<u16>) {
        let holding = self.members.iter().filter(|member| member.weight > 0).count();
        let width = shape(config).replicas.min(holding);
        let machines: Vec<tokens::Machine<'_>> = self
            .members
            .iter()
            .map(|member| tokens::Machine { name: &member.name, weight: member.weight })
            .collect();
        (width, tokens::table(&keys.placement, &machines, config.tokens, config.partitions, width))
    }

    fn by_quotas(&self, shape: Shape, old: Option<&Layout>) -> (usize, Vec<u16>) {
        let machines: Vec<balanced::Machine<'_>> = self
            .members
            .iter()
            .map(|member| balanced::Machine { id: member.id, zone: &member.zone, weight: member.weight })
            .collect();
        let renumber = |old: &Layout| -> Vec<u16> {
            let slot = |&slot: &u16| self.slot_of(old.member(slot).id).unwrap_or(balanced::GONE);
            old.table.iter().map(slot).collect()
        };
        let renumbered = old.map(|old| (old.width, renumber(old)));
        let old = renumbered.as_ref().map(|(width, table)| Old { width: *width, table });
        let plan = balanced::plan(&machines, shape, old).expect("the settings were checked");
        (plan.width, plan.table)
    }

    /// What the hash covers, byte by byte; integers are little-endian.
    ///
    /// ```text
    /// mode 1 | Q 4 | width 1 | N of keyspaces 0 to 15, 1 each | members 2 |
    /// by name: id 8, weight 4, name length 1, name | table: 2 for each slot
    /// mode balanced only: max_per_zone 1 | by name: zone length 1, zone
    /// where members are bound to directories only: by name: generation 8
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
        if self.mode == Mode::Balanced {
            bytes.push(self.max_per_zone);
            for member in &self.members {
                bytes.push(member.zone.len() as u8);
                bytes.extend(member.zone.as_bytes());
            }
        }
        if self.members.iter().any(|member| member.generation != 0) {
            bytes.extend(self.members.iter().flat_map(|member| member.generation.to_le_bytes()));
        }
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
        self.replicas_asked(keyspace).min(self.width)
    }

    /// Whether a keyspace has fewer replicas than its N asks for, since there are too few machines.
    pub fn degraded(&self, keyspace: u16) -> bool {
        self.replicas_asked(keyspace) > self.width
    }

    /// The machines that stand in for `missing`, a replica of a partition, in order, as slots: see
    /// [`fallbacks`](rendezvous::fallbacks()).
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn fallbacks(&self, partition: u16, missing: u16) -> Vec<u16> {
        let machines: Vec<Candidate<'_>> = self
            .members
            .iter()
            .map(|member| Candidate { id: member.id, zone: &member.zone, weight: member.weight })
            .collect();
        rendezvous::fallbacks(&machines, partition, self.preference_list(partition), missing)
    }

    /// Replicas of a partition that may lie in one zone; in mode tokens there is no such rule.
    pub fn max_per_zone(&self) -> usize {
        usize::from(self.max_per_zone)
    }

    /// How many partitions a machine holds, at any place of their preference lists.
    ///
    /// # Panics
    /// If the slot is not of this layout.
    pub fn partitions_of(&self, slot: u16) -> u32 {
        self.held[usize::from(slot)]
    }

    /// N of a keyspace, however few machines there are. Keyspaces beyond the last possible one count as the first.
    pub fn replicas_asked(&self, keyspace: u16) -> usize {
        usize::from(self.replicas.get(usize::from(keyspace)).copied().unwrap_or(self.replicas[0]))
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
            .map(|&(name, weight)| MemberSpec {
                name: name.into(),
                address: format!("{name}:1"),
                zone: String::new(),
                weight,
                generation: 0,
            })
            .collect();
        config.check().unwrap();
        config
    }

    fn layout(members: &[(&str, u32)]) -> Layout {
        Layout::first(&config(members), &keys())
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
        let layout = Layout::first(&config, &keys());
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
            Layout::first(&config, &keys()).hash()
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
        assert_ne!(Layout::first(&base, &other).hash(), original, "another cluster");
    }

    #[test]
    fn layouts_never_change_between_releases() {
        // Nodes of two releases must agree, and data lies where the table said: whoever changes this
        // moves data.
        assert_eq!(layout(&[("a", 1), ("b", 1), ("c", 2), ("d", 1)]).hash(), HASH_OF_FOUR);
    }

    const HASH_OF_FOUR: u64 = 0xB0B4_DB1C_09C9_9924;

    /// The first `count` of six machines in three zones.
    fn zoned(count: usize) -> Config {
        let zones = ["a", "b", "c", "a", "b", "c"];
        let names = ["m0", "m1", "m2", "m3", "m4", "m5"];
        let mut config = Config::new("m0");
        config.placement = Mode::Balanced;
        let member =
            |(name, zone): (&&str, &&str)| MemberSpec { zone: (*zone).into(), ..MemberSpec::new(name, "") };
        config.members = names.iter().zip(&zones).take(count).map(member).collect();
        config.check().unwrap();
        config
    }

    #[test]
    fn balanced_layouts_keep_zones_apart_and_follow_on_each_other() {
        let first = Layout::first(&zoned(5), &keys());
        assert_eq!(
            (first.mode(), first.version(), first.width(), first.max_per_zone()),
            (Mode::Balanced, 1, 3, 2)
        );
        let next = first.next(&zoned(6), &keys());
        assert_eq!(next.version(), 2);
        assert_ne!(next.hash(), first.hash());
        assert!((0..6).all(|slot| next.partitions_of(slot) == 128));
        for partition in 0..256 {
            let (old, new) = (first.preference_list(partition), next.preference_list(partition));
            assert!(
                new.iter().all(|slot| *slot == 5 || old.contains(slot)),
                "only the newcomer takes: {old:?} {new:?}"
            );
            let zones: Vec<&str> = new.iter().map(|&slot| next.member(slot).zone.as_str()).collect();
            assert_ne!(zones[0], zones[1], "a keyspace of two replicas spans two zones");
        }
        // Who left is gone from the table, and no other member moves more than it must.
        let back = next.next(&zoned(5), &keys());
        assert!((0..5).all(|slot| back.partitions_of(slot) == first.partitions_of(slot)));
    }

    #[test]
    fn a_balanced_hash_names_zones_and_their_rule_too() {
        let base = Layout::first(&zoned(6), &keys()).hash();
        let mut config = zoned(6);
        config.members.reverse();
        assert_eq!(Layout::first(&config, &keys()).hash(), base);
        config.max_per_zone = Some(2);
        assert_eq!(Layout::first(&config, &keys()).hash(), base, "the default spelled out");
        config.max_per_zone = Some(1);
        assert_ne!(Layout::first(&config, &keys()).hash(), base);
        let mut config = zoned(6);
        config
            .members
            .iter_mut()
            .filter(|member| member.zone == "c")
            .for_each(|member| member.zone = "d".into());
        assert_ne!(Layout::first(&config, &keys()).hash(), base);
        assert_eq!(base, HASH_OF_SIX, "moved between releases");
    }

    const HASH_OF_SIX: u64 = 0x8098_0ECE_A714_5A97;

    #[test]
    fn others_stand_in_for_a_replica() {
        let layout = Layout::first(&zoned(6), &keys());
        let list = layout.preference_list(7);
        let order = layout.fallbacks(7, list[0]);
        assert_eq!(order.len(), 3);
        assert!(order.iter().all(|slot| !list.contains(slot)));
    }

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
