//! What is known of one member: who it says it is, which of its lives is spoken of, and the verdict on it.

use crate::proto::config::name_is_valid;
use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::time::Instant;
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

use super::replay::Window;
use super::steady::Returns;
use super::suspicion::Suspicion;

/// What the cluster thinks of a member. The order is that of the table's merge: of two verdicts on one
/// incarnation the greater one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// It answers.
    Alive = 1,
    /// It did not answer somebody. Still used, after others.
    Suspect = 2,
    /// It did not refute in time.
    Down = 3,
    /// It said that it goes.
    Left = 4,
}

impl Verdict {
    /// The verdict of this number.
    pub(super) fn read(byte: u8) -> Result<Verdict, WireError> {
        Ok(match byte {
            1 => Verdict::Alive,
            2 => Verdict::Suspect,
            3 => Verdict::Down,
            4 => Verdict::Left,
            _ => return Err(WireError { what: "verdict" }),
        })
    }

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Alive => "alive",
            Verdict::Suspect => "suspect",
            Verdict::Down => "down",
            Verdict::Left => "left",
        }
    }

    /// Whether the member is counted among those who are there.
    pub const fn is_here(self) -> bool {
        matches!(self, Verdict::Alive | Verdict::Suspect)
    }

    /// What lasts: a suspicion passes, and tables that differ in one are not repaired for it.
    pub(super) const fn settled(self) -> Verdict {
        match self {
            Verdict::Suspect => Verdict::Alive,
            other => other,
        }
    }
}

/// Which life of a member a verdict is about (SWIM §4.2). Only the member itself makes a new one: by opening
/// its directory, which is counted on disk, or by refuting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// How often its data directory was opened.
    pub opens: u32,
    /// How often it refuted since.
    pub bumps: u32,
}

impl Incarnation {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.opens));
        put_varint(out, u64::from(self.bumps));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Incarnation, WireError> {
        let mut number = |what| reader.varint(what)?.try_into().map_err(|_| WireError { what });
        Ok(Incarnation { opens: number("open count")?, bumps: number("refutations")? })
    }

    /// Whether no member gets from `known` to here between two times that it is heard of: such a number is
    /// an error or a forgery, and believing it would make every true one look old.
    pub(super) fn is_jump_from(self, known: Incarnation) -> bool {
        let bumps = if self.opens == known.opens { known.bumps } else { 0 };
        self.opens > known.opens.saturating_add(limits::GOSSIP_OPENS_JUMP_MAX)
            || (self.opens >= known.opens && self.bumps > bumps.saturating_add(limits::GOSSIP_BUMPS_JUMP_MAX))
    }
}

/// One opening of one data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// How often the directory was opened, this time included.
    pub opens: u32,
    /// Random bits of this opening: two processes over copies of one directory count alike and differ here.
    pub nonce: u32,
}

/// What a member says of itself; it changes only with an opening of its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Where it is reached; opaque here, 1 to [`limits::GOSSIP_ADDRESS_MAX`] bytes.
    pub address: Vec<u8>,
    /// Its zone; 0 for none.
    pub zone: u32,
    /// The generation of its data directory; 0 if it is not known.
    pub generation: u64,
    /// The random bits of the opening that this describes; 0 if they are not known.
    pub nonce: u32,
}

impl Description {
    /// ```text
    /// u32 nonce | u64 generation | u32 zone | counted name | counted address
    /// ```
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nonce.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.zone.to_le_bytes());
        put_bytes(out, self.name.as_bytes());
        put_bytes(out, &self.address);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Description, WireError> {
        let nonce = reader.u32("nonce")?;
        let generation = reader.u64("generation")?;
        let zone = reader.u32("zone")?;
        let name = reader.bytes(limits::NAME_MAX, "name")?;
        let name = core::str::from_utf8(name).map_err(|_| WireError { what: "name" })?;
        let address = reader.bytes(limits::GOSSIP_ADDRESS_MAX, "address")?;
        if !name_is_valid(name) || address.is_empty() {
            return Err(WireError { what: "description" });
        }
        Ok(Description { name: name.to_owned(), address: address.to_vec(), zone, generation, nonce })
    }
}

/// A member to begin with: of a list that was given, or of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who it is.
    pub description: Description,
    /// The last life that was heard of; zeros for none.
    pub incarnation: Incarnation,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Member {
    /// The keyed hash of its name.
    pub id: MemberId,
    /// What it says of itself, in the boot that `incarnation` names.
    pub description: Description,
    /// The life that the verdict is about. Changed by the table only, which sums it up.
    pub(super) incarnation: Incarnation,
    /// The verdict. Changed by the table only.
    pub(super) verdict: Verdict,
    /// Open while the verdict is `Suspect`.
    pub(super) suspicion: Option<Box<Suspicion>>,
    /// Datagrams taken from this boot.
    pub(super) window: Window,
    /// What came from the boot before it since: a process that should be gone.
    pub(super) ghost: Ghost,
    /// Lives up to this one were of a directory that it has no more: a datagram of one proves nothing.
    pub(super) former: u32,
    /// The opening before this one, as streams told them: it does not come back.
    pub(super) replaced: Boot,
    /// When it was down and returned.
    pub(super) returns: Option<Box<Returns>>,
    /// The layout that it was last said to have (version and hash mixed); 0 for ours.
    pub(super) layout: u64,
    /// No alert about it before.
    pub(super) quiet_until: Instant,
}

/// Signs that an older boot of a member is still alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ghost {
    /// Its open count.
    pub opens: u32,
    /// Its highest counter.
    pub highest: u64,
    /// Datagrams with a counter above any, each later than the last by at least half a second.
    pub signs: u32,
    /// When the last one came.
    pub at: Instant,
}

impl Member {
    /// A row about which nothing was heard yet.
    pub(super) fn new(
        id: MemberId,
        description: Description,
        incarnation: Incarnation,
        verdict: Verdict,
    ) -> Self {
        Member {
            id,
            description,
            incarnation,
            verdict,
            suspicion: None,
            window: Window::default(),
            ghost: Ghost::default(),
            former: 0,
            replaced: Boot::default(),
            returns: None,
            layout: 0,
            quiet_until: Instant::ZERO,
        }
    }

    /// A newer boot begins. What still comes from the one before is looked at for signs of life.
    pub(super) fn end_boot(&mut self, now: Instant) {
        let (opens, highest) = (self.incarnation.opens, self.window.highest());
        self.ghost = Ghost { opens, highest, signs: 0, at: now };
        self.window = Window::default();
    }

    /// The verdict on it.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The life that the verdict is about.
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether it came and went too often of late: reads should avoid it.
    pub fn is_unsteady(&self, now: Instant) -> bool {
        self.returns.as_ref().is_some_and(|returns| returns.until() > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_more_than_a_member_can_do_unheard() {
        let known = Incarnation { opens: 7, bumps: 5 };
        let (opens, bumps) = (limits::GOSSIP_OPENS_JUMP_MAX, limits::GOSSIP_BUMPS_JUMP_MAX);
        let table = [
            (7, 5 + bumps, false),
            (7, 6 + bumps, true),
            (7 + opens, bumps, false),
            (7 + opens, 1 + bumps, true),
            (8 + opens, 0, true),
            (6, u32::MAX, false),
            (u32::MAX, 0, true),
        ];
        for (opens, bumps, jump) in table {
            let incarnation = Incarnation { opens, bumps };
            assert_eq!(incarnation.is_jump_from(known), jump, "{incarnation:?}");
        }
    }
}
