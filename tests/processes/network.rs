//! A network for the nodes of a test: each in a network namespace of its own, joined by a bridge in one more.
//! A second bridge is there for those that are cut off from the rest.
//!
//! ```text
//!   node 0              hub               node 1
//!   uplink ──────── port0 ─ bridge ─ port1 ──────── uplink
//!   10.77.0.1                                    10.77.0.2
//! ```
//!
//! A namespace has no name: it lives as long as the process that was started in it, and that one ends when this
//! process closes its stdin, in whatever way this process ends. With a namespace goes what is in it, so nothing
//! of ours is left behind, and two networks never meet. What runs there is reached by files, such as a Unix
//! socket, or by `nsenter`; no thread of this process changes its own namespace.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::process::{Ended, program, run_command};

/// A network namespace.
struct Space {
    /// Copies its stdin to its stdout until its stdin ends.
    holder: Child,
}

impl Space {
    fn open() -> Result<Space, String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let said = echo(&mut holder);
        let space = Space { holder };
        said.map_err(|error| format!("no network namespace can be made: {error}"))?;
        space.ip(&["link", "set", "lo", "up"]);
        Ok(space)
    }

    /// A command in it. It is the process that is started, not a child of that.
    fn command(&self, path: &Path, arguments: &[String]) -> Command {
        let mut words = vec![format!("--net=/proc/{}/ns/net", self.holder.id()), "--".to_owned()];
        words.push(path.to_str().expect("UTF-8").to_owned());
        words.extend_from_slice(arguments);
        program(Path::new("nsenter"), &words)
    }

    /// Runs `ip` in it.
    ///
    /// # Panics
    /// It fails.
    fn ip(&self, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let Ended { code, stderr, .. } = run_command(self.command(Path::new("ip"), &words));
        assert_eq!(code, Some(0), "ip {}: {stderr}", words.join(" "));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Has a namespace's holder repeat a line, so that it is known to be where it should.
fn echo(holder: &mut Child) -> std::io::Result<()> {
    let stdin = holder.stdin.as_mut().expect("stdin is piped");
    stdin.write_all(b"here\n")?;
    let stdout: &mut ChildStdout = holder.stdout.as_mut().expect("stdout is piped");
    stdout.read_exact(&mut [0; 5])
}

/// Places for nodes, joined by a bridge.
pub struct Network {
    hub: Space,
    ends: Vec<Space>,
}

impl Network {
    /// A network of so many places.
    ///
    /// # Errors
    /// The system lets us make no namespace.
    pub fn start(count: usize) -> Result<Network, String> {
        let mut network = Network { hub: Space::open()?, ends: Vec::new() };
        for bridge in ["bridge", "apart"] {
            network.hub.ip(&["link", "add", "name", bridge, "up", "type", "bridge"]);
        }
        for at in 0..count {
            let end = Space::open()?;
            let (port, hub) = (port(at), network.hub.holder.id().to_string());
            let far_end = ["type", "veth", "peer", "name", &port, "netns", &hub];
            end.ip(&[&["link", "add", "name", "uplink"], &far_end[..]].concat());
            end.ip(&["address", "add", &format!("{}/24", address(at)), "dev", "uplink"]);
            end.ip(&["link", "set", "dev", "uplink", "up"]);
            network.hub.ip(&["link", "set", "dev", &port, "master", "bridge", "up"]);
            network.ends.push(end);
        }
        Ok(network)
    }

    /// The program `path` with arguments, at a place.
    pub fn command(&self, at: usize, path: &Path, arguments: &[String]) -> Command {
        self.ends[at].command(path, arguments)
    }

    /// Takes a place's cable out, or puts it back: what is sent there is lost, and nobody is told.
    pub fn set_cable(&self, at: usize, up: bool) {
        self.hub.ip(&["link", "set", "dev", &port(at), word(up)]);
    }

    /// Cuts some places off from the others; they reach each other. An empty list heals it.
    pub fn split(&self, apart: &[usize]) {
        for at in 0..self.ends.len() {
            let bridge = if apart.contains(&at) { "apart" } else { "bridge" };
            self.hub.ip(&["link", "set", "dev", &port(at), "master", bridge]);
        }
    }

    /// Turns a place's own interface off, or on again: there sending fails, for want of a route.
    pub fn set_interface(&self, at: usize, up: bool) {
        self.ends[at].ip(&["link", "set", "dev", "uplink", word(up)]);
    }

    /// What the kernel counts at a place: of protocols, as `Tcp ActiveOpens`, and `sent`, the bytes that went
    /// out of its interface.
    pub fn counters(&self, at: usize) -> BTreeMap<String, u64> {
        let read = |name| {
            let path = format!("/proc/{}/net/{name}", self.ends[at].holder.id());
            std::fs::read_to_string(path).expect("the kernel counts")
        };
        let mut counters = BTreeMap::new();
        let (protocols, interfaces) = (read("snmp"), read("dev"));
        // A line of names, and one of numbers below it.
        for pair in protocols.lines().collect::<Vec<_>>().chunks_exact(2) {
            let (names, numbers) = (pair[0].split_whitespace(), pair[1].split_whitespace());
            let part = pair[0].split(':').next().unwrap_or_default();
            for (name, number) in names.zip(numbers) {
                if let Ok(number) = number.parse() {
                    counters.insert(format!("{part} {name}"), number);
                }
            }
        }
        // Eight numbers of what came in, bytes first; then of what went out.
        let uplink = interfaces.lines().find_map(|line| line.trim().strip_prefix("uplink:"));
        let sent = uplink.and_then(|numbers| numbers.split_whitespace().nth(8)?.parse().ok());
        counters.insert("sent".to_owned(), sent.expect("an interface counts"));
        counters
    }
}

/// The address of a place.
pub fn address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 1 + u8::try_from(at).expect("few nodes"))
}

fn port(at: usize) -> String {
    format!("port{at}")
}

fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}
