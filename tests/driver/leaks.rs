//! A node that cannot be opened leaves nothing behind. Runs in a process of its own, since it counts
//! what the whole process holds.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::nodes::{Running, loopback, options};
use quorate::driver::{DataDir, EventLoop};

/// Descriptors and threads of this process.
fn held() -> (usize, usize) {
    let count = |path| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[test]
fn opening_in_vain_and_closing_leave_nothing() {
    const ALONE: &str = "QUORATE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let test = "leaks::opening_in_vain_and_closing_leave_nothing";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let ended = alone.args([test, "--exact", "--nocapture"]).env(ALONE, "").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{said}");
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
    unfit.segment_bytes = Some(3);
    let mut good = options("a", &["a"]);
    good.data = data("good");
    good.segment_bytes = Some(1 << 20);
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
