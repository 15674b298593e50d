//! A panic at the entry of each function of the C interface, and on the library's thread: the caller gets
//! a code, the node is poisoned, what was in flight ends, freeing works, and nothing is printed. And each of these
//! functions called back from a hook.
//!
//! One test, as what is armed is armed for the whole process.
#![cfg(feature = "test-hooks")]

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use quorate::ffi::cancel::*;
use quorate::ffi::clock::*;
use quorate::ffi::cluster::*;
use quorate::ffi::context::*;
use quorate::ffi::counters::*;
use quorate::ffi::disk::*;
use quorate::ffi::feed::*;
use quorate::ffi::hooks::{quorate_test_panic, quorate_test_turn};
use quorate::ffi::host_loop::*;
use quorate::ffi::log::*;
use quorate::ffi::merge::quorate_merge_register;
use quorate::ffi::node::*;
use quorate::ffi::options::*;
use quorate::ffi::packet::*;
use quorate::ffi::plain::*;
use quorate::ffi::requests::*;
use quorate::ffi::scan::*;
use quorate::ffi::sets::*;
use quorate::ffi::snapshot::*;
use quorate::ffi::stats::*;
use quorate::ffi::status::*;

const NONE: quorate_bytes = quorate_bytes::EMPTY;
const SIZE: usize = size_of::<quorate_completion>();
const STATE_POISONED: u32 = 5;
/// The row after the last function: the library's thread.
const LOOP_THREAD: u32 = 69;

static PRINTED: AtomicU32 = AtomicU32::new(0);

fn bytes(text: &str) -> quorate_bytes {
    quorate_bytes { data: text.as_ptr(), len: text.len() }
}

fn options(mode: u64) -> *mut quorate_options {
    let mut options = null_mut();
    // SAFETY: valid places for the results.
    unsafe {
        assert_eq!(quorate_options_new(1, &mut options), OK);
        assert_eq!(quorate_options_set_u64(options, 1, mode), OK);
    }
    options
}

fn open(mode: u64) -> *mut quorate_node {
    let (options, mut node) = (options(mode), null_mut());
    // SAFETY: valid options and a place for the result.
    unsafe {
        assert_eq!(quorate_node_open(options, &mut node, null_mut()), OK);
        quorate_options_free(options);
    }
    node
}

unsafe extern "C" fn merge(
    _: *mut c_void,
    _: quorate_bytes,
    _: *const quorate_bytes,
    _: usize,
    _: *mut u8,
    _: usize,
    _: *mut usize,
) -> i32 {
    1
}

/// An order to look at the cluster.
fn look() -> quorate_order {
    let struct_size = size_of::<quorate_order>() as u32;
    quorate_order { struct_size, kind: 1, name: NONE, other: NONE, number: 0, reserved: [0; 2] }
}

