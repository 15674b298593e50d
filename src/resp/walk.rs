//! Commands over a whole keyspace: `SCAN`, `Q.SCAN`, `KEYS`, `RANDOMKEY`, `DBSIZE`, `FLUSHDB`, `FLUSHALL`.
//!
//! ```text
//! Q.SCAN cursor [MATCH pattern] [PREFIX prefix] [COUNT n] [R r] [TIMEOUT ms]
//!   → cursor, keys, acked, asked and, only when they are so: weak, layout_changed
//! ```
//!
//! Each is a loop of scan pages; a flush deletes the keys of a page, a bounded number at a time, before
//! it asks for the next. The loop is the connection's only command while it runs, and nothing is locked:
//! what others write meanwhile stays (trap T12), and what a walk that broke off did stays done, so
//! running it again goes on.
//!
//! All of them read by R, by default the keyspace's: so `DBSIZE` is how many keys `KEYS` would name, and a flush
//! deletes whatever a read would show.
//!
//! No place knows all keys, so `RANDOMKEY` draws a random place of the keyspace and then one of the first keys from
//! there on: every key can be drawn, though not all are equally likely.
//!
//! Rule: a page that failed ends the walk with its error. Nothing is answered as a whole that is a part.

use crate::proto::error::Outcome;
use crate::proto::glob::{self, Budget, Selection};
use crate::proto::io::{Achieved, Edit, Kind, Operation, Options, Reply, Request, ScanPage, SiblingView};
use crate::proto::limits::{KEYSPACES_MAX, PATTERN_MAX, PATTERN_STEPS_MAX, SCAN_PAGE_MAX};
use crate::proto::page_token::PageToken;
use crate::proto::rng::Rng;

use super::answer::failure;
use super::limits::{FLUSH_IN_FLIGHT_MAX, KEYS_ANSWER_MAX};
use super::number::{SYNTAX, count_at, integer_at};
use super::order::Place;
use super::parse::Args;
use super::quorum::{Word, flag, number, option, set, shared, text};
use super::reply::{Protocol, Writer};
use super::session::{Handled, Refusal, Session, Turn};
use super::strings::LATEST;
use super::text::{context_from_text, context_text};

/// One of so many keys behind a random place is drawn.
const RANDOM_AMONG: u32 = 16;

/// A walk that is under way.
#[derive(Debug)]
pub struct Walk {
    place: Place,
    purpose: Purpose,
    keyspace: u16,
    protocol: Protocol,
    options: Options,
    limit: u32,
    /// Keys of the page that are still to be deleted.
    doomed: Vec<Vec<u8>>,
    /// Keys of the page to be shown.
    shown: Vec<Vec<u8>>,
    /// Those of which the type is still to be asked for, the last first, and the one that it is asked for of now.
    untold: Vec<Vec<u8>>,
    asked: Option<Vec<u8>>,
    /// Requests in flight.
    waiting: u32,
    /// Where the next page begins; 0 once the keyspace is at its end.
    next: u64,
    found: u64,
    /// Of the last page: by whom it was read, whether weakly, and under which layout.
    achieved: Achieved,
    weak: bool,
    layout_version: u64,
    failure: Option<String>,
}

#[derive(Debug)]
enum Purpose {
    /// One page of keys that match.
    Scan { selection: Selection, kinds: Kinds },
    /// The same, and who said so. `since` is the layout of the page before.
    Page { selection: Selection, since: Option<u64> },
    /// All keys that match, written one after the other.
    Keys { pattern: Vec<u8>, written: Vec<u8> },
    /// How many keys there are.
    Count,
    /// One key, from a random place on; behind the end of the keyspace it goes on at the beginning.
    Random { draw: u64, went_round: bool },
    /// Deletes all keys up to and including a keyspace.
    Flush { last_keyspace: u16 },
}

/// Keys of which type a scan shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    Any,
    Strings,
    Sets,
    /// There are none.
    Others,
}

/// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`
pub fn scan(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let cursor = parsed_cursor(args.at(1)).ok_or(Refusal::Borrowed("ERR invalid cursor"))?;
    let (mut pattern, mut limit, mut kinds) = (None, 10, Kinds::Any);
    for at in (2..args.len()).step_by(2) {
        let value = args.get(at + 1).ok_or(SYNTAX)?;
        if args.is(at, "MATCH") {
            pattern = Some(checked_pattern(value)?);
        } else if args.is(at, "COUNT") {
            limit = limit_at(args, at + 1)?;
        } else if args.is(at, "TYPE") {
            kinds = match value {
                value if value.eq_ignore_ascii_case(b"string") => Kinds::Strings,
                value if value.eq_ignore_ascii_case(b"set") => Kinds::Sets,
                _ => Kinds::Others,
            };
        } else {
            return Err(SYNTAX);
        }
    }
    let (keyspace, selection) = (session.keyspace, Selection { prefix: Vec::new(), pattern });
    begin(session, turn, Purpose::Scan { selection, kinds }, keyspace, (cursor, limit));
    Ok(())
}

/// `Q.SCAN`
pub fn scan_by_quorum(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let keyspace = session.keyspace;
    let token = parsed_token(args.at(1), keyspace)?;
    let (mut pattern, mut prefix, mut limit, mut options) = (None, None, 10, LATEST);
    let mut at = 2;
    while at < args.len() {
        at += match option(args, at)? {
            Word::Match => set(&mut pattern, checked_pattern(args.get(at + 1).ok_or(SYNTAX)?)?),
            Word::Prefix => set(&mut prefix, args.get(at + 1).ok_or(SYNTAX)?.to_vec()),
            Word::Count => {
                limit = limit_at(args, at + 1)?;
                2
            }
            Word::R => set(&mut options.r, count_at(args, at + 1)?),
            Word::Sloppy => return Err(SYNTAX),
            word => shared(word, args, at, &mut options)?,
        };
    }
    let (cursor, since) = (token.map_or(0, |token| token.next), token.map(|token| token.layout_version));
    let selection = Selection { prefix: prefix.unwrap_or_default(), pattern };
    let purpose = Purpose::Page { selection, since };
    begin_with(session, turn, purpose, keyspace, (cursor, limit, options));
    Ok(())
}

/// How many keys a page shall have.
fn limit_at(args: Args<'_>, at: usize) -> Result<u32, Refusal> {
    let count = integer_at(args, at)?;
    if count < 1 {
        return Err(SYNTAX);
    }
    Ok(u32::try_from(count).unwrap_or(u32::MAX).min(SCAN_PAGE_MAX))
}

