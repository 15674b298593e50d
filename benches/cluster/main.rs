//! The cluster bench: three nodes of ours, a bare quorum toy, Redis, and Redis that waits for a replica,
//! interleaved in one run, so that every ratio is against the same minute of the same machine.
//!
//! `make bench` builds and runs it; `cargo bench --bench cluster -- --help` tells its options. It prints
//! a table in Markdown. Nothing is asserted about speed; a wrong reply ends the run.

mod load;
mod report;
mod resp;
mod server;
mod syscalls;
mod toy;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use load::{Load, Operation, VALUE_BYTES};
use report::{Row, Sample};
use server::Server;

const HELP: &str = "\
cargo bench --bench cluster -- [OPTIONS]
  --reps N        repetitions, each running every row once        [3]
  --scale F       factor on the number of operations              [1.0]
  --keys N        keys filled before, and drawn from              [1000000]
  --pipelines L   pipeline depths                                 [1,16]
  --only L        systems, of toy,quorate,redis,replicas          [all]
  --quorate PATH  the program to measure                          [the one built beside this bench]
  --patience N    measure again, up to N times, what other processes disturbed, and keep the quietest  [0]
  --syscalls      count the system calls of toy and quorate instead";

const CONNECTIONS: usize = 50;
/// Share of the machine from which other processes count as a disturbance.
const DISTURBED: f64 = 0.1;

struct Options {
    repetitions: usize,
    scale: f64,
    keys: u64,
    pipelines: Vec<usize>,
    only: Vec<String>,
    quorate: PathBuf,
    patience: usize,
    syscalls: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--toy", id, list] => run_toy(id, list),
        // `cargo test --benches` runs this program too, and has no use for a bench.
        _ if !words.contains(&"--bench") => println!("run by `make bench` or `cargo bench --bench cluster`"),
        _ if words.contains(&"--help") => println!("{HELP}"),
        _ => match options(&words) {
            Ok(options) if options.syscalls => syscalls(&options),
            Ok(options) => bench(&options),
            Err(problem) => {
                eprintln!("{problem}\n{HELP}");
                std::process::exit(64);
            }
        },
    }
}

fn run_toy(id: &str, list: &str) -> ! {
    let addresses: Vec<SocketAddr> = list.split(',').map(|one| one.parse().expect("an address")).collect();
    let three = |from: usize| [addresses[from], addresses[from + 1], addresses[from + 2]];
    toy::run(id.parse().expect("0, 1 or 2"), three(0), three(3))
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        repetitions: 3,
        scale: 1.0,
        keys: 1_000_000,
        pipelines: vec![1, 16],
        only: ["toy", "quorate", "redis", "replicas"].map(str::to_owned).to_vec(),
        quorate: option_env!("CARGO_BIN_EXE_quorate").unwrap_or("target/release/quorate").into(),
        patience: 0,
        syscalls: false,
    };
    let mut words = words.iter().filter(|word| **word != "--bench");
    while let Some(&word) = words.next() {
        if word == "--syscalls" {
            options.syscalls = true;
            continue;
        }
        let value = words.next().ok_or(format!("{word} has no value"))?;
        let wrong = || format!("{word} {value} is no number");
        let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match word {
            "--reps" => options.repetitions = value.parse().map_err(|_| wrong())?,
            "--scale" => options.scale = value.parse().map_err(|_| wrong())?,
            "--patience" => options.patience = value.parse().map_err(|_| wrong())?,
            "--keys" => options.keys = value.parse().map_err(|_| wrong())?,
            "--only" => options.only = list(),
            "--quorate" => options.quorate = value.into(),
            "--pipelines" => {
                let depths: Result<_, _> = list().iter().map(|depth| depth.parse()).collect();
                options.pipelines = depths.map_err(|_| wrong())?;
            }
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(options)
}

fn bench(options: &Options) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut servers: Vec<Server> = Vec::new();
    for name in &options.only {
        servers.push(match name.as_str() {
            "toy" => server::toy(),
            "quorate" => server::quorate(&options.quorate, folder.path()),
            "redis" => server::redis(folder.path()),
            "replicas" => server::redis_with_replicas(folder.path()),
            _ => panic!("--only {name}: no such system"),
        });
    }
    println!("{}", report::machine());
    for server in &servers {
        let before = server.resident();
        let filled = fill(server, options.keys);
        let bytes = server.resident().saturating_sub(before) / options.keys;
        println!(
            "- {}: {} keys filled in {filled:.1?}, {bytes} bytes of memory a key",
            server.name, options.keys
        );
    }

    let mut rows: Vec<Row> = Vec::new();
    for repetition in 0..options.repetitions {
        let mut at = 0;
        for &pipeline in &options.pipelines {
            for verb in ["SET", "GET"] {
                for server in &servers {
                    // Redis answers a read from one copy, with replicas or without.
                    if verb == "GET" && server.name.contains("replicas") {
                        continue;
                    }
                    if repetition == 0 {
                        rows.push(Row::new(verb, pipeline, server.name));
                    }
                    rows[at].samples.push(measure_in_quiet(server, &servers, verb, pipeline, options));
                    at += 1;
                }
            }
        }
        eprintln!("repetition {} of {} done", repetition + 1, options.repetitions);
    }
    for server in &mut servers {
        server.assert_alive();
        check(server, options.keys);
    }
    print!("\n{}", report::table(&rows));
}

