//! Options of a node: numbered keys on an opaque object, so that a new option is a new number and
//! nothing else. One table names each key for C, for `quorate_options_parse` and for the header.

use core::ffi::c_void;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::boundary::{Answer, Site, caught, entry, explain, in_hook, is_in_hook};
use super::members::{member, weight};
use super::plain::{quorate_bytes, quorate_error, write_if};
use super::status::{
    API_LEVEL, Constant, E_ARG, E_FORKED, E_NULL, E_PANIC, E_REENTRANT, E_TYPE, E_UNSUPPORTED, OK,
    quorate_status,
};
use super::user::User;
use crate::driver::{
    Clock, DataDir, EventLoop, Logger, NodeOptions, OnProgress, StoreOptions, Transport, WaitPolicy,
    gossip_keys, key_file,
};
use crate::proto::config::{Config, MemberSpec, Membership};
use crate::proto::limits;
use crate::proto::ring::Mode;
use crate::proto::store::Durability;
use crate::store::{Progress, WorkerMode};

/// The number of an option (QUORATE_OPT_...).
pub type quorate_option = u32;

/// Settings of a node, before it is opened. Opaque; one thread at a time.
#[derive(Clone, Default)]
pub struct quorate_options {
    numbers: BTreeMap<quorate_option, u64>,
    texts: BTreeMap<quorate_option, Vec<u8>>,
    lists: BTreeMap<quorate_option, Vec<Vec<u8>>>,
    progress: Option<OnProgress>,
    pub(super) log: Logger,
    pub(super) clock: Option<Clock>,
}

/// A thread of the library drives the node.
pub const MODE_THREAD: u64 = 0;
/// The host polls one descriptor and calls quorate_node_step.
pub const MODE_HOST: u64 = 1;
/// The host steps the node and moves the bytes between members.
pub const MODE_PACKET: u64 = 2;

/// The host carries streams that keep their order.
pub const CARRIER_STREAM: u64 = 0;
/// The host carries datagrams, which may be lost.
pub const CARRIER_DATAGRAM: u64 = 1;

/// Members draw random tokens.
pub const PLACEMENT_TOKENS: u64 = 1;
/// Even shares, zones kept apart, fewest moves.
pub const PLACEMENT_BALANCED: u64 = 2;

const MODE: quorate_option = 1;
const N: quorate_option = 2;
const R: quorate_option = 3;
const W: quorate_option = 4;
const TOKENS: quorate_option = 5;
const PARTITIONS: quorate_option = 6;
const KEY_MAX: quorate_option = 7;
const VALUE_MAX: quorate_option = 8;
const SIBLINGS_MAX: quorate_option = 9;
const WINDOW: quorate_option = 10;
const SYNC: quorate_option = 11;
const SYNC_INTERVAL_MS: quorate_option = 12;
const TIMEOUT_MS: quorate_option = 13;
const REPLICA_TIMEOUT_MS: quorate_option = 14;
const WAIT_SPIN_US: quorate_option = 15;
const SEGMENT_BYTES: quorate_option = 16;
const ALLOW_OPEN_BIND: quorate_option = 17;
const CLIENTS_MAX: quorate_option = 18;
const MEMORY_MAX: quorate_option = 19;
const CHECKPOINT_BYTES: quorate_option = 20;
const SCRUB_INTERVAL_S: quorate_option = 21;
const RETENTION_BYTES: quorate_option = 22;
const COMPACTION: quorate_option = 23;
const PLACEMENT: quorate_option = 24;
const MAX_PER_ZONE: quorate_option = 25;
const FOUND: quorate_option = 26;
const AUTO_COMMIT: quorate_option = 27;
const DROP_AFTER_S: quorate_option = 28;
const TRANSFER_BYTES: quorate_option = 29;
const CLIENT_ROLE: quorate_option = 30;
const HINT_BYTES: quorate_option = 31;
const HINT_AGE_S: quorate_option = 32;
const HINT_RATE: quorate_option = 33;
const REAP_AFTER_S: quorate_option = 34;
const CARRIER: quorate_option = 35;
const DISK_THREAD: quorate_option = 36;
const DIR: quorate_option = 64;
const NAME: quorate_option = 65;
const CLUSTER: quorate_option = 66;
const KEY_FILE: quorate_option = 67;
const PEER_ADDR: quorate_option = 68;
const UNIX_PATH: quorate_option = 69;
const ZONE: quorate_option = 70;
const MEMBERS: quorate_option = 96;
const CLIENT_ADDR: quorate_option = 97;
const WEIGHTS: quorate_option = 98;
const JOIN: quorate_option = 99;
const GOSSIP_KEY_FILE: quorate_option = 100;

