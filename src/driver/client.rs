//! The connections of RESP clients: accepting them, feeding their bytes to their sessions, and their
//! sessions' requests to the core.
//!
//! A connection's number is part of each of its requests' ids. It is given to another connection only
//! after the last reply has come, so a reply never reaches a connection that did not ask.
//!
//! Back-pressure is the session's: while it says *wait*, the socket is not read, and TCP tells the client.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Registry, Token};

use super::event_loop;
use super::gossip::Detector;
use super::limits::{
    ACCEPT_PAUSE, ACCEPTS_PER_TURN, COMMAND_TIME_MAX, HELD_FAIR, HELD_MAX, IDLE, SHORTAGE_LOOK, SHORTAGE_MAX,
    UNREAD_MAX, UNREAD_TIME_MAX, UNSENT_MAX,
};
use super::listener::Listener;
use super::log::{Level, Logger};
use super::slots::Slots;
use super::socket::{Found, Inbox, Socket, Stream};
use super::storage::Storage;
use crate::proto::io::{Reply, Request, RequestId};
use crate::proto::node::{Node, Owners, Status};
use crate::proto::time::{Instant, Now};
use crate::resp::{Backend, Next, Place, ServerInfo, Session, Settings};

/// What the parts of a turn work with.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) node: &'a mut Node<Storage>,
    pub(super) detector: &'a mut Option<Detector>,
    /// Where sockets are read into; its content means nothing between two reads.
    pub(super) buffer: &'a mut [u8],
    pub(super) registry: &'a Registry,
    pub(super) log: &'a Logger,
}

/// What is told about the process besides what the core knows.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) started: Instant,
    pub(super) durability: &'static str,
    pub(super) directory: String,
    /// What cuts the node off from the others, where clients may do that.
    pub(super) isolation: Option<Arc<AtomicBool>>,
}

/// One connection.
struct Client {
    /// `None` once it broke; it is kept until its last reply came.
    socket: Option<Socket>,
    session: Session,
    inbox: Inbox,
    /// Bytes that it makes us hold, as last counted.
    held: usize,
    /// When bytes last came or left.
    active: Instant,
    /// The client has ended its side.
    ended: bool,
    /// Stands in [`Clients::ready`].
    queued: bool,
    /// Stands in [`Clients::dirty`].
    dirty: bool,
    /// Stands in [`Clients::resumed`].
    resumed: bool,
    /// Its buffers were given back since it was last active.
    released: bool,
}

/// All connections of clients and their listeners.
pub(super) struct Clients {
    slots: Slots<Client>,
    listeners: Vec<Listener>,
    addresses: Vec<SocketAddr>,
    settings: Arc<Settings>,
    facts: Facts,
    clients_max: usize,
    /// The poll's token of connection 0.
    first_token: usize,
    /// Connections that can be read at once.
    ready: Vec<u32>,
    /// Connections with bytes to write.
    dirty: Vec<u32>,
    /// Connections whose unread input may be looked at again, since replies came.
    resumed: Vec<u32>,
    /// Bytes that all connections make us hold.
    held: usize,
    received: u64,
    commands: u64,
    /// Who waits for the backup that is under way.
    backup: Option<(u32, Place)>,
    /// No more commands are taken.
    finishing: bool,
    /// Since when the log is short of room, as a write met it; when that is looked at again.
    short_since: Option<Instant>,
    look_at: Instant,
    /// Connections with a write that waits for room.
    waiting: Vec<u32>,
    /// When accepting goes on after a pause.
    accept_at: Instant,
    /// When connections are next looked through for those to release or let go.
    sweep_at: Instant,
}

/// The session's way to the core.
struct Gateway<'a> {
    node: &'a mut Node<Storage>,
    detector: Option<&'a Detector>,
    now: Now,
    at: u32,
    /// Writes may wait while the log is short of room.
    may_wait: bool,
    commands: &'a mut u64,
    backup: &'a mut Option<(u32, Place)>,
    received: u64,
    facts: &'a Facts,
    addresses: &'a [SocketAddr],
    others: &'a Slots<Client>,
}