fn syscalls(options: &Options) {
    for name in &options.only {
        let folder = tempfile::tempdir().expect("a temporary folder");
        println!("{name}");
        match name.as_str() {
            "toy" => syscalls::print(folder.path(), &server::toy),
            "quorate" => syscalls::print(folder.path(), &|| {
                let data = tempfile::tempdir_in(folder.path()).expect("a temporary folder").keep();
                server::quorate(&options.quorate, &data)
            }),
            _ => {}
        }
    }
}

fn fill(server: &Server, keys: u64) -> Duration {
    let count = keys as usize;
    let load = Load { operation: Operation::Fill, connections: CONNECTIONS, pipeline: 64, count, keys };
    let outcome = load::run(server.address, load);
    assert_eq!(outcome.wrong, 0, "filling {}: {:?}", server.name, outcome.first_wrong);
    check(server, keys);
    outcome.elapsed
}

/// A server that answers wrongly could be as fast as it liked.
fn check(server: &Server, keys: u64) {
    let load = Load { operation: Operation::Check, connections: 10, pipeline: 16, count: 20_000, keys };
    let outcome = load::run(server.address, load);
    let wrong = outcome.wrong;
    assert_eq!(wrong, 0, "{wrong} of 20000 reads of {} were wrong: {:?}", server.name, outcome.first_wrong);
}

/// The first sample that nobody disturbed, or the least disturbed of as many as patience allows.
fn measure_in_quiet(
    server: &Server,
    all: &[Server],
    verb: &str,
    pipeline: usize,
    options: &Options,
) -> Sample {
    let mut best = measure(server, all, verb, pipeline, options);
    for _ in 0..options.patience {
        if best.others < DISTURBED {
            break;
        }
        let again = measure(server, all, verb, pipeline, options);
        if again.others < best.others {
            best = again;
        }
    }
    best
}

fn measure(server: &Server, all: &[Server], verb: &str, pipeline: usize, options: &Options) -> Sample {
    // Let what the last load left behind (syncs, closed sockets) come to an end.
    thread::sleep(Duration::from_millis(300));
    let count = if pipeline == 1 { 100_000.0 } else { 400_000.0 } * options.scale;
    let count = (count as usize).max(CONNECTIONS * pipeline);
    let ours = || server::own_cpu() + all.iter().map(Server::cpu).sum::<Duration>();
    let (cpu, own, machine, began) = (server.cpu(), ours(), server::machine_cpu(), std::time::Instant::now());
    let mut sample = if verb == "SET" && server.name.contains("replicas") {
        set_and_wait(server, pipeline, count, options.keys)
    } else {
        redis_benchmark(server.address, verb, pipeline, count, options.keys)
    };
    sample.cpu_us = (server.cpu() - cpu).as_secs_f64() * 1e6 / count as f64;
    let others = (server::machine_cpu() - machine).saturating_sub(ours() - own);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    sample.others = others.as_secs_f64() / (began.elapsed().as_secs_f64() * processors as f64);
    sample
}

fn set_and_wait(server: &Server, pipeline: usize, count: usize, keys: u64) -> Sample {
    let operation = Operation::SetWait;
    let outcome =
        load::run(server.address, Load { operation, connections: CONNECTIONS, pipeline, count, keys });
    assert_eq!(outcome.wrong, 0, "SET and WAIT: {:?}", outcome.first_wrong);
    Sample {
        per_second: count as f64 / outcome.elapsed.as_secs_f64(),
        p50_ms: outcome.latency(0.5).as_secs_f64() * 1e3,
        p99_ms: outcome.latency(0.99).as_secs_f64() * 1e3,
        ..Sample::default()
    }
}

fn redis_benchmark(address: SocketAddr, verb: &str, pipeline: usize, count: usize, keys: u64) -> Sample {
    let numbers = [
        ("-p", address.port().into()),
        ("-c", CONNECTIONS as u64),
        ("-P", pipeline as u64),
        ("-n", count as u64),
        ("-d", VALUE_BYTES as u64),
        ("-r", keys),
    ];
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", "127.0.0.1", "-t", &verb.to_lowercase(), "--csv"]);
    for (flag, number) in numbers {
        command.args([flag, &number.to_string()]);
    }
    let output = command.output().expect("redis-benchmark, of the package redis-tools");
    let text = String::from_utf8_lossy(&output.stdout);
    // "SET","68965.52","0.421","0.120","0.407","0.703","0.895","2.143"
    let line = text.lines().find(|line| line.starts_with(&format!("\"{verb}\""))).unwrap_or_else(|| {
        panic!("redis-benchmark said {text} {}", String::from_utf8_lossy(&output.stderr));
    });
    let field = |at: usize| line.split(',').nth(at).and_then(|field| field.trim_matches('"').parse().ok());
    let number = |at: usize| field(at).unwrap_or_else(|| panic!("redis-benchmark said {line}"));
    Sample { per_second: number(1), p50_ms: number(4), p99_ms: number(6), ..Sample::default() }
}
