//! Dots, contexts and clients' words as text, the same in RESP replies, in error lines and on the command line.
//!
//! A dot is `generation.nonce.number:counter`, lower-case hexadecimal without leading zeros, the counter
//! too: its actor's data directory, the epoch's nonce and number, and which of the actor's events it is.
//! A context is its token in base64url without padding. Neither is ever changed: scripts compare them.

use core::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::proto::limits::CONTEXT_MAX;
use crate::proto::version::Dot;

/// A client's words as an error line repeats them: no more than so many bytes, and none behind a zero, as Redis
/// has it.
pub fn shown(bytes: &[u8], room: usize) -> String {
    let bytes = &bytes[..bytes.len().min(room)];
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// A dot as text.
pub fn dot_text(dot: &Dot) -> String {
    let mut text = String::with_capacity(48);
    let epoch = dot.actor.epoch;
    let written =
        write!(text, "{:x}.{:x}.{:x}:{:x}", dot.actor.generation, epoch.nonce, epoch.number, dot.counter);
    debug_assert!(written.is_ok(), "a string takes every write");
    text
}

/// A context token as text.
pub fn context_text(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(token)
}

/// A context token from its text; `None` if it is no base64url or longer than a token may be. Whether it
/// belongs to the key is for the node to find out.
pub fn context_from_text(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() > CONTEXT_MAX.div_ceil(3) * 4 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::version::{Actor, Epoch};

    #[test]
    fn a_dot_is_hexadecimal_without_padding() {
        let epoch = Epoch { nonce: u64::MAX, number: 0x10 };
        let dot = Dot { actor: Actor { generation: 0xa, epoch }, counter: 255 };
        assert_eq!(dot_text(&dot), "a.ffffffffffffffff.10:ff");
    }

    #[test]
    fn a_context_comes_back_as_it_went() {
        for length in 0..70 {
            let token: Vec<u8> = (0..length).map(|at| (at * 37) as u8 ^ 0xfb).collect();
            let text = context_text(&token);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
            assert_eq!(context_from_text(text.as_bytes()), Some(token));
        }
    }

    #[test]
    fn what_is_no_context_is_none() {
        let long = vec![b'A'; CONTEXT_MAX.div_ceil(3) * 4 + 1];
        for text in [b"AA==".as_slice(), b"+/+/", b"A", b"AA AA", b"AB", &long] {
            assert_eq!(context_from_text(text), None);
        }
    }
}
