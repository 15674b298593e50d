//! Commands about the server: `INFO`, `CONFIG`, `COMMAND`, `TIME`.
//!
//! Existing clients ask these before they do anything else, and act on what they read, so everything
//! here is in the form that Redis gives it. What has no meaning for us is left out, not invented.

use core::fmt::Write as _;

use crate::proto::glob::{self, Budget};
use crate::proto::limits::KEYSPACES_MAX;
use crate::proto::node::Status;

use super::command::{self, Command, Keys, Run, Subcommand, subcommand};
use super::connection::REDIS_VERSION;
use super::number::SYNTAX;
use super::object;
use super::overlap::Access;
use super::parse::Args;
use super::reply::Writer;
use super::session::{Handled, ServerInfo, Session, Turn};

const INVALID_COMMAND: &str = "ERR Invalid command specified";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `TIME`
pub fn time(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let millis = turn.now.wall.0;
    session.answer(turn, |writer| {
        writer.array(2);
        writer.bulk((millis / 1_000).to_string().as_bytes());
        writer.bulk((millis % 1_000 * 1_000).to_string().as_bytes());
    });
    Ok(())
}

type Section = (&'static str, fn(&mut String, &Status, &ServerInfo));

const SECTIONS: [Section; 7] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Keyspace", keyspace),
];

/// `INFO [section ...]`
pub fn info(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let is_everything = |name: &[u8]| {
        ["all", "default", "everything"].iter().any(|all| name.eq_ignore_ascii_case(all.as_bytes()))
    };
    let all = args.len() == 1 || args.from(1).any(is_everything);
    let status = turn.backend.status();
    let process = turn.backend.server();
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if all || args.from(1).any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes())) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line(&mut text, format_args!("# {name}"));
            write(&mut text, &status, &process);
        }
    }
    session.answer(turn, |writer| writer.text(&text));
    Ok(())
}

fn line(text: &mut String, content: core::fmt::Arguments<'_>) {
    let written = write!(text, "{content}\r\n");
    debug_assert!(written.is_ok(), "a string takes every write");
}

fn server(text: &mut String, status: &Status, process: &ServerInfo) {
    line(text, format_args!("redis_version:{REDIS_VERSION}"));
    line(text, format_args!("quorate_version:{VERSION}"));
    line(text, format_args!("redis_mode:standalone"));
    line(text, format_args!("os:{} {}", std::env::consts::OS, std::env::consts::ARCH));
    line(text, format_args!("arch_bits:{}", usize::BITS));
    line(text, format_args!("process_id:{}", std::process::id()));
    line(text, format_args!("run_id:{:040x}", status.generation));
    line(text, format_args!("tcp_port:{}", process.tcp_port));
    line(text, format_args!("uptime_in_seconds:{}", process.uptime_seconds));
    line(text, format_args!("uptime_in_days:{}", process.uptime_seconds / 86_400));
    line(text, format_args!("quorate_name:{}", status.name));
    line(text, format_args!("quorate_cluster:{}", status.cluster));
}

fn clients(text: &mut String, _: &Status, process: &ServerInfo) {
    line(text, format_args!("connected_clients:{}", process.connected_clients));
    line(text, format_args!("blocked_clients:0"));
}

fn memory(text: &mut String, _: &Status, process: &ServerInfo) {
    line(text, format_args!("used_memory:{}", process.used_memory));
    line(text, format_args!("used_memory_rss:{}", process.used_memory));
    line(text, format_args!("maxmemory:0"));
    line(text, format_args!("maxmemory_policy:noeviction"));
}

fn persistence(text: &mut String, status: &Status, process: &ServerInfo) {
    let has_log = u8::from(!process.directory.is_empty());
    line(text, format_args!("loading:0"));
    line(text, format_args!("rdb_last_bgsave_status:ok"));
    line(text, format_args!("aof_enabled:{has_log}"));
    line(text, format_args!("aof_last_write_status:{}", if status.read_only { "err" } else { "ok" }));
    line(text, format_args!("quorate_durability:{}", process.durability));
    line(text, format_args!("quorate_read_only:{}", u8::from(status.read_only)));
    line(text, format_args!("quorate_disk_full:{}", u8::from(status.disk_full)));
    line(text, format_args!("quorate_incomplete_partitions:{}", status.incomplete));
}

