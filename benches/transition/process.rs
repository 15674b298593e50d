//! One node as a real process, ended by its id when dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A node's process.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended by itself has nothing to be ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    /// Starts a node and waits until it serves; says where.
    pub fn start(command: &mut Command) -> (Process, SocketAddr) {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("no node: {error}"));
        let output = process.stdout.take().expect("a piped output");
        let process = Process(process);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a ready line");
        let client = line.split_whitespace().find_map(|word| word.strip_prefix("client="));
        let client = client.and_then(|address| address.parse().ok());
        (process, client.unwrap_or_else(|| panic!("no ready line: {line:?}")))
    }

    /// Its id.
    #[allow(dead_code, reason = "one of two benches reads its processor time")]
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}
