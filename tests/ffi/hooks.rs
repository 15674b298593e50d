//! What a host is asked and told by functions of its own: lines of the log, and what time it is.

use core::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate::ffi::clock::*;
use quorate::ffi::log::*;

use super::*;

const INFO: u32 = 3;

/// Every pointer of these functions that may not be NULL.
pub fn nulls(check: &mut impl FnMut(&'static str, quorate_status), o: *mut quorate_options) {
    let told = Told::default();
    let (user, clock) = (told.user(), told.clock());
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check(
            "quorate_options_set_log",
            quorate_options_set_log(null_mut(), 3, Some(line), user, Some(dropped)),
        );
        check("quorate_options_set_clock", quorate_options_set_clock(null_mut(), &clock));
        let none = quorate_clock { monotonic_ns: None, ..clock };
        check("quorate_options_set_clock", quorate_options_set_clock(o, &none));
        let none = quorate_clock { wall_ms: None, ..clock };
        check("quorate_options_set_clock", quorate_options_set_clock(o, &none));
    }
    assert_eq!(told.drops.load(Ordering::SeqCst), 4, "each that failed let go");
}

/// What hooks were told, and what they say that the time is.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<(u32, String)>>,
    drops: AtomicU64,
    nanos: AtomicU64,
    millis: AtomicU64,
}

impl Told {
    fn user(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    fn clock(&self) -> quorate_clock {
        quorate_clock {
            struct_size: size_of::<quorate_clock>() as u32,
            zero: 0,
            user: self.user(),
            monotonic_ns: Some(nanos),
            wall_ms: Some(millis),
            drop: Some(dropped),
            reserved: [0; 2],
        }
    }

    fn set(&self, nanos: u64, millis: u64) {
        self.nanos.store(nanos, Ordering::SeqCst);
        self.millis.store(millis, Ordering::SeqCst);
    }

    /// How many lines of exactly this level name this, and how many lines of all levels there are.
    fn lines(&self, level: u32, text: &str) -> (usize, usize) {
        let lines = self.lines.lock().unwrap();
        (lines.iter().filter(|line| line.0 == level && line.1.contains(text)).count(), lines.len())
    }
}

unsafe fn told<'a>(user: *mut c_void) -> &'a Told {
    // SAFETY: the tests keep it until the drop.
    unsafe { &*user.cast::<Told>() }
}

unsafe extern "C" fn line(user: *mut c_void, level: u32, target: quorate_bytes, text: quorate_bytes) {
    // SAFETY: bytes of the call.
    let bytes = |bytes: quorate_bytes| unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) };
    let line = [bytes(target), b": ", bytes(text)].concat();
    // SAFETY: as above. Whoever is called twice at one time does not get the lock.
    let mut lines = unsafe { told(user) }.lines.try_lock().expect("one at a time");
    lines.push((level, String::from_utf8(line).expect("UTF-8")));
}

