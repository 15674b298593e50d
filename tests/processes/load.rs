//! Load: clients that write keys of their own and remember what each write was answered.
//!
//! Every key is written once, so what a key holds later tells which answers were true: *ok* means that it
//! is there, `NOREPLICAS` that it is not, anything else may be either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, error_word, words_of};

/// What a write was answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Acknowledged.
    Ok,
    /// An error, by its first word.
    Error(String),
    /// The connection broke first.
    None,
}

/// What every key was answered, all clients together.
pub type Answers = BTreeMap<String, Answer>;

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Answers>>,
}

/// What the clients of a load do.
#[derive(Clone, Copy)]
pub struct Plan {
    /// How many there are; they take the addresses in turn.
    pub clients: usize,
    /// Commands sent at once.
    pub pipeline: usize,
    /// Options of `Q.PUT`; without any, plain `SET` is used.
    pub options: &'static [&'static str],
}

impl Load {
    /// Starts the clients. Keys begin with `prefix`. A client ends when told to, or when its connection
    /// breaks.
    pub fn start(prefix: &str, nodes: &[SocketAddr], plan: Plan) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let start = |number: usize| {
            let client = Client::connect(nodes[number % nodes.len()]);
            let prefix = format!("{prefix}:{number}");
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            thread::spawn(move || work(client, &prefix, plan, &stop, &acknowledged))
        };
        let clients = (0..plan.clients).map(start).collect();
        Load { stop, acknowledged, clients }
    }

    /// Waits until so many more writes were acknowledged, all clients together.
    ///
    /// # Panics
    /// All clients have ended before.
    pub fn await_acknowledged(&self, more: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        while self.acknowledged.load(Ordering::Relaxed) < goal {
            assert!(!self.clients.iter().all(JoinHandle::is_finished), "all clients have ended");
            thread::yield_now();
        }
    }

    /// Tells the clients to end and collects what they know.
    ///
    /// # Panics
    /// A client did: an answer did not come, or a read was not what it must be.
    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("no client hangs or fails")).collect()
    }
}

/// A client. Reads back each batch that was acknowledged whole, so that reads are part of the load.
fn work(
    mut client: Client,
    prefix: &str,
    plan: Plan,
    stop: &AtomicBool,
    acknowledged: &AtomicU64,
) -> Answers {
    let mut answers = Answers::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let keys: Vec<String> =
            (number..number + plan.pipeline).map(|number| format!("{prefix}:{number}")).collect();
        number += plan.pipeline;
        let puts: Vec<_> = keys.iter().map(|key| put(key, plan.options)).collect();
        let Ok(replies) = client.pipeline(&puts) else {
            answers.extend(keys.into_iter().map(|key| (key, Answer::None)));
            break;
        };
        let mut written = 0;
        for (key, reply) in keys.iter().zip(&replies) {
            let answer = match error_word(reply) {
                Some(word) => Answer::Error(word.to_owned()),
                None => Answer::Ok,
            };
            written += u64::from(answer == Answer::Ok);
            answers.insert(key.clone(), answer);
        }
        acknowledged.fetch_add(written, Ordering::Relaxed);
        if written == plan.pipeline as u64 {
            let gets: Vec<_> = keys.iter().map(|key| words_of(&["GET", key])).collect();
            let Ok(replies) = client.pipeline(&gets) else { break };
            for (key, reply) in keys.iter().zip(replies) {
                check_read(key, &reply);
                if let Some(word) = error_word(&reply) {
                    answers.insert(format!("GET {key}"), Answer::Error(word.to_owned()));
                }
            }
        }
    }
    answers
}

/// A write of a key. The value is the key, so a value under a wrong key is seen.
fn put(key: &str, options: &[&str]) -> Vec<Vec<u8>> {
    match options {
        [] => words_of(&["SET", key, key]),
        options => words_of(&[&["Q.PUT", key, key], options].concat()),
    }
}

/// A read of a key that was acknowledged may fail, but may not find anything else.
fn check_read(key: &str, reply: &Value) {
    let is_right = matches!(reply, Value::Bulk(value) if value == key.as_bytes());
    assert!(is_right || error_word(reply).is_some(), "{key} was acknowledged and is read as {reply:?}");
}