/// What an option takes.
enum Kind {
    /// A number in a range, or one of these words in `quorate_options_parse`.
    Number(u64, u64, &'static [(&'static str, u64)]),
    Text,
    /// Texts; `set` replaces them by a list separated by commas, `add` adds one.
    List,
}

/// One option: number, name in C, name as a long flag, kind, meaning.
struct Key(quorate_option, &'static str, &'static str, Kind, &'static str);

const YES_NO: &[(&str, u64)] = &[("false", 0), ("true", 1)];
const ON_OFF: &[(&str, u64)] = &[("off", 0), ("on", 1)];
const SYNC_WORDS: &[(&str, u64)] = &[("memory", 0), ("interval", 1), ("always", 2)];
const PLACEMENT_WORDS: &[(&str, u64)] = &[("tokens", PLACEMENT_TOKENS), ("balanced", PLACEMENT_BALANCED)];
const MODE_WORDS: &[(&str, u64)] = &[("thread", MODE_THREAD), ("host", MODE_HOST), ("packet", MODE_PACKET)];
const CARRIER_WORDS: &[(&str, u64)] = &[("stream", CARRIER_STREAM), ("datagram", CARRIER_DATAGRAM)];

/// Every option. Numbers are never changed and never used again.
#[rustfmt::skip]
const KEYS: &[Key] = &[
    Key(MODE, "QUORATE_OPT_MODE", "mode", Kind::Number(0, 2, MODE_WORDS), "QUORATE_MODE_...: who drives the node"),
    Key(N, "QUORATE_OPT_N", "n", Kind::Number(1, 16, &[]), "replicas of each key (3)"),
    Key(R, "QUORATE_OPT_R", "r", Kind::Number(1, 16, &[]), "replicas that must answer a read (a majority)"),
    Key(W, "QUORATE_OPT_W", "w", Kind::Number(1, 16, &[]), "replicas that must acknowledge a write (a majority)"),
    Key(TOKENS, "QUORATE_OPT_TOKENS", "tokens", Kind::Number(1, 65_536, &[]), "tokens each member draws (64)"),
    Key(PARTITIONS, "QUORATE_OPT_PARTITIONS", "partitions", Kind::Number(1, 65_536, &[]), "partitions, a power of two (256)"),
    Key(KEY_MAX, "QUORATE_OPT_KEY_MAX", "key-max", Kind::Number(1, 65_000, &[]), "longest key in bytes (4096)"),
    Key(VALUE_MAX, "QUORATE_OPT_VALUE_MAX", "value-max", Kind::Number(1, 64 << 20, &[]), "largest value in bytes (16777216)"),
    Key(SIBLINGS_MAX, "QUORATE_OPT_SIBLINGS_MAX", "siblings-max", Kind::Number(1, 10_000, &[]), "siblings at which a blind put is refused (100)"),
    Key(WINDOW, "QUORATE_OPT_WINDOW", "window", Kind::Number(1, 1 << 20, &[]), "requests accepted and not reaped at one time, rounded up to a power of two (4096)"),
    Key(SYNC, "QUORATE_OPT_SYNC", "sync", Kind::Number(0, 2, SYNC_WORDS), "QUORATE_SYNC_...: when a replica acknowledges (interval)"),
    Key(SYNC_INTERVAL_MS, "QUORATE_OPT_SYNC_INTERVAL_MS", "sync-interval-ms", Kind::Number(1, 60_000, &[]), "milliseconds between syncs (100)"),
    Key(TIMEOUT_MS, "QUORATE_OPT_TIMEOUT_MS", "timeout-ms", Kind::Number(1, 3_600_000, &[]), "deadline of a request that names none (1000)"),
    Key(REPLICA_TIMEOUT_MS, "QUORATE_OPT_REPLICA_TIMEOUT_MS", "replica-timeout-ms", Kind::Number(1, 3_600_000, &[]), "how long to wait for one replica (500)"),
    Key(WAIT_SPIN_US, "QUORATE_OPT_WAIT_SPIN_US", "wait-spin-us", Kind::Number(0, u64::MAX, &[]), "microseconds to look again before sleeping; UINT64_MAX never sleeps (30)"),
    Key(SEGMENT_BYTES, "QUORATE_OPT_SEGMENT_BYTES", "segment-bytes", Kind::Number(1 << 16, 1 << 32, &[]), "bytes of a log segment (67108864)"),
    Key(ALLOW_OPEN_BIND, "QUORATE_OPT_ALLOW_OPEN_BIND", "allow-open-bind", Kind::Number(0, 1, YES_NO), "1 allows addresses that strangers can reach"),
    Key(CLIENTS_MAX, "QUORATE_OPT_CLIENTS_MAX", "clients-max", Kind::Number(1, 1 << 20, &[]), "Redis clients at one time (10000)"),
    Key(MEMORY_MAX, "QUORATE_OPT_MEMORY_MAX", "memory-max", Kind::Number(1, u64::MAX, &[]), "bytes of memory that the store may take before new keys are refused (no bound)"),
    Key(CHECKPOINT_BYTES, "QUORATE_OPT_CHECKPOINT_BYTES", "checkpoint-bytes", Kind::Number(1 << 16, 1 << 52, &[]), "bytes of log after which a checkpoint is written (268435456)"),
    Key(SCRUB_INTERVAL_S, "QUORATE_OPT_SCRUB_INTERVAL_S", "scrub-interval-s", Kind::Number(1, 315_360_000, &[]), "seconds in which every record is read again once (604800)"),
    Key(RETENTION_BYTES, "QUORATE_OPT_RETENTION_BYTES", "retention-bytes", Kind::Number(0, 1 << 52, &[]), "bytes of the newest log that compaction leaves alone (67108864)"),
    Key(COMPACTION, "QUORATE_OPT_COMPACTION", "compaction", Kind::Number(0, 1, ON_OFF), "0 lets the log grow: the room of overwritten values is not given back (1)"),
    Key(PLACEMENT, "QUORATE_OPT_PLACEMENT", "placement", Kind::Number(1, 2, PLACEMENT_WORDS), "QUORATE_PLACEMENT_...: how partitions are placed (tokens)"),
    Key(MAX_PER_ZONE, "QUORATE_OPT_MAX_PER_ZONE", "max-per-zone", Kind::Number(1, 16, &[]), "replicas of a key that may lie in one zone, with placement balanced (one less than N)"),
    Key(FOUND, "QUORATE_OPT_FOUND", "found", Kind::Number(0, 1, YES_NO), "1 founds a cluster that can grow, unless the directory belongs to one already (0)"),
    Key(AUTO_COMMIT, "QUORATE_OPT_AUTO_COMMIT", "auto-commit", Kind::Number(0, 1, YES_NO), "1 commits the plan that joining leads to, without an operator (0)"),
    Key(DROP_AFTER_S, "QUORATE_OPT_DROP_AFTER_S", "drop-after-s", Kind::Number(0, u32::MAX as u64, &[]), "seconds for which old copies of moved partitions are kept (3600)"),
    Key(TRANSFER_BYTES, "QUORATE_OPT_TRANSFER_BYTES", "transfer-bytes", Kind::Number(0, u64::MAX, &[]), "bytes a second taken at most of partitions that move here; 0 for no limit (67108864)"),
    Key(CLIENT_ROLE, "QUORATE_OPT_CLIENT_ROLE", "client-role", Kind::Number(0, 1, YES_NO), "1 with join: hold no data, and coordinate through the members (0)"),
    Key(HINT_BYTES, "QUORATE_OPT_HINT_BYTES", "hint-bytes", Kind::Number(0, u64::MAX, &[]), "bytes of hints kept for replicas that cannot be reached; 0 for none (a tenth of the data, 67108864 at least)"),
    Key(HINT_AGE_S, "QUORATE_OPT_HINT_AGE_S", "hint-age-s", Kind::Number(1, u32::MAX as u64, &[]), "seconds after which a hint is dropped that no acknowledgement counted (10800)"),
    Key(HINT_RATE, "QUORATE_OPT_HINT_RATE", "hint-rate", Kind::Number(0, u64::MAX, &[]), "bytes a second at most of hints and of what is caught up from the log, less while requests turn slow; 0 for no limit (16777216)"),
    Key(REAP_AFTER_S, "QUORATE_OPT_REAP_AFTER_S", "reap-after-s", Kind::Number(0, u32::MAX as u64, &[]), "seconds after which a deleted or expired key is reaped, on proof that nobody can bring back what it deletes; 0 for never (3600; with a member list 0)"),
    Key(CARRIER, "QUORATE_OPT_CARRIER", "carrier", Kind::Number(0, 1, CARRIER_WORDS), "QUORATE_CARRIER_...: what the program moves in mode packet (stream)"),
    Key(DISK_THREAD, "QUORATE_OPT_DISK_THREAD", "disk-thread", Kind::Number(0, 1, ON_OFF), "0 in modes host and packet: no thread of the library waits for the disk, the program calls quorate_disk_step (1)"),
    Key(DIR, "QUORATE_OPT_DIR", "dir", Kind::Text, "the data directory; none keeps records in memory only"),
    Key(NAME, "QUORATE_OPT_NAME", "name", Kind::Text, "this member's name (A)"),
    Key(CLUSTER, "QUORATE_OPT_CLUSTER", "cluster", Kind::Text, "the cluster's name (quorate)"),
    Key(KEY_FILE, "QUORATE_OPT_KEY_FILE", "key-file", Kind::Text, "a file of 32 bytes and mode 0600: the cluster's secret"),
    Key(PEER_ADDR, "QUORATE_OPT_PEER_ADDR", "peer-addr", Kind::Text, "where to serve other members; port 0 takes a free one"),
    Key(UNIX_PATH, "QUORATE_OPT_UNIX_PATH", "unix-path", Kind::Text, "a Unix socket for Redis clients"),
    Key(ZONE, "QUORATE_OPT_ZONE", "zone", Kind::Text, "what fails together with this node; of one that founds or joins a cluster"),
    Key(MEMBERS, "QUORATE_OPT_MEMBERS", "members", Kind::List, "all members, each NAME@HOST:PORT, or NAME before quorate_node_meet; with placement balanced /ZONE may follow, behind all else =WEIGHT"),
    Key(CLIENT_ADDR, "QUORATE_OPT_CLIENT_ADDR", "client-addr", Kind::List, "where to serve Redis clients (nowhere)"),
    Key(WEIGHTS, "QUORATE_OPT_WEIGHTS", "weights", Kind::List, "shares of the data relative to others, each NAME=WEIGHT of a member whose entry has none (1); 0 holds nothing"),
    Key(JOIN, "QUORATE_OPT_JOIN", "join", Kind::List, "join the cluster of the members that serve peers there, each HOST:PORT; instead of members"),
    Key(GOSSIP_KEY_FILE, "QUORATE_OPT_GOSSIP_KEY_FILE", "gossip-key-file", Kind::List, "keys of gossip datagrams, each a file as for key-file, or derived for the key that it gives: the first seals, all are accepted (derived)"),
];

/// The options for the header, and the values of those that have names.
pub fn constants() -> Vec<Constant> {
    let constant = Constant::unsigned::<u64>;
    let mut all: Vec<_> = KEYS.iter().map(|key| constant(key.1, key.0.into(), key.4)).collect();
    all.extend([
        constant("QUORATE_MODE_THREAD", MODE_THREAD, "a thread of the library drives the node"),
        constant("QUORATE_MODE_HOST", MODE_HOST, "the host polls one descriptor and calls quorate_node_step"),
        constant(
            "QUORATE_MODE_PACKET",
            MODE_PACKET,
            "the host steps the node and moves the bytes between members: quorate_net_rx, quorate_net_tx",
        ),
        constant("QUORATE_CARRIER_STREAM", CARRIER_STREAM, "bytes in their order, each once"),
        constant(
            "QUORATE_CARRIER_DATAGRAM",
            CARRIER_DATAGRAM,
            "datagrams as large as the frames, which may be lost, doubled, overtaken or changed",
        ),
        constant("QUORATE_PLACEMENT_TOKENS", PLACEMENT_TOKENS, "members draw random tokens"),
        constant(
            "QUORATE_PLACEMENT_BALANCED",
            PLACEMENT_BALANCED,
            "even shares, zones kept apart, fewest moves",
        ),
        constant("QUORATE_SYNC_MEMORY", 0, "in memory: a killed process may lose it on this node"),
        constant("QUORATE_SYNC_INTERVAL", 1, "handed to the kernel, on disk within the sync interval"),
        constant("QUORATE_SYNC_ALWAYS", 2, "on disk"),
    ]);
    all
}

fn key(option: quorate_option) -> Result<&'static Key, quorate_status> {
    KEYS.iter().find(|key| key.0 == option).ok_or(E_UNSUPPORTED)
}

