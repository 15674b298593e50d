//! Calls as the loop sees them: how long each took, and whether it stalled or only waited for a processor.

use std::time::{Duration, Instant};

use crate::latency::Latency;
use crate::meter::Waited;
use crate::samples::say;

/// How long calls took, as the loop sees it.
pub struct Clock {
    latency: Latency,
    waited: Waited,
    waited_before: Duration,
    longest: Duration,
}

impl Clock {
    /// Nothing timed yet.
    pub fn new() -> Clock {
        let waited = Waited::new();
        Clock { latency: Latency::new(), waited_before: waited.read(), waited, longest: Duration::ZERO }
    }

    /// A call that waits for a processor from here on is told from one that stalls.
    pub fn begin_turn(&mut self) {
        self.waited_before = self.waited.read();
    }

    /// Times a call.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let returned = call();
        self.add(begun.elapsed());
        returned
    }

    fn add(&mut self, took: Duration) {
        self.latency.add(took);
        if took > self.longest {
            let waited = self.waited.read() - self.waited_before;
            self.longest = self.longest.max(took.saturating_sub(waited));
        }
    }

    /// How long all of them took.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// How long the longest took that did not wait for a processor.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Says the usual shares under a name, and the longest call that did not wait for a processor.
    pub fn say(&self, name: &str) {
        for (share, at) in [("p50", 0.5), ("p999", 0.999), ("p9999", 0.9999), ("max", 1.0)] {
            say(&format!("{name}_{share}"), self.latency.micros(at));
        }
        say(&format!("{name}_own"), self.longest.as_secs_f64() * 1e6);
    }
}
