//! Malformed input against a live node: a process of its own is sent a long row of bent commands, frames,
//! records and handshakes. It must stay alive, answer `PING` after each thousand, hold its memory, and
//! keep what a good client wrote.
//!
//! ```text
//! QUORATE_MALFORMED=20000         how many inputs
//! QUORATE_MALFORMED_SEED=1        from which seed
//! QUORATE_MALFORMED_FROM=0        from which input on (a whole thousand)
//! QUORATE_MALFORMED_NODE=PATH     another program than the one built with this test
//! ```
//!
//! Inputs come from real traffic that is written down in `commands.rs` and `messages.rs`, bent by
//! `mutate.rs`; `plan.rs` says which number is which input. Every input is accounted for in `tally.rs`.

mod clients;
mod cluster;
mod commands;
mod handshakes;
mod messages;
mod mutate;
mod node;
mod peers;
mod plan;
mod reach;
mod tally;

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use quorate::proto::keys::ClusterKeys;
use quorate::proto::rng::Rng;
use quorate::resp::client::Value;

use clients::{chat, count_cut, read_to_end, send_commands};
use cluster::{INSIDES, OPEN_KINDS};
use commands::announcement;
use handshakes::{answer_dialled, send_handshakes};
use messages::{Facts, KINDS, Recent};
use node::{
    ANSWERING_MEMBER, Client, HANDSHAKE_MEMBER, Memory, NODE, Node, RECORD_MEMBERS, connect, write_all,
};
use peers::{Link, send_frames};
use plan::{FLUSHES, Family, Job, Places, Queue, ROUND, Run, Trouble, family};
use tally::{Class, Tally};

/// Inputs after which memory must have found its measure.
const WARM_UP: u64 = 10_000;
/// How much more may be resident later on, in KiB.
const GROWTH_MAX_KIB: u64 = 16 << 10;
/// How much more may be reserved, in KiB.
const RESERVED_GROWTH_MAX_KIB: u64 = 32 << 10;
/// How much may be reserved for what all held inputs of a round announce, in KiB: they announce four times
/// this at least.
const HELD_MAX_KIB: u64 = 16 << 10;
/// Keys of the good client.
const GOOD_KEYS: usize = 200;
/// Connections that send commands at one time.
const CLIENTS: usize = 10;
/// Connections with good commands meanwhile.
const CHATS: u64 = 2;

#[test]
fn malformed_input_does_no_harm() {
    let inputs = setting("QUORATE_MALFORMED", 20_000).next_multiple_of(ROUND);
    let seed = setting("QUORATE_MALFORMED_SEED", 1);
    let from = setting("QUORATE_MALFORMED_FROM", 0) / ROUND * ROUND;
    println!("malformed: {inputs} inputs from input {from} on, seed {seed}");
    let mut node = Node::start();
    let mut client = Client::connect(node.client).expect("the node accepts clients");
    let run = meet(&node, &mut client, seed).expect("the node answers");
    let places = Places::new(&run);
    let mut links: [Option<Link>; 3] = [None, None, None];
    let mut good = Vec::new();
    let (mut warm, mut most, mut beside) = (None, Memory::default(), 0);
    for first in (from..from + inputs).step_by(ROUND as usize) {
        if first >= FLUSHES && good.is_empty() {
            good = write_good_keys(&run, &mut client)
                .unwrap_or_else(|error| fail(&mut node, &run, first, error));
        }
        let done = go_round(&run, &places, &node, &mut links, first);
        if let Err(trouble) = done {
            fail(&mut node, &run, first, format!("inputs {:?}: {}", trouble.inputs, trouble.what));
        }
        let memory = look_after(&run, &node, &mut client, first)
            .unwrap_or_else(|error| fail(&mut node, &run, first, error));
        most = Memory {
            resident: most.resident.max(memory.resident),
            of_files: most.of_files.max(memory.of_files),
            reserved: most.reserved.max(memory.reserved),
        };
        beside = beside.max(memory.beside_files());
        if first + ROUND - from >= WARM_UP.min(inputs / 2) {
            let warm = *warm.get_or_insert(memory);
            judge_memory(warm, memory).unwrap_or_else(|error| fail(&mut node, &run, first, error));
        }
        if (first + ROUND).is_multiple_of(50 * ROUND) {
            println!("malformed: input {}, {memory:?}", first + ROUND);
        }
    }
    drop(links);
    check_good_keys(&good, &mut client).unwrap_or_else(|error| fail(&mut node, &run, from + inputs, error));
    println!("malformed: memory in KiB after warming up {warm:?}, at most {most:?}");
    println!("malformed: beside the log's map at most {beside} KiB were resident");
    report(&run, &places, &mut client, from);
    drop(client);
    node.stop();
    come_back(&mut node, &good);
    node.kill();
    come_back(&mut node, &good);
    node.stop();
}