impl quorate_options {
    fn set_number(&mut self, option: quorate_option, value: u64) -> Answer {
        match key(option)?.3 {
            Kind::Number(low, high, _) if (low..=high).contains(&value) => {
                self.numbers.insert(option, value);
                Ok(OK)
            }
            Kind::Number(..) => Err(E_ARG),
            _ => Err(E_TYPE),
        }
    }

    fn set_bytes(&mut self, option: quorate_option, value: &[u8]) -> Answer {
        match key(option)?.3 {
            Kind::Text => {
                self.texts.insert(option, value.to_vec());
            }
            Kind::List => {
                let parts = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                let parts = parts.filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
                self.lists.insert(option, parts);
            }
            Kind::Number(..) => return Err(E_TYPE),
        }
        Ok(OK)
    }

    fn add_bytes(&mut self, option: quorate_option, value: &[u8]) -> Answer {
        match key(option)?.3 {
            Kind::List => {
                self.lists.entry(option).or_default().push(value.to_vec());
                Ok(OK)
            }
            _ => Err(E_TYPE),
        }
    }

    /// Sets an option by its name and a text; the error says what was expected.
    fn parse(&mut self, name: &[u8], value: &[u8]) -> Result<(), (quorate_status, String)> {
        let flag: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        let found = KEYS.iter().find(|key| key.2.as_bytes() == flag);
        let shown = String::from_utf8_lossy(name);
        let key = found.ok_or_else(|| (E_UNSUPPORTED, format!("no option is named `{shown}`")))?;
        let Kind::Number(low, high, words) = key.3 else {
            return self.set_bytes(key.0, value).map(drop).map_err(|status| (status, String::new()));
        };
        let text = core::str::from_utf8(value).unwrap_or("").trim();
        let word = words.iter().find(|word| word.0 == text).map(|word| word.1);
        let number = word.or_else(|| text.parse().ok()).filter(|number| (low..=high).contains(number));
        let number = number.ok_or_else(|| {
            let expected = if words.is_empty() {
                format!("a number from {low} to {high}")
            } else {
                words.iter().map(|word| word.0).collect::<Vec<_>>().join(", ")
            };
            (E_ARG, format!("{shown}: `{}` is not {expected}", String::from_utf8_lossy(value)))
        })?;
        self.set_number(key.0, number).map(drop).map_err(|status| (status, String::new()))
    }

