//! Settings of `quorate node`: one list that is flags, variables, TOML keys and help at once.
//!
//! A flag wins over a `QUORATE_*` variable, that over the config file, that over the default. clap takes
//! care of the first two; [`NodeArguments::or`] fills what is still missing from the file. A key in the
//! file that no flag has is an error, so a typing mistake never runs with a default.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use quorate::driver::{DataDir, Logger, NodeOptions, StoreOptions, gossip_keys, key_file};
use quorate::proto::config::{Config, Membership};
use quorate::proto::limits;
use quorate::proto::ring::Mode;
use quorate::proto::store::Durability;
use quorate::store::{SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN, SEGMENT_SIZE_STEP};

use super::choices::{LogLevel, Placement, Switch, Sync};
use super::exit::{Failure, USAGE};
use super::log::ProgramLog;
use super::members;

/// Name of a node that was given none.
const NAME_DEFAULT: &str = "A";
/// Where clients are served by default.
pub const CLIENT_DEFAULT: &str = "127.0.0.1:7379";
/// The longest time in which every record may be read again: ten years.
const SCRUB_HOURS_MAX: u32 = 87_600;
/// Where peers are served by default.
const PEER_DEFAULT: &str = "127.0.0.1:7380";

/// What `quorate node` can be told. Every field is also a key of the config file, with `_` for `-`.
#[derive(clap::Args, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct NodeArguments {
    /// This member's name [default: A, in a cluster of one].
    #[arg(long, env = "QUORATE_NAME")]
    pub(super) name: Option<String>,
    /// The data directory; made with mode 0700 if it does not exist.
    #[arg(long, env = "QUORATE_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Where to serve Redis clients [default: 127.0.0.1:7379]; port 0 takes a free one.
    #[arg(long, env = "QUORATE_CLIENT", value_name = "ADDR")]
    pub(super) client: Option<String>,
    /// Where to serve other members [default: as --members says, or 127.0.0.1:7380].
    #[arg(long, env = "QUORATE_PEER", value_name = "ADDR")]
    pub(super) peer: Option<String>,
    /// All members, this one included, as NAME@HOST:PORT[/ZONE][=WEIGHT],…; without it a cluster of one.
    #[arg(long, env = "QUORATE_MEMBERS", value_name = "LIST")]
    #[serde(deserialize_with = "text_or_list")]
    pub(super) members: Option<String>,
    /// Join the cluster of the member that serves peers there; several may be tried: HOST:PORT,…
    #[arg(long, env = "QUORATE_JOIN", value_name = "LIST", conflicts_with = "members")]
    #[serde(deserialize_with = "text_or_list")]
    pub(super) join: Option<String>,
    /// Commit the plan that this node's joining leads to; without it an operator does.
    #[arg(long, env = "QUORATE_AUTO_COMMIT", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) auto_commit: Option<bool>,
    /// What fails together with this node, such as a rack; of one that founds or joins a cluster.
    #[arg(long, env = "QUORATE_ZONE")]
    pub(super) zone: Option<String>,
    /// This node's share of the data relative to others; of one that founds or joins a cluster [default: 1].
    #[arg(long, env = "QUORATE_WEIGHT")]
    pub(super) weight: Option<u32>,
    /// Seconds for which old copies of moved partitions are kept [default: 3600].
    #[arg(long, env = "QUORATE_DROP_AFTER", value_name = "SECONDS")]
    pub(super) drop_after: Option<u32>,
    /// MiB a second that are taken at most of partitions that move here; 0 for no limit [default: 64].
    #[arg(long, env = "QUORATE_TRANSFER_MIB", value_name = "MIB")]
    pub(super) transfer_mib: Option<u32>,
    /// MiB of hints that are kept for replicas that cannot be reached; 0 for none [default: a tenth of the data, 64 at
    /// least].
    #[arg(long, env = "QUORATE_HINTS_MIB", value_name = "MIB")]
    pub(super) hints_mib: Option<u32>,
    /// Seconds after which a hint is dropped that no acknowledgement counted [default: 10800].
    #[arg(long, env = "QUORATE_HINT_AGE", value_name = "SECONDS")]
    pub(super) hint_age: Option<u32>,
    /// MiB a second that are given back at most to members that were away, less while requests are slow; 0 for no limit [default: 16].
    #[arg(long, env = "QUORATE_HINT_RATE_MIB", value_name = "MIB")]
    pub(super) hint_rate_mib: Option<u32>,
    /// Seconds after which a deleted or expired key is reaped, on proof that nobody can bring back what it deletes; 0 for
    /// never [default: 3600; with a member list 0, as nobody knows there whose directory was emptied or restored].
    #[arg(long, env = "QUORATE_REAP_AFTER", value_name = "SECONDS")]
    pub(super) reap_after: Option<u32>,
    /// A TOML file with any of these settings.
    #[arg(long, env = "QUORATE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
    /// When a write counts as done on a replica [default: interval].
    #[arg(long, env = "QUORATE_SYNC", value_name = "WHEN")]
    pub(super) sync: Option<Sync>,
    /// The cluster's name [default: quorate].
    #[arg(long, env = "QUORATE_CLUSTER", value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// The cluster's secret: a file of 32 bytes and mode 0600.
    #[arg(long, env = "QUORATE_KEY_FILE", value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// Keys of gossip datagrams, each a file like --key-file or the word `derived` for the key that --key-file
    /// gives: the first one seals, all are accepted [default: derived].
    #[arg(long, env = "QUORATE_GOSSIP_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    pub(super) gossip_key_file: Option<Vec<String>>,
    /// The least important lines to log [default: info].
    #[arg(long, env = "QUORATE_LOG", value_name = "LEVEL")]
    pub(super) log: Option<LogLevel>,
    /// Log to this file instead of stderr; SIGHUP opens it anew.
    #[arg(long, env = "QUORATE_LOG_FILE", value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,
    /// Serve Redis clients on this Unix socket too.
    #[arg(long, env = "QUORATE_UNIX", value_name = "PATH")]
    pub(super) unix: Option<PathBuf>,
    /// Allow addresses that are not loopback although nobody has to log in.
    #[arg(long, env = "QUORATE_ALLOW_OPEN_BIND", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) allow_open_bind: Option<bool>,
    /// Replicas of each key [default: 3].
    #[arg(long, env = "QUORATE_N")]
    pub(super) n: Option<u8>,
    /// Replicas that must answer a read [default: a majority].
    #[arg(long, env = "QUORATE_R")]
    pub(super) r: Option<u8>,
    /// Replicas that must acknowledge a write [default: a majority].
    #[arg(long, env = "QUORATE_W")]
    pub(super) w: Option<u8>,
    /// Partitions, a power of two; fixed when the cluster is made [default: 256].
    #[arg(long, env = "QUORATE_PARTITIONS")]
    pub(super) partitions: Option<u32>,
    /// How partitions are placed; fixed when the cluster is made [default: tokens].
    #[arg(long, env = "QUORATE_PLACEMENT", value_name = "MODE")]
    pub(super) placement: Option<Placement>,
    /// Replicas of a key that may lie in one zone [default: one less than N].
    #[arg(long, env = "QUORATE_MAX_PER_ZONE")]
    pub(super) max_per_zone: Option<u8>,
    /// Tokens each member draws, with placement tokens; fixed when the cluster is made [default: 64].
    #[arg(long, env = "QUORATE_TOKENS")]
    pub(super) tokens: Option<u32>,
    /// Milliseconds until the deadline of a request that names none [default: 1000].
    #[arg(long, env = "QUORATE_TIMEOUT_MS", value_name = "MS")]
    pub(super) timeout_ms: Option<u64>,
    /// Longest key in bytes [default: 4096].
    #[arg(long, env = "QUORATE_KEY_MAX", value_name = "BYTES")]
    pub(super) key_max: Option<usize>,
    /// Largest value in bytes [default: 16777216].
    #[arg(long, env = "QUORATE_VALUE_MAX", value_name = "BYTES")]
    pub(super) value_max: Option<usize>,
    /// Size of a log segment in MiB [default: 64].
    #[arg(long, env = "QUORATE_SEGMENT_MIB", value_name = "MIB", conflicts_with = "segment_kib")]
    pub(super) segment_mib: Option<u32>,
    /// Size of a log segment in KiB, from 64 on, a multiple of 4: in place of --segment-mib.
    #[arg(long, env = "QUORATE_SEGMENT_KIB", value_name = "KIB")]
    pub(super) segment_kib: Option<u32>,
    /// MiB of memory that index and buffers may take before new keys are refused [default: no bound].
    #[arg(long, env = "QUORATE_MEMORY_MAX_MIB", value_name = "MIB")]
    pub(super) memory_max_mib: Option<u32>,
    /// A checkpoint is written after so many MiB of log: a restart reads no more than that [default: 256].
    #[arg(long, env = "QUORATE_CHECKPOINT_MIB", value_name = "MIB")]
    pub(super) checkpoint_mib: Option<u32>,
    /// Hours in which every record is read again once, to find what the disk has lost [default: 168].
    #[arg(long, env = "QUORATE_SCRUB_HOURS", value_name = "HOURS")]
    pub(super) scrub_hours: Option<u32>,
    /// MiB of the newest log that compaction leaves alone, for those who follow changes [default: 64].
    #[arg(long, env = "QUORATE_RETENTION_MIB", value_name = "MIB")]
    pub(super) retention_mib: Option<u32>,
    /// Whether the room of overwritten values is given back [default: on].
    #[arg(long, env = "QUORATE_COMPACTION", value_name = "SWITCH")]
    pub(super) compaction: Option<Switch>,
}

