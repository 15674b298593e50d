//! The commands of real clients, one of each with its options, and how they are bent.
//!
//! Keys are two bytes long and few, so that a million inputs meet the same records again and again, and
//! what the node rightly stores stays small.

use quorate::proto::rng::Rng;
use quorate::resp::client::encode;
use quorate::resp::parse::{ParseLimits, Parsed, Parser};
use quorate::resp::text::context_text;

use super::messages::{Facts, Recent, clock, sibling_dot};
use super::mutate::{bend, boundary, noise, one_of, pick};
use quorate::proto::version::{Context, VectorClock};
use quorate::proto::wire::put_varint;

/// Every command in its usual forms. Words in braces are filled in: a key, its value, a context of the
/// key, numbers, names, patterns.
const FORMS: &[&str] = &[
    "get {k}",
    "set {k} {v}",
    "set {k} {v} nx",
    "set {k} {v} xx get",
    "set {k} {v} ex {n}",
    "set {k} {v} px {n} get",
    "set {k} {v} exat {at}",
    "set {k} {v} pxat {atms}",
    "set {k} {v} keepttl",
    "mget {k} {k} {k}",
    "mset {k} {v} {k} {v}",
    "del {k} {k}",
    "unlink {k}",
    "exists {k} {k}",
    "touch {k}",
    "getset {k} {v}",
    "getdel {k}",
    "getex {k} ex {n}",
    "getex {k} persist",
    "getex {k} pxat {atms}",
    "setex {k} {n} {v}",
    "psetex {k} {n} {v}",
    "setnx {k} {v}",
    "append {k} {n}",
    "getrange {k} {r} {n}",
    "substr {k} {r} {n}",
    "setrange {k} {r} {v}",
    "getbit {k} {n}",
    "setbit {k} {n} 1",
    "bitcount {k} {r} {n} bit",
    "bitpos {k} 1 {r} {n} byte",
    "object encoding {k}",
    "object help",
    "randomkey",
    "strlen {k}",
    "type {k}",
    "expire {k} {n} nx",
    "expire {k} {n}",
    "pexpire {k} {n} gt",
    "expireat {k} {at} lt",
    "pexpireat {k} {atms} xx",
    "persist {k}",
    "ttl {k}",
    "pttl {k}",
    "expiretime {k}",
    "pexpiretime {k}",
    "q.get {k}",
    "q.get {k} r {r} pr {r} view all timeout {n}",
    "q.get {k} view latest",
    "q.get {k} r 2 view majority timeout {n}",
    "q.get {k} view sum",
    "q.get {k} view set_union",
    "q.put {k} {v}",
    "q.put {k} {v} context {c} w 1 timeout {n}",
    "q.put {k} {v} context {c} ttl {n}",
    "q.put {k} {v} supersede ttl {n} dw {r} pw {r}",
    "q.put {k} {v} sloppy",
    "q.put {k} {v} context {c} ifseen",
    "q.del {k}",
    "q.del {k} context {c}",
    "q.del {k} supersede w {r}",
    "q.owners {k}",
    "q.status",
    "q.store status",
    "q.store backup",
    "q.cluster status",
    "q.cluster plan",
    "q.cluster staged",
    "q.cluster leave {name}",
    "q.cluster remove {name}",
    "q.cluster replace {name} {name}",
    "q.cluster weight {name} {n}",
    "q.cluster zone {name} {name}",
    "q.cluster maxperzone {r}",
    "q.cluster unstage",
    "q.cluster commit",
    "q.cluster commit 0123456789abcdef",
    "q.cluster revert",
    "scan {cur} match {pat} count {n} type string",
    "scan 0",
    "q.scan 0 match {pat} prefix {k} count {n} r {r} timeout {n}",
    "q.scan {c}",
    "keys {pat}",
    "dbsize",
    "ping",
    "ping {v}",
    "echo {v}",
    "select {r}",
    "client id",
    "client info",
    "client list",
    "client list type normal",
    "client list id {n}",
    "client getname",
    "client setname {name}",
    "client setinfo lib-name {name}",
    "client setinfo lib-ver 1.2",
    "client reply on",
    "client reply skip",
    "client reply off",
    "client no-evict on",
    "client no-touch off",
    "client getredir",
    "client tracking off",
    "client trackinginfo",
    "client unblock {n}",
    "client kill id {n}",
    "hello",
    "hello 3 auth default {v} setname {name}",
    "hello 2",
    "auth {v}",
    "auth default {v}",
    "quit",
    "reset",
    "info",
    "info stats memory",
    "config get {pat}",
    "config set maxmemory {n}",
    "command",
    "command count",
    "command list",
    "command info get {name}",
    "command docs get",
    "command getkeys mset {k} {v}",
    "time",
    "multi",
    "subscribe {name}",
    "incr {k}",
    "decr {k}",
    "decrby {k} {n}",
    "incrby {k} {n}",
    "incrbyfloat {k} {n}",
    "q.dev {name}",
    "q.reads",
    "q.watch {n} from {c} count {n}",
    "sadd {k} {v} {v}",
    "srem {k} {v} {n}",
    "smembers {k}",
    "sismember {k} {v}",
    "smismember {k} {v} {n}",
    "scard {k}",
    "q.dev {name}",
    "q.set {k} add 2 {v} {v} r {r} w 1 sloppy",
    "q.set {k} remove {n} {v} dw {r} timeout {n}",
    "q.counter {k}",
    "q.counter {k} by {n} id {n} w 1",
    "q.counter {k} context {c} to {n} timeout {n}",
    "nosuch {v} {v}",
];

