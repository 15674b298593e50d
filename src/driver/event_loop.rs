//! The loop: polls, feeds what came in to the sessions and the core, carries out what they want done.
//!
//! One turn reads every ready socket once, hands the bytes to the sessions and the core, drains the
//! core's outputs (the log's `pwrite` is among them), and only then writes every socket that has
//! something to say, once. So everything that arrived together is one batch: one write to the log, one
//! record and one system call for each peer, one for each client, however many operations it was.

/// What a turn works with.
macro_rules! turn {
    ($event_loop:ident, $now:expr) => {
        Turn {
            now: $now,
            node: &mut $event_loop.node,
            detector: &mut $event_loop.detector,
            buffer: &mut $event_loop.buffer,
            registry: $event_loop.poll.registry(),
            log: &$event_loop.log,
        }
    };
}

mod carrying;
mod looking;

use core::fmt;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;

use mio::{Events, Poll};

use super::client::{Clients, Turn};
use super::clock::Clock;
use super::gossip::Detector;
use super::handle::{Handle, Host};
use super::host_disk::Errands;
use super::limits::{EVENTS_MAX, LAST_SYNC_MAX, LISTENERS_MAX, READ_MAX, REQUESTS_PER_TURN};
use super::log::{Level, Logger};
use super::open;
use super::options::{NodeOptions, OpenError};
use super::peer::Peers;
use super::storage::Storage;
use super::sys::{self, Epoll, EventFd, TimerFd};
use super::wait::{self, Waiter};
use super::waiting::is_of_host;
use super::watch::Watch;
use crate::proto::cluster::Topology;
use crate::proto::io::{MergeFunction, Output};
use crate::proto::node::{Node, Owners, Status};
use crate::proto::store::{Durability, Marks, Store};
use crate::proto::time::{Instant, Now};

// The poll's tokens.
pub(super) const WAKER: usize = 0;
pub(super) const PEER_LISTENER: usize = 1;
pub(super) const DATAGRAMS: usize = 2;
pub(super) const LISTENERS_FIRST: usize = 3;
pub(super) const PEERS_FIRST: usize = 1 << 16;
pub(super) const CLIENTS_FIRST: usize = 1 << 24;
const _: () = assert!(LISTENERS_FIRST + LISTENERS_MAX < PEERS_FIRST);

/// How long one turn may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    None,
    /// Until this point of the monotonic clock, or the loop's own deadline if that is earlier.
    Until(Instant),
    /// As the node's waiting policy says, until its own deadline.
    Policy,
}

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StepOutcome {
    /// Work is left: call again without waiting.
    pub more: bool,
    /// The loop has stopped; it may be dropped.
    pub stopped: bool,
}

/// Why a loop cannot go on. The node is no longer served.
#[derive(Debug)]
pub struct LoopError(pub String);

impl fmt::Display for LoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoopError {}

/// How far a loop's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requests are served.
    Serving,
    /// No new requests; those in flight end, at the latest at this point.
    Finishing { since: Instant, until: Instant },
    /// The core is closed; the store's last sync is awaited, at the latest until this point.
    Syncing { until: Instant },
    /// Nothing is left to do.
    Stopped,
}

/// What a host polls.
struct HostFd {
    outer: Epoll,
    timer: TimerFd,
    pending: EventFd,
    is_pending: bool,
}

/// One node with its sockets and its store. `Send`, not `Sync`: one thread drives it.
pub struct EventLoop {
    poll: Poll,
    events: Events,
    clock: Clock,
    /// When the last turn was.
    latest: Now,
    /// Where the monotonic clock of a host has been: it does not go back.
    stepped: Instant,
    waiter: Waiter,
    node: Node<Storage>,
    clients: Clients,
    peers: Peers,
    /// Who is there; `None` for a node without peers, and at the end.
    detector: Option<Detector>,
    host: Host,
    /// Where the host carries out what waits for the disk.
    errands: Option<Errands>,
    buffer: Vec<u8>,
    log: Logger,
    /// The marks of both stores when the core was last told.
    marks: [Marks; 2],
    watch: Watch,
    /// The topology that the peers' streams follow.
    followed: u64,
    /// Why this node is not what it wants to be, as it was logged.
    refusal: Option<String>,
    /// It was logged that this node has left.
    has_left: bool,
    peers_first: bool,
    phase: Phase,
    host_fd: Option<HostFd>,
    reload: Option<Box<dyn FnMut() + Send>>,
}