/// Calls one function with good arguments; `None` if it has no status to give.
/// Long because it is a table, one row for each function.
unsafe fn call(name: &str, node: *mut quorate_node, o: *mut quorate_options) -> Option<quorate_status> {
    let (k, v) = (bytes("k"), bytes("v"));
    let (mut out, mut opened, mut count) = (null_mut(), null_mut(), 0_usize);
    let mut text = [0; 64];
    // SAFETY: a live node, live options, and valid places for the results.
    unsafe {
        let mut end: quorate_completion = zeroed();
        let mut figure = 0;
        let mut op: quorate_op = zeroed();
        (op.kind, op.key) = (1, k);
        Some(match name {
            "quorate_options_new" => quorate_options_new(1, &mut out),
            "quorate_options_set_u64" => quorate_options_set_u64(o, 2, 1),
            "quorate_options_set_bytes" => quorate_options_set_bytes(o, 65, k),
            "quorate_options_add_bytes" => quorate_options_add_bytes(o, 96, k),
            "quorate_options_parse" => quorate_options_parse(o, bytes("n"), bytes("1"), null_mut()),
            "quorate_options_clone" => quorate_options_clone(o, &mut out),
            "quorate_node_open" => quorate_node_open(o, &mut opened, null_mut()),
            "quorate_node_address" => quorate_node_address(node, 0, text.as_mut_ptr(), 64, &mut count),
            "quorate_node_meet" => quorate_node_meet(node, bytes("A"), bytes("127.0.0.1:1")),
            "quorate_node_isolate" => quorate_node_isolate(node, 1),
            "quorate_node_start" => quorate_node_start(node, null_mut()),
            "quorate_node_stop" => quorate_node_stop(node, 0),
            "quorate_get" => quorate_get(node, k, null(), 1),
            "quorate_put" => quorate_put(node, k, v, NONE, null(), 1),
            "quorate_delete" => quorate_delete(node, k, NONE, null(), 1),
            "quorate_submit" => quorate_submit(node, &op, size_of_val(&op), 1, &mut count),
            "quorate_reap" => quorate_reap(node, &mut end, SIZE, 1, &mut count),
            "quorate_completion_fd" => quorate_completion_fd(node),
            "quorate_wait" => quorate_wait(node, 0),
            "quorate_get_sync" => quorate_get_sync(node, k, null(), &mut end, SIZE),
            "quorate_put_sync" => quorate_put_sync(node, k, v, NONE, null(), &mut end, SIZE),
            "quorate_delete_sync" => quorate_delete_sync(node, k, NONE, null(), &mut end, SIZE),
            "quorate_add" => quorate_add(node, k, 1, 0, null(), 1),
            "quorate_put_number" => quorate_put_number(node, k, 1, v, null(), 1),
            "quorate_add_sync" => quorate_add_sync(node, k, 1, 0, null(), &mut end, SIZE),
            "quorate_put_number_sync" => quorate_put_number_sync(node, k, 1, v, null(), &mut end, SIZE),
            "quorate_set_add" => quorate_set_add(node, k, &v, 1, null(), 1),
            "quorate_set_remove" => quorate_set_remove(node, k, &v, 1, null(), 1),
            "quorate_set_add_sync" => quorate_set_add_sync(node, k, &v, 1, null(), &mut end, SIZE),
            "quorate_set_remove_sync" => quorate_set_remove_sync(node, k, &v, 1, null(), &mut end, SIZE),
            "quorate_merge_register" => quorate_merge_register(node, 0, Some(merge), null_mut(), None),
            "quorate_scan" => quorate_scan(node, NONE, k, NONE, 1, null(), 1),
            "quorate_scan_sync" => quorate_scan_sync(node, NONE, k, NONE, 1, null(), &mut end, SIZE),
            "quorate_watch" => quorate_watch(node, 0, NONE, 1, null(), 1),
            "quorate_unwatch" => quorate_unwatch(node, 1),
            "quorate_members_snapshot" => quorate_members_snapshot(node, &mut null_mut()),
            "quorate_members_list" => quorate_members_list(null(), &mut zeroed(), SIZE, 1, &mut count),
            "quorate_key_owners" => quorate_key_owners(null(), 0, k, null_mut(), null_mut(), 0, &mut count),
            "quorate_stats" => quorate_stats(node, &mut figure, 1, &mut count),
            "quorate_members_free" => {
                let (mut members, other) = (null_mut(), open(MODE_HOST));
                let armed = quorate_test_panic(0);
                let status = quorate_members_snapshot(other, &mut members);
                assert!([OK, E_REENTRANT].contains(&status), "{status}");
                quorate_test_panic(armed);
                quorate_members_free(members);
                quorate_node_free(other);
                return None;
            }
            "quorate_disk_step" => quorate_disk_step(node),
            "quorate_context_compare" => quorate_context_compare(NONE, NONE, &mut 0),
            "quorate_context_merge" => {
                quorate_context_merge(node, 0, k, &v, 0, text.as_mut_ptr().cast(), 64, &mut count)
            }
            "quorate_cancel" => quorate_cancel(node, 9),
            "quorate_result_keys" => quorate_result_keys(null(), &mut null(), &mut count),
            "quorate_result_change" => quorate_result_change(null(), 0, &mut zeroed(), SIZE),
            "quorate_node_fd" => quorate_node_fd(node),
            "quorate_node_figure" => quorate_node_figure(node, 0, &mut figure),
            "quorate_options_set_progress" => quorate_options_set_progress(o, None, null_mut(), None),
            "quorate_options_set_log" => quorate_options_set_log(o, 1, None, null_mut(), None),
            "quorate_options_set_clock" => quorate_options_set_clock(o, null()),
            "quorate_cluster_order" => quorate_cluster_order(node, &look(), 1),
            "quorate_cluster_order_sync" => quorate_cluster_order_sync(node, &look(), &mut end, SIZE),
            "quorate_result_cluster" => quorate_result_cluster(null(), &mut zeroed(), SIZE),
            "quorate_result_member" => quorate_result_member(null(), 0, &mut zeroed(), SIZE / 2),
            "quorate_result_text" => quorate_result_text(null(), 0, &mut zeroed()),
            "quorate_node_step" => quorate_node_step(node, 1, 1, 1, null_mut()),
            "quorate_net_accept" => quorate_net_accept(node, 1, 1, &mut figure),
            "quorate_net_rx" => quorate_net_rx(node, 1, &k, 1, 1, 1),
            "quorate_net_event" => quorate_net_event(node, 1, 1, 0, 1, 1),
            "quorate_net_tx" => {
                quorate_net_tx(node, &mut zeroed(), size_of::<quorate_frame>(), 1, &mut count)
            }
            "quorate_node_deadline" => {
                assert_eq!(quorate_node_deadline(node), u64::MAX);
                return None;
            }
            "quorate_node_state" => {
                assert_eq!(quorate_node_state(node), STATE_POISONED);
                return None;
            }
            "quorate_status_table" => {
                quorate_status_table(null_mut(), &mut count);
                return None;
            }
            "quorate_options_free" => {
                quorate_options_free(options(0));
                return None;
            }
            "quorate_node_free" => {
                quorate_node_free(open(MODE_HOST));
                return None;
            }
            "quorate_completions_clear" => {
                quorate_completions_clear(&mut end, SIZE, 1);
                return None;
            }
            // It has no guard: a signal handler may not catch.
            "quorate_node_wake" => {
                quorate_node_wake(node);
                assert_ne!(quorate_test_panic(0), 0, "it passed no point where a panic may be armed");
                return None;
            }
            other => panic!("{other} is listed and not tested"),
        })
    }
}

