//! Opening a node: checks its settings, binds its sockets, opens its store. In an order in which what is
//! cheap to refuse is refused first, and everything that was made goes away again with the error.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use mio::{Poll, Token, Waker};

use super::client::{Clients, Facts};
use super::clock::Clock;
use super::datagrams::Datagrams;
use super::event_loop::{CLIENTS_FIRST, DATAGRAMS, LISTENERS_FIRST, PEER_LISTENER, PEERS_FIRST, WAKER};
use super::gossip::{Detector, Start};
use super::handle::{Host, LoopWaker};
use super::host_disk::Errands;
use super::limits::{LISTENERS_MAX, PORTS_TRIED, RESERVED_FILES};
use super::listener::Listener;
use super::log::{Level, Logger};
use super::options::{DataDir, NodeOptions, OnProgress, OpenError, StoreOptions, Transport};
use super::peer::Peers;
use super::queue::Wake;
use super::storage::Storage;
use super::{hint_log, layout_file, sys};
use crate::proto::config::{Config, Membership};
use crate::proto::hints;
use crate::proto::keys::ClusterKeys;
use crate::proto::node::Node;
use crate::proto::ring::Layout;
use crate::proto::rng::Rng;
use crate::proto::session::Identity;
use crate::proto::store::{Durability, Store as _};
use crate::proto::time::Now;
use crate::proto::version::Hlc;
use crate::resp::Settings;
use crate::store::{self, FileDisk, LogOptions, LogStore, MemoryStore, WorkerMode};

/// Bytes of a segment of the log of hints.
const HINT_SEGMENT_SIZE: u64 = 4 << 20;

/// The parts of a loop.
pub(super) struct Parts {
    pub(super) poll: Poll,
    pub(super) node: Node<Storage>,
    pub(super) clients: Clients,
    pub(super) peers: Peers,
    pub(super) detector: Option<Detector>,
    pub(super) host: Host,
    /// Where the host carries out what waits for the disk.
    pub(super) errands: Option<Errands>,
}

/// Opens a node.
pub(super) fn open(options: &NodeOptions, clock: &Clock) -> Result<Parts, OpenError> {
    options.core.check()?;
    check_addresses(options)?;
    check_transport(options)?;
    check_joining(options)?;
    let keys = ClusterKeys::derive(&options.core.cluster, &options.core.secret);
    let members = member_addresses(&options.core)?;
    if let DataDir::Path(path) = &options.data {
        check_directory(path, &options.core)?;
    }
    sys::guard_against_fork();

    let poll = Poll::new().map_err(doing("making a poll"))?;
    let waker = Waker::new(poll.registry(), Token(WAKER)).map_err(doing("making a waker"))?;
    let waker = LoopWaker(Arc::new(waker));
    let (listener, datagrams) = options.peer.map(bind_peer).transpose()?.unzip();
    let mut peers = open_peers(options, &keys, &members, listener, &poll)?;
    let core = with_own_address(&options.core, peers.address())?;
    let now = clock.now();
    let level = match options.transport {
        Transport::Sockets => Some(sys::EventFd::new().map_err(doing("making an eventfd"))?),
        Transport::Streams | Transport::Datagrams => None,
    };
    let errands = (options.store.worker == WorkerMode::Host).then(Errands::default);
    let host = Host::new(options.window, waker.clone(), level);
    let clients = open_clients(options, &mut peers, &host, &poll, now)?;

    let store = open_storage(options, &keys, waker.clone(), now)?;
    let mut draw = draws()?;
    let hints = open_hints(options, &keys, waker.clone(), &store)?;
    let node = Node::new(core.clone(), store, hints, draw(), now)?;
    // The first release knew no datagrams.
    let datagrams = datagrams.filter(|_| options.level > 0);
    let detector = match datagrams.zip(peers.address()) {
        Some((datagrams, bound)) => {
            let own = members.iter().find(|member| member.0 == core.name).and_then(|member| member.1);
            let start = Start {
                keys: &keys,
                name: &core.name,
                address: own.unwrap_or(bound),
                zone: zone_of(&core, &core.name),
                identity: &node.store().identity(),
                is_listed: core.membership == Membership::Listed,
                keyring: options.keyring.as_ref(),
                seeds: &options.join,
                directory: match &options.data {
                    DataDir::Memory => None,
                    DataDir::Path(path) => Some(path),
                },
                errands: errands.as_ref(),
                seed: draw(),
            };
            let mut detector = Detector::new(datagrams, &start, waker, &options.log, now)?;
            detector.register(poll.registry(), DATAGRAMS).map_err(doing("watching for datagrams"))?;
            detector.follow(now, node.topology());
            if core.membership == Membership::Listed {
                let addresses = members.iter().map(|member| member.1);
                detector.set_members(now, core.members.iter().zip(addresses));
            }
            Some(detector)
        }
        None => None,
    };
    Ok(Parts { poll, node, clients, peers, detector, host, errands })
}

