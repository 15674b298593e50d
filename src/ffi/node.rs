//! The life of a node: open → (start | host steps) → stop → drain reap → free.
//!
//! A node is one loop and one handle. In mode thread the loop moves to a thread of the library; in mode
//! host it stays here, behind a lock that is only ever tried, so that two threads that drive one node
//! are told so instead of waiting for each other.

use core::ffi::c_char;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

use super::boundary::{Site, caught, entry_or, explain, is_in_hook, with_any_node, with_node};
use super::options::{checked, quorate_options, resolve};
use super::plain::{quorate_bytes, quorate_error, write_if};
use super::status::{
    AGAIN, Constant, E_ARG, E_BUSY, E_CLOSED, E_FOREIGN, E_FORKED, E_IO, E_NET, E_NOMEM, E_NULL, E_PANIC,
    E_POISONED, E_REENTRANT, E_STATE, E_UNSUPPORTED, OK, quorate_status,
};
use crate::driver::{Clock, EventLoop, Figure, Handle, HostDisk, Insight, OpenError};
use crate::proto::keys::{ClusterKeys, Key};

/// Opened; nothing drives it yet.
const STATE_OPEN: u32 = 1;
/// Serving.
const STATE_RUNNING: u32 = 2;
/// Ending what is in flight.
const STATE_STOPPING: u32 = 3;
/// Stopped; completions may still be reaped.
const STATE_STOPPED: u32 = 4;
/// Unusable since a caught bug or a failed loop.
const STATE_POISONED: u32 = 5;

const ADDRESS_PEER: u32 = 0;

/// The figures of a store, by their numbers. Numbers are never changed and never used again.
#[rustfmt::skip]
const FIGURES: [(Figure, &str, &str); 8] = [
    (Figure::ReadOnly, "QUORATE_FIGURE_READ_ONLY", "1 once a write or a sync has failed: no more writes"),
    (Figure::DiskFull, "QUORATE_FIGURE_DISK_FULL", "1 while there is no room on the disk: deletes only"),
    (Figure::IncompletePartitions, "QUORATE_FIGURE_INCOMPLETE_PARTITIONS", "partitions that lost records nobody can name"),
    (Figure::Records, "QUORATE_FIGURE_RECORDS", "keys held, tombstones included"),
    (Figure::DiskBytes, "QUORATE_FIGURE_DISK_BYTES", "bytes of disk that the log takes"),
    (Figure::LiveBytes, "QUORATE_FIGURE_LIVE_BYTES", "bytes of records that are the newest of their key"),
    (Figure::MemoryBytes, "QUORATE_FIGURE_MEMORY_BYTES", "bytes of memory that the store takes"),
    (Figure::QuarantinedRanges, "QUORATE_FIGURE_QUARANTINED_RANGES", "ranges of the log that do not hold"),
];

/// The states, addresses and figures for the header.
pub fn constants() -> Vec<Constant> {
    let constant = Constant::unsigned::<u32>;
    let mut all = vec![
        constant("QUORATE_STATE_OPEN", STATE_OPEN, "opened; nothing drives it yet"),
        constant("QUORATE_STATE_RUNNING", STATE_RUNNING, "serving"),
        constant("QUORATE_STATE_STOPPING", STATE_STOPPING, "ending what is in flight"),
        constant("QUORATE_STATE_STOPPED", STATE_STOPPED, "stopped; completions may still be reaped"),
        constant("QUORATE_STATE_POISONED", STATE_POISONED, "unusable since a caught bug or a failed loop"),
        constant("QUORATE_ADDRESS_PEER", ADDRESS_PEER, "where other members reach the node"),
        constant("QUORATE_ADDRESS_CLIENT", 1, "where Redis clients reach it; further addresses count on"),
    ];
    all.extend((0..).zip(FIGURES).map(|(number, (_, name, text))| constant(name, number, text)));
    all
}

/// A node. Opaque; shared by threads as each function says.
pub struct quorate_node {
    /// Present as long as somebody may drive the loop.
    driver: Mutex<Driver>,
    pub(super) handle: Handle,
    is_host_driven: bool,
    is_packet: bool,
    /// The descriptor that a host polls in mode host, else E_STATE.
    pub(super) host_fd: RawFd,
    /// Bound addresses: the peer's, then the clients', each as text.
    addresses: Vec<Option<String>>,
    state: AtomicU32,
    poisoned: Arc<AtomicBool>,
    clock: Clock,
    /// The disk work that the host carries out, until the node is stopped.
    disk: Mutex<Option<HostDisk>>,
    has_host_disk: bool,
    /// Under which contexts are made and proven.
    pub(super) token_key: Key,
}

