//! `quorate dev`: a whole cluster in this process, one thread a node, to try things out.
//!
//! The same nodes as `quorate node` runs, over real sockets and real files; only small. The first founds the
//! cluster, and the others join it as they would anywhere. A directory of an earlier version, whose members were a
//! list, is served as it is: peers listen on ports that the system chooses, so there the nodes are opened first
//! and then told where the others are.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use quorate::driver::{DataDir, EventLoop, Handle, Level, Logger, NodeOptions};
use quorate::proto::config::{Config, MemberSpec, Membership};
use quorate::proto::limits;
use quorate::proto::ring::Mode;

use super::choices::LogLevel;
use super::client::print_line;
use super::connection::{Connection, Kind};
use super::exit::{CANNOT_CONNECT, CANNOT_WRITE, Failure, INPUT_OUTPUT};
use super::log::ProgramLog;
use super::{signals, tour};

/// Bytes of a log segment: small, since there are several nodes and nobody keeps much in them.
const SEGMENT_BYTES: u64 = 4 << 20;
/// How long the nodes may take to find each other.
const MEETING_MAX: Duration = Duration::from_secs(10);
/// How long to wait between two looks whether they have.
const MEETING_PAUSE: Duration = Duration::from_millis(10);

/// What `quorate dev` can be told.
#[derive(clap::Args)]
pub struct DevArguments {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=26))]
    nodes: u8,
    /// The first node's port for clients; the others take the ports after it. 0 takes free ones.
    #[arg(long, default_value_t = 7379)]
    port: u16,
    /// Keep records below this directory [default: a temporary one, removed at the end].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Show a conflict and how it is resolved, then stop.
    #[arg(long, conflicts_with = "data")]
    tour: bool,
    /// The least important lines to log.
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    log: LogLevel,
}

/// Runs the cluster until a signal asks to stop, or the tour is over.
///
/// # Errors
/// A node cannot be opened, or did not close cleanly, or the tour did not see what it promises.
pub fn run(arguments: &DevArguments) -> Result<(), Failure> {
    signals::claim()?;
    let directory = match &arguments.data {
        Some(path) => Directory { path: path.clone(), temporary: false },
        None => Directory::temporary()?,
    };
    let mut loops = open_all(arguments, &directory.path)?;
    tell_addresses(&mut loops);
    let clients: Vec<SocketAddr> = loops.iter().map(|node| node.client_addresses()[0]).collect();
    let handles: Vec<Handle> = loops.iter().map(EventLoop::handle).collect();
    signals::watch(handles.clone())?;
    let mut threads = Vec::new();
    for node in loops {
        let spawned = node.spawn();
        threads.push(spawned.map_err(|error| failed(format!("starting a thread: {error}")))?);
    }
    let used = use_cluster(arguments, &directory, &clients);
    if arguments.tour || used.is_err() {
        handles.iter().for_each(|handle| handle.stop(signals::GRACE));
    }
    let mut ends = vec![used];
    for thread in threads {
        let end = thread.join().map_err(|_| failed("a node's thread panicked".into()));
        ends.push(end.and_then(|end| end.map_err(Failure::from)));
    }
    ends.into_iter().collect()
}

fn failed(what: String) -> Failure {
    Failure::new(INPUT_OUTPUT, what)
}

/// Opens every node; none of them turns yet.
fn open_all(arguments: &DevArguments, directory: &Path) -> Result<Vec<EventLoop>, Failure> {
    let log = Arc::new(ProgramLog::open(None).expect("stderr needs no opening"));
    let names: Vec<String> =
        (b'A'..).take(arguments.nodes.into()).map(|name| char::from(name).into()).collect();
    let member = |name: &String| MemberSpec::new(name, "");
    let members: Vec<MemberSpec> = names.iter().map(member).collect();
    let is_listed = names.iter().any(|name| directory.join(name).join("layout").exists());
    let mut loops: Vec<EventLoop> = Vec::new();
    for (name, place) in names.iter().zip(0..) {
        let mut core = Config::new(name);
        let first = loops.first().and_then(EventLoop::peer_address);
        if is_listed {
            core.members.clone_from(&members);
        } else {
            core.membership = if first.is_none() { Membership::Founded } else { Membership::Joined };
            core.placement = Mode::Balanced;
            core.auto_commit = true;
            core.reap_after = Some(limits::REAP_AFTER);
        }
        let mut options = NodeOptions::new(core);
        options.join.extend(first.filter(|_| !is_listed));
        options.data = DataDir::Path(directory.join(name));
        options.clients = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port_of(arguments.port, place)?))];
        options.peer = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        options.store.segment_bytes = Some(SEGMENT_BYTES);
        options.is_playground = true;
        options.log = Logger::new(Level::from(arguments.log), log.clone());
        loops.push(EventLoop::open(options)?);
    }
    Ok(loops)
}