    fn number(&self, option: quorate_option) -> Option<u64> {
        self.numbers.get(&option).copied()
    }

    fn text(&self, option: quorate_option) -> Result<Option<&str>, String> {
        let Some(bytes) = self.texts.get(&option) else { return Ok(None) };
        core::str::from_utf8(bytes).map(Some).map_err(|_| format!("option {option} is not UTF-8"))
    }

    fn list(&self, option: quorate_option) -> Result<Vec<&str>, String> {
        let entries = self.lists.get(&option).map_or(&[][..], Vec::as_slice);
        let text = |entry| core::str::from_utf8(entry).map_err(|_| format!("option {option} is not UTF-8"));
        entries.iter().map(|entry| text(entry)).collect()
    }

    /// Who drives the node.
    pub(super) fn is_host_driven(&self) -> bool {
        matches!(self.number(MODE), Some(MODE_HOST | MODE_PACKET))
    }

    /// Whether the host moves the bytes between members.
    pub(super) fn is_packet(&self) -> bool {
        self.number(MODE) == Some(MODE_PACKET)
    }

    /// What the driver is opened with.
    ///
    /// # Errors
    /// What is wrong, in words. What only the driver can check is left to it.
    pub(super) fn gather(&self) -> Result<NodeOptions, String> {
        let core = self.core()?;
        let own = core.members.iter().find(|member| member.name == core.name);
        let own_address = own.map(|member| member.address.clone()).filter(|address| !address.is_empty());
        let is_alone = core.members.len() == 1;
        let mut options = NodeOptions::new(core);
        let own_address = own_address.filter(|_| !self.is_packet());
        let peer = self.text(PEER_ADDR)?.map(str::to_owned).or(own_address);
        if self.is_packet() {
            options.transport = match self.number(CARRIER) {
                Some(CARRIER_DATAGRAM) => Transport::Datagrams,
                _ => Transport::Streams,
            };
        }
        options.peer = match peer {
            Some(text) => Some(resolve("peer-addr", &text)?),
            None if is_alone || self.is_packet() => None,
            None => Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        for text in self.list(CLIENT_ADDR)? {
            options.clients.push(resolve("client-addr", text)?);
        }
        for text in self.list(JOIN)? {
            options.join.push(resolve("join", text)?);
        }
        let keyring = gossip_keys::keyring(&options.core, &self.list(GOSSIP_KEY_FILE)?);
        options.keyring = keyring.map_err(|error| error.to_string())?;
        if let Some(path) = self.text(DIR)? {
            options.data = DataDir::Path(PathBuf::from(path));
        }
        options.on_progress = self.progress.clone();
        options.log = self.log.clone();
        if let Some(clock) = &self.clock {
            if !self.is_host_driven() {
                return Err("clock: a node that its own thread drives waits by the machine's".to_owned());
            }
            options.clock = clock.clone();
        }
        options.unix = self.text(UNIX_PATH)?.map(PathBuf::from);
        options.store = StoreOptions {
            segment_bytes: self.number(SEGMENT_BYTES),
            memory_max: self.number(MEMORY_MAX),
            checkpoint_bytes: self.number(CHECKPOINT_BYTES),
            scrub_interval: self.number(SCRUB_INTERVAL_S).map(Duration::from_secs),
            retention_bytes: self.number(RETENTION_BYTES),
            compaction: self.number(COMPACTION) != Some(0),
            worker: if self.number(DISK_THREAD) == Some(0) { WorkerMode::Host } else { WorkerMode::Thread },
        };
        if options.store.worker == WorkerMode::Host && !self.is_host_driven() {
            return Err("disk-thread: a node that its own thread drives has one for the disk, too".to_owned());
        }
        options.allow_open_bind = self.number(ALLOW_OPEN_BIND) == Some(1);
        let size = |option, default| self.number(option).map_or(default, |number| number as usize);
        options.clients_max = size(CLIENTS_MAX, options.clients_max);
        options.window = size(WINDOW, options.window);
        options.wait = match self.number(WAIT_SPIN_US) {
            None => options.wait,
            Some(0) => WaitPolicy::Sleep,
            Some(u64::MAX) => WaitPolicy::Spin,
            Some(micros) => WaitPolicy::Hybrid(Duration::from_micros(micros)),
        };
        Ok(options)
    }

    /// The members with their weights, in their entries or beside.
    fn members(&self) -> Result<Vec<MemberSpec>, String> {
        let mut rows = self.list(MEMBERS)?.into_iter().map(member).collect::<Result<Vec<_>, String>>()?;
        for entry in self.list(WEIGHTS)? {
            let (name, text) =
                entry.split_once('=').ok_or_else(|| format!("weights: `{entry}` is not NAME=WEIGHT"))?;
            let row = rows.iter_mut().find(|row| row.0.name == name);
            let row = row.ok_or_else(|| format!("weights: `{name}` is not in the member list"))?;
            if row.1.replace(weight("weights", entry, text)?).is_some() {
                return Err(format!("weights: `{name}` has two weights"));
            }
        }
        Ok(rows.into_iter().map(|(row, weight)| MemberSpec { weight: weight.unwrap_or(1), ..row }).collect())
    }

    fn core(&self) -> Result<Config, String> {
        let mut core = Config::new(self.text(NAME)?.unwrap_or("A"));
        let members = self.members()?;
        if !members.is_empty() {
            core.members = members;
        }
        if let Some(cluster) = self.text(CLUSTER)? {
            core.cluster = cluster.to_owned();
        }
        if let Some(path) = self.text(KEY_FILE)? {
            let secret = key_file::read("key-file", Path::new(path));
            core.secret = secret.map_err(|error| error.to_string())?;
        }
        let keyspace = &mut core.keyspaces[0];
        keyspace.n = self.number(N).map_or(keyspace.n, |number| number as u8);
        keyspace.r = self.number(R).map(|number| number as u8);
        keyspace.w = self.number(W).map(|number| number as u8);
        keyspace.durability = match self.number(SYNC) {
            Some(0) => Durability::Memory,
            Some(2) => Durability::Always,
            _ => Durability::Interval,
        };
        let size = |option, default| self.number(option).map_or(default, |number| number as usize);
        core.key_max = size(KEY_MAX, core.key_max);
        core.value_max = size(VALUE_MAX, core.value_max);
        core.siblings_max = size(SIBLINGS_MAX, core.siblings_max);
        core.tokens = self.number(TOKENS).map_or(core.tokens, |number| number as u32);
        if self.number(PLACEMENT) == Some(PLACEMENT_BALANCED) {
            core.placement = Mode::Balanced;
        }
        core.auto_commit = self.number(AUTO_COMMIT) == Some(1);
        core.drop_after = self.number(DROP_AFTER_S).map_or(core.drop_after, Duration::from_secs);
        core.transfer_rate = self.number(TRANSFER_BYTES).unwrap_or(core.transfer_rate);
        core.hint_bytes_max = self.number(HINT_BYTES);
        core.hint_age_max = self.number(HINT_AGE_S).map_or(core.hint_age_max, Duration::from_secs);
        core.hint_rate = self.number(HINT_RATE).unwrap_or(core.hint_rate);
        let joins = self.lists.get(&JOIN).is_some_and(|list| !list.is_empty());
        if joins || self.number(FOUND) == Some(1) {
            if self.lists.get(&MEMBERS).is_some_and(|list| !list.is_empty()) {
                return Err("members: a node that founds or joins a cluster has no list of them".into());
            }
            core.reap_after = Some(limits::REAP_AFTER);
            core.membership = match (joins, self.number(CLIENT_ROLE)) {
                (true, Some(1)) => Membership::Client,
                (true, _) => Membership::Joined,
                (false, _) => Membership::Founded,
            };
            core.placement = Mode::Balanced;
            self.text(ZONE)?.unwrap_or_default().clone_into(&mut core.members[0].zone);
        }
        if let Some(seconds) = self.number(REAP_AFTER_S) {
            core.reap_after = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        core.max_per_zone = self.number(MAX_PER_ZONE).map(|number| number as u8);
        core.partitions = self.number(PARTITIONS).map_or(core.partitions, |number| number as u32);
        let millis = |option, default| self.number(option).map_or(default, Duration::from_millis);
        core.sync_interval = millis(SYNC_INTERVAL_MS, core.sync_interval);
        core.client_deadline = millis(TIMEOUT_MS, core.client_deadline);
        core.replica_deadline = millis(REPLICA_TIMEOUT_MS, core.replica_deadline);
        Ok(core)
    }
}

/// The first address that a text names.
pub(super) fn resolve(setting: &str, text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().map_err(|error| format!("{setting}: {text}: {error}"))?.next();
    found.ok_or_else(|| format!("{setting}: {text} names no address"))
}

/// Runs `body` on the options behind a pointer.
///
/// # Safety
/// `options` is NULL or was made by `quorate_options_new` and not freed, and no other thread uses it.
pub(super) unsafe fn with_options(
    site: Site,
    options: *mut quorate_options,
    body: impl FnOnce(&mut quorate_options) -> Answer,
) -> quorate_status {
    entry(site, || {
        // A hook that is called while they are read or freed may not change them.
        if is_in_hook() {
            return Err(E_REENTRANT);
        }
        // SAFETY: NULL or, by the caller's promise, live and ours alone.
        body(unsafe { options.as_mut() }.ok_or(E_NULL)?)
    })
}

/// Makes options with every default. QUORATE_OPTIONS_CREATE passes the level for you.
///
/// Arguments: api_level: QUORATE_API_LEVEL of the caller; out: receives the options, or NULL.
/// Returns: OK; E_NULL; E_UNSUPPORTED for a level that this library does not know; E_FORKED; E_PANIC.
/// Thread class: E. Blocks: no. Owner: the caller, who gives them to quorate_options_free. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_new(
    api_level: u32,
    out: *mut *mut quorate_options,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a pointer.
    unsafe { write_if(out, core::ptr::null_mut()) };
    entry(Site::OptionsNew, || {
        if out.is_null() {
            return Err(E_NULL);
        }
        if !(1..=API_LEVEL).contains(&api_level) {
            return Err(E_UNSUPPORTED);
        }
        let options = Box::new(quorate_options::default());
        // SAFETY: not NULL, the caller's place for a pointer.
        unsafe { out.write(Box::into_raw(options)) };
        Ok(OK)
    })
}

/// Sets an option that is a number.
///
/// Arguments: options; option: QUORATE_OPT_...; value.
/// Returns: OK; E_NULL; E_UNSUPPORTED for an unknown option; E_TYPE if it is no number; E_ARG for a value
/// outside its range; E_FORKED; E_PANIC. Nothing is set unless it is OK.
/// Thread class: E. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_set_u64(
    options: *mut quorate_options,
    option: quorate_option,
    value: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { with_options(Site::OptionsSetU64, options, |options| options.set_number(option, value)) }
}

