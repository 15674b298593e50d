//! A node for tests: a plain map that answers when it is told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::proto::cluster::{Order, Overview};
use crate::proto::error::Outcome;
use crate::proto::io::{
    Achieved, Add, ChangePage, Changed, Edit, ExpiryEdit, ExpiryWhen, Kind, Operation, Options, Presence,
    Reply, Request, ScanPage, SiblingView, Siblings,
};
use crate::proto::node::{MemberStatus, Owners, Status};
use crate::proto::time::{Instant, Now, WallTime};
use crate::proto::version::{Actor, Dot, Epoch, Hlc, integer};

use crate::resp::session::{Backend, Next, Place, ServerInfo, Session, Settings};

/// One live value: the bytes and the absolute expiry.
type Value = (Vec<u8>, Option<u64>);

/// A request as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    pub place: Place,
    pub keyspace: u16,
    pub key: Vec<u8>,
    pub operation: String,
    pub options: Options,
}

/// The map and what it has yet to answer.
#[derive(Debug, Default)]
pub struct Fake {
    pub values: BTreeMap<(u16, Vec<u8>), Value>,
    pub sets: BTreeMap<(u16, Vec<u8>), BTreeSet<Vec<u8>>>,
    pub wall: u64,
    pub replies: VecDeque<(Place, Reply)>,
    pub submitted: Vec<Submitted>,
    /// Outcomes forced upon keys.
    pub failures: BTreeMap<Vec<u8>, Outcome>,
    pub flags: (bool, bool, bool),
    /// Backups that were begun, and what a next one is refused with.
    pub backups: VecDeque<(Place, String)>,
    pub no_backup: Option<String>,
    /// How its cluster is; the plan in it is shown to those who ask for one.
    pub overview: Overview,
    pub members: Vec<MemberStatus>,
    /// Writes shall wait.
    pub is_short: bool,
    counter: u64,
}

impl Fake {
    fn live(&self, keyspace: u16, key: &[u8]) -> Option<Value> {
        let value = self.values.get(&(keyspace, key.to_vec()))?;
        value.1.is_none_or(|expires_ms| expires_ms > self.wall).then(|| value.clone())
    }

    fn dot(&self) -> Dot {
        let epoch = Epoch { nonce: 0xbee, number: 5 };
        Dot { actor: Actor { generation: 0xfa, epoch }, counter: self.counter }
    }

    fn sibling(&self, (value, expires_ms): Value) -> SiblingView {
        SiblingView { value: value.into(), kind: Kind::Bytes, dot: self.dot(), hlc: Hlc(77), expires_ms }
    }

    fn write(&mut self, reply: &mut Reply, at: (u16, Vec<u8>), value: Option<Value>) {
        self.counter += 1;
        reply.applied = true;
        reply.dot = Some(self.dot());
        match value {
            Some(value) => self.values.insert(at, value),
            None => self.values.remove(&at),
        };
    }

    /// Carries out a request at once; the reply waits in `replies`.
    fn carry_out(&mut self, request: &Request<'_>) -> Reply {
        let achieved = Achieved { asked: 2, acked: 2, durable: 1, fallbacks: 0 };
        if let Some(outcome) = self.failures.get(request.key).cloned() {
            let dot = matches!(outcome, Outcome::Partial | Outcome::Maybe).then(|| self.dot());
            return Reply { achieved: Achieved { acked: 1, ..achieved }, dot, ..Reply::bare(outcome) };
        }
        let mut reply = Reply { achieved, ..Reply::bare(Outcome::Ok) };
        (reply.weak, reply.unrepaired, reply.hid_siblings) = self.flags;
        reply.context = request.options.want_context.then(|| b"\xff\xfe\xfd\xfc"[..].into());
        let at = (request.keyspace, request.key.to_vec());
        let found = self.live(request.keyspace, request.key);
        if matches!(request.operation, Operation::Get | Operation::Edit(_)) {
            reply.siblings = found.clone().map(|value| self.sibling(value)).into_iter().collect();
        }
        let elements = self.sets.get(&at).filter(|set| !set.is_empty());
        if matches!(request.operation, Operation::Edit(_)) && request.options.text_only && elements.is_some()
        {
            return Reply::bare(Outcome::WrongType);
        }
        for value in elements.into_iter().flatten() {
            let view = self.sibling((value.clone(), None));
            reply.siblings.push(SiblingView { kind: Kind::Element, ..view });
        }
        match &request.operation {
            Operation::Cluster(order) => {
                let mut overview = self.overview.clone();
                overview.plan.take_if(|_| *order != Order::Plan);
                reply.overview = Some(Box::new(overview));
            }
            Operation::Changes { partition, since, limit } => {
                let siblings = Siblings::One(self.sibling((b"v".to_vec(), None)));
                let changed = vec![Changed {
                    key: format!("{}/{limit}", partition.expect("Q.WATCH names one")).into_bytes(),
                    siblings,
                }];
                let (next, has_gap) = (since.unwrap_or(b"begin").to_vec(), since.is_none());
                reply.outcome = Outcome::Ok;
                reply.changes = Some(Box::new(ChangePage { changed, next, has_more: false, has_gap }));
            }
            Operation::Get if reply.siblings.is_empty() => reply.outcome = Outcome::NotFound,
            Operation::Get => {}
            Operation::Put { value, expires_ms, .. } => {
                self.write(&mut reply, at, Some((value.to_vec(), *expires_ms)));
            }
            Operation::Delete { .. } => self.write(&mut reply, at, None),
            Operation::Edit(edit) => self.edit(&mut reply, at, found, edit),
            Operation::Add(add) => {
                let (old, expires_ms) = found.unwrap_or((b"0".to_vec(), None));
                let (old, by) = match *add {
                    Add::By { by, .. } => (integer(&old), by),
                    Add::To { to, .. } => (Some(0), to),
                };
                let Some(number) = old.and_then(|old| old.checked_add(by)) else {
                    return Reply::bare(Outcome::BadArgument(
                        "value is not an integer or out of range".into(),
                    ));
                };
                let value = (number.to_string().into_bytes(), expires_ms);
                let view = self.sibling(value.clone());
                reply.siblings = Siblings::One(SiblingView { kind: Kind::Counter, ..view });
                self.write(&mut reply, at, Some(value));
            }
            Operation::Scan { cursor, limit } => {
                reply.page = Some(Box::new(self.page(request, *cursor, *limit)))
            }
        }
        reply
    }

