//! The C interface from outside, one promise at a time: every pointer is checked, every selector is
//! known or refused, every accepted request has exactly one completion, two threads that drive one node
//! are told.

use core::mem::zeroed;
use core::ptr::{null, null_mut};
use std::collections::BTreeSet;

use quorate::ffi::cluster::*;
use quorate::ffi::host_loop::*;
use quorate::ffi::node::*;
use quorate::ffi::options::*;
use quorate::ffi::plain::*;
use quorate::ffi::requests::*;
use quorate::ffi::status::*;

#[path = "ffi/cancel.rs"]
mod cancel;
#[path = "ffi/cluster.rs"]
mod cluster;
#[path = "ffi/context.rs"]
mod context;
#[path = "ffi/counters.rs"]
mod counters;
#[path = "ffi/disk.rs"]
mod disk;
#[path = "ffi/feed.rs"]
mod feed;
#[path = "ffi/history.rs"]
mod history;
#[path = "ffi/hooks.rs"]
mod hooks;
#[path = "ffi/host.rs"]
mod host;
#[path = "ffi/merge.rs"]
mod merge;
#[path = "ffi/once.rs"]
mod once;
#[path = "ffi/packet.rs"]
mod packet;
#[path = "ffi/scalars.rs"]
mod scalars;
#[path = "ffi/scan.rs"]
mod scan;
#[path = "ffi/sets.rs"]
mod sets;
#[path = "ffi/snapshot.rs"]
mod snapshot;
#[path = "ffi/weights.rs"]
mod weights;

const OPT_MODE: u32 = 1;
const OPT_WINDOW: u32 = 10;
const NONE: quorate_bytes = quorate_bytes::EMPTY;
const SIZE: usize = size_of::<quorate_completion>();

fn bytes(text: &str) -> quorate_bytes {
    quorate_bytes { data: text.as_ptr(), len: text.len() }
}

fn empty() -> quorate_completion {
    // SAFETY: a completion is numbers and pointers, for which all bits zero is a value.
    unsafe { zeroed() }
}

/// An opened node that goes away with the test.
struct Node(*mut quorate_node);

impl Node {
    fn open(settings: &[(u32, u64)]) -> Node {
        let (mut options, mut node) = (null_mut(), null_mut());
        // SAFETY: valid places for the results, and options made by the call before.
        unsafe {
            assert_eq!(quorate_options_new(1, &mut options), OK);
            for &(option, value) in settings {
                assert_eq!(quorate_options_set_u64(options, option, value), OK);
            }
            assert_eq!(quorate_node_open(options, &mut node, null_mut()), OK);
            quorate_options_free(options);
        }
        Node(node)
    }

    fn host_driven() -> Node {
        Node::open(&[(OPT_MODE, MODE_HOST)])
    }

    fn started() -> Node {
        let node = Node::open(&[]);
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_node_start(node.0, null_mut()) }, OK);
        node
    }

    fn put(&self, tag: u64) -> quorate_status {
        // SAFETY: a live node, bytes that stay during the call.
        unsafe { quorate_put(self.0, bytes("key"), bytes("value"), NONE, null(), tag) }
    }

    /// Reaps everything that is there: tag, status, flags.
    fn reap(&self) -> Vec<(u64, quorate_status, u32)> {
        let mut found = Vec::new();
        self.reap_into(&mut found);
        found
    }

    fn reap_into(&self, found: &mut Vec<(u64, quorate_status, u32)>) -> usize {
        let before = found.len();
        let mut array = [empty(); 8];
        let mut n = 0;
        // SAFETY: a live node and an array of 8.
        while unsafe { quorate_reap(self.0, array.as_mut_ptr(), SIZE, 8, &mut n) } == OK {
            found.extend(array[..n].iter().map(|end| (end.tag, end.status, end.flags)));
            // SAFETY: the elements that were just written.
            unsafe { quorate_completions_clear(array.as_mut_ptr(), SIZE, n) };
        }
        assert_eq!(n, 0, "a failed reap writes nothing");
        found.len() - before
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: made by open and freed once.
        unsafe { quorate_node_free(self.0) };
    }
}