/// The zone of a member, by name.
pub(super) fn zone_of<'c>(core: &'c Config, name: &str) -> &'c str {
    core.members.iter().find(|member| member.name == name).map_or("", |member| &member.zone)
}

/// Listens for peers and binds the same port for datagrams.
fn bind_peer(address: SocketAddr) -> Result<(Listener, Datagrams), OpenError> {
    let mut tries = if address.port() == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries -= 1;
        let listener = Listener::tcp("peer", address)?;
        let bound = listener.address().unwrap_or(address);
        match Datagrams::bind("peer", bound) {
            Err(OpenError::InUse { .. }) if tries > 0 => {}
            datagrams => return Ok((listener, datagrams?)),
        }
    }
}

/// What turns a failed system call into an error.
fn doing(what: &str) -> impl FnOnce(std::io::Error) -> OpenError {
    let doing = what.to_owned();
    move |error| OpenError::Io { doing, error }
}

/// Refuses addresses that strangers could reach without a password or a key.
fn check_addresses(options: &NodeOptions) -> Result<(), OpenError> {
    let listeners = options.clients.len() + usize::from(options.unix.is_some());
    if listeners > LISTENERS_MAX {
        let problem = format!("{listeners} addresses; {LISTENERS_MAX} are allowed");
        return Err(OpenError::Setting { setting: "client", problem });
    }
    if options.allow_open_bind {
        return Ok(());
    }
    let refuse = |setting, address: &SocketAddr, lack: &str| {
        let problem = format!("{address} is not loopback and {lack}; --allow-open-bind permits it");
        Err(OpenError::Setting { setting, problem })
    };
    let is_open = |address: &&SocketAddr| !address.ip().is_loopback();
    if options.password.is_none()
        && let Some(address) = options.clients.iter().find(is_open)
    {
        return refuse("client", address, "clients need no password");
    }
    if options.core.secret == ClusterKeys::PUBLIC
        && let Some(address) = options.peer.iter().find(is_open)
    {
        return refuse("peer", address, "the cluster's key is the public one");
    }
    Ok(())
}

/// Whether the directory is one of such a cluster: its members are a list, or decided by keepers.
fn check_directory(path: &Path, core: &Config) -> Result<(), OpenError> {
    let (listed, kept) = (path.join(layout_file::FILE_NAME), path.join("topology"));
    let refuse = |setting, problem: &str| Err(OpenError::Setting { setting, problem: problem.to_owned() });
    match core.membership {
        Membership::Listed if kept.exists() => refuse(
            "members",
            "the directory belongs to a cluster whose members are no list: start it without",
        ),
        Membership::Listed => layout_file::check(path, core),
        _ if listed.exists() => {
            refuse("members", "the directory was made with a member list, and needs the same one again")
        }
        Membership::Founded | Membership::Joined | Membership::Client => Ok(()),
    }
}

/// The settings with the address that was bound for peers, by which others will reach this member.
fn with_own_address(core: &Config, bound: Option<SocketAddr>) -> Result<Config, OpenError> {
    let mut core = core.clone();
    let name = core.name.clone();
    let own = core.members.iter_mut().find(|member| member.name == name);
    if core.membership != Membership::Listed
        && let Some(own) = own
        && own.address.is_empty()
        && let Some(bound) = bound
    {
        if bound.ip().is_unspecified() {
            let problem = format!("{bound} is no address at which other members find this one; name one");
            return Err(OpenError::Setting { setting: "peer", problem });
        }
        own.address = bound.to_string();
    }
    Ok(core)
}

