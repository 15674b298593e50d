//! One peer stream: the handshake in which both ends prove that they hold the cluster's key, and after
//! it records that carry whole frames under a MAC. Bytes in, bytes out; nonces are handed in.
//!
//! ```text
//! initiator                                   acceptor
//!   hello: cluster id, nonce, names      ->
//!                                        <-   hello, proof
//!   proof                                ->
//!   sealed records                      <->   sealed records
//!
//! handshake message    "QRTP" | u16 version | u8 kind | u8 level | u16 length | body
//! sealed record        u32 length | 16 B MAC over (counter, length, payload) | payload
//! ```
//!
//! A proof and the two record keys are SipHash-2-4-128 under the session key over the whole transcript,
//! one label for each end, so neither can be reflected, replayed into another stream or used by a third
//! member. Records are counted, so none can be dropped, repeated or reordered unnoticed. The stream is
//! not secret: it is authentic.
//!
//! A hello also says, in the byte behind its kind, which messages its end knows beside those of the first
//! release ([`LEVEL`](super::message::LEVEL)); both speak what the one that knows less does. So nodes of two
//! releases serve one cluster while it is upgraded. (The byte proves nothing: whoever changes it on its way can make
//! a pair say less, as cutting the stream does.)
//!
//! Nothing is allocated by an announced length: the caller's buffer grows with the bytes that came. An end
//! that refuses says why in one last message, which is shown and never trusted.

use core::fmt;
use std::sync::Arc;

use super::config::name_is_valid;
use super::keys::{ClusterKeys, Key};
use super::limits;

/// What is spoken; another number is refused by both ends.
pub const VERSION: u16 = 1;
/// Largest payload of a record: one drain's frames to a peer with an empty queue.
pub const RECORD_MAX: usize = limits::FRAME_MAX + limits::PEER_QUEUE_MAX;
/// Bytes in front of a record's payload.
pub const RECORD_HEADER: usize = 4 + MAC;

const MAGIC: [u8; 4] = *b"QRTP";
const PRELUDE: usize = 10;
const MAC: usize = 16;
const NONCE: usize = 16;
const REASON_MAX: usize = 256;
/// The longest body: a hello with two names, or a refusal.
const BODY_MAX: usize = REASON_MAX;
const _: () = assert!(8 + NONCE + 2 * (1 + limits::NAME_MAX) <= BODY_MAX);

const KIND_HELLO: u8 = 1;
const KIND_PROOF: u8 = 2;
const KIND_REFUSAL: u8 = 3;

/// Who this end is, and whom it will speak to. Shared by all streams of a node.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The cluster's keys.
    pub keys: ClusterKeys,
    /// This member's name.
    pub name: String,
    /// The highest level of messages that it speaks, [`LEVEL`](super::message::LEVEL) but for tests.
    pub level: u8,
    /// The names of all members; `None` lets in whoever holds the cluster's key.
    pub members: Option<Vec<String>>,
}

/// Which end of the stream this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Initiator,
    Acceptor,
}

impl Role {
    const fn other(self) -> Role {
        match self {
            Role::Initiator => Role::Acceptor,
            Role::Acceptor => Role::Initiator,
        }
    }

    const fn label(self) -> &'static [u8] {
        match self {
            Role::Initiator => b"initiator",
            Role::Acceptor => b"acceptor.",
        }
    }
}

/// Keys and counter of one direction.
#[derive(Debug)]
struct Direction {
    key: Key,
    counter: u64,
}

impl Direction {
    /// The MAC of the next record.
    fn next_mac(&mut self, payload: &[u8]) -> [u8; MAC] {
        let length = (payload.len() as u64).to_le_bytes();
        let mac = self.key.hash128(&[&self.counter.to_le_bytes(), &length, payload]);
        self.counter += 1;
        mac.to_le_bytes()
    }
}

#[derive(Debug)]
enum State {
    /// The other end's hello is awaited.
    Hello,
    /// Its proof is awaited.
    Proof { peer: String, is_guest: bool, level: u8, their_nonce: [u8; NONCE] },
    /// Records flow.
    Open { sending: Direction, receiving: Direction },
    /// An error was returned; nothing more is taken.
    Failed,
}

/// One end of a peer stream.
#[derive(Debug)]
pub struct Session {
    identity: Arc<Identity>,
    role: Role,
    /// The member that must answer; an acceptor learns it from the hello.
    expected: Option<String>,
    nonce: [u8; NONCE],
    state: State,
}

/// What a stream's bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// More bytes are needed before anything else can be said.
    Starved,
    /// A handshake message was taken.
    Progress,
    /// Both ends have proved themselves; records may be sealed from now on.
    Established {
        /// The member at the other end.
        peer: String,
        /// The end that connected looked for nobody by name: it is no member, and keeps this stream.
        is_guest: bool,
        /// What both ends know of messages.
        level: u8,
    },
    /// A record was authentic: whole frames of that member.
    Frames(&'a [u8]),
}

