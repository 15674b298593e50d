//! What nodes say to each other, and the frames that carry it.
//!
//! ```text
//! frame    length u32 | crc32c u32 of the rest | version u8 = 1 | kind u8 | flags u16, bit 0: counted
//!          | layout version u32 | cluster id u64 | request id u64 | if counted: reap count u64 | body
//! ```
//!
//! All integers are little-endian. Messages that carry a record are idempotent, and none needs an order:
//! at most once and unordered is all that is asked of a transport. Only a forward must not be carried out
//! twice, and says so itself (trap T1).

mod cluster;
mod hello;
mod hint;
mod reap;
mod request;
mod scan;
#[cfg(test)]
mod tests;

pub use cluster::{
    Compare, Compared, DIGEST_BYTES, Progress, decode_digests, decode_records, put_digest, put_record,
};
pub use hello::{Hello, Seen};
pub use hint::{FetchHint, Hint, Hinted};
pub use reap::{Evidence, Proof, Question, Tomb, decode_tombs, put_tomb};
pub use request::{decode_reply, decode_request, encode_reply, encode_request};
pub use scan::{Extent, Listed, Row, Scan, Scanned, decode_rows, put_row};

use super::limits;
use super::version::{is_counted, is_set};
use super::wire::{Reader, WireError, put_bytes};

/// Bytes of a frame before its body.
pub const HEADER: usize = 32;
/// Version of the messages spoken here.
pub const VERSION: u8 = 1;

/// What this release knows of messages. At level 0 there are requests between members of a list; level 1 adds
/// probes, topologies and transfers; level 2 adds hints, the exchange, catching up, counters, sets, edits of parts, reaps
/// and scans by quorum.
pub const LEVEL: u8 = 2;

/// From this level on a node keeps hints for others. Each stream says which level its ends know.
pub const LEVEL_OF_HINTS: u8 = 2;

/// From this level on objects have counts, and there are requests that make them, write over parts of values and
/// set bits: all members have to know it.
pub const LEVEL_OF_COUNTS: u8 = 2;

/// The level of messages from which on a node says what is known of a key that is to be reaped, and counts reaps.
pub const LEVEL_OF_REAPS: u8 = 2;

/// The flag of a frame that names a count of reaps.
const COUNTED: u16 = 1;

/// From this level on a replica tells what it holds of a partition. A scan before it was another message.
pub const LEVEL_OF_SCANS: u8 = 2;

/// From this level on objects have elements, and requests put them in: all members have to know it.
pub const LEVEL_OF_SETS: u8 = 2;

/// What every frame says beside its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Version of the sender's layout.
    pub layout_version: u32,
    /// The cluster.
    pub cluster_id: u64,
    /// Which request this belongs to, as its sender numbers them; echoed in the answer. 0 asks for none.
    pub request_id: u64,
    /// The count of reaps of its partition under which its sender has read what it sends, or asks (trap T6).
    pub reaps: u64,
}

/// Which acknowledgements a `Replicate` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acks {
    /// One when the record is as safe as its keyspace's durability asks.
    pub stored: bool,
    /// One when it is on disk.
    pub durable: bool,
}

impl Acks {
    const fn bits(self) -> u8 {
        self.stored as u8 | (self.durable as u8) << 1
    }

    const fn of(bits: u8) -> Result<Acks, WireError> {
        match bits {
            0..=3 => Ok(Acks { stored: bits & 1 != 0, durable: bits & 2 != 0 }),
            _ => Err(WireError { what: "acks" }),
        }
    }
}

/// A replica's answer to a `Replicate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stored {
    /// As safe as the keyspace's durability asks.
    Stored = 0,
    /// On disk.
    Durable = 1,
    /// Not stored: the disk is full.
    Full = 2,
    /// Not stored, or it will never be durable: the store failed a sync.
    ReadOnly = 3,
    /// Not stored: too much is under way.
    Overloaded = 4,
}

impl Stored {
    const fn of(byte: u8) -> Result<Stored, WireError> {
        Ok(match byte {
            0 => Stored::Stored,
            1 => Stored::Durable,
            2 => Stored::Full,
            3 => Stored::ReadOnly,
            4 => Stored::Overloaded,
            _ => return Err(WireError { what: "acknowledgement" }),
        })
    }
}

/// A replica's answer to a `Fetch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched<'a> {
    /// Its record has the item hash that the fetch named (no record has 0).
    Same,
    /// It has no record.
    Absent,
    /// Its encoded object.
    Record(&'a [u8]),
    /// It cannot tell: the record is damaged, or the partition incomplete.
    Unknown,
}

