//! Bytes, written and read with every check: little-endian integers, varints, counted byte strings.
//!
//! Nothing is reserved by an announced length: a [`Reader`] only hands out slices of what is there.

use core::fmt;

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    /// What was being read.
    pub what: &'static str,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad {}", self.what)
    }
}

impl std::error::Error for WireError {}

/// Appends the varint form (LEB128) of `value`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a varint length, then the bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes left over.
    ///
    /// # Errors
    /// Names `what` if any byte is left.
    pub fn end(&self, what: &'static str) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError { what }) }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Names `what` if fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError { what })?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const COUNT: usize>(&mut self, what: &'static str) -> Result<[u8; COUNT], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError { what })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// Names `what` at the end.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// The next two bytes.
    ///
    /// # Errors
    /// Names `what` at the end.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// Names `what` at the end.
    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// Names `what` at the end.
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// The next varint, in its shortest form only, so that equal values have equal bytes.
    ///
    /// # Errors
    /// Names `what` if it is cut off, longer than 64 bits, or not the shortest form.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err(WireError { what });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError { what })
    }

    /// The next counted byte string, of at most `max` bytes.
    ///
    /// # Errors
    /// Names `what` if it is cut off or longer.
    #[inline]
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint(what)?).map_err(|_| WireError { what })?;
        if length > max {
            return Err(WireError { what });
        }
        self.take(length, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_have_one_form() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint("number"), Ok(value));
            assert_eq!(reader.end("number"), Ok(()));
            for cut in 0..bytes.len() {
                assert!(Reader::new(&bytes[..cut]).varint("number").is_err());
            }
        }
        for bytes in
            [&[0x80, 0x00][..], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Reader::new(bytes).varint("number").is_err());
        }
    }

    #[test]
    fn an_announced_length_over_the_bound_or_the_bytes_is_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        bytes.extend_from_slice(b"abc");
        assert_eq!(Reader::new(&bytes).bytes(usize::MAX, "key"), Err(WireError { what: "key" }));
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, b"abc");
        assert_eq!(Reader::new(&bytes).bytes(3, "key"), Ok(&b"abc"[..]));
        assert!(Reader::new(&bytes).bytes(2, "key").is_err());
    }
}
