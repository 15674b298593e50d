//! Runs a program at both servers and compares what comes back, byte for byte, but for what no two servers can
//! answer alike:
//!
//! ```text
//!  TTL PTTL EXPIRETIME PEXPIRETIME TIME   may be two seconds apart: the clock goes on between the servers
//!  KEYS, CONFIG GET                       in any order
//!  SCAN                                   is run to its end at each, and all of its keys compared in any order;
//!                                         of one that begins in the middle, that it is answered
//!  RANDOMKEY                              any key that is there
//! ```
//!
//! Every other difference must be in `allowed.txt`.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::allowed::Allowed;
use crate::connection::{Connection, Words, bulk, elements, integer};
use crate::program::{KEYSPACES, Program, Step};
use crate::tally::Tally;

/// How far apart two times may be, in seconds.
const APART_MAX: i64 = 2;

/// The two servers, and what was seen of them.
pub struct Pair {
    pub redis: SocketAddr,
    pub ours: SocketAddr,
    pub allowed: Allowed,
    pub tally: Tally,
}

/// Replies that should be equal.
#[derive(Debug)]
pub struct Difference {
    /// Which step of the program.
    pub step: usize,
    pub redis: Vec<u8>,
    pub ours: Vec<u8>,
}

/// A connection to each server.
struct Both {
    redis: Connection,
    ours: Connection,
}

impl Both {
    fn ask(&mut self, words: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        (self.redis.ask(words), self.ours.ask(words))
    }

    fn send(&mut self, commands: &[Words], replies: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.redis.send(commands, replies).into_iter().zip(self.ours.send(commands, replies)).collect()
    }
}

impl Pair {
    /// Runs a program; what of it is counted, if it shall be.
    pub fn run(&mut self, program: &Program, counts: bool) -> Option<Difference> {
        let open = |address| Connection::open(address).expect("the server is there");
        let mut both = Both { redis: open(self.redis), ours: open(self.ours) };
        if program.prefix.is_empty() {
            for keyspace in KEYSPACES.iter().rev() {
                both.ask(&[b"select", keyspace]);
                both.ask(&[b"flushdb"]);
            }
        } else {
            let keys = program.keys();
            both.ask(&[&[&b"del"[..]], &keys.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]].concat());
        }
        if program.is_pipelined {
            let commands: Vec<Words> = program.steps.iter().flat_map(|step| step.commands.clone()).collect();
            let replies = program.steps.iter().map(|step| step.replies).sum();
            let mut pairs = both.send(&commands, replies).into_iter();
            return program.steps.iter().enumerate().find_map(|(at, step)| {
                let pair = pairs.by_ref().take(step.replies).last().expect("a step has a reply");
                self.judge(at, step, pair, counts)
            });
        }
        program.steps.iter().enumerate().find_map(|(at, step)| self.step(at, step, &mut both, counts))
    }

    fn step(&mut self, at: usize, step: &Step, both: &mut Both, counts: bool) -> Option<Difference> {
        let words = &step.commands[0];
        let name = words[0].to_ascii_lowercase();
        let pair = match &name[..] {
            b"scan" => (scan(&mut both.redis, words), scan(&mut both.ours, words)),
            b"randomkey" if words.len() == 1 => random_keys(both),
            _ => both.send(&step.commands, step.replies).pop().expect("a step has a reply"),
        };
        let differ = pair.0 != pair.1;
        let sum = bulk(&pair.0).map(<[u8]>::to_vec);
        let difference = self.judge(at, step, pair, counts);
        if difference.is_none()
            && differ
            && name == b"incrbyfloat"
            && let Some(sum) = sum
        {
            // From here on both shall have the same.
            both.ours.ask(&[b"set", &words[1], &sum, b"keepttl"]);
        }
        if name == b"quit" && difference.is_none() {
            assert!(both.redis.is_closed() && both.ours.is_closed(), "QUIT ends a connection");
        }
        thread::sleep(Duration::from_millis(step.pause_ms));
        difference
    }

    fn judge(
        &mut self,
        at: usize,
        step: &Step,
        (redis, ours): (Vec<u8>, Vec<u8>),
        counts: bool,
    ) -> Option<Difference> {
        if counts {
            step.commands.iter().for_each(|words| self.tally.count(words, step.is_mistaken, &redis));
        }
        let words = &step.commands[0];
        let is_equal =
            redis == ours || is_alike(words, &redis, &ours) || self.allowed.permits(words, &redis, &ours);
        (!is_equal).then_some(Difference { step: at, redis, ours })
    }

    /// The program without steps that the difference does not need.
    pub fn shrink(&mut self, program: &Program, difference: Difference) -> (Program, Difference) {
        let mut found = (program.clone(), difference);
        found.0.steps.truncate(found.1.step + 1);
        let mut at = found.0.steps.len();
        while at > 0 {
            at -= 1;
            let mut fewer = found.0.clone();
            fewer.steps.remove(at);
            if let Some(difference) = self.run(&fewer, false) {
                fewer.steps.truncate(difference.step + 1);
                at = at.min(fewer.steps.len());
                found = (fewer, difference);
            }
        }
        found
    }
}

