//! A directory that went back in time in its place, and what those who remember more of it make of that (trap T3).

use std::fs;
use std::path::Path;

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::{Envelope, Hello, Message, Seen};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::{Identity, Store};
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::{FileDisk, LogOptions, LogStore};

type Log = LogStore<FileDisk>;

fn config() -> Config {
    let mut config = Config::new("n0");
    config.members = ["n0", "n1"].map(|name| MemberSpec::new(name, &format!("{name}:1"))).to_vec();
    config
}

fn open(path: &Path, seed: u64) -> Log {
    let config = config();
    let keys = ClusterKeys::derive(&config.cluster, &config.secret);
    let mut random = Rng::new(seed);
    let options = LogOptions { segment_size: 64 << 10, ..LogOptions::new(config.partitions, keys.hash) };
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
    let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
    let mut node = Node::new(config(), open(path, seed), open(hints.path(), seed), seed, now).unwrap();
    let before = node.store().identity().generation;
    let peer = node.keys().member_id("n1");
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
    node.store().identity().generation != before
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