fn options() -> *mut quorate_options {
    let mut options = null_mut();
    // SAFETY: a place for a pointer.
    assert_eq!(unsafe { quorate_options_new(1, &mut options) }, OK);
    options
}

/// Each pointer argument NULL in turn, the others valid; outputs are set to NULL or 0 all the same.
/// Names the functions it went through, which must be all that are listed.
/// Long because it is a table, one row for each argument.
#[test]
fn every_null_is_refused() {
    let node = Node::host_driven();
    let (n, o, k) = (node.0, options(), bytes("k"));
    let torn = quorate_bytes { data: null(), len: 1 };
    let mut seen = BTreeSet::new();
    let mut check = |name: &'static str, status: quorate_status| {
        seen.insert(name);
        assert_eq!(status, E_NULL, "{name}");
    };
    let dangling = core::ptr::dangling_mut::<quorate_options>;
    let (mut end, mut count, mut more, mut text) = (empty(), 7_usize, 7_u32, [0; 64]);
    // SAFETY: every pointer is NULL or valid; that is what is under test.
    unsafe {
        check("quorate_options_new", quorate_options_new(1, null_mut()));
        check("quorate_options_set_u64", quorate_options_set_u64(null_mut(), 2, 1));
        check("quorate_options_set_bytes", quorate_options_set_bytes(null_mut(), 65, k));
        check("quorate_options_set_bytes", quorate_options_set_bytes(o, 65, torn));
        check("quorate_options_add_bytes", quorate_options_add_bytes(null_mut(), 96, k));
        check("quorate_options_add_bytes", quorate_options_add_bytes(o, 96, torn));
        check("quorate_options_parse", quorate_options_parse(null_mut(), bytes("n"), bytes("1"), null_mut()));
        check("quorate_options_parse", quorate_options_parse(o, torn, bytes("1"), null_mut()));
        check("quorate_options_parse", quorate_options_parse(o, bytes("name"), torn, null_mut()));
        let mut out = dangling();
        check("quorate_options_clone", quorate_options_clone(null(), &mut out));
        assert!(out.is_null());
        check("quorate_options_clone", quorate_options_clone(o, null_mut()));
        let mut opened = dangling().cast();
        check("quorate_node_open", quorate_node_open(null(), &mut opened, null_mut()));
        assert!(opened.is_null());
        check("quorate_node_open", quorate_node_open(o, null_mut(), null_mut()));
        check("quorate_node_address", quorate_node_address(null(), 0, text.as_mut_ptr(), 64, &mut count));
        assert_eq!(count, 0);
        check("quorate_node_address", quorate_node_address(n, 0, null_mut(), 64, null_mut()));
        check("quorate_node_meet", quorate_node_meet(null_mut(), k, k));
        check("quorate_node_meet", quorate_node_meet(n, torn, k));
        check("quorate_node_meet", quorate_node_meet(n, k, torn));
        check("quorate_node_isolate", quorate_node_isolate(null(), 1));
        check("quorate_node_start", quorate_node_start(null_mut(), null_mut()));
        check("quorate_node_stop", quorate_node_stop(null_mut(), 0));
        check("quorate_get", quorate_get(null_mut(), k, null(), 0));
        check("quorate_get", quorate_get(n, torn, null(), 0));
        check("quorate_put", quorate_put(null_mut(), k, k, NONE, null(), 0));
        check("quorate_put", quorate_put(n, torn, k, NONE, null(), 0));
        check("quorate_put", quorate_put(n, k, torn, NONE, null(), 0));
        check("quorate_put", quorate_put(n, k, k, torn, null(), 0));
        check("quorate_delete", quorate_delete(null_mut(), k, NONE, null(), 0));
        check("quorate_delete", quorate_delete(n, torn, NONE, null(), 0));
        check("quorate_delete", quorate_delete(n, k, torn, null(), 0));
        let op: quorate_op = zeroed();
        count = 7;
        check("quorate_submit", quorate_submit(null_mut(), &op, size_of_val(&op), 1, &mut count));
        assert_eq!(count, 0);
        check("quorate_submit", quorate_submit(n, null(), size_of_val(&op), 1, &mut count));
        check("quorate_submit", quorate_submit(n, &op, size_of_val(&op), 1, null_mut()));
        count = 7;
        check("quorate_reap", quorate_reap(null_mut(), &mut end, SIZE, 1, &mut count));
        assert_eq!(count, 0);
        check("quorate_reap", quorate_reap(n, null_mut(), SIZE, 1, &mut count));
        check("quorate_reap", quorate_reap(n, &mut end, SIZE, 1, null_mut()));
        check("quorate_completion_fd", quorate_completion_fd(null()));
        check("quorate_wait", quorate_wait(null_mut(), 0));
        check("quorate_get_sync", quorate_get_sync(null_mut(), k, null(), &mut end, SIZE));
        check("quorate_get_sync", quorate_get_sync(n, k, null(), null_mut(), SIZE));
        check("quorate_put_sync", quorate_put_sync(null_mut(), k, k, NONE, null(), &mut end, SIZE));
        check("quorate_put_sync", quorate_put_sync(n, k, k, NONE, null(), null_mut(), SIZE));
        check("quorate_delete_sync", quorate_delete_sync(null_mut(), k, NONE, null(), &mut end, SIZE));
        check("quorate_delete_sync", quorate_delete_sync(n, k, NONE, null(), null_mut(), SIZE));
        counters::nulls(&mut check, n, torn);
        sets::nulls(&mut check, n, torn);
        merge::nulls(&mut check, n);
        scan::nulls(&mut check, n, torn);
        feed::nulls(&mut check, n, torn);
        cancel::nulls(&mut check);
        context::nulls(&mut check, n, torn);
        disk::nulls(&mut check);
        hooks::nulls(&mut check, o);
        snapshot::nulls(&mut check, n, torn);
        check("quorate_node_fd", quorate_node_fd(null()));
        let mut value = 7;
        check("quorate_node_figure", quorate_node_figure(null(), 0, &mut value));
        assert_eq!(value, 0);
        check("quorate_node_figure", quorate_node_figure(n, 0, null_mut()));
        let progress = quorate_options_set_progress(null_mut(), None, null_mut(), None);
        check("quorate_options_set_progress", progress);
        let order = cluster::order(1);
        check("quorate_cluster_order", quorate_cluster_order(null_mut(), &order, 0));
        check("quorate_cluster_order", quorate_cluster_order(n, null(), 0));
        check("quorate_cluster_order", quorate_cluster_order(n, &quorate_order { name: torn, ..order }, 0));
        check("quorate_cluster_order", quorate_cluster_order(n, &quorate_order { other: torn, ..order }, 0));
        let sync = quorate_cluster_order_sync(null_mut(), &order, &mut end, SIZE);
        check("quorate_cluster_order_sync", sync);
        check("quorate_cluster_order_sync", quorate_cluster_order_sync(n, &order, null_mut(), SIZE));
        let mut all = quorate_cluster { version: 7, ..zeroed() };
        check("quorate_result_cluster", quorate_result_cluster(null(), &mut all, size_of_val(&all)));
        assert_eq!(all.version, 0);
        check("quorate_result_cluster", quorate_result_cluster(null(), null_mut(), size_of_val(&all)));
        let mut one = quorate_member { weight: 7, ..zeroed() };
        check("quorate_result_member", quorate_result_member(null(), 0, &mut one, size_of_val(&one)));
        assert_eq!(one.weight, 0);
        check("quorate_result_member", quorate_result_member(null(), 0, null_mut(), size_of_val(&one)));
        let mut told = k;
        check("quorate_result_text", quorate_result_text(null(), 0, &mut told));
        assert_eq!(told.len, 0);
        check("quorate_result_text", quorate_result_text(null(), 0, null_mut()));
        check("quorate_node_step", quorate_node_step(null_mut(), 0, 0, 0, &mut more));
        assert_eq!(more, 0);
        packet::nulls(&mut check);

        // Those that have no status take NULL as nothing.
        assert_eq!(quorate_node_state(null()), 0);
        assert_eq!(quorate_node_deadline(null()), u64::MAX);
        quorate_status_table(null_mut(), null_mut());
        quorate_options_free(null_mut());
        quorate_node_free(null_mut());
        quorate_completions_clear(null_mut(), SIZE, 1);
        quorate_node_wake(null());
        quorate_options_free(o);
    }
    seen.extend([
        "quorate_members_free",
        "quorate_node_state",
        "quorate_node_deadline",
        "quorate_status_table",
    ]);
    seen.extend([
        "quorate_options_free",
        "quorate_node_free",
        "quorate_completions_clear",
        "quorate_node_wake",
    ]);
    let listed = include_str!("../abi/symbols.txt");
    let rows = listed.lines().filter(|line| !line.starts_with('#') && !line.starts_with("0 "));
    let listed: BTreeSet<_> = rows.map(|row| row.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(seen, listed);
}