/// Whether a function is called with a node.
fn is_of_a_node(name: &str) -> bool {
    let others =
        ["quorate_members_list", "quorate_members_free", "quorate_key_owners", "quorate_context_compare"];
    !name.starts_with("quorate_options_") && !name.starts_with("quorate_result_") && !others.contains(&name)
}

/// Ends of everything in flight: statuses.
fn reap(node: *mut quorate_node) -> Vec<quorate_status> {
    let (mut ends, mut n) = (Vec::new(), 0);
    loop {
        // SAFETY: a live node, a valid place for one completion.
        unsafe {
            let mut end: quorate_completion = zeroed();
            match quorate_reap(node, &mut end, SIZE, 1, &mut n) {
                OK => ends.push(end.status),
                AGAIN => std::thread::yield_now(),
                status => {
                    assert_eq!(status, E_POISONED, "a poisoned node says when the last was reaped");
                    return ends;
                }
            }
            quorate_completions_clear(&mut end, SIZE, 1);
        }
    }
}

#[test]
fn a_panic_never_leaves_and_poisons_its_node() {
    std::panic::set_hook(Box::new(|_| {
        PRINTED.fetch_add(1, Ordering::SeqCst);
    }));
    let rows = include_str!("../abi/symbols.txt").lines().filter(|line| !line.starts_with('#'));
    let mut sites = 0;
    for row in rows {
        let mut words = row.split_whitespace();
        let (site, name) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
        if site == 0 {
            continue;
        }
        sites += 1;
        let (node, o) = (open(MODE_HOST), options(MODE_HOST));
        // SAFETY: live node and options.
        unsafe {
            assert_eq!(quorate_put(node, bytes("k"), bytes("v"), NONE, null(), 9), OK);
            assert_eq!(quorate_test_panic(site), 0);
            let status = call(name, node, o);
            assert_eq!(quorate_test_panic(0), 0, "{name} did not pass its point");
            assert!(status.is_none_or(|status| status == E_PANIC), "{name}: {status:?}");
            // Those that return a descriptor or take no node of ours cannot poison it.
            let poisons = is_of_a_node(name)
                && status.is_some()
                && !["quorate_node_open", "quorate_completion_fd", "quorate_node_fd"].contains(&name);
            if poisons {
                assert_eq!(quorate_node_state(node), STATE_POISONED, "{name}");
                assert_eq!(quorate_get(node, bytes("k"), null(), 1), E_POISONED, "{name}");
                assert_eq!(reap(node), [E_POISONED], "{name}: what was in flight ends once");
                assert_eq!(quorate_node_stop(node, 0), E_POISONED, "{name}");
            }
            quorate_node_free(node);
            quorate_options_free(o);
        }
    }
    assert_eq!(sites + 1, LOOP_THREAD);
    on_the_loop_thread();
    called_back_from_a_merge_function();
    called_back_from_drop();
    called_back_from_progress();
    called_back_from_the_log_and_the_clock();
    in_the_middle_of_a_turn();
    assert_eq!(PRINTED.load(Ordering::SeqCst), 0, "a caught panic is nobody's business on stderr");
}

