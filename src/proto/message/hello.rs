//! How a node introduces itself, and what it tells the other of the other's own past (trap T3).

use crate::proto::wire::{Reader, WireError};

/// A node's introduction to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Random bits of this opening of its data directory.
    pub boot: u64,
    /// The data directory's generation.
    pub generation: u64,
    /// How often the directory was opened.
    pub opens: u64,
    /// The highest sequence handed out.
    pub sequence: u64,
    /// The layout's hash.
    pub layout_hash: u64,
    /// What the sender remembers of the receiver.
    pub seen: Option<Seen>,
    /// Whether the receiver is asked to introduce itself too; if not, the sender has heard what it remembers.
    pub answer: bool,
}

/// What one node remembers of another's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The generation bound to its name.
    pub generation: u64,
    /// Its highest open count seen.
    pub opens: u64,
    /// The random bits of that opening.
    pub boot: u64,
    /// Its highest sequence seen under it.
    pub sequence: u64,
}

impl Hello {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.boot, self.generation, self.opens, self.sequence, self.layout_hash] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.push(u8::from(self.seen.is_some()) | u8::from(self.answer) << 1);
        if let Some(seen) = self.seen {
            for field in [seen.generation, seen.opens, seen.boot, seen.sequence] {
                out.extend_from_slice(&field.to_le_bytes());
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Hello, WireError> {
        let boot = reader.u64("boot")?;
        let generation = reader.u64("generation")?;
        let opens = reader.u64("open count")?;
        let sequence = reader.u64("sequence")?;
        let layout_hash = reader.u64("layout hash")?;
        let flags = reader.u8("hello flags")?;
        if flags > 3 {
            return Err(WireError { what: "hello flags" });
        }
        let seen = if flags & 1 == 0 {
            None
        } else {
            let generation = reader.u64("remembered generation")?;
            let opens = reader.u64("remembered open count")?;
            let boot = reader.u64("remembered boot")?;
            Some(Seen { generation, opens, boot, sequence: reader.u64("remembered sequence")? })
        };
        Ok(Hello { boot, generation, opens, sequence, layout_hash, seen, answer: flags & 2 != 0 })
    }
}
