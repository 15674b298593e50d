//! Which input has which number. An input is a function of the seed and its number (and of what the node
//! said of itself), so a run can be taken up again at any thousand.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quorate::proto::message::{HEADER, LEVEL};
use quorate::proto::rng::Rng;
use quorate::proto::session::{Identity, Session};

use super::commands::{Commands, encoded};
use super::messages::{Facts, KINDS, Messages, Questions, Recent};
use super::node::NODE;
use super::tally::Tally;

/// Inputs after which the node is asked whether it still lives.
pub const ROUND: u64 = 1_000;
/// The first inputs: among them are commands that empty keyspaces. What must be found again in the end is
/// written after them.
pub const FLUSHES: u64 = 2 * ROUND;

/// What kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A bent command.
    Command,
    /// A good command cut short.
    CommandCut(usize),
    /// A bent frame under right checksums.
    Frame,
    /// A bent answer to a question of the node, under right checksums.
    Answer,
    /// A good frame with its body cut short, under right checksums.
    FrameCut(usize),
    /// A bent frame with its old checksum, in a good record.
    Unsealed,
    /// A bent record.
    Record,
    /// A good record cut short.
    RecordCut(usize),
    /// A bent handshake.
    Handshake,
    /// A good handshake cut short.
    HandshakeCut(usize),
    /// Bent bytes on a connection that the node made.
    Dialled,
    /// A command whose announced bytes do not come until the node's memory was looked at.
    Held,
}

/// How many of a round's inputs are of which family. Cuts are numbered through the whole run, so that
/// they go through every place in turn.
pub fn family(number: u64) -> Family {
    let (round, mut at) = (number / ROUND, number % ROUND);
    let mut within = |count: u64| {
        let index = round * count + at;
        if at < count {
            return Some(index as usize);
        }
        at -= count;
        None
    };
    if let Some(cut) = within(235) {
        Family::CommandCut(cut)
    } else if let Some(cut) = within(80) {
        Family::FrameCut(cut)
    } else if let Some(cut) = within(10) {
        Family::RecordCut(cut)
    } else if let Some(cut) = within(10) {
        Family::HandshakeCut(cut)
    } else if within(250).is_some() {
        Family::Frame
    } else if within(80).is_some() {
        Family::Answer
    } else if within(20).is_some() {
        Family::Unsealed
    } else if within(20).is_some() {
        Family::Record
    } else if within(30).is_some() {
        Family::Handshake
    } else if within(2).is_some() {
        Family::Dialled
    } else if within(8).is_some() {
        Family::Held
    } else {
        Family::Command
    }
}

/// One input to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub number: u64,
    /// It is sent alone: in company it could not be told which input ended the stream.
    pub alone: bool,
}

/// What went wrong, and which inputs were on their way.
#[derive(Debug)]
pub struct Trouble {
    pub inputs: Vec<u64>,
    pub what: String,
}

impl Trouble {
    pub fn new(jobs: &[Job], what: impl ToString) -> Trouble {
        Trouble { inputs: jobs.iter().map(|job| job.number).collect(), what: what.to_string() }
    }
}

/// The jobs of one lane in one round.
#[derive(Debug, Default)]
pub struct Queue(Mutex<VecDeque<Job>>);

impl Queue {
    pub fn push(&self, job: Job) {
        self.0.lock().expect("no lane panicked").push_back(job);
    }

    /// Takes up to `count` jobs, the last of them one that `is_last` names or that goes alone.
    pub fn take(&self, count: usize, is_last: impl Fn(Family) -> bool) -> Vec<Job> {
        let mut jobs = self.0.lock().expect("no lane panicked");
        let mut taken: Vec<Job> = Vec::new();
        while let Some(&job) = jobs.front() {
            if taken.len() == count || job.alone && !taken.is_empty() {
                break;
            }
            jobs.pop_front();
            taken.push(job);
            if job.alone || is_last(family(job.number)) {
                break;
            }
        }
        taken
    }
}

/// What all lanes share.
pub struct Run {
    pub seed: u64,
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub members: Vec<String>,
    /// Names of all commands that the node knows.
    pub commands: HashSet<String>,
    /// A key that the node holds, and that no input names.
    pub sentinel_key: Vec<u8>,
    /// What the node said of itself at first.
    pub facts: Facts,
    pub recent: Recent,
    pub tally: Mutex<Tally>,
}

impl Run {
    /// The generator of one input.
    pub fn rng(&self, number: u64) -> Rng {
        let mut mixer = Rng::new(self.seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Rng::new(mixer.next_u64())
    }

    pub fn tally<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        change(&mut self.tally.lock().expect("no lane panicked"))
    }

    /// Who a member is.
    pub fn identity(&self, name: &str) -> Arc<Identity> {
        Arc::new(Identity {
            keys: self.facts.keys.clone(),
            name: name.to_owned(),
            level: LEVEL,
            members: Some(self.members.clone()),
        })
    }
}

/// All places at which good inputs are cut: (which input, after how many bytes).
pub struct Places {
    pub commands: Vec<(usize, usize)>,
    pub frames: Vec<(usize, usize)>,
    pub records: usize,
    pub hellos: usize,
    pub proofs: usize,
}

/// Good frames of each kind that are cut.
pub const FRAMES_OF_KIND: usize = 2;

impl Places {
    pub fn new(run: &Run) -> Places {
        let mut places =
            Places { commands: Vec::new(), frames: Vec::new(), records: 0, hellos: 0, proofs: 0 };
        for form in 0..Commands::forms() {
            let length = run.good_command(form).len();
            places.commands.extend((0..length).map(|length| (form, length)));
        }
        let messages = Messages { facts: &run.facts, recent: &Recent::default(), own_boot: 1, number: 1 };
        for which in 0..KINDS.len() * FRAMES_OF_KIND {
            let (frame, _) =
                messages.good(which % KINDS.len(), &mut run.frame_rng(which), &mut Questions::default());
            places.frames.extend((0..frame.len() - HEADER).map(|length| (which, length)));
        }
        let mut hello = Vec::new();
        Session::connect(run.identity(super::node::HANDSHAKE_MEMBER), NODE, [0; 16], &mut hello);
        places.hellos = hello.len();
        // A handshake message's prelude and a MAC.
        places.proofs = 10 + 16;
        places.records = 20 + messages.introduction(0).len();
        places
    }
}

impl Run {
    /// A good command of a form, the same throughout the run.
    pub fn good_command(&self, form: usize) -> Vec<u8> {
        let commands = Commands { facts: &self.facts, recent: &Recent::default(), number: 0, flushes: false };
        encoded(&commands.form(form, &mut self.rng(u64::MAX - form as u64)))
    }

    /// The generator of a good frame that is cut, the same throughout the run.
    pub fn frame_rng(&self, which: usize) -> Rng {
        self.rng(u64::MAX / 2 - which as u64)
    }
}