/// Everything `quorate node` needs, gathered from all sources and checked.
pub struct NodeSettings {
    /// What the event loop is opened with.
    pub options: NodeOptions,
    /// Where log lines go.
    pub log: Arc<ProgramLog>,
    /// The secret's file, to be read again on SIGHUP.
    pub key_file: Option<PathBuf>,
}

/// What a node is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds data.
    Store,
    /// It holds none.
    Client,
}

impl NodeArguments {
    /// These settings, with what they leave open taken from `other`.
    fn or(self, other: NodeArguments) -> NodeArguments {
        let (has_members, has_join) = (self.members.is_some(), self.join.is_some());
        NodeArguments {
            name: self.name.or(other.name),
            data: self.data.or(other.data),
            client: self.client.or(other.client),
            peer: self.peer.or(other.peer),
            members: self.members.or(other.members.filter(|_| !has_join)),
            // A list and seeds exclude each other: whoever gave one is not overruled by the other of elsewhere.
            join: self.join.or(other.join.filter(|_| !has_members)),
            auto_commit: self.auto_commit.or(other.auto_commit),
            zone: self.zone.or(other.zone),
            weight: self.weight.or(other.weight),
            drop_after: self.drop_after.or(other.drop_after),
            transfer_mib: self.transfer_mib.or(other.transfer_mib),
            hints_mib: self.hints_mib.or(other.hints_mib),
            hint_age: self.hint_age.or(other.hint_age),
            hint_rate_mib: self.hint_rate_mib.or(other.hint_rate_mib),
            reap_after: self.reap_after.or(other.reap_after),
            config: self.config.or(other.config),
            sync: self.sync.or(other.sync),
            cluster: self.cluster.or(other.cluster),
            key_file: self.key_file.or(other.key_file),
            gossip_key_file: self.gossip_key_file.or(other.gossip_key_file),
            log: self.log.or(other.log),
            log_file: self.log_file.or(other.log_file),
            unix: self.unix.or(other.unix),
            allow_open_bind: self.allow_open_bind.or(other.allow_open_bind),
            n: self.n.or(other.n),
            r: self.r.or(other.r),
            w: self.w.or(other.w),
            partitions: self.partitions.or(other.partitions),
            placement: self.placement.or(other.placement),
            max_per_zone: self.max_per_zone.or(other.max_per_zone),
            tokens: self.tokens.or(other.tokens),
            timeout_ms: self.timeout_ms.or(other.timeout_ms),
            key_max: self.key_max.or(other.key_max),
            value_max: self.value_max.or(other.value_max),
            // One size in two units: whoever gave one is not overruled by the other of elsewhere.
            segment_mib: self.segment_mib.or(other.segment_mib.filter(|_| self.segment_kib.is_none())),
            segment_kib: self.segment_kib.or(other.segment_kib.filter(|_| self.segment_mib.is_none())),
            memory_max_mib: self.memory_max_mib.or(other.memory_max_mib),
            checkpoint_mib: self.checkpoint_mib.or(other.checkpoint_mib),
            scrub_hours: self.scrub_hours.or(other.scrub_hours),
            retention_mib: self.retention_mib.or(other.retention_mib),
            compaction: self.compaction.or(other.compaction),
        }
    }