/// Starts the node again over what it has stored: all of it must be readable, and writes go on.
fn come_back(node: &mut Node, good: &[(Vec<u8>, Vec<u8>)]) {
    node.run();
    let mut client = Client::connect(node.client).expect("the node accepts clients");
    check_good_keys(good, &mut client).expect("a restart loses nothing");
    for (key, value) in good {
        let reply = client.call(&[b"SET", key, value]).expect("the node answers");
        assert_eq!(reply, Value::Simple("OK".into()), "a write after a restart: {}", node.last_words());
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() {
        default
    } else {
        text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is no number"))
    }
}

/// Ends the test with everything that is needed to repeat the failure.
fn fail(node: &mut Node, run: &Run, first: u64, what: impl ToString) -> ! {
    let ended = node.ended();
    let words = ended.unwrap_or_else(|| format!("the node still runs, and said: {}", node.last_words()));
    panic!(
        "{}\n{words}\nagain: QUORATE_MALFORMED_SEED={} QUORATE_MALFORMED_FROM={first} QUORATE_MALFORMED={ROUND}",
        what.to_string(),
        run.seed,
    );
}

/// Learns what the node says of itself.
fn meet(node: &Node, client: &mut Client, seed: u64) -> io::Result<Run> {
    let mut run = Run {
        seed,
        client: node.client,
        peer: node.peer,
        members: node.members.clone(),
        commands: HashSet::new(),
        sentinel_key: Vec::new(),
        facts: Facts {
            keys: ClusterKeys::derive("quorate", &ClusterKeys::PUBLIC),
            layout_version: 0,
            layout_hash: 0,
            generation: 0,
            boot: 0,
            opens: 0,
        },
        recent: Recent::default(),
        tally: Mutex::new(Tally::default()),
    };
    run.sentinel_key = owned_keys(client, "sentinel", 1)?.remove(0);
    let Value::Array(names) = client.call(&[b"COMMAND", b"LIST"])? else {
        return Err(io::Error::other("COMMAND LIST gives no list"));
    };
    for name in names {
        if let Value::Bulk(name) = name {
            run.commands.insert(String::from_utf8_lossy(&name).into_owned());
        }
    }
    let link = Link::open(&run, RECORD_MEMBERS[0], &mut Rng::new(seed))?;
    run.facts = link.facts().clone();
    Ok(run)
}

/// Keys that the node holds a replica of.
fn owned_keys(client: &mut Client, prefix: &str, count: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    for number in 0.. {
        let key = format!("{prefix}-of-the-test-{number}").into_bytes();
        let owners = format!("{:?}", client.call(&[b"Q.OWNERS", &key])?);
        if owners.contains(&format!("{:?}", Value::Bulk(NODE.into()))) {
            keys.push(key);
        }
        if keys.len() == count {
            break;
        }
    }
    Ok(keys)
}

/// What must be there in the end.
fn write_good_keys(run: &Run, client: &mut Client) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut rng = Rng::new(run.seed);
    let mut written = Vec::new();
    for key in owned_keys(client, "good", GOOD_KEYS)? {
        let value = mutate::noise(&mut rng, 20);
        match client.call(&[b"SET", &key, &value])? {
            Value::Simple(ok) if ok == "OK" => written.push((key, value)),
            other => return Err(io::Error::other(format!("a good SET was answered {other:?}"))),
        }
    }
    Ok(written)
}

fn check_good_keys(good: &[(Vec<u8>, Vec<u8>)], client: &mut Client) -> io::Result<()> {
    assert_eq!(good.len(), GOOD_KEYS, "too few inputs to write what must be found again");
    for (key, value) in good {
        let found = client.call(&[b"GET", key])?;
        if found != Value::Bulk(value.clone()) {
            let held = client.call(&[b"Q.GET", key])?;
            let key = String::from_utf8_lossy(key);
            let text =
                format!("`{key}` was written as {value:?} and reads back as {found:?}, held as {held:?}");
            return Err(io::Error::other(text));
        }
    }
    Ok(())
}

/// Sends a thousand inputs, many at one time.
fn go_round(
    run: &Run,
    places: &Places,
    node: &Node,
    links: &mut [Option<Link>; 3],
    first: u64,
) -> Result<(), Trouble> {
    let (commands, handshakes, dialled) = (Queue::default(), Queue::default(), Queue::default());
    let frames: [Queue; 3] = Default::default();
    for number in first..first + ROUND {
        let queue = match family(number) {
            Family::Command | Family::CommandCut(_) => &commands,
            Family::Handshake | Family::HandshakeCut(_) => &handshakes,
            Family::Dialled => &dialled,
            Family::Held => continue,
            Family::Answer => &frames[2],
            _ => &frames[number as usize % 2],
        };
        queue.push(Job { number, alone: false });
        count_cut(run, places, number);
    }
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        for _ in 0..CLIENTS {
            lanes.push(scope.spawn(|| send_commands(run, places, &commands)));
        }
        // One at a time: a second stream of one member ends the first.
        lanes.push(scope.spawn(|| send_handshakes(run, places, &handshakes)));
        let members = [RECORD_MEMBERS[0], RECORD_MEMBERS[1], ANSWERING_MEMBER];
        for ((link, queue), name) in links.iter_mut().zip(&frames).zip(members) {
            lanes.push(scope.spawn(move || send_frames(run, places, name, link, queue)));
        }
        lanes.push(scope.spawn(|| answer_dialled(run, node, &dialled)));
        let chats: Vec<_> = (0..CHATS).map(|at| scope.spawn(move || chat(run, first + at, done))).collect();
        let mut results: Vec<_> = lanes.into_iter().map(ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        results.extend(chats.into_iter().map(ScopedJoinHandle::join));
        let mut worst: Option<Trouble> = None;
        for result in results {
            if let Err(trouble) = result.expect("a lane does not panic") {
                let inputs = worst.take().map_or_else(Vec::new, |worst| worst.inputs);
                worst = Some(Trouble { inputs: [inputs, trouble.inputs].concat(), what: trouble.what });
            }
        }
        worst.map_or(Ok(()), Err)
    })
}

