//! The streams between this member and the others: dialling, the handshake, sealed records both ways.
//!
//! One TCP stream serves a pair of members in both directions. The member whose name sorts first dials
//! it, so there is never a second one to choose from. The other member only *knocks*: it dials, proves
//! itself and ends the stream, which tells the first one to dial now, be it after a restart or because
//! its own stream is dead without knowing. Both try again after 50 ms, doubling to 1 s, for ever.
//!
//! A stream that breaks takes what was queued on it along: messages are at most once.

mod book;
mod carried;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::{Registry, Token};

use self::book::{Book, Member, Standing};
use self::carried::Carried;
pub use self::carried::{Carrying, Filled, Told, Uncarried};
use super::client::Turn;
use super::limits::{
    ACCEPT_PAUSE, ACCEPTS_PER_TURN, BACKOFF_MAX, BACKOFF_MIN, HANDSHAKE_TIME_MAX, NODES_MAX, RECORD_TIME_MAX,
    STRANGERS_MAX,
};
use super::listener::Listener;
use super::log::Level;
use super::options::Transport;
use super::slots::Slots;
use super::socket::{Found, Inbox, Socket, Stream};
use super::sys;
use crate::proto::io::MemberId;
use crate::proto::limits::PEER_QUEUE_MAX;
use crate::proto::packet::Channel;
use crate::proto::session::{Event, Identity, RECORD_MAX, Session, SessionError};
use crate::proto::time::Instant;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Dialled by us, to this member.
    Dialled(usize),
    /// Accepted, and not proved yet.
    Stranger,
    /// Proved: carries messages with this member.
    Open(usize),
    /// A knock that was heard: the end that dialled waits for the other to end it.
    Knocked,
}

/// Why a stream is closed.
#[derive(Debug)]
enum Cause {
    /// It has done what it was for.
    Done,
    /// It broke, as streams do.
    Broke(String),
    /// What came on it was not to be borne.
    Fault(String),
}

impl Cause {
    fn broke(why: impl ToString) -> Cause {
        Cause::Broke(why.to_string())
    }

    fn why(&self) -> &str {
        match self {
            Cause::Done => "it is over",
            Cause::Broke(why) | Cause::Fault(why) => why,
        }
    }
}

/// One stream.
struct Link {
    socket: Socket,
    session: Session,
    role: Role,
    /// When it was dialled or accepted.
    since: Instant,
    inbox: Inbox,
    /// What the host calls it, if the host carries it.
    peer: u64,
    /// Makes a stream of datagrams, if the host carries such.
    channel: Option<Box<Channel>>,
    /// The other end of the channel has ended it.
    ended_there: bool,
    /// When it is given up: the handshake's end, or that of a half received record.
    give_up_at: Instant,
    queued: bool,
    dirty: bool,
}

/// All streams to peers, and the listener for theirs.
pub(super) struct Peers {
    identity: Arc<Identity>,
    members: Book,
    links: Slots<Link>,
    listener: Option<Listener>,
    address: Option<SocketAddr>,
    first_token: usize,
    /// What the host is to know, if it carries the streams.
    carried: Option<Carried>,
    ready: Vec<u32>,
    dirty: VecDeque<u32>,
    strangers: usize,
    accept_at: Instant,
    /// No timer of a link or member lies before this.
    timer_at: Instant,
    /// The core was told that a member is gone, and may have answers for it that nobody has drained.
    news: bool,
    closed: bool,
    /// Every link to others is cut, for a test.
    pub(super) is_isolated: bool,
}

