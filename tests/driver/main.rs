//! The event loop over real sockets on loopback: three nodes in one process, clients that speak RESP,
//! peers that lie, and a host's loop whose clock is turned by hand.

mod gossip;
mod leaks;
mod nodes;
mod peers;
mod upgrade;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nodes::{Client, Cluster, budget, loopback, options, wait_readable};
use quorate::driver::{
    DataDir, EventLoop, Handle, NodeOptions, OpenError, OwnedOperation, OwnedRequest, Refusal, Wait,
    WaitPolicy,
};
use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, Options};
use quorate::proto::store::Durability;
use quorate::proto::time::{Instant, Now};

#[test]
fn what_one_node_took_every_node_answers() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let mut clients = cluster.clients();
    for at in 0..3 {
        let key = format!("key {at}");
        assert_eq!(clients[at].ask(&["SET", &key, "value"]), "+OK");
        for client in &mut clients {
            assert_eq!(client.ask(&["GET", &key]), "$value");
        }
    }
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let mut client = cluster.client(0);
    let mut bytes = Vec::new();
    for at in 0..5_000 {
        bytes.extend_from_slice(&Client::command(&["SET", &format!("k{}", at % 100), &at.to_string()]));
        bytes.extend_from_slice(&Client::command(&["GET", &format!("k{}", at % 100)]));
    }
    let mut sending = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || sending.write_all(&bytes).unwrap());
    for at in 0..5_000 {
        assert_eq!(client.reply(), "+OK");
        assert_eq!(client.reply(), format!("${at}"));
    }
    sender.join().unwrap();
}

/// Clients that overwrite faster than old versions are cleared away wait a little; none is told that the node is busy.
#[test]
fn who_overwrites_without_a_pause_is_slowed_down() {
    const WRITES: usize = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_in(Some(directory.path()), &["a"]);
    let overwrite = || {
        let mut client = cluster.client(0);
        let mut sending = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            for at in 0..WRITES {
                let command = Client::command(&["SET", &format!("k{}", at % 10), &"v".repeat(100)]);
                sending.write_all(&command).unwrap();
            }
        });
        let refused = (0..WRITES).filter(|_| client.reply() != "+OK").count();
        sender.join().unwrap();
        refused
    };
    let refused = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(overwrite)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(refused, [0; 4]);
}

#[test]
fn bytes_may_come_and_go_one_at_a_time() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let mut client = cluster.client(1);
    for byte in Client::command(&["SET", "slow", "value"]) {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.reply(), "+OK");
    for byte in b"get slow\r\n" {
        client.stream.write_all(&[*byte]).unwrap();
    }
    let mut answer = [0; 11];
    for byte in &mut answer {
        client.stream.read_exact(core::slice::from_mut(byte)).unwrap();
    }
    assert_eq!(&answer, b"$5\r\nvalue\r\n");
}

#[test]
fn large_values_travel_whole() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let value = "0123456789abcdef".repeat(1 << 16);
    assert_eq!(cluster.client(0).ask(&["SET", "large", &value]), "+OK");
    for at in 0..3 {
        let found = cluster.client(at).ask(&["GET", "large"]);
        assert!(found == format!("${value}"), "node {at} answers {} bytes", found.len());
    }
}

#[test]
fn a_client_that_ends_its_side_is_still_answered() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let mut client = cluster.client(0);
    let mut bytes = Vec::new();
    for at in 0..100 {
        bytes.extend_from_slice(&Client::command(&["SET", "k", &at.to_string()]));
        bytes.extend_from_slice(&Client::command(&["GET", "k"]));
    }
    // A command that will never be whole must not keep the connection.
    bytes.extend_from_slice(b"*2\r\n$3\r\nGET");
    client.stream.write_all(&bytes).unwrap();
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    for at in 0..100 {
        assert_eq!(client.reply(), "+OK");
        assert_eq!(client.reply(), format!("${at}"));
    }
    assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_slow_reader_holds_up_nobody_else() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let value = "v".repeat(1 << 20);
    assert_eq!(cluster.client(0).ask(&["SET", "large", &value]), "+OK");
    let mut slow = cluster.client(0);
    slow.stream.write_all(&Client::command(&["GET", "large"]).repeat(100)).unwrap();
    let mut other = cluster.client(0);
    for at in 0..200 {
        assert_eq!(other.ask(&["SET", "small", &at.to_string()]), "+OK");
    }
    for _ in 0..100 {
        assert!(slow.reply() == format!("${value}"), "a large value is cut");
    }
}