/// Leaves announcements open, asks whether the node lives, looks at its memory, and hangs up.
fn look_after(run: &Run, node: &Node, client: &mut Client, first: u64) -> io::Result<Memory> {
    let before = node.memory();
    let mut held = Vec::new();
    let mut link = None;
    for number in (first..first + ROUND).filter(|&number| family(number) == Family::Held) {
        if link.is_none() {
            let mut announcing = Link::open(run, HANDSHAKE_MEMBER, &mut run.rng(number))?;
            announcing.announce()?;
            link = Some(announcing);
            continue;
        }
        let mut stream = connect(run.client)?;
        write_all(&mut stream, &announcement(&mut run.rng(number)))?;
        held.push(stream);
    }
    // What was sent before is read before the second of these is answered.
    for _ in 0..2 {
        let pong = client.call(&[b"PING"])?;
        if pong != Value::Simple("PONG".into()) {
            return Err(io::Error::other(format!("PING was answered {pong:?}")));
        }
    }
    let memory = node.memory();
    let reserved = memory.reserved.saturating_sub(before.reserved);
    if reserved >= HELD_MAX_KIB {
        let what =
            format!("reserved memory grew by {reserved} KiB for what {} inputs announce", held.len() + 1);
        return Err(io::Error::other(what));
    }
    for mut stream in held {
        let (replies, _) = read_to_end(&mut stream)?;
        if !replies.is_empty() {
            return Err(io::Error::other(format!("half a command was answered {replies:?}")));
        }
        run.tally(|tally| tally.input(Class::CommandHalf));
    }
    if let Some(link) = link {
        link.end_with(run, b"", true)?;
        run.tally(|tally| tally.input(Class::RecordHalf));
    }
    Ok(memory)
}

fn judge_memory(warm: Memory, now: Memory) -> Result<(), String> {
    let grown = now.beside_files().saturating_sub(warm.beside_files());
    let reserved = now.reserved.saturating_sub(warm.reserved);
    if grown >= GROWTH_MAX_KIB {
        return Err(format!("resident memory grew by {grown} KiB: {warm:?}, {now:?}"));
    }
    if reserved >= RESERVED_GROWTH_MAX_KIB {
        return Err(format!("reserved memory grew by {reserved} KiB: {warm:?}, {now:?}"));
    }
    Ok(())
}

/// Prints what was shown, and fails if something was not.
fn report(run: &Run, places: &Places, client: &mut Client, from: u64) {
    let Ok(Value::Bulk(stats)) = client.call(&[b"INFO", b"stats"]) else { panic!("INFO gives no text") };
    let stats = String::from_utf8_lossy(&stats);
    let counters = stats.lines().filter_map(|line| line.strip_prefix("quorate_"));
    println!("malformed: {}", counters.collect::<Vec<_>>().join(", "));
    run.tally(|tally| {
        println!("{}", tally.report());
        let mut missing = tally.missing();
        for kind in KINDS {
            for how in ["decoded", "refused"] {
                // What carries nothing but another encoding is refused by the decoder of that.
                let is_open = how == "refused" && OPEN_KINDS.contains(&kind);
                if tally.reached(kind, how) == 0 && !is_open {
                    missing.push(format!("the decoder of {kind} {how} nothing"));
                }
            }
        }
        for inside in INSIDES {
            for how in ["decoded", "refused"] {
                if tally.reached(inside, how) == 0 {
                    missing.push(format!("the decoder of {inside} {how} nothing"));
                }
            }
        }
        for answer in ["Acknowledge", "Fetched", "fetched object", "Forwarded", "reply", "Scanned"] {
            if tally.reached(answer, "awaited by the node") == 0 {
                missing.push(format!("no {answer} was awaited by the node"));
            }
        }
        for command in &run.commands {
            let reached = ["ok", "error", "other"].iter().map(|how| tally.reached(command, how)).sum::<u64>();
            // Those that empty keyspaces are among the first inputs only.
            if reached == 0 && (from < FLUSHES || !command.starts_with("flush")) {
                missing.push(format!("no input reached {command}"));
            }
        }
        for (kind, all) in [("command", &places.commands), ("frame", &places.frames)] {
            let missed = all.iter().filter(|(which, length)| !tally.was_cut(kind, *which, *length)).count();
            println!("malformed: {} places to cut a {kind}, {missed} missed", all.len());
        }
        assert!(missing.is_empty(), "{}", missing.join("; "));
    });
}