/// What a hook calls, and what that came to.
struct CalledBack {
    node: *mut quorate_node,
    options: *mut quorate_options,
    told: Vec<(&'static str, Option<quorate_status>)>,
}

impl CalledBack {
    /// Calls every function of the list.
    unsafe fn call_all(&mut self) {
        let names = include_str!("../abi/symbols.txt").lines().filter(|line| !line.starts_with(['#', '0']));
        for name in names.map(|row| row.split_whitespace().nth(1).unwrap_or_default()) {
            // SAFETY: live node and options.
            let status = unsafe {
                match name {
                    "quorate_node_free" => {
                        quorate_node_free(self.node);
                        None
                    }
                    "quorate_options_free" => {
                        quorate_options_free(self.options);
                        None
                    }
                    "quorate_members_free" => {
                        quorate_members_free(null_mut());
                        None
                    }
                    // Those that answer with a number tell the truth.
                    "quorate_node_state" => Some(quorate_node_state(self.node) as i32),
                    "quorate_node_deadline" => Some((quorate_node_deadline(self.node) == u64::MAX).into()),
                    "quorate_node_wake" => {
                        quorate_node_wake(self.node);
                        None
                    }
                    name => call(name, self.node, self.options),
                }
            };
            self.told.push((name, status));
        }
    }

    /// How often all were called.
    fn times(&self) -> usize {
        let listed = include_str!("../abi/symbols.txt").lines().filter(|line| !line.starts_with(['#', '0']));
        self.told.len() / listed.count()
    }

