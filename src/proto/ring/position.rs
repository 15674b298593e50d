//! Where a key lies: its position in the hash space, and the partition its top bits choose.
//!
//! ```text
//!  127          112 111                                       0
//! ┌────────────────┬───────────────────────────────────────────┐
//! │ keyspace + tag │              keyspace + whole key         │
//! └────────────────┴───────────────────────────────────────────┘
//!   partition: the top log2(Q) ≤ 16 bits
//! ```
//!
//! Keys that share a `{tag}` share the upper part and so their partition; the lower part still tells
//! them apart (trap T15: a tag must not put a hundred thousand keys on one point).

use super::super::keys::Key;

/// Bits of a position that a tag decides; Q is at most two to this power.
const TAG_BITS: u32 = 16;

/// The position of a key: 16 bits of the hash of (keyspace, tag or key), then 112 bits of the hash of
/// (keyspace, whole key), under the cluster's hash key, so nobody outside can aim keys at one partition.
///
/// A key without a tag costs one hash, as both parts come from the same one.
pub fn position(hash_key: &Key, keyspace: u16, key: &[u8]) -> u128 {
    let keyspace = keyspace.to_le_bytes();
    let whole = hash_key.hash128(&[&keyspace, key]);
    match tag(key) {
        None => whole,
        Some(tag) => {
            let below = u128::MAX >> TAG_BITS;
            (hash_key.hash128(&[&keyspace, tag]) & !below) | (whole & below)
        }
    }
}

/// The part of a key that decides its partition, as Redis Cluster defines it: what stands between the
/// first `{` and the first `}` after it, unless that is nothing. `None` if the whole key decides.
pub fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

/// The partition of a position: its top `log2(partitions)` bits. `partitions` is a power of two up to
/// 65,536, as [`Config::check`](super::super::config::Config::check) made sure.
pub fn partition(position: u128, partitions: u32) -> u16 {
    debug_assert!(partitions.is_power_of_two() && partitions <= 1 << TAG_BITS);
    let top = (position >> 64) as u64;
    // A rotation stands where a shift by 64 would overflow for a single partition.
    (top.rotate_left(partitions.trailing_zeros()) & u64::from(partitions - 1)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Key = Key(*b"a key for tests.");

    #[test]
    fn a_tag_is_what_redis_cluster_says() {
        let table: [(&[u8], Option<&[u8]>); 12] = [
            (b"", None),
            (b"plain", None),
            (b"{user1000}.following", Some(b"user1000")),
            (b"foo{}{bar}", None),
            (b"foo{{bar}}zap", Some(b"{bar")),
            (b"foo{bar}{zap}", Some(b"bar")),
            (b"{}", None),
            (b"open{", None),
            (b"open{never closed", None),
            (b"}before{a}", Some(b"a")),
            (b"a}b", None),
            (b"{\0}", Some(b"\0")),
        ];
        for (key, expected) in table {
            assert_eq!(tag(key), expected, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn partition_is_the_top_bits() {
        let position = 0xABCD_u128 << 112;
        for (partitions, expected) in [(1, 0), (2, 1), (16, 0xA), (256, 0xAB), (65_536, 0xABCD)] {
            assert_eq!(partition(position, partitions), expected, "Q = {partitions}");
        }
        assert_eq!(partition(u128::MAX >> 16, 65_536), 0, "lower bits have no say");
        assert_eq!(partition(u128::MAX, 65_536), 65_535);
    }

    #[test]
    fn positions_never_change() {
        // Positions lie on disks: whoever changes this changes the format.
        assert_eq!(position(&KEY, 0, b"key"), POSITION_OF_KEY);
        assert_eq!(position(&KEY, 0, b"{tag}key"), POSITION_OF_TAGGED);
    }

    const POSITION_OF_KEY: u128 = 0x0B87_B50D_3B01_DF4D_02A7_4AE9_D7A2_5445;
    const POSITION_OF_TAGGED: u128 = 0x7B3E_4E1C_9A20_B9D7_04D0_29FD_7538_520D;

    proptest! {
        #[test]
        fn keys_of_one_tag_share_a_partition_and_nothing_else(
            tag in "[a-z]{1,8}", one in "[a-z]{0,8}", two in "[A-Z]{1,8}", keyspace in 0..16_u16,
        ) {
            let of = |text: String| position(&KEY, keyspace, text.as_bytes());
            let (first, second) = (of(format!("{{{tag}}}{one}")), of(format!("{two}{{{tag}}}")));
            prop_assert_eq!(first >> 112, second >> 112);
            prop_assert_ne!(first, second);
            prop_assert_eq!(of(tag.clone()) >> 112, first >> 112, "the tag alone lies there too");
        }

        #[test]
        fn keyspaces_spread_apart(key in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_ne!(position(&KEY, 0, &key), position(&KEY, 1, &key));
        }
    }

    #[test]
    fn keys_spread_evenly() {
        let mut counts = [0_u32; 16];
        for number in 0..16_000_u32 {
            let position = position(&KEY, 0, format!("key:{number}").as_bytes());
            counts[usize::from(partition(position, 16))] += 1;
        }
        // A thousand a partition, with a deviation of about 31: eight of them would be a broken hash.
        assert!(counts.iter().all(|&count| count.abs_diff(1_000) < 250), "{counts:?}");
    }
}
