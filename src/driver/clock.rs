//! The only place of the driver that asks what time it is. A turn asks once and hands the answer on.

use core::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::sys;
use crate::proto::time::{Instant, Now, WallTime};

/// The clocks of a node.
#[derive(Clone, Default)]
pub struct Clock(Source);

/// Whose clocks they are.
#[derive(Clone, Default)]
enum Source {
    /// The machine's. The origin of the monotonic one is that of CLOCK_MONOTONIC.
    #[default]
    Machine,
    /// A host's.
    Host(Arc<dyn Fn() -> Now + Send + Sync>),
    /// They go on from this moment as the machine's do, which was then at that.
    From(Now, Instant),
}

impl Clock {
    /// The clocks of a host, which steps its node by them.
    pub fn of_host(ask: Arc<dyn Fn() -> Now + Send + Sync>) -> Clock {
        Clock(Source::Host(ask))
    }

    /// Clocks that go on from here by themselves.
    pub(super) fn going_on(now: Now) -> Clock {
        Clock(Source::From(now, machine_mono()))
    }

    /// The monotonic clock.
    pub(super) fn mono(&self) -> Instant {
        match &self.0 {
            Source::Machine => machine_mono(),
            _ => self.now().mono,
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        match &self.0 {
            // A wall clock before 1970 is wrong in any case; 0 keeps it from being a reason to panic.
            Source::Machine => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Now { mono: self.mono(), wall: WallTime(wall.as_millis() as u64) }
            }
            Source::Host(ask) => ask(),
            Source::From(then, machine) => {
                let since = machine_mono().since(*machine);
                let millis = since.as_millis() as u64;
                Now { mono: then.mono + since, wall: WallTime(then.wall.0.saturating_add(millis)) }
            }
        }
    }

    /// When a point of this clock comes on the machine's monotonic one, if it is `now` on this.
    pub(super) fn on_machine(&self, point: Instant, now: Instant) -> Instant {
        match self.0 {
            Source::Host(_) if point < Instant::NEVER => machine_mono() + point.since(now),
            _ => point,
        }
    }
}

fn machine_mono() -> Instant {
    Instant::from_nanos(sys::monotonic_nanos())
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Machine => "Clock(machine)",
            Source::Host(_) => "Clock(host)",
            Source::From(..) => "Clock(going on)",
        })
    }
}
