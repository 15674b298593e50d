//! What an operator meets: the ready line, log lines, signals, key files, sockets.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, error_word};
use crate::cluster::Cluster;
use crate::load::{Load, Plan, check_all};
use crate::process::{PATIENCE, Process, run_command};

/// Waits until something is so.
fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_node_says_once_that_it_is_ready_and_where() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let words = ["node", "--client", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--segment-mib", "4", "--data"];
    let arguments = owned(&[&words[..], &[data.to_str().expect("UTF-8")]].concat());
    let mut node = Process::start(&arguments, &directory.path().join("stderr"));
    let line = node.line();
    let words: Vec<&str> = line.split(' ').collect();
    let ["ready", "name=A", client, peer] = words[..] else { panic!("{line}") };
    assert!(peer.starts_with("peer=127.0.0.1:") && !peer.ends_with(":0"), "{line}");
    let client =
        client.strip_prefix("client=").expect("where clients are served").parse().expect("an address");
    assert_eq!(Client::connect(client).call(&["PING"]), Value::Simple("PONG".into()));
    let mode = fs::metadata(&data).expect("it was made").permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "strangers may enter the directory");
    node.signal("INT");
    assert_eq!(node.wait().code(), Some(0));
    assert_eq!(node.rest(), Vec::<String>::new(), "more than one line on stdout");
    for line in node.stderr().lines() {
        let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        let level = rest.split(' ').next().unwrap_or_default();
        assert!(time.len() == 24 && time.ends_with('Z'), "no TIME: {line}");
        assert!(["ERROR", "WARN", "INFO"].contains(&level), "no LEVEL: {line}");
        assert!(rest[level.len()..].contains(": "), "no target: {line}");
    }
}

#[test]
fn a_terminated_cluster_ends_cleanly_and_comes_back_whole() {
    let mut cluster = Cluster::start(3, &[]);
    let nodes: Vec<_> = (0..3).map(|node| cluster.client(node)).collect();
    let load = Load::start("k", &nodes, Plan { clients: 16, pipeline: 4, options: &[] });
    load.await_acknowledged(1_000);
    for node in 0..3 {
        cluster.process(node).signal("TERM");
    }
    for node in 0..3 {
        assert_eq!(cluster.process(node).wait().code(), Some(0), "{}", cluster.process(node).stderr());
        assert!(cluster.data(node).join("clean").exists(), "no mark of a clean stop");
        cluster.kill(node);
    }
    let answers = load.stop();
    cluster.start_all();
    check_all(&mut cluster.connect(1), &answers, &["GET"]);
}

#[test]
fn a_second_signal_ends_a_node_that_is_still_finishing() {
    let mut cluster = Cluster::start(3, &[]);
    // A write that cannot be finished, as its other replicas are stopped but not gone.
    for node in [1, 2] {
        cluster.process(node).signal("STOP");
    }
    let mut client = cluster.connect(0);
    let waiting = thread::spawn(move || {
        // Whatever it is answered, or that it is not: the node is ended while it waits.
        let _ = client.try_call(&["Q.PUT", "key", "value", "W", "3", "TIMEOUT", "60000"]);
    });
    let mut observer = cluster.connect(0);
    await_that("a request is in flight", || {
        let status = observer.call(&["Q.STATUS"]);
        *crate::client::field(crate::client::field(&status, "counters"), "requests_in_flight")
            == Value::Integer(1)
    });
    cluster.process(0).signal("TERM");
    // Between the two the node must have taken the first: two pending signals of one kind are one.
    await_that("the node stops accepting", || Client::open(cluster.client(0)).is_err());
    cluster.process(0).signal("INT");
    assert_eq!(cluster.process(0).wait().code(), Some(128 + 2));
    waiting.join().expect("the client ends");
}

