//! Numbers and options in arguments, with the errors that Redis gives for them.

use std::borrow::Cow;

use crate::proto::time::WallTime;
pub use crate::proto::version::integer;

use super::parse::Args;
use super::session::Refusal;

/// The refusal of options that do not fit together.
pub const SYNTAX: Refusal = Cow::Borrowed("ERR syntax error");
/// The refusal of what should be a number.
pub const NOT_AN_INTEGER: Refusal = Cow::Borrowed(NOT_AN_INTEGER_TEXT);
/// Its text.
pub const NOT_AN_INTEGER_TEXT: &str = "ERR value is not an integer or out of range";

/// The integer at `at`.
///
/// # Errors
/// There is none, or what stands there is none.
pub fn integer_at(args: Args<'_>, at: usize) -> Result<i64, Refusal> {
    integer(args.get(at).ok_or(SYNTAX)?).ok_or(NOT_AN_INTEGER)
}

/// A number of replicas at `at`.
///
/// # Errors
/// There is none, or it is no number from 0 to 255.
pub fn count_at(args: Args<'_>, at: usize) -> Result<u8, Refusal> {
    u8::try_from(integer_at(args, at)?).map_err(|_| NOT_AN_INTEGER)
}

/// How a time of expiry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUnit {
    /// A point in time rather than a time from now.
    pub absolute: bool,
    /// Milliseconds rather than seconds.
    pub millis: bool,
}

impl TimeUnit {
    /// Seconds from now.
    pub const SECONDS: TimeUnit = TimeUnit { absolute: false, millis: false };
    /// Milliseconds from now.
    pub const MILLIS: TimeUnit = TimeUnit { absolute: false, millis: true };
    /// Seconds since the Unix epoch.
    pub const SECONDS_AT: TimeUnit = TimeUnit { absolute: true, millis: false };
    /// Milliseconds since the Unix epoch.
    pub const MILLIS_AT: TimeUnit = TimeUnit { absolute: true, millis: true };

    /// The absolute expiry in milliseconds; `None` if it overflows. What lies before the Unix epoch is
    /// as long past as its first millisecond.
    pub fn expires_ms(self, value: i64, wall: WallTime) -> Option<u64> {
        let millis = if self.millis { value } else { value.checked_mul(1_000)? };
        let now = i64::try_from(wall.0).ok()?;
        let at = if self.absolute { millis } else { now.checked_add(millis)? };
        Some(at.max(1).unsigned_abs())
    }
}

/// The refusal of a time that makes no sense for a command.
pub fn invalid_expiry(command: &str) -> Refusal {
    format!("ERR invalid expire time in '{command}' command").into()
}

/// The expiry at `at`, which must lie after the moment it counts from.
///
/// # Errors
/// There is none, it is no integer, or it is not positive.
pub fn positive_expiry(
    args: Args<'_>,
    at: usize,
    unit: TimeUnit,
    wall: WallTime,
    command: &str,
) -> Result<u64, Refusal> {
    let value = integer_at(args, at)?;
    if value <= 0 {
        return Err(invalid_expiry(command));
    }
    unit.expires_ms(value, wall).ok_or_else(|| invalid_expiry(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_overflow_are_told_from_times_that_passed() {
        let wall = WallTime(5_000);
        assert_eq!(TimeUnit::SECONDS.expires_ms(2, wall), Some(7_000));
        assert_eq!(TimeUnit::MILLIS.expires_ms(-4_999, wall), Some(1));
        assert_eq!(TimeUnit::MILLIS.expires_ms(-9_000, wall), Some(1));
        assert_eq!(TimeUnit::SECONDS_AT.expires_ms(-3, wall), Some(1));
        assert_eq!(TimeUnit::SECONDS.expires_ms(i64::MAX / 1_000 + 1, wall), None);
        assert_eq!(TimeUnit::MILLIS.expires_ms(i64::MAX, wall), None);
        assert_eq!(TimeUnit::MILLIS_AT.expires_ms(i64::MAX, wall), Some(i64::MAX as u64));
    }
}
