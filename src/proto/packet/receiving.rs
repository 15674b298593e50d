//! What came of a stream: handed on in order, each byte once; what came early is held, within a bound.

use std::collections::BTreeMap;

use crate::proto::limits::{PACKET_HELD_MAX, PACKET_ROOM};

/// The receiving half of a channel.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// All bytes before this place were handed on.
    next: u64,
    /// What came early, by where it begins; parts may overlap.
    held: BTreeMap<u64, Vec<u8>>,
    held_bytes: usize,
}

impl Receiving {
    /// The first place that has not come.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes bytes from a place of the stream on, and hands on what is next.
    pub(super) fn take(&mut self, offset: u64, bytes: &[u8], take: &mut dyn FnMut(&[u8])) {
        if offset > self.next {
            return self.hold(offset, bytes);
        }
        self.hand_on(offset, bytes, take);
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() <= self.next) {
            let (offset, bytes) = first.remove_entry();
            self.held_bytes -= bytes.len();
            self.hand_on(offset, &bytes, take);
        }
    }

    fn hand_on(&mut self, offset: u64, bytes: &[u8], take: &mut dyn FnMut(&[u8])) {
        let seen = if planted!("packet_doubled") { 0 } else { self.next - offset };
        let fresh = usize::try_from(seen).ok().and_then(|seen| bytes.get(seen..)).unwrap_or_default();
        if !fresh.is_empty() {
            self.next += fresh.len() as u64;
            take(fresh);
        }
    }

    /// What goes beyond the bounds is dropped, as if it had not come: its sender was told of them.
    fn hold(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        let is_known = self.held.get(&offset).is_some_and(|held| held.len() >= bytes.len());
        if bytes.is_empty() || is_known || end > self.next + PACKET_ROOM {
            return;
        }
        if self.held.len() >= PACKET_HELD_MAX || (self.held_bytes + bytes.len()) as u64 > PACKET_ROOM {
            return;
        }
        self.held_bytes += bytes.len();
        if let Some(shorter) = self.held.insert(offset, bytes.to_vec()) {
            self.held_bytes -= shorter.len();
        }
    }

    /// Writes where what came early begins and ends, the first runs of it; returns how many.
    pub(super) fn ranges(&self, into: &mut [(u64, u64)]) -> usize {
        let (room, mut count) = (into.len(), 0);
        for (&start, bytes) in &self.held {
            let end = start + bytes.len() as u64;
            match into[..count].last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ if count == room => break,
                _ => {
                    into[count] = (start, end);
                    count += 1;
                }
            }
        }
        count
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}