/// Sets an option that is a text, or replaces a list by the parts between commas.
///
/// Arguments: options; option: QUORATE_OPT_...; value.
/// Returns: OK; E_NULL; E_UNSUPPORTED for an unknown option; E_TYPE if it is a number; E_FORKED; E_PANIC.
/// Thread class: E. Blocks: no. Owner: the value is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_set_bytes(
    options: *mut quorate_options,
    option: quorate_option,
    value: quorate_bytes,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_options(Site::OptionsSetBytes, options, |options| options.set_bytes(option, value.as_slice()?))
    }
}

/// Adds one entry to an option that is a list.
///
/// Arguments: options; option: QUORATE_OPT_...; value: the entry.
/// Returns: OK; E_NULL; E_UNSUPPORTED for an unknown option; E_TYPE if it is no list; E_FORKED; E_PANIC.
/// Thread class: E. Blocks: no. Owner: the value is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_add_bytes(
    options: *mut quorate_options,
    option: quorate_option,
    value: quorate_bytes,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_options(Site::OptionsAddBytes, options, |options| options.add_bytes(option, value.as_slice()?))
    }
}

/// Sets an option by its name, as config files and command lines spell it ("sync-interval-ms").
///
/// Arguments: options; name: with - or _; value: a number, a word such as "always", or a text; error:
/// may be NULL, says what was expected.
/// Returns: OK; E_NULL; E_UNSUPPORTED for an unknown name; E_ARG for a value that does not fit; E_FORKED;
/// E_PANIC.
/// Thread class: E. Blocks: no. Owner: name and value are copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_parse(
    options: *mut quorate_options,
    name: quorate_bytes,
    value: quorate_bytes,
    error: *mut quorate_error,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_options(Site::OptionsParse, options, |options| {
            let (name, value) = (name.as_slice()?, value.as_slice()?);
            match options.parse(name, value) {
                Ok(()) => Ok(OK),
                Err((status, text)) => Err(explain(error, status, 0, &text)),
            }
        })
    }
}