/// Whether replies mean the same, where they cannot be equal.
fn is_alike(words: &[Vec<u8>], redis: &[u8], ours: &[u8]) -> bool {
    let near = |per_second: i64| match (integer(redis), integer(ours)) {
        (Some(redis), Some(ours)) => {
            redis >= 0 && ours >= 0 && (redis - ours).abs() <= APART_MAX * per_second
        }
        _ => false,
    };
    match &words[0].to_ascii_lowercase()[..] {
        // Another cursor than the first is a place in one server alone.
        b"scan" => words[1] != b"0" && redis[0] == b'*' && ours[0] == b'*',
        b"ttl" | b"expiretime" => near(1),
        b"pttl" | b"pexpiretime" => near(1_000),
        b"time" => {
            let seconds = |reply| -> Option<i64> {
                let [seconds, micros] = elements(reply)[..] else { return None };
                bulk(micros)?;
                std::str::from_utf8(bulk(seconds)?).ok()?.parse().ok()
            };
            matches!((seconds(redis), seconds(ours)), (Some(redis), Some(ours)) if (redis - ours).abs() <= APART_MAX)
        }
        name @ (b"keys" | b"config" | b"smembers") => {
            let size = if name == b"config" { 2 } else { 1 };
            let sorted = |reply| {
                let mut items: Vec<Vec<u8>> = elements(reply).chunks(size).map(<[&[u8]]>::concat).collect();
                items.sort();
                items
            };
            redis[0] == ours[0] && matches!(redis[0], b'*' | b'%' | b'~') && sorted(redis) == sorted(ours)
        }
        _ => false,
    }
}

/// All keys of a scan from its beginning to its end, as one array; or the first reply that is none.
fn scan(connection: &mut Connection, words: &[Vec<u8>]) -> Vec<u8> {
    let mut words = words.to_vec();
    let mut keys: Vec<Vec<u8>> = Vec::new();
    loop {
        let reply = connection.send(&[words.clone()], 1).remove(0);
        let [cursor, page] = elements(&reply)[..] else { return reply };
        keys.extend(elements(page).into_iter().map(<[u8]>::to_vec));
        let cursor = bulk(cursor).expect("a cursor is a byte string").to_vec();
        if cursor == b"0" {
            break;
        }
        words[1] = cursor;
    }
    keys.sort();
    // Redis may tell one twice.
    keys.dedup();
    [format!("*{}\r\n", keys.len()).into_bytes(), keys.concat()].concat()
}

/// Whether each has a key to tell, and ours is one that is there.
fn random_keys(both: &mut Both) -> (Vec<u8>, Vec<u8>) {
    let (redis, ours) = both.ask(&[b"randomkey"]);
    match bulk(&ours) {
        Some(key) if bulk(&redis).is_some() && both.redis.ask(&[b"exists", key]) == b":1\r\n" => {
            (redis.clone(), redis)
        }
        _ => (redis, ours),
    }
}
