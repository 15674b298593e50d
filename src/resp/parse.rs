//! Finds commands in the bytes of a connection: RESP arrays and inline lines.
//!
//! Rule: nothing is reserved, counted or waited for on the word of the other side. An announced length
//! is compared with its limit and remembered; memory grows only with bytes that came. The parser can be
//! stopped at any byte and goes on from there, so a command that trickles in is looked at once, not once
//! per byte.
//!
//! Arguments are spans of the caller's buffer, never copies; only inline lines, whose quotes and escapes
//! change the text, are written to a scratch buffer of the parser. The spans of a whole command stay
//! valid until [`Parser::finish`]. Does not know what a command means.

use std::borrow::Cow;

use super::limits::{INLINE_MAX, NUMBER_LINE_MAX};

/// Where an argument lies, relative to the first byte of its command (or to the scratch buffer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    length: u32,
}

/// The arguments of one command, the name first. There is always a name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The arguments that `spans` cut out of `bytes`.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans }
    }

    /// How many there are, the name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none; never true of a parsed command.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `at`; the name is at 0. The caller has checked the arity.
    pub fn at(&self, at: usize) -> &'a [u8] {
        let Span { start, length } = self.spans[at];
        &self.bytes[start as usize..][..length as usize]
    }

    /// The argument at `at`, if there is one.
    pub fn get(&self, at: usize) -> Option<&'a [u8]> {
        (at < self.spans.len()).then(|| self.at(at))
    }

    /// Whether the argument at `at` is this word, in any case.
    pub fn is(&self, at: usize, word: &str) -> bool {
        self.get(at).is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The arguments without the first `count`, of which there are as many.
    pub fn tail(self, count: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: &self.spans[count..] }
    }

    /// The arguments from `from` on.
    pub fn from(&self, from: usize) -> impl Iterator<Item = &'a [u8]> {
        let args = *self;
        (from..args.len()).map(move |at| args.at(at))
    }
}

/// What one connection may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Arguments of one command, the name included.
    pub arguments: usize,
    /// Bytes of one argument.
    pub bulk: usize,
    /// Bytes of one command with all its framing.
    pub query: usize,
    /// Whether these are the limits before authentication, which have error texts of their own.
    pub unauthenticated: bool,
}

/// Bytes that are no RESP. The connection answers it once and closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub Cow<'static, str>);

/// What the parser found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The command is not whole yet.
    Incomplete,
    /// A whole command of this many bytes; its arguments wait in [`Parser::args`].
    Command(usize),
    /// Bytes that are legal and mean nothing: an empty line, an empty array.
    Nothing(usize),
}

/// The state between the bytes of one command.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of the command that were looked at.
    position: usize,
    /// Arguments of the array that are not whole yet.
    missing: usize,
    /// The announced length of the argument whose bytes are awaited.
    announced: Option<usize>,
    spans: Vec<Span>,
    /// Text of an inline command, unquoted.
    scratch: Vec<u8>,
    is_inline: bool,
    /// The command is whole and was not finished.
    is_whole: bool,
}

impl Parser {
    /// Looks for one whole command at the start of `bytes`. Between calls the caller may append bytes
    /// and may move them, but must begin with the same byte until [`Parser::finish`]; a command that was
    /// not finished is found again.
    ///
    /// # Errors
    /// The bytes break the protocol or a limit; the parser must not be used again.
    pub fn parse(&mut self, bytes: &[u8], limits: &ParseLimits) -> Result<Parsed, ProtocolError> {
        if self.is_whole {
            return Ok(Parsed::Command(self.position));
        }
        if self.missing == 0 {
            match bytes.first() {
                None => return Ok(Parsed::Incomplete),
                Some(b'*') => match self.array_header(bytes, limits)? {
                    None => {}
                    Some(parsed) => return Ok(parsed),
                },
                Some(_) => return self.inline(bytes, limits),
            }
        }
        while self.missing > 0 {
            let length = match self.announced {
                Some(length) => length,
                None => match self.bulk_header(bytes, limits)? {
                    Some(length) => length,
                    None => return Ok(Parsed::Incomplete),
                },
            };
            let end = self.position + length;
            let Some(line_end) = bytes.get(end..end + 2) else { return Ok(Parsed::Incomplete) };
            if line_end != b"\r\n" {
                return fail("expected CRLF after an argument");
            }
            self.spans.push(Span { start: self.position as u32, length: length as u32 });
            self.position = end + 2;
            self.announced = None;
            self.missing -= 1;
        }
        self.is_whole = true;
        Ok(Parsed::Command(self.position))
    }