impl Backend for Gateway<'_> {
    fn submit(&mut self, place: Place, request: &Request<'_>) {
        *self.commands += 1;
        self.node.handle_request(self.now, request_id(self.at, place), request);
    }

    fn holds_back(&mut self) -> bool {
        self.may_wait && self.node.store_mut().is_short_of_room()
    }

    fn status(&self) -> Status {
        event_loop::status(self.node, self.detector, self.now)
    }

    fn owners(&self, keyspace: u16, key: &[u8]) -> Owners {
        self.node.owners(keyspace, key)
    }

    fn server(&self) -> ServerInfo {
        ServerInfo {
            tcp_port: self.addresses.first().map_or(0, SocketAddr::port),
            uptime_seconds: self.now.mono.since(self.facts.started).as_secs(),
            connected_clients: self.others.len() as u64,
            connections_received: self.received,
            commands_processed: *self.commands,
            used_memory: resident_bytes(),
            durability: self.facts.durability,
            directory: self.facts.directory.clone(),
        }
    }

    fn back_up(&mut self, place: Place, directory: &[u8]) -> Result<(), String> {
        let directory = Path::new(OsStr::from_bytes(directory));
        self.node.store_mut().begin_backup(directory)?;
        *self.backup = Some((self.at, place));
        Ok(())
    }

    fn verified(&self) -> Vec<(u16, Duration)> {
        self.node.verified(self.now.mono)
    }

    fn compare_all(&mut self) -> bool {
        self.node.compare_all(self.now)
    }

    fn isolate(&mut self, on: bool) -> bool {
        self.facts.isolation.iter().for_each(|isolation| isolation.store(on, Ordering::Release));
        self.facts.isolation.is_some()
    }

    fn clients(&self) -> Vec<String> {
        let others = self.others.iter().filter(|(_, client)| client.socket.is_some());
        others.map(|(_, client)| client.session.describe(self.now)).collect()
    }
}

/// Resident memory of this process; 0 if the system does not tell.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// The id of a client's request: which connection, and which of its places.
fn request_id(at: u32, place: Place) -> RequestId {
    RequestId(u64::from(at) << 32 | u64::from(place.0))
}

impl Clients {
    pub(super) fn new(
        listeners: Vec<Listener>,
        settings: Settings,
        facts: Facts,
        clients_max: usize,
        first_token: usize,
    ) -> Clients {
        let addresses = listeners.iter().filter_map(Listener::address).collect();
        Clients {
            slots: Slots::new(),
            listeners,
            addresses,
            settings: Arc::new(settings),
            facts,
            clients_max,
            first_token,
            ready: Vec::new(),
            dirty: Vec::new(),
            resumed: Vec::new(),
            held: 0,
            received: 0,
            commands: 0,
            backup: None,
            finishing: false,
            short_since: None,
            look_at: Instant::NEVER,
            waiting: Vec::new(),
            accept_at: Instant::NEVER,
            sweep_at: Instant::NEVER,
        }
    }

