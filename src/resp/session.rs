//! One client's connection: bytes and replies in, requests and bytes out.
//!
//! The driver's loop:
//!
//! 1. Bytes came: call [`Session::handle_bytes`] with everything that was not consumed before, then drop
//!    the bytes it consumed.
//! 2. The node answered: call [`Session::handle_reply`].
//! 3. After either, write `out`. Once some of it is written, and after replies, ask [`Session::next`]: on
//!    [`Next::Read`] hand in the bytes that are left and read on, on [`Next::Wait`] leave the socket
//!    unread (that is the back-pressure), on [`Next::Close`] read no more.
//! 4. The client has sent its last byte: call [`Session::handle_end`], then `handle_bytes` as in 1 with
//!    what is left, even if that is nothing.
//! 5. [`Session::is_done`] and `out` written: close. A connection that breaks earlier is
//!    [abandoned](Session::abandon) and kept, without its socket, until [`Session::in_flight`] is 0, so
//!    that its number is not used twice.
//!
//! Rule: a session has at most [`SLOTS_MAX`](super::limits::SLOTS_MAX) requests in flight and stops
//! taking commands while more than [`REPLIES_MAX`] bytes of replies wait.
//! No command allocates on its way in; its arguments are borrowed from the driver's buffer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::io::{Operation, Options, Reply, Request};
use crate::proto::limits::{KEY_MAX, VALUE_MAX_DEFAULT};
use crate::proto::node::{Owners, Status};
use crate::proto::rng::Rng;
use crate::proto::time::Now;

use super::answer::Shape;
use super::command::{self, Command, Keys, Run};
use super::limits::{self, REPLIES_MAX};
use super::order::{Order, Slot};
use super::overlap::{Access, Overlap, key_hash};
use super::parse::{Args, ParseLimits, Parsed, Parser};
use super::reply::{Protocol, Writer};
use super::store;
use super::strings;
use super::walk::Walk;

pub use super::order::Place;

/// What a session needs of the node and of the driver around it.
pub trait Backend {
    /// Submits a request to the node. Exactly one reply comes back through [`Session::handle_reply`] with
    /// the same place: later, never from inside this call. What is borrowed is copied before it returns.
    fn submit(&mut self, place: Place, request: &Request<'_>);

    /// Whether writes shall wait in the client's input for now. [`Session::is_held`] says that one does; the input
    /// is handed in again once they need not.
    fn holds_back(&mut self) -> bool {
        false
    }

    /// What the node knows of itself and its cluster.
    fn status(&self) -> Status;

    /// Where a key lives.
    fn owners(&self, keyspace: u16, key: &[u8]) -> Owners;

    /// What the driver knows of this process.
    fn server(&self) -> ServerInfo;

    /// Begins a backup of the node's records to a directory. Its end comes back through
    /// [`Session::handle_backup`] with the same place: later, never from inside this call.
    ///
    /// # Errors
    /// Nothing was begun, and nothing will come: what is wrong, in words.
    fn back_up(&mut self, place: Place, directory: &[u8]) -> Result<(), String> {
        let _ = (place, directory);
        Err("this node cannot make backups".to_owned())
    }

    /// How long it is since the copies of each partition held here were last all found equal, or made so.
    fn verified(&self) -> Vec<(u16, Duration)> {
        Vec::new()
    }

    /// Compares all copies held here with everybody's, now; false if this node never does.
    fn compare_all(&mut self) -> bool {
        false
    }

    /// Cuts the node off from all others, or lets it back; false where no client may do that.
    fn isolate(&mut self, on: bool) -> bool {
        let _ = on;
        false
    }

    /// The [`Session::describe`] lines of all other connections, for `CLIENT LIST`.
    fn clients(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What `INFO` tells about the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The TCP port that clients use; 0 if there is none.
    pub tcp_port: u16,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Connections of clients now.
    pub connected_clients: u64,
    /// Connections of clients so far.
    pub connections_received: u64,
    /// Commands so far.
    pub commands_processed: u64,
    /// Resident memory in bytes; 0 if unknown.
    pub used_memory: u64,
    /// When an acknowledgement is given: `memory`, `interval` or `always`.
    pub durability: &'static str,
    /// Where the data lies; empty for a store in memory.
    pub directory: String,
}

/// What all sessions of a node share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The password that `AUTH` asks for; without one every connection may do everything.
    pub password: Option<Vec<u8>>,
    /// Largest value in bytes; the parser refuses longer arguments.
    pub value_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { password: None, value_max: VALUE_MAX_DEFAULT }
    }
}

