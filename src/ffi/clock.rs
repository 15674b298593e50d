//! The clocks of a program that steps its nodes: a simulator, or a stack that has its own.

use std::sync::Arc;

use super::boundary::{Site, in_hook};
use super::options::{quorate_options, with_options};
use super::plain::{quorate_clock, read_sized};
use super::status::{E_NULL, E_UNSUPPORTED, OK, quorate_status};
use super::user::User;
use crate::driver::Clock;
use crate::proto::time::{Instant, Now, WallTime};

/// Sets the clocks that a node asks between steps: while it is opened, when a value with a ttl is submitted, and for the
/// descriptor's timer. In a step it is told by now_ns and wall_ms, which must be of the same clocks. Without it these
/// are CLOCK_MONOTONIC and CLOCK_REALTIME. For modes host and packet.
///
/// Monotonic time that goes back counts as standing still until it has caught up. Wall time may jump: it only stamps
/// versions and ends values with a ttl; a stamp is never before an earlier one of the node, and other members refuse
/// one too far ahead of their own clocks (E_CLOCK).
///
/// Arguments: options; clock: copied, or NULL for the machine's clocks. Its functions may be called by any thread that
/// calls the library, by several at once; they must not throw, longjmp or fork. drop may be NULL, and is called once with
/// user when no options and no node need them any more, also if this call fails, but not if the struct cannot be read.
/// Returns: OK; E_NULL, also for a function that is NULL; E_ARG for a struct_size that cannot be; E_UNSUPPORTED for
/// members that this library does not know; E_REENTRANT; E_FORKED; E_PANIC. quorate_node_open says E_ARG in mode thread.
/// Thread class: E. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_set_clock(
    options: *mut quorate_options,
    clock: *const quorate_clock,
) -> quorate_status {
    // SAFETY: NULL or, by the contract of the function, as many bytes as the first member says.
    let clock = (!clock.is_null()).then(|| unsafe { read_sized(clock, (*clock).struct_size as usize) });
    let clock = clock.map(|read| read.map(|clock| (clock, User::new(clock.user, clock.drop))));
    let set = |options: &mut quorate_options| {
        let Some(clock) = clock else {
            options.clock = None;
            return Ok(OK);
        };
        let (clock, user) = clock?;
        if clock.zero != 0 || clock.reserved != [0; 2] {
            return Err(E_UNSUPPORTED);
        }
        let monotonic = clock.monotonic_ns.ok_or(E_NULL)?;
        let wall = clock.wall_ms.ok_or(E_NULL)?;
        let ask = move || {
            let user = user.pointer();
            // SAFETY: the caller promises that the functions take this user until `drop`.
            let (nanos, millis) = in_hook(|| unsafe { (monotonic(user), wall(user)) });
            Now { mono: Instant::from_nanos(nanos), wall: WallTime(millis) }
        };
        options.clock = Some(Clock::of_host(Arc::new(ask)));
        Ok(OK)
    };
    // SAFETY: the contract of the function.
    unsafe { with_options(Site::OptionsSetClock, options, set) }
}
