//! Clients with bent commands. Each connection carries a few inputs, each followed by an `ECHO` of its
//! number: what comes back before the number is the input's answer, and a number that does not come back
//! names the input that ended the connection or swallowed what followed.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use quorate::resp::client::{Parser, Value, encode};

use super::commands::{Commands, End, Shape, encoded, shape};
use super::mutate::pick;
use super::node::{ReadOnce, connect, read_once, write_all};
use super::plan::{FLUSHES, Family, Job, Places, Queue, Run, Trouble, family};
use super::tally::Class;

/// Inputs on one connection, unless one of them ends it.
const INPUTS_MAX: usize = 8;

/// Good commands on one connection.
const CHAT: usize = 12;

struct Input {
    job: Job,
    bytes: Vec<u8>,
    shape: Shape,
    /// What the node echoes once it is through with the input; none for a cut one.
    echo: Option<Vec<u8>>,
}

/// Sends what is in the queue.
pub fn send_commands(run: &Run, places: &Places, queue: &Queue) -> Result<(), Trouble> {
    loop {
        let jobs = queue.take(INPUTS_MAX, |family| matches!(family, Family::CommandCut(_)));
        if jobs.is_empty() {
            return Ok(());
        }
        let inputs: Vec<Input> = jobs.iter().map(|&job| input(run, places, job)).collect();
        let (replies, end) = exchange(run, &inputs).map_err(|error| Trouble::new(&jobs, error))?;
        attribute(run, queue, &inputs, replies, end)?;
    }
}

/// Good commands on the keys that the bent ones name, until `done`: they keep the node asking its peers, so
/// that bent answers find a question. Not counted as inputs.
pub fn chat(run: &Run, first: u64, done: &AtomicBool) -> Result<(), Trouble> {
    let commands = Commands { facts: &run.facts, recent: &run.recent, number: first, flushes: false };
    let mut rng = run.rng(first ^ 1 << 62);
    let failed =
        |error| Trouble { inputs: Vec::new(), what: format!("good commands from input {first} on: {error}") };
    while !done.load(Ordering::Relaxed) {
        let mut bytes = Vec::new();
        for _ in 0..CHAT {
            let form = pick(&mut rng, Commands::forms());
            bytes.extend(encoded(&commands.form(form, &mut rng)));
        }
        let mut stream = connect(run.client).map_err(failed)?;
        write_all(&mut stream, &bytes).map_err(failed)?;
        read_to_end(&mut stream).map_err(failed)?;
    }
    Ok(())
}

fn input(run: &Run, places: &Places, job: Job) -> Input {
    let bytes = match family(job.number) {
        Family::CommandCut(cut) => {
            let (form, length) = places.commands[cut % places.commands.len()];
            let mut bytes = run.good_command(form);
            bytes.truncate(length);
            return Input { job, shape: shape(&bytes), bytes, echo: None };
        }
        _ => {
            let commands = Commands {
                facts: &run.facts,
                recent: &run.recent,
                number: job.number,
                flushes: job.number < FLUSHES,
            };
            commands.bent(&mut run.rng(job.number))
        }
    };
    let echo = format!("echo {:016x} of input {}", run.seed, job.number).into_bytes();
    Input { job, shape: shape(&bytes), bytes, echo: Some(echo) }
}

/// Sends some inputs on one connection and reads until the node ends it.
fn exchange(run: &Run, inputs: &[Input]) -> std::io::Result<(Vec<Value>, ReadOnce)> {
    let mut bytes = Vec::new();
    for input in inputs {
        bytes.extend_from_slice(&input.bytes);
        if let Some(echo) = &input.echo {
            encode(&mut bytes, &[b"ECHO", echo]);
        }
    }
    let mut stream = connect(run.client)?;
    write_all(&mut stream, &bytes)?;
    read_to_end(&mut stream)
}

