//! Nodes on threads, and clients that speak RESP to them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::unix::SourceFd;
use quorate::driver::{DataDir, EventLoop, Handle, Level, LogSink, Logger, LoopError, NodeOptions};
use quorate::proto::config::{Config, MemberSpec};

/// Longer than anything here takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

/// Any port of loopback.
pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// How much one step of a host may do, 0 for no bound: QUORATE_STEP_BUDGET.
pub fn budget() -> u32 {
    std::env::var("QUORATE_STEP_BUDGET").map_or(0, |budget| budget.parse().expect("a number"))
}

/// A node of the cluster `test`, in memory, on ports of the system's choice.
pub fn options(name: &str, members: &[&str]) -> NodeOptions {
    let mut core = Config::new(name);
    core.cluster = "test".to_owned();
    core.partitions = 16;
    core.tokens = 8;
    core.client_deadline = Duration::from_secs(10);
    core.members = members.iter().map(|&name| MemberSpec::new(name, "")).collect();
    let mut options = NodeOptions::new(core);
    options.clients = vec![loopback()];
    options.peer = Some(loopback());
    options
}

/// The same in a directory of its name, if there is one for all.
fn options_in(directory: Option<&Path>, name: &str, members: &[&str]) -> NodeOptions {
    let mut options = options(name, members);
    if let Some(directory) = directory {
        options.data = DataDir::Path(directory.join(name));
        options.store.segment_bytes = Some(1 << 20);
    }
    options
}