unsafe extern "C" fn dropped(user: *mut c_void) {
    // SAFETY: as above.
    unsafe { told(user) }.drops.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn nanos(user: *mut c_void) -> u64 {
    // SAFETY: as above.
    unsafe { told(user) }.nanos.load(Ordering::SeqCst)
}

unsafe extern "C" fn millis(user: *mut c_void) -> u64 {
    // SAFETY: as above.
    unsafe { told(user) }.millis.load(Ordering::SeqCst)
}

/// A node of these options, which are freed.
unsafe fn opened(o: *mut quorate_options) -> Node {
    let mut node = null_mut();
    // SAFETY: live options and a place for the result.
    unsafe {
        assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
        quorate_options_free(o);
    }
    Node(node)
}

#[test]
fn a_host_is_told_the_lines_that_it_wants() {
    for (level, wants_info) in [(INFO, true), (2, false)] {
        let told = Told::default();
        let o = options();
        // SAFETY: live options and nodes.
        unsafe {
            assert_eq!(quorate_options_set_log(o, level, Some(line), told.user(), Some(dropped)), OK);
            let node = opened(o);
            assert_eq!(quorate_node_start(node.0, null_mut()), OK);
            // A warning, on the library's thread.
            assert_eq!(quorate_node_isolate(node.0, 1), OK);
            while told.lines(2, "node: cut off from all others").0 == 0 {
                std::thread::yield_now();
            }
            assert_eq!(told.drops.load(Ordering::SeqCst), 0, "the node needs it");
            assert_eq!(quorate_node_stop(node.0, 0), OK);
            assert_eq!(told.lines(INFO, "node: stopping").0, usize::from(wants_info));
        }
        assert_eq!(told.drops.load(Ordering::SeqCst), 1);
        assert!(told.lines.lock().unwrap().iter().all(|line| line.0 <= level));
    }
}

#[test]
fn a_log_of_no_level_is_refused_and_one_can_be_taken_away() {
    let (told, o) = (Told::default(), options());
    let dropped_so_far = || told.drops.load(Ordering::SeqCst);
    // SAFETY: live options.
    unsafe {
        for level in [0, 6, u32::MAX] {
            let set = quorate_options_set_log(o, level, Some(line), told.user(), Some(dropped));
            assert_eq!(set, E_ARG, "{level}");
        }
        assert_eq!(dropped_so_far(), 3);
        assert_eq!(quorate_options_set_log(o, 5, Some(line), told.user(), Some(dropped)), OK);
        assert_eq!(quorate_options_set_log(o, 5, None, null_mut(), None), OK);
        assert_eq!(dropped_so_far(), 4);
        assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_HOST), OK);
        let node = opened(o);
        assert_eq!(quorate_node_stop(node.0, 0), OK);
    }
    assert_eq!(told.lines(1, "").1, 0);
}

/// Two members that have met, on one clock, of which the second is stepped no more: a write waits for it.
fn pair_on_a_clock(told: &Told, begin: u64) -> [Node; 2] {
    told.set(begin, WALL_MS);
    let open = |name| {
        let o = options();
        // SAFETY: live options.
        unsafe {
            assert_eq!(quorate_options_set_clock(o, &told.clock()), OK);
            assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_HOST), OK);
            assert_eq!(quorate_options_set_bytes(o, 65, bytes(name)), OK);
            assert_eq!(quorate_options_set_bytes(o, 96, bytes("A,B")), OK);
            opened(o)
        }
    };
    let nodes = ["A", "B"].map(open);
    introduce(&nodes, &["A", "B"]);
    let mut ends = Vec::new();
    while ends.last().is_none_or(|end: &(u64, quorate_status, u32)| end.1 != OK) {
        assert_eq!(nodes[0].put(1), OK);
        while nodes[0].reap_into(&mut ends) == 0 {
            told.nanos.fetch_add(1_000_000, Ordering::SeqCst);
            nodes.iter().for_each(|node| step_on(node, told));
        }
    }
    nodes
}

fn step_on(node: &Node, told: &Told) {
    let (nanos, millis) = (told.nanos.load(Ordering::SeqCst), told.millis.load(Ordering::SeqCst));
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_step(node.0, nanos, millis, 0, null_mut()) }, OK);
}

/// What waits for a member ends by the host's clock, however that compares with the machine's.
#[test]
fn deadlines_are_those_of_the_hosts_clock() {
    let told = Told::default();
    let [node, _silent] = pair_on_a_clock(&told, 5);
    let begin = told.nanos.load(Ordering::SeqCst);
    assert_eq!(node.put(2), OK);
    step_on(&node, &told);
    let mut ends = node.reap();
    while ends.is_empty() {
        // SAFETY: a live node.
        let next = unsafe { quorate_node_deadline(node.0) };
        assert!(next == 0 || (begin..=begin + 5_000_000_000).contains(&next), "{next} is of another clock");
        told.set(next.max(told.nanos.load(Ordering::SeqCst)), WALL_MS);
        step_on(&node, &told);
        ends = node.reap();
    }
    assert_eq!((ends[0].0, ends.len()), (2, 1));
    let took = told.nanos.load(Ordering::SeqCst) - begin;
    assert!((1_000_000_000..1_100_000_000).contains(&took), "it took {took} ns of a timeout of one second");
}

