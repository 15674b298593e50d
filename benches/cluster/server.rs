//! The servers under test: how each is started, what it costs, and that it is gone afterwards.
//!
//! All bind loopback on ports that were free a moment ago, keep their files below one temporary folder,
//! and are ended by process id when dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::resp;

const START_MAX: Duration = Duration::from_secs(20);

/// One system: a process or three, and where clients drive it.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    processes: Vec<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that ended by itself has nothing to be ended.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Server {
    /// Processor time of its processes since they began.
    pub fn cpu(&self) -> Duration {
        self.processes.iter().map(|process| process_cpu(process.id())).sum()
    }

    /// The process that clients drive.
    pub fn driven(&self) -> u32 {
        self.processes[0].id()
    }

    /// Resident memory of its processes, in bytes.
    pub fn resident(&self) -> u64 {
        let of = |process: &Child| {
            let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        self.processes.iter().filter_map(of).sum::<u64>() << 10
    }

    /// Ends the bench if a process of it has ended.
    pub fn assert_alive(&mut self) {
        for process in &mut self.processes {
            let ended = process.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "a process of {} ended: {ended:?}", self.name);
        }
    }
}

/// Three toys of our own: this very program, started again.
pub fn toy() -> Server {
    let ports = free_addresses(6);
    let list = ports.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    let program = std::env::current_exe().expect("this program's path");
    let start = |id: usize| spawn(Command::new(&program).args(["--toy", &id.to_string(), &list]));
    let server = Server { name: "quorum toy", address: ports[0], processes: (0..3).map(start).collect() };
    wait_for_ping(ports[0]);
    server
}

/// One redis-server without persistence.
pub fn redis(folder: &Path) -> Server {
    let address = free_addresses(1)[0];
    let server = Server { name: "redis", address, processes: vec![start_redis(folder, address, None)] };
    wait_for_ping(address);
    server
}

/// A redis-server with two replicas, all online.
pub fn redis_with_replicas(folder: &Path) -> Server {
    let addresses = free_addresses(3);
    let master = addresses[0];
    let mut server = Server {
        name: "redis, 2 replicas",
        address: master,
        processes: vec![start_redis(folder, master, None)],
    };
    wait_for_ping(master);
    for &address in &addresses[1..] {
        server.processes.push(start_redis(folder, address, Some(master)));
    }
    let began = Instant::now();
    while ask(master, &[b"INFO", b"replication"]).is_none_or(|info| info.matches("state=online").count() < 2)
    {
        assert!(began.elapsed() < START_MAX, "the replicas of Redis did not get online");
        thread::sleep(Duration::from_millis(50));
    }
    server
}

fn start_redis(folder: &Path, address: SocketAddr, master: Option<SocketAddr>) -> Child {
    let port = address.port().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
    command.args(["--loglevel", "warning", "--dir"]).arg(folder);
    if let Some(master) = master {
        command.args(["--replicaof", "127.0.0.1", &master.port().to_string()]);
        command.args(["--repl-diskless-sync-delay", "0"]);
    }
    spawn(&mut command)
}

/// Three nodes of ours, N=3 R=W=2, durability `interval`: what a node does unless told otherwise.
pub fn quorate(program: &Path, folder: &Path) -> Server {
    let names = ["A", "B", "C"];
    let peers = free_addresses(3);
    let members = names.iter().zip(&peers).map(|(name, peer)| format!("{name}@{peer}"));
    let members = members.collect::<Vec<_>>().join(",");
    let (mut processes, mut clients) = (Vec::new(), Vec::new());
    for (name, peer) in names.iter().zip(&peers) {
        let mut command = Command::new(program);
        command.args(["node", "--name", name, "--client", "127.0.0.1:0", "--peer", &peer.to_string()]);
        command.args(["--members", &members, "--log", "error", "--data"]).arg(folder.join(name));
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let output = process.stdout.take().expect("a piped output");
        processes.push(process);
        clients.push(output);
    }
    // Held here from now on, so that they end even if one does not get ready.
    let mut server = Server { name: "quorate", address: peers[0], processes };
    let clients: Vec<SocketAddr> = clients.into_iter().map(client_address).collect();
    server.address = clients[0];
    wait_for_write(server.address);
    server
}

/// Reads the line `ready name=A client=ADDR peer=ADDR`.
fn client_address(output: impl Read + Send + 'static) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        drop(BufReader::new(output).read_line(&mut line));
        drop(sender.send(line));
    });
    let line = receiver.recv_timeout(START_MAX).expect("a ready line");
    let client = line.split_whitespace().find_map(|word| word.strip_prefix("client="));
    client.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no ready line: {line:?}"))
}

fn spawn(command: &mut Command) -> Child {
    let name = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", name.display()))
}

/// Addresses that nobody listened on a moment ago, all different.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("a bound socket")).collect()
}

fn wait_for_ping(address: SocketAddr) {
    wait_for(address, &[b"PING"], "PONG");
}

/// A node serves before its peers are connected; a write shows that a quorum is there.
fn wait_for_write(address: SocketAddr) {
    wait_for(address, &[b"SET", b"warm", b"up"], "OK");
}

fn wait_for(address: SocketAddr, command: &[&[u8]], expected: &str) {
    let began = Instant::now();
    while ask(address, command).is_none_or(|answer| !answer.contains(expected)) {
        assert!(began.elapsed() < START_MAX, "{address} does not answer {expected}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// One command on a connection of its own; the beginning of its reply.
fn ask(address: SocketAddr, command: &[&[u8]]) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut bytes = Vec::new();
    resp::write_command(&mut bytes, command);
    stream.write_all(&bytes).ok()?;
    let mut answer = vec![0; 8 << 10];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Clock ticks in which the kernel reports processor time: USER_HZ is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

fn process_cpu(id: u32) -> Duration {
    let fields = stat_fields(&format!("/proc/{id}/stat"));
    // utime and stime, counted from behind the name in brackets.
    TICK * (fields[11] + fields[12])
}

/// Processor time of this process and of its children that ended: the load generators.
pub fn own_cpu() -> Duration {
    let fields = stat_fields("/proc/self/stat");
    TICK * (fields[11] + fields[12] + fields[13] + fields[14])
}

/// Processor time that all processes of the machine took.
pub fn machine_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u32> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal: all but the third and fourth are work.
    TICK * fields
        .iter()
        .take(8)
        .enumerate()
        .filter(|(at, _)| !matches!(at, 3 | 4))
        .map(|(_, ticks)| ticks)
        .sum()
}

fn stat_fields(path: &str) -> Vec<u32> {
    let stat = fs::read_to_string(path).unwrap_or_default();
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let mut fields: Vec<u32> =
        behind.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
    fields.resize(50, 0);
    fields
}
