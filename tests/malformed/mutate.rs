//! Bends bytes: what a broken sender, a broken network or an attacker makes of a good message. Every
//! step is drawn from the generator it is handed, so the same generator bends the same way.

use quorate::proto::rng::Rng;

/// Values at which a length, a count or an id goes wrong.
const BOUNDARIES: [u64; 18] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

/// Varints: the largest, one bit too many, one byte too many, overlong, never ending.
const VARINTS: [&[u8]; 7] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x00",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
    b"\x80\x80\x80\x80\x08",
    b"\xff\xff\xff\xff\x07",
];

/// A number below `bound`, as an index; 0 if there is none.
pub fn pick(rng: &mut Rng, bound: usize) -> usize {
    if bound == 0 { 0 } else { rng.below(bound as u64) as usize }
}

/// One of these.
pub fn one_of<'a, T>(rng: &mut Rng, values: &'a [T]) -> &'a T {
    &values[pick(rng, values.len())]
}

/// So many random bytes.
pub fn noise(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.next_u64() as u8).collect()
}

/// A number at which things go wrong.
pub fn boundary(rng: &mut Rng) -> u64 {
    if rng.one_in(4) { u64::MAX } else { *one_of(rng, &BOUNDARIES) }
}

/// Bends bytes in one to three steps. `other` is another good message, for splices.
pub fn bend(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + pick(rng, 3) {
        step(rng, bytes, other);
    }
}

fn step(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = pick(rng, bytes.len());
    match rng.below(12) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
        2 if !bytes.is_empty() => bytes[at] = boundary(rng) as u8,
        3 => {
            let length = 1 + pick(rng, 8);
            let inserted = noise(rng, length);
            bytes.splice(at..at, inserted);
        }
        4 => {
            let end = (at + 1 + pick(rng, 8)).min(bytes.len());
            bytes.drain(at..end);
        }
        // A field twice.
        5 => {
            let end = (at + 1 + pick(rng, 24)).min(bytes.len());
            let field = bytes[at..end].to_vec();
            bytes.splice(at..at, field);
        }
        // A fixed-width length, count or id.
        6 => {
            let width = *one_of(rng, &[2, 4, 8]);
            let value = boundary(rng).to_le_bytes();
            let end = (at + width).min(bytes.len());
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        7 => {
            let varint = *one_of(rng, &VARINTS);
            let end = (at + pick(rng, 3)).min(bytes.len());
            bytes.splice(at..end, varint.iter().copied());
        }
        8 => bytes.truncate(at),
        9 => {
            let length = 1 + pick(rng, 16);
            bytes.extend(noise(rng, length));
        }
        // The head of one message and the tail of another.
        10 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[pick(rng, other.len())..]);
        }
        _ => {
            let end = (at + 1 + pick(rng, 16)).min(bytes.len());
            bytes[at..end].reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bending_repeats_itself_and_takes_anything() {
        for seed in 0..2_000 {
            let length = seed as usize % 40;
            let bent = |mut rng: Rng| {
                let mut bytes = vec![7; length];
                bend(&mut rng, &mut bytes, b"another");
                bytes
            };
            assert_eq!(bent(Rng::new(seed)), bent(Rng::new(seed)));
        }
    }
}