/// Why a stream was refused. It must be closed; other streams are not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The first bytes are no greeting of ours.
    Foreign,
    /// The other end speaks another version.
    Version {
        /// What it speaks.
        theirs: u16,
    },
    /// It belongs to another cluster, by name or by key.
    Cluster {
        /// Its cluster id.
        theirs: u64,
        /// Ours.
        ours: u64,
    },
    /// It does not hold the cluster's key.
    Key {
        /// The name it used.
        peer: String,
    },
    /// Its name is not in the member list.
    UnknownMember(String),
    /// It uses this member's own name.
    OwnName(String),
    /// It looks for another member here.
    Misdirected {
        /// Whom it looks for.
        wanted: String,
        /// Who this is.
        ours: String,
    },
    /// Another member than the one that was dialled answered.
    WrongMember {
        /// Who was dialled.
        wanted: String,
        /// Who answered.
        found: String,
    },
    /// A message of the handshake cannot be read.
    Malformed(&'static str),
    /// A record is not authentic: changed, repeated, dropped or reordered on its way.
    Tampered,
    /// A record announces more than any may have.
    TooLong {
        /// What it announces, in bytes.
        length: u64,
    },
    /// The other end refused this one and said why.
    Refused(String),
    /// The stream failed before.
    Failed,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Foreign => f.write_str("what connected does not speak the peer protocol"),
            SessionError::Version { theirs } => {
                write!(f, "peer protocol version {theirs}, version {VERSION} is needed")
            }
            SessionError::Cluster { theirs, ours } => {
                write!(f, "another cluster name or key: cluster id {theirs:016x} instead of {ours:016x}")
            }
            SessionError::Key { peer } => write!(f, "`{peer}` does not hold the cluster's key"),
            SessionError::UnknownMember(name) => write!(f, "`{name}` is not in the member list"),
            SessionError::OwnName(name) => write!(f, "another process uses the name `{name}` too"),
            SessionError::Misdirected { wanted, ours } => {
                write!(f, "the address given for `{wanted}` is that of `{ours}`")
            }
            SessionError::WrongMember { wanted, found } => {
                write!(f, "`{found}` answers at the address of `{wanted}`")
            }
            SessionError::Malformed(what) => write!(f, "malformed handshake: {what}"),
            SessionError::Tampered => f.write_str("a record's MAC does not hold"),
            SessionError::TooLong { length } => {
                write!(f, "a record of {length} bytes is announced, {RECORD_MAX} are allowed")
            }
            SessionError::Refused(why) => write!(f, "refused by the other end: {why}"),
            SessionError::Failed => f.write_str("the stream failed before"),
        }
    }
}

impl std::error::Error for SessionError {}

impl Session {
    /// The end that connects, to reach the member `expected`, or whoever is there if that is empty. Its hello is
    /// appended to `out`. `nonce` must be random and never used before.
    pub fn connect(
        identity: Arc<Identity>,
        expected: &str,
        nonce: [u8; NONCE],
        out: &mut Vec<u8>,
    ) -> Session {
        put_hello(out, &identity, expected, &nonce);
        let expected = (!expected.is_empty()).then(|| expected.to_owned());
        Session { identity, role: Role::Initiator, expected, nonce, state: State::Hello }
    }

    /// The end that was connected to. `nonce` must be random and never used before.
    pub fn accept(identity: Arc<Identity>, nonce: [u8; NONCE]) -> Session {
        Session { identity, role: Role::Acceptor, expected: None, nonce, state: State::Hello }
    }

