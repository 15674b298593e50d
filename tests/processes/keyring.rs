//! The key of gossip datagrams is changed under a running cluster, one restart at a time.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::gossip::Status;
use crate::members::Members;
use crate::process::PATIENCE;

/// Writes a secret of such bytes into a file of this name.
fn key_file(directory: &Path, name: &str, byte: u8) -> String {
    let path = directory.join(name);
    std::fs::write(&path, [byte; 32]).expect("a file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    path.to_str().expect("UTF-8").to_owned()
}

fn status(members: &Members, at: usize) -> Status {
    Status::of(&mut members.connect(at))
}

/// Waits until three nodes think that all are alive, and each has taken datagrams of the others.
fn await_taken(members: &Members) {
    let taken = |at: usize| status(members, at).counter("gossip_datagrams_taken");
    let before: Vec<u64> = (0..3).map(taken).collect();
    let give_up = Instant::now() + PATIENCE;
    for (at, before) in before.into_iter().enumerate() {
        let all_alive = || (0..3).all(|of| status(members, at).verdict(of) == "alive");
        while !(taken(at) >= before + 4 && all_alive()) {
            assert!(Instant::now() < give_up, "node {at} takes no datagrams of the others");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn three_rounds_of_restarts_change_the_key_of_datagrams() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let new = key_file(directory.path(), "new", 1);
    let mut members = Members::start(3, &[]);
    await_taken(&members);
    let rounds: [&[&str]; 3] = [&["derived", &new], &[&new, "derived"], &[&new]];
    for list in rounds {
        let flags: Vec<&str> = list.iter().flat_map(|&key| ["--gossip-key-file", key]).collect();
        for at in 0..3 {
            members.stop(at);
            members.start_node(at, &flags);
            await_taken(&members);
            for node in 0..3 {
                assert_eq!(status(&members, node).counter("gossip_refused_key"), 0, "{list:?} on {at}");
            }
        }
    }
    // One with a wrong key alone is heard of over its streams, and by no datagram.
    let wrong = key_file(directory.path(), "wrong", 2);
    members.stop(2);
    members.start_node(2, &["--gossip-key-file", &wrong]);
    let give_up = Instant::now() + PATIENCE;
    for at in 0..3 {
        while status(&members, at).counter("gossip_refused_key") < 2 {
            assert!(Instant::now() < give_up, "node {at} refuses nothing");
            thread::sleep(Duration::from_millis(20));
        }
    }
    let lonely = status(&members, 2);
    assert_eq!(lonely.counter("gossip_datagrams_taken"), 0);
    assert!(lonely.counter("gossip_datagrams_sent") > 0);
}