    /// Whether each was told that it is called from a hook, `times` times over, of a node in this state.
    fn judge(self, times: usize, state: i32) {
        assert_eq!(self.times(), times, "how often hooks were called");
        let without = [
            "quorate_status_table",
            "quorate_options_free",
            "quorate_node_free",
            "quorate_completions_clear",
            "quorate_members_free",
            "quorate_node_wake",
        ];
        // Those that look at what is the caller's own.
        let others =
            ["quorate_options_new", "quorate_members_list", "quorate_key_owners", "quorate_context_compare"];
        for (name, status) in self.told {
            match status {
                None => assert!(without.contains(&name), "{name}"),
                Some(status) if name == "quorate_node_state" => assert_eq!(status, state),
                Some(status) if name == "quorate_node_deadline" => assert_eq!(status, 1),
                Some(status) if others.contains(&name) || name.starts_with("quorate_result_") => {
                    assert_ne!(status, E_REENTRANT, "{name}");
                }
                Some(status) => assert_eq!(status, E_REENTRANT, "{name}"),
            }
        }
    }
}

unsafe extern "C" fn merges(
    user: *mut c_void,
    _: quorate_bytes,
    _: *const quorate_bytes,
    _: usize,
    _: *mut u8,
    _: usize,
    _: *mut usize,
) -> i32 {
    // SAFETY: what was registered, which outlives the node.
    unsafe { (*user.cast::<CalledBack>()).call_all() };
    1
}

unsafe extern "C" fn drops(user: *mut c_void) {
    // SAFETY: as above.
    unsafe { (*user.cast::<CalledBack>()).call_all() };
}

unsafe extern "C" fn progresses(user: *mut c_void, _: u64, _: u64) {
    // SAFETY: as above; the last is told most often.
    unsafe {
        let back = &mut *user.cast::<CalledBack>();
        back.told.clear();
        back.call_all();
    }
}

/// A merge function that calls every function back, on the library's thread and in a step of the host.
fn called_back_from_a_merge_function() {
    for mode in [MODE_THREAD, MODE_HOST] {
        let (node, options) = (open(mode), options(mode));
        let mut back = CalledBack { node, options, told: Vec::new() };
        // SAFETY: live node and options, and valid places for the results.
        unsafe {
            let user = (&raw mut back).cast();
            assert_eq!(quorate_merge_register(node, 0, Some(merges), user, None), OK);
            let view = quorate_call { struct_size: size_of::<quorate_call>() as u32, view: 16, ..zeroed() };
            for tag in 0..2 {
                assert_eq!(quorate_put(node, bytes("k"), bytes("v"), NONE, null(), tag), OK);
            }
            assert_eq!(quorate_get(node, bytes("k"), &view, 2), OK);
            if mode == MODE_THREAD {
                assert_eq!(quorate_node_start(node, null_mut()), OK);
            }
            let (mut end, mut n, mut ends) = (zeroed::<quorate_completion>(), 0, Vec::new());
            while ends.len() < 3 {
                if mode == MODE_HOST {
                    assert_eq!(quorate_node_step(node, 1, 1, 0, null_mut()), OK);
                }
                if quorate_reap(node, &mut end, SIZE, 1, &mut n) == OK {
                    ends.push((end.tag, end.status));
                    quorate_completions_clear(&mut end, SIZE, 1);
                }
            }
            assert_eq!(ends, [(0, OK), (1, OK), (2, OK)], "the node goes on");
            assert_eq!(quorate_node_stop(node, 0), OK);
            quorate_node_free(node);
            quorate_options_free(options);
        }
        back.judge(1, 2);
    }
}

unsafe extern "C" fn logs(user: *mut c_void, _: u32, _: quorate_bytes, _: quorate_bytes) {
    // SAFETY: as above.
    unsafe { (*user.cast::<CalledBack>()).call_all() };
}

unsafe extern "C" fn tells_time(user: *mut c_void) -> u64 {
    // SAFETY: as above.
    unsafe { (*user.cast::<CalledBack>()).call_all() };
    1
}

unsafe extern "C" fn tells_wall_time(_: *mut c_void) -> u64 {
    1
}

/// A line of the log, and a question for the time, in which every function is called back.
fn called_back_from_the_log_and_the_clock() {
    let (with_log, with_clock, other) = (options(MODE_HOST), options(MODE_HOST), open(MODE_HOST));
    let mut logging = CalledBack { node: other, options: with_log, told: Vec::new() };
    let mut asking = CalledBack { node: other, options: with_clock, told: Vec::new() };
    // SAFETY: live nodes and options, and a clock that is as long as it says.
    unsafe {
        let (mut node, user) = (null_mut(), (&raw mut logging).cast());
        assert_eq!(quorate_options_set_log(with_log, 3, Some(logs), user, None), OK);
        assert_eq!(quorate_node_open(with_log, &mut node, null_mut()), OK);
        // Of its stopping.
        quorate_node_free(node);
        quorate_options_free(with_log);
        let clock = quorate_clock {
            struct_size: size_of::<quorate_clock>() as u32,
            user: (&raw mut asking).cast(),
            monotonic_ns: Some(tells_time),
            wall_ms: Some(tells_wall_time),
            ..zeroed()
        };
        assert_eq!(quorate_options_set_clock(with_clock, &clock), OK);
        assert_eq!(quorate_node_open(with_clock, &mut node, null_mut()), OK);
        quorate_node_free(node);
        quorate_options_free(with_clock);
        quorate_node_free(other);
    }
    logging.judge(1, 1);
    let times = asking.times();
    assert!(times > 0, "the opening asked for no time");
    asking.judge(times, 1);
}

/// A `drop` that calls every function back: of a function that another one replaces, of a node that goes, of options.
fn called_back_from_drop() {
    let (node, options, other) = (open(MODE_HOST), options(MODE_HOST), open(MODE_HOST));
    let mut back = CalledBack { node: other, options, told: Vec::new() };
    // SAFETY: live nodes and options.
    unsafe {
        let user: *mut c_void = (&raw mut back).cast();
        assert_eq!(quorate_merge_register(other, 0, Some(merge), user, Some(drops)), OK);
        assert_eq!(quorate_merge_register(other, 0, Some(merge), null_mut(), None), OK);
        assert_eq!(quorate_merge_register(node, 0, Some(merge), user, Some(drops)), OK);
        quorate_node_free(node);
        assert_eq!(quorate_options_set_progress(options, Some(progresses), user, Some(drops)), OK);
        assert_eq!(quorate_options_set_progress(options, None, null_mut(), None), OK);
        assert_eq!(quorate_options_set_progress(options, None, user, Some(drops)), OK);
        assert_eq!(quorate_get(other, bytes("k"), null(), 1), OK, "outside of a hook it goes on");
        quorate_node_free(other);
        quorate_options_free(options);
    }
    back.judge(4, 1);
}

/// What is told of the reading of a log calls every function back, with the options that are being opened.
fn called_back_from_progress() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("data");
    let (options, other, mut node) = (options(MODE_HOST), open(MODE_HOST), null_mut());
    let mut back = CalledBack { node: other, options, told: Vec::new() };
    // SAFETY: live nodes and options, and places for the results.
    unsafe {
        assert_eq!(quorate_options_set_bytes(options, 64, bytes(path.to_str().expect("UTF-8"))), OK);
        assert_eq!(quorate_node_open(options, &mut node, null_mut()), OK);
        assert_eq!(quorate_put(node, bytes("k"), bytes("v"), NONE, null(), 1), OK);
        assert_eq!(quorate_node_step(node, 1, 1, 0, null_mut()), OK);
        quorate_node_free(node);
        let user = (&raw mut back).cast();
        assert_eq!(quorate_options_set_progress(options, Some(progresses), user, None), OK);
        assert_eq!(quorate_node_open(options, &mut node, null_mut()), OK);
        quorate_node_free(node);
        quorate_node_free(other);
        quorate_options_free(options);
    }
    back.judge(1, 1);
}