/// Why a command was refused: its error line, without the dash.
pub type Refusal = Cow<'static, str>;

/// What a handler of a command says: it has answered or submitted, or the command is refused.
pub type Handled = Result<(), Refusal>;

/// What one call into the session may use.
pub struct Turn<'a> {
    /// What time it is.
    pub now: Now,
    /// Where replies go.
    pub out: &'a mut Vec<u8>,
    /// The node.
    pub backend: &'a mut dyn Backend,
}

/// What the driver shall do next with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Hand in more bytes as they come.
    Read,
    /// Read nothing; ask again after replies were handled or output was written.
    Wait,
    /// Read no more.
    Close,
}

/// What became of the bytes handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many were consumed; the rest must be handed in again, with what followed.
    pub consumed: usize,
    /// What to do next.
    pub next: Next,
}

/// Whether commands are answered (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    On,
    Off,
    /// Not this command (the one that is carried out now), but the next.
    SkipNext,
    /// Not this one.
    Skip,
}

/// What became of a command that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Done,
    /// An earlier command must end first.
    Stalled,
    /// There is no room for another request.
    Full,
}

/// A connection's state.
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) id: u64,
    pub(super) address: String,
    pub(super) name: Vec<u8>,
    pub(super) library: (Vec<u8>, Vec<u8>),
    pub(super) began: Now,
    /// When bytes came last.
    pub(super) active: Now,
    pub(super) last_command: &'static str,
    pub(super) keyspace: u16,
    pub(super) protocol: Protocol,
    pub(super) authenticated: bool,
    pub(super) answers: Answers,
    pub(super) closing: bool,
    /// The client will send no more.
    has_ended: bool,
    pub(super) order: Order,
    pub(super) walk: Option<Box<Walk>>,
    /// Draws random keys; nothing secret.
    pub(super) rng: Rng,
    parser: Parser,
    overlap: Overlap,
    /// The overlap table holds the commands in flight, if there are any.
    overlap_noted: bool,
    /// The key of the command that is carried out now, for its slot.
    key: (u32, Access),
    /// The next key of a command on several keys that was not submitted as a whole yet.
    scattered: usize,
    /// The command at the front waits until nothing is in flight.
    stalled: bool,
    /// A write waits for the node to take any.
    is_held: bool,
}

impl Session {
    /// A new connection. `id` is its number for `CLIENT ID`, `address` its other side for `CLIENT LIST`.
    pub fn new(settings: Arc<Settings>, id: u64, address: String, now: Now) -> Session {
        let authenticated = settings.password.is_none();
        Session {
            settings,
            id,
            address,
            name: Vec::new(),
            library: (Vec::new(), Vec::new()),
            began: now,
            active: now,
            last_command: "NULL",
            keyspace: 0,
            protocol: Protocol::Resp2,
            authenticated,
            answers: Answers::On,
            closing: false,
            has_ended: false,
            order: Order::default(),
            walk: None,
            rng: Rng::new(now.mono.as_nanos() ^ id.rotate_left(32)),
            parser: Parser::default(),
            overlap: Overlap::default(),
            overlap_noted: false,
            key: (0, Access::None),
            scattered: 0,
            stalled: false,
            is_held: false,
        }
    }

