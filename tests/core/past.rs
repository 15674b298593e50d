//! A directory that went back in time in its place, and what those who remember more of it make of that (trap T3).

use std::fs;
use std::path::Path;

use quorate::proto::config::{Config, MemberSpec, Membership};
use quorate::proto::io::{Blind, MemberId, Operation, Options, Output, Reply, Request, RequestId};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::{Acks, Envelope, Hello, Message, Seen, Stored, decode_frame, split_frame};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::{Durability, Identity, Store};
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::{FileDisk, LogOptions, LogStore, WorkerMode};

type Log = LogStore<FileDisk>;

const NOW: Now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };

fn config() -> Config {
    let mut config = Config::new("n0");
    config.members = ["n0", "n1"].map(|name| MemberSpec::new(name, &format!("{name}:1"))).to_vec();
    config
}

fn open(path: &Path, seed: u64) -> Log {
    open_with(path, seed, WorkerMode::Thread)
}

fn open_with(path: &Path, seed: u64, worker: WorkerMode) -> Log {
    let config = config();
    let keys = ClusterKeys::derive(&config.cluster, &config.secret);
    let mut random = Rng::new(seed);
    let options =
        LogOptions { segment_size: 64 << 10, worker, ..LogOptions::new(config.partitions, keys.hash) };
    LogStore::open(FileDisk::new(path), options, &mut || random.next_u64(), Box::new(|| ())).unwrap()
}

/// Opens a directory and meets nobody.
fn opened(path: &Path, seed: u64) -> Identity {
    open(path, seed).identity()
}

/// Copies what a directory holds into another that is there, or not.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Whether a node finds that its directory went back in time when a peer says that it remembers this opening.
fn is_found_out(path: &Path, seed: u64, met: Identity) -> bool {
    let hints = tempfile::tempdir().unwrap();
    let mut node = Node::new(config(), open(path, seed), open(hints.path(), seed), seed, NOW).unwrap();
    let before = node.store().identity().generation;
    hear_of(&mut node, met);
    node.store().identity().generation != before
}

/// A peer introduces itself, and says that it remembers this opening.
fn hear_of(node: &mut Node<Log>, met: Identity) {
    hear_of_by(node, 1, met);
}

fn hear_of_by(node: &mut Node<Log>, by: u64, met: Identity) {
    node.handle_peer_up(NOW, peer(node, by));
    let seen = Seen { generation: met.generation, opens: met.opens, boot: met.nonce, sequence: 0 };
    let layout_hash = node.topology().hash();
    let hello = Hello {
        boot: 1,
        generation: by + 1,
        opens: 1,
        sequence: 1,
        layout_hash,
        seen: Some(seen),
        answer: true,
    };
    hear(node, by, 0, &Message::Hello(hello));
}

fn peer(node: &Node<Log>, number: u64) -> MemberId {
    node.keys().member_id(&format!("n{number}"))
}

/// A peer says something.
fn hear(node: &mut Node<Log>, by: u64, request_id: u64, message: &Message<'_>) {
    let (layout_version, cluster_id) = (node.topology().version() as u32, node.keys().cluster_id);
    let mut frame = Vec::new();
    message.encode(&Envelope { layout_version, cluster_id, request_id, reaps: 0 }, &mut frame);
    node.handle_frames(NOW, peer(node, by), &frame).unwrap();
}

/// What a node wants: to each message its number and what `look` makes of it, and its replies.
fn wanted<T>(node: &mut Node<Log>, look: impl Fn(&Message<'_>) -> Option<T>) -> (Vec<(u64, T)>, Vec<Reply>) {
    let (mut found, mut replies) = (Vec::new(), Vec::new());
    while let Some(output) = node.poll_output(NOW) {
        match output {
            Output::Sync(need) => node.store_mut().flush(need),
            Output::Reply { reply, .. } => replies.push(reply),
            Output::Send { frames, .. } => {
                let mut rest = &frames[..];
                while !rest.is_empty() {
                    let (frame, behind) = split_frame(rest).unwrap();
                    rest = behind;
                    let (envelope, message) = decode_frame(frame).unwrap();
                    found.extend(look(&message).map(|seen| (envelope.request_id, seen)));
                }
            }
            _ => {}
        }
    }
    (found, replies)
}

/// The generations under which a node introduces itself in what it wants sent.
fn told(node: &mut Node<Log>) -> Vec<u64> {
    let look = |message: &Message<'_>| match message {
        Message::Hello(hello) => Some(hello.generation),
        _ => None,
    };
    wanted(node, look).0.into_iter().map(|(_, generation)| generation).collect()
}