/// Settings of a call that this library does not know are refused and nothing is submitted.
#[test]
fn unknown_settings_are_refused() {
    type Change = fn(&mut quorate_call);
    let table: [(quorate_status, Change); 12] = [
        (OK, |_| ()),
        (OK, |call| call.view = 2),
        (E_UNSUPPORTED, |call| call.view = 8),
        (E_UNSUPPORTED, |call| call.view = u16::MAX),
        (OK, |call| call.blind = 1),
        (E_UNSUPPORTED, |call| call.blind = 3),
        (E_UNSUPPORTED, |call| call.flags = 0x4),
        (E_UNSUPPORTED, |call| call.reserved[1] = 1),
        (E_ARG, |call| call.r = 256),
        (E_ARG, |call| call.struct_size = 3),
        (E_ARG, |call| call.struct_size = u32::MAX),
        (OK, |call| call.struct_size = 4),
    ];
    let node = Node::host_driven();
    let mut accepted = 0;
    for (row, (expected, change)) in table.into_iter().enumerate() {
        // SAFETY: numbers, for which zero is a value.
        let mut call: quorate_call = unsafe { zeroed() };
        call.struct_size = size_of::<quorate_call>() as u32;
        change(&mut call);
        // SAFETY: a live node; the call is as long as its size says, or refused before it is read.
        let status = unsafe { quorate_put(node.0, bytes("key"), bytes("value"), NONE, &call, row as u64) };
        assert_eq!(status, expected, "row {row}");
        accepted += usize::from(status == OK);
    }
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, OK);
    assert_eq!(node.reap().len(), accepted);
}