/// Who has the loop.
pub(super) enum Driver {
    /// The host, or nobody before `quorate_node_start`.
    Here(Box<EventLoop>),
    /// A thread of ours; its result says whether the loop ended well.
    Thread(JoinHandle<bool>),
    /// Nobody any more.
    Gone,
}

impl quorate_node {
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Makes the node refuse everything and its loop end.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        self.handle.stop(Duration::ZERO);
        self.give_up_loop();
    }

    /// Drops the loop of a poisoned node if no thread of ours drives it: that completes what is in
    /// flight. While another thread is inside of it, the next call of this does it.
    pub(super) fn give_up_loop(&self) {
        let Ok(mut driver) = self.driver() else { return };
        if let Driver::Here(_) = &*driver {
            // Whoever is at the disk now lets go of it at its end: the directory stays locked until then.
            let _ = self.disk.try_lock().map(|mut disk| disk.take());
            let event_loop = core::mem::replace(&mut *driver, Driver::Gone);
            let _ = caught(Site::LoopThread, move || drop(event_loop));
        }
    }

    pub(super) fn is_host_driven(&self) -> bool {
        self.is_host_driven
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn wall_ms(&self) -> u64 {
        self.clock.now().wall.0
    }

    /// Whether the host moves the bytes between members, too.
    pub(super) fn is_packet(&self) -> bool {
        self.is_packet
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == STATE_RUNNING
    }

    /// Whether requests end because the node does.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), STATE_STOPPING | STATE_STOPPED)
    }

    /// The loop's place, unless another thread is using it.
    pub(super) fn driver(&self) -> Result<MutexGuard<'_, Driver>, quorate_status> {
        match self.driver.try_lock() {
            Ok(driver) => Ok(driver),
            Err(TryLockError::WouldBlock) => Err(E_BUSY),
            // A panic while driving poisons the node; what is left here is still freed by `stop`.
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        }
    }

    /// One operation at the disk; whether there was one.
    pub(super) fn step_disk(&self) -> Result<bool, quorate_status> {
        if !self.has_host_disk {
            return Err(E_STATE);
        }
        match self.disk.try_lock() {
            Ok(disk) => disk.as_ref().map(HostDisk::step).ok_or(E_CLOSED),
            Err(TryLockError::WouldBlock) => Err(E_BUSY),
            Err(TryLockError::Poisoned(_)) => Err(E_POISONED),
        }
    }

    /// Called with the first step of a host.
    pub(super) fn note_running(&self) {
        let (open, running) = (STATE_OPEN, STATE_RUNNING);
        let _ = self.state.compare_exchange(open, running, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Ends the loop, whoever drives it; true if it ended well.
    fn end(&self, driver: &mut Driver, grace: Duration) -> bool {
        self.state.store(STATE_STOPPING, Ordering::Release);
        self.handle.stop(grace);
        let ended_well = match core::mem::replace(driver, Driver::Gone) {
            Driver::Here(mut event_loop) => {
                let result = caught(Site::LoopThread, || event_loop.finish());
                // Nobody is at the disk any more when the directory is let go of.
                drop(self.disk.lock().unwrap_or_else(PoisonError::into_inner).take());
                // A loop that panicked may panic again on its way out.
                let _ = caught(Site::LoopThread, move || drop(event_loop));
                matches!(result, Some(Ok(())))
            }
            Driver::Thread(thread) => thread.join().unwrap_or(false),
            Driver::Gone => true,
        };
        self.state.store(STATE_STOPPED, Ordering::Release);
        ended_well
    }
}

/// How a failed opening is said in C: status, errno, text.
fn of_open_error(error: &OpenError) -> (quorate_status, i32, String) {
    let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
    let (status, os_errno) = match error {
        OpenError::Config(_) | OpenError::Setting { .. } => (E_ARG, 0),
        OpenError::InUse { .. } => (E_NET, libc::EADDRINUSE),
        OpenError::NotWritable { error, .. } => (E_IO, errno(error)),
        OpenError::Io { error, .. } => match errno(error) {
            number @ (libc::EMFILE | libc::ENFILE | libc::ENOMEM) => (E_NOMEM, number),
            number => (E_IO, number),
        },
        OpenError::Locked { .. } => (E_BUSY, 0),
        OpenError::Foreign { .. } => (E_FOREIGN, 0),
    };
    (status, os_errno, error.to_string())
}

/// Opens a node from gathered settings.
fn open(options: &quorate_options) -> Result<quorate_node, (quorate_status, i32, String)> {
    let settings = checked(options).map_err(|(status, text)| (status, 0, text))?;
    let keys = ClusterKeys::derive(&settings.core.cluster, &settings.core.secret);
    let opened = caught(Site::LoopThread, || {
        let mut event_loop = EventLoop::open(settings).map_err(|error| of_open_error(&error))?;
        let host_fd = if options.is_host_driven() && !options.is_packet() {
            event_loop
                .fd()
                .map_err(|error| (E_NOMEM, error.raw_os_error().unwrap_or(0), error.to_string()))?
        } else {
            E_STATE
        };
        Ok((event_loop, host_fd))
    });
    #[cfg_attr(not(feature = "test-hooks"), expect(unused_mut, reason = "tests arm it"))]
    let (mut event_loop, host_fd) = opened.unwrap_or_else(|| Err((E_PANIC, 0, String::new())))?;
    #[cfg(feature = "test-hooks")]
    event_loop.on_reload(Box::new(|| super::boundary::panic_point(Site::LoopThread)));
    let disk = event_loop.host_disk();
    let mut addresses = vec![event_loop.peer_address().map(|address| address.to_string())];
    addresses.extend(event_loop.client_addresses().iter().map(|address| Some(address.to_string())));
    Ok(quorate_node {
        handle: event_loop.handle(),
        driver: Mutex::new(Driver::Here(Box::new(event_loop))),
        is_host_driven: options.is_host_driven(),
        is_packet: options.is_packet(),
        host_fd,
        addresses,
        state: AtomicU32::new(STATE_OPEN),
        poisoned: Arc::default(),
        clock: options.clock.clone().unwrap_or_default(),
        has_host_disk: disk.is_some(),
        disk: Mutex::new(disk),
        token_key: keys.token,
    })
}

/// Opens a node: checks its options, binds its addresses, locks and reads its directory.
///
/// Arguments: options: copied, not consumed; out: receives the node, or NULL; error: may be NULL, says
/// what is wrong.
/// Returns: OK; E_NULL; E_ARG for options that do not fit; E_BUSY for a directory that is open in this or
/// another process; E_NET for an address in use; E_FOREIGN for a directory that is not ours; E_IO with
/// os_errno; E_NOMEM; E_REENTRANT; E_FORKED; E_PANIC. A failure leaves nothing behind.
/// Thread class: E. Blocks: yes, while the directory is read. Owner: the caller, who gives the node to
/// quorate_node_free. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_open(
    options: *const quorate_options,
    out: *mut *mut quorate_node,
    error: *mut quorate_error,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a pointer.
    unsafe { write_if(out, core::ptr::null_mut()) };
    if is_in_hook() {
        return E_REENTRANT;
    }
    // SAFETY: NULL or live options, by the contract of the function.
    let Some(options) = (unsafe { options.as_ref() }) else { return E_NULL };
    if out.is_null() {
        return E_NULL;
    }
    match open(options) {
        Ok(node) => {
            // SAFETY: not NULL, the caller's place for a pointer.
            unsafe { out.write(Box::into_raw(Box::new(node))) };
            OK
        }
        // SAFETY: the contract of the function.
        Err((status, os_errno, text)) => unsafe { explain(error, status, os_errno, &text) },
    }
}