    /// A number that no other stream has: the first half of its nonce, which the other end is told.
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.nonce[..8].try_into().expect("half of a nonce"))
    }

    /// Whether the handshake is over and records may be sealed.
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Looks at the first bytes of `input`. Returns how many are done with and what they meant; call it
    /// again with the rest until it is [`Event::Starved`]. Answers are appended to `out`.
    ///
    /// # Errors
    /// The stream is not to be trusted: send what is in `out`, then close it.
    pub fn handle_bytes<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Event<'a>), SessionError> {
        let result = match &mut self.state {
            State::Open { receiving, .. } => open_record(receiving, input),
            State::Hello | State::Proof { .. } => self.handshake(input, out),
            State::Failed => return Err(SessionError::Failed),
        };
        if let Err(error) = &result {
            let told = matches!(error, SessionError::Refused(_));
            if !told && !self.is_established() {
                put_refusal(out, error);
            }
            self.state = State::Failed;
        }
        result
    }

    /// Appends a record that carries `frames` to `out`.
    ///
    /// # Panics
    /// Before the stream is established, or if `frames` is empty or over [`RECORD_MAX`].
    pub fn seal(&mut self, frames: &[u8], out: &mut Vec<u8>) {
        assert!(!frames.is_empty() && frames.len() <= RECORD_MAX, "a record of {} bytes", frames.len());
        let State::Open { sending, .. } = &mut self.state else {
            panic!("a record was sealed before the handshake was over")
        };
        out.reserve(RECORD_HEADER + frames.len());
        out.extend_from_slice(&(frames.len() as u32).to_le_bytes());
        out.extend_from_slice(&sending.next_mac(frames));
        out.extend_from_slice(frames);
    }

    /// One message of the handshake.
    fn handshake<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Event<'a>), SessionError> {
        let Some((kind, level, body)) = take_message(input)? else { return Ok((0, Event::Starved)) };
        let taken = PRELUDE + body.len();
        let event = match kind {
            KIND_REFUSAL => return Err(SessionError::Refused(printable(body))),
            KIND_HELLO => self.handle_hello(body, level, out)?,
            KIND_PROOF => self.handle_proof(body, out)?,
            _ => return Err(SessionError::Malformed("unknown kind of message")),
        };
        Ok((taken, event))
    }

    fn handle_hello<'a>(
        &mut self,
        body: &[u8],
        level: u8,
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, SessionError> {
        if !matches!(self.state, State::Hello) {
            return Err(SessionError::Malformed("a second hello"));
        }
        let hello = Hello::read(body)?;
        let identity = &self.identity;
        if hello.cluster_id != identity.keys.cluster_id {
            let (theirs, ours) = (hello.cluster_id, identity.keys.cluster_id);
            return Err(SessionError::Cluster { theirs, ours });
        }
        if hello.name == identity.name {
            return Err(SessionError::OwnName(hello.name.to_owned()));
        }
        if identity.members.as_ref().is_some_and(|members| !members.iter().any(|member| member == hello.name))
        {
            return Err(SessionError::UnknownMember(hello.name.to_owned()));
        }
        if !hello.expected.is_empty() && hello.expected != identity.name {
            let (wanted, ours) = (hello.expected.to_owned(), identity.name.clone());
            return Err(SessionError::Misdirected { wanted, ours });
        }
        if let Some(wanted) = &self.expected
            && wanted != hello.name
        {
            let (wanted, found) = (wanted.clone(), hello.name.to_owned());
            return Err(SessionError::WrongMember { wanted, found });
        }
        let (peer, their_nonce) = (hello.name.to_owned(), hello.nonce);
        if self.role == Role::Acceptor {
            put_hello(out, identity, &peer, &self.nonce);
            let proof = self.derive(b"proof", self.role, &peer, &their_nonce);
            put_message(out, KIND_PROOF, 0, &proof.0);
        }
        let is_guest = match self.role {
            Role::Initiator => self.expected.is_none(),
            Role::Acceptor => hello.expected.is_empty(),
        };
        let level = level.min(self.identity.level);
        self.state = State::Proof { peer, is_guest, level, their_nonce };
        Ok(Event::Progress)
    }

    fn handle_proof<'a>(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Event<'a>, SessionError> {
        let State::Proof { peer, is_guest, level, their_nonce } = &self.state else {
            return Err(SessionError::Malformed("a proof before the hello"));
        };
        let (peer, is_guest, level, their_nonce) = (peer.clone(), *is_guest, *level, *their_nonce);
        if body != self.derive(b"proof", self.role.other(), &peer, &their_nonce).0 {
            return Err(SessionError::Key { peer });
        }
        if self.role == Role::Initiator {
            let proof = self.derive(b"proof", self.role, &peer, &their_nonce);
            put_message(out, KIND_PROOF, 0, &proof.0);
        }
        let direction =
            |role| Direction { key: self.derive(b"seals", role, &peer, &their_nonce), counter: 0 };
        let (sending, receiving) = (direction(self.role), direction(self.role.other()));
        self.state = State::Open { sending, receiving };
        Ok(Event::Established { peer, is_guest, level })
    }

    /// A value that only a holder of the session key can compute, for one label, one end and this stream.
    /// Every part has a fixed length or its length in front, so no two transcripts read the same.
    fn derive(&self, label: &[u8; 5], role: Role, peer: &str, their_nonce: &[u8; NONCE]) -> Key {
        let ours = (self.identity.name.as_str(), &self.nonce);
        let theirs = (peer, their_nonce);
        let (initiator, acceptor) = match self.role {
            Role::Initiator => (ours, theirs),
            Role::Acceptor => (theirs, ours),
        };
        let names = [[initiator.0.len() as u8], [acceptor.0.len() as u8]];
        let hash = self.identity.keys.session.hash128(&[
            label,
            role.label(),
            initiator.1,
            acceptor.1,
            &names[0],
            initiator.0.as_bytes(),
            &names[1],
            acceptor.0.as_bytes(),
        ]);
        Key(hash.to_le_bytes())
    }
}

