//! Mode packet: three nodes in one thread, and a network that is a queue in the test. It breaks, it is slow, and it
//! overwrites every buffer as soon as the library may not look at it any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate::ffi::packet::*;

use super::*;

const OPT_CARRIER: u32 = 35;
const OPT_NAME: u32 = 65;
const OPT_MEMBERS: u32 = 96;
const UP: u32 = 1;
const DOWN: u32 = 2;
const WRITABLE: u32 = 3;
const FULL: u32 = 4;
const FRAME_MIN: usize = 512;
const FRAME_SIZE: usize = size_of::<quorate_frame>();

/// Every pointer of these functions that may not be NULL.
pub fn nulls(check: &mut impl FnMut(&'static str, quorate_status)) {
    let node = Node::open(&[(OPT_MODE, MODE_PACKET)]);
    let (n, torn) = (node.0, quorate_bytes { data: null(), len: 1 });
    let (mut peer, mut count) = (7_u64, 7_usize);
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check("quorate_net_accept", quorate_net_accept(null_mut(), 1, 1, &mut peer));
        assert_eq!(peer, 0);
        check("quorate_net_accept", quorate_net_accept(n, 1, 1, null_mut()));
        check("quorate_net_rx", quorate_net_rx(null_mut(), 1, &bytes("x"), 1, 1, 1));
        check("quorate_net_rx", quorate_net_rx(n, 1, null(), 1, 1, 1));
        check("quorate_net_rx", quorate_net_rx(n, 1, &torn, 1, 1, 1));
        check("quorate_net_event", quorate_net_event(null_mut(), 1, UP, 0, 1, 1));
        let mut one: quorate_frame = zeroed();
        one.cap = FRAME_MIN;
        check("quorate_net_tx", quorate_net_tx(null_mut(), &mut one, FRAME_SIZE, 1, &mut count));
        assert_eq!(count, 0);
        check("quorate_net_tx", quorate_net_tx(n, null_mut(), FRAME_SIZE, 1, &mut count));
        check("quorate_net_tx", quorate_net_tx(n, &mut one, FRAME_SIZE, 1, null_mut()));
        check("quorate_net_tx", quorate_net_tx(n, &mut one, FRAME_SIZE, 1, &mut count));
    }
}

/// A member of three, whose address is its number.
fn member(number: usize, carrier: u64) -> Node {
    let (options, mut node) = (options(), null_mut());
    let name = ["A", "B", "C"][number];
    // SAFETY: live options and valid places for the results.
    unsafe {
        assert_eq!(quorate_options_set_u64(options, OPT_MODE, MODE_PACKET), OK);
        assert_eq!(quorate_options_set_u64(options, OPT_CARRIER, carrier), OK);
        assert_eq!(quorate_options_set_bytes(options, OPT_NAME, bytes(name)), OK);
        let members = bytes("A@10.0.0.0:1,B@10.0.0.1:1,C@10.0.0.2:1");
        assert_eq!(quorate_options_set_bytes(options, OPT_MEMBERS, members), OK);
        assert_eq!(quorate_node_open(options, &mut node, null_mut()), OK);
        quorate_options_free(options);
    }
    Node(node)
}

/// One end of a stream: the node, and what it calls the stream.
type End = (usize, u64);

/// What is on its way to a node.
enum Carried {
    Bytes(Vec<u8>),
    Event(u32, i32),
}

pub struct Net {
    pub nodes: Vec<Node>,
    now: u64,
    streams: BTreeMap<End, End>,
    flying: VecDeque<(End, Carried)>,
    /// Of datagrams: where what a node has named goes, and what is on its way: until when, from whom, to whom.
    addresses: BTreeMap<End, usize>,
    air: Vec<(u64, usize, usize, Vec<u8>)>,
    are_datagrams: bool,
    /// Streams of which no bytes are to be given out.
    full: BTreeSet<End>,
    /// Datagrams after which the node wanted to be stepped at once.
    woken: u64,
    rng: u64,
    /// Of 1,000 frames, how many are met by an accident.
    pub accidents: u64,
    /// Bytes of a frame, beside those of the smallest, at most.
    room: u64,
    carried: u64,
    broken: u64,
}

