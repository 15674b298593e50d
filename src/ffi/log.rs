//! The log of a node, line by line, to a function of the host.

use core::ffi::c_void;
use std::sync::Arc;

use super::boundary::{Site, in_hook};
use super::options::{quorate_options, with_options};
use super::plain::quorate_bytes;
use super::status::{Constant, E_ARG, OK, quorate_status};
use super::user::User;
use crate::driver::{Level, LogSink, Logger};

/// The levels by their numbers, which are never changed and never used again.
const LEVELS: [(Level, &str, &str); 5] = [
    (Level::Error, "QUORATE_LOG_ERROR", "something failed and needs a person"),
    (Level::Warn, "QUORATE_LOG_WARN", "something is wrong and was coped with"),
    (Level::Info, "QUORATE_LOG_INFO", "what an operator wants to know once"),
    (Level::Debug, "QUORATE_LOG_DEBUG", "for finding faults"),
    (Level::Trace, "QUORATE_LOG_TRACE", "everything"),
];

/// The levels for the header.
pub fn constants() -> Vec<Constant> {
    LEVELS.into_iter().map(|(level, name, text)| Constant::unsigned(name, level as u32, text)).collect()
}

/// Takes a line of a node's log, without a line end: level is QUORATE_LOG_..., target names the part of the node that
/// speaks. Both texts are UTF-8, have no NUL at their end, and are good until it returns. It must not throw, longjmp or
/// fork, and not take long: the node waits for it.
pub type quorate_log =
    Option<unsafe extern "C" fn(user: *mut c_void, level: u32, target: quorate_bytes, text: quorate_bytes)>;

/// A function of the host that is given lines.
struct Hook {
    log: unsafe extern "C" fn(user: *mut c_void, level: u32, target: quorate_bytes, text: quorate_bytes),
    user: User,
}

impl LogSink for Hook {
    fn log(&self, level: Level, target: &'static str, message: &str) {
        let (target, text) = (quorate_bytes::of(target.as_bytes()), quorate_bytes::of(message.as_bytes()));
        // SAFETY: the caller of `quorate_options_set_log` promises that the function takes this user until `drop`.
        in_hook(|| unsafe { (self.log)(self.user.pointer(), level as u32, target, text) });
    }
}

/// Sets what is given the lines of the log of each node that is opened with these options. Without it nothing is logged;
/// nothing is ever written to stderr. Lines beyond the level cost nothing, as they are not even made.
///
/// It is called by the thread that opens the node, then by the one that drives it, that of the library or whoever is
/// inside of quorate_node_step, a quorate_net_ function, quorate_node_stop or quorate_node_free; by one at a time for
/// each node, and never again before it has returned. A second call replaces the function for nodes opened from then on.
///
/// Arguments: options; level: QUORATE_LOG_...: the least important lines that are wanted; log: NULL for none; user: passed
/// to both; drop: may be NULL, called once with user when no options and no node need it any more, also if this call fails.
/// Returns: OK; E_NULL; E_ARG for a level that there is not; E_REENTRANT; E_FORKED; E_PANIC.
/// Thread class: E. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_options_set_log(
    options: *mut quorate_options,
    level: u32,
    log: quorate_log,
    user: *mut c_void,
    drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
) -> quorate_status {
    let user = User::new(user, drop);
    let set = |options: &mut quorate_options| {
        let level = LEVELS.iter().find(|row| row.0 as u32 == level).ok_or(E_ARG)?.0;
        options.log = log.map_or_else(Logger::silent, |log| Logger::new(level, Arc::new(Hook { log, user })));
        Ok(OK)
    };
    // SAFETY: the contract of the function.
    unsafe { with_options(Site::OptionsSetLog, options, set) }
}
