//! Nodes in network namespaces of their own, which needs root. Clients use their Unix sockets: they reach a node whose
//! network is gone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::client::{Client, error_word};
use crate::cluster::name;
use crate::gossip::Status;
use crate::network::{Network, address};
use crate::process::{PATIENCE, PROGRAM, Process, run_command};

/// Nodes that founded and joined a cluster, each at a place of its own of a network.
pub struct Nodes {
    pub processes: Vec<Process>,
    pub network: Network,
    directory: TempDir,
}

impl Nodes {
    /// So many; `None` where no network can be made, which is said.
    pub fn start(count: usize) -> Option<Nodes> {
        let network = match Network::start(count) {
            Ok(network) => network,
            Err(why) => {
                // Not by a macro: of a test that passes, its output is not shown.
                let _ = writeln!(std::io::stderr(), "\nNOT RUN: no network is cut here: {why}");
                return None;
            }
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        write_key(&directory.path().join("key"));
        let mut nodes = Nodes { processes: Vec::new(), network, directory };
        for at in 0..count {
            nodes.add(at);
        }
        let give_up = Instant::now() + PATIENCE;
        loop {
            let overview = nodes.overview();
            let members = overview["members"].as_array().map_or(0, Vec::len);
            if members == count && overview["phase"] == "settled" && nodes.all_see_all() {
                return Some(nodes);
            }
            assert!(Instant::now() < give_up, "no settled cluster of {count}: {overview}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn add(&mut self, at: usize) {
        let file = |name: String| self.directory.path().join(name).to_str().expect("UTF-8").to_owned();
        let (client, peer) = (format!("{}:7379", address(at)), format!("{}:7380", address(at)));
        let mut arguments = vec!["node".to_owned()];
        arguments.extend(["--segment-mib", "4", "--log", "info", "--allow-open-bind"].map(str::to_owned));
        let places = [
            ("--name", name(at)),
            ("--data", file(name(at))),
            ("--key-file", file("key".to_owned())),
            ("--unix", file(format!("{}.socket", name(at)))),
            ("--client", client),
            ("--peer", peer),
        ];
        arguments.extend(places.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        if at > 0 {
            let seed = format!("{}:7380", address(0));
            arguments.extend(["--join".to_owned(), seed, "--auto-commit".to_owned()]);
        }
        let stderr = self.directory.path().join(format!("{}.stderr", name(at)));
        let process = Process::spawn(self.network.command(at, Path::new(PROGRAM), &arguments), &stderr);
        assert!(process.line().starts_with(&format!("ready name={} ", name(at))));
        self.processes.push(process);
    }

    /// Where a node serves clients of every namespace.
    pub fn socket(&self, at: usize) -> PathBuf {
        self.directory.path().join(format!("{}.socket", name(at)))
    }

    /// A connection to a node.
    pub fn connect(&self, at: usize) -> Client {
        Client::connect_unix(&self.socket(at))
    }

    /// How the cluster is, as an operator who is logged in at the first node is told.
    pub fn overview(&self) -> Json {
        let node = format!("{}:7379", address(0));
        let arguments = ["cluster", "status", "--json", "--node", &node].map(str::to_owned);
        let ended = run_command(self.network.command(0, Path::new(PROGRAM), &arguments));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
    }

    /// Whether everybody thinks that everybody is there.
    pub fn all_see_all(&self) -> bool {
        let sees_all = |at| {
            let reached = self.connect(at).call(&["Q.GET", "met", "R", "3"]);
            let status = Status::of(&mut self.connect(at));
            error_word(&reached).is_none() && (0..self.processes.len()).all(|of| is_back(&status.verdict(of)))
        };
        (0..self.processes.len()).all(sees_all)
    }
}

/// Whether a verdict is that of a node that is there.
pub fn is_back(verdict: &str) -> bool {
    matches!(verdict, "alive" | "unsteady")
}

/// A key that is nobody's.
fn write_key(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(path).expect("a file");
    file.write_all(&[7; 32]).expect("a key can be written");
}