#[test]
fn a_node_may_go_and_come_back_at_once() {
    let mut cluster = Cluster::start(&["a", "b", "c"]);
    for gone in [2, 0] {
        let address = cluster.peer_addresses()[gone];
        cluster.stop(gone);
        let other = (gone + 1) % 3;
        let mut client = cluster.client(other);
        // The others notice in their own time; no request may fail for it.
        for at in 0..100 {
            assert_eq!(client.ask(&["SET", "kept", &at.to_string()]), "+OK");
        }
        cluster.restart(gone, address);
        cluster.wait_until_connected();
        assert_eq!(cluster.client(gone).ask(&["GET", "kept"]), "$99");
    }
}

/// The worker may end a sync at any point of the loop's turn; whoever waits for it is told each time.
#[test]
fn no_end_of_a_sync_is_missed() {
    // There a sync takes about as long as the rest of a turn.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut lone = options("a", &["a"]);
    lone.core.keyspaces[0].durability = Durability::Always;
    lone.data = DataDir::Path(directory.path().join("a"));
    let node = Cluster::spawn_one(lone);
    let mut client = node.client();
    let value = "v".repeat(64 << 10);
    assert_eq!(client.ask(&["SET", "large", &value]), "+OK");
    // Readers lengthen the turns, and bring no sync of their own.
    let mut reader = node.client();
    let mut sending = reader.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..2_000 {
            sending.write_all(&Client::command(&["GET", "large"])).unwrap();
        }
    });
    let receiver = std::thread::spawn(move || {
        for _ in 0..2_000 {
            assert!(reader.reply() == format!("${value}"), "a large value is cut");
        }
    });
    for at in 0..2_000 {
        assert_eq!(client.ask(&["SET", "k", &at.to_string()]), "+OK");
    }
    sender.join().unwrap();
    receiver.join().unwrap();
}

/// One process may hold several nodes, but each directory once, whatever path leads to it. A node that was
/// refused takes nothing from the one that is there.
#[test]
fn a_directory_is_opened_once_in_a_process() {
    let home = tempfile::tempdir().unwrap();
    let (data, link) = (home.path().join("data"), home.path().join("link"));
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let open = |path: &std::path::Path| {
        let mut options = options("a", &["a"]);
        options.data = DataDir::Path(path.to_owned());
        options.store.segment_bytes = Some(1 << 20);
        EventLoop::open(options)
    };
    let first = open(&data).unwrap();
    for path in [&data, &link, &home.path().join("data/../data")] {
        let refused = open(path).err().unwrap();
        assert_eq!(refused.exit_code(), 75, "{refused}");
        assert!(refused.to_string().contains("this process has it open already"), "{refused}");
    }
    // Another directory is another matter.
    drop(open(&home.path().join("other")).unwrap());
    assert_eq!(open(&link).err().unwrap().exit_code(), 75, "the lock went with a node that was refused");
    drop(first);
    drop(open(&link).unwrap());
}

#[test]
fn a_log_outlives_its_node() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start_in(Some(directory.path()), &["a", "b", "c"]);
    let mut client = cluster.client(0);
    for at in 0..200 {
        assert_eq!(client.ask(&["SET", &format!("k{at}"), &"v".repeat(at * 100)]), "+OK");
    }
    let mut locked = options("a", &["a", "b", "c"]);
    locked.data = DataDir::Path(directory.path().join("a"));
    assert_eq!(EventLoop::open(locked).err().unwrap().exit_code(), 75);
    for at in 0..3 {
        cluster.stop(at);
    }
    for at in 0..3 {
        cluster.restart(at, cluster.peer_addresses()[at]);
    }
    cluster.wait_until_connected();
    let mut client = cluster.client(2);
    for at in 0..200 {
        assert_eq!(client.ask(&["GET", &format!("k{at}")]), format!("${}", "v".repeat(at * 100)));
    }
}

#[test]
fn a_write_is_answered_from_the_disk_when_it_must_be() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_in(Some(directory.path()), &["a", "b", "c"]);
    let mut client = cluster.client(0);
    for at in 0..20 {
        let answer = client.ask(&["Q.PUT", &at.to_string(), "value", "W", "3", "DW", "3"]);
        assert!(answer.contains("$durable :3"), "{answer}");
    }
}

