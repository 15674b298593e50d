//! In its stride a node in mode packet with its records in memory asks nothing of the allocator.
//!
//! A test binary of its own, as another test's allocations would be counted, too. `QUORATE_ALLOCATION_REQUESTS` says for
//! how many requests of each kind; CI leaves it at 100,000.

use core::cell::Cell;
use core::mem::zeroed;
use core::ptr::null_mut;
use std::alloc::{GlobalAlloc, Layout, System};

use quorate::ffi::host_loop::quorate_node_step;
use quorate::ffi::node::{quorate_node, quorate_node_free, quorate_node_open};
use quorate::ffi::options::{
    MODE_PACKET, quorate_options_free, quorate_options_new, quorate_options_set_u64,
};
use quorate::ffi::plain::{quorate_bytes, quorate_call, quorate_completion, quorate_op};
use quorate::ffi::requests::{quorate_completions_clear, quorate_reap, quorate_submit};
use quorate::ffi::status::OK;

const OPT_MODE: u32 = 1;
const OP_GET: u32 = 1;
const OP_PUT: u32 = 2;
const BLIND_SUPERSEDE: u16 = 1;
const KEYS: usize = 10_000;
const BATCH: usize = 64;
const VALUE: [u8; 100] = [b'v'; 100];

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: everything is the system's allocator's, which is asked just as we are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bytes(of: &[u8]) -> quorate_bytes {
    quorate_bytes { data: of.as_ptr(), len: of.len() }
}

/// A node, and a program that sends it one batch after the other.
struct Program {
    node: *mut quorate_node,
    names: Vec<String>,
    ops: Vec<quorate_op>,
    ends: Vec<quorate_completion>,
    call: quorate_call,
    sent: usize,
    now_ns: u64,
}

impl Program {
    fn new() -> Program {
        let (mut options, mut node) = (null_mut(), null_mut());
        // SAFETY: valid places for the results, and options made by the call before.
        unsafe {
            assert_eq!(quorate_options_new(1, &mut options), OK);
            assert_eq!(quorate_options_set_u64(options, OPT_MODE, MODE_PACKET), OK);
            assert_eq!(quorate_node_open(options, &mut node, null_mut()), OK);
            quorate_options_free(options);
        }
        // SAFETY: numbers and pointers, for which all bits zero is a value.
        let (op, end, mut call): (quorate_op, quorate_completion, quorate_call) =
            unsafe { (zeroed(), zeroed(), zeroed()) };
        call.struct_size = size_of::<quorate_call>() as u32;
        call.blind = BLIND_SUPERSEDE;
        Program {
            node,
            names: (0..KEYS).map(|number| format!("key {number}")).collect(),
            ops: vec![op; BATCH],
            ends: vec![end; BATCH],
            call,
            sent: 0,
            now_ns: 1,
        }
    }

    /// Sends requests of one kind, batch by batch, and clears what comes back.
    fn send(&mut self, kind: u32, requests: usize) {
        let (op_size, end_size) = (size_of::<quorate_op>(), size_of::<quorate_completion>());
        for _ in 0..requests.div_ceil(BATCH) {
            for op in &mut self.ops {
                op.kind = kind;
                op.key = bytes(self.names[self.sent % KEYS].as_bytes());
                op.value = if kind == OP_PUT { bytes(&VALUE) } else { quorate_bytes::EMPTY };
                op.call = &self.call;
                self.sent += 1;
            }
            // Ten microseconds a batch.
            self.now_ns += 10_000;
            let (mut accepted, mut reaped) = (0, 0);
            // SAFETY: a live node, and arrays of as many elements as is said.
            unsafe {
                assert_eq!(quorate_submit(self.node, self.ops.as_ptr(), op_size, BATCH, &mut accepted), OK);
                let wall_ms = 1_700_000_000_000 + self.now_ns / 1_000_000;
                assert_eq!(quorate_node_step(self.node, self.now_ns, wall_ms, 0, null_mut()), OK);
                assert_eq!(quorate_reap(self.node, self.ends.as_mut_ptr(), end_size, BATCH, &mut reaped), OK);
                assert_eq!(reaped, BATCH);
                for end in &self.ends {
                    let has_value = end.n_siblings == 1 && (*end.siblings).value.len == VALUE.len();
                    assert!(end.status == OK && has_value == (kind == OP_GET));
                    assert!(end.context.len > 0);
                }
                quorate_completions_clear(self.ends.as_mut_ptr(), end_size, reaped);
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by open and freed once.
        unsafe { quorate_node_free(self.node) };
    }
}

#[test]
fn requests_of_a_node_in_memory_allocate_nothing() {
    let requests = std::env::var("QUORATE_ALLOCATION_REQUESTS");
    let requests = requests.map_or(100_000, |text| text.parse().expect("a number"));
    let mut program = Program::new();
    assert!(ASKED.get() > 0, "a node that is opened has to ask for something");
    // Every key is there, has been overwritten, and every list is as long as it gets.
    (0..3).for_each(|_| program.send(OP_PUT, KEYS));
    program.send(OP_GET, KEYS);
    for (kind, name) in [(OP_PUT, "put"), (OP_GET, "get")] {
        let before = ASKED.get();
        program.send(kind, requests);
        let asked = ASKED.get() - before;
        assert_eq!(asked, 0, "allocations of {requests} requests to {name}");
        println!("{requests} requests to {name}: {asked} allocations");
    }
}
