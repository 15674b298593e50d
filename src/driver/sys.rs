//! The system calls that std and mio do not offer. Each function does one thing, retries when a signal
//! interrupts it, and turns errno into an [`io::Error`]. All descriptors are close-on-exec.

use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// Calls `call` until it was not interrupted by a signal; a negative result is an error.
fn retried(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(result) => return Ok(result),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Takes ownership of a descriptor that a call returned.
fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Nanoseconds of CLOCK_MONOTONIC, which is also the clock of [`TimerFd`].
pub(super) fn monotonic_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write a timespec to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(result, 0, "every Linux has a monotonic clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How often this thread had to give its CPU to somebody else although it had work.
pub(super) fn involuntary_switches() -> u64 {
    // SAFETY: an rusage of zeroes is a valid one, and getrusage only writes to it.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    // SAFETY: `usage` is a valid place to write an rusage to.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    if result == 0 { usage.ru_nivcsw as u64 } else { 0 }
}

/// Random bytes of the kernel.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = &mut bytes[filled..];
        // SAFETY: the pointer and length are those of a slice that is written to and nothing else.
        filled += retried(|| unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) })?;
    }
    Ok(bytes)
}

/// Sends bytes on a connected socket. A peer that is gone is an error, never a signal.
pub(super) fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a msghdr of zeroes is a valid one without address, parts and control data.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    // SAFETY: the message points to one part, the part to `bytes`, and the kernel only reads them.
    retried(|| unsafe { libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL) })
}

/// Sets the permissions that a Unix socket's file will have when it is bound: before the file exists, so
/// that there is no moment in which others may connect. The process's umask still takes bits away.
pub(super) fn set_mode(socket: RawFd, mode: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    retried(|| unsafe { libc::fchmod(socket, mode) } as isize).map(drop)
}

/// How many descriptors this process may have open.
pub(super) fn open_files_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place to write an rlimit to.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if result == 0 { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 1_024 }
}

/// Waits until a descriptor is readable, at most for `timeout`; `None` is for ever.
pub(super) fn wait_readable(fd: RawFd, timeout: Option<Duration>) -> io::Result<bool> {
    let deadline = timeout.map(|timeout| monotonic_nanos().saturating_add(timeout.as_nanos() as u64));
    loop {
        let left = match deadline {
            None => -1,
            // Rounded up, so that a short rest is slept and not spun away.
            Some(deadline) => {
                let left = deadline.saturating_sub(monotonic_nanos()).div_ceil(1_000_000);
                libc::c_int::try_from(left).unwrap_or(libc::c_int::MAX)
            }
        };
        let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, valid for reading and writing.
        match unsafe { libc::poll(&mut entry, 1, left) } {
            0 => return Ok(false),
            1.. => return Ok(true),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// A counter in the kernel that is readable while it is not 0.
#[derive(Debug)]
pub(super) struct EventFd(OwnedFd);

impl EventFd {
    pub(super) fn new() -> io::Result<EventFd> {
        // SAFETY: takes numbers only.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(EventFd)
    }

    /// Makes it readable. Async-signal-safe.
    pub(super) fn raise(&self) {
        let one = 1u64;
        // SAFETY: reads the 8 bytes of `one`. The only failure is a full counter, which is readable too.
        let _ = retried(|| unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) });
    }

    /// Makes it quiet.
    pub(super) fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: writes 8 bytes to `count`. The only failure is an empty counter, which is quiet too.
        let _ = retried(|| unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) });
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A descriptor that is readable from a point of CLOCK_MONOTONIC on.
#[derive(Debug)]
pub(super) struct TimerFd {
    fd: OwnedFd,
    armed: u64,
}

impl TimerFd {
    pub(super) fn new() -> io::Result<TimerFd> {
        // SAFETY: takes numbers only.
        let fd = owned(unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
        })?;
        Ok(TimerFd { fd, armed: u64::MAX })
    }

    /// Sets the point; `u64::MAX` is never. Setting it also makes the descriptor quiet until then.
    pub(super) fn arm(&mut self, nanos: u64) -> io::Result<()> {
        if self.armed == nanos {
            return Ok(());
        }
        self.armed = nanos;
        // All zeroes would disarm, so the origin of the clock becomes its first nanosecond.
        let nanos = if nanos == u64::MAX { 0 } else { nanos.max(1) };
        let value = libc::timespec {
            tv_sec: (nanos / 1_000_000_000) as _,
            tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
        };
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = libc::itimerspec { it_interval: zero, it_value: value };
        let (fd, absolute) = (self.fd.as_raw_fd(), libc::TFD_TIMER_ABSTIME);
        // SAFETY: reads `setting`; the old setting is not asked for.
        retried(|| unsafe { libc::timerfd_settime(fd, absolute, &setting, core::ptr::null_mut()) } as isize)
            .map(drop)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// An epoll for a host to poll: level triggered, and only ever looked at from outside.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        // SAFETY: takes numbers only.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Epoll)
    }

    /// Makes this one readable whenever `fd` is.
    pub(super) fn add(&self, fd: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        // SAFETY: `event` is valid for the call, which copies it.
        let call = || unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        retried({
            let mut call = call;
            move || call() as isize
        })
        .map(drop)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Runs `body` with every signal blocked on this thread, so that a thread it starts begins with them
/// blocked: signals belong to the program, not to us.
pub(super) fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: a sigset of zeroes may be written by sigfillset, the first use of each.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { core::mem::zeroed() };
    // SAFETY: both sets are valid for the calls.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
    }
    let result = body();
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut()) };
    result
}

