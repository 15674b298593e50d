//! Commands about the connection itself: its protocol, its keyspace, its name, its end.

use std::borrow::Cow;

use crate::proto::limits::KEYSPACES_MAX;
use crate::proto::time::Now;

use super::command::{Subcommand, subcommand, wrong_arity};
use super::limits::{NAME_MAX, SHOWN_MAX};
use super::number::{NOT_AN_INTEGER, SYNTAX, integer, integer_at};
use super::parse::Args;
use super::reply::Protocol;
use super::session::{Answers, Handled, Refusal, Session, Turn};
use super::text::shown;

/// The Redis whose behaviour towards clients we copy.
pub const REDIS_VERSION: &str = "7.2.0";

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default \
                           user. Are you sure your configuration is correct?";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const HELLO_NEEDS_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
     <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
     the same time";

/// `PING [text]`
pub fn ping(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    match args.len() {
        1 => session.answer(turn, |writer| writer.simple("PONG")),
        2 => session.answer(turn, |writer| writer.bulk(args.at(1))),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}

/// `ECHO text`
pub fn echo(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    session.answer(turn, |writer| writer.bulk(args.at(1)));
    Ok(())
}

/// `QUIT`
pub fn quit(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    session.answer_ok(turn);
    session.closing = true;
    Ok(())
}

/// `RESET`: the connection as it was when it was new.
pub fn reset(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    session.keyspace = 0;
    session.name.clear();
    session.protocol = Protocol::Resp2;
    session.answers = Answers::On;
    session.authenticated = session.settings.password.is_none();
    session.answer(turn, |writer| writer.simple("RESET"));
    Ok(())
}

/// `SELECT keyspace`
pub fn select(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let number = integer(args.at(1)).ok_or(NOT_AN_INTEGER)?;
    if i32::try_from(number).is_err() {
        let (min, max) = (i32::MIN, i32::MAX);
        return Err(format!("ERR value is out of range, value must between {min} and {max}").into());
    }
    let keyspace = u16::try_from(number).ok().filter(|number| *number < KEYSPACES_MAX);
    session.keyspace = keyspace.ok_or("ERR DB index is out of range")?;
    session.answer_ok(turn);
    Ok(())
}

/// `AUTH [user] password`
pub fn auth(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    match args.len() {
        2 if session.settings.password.is_none() => return Err(NO_PASSWORD.into()),
        2 => authenticate(session, b"default", args.at(1))?,
        3 => authenticate(session, args.at(1), args.at(2))?,
        _ => return Err(SYNTAX),
    }
    session.answer_ok(turn);
    Ok(())
}

/// There is one user. Without a password it takes any, as Redis' default user does.
fn authenticate(session: &mut Session, user: &[u8], password: &[u8]) -> Handled {
    let is_right = session.settings.password.as_deref().is_none_or(|right| is_equal(right, password));
    if user != b"default" || !is_right {
        return Err(WRONG_PASSWORD.into());
    }
    session.authenticated = true;
    Ok(())
}

/// Compares in a time that depends on the lengths alone.
fn is_equal(right: &[u8], given: &[u8]) -> bool {
    let mut difference = right.len() ^ given.len();
    for (at, byte) in given.iter().enumerate() {
        let expected = right.get(at).copied().unwrap_or(0);
        difference |= usize::from(core::hint::black_box(byte ^ expected));
    }
    difference == 0
}

/// `HELLO [protocol [AUTH user password] [SETNAME name]]`
pub fn hello(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let mut protocol = session.protocol;
    if let Some(version) = args.get(1) {
        protocol = match integer(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        };
    }
    let (mut credentials, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at;
        if args.is(at, "AUTH") && left >= 3 {
            credentials = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if args.is(at, "SETNAME") && left >= 2 {
            name = Some(checked_name(args.at(at + 1), "Client names")?);
            at += 2;
        } else {
            let option = shown(args.at(at), SHOWN_MAX);
            return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(session, user, password)?;
    }
    if !session.authenticated {
        return Err(HELLO_NEEDS_AUTH.into());
    }
    session.name = name.unwrap_or(core::mem::take(&mut session.name));
    session.protocol = protocol;
    let id = session.id;
    session.answer(turn, |writer| {
        writer.map(7);
        writer.bulk(b"server");
        writer.bulk(b"redis");
        writer.bulk(b"version");
        writer.bulk(REDIS_VERSION.as_bytes());
        writer.bulk(b"proto");
        writer.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
        writer.bulk(b"id");
        writer.count(id);
        writer.bulk(b"mode");
        writer.bulk(b"standalone");
        writer.bulk(b"role");
        writer.bulk(b"master");
        writer.bulk(b"modules");
        writer.array(0);
    });
    Ok(())
}

fn checked_name(name: &[u8], what: &str) -> Result<Vec<u8>, Refusal> {
    if name.len() > NAME_MAX {
        return Err(format!("ERR {what} cannot be longer than {NAME_MAX} bytes").into());
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(format!("ERR {what} cannot contain spaces, newlines or special characters.").into());
    }
    Ok(name.to_vec())
}

const CLIENT: &[Subcommand] = &[
    Subcommand { name: "id", arity: 2, handler: client_id },
    Subcommand { name: "info", arity: 2, handler: client_info },
    Subcommand { name: "list", arity: -2, handler: client_list },
    Subcommand { name: "getname", arity: 2, handler: client_name },
    Subcommand { name: "setname", arity: 3, handler: set_client_name },
    Subcommand { name: "setinfo", arity: 4, handler: set_client_library },
    Subcommand { name: "reply", arity: 3, handler: client_reply },
    Subcommand { name: "no-evict", arity: 3, handler: on_or_off },
    Subcommand { name: "no-touch", arity: 3, handler: on_or_off },
    Subcommand { name: "getredir", arity: 2, handler: client_redirection },
    Subcommand { name: "tracking", arity: -3, handler: client_tracking },
    Subcommand { name: "trackinginfo", arity: 2, handler: client_tracking_info },
    Subcommand { name: "unblock", arity: -3, handler: client_unblock },
    Subcommand { name: "kill", arity: -3, handler: client_is_not_ours },
    Subcommand { name: "pause", arity: -3, handler: client_is_not_ours },
    Subcommand { name: "unpause", arity: 2, handler: client_is_not_ours },
];

/// `CLIENT subcommand`
pub fn client(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    subcommand("client", CLIENT, session, turn, args)
}

fn client_id(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let id = session.id;
    session.answer(turn, |writer| writer.count(id));
    Ok(())
}

fn client_info(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let line = session.describe(turn.now) + "\n";
    session.answer(turn, |writer| writer.text(&line));
    Ok(())
}

fn client_list(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let wanted: Option<Vec<i64>> = match args.len() {
        2 => None,
        4 if args.is(2, "TYPE") && args.is(3, "normal") => None,
        4 if args.is(2, "TYPE") => {
            if !["master", "pubsub", "replica", "slave"].iter().any(|known| args.is(3, known)) {
                return Err(format!("ERR Unknown client type '{}'", shown(args.at(3), SHOWN_MAX)).into());
            }
            Some(Vec::new())
        }
        _ if args.len() > 3 && args.is(2, "ID") => {
            Some(args.from(3).map(integer).collect::<Option<_>>().ok_or("ERR Invalid client ID")?)
        }
        _ => return Err(SYNTAX),
    };
    let mut lines = turn.backend.clients();
    lines.push(session.describe(turn.now));
    let number = |line: &str| {
        let digits = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next());
        digits.and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0)
    };
    lines.retain(|line| wanted.as_ref().is_none_or(|wanted| wanted.contains(&number(line))));
    lines.sort_by_key(|line| number(line));
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    session.answer(turn, |writer| writer.text(&text));
    Ok(())
}

fn client_name(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let name = session.name.clone();
    session.answer(turn, |writer| if name.is_empty() { writer.null() } else { writer.bulk(&name) });
    Ok(())
}

fn set_client_name(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    session.name = checked_name(args.at(2), "Client names")?;
    session.answer_ok(turn);
    Ok(())
}

fn set_client_library(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if args.is(2, "lib-name") {
        session.library.0 = checked_name(args.at(3), "lib-name")?;
    } else if args.is(2, "lib-ver") {
        session.library.1 = checked_name(args.at(3), "lib-ver")?;
    } else {
        let option = shown(args.at(2), SHOWN_MAX);
        return Err(format!("ERR Unrecognized option '{option}'").into());
    }
    session.answer_ok(turn);
    Ok(())
}

fn client_reply(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if args.is(2, "ON") {
        session.answers = Answers::On;
        session.answer_ok(turn);
    } else if args.is(2, "OFF") {
        session.answers = Answers::Off;
    } else if !args.is(2, "SKIP") {
        return Err(SYNTAX);
    } else if session.answers != Answers::Off {
        session.answers = Answers::SkipNext;
    }
    Ok(())
}

/// What a cache would do and we need not: nothing is evicted here, and reading marks nothing.
fn on_or_off(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if !args.is(2, "ON") && !args.is(2, "OFF") {
        return Err(SYNTAX);
    }
    session.answer_ok(turn);
    Ok(())
}

fn client_redirection(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    session.answer(turn, |writer| writer.integer(-1));
    Ok(())
}

fn client_tracking(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let is_known = |option: &[u8]| {
        ["BCAST", "NOLOOP", "OPTIN", "OPTOUT"]
            .iter()
            .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
    };
    if args.is(2, "ON") {
        return Err("ERR not supported: no node sees every write, so none can tell clients which keys they \
                    must forget"
            .into());
    }
    if !args.is(2, "OFF") || !args.from(3).all(is_known) {
        return Err(SYNTAX);
    }
    session.answer_ok(turn);
    Ok(())
}

fn client_tracking_info(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    session.answer(turn, |writer| {
        writer.map(3);
        writer.bulk(b"flags");
        writer.set(1);
        writer.bulk(b"off");
        writer.bulk(b"redirect");
        writer.integer(-1);
        writer.bulk(b"prefixes");
        writer.array(0);
    });
    Ok(())
}

/// No client is ever blocked.
fn client_unblock(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    match args.len() {
        3 => {}
        4 if args.is(3, "TIMEOUT") || args.is(3, "ERROR") => {}
        4 => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
        _ => {
            let given = shown(args.at(1), SHOWN_MAX);
            let text = format!(
                "ERR unknown subcommand or wrong number of arguments for '{given}'. Try CLIENT HELP."
            );
            return Err(text.into());
        }
    }
    integer_at(args, 2)?;
    session.answer(turn, |writer| writer.integer(0));
    Ok(())
}

fn client_is_not_ours(_: &mut Session, _: &mut Turn<'_>, _: Args<'_>) -> Handled {
    Err("ERR not supported: a connection may not end or delay another".into())
}

impl Session {
    /// This connection's line of `CLIENT LIST`, without its end.
    pub fn describe(&self, now: Now) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let version = if self.protocol == Protocol::Resp3 { 3 } else { 2 };
        let age = now.mono.since(self.began.mono).as_secs();
        let idle = now.mono.since(self.active.mono).as_secs();
        let user: Cow<'_, str> = if self.authenticated { "default".into() } else { "(none)".into() };
        format!(
            "id={} addr={} name={} age={age} idle={idle} flags=N db={} sub=0 psub=0 ssub=0 multi=-1 cmd={} \
             user={user} redir=-1 resp={version} lib-name={} lib-ver={} in-flight={}",
            self.id,
            self.address,
            text(&self.name),
            self.keyspace,
            self.last_command,
            text(&self.library.0),
            text(&self.library.1),
            self.in_flight(),
        )
    }
}
