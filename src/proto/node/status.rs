//! What a node tells of itself.

use core::time::Duration;

use super::following::scene;
use super::{Node, Reads};
use crate::proto::cluster::{Overview, Scene};
use crate::proto::gossip::member::Verdict;
use crate::proto::ring::position;
use crate::proto::store::Store;
use crate::proto::time::{Instant, Now};

impl<S: Store> Node<S> {
    /// The preference list of a key, in order.
    pub fn owners(&self, keyspace: u16, key: &[u8]) -> Owners {
        let partition = self.routes.partition(position(&self.keys.hash, keyspace, key));
        let layout = self.cluster.topology().reading();
        let slots = layout.replicas(keyspace, partition).iter();
        Owners { partition, members: slots.map(|&slot| layout.member(slot).name.clone()).collect() }
    }

    /// What the node knows of itself and its cluster.
    pub fn status(&self) -> Status {
        let topology = self.cluster.topology();
        let reading = topology.reading();
        let members = topology.members().into_iter().map(|member| {
            let slot = self.peers.slot_of(member.id);
            MemberStatus {
                name: member.name.clone(),
                address: member.address.clone(),
                up: slot.is_none_or(|slot| self.peers.usable(slot)),
                verdict: None,
                unsteady: false,
                partitions: reading.slot_of(member.id).map_or(0, |slot| reading.partitions_of(slot)),
                generation: match slot {
                    None => Some(self.replica.identity().generation),
                    Some(slot) => self.peers.peer(slot).generation,
                },
            }
        });
        let store = self.replica.store().status();
        Status {
            name: self.config.name.clone(),
            cluster: self.config.cluster.clone(),
            generation: self.replica.identity().generation,
            layout_version: topology.version(),
            layout_hash: topology.hash(),
            partitions: reading.partitions(),
            records: self.replica.store().len(),
            read_only: store.read_only,
            disk_full: store.is_full,
            incomplete: store.incomplete,
            degraded: reading.degraded(0),
            members: members.collect(),
            counters: self.counters().into_iter().chain(store.figures).collect(),
            reads: self.reads(),
        }
    }

    /// How the cluster is, and how far its members are with what moves.
    pub fn overview(&mut self, now: Now) -> Overview {
        let scene = scene!(self, now);
        self.cluster.overview(scene)
    }

    /// Of each partition held here together with other members, how long it is since its copies were last all found
    /// equal, or made so. What was not since this node began is as old as time as it is told.
    pub fn verified(&self, now: Instant) -> Vec<(u16, Duration)> {
        let verified = self.exchanges.verified(&self.routes, &self.peers);
        verified.into_iter().map(|(partition, at)| (partition, now.since(at))).collect()
    }

    /// Compares all copies held here anew with those of everybody who can be reached, without a pause. False if this
    /// node never compares.
    pub fn compare_all(&mut self, now: Now) -> bool {
        self.exchanges.hurry(now.mono);
        self.config.exchange_interval.is_some()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let (coordinator, replica, own) = (self.coordinator.counters, self.replica.counters, self.counters);
        let (cluster, transfers) = (self.cluster.counters, self.transfers.counters);
        let exchange = self.exchanges.counters;
        let mut counters = vec![
            ("requests", coordinator.requests),
            ("requests_in_flight", self.coordinator.in_flight() as u64),
            ("requests_failed", coordinator.failures),
            ("forwards", coordinator.forwards),
            ("retries", coordinator.retries),
            ("hedges", coordinator.hedges),
            ("repairs", coordinator.repairs),
            ("applied", replica.applied),
            ("unchanged", replica.unchanged),
            ("epochs", replica.epochs),
            ("dot_alarms", replica.alarms),
            ("clocks_ahead", replica.clock_ahead),
            ("records_damaged", replica.damaged),
            ("sibling_warnings", replica.sibling_warnings),
            ("expired_shed", self.sweep.counters.shed),
            ("expired_nominated", self.sweep.counters.nominated),
            ("messages_sent", self.peers.sent),
            ("messages_too_large", self.peers.oversized),
            ("frames_taken", own.frames_taken),
            ("frames_refused", own.frames_refused),
            ("frames_of_another_layout", own.other_layout),
            ("rollbacks", own.rollbacks),
            ("topologies_followed", cluster.followed),
            ("forks", cluster.forks),
            ("transition_steps", cluster.steps),
            ("transfer_records_taken", transfers.records_taken),
            ("transfer_bytes_taken", transfers.bytes_taken),
            ("transfer_bytes_sent", transfers.bytes_sent),
            ("partitions_fetched", transfers.fetched),
            ("partitions_dropped", transfers.dropped),
            ("exchanges", exchange.done),
            ("exchanges_broken", exchange.broken),
            ("exchange_compared_bytes", exchange.compared_bytes),
            ("exchange_records_taken", exchange.taken),
            ("exchange_bytes_taken", exchange.taken_bytes),
            ("exchange_records_sent", exchange.sent),
            ("exchange_bytes_sent", exchange.sent_bytes),
        ];
        let catch_up = self.catch_ups.counters;
        counters.extend([
            ("catch_ups", catch_up.done),
            ("catch_ups_broken", catch_up.broken),
            ("catch_up_gaps", catch_up.gaps),
            ("catch_up_records_offered", catch_up.offered),
            ("catch_up_offered_bytes", catch_up.offered_bytes),
            ("catch_up_records_sent", catch_up.sent),
            ("catch_up_bytes_sent", catch_up.sent_bytes),
        ]);
        counters.extend(self.hint_counters());
        counters.extend(self.reap_counters());
        counters.extend(self.read_counters());
        counters
    }
}

/// Where a key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// The key's partition.
    pub partition: u16,
    /// Names of the members that hold it, in preference order.
    pub members: Vec<String>,
}

/// A snapshot for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// This node's name.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// The data directory's generation.
    pub generation: u64,
    /// Number of the layout.
    pub layout_version: u64,
    /// Hash of the layout.
    pub layout_hash: u64,
    /// Partitions of the cluster.
    pub partitions: u32,
    /// Records held here, tombstones included.
    pub records: u64,
    /// Whether the store is read-only since a failed write or sync.
    pub read_only: bool,
    /// Whether the disk is full: only deletes are taken.
    pub disk_full: bool,
    /// Partitions of which the store lost records.
    pub incomplete: u64,
    /// Fewer machines than N: served, with fewer replicas.
    pub degraded: bool,
    /// All members.
    pub members: Vec<MemberStatus>,
    /// Named counters, in a fixed order.
    pub counters: Vec<(&'static str, u64)>,
    /// What reads have met.
    pub reads: Reads,
}

/// One member in a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Its peer address.
    pub address: String,
    /// Whether it can be reached now (true for this node).
    pub up: bool,
    /// What membership thinks of it; `None` where there is none, or it does not know the member. The host
    /// fills this in.
    pub verdict: Option<Verdict>,
    /// Whether it came and went too often of late. Filled in by the host.
    pub unsteady: bool,
    /// Partitions of which it is a replica.
    pub partitions: u32,
    /// Its generation, once it was met.
    pub generation: Option<u64>,
}

impl MemberStatus {
    /// The verdict in one word: `alive`, `unsteady`, `suspect`, `down` or `left`.
    pub fn verdict_name(&self) -> Option<&'static str> {
        match self.verdict? {
            Verdict::Alive if self.unsteady => Some("unsteady"),
            verdict => Some(verdict.name()),
        }
    }
}