#[test]
fn an_old_copy_that_was_opened_more_often_than_a_peer_remembers_is_found_out() {
    let home = tempfile::tempdir().unwrap();
    let (path, kept) = (home.path().join("data"), home.path().join("kept"));
    opened(&path, 1);
    copy(&path, &kept);
    let met = opened(&path, 2);
    assert!(!is_found_out(&path, 3, met), "it was opened again since, and that is all");
    // The same files lie there again, and nobody is met until it was opened more often than anybody remembers.
    fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).for_each(|old| {
        let gone = if old.is_dir() { fs::remove_dir_all(old) } else { fs::remove_file(old) };
        gone.unwrap();
    });
    copy(&kept, &path);
    (4..6).for_each(|seed| drop(open(&path, seed)));
    assert!(opened(&path, 6).opens > met.opens);
    assert!(is_found_out(&path, 7, met));
}

/// Power that goes in between brings the old copy back, and who had heard of its new generation would have forgotten
/// what proves that it is one.
#[test]
fn nobody_hears_of_a_new_generation_before_it_is_on_disk() {
    let (home, hints) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = open_with(home.path(), 1, WorkerMode::Host);
    let before = data.identity();
    let mut node = Node::new(config(), data, open(hints.path(), 1), 1, NOW).unwrap();
    hear_of(&mut node, Identity { opens: before.opens + 1, nonce: 7, ..before });
    let renewed = node.store().identity().generation;
    assert_ne!(renewed, before.generation);
    node.maintain(NOW);
    assert!(told(&mut node).iter().all(|&generation| generation == before.generation));
    while node.store().disk_step() {}
    node.maintain(NOW);
    assert_eq!(told(&mut node), [renewed]);
    drop(node);
    assert_eq!(opened(home.path(), 2).generation, renewed);
}

/// What it wrote while it did not know that it is an old copy, and brings to disk when it does, is one copy of a machine that
/// has lost its disk: neither its own write nor a peer's may count it.
#[test]
fn what_becomes_safe_in_an_old_copy_counts_for_nobody() {
    let (home, hints) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = open_with(home.path(), 1, WorkerMode::Host);
    let before = data.identity();
    let mut config = config();
    config.membership = Membership::Founded;
    config.keyspaces[0].durability = Durability::Always;
    let member =
        |(name, generation)| MemberSpec { generation, ..MemberSpec::new(name, &format!("{name}:1")) };
    config.members = [("n0", before.generation), ("n1", 2), ("n2", 3)].map(member).to_vec();
    let mut node = Node::new(config, data, open(hints.path(), 1), 1, NOW).unwrap();
    (1..3).for_each(|by| hear_of_by(&mut node, by, before));
    let put = Operation::Put { value: b"v", context: None, blind: Blind::Siblings, expires_ms: None };
    let request = Request { keyspace: 0, key: b"k", operation: put, options: Options::default() };
    node.handle_request(NOW, RequestId(1), &request);
    let look = |message: &Message<'_>| match message {
        Message::Replicate { object, .. } => Some(object.to_vec()),
        _ => None,
    };
    let (sent, replies) = wanted(&mut node, look);
    assert!(replies.is_empty(), "nothing is on disk");
    let (id, object) = &sent[0];
    let acks = Acks { stored: false, durable: true };
    hear(&mut node, 1, 7, &Message::Replicate { keyspace: 0, key: b"other", acks, object });

    hear_of(&mut node, Identity { opens: before.opens + 1, nonce: 7, ..before });
    assert_ne!(node.store().identity().generation, before.generation);
    let acknowledged = |message: &Message<'_>| matches!(message, Message::Acknowledge(_)).then_some(());
    for _ in 0..3 {
        while node.store().disk_step() {}
        node.maintain(NOW);
        node.handle_synced(NOW);
        let (answers, replies) = wanted(&mut node, acknowledged);
        assert!(answers.is_empty() && replies.is_empty(), "{answers:?} {replies:?}");
    }
    hear(&mut node, 1, *id, &Message::Acknowledge(Stored::Durable));
    assert_eq!(wanted(&mut node, acknowledged).1, [], "one of two");
}
