//! What the queues promise to one thread at a time, and to real threads. `tests/loom.rs` has the orders.

use super::*;
use std::sync::atomic::AtomicUsize;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for &Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A level kept as a number, and whether anybody raised it twice.
#[derive(Default)]
struct Level(AtomicUsize);

impl Signal for &Level {
    fn raise(&self) {
        assert_eq!(self.0.swap(1, Ordering::SeqCst), 0, "raised while raised");
    }
    fn clear(&self) {
        assert_eq!(self.0.swap(0, Ordering::SeqCst), 1, "cleared while quiet");
    }
}

#[test]
fn a_full_queue_gives_the_value_back() {
    let wakes = Count::default();
    let (submitter, mut intake) = submissions(2, &wakes);
    assert_eq!(submitter.push(1), Ok(()));
    assert_eq!(submitter.push(2), Ok(()));
    assert_eq!(submitter.push(3), Err(Refused::Full(3)));
    assert_eq!(intake.pop(), Some(1));
    assert_eq!(submitter.push(3), Ok(()));
    let mut rest = Vec::new();
    assert_eq!(intake.drain(8, |value| rest.push(value)), 2);
    assert_eq!(rest, [2, 3]);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "nobody slept");
}

#[test]
fn only_a_sleeping_loop_is_woken_and_only_once() {
    let wakes = Count::default();
    let (submitter, mut intake) = submissions(8, &wakes);
    assert!(intake.prepare_sleep());
    submitter.push(1).unwrap();
    submitter.push(2).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    intake.end_sleep();
    assert!(!intake.prepare_sleep(), "two values are queued");
    submitter.push(3).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_closed_queue_refuses_and_gives_out_what_it_took() {
    let wakes = Count::default();
    let (submitter, mut intake) = submissions(4, &wakes);
    submitter.push(1).unwrap();
    intake.close();
    assert_eq!(submitter.push(2), Err(Refused::Closed(2)));
    let mut rest = Vec::new();
    intake.drain_closed(|value| rest.push(value));
    assert_eq!(rest, [1]);
}

#[test]
fn values_left_behind_are_dropped_once() {
    let wakes = Count::default();
    let level = Level::default();
    let value = std::sync::Arc::new(());
    let (submitter, intake) = submissions(4, &wakes);
    submitter.push(std::sync::Arc::clone(&value)).unwrap();
    drop(intake);
    assert!(submitter.push(std::sync::Arc::clone(&value)).is_err());
    let (mut completer, reaper) = completions(4, &level);
    completer.push(std::sync::Arc::clone(&value));
    drop((completer, reaper));
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn the_level_follows_the_queue() {
    let level = Level::default();
    let (mut completer, mut reaper) = completions(4, &level);
    let raised = || level.0.load(Ordering::SeqCst) == 1;
    completer.push(1);
    completer.push(2);
    assert!(!raised(), "announced once per step, not per completion");
    completer.announce();
    assert!(raised());
    assert_eq!(reaper.reap(1, drop), 1);
    assert!(raised(), "one is left");
    assert_eq!(reaper.reap(1, drop), 1);
    assert!(!raised());
    assert_eq!(reaper.reap(1, drop), 0);
    completer.announce();
    assert!(!raised(), "nothing new to announce");
}

#[test]
fn the_window_admits_its_limit() {
    let window = Window::new(3);
    assert_eq!(window.enter(2), 2);
    assert_eq!(window.enter(2), 1);
    assert_eq!(window.enter(1), 0);
    window.leave(2);
    assert_eq!(window.enter(5), 2);
    assert_eq!(window.inside(), 3);
}

#[test]
fn threads_lose_and_repeat_nothing() {
    const THREADS: u64 = 4;
    const EACH: u64 = 10_000;
    let wakes: &'static Count = Box::leak(Box::default());
    let (submitter, mut intake) = submissions(64, wakes);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let submitter = submitter.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let mut value = thread << 32 | number;
                    while let Err(Refused::Full(back)) = submitter.push(value) {
                        value = back;
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0; THREADS as usize];
    let mut total = 0;
    while total < THREADS * EACH {
        let taken = intake.drain(16, |value| {
            let (thread, number) = ((value >> 32) as usize, value & 0xffff_ffff);
            assert_eq!(next[thread], number, "each thread's values come in its order");
            next[thread] += 1;
        });
        if taken == 0 {
            std::thread::yield_now();
        }
        total += taken as u64;
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(intake.is_empty());
}
