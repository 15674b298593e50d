//! Clients that write one key of their own again and again, always through the same node: what is read
//! later must be the last acknowledged number, or one that was sent after it.
//!
//! Keys that are written once cannot show it when a node that lost its memory of a key issues a dot that
//! it has issued before: the newer write would pass for an older one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::client::{Client, error_word, values};

/// How far a key has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// The highest number that was acknowledged.
    acknowledged: u64,
    /// The highest number that was sent.
    sent: u64,
}

/// Clients at work.
pub struct Overwrites {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Progress>>,
}

impl Overwrites {
    /// Starts a client for each progress, from where it is. They take the nodes in turn.
    pub fn start(nodes: &[SocketAddr], from: &[Progress]) -> Overwrites {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let start = |(number, &from): (usize, &Progress)| {
            let client = Client::connect(nodes[number % nodes.len()]);
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            thread::spawn(move || work(client, &key(number), from, &stop, &acknowledged))
        };
        let clients = from.iter().enumerate().map(start).collect();
        Overwrites { stop, acknowledged, clients }
    }

    /// Waits until so many writes were acknowledged.
    ///
    /// # Panics
    /// All clients have ended before.
    pub fn await_acknowledged(&self, count: u64) {
        while self.acknowledged.load(Ordering::Relaxed) < count {
            assert!(!self.clients.iter().all(JoinHandle::is_finished), "all clients have ended");
            thread::yield_now();
        }
    }

    /// Tells the clients to end; they also end when their connections break.
    pub fn stop(self) -> Vec<Progress> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("no client hangs")).collect()
    }
}

fn work(
    mut client: Client,
    key: &str,
    from: Progress,
    stop: &AtomicBool,
    acknowledged: &AtomicU64,
) -> Progress {
    let mut progress = from;
    while !stop.load(Ordering::Relaxed) {
        let before = progress.acknowledged;
        if write(&mut client, key, &mut progress).is_err() {
            break;
        }
        acknowledged.fetch_add(u64::from(progress.acknowledged > before), Ordering::Relaxed);
    }
    progress
}

/// Writes the next number.
fn write(client: &mut Client, key: &str, progress: &mut Progress) -> io::Result<()> {
    progress.sent += 1;
    let answer = client.try_call(&["SET", key, &progress.sent.to_string()])?;
    if error_word(&answer).is_none() {
        progress.acknowledged = progress.sent;
    }
    Ok(())
}

/// Writes every key once more.
///
/// # Panics
/// The connection broke.
pub fn write_once(client: &mut Client, progress: &mut [Progress]) {
    for (number, progress) in progress.iter_mut().enumerate() {
        write(client, &key(number), progress).unwrap_or_else(|error| panic!("{}: {error}", key(number)));
    }
}

/// Reads every key through a node, from so many replicas.
///
/// # Panics
/// One is older than its last acknowledged write, or newer than anything sent.
pub fn check(client: &mut Client, progress: &[Progress], replicas: &str) {
    for (number, progress) in progress.iter().enumerate() {
        let answer = client.call(&["Q.GET", &key(number), "R", replicas, "VIEW", "latest"]);
        let found = values(&answer).first().map_or(0, |value| value.parse().expect("a number was written"));
        let is_right = (progress.acknowledged..=progress.sent).contains(&found);
        assert!(is_right, "{} holds {found}, which is outside of {progress:?}", key(number));
    }
}

fn key(number: usize) -> String {
    format!("overwritten:{number}")
}