    /// The arguments of the command that was found; `bytes` begins with it.
    pub fn args<'a>(&'a self, bytes: &'a [u8]) -> Args<'a> {
        Args { bytes: if self.is_inline { &self.scratch } else { bytes }, spans: &self.spans }
    }

    /// Takes the spans and the scratch buffer out, so that the arguments can be read while the parser's
    /// owner changes; [`Parser::put_back`] returns them.
    pub fn take(&mut self) -> (Vec<Span>, Vec<u8>) {
        (core::mem::take(&mut self.spans), core::mem::take(&mut self.scratch))
    }

    /// Returns what [`Parser::take`] took.
    pub fn put_back(&mut self, (spans, scratch): (Vec<Span>, Vec<u8>)) {
        (self.spans, self.scratch) = (spans, scratch);
    }

    /// Whether the arguments of the command that was found lie in the scratch buffer.
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// The command was carried out: the next bytes begin a new one. Keeps the buffers, unless one
    /// command has made them large.
    pub fn finish(&mut self) {
        self.position = 0;
        self.missing = 0;
        self.announced = None;
        self.is_inline = false;
        self.is_whole = false;
        self.spans.clear();
        if self.spans.capacity() > 1_024 {
            self.spans.shrink_to(16);
        }
        if self.scratch.capacity() > 0 {
            self.scratch = Vec::new();
        }
    }