/// Address of the page that a fork wipes; 0 if the kernel gave none.
static FORK_PAGE: OnceLock<usize> = OnceLock::new();

/// Maps the page that tells a forked child, once for the process.
pub(super) fn guard_against_fork() {
    FORK_PAGE.get_or_init(|| {
        let (size, flags) = (4_096, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new private mapping at an address of the kernel's choice overlaps nothing.
        let page = unsafe {
            libc::mmap(core::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if page == libc::MAP_FAILED {
            return 0;
        }
        // SAFETY: the page is ours and whole; its first byte is written before anybody reads it.
        unsafe {
            if libc::madvise(page, size, libc::MADV_WIPEONFORK) != 0 {
                libc::munmap(page, size);
                return 0;
            }
            page.cast::<u8>().write(1);
        }
        page as usize
    });
}

/// Whether this process is a child that was forked after a node was opened in its parent.
pub(super) fn was_forked() -> bool {
    match FORK_PAGE.get() {
        None | Some(0) => false,
        // SAFETY: the page is mapped for the life of the process and nobody writes it any more.
        Some(&page) => unsafe { core::ptr::with_exposed_provenance::<u8>(page).read_volatile() == 0 },
    }
}

/// The set of these signals.
fn signal_set(signals: &[i32]) -> io::Result<libc::sigset_t> {
    // SAFETY: a signal set is numbers; sigemptyset gives them their meaning.
    let mut set: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: `set` is a valid place to write a signal set to.
    unsafe { libc::sigemptyset(&mut set) };
    for &signal in signals {
        // SAFETY: `set` was initialised above; a number that is no signal is an error.
        if unsafe { libc::sigaddset(&mut set, signal) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(set)
}

/// Blocks signals in this thread and in those it starts from now on.
pub(super) fn block_signals(signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals)?;
    // SAFETY: the set is a valid one and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Waits for one of these signals, which are blocked, and takes it.
pub(super) fn wait_for_signal(signals: &[i32]) -> io::Result<i32> {
    let set = signal_set(signals)?;
    let mut taken = 0;
    loop {
        // SAFETY: the set is a valid one and `taken` a valid place for a number.
        match unsafe { libc::sigwait(&set, &mut taken) } {
            0 => return Ok(taken),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Installs the handler of [`on_bus_error`].
pub(super) fn handle_bus_errors() -> io::Result<()> {
    // SAFETY: a sigaction of zeroes is a valid one with the default action, an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = on_bus_error;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler calls nothing but functions that are safe in a signal handler.
    match unsafe { libc::sigaction(libc::SIGBUS, &action, core::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Says what SIGBUS means here and ends the process with EX_IOERR. Nothing can be finished: the thread
/// that was reading cannot go on.
extern "C" fn on_bus_error(_signal: libc::c_int) {
    const MESSAGE: &[u8] =
        b"quorate: SIGBUS: a mapped log segment cannot be read: its disk failed, or the file was cut short\n";
    // SAFETY: write takes a pointer and length of a static, and is safe in a signal handler.
    unsafe { libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len()) };
    // SAFETY: _exit is safe in a signal handler and does not return.
    unsafe { libc::_exit(74) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn an_event_is_readable_until_cleared() {
        let event = EventFd::new().unwrap();
        let outer = Epoll::new().unwrap();
        outer.add(event.fd()).unwrap();
        let readable = || wait_readable(outer.fd(), Some(Duration::ZERO)).unwrap();
        assert!(!readable());
        event.raise();
        event.raise();
        assert!(readable());
        assert!(readable(), "level triggered");
        event.clear();
        assert!(!readable());
    }

    #[test]
    fn a_timer_is_readable_once_its_point_has_passed() {
        let mut timer = TimerFd::new().unwrap();
        let readable = |timer: &TimerFd| wait_readable(timer.fd(), Some(Duration::ZERO)).unwrap();
        assert!(!readable(&timer));
        timer.arm(0).unwrap();
        assert!(wait_readable(timer.fd(), None).unwrap());
        timer.arm(u64::MAX).unwrap();
        assert!(!readable(&timer));
    }

    #[test]
    fn sending_to_a_closed_socket_is_an_error_and_no_signal() {
        let (left, right) = UnixStream::pair().unwrap();
        assert_eq!(send(left.as_raw_fd(), b"abc").unwrap(), 3);
        drop(right);
        let error = send(left.as_raw_fd(), b"abc").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_parent_is_no_forked_child() {
        guard_against_fork();
        assert!(!was_forked());
    }
}