/// Every figure has a number, and what the hooks of the host are given comes back once.
#[test]
fn a_host_is_told_of_progress_and_figures() {
    use core::ffi::c_void;
    use core::sync::atomic::{AtomicU64, Ordering};

    /// Readings whose last one was whole, and drops.
    #[derive(Default)]
    struct Told {
        calls: AtomicU64,
        drops: AtomicU64,
    }
    unsafe extern "C" fn hook(user: *mut c_void, done: u64, total: u64) {
        assert!(done <= total);
        // SAFETY: the test keeps it until the drop.
        unsafe { &*user.cast::<Told>() }.calls.fetch_add(1, Ordering::SeqCst);
    }
    unsafe extern "C" fn drop(user: *mut c_void) {
        // SAFETY: as above.
        unsafe { &*user.cast::<Told>() }.drops.fetch_add(1, Ordering::SeqCst);
    }
    let told = Told::default();
    let user = (&raw const told).cast_mut().cast::<c_void>();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("data");
    let (o, mut copy) = (options(), null_mut());
    let dropped = || told.drops.load(Ordering::SeqCst);
    // SAFETY: live options and nodes, valid places for results.
    unsafe {
        assert_eq!(quorate_options_set_progress(null_mut(), Some(hook), user, Some(drop)), E_NULL);
        assert_eq!(dropped(), 1, "a failed call lets go");
        assert_eq!(quorate_options_set_progress(o, Some(hook), user, Some(drop)), OK);
        assert_eq!(quorate_options_set_progress(o, Some(hook), user, Some(drop)), OK);
        assert_eq!(dropped(), 2, "the second replaces the first");
        assert_eq!(quorate_options_set_bytes(o, 64, bytes(path.to_str().expect("UTF-8"))), OK);
        assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_HOST), OK);
        assert_eq!(quorate_options_clone(o, &mut copy), OK);
        quorate_options_free(o);
        for _ in 0..2 {
            let mut node = null_mut();
            assert_eq!(quorate_node_open(copy, &mut node, null_mut()), OK);
            let node = Node(node);
            let mut value = 7;
            for which in 0..8 {
                assert_eq!(quorate_node_figure(node.0, which, &mut value), OK);
            }
            assert_eq!(quorate_node_figure(node.0, 8, &mut value), E_UNSUPPORTED);
            assert_eq!((quorate_node_figure(node.0, 0, &mut value), value), (OK, 0));
            assert_eq!(node.put(1), OK);
            while node.reap().is_empty() {
                step(&node);
            }
        }
        assert_eq!(dropped(), 2, "the copy needs it");
        quorate_options_free(copy);
    }
    assert_eq!(dropped(), 3);
    assert!(told.calls.load(Ordering::SeqCst) > 0, "nothing was told of the second opening");
}