    /// Takes bytes of the client: all that were not consumed yet, from the first on. Requests go to the
    /// backend, answers to `out`.
    pub fn handle_bytes(
        &mut self,
        now: Now,
        bytes: &[u8],
        out: &mut Vec<u8>,
        backend: &mut dyn Backend,
    ) -> Progress {
        let mut turn = Turn { now, out, backend };
        let mut consumed = 0;
        self.active = now;
        self.is_held = false;
        while self.next(turn.out.len()) == Next::Read {
            let rest = &bytes[consumed..];
            let length = match self.parser.parse(rest, &self.parse_limits()) {
                Ok(Parsed::Command(length)) => {
                    match self.execute(rest, length, &mut turn) {
                        Flow::Done => {}
                        Flow::Stalled => {
                            self.stalled = true;
                            break;
                        }
                        Flow::Full => break,
                    }
                    length
                }
                Ok(Parsed::Nothing(length)) => length,
                Ok(Parsed::Incomplete) => {
                    self.closing = self.has_ended;
                    break;
                }
                Err(error) => {
                    self.answers = Answers::On;
                    self.answer(&mut turn, |writer| {
                        writer.error(&format!("ERR Protocol error: {}", error.0))
                    });
                    self.closing = true;
                    break;
                }
            };
            consumed += length;
            self.parser.finish();
        }
        Progress { consumed, next: self.next(turn.out.len()) }
    }

    /// Takes the node's reply to the request that was submitted with `place`.
    pub fn handle_reply(
        &mut self,
        now: Now,
        place: Place,
        reply: Reply,
        out: &mut Vec<u8>,
        backend: &mut dyn Backend,
    ) {
        match self.walk.take_if(|walk| walk.place() == place) {
            None => self.order.complete(now, place, reply, out),
            Some(walk) => self.handle_walk_reply(walk, reply, &mut Turn { now, out, backend }),
        }
        if self.order.is_empty() {
            self.stalled = false;
        }
    }

