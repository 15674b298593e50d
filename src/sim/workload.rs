//! What the simulated clients do: requests on few keys, so that they collide, with values that name the
//! operation they came from.
//!
//! A value is a list of pieces, one for each operation that built it: its number, some dots as ballast,
//! a semicolon. So the oracle can tell from any value whose it is, whatever became of the reply.
//!
//! It decides what to ask; it does not know whether the answer was right.

use core::time::Duration;

use super::clock::{Time, WALL_BASE_MS};
use super::faults::{Kind, Profile};
use super::history::EventSet;
use crate::proto::io::{
    Add, Blind, Edit, ExpiryEdit, ExpiryWhen, Operation, Options, Presence, Request, View,
};
use crate::proto::rng::Rng;

/// A context token, with what its reader had really seen.
#[derive(Clone, Debug)]
pub struct SeenToken {
    /// The token.
    pub token: Vec<u8>,
    /// Every event its reader knew of.
    pub past: EventSet,
    /// The part that the token promised to cover.
    pub claims: EventSet,
    /// The token is of a view that hid siblings: it may cover less than was seen.
    pub partial: bool,
    /// The number that was read, until something is made of it.
    pub number: Option<i64>,
}

/// What one client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read.
    Get,
    /// Put with the client's context, if it has one.
    Put,
    /// The same, only if that covers all that the coordinator holds.
    PutIfSeen,
    /// Put without a context.
    BlindPut(Blind),
    /// Delete with the client's context, if it has one.
    Delete,
    /// Delete without a context.
    BlindDelete(Blind),
    /// A conditional set.
    Set(Presence),
    /// An append.
    Append,
    /// A delete of what R replicas show.
    EditDelete,
    /// A change of the expiry.
    Expire,
    /// An increment.
    Add,
    /// A number in the place of the one that was read.
    AddTo,
    /// An element put into a set, most often a new one.
    AddElement,
    /// An element taken out that was put in before.
    RemoveElement,
    /// A page of a scan.
    Scan {
        /// Where it begins.
        cursor: u64,
        /// About how many keys it has.
        limit: u32,
    },
    /// Something that must be refused.
    Wrong(Wrong),
}

/// Requests that are wrong in themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// More replicas than N.
    TooManyReplicas,
    /// No time at all.
    NoTime,
    /// A token with a bent byte.
    BentToken,
}

impl Action {
    /// Whether it may write.
    pub fn writes(self) -> bool {
        !matches!(self, Action::Get | Action::Scan { .. })
    }

    /// Whether its event is a tombstone.
    pub fn deletes(self) -> bool {
        matches!(self, Action::Delete | Action::BlindDelete(_) | Action::EditDelete | Action::RemoveElement)
    }
}

/// A request of a client, as it was asked.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Number of the operation.
    pub id: u64,
    /// The client.
    pub client: usize,
    /// Which key, by number.
    pub key: usize,
    /// What.
    pub action: Action,
    /// The piece it adds, for writes of values; the element that it is about.
    pub piece: Vec<u8>,
    /// The context it was given.
    pub token: Option<SeenToken>,
    /// The bytes of the context, if they differ from the token's.
    pub bent: Option<Vec<u8>>,
    /// The expiry asked for.
    pub expires_ms: Option<u64>,
    /// Settings.
    pub options: Options,
}

impl Issued {
    /// Whether it reads R replicas and supersedes what it finds; a delete that names no context does.
    pub fn edits(&self) -> bool {
        match self.action {
            Action::Set(_) | Action::Append | Action::EditDelete | Action::Expire => true,
            Action::AddElement | Action::RemoveElement => true,
            Action::Delete => self.token.is_none(),
            Action::BlindDelete(blind) => blind == Blind::Siblings,
            _ => false,
        }
    }

    /// By how much it counts, if it does: what no other operation counts by.
    pub fn by(&self) -> i64 {
        let id = self.id.cast_signed();
        if self.id.is_multiple_of(3) { -id } else { id }
    }

