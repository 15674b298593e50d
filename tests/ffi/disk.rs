//! Disk work that the program carries out: nothing is on disk before it has, and a stop needs nobody.

use quorate::ffi::disk::*;

use super::*;

const OPT_SYNC: u32 = 11;
const OPT_FOUND: u32 = 26;
const OPT_DISK_THREAD: u32 = 36;
const SYNC_ALWAYS: u64 = 2;

/// Every pointer of the function.
pub fn nulls(check: &mut impl FnMut(&'static str, quorate_status)) {
    // SAFETY: NULL.
    check("quorate_disk_step", unsafe { quorate_disk_step(null_mut()) });
}

fn disk_step(node: &Node) -> quorate_status {
    // SAFETY: a live node.
    unsafe { quorate_disk_step(node.0) }
}

/// A node over a directory, whose disk work is the test's; with others to be found, if it founds a cluster.
fn over(directory: &std::path::Path, found: bool) -> Node {
    let (o, mut node) = (options(), null_mut());
    // SAFETY: live options and a place for the result.
    unsafe {
        for (option, value) in [(OPT_MODE, MODE_HOST), (OPT_SYNC, SYNC_ALWAYS), (OPT_DISK_THREAD, 0)] {
            assert_eq!(quorate_options_set_u64(o, option, value), OK);
        }
        if found {
            assert_eq!(quorate_options_set_u64(o, OPT_FOUND, 1), OK);
            assert_eq!(quorate_options_set_bytes(o, 68, bytes("127.0.0.1:0")), OK);
        }
        assert_eq!(quorate_options_set_bytes(o, 64, bytes(directory.to_str().expect("UTF-8"))), OK);
        assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
        quorate_options_free(o);
    }
    Node(node)
}

#[test]
fn a_write_is_acknowledged_when_the_program_has_brought_it_to_disk() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("data");
    let node = over(&path, false);
    assert_eq!(node.put(1), OK);
    for _ in 0..20 {
        step(&node);
    }
    assert_eq!(node.reap(), [], "nobody has synced");
    let mut ends = Vec::new();
    while ends.is_empty() {
        assert_eq!(disk_step(&node), OK, "there is a sync to be done");
        step(&node);
        ends = node.reap();
    }
    assert_eq!(ends, [(1, OK, 0)]);
    while disk_step(&node) == OK {
        step(&node);
    }
    assert_eq!(disk_step(&node), AGAIN);
    // What a stop finds it does itself.
    assert_eq!(node.put(2), OK);
    step(&node);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 1_000_000_000) }, OK);
    let ends = node.reap();
    assert!(matches!(ends[..], [(2, OK | E_CLOSED, _)]), "{ends:?}");
    assert_eq!(disk_step(&node), E_CLOSED);
    // The directory is free although the node is not freed yet, and has what was written.
    let again = over(&path, false);
    let mut records = 0;
    // SAFETY: a live node and a place for the number.
    assert_eq!(unsafe { quorate_node_figure(again.0, 3, &mut records) }, OK);
    assert_eq!(records, 1);
}

/// A second thread does the work while the first one steps; a third one is told.
#[test]
fn the_disk_has_a_thread_of_the_programs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let node = over(&directory.path().join("data"), true);
    let (address, is_over) = (node.0 as usize, std::sync::atomic::AtomicBool::new(false));
    let (is_over, mut ends) = (&is_over, Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let node = core::mem::ManuallyDrop::new(Node(address as *mut quorate_node));
                while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    match disk_step(&node) {
                        OK => {}
                        status => assert!([AGAIN, E_BUSY].contains(&status), "{status}"),
                    }
                }
            });
        }
        for tag in 0..100 {
            assert_eq!(node.put(tag), OK);
        }
        while ends.len() < 100 {
            step(&node);
            node.reap_into(&mut ends);
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert!(ends.iter().all(|end| end.1 == OK), "{ends:?}");
}

#[test]
fn disk_work_is_the_programs_only_if_it_asked_for_it() {
    let node = Node::host_driven();
    assert_eq!(disk_step(&node), E_STATE);
    let in_memory = Node::open(&[(OPT_MODE, MODE_PACKET), (OPT_DISK_THREAD, 0)]);
    assert_eq!(disk_step(&in_memory), AGAIN, "there is no disk");
    let (o, mut node) = (options(), null_mut());
    // SAFETY: live options and a place for the result.
    unsafe {
        assert_eq!(quorate_options_set_u64(o, OPT_DISK_THREAD, 0), OK);
        assert_eq!(
            quorate_node_open(o, &mut node, null_mut()),
            E_ARG,
            "its thread cannot wait for a program"
        );
        quorate_options_free(o);
    }
}

/// Where the directory is gone its store cannot be closed as it should: not a bug of the library, in any mode.
#[test]
fn a_stop_that_cannot_close_the_store_says_so() {
    for mode in [0, MODE_HOST] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("data");
        let (o, mut node) = (options(), null_mut());
        // SAFETY: live options and a place for the result.
        unsafe {
            assert_eq!(quorate_options_set_u64(o, OPT_MODE, mode), OK);
            assert_eq!(quorate_options_set_bytes(o, 64, bytes(path.to_str().expect("UTF-8"))), OK);
            assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
            quorate_options_free(o);
        }
        let node = Node(node);
        if mode == 0 {
            // SAFETY: a live node.
            assert_eq!(unsafe { quorate_node_start(node.0, null_mut()) }, OK);
        }
        // The node may be making a file in it.
        let gone = (0..1000).any(|_| std::fs::remove_dir_all(&path).is_ok() || !path.exists());
        assert!(gone, "the directory can be removed");
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, E_IO, "mode {mode}");
        let (mut end, mut n) = (empty(), 0);
        // SAFETY: a live node and places for the results.
        assert_eq!(unsafe { quorate_reap(node.0, &mut end, SIZE, 1, &mut n) }, AGAIN, "mode {mode}");
    }
}
