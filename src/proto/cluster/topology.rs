//! The topology: what the keepers decide. The layout in force, the one that the cluster moves to, how far
//! that has come, and what operators have staged.
//!
//! ```text
//!             commit                    flip                       finish
//!  settled ───────────► moving: read v ──────► moving: read v+1 ──────────► settled
//!     ▲                   │       ▲                  writes: W in both sets
//!     └────── revert ─────┘       └── commit of a further layout replaces v+1
//! ```
//!
//! Every step, the staging of a change included, is one version of one register, decided once by the keepers'
//! vote ([`keepers`](crate::proto::keepers)): there is one history, whoever acts, and each node knows by a
//! number how far it has followed. A partition has at most two sets of replicas, those of `current` and those
//! of `next`; the whole layout flips at once, so a topology is small and a transition costs three votes.

use super::change::Change;
use crate::proto::config::Config;
use crate::proto::io::MemberId;
use crate::proto::keepers::{Choice, KEEPERS_MAX, Seat};
use crate::proto::keys::ClusterKeys;
use crate::proto::limits;
use crate::proto::message::LEVEL;
use crate::proto::ring::{Layout, LayoutMember, Mode};
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

/// Version of the encoding.
const ENCODING: u8 = 1;
/// Changes that may be staged at one time.
pub const STAGED_MAX: usize = 256;

/// Who holds what, and how that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub(super) era: u64,
    pub(super) version: u64,
    /// What all members know of messages and topologies: nothing beyond it is used.
    pub(super) level: u8,
    pub(super) base: u64,
    pub(super) hash: u64,
    pub(super) keepers: Vec<Seat>,
    pub(super) max_per_zone: Option<u8>,
    /// Rule L3: data directories that never come back, the latest last.
    pub(super) removed: Vec<u64>,
    pub(super) staged: Vec<Change>,
    pub(super) current: Layout,
    pub(super) next: Option<Layout>,
    /// The version at which reads went over to `next`; 0 if they are on `current`.
    pub(super) flipped_at: u64,
}

impl Topology {
    /// That of a cluster with a list of members: it never changes.
    pub fn manual(layout: Layout) -> Topology {
        Topology {
            era: 0,
            version: 1,
            level: LEVEL,
            base: 0,
            hash: layout.hash(),
            keepers: Vec::new(),
            max_per_zone: None,
            removed: Vec::new(),
            staged: Vec::new(),
            current: layout,
            next: None,
            flipped_at: 0,
        }
    }

    /// The first one of a cluster that these members found together, each bound to its directory: the one that
    /// founds it alone, or a simulator's. The first three are keepers. `config` must have passed its check.
    pub fn found(config: &Config, keys: &ClusterKeys) -> Topology {
        let config = Config { placement: Mode::Balanced, ..config.clone() };
        let mut topology = Topology::manual(Layout::first(&config, keys));
        topology.era = 1;
        topology.max_per_zone = config.max_per_zone;
        topology.keepers = topology.seats(&topology.current);
        topology.hash = topology.hash_of(keys);
        topology
    }

    /// Before a cluster was joined: nobody, and nothing to hold.
    pub fn none(config: &Config, keys: &ClusterKeys) -> Topology {
        let mut topology = Topology::manual(Layout::empty(config, keys));
        topology.version = 0;
        topology
    }

    /// Whether the keepers decide it; else it is a given list, or nothing yet.
    pub fn is_kept(&self) -> bool {
        !self.keepers.is_empty()
    }

    /// The era that its votes belong to.
    pub fn era(&self) -> u64 {
        self.era
    }

    /// Counts the topologies of a cluster; 0 before one is known.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The level of messages that the cluster uses: raised when every member can, never lowered.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Names it: equal on two nodes if they follow the same one.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The layout before the transition, or the only one.
    pub fn current(&self) -> &Layout {
        &self.current
    }

    /// The layout that the cluster moves to.
    pub fn next(&self) -> Option<&Layout> {
        self.next.as_ref()
    }

    /// Whether reads are on [`Topology::next`].
    pub fn is_flipped(&self) -> bool {
        self.flipped_at > 0
    }

    /// The version at which reads went over; 0 if they did not.
    pub fn flipped_at(&self) -> u64 {
        self.flipped_at
    }

    /// The layout that reads are on.
    pub fn reading(&self) -> &Layout {
        self.next.as_ref().filter(|_| self.is_flipped()).unwrap_or(&self.current)
    }