#[test]
fn two_nodes_gone_is_not_enough_replicas() {
    let mut cluster = Cluster::start(&["a", "b", "c"]);
    cluster.stop(1);
    cluster.stop(2);
    let mut client = cluster.client(0);
    // Until both are known to be gone, a write may be in doubt; after that it is refused.
    let mut answer = String::new();
    for at in 0..1_000 {
        answer = client.ask(&["SET", "refused", &at.to_string()]);
        assert!(!answer.starts_with("+OK"), "{answer}");
        if answer.starts_with("-NOREPLICAS") {
            break;
        }
    }
    assert!(answer.starts_with("-NOREPLICAS"), "{answer}");
}

#[test]
fn clients_may_come_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    let mut node = options("a", &["a"]);
    node.unix = Some(path.clone());
    let node = Cluster::spawn_one(node);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"set k v\r\nget k\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n$1\r\nv\r\n");
    drop(node);
    assert!(!path.exists());
}

#[test]
fn one_client_too_many_is_told() {
    let mut node = options("a", &["a"]);
    node.clients_max = 2;
    let node = Cluster::spawn_one(node);
    let mut first = node.client();
    assert_eq!(first.ask(&["PING"]), "+PONG");
    let mut second = node.client();
    assert_eq!(second.ask(&["PING"]), "+PONG");
    assert_eq!(node.client().reply(), "-ERR max number of clients reached");
    drop(first);
    // The place is free as soon as the node has read the end of the first.
    while node.client().ask(&["PING"]) != "+PONG" {}
}

fn put(key: &str) -> OwnedRequest {
    OwnedRequest {
        keyspace: 0,
        key: key.as_bytes().into(),
        operation: OwnedOperation::Put {
            value: b"value"[..].into(),
            context: None,
            blind: Blind::Siblings,
            expires_ms: None,
        },
        options: Options::default(),
    }
}

