//! The node under test: a process of its own, with a bound on the memory it may reserve, and what can be
//! asked of it from outside.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quorate::resp::client::{Parser, Value, encode};

/// Longest silence of the node before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Private memory the node may reserve, in KiB, whether it is touched or not: far more than it needs, far
/// less than the lengths that are announced to it.
const RESERVE_MAX_KIB: u64 = 256 << 10;

/// The member under test, and those that the test plays. The node is dialled by all but the last, which
/// it dials itself.
pub const NODE: &str = "november";
pub const ANSWERING_MEMBER: &str = "alfa";
pub const RECORD_MEMBERS: [&str; 2] = ["bravo", "charlie"];
pub const HANDSHAKE_MEMBER: &str = "delta";
pub const DIALLED_MEMBER: &str = "yankee";

/// A running node.
pub struct Node {
    /// `None` while it is stopped.
    child: Option<Child>,
    folder: tempfile::TempDir,
    /// The member list as the node is told it.
    rows: String,
    pub client: SocketAddr,
    pub peer: SocketAddr,
    /// Names of all members.
    pub members: Vec<String>,
    /// Where the node dials the last member.
    pub dialled: TcpListener,
    /// Keeps the other members' addresses taken: what the node says there is not read.
    _silent: Vec<TcpListener>,
}

/// What the system says of a process's memory, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All resident pages.
    pub resident: u64,
    /// Those of files among them: the log's read-only map, which the kernel takes back when it likes.
    pub of_files: u64,
    /// Private writable memory, touched or not.
    pub reserved: u64,
}

impl Memory {
    /// Resident pages of the process itself. The log's map is read-only and lies in the kernel's cache: it
    /// grows with what was rightly stored.
    pub fn beside_files(&self) -> u64 {
        self.resident - self.of_files
    }
}

impl Node {
    /// Starts the program under test (or the one that `QUORATE_MALFORMED_NODE` names).
    pub fn start() -> Node {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let others = [&[ANSWERING_MEMBER], &RECORD_MEMBERS[..], &[HANDSHAKE_MEMBER, DIALLED_MEMBER]].concat();
        let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let mut listeners: Vec<TcpListener> = others.iter().map(listen).collect();
        let peer = free_address();
        let mut rows = vec![format!("{NODE}@{peer}")];
        for (name, listener) in others.iter().zip(&listeners) {
            rows.push(format!("{name}@{}", listener.local_addr().expect("it is bound")));
        }
        let dialled = listeners.pop().expect("the last member listens");
        let mut node = Node {
            child: None,
            folder,
            client: SocketAddr::from(([127, 0, 0, 1], 0)),
            peer,
            rows: rows.join(","),
            members: others.into_iter().chain([NODE]).map(str::to_owned).collect(),
            dialled,
            _silent: listeners,
        };
        node.run();
        node
    }

    /// Starts the process, on the directory that the one before has left.
    pub fn run(&mut self) {
        let program = std::env::var("QUORATE_MALFORMED_NODE").unwrap_or(env!("CARGO_BIN_EXE_quorate").into());
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -d {RESERVE_MAX_KIB} && exec \"$0\" \"$@\""))
            .arg(program)
            .args(["node", "--name", NODE, "--client", "127.0.0.1:0", "--log", "error"])
            .args(["--members", &self.rows, "--peer", &self.peer.to_string()])
            .args(["--n", "5", "--r", "1", "--w", "1", "--timeout-ms", "60"])
            .arg("--data")
            .arg(self.folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.complaints()).expect("a file in our folder"))
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("it is piped");
        self.child = Some(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the node's output is text");
        let client = line.split("client=").nth(1).and_then(|rest| rest.split(' ').next());
        let client = client.and_then(|address| address.parse().ok());
        self.client = client.unwrap_or_else(|| panic!("no ready line, but `{line}`: {}", self.last_words()));
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it was started")
    }

    /// Its memory now.
    pub fn memory(&self) -> Memory {
        let id = self.child.as_ref().map_or(0, Child::id);
        let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Memory { resident: field("VmRSS"), of_files: field("RssFile"), reserved: field("VmData") }
    }

    /// How it ended, if it did, with the end of what it wrote.
    pub fn ended(&mut self) -> Option<String> {
        // One that panics still has to write down where.
        let dying = self.last_words().contains("panicked at");
        let child = self.child();
        let status = if dying { child.wait().map(Some) } else { child.try_wait() };
        let status = status.expect("it is our child")?;
        Some(format!("the node ended ({status}) and said: {}", self.last_words()))
    }

    /// Where it wrote its complaints.
    fn complaints(&self) -> PathBuf {
        self.folder.path().join("stderr")
    }

    /// The end of what it wrote to stderr.
    pub fn last_words(&self) -> String {
        let text = fs::read(self.complaints()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_096)..]).into_owned()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        let id = self.child().id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.expect("kill runs").success(), "the node could not be told to stop");
        let status = self.child().wait().expect("it is our child");
        assert!(status.success(), "the node stopped with {status}: {}", self.last_words());
        self.child = None;
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address on which nobody listens. Its port lies below the range out of which the system gives ports to
/// outgoing connections, so that none of those takes it while the node is down.
fn free_address() -> SocketAddr {
    const FIRST: u16 = 10_000;
    const PORTS: u32 = 8_000;
    let mut ports = (0..PORTS).map(|at| FIRST + (std::process::id().wrapping_add(at) % PORTS) as u16);
    let port = ports.find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("a free port")))
}

/// Connects, with a bound on every wait.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// How a stream went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnce {
    Bytes(usize),
    /// The other end has ended it.
    End,
    /// The other end has thrown it away, with bytes of ours unread.
    Reset,
}

/// Reads once. A node that says nothing for too long is an error.
pub fn read_once(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<ReadOnce> {
    loop {
        return match stream.read(into) {
            Ok(0) => Ok(ReadOnce::End),
            Ok(length) => Ok(ReadOnce::Bytes(length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                Ok(ReadOnce::Reset)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the node says nothing, and does not hang up"))
            }
            Err(error) => Err(error),
        };
    }
}

/// Writes everything; a stream that the node has closed takes the bytes nowhere.
pub fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    match stream.write_all(bytes) {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        result => result,
    }
}

/// A well-behaved client.
pub struct Client {
    stream: TcpStream,
    parser: Parser,
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client { stream: connect(address)?, parser: Parser::new() })
    }

    /// Sends a command and waits for its reply.
    pub fn call(&mut self, command: &[&[u8]]) -> io::Result<Value> {
        let mut bytes = Vec::new();
        encode(&mut bytes, command);
        self.stream.write_all(&bytes)?;
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(value) = self.parser.next_reply().map_err(io::Error::other)? {
                return Ok(value);
            }
            match read_once(&mut self.stream, &mut buffer)? {
                ReadOnce::Bytes(length) => self.parser.push(&buffer[..length]),
                end => return Err(io::Error::other(format!("no reply, but {end:?}"))),
            }
        }
    }
}
