//! Bytes as they come: cut anywhere, over the limits, broken.

use super::fake::Client;
use crate::proto::rng::Rng;
use crate::resp::client::{Parser, encode};
use crate::resp::session::{Next, Settings};

/// Real traffic of every kind.
fn traffic() -> Vec<u8> {
    let mut bytes = Vec::new();
    let commands: &[&[&[u8]]] = &[
        &[b"SET", b"key:1", b"value"],
        &[b"GET", b"key:1"],
        &[b"SET", b"k\r\n$", b"*3\r\n$-1\r\n", b"PX", b"1000", b"GET"],
        &[b"MSET", b"a", b"1", b"b", b"", b"", b"3"],
        &[b"MGET", b"a", b"b", b"", b"nope"],
        &[b"HELLO", b"3", b"SETNAME", b"me"],
        &[b"Q.PUT", b"q", b"v", b"CONTEXT", b"__79_A", b"W", b"2", b"TTL", b"5000"],
        &[b"Q.GET", b"q", b"R", b"2", b"VIEW", b"latest"],
        &[b"Q.DEL", b"q", b"SUPERSEDE"],
        &[b"EXPIRE", b"a", b"100", b"NX"],
        &[b"TTL", b"a"],
        &[b"DEL", b"a", b"b", b"a"],
        &[b"SCAN", b"0", b"MATCH", b"[k-m]*", b"COUNT", b"5"],
        &[b"KEYS", b"*"],
        &[b"APPEND", b"key:1", b"\0\xff"],
        &[b"DBSIZE"],
        &[b"CLIENT", b"LIST"],
        &[b"CONFIG", b"GET", b"*"],
        &[b"COMMAND", b"DOCS", b"get"],
        &[b"INFO", b"keyspace"],
        &[b"nope", b"a"],
        &[b"FLUSHALL"],
        &[b"Q.OWNERS", b"a"],
        &[b"Q.STATUS"],
        &[b"CLIENT", b"REPLY", b"SKIP"],
        &[b"PING"],
        &[b"RESET"],
    ];
    for command in commands {
        encode(&mut bytes, command);
    }
    bytes.extend_from_slice(
        b"\r\n*0\r\n*-1\r\nSET inline \"a\\x41\\n\\\"b\" \r\n  GET inline\r\nping 'it\\'s'\n",
    );
    bytes
}

/// What comes back when the bytes are handed in in pieces of these sizes.
fn conversation(bytes: &[u8], mut size: impl FnMut() -> usize, backwards: bool) -> (String, Client) {
    let mut client = Client::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size().clamp(1, rest.len()));
        client.send(piece);
        client.settle(backwards);
        rest = after;
    }
    (client.taken(), client)
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let bytes = traffic();
    let (whole, client) = conversation(&bytes, || usize::MAX, false);
    assert!(client.left.is_empty() && client.next == Next::Read);
    assert!(whole.ends_with("+OK\r\n$5\r\naA\n\"b\r\n$4\r\nit's\r\n"), "{whole}");
    assert_eq!(conversation(&bytes, || 1, true).0, whole);
    for cut in 1..bytes.len() {
        let mut first = true;
        let size = || if core::mem::take(&mut first) { cut } else { usize::MAX };
        assert_eq!(conversation(&bytes, size, false).0, whole, "cut at {cut}");
    }
}

#[test]
fn every_reply_is_well_formed() {
    let (whole, _) = conversation(&traffic(), || usize::MAX, false);
    let mut parser = Parser::new();
    parser.push(whole.as_bytes());
    let mut replies = 0;
    while parser.next_reply().unwrap().is_some() {
        replies += 1;
    }
    // One for each array but SKIP and the one it skips, and three inline lines.
    assert_eq!(replies, 25 + 3);
}

#[test]
fn inline_words_are_split_as_redis_splits_them() {
    let mut client = Client::new();
    for (line, expected) in [
        ("ECHO abc", "$3\r\nabc\r\n"),
        ("  ECHO\t abc  ", "$3\r\nabc\r\n"),
        ("ECHO \"\"", "$0\r\n\r\n"),
        ("ECHO ''", "$0\r\n\r\n"),
        ("ECHO a\"b c\"", "$4\r\nab c\r\n"),
        ("ECHO \"\\n\\r\\t\\b\\a\\\\\\q\"", "$7\r\n\n\r\t\u{8}\u{7}\\q\r\n"),
        ("ECHO \"\\x41\\x7a\\xg1\"", "$5\r\nAzxg1\r\n"),
        ("ECHO 'a\\'b\\n'", "$5\r\na'b\\n\r\n"),
    ] {
        assert_eq!(client.line(line), expected, "{line}");
    }
    for line in ["ECHO \"a", "ECHO 'a", "ECHO \"a\"b", "ECHO 'a'b", "ECHO \"a\\\""] {
        let mut client = Client::new();
        assert_eq!(client.line(line), "-ERR Protocol error: unbalanced quotes in request\r\n", "{line}");
        assert_eq!(client.next, Next::Close);
    }
}