/// Whether a descriptor becomes readable in time. A fresh poll reports the level, as a host's would.
pub fn wait_readable(fd: RawFd, timeout: Duration) -> bool {
    let mut poll = mio::Poll::new().unwrap();
    poll.registry().register(&mut SourceFd(&fd), mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(1);
    poll.poll(&mut events, Some(timeout)).unwrap();
    !events.is_empty()
}

/// A node on a thread of its own; stopped when dropped.
pub struct Running {
    handle: Handle,
    client_address: SocketAddr,
    peer_address: SocketAddr,
    thread: Option<JoinHandle<Result<(), LoopError>>>,
}

impl Running {
    pub fn spawn(node: EventLoop) -> Running {
        Running {
            handle: node.handle(),
            client_address: node.client_addresses()[0],
            peer_address: node.peer_address().unwrap(),
            thread: Some(node.spawn().unwrap()),
        }
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    pub fn client(&self) -> Client {
        Client::connect(self.client_address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop(Duration::from_millis(10));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// Several nodes that know each other.
pub struct Cluster {
    names: Vec<String>,
    nodes: Vec<Option<Running>>,
    peer_addresses: Vec<SocketAddr>,
    /// Where the nodes keep their records; in memory without one.
    directory: Option<PathBuf>,
}

impl Cluster {
    /// Opened nodes that know each other's addresses, in memory.
    pub fn open(names: &[&str]) -> Vec<EventLoop> {
        Self::open_in(None, names)
    }

    fn open_in(directory: Option<&Path>, names: &[&str]) -> Vec<EventLoop> {
        let open = |name: &&str| EventLoop::open(options_in(directory, name, names)).unwrap();
        let mut loops: Vec<EventLoop> = names.iter().map(open).collect();
        let addresses: Vec<SocketAddr> = loops.iter().map(|node| node.peer_address().unwrap()).collect();
        for node in &mut loops {
            for (name, &address) in names.iter().zip(&addresses) {
                assert!(node.set_member_address(name, address));
            }
        }
        loops
    }

    /// Running nodes that are all connected, in memory.
    pub fn start(names: &[&str]) -> Cluster {
        Self::start_in(None, names)
    }

    /// Running nodes that are all connected, each in a directory of its name.
    pub fn start_in(directory: Option<&Path>, names: &[&str]) -> Cluster {
        let loops = Self::open_in(directory, names);
        let nodes: Vec<_> = loops.into_iter().map(|node| Some(Running::spawn(node))).collect();
        let peer_addresses = nodes.iter().flatten().map(Running::peer_address).collect();
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let directory = directory.map(Path::to_owned);
        let cluster = Cluster { names, nodes, peer_addresses, directory };
        cluster.wait_until_connected();
        cluster
    }

    pub fn spawn_one(options: NodeOptions) -> Running {
        Running::spawn(EventLoop::open(options).unwrap())
    }

    /// A write with W = N through each node succeeds only once it has reached all others.
    pub fn wait_until_connected(&self) {
        let all = self.nodes.iter().flatten().count().to_string();
        for node in self.nodes.iter().flatten() {
            let mut client = node.client();
            while client.ask(&["Q.PUT", "connected", "", "W", &all, "SUPERSEDE"]).starts_with('-') {
                std::thread::yield_now();
            }
        }
    }

    pub fn peer_addresses(&self) -> &[SocketAddr] {
        &self.peer_addresses
    }

    pub fn client(&self, at: usize) -> Client {
        self.nodes[at].as_ref().unwrap().client()
    }

    pub fn clients(&self) -> Vec<Client> {
        self.nodes.iter().flatten().map(Running::client).collect()
    }

    /// Stops a node at once.
    pub fn stop(&mut self, at: usize) {
        self.nodes[at] = None;
    }

    /// Opens a node again, at the address that it had.
    pub fn restart(&mut self, at: usize, address: SocketAddr) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let mut options = options_in(self.directory.as_deref(), names[at], &names);
        options.peer = Some(address);
        let mut node = EventLoop::open(options).unwrap();
        for (name, &address) in names.iter().zip(&self.peer_addresses) {
            node.set_member_address(name, address);
        }
        self.nodes[at] = Some(Running::spawn(node));
    }
}

/// A client that waits for its answers.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Client { stream, reader }
    }

    /// The bytes of a command.
    pub fn command(words: &[&str]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        bytes
    }

    /// Sends a command; returns its reply.
    pub fn ask(&mut self, words: &[&str]) -> String {
        // A node that refuses the connection may end it before all is sent; the reply tells.
        let _ = self.stream.write_all(&Client::command(words));
        self.reply()
    }

    /// The next reply: its first line; of a bulk `$` and the text; of an array its parts in brackets.
    pub fn reply(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("$", "-1")) => "(nil)".to_owned(),
            Some(("$", length)) => {
                let mut text = vec![0; length.parse::<usize>().unwrap() + 2];
                self.reader.read_exact(&mut text).unwrap();
                format!("${}", String::from_utf8_lossy(&text[..text.len() - 2]))
            }
            Some(("*", count)) => {
                let parts: Vec<String> = (0..count.parse::<usize>().unwrap()).map(|_| self.reply()).collect();
                format!("[{}]", parts.join(" "))
            }
            _ => line.to_owned(),
        }
    }
}

/// A sink that keeps lines for a test to wait for.
#[derive(Default)]
pub struct Lines {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Lines {
    pub fn new() -> Arc<Lines> {
        Arc::default()
    }

    pub fn logger(self: &Arc<Self>) -> Logger {
        Logger::new(Level::Debug, Arc::clone(self) as Arc<dyn LogSink>)
    }

    /// Whether there is a line that contains `text`.
    pub fn has(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// The lines that contain `text`.
    pub fn with(&self, text: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// How many lines contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for(&self, text: &str) {
        let lines = self.lines.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(text));
        let (lines, result) = self.changed.wait_timeout_while(lines, PATIENCE, missing).unwrap();
        assert!(!result.timed_out(), "no line with `{text}` in {lines:#?}");
    }
}

impl LogSink for Lines {
    fn log(&self, level: Level, target: &'static str, message: &str) {
        self.lines.lock().unwrap().push(format!("{} {target}: {message}", level.name()));
        self.changed.notify_all();
    }
}
