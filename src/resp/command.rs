//! The table of commands: name, arity, what it touches, what it does.
//!
//! One row per command, in one place; whoever adds one adds its row here and its handler in the file of
//! its family. What Redis has and we have not is in [`super::refused`], each with its reason.

use crate::proto::io::{Edit, ExpiryEdit, Operation, Presence};

use super::limits::SHOWN_MAX;
use super::order::{Gather, Part};
use super::overlap::Access;
use super::parse::Args;
use super::reply::Writer;
use super::session::{Handled, Refusal, Session, Turn};
use super::text::shown;
use super::{
    about, cluster, connection, counters, expiry, object, parts, playground, quorum, refused, sets, store,
    strings, walk, watch,
};

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name in lower case.
    pub name: &'static str,
    /// How many arguments it takes, the name included; at least so many if negative, as Redis counts.
    pub arity: i8,
    /// What it does to its keys.
    pub access: Access,
    /// With so many arguments it writes without looking, whatever `access` says; 0 for never.
    pub plain: u8,
    /// Which arguments are keys.
    pub keys: Keys,
    /// Whether it may be sent before `AUTH`.
    pub before_auth: bool,
    /// How it is carried out.
    pub run: Run,
}

/// Which arguments of a command are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// None.
    None,
    /// The first.
    First,
    /// The second, behind a subcommand.
    Second,
    /// All.
    All,
    /// Every other: each is followed by its value.
    Pairs,
}

/// Carries out a command of checked arity: answers it, submits it, or says why not.
pub type Handler = fn(&mut Session, &mut Turn<'_>, Args<'_>) -> Handled;

/// How a command is carried out.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// By a handler, at once.
    Once(Handler),
    /// By a handler, once every command before it was answered.
    Alone(Handler),
    /// By one request per key.
    EachKey(EachKey),
}

/// A command of one request per key.
#[derive(Clone, Copy, Debug)]
pub struct EachKey {
    /// The request for the key that is the argument at the given place.
    pub operation: for<'a> fn(Args<'a>, usize) -> Operation<'a>,
    /// What its reply means.
    pub part: Part,
    /// What is answered in the end.
    pub gather: Gather,
}

const fn row(name: &'static str, arity: i8, access: Access, keys: Keys, run: Run) -> Command {
    Command { name, arity, access, plain: 0, keys, before_auth: false, run }
}

/// A command on one key.
const fn on_key(name: &'static str, arity: i8, access: Access, handler: Handler) -> Command {
    row(name, arity, access, Keys::First, Run::Once(handler))
}

/// A command that may be sent before `AUTH`.
const fn before_auth(name: &'static str, arity: i8, handler: Handler) -> Command {
    Command { before_auth: true, ..row(name, arity, Access::None, Keys::None, Run::Once(handler)) }
}

/// A command of one request per key.
const fn each(
    name: &'static str,
    arity: i8,
    access: Access,
    keys: Keys,
    operation: for<'a> fn(Args<'a>, usize) -> Operation<'a>,
    (part, gather): (Part, Gather),
) -> Command {
    row(name, arity, access, keys, Run::EachKey(EachKey { operation, part, gather }))
}

fn get<'a>(_: Args<'a>, _: usize) -> Operation<'a> {
    Operation::Get
}

fn delete<'a>(_: Args<'a>, _: usize) -> Operation<'a> {
    Operation::Edit(Edit::Delete)
}

fn set<'a>(args: Args<'a>, at: usize) -> Operation<'a> {
    let value = args.at(at + 1);
    Operation::Edit(Edit::Set { value, when: Presence::Any, expiry: ExpiryEdit::Clear })
}

const FOUND: (Part, Gather) = (Part::Found, Gather::Count);
const DELETED: (Part, Gather) = (Part::Applied, Gather::Count);

const NONE: Access = Access::None;
const READ: Access = Access::Read;
const WRITE: Access = Access::Write;
const EDIT: Access = Access::Edit;

