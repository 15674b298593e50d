//! What can be concluded from an [`Overview`]: which phase the cluster is in, how far it has come, what a plan
//! amounts to. And how a change is spelt, which is how an operator types it.

use core::fmt;
use core::num::NonZeroU64;

use super::{Change, Cluster, MemberView, Overview, Scene, Topology};
use crate::proto::error::Outcome;
use crate::proto::keys::ClusterKeys;
use crate::proto::message::Progress;
use crate::proto::ring::{Layout, Plan};
use crate::proto::store::Store;

/// What a cluster is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// This node is of no cluster yet.
    #[default]
    Outside,
    /// Its members are a list that does not change.
    Listed,
    /// Nothing moves.
    Settled,
    /// New replicas copy; reads are on the layout before.
    Copying,
    /// Reads go over to the new layout; what belongs to the one before comes to its end.
    Finishing,
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Outside => "outside",
            Phase::Listed => "listed",
            Phase::Settled => "settled",
            Phase::Copying => "copying",
            Phase::Finishing => "finishing",
        }
    }
}

/// How far a transition has come, as far as the node that answers knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headway {
    /// Replicas to be copied.
    pub total: u32,
    /// Of these, how many are not whole yet, or not known to be.
    pub open: u32,
    /// Bytes of records that members have taken for them.
    pub bytes: u64,
}

impl Overview {
    /// What the cluster is doing.
    pub fn phase(&self) -> Phase {
        match (self.is_kept, self.next) {
            (false, _) if self.version == 0 => Phase::Outside,
            (false, _) => Phase::Listed,
            (true, None) => Phase::Settled,
            (true, Some(_)) if self.is_flipped => Phase::Finishing,
            (true, Some(_)) => Phase::Copying,
        }
    }

    /// What a member has said of the transition that is under way; of an earlier one it counts for nothing.
    pub fn progress(&self, member: &MemberView) -> Option<Progress> {
        let begun = self.next.filter(|_| !self.is_flipped)?;
        member.progress.filter(|said| said.version >= begun && said.generation == member.generation)
    }

    /// How far the transition has come.
    pub fn headway(&self) -> Headway {
        let mut all = Headway::default();
        for member in &self.members {
            let said = self.progress(member);
            all.total += member.receives;
            all.open += said.map_or(member.receives, |said| said.open.min(member.receives));
            all.bytes = all.bytes.saturating_add(said.map_or(0, |said| said.bytes));
        }
        all
    }

    /// The plan, if one was asked for and could be made. Partitions that the answering node does not hold are
    /// taken for the mean of those that it does; the pace is the one that transfers are held to.
    pub fn to_plan(&self) -> Option<Plan> {
        let (old, new) = self.plan.as_deref()?;
        let bytes = |partition: u16| self.partition_bytes.get(usize::from(partition)).copied().flatten();
        Some(Plan::new(old, new, bytes, NonZeroU64::new(self.transfer_rate)))
    }
}

/// Why an order was not carried out, or is not known to be, in words for an operator. It is keepers that it takes,
/// not replicas.
pub fn why_not(outcome: &Outcome) -> String {
    match outcome {
        Outcome::BadArgument(why) => why.to_string(),
        Outcome::NotEnoughReplicas { reachable, needed } => format!(
            "{reachable} of the cluster's keepers can be reached, and {needed} must agree; nothing was changed"
        ),
        Outcome::Maybe => {
            "too few keepers answered in time; the order may still be carried out: look at the \
                           cluster's status before it is given again"
                .to_owned()
        }
        Outcome::WrongLayout => {
            "the keepers follow another history than this node; nothing was changed".to_owned()
        }
        outcome => {
            // What stands before the colon names the outcome.
            let told = outcome.to_string();
            told.split_once(": ").map_or(told.as_str(), |(_, rest)| rest).to_owned()
        }
    }
}

impl MemberView {
    /// `joining`, `leaving` or `member`.
    pub fn state(&self) -> &'static str {
        match (self.before, self.after) {
            (false, _) => "joining",
            (true, false) => "leaving",
            (true, true) => "member",
        }
    }
}

impl Topology {
    /// The layout that an operator would commit now.
    ///
    /// # Errors
    /// There is nobody to commit it, or it cannot be made.
    pub(super) fn plan(&self, keys: &ClusterKeys) -> Result<Layout, String> {
        self.may_change()?;
        self.planned(keys)
    }

