//! The quorum toy: what three nodes would cost that do nothing but carry bytes. It marks the limit that
//! the real node is measured against, on the same machine in the same minute.
//!
//! Each of three processes takes Redis commands. A SET is stored in a hash map here, sent to both others
//! and answered when one of them has it (W=2 of 3); a GET is read here, asked of both others and answered
//! when one has answered (R=2 of 3). As in the real node, each socket is written once per turn of the
//! loop, however many messages it is due.
//!
//! What it leaves out is the point: no log, versions, clocks, deadlines, checksums or repair, and no word
//! of what happens when a process dies.
//!
//! Between processes go messages of a fixed head, little-endian, a key and a value:
//!
//! ```text
//! length 4 | kind 1 | 0 | key length 2 | client 4 | number 4 | key | value
//! ```

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::resp;

const HEAD: usize = 16;
const CLIENTS: Token = Token(0);
const PEERS: Token = Token(1);
/// Tokens below this one are listeners.
const FIRST_CONNECTION: usize = 2;

/// Store this; answer [`STORED`].
const STORE: u8 = 0;
/// Answer what lies under this key, with [`FOUND`].
const FETCH: u8 = 1;
const STORED: u8 = 2;
const FOUND: u8 = 3;

/// Who stands at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    /// Asks us.
    Asker,
    /// Is asked by us.
    Replica,
}

/// A client's command that waits for a second replica.
struct Waiting {
    done: bool,
    answer: Answer,
}

