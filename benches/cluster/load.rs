//! A load of our own, for what `redis-benchmark` cannot do: SET with WAIT as one operation, filling keys
//! in order, and looking at what comes back. One thread, a closed loop: each connection sends a batch,
//! waits for all of its replies, then sends the next.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::resp::{self, Reply};

/// Bytes of a value, as everywhere in this bench.
pub const VALUE_BYTES: usize = 100;

/// What one operation is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// SET of the keys in order, each once.
    Fill,
    /// SET of a random key, then WAIT until one replica has it.
    SetWait,
    /// GET of a random key, which must give a value of [`VALUE_BYTES`].
    Check,
}

/// How much of it.
#[derive(Clone, Copy)]
pub struct Load {
    pub operation: Operation,
    pub connections: usize,
    /// Operations in a batch.
    pub pipeline: usize,
    /// Operations in all.
    pub count: usize,
    /// Keys `key:000000000000` and up.
    pub keys: u64,
}

/// What came of a load.
pub struct Outcome {
    pub elapsed: Duration,
    /// Time from sending a batch to its last reply, sorted.
    pub latencies: Vec<Duration>,
    /// Replies that were not what they should be, and the first of them.
    pub wrong: usize,
    pub first_wrong: Option<String>,
}

impl Outcome {
    /// The latency that this share of the batches kept to.
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

struct Connection {
    stream: TcpStream,
    output: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Replies still to come.
    awaited: usize,
    began: Instant,
}

struct Run {
    load: Load,
    /// Operations begun.
    begun: usize,
    random: u64,
    outcome: Outcome,
}

/// Runs a load against one server to its end.
pub fn run(address: SocketAddr, load: Load) -> Outcome {
    let mut poll = Poll::new().expect("a poller");
    let mut connections: Vec<Connection> = (0..load.connections)
        .map(|at| {
            let stream = std::net::TcpStream::connect(address).expect("a server that listens");
            stream.set_nodelay(true).expect("a TCP socket");
            stream.set_nonblocking(true).expect("a non-blocking socket");
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(at), interest).expect("registered");
            let (output, input) = (Vec::new(), Vec::new());
            Connection { stream, output, sent: 0, input, awaited: 0, began: Instant::now() }
        })
        .collect();

    let began = Instant::now();
    let outcome = Outcome { elapsed: Duration::ZERO, latencies: Vec::new(), wrong: 0, first_wrong: None };
    let mut run = Run { load, begun: 0, random: 0x9E37_79B9_7F4A_7C15, outcome };
    let mut open =
        connections.iter_mut().map(|connection| run.begin(connection)).filter(|&more| more).count();
    let mut events = Events::with_capacity(1_024);
    while open > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(10))).expect("events");
        assert!(!events.is_empty(), "no reply from {address} for ten seconds");
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_writable() {
                connection.write();
            }
            if event.is_readable() && connection.awaited > 0 {
                run.read(connection);
                if connection.awaited == 0 {
                    run.outcome.latencies.push(connection.began.elapsed());
                    open -= usize::from(!run.begin(connection));
                }
            }
        }
    }
    run.outcome.elapsed = began.elapsed();
    run.outcome.latencies.sort_unstable();
    run.outcome
}

impl Run {
    /// Sends the next batch; false if there is none.
    fn begin(&mut self, connection: &mut Connection) -> bool {
        let batch = self.load.pipeline.min(self.load.count - self.begun);
        for _ in 0..batch {
            let number = match self.load.operation {
                Operation::Fill => self.begun as u64,
                _ => self.draw(),
            };
            let key = format!("key:{:012}", number % self.load.keys);
            let value = [b'x'; VALUE_BYTES];
            match self.load.operation {
                Operation::Check => resp::write_command(&mut connection.output, &[b"GET", key.as_bytes()]),
                _ => resp::write_command(&mut connection.output, &[b"SET", key.as_bytes(), &value]),
            }
            connection.awaited += 1;
            if self.load.operation == Operation::SetWait {
                resp::write_command(&mut connection.output, &[b"WAIT", b"1", b"1000"]);
                connection.awaited += 1;
            }
            self.begun += 1;
        }
        connection.began = Instant::now();
        connection.write();
        batch > 0
    }

    /// A number from xorshift, which is enough to spread keys.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 8
    }

    fn read(&mut self, connection: &mut Connection) {
        connection.fill();
        let mut handled = 0;
        while let Some((reply, length)) = resp::read_reply(&connection.input[handled..]) {
            let right = match (self.load.operation, reply) {
                (Operation::Check, Reply::Bulk(value)) => value.len() == VALUE_BYTES,
                (Operation::Check, _) => false,
                // WAIT answers with the number of replicas.
                (_, Reply::Line(line)) => line == b"OK" || (line != b"0" && line[0].is_ascii_digit()),
                _ => false,
            };
            if !right {
                self.outcome.wrong += 1;
                self.outcome.first_wrong.get_or_insert_with(|| format!("{reply:?}"));
            }
            connection.awaited -= 1;
            handled += length;
        }
        drop(connection.input.drain(..handled));
    }
}

impl Connection {
    fn write(&mut self) {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a server went away: {error}"),
            }
        }
        self.output.clear();
        self.sent = 0;
    }

    fn fill(&mut self) {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("a server closed a connection"),
                Ok(read) => {
                    self.input.extend_from_slice(&chunk[..read]);
                    if read < chunk.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a server went away: {error}"),
            }
        }
    }
}