/// Says that nothing more comes, and reads replies until the node hangs up.
pub fn read_to_end(stream: &mut TcpStream) -> std::io::Result<(Vec<Value>, ReadOnce)> {
    // Fails if the node has hung up already.
    let _ = stream.shutdown(Shutdown::Write);
    let (mut parser, mut replies, mut buffer) = (Parser::new(), Vec::new(), [0; 16 << 10]);
    loop {
        match read_once(stream, &mut buffer)? {
            ReadOnce::Bytes(length) => parser.push(&buffer[..length]),
            end => return Ok((replies, end)),
        }
        while let Some(reply) = parser.next_reply().map_err(std::io::Error::other)? {
            replies.push(reply);
        }
    }
}

/// Finds out which reply belongs to which input.
fn attribute(
    run: &Run,
    queue: &Queue,
    inputs: &[Input],
    replies: Vec<Value>,
    end: ReadOnce,
) -> Result<(), Trouble> {
    let mut next = 0;
    let mut answer = Vec::new();
    for reply in replies {
        let echoed = inputs[next..].iter().position(|input| match (&reply, &input.echo) {
            (Value::Bulk(bytes), Some(echo)) => bytes == echo,
            _ => false,
        });
        let Some(ahead) = echoed else {
            answer.push(reply);
            continue;
        };
        // Echoes that were muted belong to inputs that were taken in silence.
        for input in &inputs[next..=next + ahead] {
            count(run, input, &core::mem::take(&mut answer), true)?;
        }
        next += ahead + 1;
    }
    let Some(input) = inputs.get(next) else { return Ok(()) };
    let refused = answer.last().is_some_and(is_protocol_error);
    if end == ReadOnce::Reset && !refused && inputs.len() > 1 {
        // The connection was thrown away, and replies with it.
        for input in &inputs[next..] {
            queue.push(Job { alone: true, ..input.job });
        }
        return Ok(());
    }
    count(run, input, &answer, false)?;
    for input in &inputs[next + 1..] {
        queue.push(input.job);
    }
    Ok(())
}

fn is_protocol_error(reply: &Value) -> bool {
    matches!(reply, Value::Error(text) if text.starts_with("ERR Protocol error"))
}

/// Counts what became of one input. `echoed`: the connection outlived it.
fn count(run: &Run, input: &Input, answer: &[Value], echoed: bool) -> Result<(), Trouble> {
    let class = match answer.first() {
        _ if answer.last().is_some_and(is_protocol_error) => Class::CommandRefused,
        Some(_) if !echoed && input.shape.end == End::Nothing => Class::CommandClosed,
        Some(Value::Error(_)) => Class::CommandError,
        Some(_) => Class::CommandOk,
        None if input.shape.end == End::Half => Class::CommandHalf,
        None => Class::CommandIgnored,
    };
    run.tally(|tally| {
        tally.input(class);
        if let Family::CommandCut(_) = family(input.job.number) {
            return;
        }
        for (at, name) in input.shape.names.iter().enumerate() {
            let known = run.commands.contains(name);
            let how = match class {
                Class::CommandOk | Class::CommandClosed if at == 0 => "ok",
                Class::CommandError if at == 0 => "error",
                _ => "other",
            };
            tally.reach(if known { name } else { "(no command of ours)" }, how);
        }
    });
    match input.echo {
        None if !answer.is_empty() => {
            Err(Trouble::new(&[input.job], format!("a cut command was answered: {answer:?}")))
        }
        _ => Ok(()),
    }
}

/// Counts the place at which an input was cut.
pub fn count_cut(run: &Run, places: &Places, number: u64) {
    let (kind, (which, length)) = match family(number) {
        Family::CommandCut(cut) => ("command", places.commands[cut % places.commands.len()]),
        Family::FrameCut(cut) => ("frame", places.frames[cut % places.frames.len()]),
        Family::RecordCut(cut) => ("record", (0, cut % places.records)),
        Family::HandshakeCut(cut) => ("handshake", (0, cut % (places.hellos + places.proofs))),
        _ => return,
    };
    run.tally(|tally| tally.cut_at(kind, which, length));
}
