//! Writes replies in RESP2 or RESP3.
//!
//! One writer for both: what RESP2 lacks is written as its older twin (a map as a flat array, a double
//! as a bulk string, a boolean as 0 or 1), so no caller asks for the version. Does not decide what to
//! reply.

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// The protocol of Redis up to 5; every connection starts with it.
    #[default]
    Resp2,
    /// The protocol of Redis 6, chosen with `HELLO 3`.
    Resp3,
}

/// Appends replies to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// A writer at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Writer<'a> {
        Writer { out, protocol }
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line. Line ends in the text become spaces.
    pub fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.line(text);
    }

    /// An error line; `text` begins with its code. Line ends in the text become spaces.
    pub fn error(&mut self, text: &str) {
        self.out.push(b'-');
        self.line(text);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.out.push(b':');
        if value < 0 {
            self.out.push(b'-');
        }
        decimal(self.out, value.unsigned_abs());
        self.end();
    }

    /// A count, as an integer.
    pub fn count(&mut self, value: u64) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A byte string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 16);
        self.out.push(b'$');
        decimal(self.out, bytes.len() as u64);
        self.end();
        self.out.extend_from_slice(bytes);
        self.end();
    }

    /// A text for people: verbatim in RESP3, a byte string in RESP2.
    pub fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b'=');
                decimal(self.out, text.len() as u64 + 4);
                self.out.extend_from_slice(b"\r\ntxt:");
                self.out.extend_from_slice(text.as_bytes());
                self.end();
            }
        }
    }

    /// No value.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n".as_slice(),
            Protocol::Resp3 => b"_\r\n".as_slice(),
        });
    }

    /// No array.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n".as_slice(),
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// True or false: 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n".as_slice(),
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// A number that is no integer; a byte string in RESP2.
    pub fn double(&mut self, value: f64) {
        let text = match value {
            _ if value.is_nan() => "nan".to_owned(),
            f64::INFINITY => "inf".to_owned(),
            f64::NEG_INFINITY => "-inf".to_owned(),
            _ => value.to_string(),
        };
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b',');
                self.line(&text);
            }
        }
    }

    /// The head of an array; its `length` elements follow.
    pub fn array(&mut self, length: usize) {
        self.head(b'*', length);
    }

    /// The head of a set; an array in RESP2.
    pub fn set(&mut self, length: usize) {
        self.head(if self.protocol == Protocol::Resp3 { b'~' } else { b'*' }, length);
    }

    /// The head of a map of `length` pairs; a flat array of twice as many elements in RESP2.
    pub fn map(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.head(b'*', length * 2),
            Protocol::Resp3 => self.head(b'%', length),
        }
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.out.push(kind);
        decimal(self.out, length as u64);
        self.end();
    }

    fn line(&mut self, text: &str) {
        self.out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.end();
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends a number in decimal.
pub fn decimal(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        out.push(b'0' + value as u8);
        return;
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    while value > 0 {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: fn(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, protocol));
        String::from_utf8(out).unwrap().replace("\r\n", "~")
    }

    #[test]
    fn each_type_has_a_form_in_both_protocols() {
        type Write = fn(&mut Writer<'_>);
        let table: &[(Write, &str, &str)] = &[
            (|w| w.ok(), "+OK~", "+OK~"),
            (|w| w.simple("a\rb\nc"), "+a b c~", "+a b c~"),
            (|w| w.error("ERR a\r\nb"), "-ERR a  b~", "-ERR a  b~"),
            (|w| w.integer(0), ":0~", ":0~"),
            (|w| w.integer(i64::MIN), ":-9223372036854775808~", ":-9223372036854775808~"),
            (|w| w.integer(i64::MAX), ":9223372036854775807~", ":9223372036854775807~"),
            (|w| w.count(u64::MAX), ":9223372036854775807~", ":9223372036854775807~"),
            (|w| w.count(10), ":10~", ":10~"),
            (|w| w.bulk(b""), "$0~~", "$0~~"),
            (|w| w.bulk(b"0123456789"), "$10~0123456789~", "$10~0123456789~"),
            (|w| w.text("hi"), "$2~hi~", "=6~txt:hi~"),
            (|w| w.null(), "$-1~", "_~"),
            (|w| w.null_array(), "*-1~", "_~"),
            (|w| w.boolean(true), ":1~", "#t~"),
            (|w| w.boolean(false), ":0~", "#f~"),
            (|w| w.double(1.5), "$3~1.5~", ",1.5~"),
            (|w| w.double(f64::NEG_INFINITY), "$4~-inf~", ",-inf~"),
            (|w| w.double(f64::INFINITY), "$3~inf~", ",inf~"),
            (|w| w.double(f64::NAN), "$3~nan~", ",nan~"),
            (|w| w.array(3), "*3~", "*3~"),
            (|w| w.set(3), "*3~", "~3~"),
            (|w| w.map(3), "*6~", "%3~"),
        ];
        for (write, resp2, resp3) in table {
            assert_eq!(written(Protocol::Resp2, *write), *resp2);
            assert_eq!(written(Protocol::Resp3, *write), *resp3);
        }
    }
}