/// A request handed to its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward<'a> {
    /// The sender's boot.
    pub sender_boot: u64,
    /// The receiver's boot as the sender knows it.
    pub receiver_boot: u64,
    /// The sender's number for it, rising by one a forward to this receiver.
    pub number: u64,
    /// Every number below has been answered or given up.
    pub settled: u64,
    /// Milliseconds until nobody waits for the answer.
    pub deadline_ms: u32,
    /// The request, as `encode_request` writes it.
    pub request: &'a [u8],
}

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Merge this object into your record.
    Replicate {
        /// The keyspace.
        keyspace: u16,
        /// The key.
        key: &'a [u8],
        /// Which answers are wanted.
        acks: Acks,
        /// The encoded object.
        object: &'a [u8],
    },
    /// Answers `Replicate`.
    Acknowledge(Stored),
    /// Send your record, unless its item hash is `known`.
    Fetch {
        /// The keyspace.
        keyspace: u16,
        /// The key.
        key: &'a [u8],
        /// What the sender has; 0 for nothing.
        known: u64,
        /// Milliseconds until nobody waits for the answer.
        deadline_ms: u32,
    },
    /// Answers `Fetch`.
    Fetched(Fetched<'a>),
    /// Coordinate this request. Never carried out twice (trap T1): numbered by the sender's boot, meant
    /// for one boot of the receiver.
    Forward(Forward<'a>),
    /// Answers `Forward`.
    Forwarded {
        /// The forward's number.
        number: u64,
        /// The reply as `encode_reply` writes it; `None` if the forward was refused, being too old or for
        /// another boot.
        reply: Option<&'a [u8]>,
    },
    /// Says who the sender is; sent when a connection is made, and again in answer to one that asks.
    Hello(Hello),
    /// A question to a keeper, as [`Ask`](crate::proto::keepers::Ask) writes it.
    Ask(&'a [u8]),
    /// A keeper's [`Answer`](crate::proto::keepers::Answer).
    Answer(&'a [u8]),
    /// A topology that is committed, as it is encoded: its reader follows it if it is later than its own.
    Topology(&'a [u8]),
    /// How far the sender has followed the topology, for the keepers.
    Progress(Progress),
    /// Tell what of a partition's run differs from what the sender has.
    Compare(Compare<'a>),
    /// Answers `Compare`.
    Compared(Compared<'a>),
    /// Asks to become a member: a [`Change::Join`](crate::proto::cluster::Change), encoded. Repeated until it
    /// is done or refused.
    Join {
        /// Commit the plan as well.
        commit: bool,
        /// The change.
        change: &'a [u8],
    },
    /// Answers `Join`: why it is refused.
    Refused(&'a [u8]),
    /// Are you there? Asked where datagrams had no answer.
    Probe {
        /// To be given back.
        number: u32,
    },
    /// Answers `Probe`.
    Probed {
        /// The probe's number.
        number: u32,
    },
    /// Tell the sums of these nodes' children: [`Name`](crate::proto::exchange::Name)s, one after another.
    Sums(&'a [u8]),
    /// Answers `Sums`: a [`Summed`](crate::proto::exchange::Summed) for each, in their order.
    Summed(&'a [u8]),
    /// Keep this record for a replica that cannot be reached.
    Hint(Hint<'a>),
    /// Answers `Hint`.
    Hinted(Hinted),
    /// Send what you keep of a key for its replicas that cannot be reached; answered by `Fetched`.
    FetchHint(FetchHint<'a>),
    /// Say, under this count, what you know of keys that may be reaped.
    Prove(Question<'a>),
    /// Answers `Prove`.
    Proved(Proof<'a>),
    /// Take these keys out of your copy, if it holds just that.
    Reap(Question<'a>),
    /// Answers a record that was read before its partition was last reaped: the count there is now.
    Stale {
        /// The partition.
        partition: u16,
        /// The count.
        count: u64,
    },
    /// Tell what you hold of a partition.
    Scan(Scan),
    /// Answers `Scan`.
    Scanned(Scanned<'a>),
    /// Acknowledge when everything that is held now is on disk, if you are still of this boot.
    Sync {
        /// The receiver's boot.
        boot: u64,
    },
    /// Say which of these records you have not just so, on disk: what was missed is given back by it. Digests, as
    /// [`put_digest`] writes them.
    Offer(&'a [u8]),
    /// Answers `Offer`: prefixes of their positions, 8 bytes each.
    Wanted(&'a [u8]),
}

impl<'a> Message<'a> {
    fn kind(&self) -> u8 {
        match self {
            Message::Replicate { .. } => 1,
            Message::Acknowledge(_) => 2,
            Message::Fetch { .. } => 3,
            Message::Fetched(_) => 4,
            Message::Forward(_) => 5,
            Message::Forwarded { .. } => 6,
            Message::Hello(_) => 7,
            Message::Ask(_) => 10,
            Message::Answer(_) => 11,
            Message::Topology(_) => 12,
            Message::Progress(_) => 13,
            Message::Compare(_) => 14,
            Message::Compared(_) => 15,
            Message::Join { .. } => 18,
            Message::Refused(_) => 19,
            Message::Probe { .. } => 16,
            Message::Probed { .. } => 17,
            Message::Sums(_) => 24,
            Message::Summed(_) => 25,
            Message::Hint(_) => 20,
            Message::Hinted(_) => 21,
            Message::FetchHint(_) => 22,
            Message::Prove(_) => 26,
            Message::Proved(_) => 27,
            Message::Reap(_) => 28,
            Message::Stale { .. } => 29,
            Message::Scan(_) => 30,
            Message::Scanned(_) => 31,
            Message::Sync { .. } => 32,
            Message::Offer(_) => 33,
            Message::Wanted(_) => 34,
        }
    }

    /// Whether it is taken whatever layout its sender has: whether somebody is there does not depend on one.
    pub const fn is_of_any_layout(&self) -> bool {
        matches!(self, Message::Probe { .. } | Message::Probed { .. })
    }

    /// The level of messages at which it is known.
    pub fn level(&self) -> u8 {
        match self {
            Message::Replicate { object, .. } | Message::Fetched(Fetched::Record(object))
                if is_set(object) =>
            {
                LEVEL_OF_SETS
            }
            Message::Compare(compare) if compare.keyspace.is_some() => 2,
            Message::Replicate { object, .. } | Message::Fetched(Fetched::Record(object))
                if is_counted(object) =>
            {
                LEVEL_OF_COUNTS
            }
            other => match other.kind() {
                0..10 => 0,
                10..20 => 1,
                20..26 => LEVEL_OF_HINTS,
                26..30 => LEVEL_OF_REAPS,
                _ => LEVEL_OF_SCANS,
            },
        }
    }

    /// Whether a frame of [`limits::FRAME_MAX`] bytes holds it. Only merging brings an object beyond that, as
    /// a copy from elsewhere is never refused (trap T18).
    pub fn fits(&self) -> bool {
        let large = match self {
            Message::Replicate { object, .. }
            | Message::Fetched(Fetched::Record(object))
            | Message::Hint(Hint { object, .. }) => object.len(),
            Message::Forward(forward) => forward.request.len(),
            Message::Forwarded { reply, .. } => reply.map_or(0, <[u8]>::len),
            Message::Scanned(Scanned { listed: Listed::Rows { rows, .. }, .. }) => rows.len(),
            Message::Compared(compared) => compared.records.len(),
            _ => 0,
        };
        large <= limits::FRAME_MAX - HEADER - limits::KEY_MAX - 1_024
    }

    /// Appends a whole frame.
    pub fn encode(&self, envelope: &Envelope, out: &mut Vec<u8>) {
        let start = out.len();
        let mut header = [0_u8; HEADER];
        header[8] = VERSION;
        header[9] = self.kind();
        header[10..12].copy_from_slice(&if envelope.reaps > 0 { COUNTED } else { 0 }.to_le_bytes());
        header[12..16].copy_from_slice(&envelope.layout_version.to_le_bytes());
        header[16..24].copy_from_slice(&envelope.cluster_id.to_le_bytes());
        header[24..32].copy_from_slice(&envelope.request_id.to_le_bytes());
        out.extend_from_slice(&header);
        if envelope.reaps > 0 {
            out.extend_from_slice(&envelope.reaps.to_le_bytes());
        }
        self.encode_body(out);
        let length = u32::try_from(out.len() - start).expect("a frame holds one record");
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        seal(&mut out[start..]);
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Message::Replicate { keyspace, key, acks, object } => {
                out.extend_from_slice(&keyspace.to_le_bytes());
                out.push(acks.bits());
                put_bytes(out, key);
                out.extend_from_slice(object);
            }
            Message::Acknowledge(stored) => out.push(*stored as u8),
            Message::Fetch { keyspace, key, known, deadline_ms } => {
                out.extend_from_slice(&keyspace.to_le_bytes());
                out.extend_from_slice(&known.to_le_bytes());
                out.extend_from_slice(&deadline_ms.to_le_bytes());
                out.extend_from_slice(key);
            }
            Message::Fetched(Fetched::Same) => out.push(0),
            Message::Fetched(Fetched::Absent) => out.push(1),
            Message::Fetched(Fetched::Unknown) => out.push(3),
            Message::Fetched(Fetched::Record(object)) => {
                out.push(2);
                out.extend_from_slice(object);
            }
            Message::Forward(forward) => {
                for field in [forward.sender_boot, forward.receiver_boot, forward.number, forward.settled] {
                    out.extend_from_slice(&field.to_le_bytes());
                }
                out.extend_from_slice(&forward.deadline_ms.to_le_bytes());
                out.extend_from_slice(forward.request);
            }
            Message::Forwarded { number, reply } => {
                out.extend_from_slice(&number.to_le_bytes());
                out.push(u8::from(reply.is_some()));
                out.extend_from_slice(reply.unwrap_or_default());
            }
            Message::Hello(hello) => hello.encode(out),
            Message::Ask(bytes) | Message::Answer(bytes) | Message::Topology(bytes) => {
                out.extend_from_slice(bytes);
            }
            Message::Progress(progress) => progress.encode(out),
            Message::Compare(compare) => compare.encode(out),
            Message::Compared(compared) => compared.encode(out),
            Message::Join { commit, change } => {
                out.push(u8::from(*commit));
                out.extend_from_slice(change);
            }
            Message::Refused(bytes)
            | Message::Sums(bytes)
            | Message::Summed(bytes)
            | Message::Offer(bytes)
            | Message::Wanted(bytes) => out.extend_from_slice(bytes),
            Message::Sync { boot } => out.extend_from_slice(&boot.to_le_bytes()),
            Message::Probe { number } | Message::Probed { number } => {
                out.extend_from_slice(&number.to_le_bytes());
            }
            Message::Hint(hint) => hint.encode(out),
            Message::Hinted(hinted) => hinted.encode(out),
            Message::FetchHint(fetch) => fetch.encode(out),
            Message::Prove(question) | Message::Reap(question) => question.encode(out),
            Message::Proved(proof) => proof.encode(out),
            Message::Stale { partition, count } => {
                out.extend_from_slice(&partition.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
            Message::Scan(scan) => scan.encode(out),
            Message::Scanned(scanned) => scanned.encode(out),
        }
    }

    fn decode_body(kind: u8, body: &'a [u8]) -> Result<Message<'a>, WireError> {
        let mut reader = Reader::new(body);
        let message = match kind {
            1 => {
                let keyspace = reader.u16("keyspace")?;
                let acks = Acks::of(reader.u8("acks")?)?;
                let key = reader.bytes(limits::KEY_MAX, "key")?;
                return Ok(Message::Replicate { keyspace, key, acks, object: reader.rest() });
            }
            2 => Message::Acknowledge(Stored::of(reader.u8("acknowledgement")?)?),
            3 => {
                let keyspace = reader.u16("keyspace")?;
                let known = reader.u64("known hash")?;
                let deadline_ms = reader.u32("deadline")?;
                let key = reader.rest();
                if key.len() > limits::KEY_MAX {
                    return Err(WireError { what: "key" });
                }
                return Ok(Message::Fetch { keyspace, key, known, deadline_ms });
            }
            4 => Message::Fetched(match reader.u8("fetched")? {
                0 => Fetched::Same,
                1 => Fetched::Absent,
                2 => return Ok(Message::Fetched(Fetched::Record(reader.rest()))),
                3 => Fetched::Unknown,
                _ => return Err(WireError { what: "fetched" }),
            }),
            5 => {
                return Ok(Message::Forward(Forward {
                    sender_boot: reader.u64("sender boot")?,
                    receiver_boot: reader.u64("receiver boot")?,
                    number: reader.u64("forward number")?,
                    settled: reader.u64("settled number")?,
                    deadline_ms: reader.u32("deadline")?,
                    request: reader.rest(),
                }));
            }
            6 => {
                let number = reader.u64("forward number")?;
                match reader.u8("forwarded")? {
                    0 => Message::Forwarded { number, reply: None },
                    1 => return Ok(Message::Forwarded { number, reply: Some(reader.rest()) }),
                    _ => return Err(WireError { what: "forwarded" }),
                }
            }
            7 => Message::Hello(Hello::decode(&mut reader)?),
            16 => Message::Probe { number: reader.u32("probe number")? },
            17 => Message::Probed { number: reader.u32("probe number")? },
            _ => return Message::decode_cluster(kind, reader),
        };
        reader.end("message end")?;
        Ok(message)
    }
}

impl<'a> Message<'a> {
    /// A body of the messages about the cluster itself, and of all that came later.
    fn decode_cluster(kind: u8, mut reader: Reader<'a>) -> Result<Message<'a>, WireError> {
        Ok(match kind {
            10 => Message::Ask(reader.rest()),
            11 => Message::Answer(reader.rest()),
            12 => Message::Topology(reader.rest()),
            13 => {
                let progress = Progress::decode(&mut reader)?;
                reader.end("message end")?;
                Message::Progress(progress)
            }
            14 => Message::Compare(Compare::decode(&mut reader)?),
            15 => Message::Compared(Compared::decode(&mut reader)?),
            18 => match reader.u8("join")? {
                commit @ 0..=1 => Message::Join { commit: commit == 1, change: reader.rest() },
                _ => return Err(WireError { what: "join" }),
            },
            19 => Message::Refused(reader.rest()),
            24 => Message::Sums(reader.rest()),
            25 => Message::Summed(reader.rest()),
            20 => Message::Hint(Hint::decode(&mut reader)?),
            21 => Message::Hinted(Hinted::decode(&mut reader)?),
            22 => Message::FetchHint(FetchHint::decode(&mut reader)?),
            26 => Message::Prove(Question::decode(&mut reader)?),
            27 => Message::Proved(Proof::decode(&mut reader)?),
            28 => Message::Reap(Question::decode(&mut reader)?),
            29 => {
                let (partition, count) = (reader.u16("partition")?, reader.u64("reap count")?);
                reader.end("message end")?;
                Message::Stale { partition, count }
            }
            30 => Message::Scan(Scan::decode(&mut reader)?),
            31 => Message::Scanned(Scanned::decode(&mut reader)?),
            32 => {
                let boot = reader.u64("boot")?;
                reader.end("message end")?;
                Message::Sync { boot }
            }
            33 => Message::Offer(whole(reader.rest(), DIGEST_BYTES, "offer")?),
            34 => Message::Wanted(whole(reader.rest(), 8, "wanted records")?),
            _ => return Err(UNKNOWN_KIND),
        })
    }
}

/// A list of items of one length, of which no more are taken than [`limits::TRANSFER_DIGESTS`].
fn whole<'a>(list: &'a [u8], length: usize, what: &'static str) -> Result<&'a [u8], WireError> {
    let fits = list.len().is_multiple_of(length) && list.len() / length <= limits::TRANSFER_DIGESTS;
    if fits { Ok(list) } else { Err(WireError { what }) }
}

/// Writes the checksum of a whole frame whose other bytes are final.
pub fn seal(frame: &mut [u8]) {
    let checksum = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// The first frame of `bytes`, whole, and what follows it.
///
/// # Errors
/// Names what is wrong: a length under the header's or over the bound, or more than there is.
pub fn split_frame(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let length = Reader::new(bytes).u32("frame length")? as usize;
    if !(HEADER..=limits::FRAME_MAX).contains(&length) {
        return Err(WireError { what: "frame length" });
    }
    bytes.split_at_checked(length).ok_or(WireError { what: "frame length" })
}

/// What is said of a kind that is not known, once the checksum was found right.
const UNKNOWN_KIND: WireError = WireError { what: "message kind" };

/// Whether a frame was refused as it is of a kind that only earlier releases send, and nobody answers any more: scans by
/// one replica. Who sent it asks somebody else.
pub fn is_retired(frame: &[u8], error: &WireError) -> bool {
    *error == UNKNOWN_KIND && matches!(frame.get(9), Some(8 | 9))
}

/// Reads one whole frame.
///
/// # Errors
/// Names what is wrong: checksum, version, kind, or a field of the body.
pub fn decode_frame(frame: &[u8]) -> Result<(Envelope, Message<'_>), WireError> {
    let mut reader = Reader::new(frame);
    reader.u32("frame length")?;
    if reader.u32("frame checksum")? != crc32c::crc32c(reader.rest()) {
        return Err(WireError { what: "frame checksum" });
    }
    if reader.u8("message version")? != VERSION {
        return Err(WireError { what: "message version" });
    }
    let kind = reader.u8("message kind")?;
    let flags = reader.u16("message flags")?;
    if flags & !COUNTED != 0 {
        return Err(WireError { what: "message flags" });
    }
    let mut envelope = Envelope {
        reaps: 0,
        layout_version: reader.u32("layout version")?,
        cluster_id: reader.u64("cluster id")?,
        request_id: reader.u64("request id")?,
    };
    if flags & COUNTED != 0 {
        envelope.reaps = reader.u64("reap count")?;
        if envelope.reaps == 0 {
            return Err(WireError { what: "reap count" });
        }
    }
    Ok((envelope, Message::decode_body(kind, reader.rest())?))
}
