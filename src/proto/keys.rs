//! What a cluster derives from its name and secret key: its id, and one key per purpose.
//!
//! Every member computes the same values from (name, key) alone, never from the member list, so three
//! processes that share a config file need not talk before they agree.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24x128};

use super::io::MemberId;

/// A 128-bit key for one purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 16]);

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// SipHash-2-4-128 of `parts` laid end to end, as a number.
    pub fn hash128(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher24x128::new_with_key(&self.0);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// SipHash-2-4 of `parts` laid end to end.
    pub fn hash64(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// The keys and the id of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterKeys {
    /// Names the cluster in every message.
    pub cluster_id: u64,
    /// Positions and item hashes.
    pub hash: Key,
    /// MACs of context tokens.
    pub token: Key,
    /// Proofs and MACs of peer streams.
    pub session: Key,
    /// MACs of membership's datagrams, unless a keyring holds others.
    pub gossip: Key,
    /// Seed of the `tokens` placement.
    pub placement: Key,
}

impl ClusterKeys {
    /// The key that stands in when an operator gives none: public, so good for loopback only.
    pub const PUBLIC: [u8; 32] = *b"quorate: public key for loopback";

    /// Derives everything from a cluster's name and its 32-byte secret, one label each. SipHash-2-4-128
    /// is a PRF: the secret's first half keys it, the second half is part of its input.
    pub fn derive(cluster: &str, secret: &[u8; 32]) -> ClusterKeys {
        let (low, high) = secret.split_at(16);
        let root = Key(low.try_into().expect("half of 32 bytes"));
        let derive = |label: &str| {
            let length = (label.len() as u64).to_le_bytes();
            root.hash128(&[high, &length, label.as_bytes(), cluster.as_bytes()])
        };
        let key = |label| Key(derive(label).to_le_bytes());
        ClusterKeys {
            cluster_id: derive("cluster id") as u64,
            hash: key("hash"),
            token: key("token"),
            session: key("session"),
            gossip: key("gossip"),
            placement: key("placement"),
        }
    }

    /// The id of the member with this name: the same on every node of the cluster, before they ever met.
    pub fn member_id(&self, name: &str) -> MemberId {
        MemberId(self.placement.hash64(&[b"member\0", name.as_bytes()]))
    }
}
