//! Each measurement in a process of its own: memory that one engine freed must not serve the next, and
//! what is to be killed must be a process. The program starts itself again with `--part`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::samples::Samples;
use crate::{embedded, peers, restart, space, stall, sync};

/// What a part says when it is ready to be killed.
const READY: &str = "ready";

/// What one process measures.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which part of which row.
    pub name: String,
    /// Where the data are, or will be.
    pub directory: PathBuf,
    /// Keys in the store.
    pub keys: u64,
    /// How long to measure, where a part goes by time.
    pub seconds: u64,
    /// What else the part must know: an engine, a device, a setting.
    pub detail: String,
}

impl Job {
    /// A part that needs no detail.
    pub fn new(name: &str, directory: &Path, keys: u64, seconds: u64) -> Job {
        Job { name: name.to_owned(), directory: directory.to_owned(), keys, seconds, detail: "-".to_owned() }
    }

    /// The same with a detail.
    pub fn with(mut self, detail: &str) -> Job {
        detail.clone_into(&mut self.detail);
        self
    }

    /// Runs the part to its end and takes what it says.
    ///
    /// # Panics
    /// If it fails: what it says of that is on standard error.
    pub fn run(&self, samples: &mut Samples) {
        eprintln!("  {} {} ({} keys)", self.name, self.detail, self.keys);
        let mut child = self.start();
        for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
            let line = line.expect("a part speaks UTF-8");
            assert!(samples.take(&line), "{} said: {line}", self.name);
        }
        let status = child.wait().expect("it is our child");
        assert!(status.success(), "{} {} failed: {status}", self.name, self.detail);
    }

    /// Runs the part until it is ready, and kills it as `kill -9` does.
    ///
    /// # Panics
    /// If it ends before.
    pub fn run_and_kill(&self) {
        eprintln!("  {} {} ({} keys), to be killed", self.name, self.detail, self.keys);
        let mut child = self.start();
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let ready = lines.map_while(Result::ok).any(|line| line == READY);
        let killed = child.kill().and_then(|()| child.wait());
        assert!(ready && killed.is_ok(), "{} {} was not ready to be killed", self.name, self.detail);
    }

    fn start(&self) -> Child {
        let program = std::env::current_exe().expect("this program has a path");
        let (keys, seconds) = (self.keys.to_string(), self.seconds.to_string());
        let mut command = Command::new(program);
        command.args(["--part", &self.name]).arg(&self.directory).args([&keys, &seconds, &self.detail]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("this program can be started")
    }

    /// The part that the words behind `--part` ask for.
    pub fn read(words: &[&str]) -> Option<Job> {
        let [name, directory, keys, seconds, detail] = words else { return None };
        let (keys, seconds) = (keys.parse().ok()?, seconds.parse().ok()?);
        Some(Job::new(name, Path::new(directory), keys, seconds).with(detail))
    }

    /// Measures, in the process that was started for it.
    pub fn carry_out(&self) {
        match self.name.as_str() {
            "peers" => peers::measure(self),
            "reopen" => peers::reopen(self),
            "dirty" => peers::dirty(self),
            "embedded" => embedded::measure(self),
            "sync" => sync::measure(self),
            "load" => restart::load(self),
            "overwrite" => restart::overwrite(self),
            "open" => restart::open(self),
            "stall" => stall::measure(self),
            "staged" => stall::reference(self),
            "space" => space::measure(self),
            "idle" => space::reference(self),
            name => panic!("there is no part named {name}"),
        }
    }
}

/// Tells the process that started this one that it may be killed now, and waits for that.
pub fn await_death() -> ! {
    println!("{READY}");
    loop {
        std::thread::park();
    }
}