#[test]
fn other_threads_submit_and_reap() {
    let node = Cluster::spawn_one(options("a", &["a"]));
    let handle = node.handle();
    let submitters: Vec<_> = (0..4u64)
        .map(|thread| {
            let handle: Handle = handle.clone();
            std::thread::spawn(move || {
                for number in 0..1_000 {
                    while let Err(refusal) =
                        handle.submit(put(&format!("{thread} {number}")), thread << 32 | number)
                    {
                        assert_eq!(refusal, Refusal::Full);
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut completions = Vec::new();
    while completions.len() < 4_000 {
        assert!(handle.wait(Some(Duration::from_secs(20))));
        handle.reap(64, |end| completions.push(end)).unwrap();
    }
    for submitter in submitters {
        submitter.join().unwrap();
    }
    assert!(completions.iter().all(|done| done.reply.as_ref().unwrap().outcome == Outcome::Ok));
    let mut tags: Vec<u64> = completions.iter().map(|done| done.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 4_000);
    assert_eq!(handle.in_flight(), 0);
}

#[test]
fn the_window_bounds_what_is_not_reaped() {
    let mut node = options("a", &["a"]);
    node.window = 8;
    let node = Cluster::spawn_one(node);
    let handle = node.handle();
    for tag in 0..8 {
        handle.submit(put("k"), tag).unwrap();
    }
    assert_eq!(handle.submit(put("k"), 8), Err(Refusal::Full));
    let mut completions = Vec::new();
    while completions.len() < 8 {
        assert!(handle.wait(Some(Duration::from_secs(20))));
        handle.reap(3, |end| completions.push(end)).unwrap();
    }
    handle.submit(put("k"), 8).unwrap();
}

#[test]
fn everything_accepted_is_completed_when_the_node_stops() {
    // Two of three members are never there, so every put waits or is refused.
    let node = Cluster::spawn_one(options("a", &["a", "b", "c"]));
    let handle = node.handle();
    let mut accepted = 0;
    for tag in 0..100 {
        accepted += usize::from(handle.submit(put("k"), tag).is_ok());
    }
    drop(node);
    let mut completions = Vec::new();
    while handle.wait(Some(Duration::ZERO)) {
        handle.reap(1_000, |end| completions.push(end)).unwrap();
    }
    assert_eq!(completions.len(), accepted);
    assert!(completions.iter().all(|done| done.reply.as_ref().is_none_or(|r| r.outcome != Outcome::Ok)));
    assert_eq!(handle.submit(put("k"), 0), Err(Refusal::Closed));
}

#[test]
fn a_host_may_drive_three_nodes_by_their_descriptors_alone() {
    for budget in [1, 0] {
        let mut loops = Cluster::open(&["a", "b", "c"]);
        let fds: Vec<_> = loops.iter_mut().map(|node| node.fd().unwrap()).collect();
        let handles: Vec<_> = loops.iter().map(EventLoop::handle).collect();
        let mut completions = Vec::new();
        let mut submitted = 0;
        while completions.len() < 300 {
            // Every node is stepped exactly when its descriptor says so; no deadline is looked at.
            for (node, &fd) in loops.iter_mut().zip(&fds) {
                if wait_readable(fd, Duration::from_millis(1)) {
                    let now = node.now();
                    let outcome = node.step(now, budget).unwrap();
                    let is_due = outcome.more || node.deadline() <= now.mono;
                    assert!(
                        wait_readable(fd, Duration::ZERO) || !is_due,
                        "work is left and the descriptor is quiet"
                    );
                }
            }
            for handle in &handles {
                let connected = loops.iter().all(|node| node.status().members.iter().all(|member| member.up));
                if connected && submitted < 300 {
                    handle.submit(put(&format!("key {submitted}")), submitted).unwrap();
                    submitted += 1;
                }
                handle.reap(usize::MAX, |end| completions.push(end)).unwrap();
            }
        }
        assert!(completions.iter().all(|done| done.reply.as_ref().unwrap().outcome == Outcome::Ok));
        for (node, &fd) in loops.iter_mut().zip(&fds) {
            assert_eq!(node.fd().unwrap(), fd);
        }
    }
}

#[test]
fn a_hosts_descriptor_tells_deadlines_too() {
    let mut options = options("a", &["a", "b"]);
    // Nobody listens there, so nothing but the timer for the next attempt will ever happen.
    options.core.members[1].address = {
        let gone = std::net::TcpListener::bind(loopback()).unwrap();
        gone.local_addr().unwrap().to_string()
    };
    let mut node = EventLoop::open(options).unwrap();
    let fd = node.fd().unwrap();
    for _ in 0..5 {
        while node.step(node.now(), budget()).unwrap().more {}
        assert_ne!(node.deadline(), Instant::NEVER);
        assert!(wait_readable(fd, Duration::from_secs(20)));
    }
}

/// A loop whose clock is turned by hand.
struct ByHand {
    node: EventLoop,
    now: Now,
}

impl ByHand {
    fn open(options: NodeOptions) -> ByHand {
        let node = EventLoop::open(options).unwrap();
        let now = node.now();
        ByHand { node, now }
    }

    fn advance(&mut self, by: Duration) {
        self.now.mono = self.now.mono + by;
        self.now.wall.0 += by.as_millis() as u64;
    }

    /// Steps until nothing is left to do now.
    fn settle(&mut self) {
        while self.node.step(self.now, budget()).unwrap().more {}
    }

    /// Steps until the stream has something to read, then reads once.
    fn read(&mut self, stream: &mut TcpStream) -> Vec<u8> {
        stream.set_nonblocking(true).unwrap();
        loop {
            self.settle();
            let mut bytes = vec![0; 4_096];
            match stream.read(&mut bytes) {
                Ok(length) => {
                    bytes.truncate(length);
                    return bytes;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Vec::new(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn half_a_command_is_waited_for_thirty_seconds() {
    let mut node = ByHand::open(options("a", &["a"]));
    let address = node.node.client_addresses()[0];
    let (mut half, mut idle) = (TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap());
    idle.write_all(b"ping\r\n").unwrap();
    assert_eq!(node.read(&mut idle), b"+PONG\r\n");
    half.write_all(b"ping\r\n*2\r\n$3\r\nGET\r\n$1").unwrap();
    assert_eq!(node.read(&mut half), b"+PONG\r\n");
    node.advance(Duration::from_secs(29));
    node.settle();
    half.write_all(b"\r").unwrap();
    // Once this is answered, the byte before it was read.
    idle.set_nonblocking(false).unwrap();
    idle.write_all(b"ping\r\n").unwrap();
    assert_eq!(node.read(&mut idle), b"+PONG\r\n");
    node.advance(Duration::from_secs(29));
    node.settle();
    half.set_nonblocking(true).unwrap();
    assert_eq!(half.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    node.advance(Duration::from_secs(2));
    assert_eq!(node.read(&mut half), b"");
    // An idle connection without half a command stays.
    idle.set_nonblocking(false).unwrap();
    idle.write_all(b"ping\r\n").unwrap();
    assert_eq!(node.read(&mut idle), b"+PONG\r\n");
}

#[test]
fn a_peer_has_five_seconds_to_prove_itself() {
    let mut node = ByHand::open(options("a", &["a", "b"]));
    let mut stream = TcpStream::connect(node.node.peer_address().unwrap()).unwrap();
    stream.write_all(b"QRTP").unwrap();
    stream.set_nonblocking(true).unwrap();
    for _ in 0..100 {
        node.settle();
        std::thread::yield_now();
    }
    node.advance(Duration::from_millis(4_900));
    node.settle();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    node.advance(Duration::from_millis(200));
    assert_eq!(node.read(&mut stream), b"");
}

#[test]
fn an_idle_node_sleeps_until_its_deadline() {
    let mut node = ByHand::open(options("a", &["a"]));
    let mut client = TcpStream::connect(node.node.client_addresses()[0]).unwrap();
    client.write_all(b"set k v\r\n").unwrap();
    assert_eq!(node.read(&mut client), b"+OK\r\n");
    let mut wake_ups = 0;
    for _ in 0..100 {
        node.settle();
        match node.node.deadline() {
            Instant::NEVER => break,
            deadline => node.now.mono = node.now.mono.max(deadline),
        }
        wake_ups += 1;
    }
    // What is left after traffic: giving back buffers, and the core's own timers; then nothing at all.
    assert!(wake_ups < 10, "{wake_ups} wake-ups of an idle node");
    assert_eq!(node.node.deadline(), Instant::NEVER);
}

#[test]
fn what_cannot_be_opened_says_why_and_leaves_nothing() {
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let mut refused = options("a", &["a"]);
    refused.clients = vec![loopback(), address];
    match EventLoop::open(refused) {
        Err(error @ OpenError::InUse { setting: "client", .. }) => {
            assert_eq!(error.exit_code(), 69);
            assert!(error.to_string().contains(&address.to_string()));
        }
        other => panic!("{:?}", other.err()),
    }
    let mut open_bind = options("a", &["a"]);
    open_bind.clients = vec!["0.0.0.0:0".parse().unwrap()];
    let error = EventLoop::open(open_bind.clone()).err().unwrap();
    assert!(error.to_string().contains("--allow-open-bind"), "{error}");
    open_bind.allow_open_bind = true;
    EventLoop::open(open_bind).unwrap();
    let mut unnamed = NodeOptions::new(Config::new("a"));
    unnamed.core.name = "b".into();
    assert_eq!(EventLoop::open(unnamed).err().unwrap().exit_code(), 64);
    // A directory that is none of ours; the address that was bound before it was looked at is free again.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("holiday.jpg"), b"not a log").unwrap();
    drop(taken);
    let mut foreign = options("a", &["a"]);
    foreign.clients = vec![address];
    foreign.data = DataDir::Path(directory.path().to_owned());
    let error = EventLoop::open(foreign.clone()).err().unwrap();
    assert_eq!(error.exit_code(), 76, "{error}");
    let file = directory.path().join("holiday.jpg");
    foreign.data = DataDir::Path(file);
    let error = EventLoop::open(foreign.clone()).err().unwrap();
    assert_eq!(error.exit_code(), 73, "{error}");
    foreign.data = DataDir::Memory;
    EventLoop::open(foreign).unwrap();
}

#[test]
fn every_waiting_policy_serves() {
    for wait in [WaitPolicy::Sleep, WaitPolicy::Hybrid(Duration::from_micros(50)), WaitPolicy::Spin] {
        let mut node = options("a", &["a"]);
        node.wait = wait;
        let node = Cluster::spawn_one(node);
        let mut client = node.client();
        for at in 0..100 {
            assert_eq!(client.ask(&["SET", "k", &at.to_string()]), "+OK");
        }
    }
}

#[test]
fn a_turn_waits_no_longer_than_told() {
    let mut node = EventLoop::open(options("a", &["a"])).unwrap();
    // Neither of them may wait for ever: nothing will ever happen.
    node.turn(Wait::None).unwrap();
    let soon = node.now().mono + Duration::from_millis(1);
    node.turn(Wait::Until(soon)).unwrap();
}
