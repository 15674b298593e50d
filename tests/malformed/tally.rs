//! Counts what was sent and what became of it. A class that nothing fell into fails the run: then
//! something was not tested.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    CommandOk,
    CommandError,
    CommandIgnored,
    CommandRefused,
    CommandClosed,
    CommandHalf,
    FrameAnswered,
    FrameTaken,
    FrameRefused,
    RecordHalf,
    HandshakeRefused,
    HandshakeDone,
    HandshakeHalf,
    DialledRefused,
    DialledTaken,
}

const CLASSES: [(Class, &str); 15] = [
    (Class::CommandOk, "command: answered ok"),
    (Class::CommandError, "command: answered with an error"),
    (Class::CommandIgnored, "command: nothing to answer"),
    (Class::CommandRefused, "command: protocol error, closed by the node"),
    (Class::CommandClosed, "command: answered, then closed by the node"),
    (Class::CommandHalf, "command: half an input, then closed"),
    (Class::FrameAnswered, "frame: taken and answered"),
    (Class::FrameTaken, "frame: taken, no answer due"),
    (Class::FrameRefused, "frame: stream closed by the node"),
    (Class::RecordHalf, "record: half an input, then closed"),
    (Class::HandshakeRefused, "handshake: refused with a reason"),
    (Class::HandshakeDone, "handshake: completed"),
    (Class::HandshakeHalf, "handshake: half an input, then closed"),
    (Class::DialledRefused, "dialled by the node: ended by it"),
    (Class::DialledTaken, "dialled by the node: taken"),
];

/// Counts of one run.
#[derive(Debug, Default)]
pub struct Tally {
    classes: BTreeMap<Class, u64>,
    /// What reached a decoder, by its name, and how the decoder took it.
    reached: BTreeMap<(String, &'static str), u64>,
    /// Inputs whose checksums were computed after they were bent.
    pub sealed: u64,
    /// Inputs that are good ones cut short.
    pub cut: u64,
    /// Which cuts were made, of the places there are.
    cuts: BTreeMap<(&'static str, usize, usize), u64>,
    pub inputs: u64,
}

impl Tally {
    /// One input is done with.
    pub fn input(&mut self, class: Class) {
        self.inputs += 1;
        *self.classes.entry(class).or_default() += 1;
    }

    /// A decoder was reached.
    pub fn reach(&mut self, decoder: &str, how: &'static str) {
        *self.reached.entry((decoder.to_owned(), how)).or_default() += 1;
    }

    /// A good input of a kind and number was cut at a length.
    pub fn cut_at(&mut self, kind: &'static str, number: usize, length: usize) {
        self.cut += 1;
        *self.cuts.entry((kind, number, length)).or_default() += 1;
    }

    /// How often a decoder was reached.
    pub fn reached(&self, decoder: &str, how: &'static str) -> u64 {
        self.reached.get(&(decoder.to_owned(), how)).copied().unwrap_or(0)
    }

    /// The decoders that were reached, with what each did.
    fn decoders(&self) -> String {
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        for ((decoder, how), count) in &self.reached {
            let _ = write!(lines.entry(decoder).or_default(), " {how} {count}");
        }
        lines.into_iter().map(|(decoder, counts)| format!("  {decoder}:{counts}\n")).collect()
    }

    /// Everything, as text.
    pub fn report(&self) -> String {
        let mut text = self.decoders();
        let percent = |part: u64| 100.0 * part as f64 / self.inputs.max(1) as f64;
        let _ = writeln!(text, "{} inputs:", self.inputs);
        for (class, name) in CLASSES {
            let _ = writeln!(text, "{:>9}  {name}", self.classes.get(&class).copied().unwrap_or(0));
        }
        let _ =
            writeln!(text, "{:>9}  ({:.1} %) carry a recomputed checksum", self.sealed, percent(self.sealed));
        let _ = writeln!(
            text,
            "{:>9}  ({:.1} %) are good inputs cut short, at {} different places",
            self.cut,
            percent(self.cut),
            self.cuts.len()
        );
        text
    }

    /// Whether a good input was cut there.
    pub fn was_cut(&self, kind: &'static str, number: usize, length: usize) -> bool {
        self.cuts.contains_key(&(kind, number, length))
    }

    /// What was not shown, in words; empty if everything was.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (class, name) in CLASSES {
            if !self.classes.contains_key(&class) {
                missing.push(format!("no input fell into `{name}`"));
            }
        }
        if self.sealed * 100 < self.inputs * 30 {
            missing.push("under 30 % of the inputs carry a recomputed checksum".into());
        }
        if self.cut * 100 < self.inputs * 10 {
            missing.push("under 10 % of the inputs are good ones cut short".into());
        }
        missing
    }
}