/// Sets what is called now and then while quorate_node_open reads a log, with the bytes that were read and
/// those that are to be. It runs on the thread that opens; it must not throw, longjmp or fork, and not take
/// long. A second call replaces the first.
///
/// Arguments: options; hook: NULL for none; user: passed to both; drop: may be NULL, called once with user
/// when no options and no opening need it any more, also if this call fails.
/// Returns: OK; E_NULL; E_FORKED; E_PANIC.
/// Thread class: E. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_set_progress(
    options: *mut quorate_options,
    hook: Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64)>,
    user: *mut c_void,
    drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
) -> quorate_status {
    let held = User::new(user, drop);
    let progress = hook.map(|hook| {
        OnProgress(Arc::new(move |Progress { done, total }| {
            let held = &held;
            // SAFETY: the caller promises that the hook takes this user until `drop`.
            in_hook(|| unsafe { hook(held.pointer(), done, total) });
        }))
    });
    let set = |options: &mut quorate_options| {
        options.progress = progress;
        Ok(OK)
    };
    // SAFETY: the contract of the function.
    unsafe { with_options(Site::OptionsSetProgress, options, set) }
}

/// Makes a copy of options.
///
/// Arguments: options; out: receives the copy, or NULL.
/// Returns: OK; E_NULL; E_FORKED; E_PANIC.
/// Thread class: E. Blocks: no. Owner: the caller, who gives the copy to quorate_options_free. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_clone(
    options: *const quorate_options,
    out: *mut *mut quorate_options,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a pointer.
    unsafe { write_if(out, core::ptr::null_mut()) };
    entry(Site::OptionsClone, || {
        if is_in_hook() {
            return Err(E_REENTRANT);
        }
        // SAFETY: NULL or live options, by the contract of the function.
        let options = unsafe { options.as_ref() }.ok_or(E_NULL)?;
        if out.is_null() {
            return Err(E_NULL);
        }
        // SAFETY: not NULL, the caller's place for a pointer.
        unsafe { out.write(Box::into_raw(Box::new(options.clone()))) };
        Ok(OK)
    })
}

/// Frees options. NULL is allowed; so is a forked child. From a hook it does nothing: they are still to be freed.
///
/// Arguments: options: not used afterwards.
/// Returns: nothing.
/// Thread class: E. Blocks: no. Owner: the library takes them. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_options_free(options: *mut quorate_options) {
    if options.is_null() || is_in_hook() {
        return;
    }
    // SAFETY: not NULL, so made by Box::into_raw in this file and not freed, by the contract.
    let options = unsafe { Box::from_raw(options) };
    // A caught panic has nobody to be told to.
    let _ = caught(Site::OptionsFree, move || drop(options));
}

/// Opens what `options` describe.
///
/// # Errors
/// The status and what is wrong, in words.
pub(super) fn checked(options: &quorate_options) -> Result<NodeOptions, (quorate_status, String)> {
    if EventLoop::was_forked() {
        return Err((E_FORKED, String::new()));
    }
    caught(Site::NodeOpen, || options.gather()).ok_or((E_PANIC, String::new()))?.map_err(|text| (E_ARG, text))
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