/// Where each member listens, if that is known yet.
fn member_addresses(core: &Config) -> Result<Vec<(String, Option<SocketAddr>)>, OpenError> {
    let resolve = |member: &crate::proto::config::MemberSpec| {
        let address = match member.address.as_str() {
            "" => None,
            text => {
                let problem = |why: &dyn core::fmt::Display| OpenError::Setting {
                    setting: "members",
                    problem: format!("the address {text} of `{}`: {why}", member.name),
                };
                let found = text.to_socket_addrs().map_err(|error| problem(&error))?.next();
                Some(found.ok_or_else(|| problem(&"it names no address"))?)
            }
        };
        Ok((member.name.clone(), address))
    };
    core.members.iter().map(resolve).collect()
}

/// Refuses to join where nobody could reach this member.
fn check_joining(options: &NodeOptions) -> Result<(), OpenError> {
    let membership = options.core.membership;
    if membership == Membership::Joined && options.peer.is_none() {
        let problem = "a member needs one, at which the others reach it".to_owned();
        return Err(OpenError::Setting { setting: "peer", problem });
    }
    let asks = matches!(membership, Membership::Joined | Membership::Client);
    if asks && options.join.is_empty() {
        let problem = "whom does this node ask for the cluster?".to_owned();
        return Err(OpenError::Setting { setting: "join", problem });
    }
    Ok(())
}

/// Refuses what would need a socket where the host moves all bytes.
fn check_transport(options: &NodeOptions) -> Result<(), OpenError> {
    if options.transport == Transport::Sockets {
        return Ok(());
    }
    let refuse = |setting, problem: &str| Err(OpenError::Setting { setting, problem: problem.to_owned() });
    let no_socket = "a node whose bytes the host moves opens no socket";
    match options {
        NodeOptions { clients, .. } if !clients.is_empty() => refuse("client", no_socket),
        NodeOptions { unix: Some(_), .. } => refuse("unix", no_socket),
        NodeOptions { peer: Some(_), .. } => refuse("peer", no_socket),
        // A cluster that can grow finds its members by datagrams, which the host does not carry.
        NodeOptions { core, .. } if core.membership != Membership::Listed => {
            refuse("members", "a node whose bytes the host moves needs a list of them")
        }
        _ => Ok(()),
    }
}

fn open_peers(
    options: &NodeOptions,
    keys: &ClusterKeys,
    members: &[(String, Option<SocketAddr>)],
    listener: Option<Listener>,
    poll: &Poll,
) -> Result<Peers, OpenError> {
    let is_listed = options.core.membership == Membership::Listed;
    let identity = Identity {
        keys: keys.clone(),
        name: options.core.name.clone(),
        level: options.level,
        members: is_listed.then(|| members.iter().map(|(name, _)| name.clone()).collect()),
    };
    let mut peers = Peers::new(identity, &options.join, listener, options.transport, PEERS_FIRST);
    let known = members.iter().map(|(name, address)| (name.as_str(), *address));
    let is_member = matches!(options.core.membership, Membership::Listed | Membership::Founded);
    peers.set_members(known, is_member);
    peers.register_listener(poll.registry(), PEER_LISTENER).map_err(doing("watching the peer listener"))?;
    Ok(peers)
}

fn open_clients(
    options: &NodeOptions,
    peers: &mut Peers,
    host: &Host,
    poll: &Poll,
    now: Now,
) -> Result<Clients, OpenError> {
    let mut listeners = Vec::new();
    for &address in &options.clients {
        listeners.push(Listener::tcp("client", address)?);
    }
    if let Some(path) = &options.unix {
        listeners.push(Listener::unix("unix", path)?);
    }
    let settings = Settings { password: options.password.clone(), value_max: options.core.value_max };
    let facts = Facts {
        started: now.mono,
        durability: match options.core.keyspace(0).durability {
            Durability::Memory => "memory",
            Durability::Interval => "interval",
            Durability::Always => "always",
        },
        directory: match &options.data {
            DataDir::Memory => String::new(),
            DataDir::Path(path) => path.display().to_string(),
        },
        isolation: options.is_playground.then(|| host.isolation()),
    };
    let clients_max = clients_max(options, peers.members(), &options.log);
    let mut clients = Clients::new(listeners, settings, facts, clients_max, CLIENTS_FIRST);
    let registered = clients.register_listeners(poll.registry(), LISTENERS_FIRST);
    registered.map_err(doing("watching a client listener"))?;
    Ok(clients)
}