    /// The request to submit.
    pub fn request<'a>(&'a self, keyspace: u16, key: &'a [u8]) -> Request<'a> {
        let token = self.bent.as_deref().or(self.token.as_ref().map(|seen| seen.token.as_slice()));
        let put = |context, blind| Operation::Put {
            value: &self.piece,
            context,
            blind,
            expires_ms: self.expires_ms,
        };
        let operation = match self.action {
            Action::Get | Action::Wrong(Wrong::TooManyReplicas) => Operation::Get,
            Action::Put | Action::Wrong(_) => put(token, Blind::Siblings),
            Action::PutIfSeen => put(token, Blind::Refuse),
            Action::BlindPut(blind) => put(None, blind),
            Action::Delete => Operation::Delete { context: token, blind: Blind::Siblings },
            Action::BlindDelete(blind) => Operation::Delete { context: None, blind },
            Action::Set(when) => Operation::Edit(Edit::Set {
                value: &self.piece,
                when,
                expiry: self.expires_ms.map_or(ExpiryEdit::Clear, ExpiryEdit::At),
            }),
            Action::Append => Operation::Edit(Edit::Append(&self.piece)),
            Action::EditDelete => Operation::Edit(Edit::Delete),
            Action::Expire => Operation::Edit(Edit::Expire {
                expiry: self.expires_ms.map_or(ExpiryEdit::Clear, ExpiryEdit::At),
                when: ExpiryWhen::Always,
            }),
            Action::Add => Operation::Add(Add::By { by: self.by(), id: None }),
            Action::AddTo => {
                let read = self.token.as_ref().expect("it was drawn with one");
                let to = read.number.expect("with a number") + self.by();
                Operation::Add(Add::To { to, context: &read.token })
            }
            Action::AddElement => Operation::Edit(Edit::AddElements(vec![&self.piece])),
            Action::RemoveElement => Operation::Edit(Edit::RemoveElements(vec![&self.piece])),
            Action::Scan { cursor, limit } => Operation::Scan { cursor, limit },
        };
        let key = if matches!(self.action, Action::Scan { .. }) { &[] } else { key };
        Request { keyspace, key, operation, options: self.options }
    }
}

