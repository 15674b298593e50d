//! The settings of a node, checked once. Everything after [`Config::check`] may rely on them.

use core::time::Duration;

use super::error::ConfigError;
use super::keys::ClusterKeys;
use super::limits;
use super::ring::{self, Mode};
use super::store::Durability;

/// A member as the operator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSpec {
    /// Unique name, 1 to [`limits::NAME_MAX`] bytes of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Where its peers reach it; opaque to the core.
    pub address: String,
    /// What fails with it, such as a rack or a room: spelt as a name, or empty. All members have one, or none.
    pub zone: String,
    /// Share of the data relative to others; 1 is usual, 0 holds none.
    pub weight: u32,
    /// The generation of its data directory, where the cluster binds the member to one; 0 if it does not.
    pub generation: u64,
}

impl MemberSpec {
    /// A member of weight 1 in no zone.
    pub fn new(name: &str, address: &str) -> MemberSpec {
        let (name, address) = (name.to_owned(), address.to_owned());
        MemberSpec { name, address, zone: String::new(), weight: 1, generation: 0 }
    }
}

/// Defaults of one keyspace. `None` for a quorum is `majority` of min(N, machines).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceConfig {
    /// Replicas of each key (trap T16: no request changes it).
    pub n: u8,
    /// Replicas that must answer a read.
    pub r: Option<u8>,
    /// Replicas that must acknowledge a write.
    pub w: Option<u8>,
    /// When a replica acknowledges.
    pub durability: Durability,
}

impl Default for KeyspaceConfig {
    fn default() -> Self {
        KeyspaceConfig { n: 3, r: None, w: None, durability: Durability::Interval }
    }
}

/// Where a node's members come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Membership {
    /// The list of settings, on every node the same. It never changes.
    #[default]
    Listed,
    /// This node founds a cluster that can grow: the members of its list, each with the generation of its
    /// directory; its own need not be told.
    Founded,
    /// It joins a cluster of which it knows an address.
    Joined,
    /// It is none and becomes none: it learns who holds what from a cluster of which it knows an address, and
    /// coordinates through those who do (Dynamo, §6.4).
    Client,
}

/// The settings of a node. Start from [`Config::new`], change fields, then [`Config::check`].
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's name; it must stand in `members`.
    pub name: String,
    /// Name of the cluster, spelt as a member's.
    pub cluster: String,
    /// Secret key of the cluster; [`ClusterKeys::PUBLIC`] if none was given.
    pub secret: [u8; 32],
    /// All members, this one included. Of a cluster that is joined, only this one.
    pub members: Vec<MemberSpec>,
    /// Where they come from, unless the directory knows a topology already.
    pub membership: Membership,
    /// Whether a plan that this node's joining leads to is committed without an operator.
    pub auto_commit: bool,
    /// How long an old copy of a partition is kept after the cluster has moved it.
    pub drop_after: Duration,
    /// Bytes a second that this node takes at most of the records of partitions that move to it; 0 for no limit.
    pub transfer_rate: u64,
    /// How often copies are compared with another replica's; never if `None`.
    pub exchange_interval: Option<Duration>,
    /// Whether a member that was away is given what it missed from the log here, as far as exchanges told what it had.
    pub catch_up: bool,
    /// How old a tombstone is before it is reaped, on proof that nobody can bring back what it deletes; never if `None`. Only a
    /// cluster that decides on its members knows a directory that was emptied or restored, so `None` is the default, and
    /// [`limits::REAP_AFTER`] what a node that founds or joins one wants.
    pub reap_after: Option<Duration>,
    /// Bytes of hints that this node keeps for replicas that cannot be reached; `None` for a tenth of its own data,
    /// and [`limits::HINT_BYTES_LEAST`] at least. With 0 it keeps none and gives none to others.
    pub hint_bytes_max: Option<u64>,
    /// How old a hint may become that no acknowledgement counted.
    pub hint_age_max: Duration,
    /// Bytes a second that it gives back at most to members that were away, of hints and of its log; 0 for no limit.
    pub hint_rate: u64,
    /// Partitions, a power of two.
    pub partitions: u32,
    /// How partitions are placed. With [`Mode::Tokens`] zones have no say, and are refused.
    pub placement: Mode,
    /// Replicas of a partition that may lie in one zone. `None` for N−1 where there are two zones or more, with
    /// the largest N of any keyspace.
    pub max_per_zone: Option<u8>,
    /// Tokens drawn for a member of weight 1.
    pub tokens: u32,
    /// Keyspace defaults. Keyspaces not listed take the first entry's.
    pub keyspaces: Vec<KeyspaceConfig>,
    /// Longest key in bytes.
    pub key_max: usize,
    /// Largest value in bytes.
    pub value_max: usize,
    /// Siblings at which a put without full context is refused.
    pub siblings_max: usize,
    /// Deadline of a request that names none.
    pub client_deadline: Duration,
    /// How long to wait for one replica before asking another or sending again.
    pub replica_deadline: Duration,
    /// How often unsynced records are synced under `interval`.
    pub sync_interval: Duration,
    /// How often to look for values that have expired, to drop their bytes; at most.
    pub sweep_interval: Duration,
    /// One read in so many also compares the replicas it did not need, after the reply; 0 for never.
    pub background_read_one_in: u64,
    /// Requests coordinated at one time.
    pub in_flight_max: usize,
    /// Bytes of values that they write at one time. A single value always passes.
    pub in_flight_bytes_max: usize,
}