    /// Reads the config file, if one is named, fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// The first setting that is wrong, by its flag.
    pub fn gather(self, role: Role) -> Result<NodeSettings, Failure> {
        let arguments = match self.config.clone() {
            Some(path) => self.or(read_file(&path)?),
            None => self,
        };
        let data = match (role, arguments.data.clone()) {
            (Role::Client, _) => DataDir::Memory,
            (Role::Store, Some(path)) => DataDir::Path(path),
            (Role::Store, None) => {
                return Err(Failure::setting("data", "a node needs a directory for its records"));
            }
        };
        let mut core = arguments.core()?;
        if role == Role::Client {
            core.membership = Membership::Client;
        }
        core.check()?;
        let keyring = gossip_keys::keyring(&core, arguments.gossip_key_file.as_deref().unwrap_or_default())?;
        let client_text = arguments.client.as_deref().unwrap_or(CLIENT_DEFAULT);
        let client = resolve("client", client_text)?;
        let peer = arguments.peer_address(&core)?;
        let store = arguments.store()?;
        let log = ProgramLog::open(arguments.log_file.clone()).map(Arc::new).map_err(|error| {
            let path = arguments.log_file.clone().unwrap_or_default();
            Failure::setting("log-file", format!("{}: {error}", path.display()))
        })?;
        let mut options = NodeOptions::new(core);
        options.data = data;
        options.clients = vec![client];
        // Nobody dials who holds nothing.
        options.peer = Some(peer).filter(|_| role == Role::Store);
        for seed in arguments.join.iter().flat_map(|list| list.split(',')) {
            options.join.push(resolve("join", seed.trim())?);
        }
        options.keyring = keyring;
        options.unix = arguments.unix;
        options.allow_open_bind = arguments.allow_open_bind.unwrap_or(false);
        options.store = store;
        options.log = Logger::new(arguments.log.unwrap_or(LogLevel::Info).into(), log.clone());
        Ok(NodeSettings { options, log, key_file: arguments.key_file })
    }