impl Peers {
    /// The streams of the node that `identity` names. `seeds` are asked for the cluster while nobody is
    /// connected.
    pub(super) fn new(
        identity: Identity,
        seeds: &[SocketAddr],
        listener: Option<Listener>,
        transport: Transport,
        first_token: usize,
    ) -> Peers {
        let mut members = Book::new(&identity.name, &identity.keys);
        seeds.iter().for_each(|&seed| members.add_seed(seed));
        let address = listener.as_ref().and_then(Listener::address);
        Peers {
            identity: Arc::new(identity),
            members,
            links: Slots::new(),
            listener,
            address,
            first_token,
            carried: Carried::new(transport),
            ready: Vec::new(),
            dirty: VecDeque::new(),
            strangers: 0,
            accept_at: Instant::NEVER,
            timer_at: Instant::ZERO,
            news: false,
            closed: false,
            is_isolated: false,
        }
    }

    /// Takes over who the members are, and where they listen if that is known.
    pub(super) fn set_members<'a>(
        &mut self,
        members: impl Iterator<Item = (&'a str, Option<SocketAddr>)>,
        is_member: bool,
    ) {
        self.members.set_members(members, is_member);
        self.timer_at = Instant::ZERO;
    }

    /// The address that was bound.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Says where a member listens. False if there is no such member.
    pub(super) fn set_address(&mut self, name: &str, address: SocketAddr) -> bool {
        if name == self.identity.name {
            return true;
        }
        let is_it = |member: &&mut Member| member.name == name && member.standing == Standing::Member;
        let Some(member) = self.members.iter_mut().find(is_it) else { return false };
        member.address = Some(address);
        member.retry_at = Instant::ZERO;
        self.timer_at = Instant::ZERO;
        true
    }

    /// Puts the listener under the poll's eyes.
    pub(super) fn register_listener(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        self.listener.as_mut().map_or(Ok(()), |listener| listener.register(registry, Token(token)))
    }

    /// Connections may wait at the listener.
    pub(super) fn handle_listener_event(&mut self) {
        if let Some(listener) = &mut self.listener {
            listener.ready = true;
        }
    }

    /// An event of the poll for a stream.
    pub(super) fn handle_event(&mut self, at: u32, event: &mio::event::Event) {
        let Some(link) = self.links.get_mut(at) else { return };
        link.socket.handle_event(event);
        if link.socket.readable && !link.queued {
            link.queued = true;
            self.ready.push(at);
        }
        if link.socket.can_write() && !link.dirty {
            link.dirty = true;
            self.dirty.push_back(at);
        }
    }

    /// Whether something can be done without waiting for an event or a timer.
    pub(super) fn has_work(&self) -> bool {
        self.news
            || !self.ready.is_empty()
            || (self.carried.is_none() && !self.dirty.is_empty())
            || (self.accept_at == Instant::NEVER
                && self.listener.as_ref().is_some_and(|listener| listener.ready))
    }

    /// Other members there are.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// When [`Peers::handle_timers`] has something to do.
    pub(super) fn deadline(&self) -> Instant {
        // While every link is cut nothing is dialled, and its time is nobody's to wait for.
        let timer_at = if self.is_isolated { Instant::NEVER } else { self.timer_at };
        self.accept_at.min(timer_at)
    }

    /// Accepts what waits, and reads up to `budget` streams once each. Returns how many it read.
    pub(super) fn read_ready(&mut self, turn: &mut Turn<'_>, budget: usize) -> usize {
        self.news = false;
        self.accept_ready(turn);
        let count = self.ready.len().min(budget);
        for next in 0..count {
            let at = self.ready[next];
            self.read(at, turn);
        }
        self.ready.drain(..count);
        count
    }

