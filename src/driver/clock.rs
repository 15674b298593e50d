//! The only place of the driver that asks what time it is. A turn asks once and hands the answer on.

use std::time::{SystemTime, UNIX_EPOCH};

use super::sys;
use crate::proto::time::{Instant, Now, WallTime};

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock;

impl Clock {
    /// The monotonic clock, whose origin is that of CLOCK_MONOTONIC.
    pub(super) fn mono(self) -> Instant {
        Instant::from_nanos(sys::monotonic_nanos())
    }

    /// Both clocks.
    pub(super) fn now(self) -> Now {
        // A wall clock before 1970 is wrong in any case; 0 keeps it from being a reason to panic.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: WallTime(wall.as_millis() as u64) }
    }
}
