//! What a request needs of the replicas of its key: N', R, W and DW after defaults, in both sets while a partition
//! moves.

use super::Turn;
use super::tally::{Need, WriteTally};
use crate::proto::error::Outcome;
use crate::proto::io::{Options, View};
use crate::proto::routes::Replicas;
use crate::proto::store::{Durability, Store};

/// What a request needs, after defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quorum {
    /// Replicas of the key: min(N, machines).
    pub(super) n: u8,
    pub(super) r: u8,
    pub(super) w: u8,
    pub(super) dw: u8,
    /// PW, which no fallback stands in for.
    pub(super) pw: u8,
    /// R + W ≤ N.
    pub(super) weak: bool,
    /// What the other set needs, if the partition moves.
    pub(super) also: Also,
}

/// What a request needs of the set of replicas that reads are not on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Also {
    pub(super) n: u8,
    pub(super) r: u8,
    pub(super) w: u8,
    pub(super) dw: u8,
}

impl Quorum {
    /// What a write waits for, with nothing achieved yet.
    pub(super) fn tally(&self, replicas: &Replicas) -> WriteTally {
        let need = Need { of: replicas.reads, w: self.w, dw: self.dw, pw: self.pw };
        let also = Need { of: replicas.also, w: self.also.w, dw: self.also.dw, pw: self.pw };
        WriteTally { need, also, ..WriteTally::default() }
    }

    /// Whether any durable copy is asked for.
    pub(super) fn dw_of_any(&self) -> u8 {
        self.dw.max(self.also.dw)
    }
}

impl<S: Store> Turn<'_, S> {
    /// Fills in the keyspace's defaults. A number that the request names is never clipped: over N it is
    /// an argument error, over the machines there are it is *not enough replicas*.
    pub(super) fn quorum(
        &self,
        keyspace: u16,
        partition: u16,
        options: &Options,
        write: bool,
    ) -> Result<Quorum, Outcome> {
        self.check_counts(keyspace, options)?;
        let (n, other) = self.routes.counts(keyspace);
        let (r, w, dw) = self.counts(keyspace, options, n);
        let majority = n / 2 + 1;
        if options.view == View::Majority && !write && r < majority {
            return Err(Outcome::BadArgument("the majority view needs R of at least N/2+1".into()));
        }
        let mut also = Also::default();
        if let Some(n) = other
            && self.routes.replicas(keyspace, partition).moves()
        {
            let (r, w, dw) = self.counts(keyspace, options, n);
            also = Also { n, r, w, dw };
        }
        let needed = if write { w.max(dw) } else { r };
        let needed_also = if write { also.w.max(also.dw) } else { 0 };
        for (n, needed) in [(n, needed), (also.n, needed_also)] {
            if needed > n {
                return Err(Outcome::NotEnoughReplicas { reachable: n, needed });
            }
        }
        let pw = options.pw.unwrap_or(0);
        Ok(Quorum { n, r, w, dw, pw, weak: r + w <= n, also })
    }

    /// Refuses numbers that a request names and that no cluster of this N could meet.
    fn check_counts(&self, keyspace: u16, options: &Options) -> Result<(), Outcome> {
        let named = [options.r, options.w, options.pr, options.pw, options.dw];
        if named == [None; 5] {
            return Ok(());
        }
        let most = self.routes.configured(keyspace);
        let names = ["R", "W", "PR", "PW", "DW"];
        for (at, (count, name)) in named.into_iter().zip(names).enumerate() {
            match count {
                // R and W: nobody asked is no answer.
                Some(0) if at < 2 => {
                    return Err(Outcome::BadArgument(format!("{name} must be at least 1").into()));
                }
                Some(count) if count > most => {
                    return Err(Outcome::BadArgument(format!("{name} is over N").into()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// R, W and DW among n replicas.
    fn counts(&self, keyspace: u16, options: &Options, n: u8) -> (u8, u8, u8) {
        let defaults = self.config.keyspace(keyspace);
        let is_whole = n == self.routes.configured(keyspace);
        let majority = n / 2 + 1;
        let default = |count: Option<u8>| if is_whole { count.unwrap_or(majority) } else { majority };
        let r = options.r.unwrap_or(default(defaults.r)).max(options.pr.unwrap_or(0));
        let w = options.w.unwrap_or(default(defaults.w)).max(options.pw.unwrap_or(0));
        let dw = options.dw.unwrap_or(if defaults.durability == Durability::Always { w } else { 0 });
        (r, w, dw)
    }

    /// What a write cannot begin for, in either set of replicas.
    pub(super) fn lack_of_replicas(&self, index: usize) -> Option<Outcome> {
        let (replicas, quorum) = (self.replicas(index), self.coordinator.slots[index].quorum);
        let is_sloppy = self.coordinator.slots[index].options.sloppy;
        let sets = [(replicas.reads, quorum.w, quorum.dw), (replicas.also, quorum.also.w, quorum.also.dw)];
        let sets = sets.into_iter().filter(|(set, ..)| !set.is_empty());
        sets.into_iter().find_map(|(set, w, dw)| {
            let usable = |&(rank, slot): &(usize, &u16)| set.contains(rank) && self.peers.usable(*slot);
            let primaries = replicas.as_slice().iter().enumerate().filter(usable).count() as u8;
            let lack = |reachable, needed| Outcome::NotEnoughReplicas { reachable, needed };
            let needed = w.max(dw);
            if primaries >= needed {
                return None;
            }
            if !is_sloppy || primaries < quorum.pw {
                return Some(lack(primaries, if is_sloppy { quorum.pw } else { needed }));
            }
            let reachable = primaries + (set.len() - primaries).min(self.live_fallbacks(index));
            (reachable < needed).then(|| lack(reachable, needed))
        })
    }
}