    /// Reads `*count`. `None` means that arguments follow.
    fn array_header(&mut self, bytes: &[u8], limits: &ParseLimits) -> Result<Option<Parsed>, ProtocolError> {
        let Some((count, end)) = number_line(bytes, 1, "invalid multibulk length")? else {
            return Ok(Some(Parsed::Incomplete));
        };
        if count <= 0 {
            return Ok(Some(Parsed::Nothing(end)));
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > limits.arguments {
            return fail(match limits.unauthenticated {
                true => "unauthenticated multibulk length",
                false => "invalid multibulk length",
            });
        }
        self.missing = count;
        self.position = end;
        Ok(None)
    }

    /// Reads `$length` at the current position. `None` means that the line is not whole.
    fn bulk_header(&mut self, bytes: &[u8], limits: &ParseLimits) -> Result<Option<usize>, ProtocolError> {
        match bytes.get(self.position) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&other) => {
                let other = char::from(other).escape_default();
                return Err(ProtocolError(format!("expected '$', got '{other}'").into()));
            }
        }
        let Some((length, end)) = number_line(bytes, self.position + 1, "invalid bulk length")? else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else { return fail("invalid bulk length") };
        if planted!("unbounded_reserve") {
            self.scratch.reserve(length);
        }
        if length > limits.bulk {
            if limits.unauthenticated {
                return fail("unauthenticated bulk length");
            }
            let text = format!("invalid bulk length: {length} bytes, the limit is {}", limits.bulk);
            return Err(ProtocolError(text.into()));
        }
        if end + length + 2 > limits.query {
            let text = format!("too big query: the limit is {} bytes", limits.query);
            return Err(ProtocolError(text.into()));
        }
        self.position = end;
        self.announced = Some(length);
        Ok(Some(length))
    }

    /// Reads one inline line.
    fn inline(&mut self, bytes: &[u8], limits: &ParseLimits) -> Result<Parsed, ProtocolError> {
        let longest = INLINE_MAX.min(limits.query);
        let Some(length) = bytes[self.position..].iter().position(|&byte| byte == b'\n') else {
            if bytes.len() > longest {
                return fail("too big inline request");
            }
            self.position = bytes.len();
            return Ok(Parsed::Incomplete);
        };
        let end = self.position + length;
        if end + 1 > longest {
            return fail("too big inline request");
        }
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        self.is_inline = true;
        self.position = end + 1;
        self.split(line)?;
        if self.spans.len() > limits.arguments {
            return fail("unauthenticated multibulk length");
        }
        match self.spans.is_empty() {
            true => Ok(Parsed::Nothing(end + 1)),
            false => {
                self.is_whole = true;
                Ok(Parsed::Command(end + 1))
            }
        }
    }

    /// Splits a line into words. `"…"` knows `\n \r \t \b \a \xHH` and `\` before any other byte, `'…'`
    /// only `\'`; a closing quote must end its word.
    fn split(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        const UNBALANCED: &str = "unbalanced quotes in request";
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b);
        let mut rest = line;
        loop {
            let Some(begin) = rest.iter().position(|byte| !is_space(byte)) else { return Ok(()) };
            rest = &rest[begin..];
            let start = self.scratch.len();
            let mut quote = None;
            loop {
                match (quote, rest) {
                    (Some(_), []) => return fail(UNBALANCED),
                    (None, []) => break,
                    (None, [byte, ..]) if is_space(byte) => break,
                    (Some(open), [byte, after @ ..]) if *byte == open => {
                        rest = after;
                        quote = None;
                        if rest.first().is_some_and(|byte| !is_space(byte)) {
                            return fail(UNBALANCED);
                        }
                    }
                    (None, [open @ (b'"' | b'\''), after @ ..]) => {
                        rest = after;
                        quote = Some(*open);
                    }
                    (Some(b'"'), [b'\\', b'x', high, low, after @ ..])
                        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                    {
                        self.scratch.push(hex_digit(*high) << 4 | hex_digit(*low));
                        rest = after;
                    }
                    (Some(b'"'), [b'\\', escaped, after @ ..]) => {
                        self.scratch.push(unescaped(*escaped));
                        rest = after;
                    }
                    (Some(b'\''), [b'\\', b'\'', after @ ..]) => {
                        self.scratch.push(b'\'');
                        rest = after;
                    }
                    (_, [byte, after @ ..]) => {
                        self.scratch.push(*byte);
                        rest = after;
                    }
                }
            }
            let length = self.scratch.len() - start;
            self.spans.push(Span { start: start as u32, length: length as u32 });
        }
    }
}

fn fail<T>(text: &'static str) -> Result<T, ProtocolError> {
    Err(ProtocolError(Cow::Borrowed(text)))
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A').wrapping_add(10),
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

/// Reads a decimal number from `from` up to CRLF; returns it and where the next line begins, or `None`
/// if the line is not whole.
fn number_line(
    bytes: &[u8],
    from: usize,
    problem: &'static str,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let mut at = from;
    let is_negative = bytes.get(at) == Some(&b'-');
    at += usize::from(is_negative);
    let digits = at;
    let mut value: i64 = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            let next = value.checked_mul(10).and_then(|value| value.checked_add(i64::from(byte - b'0')));
            let Some(next) = next else { return fail(problem) };
            value = next;
            at += 1;
        } else if byte == b'\r' && at > digits {
            return match bytes.get(at + 1) {
                None => Ok(None),
                Some(b'\n') => Ok(Some((if is_negative { -value } else { value }, at + 2))),
                Some(_) => fail(problem),
            };
        } else {
            return fail(problem);
        }
        if at - from > NUMBER_LINE_MAX {
            return fail(problem);
        }
    }
    Ok(None)
}
