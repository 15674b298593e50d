//! A directory that went back in time in its place, and what those who remember more of it make of that (trap T3).

use std::fs;
use std::path::Path;

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::io::Output;
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::{Envelope, Hello, Message, Seen, decode_frame, split_frame};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::{Identity, Store};
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
    let (now, peer) = (NOW, node.keys().member_id("n1"));
    node.handle_peer_up(now, peer);
    let seen = Seen { generation: met.generation, opens: met.opens, boot: met.nonce, sequence: 0 };
    let layout_hash = node.topology().hash();
    let hello =
        Hello { boot: 1, generation: 2, opens: 1, sequence: 1, layout_hash, seen: Some(seen), answer: true };
    let (layout_version, cluster_id) = (node.topology().version() as u32, node.keys().cluster_id);
    let mut frame = Vec::new();
    let envelope = Envelope { layout_version, cluster_id, request_id: 0, reaps: 0 };
    Message::Hello(hello).encode(&envelope, &mut frame);
    node.handle_frames(now, peer, &frame).unwrap();
}

/// The generations under which a node introduces itself in what it wants sent.
fn told(node: &mut Node<Log>) -> Vec<u64> {
    let mut told = Vec::new();
    while let Some(output) = node.poll_output(NOW) {
        let Output::Send { frames, .. } = output else { continue };
        let mut rest = &frames[..];
        while !rest.is_empty() {
            let (frame, behind) = split_frame(rest).unwrap();
            rest = behind;
            if let Message::Hello(hello) = decode_frame(frame).unwrap().1 {
                told.push(hello.generation);
            }
        }
    }
    told
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
