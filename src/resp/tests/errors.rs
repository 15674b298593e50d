//! Every error text: of outcomes, of arguments, of commands that are not there.

use super::fake::Client;
use crate::proto::error::Outcome;
use crate::resp::command;
use crate::resp::session::{Next, Settings};

#[test]
fn outcomes_have_codes_and_nothing_unmet_is_ok() {
    let table = [
        (Outcome::BadArgument("W is over N".into()), "-ERR W is over N"),
        (
            Outcome::NotEnoughReplicas { reachable: 1, needed: 2 },
            "-NOREPLICAS 1 reachable, 2 needed; nothing was written",
        ),
        (
            Outcome::Partial,
            "-PARTIAL fewer replicas than asked have it; it will spread acked=1 of=2 dot=fa.bee.5:0",
        ),
        (Outcome::Maybe, "-MAYBE the deadline passed, it may be written acked=1 of=2 dot=fa.bee.5:0"),
        (Outcome::Overloaded, "-BUSY nothing was done, try again"),
        (Outcome::WrongLayout, "-WRONGLAYOUT wrong layout"),
        (Outcome::TooManySiblings(100), "-SIBLINGS the key has 100; read them and put with the context"),
        (Outcome::BadContext("of another key".into()), "-BADCONTEXT of another key"),
        (Outcome::ClockTooFar, "-CLOCK clock too far ahead"),
        (Outcome::NoMajority, "-NOMAJORITY no version is held by a majority; VIEW all shows the siblings"),
        (Outcome::DiskFull, "-DISKFULL nothing was written"),
        (Outcome::ReadOnly, "-READONLY the store failed a sync and takes no more writes"),
        (Outcome::Incomplete, "-INCOMPLETE this store lost records of the partition"),
        (Outcome::Timeout, "-TIMEOUT too few replicas answered before the deadline"),
    ];
    let commands = [
        "GET bad",
        "SET bad v",
        "SET bad v NX",
        "SET bad v GET",
        "GETSET bad v",
        "GETDEL bad",
        "GETEX bad",
        "GETEX bad PERSIST",
        "SETNX bad v",
        "SETEX bad 1 v",
        "APPEND bad v",
        "STRLEN bad",
        "TYPE bad",
        "TTL bad",
        "EXPIRE bad 1",
        "PERSIST bad",
        "Q.GET bad",
        "Q.PUT bad v",
        "Q.DEL bad",
        "EXISTS bad",
        "DEL bad",
        "MGET bad",
        "MSET bad v",
    ];
    for (outcome, expected) in table {
        for line in commands {
            let mut client = Client::new();
            client.fake.failures.insert(b"bad".to_vec(), outcome.clone());
            let answer = client.line(line);
            assert!(answer.starts_with(expected), "{line}: {answer}");
            assert_eq!(answer.matches("\r\n").count(), 1, "{line}: {answer}");
        }
        for line in ["DBSIZE", "KEYS *", "SCAN 0", "Q.SCAN 0", "FLUSHALL"] {
            let mut client = Client::new();
            client.fake.failures.insert(Vec::new(), outcome.clone());
            let answer = client.line(line);
            assert!(answer.starts_with(expected), "{line}: {answer}");
        }
    }
}

#[test]
fn one_failed_key_fails_the_whole_command_but_for_the_values_of_others() {
    let mut client = Client::new();
    client.fake.failures.insert(b"bad".to_vec(), Outcome::Timeout);
    let timeout = "-TIMEOUT too few replicas answered before the deadline";
    for backwards in [false, true] {
        client.send(b"MGET bad a bad c\r\nMGET bad bad\r\n");
        client.send(b"DEL a bad\r\nMSET a 1 bad 2 c 3\r\nEXISTS bad\r\nMGET a\r\n");
        client.settle(backwards);
        assert_eq!(
            client.taken(),
            format!(
                "*4\r\n{timeout}\r\n$-1\r\n{timeout}\r\n{}\r\n\
                 {timeout} (key 1 of 2; 0 of 2 succeeded)\r\n{timeout} (key 2 of 2; 1 of 2 succeeded)\r\n\
                 {timeout} (key 2 of 3; 2 of 3 succeeded)\r\n{timeout} (key 1 of 1; 0 of 1 succeeded)\r\n\
                 *1\r\n$1\r\n1\r\n",
                if backwards { "$1\r\n3" } else { "$-1" },
            )
        );
        client.line("DEL a");
    }
}

