//! Dots and contexts as text, the same in RESP replies, in error lines and on the command line.
//!
//! A dot is `generation.nonce.number:counter`, lower-case hexadecimal without leading zeros, the counter
//! too: its actor's data directory, the epoch's nonce and number, and which of the actor's events it is.
//! A context is its token in base64url without padding. Neither is ever changed: scripts compare them.

use core::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::proto::limits::CONTEXT_MAX;
use crate::proto::version::Dot;

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
