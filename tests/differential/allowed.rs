//! The closed list of differences that are allowed, `allowed.txt`.

use std::collections::BTreeSet;

use crate::connection::{bulk, elements, integer};

const TEXT: &str = include_str!("allowed.txt");

/// Whether a difference between Redis' reply and ours is such a one.
type Condition = fn(&[u8], &[u8]) -> bool;

const CONDITIONS: &[(&str, Condition)] = &[
    ("text for text", |redis, ours| redis[0] == ours[0] && matches!(ours[0], b'$' | b'=')),
    ("number for number", |redis, ours| integer(redis).is_some() && integer(ours).is_some()),
    ("list for list", |redis, ours| redis[0] == ours[0] && matches!(ours[0], b'*' | b'%' | b'~')),
    ("version and id", is_hello),
    ("unknown to Redis 7.0", |redis, ours| {
        redis.starts_with(b"-ERR unknown subcommand") && !ours.starts_with(b"-ERR unknown")
    }),
    ("refused with a reason", |_, ours| ours.starts_with(b"-ERR not supported: ")),
    ("words that are no UTF-8", |redis, ours| {
        redis[0] == b'-' && String::from_utf8_lossy(redis).as_bytes() == ours
    }),
    ("another encoding", |redis, ours| {
        let are_all = |known: &[&[u8]]| {
            [redis, ours].iter().all(|reply| bulk(reply).is_some_and(|name| known.contains(&name)))
        };
        are_all(&[b"int", b"embstr", b"raw"]) || are_all(&[b"intset", b"hashtable"])
    }),
    ("shared by Redis", |redis, ours| redis == b":2147483647\r\n" && ours == b":1\r\n"),
    ("nearly the same number", is_near),
    ("no string and wrong words", |redis, ours| {
        let is_looked_for = matches!(redis, b":0\r\n" | b":-1\r\n") || redis.starts_with(b"-WRONGTYPE ");
        is_looked_for && ours.starts_with(b"-ERR ")
    }),
];

/// All pairs are equal but those two.
fn is_hello(redis: &[u8], ours: &[u8]) -> bool {
    let (redis, ours) = (elements(redis), elements(ours));
    redis.len() == ours.len()
        && redis.chunks(2).zip(ours.chunks(2)).all(|(redis, ours)| {
            let is_own = matches!(bulk(redis[0]), Some(b"version" | b"id"));
            redis[0] == ours[0] && (is_own || redis[1] == ours[1])
        })
}

fn is_near(redis: &[u8], ours: &[u8]) -> bool {
    let number = |reply| std::str::from_utf8(bulk(reply)?).ok()?.parse::<f64>().ok();
    match (number(redis), number(ours)) {
        (Some(redis), Some(ours)) => (redis - ours).abs() <= redis.abs().max(ours.abs()) * 1e-15,
        _ => false,
    }
}

struct Entry {
    command: &'static str,
    condition: &'static str,
    holds: Condition,
}

/// The list, and which entries were used.
pub struct Allowed {
    entries: Vec<Entry>,
    used: BTreeSet<usize>,
}

impl Allowed {
    /// Reads the list.
    ///
    /// # Panics
    /// A line is no entry, or is there twice.
    pub fn new() -> Allowed {
        let mut entries: Vec<Entry> = Vec::new();
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [command, condition, reason] = parts[..] else { panic!("no entry: {line}") };
            assert!(!reason.is_empty(), "no reason: {line}");
            let known = CONDITIONS.iter().find(|(name, _)| *name == condition);
            let (_, holds) = known.unwrap_or_else(|| panic!("no such condition: {line}"));
            let is_new =
                !entries.iter().any(|entry| (entry.command, entry.condition) == (command, condition));
            assert!(is_new, "twice: {line}");
            entries.push(Entry { command, condition, holds: *holds });
        }
        Allowed { entries, used: BTreeSet::new() }
    }

    /// Whether the replies to a command may differ so.
    pub fn permits(&mut self, words: &[Vec<u8>], redis: &[u8], ours: &[u8]) -> bool {
        let lower = |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word).to_lowercase());
        let name = lower(0).unwrap_or_default();
        let whole = lower(1).map_or(name.clone(), |subcommand| format!("{name} {subcommand}"));
        let found = self.entries.iter().position(|entry| {
            let is_meant = matches!(entry.command, "*")
                || entry.command == whole
                || entry.command == name && !self.has_subcommands(&name);
            is_meant && (entry.holds)(redis, ours)
        });
        self.used.extend(found);
        found.is_some()
    }

    /// Whether there are entries of its subcommands; then that of the command is for itself alone.
    fn has_subcommands(&self, name: &str) -> bool {
        let mut others = self.entries.iter().filter_map(|entry| entry.command.strip_prefix(name));
        others.any(|rest| rest.starts_with(' '))
    }

    /// Entries that no difference has used.
    pub fn unused(&self) -> Vec<String> {
        let of = |(_, entry): (usize, &Entry)| format!("{} | {}", entry.command, entry.condition);
        self.entries.iter().enumerate().filter(|(at, _)| !self.used.contains(at)).map(of).collect()
    }
}
