//! What happened, as a hash that tells two runs apart and, if asked for, as text.

use std::fmt;

use crate::proto::version::{Dot, Object, Value};

/// One line of a trace.
#[derive(Clone, Debug)]
struct Line {
    at_ms: f64,
    key: Option<usize>,
    text: String,
}

/// The trace of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    lines: Option<Vec<Line>>,
}

impl Trace {
    /// A trace; with text if `text`, which costs time and memory.
    pub fn new(text: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines: text.then(Vec::new) }
    }

    /// Notes an event: its time, a number for its kind, and what distinguishes it.
    pub fn note(&mut self, at: u64, kind: u64, detail: &[u8]) {
        self.events += 1;
        self.mix(at);
        self.mix(kind);
        let mut words = detail.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        words.remainder().iter().for_each(|&byte| self.mix(u64::from(byte) + 1));
    }

    fn mix(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.hash = mixed ^ (mixed >> 29);
    }

    /// Adds a line of text, if anybody reads it. `key` is the key it is about.
    pub fn say(&mut self, at: u64, key: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at_ms: at as f64 / 1e6, key, text: text() });
        }
    }

    /// Whether somebody reads it.
    pub fn is_read(&self) -> bool {
        self.lines.is_some()
    }

    /// The hash of everything noted so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events were noted.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last lines about a key, with those that are about no key; all lines if there is no key.
    pub fn excerpt(&self, key: Option<usize>, most: usize) -> String {
        let lines = self
            .lines
            .iter()
            .flatten()
            .filter(|line| key.is_none() || line.key.is_none_or(|k| Some(k) == key));
        let lines: Vec<&Line> = lines.collect();
        let skipped = lines.len().saturating_sub(most);
        let mut text = String::new();
        for line in &lines[skipped..] {
            text.push_str(&format!("{line}\n"));
        }
        text
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{:>12.3} ms  key {key:<2} {}", self.at_ms, self.text),
            None => write!(f, "{:>12.3} ms         {}", self.at_ms, self.text),
        }
    }
}

/// A dot, short.
pub fn show_dot(dot: Dot) -> String {
    let (epoch, actor) = (dot.actor.epoch, dot.actor);
    format!("{:04x}.{:04x}.{}:{}", actor.generation >> 48, epoch.nonce >> 48, epoch.number, dot.counter)
}

/// An object, short.
pub fn show(object: &[u8]) -> String {
    let Ok(object) = Object::decode(object) else { return "nonsense".into() };
    let siblings = object.siblings().iter().map(|sibling| {
        let what = match &sibling.value {
            _ if sibling.tombstone => "deleted".to_owned(),
            Value::Shed(_) => "shed".to_owned(),
            Value::Whole(bytes) => String::from_utf8_lossy(bytes).replace('.', ""),
        };
        format!("{}={what}", show_dot(sibling.dot))
    });
    let counts = object
        .counts()
        .iter()
        .map(|count| format!("{}=+{}-{}", show_dot(count.dot), count.totals.added, count.totals.taken));
    let siblings = siblings.chain(counts);
    let entries = object.context().entries().iter();
    let context = entries.map(|&(actor, counter)| show_dot(Dot { actor, counter }));
    format!("[{}] context {:?}", siblings.collect::<Vec<_>>().join(" "), context.collect::<Vec<_>>())
}
