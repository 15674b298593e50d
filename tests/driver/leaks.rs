//! A node that cannot be opened leaves nothing behind, and one that runs out of descriptors lives on.
//! Each test runs in a process of its own, since it is about what the whole process holds.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::ByHand;
use crate::nodes::{Running, loopback, options};
use quorate::driver::{DataDir, EventLoop};

/// Descriptors and threads of this process.
fn held() -> (usize, usize) {
    let count = |path| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Whether this process runs `test` alone. If not, it starts one that does, with few descriptors, and
/// holds it to its result.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "QUORATE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut alone = Command::new("sh");
    alone.args(["-c", "ulimit -n 256; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    let ended = alone.args([test, "--exact", "--nocapture"]).env(ALONE, "").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}{complained}");
    false
}

#[test]
fn opening_in_vain_and_closing_leave_nothing() {
    if !is_alone("leaks::opening_in_vain_and_closing_leave_nothing") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let data = |name: &str| DataDir::Path(directory.path().join(name));
    let taken = TcpListener::bind(loopback()).unwrap();
    let mut in_use = options("a", &["a"]);
    in_use.unix = Some(directory.path().join("socket"));
    in_use.clients.push(taken.local_addr().unwrap());
    let mut foreign = options("a", &["a"]);
    foreign.data = data("foreign");
    std::fs::create_dir(directory.path().join("foreign")).unwrap();
    std::fs::write(directory.path().join("foreign/file"), b"of somebody else").unwrap();
    let mut unfit = options("a", &["a"]);
    unfit.data = data("unfit");
    unfit.store.segment_bytes = Some(3);
    let mut good = options("a", &["a"]);
    good.data = data("good");
    good.store.segment_bytes = Some(1 << 20);
    good.unix = Some(directory.path().join("good socket"));
    // The first node of a process also makes what stays: the page that tells of a fork.
    drop(EventLoop::open(good.clone()).unwrap());
    let before = held();
    for _ in 0..50 {
        for (wrong, exit_code) in [(&in_use, 69), (&foreign, 76), (&unfit, 64)] {
            assert_eq!(EventLoop::open(wrong.clone()).err().unwrap().exit_code(), exit_code);
        }
    }
    assert_eq!(held(), before);
    assert!(!directory.path().join("socket").exists());
    for _ in 0..3 {
        let node = Running::spawn(EventLoop::open(good.clone()).unwrap());
        assert_eq!(node.client().ask(&["SET", "k", "v"]), "+OK");
        node.handle().stop(Duration::ZERO);
    }
    assert_eq!(held(), before);
}

#[test]
fn without_descriptors_accepting_pauses_and_goes_on() {
    if !is_alone("leaks::without_descriptors_accepting_pauses_and_goes_on") {
        return;
    }
    let mut node = ByHand::open(options("a", &["a"]));
    node.settle();
    let mut client = TcpStream::connect(node.node.client_addresses()[0]).unwrap();
    client.write_all(b"ping\r\n").unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    node.settle();
    // It neither spins nor forgets the connection that waits: it comes back in a while.
    let pause = node.node.deadline().since(node.now.mono);
    assert!(pause > Duration::ZERO && pause <= Duration::from_secs(1), "{pause:?}");
    drop(hoard);
    node.advance(pause);
    assert_eq!(node.read(&mut client), b"+PONG\r\n");
}