static COMMANDS: &[Command] = &[
    // Busiest first; the order has no other meaning.
    on_key("get", 2, READ, strings::get),
    Command { plain: 3, ..on_key("set", -3, EDIT, strings::set) },
    each("mget", -2, READ, Keys::All, get, (Part::Value, Gather::Values)),
    each("mset", -3, EDIT, Keys::Pairs, set, (Part::Written, Gather::Ok)),
    each("del", -2, EDIT, Keys::All, delete, DELETED),
    each("unlink", -2, EDIT, Keys::All, delete, DELETED),
    each("exists", -2, READ, Keys::All, get, FOUND),
    each("touch", -2, READ, Keys::All, get, FOUND),
    on_key("getset", 3, EDIT, strings::get_set),
    on_key("getdel", 2, EDIT, strings::get_delete),
    on_key("getex", -2, EDIT, strings::get_expire),
    on_key("setex", 4, EDIT, strings::set_seconds),
    on_key("psetex", 4, EDIT, strings::set_millis),
    on_key("setnx", 3, EDIT, strings::set_absent),
    on_key("append", 3, EDIT, strings::append),
    on_key("incr", 2, EDIT, counters::increment),
    on_key("decr", 2, EDIT, counters::decrement),
    on_key("incrby", 3, EDIT, counters::increment_by),
    on_key("decrby", 3, EDIT, counters::decrement_by),
    on_key("incrbyfloat", 3, EDIT, counters::increment_by_float),
    on_key("getrange", 4, READ, parts::get_range),
    on_key("substr", 4, READ, parts::get_range),
    on_key("setrange", 4, EDIT, parts::set_range),
    on_key("getbit", 3, READ, parts::get_bit),
    on_key("setbit", 4, EDIT, parts::set_bit),
    on_key("bitcount", -2, READ, parts::count_bits),
    on_key("bitpos", -3, READ, parts::find_bit),
    on_key("sadd", -3, EDIT, sets::add),
    on_key("srem", -3, EDIT, sets::remove),
    on_key("smembers", 2, READ, sets::members),
    on_key("sismember", 3, READ, sets::is_member),
    on_key("smismember", -3, READ, sets::are_members),
    on_key("scard", 2, READ, sets::cardinality),
    on_key("strlen", 2, READ, strings::length),
    on_key("type", 2, READ, strings::kind),
    on_key("expire", -3, EDIT, expiry::expire),
    on_key("pexpire", -3, EDIT, expiry::expire_millis),
    on_key("expireat", -3, EDIT, expiry::expire_at),
    on_key("pexpireat", -3, EDIT, expiry::expire_at_millis),
    on_key("persist", 2, EDIT, expiry::persist),
    on_key("ttl", 2, READ, expiry::left),
    on_key("pttl", 2, READ, expiry::left_millis),
    on_key("expiretime", 2, READ, expiry::at),
    on_key("pexpiretime", 2, READ, expiry::at_millis),
    row("object", -2, READ, Keys::Second, Run::Once(object::object)),
    on_key("q.get", -2, READ, quorum::get),
    on_key("q.put", -3, WRITE, quorum::put),
    on_key("q.del", -2, WRITE, quorum::delete),
    on_key("q.counter", -2, EDIT, counters::counter),
    on_key("q.set", -5, EDIT, sets::change),
    on_key("q.owners", 2, NONE, quorum::owners),
    row("q.status", 1, NONE, Keys::None, Run::Once(quorum::status)),
    row("q.watch", -2, NONE, Keys::None, Run::Alone(watch::watch)),
    row("q.reads", 1, NONE, Keys::None, Run::Once(quorum::reads)),
    row("q.store", -2, NONE, Keys::None, Run::Once(store::store)),
    row("q.dev", 2, NONE, Keys::None, Run::Once(playground::dev)),
    row("q.cluster", -2, WRITE, Keys::None, Run::Alone(cluster::cluster)),
    row("scan", -2, NONE, Keys::None, Run::Alone(walk::scan)),
    row("q.scan", -2, NONE, Keys::None, Run::Alone(walk::scan_by_quorum)),
    row("keys", 2, NONE, Keys::None, Run::Alone(walk::keys)),
    row("randomkey", 1, NONE, Keys::None, Run::Alone(walk::random)),
    row("dbsize", 1, NONE, Keys::None, Run::Alone(walk::size)),
    row("flushdb", -1, NONE, Keys::None, Run::Alone(walk::flush)),
    row("flushall", -1, NONE, Keys::None, Run::Alone(walk::flush_all)),
    row("ping", -1, NONE, Keys::None, Run::Once(connection::ping)),
    row("echo", 2, NONE, Keys::None, Run::Once(connection::echo)),
    row("select", 2, NONE, Keys::None, Run::Once(connection::select)),
    row("client", -2, NONE, Keys::None, Run::Once(connection::client)),
    before_auth("hello", -1, connection::hello),
    before_auth("auth", -2, connection::auth),
    before_auth("quit", -1, connection::quit),
    before_auth("reset", 1, connection::reset),
    row("info", -1, NONE, Keys::None, Run::Once(about::info)),
    row("config", -2, NONE, Keys::None, Run::Once(about::config)),
    row("command", -1, NONE, Keys::None, Run::Once(about::command)),
    row("time", 1, NONE, Keys::None, Run::Once(about::time)),
];