    /// The core's part of the settings.
    fn core(&self) -> Result<Config, Failure> {
        if self.members.is_some() && self.name.is_none() {
            return Err(Failure::setting("name", "which of --members is this node?"));
        }
        let mut core = Config::new(self.name.as_deref().unwrap_or(NAME_DEFAULT));
        if let Some(list) = &self.members {
            core.members = members::from_text(list)?;
        }
        self.set_membership(&mut core)?;
        if let Some(cluster) = &self.cluster {
            core.cluster.clone_from(cluster);
        }
        if let Some(path) = &self.key_file {
            core.secret = key_file::read("key-file", path)?;
        }
        let keyspace = &mut core.keyspaces[0];
        keyspace.n = self.n.unwrap_or(keyspace.n);
        keyspace.r = self.r;
        keyspace.w = self.w;
        keyspace.durability = self.sync.map_or(keyspace.durability, Durability::from);
        core.partitions = self.partitions.unwrap_or(core.partitions);
        if let Some(placement) = self.placement {
            if core.membership != Membership::Listed && placement == Placement::Tokens {
                return Err(Failure::setting("placement", "a cluster that can grow is balanced"));
            }
            core.placement = placement.into();
        }
        core.max_per_zone = self.max_per_zone;
        core.tokens = self.tokens.unwrap_or(core.tokens);
        core.client_deadline = self.timeout_ms.map_or(core.client_deadline, Duration::from_millis);
        core.key_max = self.key_max.unwrap_or(core.key_max);
        core.value_max = self.value_max.unwrap_or(core.value_max);
        Ok(core)
    }

    /// Where the members come from: a list, a cluster that is joined, or this node alone, which founds one. A
    /// directory of a version that founded none stays the cluster of one that it is.
    fn set_membership(&self, core: &mut Config) -> Result<(), Failure> {
        let has_layout = self.data.as_ref().is_some_and(|data| data.join("layout").exists());
        let is_listed = self.members.is_some() || has_layout;
        core.auto_commit = self.auto_commit.unwrap_or(false);
        core.drop_after = self.drop_after.map_or(core.drop_after, |s| Duration::from_secs(s.into()));
        core.transfer_rate = self.transfer_mib.map_or(core.transfer_rate, |mib| u64::from(mib) << 20);
        core.hint_bytes_max = self.hints_mib.map(|mib| u64::from(mib) << 20);
        core.hint_age_max = self.hint_age.map_or(core.hint_age_max, |s| Duration::from_secs(s.into()));
        core.hint_rate = self.hint_rate_mib.map_or(core.hint_rate, |mib| u64::from(mib) << 20);
        core.reap_after = match self.reap_after {
            Some(seconds) => (seconds > 0).then(|| Duration::from_secs(seconds.into())),
            None => (!is_listed || self.join.is_some()).then_some(limits::REAP_AFTER),
        };
        if is_listed && self.join.is_none() {
            for (flag, is_given) in [("zone", self.zone.is_some()), ("weight", self.weight.is_some())] {
                if is_given {
                    return Err(Failure::setting(
                        flag,
                        "a member list says it, as NAME@HOST:PORT/ZONE=WEIGHT",
                    ));
                }
            }
            return Ok(());
        }
        core.membership = match &self.join {
            Some(_) if self.name.is_none() => {
                return Err(Failure::setting("name", "a node that joins needs one that no member has"));
            }
            Some(_) => Membership::Joined,
            None => Membership::Founded,
        };
        core.placement = Mode::Balanced;
        let own = &mut core.members[0];
        own.zone = self.zone.clone().unwrap_or_default();
        own.weight = self.weight.unwrap_or(1);
        Ok(())
    }