#[test]
fn a_batch_stops_at_its_first_refusal() {
    let node = Node::host_driven();
    // SAFETY: numbers and pointers, for which zero is a value.
    let mut ops: [quorate_op; 4] = unsafe { zeroed() };
    for (op, kind) in ops.iter_mut().zip([2, 1, 9, 2]) {
        (op.kind, op.key, op.tag) = (kind, bytes("key"), 100 + u64::from(kind));
    }
    let mut accepted = 0;
    let size = size_of::<quorate_op>();
    // SAFETY: a live node and four ops.
    let status = unsafe { quorate_submit(node.0, ops.as_ptr(), size, 4, &mut accepted) };
    assert_eq!((status, accepted), (E_UNSUPPORTED, 2));
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, OK);
    let tags: Vec<_> = node.reap().into_iter().map(|end| end.0).collect();
    assert_eq!(tags, [102, 101]);
}

/// What a node takes for the time of day.
const WALL_MS: u64 = 1_700_000_000_000;

fn mono_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for a timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// One step on the real clock, of so many sockets and requests.
fn step_by(node: &Node, budget: u32) {
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_step(node.0, mono_ns(), WALL_MS, budget, null_mut()) }, OK);
}

/// One step without a bound; with QUORATE_STEP_BUDGET as many as it takes, each of no more than that.
fn step_at(node: &Node, now_ns: u64) {
    let budget = std::env::var("QUORATE_STEP_BUDGET").map_or(0, |budget| budget.parse().expect("a number"));
    for _ in 0..1_000_000 {
        let mut more = 7;
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_node_step(node.0, now_ns, WALL_MS, budget, &mut more) }, OK);
        if budget == 0 || more == 0 {
            return;
        }
    }
    panic!("steps of {budget} come to no end");
}

/// The same on the real clock.
fn step(node: &Node) {
    step_at(node, mono_ns());
}

/// Two members that know each other's port, both driven by the test.
fn pair() -> [Node; 2] {
    let Ok(nodes) = cluster_of(&["A", "B"]).try_into() else { unreachable!("two names are two nodes") };
    nodes
}

/// Members that know each other's port, all driven by the test.
fn cluster_of(names: &[&str]) -> Vec<Node> {
    let open = |name: &&str| {
        let (o, mut node) = (options(), null_mut());
        // SAFETY: valid options and a place for the result.
        unsafe {
            assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_HOST), OK);
            assert_eq!(quorate_options_set_bytes(o, 65, bytes(name)), OK);
            assert_eq!(quorate_options_set_bytes(o, 96, bytes(&names.join(","))), OK);
            assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
            quorate_options_free(o);
        }
        Node(node)
    };
    let nodes: Vec<_> = names.iter().map(open).collect();
    introduce(&nodes, names);
    nodes
}

