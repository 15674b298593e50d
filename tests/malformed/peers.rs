//! Members with bent messages, on streams that they have opened with the cluster's key. Each input is a
//! record of its own, followed by a fetch whose answer tells that the node was through with it.

use std::collections::HashSet;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use quorate::proto::message::{Envelope, Message, decode_frame, split_frame};
use quorate::proto::rng::Rng;
use quorate::proto::session::{Event, RECORD_HEADER, RECORD_MAX, Session};

use super::messages::{Facts, KINDS, Messages, Questions, must_be_found_again};
use super::mutate::{bend, boundary, noise, pick};
use super::node::{NODE, PATIENCE, ReadOnce, connect, read_once, write_all};
use super::plan::{Family, Job, Places, Queue, Run, Trouble, family};
use super::reach::{Fate, look_at};
use super::tally::Class;

/// Inputs written at once.
const INPUTS_MAX: usize = 16;
/// How long an answer waits for the question that it belongs to.
const QUESTION_WAIT: Duration = Duration::from_millis(20);
/// Where a frame says its kind, and that of a hello.
const KIND_AT: usize = 9;
const KIND_HELLO: u8 = 7;
/// Set in the request ids of sentinels.
const SENTINEL: u64 = 1 << 62;

/// A stream on which messages flow.
pub struct Link {
    stream: TcpStream,
    session: Session,
    inbox: Vec<u8>,
    own_boot: u64,
    facts: Facts,
    questions: Questions,
    /// Request ids that the node has answered.
    answered: HashSet<u64>,
    introduced: bool,
    sentinels: u64,
}

impl Link {
    /// Connects and proves to be `name`. `rng` gives the nonce and the boot.
    pub fn open(run: &Run, name: &str, rng: &mut Rng) -> io::Result<Link> {
        let mut out = Vec::new();
        let session = Session::connect(run.identity(name), NODE, nonce(rng), &mut out);
        let mut stream = connect(run.peer)?;
        write_all(&mut stream, &out)?;
        Link::prove(run, stream, session, rng.next_u64())
    }

    /// Goes through a handshake that has begun, and the introductions after it.
    pub fn prove(run: &Run, stream: TcpStream, session: Session, own_boot: u64) -> io::Result<Link> {
        let mut link = Link {
            stream,
            session,
            inbox: Vec::new(),
            own_boot,
            facts: run.facts.clone(),
            questions: Questions::default(),
            answered: HashSet::new(),
            introduced: false,
            sentinels: 0,
        };
        while !link.introduced {
            let read = link.pump(run)?;
            if !matches!(read, ReadOnce::Bytes(_)) {
                return Err(io::Error::other(format!("a good handshake ended in {read:?}")));
            }
        }
        let introduction = link.messages(run, 0).introduction(0);
        let mut out = Vec::new();
        link.session.seal(&introduction, &mut out);
        write_all(&mut link.stream, &out)?;
        Ok(link)
    }