/// Writes an address that the node has bound, "127.0.0.1:40123", with its real port.
///
/// Arguments: node; which: QUORATE_ADDRESS_PEER, or QUORATE_ADDRESS_CLIENT plus the place in the list;
/// buffer, capacity: receive the text and a NUL; len: may be NULL, receives the length without the NUL.
/// Returns: OK; AGAIN if the buffer is too small, with len set; E_NULL; E_ARG if there is no such address;
/// E_FORKED; E_POISONED; E_PANIC.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_address(
    node: *const quorate_node,
    which: u32,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(len, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::NodeAddress, node, |node| {
            if buffer.is_null() {
                return Err(E_NULL);
            }
            let address = node.addresses.get(which as usize).and_then(Option::as_ref).ok_or(E_ARG)?;
            write_if(len, address.len());
            if capacity <= address.len() {
                return Ok(AGAIN);
            }
            core::ptr::copy_nonoverlapping(address.as_ptr(), buffer.cast::<u8>(), address.len());
            buffer.add(address.len()).write(0);
            Ok(OK)
        })
    }
}

/// Tells a node where another member listens, in place of the address in its list. Needed only where
/// ports are chosen by the system, once for each; call it before the node is started or stepped.
///
/// Arguments: node; name: of the member; address: HOST:PORT.
/// Returns: OK; E_NULL; E_ARG for an unknown member or a text that is no address; E_STATE once the node
/// runs; E_BUSY if another thread drives it; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: D. Blocks: while a host name is looked up. Owner: name and address are copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_meet(
    node: *mut quorate_node,
    name: quorate_bytes,
    address: quorate_bytes,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::NodeMeet, node, |node| {
            let text = |bytes: quorate_bytes| core::str::from_utf8(bytes.as_slice()?).map_err(|_| E_ARG);
            let (name, address) = (text(name)?, text(address)?);
            let mut driver = node.driver()?;
            let Driver::Here(event_loop) = &mut *driver else { return Err(E_STATE) };
            if node.state.load(Ordering::Acquire) != STATE_OPEN {
                return Err(E_STATE);
            }
            let address = resolve("address", address).map_err(|_| E_ARG)?;
            if event_loop.set_member_address(name, address) { Ok(OK) } else { Err(E_ARG) }
        })
    }
}

