//! As much of the Redis protocol as a bench needs: commands out, commands and replies in. No limits and
//! no errors: whoever speaks here was started by the bench.

use std::ops::Range;

/// Writes one command as an array of bulk strings.
pub fn write_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    write_count(out, b'*', words.len());
    for word in words {
        write_bulk(out, word);
    }
}

/// Writes one bulk string.
pub fn write_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    write_count(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn write_count(out: &mut Vec<u8>, kind: u8, mut count: usize) {
    let mut line = [0; 24];
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    loop {
        start -= 1;
        line[start] = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            break;
        }
    }
    start -= 1;
    line[start] = kind;
    out.extend_from_slice(&line[start..]);
}

/// Reads one command. Puts the places of its words into `words` and returns its length; `None` if it
/// has not come whole.
pub fn read_command(bytes: &[u8], words: &mut Vec<Range<usize>>) -> Option<usize> {
    words.clear();
    let (count, mut at) = read_count(bytes, 0)?;
    for _ in 0..count? {
        let (length, start) = read_count(bytes, at)?;
        at = start + length? + 2;
        if at > bytes.len() {
            return None;
        }
        words.push(start..at - 2);
    }
    Some(at)
}

/// A reply, as far as a bench cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A simple string or an integer.
    Line(&'a [u8]),
    /// A bulk string.
    Bulk(&'a [u8]),
    /// No such key.
    Nil,
    /// An error.
    Error(&'a [u8]),
}

/// Reads one reply that is no array. Returns it with its length; `None` if it has not come whole.
pub fn read_reply(bytes: &[u8]) -> Option<(Reply<'_>, usize)> {
    match bytes.first()? {
        b'$' => match read_count(bytes, 0)? {
            (None, end) => Some((Reply::Nil, end)),
            (Some(length), start) => {
                let end = start + length + 2;
                (end <= bytes.len()).then(|| (Reply::Bulk(&bytes[start..end - 2]), end))
            }
        },
        kind => {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
            let line = &bytes[1..end];
            let reply = if *kind == b'-' { Reply::Error(line) } else { Reply::Line(line) };
            Some((reply, end + 2))
        }
    }
}

/// Reads `*3\r\n` or `$-1\r\n` at `at`: the count, `None` if it is negative, and where the line ends.
fn read_count(bytes: &[u8], at: usize) -> Option<(Option<usize>, usize)> {
    let mut count = Some(0);
    for (offset, &byte) in bytes.get(at + 1..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' => count = count.map(|count| count * 10 + usize::from(byte - b'0')),
            b'-' => count = None,
            b'\n' => return Some((count, at + offset + 2)),
            _ => {}
        }
    }
    None
}