/// The library's own thread panics as it starts, with a request in flight.
fn on_the_loop_thread() {
    let node = open(MODE_THREAD);
    // SAFETY: a live node.
    unsafe {
        for tag in 0..3 {
            assert_eq!(quorate_put(node, bytes("k"), bytes("v"), NONE, null(), tag), OK);
        }
        assert_eq!(quorate_test_panic(LOOP_THREAD), 0);
        assert_eq!(quorate_node_start(node, null_mut()), OK);
        assert_eq!(reap(node), [E_POISONED; 3]);
        assert_eq!(quorate_node_state(node), STATE_POISONED);
        assert_eq!(quorate_node_stop(node, 0), E_POISONED);
        quorate_node_free(node);
    }
}

/// A turn panics while a request waits for a member that does not answer: it ends once, as the node does.
fn in_the_middle_of_a_turn() {
    let open = |name: &str| {
        let (o, mut node) = (options(MODE_HOST), null_mut());
        // SAFETY: valid options and a place for the result.
        unsafe {
            assert_eq!(quorate_options_set_bytes(o, 65, bytes(name)), OK);
            assert_eq!(quorate_options_set_bytes(o, 96, bytes("A,B")), OK);
            assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
            quorate_options_free(o);
        }
        node
    };
    let (node, other) = (open("A"), open("B"));
    let (mut text, mut len) = ([0_u8; 64], 0);
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut step = |node| {
        // SAFETY: a place for a timespec, and a live node.
        unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
            let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
            quorate_node_step(node, now_ns, 1_700_000_000_000, 0, null_mut())
        }
    };
    // SAFETY: live nodes, and valid places for the results.
    unsafe {
        for (name, member) in [("A", node), ("B", other)] {
            assert_eq!(quorate_node_address(member, 0, text.as_mut_ptr().cast(), 64, &mut len), OK);
            let address = quorate_bytes { data: text.as_ptr(), len };
            assert_eq!(quorate_node_meet(node, bytes(name), address), OK);
            assert_eq!(quorate_node_meet(other, bytes(name), address), OK);
        }
        let mut end: quorate_completion = zeroed();
        let mut n = 0;
        while end.status != OK || n == 0 {
            assert_eq!(quorate_put(node, bytes("k"), bytes("v"), NONE, null(), 1), OK);
            while quorate_reap(node, &mut end, SIZE, 1, &mut n) == AGAIN {
                assert_eq!((step(node), step(other)), (OK, OK));
            }
            let status = end.status;
            quorate_completions_clear(&mut end, SIZE, 1);
            end.status = status;
        }
        for tag in 0..3 {
            assert_eq!(quorate_put(node, bytes("k"), bytes("v"), NONE, null(), tag), OK);
        }
        assert_eq!(step(node), OK);
        assert_eq!(quorate_test_panic(LOOP_THREAD), 0);
        quorate_test_turn(node);
        assert_eq!(step(node), E_PANIC);
        assert_eq!(step(node), E_POISONED);
        assert_eq!(reap(node), [E_POISONED; 3]);
        quorate_node_free(node);
        quorate_node_free(other);
    }
}
