//! A blocking client with an end to every wait: a node that hangs fails the test instead of holding it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use quorate::resp::client::{Parser, Value, encode};

/// How long an answer may take. Requests have deadlines of about a second; what is not answered after
/// this hangs.
const HANGS: Duration = Duration::from_secs(30);

/// What carries bytes to a node and back.
trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A connection to a node.
pub struct Client {
    stream: Box<dyn Stream>,
    parser: Parser,
}

impl Client {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, HANGS)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANGS))?;
        stream.set_write_timeout(Some(HANGS))?;
        Ok(Client { stream: Box::new(stream), parser: Parser::new() })
    }

    /// Connects to a node's Unix socket, which is reached from every network namespace.
    pub fn connect_unix(path: &Path) -> Client {
        let connect = || -> io::Result<UnixStream> {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(HANGS))?;
            stream.set_write_timeout(Some(HANGS))?;
            Ok(stream)
        };
        let stream = connect().unwrap_or_else(|error| panic!("no connection to {path:?}: {error}"));
        Client { stream: Box::new(stream), parser: Parser::new() }
    }

    /// Connects to a node that must be there.
    pub fn connect(address: SocketAddr) -> Client {
        Client::open(address).unwrap_or_else(|error| panic!("no connection to {address}: {error}"))
    }

    /// Sends commands at once and waits for all answers.
    ///
    /// # Errors
    /// The connection broke; how many commands were carried out is unknown.
    ///
    /// # Panics
    /// An answer did not come at all: the node hangs, or does not speak RESP.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> io::Result<Vec<Value>> {
        let mut bytes = Vec::new();
        for command in commands {
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            encode(&mut bytes, &words);
        }
        self.stream.write_all(&bytes)?;
        let mut answers = Vec::new();
        let mut buffer = [0; 16 << 10];
        while answers.len() < commands.len() {
            if let Some(value) = self.parser.next_reply().expect("the node speaks RESP") {
                answers.push(value);
                continue;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.parser.push(&buffer[..length]),
                // A test that was stopped and goes on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("hangs: {} of {} commands were answered", answers.len(), commands.len())
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// As [`Client::pipeline`].
    pub fn try_call(&mut self, words: &[&str]) -> io::Result<Value> {
        let command = words_of(words);
        Ok(self.pipeline(&[command])?.remove(0))
    }

    /// Sends a command to a node that must answer.
    pub fn call(&mut self, words: &[&str]) -> Value {
        self.try_call(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

/// A command as [`Client::pipeline`] takes it.
pub fn words_of(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The first word of an error; `None` of any other answer.
pub fn error_word(answer: &Value) -> Option<&str> {
    match answer {
        Value::Error(text) => text.split(' ').next(),
        _ => None,
    }
}

/// A field of a flat array that stands for a map.
pub fn field<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let Value::Array(items) = answer else { panic!("no map: {answer:?}") };
    let mut pairs = items.chunks_exact(2);
    let pair = pairs.find(|pair| pair[0] == Value::Bulk(name.into()));
    &pair.unwrap_or_else(|| panic!("no field {name} in {answer:?}"))[1]
}

/// A text of an answer.
pub fn text(answer: &Value) -> String {
    match answer {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("no text: {other:?}"),
    }
}

/// The values of a `Q.GET`, sorted.
pub fn values(answer: &Value) -> Vec<String> {
    let Value::Array(siblings) = field(answer, "siblings") else { panic!("no siblings: {answer:?}") };
    let mut values: Vec<String> = siblings.iter().map(|sibling| text(field(sibling, "value"))).collect();
    values.sort();
    values
}
