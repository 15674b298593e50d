//! Numbers that outlive a restart: generations, epochs, sequences, hybrid timestamps.
//!
//! Epochs and sequences are leased: a bound is on disk before any number below it is used. The bound is
//! moved on in the background when half of it is left, so that nobody waits; where it was not moved in time
//! the caller is told to come back. The bound of hybrid timestamps is moved on the same way, but not waited
//! for: it only keeps a wall clock that went back over a restart from being believed.

use crate::proto::limits::{EPOCH_LEASE, HLC_LEASE_MS};
use crate::proto::store::{Identity, OPENINGS_KEPT, Sequence};
use crate::store::directory::Leases;
use crate::store::directory::{Contents, IdentityRecord};
use crate::store::disk::{Disk, Place};
use crate::store::recovery::Recovered;

use super::LogStore;

/// Sequences leased to disk at one time.
pub(super) const SEQUENCE_LEASE: u64 = 1 << 26;
/// How far beyond the timestamp that was issued the bound of hybrid timestamps lies.
const HLC_LEASE: u64 = HLC_LEASE_MS << 16;

/// Who the store is from now on: what it tells the core, and what the identity file must say before
/// anything is appended.
pub(super) fn identify<F>(
    contents: &Contents,
    recovered: &Recovered<F>,
    hlc_now: u64,
    random: &mut dyn FnMut() -> u64,
) -> (Identity, IdentityRecord) {
    let before = contents.identity.as_ref();
    let was_moved = before.is_some_and(|before| differs(before.place, contents.place));
    let generation = match before {
        Some(before) if !was_moved => before.generation,
        _ => random(),
    };
    let opens = before.map_or(0, |before| before.opens) + 1;
    // Epochs in the records of a store that lost its identity file stay below its floor: whatever it issues
    // under its new generation from now on, it must know the next time.
    let lost = Leases { epoch_end: recovered.epoch_end, ..Leases::default() };
    let leases = before.map_or(lost, |before| before.leases);
    // After a clean stop the lease ends where its use did. Without an identity file nobody knows what was
    // given out beyond what was found, but the generation is a new one then.
    let next_sequence = leases.sequence_end.max(recovered.last.0 + 1);
    // A clean stop makes the epochs of that opening trustworthy, not those of an opening before it that
    // lost its tail: once below the floor, an epoch stays there.
    let epoch_floor =
        if recovered.is_clean { before.map_or(0, |before| before.epoch_floor) } else { leases.epoch_end };
    let nonce = random();
    let earlier = before.map_or([0; OPENINGS_KEPT], |before| before.nonces);
    let mut nonces = earlier;
    nonces.rotate_right(1);
    nonces[0] = nonce;
    let identity = Identity {
        generation,
        opens,
        nonce,
        earlier,
        clean: recovered.is_clean,
        epoch_floor,
        recovered: recovered.last,
        hlc_bound: leases.hlc_bound,
    };
    let leases = Leases {
        epoch_end: leases.epoch_end + EPOCH_LEASE,
        sequence_end: next_sequence + SEQUENCE_LEASE,
        hlc_bound: match hlc_now {
            0 => leases.hlc_bound,
            now => now.max(leases.hlc_bound) + HLC_LEASE,
        },
    };
    // After an unclean stop numbering leaves a gap, and who followed the changes may have seen some that
    // were lost (trap T19).
    let sequence_floor =
        if recovered.is_clean { before.map_or(0, |before| before.sequence_floor) } else { next_sequence };
    let place = contents.place;
    (identity, IdentityRecord { generation, opens, leases, epoch_floor, sequence_floor, place, nonces })
}

/// Whether a directory lies elsewhere than it did. What has no name is not compared.
fn differs(before: Place, now: Place) -> bool {
    let differ = |before, now| before != 0 && now != 0 && before != now;
    differ(before.machine, now.machine) || differ(before.inode, now.inode)
}

impl<D: Disk> LogStore<D> {
    /// Asks for the leases in `self.record` to be put on disk.
    fn renew(&mut self, change: impl FnOnce(&mut Leases)) {
        change(&mut self.record.leases);
        self.shared.write_identity(self.record);
    }

    pub(super) fn next_epoch_number(&mut self) -> Option<u64> {
        let end = self.shared.leases().epoch_end;
        let left = end.saturating_sub(self.next_epoch);
        // One request at a time: the record is ahead of the disk while one is on its way.
        if left <= EPOCH_LEASE / 2 && self.record.leases.epoch_end <= end {
            let next = end + EPOCH_LEASE;
            self.renew(|leases| leases.epoch_end = next);
        }
        if left == 0 {
            self.shared.retry();
            return None;
        }
        self.next_epoch += 1;
        Some(self.next_epoch - 1)
    }

    /// The next sequence, of which `count` may be used in a row; `None` if the lease is used up.
    pub(super) fn next_sequences(&mut self, count: u64) -> Option<Sequence> {
        let end = self.shared.leases().sequence_end;
        let next = self.last.0 + 1;
        let left = end.saturating_sub(next);
        if left <= SEQUENCE_LEASE / 2 && self.record.leases.sequence_end <= end {
            let end = end + SEQUENCE_LEASE;
            self.renew(|leases| leases.sequence_end = end);
        }
        if left < count {
            self.shared.retry();
            return None;
        }
        Some(Sequence(next))
    }

    pub(super) fn lease_hlc(&mut self, hlc: u64) {
        let bound = self.shared.leases().hlc_bound;
        if hlc.saturating_add(HLC_LEASE / 2) > bound && self.record.leases.hlc_bound <= bound {
            self.renew(|leases| leases.hlc_bound = hlc.saturating_add(HLC_LEASE));
        }
        self.hlc_used = self.hlc_used.max(hlc);
    }
}
