//! A layout as bytes: what nodes tell each other and keep on disk.
//!
//! ```text
//! version varint | mode 1 | Q 4 | width 1 | max_per_zone 1 | N of keyspaces 0 to 15, 1 each | members varint
//! by name: name, address, zone, each with its length | weight varint | generation 8
//! table: 2 for each slot
//! ```
//!
//! The table is carried, not computed again: an older release must hold what a newer one has placed.

use super::{Layout, LayoutMember, Mode};
use crate::proto::config::name_is_valid;
use crate::proto::keys::ClusterKeys;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

/// Longest address of a member, in bytes.
const ADDRESS_MAX: usize = limits::GOSSIP_ADDRESS_MAX;

impl Layout {
    /// Appends the layout's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.version);
        out.push(self.mode as u8);
        out.extend(self.partitions.to_le_bytes());
        out.extend([self.width as u8, self.max_per_zone]);
        out.extend(self.replicas);
        put_varint(out, self.members.len() as u64);
        for member in &self.members {
            put_bytes(out, member.name.as_bytes());
            put_bytes(out, member.address.as_bytes());
            put_bytes(out, member.zone.as_bytes());
            put_varint(out, u64::from(member.weight));
            out.extend(member.generation.to_le_bytes());
        }
        out.extend(self.table.iter().flat_map(|slot| slot.to_le_bytes()));
    }

    /// Reads one, and checks everything that others rely on: names, the length of the table, distinct machines
    /// in each list.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(reader: &mut Reader<'_>, keys: &ClusterKeys) -> Result<Layout, WireError> {
        let bad = |what| WireError { what };
        let version = reader.varint("layout version")?;
        let mode = reader.u8("placement")?;
        let mode = Mode::ALL.into_iter().find(|known| *known as u8 == mode).ok_or(bad("placement"))?;
        let partitions = reader.u32("partitions")?;
        if !partitions.is_power_of_two() || partitions > limits::PARTITIONS_MAX {
            return Err(bad("partitions"));
        }
        let width = usize::from(reader.u8("width of a layout")?);
        let max_per_zone = reader.u8("replicas in a zone")?;
        let replicas = reader.take(usize::from(limits::KEYSPACES_MAX), "replicas of keyspaces")?;
        let replicas: [u8; limits::KEYSPACES_MAX as usize] = replicas.try_into().expect("as many were taken");
        if width > limits::REPLICAS_MAX || replicas.contains(&0) {
            return Err(bad("width of a layout"));
        }
        let members = read_members(reader, keys)?;
        let mut slots: Vec<_> =
            members.iter().enumerate().map(|(slot, member)| (member.id, slot as u16)).collect();
        slots.sort_unstable();
        if slots.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(bad("ids of members"));
        }
        let table = reader.take(2 * width * partitions as usize, "table")?;
        let table: Vec<u16> =
            table.chunks_exact(2).map(|slot| u16::from_le_bytes([slot[0], slot[1]])).collect();
        let mut held = vec![0; members.len()];
        for list in table.chunks_exact(width.max(1)) {
            for (at, &slot) in list.iter().enumerate() {
                if list[..at].contains(&slot) {
                    return Err(bad("a machine twice in a list"));
                }
                *held.get_mut(usize::from(slot)).ok_or(bad("slot in the table"))? += 1;
            }
        }
        let mut layout = Layout {
            version,
            hash: 0,
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
        layout.name(keys);
        Ok(layout)
    }
}

fn read_members(reader: &mut Reader<'_>, keys: &ClusterKeys) -> Result<Vec<LayoutMember>, WireError> {
    let bad = |what| WireError { what };
    let count = reader.varint("count of members")?;
    if count > limits::MEMBERS_MAX as u64 {
        return Err(bad("count of members"));
    }
    let mut members: Vec<LayoutMember> = Vec::new();
    for _ in 0..count {
        let mut text = |max, what| {
            let bytes = reader.bytes(max, what)?;
            core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| WireError { what })
        };
        let name = text(limits::NAME_MAX, "name of a member")?;
        let address = text(ADDRESS_MAX, "address of a member")?;
        let zone = text(limits::NAME_MAX, "zone of a member")?;
        let rises = members.last().is_none_or(|last| last.name < name);
        if !name_is_valid(&name) || !(zone.is_empty() || name_is_valid(&zone)) || !rises {
            return Err(bad("name of a member"));
        }
        let weight = u32::try_from(reader.varint("weight")?).map_err(|_| bad("weight"))?;
        let generation = reader.u64("generation")?;
        members.push(LayoutMember { id: keys.member_id(&name), name, address, zone, weight, generation });
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::config::{Config, MemberSpec};

    #[test]
    fn a_layout_comes_back_and_no_cut_or_bent_one_panics() {
        let keys = ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC);
        let mut config = Config::new("a");
        config.placement = Mode::Balanced;
        config.partitions = 8;
        config.members = ["a", "b", "c", "d"]
            .map(|name| MemberSpec {
                generation: 7,
                zone: format!("z{name}"),
                ..MemberSpec::new(name, &format!("{name}:1"))
            })
            .to_vec();
        config.check().unwrap();
        let first = Layout::first(&config, &keys);
        let mut bytes = Vec::new();
        first.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Layout::read(&mut reader, &keys), Ok(first.clone()));
        assert!(reader.rest().is_empty());
        for cut in 0..bytes.len() {
            assert!(Layout::read(&mut Reader::new(&bytes[..cut]), &keys).is_err());
        }
        for bit in 0..8 * bytes.len() {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            if let Ok(bent) = Layout::read(&mut Reader::new(&bent), &keys) {
                assert_ne!(bent, first);
            }
        }
    }
}