#[test]
fn a_flush_that_fails_says_how_far_it_came() {
    let mut client = Client::new();
    for key in ["a", "b", "c"] {
        client.line(&format!("SET {key} v"));
    }
    client.fake.failures.insert(b"b".to_vec(), Outcome::Overloaded);
    let answer = client.line("FLUSHDB");
    assert_eq!(answer, "-BUSY nothing was done, try again (after 2 keys were deleted)\r\n");
    client.fake.failures.clear();
    assert_eq!(client.line("FLUSHDB"), "+OK\r\n");
    assert_eq!(client.line("DBSIZE"), ":0\r\n");
}

// Long because it is one table: a line for each command and mistake.
#[test]
fn arguments_are_refused_as_redis_refuses_them() {
    const SYNTAX: &str = "ERR syntax error";
    const INTEGER: &str = "ERR value is not an integer or out of range";
    let mut client = Client::new();
    for (line, expected) in [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("set a", "ERR wrong number of arguments for 'set' command"),
        ("MSET a", "ERR wrong number of arguments for 'mset' command"),
        ("MSET a b c", "ERR wrong number of arguments for 'mset' command"),
        ("PING a b", "ERR wrong number of arguments for 'ping' command"),
        ("CLIENT", "ERR wrong number of arguments for 'client' command"),
        ("CLIENT SETNAME", "ERR wrong number of arguments for 'client|setname' command"),
        ("CONFIG GET", "ERR wrong number of arguments for 'config|get' command"),
        ("COMMAND COUNT x", "ERR wrong number of arguments for 'command|count' command"),
        ("CLIENT foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
        ("CONFIG foo", "ERR unknown subcommand 'foo'. Try CONFIG HELP."),
        ("SET a b foo", SYNTAX),
        ("SET a b NX XX", SYNTAX),
        ("SET a b EX", SYNTAX),
        ("SET a b EX 1 PX 1", SYNTAX),
        ("SET a b KEEPTTL EX 1", SYNTAX),
        ("SET a b EX 1 KEEPTTL", SYNTAX),
        ("SET a b EX x foo", SYNTAX),
        ("SET a b EX 0 EX", SYNTAX),
        ("SET a b EX x PX 1", SYNTAX),
        ("SET a b EX 0 EX x", INTEGER),
        ("SET a b EX x", INTEGER),
        ("SET a b EX 01", INTEGER),
        ("SET a b EX 0", "ERR invalid expire time in 'set' command"),
        ("SET a b PX -1", "ERR invalid expire time in 'set' command"),
        ("SET a b EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
        ("SETEX a 0 b", "ERR invalid expire time in 'setex' command"),
        ("PSETEX a -1 b", "ERR invalid expire time in 'psetex' command"),
        ("GETEX a EX 1 PERSIST", SYNTAX),
        ("GETEX a foo", SYNTAX),
        ("GETEX a NX", SYNTAX),
        ("GETEX a PERSIST EX 1", SYNTAX),
        ("GETEX a EX 1 PX 1", SYNTAX),
        ("GETRANGE a x 1", INTEGER),
        ("GETRANGE a 1 x", INTEGER),
        ("SETRANGE a x b", INTEGER),
        ("SETRANGE a -1 b", "ERR offset is out of range"),
        ("SETRANGE a 16777216 b", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("SETRANGE a 9223372036854775807 b", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("GETBIT a x", "ERR bit offset is not an integer or out of range"),
        ("GETBIT a -1", "ERR bit offset is not an integer or out of range"),
        ("GETBIT a 134217728", "ERR bit offset is not an integer or out of range"),
        ("SETBIT a x 1", "ERR bit offset is not an integer or out of range"),
        ("SETBIT a 1 2", "ERR bit is not an integer or out of range"),
        ("BITCOUNT a 1", SYNTAX),
        ("BITCOUNT a 1 2 x", SYNTAX),
        ("BITCOUNT a 1 2 BIT x", SYNTAX),
        ("BITCOUNT a x 2", INTEGER),
        ("BITPOS a 2", "ERR The bit argument must be 1 or 0."),
        ("BITPOS a x", INTEGER),
        ("BITPOS a 1 x", INTEGER),
        ("BITPOS a 1 1 x", INTEGER),
        ("BITPOS a 1 1 2 x", SYNTAX),
        ("BITPOS a 1 1 2 BIT x", SYNTAX),
        ("OBJECT foo a", "ERR unknown subcommand 'foo'. Try OBJECT HELP."),
        ("OBJECT ENCODING", "ERR wrong number of arguments for 'object|encoding' command"),
        ("COMMAND GETKEYS object help", "ERR The command has no key arguments"),
        ("EXPIRE a x", INTEGER),
        ("EXPIRE a 1 foo", "ERR Unsupported option foo"),
        ("EXPIRE a 1 NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 1 GT LT", "ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE a 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("SELECT 16", "ERR DB index is out of range"),
        ("SELECT -1", "ERR DB index is out of range"),
        ("SELECT x", INTEGER),
        ("SELECT 4294967296", "ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN -", "ERR invalid cursor"),
        ("SCAN \" 1\"", "ERR invalid cursor"),
        ("OBJECT HELP x", "ERR wrong number of arguments for 'object|help' command"),
        ("CLIENT TRACKING x", SYNTAX),
        ("CLIENT TRACKING off x", SYNTAX),
        ("EXPIRE a 1 \"x\\x00y\"", "ERR Unsupported option x"),
        ("COMMAND GETKEYS object", "ERR wrong number of arguments for 'command|getkeys' command"),
        ("COMMAND GETKEYS object foo a", "ERR Invalid command specified"),
        ("COMMAND GETKEYS object freq a b", "ERR Invalid number of arguments specified for command"),
        ("Q.SCAN 1", "ERR invalid cursor: it is neither 0 nor what a page of Q.SCAN gave"),
        ("Q.SCAN \"\"", "ERR invalid cursor: it is neither 0 nor what a page of Q.SCAN gave"),
        ("Q.SCAN 0 COUNT 0", SYNTAX),
        ("Q.SCAN 0 PREFIX", SYNTAX),
        ("Q.SCAN 0 SLOPPY", SYNTAX),
        ("Q.SCAN 0 R x", INTEGER),
        ("Q.SCAN 0 TIMEOUT 0", "ERR TIMEOUT is outside 1 to 3600000 milliseconds"),
        ("SCAN 0 COUNT 0", SYNTAX),
        ("SCAN 0 COUNT x", INTEGER),
        ("SCAN 0 MATCH", SYNTAX),
        ("SCAN 0 foo bar", SYNTAX),
        ("FLUSHALL foo", SYNTAX),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO x", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 foo", "ERR Syntax error in HELLO option 'foo'"),
        ("HELLO 2 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
        ("CLIENT SETNAME \"a b\"", "ERR Client names cannot contain spaces, newlines or special characters."),
        ("CLIENT REPLY foo", SYNTAX),
        ("CLIENT NO-EVICT x", SYNTAX),
        ("CLIENT LIST ID x", "ERR Invalid client ID"),
        ("CLIENT UNBLOCK x", INTEGER),
        (
            "CLIENT unblock 1 error x",
            "ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.",
        ),
        ("CLIENT UNBLOCK 1 x", "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT LIST TYPE x", "ERR Unknown client type 'x'"),
        ("COMMAND LIST FILTERBY a b", SYNTAX),
        ("AUTH a b c", SYNTAX),
        (
            "AUTH x",
            "ERR AUTH <password> called without any password configured for the default user. Are you sure \
             your configuration is correct?",
        ),
        ("AUTH u x", "WRONGPASS invalid username-password pair or user is disabled."),
        ("foo bar baz", "ERR unknown command 'foo', with args beginning with: 'bar' 'baz' "),
        ("foo", "ERR unknown command 'foo', with args beginning with: "),
        ("Q.GET a R", SYNTAX),
        ("Q.GET a W 1", SYNTAX),
        ("Q.GET a R x", INTEGER),
        ("Q.GET a R 256", INTEGER),
        ("Q.GET a VIEW newest", "ERR VIEW is one of all, latest, majority, max, min, sum, set_union, concat"),
        ("Q.GET a TIMEOUT 0", "ERR TIMEOUT is outside 1 to 3600000 milliseconds"),
        ("Q.GET a TIMEOUT 3600001", "ERR TIMEOUT is outside 1 to 3600000 milliseconds"),
        ("Q.PUT a v R 1", SYNTAX),
        ("Q.PUT a v TTL 0", "ERR invalid expire time in 'q.put' command"),
        ("Q.DEL a TTL 5", SYNTAX),
        ("Q.PUT a v CONTEXT a=", "BADCONTEXT it is no unpadded base64url text of a context"),
        ("Q.PUT a v CONTEXT +/+/", "BADCONTEXT it is no unpadded base64url text of a context"),
    ] {
        assert_eq!(client.line(line), format!("-{expected}\r\n"), "{line}");
    }
    assert!(client.fake.submitted.is_empty(), "nothing was asked of the node");
}

#[test]
fn what_redis_has_and_we_have_not_is_refused_with_a_reason() {
    let mut client = Client::new();
    for (line, word) in [
        ("MULTI", "isolation"),
        ("WAIT 1 0", "W and DW"),
        ("MSETNX a 1", "several keys or none"),
        ("RENAME a b", "two keys"),
        ("eval x 0", "isolation"),
        ("SUBSCRIBE a", "publish and subscribe"),
        ("LPUSH a 1", "lists"),
        ("hset a b c", "hashes"),
        ("ZADD a 1 b", "sorted sets"),
        ("XADD a", "streams"),
        ("CLUSTER SLOTS", "slots"),
        ("SAVE", "log"),
        ("CONFIG SET a b", "started"),
        ("CLIENT KILL a", "connection"),
        ("CLIENT TRACKING on", "forget"),
        ("BITOP AND a b c", "one by one"),
    ] {
        let answer = client.line(line);
        assert!(answer.starts_with("-ERR not supported: ") && answer.contains(word), "{line}: {answer}");
    }
    for command in command::all() {
        let reason = crate::resp::refused::reason(command.name.as_bytes());
        assert_eq!(reason, None, "{} is both supported and refused", command.name);
    }
}

#[test]
fn a_wrong_arity_is_told_for_every_command() {
    for command in command::all() {
        let mut client = Client::new();
        let wanted = command.arity.unsigned_abs();
        let count = if command.arity > 0 { wanted } else { wanted.saturating_sub(2) };
        if count == 0 && command.arity < 0 && wanted == 1 {
            continue;
        }
        let line = command.name.to_owned() + &" x".repeat(usize::from(count));
        let name = command.name;
        assert_eq!(client.line(&line), format!("-ERR wrong number of arguments for '{name}' command\r\n"));
    }
}

#[test]
fn without_the_password_nothing_is_carried_out() {
    let settings = || Settings { password: Some(b"secret".to_vec()), ..Settings::default() };
    let mut client = Client::with(settings());
    for line in
        ["GET a", "SET a 1", "MGET a", "DBSIZE", "PING", "INFO", "CLIENT LIST", "Q.STATUS", "SELECT 1"]
    {
        assert_eq!(client.line(line), "-NOAUTH Authentication required.\r\n", "{line}");
    }
    assert!(client.line("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for line in
        ["AUTH x", "AUTH secre", "AUTH secrets", "AUTH default x", "AUTH u secret", "HELLO 3 AUTH default x"]
    {
        assert_eq!(client.line(line), wrong, "{line}");
    }
    assert!(client.fake.submitted.is_empty());
    assert_eq!(client.line("AUTH secret"), "+OK\r\n");
    assert_eq!(client.line("SET a 1"), "+OK\r\n");
    assert_eq!(client.line("RESET"), "+RESET\r\n");
    assert_eq!(client.line("GET a"), "-NOAUTH Authentication required.\r\n");
    assert!(client.line("HELLO 3 AUTH default secret").starts_with("%7\r\n"));
    assert_eq!(client.line("GET nope"), "_\r\n");
}

#[test]
fn http_is_refused_and_nothing_after_it_carried_out() {
    for line in ["POST / HTTP/1.1", "post /", "Host: localhost:7379"] {
        let mut client = Client::new();
        client.send(format!("{line}\r\nSET a 1\r\n").as_bytes());
        assert_eq!(client.taken(), "-ERR this is no HTTP server\r\n", "{line}");
        assert_eq!(client.next, Next::Close);
        assert!(client.session.is_done() && client.fake.submitted.is_empty());
    }
}