    /// The layout that a further one follows on.
    pub fn latest(&self) -> &Layout {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// Who decides the next topology.
    pub fn keepers(&self) -> &[Seat] {
        &self.keepers
    }

    /// What is staged.
    pub fn staged(&self) -> &[Change] {
        &self.staged
    }

    /// Data directories that never come back (rule L3), the latest last.
    pub fn removed(&self) -> &[u64] {
        &self.removed
    }

    /// Whether a data directory was removed from the cluster (rule L3).
    pub fn has_removed(&self, generation: u64) -> bool {
        generation != 0 && self.removed.contains(&generation)
    }

    /// All members of both layouts, each once: as `next` has it where both do.
    pub fn members(&self) -> Vec<&LayoutMember> {
        let mut members: Vec<&LayoutMember> = self.latest().members().iter().collect();
        if self.next.is_some() {
            let leaving = self.current.members().iter();
            members.extend(leaving.filter(|member| self.latest().slot_of(member.id).is_none()));
        }
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        members
    }

    /// A member of either layout.
    pub fn member(&self, id: MemberId) -> Option<&LayoutMember> {
        let layout = if self.latest().slot_of(id).is_some() { self.latest() } else { &self.current };
        layout.slot_of(id).map(|slot| layout.member(slot))
    }

    /// Whether a member, with the directory of this generation, is the one that was let in. A list that says
    /// nothing of directories (generation 0) lets in any.
    pub fn is_seated(&self, id: MemberId, generation: u64) -> bool {
        self.member(id).is_some_and(|member| [0, generation].contains(&member.generation))
    }

    /// Whether a member is one with the same directory however the change that is under way ends.
    pub fn stays(&self, member: &LayoutMember) -> bool {
        let is_in = |layout: &Layout| {
            layout.slot_of(member.id).is_some_and(|slot| layout.member(slot).generation == member.generation)
        };
        is_in(self.latest()) && (self.is_flipped() || is_in(&self.current))
    }

    /// Whether a member, with the directory of this generation, gives its partitions away to be a member no more.
    /// One that is removed is no such: its directory is given up with the commit.
    pub fn leaves(&self, id: MemberId, generation: u64) -> bool {
        let own = self.current.slot_of(id).map(|slot| self.current.member(slot).generation);
        own == Some(generation) && self.latest().slot_of(id).is_none() && !self.has_removed(generation)
    }

    /// Whether a member has left, as it was asked to, between this topology and a later one of the same history,
    /// as far as the two can tell. The later alone cannot: it says of who left and of who was removed that their
    /// directories do not return. Who leaves goes with a flip and the end of the transition; to be removed after all
    /// takes a staging and another commit before these.
    pub fn has_left_by(&self, later: &Topology, id: MemberId, generation: u64) -> bool {
        if later.member(id).is_some() || !later.has_removed(generation) {
            return false;
        }
        let is_sure = self.is_flipped() || later.version < self.version + 4;
        is_sure && self.leaves(id, generation)
    }

    /// Who would keep a layout: today's keepers that stay, then others, other zones first.
    pub(super) fn seats(&self, layout: &Layout) -> Vec<Seat> {
        let holding = layout.members().iter().filter(|member| member.weight > 0).count();
        let wanted = if holding < 3 { 1 } else { self.keepers.len().clamp(3, KEEPERS_MAX) };
        let mut chosen: Vec<&LayoutMember> = Vec::new();
        let stays = |member: &&LayoutMember| self.keepers.iter().any(|seat| seat.member == member.id);
        while chosen.len() < wanted {
            let rank = |member: &&LayoutMember| {
                let met = chosen.iter().filter(|other| other.zone == member.zone).count();
                (!stays(member), met, member.id)
            };
            let open = layout.members().iter().filter(|member| member.weight > 0);
            let open = open.filter(|member| chosen.iter().all(|other| other.id != member.id));
            let Some(member) = open.min_by_key(rank) else { break };
            chosen.push(member);
        }
        let seat = |member: &&LayoutMember| Seat { member: member.id, generation: member.generation };
        let mut seats: Vec<Seat> = chosen.iter().map(seat).collect();
        seats.sort_unstable();
        seats
    }

    /// One that follows on this one, to be changed and then finished by [`Topology::name`].
    pub(super) fn successor(&self) -> Topology {
        Topology { version: self.version + 1, base: self.hash, ..self.clone() }
    }

    /// Gives it the name that its content asks for.
    pub(super) fn name(mut self, keys: &ClusterKeys) -> Topology {
        let excess = self.removed.len().saturating_sub(limits::GENERATIONS_REMOVED_MAX);
        self.removed.drain(..excess);
        self.hash = self.hash_of(keys);
        self
    }

    fn hash_of(&self, keys: &ClusterKeys) -> u64 {
        keys.placement.hash64(&[b"topology\0", &self.encode()])
    }

    /// What the keepers are asked to accept.
    pub(super) fn choice(&self) -> Choice {
        let (version, hash, base, keepers) = (self.version, self.hash, self.base, self.keepers.clone());
        Choice { version, hash, base, keepers, layout: self.encode() }
    }

    /// Its bytes:
    ///
    /// ```text
    /// encoding 1 | era, version varints | level 1 | base 8 | flags 1: has next | flipped at varint | max_per_zone 1, 0 for none
    /// keepers: count 1, member 8, generation 8 each | removed: count varint, 8 each
    /// staged: count varint, each with its length | current | next, if there is one
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![ENCODING];
        put_varint(&mut out, self.era);
        put_varint(&mut out, self.version);
        out.push(self.level);
        out.extend(self.base.to_le_bytes());
        out.push(u8::from(self.next.is_some()));
        put_varint(&mut out, self.flipped_at);
        out.push(self.max_per_zone.unwrap_or(0));
        out.push(self.keepers.len() as u8);
        for seat in &self.keepers {
            out.extend(seat.member.0.to_le_bytes());
            out.extend(seat.generation.to_le_bytes());
        }
        put_varint(&mut out, self.removed.len() as u64);
        out.extend(self.removed.iter().flat_map(|generation| generation.to_le_bytes()));
        put_varint(&mut out, self.staged.len() as u64);
        for change in &self.staged {
            put_bytes(&mut out, &change.encode());
        }
        self.current.encode(&mut out);
        if let Some(next) = &self.next {
            next.encode(&mut out);
        }
        out
    }

