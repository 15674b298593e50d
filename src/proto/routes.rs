//! Who holds a key now, in the numbers that [`Peers`](super::peers::Peers) gives to machines: the topology,
//! made ready to be asked at every step of every request.
//!
//! While a partition moves it has two sets of replicas: one that reads are on, and one that is written as well
//! (rule L1). All of them together are numbered by *rank*, those that are read first.

use super::cluster::Topology;
use super::coordinator::Ranks;
use super::io::MemberId;
use super::limits::{KEYSPACES_MAX, REPLICAS_MAX};
use super::ring::{self, Layout};
use super::time::Instant;

/// Replicas of a partition in both its sets together, at most.
pub const RANKS_MAX: usize = 2 * REPLICAS_MAX;

/// One layout's table.
#[derive(Debug)]
struct Table {
    width: usize,
    /// N' of each keyspace.
    counts: [u8; KEYSPACES_MAX as usize],
    /// Numbers of machines, `width` for each partition.
    slots: Vec<u16>,
}

/// One that may stand in for others.
#[derive(Debug)]
struct Machine {
    slot: u16,
    id: MemberId,
    zone: String,
    weight: u32,
    /// However that change ends, this directory is a member's.
    stays: bool,
}

impl Machine {
    fn candidate(&self) -> ring::Candidate<'_> {
        ring::Candidate { id: self.id, zone: &self.zone, weight: self.weight }
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Routes {
    version: u64,
    partitions: u32,
    /// N of each keyspace as configured.
    configured: [u8; KEYSPACES_MAX as usize],
    reads: Table,
    /// Written as well.
    also: Option<Table>,
    /// Reads are on the newer of the two.
    is_flipped: bool,
    /// Until then machines may not have met yet that the topology has just brought together.
    meeting_until: Instant,
    /// Machines whose copies are no evidence: their directories are others than reads count on (rule L4).
    unread: Vec<u16>,
    /// Members that go with the end of the change that is under way.
    going: Vec<u16>,
    /// Whether this node, with the directory that it has, was let in.
    is_seated: bool,
    /// All members, in the order of the topology.
    machines: Vec<Machine>,
    /// What all members know, if they have decided on it.
    level: Option<u8>,
    /// Which partitions have two sets.
    moving: Vec<bool>,
    /// The replicas of each partition for the default keyspace.
    ready: Vec<Replicas>,
    /// The version at which each partition last got other sets, as far as this node followed.
    since: Vec<u64>,
}

/// The replicas of a keyspace's keys in one partition, by rank.
#[derive(Clone, Copy, Debug)]
pub struct Replicas {
    slots: [u16; RANKS_MAX],
    len: u8,
    /// Those that reads are on; they come first.
    pub reads: Ranks,
    /// Of these, whose copies are no evidence.
    pub unread: Ranks,
    /// The other set, if there is one: some may be in both.
    pub also: Ranks,
}

impl Replicas {
    /// The machines, by rank.
    pub fn as_slice(&self) -> &[u16] {
        &self.slots[..usize::from(self.len)]
    }

    /// The rank of a machine.
    pub fn rank(&self, slot: u16) -> Option<usize> {
        self.as_slice().iter().position(|&other| other == slot)
    }

    /// The ranks that may be read, with their machines.
    pub fn readable(&self) -> impl Iterator<Item = (usize, u16)> + use<> {
        let this = *self;
        (0..usize::from(this.reads.len()))
            .filter(move |&rank| !this.unread.contains(rank))
            .map(move |rank| (rank, this.slots[rank]))
    }

    /// Whether the partition moves.
    pub fn moves(&self) -> bool {
        !self.also.is_empty()
    }
}

impl Routes {
    /// Of a topology. `number` gives each member its number; `own` is this node and the generation of its
    /// directory. What has not changed since `before` keeps its version.
    pub fn new(
        topology: &Topology,
        mut number: impl FnMut(MemberId) -> u16,
        own: (MemberId, u64),
        before: Option<&Routes>,
    ) -> Routes {
        let reading = topology.reading();
        let other = match topology.next() {
            Some(_) if topology.is_flipped() => Some(topology.current()),
            other => other,
        };
        let mut unread = Vec::new();
        for member in reading.members() {
            let latest = topology.member(member.id).expect("it is a member");
            let is_other = member.id == own.0 && ![0, own.1].contains(&member.generation);
            if latest.generation != member.generation || is_other {
                unread.push(number(member.id));
            }
        }
        let goes = |member: &&super::ring::LayoutMember| topology.latest().slot_of(member.id).is_none();
        let going =
            topology.current().members().iter().filter(goes).map(|member| number(member.id)).collect();
        let machine = |member: &super::ring::LayoutMember| Machine {
            slot: number(member.id),
            id: member.id,
            zone: member.zone.clone(),
            weight: member.weight,
            stays: topology.stays(member),
        };
        let machines = topology.members().into_iter().map(machine).collect();
        let mut table = |layout: &Layout| Table {
            width: layout.width(),
            counts: core::array::from_fn(|keyspace| layout.replica_count(keyspace as u16) as u8),
            slots: {
                let numbers: Vec<u16> = layout.members().iter().map(|member| number(member.id)).collect();
                let lists = (0..layout.partitions()).flat_map(|at| layout.preference_list(at as u16));
                lists.map(|&slot| numbers[usize::from(slot)]).collect()
            },
        };
        let mut routes = Routes {
            version: topology.version(),
            partitions: reading.partitions(),
            configured: core::array::from_fn(|keyspace| reading.replicas_asked(keyspace as u16) as u8),
            reads: table(reading),
            also: other.map(table),
            is_flipped: topology.is_flipped(),
            meeting_until: Instant::ZERO,
            unread,
            going,
            machines,
            is_seated: topology.is_seated(own.0, own.1),
            level: topology.is_kept().then(|| topology.level()),
            moving: Vec::new(),
            ready: Vec::new(),
            since: vec![topology.version(); reading.partitions() as usize],
        };
        routes.moving = (0..routes.partitions as usize).map(|at| routes.has_two_sets(at)).collect();
        routes.ready = (0..routes.partitions as usize).map(|at| routes.replicas_for(0, at)).collect();
        if let Some(before) = before.filter(|before| before.partitions == routes.partitions) {
            for partition in 0..routes.partitions as usize {
                if routes.is_as(before, partition) {
                    routes.since[partition] = before.since[partition];
                }
            }
        }
        routes
    }

