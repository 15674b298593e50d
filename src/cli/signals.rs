//! Signals of the program: SIGTERM and SIGINT stop it, a second one ends it at once, SIGHUP reopens.
//!
//! All are blocked in every thread and taken by one thread of our own, so no code of ours ever runs in a
//! signal handler, with the exception of SIGBUS, which cannot wait: a handler in the library's
//! `driver::signals` says what it means and exits.

use std::time::Duration;

use quorate::driver::{Handle, signals};

use super::exit::{Failure, INPUT_OUTPUT};

/// How long requests in flight may take after the first signal to stop.
pub const GRACE: Duration = Duration::from_secs(5);

const TAKEN: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Takes the signals away from their default actions. Call it before any thread is started.
///
/// # Errors
/// The system refused.
pub fn claim() -> Result<(), Failure> {
    signals::report_bus_errors()
        .and_then(|()| signals::block(&TAKEN))
        .map_err(|error| Failure::new(INPUT_OUTPUT, format!("taking signals: {error}")))
}

/// Starts the thread that waits for them and hands them on to the loops.
///
/// # Errors
/// The system has no thread left.
pub fn watch(loops: Vec<Handle>) -> Result<(), Failure> {
    let wait = move || {
        let mut stopping = false;
        loop {
            match signals::wait(&TAKEN) {
                Ok(libc::SIGHUP) => loops.iter().for_each(Handle::reload),
                Ok(signal) if stopping => std::process::exit(128 + signal),
                Ok(_) => {
                    stopping = true;
                    loops.iter().for_each(|handle| handle.stop(GRACE));
                }
                Err(_) => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name("signals".into()).spawn(wait);
    thread.map(drop).map_err(|error| Failure::new(INPUT_OUTPUT, format!("starting a thread: {error}")))
}