    fn edit(&mut self, reply: &mut Reply, at: (u16, Vec<u8>), found: Option<Value>, edit: &Edit<'_>) {
        let kept = found.as_ref().and_then(|value| value.1);
        let after = |expiry: &ExpiryEdit| match expiry {
            ExpiryEdit::Keep => kept,
            ExpiryEdit::Clear => None,
            ExpiryEdit::At(at) => Some(*at),
        };
        match edit {
            Edit::Set { value, when, expiry } => {
                let applies = match when {
                    Presence::Any => true,
                    Presence::Absent => found.is_none(),
                    Presence::Present => found.is_some(),
                };
                if applies {
                    self.write(reply, at, Some((value.to_vec(), after(expiry))));
                }
            }
            Edit::Append(tail) => {
                let mut value = found.map_or(Vec::new(), |value| value.0);
                value.extend_from_slice(tail);
                reply.length = value.len() as u64;
                self.write(reply, at, Some((value, kept)));
            }
            Edit::AddElements(members) | Edit::RemoveElements(members) => {
                if found.is_some() {
                    *reply = Reply::bare(Outcome::WrongType);
                    return;
                }
                let of_sets = self.sets.entry(at).or_default();
                let adds = matches!(edit, Edit::AddElements(_));
                let change = |member: &&&[u8]| {
                    if adds { of_sets.insert(member.to_vec()) } else { of_sets.remove(**member) }
                };
                reply.length = members.iter().filter(change).count() as u64;
            }
            Edit::AddFloat(by) => {
                let value = [b"sum with ".as_slice(), by].concat();
                reply.siblings = Siblings::One(self.sibling((value.clone(), kept)));
                self.write(reply, at, Some((value, kept)));
            }
            Edit::SetRange { offset, part } => {
                let mut value = found.map_or(Vec::new(), |value| value.0);
                value.resize(value.len().max(*offset as usize + part.len()), 0);
                value[*offset as usize..][..part.len()].copy_from_slice(part);
                reply.length = value.len() as u64;
                self.write(reply, at, Some((value, kept)));
            }
            Edit::SetBit { offset, on } => {
                let mut value = found.map_or(Vec::new(), |value| value.0);
                let byte = *offset as usize / 8;
                value.resize(value.len().max(byte + 1), 0);
                value[byte] &= !(0x80 >> (offset % 8));
                value[byte] |= u8::from(*on) << (7 - offset % 8);
                self.write(reply, at, Some((value, kept)));
            }
            Edit::Delete if found.is_some() => self.write(reply, at, None),
            Edit::Delete => {}
            Edit::Expire { expiry, when } => {
                let Some(value) = found else { return };
                let (old, new) = (kept.unwrap_or(u64::MAX), after(expiry).unwrap_or(u64::MAX));
                let applies = match when {
                    ExpiryWhen::Always => true,
                    ExpiryWhen::None => kept.is_none(),
                    ExpiryWhen::Some => kept.is_some(),
                    ExpiryWhen::Later => new > old,
                    ExpiryWhen::Sooner => new < old,
                    ExpiryWhen::SoonerThanSome => kept.is_some() && new < old,
                };
                if applies {
                    self.write(reply, at, Some((value.0, after(expiry))));
                }
            }
        }
    }