    /// Whether there are keepers that could change it.
    ///
    /// # Errors
    /// There are none, and why.
    pub(super) fn may_change(&self) -> Result<(), String> {
        match (self.is_kept(), self.version()) {
            (true, _) => Ok(()),
            (false, 0) => Err("this node is of no cluster yet".into()),
            (false, _) => Err("the members of this cluster are a list that its operator gives".into()),
        }
    }
}

impl Cluster {
    /// Bytes of each partition of which this node has a replica that reads are answered from.
    pub(super) fn partition_bytes<S: Store>(&self, scene: &Scene<'_, S>) -> Vec<Option<u64>> {
        let reading = self.topology.reading();
        let own = reading.slot_of(scene.own);
        let bytes = |partition: u16| {
            let holds = own.is_some_and(|own| reading.preference_list(partition).contains(&own));
            holds.then(|| scene.replica.store().partition_stats(partition).bytes)
        };
        (0..reading.partitions()).map(|partition| bytes(partition as u16)).collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Join(member) => {
                write!(f, "join {}@{}", member.name, member.address)?;
                if !member.zone.is_empty() {
                    write!(f, "/{}", member.zone)?;
                }
                if member.weight != 1 {
                    write!(f, "={}", member.weight)?;
                }
                Ok(())
            }
            Change::Leave(name) => write!(f, "leave {name}"),
            Change::Remove(name) => write!(f, "remove {name}"),
            Change::Replace(old, new) => write!(f, "replace {old} {new}"),
            Change::Weight(name, weight) => write!(f, "weight {name} {weight}"),
            Change::Zone(name, zone) if zone.is_empty() => write!(f, "zone {name} \"\""),
            Change::Zone(name, zone) => write!(f, "zone {name} {zone}"),
            Change::MaxPerZone(Some(most)) => write!(f, "max-per-zone {most}"),
            Change::MaxPerZone(None) => f.write_str("max-per-zone default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::config::MemberSpec;

    #[test]
    fn changes_are_spelt_as_they_are_typed() {
        let join = |zone: &str, weight| {
            let zone = zone.into();
            Change::Join(MemberSpec { zone, weight, ..MemberSpec::new("D", "127.0.0.1:7384") })
        };
        for (change, text) in [
            (join("", 1), "join D@127.0.0.1:7384"),
            (join("cellar", 2), "join D@127.0.0.1:7384/cellar=2"),
            (Change::Leave("D".into()), "leave D"),
            (Change::Remove("D".into()), "remove D"),
            (Change::Replace("C".into(), "D".into()), "replace C D"),
            (Change::Weight("D".into(), 0), "weight D 0"),
            (Change::Zone("D".into(), "attic".into()), "zone D attic"),
            (Change::Zone("D".into(), String::new()), "zone D \"\""),
            (Change::MaxPerZone(Some(1)), "max-per-zone 1"),
            (Change::MaxPerZone(None), "max-per-zone default"),
        ] {
            assert_eq!(change.to_string(), text);
        }
    }

    fn member(receives: u32, progress: Option<Progress>) -> MemberView {
        MemberView {
            name: "D".into(),
            address: String::new(),
            zone: String::new(),
            weight: 1,
            generation: 7,
            before: false,
            after: true,
            is_up: true,
            partitions: (0, receives),
            receives,
            progress,
        }
    }

    #[test]
    fn headway_counts_what_was_said_of_this_transition() {
        let said = |version, generation, open| Progress { version, generation, total: 8, open, bytes: 100 };
        let mut overview = Overview { is_kept: true, version: 5, next: Some(4), ..Overview::default() };
        overview.members = vec![
            member(8, Some(said(4, 7, 3))),
            // Of the transition before, of another directory, of nobody.
            member(8, Some(said(3, 7, 0))),
            member(8, Some(said(5, 6, 0))),
            member(8, None),
            member(0, None),
        ];
        assert_eq!(overview.headway(), Headway { total: 32, open: 27, bytes: 100 });
        assert_eq!((overview.phase(), overview.members[0].state()), (Phase::Copying, "joining"));
        overview.is_flipped = true;
        assert_eq!((overview.phase(), overview.progress(&overview.members[0])), (Phase::Finishing, None));
        let listed = Overview { version: 1, ..Overview::default() };
        assert_eq!((listed.phase(), Overview::default().phase()), (Phase::Listed, Phase::Outside));
    }
}
