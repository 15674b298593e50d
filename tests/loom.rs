//! Models of the queues: loom runs each under every order of its threads' steps, and under every value
//! that the memory model lets a load return.
//!
//! Built with `RUSTFLAGS="--cfg loom"`; `scripts/loom.sh` does, and also runs each model against the
//! queues with one ordering taken away. Without the cfg this file is empty.
#![cfg(loom)]

/// The file under test, compiled into this program rather than linked: so one planted bug costs one
/// small compilation.
#[path = "../src/driver"]
#[expect(dead_code, reason = "the models do not call everything")]
mod driver {
    pub mod queue;
    mod sync;
}

use driver::queue::{Signal, Wake, Window, completions, submissions};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use loom::thread;
use std::sync::atomic::{AtomicBool as PlainBool, AtomicU32 as Plain, Ordering::Relaxed};

/// The loop's sleep: a wake-up that comes before it makes it end at once, as an eventfd does.
#[derive(Clone)]
struct Bell(thread::Thread);

impl Bell {
    fn new() -> Bell {
        Bell(thread::current())
    }

    fn sleep(&self) {
        thread::park();
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.0.unpark();
    }
}

/// How many executions a model took, printed for the script's report.
fn explore(name: &str, model: impl Fn() + Sync + Send + 'static) {
    let executions = std::sync::Arc::new(Plain::new(0));
    let count = std::sync::Arc::clone(&executions);
    loom::model(move || {
        count.fetch_add(1, Relaxed);
        model();
    });
    println!("{name}: {} executions", executions.load(Relaxed));
}

/// Submitters that push so many numbers each, and a loop that sleeps when it finds nothing. What is
/// refused because the queue is full is counted outside the model, and wakes the loop, so that it knows
/// when it has everything. A lost wake-up is a deadlock, an unordered access to a slot a causality
/// violation; both make the model fail.
fn submitters_and_a_loop_that_sleeps(name: &str, capacity: usize, each: &'static [u32]) {
    explore(name, move || {
        let bell = Bell::new();
        let (submitter, mut intake) = submissions(capacity, bell.clone());
        let wanted = std::sync::Arc::new(Plain::new(each.iter().sum::<u32>()));
        for (thread, &count) in (0..).zip(each) {
            let (submitter, bell) = (submitter.clone(), bell.clone());
            let wanted = std::sync::Arc::clone(&wanted);
            thread::spawn(move || {
                for number in 0..count {
                    if submitter.push(thread * 10 + number).is_err() {
                        wanted.fetch_sub(1, Relaxed);
                        bell.wake();
                    }
                }
            });
        }
        let mut seen: Vec<u32> = Vec::new();
        while (seen.len() as u32) < wanted.load(Relaxed) {
            match intake.pop() {
                Some(number) => seen.push(number),
                None if intake.prepare_sleep() => {
                    bell.sleep();
                    intake.end_sleep();
                }
                None => {}
            }
        }
        for thread in 0..each.len() as u32 {
            let own: Vec<_> = seen.iter().filter(|number| **number / 10 == thread).collect();
            assert!(own.is_sorted_by(|a, b| a < b), "in the order of their submitter, once: {own:?}");
        }
    });
}

/// The smallest with a slot used twice: every ordering of the ring and of the sleep.
#[test]
fn submissions_one_thread_of_three() {
    submitters_and_a_loop_that_sleeps("submissions_one_thread_of_three", 2, &[3]);
}

/// The smallest with two threads after one position.
#[test]
fn submissions_two_threads_of_one() {
    submitters_and_a_loop_that_sleeps("submissions_two_threads_of_one", 2, &[1, 1]);
}

#[test]
fn submissions_two_threads_of_two() {
    submitters_and_a_loop_that_sleeps("submissions_two_threads_of_two", 2, &[2, 2]);
}

/// A loop that closes while two threads push: what was accepted comes out, what was refused does not.
#[test]
fn submissions_closed_under_two_threads() {
    explore("submissions_closed_under_two_threads", || {
        let (submitter, mut intake) = submissions(2, Bell::new());
        let threads = [1_u32, 2].map(|number| {
            let submitter = submitter.clone();
            thread::spawn(move || submitter.push(number).is_ok().then_some(number))
        });
        let mut seen = Vec::new();
        intake.close();
        intake.drain_closed(|number| seen.push(number));
        let mut accepted: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        accepted.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, accepted);
    });
}

/// A descriptor. The cell makes the model fail if two threads touch it at one time or out of order; the
/// modelled counter lets other threads run between the decision to touch it and the touch. Its level
/// lies outside the model, as the kernel's does.
#[derive(Clone)]
struct Descriptor(std::sync::Arc<Inner>);