/// A record at the start of `input`, checked.
fn open_record<'a>(receiving: &mut Direction, input: &'a [u8]) -> Result<(usize, Event<'a>), SessionError> {
    let Some((header, rest)) = input.split_first_chunk::<RECORD_HEADER>() else {
        return Ok((0, Event::Starved));
    };
    let (length, mac) = header.split_first_chunk::<4>().expect("the header is longer than its length");
    let length = u32::from_le_bytes(*length) as usize;
    if length > RECORD_MAX {
        return Err(SessionError::TooLong { length: length as u64 });
    }
    let Some(payload) = rest.get(..length) else { return Ok((0, Event::Starved)) };
    if length == 0 || receiving.next_mac(payload) != mac {
        return Err(SessionError::Tampered);
    }
    Ok((RECORD_HEADER + length, Event::Frames(payload)))
}

/// A hello's body.
struct Hello<'a> {
    cluster_id: u64,
    nonce: [u8; NONCE],
    name: &'a str,
    expected: &'a str,
}

impl<'a> Hello<'a> {
    fn read(body: &'a [u8]) -> Result<Hello<'a>, SessionError> {
        let short = SessionError::Malformed("the hello is cut short");
        let (cluster_id, body) = body.split_first_chunk::<8>().ok_or(short.clone())?;
        let (nonce, body) = body.split_first_chunk::<NONCE>().ok_or(short)?;
        let (name, body) = take_name(body)?;
        let (expected, body) = take_name(body)?;
        if !body.is_empty() {
            return Err(SessionError::Malformed("bytes behind the hello"));
        }
        if !name_is_valid(name) || !(expected.is_empty() || name_is_valid(expected)) {
            return Err(SessionError::Malformed("a name with other than A-Z a-z 0-9 . _ -"));
        }
        Ok(Hello { cluster_id: u64::from_le_bytes(*cluster_id), nonce: *nonce, name, expected })
    }
}

fn take_name(bytes: &[u8]) -> Result<(&str, &[u8]), SessionError> {
    let short = SessionError::Malformed("a name is cut short");
    let (length, rest) = bytes.split_first().ok_or(short.clone())?;
    let (name, rest) = rest.split_at_checked(usize::from(*length)).ok_or(short)?;
    let name = core::str::from_utf8(name).map_err(|_| SessionError::Malformed("a name is no text"))?;
    Ok((name, rest))
}

/// Kind, level and body of a handshake message.
type Parts<'a> = (u8, u8, &'a [u8]);

/// The handshake message at the start of `input`; `None` if more bytes are needed. Wrong bytes are refused as soon
/// as they show, not when the message is whole.
fn take_message(input: &[u8]) -> Result<Option<Parts<'_>>, SessionError> {
    let seen = input.len().min(MAGIC.len());
    if input[..seen] != MAGIC[..seen] {
        return Err(SessionError::Foreign);
    }
    let Some((prelude, rest)) = input.split_first_chunk::<PRELUDE>() else { return Ok(None) };
    let version = u16::from_le_bytes([prelude[4], prelude[5]]);
    let kind = prelude[6];
    // A refusal is read whatever its version: it may say that ours is the wrong one.
    if version != VERSION && kind != KIND_REFUSAL {
        return Err(SessionError::Version { theirs: version });
    }
    let length = usize::from(u16::from_le_bytes([prelude[8], prelude[9]]));
    if length > BODY_MAX {
        return Err(SessionError::Malformed("a message longer than any"));
    }
    Ok(rest.get(..length).map(|body| (kind, prelude[7], body)))
}

fn put_message(out: &mut Vec<u8>, kind: u8, level: u8, body: &[u8]) {
    assert!(body.len() <= BODY_MAX, "a handshake message of {} bytes", body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[kind, level]);
    out.extend_from_slice(&(body.len() as u16).to_le_bytes());
    out.extend_from_slice(body);
}

fn put_hello(out: &mut Vec<u8>, identity: &Identity, expected: &str, nonce: &[u8; NONCE]) {
    let mut body = Vec::with_capacity(BODY_MAX);
    body.extend_from_slice(&identity.keys.cluster_id.to_le_bytes());
    body.extend_from_slice(nonce);
    for name in [identity.name.as_str(), expected] {
        assert!(name.len() <= limits::NAME_MAX, "a checked config has no name of {} bytes", name.len());
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
    }
    put_message(out, KIND_HELLO, identity.level, &body);
}

fn put_refusal(out: &mut Vec<u8>, error: &SessionError) {
    let text = error.to_string();
    let cut = text.floor_char_boundary(REASON_MAX);
    put_message(out, KIND_REFUSAL, 0, &text.as_bytes()[..cut]);
}

/// Text of a stranger, fit for a log line.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(REASON_MAX)]);
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
