//! The README's tour and the page of the stock, run as they stand: every command block, against a cluster that `quorate dev` started,
//! must print what the page says.
//!
//! In a block ` ```console `, a line that begins with `$ ` is a command and the lines below it are what
//! it prints; `…` stands for any text within a line. The cluster gets free ports, so the README's ports
//! are exchanged for them on the way in and back on the way out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{PROGRAM, Process, free_ports, run_command};

/// The first client port of the README's cluster.
const PORT: u16 = 7379;
/// Printed after each command, to tell their outputs apart.
const MARK: &str = "=== end of a command ===";

/// A command of a block and what it prints.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The steps of all command blocks of a text, block by block.
fn blocks(text: &str) -> Vec<Vec<Step>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line == "```console") {
        let mut steps: Vec<Step> = Vec::new();
        for line in lines.by_ref().take_while(|&line| line != "```") {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.into(), expected: Vec::new() }),
                None => steps.last_mut().expect("a block begins with a command").expected.push(line.into()),
            }
        }
        blocks.push(steps);
    }
    blocks
}

/// Whether a printed line is the expected one, where `…` stands for any text.
fn matches(expected: &str, printed: &str) -> bool {
    match expected.split_once('…') {
        None => expected == printed,
        Some((before, after)) => printed.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| matches(after, &rest[at..]))
        }),
    }
}

/// A text with the cluster's three ports, which begin at `from`, exchanged for those at `to`.
fn exchange_ports(text: &str, from: u16, to: u16) -> String {
    let exchange =
        |text: String, place: u16| text.replace(&(from + place).to_string(), &(to + place).to_string());
    (0..3).fold(text.to_owned(), exchange)
}

/// Runs the steps of a block in one shell; returns what each printed.
fn run_block(steps: &[Step], port: u16, directory: &Path) -> Vec<Vec<String>> {
    // At a terminal redis-cli prints types and numbers; into a pipe, as in `$(…)`, bare lines.
    let mut script = "redis-cli() { if [ -f /dev/stdout ]; then command redis-cli --no-raw \"$@\"; \
        else command redis-cli \"$@\"; fi; }\n"
        .to_owned();
    for step in steps {
        let command = exchange_ports(&step.command, PORT, port);
        script += &format!("{command}\necho '{MARK}'\n");
    }
    let output = directory.join("output");
    let program_directory = Path::new(PROGRAM).parent().expect("the program is in a directory");
    let path = format!("{}:{}", program_directory.display(), std::env::var("PATH").expect("a PATH"));
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("exec >'{}' 2>&1\n{script}", output.display()));
    shell.env("PATH", path).env("QUORATE_NODE", format!("127.0.0.1:{port}")).current_dir(directory);
    run_command(shell);
    let printed = fs::read_to_string(&output).expect("the shell made the file");
    let printed = exchange_ports(&printed, port, PORT);
    let mut outputs: Vec<Vec<String>> = vec![Vec::new()];
    for line in printed.lines() {
        match line == MARK {
            true => outputs.push(Vec::new()),
            false => outputs.last_mut().expect("there is one").push(line.trim_end().to_owned()),
        }
    }
    outputs
}

#[test]
fn every_command_block_of_the_tour_prints_what_the_readme_says() {
    run_page("README.md");
}

#[test]
fn a_stock_that_is_counted_on_both_sides_of_a_cut_comes_out_right() {
    run_page("docs/stock.md");
}

/// Runs every block of a page against a cluster of its own.
fn run_page(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let blocks = blocks(&fs::read_to_string(path).expect("the page is there"));
    assert!(blocks.iter().map(Vec::len).sum::<usize>() >= 10, "{page} has lost its commands");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let port = free_ports(3);
    let arguments = ["dev", "--port", &port.to_string()].map(str::to_owned);
    let mut cluster = Process::start(&arguments, &directory.path().join("stderr"));
    while cluster.line() != "Ctrl-C stops" {}
    let mut wrong = Vec::new();
    for steps in &blocks {
        let outputs = run_block(steps, port, directory.path());
        for (step, printed) in steps.iter().zip(&outputs) {
            let is_right = step.expected.len() == printed.len()
                && step.expected.iter().zip(printed).all(|(expected, printed)| matches(expected, printed));
            if !is_right {
                let (expected, printed) = (step.expected.join("\n"), printed.join("\n"));
                wrong.push(format!("$ {}\nexpected:\n{expected}\nprinted:\n{printed}\n", step.command));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cluster.signal("INT");
    assert_eq!(cluster.wait().code(), Some(0), "{}", cluster.stderr());
}

#[test]
fn a_line_that_differs_is_seen() {
    for (expected, printed, is_right) in [
        ("OK", "OK", true),
        ("OK", "KO", false),
        ("dot=… acked=2", "dot=1.2.3:4 acked=2", true),
        ("dot=… acked=2", "dot=1.2.3:4 acked=1", false),
        ("… a …", "x a y", true),
        ("… a …", "x b y", false),
        ("a…", "a", true),
    ] {
        assert_eq!(matches(expected, printed), is_right, "{expected} against {printed}");
    }
    let text =
        "text\n```console\n$ one\n1\n2\n$ two\n```\n```sh\n$ not this\n```\n```console\n$ three\n```\n";
    let blocks = blocks(text);
    let commands: Vec<Vec<&str>> =
        blocks.iter().map(|steps| steps.iter().map(|step| step.command.as_str()).collect()).collect();
    assert_eq!(commands, [vec!["one", "two"], vec!["three"]]);
    assert_eq!(blocks[0][0].expected, ["1", "2"]);
}