/// The command that these arguments name.
///
/// # Errors
/// There is none of that name, it is one that we refuse, or the number of arguments is wrong.
pub fn find(args: Args<'_>) -> Result<&'static Command, Refusal> {
    let command = lookup(args.at(0)).ok_or_else(|| unknown(args))?;
    if !command.takes(args.len()) {
        return Err(wrong_arity(command.name));
    }
    Ok(command)
}

impl Command {
    /// Where its one key is among its arguments, if it has one.
    pub fn key_at(&self) -> Option<usize> {
        match self.keys {
            Keys::First => Some(1),
            Keys::Second => Some(2),
            Keys::None | Keys::All | Keys::Pairs => None,
        }
    }

    /// Whether it is about keys that it names.
    pub fn is_for_keys(&self) -> bool {
        !matches!(self.keys, Keys::None)
    }

    /// Whether it takes so many arguments, the name included.
    pub fn takes(&self, count: usize) -> bool {
        takes(self.arity, count)
    }
}

fn takes(arity: i8, count: usize) -> bool {
    let wanted = usize::from(arity.unsigned_abs());
    if arity < 0 { count >= wanted } else { count == wanted }
}

/// A command below another, as in `CLIENT ID`.
pub struct Subcommand {
    /// Its name in lower case.
    pub name: &'static str,
    /// How many arguments it takes, both names included, as for a command.
    pub arity: i8,
    /// Carries it out.
    pub handler: Handler,
}

/// Carries out the subcommand that the second argument names.
///
/// # Errors
/// There is none of that name, its number of arguments is wrong, or it refuses.
pub fn subcommand(
    name: &str,
    table: &[Subcommand],
    session: &mut Session,
    turn: &mut Turn<'_>,
    args: Args<'_>,
) -> Handled {
    if args.is(1, "HELP") {
        if args.len() > 2 {
            return Err(wrong_arity(&format!("{name}|help")));
        }
        session.answer(turn, |writer| help(writer, name, table));
        return Ok(());
    }
    let Some(found) = table.iter().find(|row| args.is(1, row.name)) else {
        let given = shown(args.at(1), SHOWN_MAX);
        return Err(format!("ERR unknown subcommand '{given}'. Try {} HELP.", name.to_uppercase()).into());
    };
    if !takes(found.arity, args.len()) {
        return Err(wrong_arity(&format!("{name}|{}", found.name)));
    }
    (found.handler)(session, turn, args)
}

fn help(writer: &mut Writer<'_>, name: &str, table: &[Subcommand]) {
    writer.array(1 + table.len());
    writer.simple(&format!("{} <subcommand> [<arg> [value] ...]. Subcommands are:", name.to_uppercase()));
    for row in table {
        writer.simple(&row.name.to_uppercase());
    }
}

/// The command of this name, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let mut bucket = hash(name) as usize % BUCKETS;
    loop {
        let command = COMMANDS.get(usize::from(INDEX[bucket]))?;
        if name.eq_ignore_ascii_case(command.name.as_bytes()) {
            return Some(command);
        }
        bucket = (bucket + 1) % BUCKETS;
    }
}

/// All commands, in the order of the table.
pub fn all() -> &'static [Command] {
    COMMANDS
}

/// The refusal of a wrong number of arguments.
pub fn wrong_arity(name: &str) -> Refusal {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

fn unknown(args: Args<'_>) -> Refusal {
    if let Some(reason) = refused::reason(args.at(0)) {
        return format!("ERR not supported: {reason}").into();
    }
    let mut beginning = String::new();
    for argument in args.from(1) {
        if beginning.len() >= SHOWN_MAX {
            break;
        }
        let room = SHOWN_MAX - beginning.len();
        beginning.push('\'');
        beginning.push_str(&shown(argument, room));
        beginning.push_str("' ");
    }
    let name = shown(args.at(0), SHOWN_MAX);
    format!("ERR unknown command '{name}', with args beginning with: {beginning}").into()
}

/// Whether this is a line of HTTP: somebody talks a web browser into sending commands to us. Nothing
/// that follows on the connection may be carried out.
pub fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

/// Open addressing over the names, so that the busiest path compares one name. An empty bucket holds a
/// number that no command has.
const BUCKETS: usize = 512;
const EMPTY: u8 = u8::MAX;
static INDEX: [u8; BUCKETS] = index(COMMANDS);

const fn index(commands: &[Command]) -> [u8; BUCKETS] {
    assert!(commands.len() < EMPTY as usize, "numbers of commands fit a byte");
    let mut index = [EMPTY; BUCKETS];
    let mut at = 0;
    while at < commands.len() {
        let mut bucket = hash(commands[at].name.as_bytes()) as usize % BUCKETS;
        while index[bucket] != EMPTY {
            bucket = (bucket + 1) % BUCKETS;
        }
        index[bucket] = at as u8;
        at += 1;
    }
    index
}

/// The same for upper and lower case. Looks at no more than a name can have.
const fn hash(name: &[u8]) -> u32 {
    let mut hash = name.len() as u32;
    let mut at = 0;
    while at < name.len() && at < 16 {
        hash = hash.wrapping_mul(0x0100_0193) ^ (name[at] | 0x20) as u32;
        at += 1;
    }
    hash ^ hash >> 15
}
