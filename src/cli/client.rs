//! `quorate get|put|del|owners`: single requests to a node.
//!
//! Values go to stdout as they are, one a line, so that scripts can take them; what there is to know about
//! them (context, dots, what was achieved) goes to stderr, or with `--json` into one object a key on
//! stdout. The exit code is the outcome's; of several keys, that of the first which did not end well.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::Map;

use quorate::proto::limits;
use quorate::resp::client::Value;

use super::answer::{bytes, field, insert_bytes, insert_fields, list, text};
use super::connection::{Connection, Kind};
use super::exit::{Failure, INPUT_OUTPUT, NOT_FOUND};
use super::settings::CLIENT_DEFAULT;

/// Which node is asked, and how it is answered here.
#[derive(clap::Args)]
pub struct Target {
    /// The node to ask.
    #[arg(long, env = "QUORATE_NODE", value_name = "ADDR", default_value = CLIENT_DEFAULT)]
    node: String,
    /// Milliseconds the node may take [default: as the node is set].
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl Target {
    /// Connects to the node.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn connect(&self) -> Result<Connection, Failure> {
        let deadline = self.timeout_ms.map_or(limits::CLIENT_DEADLINE, Duration::from_millis);
        Connection::open(&self.node, deadline.min(limits::DEADLINE_MAX))
    }

    fn options(&self) -> Words {
        Words::default().with("TIMEOUT", self.timeout_ms)
    }
}

/// `quorate get`.
#[derive(clap::Args)]
pub struct GetArguments {
    /// The keys.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
    #[command(flatten)]
    target: Target,
    /// Replicas that must answer.
    #[arg(long)]
    r: Option<u8>,
    /// Of these, how many must be primaries.
    #[arg(long)]
    pr: Option<u8>,
    /// How concurrent versions are shown [default: all].
    #[arg(long)]
    view: Option<View>,
}

/// How concurrent versions are shown.
#[derive(ValueEnum, Clone, Copy)]
enum View {
    /// All of them.
    All,
    /// The newest.
    Latest,
    /// The one that a majority of the replicas holds.
    Majority,
    /// The greatest of whole numbers.
    Max,
    /// The least of whole numbers.
    Min,
    /// The sum of whole numbers.
    Sum,
    /// The lines of all, sorted, each once.
    #[value(name = "set_union")]
    SetUnion,
    /// One behind the other, the oldest first.
    Concat,
}

/// `quorate put`.
#[derive(clap::Args)]
pub struct PutArguments {
    /// The key.
    key: OsString,
    /// The value.
    value: OsString,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    write: WriteArguments,
    /// Milliseconds until the value expires.
    #[arg(long, value_name = "MS")]
    ttl_ms: Option<u64>,
}

/// `quorate del`.
#[derive(clap::Args)]
pub struct DelArguments {
    /// The keys.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    write: WriteArguments,
}

/// What a write can ask for.
#[derive(clap::Args)]
struct WriteArguments {
    /// Replicas that must acknowledge.
    #[arg(long)]
    w: Option<u8>,
    /// Of these, how many must be primaries.
    #[arg(long)]
    pw: Option<u8>,
    /// How many replicas must have it on disk.
    #[arg(long)]
    dw: Option<u8>,
    /// The context of an earlier read: what it saw is replaced.
    #[arg(long, value_name = "TOKEN")]
    context: Option<String>,
    /// Without a context: replace what the coordinator holds. Otherwise nothing is replaced.
    #[arg(long, conflicts_with = "context")]
    supersede: bool,
    /// Write nothing if the coordinator holds what the context does not cover or, without one, any value.
    #[arg(long, conflicts_with = "supersede")]
    if_seen: bool,
}

impl WriteArguments {
    fn add_to(&self, words: Words) -> Words {
        let words = words.with("W", self.w).with("PW", self.pw).with("DW", self.dw);
        let words = words.with("CONTEXT", self.context.as_deref());
        match (self.supersede, self.if_seen) {
            (true, _) => words.with_word("SUPERSEDE"),
            (_, true) => words.with_word("IFSEEN"),
            _ => words,
        }
    }
}

/// `quorate owners`.
#[derive(clap::Args)]
pub struct OwnersArguments {
    /// The keys.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
    #[command(flatten)]
    target: Target,
}

/// Reads keys.
///
/// # Errors
/// The first outcome that was not *ok*.
pub fn get(arguments: &GetArguments) -> Result<(), Failure> {
    let view = arguments.view.and_then(|view| view.to_possible_value());
    let view = view.as_ref().map(|view| view.get_name());
    let options =
        arguments.target.options().with("R", arguments.r).with("PR", arguments.pr).with("VIEW", view);
    for_each_key(&arguments.target, &arguments.keys, |connection, key| {
        let answer = connection.call(Kind::Read, &options.command(b"Q.GET", &[key]))?;
        let siblings = list(field(&answer, "siblings")?)?;
        if arguments.target.json {
            print_json(key, &answer)?;
        } else {
            for value in oldest_first(siblings)? {
                print_line(value)?;
            }
            remark(&format!(
                "{} siblings={}",
                remarks(&answer, &["acked", "asked", "context"])?,
                siblings.len()
            ));
        }
        if siblings.is_empty() {
            return Err(Failure::new(NOT_FOUND, format!("{}: not found", key.escape_ascii())));
        }
        Ok(())
    })
}

