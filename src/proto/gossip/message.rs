//! Datagrams: their bytes, their seal, and what they may say.
//!
//! ```text
//!  0  "QG" | u8 version | u8 kind
//!  4  u32 key id
//!  8  u64 cluster id
//! 16  u32 era | u32 layout version | u64 layout hash
//! 32  u64 sender id | u64 receiver id, 0 for whoever is there
//! 48  u32 open count of the sender's directory | u32 nonce of that opening
//! 56  u64 counter, from 1 in each boot
//! 64  16 B MAC over bytes 0..64 and the body
//! 80  body, then rumours up to the end
//!
//! 1 ping           u32 number | u64 digest of the sender's table
//! 2 ack            u32 number
//! 3 ping request   u32 number | u64 id of the one to ping
//! 4 nack           u32 number
//! 5 gossip
//! 6 summary        64 × u32 sums of the table, by the first 6 bits of the id
//! 7 stamps         u64 bits of the parts listed whole | varint count | stamps
//!   stamp          u64 id | u8 verdict | opens | bumps
//! 8 want           varint count | u64 ids
//! 9 notice         u8 code | u32 number of the ping it answers, or 0
//! ```
//!
//! Numbers are little-endian, `opens`, `bumps` and counts are varints, rumours are drawn in `rumor.rs`. A
//! datagram has at most 1,400 bytes. It is authentic under one key of the ring, as peer streams are; it is not
//! secret. Nothing of it is believed before the MAC holds, and the whole body is read before anything is done.

use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_varint};

use super::keyring::Keyring;
use super::member::{Boot, Incarnation, Verdict};
use super::refusal::Refusal;
use super::rumor::Rumor;
use super::table::PARTS;

/// What is spoken; a datagram of another version is refused.
pub const VERSION: u8 = 1;
/// Where the body begins.
pub const HEADER: usize = 80;
/// Receiver id of a datagram to an address whose owner is not known.
pub const ANYONE: MemberId = MemberId(0);

const MAGIC: [u8; 2] = *b"QG";
const MAC_AT: usize = 64;

/// The layout that a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayoutStamp {
    /// The cluster's era; a greater one ends all that lower ones decide.
    pub era: u32,
    /// The layout's version.
    pub version: u32,
    /// The layout's hash.
    pub hash: u64,
}

/// What every datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's layout.
    pub layout: LayoutStamp,
    /// The sender.
    pub from: MemberId,
    /// The receiver, or [`ANYONE`].
    pub to: MemberId,
    /// The sender's boot.
    pub boot: Boot,
    /// One more with each datagram of a boot.
    pub counter: u64,
}

/// A row's state without the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Whose.
    pub id: MemberId,
    /// The verdict, settled.
    pub verdict: Verdict,
    /// The life it is about.
    pub incarnation: Incarnation,
}

/// Why somebody is told something outside of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NoticeCode {
    /// You are not known here: introduce yourself. Also an answer to a ping.
    Introduce = 1,
    /// Another live process uses your name with a copy of your directory.
    Twin = 2,
    /// Your generation was removed from the cluster.
    Removed = 3,
    /// Your era is over; the header names the one in force.
    Era = 4,
}

/// What a datagram asks or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    Ping {
        /// Comes back with the answer.
        number: u32,
        /// Sum of the sender's table.
        digest: u64,
    },
    /// I am, or: the one you asked me to ping is.
    Ack {
        /// Of the ping or the request.
        number: u32,
    },
    /// Ping somebody for me.
    PingRequest {
        /// Comes back with the answer.
        number: u32,
        /// Whom.
        target: MemberId,
    },
    /// I am there, but had no answer from the one you asked me to ping.
    Nack {
        /// Of the request.
        number: u32,
    },
    /// Rumours only.
    Gossip,
    /// Sums of the parts of the sender's table, which differs from the receiver's.
    Summary(Box<[u32; PARTS]>),
    /// Rows of the parts that differ.
    Stamps {
        /// Bit i: part i is listed whole.
        whole: u64,
        /// The rows.
        stamps: Vec<Stamp>,
    },
    /// Send me these rows.
    Want(Vec<MemberId>),
    /// Something to know.
    Notice {
        /// What.
        code: NoticeCode,
        /// The ping it answers; 0 for none.
        number: u32,
    },
}