impl Net {
    fn new(seed: u64) -> Net {
        Net::of(seed, 0)
    }

    pub fn of(seed: u64, carrier: u64) -> Net {
        Net {
            nodes: (0..3).map(|number| member(number, carrier)).collect(),
            now: mono_ns(),
            streams: BTreeMap::new(),
            flying: VecDeque::new(),
            addresses: BTreeMap::new(),
            air: Vec::new(),
            are_datagrams: carrier == 1,
            full: BTreeSet::new(),
            woken: 0,
            rng: seed,
            accidents: 0,
            room: 1_400,
            carried: 0,
            broken: 0,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng = self.rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.rng >> 33) % limit
    }

    fn event(&self, (node, peer): End, event: u32, errno: i32) -> quorate_status {
        // SAFETY: a live node.
        unsafe { quorate_net_event(self.nodes[node].0, peer, event, errno, self.now, WALL_MS) }
    }

    /// One millisecond: what flies arrives, every node turns, and what it has to say flies.
    pub fn turn(&mut self) {
        self.now += 1_000_000;
        for _ in 0..self.flying.len() {
            let (end, what) = self.flying.pop_front().unwrap();
            match what {
                // Its stream may have ended here meanwhile: E_CLOSED.
                Carried::Event(event, errno) => {
                    let status = self.event(end, event, errno);
                    assert!([OK, E_CLOSED].contains(&status));
                    self.full.remove(&end);
                    if event == FULL && status == OK {
                        self.full.insert(end);
                        self.flying.push_back((end, Carried::Event(WRITABLE, 0)));
                    }
                }
                Carried::Bytes(carried) => self.deliver(end, carried),
            }
        }
        let due: Vec<_> = self.air.extract_if(.., |flight| flight.0 <= self.now).collect();
        for (_, from, to, datagram) in due {
            self.drop_in(from, to, datagram);
        }
        for at in 0..self.nodes.len() {
            step_at(&self.nodes[at], self.now);
            self.fetch(at);
        }
    }

    /// Gives bytes to a node, in parts, and overwrites them.
    fn deliver(&mut self, end: End, mut carried: Vec<u8>) {
        let cut = self.below(carried.len() as u64 + 1) as usize;
        let (one, two) = carried.split_at(cut);
        let parts = [one, two].map(|part| quorate_bytes { data: part.as_ptr(), len: part.len() });
        let node = self.nodes[end.0].0;
        // SAFETY: a live node, and bytes that stay during the call.
        let status = unsafe { quorate_net_rx(node, end.1, parts.as_ptr(), 2, self.now, WALL_MS) };
        assert!([OK, E_CLOSED].contains(&status), "{status}");
        if status == OK {
            // SAFETY: a live node.
            assert_eq!(unsafe { quorate_node_deadline(node) }, 0, "what came is to be worked on");
        }
        carried.fill(0xa5);
    }

    /// Gives a datagram to a node, and overwrites it.
    fn drop_in(&mut self, from: usize, to: usize, mut datagram: Vec<u8>) {
        let part = quorate_bytes { data: datagram.as_ptr(), len: datagram.len() };
        let (node, now) = (self.nodes[to].0, self.now);
        // SAFETY: a live node, and bytes that stay during the call.
        let rx = |peer| unsafe { quorate_net_rx(node, peer, &part, 1, now, WALL_MS) };
        let mut status = rx(0);
        if status == AGAIN {
            let mut peer = 0;
            // SAFETY: a live node and a place for the name.
            assert_eq!(unsafe { quorate_net_accept(node, now, WALL_MS, &mut peer) }, OK);
            self.addresses.insert((to, peer), from);
            status = rx(peer);
        }
        assert!([OK, E_CLOSED].contains(&status), "{status}");
        // SAFETY: a live node.
        self.woken += u64::from(unsafe { quorate_node_deadline(node) } == 0);
        datagram.fill(0xa5);
    }

