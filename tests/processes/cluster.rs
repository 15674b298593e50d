//! A cluster of `quorate node` processes over one temporary directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{Client, error_word};
use crate::process::{PATIENCE, Process, command, free_address, program};

/// Nodes `A`, `B`, …, each with its own directory and ports; any of them may be down.
pub struct Cluster {
    directory: TempDir,
    peers: Vec<SocketAddr>,
    clients: Vec<SocketAddr>,
    flags: Vec<String>,
    nodes: Vec<Option<Process>>,
    /// What nodes are started from now on, if not the program under test.
    program: Option<PathBuf>,
}

impl Cluster {
    /// Starts so many nodes with more flags, and waits until all see each other.
    pub fn start(count: usize, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster {
            directory: tempfile::tempdir().expect("a temporary directory"),
            peers: (0..count).map(|_| free_address()).collect(),
            clients: (0..count).map(|_| free_address()).collect(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            nodes: (0..count).map(|_| None).collect(),
            program: None,
        };
        cluster.start_all();
        cluster
    }

    /// The same, of another program.
    pub fn start_program(program: PathBuf, count: usize) -> Cluster {
        let mut cluster = Cluster {
            directory: tempfile::tempdir().expect("a temporary directory"),
            peers: (0..count).map(|_| free_address()).collect(),
            clients: (0..count).map(|_| free_address()).collect(),
            flags: Vec::new(),
            nodes: (0..count).map(|_| None).collect(),
            program: Some(program),
        };
        cluster.start_all();
        cluster
    }

    /// Nodes are started of the program under test from now on.
    pub fn upgrade(&mut self) {
        self.program = None;
    }

    /// Stops a node as a service manager does, and waits until it has.
    pub fn stop(&mut self, node: usize) {
        let mut process = self.nodes[node].take().expect("the node is up");
        process.signal("TERM");
        assert!(process.wait().success(), "{}", process.stderr());
    }

    /// How many nodes there are, up or down.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where a node serves clients.
    pub fn client(&self, node: usize) -> SocketAddr {
        self.clients[node]
    }

    /// A connection to a node.
    pub fn connect(&self, node: usize) -> Client {
        Client::connect(self.clients[node])
    }

    /// The process of a node that is up.
    pub fn process(&mut self, node: usize) -> &mut Process {
        self.nodes[node].as_mut().expect("the node is up")
    }

    /// A node's data directory.
    pub fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(name(node))
    }

    /// The arguments of a node.
    pub fn arguments(&self, node: usize) -> Vec<String> {
        let member = |(node, peer): (usize, &SocketAddr)| format!("{}@{peer}", name(node));
        let members: Vec<String> = self.peers.iter().enumerate().map(member).collect();
        let mut arguments: Vec<String> = ["node", "--name", &name(node)].map(str::to_owned).into();
        if !self.flags.iter().any(|flag| flag.starts_with("--segment-")) {
            arguments.extend(["--segment-mib", "4"].map(str::to_owned));
        }
        arguments.extend(["--data".to_owned(), self.data(node).to_str().expect("UTF-8").to_owned()]);
        arguments.extend(["--client".to_owned(), self.clients[node].to_string()]);
        arguments.extend(["--peer".to_owned(), self.peers[node].to_string()]);
        arguments.extend(["--members".to_owned(), members.join(",")]);
        arguments.extend_from_slice(&self.flags);
        arguments
    }

    /// Starts a node that is down and waits until it serves.
    pub fn start_node(&mut self, node: usize) {
        self.spawn(node);
        self.await_ready(node);
    }

    /// Starts all nodes that are down, and waits until all nodes see each other.
    pub fn start_all(&mut self) {
        let down: Vec<usize> = (0..self.len()).filter(|&node| self.nodes[node].is_none()).collect();
        for &node in &down {
            self.spawn(node);
        }
        for &node in &down {
            self.await_ready(node);
        }
        self.await_met(&(0..self.len()).collect::<Vec<_>>());
    }

    fn spawn(&mut self, node: usize) {
        assert!(self.nodes[node].is_none(), "the node is up");
        let stderr = self.directory.path().join(format!("{}.stderr", name(node)));
        let arguments = self.arguments(node);
        let command = match &self.program {
            Some(path) => program(path, &arguments),
            None => command(&arguments),
        };
        self.nodes[node] = Some(Process::spawn(command, &stderr));
    }

    fn await_ready(&mut self, node: usize) {
        let expected =
            format!("ready name={} client={} peer={}", name(node), self.clients[node], self.peers[node]);
        assert_eq!(self.process(node).line(), expected);
    }

    /// Waits until each of these nodes reaches as many replicas as there are in the list: a read of all
    /// of them is answered.
    pub fn await_met(&self, nodes: &[usize]) {
        for &node in nodes {
            let mut client = self.connect(node);
            // A key has no more than three.
            let replicas = nodes.len().min(3).to_string();
            let give_up = Instant::now() + PATIENCE;
            while let Some(word) = error_word(&client.call(&["Q.GET", "met", "R", &replicas])) {
                assert!(
                    Instant::now() < give_up,
                    "{} does not reach {replicas} replicas: {word}",
                    name(node)
                );
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Waits until a node has noticed that too few replicas are left for a read of so many.
    pub fn await_alone(&self, node: usize, replicas: usize) {
        let mut client = self.connect(node);
        let give_up = Instant::now() + PATIENCE;
        while error_word(&client.call(&["Q.GET", "alone", "R", &replicas.to_string()])) != Some("NOREPLICAS")
        {
            assert!(Instant::now() < give_up, "{} still reaches {replicas} replicas", name(node));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills a node with -9.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().expect("the node is up").kill();
    }

    /// Kills several nodes with -9, as nearly at once as processes can be.
    pub fn kill_all(&mut self) {
        for node in &self.nodes {
            node.as_ref().expect("the node is up").signal("KILL");
        }
        for node in &mut self.nodes {
            drop(node.take());
        }
    }
}

/// The name of the node at a place.
pub fn name(node: usize) -> String {
    char::from(b'A' + u8::try_from(node).expect("few nodes")).to_string()
}
