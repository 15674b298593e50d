//! The other side of RESP: writes commands and reads replies, for programs that ask a node.
//!
//! Reads RESP2 and RESP3. Nothing is reserved by an announced length, nesting has a bound, and bytes that
//! are no reply are an error that says what was wrong. Opens no socket.

use core::fmt;

/// How deep replies may nest.
const DEPTH_MAX: usize = 16;

/// A reply. Types that mean the same to a client are one: a verbatim string is a string, a set or push
/// message an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false, RESP3 only.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number, RESP3 only.
    Double(f64),
    /// A status line.
    Simple(String),
    /// An error line; its first word is its code.
    Error(String),
    /// A byte string.
    Bulk(Vec<u8>),
    /// Values in order.
    Array(Vec<Value>),
    /// Pairs in order, RESP3 only.
    Map(Vec<(Value, Value)>),
}

/// Bytes that are no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadReply(String);

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not RESP: {}", self.0)
    }
}

impl std::error::Error for BadReply {}

/// Appends a command, its name first.
pub fn encode(out: &mut Vec<u8>, command: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for argument in command {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// Cuts a stream of bytes into replies.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: Vec<u8>,
    /// Bytes before it were taken.
    taken: usize,
}

impl Parser {
    /// A parser at the beginning of a connection.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next reply; `None` while it is not whole.
    ///
    /// # Errors
    /// The bytes are no reply; the connection is of no more use.
    pub fn next_reply(&mut self) -> Result<Option<Value>, BadReply> {
        let mut cursor = Cursor { bytes: &self.bytes, at: self.taken };
        let value = cursor.value(0)?;
        if value.is_some() {
            self.taken = cursor.at;
        }
        Ok(value)
    }
}

/// A place in the bytes. Every method is `None` when they end too early.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, BadReply> {
        if depth > DEPTH_MAX {
            return Err(BadReply(format!("nested deeper than {DEPTH_MAX}")));
        }
        let Some((kind, line)) = self.line()? else { return Ok(None) };
        let text = || String::from_utf8_lossy(line).into_owned();
        Ok(Some(match kind {
            b'+' => Value::Simple(text()),
            b'-' => Value::Error(text()),
            b':' => Value::Integer(number(line)?),
            b',' => {
                Value::Double(text().parse().map_err(|_| BadReply(format!("`{}` is no number", text())))?)
            }
            b'#' if line == b"t" => Value::Boolean(true),
            b'#' if line == b"f" => Value::Boolean(false),
            b'_' => Value::Null,
            b'$' | b'=' | b'!' => match length(line)? {
                None => Value::Null,
                Some(length) => match self.string(length)? {
                    None => return Ok(None),
                    Some(bytes) if kind == b'!' => Value::Error(String::from_utf8_lossy(bytes).into_owned()),
                    // A verbatim string begins with its format and a colon.
                    Some(bytes) if kind == b'=' => Value::Bulk(bytes.get(4..).unwrap_or_default().to_vec()),
                    Some(bytes) => Value::Bulk(bytes.to_vec()),
                },
            },
            b'*' | b'~' | b'>' => match length(line)? {
                None => Value::Null,
                Some(length) => match self.values(length, depth)? {
                    None => return Ok(None),
                    Some(items) => Value::Array(items),
                },
            },
            b'%' => {
                let pairs = length(line)?.unwrap_or(0);
                let count = pairs.checked_mul(2).ok_or_else(|| BadReply(format!("{pairs} pairs")))?;
                let Some(items) = self.values(count, depth)? else { return Ok(None) };
                let mut items = items.into_iter();
                let mut map = Vec::new();
                while let (Some(name), Some(value)) = (items.next(), items.next()) {
                    map.push((name, value));
                }
                Value::Map(map)
            }
            _ => return Err(BadReply(format!("a reply cannot begin with byte {kind:#04x}"))),
        }))
    }

    /// So many values after each other.
    fn values(&mut self, count: usize, depth: usize) -> Result<Option<Vec<Value>>, BadReply> {
        let mut items = Vec::new();
        for _ in 0..count {
            let Some(item) = self.value(depth + 1)? else { return Ok(None) };
            items.push(item);
        }
        Ok(Some(items))
    }

    /// A line without its end: its first byte and the rest.
    fn line(&mut self) -> Result<Option<(u8, &'a [u8])>, BadReply> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        let line =
            rest[..end].strip_suffix(b"\r").ok_or_else(|| BadReply("a line ends in \\n alone".into()))?;
        let (&kind, line) = line.split_first().ok_or_else(|| BadReply("an empty line".into()))?;
        self.at += end + 1;
        Ok(Some((kind, line)))
    }

    /// So many bytes and a line end.
    fn string(&mut self, length: usize) -> Result<Option<&'a [u8]>, BadReply> {
        let rest = &self.bytes[self.at..];
        // What is missing is waited for, so a length that cannot be is found by the reader's patience.
        if rest.len() < length.saturating_add(2) {
            return Ok(None);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return Err(BadReply(format!("a string is longer than its {length} bytes")));
        }
        self.at += length + 2;
        Ok(Some(&rest[..length]))
    }
}

fn number(line: &[u8]) -> Result<i64, BadReply> {
    let text = String::from_utf8_lossy(line);
    text.parse().map_err(|_| BadReply(format!("`{text}` is no integer")))
}

/// An announced length; `None` for −1, which stands for no value.
fn length(line: &[u8]) -> Result<Option<usize>, BadReply> {
    match number(line)? {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| BadReply(format!("a length of {length}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<Value>, BadReply> {
        let mut parser = Parser::new();
        parser.push(bytes);
        parser.next_reply()
    }

    const REPLIES: &[u8] = b"+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n*1\r\n$0\r\n\r\n\
        %1\r\n+a\r\n~1\r\n_\r\n#t\r\n,1.5\r\n=6\r\ntxt:hi\r\n*-1\r\n!5\r\nERR x\r\n";

    fn values() -> Vec<Value> {
        let bulk = |bytes: &[u8]| Value::Bulk(bytes.to_vec());
        vec![
            Value::Simple("OK".into()),
            Value::Error("ERR no".into()),
            Value::Integer(-7),
            Value::Null,
            bulk(b"a\r\n"),
            Value::Array(vec![Value::Integer(1), Value::Array(vec![bulk(b"")])]),
            Value::Map(vec![(Value::Simple("a".into()), Value::Array(vec![Value::Null]))]),
            Value::Boolean(true),
            Value::Double(1.5),
            bulk(b"hi"),
            Value::Null,
            Value::Error("ERR x".into()),
        ]
    }

    #[test]
    fn every_type_is_read_whole_or_byte_by_byte() {
        for chunk in [REPLIES.len(), 1, 7] {
            let mut parser = Parser::new();
            let mut read = Vec::new();
            for bytes in REPLIES.chunks(chunk) {
                parser.push(bytes);
                while let Some(value) = parser.next_reply().unwrap() {
                    read.push(value);
                }
            }
            assert_eq!(read, values());
        }
    }

    #[test]
    fn what_is_no_reply_is_named_and_huge_lengths_reserve_nothing() {
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 2);
        for bytes in
            [b"hello\r\n", b":x\r\n".as_slice(), b"+a\n", b"\r\n", b"$-2\r\n", b"$1\r\nabc\r\n", &deep]
        {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        for bytes in [b"$9223372036854775807\r\nab".as_slice(), b"*9223372036854775807\r\n:1\r\n"] {
            assert_eq!(parse(bytes), Ok(None));
        }
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut out = Vec::new();
        encode(&mut out, &[b"GET", b""]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
    }
}