    /// Whether a partition has the sets that it had.
    fn is_as(&self, before: &Routes, partition: usize) -> bool {
        let unread = |routes: &'_ Routes| {
            let list = routes.reads.list(partition);
            list.iter().map(|slot| routes.unread.contains(slot)).collect::<Vec<_>>()
        };
        self.reads.list(partition) == before.reads.list(partition)
            && self.reads.counts == before.reads.counts
            && self.other(partition) == before.other(partition)
            && unread(self) == unread(before)
    }

    /// The other set of a partition that moves.
    fn other(&self, partition: usize) -> Option<&[u16]> {
        self.also.as_ref().filter(|_| self.moving[partition]).map(|also| also.list(partition))
    }

    /// Whether the other layout has other machines for a partition, or others of their directories. Another
    /// order of the same ones is no other set, if no keyspace sees another part of it.
    fn has_two_sets(&self, partition: usize) -> bool {
        let Some(also) = &self.also else { return false };
        let (list, reads) = (also.list(partition), self.reads.list(partition));
        let same = also.counts == self.reads.counts && self.is_same_set(list, reads);
        !same || reads.iter().any(|slot| self.unread.contains(slot))
    }

    fn is_same_set(&self, one: &[u16], other: &[u16]) -> bool {
        let mut counts: Vec<u8> = self.reads.counts.to_vec();
        counts.sort_unstable();
        counts.dedup();
        counts.iter().all(|&count| {
            let count = usize::from(count);
            one.len() >= count
                && other.len() >= count
                && one[..count].iter().all(|slot| other[..count].contains(slot))
        })
    }

    /// Says until when machines may be about to meet.
    pub fn expect_meetings(&mut self, until: Instant) {
        self.meeting_until = until;
    }

    /// Whether machines that cannot be reached may be about to be.
    pub fn are_meeting(&self, now: Instant) -> bool {
        now < self.meeting_until
    }

    /// Whether what this node stores may be counted (rule L4). A directory that was not let in yet has forgotten,
    /// with the one before it, which topologies it had followed: as a replica of an older one it would complete
    /// a write that readers of a later one need not see.
    pub fn may_acknowledge(&self) -> bool {
        self.is_seated
    }

