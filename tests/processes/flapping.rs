//! A node that comes and goes: its cable is pulled and put back, its interface turned off and on, its process
//! stopped and continued. The others serve all the while, judge it as designed, change no layout, and neither
//! they nor it raise a storm; in the end it has what was written without it.
//!
//! Each node runs in a network namespace of its own, which needs root. Clients use the Unix sockets: they
//! reach a node whose network is gone.
//!
//! `QUORATE_FLAP_ROUNDS` has the network flap so often for two seconds, ten times as often for less than a probe
//! takes, and so often for longer than it takes to be declared down. `QUORATE_STOP_SECONDS` is for how long the
//! process is stopped, as `1,5,20,60`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::apart::{Nodes, is_back};
use crate::client::{Client, error_word};
use crate::cluster::name;
use crate::gossip::{BYTES_A_SECOND_MAX, Status};
use crate::load::{Answer, Answers, assert_no_failures, check_all};
use crate::process::PATIENCE;

/// Who comes and goes; the others are `0` and `1`.
const FLAPPER: usize = 2;
/// Datagrams of membership that a node of three may send in a second.
const DATAGRAMS_A_SECOND_MAX: u64 = 15;
/// Connections that it may try in a second, to both others together: one each, and as much again for what
/// else is counted where there is no route.
const ATTEMPTS_A_SECOND_MAX: u64 = 4;
/// Lines that it may log each time that one goes and comes.
const LINES_A_ROUND_MAX: u64 = 20;

impl Nodes {
    /// What a node, and the kernel where it is, have counted.
    fn counts(&self, at: usize) -> Counts {
        let kernel = self.network.counters(at);
        let lines = self.processes[at].stderr().lines().count() as u64;
        let status = Status::of(&mut self.connect(at));
        let later = self.network.counters(at);
        Counts {
            status,
            sent: kernel["sent"],
            datagrams: (kernel["Udp OutDatagrams"], later["Udp OutDatagrams"]),
            attempts: kernel["Tcp ActiveOpens"] + kernel["Ip OutNoRoutes"],
            lines,
        }
    }

    fn set(&self, how: Away, away: bool) {
        match how {
            Away::Unplugged => self.network.set_cable(FLAPPER, !away),
            Away::TurnedOff => self.network.set_interface(FLAPPER, !away),
            Away::Stopped => self.processes[FLAPPER].signal(if away { "STOP" } else { "CONT" }),
        }
    }
}

/// What is counted of a node.
struct Counts {
    status: Status,
    /// Bytes that left its place.
    sent: u64,
    /// Datagrams that had left it before and after its node was asked.
    datagrams: (u64, u64),
    /// Connections begun, and what else failed for want of a route.
    attempts: u64,
    /// Lines of its log.
    lines: u64,
}

/// How the flapper is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// Its cable is out: what it sends, and what is sent to it, is lost.
    Unplugged,
    /// Its interface is off: it has no route to anybody.
    TurnedOff,
    /// Its process is stopped, and its kernel answers for it.
    Stopped,
}

/// One time that it is away.
struct Round {
    how: Away,
    time: Duration,
    /// What one of the others must think of it before it comes back, however long that takes; empty if it may
    /// come back unnoticed.
    until: &'static [&'static str],
    /// How long it is back then at least.
    back: Duration,
    /// Both others must know that it is back before it goes again.
    is_awaited: bool,
}

/// Asks the two others over and over what they think of the flapper.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen of them.
#[derive(Default)]
struct Seen {
    /// When, who, and what it thought from then on.
    verdicts: Vec<(Instant, usize, String)>,
    /// Each different pair of layout version and hash.
    layouts: BTreeSet<String>,
}

impl Watch {
    fn start(nodes: &Nodes) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = [nodes.connect(0), nodes.connect(1)];
        let is_told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut last = [String::new(), String::new()];
            while !is_told.load(Ordering::Relaxed) {
                for (at, client) in clients.iter_mut().enumerate() {
                    let status = Status::of(client);
                    seen.layouts.insert(format!("{:?}", status.layout()));
                    let verdict = status.verdict(FLAPPER);
                    if verdict != last[at] {
                        last[at].clone_from(&verdict);
                        seen.verdicts.push((Instant::now(), at, verdict));
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
            seen
        });
        Watch { stop, thread }
    }

    fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the others answer")
    }
}

