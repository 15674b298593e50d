//! What an operator stages: changes of the member list, and the layout that they come to.

use super::topology::{STAGED_MAX, Topology};
use crate::proto::config::{Config, MemberSpec, name_is_valid};
use crate::proto::keys::ClusterKeys;
use crate::proto::limits;
use crate::proto::ring::{Layout, LayoutMember};
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

/// A change of the member list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This member, bound to its directory. One of a known name takes the place of the one that had it: with
    /// the same directory it has only moved, with another its copies are new (rule L4).
    Join(MemberSpec),
    /// The member gives its partitions away and is then none any more.
    Leave(String),
    /// The member is dead: nothing is expected of it, and its directory never comes back (rule L3).
    Remove(String),
    /// The first is dead, and the second, which was staged or is a member, takes over its place.
    Replace(String, String),
    /// Its share of the data relative to others; 0 drains it.
    Weight(String, u32),
    /// What fails with it.
    Zone(String, String),
    /// Replicas of a partition that may lie in one zone; `None` for the default.
    MaxPerZone(Option<u8>),
}

impl Change {
    /// Its bytes: kind 1, and its fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Change::Join(member) => {
                out.push(0);
                put_bytes(&mut out, member.name.as_bytes());
                put_bytes(&mut out, member.address.as_bytes());
                put_bytes(&mut out, member.zone.as_bytes());
                put_varint(&mut out, u64::from(member.weight));
                out.extend(member.generation.to_le_bytes());
            }
            Change::Leave(name) => {
                out.push(1);
                put_bytes(&mut out, name.as_bytes());
            }
            Change::Remove(name) => {
                out.push(2);
                put_bytes(&mut out, name.as_bytes());
            }
            Change::Replace(old, new) => {
                out.push(3);
                put_bytes(&mut out, old.as_bytes());
                put_bytes(&mut out, new.as_bytes());
            }
            Change::Weight(name, weight) => {
                out.push(4);
                put_bytes(&mut out, name.as_bytes());
                put_varint(&mut out, u64::from(*weight));
            }
            Change::Zone(name, zone) => {
                out.push(5);
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, zone.as_bytes());
            }
            Change::MaxPerZone(max) => out.extend([6, max.unwrap_or(0)]),
        }
        out
    }

    /// Reads one; nothing may follow.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Change, WireError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8("kind of change")?;
        let text = |reader: &mut Reader<'_>| -> Result<String, WireError> {
            let what = "name in a change";
            let bytes = reader.bytes(limits::GOSSIP_ADDRESS_MAX, what)?;
            core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| WireError { what })
        };
        let weight = |reader: &mut Reader<'_>| {
            u32::try_from(reader.varint("weight")?).map_err(|_| WireError { what: "weight" })
        };
        let change = match kind {
            0 => Change::Join(MemberSpec {
                name: text(&mut reader)?,
                address: text(&mut reader)?,
                zone: text(&mut reader)?,
                weight: weight(&mut reader)?,
                generation: reader.u64("generation")?,
            }),
            1 => Change::Leave(text(&mut reader)?),
            2 => Change::Remove(text(&mut reader)?),
            3 => Change::Replace(text(&mut reader)?, text(&mut reader)?),
            4 => Change::Weight(text(&mut reader)?, weight(&mut reader)?),
            5 => Change::Zone(text(&mut reader)?, text(&mut reader)?),
            6 => Change::MaxPerZone(Some(reader.u8("replicas in a zone")?).filter(|&max| max > 0)),
            _ => return Err(WireError { what: "kind of change" }),
        };
        reader.end("change")?;
        Ok(change)
    }

    /// Whose change it is, where two about the same are one: the later.
    fn subject(&self) -> (u8, &str) {
        match self {
            Change::Join(member) => (0, &member.name),
            Change::Leave(name) | Change::Remove(name) | Change::Replace(name, _) => (1, name),
            Change::Weight(name, _) => (2, name),
            Change::Zone(name, _) => (3, name),
            Change::MaxPerZone(_) => (4, ""),
        }
    }
}

impl Topology {
    /// With a change staged. One that is staged already, or says what is so already, changes nothing: `None`.
    ///
    /// # Errors
    /// Why it cannot be, for the operator.
    pub fn stage(&self, change: Change, keys: &ClusterKeys) -> Result<Option<Topology>, String> {
        self.may_change()?;
        if let Change::Join(member) = &change
            && self.has_removed(member.generation)
            && !planted!("removed_rejoins")
        {
            let why = "was removed from the cluster and does not return; it needs an empty one";
            return Err(format!("the data directory of `{}` {why}", member.name));
        }
        // Two that ask in turn must not change places for ever.
        if self.staged.contains(&change) {
            return Ok(None);
        }
        let mut staged = self.staged.clone();
        staged.retain(|known| known.subject() != change.subject());
        if self.is_so(&change) {
            // Only what was staged against it goes.
            let is_same = staged.len() == self.staged.len();
            return Ok((!is_same).then(|| Topology { staged, ..self.successor() }.name(keys)));
        }
        staged.push(change);
        if staged.len() > STAGED_MAX {
            return Err(format!("{STAGED_MAX} changes are staged; commit them first"));
        }
        self.settings(&staged)?;
        Ok(Some(Topology { staged, ..self.successor() }.name(keys)))
    }

