//! The streams between members, with one end in the test's hands: strangers, members that lie, that
//! begin anew, that do not read.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::nodes::{Cluster, Lines, loopback, options};
use quorate::proto::io::Output;
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::LEVEL;
use quorate::proto::node::Node;
use quorate::proto::ring::member_id;
use quorate::proto::session::{Identity, Session};
use quorate::proto::time::Now;
use quorate::store::MemoryStore;

/// A member of the cluster `test` by its key, driven by hand.
struct Member {
    stream: TcpStream,
    session: Session,
}

impl Member {
    /// Connects to the member `to` as `name`. The session is not established if it was refused.
    fn dial(address: SocketAddr, name: &str, to: &str, secret: &[u8; 32]) -> Member {
        let mut out = Vec::new();
        let session = Session::connect(identity(name, to, secret), to, [7; 16], &mut out);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&out).unwrap();
        Member { stream, session }.prove()
    }

    /// Takes a connection as `name`, from the member `from`.
    fn accept(listener: &TcpListener, name: &str, from: &str) -> Member {
        let (stream, _) = listener.accept().unwrap();
        let session = Session::accept(identity(name, from, &ClusterKeys::PUBLIC), [9; 16]);
        Member { stream, session }.prove()
    }

    /// Carries the handshake out, to its end or to its refusal.
    fn prove(mut self) -> Member {
        self.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut input = Vec::new();
        while !self.session.is_established() {
            // No more than the handshake: what follows it is left for the test to read.
            let mut byte = [0];
            if self.stream.read(&mut byte).unwrap_or(0) == 0 {
                break;
            }
            input.push(byte[0]);
            let mut answer = Vec::new();
            match self.session.handle_bytes(&input, &mut answer) {
                Ok((taken, _)) => drop(input.drain(..taken)),
                Err(_) => break,
            }
            self.stream.write_all(&answer).unwrap();
        }
        self
    }

    /// Says what a node says first, so that the other side takes this one for a member that is up.
    fn greet(&mut self, name: &str, to: &str) {
        let core = options(name, &[to, name]).core;
        let store = MemoryStore::new(core.partitions, &mut || 7);
        let hints = MemoryStore::new(core.partitions, &mut || 7);
        let mut node = Node::new(core, store, hints, 1, Now::default()).unwrap();
        let keys = ClusterKeys::derive("test", &ClusterKeys::PUBLIC);
        node.handle_peer_up(Now::default(), member_id(&keys, to));
        while let Some(output) = node.poll_output(Now::default()) {
            if let Output::Send { frames, .. } = output {
                let mut record = Vec::new();
                self.session.seal(&frames, &mut record);
                self.stream.write_all(&record).unwrap();
            }
        }
    }

    /// Reads until the other side ends the stream.
    fn wait_for_end(&mut self) {
        loop {
            match self.stream.read(&mut [0; 4_096]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn identity(name: &str, other: &str, secret: &[u8; 32]) -> Arc<Identity> {
    Arc::new(Identity {
        keys: ClusterKeys::derive("test", secret),
        name: name.to_owned(),
        level: LEVEL,
        members: Some(vec![name.to_owned(), other.to_owned()]),
    })
}

#[test]
fn strangers_at_the_peer_port_do_no_harm() {
    let cluster = Cluster::start(&["a", "b", "c"]);
    let address = cluster.peer_addresses()[0];
    let mut kept = Vec::new();
    for greeting in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"QRTP",
        b"QRTP\x01\x00\x01\x00\xff\xff",
        b"",
        &[0xff; 4_096],
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(greeting).unwrap();
        // Some are refused at once, others wait for more bytes until their time is up.
        kept.push(stream);
        assert_eq!(cluster.client(0).ask(&["SET", "k", "v"]), "+OK");
    }
}

#[test]
fn a_member_that_sends_rubbish_is_cut_off_and_named() {
    let lines = Lines::new();
    let mut node = options("b", &["a", "b"]);
    node.log = lines.logger();
    let node = Cluster::spawn_one(node);
    let address = node.peer_address();
    // Records that hold, of bytes that are no frames.
    let Member { mut stream, mut session } = Member::dial(address, "a", "b", &ClusterKeys::PUBLIC);
    assert!(session.is_established());
    let mut record = Vec::new();
    session.seal(&[0x5a; 100], &mut record);
    stream.write_all(&record).unwrap();
    while stream.read(&mut [0; 64]).unwrap_or(0) > 0 {}
    lines.wait_for("WARN peer: a is gone: a: ");
    // A record that does not hold, and one that announces gigabytes.
    for bytes in [[0x5a; 64], [0xff; 64]] {
        let Member { mut stream, session } = Member::dial(address, "a", "b", &ClusterKeys::PUBLIC);
        assert!(session.is_established());
        stream.write_all(&bytes).unwrap();
        while stream.read(&mut [0; 64]).unwrap_or(0) > 0 {}
    }
    lines.wait_for("WARN peer: a is gone: a: a record of 4294967295 bytes is announced");
}

#[test]
fn a_wrong_key_or_name_is_refused_and_named() {
    let lines = Lines::new();
    let mut node = options("b", &["a", "b"]);
    node.log = lines.logger();
    let node = Cluster::spawn_one(node);
    let address = node.peer_address();
    let mut other = ClusterKeys::PUBLIC;
    other[0] ^= 1;
    assert!(!Member::dial(address, "a", "b", &other).session.is_established());
    lines.wait_for("refused a connection: another cluster name or key");
    assert!(!Member::dial(address, "z", "b", &ClusterKeys::PUBLIC).session.is_established());
    lines.wait_for("refused a connection: `z` is not in the member list");
    assert!(!Member::dial(address, "a", "c", &ClusterKeys::PUBLIC).session.is_established());
    lines.wait_for("refused a connection: the address given for `c` is that of `b`");
}

#[test]
fn a_knock_ends_a_stream_that_is_dead_and_has_another_dialled() {
    let lines = Lines::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let mut node = options("a", &["a", "b"]);
    node.log = lines.logger();
    node.core.members[1].address = listener.local_addr().unwrap().to_string();
    let node = Cluster::spawn_one(node);
    let mut first = Member::accept(&listener, "b", "a");
    assert!(first.session.is_established());
    lines.wait_for("INFO peer: b is connected");
    // As if b had been killed and were back, and its machine had told nobody.
    let mut knock = Member::dial(node.peer_address(), "b", "a", &ClusterKeys::PUBLIC);
    assert!(knock.session.is_established());
    knock.wait_for_end();
    first.wait_for_end();
    lines.wait_for("b is gone: the other end has begun anew");
    assert!(Member::accept(&listener, "b", "a").session.is_established());
}

#[test]
fn a_member_that_sorts_later_knocks_and_waits_to_be_dialled() {
    let lines = Lines::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let mut node = options("b", &["a", "b"]);
    node.log = lines.logger();
    node.core.members[0].address = listener.local_addr().unwrap().to_string();
    let node = Cluster::spawn_one(node);
    assert!(Member::accept(&listener, "a", "b").session.is_established());
    let dialled = Member::dial(node.peer_address(), "a", "b", &ClusterKeys::PUBLIC);
    assert!(dialled.session.is_established());
    lines.wait_for("INFO peer: a is connected");
    // A second one in its place: the first is dead for the member that dials.
    let again = Member::dial(node.peer_address(), "a", "b", &ClusterKeys::PUBLIC);
    assert!(again.session.is_established());
    let mut dialled = dialled;
    dialled.wait_for_end();
    lines.wait_for("a is gone: the other end has begun anew");
}

#[test]
fn a_member_that_does_not_read_is_let_go() {
    let lines = Lines::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let mut node = options("a", &["a", "b"]);
    node.log = lines.logger();
    node.core.members[1].address = listener.local_addr().unwrap().to_string();
    let node = Cluster::spawn_one(node);
    let mut silent = Member::accept(&listener, "b", "a");
    silent.greet("b", "a");
    let mut client = node.client();
    while client.ask(&["Q.PUT", "greeted", "", "W", "2", "TIMEOUT", "1"]).starts_with("-NOREPLICAS") {}
    let value = "v".repeat(4 << 20);
    // More than the queue and all buffers of the kernel hold.
    for at in 0..24 {
        let answer = client.ask(&["Q.PUT", &at.to_string(), &value, "W", "1", "SUPERSEDE"]);
        assert!(!answer.starts_with('-'), "{answer}");
    }
    lines.wait_for("b is gone: it does not keep up with its messages");
    assert_eq!(client.ask(&["PING"]), "+PONG");
}