/// The operation that wrote the last piece of a value.
pub fn last_piece(value: &[u8]) -> Option<u64> {
    let body = value.strip_suffix(b";")?;
    let start = body.iter().rposition(|&byte| byte == b';').map_or(0, |at| at + 1);
    let digits = body[start..].split(|&byte| byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One client: what it remembers of the keys it read.
#[derive(Clone, Debug, Default)]
struct Client {
    tokens: Vec<Option<SeenToken>>,
}

/// All clients of a run.
pub struct Workload {
    rng: Rng,
    clients: Vec<Client>,
    /// For each key its keyspace's N, and what it is used as.
    keys: Vec<(u8, Kind)>,
    /// Relative weights of the actions, in the order of [`Workload::draw_action`].
    weights: [u64; 12],
    /// Keys by falling popularity: cumulated weights.
    popularity: Vec<u64>,
    think: Time,
    ballast_max: u64,
    /// Replicas that each write must reach at least.
    w_min: u8,
    /// Whether fallbacks may stand in, two times of three.
    is_sloppy: bool,
    /// Half of the puts with a context are under a condition.
    has_conditions: bool,
    /// Clients delete counts and sets as often as they change them.
    deletes_often: bool,
    /// What was ever put into each set.
    elements: Vec<Vec<Vec<u8>>>,
    next_id: u64,
}

impl Workload {
    /// Clients for keys with these N and uses, as a profile wants them.
    pub fn new(keys: Vec<(u8, Kind)>, profile: &Profile, seed: u64) -> Workload {
        let mut rng = Rng::new(seed);
        let mut weights = [30, 25, 8, 6, 6, 3, 8, 6, 4, 4, 1, 1];
        for weight in &mut weights[1..10] {
            // Another mixture for every run: each kind may be absent, usual or frequent.
            *weight *= [0, 1, 1, 2, 4][rng.below(5) as usize];
        }
        weights[1] = weights[1].max(10);
        if profile.deletes_often {
            [4, 5, 8].into_iter().for_each(|kind| weights[kind] = weights[kind].max(4) * 3);
        }
        let mut total = 0;
        let popularity = (0..keys.len() as u64).map(|rank| {
            total += 10_000 / (rank + 1);
            total
        });
        let popularity = popularity.collect();
        let clients = 3 + rng.below(8) as usize;
        let client = Client { tokens: vec![None; keys.len()] };
        Workload {
            clients: vec![client; clients],
            weights,
            popularity,
            think: 1_000_000 * (10 + rng.below(40)) * if profile.walks { 5 } else { 1 },
            ballast_max: profile.ballast_max.max(if rng.one_in(4) { 4_000 } else { 60 }),
            w_min: profile.w_min,
            is_sloppy: profile.hints.is_some(),
            has_conditions: profile.feeds,
            deletes_often: profile.deletes_often,
            elements: vec![Vec::new(); keys.len()],
            rng,
            keys,
            next_id: 1,
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How long a client thinks before its next turn.
    pub fn think(&mut self) -> Time {
        self.think / 4 + self.rng.below(self.think * 2)
    }

    /// A number below `bound`, for decisions around a request.
    pub fn draw(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    /// Hands a client the context of a read.
    pub fn learn(&mut self, client: usize, key: usize, token: SeenToken) {
        // Now and then a client stays with an old one.
        if !self.rng.one_in(8) {
            self.clients[client].tokens[key] = Some(token);
        }
    }

    /// The next request of a client. `wall_ms` is some clock's time, for expiries.
    pub fn next(&mut self, client: usize, wall_ms: u64) -> Issued {
        let key = self.draw_key();
        let action = match self.keys[key].1 {
            Kind::Bytes => match self.draw_action() {
                Action::Put if self.has_conditions && self.rng.one_in(2) => Action::PutIfSeen,
                action => action,
            },
            Kind::Counter => self.draw_count(),
            Kind::Set => self.draw_of_set(),
        };
        self.issue(client, key, action, wall_ms)
    }

    /// A read of a key with a patient deadline, by R = N if it is to be read from all, or a last write, for the
    /// liveness phase.
    pub fn last(&mut self, key: usize, action: Action, from_all: bool) -> Issued {
        let mut issued = self.issue(0, key, action, WALL_BASE_MS);
        issued.options =
            Options { want_context: true, timeout: Some(Duration::from_secs(5)), ..Options::default() };
        if action == Action::Get && from_all {
            issued.options.r = Some(self.keys[key].0);
        }
        issued.expires_ms = None;
        issued
    }

    /// A page of a walk by R, or by the keyspace's own.
    pub fn page(&mut self, key: usize, action: Action, r: Option<u8>) -> Issued {
        let id = self.next_id;
        self.next_id += 1;
        let options = Options { r, ..Options::default() };
        let (piece, token, bent, expires_ms) = (Vec::new(), None, None, None);
        Issued { id, client: 0, key, action, piece, token, bent, expires_ms, options }
    }

    fn issue(&mut self, client: usize, key: usize, action: Action, wall_ms: u64) -> Issued {
        let id = self.next_id;
        self.next_id += 1;
        let takes_token = matches!(
            action,
            Action::Put
                | Action::PutIfSeen
                | Action::Delete
                | Action::AddTo
                | Action::Wrong(Wrong::BentToken)
        );
        let token = if takes_token { self.clients[client].tokens[key].clone() } else { None };
        let action = match action {
            Action::Wrong(Wrong::BentToken) if token.is_none() => Action::Wrong(Wrong::NoTime),
            Action::AddTo if token.as_ref().is_none_or(|seen| seen.number.is_none()) => Action::Add,
            other => other,
        };
        if action == Action::AddTo
            && let Some(seen) = &mut self.clients[client].tokens[key]
        {
            // Made of it twice, it would count once: another operation's event would have two names.
            seen.number = None;
        }
        let bent = (action == Action::Wrong(Wrong::BentToken)).then(|| {
            let mut bytes = token.as_ref().expect("checked above").token.clone();
            let at = self.rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.rng.below(8);
            bytes
        });
        let mut piece = id.to_string().into_bytes();
        let ballast = self.rng.below(self.ballast_max) as usize;
        piece.resize(piece.len() + ballast, b'.');
        piece.push(b';');
        if matches!(action, Action::AddElement | Action::RemoveElement) {
            piece = self.draw_element(key, action, piece);
        }
        let expires = action == Action::Expire && !self.rng.one_in(4) || self.rng.one_in(20);
        // Half of them so soon that the sweep comes by while clients still ask.
        let most = if self.rng.one_in(2) { 200 } else { 4_000 };
        let expires_ms = expires.then(|| wall_ms + self.rng.below(most));
        let (n, kind) = self.keys[key];
        let mut options = self.draw_options(n);
        options.w = options.w.map(|w| w.max(self.w_min.min(n)));
        match action {
            Action::Wrong(Wrong::NoTime) => options.timeout = Some(Duration::ZERO),
            Action::Wrong(Wrong::TooManyReplicas) => options.r = Some(n + 1),
            // Nothing is promised of a single page, by whomever.
            Action::Scan { .. } => (options.r, options.pr) = (Some(1), None),
            _ => {}
        }
        if kind != Kind::Bytes {
            // What another view shows names no context that it could be compared with.
            options.view = View::All;
        }
        let expires_ms = expires_ms.filter(|_| kind == Kind::Bytes);
        Issued { id, client, key, action, piece, token, bent, expires_ms, options }
    }

    fn draw_key(&mut self) -> usize {
        let total = *self.popularity.last().expect("there is a key");
        let drawn = self.rng.below(total);
        self.popularity.partition_point(|&cumulated| cumulated <= drawn)
    }

    fn draw_action(&mut self) -> Action {
        let total = self.weights.iter().sum();
        let mut drawn = self.rng.below(total);
        let kind = self.weights.iter().position(|&weight| {
            let hit = drawn < weight;
            drawn = drawn.wrapping_sub(weight);
            hit
        });
        match kind.expect("drawn below the total") {
            0 => Action::Get,
            1 => Action::Put,
            2 => Action::BlindPut(Blind::Siblings),
            3 => Action::BlindPut(Blind::Supersede),
            4 => Action::Delete,
            5 => Action::BlindDelete(if self.rng.one_in(2) { Blind::Siblings } else { Blind::Supersede }),
            6 => Action::Append,
            7 => {
                Action::Set([Presence::Any, Presence::Absent, Presence::Present][self.rng.below(3) as usize])
            }
            8 => Action::EditDelete,
            9 => Action::Expire,
            10 => Action::Scan { cursor: 0, limit: 50 },
            _ => Action::Wrong(match self.rng.below(3) {
                0 => Wrong::TooManyReplicas,
                1 => Wrong::NoTime,
                _ => Wrong::BentToken,
            }),
        }
    }

    fn draw_count(&mut self) -> Action {
        let most = if self.deletes_often { 29 } else { 20 };
        match self.rng.below(most) {
            0..6 => Action::Get,
            6..13 => Action::Add,
            13..16 => Action::AddTo,
            16 => Action::Delete,
            17 => Action::BlindDelete(if self.rng.one_in(2) { Blind::Siblings } else { Blind::Supersede }),
            18 | 20.. => Action::EditDelete,
            _ => Action::Wrong(Wrong::NoTime),
        }
    }

    fn draw_of_set(&mut self) -> Action {
        let most = if self.deletes_often { 27 } else { 20 };
        match self.rng.below(most) {
            0..6 => Action::Get,
            6..12 => Action::AddElement,
            12..17 => Action::RemoveElement,
            17 => Action::Delete,
            18 | 20.. => Action::EditDelete,
            _ => Action::Wrong(Wrong::NoTime),
        }
    }

    /// The element that a change is about: one of the last few, so that changes of one element meet, or a new one.
    fn draw_element(&mut self, key: usize, action: Action, piece: Vec<u8>) -> Vec<u8> {
        let known = &mut self.elements[key];
        let is_new = known.is_empty() || (action == Action::AddElement && !self.rng.one_in(3));
        if is_new {
            known.push(piece.clone());
            return piece;
        }
        let back = self.rng.below(known.len().min(6) as u64) as usize;
        known[known.len() - 1 - back].clone()
    }

    fn draw_options(&mut self, n: u8) -> Options {
        let mut some = |one_in: u64, least: u64| {
            let drawn = least + self.rng.below(u64::from(n) + 1 - least);
            self.rng.one_in(one_in).then_some(drawn as u8)
        };
        let (r, w, pr, pw, dw) = (some(5, 1), some(5, 1), some(12, 0), some(12, 0), some(10, 0));
        let view = match self.rng.below(10) {
            0 | 1 => View::Latest,
            2 => View::Majority,
            _ => View::All,
        };
        let timeout =
            if self.rng.one_in(4) { Some(Duration::from_millis(5 << self.rng.below(8))) } else { None };
        let want_context = !self.rng.one_in(10);
        let sloppy = self.is_sloppy && !self.rng.one_in(3);
        Options { r, w, pr, pw, dw, sloppy, view, want_context, text_only: false, timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_of_a_value_names_its_operation() {
        for (value, operation) in [
            (&b"17;"[..], Some(17)),
            (b"17.....;", Some(17)),
            (b"3;44..;", Some(44)),
            (b"", None),
            (b"17", None),
            (b"x;", None),
        ] {
            assert_eq!(last_piece(value), operation, "{value:?}");
        }
    }

    #[test]
    fn every_action_is_drawn_by_some_run() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let mut workload = Workload::new(
                [3, 3, 2].map(|n| (n, Kind::Bytes)).to_vec(),
                &Profile::draw("calm", seed),
                seed,
            );
            seen.extend((0..400).map(|_| format!("{:?}", workload.next(0, 5).action)));
        }
        assert_eq!(seen.len(), 16, "{seen:?}");
    }
}