    /// With nothing staged; `None` if nothing is.
    pub fn unstage(&self, keys: &ClusterKeys) -> Option<Topology> {
        let staged = Vec::new();
        (!self.staged.is_empty()).then(|| Topology { staged, ..self.successor() }.name(keys))
    }

    /// Whether the latest layout says so already.
    fn is_so(&self, change: &Change) -> bool {
        let member = |name: &str| self.latest().members().iter().find(|member| member.name == name);
        match change {
            Change::Join(new) => member(&new.name)
                .is_some_and(|known| (known.generation, &known.address) == (new.generation, &new.address)),
            Change::Weight(name, weight) => member(name).is_some_and(|known| known.weight == *weight),
            Change::Zone(name, zone) => member(name).is_some_and(|known| known.zone == *zone),
            Change::MaxPerZone(max) => self.max_per_zone == *max,
            Change::Leave(_) | Change::Remove(_) | Change::Replace(..) => false,
        }
    }

    /// The layout that what is staged comes to, and the rule about zones.
    ///
    /// # Errors
    /// It cannot be made, and why.
    pub fn planned(&self, keys: &ClusterKeys) -> Result<Layout, String> {
        let config = self.settings(&self.staged)?;
        let layout = self.latest().next(&config, keys).with_version(self.version + 1);
        let lost = self.partitions_lost(&layout);
        if lost > 0 {
            return Err(format!(
                "{lost} partitions would have no copy left: all their replicas are removed or have other \
                 directories"
            ));
        }
        Ok(layout)
    }

    /// Partitions of which nobody who stays, or leaves in good order, has a copy.
    fn partitions_lost(&self, planned: &Layout) -> usize {
        let reading = self.reading();
        let has_copy = |slot: &u16| {
            let member = reading.member(*slot);
            let stays = planned.slot_of(member.id).map(|slot| planned.member(slot).generation);
            match stays {
                Some(generation) => generation == member.generation,
                None => !self.is_dead(member),
            }
        };
        (0..reading.partitions())
            .filter(|&partition| !reading.preference_list(partition as u16).iter().any(has_copy))
            .count()
    }

    /// Whether a member is on its way out, so that only its death can be news.
    fn is_leaving(&self, name: &str) -> bool {
        let has = |members: &[LayoutMember]| members.iter().any(|member| member.name == *name);
        has(self.current.members()) && !has(self.latest().members())
    }

    /// Whether a member is removed, or staged to be: nothing is expected of it.
    pub(super) fn is_dead(&self, member: &LayoutMember) -> bool {
        let staged = self.staged.iter().any(|change| match change {
            Change::Remove(name) | Change::Replace(name, _) => *name == member.name,
            _ => false,
        });
        staged || self.has_removed(member.generation)
    }

    /// The settings of the layout that changes come to.
    pub(super) fn settings(&self, staged: &[Change]) -> Result<Config, String> {
        let mut config = self.latest().settings();
        config.max_per_zone = self.max_per_zone;
        let place = |config: &Config, name: &str| {
            let found = config.members.iter().position(|member| member.name == name);
            found.ok_or_else(|| format!("there is no member `{name}`"))
        };
        // Who joins is there before others speak of it.
        let (joins, others): (Vec<_>, Vec<_>) =
            staged.iter().partition(|change| matches!(change, Change::Join(_)));
        for change in joins.into_iter().chain(others) {
            match change {
                Change::Join(member) => match place(&config, &member.name) {
                    Ok(at) => {
                        let known = &mut config.members[at];
                        known.address.clone_from(&member.address);
                        known.generation = member.generation;
                    }
                    Err(_) => {
                        let mut member = member.clone();
                        // Where there are zones everybody has one; an operator says which by `zone`.
                        if member.zone.is_empty() && config.members.iter().any(|other| !other.zone.is_empty())
                        {
                            member.zone.clone_from(&member.name);
                        }
                        config.members.push(member);
                    }
                },
                Change::Remove(name) if self.is_leaving(name) => {}
                Change::Leave(name) | Change::Remove(name) => {
                    config.members.remove(place(&config, name)?);
                }
                Change::Replace(old, new) => {
                    let (old, new) = (place(&config, old)?, place(&config, new)?);
                    if old == new {
                        return Err("a member does not replace itself".into());
                    }
                    let gone = config.members[old].clone();
                    config.members[new].weight = gone.weight;
                    config.members[new].zone = gone.zone;
                    config.members.remove(old);
                }
                Change::Weight(name, weight) => {
                    let at = place(&config, name)?;
                    config.members[at].weight = *weight;
                }
                Change::Zone(name, zone) => {
                    if !zone.is_empty() && !name_is_valid(zone) {
                        return Err(format!("`{zone}` is no zone"));
                    }
                    let at = place(&config, name)?;
                    config.members[at].zone.clone_from(zone);
                }
                Change::MaxPerZone(max) => config.max_per_zone = *max,
            }
        }
        // Zones are given one by one: until the last has one, those without stand for themselves.
        if config.members.iter().any(|member| !member.zone.is_empty()) {
            for member in &mut config.members {
                if member.zone.is_empty() {
                    member.zone.clone_from(&member.name);
                }
            }
        }
        let Some(first) = config.members.first() else {
            return Err("the last member cannot go: nobody would have a copy of anything".into());
        };
        config.name.clone_from(&first.name);
        config.check().map_err(|error| error.problem)?;
        Ok(config)
    }
}