/// Plays a network that breaks, for tests of what a program does then: while it is on, the node hears nothing of
/// other members and says nothing to them, as if every link to them were cut. Clients are served, requests go on.
/// It is so when the loop has turned; links come back within a second of its end.
///
/// Arguments: node; on: 1 cuts it off, 0 ends that.
/// Returns: OK; E_NULL; E_ARG for another number; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_isolate(node: *const quorate_node, on: u32) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::NodeIsolate, node, |node| {
            if on > 1 {
                return Err(E_ARG);
            }
            node.handle.isolate(on == 1);
            Ok(OK)
        })
    }
}

/// What a node knows: of its thread at the end of its next turn, of a loop that is here at once.
pub(super) fn insight(node: &quorate_node) -> Result<Arc<Insight>, quorate_status> {
    let is_here = node.is_host_driven || node.state.load(Ordering::Acquire) == STATE_OPEN;
    if is_here {
        match &mut *node.driver()? {
            Driver::Here(event_loop) => return Ok(Arc::new(event_loop.insight())),
            // It was started meanwhile.
            Driver::Thread(_) => {}
            Driver::Gone => return Err(E_CLOSED),
        }
    }
    let ended = || if node.is_poisoned() { E_POISONED } else { E_CLOSED };
    node.handle.insight().ok_or_else(ended)
}

/// Starts the thread that drives a node in mode thread. Signals are blocked on it. If none can be made the node can only
/// be freed.
///
/// Arguments: node; error: may be NULL, says what is wrong.
/// Returns: OK; E_NULL; E_STATE in another mode or phase; E_NOMEM if no thread can be made; E_BUSY;
/// E_FORKED; E_POISONED; E_PANIC.
/// Thread class: D. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_start(
    node: *mut quorate_node,
    error: *mut quorate_error,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::NodeStart, node, |node| {
            let mut driver = node.driver()?;
            if node.is_host_driven || !matches!(&*driver, Driver::Here(_)) {
                let text = "only a node in mode thread, once, can be started";
                return Err(explain(error, E_STATE, 0, text));
            }
            let Driver::Here(event_loop) = core::mem::replace(&mut *driver, Driver::Gone) else {
                return Err(E_STATE);
            };
            let poisoned = Arc::clone(&node.poisoned);
            match event_loop.spawn_with(move |event_loop| run(event_loop, &poisoned)) {
                Ok(thread) => {
                    *driver = Driver::Thread(thread);
                    node.state.store(STATE_RUNNING, Ordering::Release);
                    Ok(OK)
                }
                Err(failure) => {
                    let errno = failure.raw_os_error().unwrap_or(0);
                    Err(explain(error, E_NOMEM, errno, &failure.to_string()))
                }
            }
        })
    }
}

/// The body of the library's thread; true if the loop ended well.
fn run(mut event_loop: EventLoop, poisoned: &AtomicBool) -> bool {
    let result = caught(Site::LoopThread, || event_loop.run());
    // One that was asked to stop has only failed to close its store.
    let has_ended = matches!(result, Some(Ok(()))) || (result.is_some() && event_loop.is_stopped());
    if !has_ended {
        // Before the loop is dropped: that completes what is in flight, and must show as poisoned.
        poisoned.store(true, Ordering::Release);
    }
    let _ = caught(Site::LoopThread, move || drop(event_loop));
    matches!(result, Some(Ok(())))
}