/// What empties keyspaces; only while nothing is in them that must be found again.
const FLUSHES: &[&str] = &["flushdb", "flushdb async", "flushall", "flushall sync", "flushall now"];

/// Inputs after which other keys are named.
const KEYS_CHANGE: u64 = 40_000;

/// Lengths as text, at which a parser goes wrong.
const LENGTHS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "-2",
    "2",
    "3",
    "+1",
    "01",
    " 1",
    "1 ",
    "",
    "x",
    "1e3",
    "65535",
    "65536",
    "65537",
    "16777216",
    "16777217",
    "536870912",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "99999999999999999999",
];

/// Fills in the words of a form.
pub struct Commands<'a> {
    pub facts: &'a Facts,
    pub recent: &'a Recent,
    /// The number of the input.
    pub number: u64,
    /// Whether commands that empty keyspaces may be sent.
    pub flushes: bool,
}

impl Commands<'_> {
    /// How many forms there are.
    pub fn forms() -> usize {
        FORMS.len()
    }

    /// The form of this number, filled in: a good command.
    pub fn form(&self, number: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
        self.fill(FORMS[number], rng)
    }

    fn fill(&self, form: &str, rng: &mut Rng) -> Vec<Vec<u8>> {
        let claim = if form.contains("{c}") && rng.one_in(2) { self.recent.claim(rng) } else { None };
        let (key, clock) = claim.unwrap_or_else(|| (key(self.number, rng), clock(rng, self.facts)));
        let mut first = true;
        let words = form.split(' ').map(|word| match word {
            "{k}" if core::mem::take(&mut first) => key.clone(),
            "{k}" => self::key(self.number, rng),
            "{v}" => value(rng),
            "{c}" => self.context(&key, &clock, rng),
            "{n}" => (1 + rng.below(90)).to_string().into_bytes(),
            "{r}" => rng.below(5).to_string().into_bytes(),
            "{at}" => (1_700_000_000 + rng.below(1 << 30)).to_string().into_bytes(),
            "{atms}" => (1_700_000_000_000 + rng.below(1 << 40)).to_string().into_bytes(),
            "{cur}" => (rng.next_u64() >> rng.below(64)).to_string().into_bytes(),
            "{pat}" => one_of(rng, &["*", "k*", "[a-z]?", "*a*b*c*", "\\", "[^", "max*"]).as_bytes().to_vec(),
            "{name}" => format!("name-{}", rng.below(10)).into_bytes(),
            word if rng.one_in(2) => word.to_ascii_uppercase().into_bytes(),
            word => word.as_bytes().to_vec(),
        });
        words.collect()
    }

    /// A context of the key as text: a good one, one with a bent inside under a good MAC, or none at all.
    fn context(&self, key: &[u8], clock: &VectorClock, rng: &mut Rng) -> Vec<u8> {
        let mut context = Context { clock: clock.clone(), ..Context::default() };
        for _ in 0..pick(rng, 3) {
            context.dots.push(sibling_dot(rng, self.facts));
        }
        let mac_key = &self.facts.keys.token;
        let mut token = context.token(mac_key, 0, key, rng.one_in(2)).to_vec();
        match rng.below(8) {
            0..=4 => {}
            5 | 6 => {
                token.truncate(token.len() - 16);
                let mut body = token.split_off(3.min(token.len()));
                if rng.one_in(4) {
                    body.clear();
                    put_varint(&mut body, boundary(rng));
                }
                bend(rng, &mut body, b"\x01\x00");
                token.extend_from_slice(&body);
                let length = (key.len() as u64).to_le_bytes();
                let mac = mac_key.hash128(&[&0_u16.to_le_bytes(), &length, key, &token]).to_le_bytes();
                token.extend_from_slice(&mac);
            }
            _ => bend(rng, &mut token, b""),
        }
        context_text(&token).into_bytes()
    }

    /// A bent command, as bytes.
    pub fn bent(&self, rng: &mut Rng) -> Vec<u8> {
        loop {
            let bytes = self.bent_somehow(rng);
            if self.flushes || !mentions_flush(&bytes) {
                return bytes;
            }
        }
    }

    fn bent_somehow(&self, rng: &mut Rng) -> Vec<u8> {
        let form = if self.flushes && rng.one_in(20) { one_of(rng, FLUSHES) } else { one_of(rng, FORMS) };
        let mut arguments = self.fill(form, rng);
        match rng.below(10) {
            // Good framing around wrong arguments.
            0..=4 => {
                self.bend_arguments(rng, &mut arguments);
                encoded(&arguments)
            }
            5 => {
                let mut bytes = encoded(&arguments);
                bend_framing(rng, &mut bytes);
                bytes
            }
            6 => inline(rng, &arguments),
            7 => match rng.below(6) {
                0 => b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
                1 => one_of(rng, &["\r\n", "*0\r\n", "*-1\r\n", "\r\n\r\n*0\r\n", "\n", " \t\r\n"])
                    .as_bytes()
                    .to_vec(),
                2 => {
                    let length = 1 + pick(rng, 60);
                    noise(rng, length)
                }
                // Arrays in arrays, as no command has them.
                3 => b"*1\r\n".repeat(1 + pick(rng, 30)),
                4 => self.long(rng),
                _ => encoded(&arguments),
            },
            _ => {
                let mut bytes = encoded(&arguments);
                let form = one_of(rng, FORMS);
                let other = encoded(&self.fill(form, rng));
                bend(rng, &mut bytes, &other);
                bytes
            }
        }
    }

    fn bend_arguments(&self, rng: &mut Rng, arguments: &mut Vec<Vec<u8>>) {
        for _ in 0..1 + usize::from(rng.one_in(4)) {
            let at = pick(rng, arguments.len());
            match rng.below(7) {
                // Not those that would be good deadlines, far away.
                0 => {
                    let numbers = LENGTHS.iter().filter(|text| !text.starts_with("6553")).collect::<Vec<_>>();
                    arguments[at] = one_of(rng, &numbers).as_bytes().to_vec();
                }
                1 => bend(rng, &mut arguments[at], b"abc"),
                2 => {
                    arguments.remove(at);
                }
                3 => arguments.insert(at + 1, arguments[at].clone()),
                // All options again.
                4 => arguments.extend_from_within(arguments.len().min(2)..),
                5 => {
                    let form = one_of(rng, FORMS);
                    arguments.extend(self.fill(form, rng).split_off(1));
                }
                _ => arguments.swap(at, 0),
            }
            if arguments.is_empty() {
                arguments.push(b"get".to_vec());
            }
        }
    }

    /// Keys, values, counts at and over their limits, or far too many of them.
    fn long(&self, rng: &mut Rng) -> Vec<u8> {
        let length = *one_of(rng, &[4_096, 4_097, 65_000, 65_001]);
        let long = vec![b'a'; length];
        match rng.below(4) {
            0 => encoded(&[b"get".to_vec(), long]),
            1 => encoded(&[b"setnx".to_vec(), key(self.number, rng), vec![b'v'; 9_000]]),
            2 => {
                let mut line = long;
                line.extend_from_slice(if rng.one_in(2) { b"\r\n" } else { b" 'x\r\n" });
                line
            }
            _ => {
                let mut arguments = vec![b"exists".to_vec()];
                arguments.resize(1 + pick(rng, 1_500), key(self.number, rng));
                encoded(&arguments)
            }
        }
    }
}

