//! A blocking connection to a node, for the verbs that ask one.
//!
//! Every wait has an end: connecting takes at most [`CONNECT_MAX`], and an answer is waited for as long
//! as the node may take and [`ANSWER_SLACK`] more. What is unknown when that ends is said to be unknown:
//! a write without an answer is *maybe*, never *failed*.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use quorate::resp::client::{Parser, Value, encode};

use super::exit::{CANNOT_CONNECT, Failure, MAYBE, TIMEOUT, reply_code};
use super::settings::resolve;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How much longer than its own deadline a node may take to answer.
const ANSWER_SLACK: Duration = Duration::from_secs(2);

/// What a missing answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing was changed.
    Read,
    /// It may have been written.
    Write,
}

/// A connection to one node.
pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    parser: Parser,
}

impl Connection {
    /// Connects to `HOST:PORT`. `deadline` is how long the node itself may take for a request.
    ///
    /// # Errors
    /// It is no address (a usage failure), or nobody answers there (exit code 15).
    pub fn open(address: &str, deadline: Duration) -> Result<Connection, Failure> {
        let address = resolve("node", address)?;
        let refuse = |error: std::io::Error| {
            Failure::new(CANNOT_CONNECT, format!("cannot connect to {address}: {error}"))
        };
        let stream = TcpStream::connect_timeout(&address, CONNECT_MAX).map_err(refuse)?;
        stream.set_nodelay(true).map_err(refuse)?;
        stream.set_read_timeout(Some(deadline + ANSWER_SLACK)).map_err(refuse)?;
        stream.set_write_timeout(Some(deadline + ANSWER_SLACK)).map_err(refuse)?;
        let mut connection = Connection { stream, address, parser: Parser::new() };
        // RESP3 tells maps from arrays and truth from numbers.
        connection.call(Kind::Read, &[b"HELLO", b"3"])?;
        Ok(connection)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// The node answered with an error, or did not answer.
    pub fn call(&mut self, kind: Kind, command: &[&[u8]]) -> Result<Value, Failure> {
        let mut bytes = Vec::new();
        encode(&mut bytes, command);
        let sent = self.stream.write_all(&bytes);
        sent.map_err(|error| self.unanswered(kind, CANNOT_CONNECT, &error.to_string()))?;
        let mut buffer = [0; 16 << 10];
        loop {
            match self.parser.next_reply() {
                Ok(Some(Value::Error(text))) => return Err(Failure::new(reply_code(&text), text)),
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(error) => return Err(self.unanswered(kind, CANNOT_CONNECT, &error.to_string())),
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(self.unanswered(kind, CANNOT_CONNECT, "it closed the connection")),
                Ok(length) => self.parser.push(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // A socket whose time is over says that it would block.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(self.unanswered(kind, TIMEOUT, "its time is over"));
                }
                Err(error) => return Err(self.unanswered(kind, CANNOT_CONNECT, &error.to_string())),
            }
        }
    }

    /// The failure of a command that was sent, or partly sent, and not answered. `code` is what it means
    /// for a read.
    fn unanswered(&self, kind: Kind, code: u8, why: &str) -> Failure {
        let address = self.address;
        match kind {
            Kind::Read => Failure::new(code, format!("no answer from {address}: {why}")),
            Kind::Write => {
                Failure::new(MAYBE, format!("no answer from {address}: {why}; it may have been written"))
            }
        }
    }
}