#[test]
fn broken_bytes_are_answered_once_and_end_the_connection() {
    let long = format!("*1\r\n${}\r\n", 16 << 20);
    assert_eq!(Client::new().talk(long.as_bytes()), "", "the largest value is taken");
    let too_long = format!("*1\r\n${}\r\n", (16 << 20) + 1);
    for (bytes, expected) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        ("*1x\r\n", "invalid multibulk length"),
        ("*1\rx", "invalid multibulk length"),
        ("*65537\r\n", "invalid multibulk length"),
        ("*9223372036854775807\r\n", "invalid multibulk length"),
        ("*9223372036854775808\r\n", "invalid multibulk length"),
        ("*00000000000000000000000000001\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\r\n", "expected '$', got '\\r'"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
        (&too_long, "invalid bulk length: 16777217 bytes, the limit is 16777216"),
        ("*1\r\n$4\r\nPINGxx", "expected CRLF after an argument"),
    ] {
        let mut client = Client::new();
        client.send(format!("PING\r\n{bytes}").as_bytes());
        assert_eq!(client.taken(), format!("+PONG\r\n-ERR Protocol error: {expected}\r\n"), "{bytes}");
        assert_eq!(client.next, Next::Close, "{bytes}");
        assert!(client.session.is_done());
        client.send(b"PING\r\n");
        assert_eq!(client.taken(), "", "nothing follows");
    }
    let mut client = Client::new();
    client.send(&vec![b'a'; (64 << 10) + 1]);
    assert_eq!(client.taken(), "-ERR Protocol error: too big inline request\r\n");
    let mut client = Client::new();
    client.send(b"GET a\r\n*x\r\n");
    assert!(!client.session.is_done(), "an answer is still to come");
    client.settle(false);
    assert_eq!(client.taken(), "$-1\r\n-ERR Protocol error: invalid multibulk length\r\n");
    assert!(client.session.is_done());
}

#[test]
fn a_command_may_not_be_larger_than_the_query_limit() {
    let mut client = Client::with(Settings { value_max: 1 << 20, ..Settings::default() });
    let value = vec![b'v'; 1 << 20];
    let mut bytes = Vec::new();
    encode(&mut bytes, &[b"MSET", b"a", &value, b"b", &value]);
    assert_eq!(client.talk(&bytes), "+OK\r\n");
    bytes.clear();
    encode(&mut bytes, &[b"MSET", b"a", &value, b"b", &value, b"c", &value]);
    let limit = 3 << 20;
    let expected = format!("-ERR Protocol error: too big query: the limit is {limit} bytes\r\n");
    assert_eq!(client.talk(&bytes), expected);
}

#[test]
fn before_the_password_little_is_taken() {
    let with_password =
        || Client::with(Settings { password: Some(b"secret".to_vec()), ..Settings::default() });
    for (bytes, expected) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*1\r\n$16385\r\n", "unauthenticated bulk length"),
        ("a a a a a a a a a a a\r\n", "unauthenticated multibulk length"),
    ] {
        let mut client = with_password();
        client.send(bytes.as_bytes());
        assert_eq!(client.taken(), format!("-ERR Protocol error: {expected}\r\n"), "{bytes}");
    }
    let mut client = with_password();
    let argument = vec![b'a'; 16 << 10];
    let mut bytes = Vec::new();
    encode(&mut bytes, &[b"AUTH", &argument, &argument]);
    client.send(&bytes);
    assert_eq!(client.taken(), "-ERR Protocol error: too big query: the limit is 32768 bytes\r\n");
    let mut client = with_password();
    client.send(&vec![b'a'; 32 << 10]);
    assert_eq!(client.next, Next::Read);
    client.send(b"a");
    assert_eq!(client.taken(), "-ERR Protocol error: too big inline request\r\n");
    let mut client = with_password();
    client.send(&b"PING\r\n".repeat(1_000));
    assert_eq!(client.next, Next::Wait, "unread replies stop the reading");
    assert!(client.out.len() < 4_200 && !client.left.is_empty());
    assert_eq!(client.talk(b""), "-NOAUTH Authentication required.\r\n".repeat(client_lines(4 << 10)));
}

/// How many refusals it takes to fill so many bytes.
fn client_lines(bytes: usize) -> usize {
    bytes.div_ceil("-NOAUTH Authentication required.\r\n".len())
}

#[test]
fn mutated_traffic_never_panics_and_never_hangs() {
    let bytes = traffic();
    let mut rng = Rng::new(0x5eed);
    let (mut closed, mut answered) = (0, 0);
    for _ in 0..3_000 {
        let mut mutated = bytes.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(mutated.len() as u64) as usize;
            match rng.below(5) {
                0 => mutated[at] ^= 1 << rng.below(8),
                1 => mutated[at] = b"*$\r\n-09 \"'\\x:"[rng.below(13) as usize],
                2 => mutated.truncate(at.max(1)),
                3 => drop(mutated.drain(at..(at + 1 + rng.below(20) as usize).min(mutated.len()))),
                _ => {
                    let from = rng.below(bytes.len() as u64) as usize;
                    let piece = &bytes[from..(from + 30).min(bytes.len())];
                    mutated.splice(at..at, piece.iter().copied());
                }
            }
            if mutated.is_empty() {
                mutated.push(b'*');
            }
        }
        let backwards = rng.below(2) == 0;
        let (_, mut client) = conversation(&mutated, || 1 + rng.below(400) as usize, backwards);
        client.session.handle_end();
        client.send(b"");
        client.settle(false);
        assert!(client.session.is_done(), "{}", mutated.escape_ascii());
        assert_eq!(client.session.in_flight(), 0);
        closed += u32::from(!client.left.is_empty());
        answered += u32::from(!client.fake.submitted.is_empty());
    }
    assert!(closed > 100 && answered > 1_000, "{closed} closed early, {answered} reached the node");
}