impl EventLoop {
    /// Checks the settings, binds every address, opens the directory and builds the node.
    ///
    /// # Errors
    /// What is wrong; nothing is left behind.
    pub fn open(options: NodeOptions) -> Result<EventLoop, OpenError> {
        let clock = options.clock.clone();
        let open::Parts { poll, node, clients, peers, detector, host, errands } =
            open::open(&options, &clock)?;
        let marks = marks_of(&node);
        let watch = Watch::new(host.figures());
        let mut event_loop = EventLoop {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            latest: clock.now(),
            stepped: Instant::ZERO,
            waiter: Waiter::new(options.wait, clock.clone()),
            clock,
            node,
            clients,
            peers,
            detector,
            host,
            errands,
            buffer: vec![0; READ_MAX],
            log: options.log,
            marks,
            watch,
            followed: 0,
            refusal: None,
            has_left: false,
            peers_first: false,
            phase: Phase::Serving,
            host_fd: None,
            reload: None,
        };
        event_loop.look_at_store(event_loop.latest);
        event_loop.follow_topology();
        Ok(event_loop)
    }

    fn look_at_store(&mut self, now: Now) {
        self.watch.look(now.mono, &mut self.node, &self.log);
    }

    /// Lets the streams to peers follow the topology. Addresses that are no numbers are looked up here, which
    /// waits for the system: members give numbers when they join.
    fn follow_topology(&mut self) {
        if self.node.refusal() != self.refusal.as_deref() {
            self.refusal = self.node.refusal().map(str::to_owned);
            if let Some(why) = &self.refusal {
                self.log.log(Level::Error, "cluster", format_args!("{why}"));
            }
        }
        let was_told = core::mem::replace(&mut self.has_left, self.node.has_left());
        if self.has_left && !was_told {
            let what = "this node has left the cluster and may be stopped; its directory does not return";
            self.log.log(Level::Info, "cluster", format_args!("{what}"));
        }
        let topology = self.node.topology();
        if !topology.is_kept() || topology.version() == self.followed {
            return;
        }
        self.followed = topology.version();
        let is_member = topology.member(self.node.id()).is_some();
        let members = topology.members();
        let members = members.iter().map(|member| (member.name.as_str(), member.address.parse().ok()));
        self.peers.set_members(members, is_member);
        if let Some(detector) = &mut self.detector {
            detector.follow(self.latest, topology);
        }
        self.log.log(
            Level::Info,
            "cluster",
            format_args!("topology {} is in force: {}", topology.version(), describe(topology)),
        );
    }

    /// Says where a member's peer listener is, in place of the address in the member list. Needed only
    /// where ports are chosen by the system; call it before the first turn. False if there is no such
    /// member.
    pub fn set_member_address(&mut self, member: &str, address: SocketAddr) -> bool {
        let is_known = self.peers.set_address(member, address);
        if let Some(detector) = self.detector.as_mut().filter(|_| is_known) {
            let zone = open::zone_of(self.node.config(), member);
            detector.set_member(self.clock.now(), member, address, zone);
        }
        is_known
    }

    /// Registers a function that makes one value of several siblings: see
    /// [`Node::register_merge`](crate::proto::node::Node::register_merge).
    pub fn register_merge(&mut self, number: u8, function: MergeFunction) {
        self.node.register_merge(number, function);
    }

    /// Calls `hook` on the loop's thread after each [`Handle::reload`].
    pub fn on_reload(&mut self, hook: Box<dyn FnMut() + Send>) {
        self.reload = Some(hook);
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        self.host.handle()
    }