/// Stops a node: takes nothing more, ends what is in flight, brings the store to disk. Every accepted
/// request then has its completion, E_CLOSED (writes with UNCERTAIN) if it had no other; reap them.
///
/// Arguments: node; timeout_ns: how long requests in flight may still take, in whole milliseconds, rounded
/// down; in mode packet they end at once, as nobody moves bytes meanwhile.
/// Returns: OK; E_NULL; E_STATE if it is stopped; E_IO if the store could not be brought to disk; E_BUSY
/// if another thread drives it; E_POISONED of a poisoned node; E_FORKED; E_PANIC.
/// Thread class: D, but others may submit, wait and reap beside it. Blocks: yes, for the timeout and a disk sync. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_stop(node: *mut quorate_node, timeout_ns: u64) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_any_node(Site::NodeStop, node, |node| {
            let mut driver = node.driver()?;
            if matches!(&*driver, Driver::Gone) {
                return Err(if node.is_poisoned() { E_POISONED } else { E_STATE });
            }
            if node.end(&mut driver, Duration::from_nanos(timeout_ns)) {
                return Ok(OK);
            }
            Err(if node.is_poisoned() { E_POISONED } else { E_IO })
        })
    }
}

/// Where a node is in its life.
///
/// Arguments: node.
/// Returns: QUORATE_STATE_...; 0 for NULL, and in a forked child.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_state(node: *const quorate_node) -> u32 {
    if EventLoop::was_forked() {
        return 0;
    }
    // SAFETY: NULL or a live node, by the contract of the function.
    let Some(node) = (unsafe { node.as_ref() }) else { return 0 };
    entry_or(Site::NodeState, STATE_POISONED, || {
        if node.is_poisoned() { STATE_POISONED } else { node.state.load(Ordering::Acquire) }
    })
}

/// Reads a figure of the node's store. It is as of a second ago or, while nothing happens, of the last turn.
///
/// Arguments: node; which: QUORATE_FIGURE_...; value: receives it.
/// Returns: OK; E_NULL; E_UNSUPPORTED for a figure that is not known; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_figure(
    node: *const quorate_node,
    which: u32,
    value: *mut u64,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(value, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::NodeFigure, node, |node| {
            if value.is_null() {
                return Err(E_NULL);
            }
            let (figure, _, _) = FIGURES.get(which as usize).ok_or(E_UNSUPPORTED)?;
            write_if(value, node.handle.figure(*figure));
            Ok(OK)
        })
    }
}

/// Frees a node, stopping it at once if it runs. NULL is allowed. In a forked child nothing that is
/// shared with the parent is touched; the child's copy of the memory stays with the child. From a hook it does
/// nothing: the node is still to be freed.
///
/// Arguments: node: not used afterwards.
/// Returns: nothing.
/// Thread class: D. Blocks: yes, for a disk sync. Owner: the library takes it. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_free(node: *mut quorate_node) {
    if node.is_null() || EventLoop::was_forked() {
        // Dropping a loop writes to eventfds and removes socket files that are the parent's.
        return;
    }
    if is_in_hook() {
        // The loop would wait for the hook, and this for the loop.
        return;
    }
    // SAFETY: not NULL, so made by Box::into_raw in this file and not freed, by the contract.
    let node = unsafe { Box::from_raw(node) };
    // A caught panic has nobody to be told to; what it held stays in the process.
    let _ = caught(Site::NodeFree, || ());
    let _ = caught(Site::LoopThread, move || {
        let mut driver = core::mem::replace(
            &mut *node.driver.lock().unwrap_or_else(PoisonError::into_inner),
            Driver::Gone,
        );
        if !matches!(driver, Driver::Gone) {
            node.end(&mut driver, Duration::ZERO);
        }
    });
}

/// The status of a call that only a live process may make; for functions that return a number.
pub(super) fn refuses(node: Option<&quorate_node>) -> Option<quorate_status> {
    if EventLoop::was_forked() {
        return Some(E_FORKED);
    }
    if is_in_hook() {
        return Some(E_REENTRANT);
    }
    if node.is_none() { Some(E_NULL) } else { None }
}