/// How many clients there may be, so that a descriptor is always left for the rest.
fn clients_max(options: &NodeOptions, members: usize, log: &Logger) -> usize {
    let files = sys::open_files_max();
    let room = files.saturating_sub(RESERVED_FILES + 2 * members).max(1);
    if room < options.clients_max {
        let wanted = options.clients_max;
        log.log(
            Level::Warn,
            "client",
            format_args!("{room} clients at most instead of {wanted}: the process may open {files} files"),
        );
    }
    options.clients_max.min(room)
}

fn open_storage(
    options: &NodeOptions,
    keys: &ClusterKeys,
    waker: LoopWaker,
    now: Now,
) -> Result<Storage, OpenError> {
    match &options.data {
        DataDir::Memory => {
            Ok(Storage::Memory(Box::new(MemoryStore::new(options.core.partitions, &mut draws()?))))
        }
        DataDir::Path(path) => {
            let core = &options.core;
            let mut log = log_options(core.partitions, keys, &options.store);
            log.hlc_now = Hlc::from_millis(now.wall.0).0;
            let wake = Box::new(move || waker.wake());
            let mut tell = |progress| {
                if let Some(OnProgress(hook)) = &options.on_progress {
                    hook(progress);
                }
            };
            let disk = FileDisk::new(path);
            let store = LogStore::open_with_progress(disk, log, &mut draws()?, wake, &mut tell)?;
            // From here on the directory is locked.
            if core.membership == Membership::Listed {
                layout_file::keep(path, core, Layout::first(core, keys).hash())?;
            }
            Ok(Storage::Log(Box::new(store)))
        }
    }
}

/// Opens the log of hints that goes with a store. Its segments are small: most of the time it is empty.
fn open_hints(
    options: &NodeOptions,
    keys: &ClusterKeys,
    waker: LoopWaker,
    store: &Storage,
) -> Result<Storage, OpenError> {
    let DataDir::Path(path) = &options.data else {
        return Ok(Storage::Memory(Box::new(MemoryStore::new(hints::PARTITIONS, &mut draws()?))));
    };
    let mut log = log_options(hints::PARTITIONS, keys, &options.store);
    log.segment_size = log.segment_size.min(HINT_SEGMENT_SIZE);
    // Nobody follows its changes.
    log.retention_bytes = 0;
    let disk = FileDisk::new(&hint_log::prepare(path, store.identity().generation)?);
    let store = LogStore::open(disk, log, &mut draws()?, Box::new(move || waker.wake()))?;
    Ok(Storage::Log(Box::new(store)))
}

/// The settings of the log, with the store's defaults where nothing was asked for.
fn log_options(partitions: u32, keys: &ClusterKeys, asked: &StoreOptions) -> LogOptions {
    let defaults = LogOptions::new(partitions, keys.hash);
    LogOptions {
        segment_size: asked.segment_bytes.unwrap_or(defaults.segment_size),
        memory_max: asked.memory_max.unwrap_or(defaults.memory_max),
        checkpoint_bytes: asked.checkpoint_bytes.unwrap_or(defaults.checkpoint_bytes),
        scrub_interval: asked.scrub_interval.unwrap_or(defaults.scrub_interval),
        retention_bytes: asked.retention_bytes.unwrap_or(defaults.retention_bytes),
        compaction: asked.compaction,
        worker: asked.worker,
        ..defaults
    }
}

/// Random numbers, drawn by a generator with a seed of the system's.
fn draws() -> Result<impl FnMut() -> u64, OpenError> {
    let seed: [u8; 8] = sys::random().map_err(doing("drawing random bytes"))?;
    let mut generator = Rng::new(u64::from_le_bytes(seed));
    Ok(move || generator.next_u64())
}

impl From<store::OpenError> for OpenError {
    fn from(error: store::OpenError) -> OpenError {
        let problem = error.to_string();
        match error {
            store::OpenError::Locked { path, holder } => OpenError::Locked { path, holder },
            store::OpenError::NotWritable { path, error } => OpenError::NotWritable { path, error },
            store::OpenError::Io { path, error } => {
                OpenError::Io { doing: format!("opening {}", path.display()), error }
            }
            store::OpenError::Settings { .. } => OpenError::Setting { setting: "data", problem },
            store::OpenError::Foreign { path, problem } | store::OpenError::Corrupt { path, problem } => {
                OpenError::Foreign { path, problem }
            }
            store::OpenError::Newer { path, found, known } => {
                let problem = format!("it has version {found}; this program knows up to version {known}");
                OpenError::Foreign { path, problem }
            }
        }
    }
}
