//! Reads: what the host makes of siblings, and what a node tells of the reads that it coordinated.

use super::Node;
use crate::proto::io::MergeFunction;
use crate::proto::limits;
use crate::proto::observed::forecast::stale_ppm;
use crate::proto::observed::{Histogram, WorstKey};
use crate::proto::store::Store;

/// What reads have met since the node began. A histogram is a list of bounds, each with the number of values up to it
/// and over the bound before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Siblings of what was read, live or not.
    pub siblings: Vec<(u64, u64)>,
    /// Bytes of the objects.
    pub object_bytes: Vec<(u64, u64)>,
    /// How old the versions were, in milliseconds, that stale answers lacked.
    pub stale_ms: Vec<(u64, u64)>,
    /// The keys with the most siblings, as they were read last; the worst comes first.
    pub worst_keys: Vec<WorstKey>,
}

/// One millisecond.
const MS: u64 = 1_000_000;

impl<S: Store> Node<S> {
    /// Registers a function of the host that makes one value of several, for [`View::Merged`](crate::proto::io::View::Merged)
    /// with this number, below [`limits::MERGE_FUNCTIONS_MAX`], in the place of another of that number. It must come to
    /// the same value at every call, and is called while a read of this node is answered.
    pub fn register_merge(&mut self, number: u8, function: MergeFunction) {
        assert!(number < limits::MERGE_FUNCTIONS_MAX, "functions are numbered below the limit");
        self.coordinator.merges.register(number, function);
    }

    /// What reads have met.
    pub(super) fn reads(&self) -> Reads {
        let observed = &self.coordinator.observed;
        let steps = |histogram: &Histogram| histogram.steps().collect();
        Reads {
            siblings: steps(&observed.siblings),
            object_bytes: steps(&observed.bytes),
            stale_ms: steps(&observed.stale_ms),
            worst_keys: observed.worst().to_vec(),
        }
    }

    /// The same in single figures, with the forecasts for the quorums of keyspace 0 and for R = W = 1 beside what was
    /// measured. There are none before round trips were.
    pub(super) fn read_counters(&self) -> Vec<(&'static str, u64)> {
        let observed = &self.coordinator.observed;
        let mut counters = vec![
            ("reads_siblings_p99", observed.siblings.quantile(990)),
            ("reads_siblings_max", observed.siblings.max()),
            ("reads_object_bytes_p50", observed.bytes.quantile(500)),
            ("reads_object_bytes_p99", observed.bytes.quantile(990)),
            ("reads_object_bytes_max", observed.bytes.max()),
            ("reads_compared", observed.compared),
            ("reads_stale", observed.stale),
            ("reads_stale_ms_p99", observed.stale_ms.quantile(990)),
            ("reads_stale_ms_max", observed.stale_ms.max()),
        ];
        let (n, _) = self.routes.counts(0);
        let settings = self.config.keyspace(0);
        let majority = n / 2 + 1;
        let usual = (n, settings.r.unwrap_or(majority), settings.w.unwrap_or(majority));
        for (quorum, names) in [
            (usual, ["forecast_stale_ppm_at_once", "forecast_stale_ppm_after_10_ms"]),
            ((n, 1, 1), ["forecast_r1_w1_stale_ppm_at_once", "forecast_r1_w1_stale_ppm_after_10_ms"]),
        ] {
            let forecast = stale_ppm(&observed.writes, &observed.reads, quorum, [0, 10 * MS]);
            counters.extend(forecast.into_iter().flat_map(|ppm| names.into_iter().zip(ppm)));
        }
        counters
    }
}
