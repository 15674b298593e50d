//! The settings of membership, checked once.

use core::time::Duration;

use crate::proto::config::name_is_valid;
use crate::proto::error::ConfigError;
use crate::proto::limits;

use super::keyring::Keyring;
use super::member::{Boot, Description, Known};

/// Who decides who is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Members find each other through rumours.
    Gossip,
    /// The list is given. Each node probes it for itself; nothing is learned from rumours, and none are told.
    Manual,
}

/// How long things take. The defaults are memberlist's `DefaultLANConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From one probe to the next; the protocol period of SWIM §3.1.
    pub probe_interval: Duration,
    /// How long an answer may take before others are asked to probe.
    pub probe_timeout: Duration,
    /// From one round of rumours to the next, while there are any.
    pub gossip_interval: Duration,
    /// From one attempt at a member that is down to the next.
    pub reconnect_interval: Duration,
    /// From one attempt at a seed of which nothing was heard to the next, when others are known.
    pub seed_interval: Duration,
    /// How much later than asked the host may come before it is taken as stalled.
    pub stall: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            gossip_interval: Duration::from_millis(200),
            reconnect_interval: Duration::from_secs(5),
            seed_interval: Duration::from_secs(10),
            stall: Duration::from_millis(200),
        }
    }
}

/// The settings of a node's membership.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's name.
    pub name: String,
    /// Where others reach it; opaque.
    pub address: Vec<u8>,
    /// Its zone; 0 for none.
    pub zone: u32,
    /// The generation of its data directory.
    pub generation: u64,
    /// This opening of its data directory.
    pub boot: Boot,
    /// The keys for datagrams.
    pub keyring: Keyring,
    /// Who decides who is a member.
    pub mode: Mode,
    /// The list of a manual cluster, or the last known members of a snapshot. This node may stand in it. All
    /// are taken as alive until a probe says otherwise.
    pub members: Vec<Known>,
    /// Addresses to ask for the cluster, for ever. Of no use in a manual one.
    pub seeds: Vec<Vec<u8>>,
    /// How long things take.
    pub timing: Timing,
}

impl Config {
    /// What this node says of itself.
    pub(super) fn description(&self) -> Description {
        Description {
            name: self.name.clone(),
            address: self.address.clone(),
            zone: self.zone,
            generation: self.generation,
            nonce: self.boot.nonce,
        }
    }

    /// Checks every setting against the others.
    ///
    /// # Errors
    /// The first setting that is wrong, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |setting, problem: String| Err(ConfigError { setting, problem });
        let bad_address = |address: &[u8]| address.is_empty() || address.len() > limits::GOSSIP_ADDRESS_MAX;
        if !name_is_valid(&self.name) {
            return fail("name", format!("`{}` is no name", self.name));
        }
        if bad_address(&self.address) {
            let max = limits::GOSSIP_ADDRESS_MAX;
            return fail("peer", format!("an address has 1 to {max} bytes, not {}", self.address.len()));
        }
        if self.members.len() > limits::MEMBERS_MAX {
            let count = self.members.len();
            return fail("members", format!("{count} members; up to {} are allowed", limits::MEMBERS_MAX));
        }
        let mut names: Vec<&str> = self.members.iter().map(|known| known.description.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return fail("members", format!("two members are named `{}`", twice[0]));
        }
        for known in &self.members {
            if !name_is_valid(&known.description.name) || bad_address(&known.description.address) {
                return fail("members", format!("`{}` has no good name or address", known.description.name));
            }
        }
        if self.seeds.len() > limits::GOSSIP_SEEDS_MAX || self.seeds.iter().any(|seed| bad_address(seed)) {
            return fail("join", format!("up to {} seeds, each an address", limits::GOSSIP_SEEDS_MAX));
        }
        let timing = &self.timing;
        let times = [timing.probe_timeout, timing.gossip_interval, timing.reconnect_interval, timing.stall];
        if times.iter().any(Duration::is_zero)
            || timing.seed_interval.is_zero()
            || timing.probe_interval <= timing.probe_timeout
        {
            return fail(
                "gossip",
                "a time is zero, or a probe's timeout no shorter than its interval".into(),
            );
        }
        Ok(())
    }
}