impl Message {
    const fn kind(&self) -> u8 {
        match self {
            Message::Ping { .. } => 1,
            Message::Ack { .. } => 2,
            Message::PingRequest { .. } => 3,
            Message::Nack { .. } => 4,
            Message::Gossip => 5,
            Message::Summary(_) => 6,
            Message::Stamps { .. } => 7,
            Message::Want(_) => 8,
            Message::Notice { .. } => 9,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Message::Ping { number, digest } => {
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&digest.to_le_bytes());
            }
            Message::Ack { number } | Message::Nack { number } => {
                out.extend_from_slice(&number.to_le_bytes());
            }
            Message::PingRequest { number, target } => {
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&target.0.to_le_bytes());
            }
            Message::Gossip => {}
            Message::Summary(sums) => {
                for sum in sums.iter() {
                    out.extend_from_slice(&sum.to_le_bytes());
                }
            }
            Message::Stamps { whole, stamps } => {
                out.extend_from_slice(&whole.to_le_bytes());
                put_varint(out, stamps.len() as u64);
                for stamp in stamps {
                    out.extend_from_slice(&stamp.id.0.to_le_bytes());
                    out.push(stamp.verdict as u8);
                    stamp.incarnation.put(out);
                }
            }
            Message::Want(ids) => {
                put_varint(out, ids.len() as u64);
                for id in ids {
                    out.extend_from_slice(&id.0.to_le_bytes());
                }
            }
            Message::Notice { code, number } => {
                out.push(*code as u8);
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Message, WireError> {
        let number = |reader: &mut Reader<'_>| reader.u32("number");
        let id = |reader: &mut Reader<'_>| reader.u64("member id").map(MemberId);
        Ok(match kind {
            1 => Message::Ping { number: number(reader)?, digest: reader.u64("digest")? },
            2 => Message::Ack { number: number(reader)? },
            3 => Message::PingRequest { number: number(reader)?, target: id(reader)? },
            4 => Message::Nack { number: number(reader)? },
            5 => Message::Gossip,
            6 => {
                let mut sums = Box::new([0; PARTS]);
                for sum in sums.iter_mut() {
                    *sum = reader.u32("sum")?;
                }
                Message::Summary(sums)
            }
            7 => {
                let whole = reader.u64("parts")?;
                Message::Stamps { whole, stamps: counted(reader, read_stamp)? }
            }
            8 => Message::Want(counted(reader, id)?),
            9 => {
                let code = match reader.u8("notice")? {
                    1 => NoticeCode::Introduce,
                    2 => NoticeCode::Twin,
                    3 => NoticeCode::Removed,
                    4 => NoticeCode::Era,
                    _ => return Err(WireError { what: "notice" }),
                };
                Message::Notice { code, number: number(reader)? }
            }
            _ => return Err(WireError { what: "kind" }),
        })
    }
}

fn read_stamp(reader: &mut Reader<'_>) -> Result<Stamp, WireError> {
    let id = MemberId(reader.u64("member id")?);
    let verdict = Verdict::read(reader.u8("verdict")?)?;
    if verdict != verdict.settled() {
        return Err(WireError { what: "a stamp's verdict" });
    }
    Ok(Stamp { id, verdict, incarnation: Incarnation::read(reader)? })
}

/// So many of something, each at least 8 bytes: no count is believed beyond what can be there.
fn counted<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = reader.varint("count")?;
    if count > (reader.rest().len() / 8) as u64 {
        return Err(WireError { what: "count" });
    }
    (0..count).map(|_| read(reader)).collect()
}