/// Writes a value.
///
/// # Errors
/// The outcome, if it was not *ok*.
pub fn put(arguments: &PutArguments) -> Result<(), Failure> {
    let options = arguments.write.add_to(arguments.target.options()).with("TTL", arguments.ttl_ms);
    let value = arguments.value.as_bytes();
    for_each_key(&arguments.target, std::slice::from_ref(&arguments.key), |connection, key| {
        let answer = connection.call(Kind::Write, &options.command(b"Q.PUT", &[key, value]))?;
        print_written(&arguments.target, key, &answer)
    })
}

/// Deletes keys.
///
/// # Errors
/// The first outcome that was not *ok*.
pub fn del(arguments: &DelArguments) -> Result<(), Failure> {
    let options = arguments.write.add_to(arguments.target.options());
    for_each_key(&arguments.target, &arguments.keys, |connection, key| {
        let answer = connection.call(Kind::Write, &options.command(b"Q.DEL", &[key]))?;
        print_written(&arguments.target, key, &answer)
    })
}

/// Shows which members hold keys.
///
/// # Errors
/// The node cannot be asked.
pub fn owners(arguments: &OwnersArguments) -> Result<(), Failure> {
    for_each_key(&arguments.target, &arguments.keys, |connection, key| {
        let answer = connection.call(Kind::Read, &[b"Q.OWNERS", key])?;
        if arguments.target.json {
            return print_json(key, &answer);
        }
        let owners: Vec<_> = list(field(&answer, "owners")?)?.iter().map(text).collect();
        let partition = text(field(&answer, "partition")?);
        print_line(format!("partition={partition} owners={}", owners.join(",")).as_bytes())
    })
}

/// Does something for each key over one connection; a key that fails does not keep the others from
/// their turn.
fn for_each_key(
    target: &Target,
    keys: &[OsString],
    mut act: impl FnMut(&mut Connection, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut connection = target.connect()?;
    if let [key] = keys {
        return act(&mut connection, key.as_bytes());
    }
    let mut failed = Vec::new();
    for key in keys {
        if let Err(failure) = act(&mut connection, key.as_bytes()) {
            remark(&failure.message);
            failed.push(failure.code);
        }
    }
    match failed.first() {
        Some(code) => Err(Failure::new(*code, format!("{} of {} keys failed", failed.len(), keys.len()))),
        None => Ok(()),
    }
}

/// The values of siblings in the order in which their writers' clocks say that they were written, for
/// people: the node's own order hangs on which node wrote.
fn oldest_first(siblings: &[Value]) -> Result<Vec<&[u8]>, Failure> {
    let mut values = Vec::new();
    for sibling in siblings {
        let written = text(field(sibling, "hlc")?).parse::<u64>().unwrap_or_default();
        values.push((written, bytes(field(sibling, "value")?)?));
    }
    values.sort_unstable();
    Ok(values.into_iter().map(|(_, value)| value).collect())
}

/// Prints what a write achieved.
fn print_written(target: &Target, key: &[u8], answer: &Value) -> Result<(), Failure> {
    if target.json {
        return print_json(key, answer);
    }
    print_line(remarks(answer, &["dot", "acked", "durable", "context"])?.as_bytes())
}

/// Fields of an answer as `name=value` with spaces between.
fn remarks(answer: &Value, names: &[&str]) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for name in names {
        parts.push(format!("{name}={}", text(field(answer, name)?)));
    }
    Ok(parts.join(" "))
}

/// A whole answer as one object on one line, with its key.
fn print_json(key: &[u8], answer: &Value) -> Result<(), Failure> {
    let mut object = Map::new();
    insert_bytes(&mut object, "key", key);
    insert_fields(&mut object, answer)?;
    print_line(serde_json::Value::Object(object).to_string().as_bytes())
}

/// Prints a line on stdout.
///
/// # Errors
/// Nobody reads there any more.
pub fn print_line(line: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(line).and_then(|()| stdout.write_all(b"\n"));
    printed.map_err(|error| Failure::new(INPUT_OUTPUT, format!("writing to stdout: {error}")))
}

/// Prints a line on stderr. It only remarks on what is on stdout, so nothing is done if it cannot.
fn remark(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The words of a command after its key and value.
#[derive(Default)]
struct Words(Vec<Vec<u8>>);

impl Words {
    /// Adds an option with a value, if there is one.
    fn with(mut self, name: &str, value: Option<impl ToString>) -> Words {
        if let Some(value) = value {
            self.0.push(name.into());
            self.0.push(value.to_string().into_bytes());
        }
        self
    }

    /// Adds an option that has no value.
    fn with_word(mut self, name: &str) -> Words {
        self.0.push(name.into());
        self
    }

    /// The whole command.
    fn command<'a>(&'a self, name: &'a [u8], operands: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let mut command = vec![name];
        command.extend_from_slice(operands);
        command.extend(self.0.iter().map(Vec::as_slice));
        command
    }
}