    fn accept_ready(&mut self, turn: &mut Turn<'_>) {
        if self.accept_at != Instant::NEVER && turn.now.mono < self.accept_at {
            return;
        }
        self.accept_at = Instant::NEVER;
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_mut().filter(|listener| listener.ready) else { return };
            match listener.accept() {
                Ok(None) => return,
                // It is closed at once, which is all that a cut network tells.
                Ok(Some(_)) if self.is_isolated => {}
                Ok(Some((stream, _))) => {
                    if self.strangers >= STRANGERS_MAX + self.members.len() {
                        turn.log.log(Level::Warn, "peer", format_args!("too many unproved connections"));
                        continue;
                    }
                    match nonce() {
                        Ok(nonce) => {
                            let session = Session::accept(Arc::clone(&self.identity), nonce);
                            self.add(Socket::new(stream, true), session, Role::Stranger, turn);
                        }
                        Err(error) => {
                            turn.log.log(Level::Error, "peer", format_args!("no random bytes: {error}"));
                        }
                    }
                }
                Err(error) => {
                    turn.log.log(Level::Warn, "peer", format_args!("cannot accept: {error}"));
                    self.accept_at = turn.now.mono + ACCEPT_PAUSE;
                    return;
                }
            }
        }
    }

    fn add(&mut self, mut socket: Socket, session: Session, role: Role, turn: &mut Turn<'_>) -> Option<u32> {
        let first_token = self.first_token;
        let serial = self.carried.as_mut().map_or(0, Carried::next_serial);
        let give_up_at = turn.now.mono + HANDSHAKE_TIME_MAX;
        let mut registered = Ok(());
        let at = self.links.insert(|at| {
            registered = socket.register(turn.registry, Token(first_token + at as usize));
            Link {
                socket,
                session,
                role,
                since: turn.now.mono,
                inbox: Inbox::default(),
                peer: carried::name(serial, at),
                channel: None,
                ended_there: false,
                give_up_at,
                queued: false,
                dirty: false,
            }
        });
        if let Err(error) = registered {
            turn.log.log(Level::Warn, "peer", format_args!("cannot watch a connection: {error}"));
            self.links.take(at);
            self.links.free(at);
            return None;
        }
        self.strangers += usize::from(role == Role::Stranger);
        self.timer_at = self.timer_at.min(give_up_at);
        Some(at)
    }

    /// Begins to connect to a member.
    fn dial(&mut self, number: usize, turn: &mut Turn<'_>) {
        // Who is no member has nobody that dials back: it looks for whoever is there, and keeps the stream.
        let is_guest = !self.members.is_member;
        let member = &mut self.members[number];
        member.back_off(turn.now.mono);
        let Some(address) = member.address else {
            member.retry_at = Instant::NEVER;
            return;
        };
        let carried = self.carried.as_ref();
        let connect = || if carried.is_some() { Ok(Stream::Carried) } else { Stream::connect(address) };
        let begun = connect().and_then(|stream| Ok((stream, nonce()?)));
        let result = match begun {
            Ok((stream, nonce)) => {
                // Datagrams leave without a word of the host that it is connected.
                let mut socket = Socket::new(stream, carried.is_some_and(Carried::has_datagrams));
                let identity = Arc::clone(&self.identity);
                let member = &self.members[number];
                let wanted = if is_guest || member.standing == Standing::Seed { "" } else { &member.name };
                let session = Session::connect(identity, wanted, nonce, &mut socket.out);
                Ok(self.add(socket, session, Role::Dialled(number), turn))
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(link) => {
                self.members[number].attempt = link;
                self.tell_to_connect(link, address, turn);
            }
            Err(error) => self.note_trouble(number, &error.to_string(), turn),
        }
    }

    /// Logs why a member cannot be reached, once for each reason.
    fn note_trouble(&mut self, number: usize, why: &str, turn: &mut Turn<'_>) {
        let member = &mut self.members[number];
        if member.trouble != why {
            member.trouble = why.to_owned();
            let address = member.address.map_or_else(String::new, |address| format!(" at {address}"));
            turn.log.log(Level::Warn, "peer", format_args!("cannot reach {}{address}: {why}", member.name));
        }
    }

    /// Reads one stream once.
    fn read(&mut self, at: u32, turn: &mut Turn<'_>) {
        let Some(mut link) = self.links.take(at) else { return };
        link.queued = false;
        if !link.socket.readable {
            return self.links.put_back(at, link);
        }
        match link.socket.read(turn.buffer) {
            Found::Bytes(length) => {
                let buffer = core::mem::take(&mut turn.buffer);
                let fed = self.feed(at, &mut link, &buffer[..length], turn);
                turn.buffer = buffer;
                match fed {
                    Ok(()) => self.settle(at, link),
                    Err(cause) => {
                        // The refusal, as far as it can leave now.
                        link.socket.write();
                        self.drop_link(at, link, cause, turn);
                    }
                }
            }
            Found::Nothing => self.settle(at, link),
            Found::End => {
                self.drop_link(at, link, Cause::broke("the other end closed the connection"), turn);
            }
            Found::Broken(kind) => {
                let error = link.socket.take_error().map_or_else(|| kind.to_string(), |e| e.to_string());
                self.drop_link(at, link, Cause::broke(error), turn);
            }
        }
    }

    /// Lets a stream's session work on its inbox and what came.
    fn feed(&mut self, at: u32, link: &mut Link, fresh: &[u8], turn: &mut Turn<'_>) -> Result<(), Cause> {
        let mut result = Ok(());
        let mut progress = false;
        let mut inbox = core::mem::take(&mut link.inbox);
        inbox.feed(fresh, |bytes| {
            let mut consumed = 0;
            loop {
                match link.session.handle_bytes(&bytes[consumed..], &mut link.socket.out) {
                    Ok((_, Event::Starved)) => break,
                    Ok((taken, event)) => {
                        consumed += taken;
                        progress = true;
                        result = self.handle(at, link, event, turn);
                    }
                    Err(error) => result = Err(Cause::Fault(self.explain(link.role, &error))),
                }
                if result.is_err() {
                    break;
                }
            }
            consumed
        });
        link.inbox = inbox;
        if link.session.is_established() && !matches!(link.role, Role::Knocked) {
            if link.inbox.is_empty() {
                link.give_up_at = Instant::NEVER;
            } else if progress || !fresh.is_empty() {
                link.give_up_at = turn.now.mono + RECORD_TIME_MAX;
                self.timer_at = self.timer_at.min(link.give_up_at);
            }
        }
        result
    }

    fn explain(&self, role: Role, error: &SessionError) -> String {
        match role {
            Role::Open(number) => format!("{}: {error}", self.members[number].name),
            _ => error.to_string(),
        }
    }

    fn handle(
        &mut self,
        at: u32,
        link: &mut Link,
        event: Event<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Cause> {
        match (event, link.role) {
            (Event::Frames(frames), Role::Open(number)) => turn
                .node
                .handle_frames(turn.now, self.members[number].id, frames)
                .map_err(|error| Cause::Fault(format!("{}: {}", self.members[number].name, error.0))),
            (Event::Frames(_), _) => {
                Err(Cause::Fault("a record on a connection that carries none".to_owned()))
            }
            (Event::Established { peer, is_guest, level }, _) => {
                self.establish(at, link, &peer, (is_guest, level), turn)
            }
            (Event::Starved | Event::Progress, _) => Ok(()),
        }
    }

    /// A stream's other end has proved itself.
    fn establish(
        &mut self,
        at: u32,
        link: &mut Link,
        peer: &str,
        (is_guest, level): (bool, u8),
        turn: &mut Turn<'_>,
    ) -> Result<(), Cause> {
        if self.members.len() >= NODES_MAX {
            return Err(Cause::Fault(format!("too many nodes were met to remember `{peer}`")));
        }
        let number = self.members.place_of(peer);
        let accepted = link.role == Role::Stranger;
        self.strangers -= usize::from(accepted);
        if let Role::Dialled(seed) = link.role
            && seed != number
        {
            // What was dialled as a seed, or as another that is not there any more.
            self.members[seed].attempt = None;
        }
        if !is_guest && self.members.is_knock(number, accepted) {
            link.role = Role::Knocked;
            if accepted {
                self.heed_knock(number, link.since, turn);
                return Err(Cause::Done);
            }
            // The member dials now; if nothing comes of it, it is told again.
            let member = &mut self.members[number];
            member.attempt = None;
            member.backoff = BACKOFF_MAX;
            member.retry_at = turn.now.mono + BACKOFF_MAX;
            return Ok(());
        }
        self.drop_open(number, "the other end has begun anew", turn);
        let member = &mut self.members[number];
        let knock = member.attempt.take().filter(|&attempt| attempt != at);
        member.backoff = BACKOFF_MIN;
        member.link = Some(at);
        member.link_since = turn.now.mono;
        member.trouble.clear();
        link.role = Role::Open(number);
        link.give_up_at = Instant::NEVER;
        if let Some(knock) = knock
            && let Some(mut knocking) = self.links.take(knock)
        {
            knocking.role = Role::Knocked;
            self.drop_link(knock, knocking, Cause::Done, turn);
        }
        let member = &self.members[number];
        let id = member.id;
        turn.log.log(Level::Info, "peer", format_args!("{} is connected", member.name));
        turn.node.handle_peer_up(turn.now, id);
        turn.node.set_peer_level(id, level);
        Ok(())
    }

    /// A member has no stream that carries messages, and waits for us to dial. One that we believe in is
    /// dead, unless it was proved after the knock began: then the knock is answered already.
    fn heed_knock(&mut self, number: usize, since: Instant, turn: &mut Turn<'_>) {
        let member = &self.members[number];
        if member.link.is_some() && member.link_since >= since {
            return;
        }
        self.drop_open(number, "the other end has begun anew", turn);
        let member = &mut self.members[number];
        member.backoff = BACKOFF_MIN;
        member.retry_at = Instant::ZERO;
        self.timer_at = Instant::ZERO;
    }

    /// Marks a stream for writing and puts it back.
    fn settle(&mut self, at: u32, mut link: Box<Link>) {
        if link.has_output() && !link.dirty {
            link.dirty = true;
            self.dirty.push_back(at);
        }
        if link.socket.readable && !link.queued {
            link.queued = true;
            self.ready.push(at);
        }
        self.links.put_back(at, link);
    }

    /// Closes the stream that carries a member's messages, if there is one.
    fn drop_open(&mut self, number: usize, why: &str, turn: &mut Turn<'_>) {
        if let Some(at) = self.members[number].link
            && let Some(link) = self.links.take(at)
        {
            self.drop_link(at, link, Cause::broke(why), turn);
        }
    }

    /// Closes a stream that was taken out of its slot, and plans the next attempt.
    fn drop_link(&mut self, at: u32, link: Box<Link>, cause: Cause, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        match link.role {
            Role::Stranger => {
                self.strangers -= 1;
                // Strangers come and go; only what they say can be a misconfigured member.
                let level = if matches!(cause, Cause::Fault(_)) { Level::Warn } else { Level::Debug };
                turn.log.log(level, "peer", format_args!("refused a connection: {}", cause.why()));
            }
            Role::Knocked => {}
            Role::Dialled(number) => {
                self.members[number].attempt = None;
                self.note_trouble(number, cause.why(), turn);
                self.timer_at = self.timer_at.min(self.members[number].retry_at);
            }
            Role::Open(number) => {
                let member = &mut self.members[number];
                member.link = None;
                member.retry_at = now + BACKOFF_MIN;
                self.timer_at = self.timer_at.min(member.retry_at);
                let id = member.id;
                turn.log.log(Level::Warn, "peer", format_args!("{} is gone: {}", member.name, cause.why()));
                turn.node.handle_peer_down(turn.now, id);
                if let Some(detector) = turn.detector {
                    detector.probe_soon(turn.now, id);
                }
                self.news = true;
            }
        }
        self.tell_of_end(link);
        self.links.free(at);
    }

    /// Queues frames for a member. Gives the buffer back for reuse.
    pub(super) fn send(&mut self, to: MemberId, frames: Vec<u8>, turn: &mut Turn<'_>) {
        let number = self.members.find(to);
        let at = number.and_then(|number| self.members[number].link);
        if let (Some(number), Some(at)) = (number, at)
            && let Some(link) = self.links.get_mut(at)
            && !frames.is_empty()
        {
            let queued = link.socket.unsent();
            // One drain to an empty queue may be as large as a record; a queue that does not empty means
            // a peer that does not keep up, which is as good as one that is gone.
            if frames.len() > RECORD_MAX || (queued > 0 && queued + frames.len() > PEER_QUEUE_MAX) {
                self.drop_open(number, "it does not keep up with its messages", turn);
            } else {
                link.session.seal(&frames, &mut link.socket.out);
                if link.has_output() && !link.dirty {
                    link.dirty = true;
                    self.dirty.push_back(at);
                }
            }
        }
        turn.node.recycle(frames);
    }

    /// Writes every stream that has something to write, once. What the host carries it fetches itself.
    pub(super) fn write_dirty(&mut self, turn: &mut Turn<'_>) {
        if self.carried.is_some() {
            return;
        }
        let mut list = core::mem::take(&mut self.dirty);
        for at in list.drain(..) {
            let Some(link) = self.links.get_mut(at) else { continue };
            link.dirty = false;
            if let Found::Broken(kind) = link.socket.write() {
                let error = link.socket.take_error().map_or_else(|| kind.to_string(), |e| e.to_string());
                let link = self.links.take(at).expect("it was just there");
                self.drop_link(at, link, Cause::broke(error), turn);
            }
        }
        if self.dirty.is_empty() {
            self.dirty = list;
        }
    }

    /// Gives up streams whose time has passed, and dials members whose time has come.
    pub(super) fn handle_timers(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        self.note_time(now);
        if now < self.timer_at || self.closed || self.is_isolated {
            return;
        }
        self.timer_at = Instant::NEVER;
        for at in self.links.numbers() {
            self.handle_channel_timer(at, now);
            let Some(link) = self.links.get_mut(at) else { continue };
            if now >= link.give_up_at {
                let why = match link.role {
                    Role::Open(_) if link.channel.is_some() => "it does not answer",
                    Role::Open(_) => "a record stays half received",
                    _ => "the handshake took too long",
                };
                let link = self.links.take(at).expect("it was just there");
                self.drop_link(at, link, Cause::broke(why), turn);
            } else {
                self.timer_at = self.timer_at.min(link.give_up_at);
            }
        }
        for number in 0..self.members.len() {
            let any_link = self.members.has_link();
            if now >= self.members[number].dial_at(any_link) {
                self.dial(number, turn);
            }
            self.timer_at = self.timer_at.min(self.members[number].dial_at(any_link));
        }
    }

    /// Cuts every link to others, or lets them come back.
    pub(super) fn isolate(&mut self, on: bool, turn: &mut Turn<'_>) {
        self.is_isolated = on;
        self.timer_at = Instant::ZERO;
        for at in self.links.numbers().into_iter().filter(|_| on) {
            if let Some(link) = self.links.take(at) {
                self.drop_link(at, link, Cause::broke("it was cut off for a test"), turn);
            }
        }
        for member in self.members.iter_mut() {
            (member.backoff, member.retry_at) = (BACKOFF_MIN, Instant::ZERO);
        }
    }

    /// Whether every byte has left.
    pub(super) fn is_quiet(&self) -> bool {
        self.links.iter().all(|(_, link)| link.socket.unsent() == 0)
    }

    /// Stops accepting and dialling; streams go on.
    pub(super) fn close_listener(&mut self) {
        self.listener = None;
        self.accept_at = Instant::NEVER;
    }

    /// Closes every stream, without telling the core.
    pub(super) fn close(&mut self) {
        self.close_listener();
        self.closed = true;
        self.timer_at = Instant::NEVER;
        self.links = Slots::new();
        for member in self.members.iter_mut() {
            member.link = None;
            member.attempt = None;
        }
        self.ready.clear();
        self.dirty.clear();
    }
}

/// A nonce for one handshake.
fn nonce() -> io::Result<[u8; 16]> {
    sys::random()
}