    /// The addresses bound for clients, in the order of the options, with real ports.
    pub fn client_addresses(&self) -> &[SocketAddr] {
        self.clients.addresses()
    }

    /// The address bound for peers, with its real port.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peers.address()
    }

    /// Turns until [`Handle::stop`], then shuts down cleanly. Blocks; waits by the node's policy.
    ///
    /// # Errors
    /// Polling failed, or the store could not be closed cleanly (a failed sync): exit code 74.
    pub fn run(&mut self) -> Result<(), LoopError> {
        while !self.turn(Wait::Policy)?.stopped {}
        Ok(())
    }

    /// Whether nothing is left to do, as it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Runs the loop on a thread of its own, on which every signal is blocked.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(self) -> io::Result<thread::JoinHandle<Result<(), LoopError>>> {
        self.spawn_with(|mut event_loop| event_loop.run())
    }

    /// Hands the loop to `body` on a thread of its own, on which every signal is blocked.
    ///
    /// # Errors
    /// The thread cannot be started; the loop is dropped.
    pub fn spawn_with<T: Send + 'static>(
        self,
        body: impl FnOnce(EventLoop) -> T + Send + 'static,
    ) -> io::Result<thread::JoinHandle<T>> {
        let name = format!("quorate {}", self.node.config().name);
        sys::with_signals_blocked(|| thread::Builder::new().name(name).spawn(move || body(self)))
    }

    /// One turn on the loop's own clock.
    ///
    /// # Errors
    /// As [`EventLoop::run`].
    pub fn turn(&mut self, wait: Wait) -> Result<StepOutcome, LoopError> {
        let until = match wait {
            Wait::None => Instant::ZERO,
            Wait::Until(point) => point.min(self.deadline()),
            Wait::Policy => self.deadline(),
        };
        let polled = if until == Instant::ZERO {
            wait::look(&mut self.poll, &mut self.events)
        } else {
            self.waiter.wait(&mut self.poll, &mut self.events, &mut self.host, until)
        };
        polled.map_err(|error| LoopError(format!("polling: {error}")))?;
        let now = self.clock.now();
        self.work(now, usize::MAX)?;
        Ok(StepOutcome { more: self.has_work(now.mono), stopped: self.is_stopped() })
    }

    /// One turn for a host's loop: never waits, takes the host's time (CLOCK_MONOTONIC nanoseconds), and
    /// handles at most `budget` sockets and requests (0 is no bound).
    ///
    /// # Errors
    /// As [`EventLoop::run`].
    pub fn step(&mut self, now: Now, budget: u32) -> Result<StepOutcome, LoopError> {
        let now = self.forward(now);
        let budget = if budget == 0 { usize::MAX } else { budget as usize };
        if self.peers.is_carried() {
            // Nothing is polled, and nobody sleeps in the kernel whom a submission would have to wake.
            self.work(now, budget)?;
            return Ok(StepOutcome { more: self.has_work(now.mono), stopped: self.is_stopped() });
        }
        self.host.end_sleep();
        wait::look(&mut self.poll, &mut self.events)
            .map_err(|error| LoopError(format!("polling: {error}")))?;
        self.work(now, budget)?;
        // The announcement comes last: from here on every submission wakes the host.
        let more = self.has_work(now.mono) || !self.host.prepare_sleep();
        self.set_host_fd(more).map_err(|error| LoopError(format!("arming a timer: {error}")))?;
        Ok(StepOutcome { more, stopped: self.is_stopped() })
    }

    /// Ends a loop that a host has stepped, as [`EventLoop::run`] does once it is to stop: nobody steps it any more, so its
    /// time goes on by itself from where the host left it.
    ///
    /// # Errors
    /// As [`EventLoop::run`].
    pub fn finish(&mut self) -> Result<(), LoopError> {
        self.clock = Clock::going_on(self.latest);
        self.waiter.set_clock(self.clock.clone());
        self.run()
    }

    /// What a host says that the time is; a monotonic clock that goes back stands still until it has caught up.
    fn forward(&mut self, now: Now) -> Now {
        self.stepped = self.stepped.max(now.mono);
        Now { mono: self.stepped, ..now }
    }

    /// What the clocks say now.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// When [`EventLoop::step`] must be called even if [`EventLoop::fd`] is quiet: [`Instant::ZERO`] is
    /// at once, [`Instant::NEVER`] is never.
    pub fn deadline(&self) -> Instant {
        if self.has_ready_work() { Instant::ZERO } else { self.timer() }
    }

    /// One epoll file descriptor for a host: readable (level triggered) whenever `step` has work,
    /// deadlines included. The number stays the same. Made at the first call.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn fd(&mut self) -> io::Result<RawFd> {
        if let Some(host_fd) = &self.host_fd {
            return Ok(host_fd.outer.fd());
        }
        let (outer, timer, pending) = (Epoll::new()?, TimerFd::new()?, EventFd::new()?);
        outer.add(self.poll.as_raw_fd())?;
        outer.add(timer.fd())?;
        outer.add(pending.fd())?;
        // Readable until the first step has looked.
        pending.raise();
        let fd = outer.fd();
        self.host_fd = Some(HostFd { outer, timer, pending, is_pending: true });
        Ok(fd)
    }

    /// What the node knows of itself.
    pub fn status(&self) -> Status {
        status(&self.node, self.detector.as_ref(), self.latest)
    }

    /// Where a key lives.
    pub fn owners(&self, keyspace: u16, key: &[u8]) -> Owners {
        self.node.owners(keyspace, key)
    }

    /// Whether this process was forked from one that had opened a node. Then nothing but dropping the
    /// loop is allowed.
    pub fn was_forked() -> bool {
        sys::was_forked()
    }

    /// Whether a turn at `now` would find work without any event.
    fn has_work(&self, now: Instant) -> bool {
        self.has_ready_work() || now >= self.timer()
    }

    fn has_ready_work(&self) -> bool {
        self.clients.has_work()
            || self.peers.has_work()
            || self.host.has_work(&self.node)
            || self.detector.as_ref().is_some_and(Detector::has_work)
            || self.host.is_isolated() != self.peers.is_isolated
    }

    /// The earliest deadline.
    fn timer(&self) -> Instant {
        let phase = match self.phase {
            Phase::Serving | Phase::Stopped => Instant::NEVER,
            Phase::Finishing { until, .. } | Phase::Syncing { until } => until,
        };
        let detector = self.detector.as_ref().map_or(Instant::NEVER, Detector::deadline);
        let sockets = self.clients.deadline().min(self.peers.deadline()).min(detector);
        match self.phase {
            Phase::Stopped => Instant::NEVER,
            _ => phase.min(self.node.deadline()).min(sockets),
        }
    }

    /// Makes the host's descriptor say what the loop knows.
    fn set_host_fd(&mut self, more: bool) -> io::Result<()> {
        let timer = self.clock.on_machine(self.timer(), self.latest.mono);
        let Some(host_fd) = &mut self.host_fd else { return Ok(()) };
        if more && !host_fd.is_pending {
            host_fd.pending.raise();
        } else if !more && host_fd.is_pending {
            host_fd.pending.clear();
        }
        host_fd.is_pending = more;
        host_fd.timer.arm(timer.as_nanos())
    }

    /// Everything of a turn but the waiting.
    fn work(&mut self, now: Now, budget: usize) -> Result<(), LoopError> {
        self.latest = now;
        self.route_events();
        if self.host.take_reload()
            && let Some(hook) = &mut self.reload
        {
            hook();
        }
        let mut turn = turn!(self, now);
        let is_isolated = self.host.is_isolated();
        if is_isolated != self.peers.is_isolated {
            let what = if is_isolated { "cut off from all others" } else { "cut off no more" };
            turn.log.log(Level::Warn, "node", format_args!("{what}, as it was asked to be"));
            self.peers.isolate(is_isolated, &mut turn);
            turn.detector.iter_mut().for_each(|detector| detector.is_isolated = is_isolated);
        }
        // Before the timers: after a pause the answers that waited in the socket come first.
        if let Some(detector) = turn.detector {
            detector.read_ready(now, turn.buffer, budget);
            detector.handle_timers(now, turn.log);
        }
        if now.mono >= turn.node.deadline() {
            turn.node.handle_timeout(now);
        }
        self.peers.handle_timers(&mut turn);
        self.clients.handle_timers(&mut turn);

        // Under a budget whoever comes first could starve the rest, so they take turns.
        let mut left = budget;
        self.peers_first = !self.peers_first;
        if self.peers_first {
            left -= self.peers.read_ready(&mut turn, left);
        }
        left -= self.clients.read_ready(&mut turn, left);
        if !self.peers_first {
            left -= self.peers.read_ready(&mut turn, left);
        }
        self.host.submit(turn.node, now, left.clamp(1, REQUESTS_PER_TURN));
        while let Some(ticket) = turn.node.store_mut().take_read() {
            turn.node.handle_read(now, ticket);
        }
        if marks_of(turn.node) != self.marks {
            tell_marks(&mut turn, &mut self.marks);
        }
        turn.node.maintain(now);
        self.clients.handle_backup(&mut turn);

        drain(&mut turn, &mut self.clients, &mut self.peers, &mut self.host, &mut self.marks);
        self.peers.write_dirty(&mut turn);
        self.clients.write_dirty(&mut turn);
        self.host.announce();
        self.look_at_store(now);
        self.follow_topology();
        self.tell_insight();
        self.advance_phase(now)
    }

    /// Tells each socket's owner what the poll found.
    fn route_events(&mut self) {
        for event in &self.events {
            match event.token().0 {
                WAKER => {}
                PEER_LISTENER => self.peers.handle_listener_event(),
                DATAGRAMS => {
                    if let Some(detector) = &mut self.detector {
                        detector.handle_event();
                    }
                }
                token if token < PEERS_FIRST => self.clients.handle_listener_event(token - LISTENERS_FIRST),
                token if token < CLIENTS_FIRST => {
                    self.peers.handle_event((token - PEERS_FIRST) as u32, event)
                }
                token => self.clients.handle_event((token - CLIENTS_FIRST) as u32, event),
            }
        }
        self.events.clear();
    }

    /// Goes on with a shutdown, if one was requested.
    fn advance_phase(&mut self, now: Now) -> Result<(), LoopError> {
        let Some(grace) = self.host.stop_requested() else { return Ok(()) };
        // Who moves the bytes waits for us to stop: nothing more comes.
        let grace = if self.peers.is_carried() { Duration::ZERO } else { grace };
        match self.phase {
            Phase::Serving => {
                self.log.log(Level::Info, "node", format_args!("stopping"));
                self.clients.finish();
                self.peers.close_listener();
                self.host.close();
                self.phase = Phase::Finishing { since: now.mono, until: now.mono + grace };
                self.advance_phase(now)
            }
            Phase::Finishing { since, until } => {
                let until = until.min(since + grace);
                self.phase = Phase::Finishing { since, until };
                let is_quiet = self.clients.is_quiet() && self.host.in_flight() == 0;
                if now.mono >= until || (is_quiet && self.peers.is_quiet()) {
                    self.close_core(now);
                    self.phase = Phase::Syncing { until: now.mono + LAST_SYNC_MAX };
                    return self.advance_phase(now);
                }
                Ok(())
            }
            Phase::Syncing { until } => {
                if self.errands.is_some() {
                    // Whoever does it otherwise may be waiting for us.
                    self.node.store().work_at_disk();
                    self.node.hints().store().work_at_disk();
                }
                let is_open = |store: &Storage| !store.marks().failed && !store.is_synced();
                let waits = is_open(self.node.store()) || is_open(self.node.hints().store());
                if waits && now.mono < until {
                    return Ok(());
                }
                self.phase = Phase::Stopped;
                let hints = self.node.hints_mut().store_mut().close();
                let data = self.node.store_mut().close();
                data.and(hints).map_err(|error| LoopError(format!("closing the store: {error}")))
            }
            Phase::Stopped => Ok(()),
        }
    }

    /// Ends what is still in flight, lets the last replies leave, and closes every socket.
    fn close_core(&mut self, now: Now) {
        self.node.close(now);
        let mut turn = turn!(self, now);
        drain(&mut turn, &mut self.clients, &mut self.peers, &mut self.host, &mut self.marks);
        self.peers.write_dirty(&mut turn);
        self.clients.write_dirty(&mut turn);
        self.host.announce();
        self.peers.close();
        self.clients.close();
        self.detector = None;
        self.node.store_mut().flush(Durability::Always);
        self.node.hints_mut().store_mut().flush(Durability::Always);
    }
}

