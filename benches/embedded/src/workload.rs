//! What is stored: keys of 16 bytes in random order, values that no engine can compress.
//!
//! Everything follows from a number, so that a process can ask for what another one stored, and nothing
//! of it takes memory that an engine would be blamed for.

use quorate::proto::rng::Rng;

/// A key.
pub type Key = [u8; 16];

/// Bytes of a value, unless a row says otherwise.
pub const VALUE_LENGTH: usize = 100;
/// Puts in one unsynced commit.
pub const BATCH: u64 = 100;
/// Keys in one batched get.
pub const GETS: usize = 32;

/// Where values begin in the pool: it stays in the processor's cache, as a request's buffer does.
const POOL: usize = 1 << 20;
const VALUE_MAX: usize = 256;

/// The key of a number. Numbers from the count of stored keys on are the absent ones.
pub fn key(number: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(number).to_be_bytes());
    key[8..].copy_from_slice(&mix(!number).to_be_bytes());
    key
}

/// One to one on 64 bits, and no two neighbours stay near each other.
pub fn mix(number: u64) -> u64 {
    Rng::new(number).next_u64()
}

/// Random bytes to cut values from.
pub struct Values(Vec<u8>);

impl Values {
    /// The pool, every page of it touched.
    pub fn new() -> Values {
        let mut rng = Rng::new(7);
        let words = (0..(POOL + VALUE_MAX) / 8).flat_map(|_| rng.next_u64().to_le_bytes());
        Values(words.collect())
    }

    /// A value of the usual length; another one for nearly every `draw`.
    pub fn at(&self, draw: u64) -> &[u8] {
        self.cut(draw, VALUE_LENGTH)
    }

    /// A value of at most 256 bytes.
    pub fn cut(&self, draw: u64, length: usize) -> &[u8] {
        let start = mix(draw) as usize % POOL;
        &self.0[start..start + length]
    }
}

/// The numbers below `count`, each once, far from their order.
pub fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    let step = (count * 5 / 8..).find(|step| *step > 0 && divisor(*step, count) == 1).unwrap_or(1);
    (0..count).map(move |at| (u128::from(at) * u128::from(step) % u128::from(count.max(1))) as u64)
}

/// `draws` numbers below `count`, drawn anew each time.
pub fn random(count: u64, draws: u64, seed: u64) -> impl Iterator<Item = u64> {
    let mut rng = Rng::new(seed);
    (0..draws).map(move |_| rng.below(count))
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_names_each_number_once() {
        for count in [0, 1, 2, 7, 100, 1_000] {
            let mut numbers: Vec<u64> = shuffled(count).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..count), "{count}");
        }
    }
}