    /// What the node says of itself, after the introductions.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    fn messages<'a>(&'a self, run: &'a Run, number: u64) -> Messages<'a> {
        Messages { facts: &self.facts, recent: &run.recent, own_boot: self.own_boot, number }
    }

    /// Reads once and takes what came.
    fn pump(&mut self, run: &Run) -> io::Result<ReadOnce> {
        let mut buffer = [0; 16 << 10];
        let read = read_once(&mut self.stream, &mut buffer)?;
        if let ReadOnce::Bytes(length) = read {
            self.inbox.extend_from_slice(&buffer[..length]);
        }
        let (inbox, mut taken, mut out) = (core::mem::take(&mut self.inbox), 0, Vec::new());
        loop {
            let (length, event) =
                self.session.handle_bytes(&inbox[taken..], &mut out).map_err(io::Error::other)?;
            let records = match event {
                Event::Starved => break,
                Event::Frames(records) => records,
                Event::Progress | Event::Established { .. } => b"",
            };
            taken += length;
            self.take_frames(run, records)?;
        }
        self.inbox = inbox[taken..].to_vec();
        write_all(&mut self.stream, &out)?;
        Ok(read)
    }

    fn take_frames(&mut self, run: &Run, mut frames: &[u8]) -> io::Result<()> {
        while !frames.is_empty() {
            let (frame, rest) = split_frame(frames).map_err(io::Error::other)?;
            let (Envelope { request_id, layout_version, .. }, message) =
                decode_frame(frame).map_err(io::Error::other)?;
            frames = rest;
            match message {
                Message::Fetched(_) | Message::Acknowledge(_) | Message::Scanned(_) => {
                    self.answered.insert(request_id);
                }
                Message::Forwarded { number, .. } => {
                    self.answered.insert(number);
                }
                Message::Hello(hello) => {
                    self.introduced = true;
                    self.facts.layout_version = layout_version;
                    self.facts.layout_hash = hello.layout_hash;
                    self.facts.generation = hello.generation;
                    self.facts.boot = hello.boot;
                    self.facts.opens = hello.opens;
                }
                Message::Replicate { key, object, .. } => {
                    run.recent.note(key, object);
                    Questions::note(&mut self.questions.replicates, (request_id, 0));
                }
                Message::Fetch { key, .. } if !must_be_found_again(key) => {
                    Questions::note(&mut self.questions.fetches, (request_id, 0));
                }
                Message::Probe { .. } | Message::Probed { .. } => {}
                Message::Scan(scan) => Questions::note(&mut self.questions.scans, (request_id, scan.from)),
                Message::Forward(forward) => {
                    Questions::note(&mut self.questions.forwards, (request_id, forward.number));
                }
                // What the node says of the cluster asks for nothing that is waited for here.
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends records, each with a sentinel behind it, and waits for the sentinels' answers. Returns how
    /// many were answered: all, unless the node has ended the stream.
    pub fn send(&mut self, run: &Run, inputs: &[Vec<u8>]) -> io::Result<usize> {
        let mut out = Vec::new();
        let first = (SENTINEL | self.sentinels) + 1;
        for frames in inputs {
            self.session.seal(frames, &mut out);
            self.sentinels += 1;
            let mut behind = Vec::new();
            if says_hello(frames) {
                // A node that was told of another layout hears nothing but introductions.
                behind = self.messages(run, 0).introduction(self.sentinels);
            }
            behind.extend(self.messages(run, 0).sentinel(&run.sentinel_key, SENTINEL | self.sentinels));
            self.session.seal(&behind, &mut out);
        }
        write_all(&mut self.stream, &out)?;
        let mut through = 0;
        while through < inputs.len() {
            if self.answered.remove(&(first + through as u64)) {
                through += 1;
            } else if !matches!(self.pump(run)?, ReadOnce::Bytes(_)) {
                break;
            }
        }
        Ok(through)
    }

    /// Reads until the node has asked something, for a short while.
    fn wait_for_question(&mut self, run: &Run) -> io::Result<()> {
        self.stream.set_read_timeout(Some(QUESTION_WAIT))?;
        while self.questions.is_empty() {
            match self.pump(run) {
                Ok(ReadOnce::Bytes(_)) => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(error),
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE))
    }

    /// Announces a record of the largest size there is, and sends none of it.
    pub fn announce(&mut self) -> io::Result<()> {
        let mut header = [0; RECORD_HEADER];
        header[..4].copy_from_slice(&(RECORD_MAX as u32).to_le_bytes());
        write_all(&mut self.stream, &header)
    }

    /// Sends bytes that are no good record, and waits until the node hangs up. `half`: it has reason to
    /// wait for more, so it is told that nothing comes.
    pub fn end_with(mut self, run: &Run, bytes: &[u8], half: bool) -> io::Result<()> {
        write_all(&mut self.stream, bytes)?;
        if half {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        while let ReadOnce::Bytes(_) = self.pump(run)? {}
        Ok(())
    }
}

/// Whether one of these frames is an introduction.
fn says_hello(mut frames: &[u8]) -> bool {
    while let Ok((frame, rest)) = split_frame(frames) {
        if frame[KIND_AT] == KIND_HELLO {
            return true;
        }
        frames = rest;
    }
    false
}

/// Random bytes of one handshake.
pub fn nonce(rng: &mut Rng) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&noise(rng, 16));
    nonce
}

/// Sends what is in the queue, as one member. The stream stays open for the next round if it can.
pub fn send_frames(
    run: &Run,
    places: &Places,
    name: &str,
    kept: &mut Option<Link>,
    queue: &Queue,
) -> Result<(), Trouble> {
    loop {
        let jobs = queue.take(INPUTS_MAX, |family| {
            matches!(family, Family::Record | Family::RecordCut(_) | Family::Answer)
        });
        if jobs.is_empty() {
            return Ok(());
        }
        let result = Lane { run, places, name, queue }.send_jobs(kept, &jobs);
        result.map_err(|error| Trouble::new(&jobs, error))?;
    }
}

struct Lane<'a> {
    run: &'a Run,
    places: &'a Places,
    name: &'a str,
    queue: &'a Queue,
}

