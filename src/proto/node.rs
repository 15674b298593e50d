//! The switchboard: one node of the cluster. Routes what comes in to the machines that own it.

use super::config::Config;
use super::error::ConfigError;
use super::io::{MemberId, Output, Request, RequestId};
use super::store::{Store, Ticket};
use super::time::{Instant, Now};

/// One node: everything between its sockets and its disk.
pub struct Node<S: Store> {
    config: Config,
    store: S,
}

/// Bytes from a peer that are no message of ours. The connection they came on is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError(pub String);

impl<S: Store> Node<S> {
    /// A node over an opened store. `seed` feeds sampling and tie-breaks only.
    ///
    /// # Errors
    /// What [`Config::check`] refuses.
    pub fn new(config: Config, store: S, _seed: u64, _now: Now) -> Result<Node<S>, ConfigError> {
        config.check()?;
        Ok(Node { config, store })
    }

    /// This node's settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store under it.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store under it, to flush after [`Output::Sync`].
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// This node.
    pub fn id(&self) -> MemberId {
        todo!()
    }

    /// Takes a client's request. Exactly one [`Output::Reply`] with `id` follows, now or later.
    pub fn handle_request(&mut self, _now: Now, _id: RequestId, _request: &Request<'_>) {
        todo!()
    }

    /// Takes whole frames from a peer, as one `Send` of it carried them (or any part, reordered).
    ///
    /// # Errors
    /// The bytes are not ours; frames before the bad one were handled.
    pub fn handle_frames(&mut self, _now: Now, _from: MemberId, _frames: &[u8]) -> Result<(), FrameError> {
        todo!()
    }

    /// A peer can be reached: messages to it will be carried.
    pub fn handle_peer_up(&mut self, _now: Now, _peer: MemberId) {
        todo!()
    }

    /// A peer can no longer be reached; what was on its way may be lost.
    pub fn handle_peer_down(&mut self, _now: Now, _peer: MemberId) {
        todo!()
    }

    /// The store's marks may have moved.
    pub fn handle_synced(&mut self, _now: Now) {
        todo!()
    }

    /// A cold read is done.
    pub fn handle_read(&mut self, _now: Now, _ticket: Ticket) {
        todo!()
    }

    /// `deadline()` has come.
    pub fn handle_timeout(&mut self, _now: Now) {
        todo!()
    }

    /// The next thing to do, until `None`. Frames come last, so that a drain packs all messages to one
    /// peer into one `Send`.
    pub fn poll_output(&mut self, _now: Now) -> Option<Output> {
        todo!()
    }

    /// When to call `handle_timeout` if nothing else happens; [`Instant::NEVER`] if it need not.
    pub fn deadline(&self) -> Instant {
        todo!()
    }

    /// Gives back the buffer of a `Send` that was carried, to be filled again.
    pub fn recycle(&mut self, _frames: Vec<u8>) {
        todo!()
    }

    /// Ends every request in flight (writes as *maybe* or *partial*), for shutdown.
    pub fn close(&mut self, _now: Now) {
        todo!()
    }

    /// The preference list of a key, in order.
    pub fn owners(&self, _keyspace: u16, _key: &[u8]) -> Owners {
        todo!()
    }

    /// What the node knows of itself and its cluster.
    pub fn status(&self) -> Status {
        todo!()
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
    /// Whether the store is read-only since a failed sync.
    pub read_only: bool,
    /// Fewer machines than N: served, with fewer replicas.
    pub degraded: bool,
    /// All members.
    pub members: Vec<MemberStatus>,
    /// Named counters, in a fixed order.
    pub counters: Vec<(&'static str, u64)>,
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
    /// Partitions of which it is a replica.
    pub partitions: u32,
    /// Its generation, once it was met.
    pub generation: Option<u64>,
}
