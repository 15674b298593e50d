//! Random programs: a few keys, values at which something changes, options in every combination and order, and now
//! and then a mistake.

use quorate::proto::rng::Rng;

use crate::connection::Words;
use crate::forms::{CONDITIONS, FLUSHES, FORMS, WALKS};

/// Commands that are sent together.
#[derive(Clone, Debug)]
pub struct Step {
    pub commands: Vec<Words>,
    /// How many replies come.
    pub replies: usize,
    /// So many milliseconds must pass before the next, so that what expires has expired.
    pub pause_ms: u64,
    /// The step was bent: it does not count.
    pub is_mistaken: bool,
}

/// Commands, and what there was before them.
#[derive(Clone, Debug)]
pub struct Program {
    pub seed: u64,
    /// All steps are sent at once.
    pub is_pipelined: bool,
    /// What its keys begin with.
    pub prefix: String,
    pub steps: Vec<Step>,
}

/// What a step is drawn with.
struct Draw<'a> {
    rng: Rng,
    prefix: &'a str,
}

/// What makes a text of a number.
const SPOILERS: [&str; 3] = ["append {n} {i}", "setrange {n} {o} {i}", "setbit {n} {b} {01}"];
/// The keyspaces that programs use; few, so that emptying them is quick.
pub const KEYSPACES: [&[u8]; 3] = [b"0", b"1", b"15"];
/// Words that are wrong nearly everywhere.
const JUNK: [&[u8]; 16] = [
    b"",
    b"x",
    b"1.5",
    b"-1",
    b"0",
    b"+5",
    b"1e3",
    b"nan",
    b" 1",
    b"\xff\0",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"ex",
    b"nx",
];
const INTEGERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "2",
    "10",
    "99",
    "-100",
    "9999",
    "10000",
    "4611686018427387904",
    "9223372036854775806",
    "-9223372036854775807",
];
const FRACTIONS: [&str; 12] =
    ["0", "1", "-1", "0.5", "-0.25", "1.5e3", "3.0", "0.1", "10.60", "1e-5", "123456.789", "-7.125e-3"];
const VALUES: [&[u8]; 17] = [
    b"",
    b"a",
    b"hello",
    b"1",
    b"007",
    b"-0",
    b"+1",
    b" 1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1.25",
    b"\0\x01\xfe\xff",
    b"\xff\xff\xff",
    b"line\r\nbreak",
    b"exactly forty-four bytes long, as it happens",
    b"one more than forty-four bytes, as it happens",
];

impl Step {
    /// One command, as it should be.
    fn of(words: Words) -> Step {
        Step { commands: vec![words], replies: 1, pause_ms: 0, is_mistaken: false }
    }
}

impl Program {
    /// The program of a seed. Without walks in a cluster, where a node may be behind in what it knows of others.
    pub fn new(seed: u64, prefix: &str, has_walks: bool) -> Program {
        let mut draw = Draw { rng: Rng::new(seed), prefix };
        let is_pipelined = draw.rng.one_in(3);
        let hello = if draw.rng.one_in(2) { "hello 2" } else { "hello 3" };
        let mut steps = vec![draw.step(hello)];
        let length = 10 + draw.rng.below(80);
        while steps.len() < length as usize {
            let form = *draw.pick(FORMS);
            // Most shall be about keys, which have a past then that matters.
            if !form.contains("{k}")
                && !form.contains("{n}")
                && !form.contains("{f}")
                && draw.rng.below(3) > 0
            {
                continue;
            }
            let name = form.split(' ').next().expect("a form has a name");
            // These take several requests, or change what comes after them.
            let is_long = matches!(name, "scan" | "randomkey" | "incrbyfloat");
            if is_pipelined && is_long || !has_walks && WALKS.contains(&name) {
                continue;
            }
            if matches!(name, "dbsize" | "randomkey") {
                // What has expired is counted by Redis until somebody has looked for it.
                steps.push(draw.look_at_all("exists"));
            }
            steps.push(draw.step(form));
            if SPOILERS.contains(&form) && draw.rng.below(4) > 0 {
                // What was a number is seen as it is now, and is one again, or counting would mostly fail.
                let key = steps.last().and_then(|step| step.commands[0].get(1).cloned()).unwrap_or_default();
                steps.push(Step::of(vec![b"getset".to_vec(), key, draw.integer()]));
            }
        }
        let end = steps.len() - draw.rng.below(5) as usize;
        // Whatever a command did to a key is seen by now.
        let tail = steps.split_off(end);
        steps.extend(keys(prefix).into_iter().map(|key| Step::of(vec![b"pexpiretime".to_vec(), key])));
        steps.push(draw.look_at_all("mget"));
        if has_walks {
            let form = *draw.pick(FLUSHES);
            steps.push(draw.step(form));
        }
        steps.extend(tail);
        if is_pipelined {
            steps.retain(|step| step.pause_ms == 0);
        } else if draw.rng.one_in(2) {
            steps.push(draw.step("quit"));
        }
        Program { seed, is_pipelined, prefix: prefix.to_owned(), steps }
    }