    /// How the log is kept.
    fn store(&self) -> Result<StoreOptions, Failure> {
        let mib = |mib: Option<u32>| mib.map(|mib| u64::from(mib) << 20);
        let positive = |flag, value: Option<u32>, most: u32| match value {
            Some(value) if value == 0 || value > most => {
                Err(Failure::setting(flag, format!("{value} is outside 1 to {most}")))
            }
            value => Ok(value),
        };
        let (flag, segment) = match self.segment_kib {
            None => ("segment-mib", mib(self.segment_mib)),
            Some(_) if self.segment_mib.is_some() => {
                return Err(Failure::setting("segment-kib", "--segment-mib says the same in another unit"));
            }
            Some(kib) => ("segment-kib", Some(u64::from(kib) << 10)),
        };
        let is_size = |bytes: &u64| {
            (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(bytes) && bytes.is_multiple_of(SEGMENT_SIZE_STEP)
        };
        if segment.is_some_and(|bytes| !is_size(&bytes)) {
            let (min, max, step) = (SEGMENT_SIZE_MIN >> 10, SEGMENT_SIZE_MAX >> 20, SEGMENT_SIZE_STEP >> 10);
            let problem = format!("a segment has {min} KiB to {max} MiB, in steps of {step} KiB");
            return Err(Failure::setting(flag, problem));
        }
        let scrub_hours = positive("scrub-hours", self.scrub_hours, SCRUB_HOURS_MAX)?;
        Ok(StoreOptions {
            segment_bytes: segment,
            memory_max: mib(positive("memory-max-mib", self.memory_max_mib, u32::MAX)?),
            checkpoint_bytes: mib(positive("checkpoint-mib", self.checkpoint_mib, u32::MAX)?),
            scrub_interval: scrub_hours.map(|hours| Duration::from_secs(u64::from(hours) * 3_600)),
            retention_bytes: mib(self.retention_mib),
            compaction: self.compaction != Some(Switch::Off),
            ..StoreOptions::default()
        })
    }

    /// Where to listen for peers: as told, else where the member list says that this node is.
    fn peer_address(&self, core: &Config) -> Result<SocketAddr, Failure> {
        let own_row = core.members.iter().find(|member| member.name == core.name);
        let listed = own_row.map(|member| member.address.as_str()).filter(|address| !address.is_empty());
        resolve("peer", self.peer.as_deref().or(listed).unwrap_or(PEER_DEFAULT))
    }
}

/// Reads a config file.
fn read_file(path: &Path) -> Result<NodeArguments, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::setting("config", format!("{}: {error}", path.display())))?;
    toml::from_str(&text)
        .map_err(|error| Failure::new(USAGE, format!("{}: {}", path.display(), error.to_string().trim_end())))
}

/// A TOML value that is one text, or a list of texts that means the same joined by commas.
fn text_or_list<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text `NAME@HOST:PORT[/ZONE][=WEIGHT],…` or a list of such texts")]
    enum TextOrList {
        Text(String),
        List(Vec<String>),
    }
    Ok(Some(match TextOrList::deserialize(from)? {
        TextOrList::Text(text) => text,
        TextOrList::List(list) => list.join(","),
    }))
}

/// The address a text such as `127.0.0.1:7379` or `localhost:7379` stands for.
///
/// # Errors
/// It is none, or its host is unknown; `flag` is named.
pub fn resolve(flag: &str, text: &str) -> Result<SocketAddr, Failure> {
    let refuse = |problem: String| Failure::setting(flag, format!("`{text}` is no HOST:PORT: {problem}"));
    let mut addresses = text.to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
    addresses.next().ok_or_else(|| refuse("the host has no address".into()))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