    /// The cursor is the number of keys that are behind it.
    fn page(&self, request: &Request<'_>, cursor: u64, limit: u32) -> ScanPage {
        let limit = if limit == 0 { 10 } else { limit as usize };
        let keys: Vec<Vec<u8>> = self
            .values
            .iter()
            .filter(|((keyspace, _), value)| {
                *keyspace == request.keyspace && value.1.is_none_or(|expires_ms| expires_ms > self.wall)
            })
            .map(|((_, key), _)| key.clone())
            .collect();
        let begin = keys.len().min(cursor as usize);
        let end = keys.len().min(begin + limit);
        let next = if end == keys.len() { 0 } else { end as u64 };
        ScanPage { keys: keys[begin..end].to_vec(), next, layout_version: 7 }
    }
}

impl Backend for Fake {
    fn submit(&mut self, place: Place, request: &Request<'_>) {
        self.submitted.push(Submitted {
            place,
            keyspace: request.keyspace,
            key: request.key.to_vec(),
            operation: format!("{:?}", request.operation),
            options: request.options,
        });
        let reply = self.carry_out(request);
        self.replies.push_back((place, reply));
    }

    fn holds_back(&mut self) -> bool {
        self.is_short
    }

    fn status(&self) -> Status {
        let members = self.members.clone();
        Status { name: "a".into(), cluster: "quorate".into(), members, ..Status::default() }
    }

    fn owners(&self, _keyspace: u16, _key: &[u8]) -> Owners {
        Owners { partition: 17, members: vec!["a".into(), "c".into(), "b".into()] }
    }

    fn back_up(&mut self, place: Place, directory: &[u8]) -> Result<(), String> {
        if let Some(problem) = &self.no_backup {
            return Err(problem.clone());
        }
        self.backups.push_back((place, String::from_utf8_lossy(directory).into_owned()));
        Ok(())
    }

    fn server(&self) -> ServerInfo {
        ServerInfo { tcp_port: 7379, durability: "interval", ..ServerInfo::default() }
    }
}

/// A connection to a [`Fake`].
pub struct Client {
    pub session: Session,
    pub fake: Fake,
    pub out: Vec<u8>,
    /// Bytes that the session has not consumed.
    pub left: Vec<u8>,
    pub next: Next,
}

/// When all tests happen, in milliseconds of wall time.
pub const WALL: u64 = 1_700_000_000_000;

impl Client {
    pub fn new() -> Client {
        Client::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Client {
        Client::from("127.0.0.1:5000", settings)
    }

    /// A client that comes from somewhere.
    pub fn from(address: &str, settings: Settings) -> Client {
        let mut client = Client {
            session: Session::new(Arc::new(settings), 9, address.into(), Now::default()),
            fake: Fake { wall: WALL, ..Fake::default() },
            out: Vec::new(),
            left: Vec::new(),
            next: Next::Read,
        };
        client.session.began = client.now();
        client
    }

    pub fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(1), wall: WallTime(self.fake.wall) }
    }

    /// Hands in bytes without answering any request.
    pub fn send(&mut self, bytes: &[u8]) {
        self.left.extend_from_slice(bytes);
        let progress = self.session.handle_bytes(self.now(), &self.left, &mut self.out, &mut self.fake);
        self.left.drain(..progress.consumed);
        self.next = progress.next;
    }

    /// Answers the request at `at` of those that wait.
    pub fn answer(&mut self, at: usize) {
        let (place, reply) = self.fake.replies.remove(at).expect("a request waits");
        self.session.handle_reply(self.now(), place, reply, &mut self.out, &mut self.fake);
        self.next = self.session.next(self.out.len());
        if self.next == Next::Read {
            self.send(b"");
        }
    }

    /// Answers everything, the newest request first if `backwards`.
    pub fn settle(&mut self, backwards: bool) {
        while !self.fake.replies.is_empty() {
            let at = if backwards { self.fake.replies.len() - 1 } else { 0 };
            self.answer(at);
        }
    }

    /// Sends bytes, answers everything, and returns what came back.
    pub fn talk(&mut self, bytes: &[u8]) -> String {
        self.send(bytes);
        self.settle(false);
        self.taken()
    }

    /// Sends an inline line.
    pub fn line(&mut self, line: &str) -> String {
        self.talk(format!("{line}\r\n").as_bytes())
    }

    /// What came back since the last call.
    pub fn taken(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.out)).into_owned()
    }
}
