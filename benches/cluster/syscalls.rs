//! How often the driven node enters the kernel: per operation under a pipelined load, and per second when
//! nobody asks anything. Counted by `strace -c`, which slows the node down, so speed is not looked at.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::load::{self, Load, Operation};
use crate::server::Server;

const OPERATIONS: usize = 200_000;
const KEYS: u64 = 100_000;
const IDLE: Duration = Duration::from_secs(10);

/// Prints one line for each load. `start` starts the system afresh, as a trace ends with its process.
pub fn print(folder: &Path, start: &dyn Fn() -> Server) {
    for (name, operation) in [("SET", Operation::Fill), ("GET", Operation::Check)] {
        let server = start();
        let address = server.address;
        let load = |operation, count| {
            let load = Load { operation, connections: 50, pipeline: 16, count, keys: KEYS };
            let outcome = load::run(address, load);
            assert_eq!(outcome.wrong, 0, "{name}: {:?}", outcome.first_wrong);
        };
        load(Operation::Fill, KEYS as usize);
        let calls = trace(folder, server, || load(operation, OPERATIONS));
        let each = |calls: u64| calls as f64 / OPERATIONS as f64;
        let all: u64 = calls.iter().map(|call| call.1).sum();
        print!("- {name}, pipeline 16: {:.3} system calls an operation:", each(all));
        for (call, count) in calls.iter().take(6) {
            print!(" {call} {:.3}", each(*count));
        }
        println!();
    }
    let calls = trace(folder, start(), || thread::sleep(IDLE));
    let all: u64 = calls.iter().map(|call| call.1).sum();
    println!("- idle for {IDLE:?}: {all} system calls: {calls:?}");
}

/// Counts the system calls of the driven process while `work` runs, most frequent first. Ends the server,
/// and the trace with it.
fn trace(folder: &Path, server: Server, work: impl FnOnce()) -> Vec<(String, u64)> {
    let file = folder.join("strace");
    let driven = server.driven();
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-p", &driven.to_string(), "-o"])
        .arg(&file)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace, of the package strace");
    wait_until_traced(driven, &mut strace);
    work();
    drop(server);
    drop(strace.wait());
    let summary = fs::read_to_string(&file).expect("a summary of strace");
    let mut calls: Vec<(String, u64)> = summary.lines().filter_map(call).collect();
    calls.sort_unstable_by_key(|call| std::cmp::Reverse(call.1));
    calls
}

/// Reads `23.81    0.012345          12      1029        17 epoll_wait`.
fn call(line: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = words.last().filter(|name| **name != "total")?;
    words[0].parse::<f64>().ok()?;
    Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
}

fn wait_until_traced(process: u32, strace: &mut Child) {
    let traced =
        |status: String| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
    for _ in 0..500 {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("a process of ours");
        let mut statuses = tasks.flatten().map(|task| fs::read_to_string(task.path().join("status")));
        if statuses.all(|status| status.is_ok_and(traced)) {
            return;
        }
        let ended = strace.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "strace could not trace {process}: {ended:?}");
        thread::sleep(Duration::from_millis(10));
    }
    panic!("strace did not get hold of {process}");
}