    /// Reads one.
    ///
    /// # Errors
    /// Names what is wrong; an encoding of a later release is called so.
    pub fn decode(bytes: &[u8], keys: &ClusterKeys) -> Result<Topology, WireError> {
        let bad = |what| WireError { what };
        let mut reader = Reader::new(bytes);
        if reader.u8("topology")? != ENCODING {
            return Err(bad("topology: its encoding is of a later release"));
        }
        let (era, version) = (reader.varint("era")?, reader.varint("topology version")?);
        let level = reader.u8("level of a cluster")?;
        if level > LEVEL {
            return Err(bad("topology: the cluster uses what only a later release knows"));
        }
        let base = reader.u64("base of a topology")?;
        let flags = reader.u8("topology flags")?;
        let flipped_at = reader.varint("version of a flip")?;
        let max_per_zone = Some(reader.u8("replicas in a zone")?).filter(|&max| max > 0);
        let mut keepers = Vec::new();
        for _ in 0..reader.u8("count of keepers")? {
            let member = MemberId(reader.u64("keeper")?);
            keepers.push(Seat { member, generation: reader.u64("generation of a keeper")? });
        }
        let count = reader.varint("count of removed")?;
        let mut removed = Vec::new();
        for _ in 0..count {
            removed.push(reader.u64("removed generation")?);
        }
        let mut staged = Vec::new();
        for _ in 0..reader.varint("count of changes")? {
            staged.push(Change::decode(reader.bytes(limits::FRAME_MAX, "change")?)?);
        }
        let current = Layout::read(&mut reader, keys)?;
        let next = if flags & 1 == 0 { None } else { Some(Layout::read(&mut reader, keys)?) };
        reader.end("topology")?;
        let fits = next.as_ref().is_none_or(|next| next.partitions() == current.partitions());
        let seated = (1..=KEEPERS_MAX).contains(&keepers.len()) && keepers.is_sorted();
        let flips = flipped_at == 0 || (next.is_some() && flipped_at <= version);
        if flags > 1 || !flips || staged.len() > STAGED_MAX || !fits || !seated {
            return Err(bad("topology"));
        }
        let hash = 0;
        let topology = Topology {
            era,
            version,
            level,
            base,
            hash,
            keepers,
            max_per_zone,
            removed,
            staged,
            current,
            next,
            flipped_at,
        };
        Ok(topology.name(keys))
    }
}