    /// The TCP addresses that were bound.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Puts the listeners under the poll's eyes, from `first_token` on.
    pub(super) fn register_listeners(
        &mut self,
        registry: &Registry,
        first_token: usize,
    ) -> std::io::Result<()> {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            listener.register(registry, Token(first_token + at))?;
        }
        Ok(())
    }

    /// Connections may wait at a listener.
    pub(super) fn handle_listener_event(&mut self, at: usize) {
        if let Some(listener) = self.listeners.get_mut(at) {
            listener.ready = true;
        }
    }

    /// An event of the poll for a connection.
    pub(super) fn handle_event(&mut self, at: u32, event: &mio::event::Event) {
        let Some(client) = self.slots.get_mut(at) else { return };
        let Some(socket) = &mut client.socket else { return };
        socket.handle_event(event);
        if socket.readable && !client.queued {
            client.queued = true;
            self.ready.push(at);
        }
        if socket.can_write() && !client.dirty {
            client.dirty = true;
            self.dirty.push(at);
        }
    }

    /// Whether something can be done without waiting for an event or a timer.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.resumed.is_empty()
            || !self.dirty.is_empty()
            || (self.accept_at == Instant::NEVER && self.listeners.iter().any(|listener| listener.ready))
    }

    /// When [`Clients::handle_timers`] has something to do.
    pub(super) fn deadline(&self) -> Instant {
        self.accept_at.min(self.sweep_at).min(self.look_at)
    }

    /// Accepts what waits, and reads up to `budget` connections once each. Returns how many it read.
    pub(super) fn read_ready(&mut self, turn: &mut Turn<'_>, budget: usize) -> usize {
        self.accept_ready(turn);
        self.end_shortage(turn);
        let count = self.ready.len().min(budget);
        // What becomes ready meanwhile goes behind them, for the next turn.
        for next in 0..count {
            let at = self.ready[next];
            self.read(at, turn);
        }
        self.ready.drain(..count);
        count
    }

    /// Who writes without a pause is slowed down to what compaction clears away: writes wait while the log is short of
    /// room, as long as that may take; then they go on, and may be refused.
    fn end_shortage(&mut self, turn: &mut Turn<'_>) {
        if self.short_since.is_none() {
            return;
        }
        let is_short = turn.node.store_mut().is_short_of_room();
        if is_short && self.may_wait(turn.now.mono) {
            self.look_at = turn.now.mono + SHORTAGE_LOOK;
            return;
        }
        (self.short_since, self.look_at) = (self.short_since.filter(|_| is_short), Instant::NEVER);
        for at in core::mem::take(&mut self.waiting) {
            let Some(mut client) = self.slots.take(at) else { continue };
            self.plan_resumption(at, &mut client);
            self.slots.put_back(at, client);
        }
    }

    /// Whether writes may wait for room, or have long enough.
    fn may_wait(&self, now: Instant) -> bool {
        self.short_since.is_none_or(|since| now.since(since) < SHORTAGE_MAX)
    }

    fn accept_ready(&mut self, turn: &mut Turn<'_>) {
        if self.accept_at != Instant::NEVER && turn.now.mono < self.accept_at {
            return;
        }
        self.accept_at = Instant::NEVER;
        for at in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.listeners[at].ready {
                    break;
                }
                match self.listeners[at].accept() {
                    Ok(None) => break,
                    Ok(Some((stream, from))) => self.add(stream, from, turn),
                    Err(error) => {
                        turn.log.log(Level::Warn, "client", format_args!("cannot accept: {error}"));
                        self.accept_at = turn.now.mono + ACCEPT_PAUSE;
                        return;
                    }
                }
            }
        }
    }

    fn add(&mut self, stream: Stream, from: String, turn: &mut Turn<'_>) {
        self.received += 1;
        let mut socket = Socket::new(stream, true);
        if self.slots.len() >= self.clients_max {
            socket.out.extend_from_slice(b"-ERR max number of clients reached\r\n");
            socket.write();
            return;
        }
        let session = Session::new(Arc::clone(&self.settings), self.received, from, turn.now);
        let mut client = Client {
            socket: None,
            session,
            inbox: Inbox::default(),
            held: 0,
            active: turn.now.mono,
            ended: false,
            queued: false,
            dirty: false,
            resumed: false,
            released: false,
        };
        let first_token = self.first_token;
        let mut registered = Ok(());
        let at = self.slots.insert(|at| {
            registered = socket.register(turn.registry, Token(first_token + at as usize));
            client.socket = Some(socket);
            client
        });
        if let Err(error) = registered {
            turn.log.log(Level::Warn, "client", format_args!("cannot watch a connection: {error}"));
            self.slots.take(at);
            self.slots.free(at);
        }
    }

    /// Reads one connection once and lets its session work.
    fn read(&mut self, at: u32, turn: &mut Turn<'_>) {
        let Some(mut client) = self.slots.take(at) else { return };
        client.queued = false;
        let Client { socket: Some(socket), session, .. } = &mut *client else {
            return self.slots.put_back(at, client);
        };
        // While the session wants nothing, the bytes stay in the kernel and hold the client back.
        if session.next(socket.out.len()) != Next::Read || !socket.readable || self.finishing {
            return self.slots.put_back(at, client);
        }
        match socket.read(turn.buffer) {
            Found::Bytes(length) => {
                client.active = turn.now.mono;
                client.released = false;
                self.feed(at, &mut client, length, turn);
            }
            Found::Nothing => {}
            Found::End => {
                client.ended = true;
                client.session.handle_end();
                self.feed(at, &mut client, 0, turn);
            }
            Found::Broken(_) => client.socket = None,
        }
        self.settle(at, client, turn);
    }

    /// Lets a session work on its inbox and the first `fresh` bytes of the buffer.
    fn feed(&mut self, at: u32, client: &mut Client, fresh: usize, turn: &mut Turn<'_>) {
        let Some(socket) = &mut client.socket else { return };
        if self.finishing {
            return;
        }
        let mut gateway = Gateway {
            node: turn.node,
            detector: turn.detector.as_ref(),
            now: turn.now,
            at,
            may_wait: self.may_wait(turn.now.mono),
            commands: &mut self.commands,
            backup: &mut self.backup,
            received: self.received,
            facts: &self.facts,
            addresses: &self.addresses,
            others: &self.slots,
        };
        let session = &mut client.session;
        client.inbox.feed(&turn.buffer[..fresh], |bytes| {
            session.handle_bytes(turn.now, bytes, &mut socket.out, &mut gateway).consumed
        });
        if session.is_held() {
            self.short_since.get_or_insert(turn.now.mono);
            self.look_at = turn.now.mono + SHORTAGE_LOOK;
            self.waiting.push(at);
        }
    }

    /// Decides what becomes of a connection after its session worked, and puts it back.
    fn settle(&mut self, at: u32, mut client: Box<Client>, turn: &mut Turn<'_>) {
        if let Some(socket) = &client.socket {
            let unsent = socket.unsent();
            self.held -= client.held;
            client.held = client.inbox.len() + unsent;
            self.held += client.held;
            let holds_too_much = self.held > HELD_MAX && client.held > HELD_FAIR;
            if unsent > UNSENT_MAX || holds_too_much {
                let held = client.held;
                turn.log.log(
                    Level::Warn,
                    "client",
                    format_args!("closing a connection: it holds {held} bytes"),
                );
                client.socket = None;
            } else if client.session.is_done() && unsent == 0 {
                client.socket = None;
            }
        }
        let Some(socket) = &client.socket else { return self.bury(at, client) };
        if socket.can_write() && !client.dirty {
            client.dirty = true;
            self.dirty.push(at);
        }
        let may_read = socket.readable && !client.queued && !self.finishing;
        if may_read && client.session.next(socket.out.len()) == Next::Read {
            client.queued = true;
            self.ready.push(at);
        }
        self.sweep_at = self.sweep_at.min(turn.now.mono + IDLE);
        self.slots.put_back(at, client);
    }

    /// Keeps what is left of a connection that was closed, until its last reply has come.
    fn bury(&mut self, at: u32, mut client: Box<Client>) {
        self.held -= core::mem::take(&mut client.held);
        client.session.abandon();
        if client.session.in_flight() == 0 {
            return self.slots.free(at);
        }
        client.inbox = Inbox::default();
        self.slots.put_back(at, client);
    }

    /// Hands the core's reply to the session that asked.
    pub(super) fn handle_reply(&mut self, id: RequestId, reply: Reply, turn: &mut Turn<'_>) {
        let (at, place) = ((id.0 >> 32) as u32, Place(id.0 as u32));
        let Some(mut client) = self.slots.take(at) else {
            // Only closing gives connections up before their last reply.
            assert!(self.finishing, "connection {at} is gone, and a reply comes for it");
            return;
        };
        let mut gateway = Gateway {
            node: turn.node,
            detector: turn.detector.as_ref(),
            now: turn.now,
            at,
            // What was begun goes on.
            may_wait: false,
            commands: &mut self.commands,
            backup: &mut self.backup,
            received: self.received,
            facts: &self.facts,
            addresses: &self.addresses,
            others: &self.slots,
        };
        let mut nowhere = Vec::new();
        let Client { socket, session, .. } = &mut *client;
        let out = socket.as_mut().map_or(&mut nowhere, |socket| &mut socket.out);
        let waited = session.next(out.len()) == Next::Wait;
        session.handle_reply(turn.now, place, reply, out, &mut gateway);
        if waited && session.next(out.len()) == Next::Read {
            self.plan_resumption(at, &mut client);
        }
        self.settle(at, client, turn);
    }

    /// Tells whoever asked for a backup how it ended, if it has.
    pub(super) fn handle_backup(&mut self, turn: &mut Turn<'_>) {
        if self.backup.is_none() {
            return;
        }
        let Some(result) = turn.node.store_mut().backup_result() else { return };
        match &result {
            Ok(()) => turn.log.log(Level::Info, "store", format_args!("a backup was made")),
            Err(problem) => {
                turn.log.log(Level::Error, "store", format_args!("no backup was made: {problem}"))
            }
        }
        let Some((at, place)) = self.backup.take() else { return };
        let Some(mut client) = self.slots.take(at) else { return };
        let mut nowhere = Vec::new();
        let Client { socket, session, .. } = &mut *client;
        let out = socket.as_mut().map_or(&mut nowhere, |socket| &mut socket.out);
        let waited = session.next(out.len()) == Next::Wait;
        session.handle_backup(place, &result, out);
        if waited && session.next(out.len()) == Next::Read {
            self.plan_resumption(at, &mut client);
        }
        self.settle(at, client, turn);
    }

    /// Notes that a session waits no more, so that input it left may go on.
    fn plan_resumption(&mut self, at: u32, client: &mut Client) {
        if client.socket.is_some() && !client.resumed && (!client.inbox.is_empty() || client.ended) {
            client.resumed = true;
            self.resumed.push(at);
        }
    }

    /// Lets sessions go on with input that had to wait. Returns whether any did.
    pub(super) fn resume(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut any = false;
        for at in core::mem::take(&mut self.resumed) {
            let Some(mut client) = self.slots.take(at) else { continue };
            client.resumed = false;
            any = true;
            self.feed(at, &mut client, 0, turn);
            self.settle(at, client, turn);
        }
        any
    }

    /// Writes every connection that has something to write, once.
    pub(super) fn write_dirty(&mut self, turn: &mut Turn<'_>) {
        let mut list = core::mem::take(&mut self.dirty);
        for at in list.drain(..) {
            let Some(mut client) = self.slots.take(at) else { continue };
            client.dirty = false;
            if let Client { socket: Some(socket), session, .. } = &mut *client {
                let waited = session.next(socket.out.len()) == Next::Wait;
                match socket.write() {
                    Found::Bytes(_) => {
                        let goes_on = waited && session.next(socket.out.len()) == Next::Read;
                        client.active = turn.now.mono;
                        client.released = false;
                        // Room was made for replies: input that waits for it goes on in the next turn.
                        if goes_on {
                            self.plan_resumption(at, &mut client);
                        }
                    }
                    Found::Nothing | Found::End => {}
                    Found::Broken(_) => client.socket = None,
                }
            }
            self.settle(at, client, turn);
        }
        // What was marked meanwhile could not be written completely and waits for an event, or is new.
        if self.dirty.is_empty() {
            self.dirty = list;
        }
    }

    /// Releases the buffers of idle connections, and lets those go that have left a command half sent or
    /// replies unread for too long.
    pub(super) fn handle_timers(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = Instant::NEVER;
        let mut next = Instant::NEVER;
        for at in self.slots.numbers() {
            let Some(client) = self.slots.get_mut(at) else { continue };
            let Some(socket) = &mut client.socket else { continue };
            let reason = if socket.unsent() > UNREAD_MAX {
                Some((client.active + UNREAD_TIME_MAX, "it leaves replies unread"))
            } else if !client.inbox.is_empty() && client.session.next(socket.out.len()) == Next::Read {
                Some((client.active + COMMAND_TIME_MAX, "it leaves a command half sent"))
            } else {
                None
            };
            match reason {
                Some((limit, why)) if now >= limit => {
                    turn.log.log(Level::Info, "client", format_args!("closing a connection: {why}"));
                    let mut client = self.slots.take(at).expect("it was just there");
                    client.socket = None;
                    self.settle(at, client, turn);
                    continue;
                }
                Some((limit, _)) => next = next.min(limit),
                None => {}
            }
            if !client.released {
                if now >= client.active + IDLE {
                    client.released = true;
                    socket.release();
                    client.inbox.release();
                    client.session.release();
                } else {
                    next = next.min(client.active + IDLE);
                }
            }
        }
        self.sweep_at = self.sweep_at.min(next);
    }

    /// Takes no more connections and no more commands; what was asked is still answered.
    pub(super) fn finish(&mut self) {
        self.listeners.clear();
        self.accept_at = Instant::NEVER;
        self.finishing = true;
    }

    /// Whether no reply is awaited by any connection and every byte has left.
    pub(super) fn is_quiet(&self) -> bool {
        self.slots.iter().all(|(_, client)| {
            client.session.in_flight() == 0
                && client.socket.as_ref().is_none_or(|socket| socket.unsent() == 0)
        })
    }

    /// Closes every connection. Replies must not come any more.
    pub(super) fn close(&mut self) {
        self.finish();
        self.backup = None;
        self.slots = Slots::new();
        self.held = 0;
        self.ready.clear();
        self.dirty.clear();
        self.resumed.clear();
        self.waiting.clear();
        (self.look_at, self.sweep_at) = (Instant::NEVER, Instant::NEVER);
    }
}