    /// One datagram sets out: it may be lost, doubled, changed, and is overtaken.
    fn send(&mut self, from: End, data: &[u8]) {
        let to = self.addresses[&from];
        for _ in 0..1 + u64::from(self.below(10) == 0) {
            if self.below(1_000) < self.accidents {
                self.broken += 1;
                continue;
            }
            let due = self.now + 1_000_000 * (1 + self.below(4));
            let mut datagram = data.to_vec();
            if self.below(100) == 0 {
                let at = self.below(data.len() as u64) as usize;
                datagram[at] ^= 0x10;
            }
            self.air.push((due, from.0, to, datagram));
        }
    }

    /// Takes all that a node has to say.
    fn fetch(&mut self, at: usize) {
        loop {
            let room = FRAME_MIN + self.below(self.room) as usize;
            let mut buffers = [vec![0xee; room], vec![0xee; FRAME_MIN]];
            // SAFETY: frames are numbers and pointers, for which zero is a value.
            let mut frames: [quorate_frame; 2] = unsafe { zeroed() };
            for (frame, buffer) in frames.iter_mut().zip(&mut buffers) {
                (frame.data, frame.cap) = (buffer.as_mut_ptr(), buffer.len());
            }
            let mut filled = 7;
            // SAFETY: a live node, two frames, and their buffers.
            let status =
                unsafe { quorate_net_tx(self.nodes[at].0, frames.as_mut_ptr(), FRAME_SIZE, 2, &mut filled) };
            assert_eq!(status, if filled > 0 { OK } else { AGAIN });
            for (frame, buffer) in frames.iter().zip(&buffers).take(filled) {
                self.carry((at, frame.peer), frame.kind, &buffer[..frame.len]);
            }
            buffers.iter_mut().for_each(|buffer| buffer.fill(0x5a));
            if filled < 2 {
                return;
            }
        }
    }

    fn carry(&mut self, from: End, kind: u32, data: &[u8]) {
        match kind {
            1 => {
                assert!(!data.is_empty());
                self.carried += 1;
                assert!(!self.full.contains(&from), "bytes of a stream that is full");
                if self.are_datagrams {
                    return self.send(from, data);
                }
                let Some(&to) = self.streams.get(&from) else { return };
                self.flying.push_back((to, Carried::Bytes(data.to_vec())));
                if self.below(1_000) < self.accidents {
                    self.accident(from, to);
                }
            }
            2 => {
                let address = core::str::from_utf8(data).unwrap();
                let to = address.strip_prefix("10.0.0.").and_then(|rest| rest.strip_suffix(":1")).unwrap();
                let to: usize = to.parse().unwrap();
                if self.are_datagrams {
                    self.addresses.insert(from, to);
                    return;
                }
                if self.below(1_000) < self.accidents {
                    return self.flying.push_back((from, Carried::Event(DOWN, libc::ECONNREFUSED)));
                }
                let mut peer = 0;
                // SAFETY: a live node and a place for the name.
                let status = unsafe { quorate_net_accept(self.nodes[to].0, self.now, WALL_MS, &mut peer) };
                assert_eq!(status, OK);
                self.streams.insert(from, (to, peer));
                self.streams.insert((to, peer), from);
                self.flying.push_back((from, Carried::Event(UP, 0)));
            }
            3 => {
                assert!(data.is_empty());
                self.addresses.remove(&from);
                if let Some(to) = self.streams.remove(&from) {
                    self.streams.remove(&to);
                    self.flying.push_back((to, Carried::Event(DOWN, 0)));
                }
            }
            other => panic!("a frame of kind {other}"),
        }
    }