impl Config {
    /// The defaults for a cluster of one.
    pub fn new(name: &str) -> Config {
        Config {
            name: name.to_owned(),
            cluster: "quorate".to_owned(),
            secret: ClusterKeys::PUBLIC,
            members: vec![MemberSpec::new(name, "")],
            membership: Membership::Listed,
            auto_commit: false,
            drop_after: limits::DROP_AFTER,
            transfer_rate: limits::TRANSFER_RATE,
            exchange_interval: Some(limits::EXCHANGE_INTERVAL),
            catch_up: true,
            reap_after: None,
            hint_bytes_max: None,
            hint_age_max: limits::HINT_AGE_MAX,
            hint_rate: limits::HINT_RATE,
            partitions: limits::PARTITIONS_DEFAULT,
            placement: Mode::Tokens,
            max_per_zone: None,
            tokens: limits::TOKENS_DEFAULT,
            keyspaces: vec![KeyspaceConfig::default()],
            key_max: limits::KEY_MAX_DEFAULT,
            value_max: limits::VALUE_MAX_DEFAULT,
            siblings_max: limits::SIBLINGS_MAX,
            client_deadline: limits::CLIENT_DEADLINE,
            replica_deadline: limits::REPLICA_DEADLINE,
            sync_interval: limits::SYNC_INTERVAL,
            sweep_interval: limits::SWEEP_INTERVAL,
            background_read_one_in: 16,
            in_flight_max: limits::IN_FLIGHT_MAX,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES_MAX,
        }
    }

    /// The keyspace's defaults.
    pub fn keyspace(&self, number: u16) -> &KeyspaceConfig {
        self.keyspaces.get(usize::from(number)).unwrap_or(&self.keyspaces[0])
    }

    /// Checks every setting against the others.
    ///
    /// # Errors
    /// The first setting that is wrong, by its long flag, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |setting, problem: String| Err(ConfigError { setting, problem });
        if !name_is_valid(&self.cluster) {
            let why =
                format!("`{}` is no name: 1 to {} of A-Z a-z 0-9 . _ -", self.cluster, limits::NAME_MAX);
            return fail("cluster", why);
        }
        if self.members.is_empty() || self.members.len() > limits::MEMBERS_MAX {
            let count = self.members.len();
            return fail("members", format!("{count} members; 1 to {} are allowed", limits::MEMBERS_MAX));
        }
        for (at, member) in self.members.iter().enumerate() {
            if !name_is_valid(&member.name) {
                let why =
                    format!("`{}` is no name: 1 to {} of A-Z a-z 0-9 . _ -", member.name, limits::NAME_MAX);
                return fail("members", why);
            }
            if self.members[..at].iter().any(|other| other.name == member.name) {
                return fail("members", format!("two members are named `{}`", member.name));
            }
            if !member.address.is_empty()
                && self.members[..at].iter().any(|other| other.address == member.address)
            {
                return fail("members", format!("two members have the address {}", member.address));
            }
        }
        if self.members.iter().all(|member| member.weight == 0) {
            return fail("members", "no member has a weight above 0".into());
        }
        if !self.members.iter().any(|member| member.name == self.name) {
            return fail("name", format!("`{}` is not in the member list", self.name));
        }
        if !self.partitions.is_power_of_two() || self.partitions > limits::PARTITIONS_MAX {
            return fail("partitions", format!("{} is no power of two up to 65536", self.partitions));
        }
        if self.tokens == 0 || self.tokens > 65_536 {
            return fail("tokens", format!("{} is outside 1 to 65536", self.tokens));
        }
        let weights: u64 = self.members.iter().map(|member| u64::from(member.weight)).sum();
        if self.placement == Mode::Tokens && weights * u64::from(self.tokens) > limits::TOKENS_TOTAL_MAX {
            let why =
                format!("weights of {weights} in all ask for more than {} tokens", limits::TOKENS_TOTAL_MAX);
            return fail("members", why);
        }
        if self.keyspaces.is_empty() || self.keyspaces.len() > usize::from(limits::KEYSPACES_MAX) {
            return fail("keyspaces", format!("{} keyspaces; 1 to 16 are allowed", self.keyspaces.len()));
        }
        for keyspace in &self.keyspaces {
            if keyspace.n == 0 || usize::from(keyspace.n) > limits::REPLICAS_MAX {
                return fail("n", format!("{} is outside 1 to {}", keyspace.n, limits::REPLICAS_MAX));
            }
            for (setting, value) in [("r", keyspace.r), ("w", keyspace.w)] {
                if value.is_some_and(|value| value == 0 || value > keyspace.n) {
                    return fail(
                        setting,
                        format!("{} is outside 1 to N = {}", value.unwrap_or(0), keyspace.n),
                    );
                }
            }
        }
        self.check_zones()?;
        if self.key_max > limits::KEY_MAX {
            return fail("key-max", format!("{} is over {}", self.key_max, limits::KEY_MAX));
        }
        if self.value_max > limits::VALUE_MAX {
            return fail("value-max", format!("{} is over {}", self.value_max, limits::VALUE_MAX));
        }
        if self.client_deadline.is_zero() || self.client_deadline > limits::DEADLINE_MAX {
            return fail("timeout-ms", format!("{:?} is outside 1 ms to 1 h", self.client_deadline));
        }
        for (setting, time) in [("sweep-interval", self.sweep_interval), ("hint-age", self.hint_age_max)] {
            if time.is_zero() {
                return fail(setting, "0 leaves no time".into());
            }
        }
        if self.siblings_max == 0 || self.in_flight_max == 0 || self.replica_deadline.is_zero() {
            return fail("limits", "0 is no limit".into());
        }
        Ok(())
    }
}