/// A datagram that is being written: header and message, then rumours as long as they fit, then the seal.
#[derive(Debug)]
pub struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// Header and message, without a seal.
    pub fn new(cluster_id: u64, header: &Header, message: &Message) -> Draft {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, message.kind()]);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&cluster_id.to_le_bytes());
        bytes.extend_from_slice(&header.layout.era.to_le_bytes());
        bytes.extend_from_slice(&header.layout.version.to_le_bytes());
        bytes.extend_from_slice(&header.layout.hash.to_le_bytes());
        bytes.extend_from_slice(&header.from.0.to_le_bytes());
        bytes.extend_from_slice(&header.to.0.to_le_bytes());
        bytes.extend_from_slice(&header.boot.opens.to_le_bytes());
        bytes.extend_from_slice(&header.boot.nonce.to_le_bytes());
        bytes.extend_from_slice(&header.counter.to_le_bytes());
        bytes.extend_from_slice(&[0; HEADER - MAC_AT]);
        message.put(&mut bytes);
        Draft { bytes }
    }

    /// Adds a rumour if it fits.
    pub fn add(&mut self, rumor: &Rumor) -> bool {
        let length = self.bytes.len();
        rumor.put(&mut self.bytes);
        let fits = self.bytes.len() <= limits::GOSSIP_DATAGRAM_MAX;
        if !fits {
            self.bytes.truncate(length);
        }
        fits
    }

    /// The bytes, for rumours to be appended.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Seals it under the key in use.
    pub fn seal(mut self, keyring: &Keyring) -> Vec<u8> {
        assert!(self.bytes.len() <= limits::GOSSIP_DATAGRAM_MAX, "{} bytes", self.bytes.len());
        let (id, key) = keyring.in_use();
        self.bytes[4..8].copy_from_slice(&id.0.to_le_bytes());
        let mac = key.hash128(&[&self.bytes[..MAC_AT], &self.bytes[HEADER..]]);
        self.bytes[MAC_AT..HEADER].copy_from_slice(&mac.to_le_bytes());
        self.bytes
    }
}

/// A datagram that is authentic and can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who to whom, when.
    pub header: Header,
    /// What is asked or answered.
    pub message: Message,
    /// What came with it.
    pub rumors: Vec<Rumor>,
}

/// Opens a datagram.
///
/// # Errors
/// It is not ours, not of this cluster, under no key of the ring, forged, or malformed.
pub fn open(bytes: &[u8], cluster_id: u64, keyring: &Keyring) -> Result<Opened, Refusal> {
    if bytes.len() < HEADER || bytes.len() > limits::GOSSIP_DATAGRAM_MAX || bytes[..2] != MAGIC {
        return Err(Refusal::Foreign);
    }
    if bytes[2] != VERSION {
        return Err(Refusal::Version);
    }
    let mut reader = Reader::new(&bytes[3..MAC_AT]);
    let malformed = |_| Refusal::Malformed;
    let kind = reader.u8("kind").map_err(malformed)?;
    let key_id = super::keyring::KeyId(reader.u32("key id").map_err(malformed)?);
    if reader.u64("cluster id").map_err(malformed)? != cluster_id {
        return Err(Refusal::Cluster);
    }
    let key = keyring.find(key_id).ok_or(Refusal::Key)?;
    let mac = key.hash128(&[&bytes[..MAC_AT], &bytes[HEADER..]]);
    if bytes[MAC_AT..HEADER] != mac.to_le_bytes() {
        return Err(Refusal::Forged);
    }
    let header = read_header(&mut reader).map_err(malformed)?;
    let mut reader = Reader::new(&bytes[HEADER..]);
    let message = Message::read(kind, &mut reader).map_err(malformed)?;
    let mut rumors = Vec::new();
    while !reader.rest().is_empty() {
        rumors.push(Rumor::read(&mut reader).map_err(malformed)?);
    }
    Ok(Opened { header, message, rumors })
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header, WireError> {
    let era = reader.u32("era")?;
    let version = reader.u32("layout version")?;
    let hash = reader.u64("layout hash")?;
    let from = MemberId(reader.u64("sender")?);
    let to = MemberId(reader.u64("receiver")?);
    let boot = Boot { opens: reader.u32("open count")?, nonce: reader.u32("nonce")? };
    let counter = reader.u64("counter")?;
    if from == ANYONE || counter == 0 {
        return Err(WireError { what: "header" });
    }
    Ok(Header { layout: LayoutStamp { era, version, hash }, from, to, boot, counter })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