    /// A stream breaks, or one end of it is full for a while.
    fn accident(&mut self, from: End, to: End) {
        if self.below(2) == 0 {
            return self.flying.push_back((from, Carried::Event(FULL, 0)));
        }
        self.broken += 1;
        self.streams.remove(&from);
        self.streams.remove(&to);
        // What was on its way is gone with it.
        self.flying.retain(|(end, _)| *end != from && *end != to);
        for end in [from, to] {
            self.flying.push_back((end, Carried::Event(DOWN, libc::ECONNRESET)));
        }
    }

    /// Turns until everybody is connected, and who only knocked has gone.
    fn meet(&mut self) {
        for _ in 0..1_500 {
            self.turn();
        }
        assert_eq!(self.streams.len(), 6, "ends of streams");
    }

    /// Turns until so many requests have ended; their ends with the first value of each.
    fn ends(&mut self, count: usize) -> Vec<(u64, quorate_status, Vec<u8>)> {
        let mut found = Vec::new();
        for _ in 0..20_000 {
            for node in &self.nodes {
                let (mut end, mut n) = (empty(), 0);
                // SAFETY: a live node and a place for one completion, which is given back.
                unsafe {
                    while quorate_reap(node.0, &mut end, SIZE, 1, &mut n) == OK {
                        let value = if end.n_siblings > 0 { (*end.siblings).value } else { NONE };
                        let value = match value.len {
                            0 => Vec::new(),
                            length => core::slice::from_raw_parts(value.data, length).to_vec(),
                        };
                        found.push((end.tag, end.status, value));
                        quorate_completions_clear(&mut end, SIZE, 1);
                    }
                }
            }
            if found.len() >= count {
                return found;
            }
            self.turn();
        }
        panic!("{} of {count} requests have ended", found.len());
    }
}

fn put(node: &Node, key: &str, value: &[u8], tag: u64) -> quorate_status {
    let value = quorate_bytes { data: value.as_ptr(), len: value.len() };
    // SAFETY: a live node, and bytes that stay during the call.
    unsafe { quorate_put(node.0, bytes(key), value, NONE, null(), tag) }
}

fn get(node: &Node, key: &str, tag: u64) {
    // SAFETY: as above.
    assert_eq!(unsafe { quorate_get(node.0, bytes(key), null(), tag) }, OK);
}

/// A value that no other key has.
fn value(tag: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(31) ^ at >> 8 ^ tag) as u8).collect()
}

#[test]
fn three_nodes_serve_over_frames_whose_bytes_are_overwritten() {
    let mut net = Net::new(1);
    net.meet();
    let lengths = [0, 1, 63, 1_400, 40_000, 1 << 20];
    for (tag, &length) in (0..).zip(&lengths) {
        let at = tag as usize % 3;
        assert_eq!(put(&net.nodes[at], &format!("key {tag}"), &value(tag, length), tag), OK);
    }
    let ends = net.ends(lengths.len());
    assert!(ends.iter().all(|end| end.1 == OK), "{:?}", ends.iter().map(|end| end.1).collect::<Vec<_>>());
    for (tag, _) in (0..).zip(&lengths) {
        get(&net.nodes[(tag as usize + 1) % 3], &format!("key {tag}"), tag);
    }
    for (tag, status, found) in net.ends(lengths.len()) {
        assert_eq!((status, found == value(tag, lengths[tag as usize])), (OK, true), "key {tag}");
    }
    assert!(
        net.carried > 2 * (1 << 20) / (512 + 1_400),
        "1 MiB went to two others in {} frames",
        net.carried
    );
}

