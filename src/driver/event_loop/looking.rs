//! What a loop tells of its node.

use super::EventLoop;
use crate::driver::host_disk::HostDisk;
use crate::driver::insight::Insight;

impl EventLoop {
    /// The disk work of a node that has no thread for it, to be carried out elsewhere. To be dropped before the loop is.
    pub fn host_disk(&self) -> Option<HostDisk> {
        let errands = self.errands.clone()?;
        let workers = [self.node.store().disk_worker(), self.node.hints().store().disk_worker()];
        Some(HostDisk { workers: workers.into_iter().flatten().collect(), errands })
    }

    /// What the node knows, as of the last turn.
    pub fn insight(&mut self) -> Insight {
        let status = self.status();
        let overview = self.node.overview(self.latest);
        let seen = |name: &str| status.members.iter().find(|member| member.name == name);
        let verdict =
            |name: &str| seen(name).map_or((None, false), |member| (member.verdict, member.unsteady));
        Insight {
            verdicts: overview.members.iter().map(|member| verdict(&member.name)).collect(),
            own: status.name,
            layout: self.node.layout().clone(),
            hash: self.node.keys().hash,
            counters: status.counters,
            overview,
        }
    }

    /// Tells those who asked.
    pub(super) fn tell_insight(&mut self) {
        if let Some(up_to) = self.host.take_asked() {
            let insight = self.insight();
            self.host.tell(up_to, insight);
        }
    }
}
