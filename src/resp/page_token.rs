//! The cursor of `Q.SCAN`: where the next page begins, as text that is given back as it came.
//!
//! ```text
//! version u8 = 1 | keyspace u16 | layout version u64 | next prefix u64 | crc32c u32 of these, in base64url
//! ```
//!
//! A place in a keyspace is a position, which no layout changes: so a token of an earlier layout is good, and the
//! answer says that the layout is another one. `0` begins, and says that there is no further page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::session::Refusal;

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
    /// As text.
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.keyspace.to_le_bytes());
        bytes.extend_from_slice(&self.layout_version.to_le_bytes());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From its text; `None` is the beginning.
    ///
    /// # Errors
    /// It is no token, or one of another keyspace.
    pub fn from_text(text: &[u8], keyspace: u16) -> Result<Option<PageToken>, Refusal> {
        if text == b"0" {
            return Ok(None);
        }
        let token = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| PageToken::read(&bytes));
        match token {
            None => Err("ERR invalid cursor: it is neither 0 nor what a page of Q.SCAN gave".into()),
            Some(token) if token.keyspace != keyspace => {
                Err(format!("ERR invalid cursor: it is of keyspace {}", token.keyspace).into())
            }
            Some(token) => Ok(Some(token)),
        }
    }

    fn read(bytes: &[u8]) -> Option<PageToken> {
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
        let text = token.text();
        assert_eq!(PageToken::from_text(text.as_bytes(), 3), Ok(Some(token)));
        for at in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(PageToken::from_text(&bent, 3).is_err(), "bent at {at}");
            assert!(PageToken::from_text(&text.as_bytes()[..at], 3).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn zero_is_the_beginning_and_another_keyspace_is_refused() {
        assert_eq!(PageToken::from_text(b"0", 3), Ok(None));
        let text = PageToken { keyspace: 3, layout_version: 1, next: 9 }.text();
        let refusal = PageToken::from_text(text.as_bytes(), 4).unwrap_err();
        assert_eq!(refusal, Refusal::from("ERR invalid cursor: it is of keyspace 3".to_owned()));
    }
}