/// How often each answer was given.
pub fn counts(answers: &Answers) -> BTreeMap<Answer, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers.values() {
        *counts.entry(answer.clone()).or_default() += 1;
    }
    counts
}

/// Reads every key that was written, and compares with its answer.
///
/// # Panics
/// Something acknowledged is gone, or something refused before its start is there.
pub fn check_all(client: &mut Client, answers: &Answers, get: &[&str]) {
    let keys: Vec<&String> = answers.keys().filter(|key| !key.starts_with("GET ")).collect();
    let mut lost = Vec::new();
    for keys in keys.chunks(64) {
        let gets: Vec<_> =
            keys.iter().map(|key| words_of(&[&[get[0], key.as_str()], &get[1..]].concat())).collect();
        let replies = read_back(client, &gets);
        for (key, reply) in keys.iter().zip(replies) {
            let found = match &reply {
                Value::Null => false,
                Value::Bulk(value) if value == key.as_bytes() => true,
                Value::Array(_) => crate::client::values(&reply) == [key.as_str()],
                other => panic!("{key} is read as {other:?}"),
            };
            match &answers[*key] {
                Answer::Ok if !found => lost.push(key.as_str()),
                Answer::Error(word) if word == "NOREPLICAS" => {
                    assert!(!found, "{key} was refused and is there")
                }
                _ => {}
            }
        }
    }
    let (first, count) = (lost.first(), lost.len());
    assert!(lost.is_empty(), "{count} acknowledged writes are lost, the first is {first:?}");
}

/// What is read, with patience for a cluster that still finds itself again.
fn read_back(client: &mut Client, gets: &[Vec<Vec<u8>>]) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let replies = client.pipeline(gets).unwrap_or_else(|error| panic!("reading back: {error}"));
        let has_failed = replies.iter().any(|reply| matches!(reply, Value::Error(_)));
        if !has_failed || Instant::now() > deadline {
            return replies;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// All of these must have been answered *ok*.
///
/// # Panics
/// One was not.
pub fn assert_no_failures(answers: &Answers) {
    let counts = counts(answers);
    assert!(counts.keys().all(|answer| *answer == Answer::Ok), "{counts:?}");
}

/// Clients that know two addresses each, while nodes are stopped and started one after another.
pub struct Rolling {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Answers>>,
}

impl Rolling {
    /// Starts two clients for each node, which begins there and knows the next one, too.
    pub fn start(nodes: &[SocketAddr]) -> Rolling {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |number: usize| {
            let known = [nodes[number % nodes.len()], nodes[(number + 1) % nodes.len()]];
            let stop = stop.clone();
            thread::spawn(move || work_with_two(known, &format!("rolling:{number}"), &stop))
        };
        let clients = (0..2 * nodes.len()).map(start).collect();
        Rolling { stop, clients }
    }

    /// Tells the clients to end and collects what they know.
    ///
    /// # Panics
    /// A client did.
    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("no client fails")).collect()
    }
}

/// A client that knows two addresses: where one does not answer it goes to the other, as an application would.
/// Every write of its is the same however often it is sent.
fn work_with_two(nodes: [SocketAddr; 2], prefix: &str, stop: &AtomicBool) -> Answers {
    let mut answers = Answers::new();
    let mut turn = 0;
    let mut client = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{prefix}:{number}");
        number += 1;
        let answer = (0..40).find_map(|attempt| {
            if attempt > 0 {
                thread::sleep(Duration::from_millis(5));
            }
            let Some(open) = client.as_mut() else {
                turn += 1;
                client = Client::open(nodes[turn % 2]).ok();
                return None;
            };
            match Client::try_call(open, &["SET", &key, &key]) {
                Ok(reply) => {
                    Some(error_word(&reply).map_or(Answer::Ok, |word| Answer::Error(word.to_owned())))
                }
                Err(_) => {
                    client = None;
                    None
                }
            }
        });
        answers.insert(key, answer.unwrap_or(Answer::None));
    }
    answers
}