/// As C reads a number without a sign: nothing is 0, and a minus counts down from 2⁶⁴.
fn parsed_cursor(text: &[u8]) -> Option<u64> {
    match text {
        b"" => Some(0),
        [b'-', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => {
            parsed_cursor(digits).map(u64::wrapping_neg)
        }
        _ => core::str::from_utf8(text).ok()?.parse().ok(),
    }
}

/// The cursor of `Q.SCAN`: a page token as text, like a context; `0` begins, and says that there is no further page.
fn parsed_token(text: &[u8], keyspace: u16) -> Result<Option<PageToken>, Refusal> {
    if text == b"0" {
        return Ok(None);
    }
    match context_from_text(text).and_then(|bytes| PageToken::read(&bytes)) {
        None => Err("ERR invalid cursor: it is neither 0 nor what a page of Q.SCAN gave".into()),
        Some(token) if token.keyspace != keyspace => {
            Err(format!("ERR invalid cursor: it is of keyspace {}", token.keyspace).into())
        }
        Some(token) => Ok(Some(token)),
    }
}

/// `KEYS pattern`
pub fn keys(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let purpose = Purpose::Keys { pattern: checked_pattern(args.at(1))?, written: Vec::new() };
    let keyspace = session.keyspace;
    begin(session, turn, purpose, keyspace, (0, SCAN_PAGE_MAX));
    Ok(())
}

/// `RANDOMKEY`
pub fn random(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let (keyspace, place, draw) = (session.keyspace, session.rng.next_u64(), session.rng.next_u64());
    let purpose = Purpose::Random { draw, went_round: false };
    begin(session, turn, purpose, keyspace, (place, RANDOM_AMONG));
    Ok(())
}

/// `DBSIZE`
pub fn size(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let keyspace = session.keyspace;
    begin(session, turn, Purpose::Count, keyspace, (0, SCAN_PAGE_MAX));
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`
pub fn flush(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let keyspace = session.keyspace;
    flush_keyspaces(session, turn, args, (keyspace, keyspace))
}

/// `FLUSHALL [ASYNC | SYNC]`
pub fn flush_all(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    flush_keyspaces(session, turn, args, (0, KEYSPACES_MAX - 1))
}

/// `ASYNC` is answered at the end too: an answer before it would promise what may yet fail.
fn flush_keyspaces(
    session: &mut Session,
    turn: &mut Turn<'_>,
    args: Args<'_>,
    (first, last): (u16, u16),
) -> Handled {
    if args.len() > 2 || args.len() == 2 && !args.is(1, "ASYNC") && !args.is(1, "SYNC") {
        return Err(SYNTAX);
    }
    begin(session, turn, Purpose::Flush { last_keyspace: last }, first, (0, SCAN_PAGE_MAX));
    Ok(())
}

fn checked_pattern(pattern: &[u8]) -> Result<Vec<u8>, Refusal> {
    if pattern.len() > PATTERN_MAX {
        let limit = PATTERN_MAX;
        return Err(format!("ERR the pattern is longer than {limit} bytes").into());
    }
    Ok(pattern.to_vec())
}

fn begin(
    session: &mut Session,
    turn: &mut Turn<'_>,
    purpose: Purpose,
    keyspace: u16,
    (cursor, limit): (u64, u32),
) {
    begin_with(session, turn, purpose, keyspace, (cursor, limit, LATEST));
}

fn begin_with(
    session: &mut Session,
    turn: &mut Turn<'_>,
    purpose: Purpose,
    keyspace: u16,
    (cursor, limit, options): (u64, u32, Options),
) {
    let protocol = session.protocol;
    session.begin_walk(turn, |place| Walk {
        place,
        purpose,
        keyspace,
        protocol,
        options,
        limit,
        doomed: Vec::new(),
        shown: Vec::new(),
        untold: Vec::new(),
        asked: None,
        waiting: 0,
        next: cursor,
        found: 0,
        achieved: Achieved::default(),
        weak: false,
        layout_version: 0,
        failure: None,
    });
}

impl Walk {
    /// Where its answer goes.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Its requests in flight.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Ends it with the replies that are still to come.
    pub fn stop(&mut self) {
        self.failure.get_or_insert_with(|| "ERR the client has gone".to_owned());
    }

    /// Submits the request for the next page.
    pub fn submit_page(&mut self, turn: &mut Turn<'_>) {
        self.submit(turn, b"", Operation::Scan { cursor: self.next, limit: self.limit });
    }

    /// Takes the reply to one of its requests and submits what comes next. Returns the answer once there
    /// is one.
    pub fn handle_reply(&mut self, reply: Reply, turn: &mut Turn<'_>) -> Option<Vec<u8>> {
        self.waiting -= 1;
        match reply {
            Reply { outcome: Outcome::Ok, page: Some(page), achieved, weak, .. } => {
                (self.achieved, self.weak, self.layout_version) = (achieved, weak, page.layout_version);
                self.take_page(*page);
            }
            Reply { outcome: Outcome::Ok | Outcome::NotFound, ref siblings, .. } if self.asked.is_some() => {
                let wants_sets = matches!(self.purpose, Purpose::Scan { kinds: Kinds::Sets, .. });
                let is_wanted = |newest: &SiblingView| (newest.kind == Kind::Element) == wants_sets;
                self.shown.extend(self.asked.take().filter(|_| siblings.first().is_some_and(is_wanted)));
            }
            Reply { outcome: Outcome::Ok, page: None, .. } => self.found += u64::from(reply.applied),
            // Somebody else deleted it.
            Reply { outcome: Outcome::NotFound, .. } => {}
            failed => {
                self.failure.get_or_insert_with(|| failure(&failed));
            }
        }
        if self.failure.is_some() {
            self.doomed.clear();
            self.untold.clear();
        }
        while self.waiting < FLUSH_IN_FLIGHT_MAX {
            let Some(key) = self.doomed.pop() else { break };
            self.submit(turn, &key, Operation::Edit(Edit::Delete));
        }
        // Replies do not name their keys, so one key is asked about at a time.
        if self.waiting == 0
            && let Some(key) = self.untold.pop()
        {
            let request =
                Request { keyspace: self.keyspace, key: &key, operation: Operation::Get, options: LATEST };
            turn.backend.submit(self.place, &request);
            (self.waiting, self.asked) = (1, Some(key));
        }
        if self.waiting > 0 {
            return None;
        }
        if self.failure.is_none() && self.goes_on() {
            self.submit_page(turn);
            return None;
        }
        Some(self.answer())
    }

    fn submit(&mut self, turn: &mut Turn<'_>, key: &[u8], operation: Operation<'_>) {
        self.waiting += 1;
        let request = Request { keyspace: self.keyspace, key, operation, options: self.options };
        turn.backend.submit(self.place, &request);
    }

    /// Whether another page is wanted; moves to the next keyspace at the end of one.
    fn goes_on(&mut self) -> bool {
        match self.purpose {
            Purpose::Random { .. } if !self.shown.is_empty() => false,
            Purpose::Random { ref mut went_round, .. } if self.next == 0 => {
                !core::mem::replace(went_round, true)
            }
            Purpose::Scan { .. } | Purpose::Page { .. } => false,
            Purpose::Flush { last_keyspace } if self.next == 0 && self.keyspace < last_keyspace => {
                self.keyspace += 1;
                true
            }
            _ => self.next != 0,
        }
    }

    fn take_page(&mut self, mut page: ScanPage) {
        self.next = page.next;
        let too_costly = "ERR the pattern takes too many steps to match";
        match &mut self.purpose {
            Purpose::Count => self.found += page.keys.len() as u64,
            Purpose::Flush { .. } => self.doomed = page.keys,
            Purpose::Scan { kinds: Kinds::Others, .. } => {}
            Purpose::Random { .. } => self.shown = page.keys,
            Purpose::Scan { selection, .. } | Purpose::Page { selection, .. } => {
                if selection.keep(&mut page.keys).is_err() {
                    self.failure = Some(too_costly.to_owned());
                }
                match self.purpose {
                    Purpose::Scan { kinds: Kinds::Strings | Kinds::Sets, .. } => {
                        page.keys.reverse();
                        self.untold = page.keys;
                    }
                    _ => self.shown = page.keys,
                }
            }
            Purpose::Keys { pattern, written } => {
                let mut budget = Budget(PATTERN_STEPS_MAX);
                for key in &page.keys {
                    match glob::matches(pattern, key, &mut budget) {
                        Ok(false) => {}
                        Ok(true) => {
                            self.found += 1;
                            Writer::new(written, self.protocol).bulk(key);
                        }
                        Err(_) => self.failure = Some(too_costly.to_owned()),
                    }
                }
                if written.len() > KEYS_ANSWER_MAX {
                    let limit = KEYS_ANSWER_MAX >> 20;
                    self.failure = Some(format!("ERR the keys are more than {limit} MiB; use SCAN"));
                }
            }
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, self.protocol);
        if let Some(failure) = &self.failure {
            match self.purpose {
                Purpose::Flush { .. } => {
                    writer.error(&format!("{failure} (after {} keys were deleted)", self.found));
                }
                _ => writer.error(failure),
            }
            return bytes;
        }
        match &self.purpose {
            Purpose::Count => writer.count(self.found),
            Purpose::Flush { .. } => writer.ok(),
            Purpose::Random { .. } if self.shown.is_empty() => writer.null(),
            Purpose::Random { draw, .. } => {
                let drawn = Rng::new(*draw).below(self.shown.len() as u64);
                writer.bulk(&self.shown[drawn as usize]);
            }
            Purpose::Keys { written, .. } => {
                writer.array(self.found as usize);
                bytes.extend_from_slice(written);
            }
            Purpose::Scan { .. } => {
                writer.array(2);
                writer.bulk(self.next.to_string().as_bytes());
                self.write_keys(&mut writer);
            }
            Purpose::Page { since, .. } => self.write_page(&mut writer, *since),
        }
        bytes
    }

    fn write_keys(&self, writer: &mut Writer<'_>) {
        writer.array(self.shown.len());
        self.shown.iter().for_each(|key| writer.bulk(key));
    }

    fn write_page(&self, writer: &mut Writer<'_>, since: Option<u64>) {
        let (keyspace, layout_version) = (self.keyspace, self.layout_version);
        let cursor = match self.next {
            0 => "0".to_owned(),
            next => context_text(&PageToken { keyspace, layout_version, next }.to_bytes()),
        };
        let is_changed = since.is_some_and(|since| since != layout_version);
        let flags = [("weak", self.weak), ("layout_changed", is_changed)];
        let flags = || flags.iter().filter(|(_, is_so)| *is_so);
        writer.map(4 + flags().count());
        text(writer, "cursor", &cursor);
        writer.bulk(b"keys");
        self.write_keys(writer);
        number(writer, "acked", u64::from(self.achieved.acked));
        number(writer, "asked", u64::from(self.achieved.asked));
        flags().for_each(|(name, is_so)| flag(writer, name, *is_so));
    }
}
