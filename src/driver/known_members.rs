//! The last known members, kept in the data directory as `known-members` for the next start. (`members`, beside
//! it, is the store's: what a node remembers of the directories that it met.)
//!
//! Writing ends with syncs, for which no loop can wait. So each version is written by a thread of its own, one at
//! a time, or by the host where that does the disk work; what is to be kept meanwhile waits, and only the newest of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, JoinHandle};

use super::handle::LoopWaker;
use super::host_disk::Errands;
use super::log::{Level, Logger};
use super::queue::Wake as _;
use super::{sys, whole_file};
use crate::proto::gossip::member::Known;
use crate::proto::gossip::snapshot;

/// Name of the file.
const FILE_NAME: &str = "known-members";

/// The members that were kept last; none if there is no file, or it does not hold: then seeds must do.
pub(super) fn read(directory: &Path, log: &Logger) -> Vec<Known> {
    let read = match fs::read(directory.join(FILE_NAME)) {
        Ok(bytes) => snapshot::decode(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|problem| {
        let what = format_args!("{FILE_NAME} cannot be used: {problem}; beginning with the seeds alone");
        log.log(Level::Warn, "gossip", what);
        Vec::new()
    })
}

/// Who keeps them.
pub(super) struct Keeper {
    directory: PathBuf,
    waker: LoopWaker,
    /// Where a host carries out what a thread of ours would.
    errands: Option<Errands>,
    writing: Option<Writing>,
    /// To be written when that is done.
    next: Option<Vec<u8>>,
}

struct Writing {
    thread: Option<JoinHandle<()>>,
    result: mpsc::Receiver<io::Result<()>>,
}

impl Keeper {
    pub(super) fn new(directory: PathBuf, waker: LoopWaker, errands: Option<Errands>) -> Keeper {
        Keeper { directory, waker, errands, writing: None, next: None }
    }

    /// Keeps these bytes, soon.
    pub(super) fn keep(&mut self, bytes: Vec<u8>, log: &Logger) {
        if self.writing.is_some() {
            self.next = Some(bytes);
            return;
        }
        let (sender, result) = mpsc::channel();
        let (directory, waker) = (self.directory.clone(), self.waker.clone());
        let write = move || {
            let written = whole_file::replace(&directory, FILE_NAME, &bytes);
            // Nobody listens if the loop is gone.
            let _ = sender.send(written);
            waker.wake();
        };
        if let Some(errands) = &self.errands {
            errands.add(Box::new(write));
            self.writing = Some(Writing { thread: None, result });
            return;
        }
        let builder = thread::Builder::new().name("quorate members".to_owned());
        match sys::with_signals_blocked(|| builder.spawn(write)) {
            Ok(thread) => self.writing = Some(Writing { thread: Some(thread), result }),
            Err(error) => log.log(Level::Warn, "gossip", format_args!("{FILE_NAME} is not kept: {error}")),
        }
    }

    /// Looks whether a version is written; the next one may begin.
    pub(super) fn look(&mut self, log: &Logger) {
        let Some(writing) = &self.writing else { return };
        let problem = match writing.result.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(written) => written.err().map(|error| error.to_string()),
            Err(TryRecvError::Disconnected) => Some("the thread that writes it panicked".to_owned()),
        };
        if let Some(problem) = problem {
            log.log(Level::Warn, "gossip", format_args!("{FILE_NAME} is not kept: {problem}"));
        }
        self.end();
        if let Some(bytes) = self.next.take() {
            self.keep(bytes, log);
        }
    }

    fn end(&mut self) {
        if let Some(writing) = self.writing.take() {
            // A panic in it was told already, or nobody is left to hear of it.
            writing.thread.map(JoinHandle::join);
            while self.errands.as_ref().is_some_and(Errands::step) {}
        }
    }
}

impl Drop for Keeper {
    /// Nobody writes to the directory once its lock is given up. In a forked child the thread does not exist.
    fn drop(&mut self) {
        if sys::was_forked() {
            core::mem::forget(self.writing.take());
        }
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mio::{Poll, Token, Waker};

    use super::*;

    #[test]
    fn the_newest_of_what_is_to_be_kept_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut poll = Poll::new().unwrap();
        let waker = LoopWaker(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let log = Logger::silent();
        let mut keeper = Keeper::new(directory.path().to_owned(), waker, None);
        for version in 0..5 {
            keeper.keep(vec![version], &log);
        }
        let mut events = mio::Events::with_capacity(1);
        while keeper.writing.is_some() {
            poll.poll(&mut events, None).unwrap();
            keeper.look(&log);
        }
        assert_eq!(fs::read(directory.path().join(FILE_NAME)).unwrap(), [4]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        keeper.keep(vec![9], &log);
        drop(keeper);
        assert_eq!(fs::read(directory.path().join(FILE_NAME)).unwrap(), [9], "the last one is waited for");
    }

    #[test]
    fn a_host_that_does_the_disk_work_keeps_them_when_it_does_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE_NAME);
        let poll = Poll::new().unwrap();
        let waker = LoopWaker(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let (log, errands) = (Logger::silent(), Errands::default());
        let mut keeper = Keeper::new(directory.path().to_owned(), waker, Some(errands.clone()));
        keeper.keep(vec![1], &log);
        keeper.keep(vec![2], &log);
        assert!(!file.exists());
        assert!(errands.step() && !errands.step());
        assert_eq!(fs::read(&file).unwrap(), [1]);
        keeper.look(&log);
        drop(keeper);
        assert_eq!(fs::read(&file).unwrap(), [2], "what the host has left is done at the end");
        assert!(!errands.step());
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let log = Logger::silent();
        assert_eq!(read(directory.path(), &log), []);
        fs::write(directory.path().join(FILE_NAME), snapshot::encode([].into_iter())).unwrap();
        assert_eq!(read(directory.path(), &log), []);
        fs::write(directory.path().join(FILE_NAME), b"QMEM").unwrap();
        assert_eq!(read(directory.path(), &log), []);
    }
}