/// The client port of the node at a place.
fn port_of(first: u16, place: u16) -> Result<u16, Failure> {
    match first {
        0 => Ok(0),
        _ => first
            .checked_add(place)
            .ok_or_else(|| Failure::setting("port", format!("{first} leaves no port for every node"))),
    }
}

/// Tells every node where the others listen for peers.
fn tell_addresses(loops: &mut [EventLoop]) {
    let addresses: Vec<(String, SocketAddr)> = loops
        .iter()
        .map(|node| (node.status().name, node.peer_address().expect("every node was given a peer address")))
        .collect();
    for node in loops {
        for (name, address) in &addresses {
            node.set_member_address(name, *address);
        }
    }
}

/// What the program does while the nodes run: waits until they serve, says so, gives the tour.
fn use_cluster(
    arguments: &DevArguments,
    directory: &Directory,
    clients: &[SocketAddr],
) -> Result<(), Failure> {
    wait_until_met(clients)?;
    if arguments.tour {
        return tour::give(clients);
    }
    print_line(greeting(directory, clients).as_bytes())?;
    let _ = std::io::stdout().flush();
    Ok(())
}

/// Waits until every node can read from as many replicas as there are. A read of a key that nobody has
/// asks all of them and changes nothing.
fn wait_until_met(clients: &[SocketAddr]) -> Result<(), Failure> {
    let replicas = clients.len().min(Config::new("A").keyspace(0).n.into()).to_string();
    let give_up = Instant::now() + MEETING_MAX;
    for client in clients {
        let mut connection = Connection::open(&client.to_string(), limits::CLIENT_DEADLINE)?;
        let command: [&[u8]; 4] = [b"Q.GET", b"", b"R", replicas.as_bytes()];
        while let Err(failure) = connection.call(Kind::Read, &command) {
            if failure.code == CANNOT_CONNECT || Instant::now() > give_up {
                return Err(failure);
            }
            thread::sleep(MEETING_PAUSE);
        }
    }
    Ok(())
}

/// How to connect, and what to try.
fn greeting(directory: &Directory, clients: &[SocketAddr]) -> String {
    let port = |place: usize| clients[place % clients.len()].port();
    let (first, second) = (port(0), port(1));
    let mut text = format!("quorate: {} nodes in this process\n\n", clients.len());
    for (client, name) in clients.iter().zip('A'..) {
        text += &format!("  node {name}   redis-cli -p {}\n", client.port());
    }
    let kept = if directory.temporary { "removed at the end" } else { "kept" };
    text += &format!("\ndata in {} ({kept})\n\n", directory.path.display());
    text += &format!(
        "try\n  redis-cli -p {first} SET greeting hello\n  redis-cli -p {second} GET greeting\n  \
         redis-cli -p {first} Q.PUT cart milk\n  redis-cli -p {second} Q.PUT cart eggs\n  \
         redis-cli -p {first} Q.GET cart\n  redis-cli -p {first} Q.OWNERS cart\n\n\
         Ctrl-C stops"
    );
    text
}

/// Where the records of this run lie; a temporary one is removed at the end.
struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    /// A fresh directory that only this user may enter.
    fn temporary() -> Result<Directory, Failure> {
        let base = std::env::temp_dir();
        let process = std::process::id();
        for attempt in 0..100 {
            let path = base.join(format!("quorate-dev-{process}-{attempt}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Directory { path, temporary: true }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let message = format!("{} cannot be written: {error}", path.display());
                    return Err(Failure::new(CANNOT_WRITE, message));
                }
            }
        }
        let message = format!("{} is full of directories of earlier runs", base.display());
        Err(Failure::new(CANNOT_WRITE, message))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            let _ = writeln!(std::io::stderr(), "quorate: {} was not removed: {error}", self.path.display());
        }
    }
}