#[test]
fn every_request_ends_once_however_streams_break() {
    for seed in 0..4 {
        let mut net = Net::new(seed);
        net.accidents = 60;
        let mut ended = BTreeMap::new();
        let mut asked = 0;
        for round in 0..200 {
            let at = net.below(3) as usize;
            let length = if round % 40 == 0 { 300_000 } else { net.below(2_000) as usize };
            let key = format!("key {}", net.below(20));
            assert_eq!(put(&net.nodes[at], &key, &value(round, length), round), OK);
            asked += 1;
            for (tag, _, _) in net.ends(0) {
                *ended.entry(tag).or_insert(0) += 1;
            }
            net.turn();
        }
        let left = asked - ended.len();
        for (tag, _, _) in net.ends(left) {
            *ended.entry(tag).or_insert(0) += 1;
        }
        assert!(net.broken > 10, "{} streams broke", net.broken);
        assert_eq!(ended.len(), asked);
        assert!(ended.values().all(|&ends| ends == 1));
        // It heals: all three are reached again.
        net.accidents = 0;
        for _ in 0..6_000 {
            net.turn();
        }
        assert_eq!(put(&net.nodes[0], "last", b"value", 1_000), OK);
        assert_eq!(net.ends(1), [(1_000, OK, Vec::new())]);
        get(&net.nodes[2], "last", 1_001);
        assert_eq!(net.ends(1), [(1_001, OK, b"value".to_vec())]);
    }
}

#[test]
fn datagrams_of_which_one_in_five_is_lost_carry_a_megabyte() {
    for (seed, room) in [(1, 64), (2, 888), (3, 8_388)] {
        let mut net = Net::of(seed, 1);
        (net.accidents, net.room) = (200, room);
        for _ in 0..3_000 {
            net.turn();
        }
        let lengths = [0, 3, 5_000, 1 << 20];
        for (tag, &length) in (0..).zip(&lengths) {
            let call = slow_call();
            let value = value(tag, length);
            let value = quorate_bytes { data: value.as_ptr(), len: value.len() };
            let key = format!("key {tag}");
            // SAFETY: a live node, and bytes that stay during the call.
            let status = unsafe { quorate_put(net.nodes[0].0, bytes(&key), value, NONE, &call, tag) };
            assert_eq!(status, OK);
        }
        for (tag, status, _) in net.ends(lengths.len()) {
            assert_eq!(status, OK, "put {tag} with frames of {room}");
        }
        for (tag, _) in (0..).zip(&lengths) {
            // SAFETY: as above.
            let status =
                unsafe { quorate_get(net.nodes[2].0, bytes(&format!("key {tag}")), &slow_call(), tag) };
            assert_eq!(status, OK);
        }
        for (tag, status, found) in net.ends(lengths.len()) {
            assert_eq!((status, found == value(tag, lengths[tag as usize])), (OK, true), "get {tag}");
        }
        assert!(net.broken > 500, "{} datagrams were lost", net.broken);
        assert!(net.woken > 500, "{} datagrams gave work", net.woken);
    }
}

#[test]
fn a_stream_of_datagrams_that_ends_is_told_at_both_ends() {
    let mut net = Net::of(4, 1);
    net.accidents = 0;
    for _ in 0..1_500 {
        net.turn();
    }
    assert_eq!(net.addresses.len(), 6, "who only knocked has gone, without waiting for silence");
}

#[test]
fn every_request_over_datagrams_ends_once_though_nodes_are_cut_off() {
    let mut net = Net::of(7, 1);
    net.accidents = 200;
    let mut ended = BTreeMap::new();
    let mut asked = 0;
    for round in 0..4_000 {
        // After a second nothing arrives any more.
        net.accidents = if round < 1_000 { 200 } else { 1_000 };
        if round % 20 == 0 {
            let at = net.below(3) as usize;
            assert_eq!(put(&net.nodes[at], &format!("key {}", round % 7), b"value", round), OK);
            asked += 1;
        }
        for (tag, _, _) in net.ends(0) {
            *ended.entry(tag).or_insert(0) += 1;
        }
        net.turn();
    }
    for (tag, _, _) in net.ends(asked - ended.len()) {
        *ended.entry(tag).or_insert(0) += 1;
    }
    assert!(ended.len() == asked && ended.values().all(|&ends| ends == 1));
    for _ in 0..6_000 {
        net.turn();
    }
    assert!(net.addresses.len() <= 6, "streams that were given up: {:?}", net.addresses);
    net.accidents = 0;
    for _ in 0..8_000 {
        net.turn();
    }
    assert_eq!(put(&net.nodes[1], "last", b"value", 9_999), OK);
    assert_eq!(net.ends(1), [(9_999, OK, Vec::new())]);
    assert_eq!(net.addresses.len(), 6, "one stream for each pair, named at both ends");
}