enum Answer {
    Text(&'static [u8]),
    Value(Vec<u8>),
}

struct Connection {
    stream: TcpStream,
    role: Role,
    input: Vec<u8>,
    /// How much of `input` was read and not yet handled.
    filled: usize,
    output: Vec<u8>,
    /// Whether the connection stands in [`Toy::due`].
    is_due: bool,
    waiting: VecDeque<Waiting>,
    /// Number of the command at the front of `waiting`.
    number: u32,
}

struct Toy {
    poll: Poll,
    connections: Vec<Option<Connection>>,
    replicas: [usize; 2],
    map: HashMap<Vec<u8>, Vec<u8>, BuildHasherDefault<QuickHasher>>,
    /// Connections with something to write at the end of this turn.
    due: Vec<usize>,
    words: Vec<Range<usize>>,
}

/// Runs toy number `id` until it is killed. `clients` and `peers` are where the three listen.
pub fn run(id: usize, clients: [SocketAddr; 3], peers: [SocketAddr; 3]) -> ! {
    let poll = Poll::new().expect("a poller");
    let mut clients = TcpListener::bind(clients[id]).expect("the client port");
    let mut askers = TcpListener::bind(peers[id]).expect("the peer port");
    poll.registry().register(&mut clients, CLIENTS, Interest::READABLE).expect("registered");
    poll.registry().register(&mut askers, PEERS, Interest::READABLE).expect("registered");
    let mut toy = Toy {
        poll,
        connections: Vec::new(),
        replicas: [0, 1],
        map: HashMap::default(),
        due: Vec::new(),
        words: Vec::new(),
    };
    for other in (0..3).filter(|&other| other != id) {
        let stream = connect(peers[other]);
        toy.add(stream, Role::Replica);
    }
    let mut events = Events::with_capacity(1_024);
    loop {
        if toy.poll.poll(&mut events, None).is_err() {
            continue;
        }
        for event in &events {
            match event.token() {
                CLIENTS => toy.accept(&clients, Role::Client),
                PEERS => toy.accept(&askers, Role::Asker),
                Token(token) => {
                    let at = token - FIRST_CONNECTION;
                    if event.is_writable() {
                        toy.make_due(at);
                    }
                    if event.is_readable() {
                        toy.read(at);
                    }
                }
            }
        }
        toy.write_due();
    }
}

/// Connects to a process that may still be starting.
fn connect(address: SocketAddr) -> TcpStream {
    for _ in 0..500 {
        if let Ok(stream) = std::net::TcpStream::connect(address) {
            stream.set_nonblocking(true).expect("a non-blocking socket");
            return TcpStream::from_std(stream);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {address}");
}

impl Toy {
    fn accept(&mut self, listener: &TcpListener, role: Role) {
        while let Ok((stream, _)) = listener.accept() {
            self.add(stream, role);
        }
    }

    fn add(&mut self, mut stream: TcpStream, role: Role) {
        stream.set_nodelay(true).expect("a TCP socket");
        let at = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
        if at == self.connections.len() {
            self.connections.push(None);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(at + FIRST_CONNECTION);
        self.poll.registry().register(&mut stream, token, interest).expect("registered");
        self.connections[at] = Some(Connection {
            stream,
            role,
            input: vec![0; 16 << 10],
            filled: 0,
            output: Vec::new(),
            is_due: false,
            waiting: VecDeque::new(),
            number: 0,
        });
    }

    /// Reads what there is and handles what came whole.
    fn read(&mut self, at: usize) {
        let Some(connection) = self.connections[at].as_mut() else { return };
        let open = connection.fill();
        let role = connection.role;
        // The buffer is taken out, so that messages borrowed from it can change other connections.
        let mut input = mem::take(&mut connection.input);
        let filled = connection.filled;
        let handled = match role {
            Role::Client => self.commands(at, &input[..filled]),
            Role::Asker => self.questions(at, &input[..filled]),
            Role::Replica => self.answers(&input[..filled]),
        };
        input.copy_within(handled..filled, 0);
        let connection = self.connections[at].as_mut().expect("it was there above");
        connection.input = input;
        connection.filled = filled - handled;
        if !open {
            // Three toys live and end together.
            if role != Role::Client {
                std::process::exit(0);
            }
            self.connections[at] = None;
        }
    }

    fn commands(&mut self, at: usize, input: &[u8]) -> usize {
        let mut words = mem::take(&mut self.words);
        let mut handled = 0;
        while let Some(length) = resp::read_command(&input[handled..], &mut words) {
            let command = &input[handled..];
            let word = |number: usize| words.get(number).map_or(&b""[..], |place| &command[place.clone()]);
            self.command(at, word(0), word(1), word(2));
            handled += length;
        }
        self.words = words;
        self.answer(at);
        handled
    }

    fn command(&mut self, at: usize, verb: &[u8], key: &[u8], value: &[u8]) {
        let connection = self.connections[at].as_ref().expect("a client that sent a command");
        let number = connection.number.wrapping_add(connection.waiting.len() as u32);
        let mut message = |kind, value| {
            for replica in self.replicas {
                let peer = self.connections[replica].as_mut().expect("both replicas");
                write_message(&mut peer.output, kind, [at as u32, number], key, value);
                if !mem::replace(&mut peer.is_due, true) {
                    self.due.push(replica);
                }
            }
        };
        let (done, answer) = match verb {
            b"SET" => {
                message(STORE, value);
                store(&mut self.map, key, value);
                (false, Answer::Text(b"+OK\r\n"))
            }
            b"GET" => {
                message(FETCH, b"");
                let found = self.map.get(key).cloned();
                (false, found.map_or(Answer::Text(b"$-1\r\n"), Answer::Value))
            }
            b"PING" => (true, Answer::Text(b"+PONG\r\n")),
            _ => (true, Answer::Text(b"-ERR a toy knows SET, GET and PING\r\n")),
        };
        let connection = self.connections[at].as_mut().expect("the same client");
        connection.waiting.push_back(Waiting { done, answer });
    }

    fn questions(&mut self, at: usize, input: &[u8]) -> usize {
        let connection = self.connections[at].as_mut().expect("an asker that sent a question");
        let mut handled = 0;
        while let Some(message) = read_message(&input[handled..]) {
            if message.kind == STORE {
                store(&mut self.map, message.key, message.value);
                write_message(&mut connection.output, STORED, message.whose, b"", b"");
            } else {
                let value = self.map.get(message.key).map_or(&b""[..], Vec::as_slice);
                write_message(&mut connection.output, FOUND, message.whose, b"", value);
            }
            handled += message.length;
        }
        self.make_due(at);
        handled
    }

    fn answers(&mut self, input: &[u8]) -> usize {
        let mut handled = 0;
        while let Some(message) = read_message(&input[handled..]) {
            debug_assert!(message.kind == STORED || message.kind == FOUND);
            handled += message.length;
            let [client, number] = message.whose;
            let Some(Some(connection)) = self.connections.get_mut(client as usize) else { continue };
            // The second answer to a command finds it gone, most often.
            let place = number.wrapping_sub(connection.number) as usize;
            if let Some(waiting) = connection.waiting.get_mut(place) {
                waiting.done = true;
                if place == 0 {
                    self.answer(client as usize);
                }
            }
        }
        handled
    }

    /// Answers a client's commands in their order, as far as they are done.
    fn answer(&mut self, at: usize) {
        let connection = self.connections[at].as_mut().expect("a client with commands");
        while connection.waiting.front().is_some_and(|waiting| waiting.done) {
            let waiting = connection.waiting.pop_front().expect("looked at above");
            connection.number = connection.number.wrapping_add(1);
            match waiting.answer {
                Answer::Text(text) => connection.output.extend_from_slice(text),
                Answer::Value(value) => resp::write_bulk(&mut connection.output, &value),
            }
        }
        self.make_due(at);
    }

    fn make_due(&mut self, at: usize) {
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        if !connection.output.is_empty() && !mem::replace(&mut connection.is_due, true) {
            self.due.push(at);
        }
    }

    fn write_due(&mut self) {
        for at in self.due.drain(..) {
            let Some(connection) = self.connections[at].as_mut() else { continue };
            connection.is_due = false;
            // What does not fit now is written when the socket says that it is writable again.
            if let Ok(written) = connection.stream.write(&connection.output) {
                if written == connection.output.len() {
                    connection.output.clear();
                } else {
                    drop(connection.output.drain(..written));
                }
            }
        }
    }
}

impl Connection {
    /// Reads all there is; whether the connection is still open.
    fn fill(&mut self) -> bool {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(2 * self.filled, 0);
            }
            let room = self.input.len() - self.filled;
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return false,
                Ok(read) => {
                    self.filled += read;
                    if read < room {
                        return true;
                    }
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

fn store(map: &mut HashMap<Vec<u8>, Vec<u8>, BuildHasherDefault<QuickHasher>>, key: &[u8], value: &[u8]) {
    match map.get_mut(key) {
        Some(old) => {
            old.clear();
            old.extend_from_slice(value);
        }
        None => drop(map.insert(key.to_vec(), value.to_vec())),
    }
}

struct Message<'a> {
    length: usize,
    kind: u8,
    /// The client's place and the command's number, at the toy that asked.
    whose: [u32; 2],
    key: &'a [u8],
    value: &'a [u8],
}

fn write_message(out: &mut Vec<u8>, kind: u8, whose: [u32; 2], key: &[u8], value: &[u8]) {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&((HEAD + key.len() + value.len()) as u32).to_le_bytes());
    head[4] = kind;
    head[6..8].copy_from_slice(&(key.len() as u16).to_le_bytes());
    head[8..12].copy_from_slice(&whose[0].to_le_bytes());
    head[12..].copy_from_slice(&whose[1].to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

fn read_message(bytes: &[u8]) -> Option<Message<'_>> {
    let (head, _) = bytes.split_first_chunk::<HEAD>()?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = number(0) as usize;
    let body = bytes.get(HEAD..length)?;
    let (key, value) = body.split_at(usize::from(u16::from_le_bytes([head[6], head[7]])));
    Some(Message { length, kind: head[4], whose: [number(8), number(12)], key, value })
}

/// A hash of a few instructions for eight bytes. Anybody could aim keys at it; nobody does in a bench.
#[derive(Default)]
struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = u128::from(self.0 ^ u64::from_le_bytes(word)) * 0x9E37_79B9_7F4A_7C15;
            self.0 = (mixed >> 64) as u64 ^ mixed as u64;
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = self.0.rotate_left(8) ^ number as u64;
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