/// Commands whose announced strings are as long as they may be, and do not come.
pub fn announcement(rng: &mut Rng) -> Vec<u8> {
    let length = one_of(rng, &["16777216", "16777215", "8388608"]);
    match rng.below(4) {
        0 => format!("*2\r\n$4\r\nMGET\r\n${length}\r\n").into_bytes(),
        1 => format!("*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n${length}\r\nabc").into_bytes(),
        2 => format!("*65536\r\n$4\r\nMSET\r\n$2\r\nk1\r\n${length}\r\nabc").into_bytes(),
        _ => format!("*65536\r\n${length}\r\n").into_bytes(),
    }
}

/// What a command looks like on the wire.
pub fn encoded(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    encode(&mut out, &arguments);
    out
}

/// The same as one line, with quotes that may or may not close.
fn inline(rng: &mut Rng, arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut line = Vec::new();
    for argument in arguments {
        let quote = *one_of(rng, &[b"".as_slice(), b"", b"\"", b"'"]);
        line.extend_from_slice(quote);
        line.extend_from_slice(argument);
        line.extend_from_slice(if rng.one_in(20) { b"" } else { quote });
        line.extend_from_slice(if rng.one_in(20) { b"\\x4" } else { b" " });
    }
    if rng.one_in(3) {
        bend(rng, &mut line, b"\"\\\"");
    }
    line.extend_from_slice(if rng.one_in(8) { b"\n" } else { b"\r\n" });
    line
}