fn stats(text: &mut String, status: &Status, process: &ServerInfo) {
    line(text, format_args!("total_connections_received:{}", process.connections_received));
    line(text, format_args!("total_commands_processed:{}", process.commands_processed));
    for (name, value) in &status.counters {
        line(text, format_args!("quorate_{name}:{value}"));
    }
}

fn replication(text: &mut String, status: &Status, _: &ServerInfo) {
    let up = status.members.iter().filter(|member| member.up).count();
    line(text, format_args!("role:master"));
    line(text, format_args!("connected_slaves:0"));
    line(text, format_args!("quorate_layout_version:{}", status.layout_version));
    line(text, format_args!("quorate_partitions:{}", status.partitions));
    line(text, format_args!("quorate_members:{}", status.members.len()));
    line(text, format_args!("quorate_members_up:{up}"));
    for verdict in ["alive", "unsteady", "suspect", "down", "left"] {
        let count = status.members.iter().filter(|member| member.verdict_name() == Some(verdict)).count();
        line(text, format_args!("quorate_members_{verdict}:{count}"));
    }
    line(text, format_args!("quorate_degraded:{}", u8::from(status.degraded)));
}

/// The records of all keyspaces that lie on this node, tombstones included; what is live in the whole
/// cluster only a scan can tell (`DBSIZE`).
fn keyspace(text: &mut String, status: &Status, _: &ServerInfo) {
    if status.records > 0 {
        line(text, format_args!("db0:keys={},expires=0,avg_ttl=0", status.records));
    }
}

const CONFIG: &[Subcommand] = &[
    Subcommand { name: "get", arity: -3, handler: config_get },
    Subcommand { name: "set", arity: -4, handler: config_is_fixed },
    Subcommand { name: "rewrite", arity: 2, handler: config_is_fixed },
    Subcommand { name: "resetstat", arity: 2, handler: config_is_fixed },
];

/// `CONFIG subcommand`
pub fn config(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    subcommand("config", CONFIG, session, turn, args)
}