#[test]
fn a_clock_that_goes_back_stands_still_and_one_that_stands_still_is_no_matter_to_a_stop() {
    const BEGIN: u64 = 10_000_000_000;
    let told = Told::default();
    let [node, silent] = pair_on_a_clock(&told, BEGIN);
    told.set(1_000, WALL_MS);
    assert_eq!(node.put(2), OK);
    step_on(&node, &told);
    assert_eq!(node.reap(), [], "it waits for the other one");
    // SAFETY: a live node.
    let deadline = unsafe { quorate_node_deadline(node.0) };
    assert!(deadline == 0 || deadline > BEGIN, "it is due in the past: {deadline}");
    told.set(BEGIN / 2, WALL_MS);
    step_on(&node, &told);
    assert_eq!(node.reap(), [], "no time has passed");
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 20_000_000) }, OK);
    assert_eq!(node.reap().len(), 1);
    drop((node, silent));
    assert_eq!(told.drops.load(Ordering::SeqCst), 2);
}

/// The time of a value is that of the host's wall clock, from submission to expiry.
#[test]
fn values_expire_by_the_hosts_wall_clock() {
    let (told, o) = (Told::default(), options());
    told.set(5, 1_000);
    // SAFETY: live options and a live node; numbers, for which zero is a value.
    unsafe {
        assert_eq!(quorate_options_set_clock(o, &told.clock()), OK);
        assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_PACKET), OK);
        let node = opened(o);
        let size = size_of::<quorate_call>() as u32;
        let call = quorate_call { struct_size: size, ttl_ms: 500, ..zeroed() };
        assert_eq!(quorate_put(node.0, bytes("key"), bytes("value"), NONE, &call, 1), OK);
        step_on(&node, &told);
        assert_eq!(node.reap(), [(1, OK, 0)]);
        for (millis, status) in [(1_499, OK), (1_500, E_NOTFOUND)] {
            told.set(5, millis);
            assert_eq!(quorate_get(node.0, bytes("key"), null(), 2), OK);
            step_on(&node, &told);
            assert_eq!(node.reap(), [(2, status, 0)], "at {millis}");
        }
    }
}

/// The descriptor is readable when the host's clock comes to the deadline, and not all the time, as it would be if that
/// were taken for a point of the machine's, where it is long over.
#[test]
fn the_descriptor_wakes_by_the_hosts_clock() {
    let told = Told::default();
    let [node, _silent] = pair_on_a_clock(&told, 5);
    let (begin, since) = (told.nanos.load(Ordering::SeqCst), std::time::Instant::now());
    let mut turns = 0;
    assert_eq!(node.put(2), OK);
    while node.reap().is_empty() {
        // SAFETY: a live node, and one descriptor.
        let ready = unsafe {
            let mut fd = libc::pollfd { fd: quorate_node_fd(node.0), events: libc::POLLIN, revents: 0 };
            libc::poll(&mut fd, 1, 20_000)
        };
        assert_eq!(ready, 1, "it sleeps over its deadline");
        told.set(begin + since.elapsed().as_nanos() as u64, WALL_MS);
        step_on(&node, &told);
        turns += 1;
        assert!(turns < 1_000, "it does not sleep");
    }
}

#[test]
fn a_clock_is_for_those_who_step() {
    let (told, o) = (Told::default(), options());
    let (clock, mut node) = (told.clock(), null_mut());
    // SAFETY: live options, clocks that are as long as they say, and a place for the result.
    unsafe {
        assert_eq!(quorate_options_set_clock(o, &quorate_clock { struct_size: 3, ..clock }), E_ARG);
        assert_eq!(quorate_options_set_clock(o, &quorate_clock { zero: 1, ..clock }), E_UNSUPPORTED);
        assert_eq!(quorate_options_set_clock(o, &quorate_clock { reserved: [0, 1], ..clock }), E_UNSUPPORTED);
        assert_eq!(quorate_options_set_clock(o, &clock), OK);
        assert_eq!(quorate_node_open(o, &mut node, null_mut()), E_ARG);
        assert_eq!(quorate_options_set_clock(o, null()), OK);
        assert_eq!(told.drops.load(Ordering::SeqCst), 3, "all but the one that could not be read");
        assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
        quorate_node_free(node);
        quorate_options_free(o);
    }
}