    /// Takes the end of the backup that was begun with `place`.
    pub fn handle_backup(&mut self, place: Place, result: &Result<(), String>, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, self.protocol);
        match result {
            Ok(()) => writer.ok(),
            Err(problem) => writer.error(&store::backup_error(problem)),
        }
        self.order.count_in_flight(-1);
        self.order.fill(place, bytes, out);
        if self.order.is_empty() {
            self.stalled = false;
        }
    }

    /// A walk shares one place among all its requests.
    fn handle_walk_reply(&mut self, mut walk: Box<Walk>, reply: Reply, turn: &mut Turn<'_>) {
        let before = walk.waiting();
        let answer = walk.handle_reply(reply, turn);
        self.order.count_in_flight(i64::from(walk.waiting()) - i64::from(before));
        match answer {
            None => self.walk = Some(walk),
            Some(bytes) => self.order.fill(walk.place(), bytes, turn.out),
        }
    }

    /// Nobody is there any more to be answered: a walk over a keyspace stops at its next reply.
    pub fn abandon(&mut self) {
        self.closing = true;
        if let Some(walk) = &mut self.walk {
            walk.stop();
        }
    }

    /// The client sends no more bytes. The whole commands among those not consumed yet are still carried
    /// out: go on as before, with [`Session::handle_bytes`] whenever [`Session::next`] says `Read`.
    pub fn handle_end(&mut self) {
        self.has_ended = true;
    }

    /// What the driver shall do while `unsent` bytes of replies are not written.
    pub fn next(&self, unsent: usize) -> Next {
        let unsent_max = if self.authenticated { REPLIES_MAX } else { limits::UNSENT_MAX_UNAUTHENTICATED };
        if self.closing {
            Next::Close
        } else if self.stalled
            || self.is_held
            || self.walk.is_some()
            || unsent >= unsent_max
            || !self.order.has_room(unsent)
        {
            Next::Wait
        } else {
            Next::Read
        }
    }

    /// A write waits, as [`Backend::holds_back`] said.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Replies of the node that are still to come.
    pub fn in_flight(&self) -> u32 {
        self.order.in_flight()
    }

    /// No reply will follow: close once everything was written.
    pub fn is_done(&self) -> bool {
        self.closing && self.order.is_empty()
    }

    /// Whether the client has proved its password, or need not.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Whether the client may have files written: it has given the password that is asked for, or is on this
    /// machine.
    pub(super) fn is_trusted(&self) -> bool {
        let is_local = match self.address.parse::<core::net::SocketAddr>() {
            Ok(address) => address.ip().to_canonical().is_loopback(),
            // The path of a Unix socket: the other side of TCP always has an address.
            Err(_) => true,
        };
        self.authenticated && (self.settings.password.is_some() || is_local)
    }

    /// Gives back memory that only a busy connection needs. Call it when one falls idle.
    pub fn release(&mut self) {
        if self.order.is_empty() {
            self.order.release();
            self.overlap.release();
        }
    }

    fn parse_limits(&self) -> ParseLimits {
        if !self.authenticated {
            return ParseLimits {
                arguments: limits::ARGUMENTS_MAX_UNAUTHENTICATED,
                bulk: limits::ARGUMENT_MAX_UNAUTHENTICATED,
                query: limits::QUERY_MAX_UNAUTHENTICATED,
                unauthenticated: true,
            };
        }
        // A key or an option may be longer than the largest value of a small store.
        let bulk = self.settings.value_max.max(KEY_MAX + 1);
        ParseLimits {
            arguments: limits::ARGUMENTS_MAX,
            bulk,
            query: 2 * bulk + limits::FRAMING_MAX,
            unauthenticated: false,
        }
    }

    /// Carries out the command that the parser found.
    fn execute(&mut self, bytes: &[u8], length: usize, turn: &mut Turn<'_>) -> Flow {
        let taken = self.parser.take();
        let args = Args::new(if self.parser.is_inline() { &taken.1 } else { bytes }, &taken.0);
        let flow = match command::find(args) {
            Ok(command) => self.start(command, args, bytes.len() > length, turn),
            Err(_) if command::is_http(args.at(0)) => {
                self.closing = true;
                Err("ERR this is no HTTP server".into())
            }
            Err(refusal) => Err(refusal),
        };
        self.parser.put_back(taken);
        let flow = flow.unwrap_or_else(|refusal| {
            self.answer(turn, |writer| writer.error(&refusal));
            Flow::Done
        });
        if flow == Flow::Done {
            self.scattered = 0;
            self.answers = match self.answers {
                Answers::SkipNext => Answers::Skip,
                Answers::Skip => Answers::On,
                other => other,
            };
        }
        flow
    }

    fn start(
        &mut self,
        command: &'static Command,
        args: Args<'_>,
        more: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Flow, Refusal> {
        if !self.authenticated && !command.before_auth {
            return Err("NOAUTH Authentication required.".into());
        }
        let is_plain = usize::from(command.plain) == args.len();
        let access = if is_plain { Access::Write } else { command.access };
        // What was scattered in part goes on.
        if command.is_for_keys() && access.writes() && self.scattered == 0 && turn.backend.holds_back() {
            self.is_held = true;
            return Ok(Flow::Full);
        }
        self.last_command = command.name;
        self.key = (0, Access::None);
        match command.run {
            Run::Once(handler) => {
                if let Some(key) = command.key_at().and_then(|at| args.get(at))
                    && !self.admit(key_hash(self.keyspace, key), access, more)
                {
                    return Ok(Flow::Stalled);
                }
                handler(self, turn, args).map(|()| Flow::Done)
            }
            Run::Alone(handler) => {
                if !self.order.is_empty() {
                    return Ok(Flow::Stalled);
                }
                handler(self, turn, args).map(|()| Flow::Done)
            }
            Run::EachKey(each) => self.scatter(command, each, args, turn),
        }
    }

    /// Whether a command on this key may go beside those in flight. A command that is alone is noted
    /// nowhere: most connections wait for each reply and shall not pay for those that do not.
    fn admit(&mut self, hash: u32, access: Access, more: bool) -> bool {
        self.key = (hash, access);
        if self.order.is_empty() {
            self.overlap_noted = false;
            if !more {
                return true;
            }
        }
        if !self.overlap_noted {
            self.overlap.begin();
            self.overlap_noted = true;
            for (hash, access) in self.order.accesses() {
                let admitted = self.overlap.admit(hash, access);
                debug_assert!(admitted, "what is in flight was admitted alone");
            }
        }
        self.overlap.admit(hash, access)
    }

    /// Submits a command's keys one by one, as far as there is room and no earlier command is in the
    /// way. The command stays at the front of the bytes until all are submitted.
    fn scatter(
        &mut self,
        command: &Command,
        each: command::EachKey,
        args: Args<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Flow, Refusal> {
        let step = if command.keys == Keys::Pairs { 2 } else { 1 };
        if !(args.len() - 1).is_multiple_of(step) {
            return Err(command::wrong_arity(command.name));
        }
        while 1 + self.scattered * step < args.len() {
            if !self.order.has_room(turn.out.len()) {
                return Ok(Flow::Full);
            }
            let at = 1 + self.scattered * step;
            if !self.admit(key_hash(self.keyspace, args.at(at)), command.access, true) {
                return Ok(Flow::Stalled);
            }
            self.scattered += 1;
            let options = strings::LATEST;
            self.request(turn, Slot::Part(each.part), args.at(at), (each.operation)(args, at), options);
        }
        let muted = self.is_muted();
        self.order.push_end(each.gather, self.protocol, muted, turn.out);
        Ok(Flow::Done)
    }

    /// Begins a backup whose end goes to a new slot.
    pub(super) fn begin_backup(&mut self, turn: &mut Turn<'_>, directory: &[u8]) -> Handled {
        let place = self.order.push(Slot::Filled, self.protocol, self.is_muted(), self.key);
        turn.backend.back_up(place, directory).map_err(|problem| {
            self.order.take_back(place);
            store::backup_error(&problem).into()
        })
    }

    /// Submits a request whose reply goes to a new slot.
    pub(super) fn request(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        key: &[u8],
        operation: Operation<'_>,
        options: Options,
    ) {
        let request = Request { keyspace: self.keyspace, key, operation, options };
        let place = self.order.push(slot, self.protocol, self.is_muted(), self.key);
        turn.backend.submit(place, &request);
    }

    /// Submits a read whose answer tells of these elements.
    pub(super) fn request_about(&mut self, turn: &mut Turn<'_>, shape: Shape, args: Args<'_>) {
        let request = Request {
            keyspace: self.keyspace,
            key: args.at(1),
            operation: Operation::Get,
            options: strings::LATEST,
        };
        let place = self.order.push(Slot::Answer(shape), self.protocol, self.is_muted(), self.key);
        self.order.ask(place, args.from(2).map(<[u8]>::to_vec).collect());
        turn.backend.submit(place, &request);
    }

    /// Begins a walk with its first request.
    pub(super) fn begin_walk(&mut self, turn: &mut Turn<'_>, begin: impl FnOnce(Place) -> Walk) {
        let place = self.order.push(Slot::Filled, self.protocol, self.is_muted(), self.key);
        let mut walk = Box::new(begin(place));
        walk.submit_page(turn);
        self.walk = Some(walk);
    }

    /// Answers the command that is carried out, after those before it.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>, write: impl FnOnce(&mut Writer<'_>)) {
        if !self.is_muted() {
            self.order.answer(self.protocol, turn.out, write);
        }
    }

    /// `+OK`, after the answers of the commands before it.
    pub(super) fn answer_ok(&mut self, turn: &mut Turn<'_>) {
        self.answer(turn, |writer| writer.ok());
    }

    fn is_muted(&self) -> bool {
        matches!(self.answers, Answers::Off | Answers::Skip)
    }
}