/// Settings with the time that a bad network takes.
fn slow_call() -> quorate_call {
    // SAFETY: numbers, for which zero is a value.
    let mut call: quorate_call = unsafe { zeroed() };
    call.struct_size = size_of_val(&call) as u32;
    call.timeout_ns = 15_000_000_000;
    call
}

#[test]
fn what_needs_a_socket_is_refused_with_its_name() {
    for (option, text, named) in [
        (97, "127.0.0.1:0", "client: "),
        (69, "/tmp/no.sock", "unix: "),
        (68, "127.0.0.1:0", "peer: "),
        (99, "127.0.0.1:1", "members: "),
    ] {
        let (options, mut node) = (options(), null_mut());
        // SAFETY: an error is numbers and text, for which zero is a value; all else is live.
        unsafe {
            let mut error: quorate_error = zeroed();
            error.struct_size = size_of_val(&error) as u32;
            assert_eq!(quorate_options_set_u64(options, OPT_MODE, MODE_PACKET), OK);
            assert_eq!(quorate_options_set_bytes(options, option, bytes(text)), OK);
            assert_eq!(quorate_node_open(options, &mut node, &mut error), E_ARG);
            let text = core::ffi::CStr::from_ptr(error.text.as_ptr()).to_str().unwrap();
            assert!(text.starts_with(named) && node.is_null(), "{text}");
            quorate_options_free(options);
        }
    }
    let (packet, host) = (Node::open(&[(OPT_MODE, MODE_PACKET)]), Node::host_driven());
    let (mut peer, mut count) = (0, 0);
    // SAFETY: live nodes.
    unsafe {
        assert_eq!(quorate_node_fd(packet.0), E_STATE);
        assert_eq!(quorate_completion_fd(packet.0), E_STATE);
        assert_eq!(quorate_node_start(packet.0, null_mut()), E_STATE);
        assert_eq!(quorate_wait(packet.0, 0), E_STATE);
        let mut frame: quorate_frame = zeroed();
        assert_eq!(quorate_net_accept(host.0, 1, 1, &mut peer), E_STATE);
        assert_eq!(quorate_net_rx(host.0, 1, null(), 0, 1, 1), E_STATE);
        assert_eq!(quorate_net_event(host.0, 1, UP, 0, 1, 1), E_STATE);
        assert_eq!(quorate_net_tx(host.0, &mut frame, FRAME_SIZE, 1, &mut count), E_STATE);
        // Two threads that drive it are told, as anywhere: here a stopped node is.
        assert_eq!(quorate_node_stop(packet.0, u64::MAX), OK);
        assert_eq!(quorate_net_accept(packet.0, 1, 1, &mut peer), E_CLOSED);
    }
}

