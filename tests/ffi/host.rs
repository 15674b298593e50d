//! Who drives a node, in mode host: one thread at a time, in bites of any size, and no more often than there is work.

use super::*;

/// A second thread at the wheel is told so, and does not wait.
#[test]
fn two_threads_that_drive_one_node_are_told() {
    let [node, other] = pair();
    meet(&node, &other);
    // A write that the other member never answers keeps the stop inside the loop.
    assert_eq!(node.put(2), OK);
    step(&node);
    let address = node.0 as usize;
    std::thread::scope(|scope| {
        let stop = scope.spawn(move || {
            // SAFETY: the node outlives the scope.
            unsafe { quorate_node_stop(address as *mut quorate_node, 200_000_000) }
        });
        // SAFETY: a live node.
        unsafe {
            while quorate_node_state(node.0) == 2 {
                std::thread::yield_now();
            }
            if quorate_node_state(node.0) == 3 {
                let status = quorate_node_step(node.0, 0, 0, 0, null_mut());
                assert!(matches!(status, E_BUSY | E_CLOSED), "{status}");
                assert!(matches!(quorate_node_stop(node.0, 0), E_BUSY | E_STATE));
                assert!(matches!(quorate_node_deadline(node.0), 0 | u64::MAX));
            }
        }
        assert_eq!(stop.join().unwrap(), OK);
    });
    assert_eq!(node.reap().len(), 1);
}

/// What its links would have to be dialled for is no work while they are cut.
#[test]
fn a_node_that_is_cut_off_has_nothing_to_do() {
    let [node, other] = pair();
    meet(&node, &other);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_isolate(node.0, 1) }, OK);
    step(&node);
    // After the time at which it would dial again.
    let now_ns = mono_ns() + 200_000_000;
    let left = (0..20).filter(|_| {
        let mut more = 7;
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_node_step(node.0, now_ns, WALL_MS, 0, &mut more) }, OK);
        more == 1
    });
    assert!(left.count() < 20, "it wants to be stepped without end");
}

/// In mode host nothing moves but by the host's steps, whatever the budget, and the three signs of work
/// agree.
#[test]
fn a_host_that_steps_with_a_budget_of_one_gets_everywhere() {
    let node = Node::host_driven();
    // SAFETY: a live node.
    let fd = unsafe { quorate_node_fd(node.0) };
    assert!(fd >= 0);
    for tag in 0..10 {
        assert_eq!(node.put(tag), OK);
    }
    assert_eq!(node.reap(), [], "nothing was stepped yet");
    let (mut ended, mut more) = (0, 1);
    while ended < 10 {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        assert_eq!(unsafe { libc::poll(&mut poll, 1, -1) }, 1, "the descriptor alone must be enough");
        // SAFETY: a live node.
        assert_eq!(unsafe { quorate_node_step(node.0, mono_ns(), WALL_MS, 1, &mut more) }, OK);
        // SAFETY: a live node.
        let deadline = unsafe { quorate_node_deadline(node.0) };
        assert!(more == 0 || deadline < u64::MAX, "work is left, so a step is due");
        ended += node.reap().len();
    }
    let mut end = empty();
    // SAFETY: a live node.
    unsafe {
        assert_eq!(quorate_get_sync(node.0, bytes("key"), null(), &mut end, SIZE), E_STATE);
        assert_eq!(quorate_wait(node.0, 0), E_STATE);
        assert_eq!(quorate_node_start(node.0, null_mut()), E_STATE);
    }
}