/// A client that writes and reads a key of its own every few milliseconds, until told to stop.
fn write_steadily(
    mut client: Client,
    prefix: String,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(Answers, Duration)> {
    thread::spawn(move || {
        let (mut answers, mut longest) = (Answers::new(), Duration::ZERO);
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("{prefix}:{number}");
            let begun = Instant::now();
            let written = client.call(&["SET", &key, &key]);
            let read = client.call(&["GET", &key]);
            longest = longest.max(begun.elapsed());
            if let Some(word) = error_word(&read) {
                answers.insert(format!("GET {key}"), Answer::Error(word.to_owned()));
            } else if error_word(&written).is_none() {
                assert_eq!(read, Value::Bulk(key.clone().into_bytes()), "{key} was acknowledged");
            }
            let answer = error_word(&written).map_or(Answer::Ok, |word| Answer::Error(word.to_owned()));
            answers.insert(key, answer);
            thread::sleep(Duration::from_millis(5));
        }
        (answers, longest)
    })
}

/// Has the flapper away once for each round, and holds what must hold all the while. Gives back what the others
/// thought of it. Keys begin with `prefix`: each is written once.
fn endure(nodes: &Nodes, prefix: &str, rounds: &[Round]) -> Vec<String> {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|at| write_steadily(nodes.connect(at), format!("{prefix}:{at}"), Arc::clone(&stop)))
        .collect();
    let watch = Watch::start(nodes);
    let before = [0, 1, 2].map(|at| nodes.counts(at));
    let begun = Instant::now();
    let marks: Vec<(String, Instant)> = rounds.iter().flat_map(|round| go_and_return(nodes, round)).collect();
    for at in 0..3 {
        (0..3).for_each(|of| await_verdict(nodes, at, of, is_back));
    }
    let seconds = begun.elapsed().as_secs() + 1;
    let after = [0, 1, 2].map(|at| nodes.counts(at));
    stop.store(true, Ordering::Relaxed);
    let mut answers = Answers::new();
    for writer in writers {
        let (more, longest) = writer.join().expect("no client fails");
        println!("{} writes and reads; the longest pair took {longest:?}", more.len());
        answers.extend(more);
    }
    let seen = watch.stop();
    tell(begun, marks, &seen);
    assert_no_failures(&answers);
    assert_eq!(seen.layouts, BTreeSet::from([format!("{:?}", before[0].status.layout())]));
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        println!("{}, in {seconds} s and {} rounds:", name(at), rounds.len());
        assert_calm(before, after, seconds, rounds.len() as u64, answers.len() as u64);
    }
    check_all(&mut nodes.connect(FLAPPER), &answers, &["GET"]);
    await_caught_up(nodes);
    assert_eq!(nodes.overview()["staged"].as_array().map(Vec::len), Some(0));
    seen.verdicts.into_iter().map(|(_, _, verdict)| verdict).collect()
}

/// One round. Says what was done when.
fn go_and_return(nodes: &Nodes, round: &Round) -> [(String, Instant); 2] {
    let gone = Instant::now();
    nodes.set(round.how, true);
    thread::sleep(round.time);
    let is_noticed = |verdict: &str| round.until.contains(&verdict);
    if !round.until.is_empty() {
        (0..2).for_each(|at| await_verdict(nodes, at, FLAPPER, is_noticed));
    }
    nodes.set(round.how, false);
    let back = Instant::now();
    thread::sleep(round.back);
    if round.is_awaited {
        (0..2).for_each(|at| await_verdict(nodes, at, FLAPPER, is_back));
    }
    [(format!("{:?}", round.how), gone), ("back".to_owned(), back)]
}

/// Waits until a node thinks of another in this way.
fn await_verdict(nodes: &Nodes, at: usize, of: usize, is_meant: impl Fn(&str) -> bool) {
    let mut client = nodes.connect(at);
    let give_up = Instant::now() + PATIENCE;
    loop {
        let verdict = Status::of(&mut client).verdict(of);
        if is_meant(&verdict) {
            return;
        }
        assert!(Instant::now() < give_up, "{} is still {verdict} for {}", name(of), name(at));
        thread::sleep(Duration::from_millis(20));
    }
}

/// Prints what was done and seen, in order.
fn tell(begun: Instant, marks: Vec<(String, Instant)>, seen: &Seen) {
    let done = marks.into_iter().map(|(what, at)| (at, what));
    let thought = seen.verdicts.iter().map(|(at, by, what)| (*at, format!("  {}: {what}", name(*by))));
    let mut lines: Vec<(Instant, String)> = done.chain(thought).collect();
    lines.sort();
    for (at, what) in lines {
        println!("{:7.2} s {what}", at.saturating_duration_since(begun).as_secs_f64());
    }
}