    /// All keys that it may name.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        keys(&self.prefix)
    }
}

fn keys(prefix: &str) -> Vec<Vec<u8>> {
    let names = ["t0", "t1", "t2", "n0", "n1", "f0", "s0", "s1"];
    names.iter().map(|name| format!("{prefix}{name}").into_bytes()).collect()
}

impl Draw<'_> {
    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.rng.below(among.len() as u64) as usize]
    }

    fn look_at_all(&self, name: &str) -> Step {
        let mut words = vec![name.as_bytes().to_vec()];
        words.extend(keys(self.prefix));
        Step::of(words)
    }

    fn step(&mut self, form: &str) -> Step {
        let mut words = Words::new();
        for word in form.split(' ') {
            self.fill(word, &mut words);
        }
        let mut step = Step::of(Words::new());
        // Redis 7.0 keeps the name of a HELLO that it refuses, Redis 7.2 does not.
        let may_bend =
            !form.starts_with("client reply") && !form.contains("setname {name}") && form != "quit";
        if may_bend && self.rng.one_in(40) {
            step.is_mistaken = true;
            self.bend(&mut words);
        } else if form.contains("{ms}") && self.rng.one_in(20) {
            // Expires for good, and soon.
            let at = form.split(' ').position(|word| word == "{ms}").expect("it is there");
            words[at] = b"1".to_vec();
            step.pause_ms = 3;
        }
        step.commands = vec![words];
        let then = match form {
            "client reply skip" => &["get {k}", "ping"][..],
            "client reply off" => &["set {k} {v}", "client reply on"],
            _ => &[],
        };
        for form in then {
            let mut words = Words::new();
            form.split(' ').for_each(|word| self.fill(word, &mut words));
            step.commands.push(words);
        }
        step
    }

    /// One mistake: a word too few or too many, or one that has no sense.
    fn bend(&mut self, words: &mut Words) {
        let at = 1 + self.rng.below(words.len() as u64) as usize;
        let junk = self.pick(&JUNK).to_vec();
        match self.rng.below(3) {
            0 => words.truncate(at.min(words.len() - 1).max(1)),
            1 => words.insert(at, junk),
            _ if at < words.len() => words[at] = junk,
            _ => words.push(junk),
        }
    }

    fn fill(&mut self, word: &str, words: &mut Words) {
        let filled = match word {
            "{k}" => self.key(&["t0", "t1", "t2"], 20),
            "{n}" => self.key(&["n0", "n1"], 60),
            "{f}" => self.key(&["f0"], 60),
            "{set}" => self.key(&["s0", "s1"], 60),
            "{e}" => self.rng.below(12).to_string().into_bytes(),
            "{v}" => self.value(),
            "{i}" => self.integer(),
            "{d}" => self.pick(&FRACTIONS).as_bytes().to_vec(),
            "{s}" | "{ms}" => self.time(word == "{ms}"),
            "{at}" | "{atms}" => self.moment(word == "{atms}"),
            "{o}" => self.rng.below(40).to_string().into_bytes(),
            "{b}" => self.rng.below(300).to_string().into_bytes(),
            "{01}" => self.rng.below(2).to_string().into_bytes(),
            "{p}" => self.place(),
            "{r}" => self.pick(&KEYSPACES).to_vec(),
            "{name}" => format!("name-{}", self.rng.below(4)).into_bytes(),
            "{pat}" => {
                self.pick(&["*", "*t*", "*n[0-1]", "*?1", "nothing*", "*[^0]", "*\\t2"]).as_bytes().to_vec()
            }
            "{config}" => self
                .pick(&[
                    "save",
                    "maxmemory",
                    "proto-max-bulk-len",
                    "databases",
                    "timeout",
                    "nothing",
                    "MAXMEMORY-policy",
                ])
                .as_bytes()
                .to_vec(),
            "{x}" => return self.set_options(words),
            "{g}" => return self.getex_options(words),
            "{c}" => return self.conditions(words),
            "{u}" => return self.scan_options(words),
            word => self.in_some_case(word),
        };
        words.push(filled);
    }

    fn in_some_case(&mut self, word: &str) -> Vec<u8> {
        // The name of a user is no option.
        let is_upper = word != "default" && self.rng.one_in(2);
        if is_upper { word.to_ascii_uppercase().into_bytes() } else { word.as_bytes().to_vec() }
    }

    /// Mostly one of these; once in so many draws any key.
    fn key(&mut self, names: &[&str], any_in: u64) -> Vec<u8> {
        if self.rng.one_in(any_in) {
            let keys = keys(self.prefix);
            return self.pick(&keys).clone();
        }
        let name = self.pick(names);
        format!("{}{name}", self.prefix).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(40) {
            0 => vec![b'x'; 5_000],
            1 => (0..=255).collect(),
            2..7 => self.rng.next_u64().to_le_bytes()[..self.rng.below(9) as usize].to_vec(),
            _ => self.pick(&VALUES).to_vec(),
        }
    }

    fn integer(&mut self) -> Vec<u8> {
        if self.rng.one_in(12) {
            return self.pick(&INTEGERS).as_bytes().to_vec();
        }
        (self.rng.below(2_000).cast_signed() - 1_000).to_string().into_bytes()
    }

    fn place(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => self.integer(),
            _ => (self.rng.below(60).cast_signed() - 30).to_string().into_bytes(),
        }
    }

    /// So far away, and so unlike all others, that milliseconds between the two servers decide nothing.
    fn time(&mut self, is_millis: bool) -> Vec<u8> {
        let seconds = 1_000 + self.rng.below(100_000_000);
        (if is_millis { seconds * 1_000 } else { seconds }).to_string().into_bytes()
    }

    fn moment(&mut self, is_millis: bool) -> Vec<u8> {
        let has_passed = self.rng.one_in(8);
        let seconds = if has_passed { 1 } else { 4_000_000_000 } + self.rng.below(1_000_000_000);
        (if is_millis { seconds * 1_000 } else { seconds }).to_string().into_bytes()
    }

    /// A time with its unit.
    fn timed(&mut self, words: &mut Words) {
        let (unit, time) = *self.pick(&[("ex", "{s}"), ("px", "{ms}"), ("exat", "{at}"), ("pxat", "{atms}")]);
        self.fill(unit, words);
        self.fill(time, words);
    }

    /// In any order, now and then twice, and seldom such as do not go together.
    fn set_options(&mut self, words: &mut Words) {
        let mut kinds = vec![*self.pick(&["nx", "xx", "", ""]), *self.pick(&["get", ""])];
        kinds.push(*self.pick(&["keepttl", "time", "time", "time", "time", ""]));
        if self.rng.one_in(25) {
            kinds.push(*self.pick(&["nx", "xx", "get", "keepttl", "time"]));
        }
        while !kinds.is_empty() {
            match kinds.swap_remove(self.rng.below(kinds.len() as u64) as usize) {
                "" => {}
                "time" => self.timed(words),
                word => self.fill(word, words),
            }
        }
    }

    fn getex_options(&mut self, words: &mut Words) {
        match self.rng.below(6) {
            0 => {}
            1 => self.fill("persist", words),
            _ => self.timed(words),
        }
        if self.rng.one_in(40) {
            self.fill("persist", words);
        }
    }

    fn conditions(&mut self, words: &mut Words) {
        if self.rng.one_in(8) {
            return;
        }
        let first = *self.pick(CONDITIONS);
        self.fill(first, words);
        match first {
            "xx" if self.rng.one_in(3) => {
                let also = *self.pick(&["gt", "lt", "xx"]);
                self.fill(also, words);
            }
            _ if self.rng.one_in(30) => {
                let also = *self.pick(CONDITIONS);
                self.fill(also, words);
            }
            _ => {}
        }
    }

    fn scan_options(&mut self, words: &mut Words) {
        let mut options = vec![("match", "{pat}"), ("count", ""), ("type", "")];
        while !options.is_empty() {
            let (word, value) = options.swap_remove(self.rng.below(options.len() as u64) as usize);
            if self.rng.one_in(2) {
                continue;
            }
            self.fill(word, words);
            match word {
                "count" => {
                    let count = *self.pick(&["1", "3", "10", "1000", "5000000000"]);
                    self.fill(count, words);
                }
                "type" => {
                    let kind = *self.pick(&["string", "string", "list", "hash"]);
                    self.fill(kind, words);
                }
                _ => self.fill(value, words),
            }
        }
    }
}
