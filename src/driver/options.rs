//! What a node needs beyond the core's settings (addresses, directory, waiting, log), and the ways in
//! which opening it fails.

use core::fmt;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::driver::limits;
use crate::driver::{Clock, Logger};
use crate::proto::config::Config;
use crate::proto::error::ConfigError;
use crate::proto::gossip::keyring::Keyring;
use crate::proto::message::LEVEL;
use crate::store::{Progress, WorkerMode};

/// Where a node keeps its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDir {
    /// In memory only; gone when the node closes.
    Memory,
    /// In an append log below this directory, which is made (0700) if it does not exist.
    Path(PathBuf),
}

/// How the log of a node is kept; what is `None` is as the store has it by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of one log segment.
    pub segment_bytes: Option<u64>,
    /// Bytes of memory that the store may take before it refuses new keys.
    pub memory_max: Option<u64>,
    /// Bytes of log after which a checkpoint is written: what a restart reads at most.
    pub checkpoint_bytes: Option<u64>,
    /// The time in which every record is read again once.
    pub scrub_interval: Option<Duration>,
    /// Bytes of the newest log that compaction leaves alone.
    pub retention_bytes: Option<u64>,
    /// Whether the room of overwritten records is given back.
    pub compaction: bool,
    /// Who waits for the disk. Of a host only where it steps the node: [`EventLoop::host_disk`](super::EventLoop::host_disk).
    pub worker: WorkerMode,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            segment_bytes: None,
            memory_max: None,
            checkpoint_bytes: None,
            scrub_interval: None,
            retention_bytes: None,
            compaction: true,
            worker: WorkerMode::Thread,
        }
    }
}

/// Who moves the bytes between the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// The loop, over sockets of its own.
    #[default]
    Sockets,
    /// The host, by [`EventLoop::net_receive`](super::EventLoop::net_receive) and its like, as streams that keep their
    /// order. The loop then opens no socket, never waits in a step, and makes no system call in it.
    Streams,
    /// The same, as datagrams that may be lost, doubled and overtaken.
    Datagrams,
}

/// How the loop waits when nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPolicy {
    /// Sleeps in the kernel at once: the least CPU, some 30 µs more latency.
    Sleep,
    /// Looks again for this long, then sleeps. With one CPU it sleeps at once.
    Hybrid(Duration),
    /// Never sleeps: takes a whole CPU.
    Spin,
}

impl Default for WaitPolicy {
    fn default() -> WaitPolicy {
        WaitPolicy::Hybrid(limits::SPIN)
    }
}

/// The settings of a node with its sockets and disk. Start from [`NodeOptions::new`].
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The core's settings: name, cluster, secret, members with their peer addresses, keyspaces, limits.
    /// A member's address may be empty until [`crate::driver::EventLoop::set_member_address`].
    pub core: Config,
    /// Where records are kept.
    pub data: DataDir,
    /// Addresses to listen on for RESP clients; a port may be 0.
    pub clients: Vec<SocketAddr>,
    /// Address to listen on for peers, with streams (TCP) and datagrams (UDP); the port may be 0. `None` suits
    /// a cluster of one.
    pub peer: Option<SocketAddr>,
    /// Who moves the bytes between members. Where it is not the loop, there is no address of any kind to listen on, and
    /// the members are a list, whose addresses are those at which the host finds them.
    pub transport: Transport,
    /// Where a node that joins a cluster asks for it: addresses of its members' peer listeners. Asked for ever,
    /// until somebody is there.
    pub join: Vec<SocketAddr>,
    /// The keys of gossip datagrams; `None` for the one that follows from the cluster's secret. What an operator
    /// lists comes to one by [`gossip_keys::keyring`](super::gossip_keys::keyring).
    pub keyring: Option<Keyring>,
    /// The highest level of messages that it speaks with peers, [`LEVEL`]: less plays an earlier release, for
    /// tests of mixed clusters.
    pub level: u8,
    /// A Unix socket for RESP clients, if wanted.
    pub unix: Option<PathBuf>,
    /// The password that clients must give (`AUTH`); `None` lets everybody in.
    pub password: Option<Vec<u8>>,
    /// Allows addresses that are not loopback although clients need no password.
    pub allow_open_bind: bool,
    /// How the log is kept.
    pub store: StoreOptions,
    /// How the loop waits.
    pub wait: WaitPolicy,
    /// Clients at one time, RESP on TCP and Unix sockets together.
    pub clients_max: usize,
    /// Requests of other threads at one time: submitted, and not yet reaped. Rounded up to a power of two.
    pub window: usize,
    /// Called now and then while the log is read at the opening, on the opener's thread.
    pub on_progress: Option<OnProgress>,
    /// Whether a client may cut the node off from the others (`Q.DEV ISOLATE`), to see what happens then.
    pub is_playground: bool,
    /// What is asked for the time outside of steps. Of a host only where it steps the node: nothing waits by it.
    pub clock: Clock,
    /// Where log lines go.
    pub log: Logger,
}