struct Inner {
    /// Who is to be woken; nobody where the model joins its threads, as a wake-up would end the join.
    host: Option<thread::Thread>,
    touches: AtomicU32,
    cell: UnsafeCell<()>,
    readable: PlainBool,
}

impl Descriptor {
    fn new(host: Option<thread::Thread>) -> Descriptor {
        Descriptor(std::sync::Arc::new(Inner {
            host,
            touches: AtomicU32::new(0),
            cell: UnsafeCell::new(()),
            readable: PlainBool::new(false),
        }))
    }

    fn touch(&self, readable: bool) {
        self.0.touches.fetch_add(1, Relaxed);
        self.0.cell.with_mut(|_| ());
        self.0.readable.store(readable, Relaxed);
    }

    fn is_readable(&self) -> bool {
        self.0.readable.load(Relaxed)
    }

    /// poll(2), which may end for nothing.
    fn wait(&self) {
        if self.is_readable() {
            thread::yield_now();
        } else {
            thread::park();
        }
    }
}

impl Signal for Descriptor {
    fn raise(&self) {
        self.touch(true);
        if let Some(host) = &self.0.host {
            host.unpark();
        }
    }

    fn clear(&self) {
        self.touch(false);
    }
}

/// A loop that completes so many requests, and a host that sleeps on the descriptor. A completion that
/// does not fit is taken back outside the model.
fn a_loop_and_a_host_that_sleeps(name: &str, capacity: usize, count: u32) {
    explore(name, move || {
        let host = thread::current();
        let descriptor = Descriptor::new(Some(host.clone()));
        let (mut completer, mut reaper) = completions(capacity, descriptor.clone());
        let wanted = std::sync::Arc::new(Plain::new(count));
        let expected = std::sync::Arc::clone(&wanted);
        thread::spawn(move || {
            for number in 0..count {
                match completer.try_push(number) {
                    Ok(()) => completer.announce(),
                    Err(_) => {
                        expected.fetch_sub(1, Relaxed);
                        host.unpark();
                    }
                }
            }
        });
        let mut seen = Vec::new();
        loop {
            let taken = reaper.reap(1, |number| seen.push(number));
            if seen.len() as u32 == wanted.load(Relaxed) {
                break;
            }
            if taken == 0 {
                descriptor.wait();
            }
        }
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    });
}

/// The smallest with a slot used twice: every ordering of the ring and of the signal.
#[test]
fn completions_two_through_one_slot() {
    a_loop_and_a_host_that_sleeps("completions_two_through_one_slot", 1, 2);
}

#[test]
fn completions_three_through_two_slots() {
    a_loop_and_a_host_that_sleeps("completions_three_through_two_slots", 2, 3);
}

/// When both sides rest, the descriptor is readable if something is left, and one more look quiets it
/// if nothing is.
#[test]
fn completions_level_at_rest() {
    explore("completions_level_at_rest", || {
        let descriptor = Descriptor::new(None);
        let (mut completer, mut reaper) = completions(2, descriptor.clone());
        let loop_thread = thread::spawn(move || {
            for number in 0..2_u32 {
                completer.push(number);
                completer.announce();
            }
            completer
        });
        let mut seen = reaper.reap(1, drop);
        seen += reaper.reap(1, drop);
        let _completer = loop_thread.join().unwrap();
        assert_eq!(reaper.is_empty(), seen == 2);
        assert!(descriptor.is_readable() || reaper.is_empty(), "something is left and nobody is told");
        seen += reaper.reap(2, drop);
        assert_eq!(seen, 2);
        assert!(!descriptor.is_readable(), "nothing is left");
    });
}

/// One place in the window, one slot for completions: a thread that got the place another gave back
/// submits, and its completion finds the slot free.
#[test]
fn window_given_from_thread_to_thread() {
    explore("window_given_from_thread_to_thread", || {
        let window = std::sync::Arc::new(Window::new(1));
        let bell = Bell::new();
        let (submitter, mut intake) = submissions(1, bell.clone());
        let (mut completer, mut reaper) = completions(1, Descriptor::new(None));
        assert_eq!(window.enter(1), 1);
        completer.push(1_u32);
        let leaving = std::sync::Arc::clone(&window);
        thread::spawn(move || {
            assert_eq!(reaper.reap(1, drop), 1);
            leaving.leave(1);
        });
        thread::spawn(move || {
            while window.enter(1) == 0 {
                thread::yield_now();
            }
            submitter.push(2_u32).unwrap();
        });
        let number = loop {
            match intake.pop() {
                Some(number) => break number,
                None if intake.prepare_sleep() => bell.sleep(),
                None => {}
            }
            intake.end_sleep();
        };
        completer.push(number);
    });
}