#[test]
fn a_hangup_opens_the_log_file_anew() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (log, old) = (directory.path().join("node.log"), directory.path().join("node.log.1"));
    let mut cluster = Cluster::start(1, &["--log-file", log.to_str().expect("UTF-8")]);
    assert!(log.exists());
    fs::rename(&log, &old).expect("the file is there");
    cluster.process(0).signal("HUP");
    await_that("the log file is there again", || log.exists());
    assert_eq!(cluster.connect(0).call(&["PING"]), Value::Simple("PONG".into()));
    assert_eq!(cluster.process(0).stderr(), "", "lines went to stderr");
}

#[test]
fn a_node_with_another_key_does_not_get_in() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key_file = |name: &str, byte: u8| {
        let path = directory.path().join(name);
        fs::write(&path, [byte; 32]).expect("a file is written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (ours, theirs) = (key_file("ours", 1), key_file("theirs", 2));
    let mut cluster = Cluster::start(3, &["--key-file", &ours]);
    cluster.kill(2);
    cluster.await_alone(0, 3);
    let mut arguments = cluster.arguments(2);
    for (flag, value) in
        [("--key-file", theirs.as_str()), ("--data", directory.path().join("data").to_str().expect("UTF-8"))]
    {
        let at = arguments.iter().position(|argument| argument == flag).expect("it was given");
        value.clone_into(&mut arguments[at + 1]);
    }
    let stranger = Process::start(&arguments, &directory.path().join("stderr"));
    assert!(stranger.line().starts_with("ready name=C"));
    await_that("a refusal is logged", || {
        stranger.stderr().contains("peer") || cluster.process(0).stderr().contains("refused")
    });
    let mut client = Client::connect(cluster.client(2));
    assert_eq!(error_word(&client.call(&["Q.GET", "key", "R", "2"])), Some("NOREPLICAS"));
    assert_eq!(error_word(&cluster.connect(0).call(&["Q.GET", "key", "R", "3"])), Some("NOREPLICAS"));
    assert_eq!(cluster.connect(0).call(&["SET", "key", "value"]), Value::Simple("OK".into()));
}

#[test]
fn redis_cli_is_served_on_a_unix_socket_also_after_a_kill() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("quorate.sock");
    let mut cluster = Cluster::start(1, &["--unix", path.to_str().expect("UTF-8")]);
    let redis_cli = |words: &[&str]| {
        let mut command = std::process::Command::new("redis-cli");
        command.arg("-s").arg(&path).args(words);
        run_command(command).stdout
    };
    assert_eq!(redis_cli(&["SET", "key", "value"]), "OK\n");
    cluster.kill(0);
    assert!(path.exists(), "a killed node leaves its socket behind");
    cluster.start_node(0);
    assert_eq!(redis_cli(&["GET", "key"]), "value\n");
}

/// What is lost is refused, not signalled and not called absent; see also tests/faults.
#[test]
fn a_log_that_is_cut_under_a_running_node_is_reported_and_the_node_goes_on() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.connect(0);
    let value = "v".repeat(10_000);
    for number in 0..50 {
        client.call(&["SET", &format!("key:{number}"), &value]);
    }
    let entries = fs::read_dir(cluster.data(0).join("log")).expect("there is a log");
    let mut segments: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    segments.sort();
    // The last one is the spare: were it cut as well, a look at it before the next write came would call that lost, too.
    segments.pop();
    for path in segments {
        let segment = fs::File::options().write(true).open(path);
        segment.and_then(|segment| segment.set_len(0)).expect("a segment can be cut");
    }
    for number in 0..50 {
        assert_eq!(error_word(&client.call(&["GET", &format!("key:{number}")])), Some("INCOMPLETE"));
    }
    assert_eq!(client.call(&["SET", "new", "value"]), Value::Simple("OK".into()));
    assert_eq!(client.call(&["GET", "new"]), Value::Bulk(b"value".to_vec()));
}

/// A file can also be cut between the look at it and the read; that only the program can put into words.
#[test]
fn a_bus_error_ends_a_node_with_a_message() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.process(0).signal("BUS");
    assert_eq!(cluster.process(0).wait().code(), Some(74));
    assert!(cluster.process(0).stderr().contains("SIGBUS"), "{}", cluster.process(0).stderr());
}
