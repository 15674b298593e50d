//! What a node knows, for other threads: taken by the loop between two turns, when somebody asks.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::proto::cluster::Overview;
use crate::proto::gossip::member::Verdict;
use crate::proto::keys::Key;
use crate::proto::ring::{Layout, position};

/// What a node knew at one moment.
#[derive(Debug)]
pub struct Insight {
    /// The cluster and its members, by name.
    pub overview: Overview,
    /// What membership thinks of each of these, and whether it came and went too often of late.
    pub verdicts: Vec<(Option<Verdict>, bool)>,
    /// This node's name.
    pub own: String,
    /// Named counters.
    pub counters: Vec<(&'static str, u64)>,
    /// The layout that reads are on.
    pub(super) layout: Layout,
    pub(super) hash: Key,
}

impl Insight {
    /// A key's partition, and who holds it, in preference order: places in the members of the overview.
    pub fn owners(&self, keyspace: u16, key: &[u8]) -> (u16, Vec<usize>) {
        let partition = self.layout.partition(position(&self.hash, keyspace, key));
        let members = &self.overview.members;
        let place = |&slot: &u16| {
            let name = &self.layout.member(slot).name;
            members
                .iter()
                .position(|member| member.name == *name)
                .expect("the topology has all of its layout")
        };
        (partition, self.layout.replicas(keyspace, partition).iter().map(place).collect())
    }
}

/// Whoever asks a loop what it knows, and what was told.
#[derive(Default)]
pub(super) struct Asking {
    is_asked: AtomicBool,
    state: Mutex<State>,
    is_news: Condvar,
}

#[derive(Default)]
struct State {
    /// How often it was asked, and up to which of these it was answered.
    asked: u64,
    answered: u64,
    insight: Option<Arc<Insight>>,
    /// Nothing is told any more.
    is_over: bool,
}

impl Asking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, has `wake` end the loop's sleep, and waits; `None` if the loop has ended.
    pub(super) fn ask(&self, wake: impl FnOnce()) -> Option<Arc<Insight>> {
        let mut state = self.state();
        state.asked += 1;
        let number = state.asked;
        self.is_asked.store(true, Ordering::Release);
        wake();
        while !state.is_over && state.answered < number {
            state = self.is_news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.insight.clone().filter(|_| state.answered >= number)
    }

    /// Up to which question there is to be told, if somebody has asked since the last call.
    pub(super) fn take_asked(&self) -> Option<u64> {
        // The load first: a turn must not write to a line that other threads read.
        let is_asked = self.is_asked.load(Ordering::Relaxed) && self.is_asked.swap(false, Ordering::AcqRel);
        is_asked.then(|| self.state().asked)
    }

    /// Answers all who have asked up to this question.
    pub(super) fn tell(&self, up_to: u64, insight: Insight) {
        let mut state = self.state();
        state.insight = Some(Arc::new(insight));
        state.answered = up_to;
        self.is_news.notify_all();
    }

    /// The loop has ended.
    pub(super) fn end(&self) {
        self.state().is_over = true;
        self.is_news.notify_all();
    }
}
