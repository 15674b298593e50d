//! A connection that keeps replies as the bytes that came: what is compared is what a client would read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use quorate::resp::client::encode;

/// A command, its name first.
pub type Words = Vec<Vec<u8>>;

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    /// What came and was not taken yet.
    bytes: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> std::io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, bytes: Vec::new() })
    }

    /// Sends commands at once and takes so many replies.
    ///
    /// # Panics
    /// The connection broke, or they do not come.
    pub fn send(&mut self, commands: &[Words], replies: usize) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        for command in commands {
            encode(&mut bytes, &command.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        self.stream.write_all(&bytes).expect("the server reads");
        (0..replies).map(|_| self.take()).collect()
    }

    /// The reply to one command.
    pub fn ask(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.send(&[words.iter().map(|word| word.to_vec()).collect()], 1).remove(0)
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.bytes.is_empty() && matches!(self.stream.read(&mut [0]), Ok(0))
    }

    fn take(&mut self) -> Vec<u8> {
        let mut buffer = [0; 64 << 10];
        loop {
            if let Some(length) = reply_length(&self.bytes) {
                return self.bytes.drain(..length).collect();
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the server has closed the connection"),
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
                Err(error) => panic!("no whole reply came: {error}"),
            }
        }
    }
}

/// How long the first reply of these bytes is; `None` while it is not whole.
pub fn reply_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.iter().position(|&byte| byte == b'\n')? + 1;
    let announced = || -> i64 {
        let digits = std::str::from_utf8(&bytes[1..line - 2]).expect("digits");
        digits.parse().expect("a length")
    };
    let length = match bytes[0] {
        b'$' | b'=' | b'!' => line + usize::try_from(announced()).map_or(0, |length| length + 2),
        kind @ (b'*' | b'~' | b'>' | b'%') => {
            let each = if kind == b'%' { 2 } else { 1 };
            let mut length = line;
            for _ in 0..announced().max(0) * each {
                length += reply_length(bytes.get(length..)?)?;
            }
            length
        }
        _ => line,
    };
    (length <= bytes.len()).then_some(length)
}

/// The elements of an array; nothing if it is none.
pub fn elements(reply: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    if !matches!(reply.first(), Some(b'*' | b'~' | b'%')) {
        return elements;
    }
    let mut rest = &reply[reply.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1)..];
    while let Some(length) = reply_length(rest).filter(|_| !rest.is_empty()) {
        elements.push(&rest[..length]);
        rest = &rest[length..];
    }
    elements
}

/// The bytes of a byte string; `None` of anything else, and of none.
pub fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let line = reply.iter().position(|&byte| byte == b'\n')? + 1;
    (reply[0] == b'$' && reply.len() > line).then(|| &reply[line..reply.len() - 2])
}

/// An integer; `None` of anything else.
pub fn integer(reply: &[u8]) -> Option<i64> {
    let digits = reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