/// Who is told how far the reading of the log has come. It must not take long.
#[derive(Clone)]
pub struct OnProgress(pub Arc<dyn Fn(Progress) + Send + Sync>);

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

impl NodeOptions {
    /// A node in memory, without any listener, for `core`.
    pub fn new(core: Config) -> NodeOptions {
        NodeOptions {
            core,
            data: DataDir::Memory,
            clients: Vec::new(),
            peer: None,
            transport: Transport::Sockets,
            join: Vec::new(),
            keyring: None,
            level: LEVEL,
            unix: None,
            password: None,
            allow_open_bind: false,
            store: StoreOptions::default(),
            wait: WaitPolicy::default(),
            clients_max: limits::CLIENTS_MAX,
            window: limits::WINDOW,
            on_progress: None,
            is_playground: false,
            clock: Clock::default(),
            log: Logger::silent(),
        }
    }
}

/// Why a node could not be opened. Nothing is left behind.
#[derive(Debug)]
pub enum OpenError {
    /// A setting of the core is wrong.
    Config(ConfigError),
    /// A setting of the driver is wrong, or does not fit this machine.
    Setting {
        /// The setting, by its long flag.
        setting: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Somebody else listens there.
    InUse {
        /// The setting that asked for it, by its long flag.
        setting: &'static str,
        /// The address or path.
        address: String,
    },
    /// The directory cannot be made or written.
    NotWritable {
        /// The directory or the file in it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A system call failed.
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        error: io::Error,
    },
    /// The directory is open elsewhere, in this process or another.
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who has it, as far as that is known.
        holder: String,
    },
    /// The directory is not ours, belongs to another cluster or member, or has a newer format.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
}

impl OpenError {
    /// The exit code of a program that ends because of it (sysexits.h and design §10a).
    pub fn exit_code(&self) -> u8 {
        match self {
            OpenError::Config(_) | OpenError::Setting { .. } => 64,
            OpenError::InUse { .. } => 69,
            OpenError::NotWritable { .. } => 73,
            OpenError::Io { .. } => 74,
            OpenError::Locked { .. } => 75,
            OpenError::Foreign { .. } => 76,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Config(error) => write!(f, "{error}"),
            OpenError::Setting { setting, problem } => write!(f, "{setting}: {problem}"),
            OpenError::InUse { setting, address } => {
                write!(f, "{setting}: {address} is in use by another process")
            }
            OpenError::NotWritable { path, error } => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
            OpenError::Io { doing, error } => write!(f, "{doing}: {error}"),
            OpenError::Locked { path, holder } => write!(f, "{} is in use: {holder}", path.display()),
            OpenError::Foreign { path, problem } => write!(f, "{}: {problem}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Config(error) => Some(error),
            OpenError::NotWritable { error, .. } | OpenError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<ConfigError> for OpenError {
    fn from(error: ConfigError) -> OpenError {
        OpenError::Config(error)
    }
}