/// Bends a number of the framing, a type, or a line end.
fn bend_framing(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let heads: Vec<usize> = (0..bytes.len())
        .filter(|&at| matches!(bytes[at], b'*' | b'$') && (at == 0 || bytes[at - 1] == b'\n'))
        .collect();
    let at = *one_of(rng, &heads);
    let end = at + bytes[at..].iter().position(|&byte| byte == b'\r').unwrap_or(bytes.len() - at);
    match rng.below(6) {
        0..=2 => {
            let length = one_of(rng, &LENGTHS).bytes();
            bytes.splice(at + 1..end, length);
        }
        3 => bytes[at] = *one_of(rng, b"+-:#_,(!=%~>|*$\0"),
        4 => {
            bytes.remove(end.min(bytes.len() - 1));
        }
        _ => {
            let off_by_one =
                core::str::from_utf8(&bytes[at + 1..end]).ok().and_then(|text| text.parse().ok());
            let length: i64 = off_by_one.unwrap_or(0) + if rng.one_in(2) { 1 } else { -1 };
            bytes.splice(at + 1..end, length.to_string().into_bytes());
        }
    }
}

/// One of the few keys that an input of this number names; sometimes the empty one. Now and then others take
/// their place: what the node must keep of a key grows with each actor that ever wrote it.
pub fn key(number: u64, rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(50) {
        return Vec::new();
    }
    vec![b'A' + (number / KEYS_CHANGE % 26) as u8, b'0' + rng.below(40) as u8]
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let length = *one_of(rng, &[0, 1, 7, 7, 12, 40]);
    if rng.one_in(2) { noise(rng, length) } else { vec![b'v'; length] }
}

fn mentions_flush(bytes: &[u8]) -> bool {
    bytes.windows(5).any(|five| five.eq_ignore_ascii_case(b"flush"))
}

/// How an input reads to a parser: the names of its whole commands, and what is at its end.
pub struct Shape {
    pub names: Vec<String>,
    pub end: End,
}

/// What follows the whole commands of an input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Nothing,
    Half,
    Broken,
}

/// Parses an input as a node with default limits does.
pub fn shape(bytes: &[u8]) -> Shape {
    let bulk = 16 << 20;
    let query = 2 * bulk + (1 << 20);
    let limits = ParseLimits { arguments: 65_536, bulk, query, unauthenticated: false };
    let mut rest = bytes;
    let mut names = Vec::new();
    let mut parser = Parser::default();
    let end = loop {
        match parser.parse(rest, &limits) {
            _ if rest.is_empty() => break End::Nothing,
            Ok(Parsed::Incomplete) => break End::Half,
            Err(_) => break End::Broken,
            Ok(Parsed::Nothing(length)) => rest = &rest[length..],
            Ok(Parsed::Command(length)) => {
                let name = parser.args(rest).at(0).to_ascii_lowercase();
                names.push(String::from_utf8_lossy(&name).into_owned());
                rest = &rest[length..];
            }
        }
        parser.finish();
    };
    Shape { names, end }
}
