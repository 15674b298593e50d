//! Signals, for programs: a library takes none, so nothing in here is called by the event loop.

use std::io;

use super::sys;

/// Blocks signals in this thread and in those it starts from now on, so that [`wait`] gets them.
///
/// # Errors
/// A number is no signal.
pub fn block(signals: &[i32]) -> io::Result<()> {
    sys::block_signals(signals)
}

/// Waits for one of these signals, which must be blocked in every thread, and takes it.
///
/// # Errors
/// A number is no signal.
pub fn wait(signals: &[i32]) -> io::Result<i32> {
    sys::wait_for_signal(signals)
}

/// From now on SIGBUS, which is what reading a mapped file gives when its disk fails or somebody cut it,
/// prints a line on stderr and ends the process with exit code 74.
///
/// # Errors
/// The system refused the handler.
pub fn report_bus_errors() -> io::Result<()> {
    sys::handle_bus_errors()
}
