//! What is wanted of the cluster, by operators and by the cluster itself, one after another: each is worked out
//! on the topology in force, committed, and worked out anew if another came first.

use std::collections::VecDeque;

use super::change::Change;
use super::topology::Topology;
use crate::proto::io::RequestId;
use crate::proto::keys::ClusterKeys;
use crate::proto::time::Instant;

/// An order of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Say how the cluster is.
    Look,
    /// Also say what that which is staged comes to.
    Plan,
    /// Stage a change.
    Stage(Change),
    /// Forget what is staged.
    Unstage,
    /// Begin to move to what is staged: the plan of this hash, or whatever it is now.
    Commit(Option<u64>),
    /// Go back to the layout before.
    Revert,
    /// A majority of the keepers is lost for good: begin a new era with those that this node reaches.
    ForceKeepers,
}

/// A step that is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stage(Change),
    /// Stage and commit one change by itself.
    Admit(Change),
    Unstage,
    Commit(Option<u64>),
    Revert,
    /// Reads may go over, as was judged of this version.
    Flip(u64),
    /// The transition may end, as was judged of this version.
    Finish(u64),
    /// All members know this level, as was judged of this version.
    Raise(u64, u8),
}

/// Who is told how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Client(RequestId),
    /// Who wants to join, by slot.
    Guest(u16),
    /// The node itself.
    Own,
}

#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) asker: Asker,
    pub(super) step: Step,
    pub(super) until: Instant,
}

/// The queue of what is wanted. The first is being worked on; once it was begun, the hash of the layout that it
/// comes to is beside.
#[derive(Debug, Default)]
pub(super) struct Orders(VecDeque<Pending>, Option<u64>);

impl Orders {
    /// Adds one, unless the same is wanted by the same already and nobody waits for it by name.
    pub(super) fn add(&mut self, pending: Pending) {
        let same = |other: &Pending| other.step == pending.step && other.asker == pending.asker;
        if matches!(pending.asker, Asker::Client(_)) || !self.0.iter().any(same) {
            self.0.push_back(pending);
        }
    }

    pub(super) fn first(&self) -> Option<&Pending> {
        self.0.front()
    }

    pub(super) fn take_first(&mut self) -> Option<Pending> {
        self.1 = None;
        self.0.pop_front()
    }

    /// The first was begun, and comes to this.
    pub(super) fn note_begun(&mut self, wanted: &Topology) {
        self.1 = Some(wanted.latest().hash());
    }

    /// Whether the first is a commit that was begun here, finished by another keeper, and followed by more before
    /// this node heard of it.
    pub(super) fn was_finished(&self, topology: &Topology) -> bool {
        let is_commit = self.first().is_some_and(|pending| matches!(pending.step, Step::Commit(_)));
        is_commit && topology.staged().is_empty() && self.1 == Some(topology.latest().hash())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.0.iter().map(|pending| pending.until).min().unwrap_or(Instant::NEVER)
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Pending> {
        let at = self.0.iter().position(|pending| pending.until <= now)?;
        if at == 0 {
            self.1 = None;
        }
        self.0.remove(at)
    }
}

impl Step {
    /// The topology that it makes of one; `None` if there is nothing to do.
    pub(super) fn apply(&self, to: &Topology, keys: &ClusterKeys) -> Result<Option<Topology>, String> {
        match self {
            Step::Stage(change) => to.stage(change.clone(), keys),
            // A transition that is about to end must end first; what is staged tells it that an old directory has
            // gone.
            Step::Admit(change) if to.is_flipped() => to.stage(change.clone(), keys),
            Step::Admit(change) => to.admit(change.clone(), keys),
            Step::Unstage => Ok(to.unstage(keys)),
            Step::Commit(None) if to.staged().is_empty() => Ok(None),
            Step::Commit(hash) => {
                let hash = match hash {
                    Some(hash) => *hash,
                    None => to.plan_hash(&to.planned(keys)?, keys),
                };
                to.commit(hash, keys).map(Some)
            }
            Step::Revert => to.revert(keys).map(Some),
            Step::Flip(version) if *version == to.version() => Ok(Some(to.flip(keys))),
            Step::Finish(version) if *version == to.version() => Ok(Some(to.finish(keys))),
            Step::Raise(version, level) if *version == to.version() => Ok(Some(to.raise(*level, keys))),
            Step::Flip(_) | Step::Finish(_) | Step::Raise(..) => Ok(None),
        }
    }
}