impl Config {
    /// Whether the zones are well named and can be kept apart; after everything else that they rest on.
    fn check_zones(&self) -> Result<(), ConfigError> {
        let fail = |setting, problem: String| Err(ConfigError { setting, problem });
        let zoned = self.members.iter().filter(|member| !member.zone.is_empty());
        let bad = zoned.clone().find(|member| !name_is_valid(&member.zone));
        if let Some(MemberSpec { zone, .. }) = bad {
            let why = format!("`{zone}` is no zone: 1 to {} of A-Z a-z 0-9 . _ -", limits::NAME_MAX);
            return fail("members", why);
        }
        let without = self.members.iter().find(|member| member.zone.is_empty());
        let count = zoned.count();
        if let Some(MemberSpec { name, .. }) = without.filter(|_| count > 0) {
            return fail("members", format!("`{name}` has no zone, but others have"));
        }
        if self.placement == Mode::Tokens && (count > 0 || self.max_per_zone.is_some()) {
            return fail("placement", "tokens keep no zones apart; balanced does".into());
        }
        if self.max_per_zone == Some(0) {
            return fail("max-per-zone", "0 leaves no place".into());
        }
        if self.placement == Mode::Balanced
            && let Err(problem) = ring::check_zones(self)
        {
            return fail("max-per-zone", problem.to_string());
        }
        Ok(())
    }
}

/// Whether a member may be called so.
pub fn name_is_valid(name: &str) -> bool {
    (1..=limits::NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_setting_is_named() {
        type Change = fn(&mut Config);
        let table: [(&str, Change); 19] = [
            ("members", |c| c.members.clear()),
            ("members", |c| c.members[0].name = "a b".into()),
            ("members", |c| c.members.push(c.members[0].clone())),
            ("name", |c| c.name = "other".into()),
            ("partitions", |c| c.partitions = 100),
            ("tokens", |c| c.tokens = 0),
            ("members", |c| c.members[0].weight = u32::MAX),
            ("n", |c| c.keyspaces[0].n = 0),
            ("w", |c| c.keyspaces[0].w = Some(4)),
            ("key-max", |c| c.key_max = 65_001),
            ("value-max", |c| c.value_max = (64 << 20) + 1),
            ("members", |c| (c.placement, c.members[0].zone) = (Mode::Balanced, "a b".into())),
            ("members", |c| {
                c.placement = Mode::Balanced;
                c.members.push(MemberSpec { zone: "z".into(), ..MemberSpec::new("b", "") });
            }),
            ("placement", |c| c.members[0].zone = "z".into()),
            ("placement", |c| c.max_per_zone = Some(1)),
            ("max-per-zone", |c| (c.placement, c.max_per_zone) = (Mode::Balanced, Some(0))),
            ("max-per-zone", |c| {
                (c.placement, c.max_per_zone) = (Mode::Balanced, Some(1));
                c.members.push(MemberSpec::new("b", ""));
            }),
            ("sweep-interval", |c| c.sweep_interval = Duration::ZERO),
            ("hint-age", |c| c.hint_age_max = Duration::ZERO),
        ];
        for (setting, change) in table {
            let mut config = Config::new("a");
            assert_eq!(config.check(), Ok(()));
            change(&mut config);
            assert_eq!(config.check().unwrap_err().setting, setting);
        }
    }
}