/// What a topology is about, for the log.
fn describe(topology: &Topology) -> String {
    let count = topology.latest().members().len();
    match topology.next() {
        Some(_) if topology.is_flipped() => format!("{count} members, reads on the new layout"),
        Some(next) => format!("{count} members, moving to layout {}", next.version()),
        None => format!("{count} members, {} changes staged", topology.staged().len()),
    }
}

/// How far the stores of data and of hints have come.
fn marks_of(node: &Node<Storage>) -> [Marks; 2] {
    [node.store().marks(), node.hints().store().marks()]
}

/// Tells the core how far its stores have come.
fn tell_marks(turn: &mut Turn<'_>, told: &mut [Marks; 2]) {
    // Read before the core reads them: what moves in between is told again, never missed.
    *told = marks_of(turn.node);
    turn.node.handle_synced(turn.now);
}

/// Carries out what the core wants done, until it wants nothing more.
fn drain(
    turn: &mut Turn<'_>,
    clients: &mut Clients,
    peers: &mut Peers,
    host: &mut Host,
    told: &mut [Marks; 2],
) {
    loop {
        // First, as it may have something to ask over the streams.
        drain_membership(turn);
        while let Some(output) = turn.node.poll_output(turn.now) {
            match output {
                Output::Reply { id, reply } if is_of_host(id) => host.complete(id, reply),
                Output::Reply { id, reply } => clients.handle_reply(id, reply, turn),
                Output::Send { to, frames } => peers.send(to, frames, turn),
                Output::Sync(need) => {
                    turn.node.store_mut().flush(need);
                    tell_marks(turn, told);
                }
                Output::SyncHints(need) => {
                    turn.node.hints_mut().store_mut().flush(need);
                    tell_marks(turn, told);
                }
                Output::Probed { from, number } => {
                    if let Some(detector) = turn.detector {
                        detector.handle_probed(turn.now, from, number);
                    }
                }
                Output::Met(met) => {
                    if let Some(detector) = turn.detector {
                        detector.handle_met(turn.now, &met);
                    }
                }
            }
        }
        let resumed = clients.resume(turn);
        if !drain_membership(turn) && !resumed {
            return;
        }
    }
}

/// Carries out what membership wants done; false if that is nothing.
fn drain_membership(turn: &mut Turn<'_>) -> bool {
    let Turn { now, node, detector, log, .. } = turn;
    detector.as_mut().is_some_and(|detector| detector.drain(*now, node, log))
}

/// What the node and its membership know.
pub(super) fn status(node: &Node<Storage>, detector: Option<&Detector>, now: Now) -> Status {
    let mut status = node.status();
    let oldest = node.verified(now.mono).into_iter().map(|(_, age)| age).max();
    status.counters.push(("exchange_oldest_ms", oldest.map_or(0, |age| age.as_millis() as u64)));
    if let Some(detector) = detector {
        detector.add_to(&mut status, now);
    }
    status
}
