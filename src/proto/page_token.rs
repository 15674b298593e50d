//! Where the next page of a scan begins, as bytes that a client gives back as they came.
//!
//! ```text
//! version u8 = 1 | keyspace u16 | layout version u64 | next prefix u64 | crc32c u32 of these
//! ```
//!
//! A place in a keyspace is a position, which no layout changes: so a token of an earlier layout is good, and the
//! answer says that the layout is another one.

const VERSION: u8 = 1;
const LENGTH: usize = 23;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// The keyspace that it is of.
    pub keyspace: u16,
    /// The layout under which the page before was made.
    pub layout_version: u64,
    /// The first prefix of the page.
    pub next: u64,
}

impl PageToken {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.keyspace.to_le_bytes());
        bytes.extend_from_slice(&self.layout_version.to_le_bytes());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// From its bytes; `None` if they are no token.
    pub fn read(bytes: &[u8]) -> Option<PageToken> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        let (&version, rest) = body.split_first()?;
        let (keyspace, rest) = rest.split_first_chunk()?;
        let (layout_version, rest) = rest.split_first_chunk()?;
        let is_ours = version == VERSION && u32::from_le_bytes(*checksum) == crc32c::crc32c(body);
        is_ours.then_some(PageToken {
            keyspace: u16::from_le_bytes(*keyspace),
            layout_version: u64::from_le_bytes(*layout_version),
            next: u64::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went_and_no_bent_one_does() {
        let token = PageToken { keyspace: 3, layout_version: 1 << 40, next: u64::MAX - 1 };
        let bytes = token.to_bytes();
        assert_eq!(PageToken::read(&bytes), Some(token));
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert_eq!(PageToken::read(&bent), None, "bent at {at}");
            assert_eq!(PageToken::read(&bytes[..at]), None, "cut at {at}");
        }
    }
}
