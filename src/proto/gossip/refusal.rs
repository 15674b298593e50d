//! Why a datagram, or a part of what it says, was not taken.

use core::fmt;

/// Why something was refused. Nothing was changed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refusal {
    /// Too short, too long, or not ours.
    Foreign,
    /// Of another version of the protocol.
    Version,
    /// Of another cluster.
    Cluster,
    /// Sealed under a key that the ring does not hold.
    Key,
    /// Its MAC does not hold.
    Forged,
    /// Authentic, and not to be read.
    Malformed,
    /// For another member.
    Misdirected,
    /// Our own, come back: the address is ours.
    Echo,
    /// Of an era that is over.
    Era,
    /// Taken before, too late to tell, or of a boot that is over.
    Replayed,
    /// Of nobody who is known or introduces itself.
    Stranger,
    /// Of a second live process with a member's name and a copy of its directory.
    Twin,
    /// A rumour of a life that no member can have come to.
    Incarnation,
    /// A member of a generation that was removed from the cluster.
    Removed,
    /// One member more than the table holds.
    Full,
}

/// Every reason, with the name it is counted under.
const NAMES: [(Refusal, &str); 15] = [
    (Refusal::Foreign, "gossip_refused_foreign"),
    (Refusal::Version, "gossip_refused_version"),
    (Refusal::Cluster, "gossip_refused_cluster"),
    (Refusal::Key, "gossip_refused_key"),
    (Refusal::Forged, "gossip_refused_forged"),
    (Refusal::Malformed, "gossip_refused_malformed"),
    (Refusal::Misdirected, "gossip_refused_misdirected"),
    (Refusal::Echo, "gossip_refused_echo"),
    (Refusal::Era, "gossip_refused_era"),
    (Refusal::Replayed, "gossip_refused_replayed"),
    (Refusal::Stranger, "gossip_refused_stranger"),
    (Refusal::Twin, "gossip_refused_twin"),
    (Refusal::Incarnation, "gossip_refused_incarnation"),
    (Refusal::Removed, "gossip_refused_removed"),
    (Refusal::Full, "gossip_refused_full"),
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Foreign => "no datagram of ours",
            Refusal::Version => "another version of the protocol",
            Refusal::Cluster => "another cluster",
            Refusal::Key => "sealed under an unknown key",
            Refusal::Forged => "the MAC does not hold",
            Refusal::Malformed => "authentic, and malformed",
            Refusal::Misdirected => "for another member",
            Refusal::Echo => "our own",
            Refusal::Era => "of an era that is over",
            Refusal::Replayed => "taken before, or of a boot that is over",
            Refusal::Stranger => "the sender is not known",
            Refusal::Twin => "a second process with one member's name",
            Refusal::Incarnation => "an incarnation that cannot be",
            Refusal::Removed => "a generation that was removed",
            Refusal::Full => "the member table is full",
        })
    }
}

impl std::error::Error for Refusal {}

/// How often each reason was met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals([u64; NAMES.len()]);

impl Refusals {
    pub(super) fn count(&mut self, refusal: Refusal) {
        self.0[refusal as usize] += 1;
    }

    /// How often this one was met.
    pub fn of(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize]
    }

    /// All of them by name, in a fixed order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().map(|&(refusal, name)| (name, self.of(refusal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_its_own_name() {
        for (at, (refusal, _)) in NAMES.iter().enumerate() {
            assert_eq!(*refusal as usize, at);
        }
    }
}