impl Lane<'_> {
    fn open(&self, number: u64) -> io::Result<Link> {
        let mut rng = Rng::new(self.run.seed ^ number ^ 0x6f70_656e);
        Link::open(self.run, self.name, &mut rng)
    }

    /// Sends jobs in company up to the first that is bound to end the stream; the rest goes back.
    fn send_jobs(&self, kept: &mut Option<Link>, jobs: &[Job]) -> io::Result<()> {
        let mut link = match kept.take() {
            Some(link) => link,
            None => self.open(jobs[0].number)?,
        };
        let (mut company, mut inputs, mut fates) = (Vec::new(), Vec::new(), Vec::new());
        let mut jobs = jobs.iter().copied();
        let mut last = None;
        for job in jobs.by_ref() {
            if matches!(family(job.number), Family::Record | Family::RecordCut(_)) {
                last = Some((job, Vec::new(), Fate::default()));
                break;
            }
            if family(job.number) == Family::Answer {
                link.wait_for_question(self.run)?;
            }
            let (frames, matched) = self.frames(&mut link, job);
            let mut fate = look_at(&frames, &self.run.facts.keys);
            fate.matched = matched;
            if fate.refused {
                last = Some((job, frames, fate));
                break;
            }
            company.push(job);
            inputs.push(frames);
            fates.push(fate);
        }
        let rest: Vec<Job> = jobs.collect();
        let through = link.send(self.run, &inputs)?;
        for at in 0..through {
            self.count(&mut link, company[at], &fates[at], true);
        }
        if through < company.len() {
            // The node has hung up on one of these. Alone it is known which.
            if company.len() == 1 {
                self.count(&mut link, company[0], &fates[0], false);
            } else {
                let unknown = company[through..].iter();
                unknown.for_each(|job| self.queue.push(Job { alone: true, ..*job }));
            }
            last.iter().for_each(|(job, ..)| self.queue.push(*job));
            rest.into_iter().for_each(|job| self.queue.push(job));
            return Ok(());
        }
        rest.into_iter().for_each(|job| self.queue.push(job));
        match last {
            None => *kept = Some(link),
            Some((job, _, _)) if matches!(family(job.number), Family::Record | Family::RecordCut(_)) => {
                self.end_with_record(link, job)?;
            }
            Some((job, frames, fate)) => {
                let through = link.send(self.run, &[frames])?;
                self.count(&mut link, job, &fate, through == 1);
                if through == 1 {
                    *kept = Some(link);
                }
            }
        }
        Ok(())
    }

    /// The frames of an input, and whether they answer a question of the node.
    fn frames(&self, link: &mut Link, job: Job) -> (Vec<u8>, bool) {
        let mut rng = self.run.rng(job.number);
        let mut questions = core::mem::take(&mut link.questions);
        let messages = link.messages(self.run, job.number);
        let frames = match family(job.number) {
            Family::FrameCut(cut) => {
                let (which, length) = self.places.frames[cut % self.places.frames.len()];
                (messages.cut(which % KINDS.len(), length, &mut self.run.frame_rng(which)), false)
            }
            Family::Unsealed => {
                let (mut frame, _) =
                    messages.good(pick(&mut rng, KINDS.len()), &mut rng, &mut Questions::default());
                bend(&mut rng, &mut frame, b"\x01");
                frame.push(0);
                (frame, false)
            }
            Family::Answer => {
                let bent = messages.answer(&mut rng, &mut questions);
                (bent.frames, bent.matched)
            }
            _ => {
                let bent = messages.bent(&mut rng, &mut questions);
                (bent.frames, bent.matched)
            }
        };
        link.questions = questions;
        frames
    }

    fn count(&self, link: &mut Link, job: Job, fate: &Fate, through: bool) {
        let answered = link.answered.remove(&job.number);
        let class = match (through, answered) {
            (false, _) => Class::FrameRefused,
            (true, true) => Class::FrameAnswered,
            (true, false) => Class::FrameTaken,
        };
        self.run.tally(|tally| {
            tally.input(class);
            tally.sealed += u64::from(family(job.number) != Family::Unsealed);
            fate.reached.iter().for_each(|(decoder, how)| tally.reach(decoder, how));
            if fate.matched {
                fate.answers.iter().for_each(|decoder| tally.reach(decoder, "awaited by the node"));
            }
        });
    }

    /// Ends a stream with a bent or cut record.
    fn end_with_record(&self, mut link: Link, job: Job) -> io::Result<()> {
        let mut rng = self.run.rng(job.number);
        let frames = link.messages(self.run, job.number).introduction(0);
        let mut record = Vec::new();
        link.session.seal(&frames, &mut record);
        let half = match family(job.number) {
            Family::RecordCut(cut) => {
                record.truncate(cut % self.places.records);
                true
            }
            _ => {
                let good = record.clone();
                bend_record(&mut rng, &mut record);
                is_half(record.strip_prefix(good.as_slice()).unwrap_or(&record))
            }
        };
        link.end_with(self.run, &record, half)?;
        let class = if half { Class::RecordHalf } else { Class::FrameRefused };
        self.run.tally(|tally| tally.input(class));
        Ok(())
    }
}

/// Whether the node waits for more of a record that begins so.
fn is_half(record: &[u8]) -> bool {
    let length = record.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    record.len() < RECORD_HEADER || length <= RECORD_MAX && record.len() < RECORD_HEADER + length
}

/// Bends a record so that its MAC does not hold any more.
fn bend_record(rng: &mut Rng, record: &mut Vec<u8>) {
    let good = record.clone();
    match rng.below(4) {
        0 => {
            let length = boundary(rng) as u32;
            record[..4].copy_from_slice(&length.to_le_bytes());
        }
        // Twice the same: the first is good, the second is not the one that was due.
        1 => record.extend_from_slice(&good),
        2 => record[4..20].reverse(),
        _ => bend(rng, record, &good),
    }
    if *record == good {
        record[RECORD_HEADER] ^= 1;
    }
}