#[test]
fn a_frame_and_a_name_are_checked() {
    let node = Node::open(&[(OPT_MODE, MODE_PACKET)]);
    let (mut room, mut filled) = ([0; FRAME_MIN], 7);
    // SAFETY: a live node, one frame and its buffer.
    unsafe {
        let mut frame: quorate_frame = zeroed();
        (frame.data, frame.cap) = (room.as_mut_ptr(), FRAME_MIN);
        let mut tx = |frame: &mut quorate_frame, size| quorate_net_tx(node.0, frame, size, 1, &mut filled);
        assert_eq!(tx(&mut frame, FRAME_SIZE), AGAIN);
        assert_eq!(tx(&mut frame, FRAME_SIZE - 8), E_ARG);
        assert_eq!(tx(&mut frame, FRAME_SIZE + 1), E_ARG);
        assert_eq!(tx(&mut quorate_frame { cap: FRAME_MIN - 1, ..frame }, FRAME_SIZE), E_ARG);
        assert_eq!(tx(&mut quorate_frame { flags: 1, ..frame }, FRAME_SIZE), E_UNSUPPORTED);
        assert_eq!(tx(&mut quorate_frame { reserved: [0, 1], ..frame }, FRAME_SIZE), E_UNSUPPORTED);
        assert_eq!(filled, 0);
        // Names: none was given yet, and one that is over is nobody's.
        let mut peer = 0;
        assert_eq!(quorate_net_event(node.0, 0, UP, 0, 1, 1), E_CLOSED);
        assert_eq!(quorate_net_accept(node.0, 1, 1, &mut peer), OK);
        assert_eq!(quorate_net_event(node.0, peer, 9, 0, 1, 1), E_UNSUPPORTED);
        assert_eq!(quorate_net_event(node.0, peer, DOWN, 0, 1, 1), OK);
        let (old, mut next) = (peer, 0);
        assert_eq!(quorate_net_accept(node.0, 1, 1, &mut next), OK);
        assert_ne!(next, old);
        assert_eq!(quorate_net_rx(node.0, old, &bytes("QRTP"), 1, 1, 1), E_CLOSED);
        // Not the peer protocol: the reason goes out, then the end is told, once.
        assert_eq!(quorate_net_rx(node.0, next, &bytes("GET / HTTP/1.0"), 1, 1, 1), OK);
        let mut told = Vec::new();
        while quorate_net_tx(node.0, &mut frame, FRAME_SIZE, 1, &mut filled) == OK {
            told.push((frame.peer, frame.kind, room[..frame.len].to_vec()));
        }
        let (last, before) = told.split_last().unwrap();
        assert_eq!(*last, (next, 3, Vec::new()));
        let said: Vec<u8> = before.iter().flat_map(|(_, _, said)| said.clone()).collect();
        assert!(before.iter().all(|(peer, kind, _)| (*peer, *kind) == (next, 1)));
        assert!(String::from_utf8_lossy(&said).contains("does not speak the peer protocol"));
        assert_eq!(quorate_net_rx(node.0, next, &bytes("x"), 1, 1, 1), E_CLOSED);
    }
}

#[test]
fn a_program_that_accepts_and_never_fetches_is_stopped() {
    let node = Node::open(&[(OPT_MODE, MODE_PACKET)]);
    let (mut peer, mut taken) = (0, 0);
    // SAFETY: a live node.
    unsafe {
        while quorate_net_accept(node.0, 1, 1, &mut peer) == OK {
            taken += 1;
            assert!(taken < 10_000, "strangers are counted");
        }
        assert!(peer == 0 && taken > 0);
    }
    // Each is refused and its end waits to be told.
    let node = Node::open(&[(OPT_MODE, MODE_PACKET)]);
    // SAFETY: a live node.
    unsafe {
        for told in 0.. {
            if quorate_net_accept(node.0, 1, 1, &mut peer) != OK {
                assert!(told > 0);
                break;
            }
            assert_eq!(quorate_net_rx(node.0, peer, &bytes("?"), 1, 1, 1), OK);
            assert!(told < 10_000, "news that wait are counted");
        }
    }
}

#[test]
fn connections_that_nobody_fetched_are_not_told_twice() {
    let node = member(0, 0);
    let mut now = Net::new(1).now;
    for _ in 0..600 {
        now += 100_000_000;
        step_at(&node, now);
    }
    let (mut room, mut filled, mut kinds) = ([0; FRAME_MIN], 0, Vec::new());
    // SAFETY: a live node, one frame and its buffer.
    unsafe {
        let mut frame: quorate_frame = zeroed();
        (frame.data, frame.cap) = (room.as_mut_ptr(), FRAME_MIN);
        while quorate_net_tx(node.0, &mut frame, FRAME_SIZE, 1, &mut filled) == OK {
            kinds.push(frame.kind);
        }
    }
    assert!(kinds.len() <= 2 && kinds.iter().all(|&kind| kind == 2), "{kinds:?}");
}