/// A node has not sent much, nor tried to connect often, nor filled its log, nor had its layout changed.
fn assert_calm(before: &Counts, after: &Counts, seconds: u64, rounds: u64, writes: u64) {
    assert_eq!(before.status.layout(), after.status.layout());
    let grown = |name| after.status.counter(name) - before.status.counter(name);
    let (bytes, datagrams) = (grown("gossip_bytes_sent"), grown("gossip_datagrams_sent"));
    let (repairs, unsent) = (grown("gossip_repairs"), grown("gossip_datagrams_unsent"));
    let (attempts, lines) = (after.attempts - before.attempts, after.lines - before.lines);
    // No more than the node can have counted in the same time.
    let (sent, seen) = (after.sent - before.sent, after.datagrams.0 - before.datagrams.1);
    println!(
        "  gossip: {bytes} bytes in {datagrams} datagrams, {unsent} of them unsent, {repairs} repairs\n  \
         kernel: {sent} bytes, {seen} datagrams, {attempts} connections tried; {lines} lines logged",
    );
    println!("  {} bytes a write", sent / writes);
    assert!(bytes > 0 && datagrams > 0, "nothing was counted");
    assert!(seen <= datagrams, "{seen} datagrams were sent, and {datagrams} counted");
    assert!(bytes <= seconds * BYTES_A_SECOND_MAX, "{bytes} bytes in {seconds} s");
    assert!(datagrams <= seconds * DATAGRAMS_A_SECOND_MAX, "{datagrams} datagrams in {seconds} s");
    assert!(attempts <= seconds * ATTEMPTS_A_SECOND_MAX, "{attempts} connections tried in {seconds} s");
    assert!(lines <= rounds * LINES_A_ROUND_MAX, "{lines} lines in {rounds} rounds");
    assert_eq!(after.status.counter("gossip_refused_twin"), 0);
}

/// Waits until the flapper holds as much as the others.
fn await_caught_up(nodes: &Nodes) {
    let give_up = Instant::now() + PATIENCE;
    let begun = Instant::now();
    loop {
        let records: Vec<Value> = (0..3).map(|at| Status::of(&mut nodes.connect(at)).records()).collect();
        if records.iter().all(|count| *count == records[0]) {
            println!("all hold the same {:?} after {:?}", records[0], begun.elapsed());
            return;
        }
        assert!(Instant::now() < give_up, "not all nodes hold the same: {records:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A network that flaps: pulled and turned off in turn, so many milliseconds away and back.
fn flaps(
    rounds: usize,
    (away, back): (u64, u64),
    until: &'static [&'static str],
    is_awaited: bool,
) -> Vec<Round> {
    let how = [Away::Unplugged, Away::TurnedOff];
    let round = |number: usize| Round {
        how: how[number % 2],
        time: Duration::from_millis(away),
        until,
        back: Duration::from_millis(back),
        is_awaited,
    };
    (0..rounds).map(round).collect()
}

#[test]
fn a_network_that_flaps_costs_no_write_no_layout_and_no_storm() {
    let Some(nodes) = Nodes::start(3) else { return };
    let long: Option<usize> =
        std::env::var("QUORATE_FLAP_ROUNDS").ok().map(|text| text.parse().expect("a number"));
    let seen =
        endure(&nodes, "short", &flaps(long.unwrap_or(4), (2_000, 2_000), &["suspect", "down"], false));
    assert!(seen.iter().any(|verdict| verdict != "alive"), "nobody noticed: {seen:?}");
    let Some(rounds) = long else { return };
    endure(&nodes, "quick", &flaps(10 * rounds, (300, 300), &[], false));
    let seen = endure(&nodes, "long", &flaps(rounds, (12_000, 2_000), &["down"], true));
    for verdict in ["suspect", "down"] {
        assert!(seen.iter().any(|seen| seen == verdict), "never {verdict}: {seen:?}");
    }
    assert!(rounds < 3 || seen.iter().any(|verdict| verdict == "unsteady"), "never unsteady: {seen:?}");
}

#[test]
fn a_process_that_is_stopped_for_long_costs_no_write_no_layout_and_no_storm() {
    let Some(nodes) = Nodes::start(3) else { return };
    let seconds = std::env::var("QUORATE_STOP_SECONDS").unwrap_or_else(|_| "3".to_owned());
    for text in seconds.split(',') {
        let seconds: u64 = text.trim().parse().expect("seconds");
        let until: &[&str] = match seconds {
            // One may come back before anybody missed it.
            0..3 => &[],
            3..15 => &["suspect", "down"],
            _ => &["down"],
        };
        let (how, time, back) = (Away::Stopped, Duration::from_secs(seconds), Duration::from_secs(2));
        println!("stopped for {seconds} s:");
        endure(&nodes, &format!("stop{seconds}"), &[Round { how, time, until, back, is_awaited: true }]);
        let stalls = Status::of(&mut nodes.connect(FLAPPER)).counter("gossip_stalls");
        assert!(stalls > 0, "it does not know that it was stopped");
    }
}