/// Tells each of them where the others are.
fn introduce(nodes: &[Node], names: &[&str]) {
    for (node, name) in nodes.iter().zip(names) {
        let (mut text, mut len) = ([0_u8; 64], 0);
        // SAFETY: live nodes and a buffer of 64.
        unsafe {
            assert_eq!(quorate_node_address(node.0, 0, text.as_mut_ptr().cast(), 3, &mut len), AGAIN);
            assert_eq!(quorate_node_address(node.0, 0, text.as_mut_ptr().cast(), 64, &mut len), OK);
            let address = quorate_bytes { data: text.as_ptr(), len };
            for other in nodes {
                assert_eq!(quorate_node_meet(other.0, bytes(name), address), OK);
            }
            assert_eq!(quorate_node_meet(node.0, bytes("nobody"), bytes("127.0.0.1:1")), E_ARG);
            assert_eq!(quorate_node_isolate(node.0, 2), E_ARG);
        }
    }
}

/// Drives both until a write of one is answered by the other, too.
fn meet(node: &Node, other: &Node) {
    let mut ends = Vec::new();
    while ends.last().is_none_or(|end: &(u64, quorate_status, u32)| end.1 != OK) {
        assert_eq!(node.put(1), OK);
        while node.reap_into(&mut ends) == 0 {
            step(node);
            step(other);
        }
        assert!(matches!(ends.last().unwrap().1, OK | E_QUORUM), "{ends:?}");
    }
}

/// Requests that a stop finds waiting for another member, and those that come too late.
#[test]
fn each_accepted_request_ends_once_also_on_stop() {
    let [node, other] = pair();
    meet(&node, &other);
    // From here on the other member does not answer.
    for tag in 10..20 {
        assert_eq!(node.put(tag), OK);
    }
    step(&node);
    assert_eq!(node.reap(), [], "a write needs both");
    // SAFETY: live nodes.
    unsafe {
        assert_eq!(quorate_node_stop(node.0, 0), OK);
        assert_eq!(quorate_node_state(node.0), 4);
        assert_eq!(node.put(30), E_CLOSED);
        assert_eq!(quorate_node_stop(node.0, 0), E_STATE);
        assert_eq!(quorate_node_step(node.0, 0, 0, 0, null_mut()), E_CLOSED);
    }
    let ends = node.reap();
    let tags: BTreeSet<_> = ends.iter().map(|end| end.0).collect();
    assert_eq!((ends.len(), tags), (10, (10..20).collect()));
    for (tag, status, flags) in ends {
        assert!(matches!(status, E_CLOSED | E_PARTIAL), "{tag}: {status}");
        assert_ne!(flags & UNCERTAIN, 0, "a write that was closed may have happened");
    }
    assert_eq!(node.reap(), []);
}

/// Four threads submit until they are refused, while another stops the node.
#[test]
fn what_is_accepted_while_a_node_stops_ends_once() {
    for _ in 0..20 {
        let node = Node::started();
        let address = node.0 as usize;
        let barrier = std::sync::Barrier::new(5);
        let submit = |thread: u64| {
            barrier.wait();
            let (mut tags, node) = (Vec::new(), address as *mut quorate_node);
            for tag in thread * 1_000..(thread + 1) * 1_000 {
                // SAFETY: the node outlives the scope.
                match unsafe { quorate_get(node, bytes("key"), null(), tag) } {
                    OK => tags.push(tag),
                    status => assert_eq!(status, E_CLOSED),
                }
            }
            tags
        };
        let accepted: BTreeSet<u64> = std::thread::scope(|scope| {
            let submit = &submit;
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || submit(thread))).collect();
            barrier.wait();
            // SAFETY: a live node; only it is stopped here.
            assert_eq!(unsafe { quorate_node_stop(address as *mut quorate_node, 0) }, OK);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let ends = node.reap();
        assert!(ends.iter().all(|end| matches!(end.1, E_NOTFOUND | E_CLOSED) && end.2 & UNCERTAIN == 0));
        let ended: BTreeSet<_> = ends.iter().map(|end| end.0).collect();
        assert_eq!((ends.len(), &ended), (accepted.len(), &accepted));
    }
}

#[test]
fn a_full_window_refuses_before_any_work() {
    let node = Node::open(&[(OPT_MODE, MODE_HOST), (OPT_WINDOW, 4)]);
    for tag in 0..4 {
        assert_eq!(node.put(tag), OK);
    }
    assert_eq!(node.put(4), E_OVERLOADED);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, OK);
    assert_eq!(node.reap().len(), 4, "no completion for what was refused");
}