fn config_get(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let process = turn.backend.server();
    let has_log = !process.directory.is_empty();
    let appendfsync = if process.durability == "always" { "always" } else { "everysec" };
    let settings = [
        ("appendfsync", appendfsync.to_owned()),
        ("appendonly", if has_log { "yes" } else { "no" }.to_owned()),
        ("databases", KEYSPACES_MAX.to_string()),
        ("dir", process.directory),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", process.tcp_port.to_string()),
        ("proto-max-bulk-len", session.settings.value_max.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let mut budget = Budget(1 << 20);
    let mut wanted: Vec<(&[u8], &str)> = Vec::new();
    for pattern in args.from(2) {
        let lower = pattern.to_ascii_lowercase();
        for (name, value) in &settings {
            // Whoever names a setting gets it under that name, in whatever case.
            let name = if lower == name.as_bytes() { pattern } else { name.as_bytes() };
            let is_wanted = glob::matches(&lower, &name.to_ascii_lowercase(), &mut budget).unwrap_or(false);
            if is_wanted && !wanted.iter().any(|(other, _)| *other == name) {
                wanted.push((name, value));
            }
        }
    }
    session.answer(turn, |writer| {
        writer.map(wanted.len());
        for (name, value) in wanted {
            writer.bulk(name);
            writer.bulk(value.as_bytes());
        }
    });
    Ok(())
}

fn config_is_fixed(_: &mut Session, _: &mut Turn<'_>, _: Args<'_>) -> Handled {
    Err("ERR not supported: settings are given when the node is started".into())
}

const COMMAND: &[Subcommand] = &[
    Subcommand { name: "count", arity: 2, handler: command_count },
    Subcommand { name: "list", arity: -2, handler: command_list },
    Subcommand { name: "info", arity: -2, handler: command_info },
    Subcommand { name: "docs", arity: -2, handler: command_docs },
    Subcommand { name: "getkeys", arity: -4, handler: command_keys },
];

/// `COMMAND [subcommand]`
pub fn command(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if args.len() == 1 {
        return command_info(session, turn, args);
    }
    subcommand("command", COMMAND, session, turn, args)
}

fn command_count(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    session.answer(turn, |writer| writer.integer(command::all().len() as i64));
    Ok(())
}

fn command_list(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if args.len() > 2 {
        return Err(SYNTAX);
    }
    session.answer(turn, |writer| {
        writer.array(command::all().len());
        for command in command::all() {
            writer.bulk(command.name.as_bytes());
        }
    });
    Ok(())
}

/// The commands that the arguments from the third on name, or all.
fn named(args: Args<'_>) -> Vec<Option<&'static Command>> {
    match args.len() {
        0..3 => command::all().iter().map(Some).collect(),
        _ => args.from(2).map(command::lookup).collect(),
    }
}

fn command_info(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let commands = named(args);
    session.answer(turn, |writer| {
        writer.array(commands.len());
        for command in commands {
            match command {
                Some(command) => describe(writer, command),
                None => writer.null_array(),
            }
        }
    });
    Ok(())
}

/// Name, arity, flags, first key, last key, step, categories, tips, key specifications, subcommands.
fn describe(writer: &mut Writer<'_>, command: &Command) {
    let flags: &[&str] = match (command.access, &command.run) {
        (Access::Read, _) => &["readonly", "fast"],
        (Access::Write | Access::Edit, _) => &["write", "denyoom", "fast"],
        (Access::None, Run::Alone(_)) => &["readonly"],
        (Access::None, _) if command.before_auth => &["loading", "stale", "fast", "no_auth"],
        (Access::None, _) => &["loading", "stale", "fast"],
    };
    let (first, last, step) = match command.keys {
        Keys::None => (0, 0, 0),
        Keys::First => (1, 1, 1),
        Keys::Second => (2, 2, 1),
        Keys::All => (1, -1, 1),
        Keys::Pairs => (1, -1, 2),
    };
    let category = match command.access {
        Access::Read => "@read",
        Access::Write | Access::Edit => "@write",
        Access::None => "@connection",
    };
    writer.array(10);
    writer.bulk(command.name.as_bytes());
    writer.integer(i64::from(command.arity));
    writer.set(flags.len());
    for flag in flags {
        writer.simple(flag);
    }
    writer.integer(first);
    writer.integer(last);
    writer.integer(step);
    writer.set(1);
    writer.simple(category);
    for _ in ["tips", "key specifications", "subcommands"] {
        writer.array(0);
    }
}

fn command_docs(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let commands: Vec<_> = named(args).into_iter().flatten().collect();
    session.answer(turn, |writer| {
        writer.map(commands.len());
        for command in commands {
            let is_ours = command.name.starts_with("q.");
            writer.bulk(command.name.as_bytes());
            writer.map(2);
            writer.bulk(b"group");
            writer.bulk(match command.keys {
                _ if is_ours => b"quorate".as_slice(),
                Keys::None => b"server",
                _ => b"string",
            });
            writer.bulk(b"arity");
            writer.integer(i64::from(command.arity));
        }
    });
    Ok(())
}

fn command_keys(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let command = command::lookup(args.at(2)).ok_or(INVALID_COMMAND)?;
    let inner = args.tail(2);
    let takes = match (command.keys, inner.get(1)) {
        (Keys::Second, Some(name)) => object::words(name).ok_or(INVALID_COMMAND)? == inner.len(),
        _ => command.takes(inner.len()),
    };
    if !takes {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let keys: Vec<&[u8]> = match command.keys {
        Keys::None => Vec::new(),
        Keys::First | Keys::Second => command.key_at().and_then(|at| inner.get(at)).into_iter().collect(),
        Keys::All => inner.from(1).collect(),
        Keys::Pairs => inner.from(1).step_by(2).collect(),
    };
    if keys.is_empty() {
        return Err("ERR The command has no key arguments".into());
    }
    session.answer(turn, |writer| {
        writer.array(keys.len());
        for key in keys {
            writer.bulk(key);
        }
    });
    Ok(())
}