    /// All members, by their slots.
    pub fn members(&self) -> impl Iterator<Item = u16> + use<'_> {
        self.machines.iter().map(|machine| machine.slot)
    }

    /// Whether a machine is a member.
    pub fn is_member(&self, slot: u16) -> bool {
        self.members().any(|member| member == slot)
    }

    /// Whether a member's copies are no evidence.
    pub fn is_unread(&self, slot: u16) -> bool {
        self.unread.contains(&slot)
    }

    /// Whether the cluster moves from one layout to another.
    pub fn is_in_transition(&self) -> bool {
        self.also.is_some()
    }

    /// Whether a machine is a member that holds data.
    pub fn holds_data(&self, slot: u16) -> bool {
        self.machines.iter().any(|machine| machine.slot == slot && machine.weight > 0)
    }

    /// What all members know of messages and objects, where the cluster has decided on it.
    pub fn level(&self) -> Option<u8> {
        self.level
    }

    /// The version that it was made of.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Q.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The partition of a position.
    pub fn partition(&self, at: u128) -> u16 {
        ring::partition(at, self.partitions)
    }

    /// The version at which a partition got the sets that it has.
    pub fn since(&self, partition: u16) -> u64 {
        self.since.get(usize::from(partition)).copied().unwrap_or(u64::MAX)
    }

    /// N of a keyspace as configured, over which no request may ask.
    pub fn configured(&self, keyspace: u16) -> u8 {
        self.configured.get(usize::from(keyspace)).copied().unwrap_or(self.configured[0])
    }

    /// N' of a keyspace, for reads and in the other set.
    pub fn counts(&self, keyspace: u16) -> (u8, Option<u8>) {
        (self.reads.count(keyspace), self.also.as_ref().map(|also| also.count(keyspace)))
    }

    /// The replicas of a partition for any keyspace.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn replicas_of_all(&self, partition: u16) -> Replicas {
        self.replicas_within(
            usize::from(partition),
            self.reads.width,
            self.also.as_ref().map_or(0, |also| also.width),
        )
    }

    /// The replicas of a keyspace's keys in a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn replicas(&self, keyspace: u16, partition: u16) -> Replicas {
        match keyspace {
            0 => self.ready[usize::from(partition)],
            _ => self.replicas_for(keyspace, usize::from(partition)),
        }
    }

    fn replicas_for(&self, keyspace: u16, partition: usize) -> Replicas {
        let also = self.also.as_ref().map_or(0, |also| also.count(keyspace));
        self.replicas_within(partition, usize::from(self.reads.count(keyspace)), usize::from(also))
    }

    /// Those of a key's replicas that are to have it from now on: once reads are on the new layout, those of the old one
    /// only give it away.
    pub fn heirs(&self, keyspace: u16, partition: u16) -> Replicas {
        let replicas = self.replicas(keyspace, partition);
        if !self.is_flipped {
            return replicas;
        }
        Replicas { len: replicas.reads.len(), also: Ranks::default(), ..replicas }
    }

    /// Whether a replica that has a hint of a key on its disk settles it: reads count on its copy, and it stays. What a
    /// newcomer holds goes with it if its change is reverted, and what a removed one holds is given up.
    pub fn settles_hints(&self, keyspace: u16, partition: u16, slot: u16) -> bool {
        if planted!("hint_to_anybody") {
            return self.replicas(keyspace, partition).rank(slot).is_some();
        }
        !self.going.contains(&slot)
            && self.replicas(keyspace, partition).readable().any(|(_, other)| other == slot)
    }

    /// Whether a member is one with this directory however the change that is under way ends.
    pub fn stays(&self, slot: u16) -> bool {
        self.machines.iter().any(|machine| machine.slot == slot && machine.stays)
    }

    /// Whether a member goes with the end of the change that is under way, which cannot be reverted any more.
    pub fn is_going_for_good(&self, slot: u16) -> bool {
        self.is_flipped && self.going.contains(&slot)
    }

    /// The machines that may stand in for a replica of a partition, the first of them first: see
    /// [`fallbacks`](ring::fallbacks()). One that may be no member before it has given its hints away is none of them.
    pub fn fallbacks(&self, partition: u16, replicas: &Replicas, missing: u16) -> Vec<u16> {
        let machines: Vec<_> = self.machines.iter().map(Machine::candidate).collect();
        let place = |slot: &u16| self.machines.iter().position(|machine| machine.slot == *slot);
        let places = replicas.as_slice().iter().filter_map(place).map(|place| place as u16);
        let Some(missing) = place(&missing) else { return Vec::new() };
        let order = ring::fallbacks(&machines, partition, &places.collect::<Vec<_>>(), missing as u16);
        let order = order.into_iter().map(|place| &self.machines[usize::from(place)]);
        order
            .filter(|machine| machine.stays || planted!("hints_with_guests"))
            .map(|machine| machine.slot)
            .collect()
    }

    /// The first replicas of a partition in each of its sets.
    fn replicas_within(&self, partition: usize, reads: usize, also: usize) -> Replicas {
        let list = &self.reads.list(partition)[..reads];
        let mut replicas = Replicas {
            slots: [0; RANKS_MAX],
            len: list.len() as u8,
            reads: Ranks::first(list.len()),
            unread: Ranks::default(),
            also: Ranks::default(),
        };
        // A handful: a loop of our own is quicker than a call.
        replicas.slots.iter_mut().zip(list).for_each(|(to, from)| *to = *from);
        if let Some(other) = self.other(partition) {
            for &slot in &other[..also] {
                let rank = replicas.rank(slot).unwrap_or_else(|| {
                    replicas.slots[usize::from(replicas.len)] = slot;
                    replicas.len += 1;
                    usize::from(replicas.len) - 1
                });
                replicas.also.insert(rank);
            }
        }
        if !self.unread.is_empty() {
            for (rank, slot) in list.iter().enumerate() {
                if self.unread.contains(slot) {
                    replicas.unread.insert(rank);
                }
            }
        }
        replicas
    }
}

impl Table {
    fn list(&self, partition: usize) -> &[u16] {
        &self.slots[partition * self.width..][..self.width]
    }

    fn count(&self, keyspace: u16) -> u8 {
        if planted!("keyspace_n_ignored") {
            return self.width as u8;
        }
        self.counts.get(usize::from(keyspace)).copied().unwrap_or(self.counts[0])
    }
}