/// Sync calls leave what others submitted where it is, and work from several threads.
#[test]
fn sync_calls_and_completions_do_not_mix() {
    let node = Node::started();
    let address = node.0 as usize;
    for tag in 0..5 {
        assert_eq!(node.put(tag), OK);
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let (node, key) = (address as *mut quorate_node, format!("thread {thread}"));
                let mut end = empty();
                for _ in 0..20 {
                    // SAFETY: the node outlives the scope, sync calls may run in parallel.
                    unsafe {
                        let status =
                            quorate_put_sync(node, bytes(&key), bytes("v"), NONE, null(), &mut end, SIZE);
                        assert_eq!((status, end.acked, end.kind), (OK, 1, 2));
                        quorate_completions_clear(&mut end, SIZE, 1);
                        assert_eq!(quorate_get_sync(node, bytes(&key), null(), &mut end, SIZE), OK);
                        assert!(end.n_siblings > 0 && end.context.len > 0 && end.dot.counter == 0);
                        let covered = end.context;
                        let status =
                            quorate_delete_sync(node, bytes(&key), covered, null(), &mut empty(), SIZE);
                        assert_eq!(status, OK);
                        quorate_completions_clear(&mut end, SIZE, 1);
                        assert_eq!(quorate_get_sync(node, bytes(&key), null(), &mut end, SIZE), E_NOTFOUND);
                        quorate_completions_clear(&mut end, SIZE, 1);
                    }
                }
            });
        }
    });
    let mut tags = Vec::new();
    while tags.len() < 5 {
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_wait(node.0, u64::MAX) }, OK);
        tags.extend(node.reap().into_iter().map(|end| (end.0, end.1)));
    }
    assert_eq!(tags, (0..5).map(|tag| (tag, OK)).collect::<Vec<_>>());
    // SAFETY: a live node.
    unsafe {
        assert_eq!(quorate_wait(node.0, 0), AGAIN);
        assert_eq!(quorate_node_state(node.0), 2);
        assert_eq!(quorate_node_start(node.0, null_mut()), E_STATE);
        assert_eq!(quorate_node_step(node.0, 0, 0, 0, null_mut()), E_STATE);
        assert_eq!(quorate_node_fd(node.0), E_STATE);
    }
}

#[test]
fn keys_and_values_over_every_limit_are_refused_before_they_are_copied() {
    let node = Node::host_driven();
    let long = "k".repeat(65_001);
    // SAFETY: a live node. Nothing behind the second value's pointer is read: its length is refused.
    unsafe {
        assert_eq!(quorate_get(node.0, bytes(&long), null(), 0), E_LIMIT);
        let huge = quorate_bytes { data: long.as_ptr(), len: usize::MAX };
        assert_eq!(quorate_put(node.0, bytes("k"), huge, NONE, null(), 0), E_ARG);
    }
}

#[test]
fn an_opening_that_fails_says_why_within_its_room() {
    let o = options();
    let mut node = null_mut();
    // SAFETY: numbers, for which zero is a value.
    let mut error: quorate_error = unsafe { zeroed() };
    error.struct_size = 32;
    error.text[16] = 77;
    // SAFETY: valid places for the results.
    unsafe {
        assert_eq!(quorate_options_set_u64(o, 2, 3), OK);
        assert_eq!(quorate_options_set_bytes(o, 65, bytes("somebody else")), OK);
        assert_eq!(quorate_options_set_bytes(o, 96, bytes("A@127.0.0.1:1")), OK);
        assert_eq!(quorate_node_open(o, &mut node, &mut error), E_ARG);
        quorate_options_free(o);
    }
    assert_eq!((error.status, error.flags), (E_ARG, MISUSE));
    let text: String = error.text[..16].iter().map(|byte| *byte as u8 as char).collect();
    assert!(text.starts_with("name: `somebody") && text.ends_with('\0'), "{text:?}");
    assert_eq!(error.text[16], 77, "nothing is written beyond struct_size");
}
