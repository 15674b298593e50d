//! What each command answers, and what it asks of the node.

use super::super::text::context_text;
use super::fake::{Client, WALL};
use crate::proto::gossip::member::Verdict;
use crate::proto::io::{Options, View};
use crate::proto::node::MemberStatus;
use crate::proto::page_token::PageToken;

/// Sends each line and compares the answer; `~` stands for CRLF.
fn check(client: &mut Client, table: &[(&str, &str)]) {
    for (line, expected) in table {
        let answer = client.line(line).replace("\r\n", "~");
        assert_eq!(answer, *expected, "{line}");
    }
}

#[test]
fn strings_are_written_and_read() {
    check(
        &mut Client::new(),
        &[
            ("SET a 1", "+OK~"),
            ("get a", "$1~1~"),
            ("GET b", "$-1~"),
            ("SET \"\" \"\"", "+OK~"),
            ("GET \"\"", "$0~~"),
            ("SET a 2 NX", "$-1~"),
            ("SET a 2 xx", "+OK~"),
            ("SET new 2 XX", "$-1~"),
            ("SET a 3 GET", "$1~2~"),
            ("SET a 4 NX GET", "$1~3~"),
            ("SET fresh 1 NX GET", "$-1~"),
            ("GET fresh", "$1~1~"),
            ("MSET a 2 b 3 c \"x y\"", "+OK~"),
            ("MGET a b nope c a", "*5~$1~2~$1~3~$-1~$3~x y~$1~2~"),
            ("GETSET a 9", "$1~2~"),
            ("GETSET fresh2 9", "$-1~"),
            ("GETDEL a", "$1~9~"),
            ("GETDEL a", "$-1~"),
            ("SETNX a 1", ":1~"),
            ("SETNX a 2", ":0~"),
            ("APPEND a bc", ":3~"),
            ("APPEND tail xy", ":2~"),
            ("STRLEN a", ":3~"),
            ("STRLEN nope", ":0~"),
            ("TYPE a", "+string~"),
            ("TYPE nope", "+none~"),
            ("EXISTS a b b nope", ":3~"),
            ("TOUCH a nope", ":1~"),
            ("DEL a b nope", ":2~"),
            ("UNLINK c", ":1~"),
        ],
    );
}

#[test]
fn parts_of_values_are_read_and_written() {
    let mut client = Client::new();
    check(
        &mut client,
        &[
            ("SETRANGE a 2 xy", ":4~"),
            ("GETRANGE a 2 -1", "$2~xy~"),
            ("SUBSTR a 3 3", "$1~y~"),
            ("GETRANGE nope 0 -1", "$0~~"),
            ("SETRANGE a 9 \"\"", ":4~"),
            ("SETRANGE nope 9 \"\"", ":0~"),
            ("EXISTS nope", ":0~"),
            ("BITCOUNT a", ":9~"),
            ("BITCOUNT a 2 2", ":4~"),
            ("BITCOUNT a 17 18 BIT", ":2~"),
            ("BITCOUNT nope", ":0~"),
            ("BITPOS a 1", ":17~"),
            ("BITPOS a 0 2 -1 byte", ":16~"),
            ("BITPOS nope 1", ":-1~"),
            ("BITPOS nope 0 5", ":0~"),
            ("SETBIT a 0 1", ":0~"),
            ("SETBIT a 0 0", ":1~"),
            ("GETBIT a 17", ":1~"),
            ("GETBIT a 4000", ":0~"),
            ("SETBIT new 7 1", ":0~"),
            ("GET new", "$1~\u{1}~"),
            ("SET n 10", "+OK~"),
            ("OBJECT ENCODING n", "$3~int~"),
            ("OBJECT encoding new", "$6~embstr~"),
            ("SETRANGE n 44 x", ":45~"),
            ("OBJECT ENCODING n", "$3~raw~"),
            ("OBJECT REFCOUNT n", ":1~"),
            ("OBJECT FREQ nope", "$-1~"),
        ],
    );
    assert!(client.line("COMMAND GETKEYS object encoding k").ends_with("$1\r\nk\r\n"));
    assert!(client.line("OBJECT FREQ n").starts_with("-ERR An LFU maxmemory policy is not selected"));
    assert!(client.line("OBJECT IDLETIME n").starts_with("-ERR not supported: "));
}

#[test]
fn a_random_key_is_any_of_those_that_are_there() {
    let mut client = Client::new();
    assert_eq!(client.line("RANDOMKEY"), "$-1\r\n");
    let keys = ["a", "b", "c", "d"];
    for key in keys {
        client.line(&format!("SET {key} v"));
    }
    client.line("SET gone v PX 1");
    client.fake.wall += 1;
    let drawn: std::collections::BTreeSet<String> = (0..200).map(|_| client.line("RANDOMKEY")).collect();
    assert_eq!(drawn, keys.map(|key| format!("$1\r\n{key}\r\n")).into());
    client.line("SELECT 1");
    assert_eq!(client.line("RANDOMKEY"), "$-1\r\n");
}

#[test]
fn sets_are_changed_and_asked_about() {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value~";
    let mut client = Client::new();
    check(
        &mut client,
        &[
            ("SMEMBERS s", "*0~"),
            ("SCARD s", ":0~"),
            ("SISMEMBER s a", ":0~"),
            ("SREM s a", ":0~"),
            ("SADD s b a \"\" a", ":3~"),
            ("sadd s b c", ":1~"),
            ("SMEMBERS s", "*4~$0~~$1~a~$1~b~$1~c~"),
            ("SISMEMBER s \"\"", ":1~"),
            ("SISMEMBER s d", ":0~"),
            ("SMISMEMBER s a d c a", "*4~:1~:0~:1~:1~"),
            ("SCARD s", ":4~"),
            ("SREM s a d", ":1~"),
            ("TYPE s", "+set~"),
            ("EXISTS s", ":1~"),
            ("TTL s", ":-1~"),
            ("GET s", wrong),
            ("STRLEN s", wrong),
            ("GETDEL s", wrong),
            ("GETEX s PERSIST", wrong),
            ("GETSET s x", wrong),
            ("SET s x GET", wrong),
            ("MGET s nope", "*2~$-1~$-1~"),
            ("SET t text", "+OK~"),
            ("SADD t a", wrong),
            ("SREM t a", wrong),
            ("SMEMBERS t", wrong),
            ("SCARD t", wrong),
            ("SISMEMBER t a", wrong),
            ("SMISMEMBER t a", wrong),
            ("SADD s", "-ERR wrong number of arguments for 'sadd' command~"),
            ("SISMEMBER s a b", "-ERR wrong number of arguments for 'sismember' command~"),
            ("Q.SET s TOUCH 1 a", "-ERR syntax error~"),
            ("Q.SET s ADD 1", "-ERR wrong number of arguments for 'q.set' command~"),
            ("Q.SET s ADD x a", "-ERR value is not an integer or out of range~"),
            ("Q.SET s ADD 0 a", "-ERR the count of members is outside 1 to the number of words behind it~"),
            ("Q.SET s ADD 2 a", "-ERR the count of members is outside 1 to the number of words behind it~"),
            ("Q.SET s ADD 1 a W", "-ERR syntax error~"),
            ("Q.SET s ADD 1 a VIEW all", "-ERR syntax error~"),
            ("Q.SET t ADD 1 a", wrong),
        ],
    );
    let changed = client.line("Q.SET s ADD 2 W 1 R 1 W 1 SLOPPY");
    assert!(changed.contains("$7\r\nchanged\r\n:2\r\n"), "{changed}");
    let changed = client.line("q.set s remove 3 W 1 d r 1");
    assert!(changed.contains("$7\r\nchanged\r\n:2\r\n"), "{changed}");
    assert!(client.line("HELLO 3").starts_with('%'));
    check(&mut client, &[("SMEMBERS s", "~3~$0~~$1~b~$1~c~")]);
    assert!(client.line("SPOP s").contains("SADD"));
}

#[test]
fn numbers_are_counted_as_redis_counts_them() {
    let range = "-ERR value is not an integer or out of range~";
    let mut client = Client::new();
    check(
        &mut client,
        &[
            ("INCR n", ":1~"),
            ("incrby n 41", ":42~"),
            ("DECR n", ":41~"),
            ("DECRBY n -9", ":50~"),
            ("INCRBY n -60", ":-10~"),
            ("GET n", "$3~-10~"),
            ("INCRBY n x", range),
            ("INCRBY n 1.5", range),
            ("INCRBY n 9223372036854775808", range),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow~"),
            ("INCR", "-ERR wrong number of arguments for 'incr' command~"),
            ("DECRBY n", "-ERR wrong number of arguments for 'decrby' command~"),
            ("SET t text", "+OK~"),
            ("INCR t", range),
            ("INCRBYFLOAT n 0.5", "$12~sum with 0.5~"),
        ],
    );
    let mut client = Client::new();
    for (line, number, operation) in [
        ("Q.COUNTER n", 1, "Add(By { by: 1, id: None })"),
        (
            "Q.COUNTER n BY -4 ID 18446744073709551615",
            -3,
            "Add(By { by: -4, id: Some(18446744073709551615) })",
        ),
        ("Q.COUNTER n CONTEXT _w TO 8 W 1 DW 1 PW 1 TIMEOUT 9", 8, "Add(To { to: 8, context: [255] })"),
    ] {
        let answer = client.line(line).replace("\r\n", "~");
        assert!(answer.starts_with(&format!("*12~$5~value~:{number}~$3~dot~$")), "{line}: {answer}");
        let achieved = "~$5~acked~:2~$5~asked~:2~$7~durable~:1~$9~fallbacks~:0~";
        assert!(answer.ends_with(achieved), "{line}: {answer}");
        assert_eq!(client.fake.submitted.last().unwrap().operation, operation);
    }
    let options = client.fake.submitted.last().unwrap().options;
    assert_eq!((options.w, options.dw, options.pw, options.want_context), (Some(1), Some(1), Some(1), false));
    for wrong in [
        "Q.COUNTER n BY 1 TO 2",
        "Q.COUNTER n TO 2",
        "Q.COUNTER n CONTEXT _w",
        "Q.COUNTER n CONTEXT _w TO 2 ID 1",
        "Q.COUNTER n R 1",
        "Q.COUNTER n TTL 1",
        "Q.COUNTER n BY",
    ] {
        assert_eq!(client.line(wrong), "-ERR syntax error\r\n", "{wrong}");
    }
    assert!(client.line("Q.COUNTER n ID -1").starts_with("-ERR value is not an integer"));
    assert!(client.line("Q.COUNTER n CONTEXT ! TO 1").starts_with("-BADCONTEXT"));
}

#[test]
fn expiry_is_absolute_and_told_as_redis_tells_it() {
    let mut client = Client::new();
    let at = (WALL + 10_000) / 1_000;
    check(
        &mut client,
        &[
            ("TTL a", ":-2~"),
            ("SET a 1", "+OK~"),
            ("TTL a", ":-1~"),
            ("EXPIRETIME a", ":-1~"),
            ("EXPIRE nope 5", ":0~"),
            ("EXPIRE a 100", ":1~"),
            ("TTL a", ":100~"),
            ("PTTL a", ":100000~"),
            ("EXPIRE a 50 NX", ":0~"),
            ("EXPIRE a 50 GT", ":0~"),
            ("EXPIRE a 50 LT", ":1~"),
            ("EXPIRE a 60 XX GT", ":1~"),
            ("EXPIRE a 70 XX LT", ":0~"),
            ("EXPIRE a 59 LT XX", ":1~"),
            ("PEXPIRE a 1499", ":1~"),
            ("TTL a", ":1~"),
            ("PEXPIRE a 1500", ":1~"),
            ("TTL a", ":2~"),
            (&format!("EXPIREAT a {at}"), ":1~"),
            ("EXPIRETIME a", &format!(":{at}~")),
            ("PEXPIRETIME a", &format!(":{at}000~")),
            (&format!("PEXPIREAT a {at}001"), ":1~"),
            ("PERSIST a", ":1~"),
            ("PERSIST a", ":0~"),
            ("EXPIRE a 5 GT", ":0~"),
            ("EXPIRE a 5 XX", ":0~"),
            ("SET a 1 EX 10", "+OK~"),
            ("SET a 1 EX x EX 10", "+OK~"),
            ("SET a 2 KEEPTTL", "+OK~"),
            ("TTL a", ":10~"),
            ("SET a 2 PXAT 1900000000000", "+OK~"),
            ("PEXPIRETIME a", ":1900000000000~"),
            ("GETEX a", "$1~2~"),
            ("GETEX a PERSIST", "$1~2~"),
            ("TTL a", ":-1~"),
            ("GETEX a EX 7", "$1~2~"),
            ("TTL a", ":7~"),
            ("GETEX nope EX 7", "$-1~"),
            ("GETEX nope EX 0", "$-1~"),
            ("GETEX nope EX x", "$-1~"),
            ("GETEX a EX 0", "-ERR invalid expire time in 'getex' command~"),
            ("GETEX a EX x", "-ERR value is not an integer or out of range~"),
            ("GETEX a EX x EX 9", "$1~2~"),
            ("TTL a", ":9~"),
            ("GETEX a PERSIST persist", "$1~2~"),
            ("SETEX a 8 v", "+OK~"),
            ("TTL a", ":8~"),
            ("PSETEX a 900 v", "+OK~"),
            ("PTTL a", ":900~"),
            ("SET a 1", "+OK~"),
            ("TTL a", ":-1~"),
            ("EXPIRE a -1", ":1~"),
            ("GET a", "$-1~"),
        ],
    );
    client.line("SET b 1 PX 5");
    client.fake.wall += 5;
    assert_eq!(client.line("GET b"), "$-1\r\n");
}

#[test]
fn only_a_plain_set_writes_without_reading() {
    let mut client = Client::new();
    client.line("SELECT 3");
    for (line, operation) in [
        ("SET k v", "Put { value: [118], context: None, blind: Supersede, expires_ms: None }"),
        ("SET k v EX 1", "Edit(Set { value: [118], when: Any, expiry: At(1700000001000) })"),
        ("SET k v NX", "Edit(Set { value: [118], when: Absent, expiry: Clear })"),
        ("SET k v XX KEEPTTL", "Edit(Set { value: [118], when: Present, expiry: Keep })"),
        ("MSET k v", "Edit(Set { value: [118], when: Any, expiry: Clear })"),
        ("SETEX k 1 v", "Edit(Set { value: [118], when: Any, expiry: At(1700000001000) })"),
        ("PSETEX k 1 v", "Edit(Set { value: [118], when: Any, expiry: At(1700000000001) })"),
        ("SETNX k v", "Edit(Set { value: [118], when: Absent, expiry: Clear })"),
        ("GETSET k v", "Edit(Set { value: [118], when: Any, expiry: Clear })"),
        ("APPEND k v", "Edit(Append([118]))"),
        ("DEL k", "Edit(Delete)"),
        ("UNLINK k", "Edit(Delete)"),
        ("GETDEL k", "Edit(Delete)"),
        ("PERSIST k", "Edit(Expire { expiry: Clear, when: Some })"),
        ("GETEX k PERSIST", "Edit(Expire { expiry: Clear, when: Some })"),
        ("GETEX k PX 3", "Edit(Expire { expiry: At(1700000000003), when: Always })"),
        ("EXPIRE k 1 NX", "Edit(Expire { expiry: At(1700000001000), when: None })"),
        ("PEXPIREAT k 5 LT", "Edit(Expire { expiry: At(5), when: Sooner })"),
        ("GET k", "Get"),
        ("MGET k", "Get"),
        ("EXISTS k", "Get"),
        ("STRLEN k", "Get"),
        ("TYPE k", "Get"),
        ("PTTL k", "Get"),
        ("GETEX k", "Get"),
    ] {
        client.fake.submitted.clear();
        client.line(line);
        let [submitted] = client.fake.submitted.as_slice() else { panic!("{line}: one request") };
        assert_eq!(submitted.operation, operation, "{line}");
        assert_eq!((submitted.keyspace, submitted.key.as_slice()), (3, b"k".as_slice()), "{line}");
        let text_only = ["GETSET", "GETDEL", "GETEX k P"].iter().any(|begin| line.starts_with(begin));
        let options = Options { view: View::Latest, text_only, ..Options::default() };
        assert_eq!(submitted.options, options, "{line}");
    }
}

#[test]
fn quorum_commands_carry_their_options() {
    let mut client = Client::new();
    let context = crate::resp::text::context_text(b"\x01\x02\xff\xfe\xfd");
    for (line, operation, options) in [
        (
            "Q.GET k R 2 PR 1 VIEW majority TIMEOUT 250 SLOPPY",
            "Get",
            "r: Some(2), w: None, pr: Some(1), pw: None, dw: None, sloppy: true, view: Majority, text_only: false, want_context: true, timeout: Some(250ms)",
        ),
        (
            "q.get k",
            "Get",
            "r: None, w: None, pr: None, pw: None, dw: None, sloppy: false, view: All, text_only: false, want_context: true, timeout: None",
        ),
        (
            "Q.PUT k v w 3 DW 1 PW 2",
            "Put { value: [118], context: None, blind: Siblings, expires_ms: None }",
            "r: None, w: Some(3), pr: None, pw: Some(2), dw: Some(1), sloppy: false, view: All, text_only: false, want_context: true, timeout: None",
        ),
        (
            "Q.PUT k v TTL 5 SUPERSEDE",
            "Put { value: [118], context: None, blind: Supersede, expires_ms: Some(1700000000005) }",
            "",
        ),
        (
            &format!("Q.PUT k v CONTEXT {context}"),
            "Put { value: [118], context: Some([1, 2, 255, 254, 253]), blind: Siblings, expires_ms: None }",
            "",
        ),
        (
            &format!("Q.DEL k CONTEXT {context} W 2"),
            "Delete { context: Some([1, 2, 255, 254, 253]), blind: Siblings }",
            "",
        ),
        ("Q.DEL k SUPERSEDE", "Delete { context: None, blind: Supersede }", ""),
    ] {
        client.fake.submitted.clear();
        client.line(line);
        let [submitted] = client.fake.submitted.as_slice() else { panic!("{line}: one request") };
        assert_eq!(submitted.operation, operation, "{line}");
        let debug = format!("{:?}", submitted.options);
        assert!(debug.contains(options), "{line}: {debug}");
    }
}

#[test]
fn quorum_commands_answer_flat_arrays_and_maps() {
    let mut client = Client::new();
    check(
        &mut client,
        &[
            (
                "Q.PUT k v",
                "*12~$3~dot~$10~fa.bee.5:1~$7~context~$6~__79_A~$5~acked~:2~$5~asked~:2~$7~durable~:1~\
                 $9~fallbacks~:0~",
            ),
            (
                "Q.GET k",
                "*12~$7~context~$6~__79_A~$8~siblings~*1~*8~$5~value~$1~v~$4~type~$5~bytes~$3~dot~\
                 $10~fa.bee.5:1~$3~hlc~:77~$5~acked~:2~$5~asked~:2~$7~durable~:1~$9~fallbacks~:0~",
            ),
            (
                "Q.GET nope",
                "*12~$7~context~$6~__79_A~$8~siblings~*0~$5~acked~:2~$5~asked~:2~$7~durable~:1~\
                 $9~fallbacks~:0~",
            ),
            ("Q.OWNERS k", "*4~$9~partition~:17~$6~owners~*3~$1~a~$1~c~$1~b~"),
        ],
    );
    client.line("SET t v PX 9");
    client.line("HELLO 3");
    client.fake.flags = (true, true, true);
    let answer = client.line("Q.GET t").replace("\r\n", "~");
    assert!(answer.starts_with("%9~$7~context~"), "{answer}");
    assert!(answer.contains("*1~%5~$5~value~"), "{answer}");
    assert!(answer.contains(&format!("$10~expires_ms~:{}~", WALL + 9)), "{answer}");
    assert!(answer.ends_with("$4~weak~#t~$10~unrepaired~#t~$12~hid_siblings~#t~"), "{answer}");
    let answer = client.line("Q.DEL t").replace("\r\n", "~");
    assert!(answer.starts_with("%7~$3~dot~") && answer.ends_with("$4~weak~#t~"), "{answer}");
    let answer = client.line("Q.STATUS").replace("\r\n", "~");
    assert!(answer.starts_with("%13~$4~name~$1~a~$7~cluster~$7~quorate~$10~generation~$16~"), "{answer}");
    assert!(
        answer.ends_with(
            "$9~read_only~#f~$9~disk_full~#f~$10~incomplete~:0~$8~degraded~#f~$7~members~*0~$8~counters~%0~"
        ),
        "{answer}"
    );
}

#[test]
fn a_keyspace_is_walked_counted_and_emptied() {
    let mut client = Client::new();
    for at in 0..25 {
        client.line(&format!("SET k{at:02} v"));
    }
    client.line("SET other v");
    check(
        &mut client,
        &[
            ("DBSIZE", ":26~"),
            ("SELECT 1", "+OK~"),
            ("DBSIZE", ":0~"),
            ("SET here v", "+OK~"),
            ("SELECT 0", "+OK~"),
            ("KEYS k0?", "*10~$3~k00~$3~k01~$3~k02~$3~k03~$3~k04~$3~k05~$3~k06~$3~k07~$3~k08~$3~k09~"),
            ("KEYS nope*", "*0~"),
            ("SCAN 0 COUNT 3", "*2~$1~3~*3~$3~k00~$3~k01~$3~k02~"),
            ("SCAN 24 COUNT 3", "*2~$1~0~*2~$3~k24~$5~other~"),
            ("SCAN 24 MATCH o*", "*2~$1~0~*1~$5~other~"),
            ("SCAN \"\" COUNT 1", "*2~$1~1~*1~$3~k00~"),
            ("SCAN -18446744073709551592 MATCH o*", "*2~$1~0~*1~$5~other~"),
            ("SCAN 24 TYPE list", "*2~$1~0~*0~"),
            ("SCAN 24 TYPE STRING count 1", "*2~$2~25~*1~$3~k24~"),
            ("FLUSHDB", "+OK~"),
            ("DBSIZE", ":0~"),
            ("SELECT 15", "+OK~"),
            ("SET last v", "+OK~"),
            ("SELECT 1", "+OK~"),
            ("DBSIZE", ":1~"),
            ("FLUSHALL ASYNC", "+OK~"),
            ("DBSIZE", ":0~"),
            ("SELECT 15", "+OK~"),
            ("DBSIZE", ":0~"),
        ],
    );
}

#[test]
fn a_flush_deletes_a_bounded_number_at_a_time() {
    let mut client = Client::new();
    for at in 0..500 {
        client.line(&format!("SET k{at} v"));
    }
    client.fake.submitted.clear();
    client.send(b"SET before v\r\nFLUSHALL\r\nSET after v\r\nDBSIZE\r\n");
    let mut most = 0;
    while !client.fake.replies.is_empty() {
        most = most.max(client.fake.replies.len());
        assert_eq!(client.session.in_flight() as usize, client.fake.replies.len());
        client.answer(client.fake.replies.len() - 1);
    }
    assert_eq!(most, 64);
    assert_eq!(client.taken(), "+OK\r\n+OK\r\n+OK\r\n:1\r\n");
    let deletes = client.fake.submitted.iter().filter(|request| request.operation == "Edit(Delete)");
    assert_eq!(deletes.count(), 501);
}

#[test]
fn an_unmodified_client_finds_what_it_asks_for() {
    let mut client = Client::new();
    check(
        &mut client,
        &[
            ("PING", "+PONG~"),
            ("PING \"a b\"", "$3~a b~"),
            ("ECHO hi", "$2~hi~"),
            ("SELECT 15", "+OK~"),
            ("CLIENT ID", ":9~"),
            ("CLIENT GETNAME", "$-1~"),
            ("CLIENT SETNAME me", "+OK~"),
            ("CLIENT GETNAME", "$2~me~"),
            ("CLIENT SETINFO LIB-NAME lib", "+OK~"),
            ("CLIENT SETINFO lib-ver 1.2", "+OK~"),
            ("CLIENT NO-EVICT on", "+OK~"),
            ("CLIENT NO-TOUCH off", "+OK~"),
            ("CLIENT GETREDIR", ":-1~"),
            ("CLIENT TRACKING off", "+OK~"),
            ("CLIENT TRACKINGINFO", "*6~$5~flags~*1~$3~off~$8~redirect~:-1~$8~prefixes~*0~"),
            ("CLIENT UNBLOCK 4", ":0~"),
            ("CONFIG GET save", "*2~$4~save~$0~~"),
            ("CONFIG GET appendonly", "*2~$10~appendonly~$2~no~"),
            ("CONFIG GET nope", "*0~"),
            ("CONFIG GET PORT save s*e", "*4~$4~PORT~$4~7379~$4~save~$0~~"),
            ("COMMAND INFO get nope", "*2~*10~$3~get~:2~*2~+readonly~+fast~:1~:1~:1~*1~+@read~*0~*0~*0~*-1~"),
            ("COMMAND DOCS q.get", "*2~$5~q.get~*4~$5~group~$7~quorate~$5~arity~:-2~"),
            ("COMMAND GETKEYS mset a 1 b 2", "*2~$1~a~$1~b~"),
            (
                "CONFIG HELP",
                "*5~+CONFIG <subcommand> [<arg> [value] ...]. Subcommands are:~+GET~+SET~+REWRITE~+RESETSTAT~",
            ),
            ("TIME", "*2~$10~1700000000~$1~0~"),
            ("AUTH default any", "+OK~"),
            (
                "HELLO",
                "*14~$6~server~$5~redis~$7~version~$5~7.2.0~$5~proto~:2~$2~id~:9~$4~mode~$10~standalone~\
                 $4~role~$6~master~$7~modules~*0~",
            ),
            (
                "HELLO 3 AUTH default x SETNAME you",
                "%7~$6~server~$5~redis~$7~version~$5~7.2.0~$5~proto~:3~$2~id~:9~$4~mode~$10~standalone~\
                 $4~role~$6~master~$7~modules~*0~",
            ),
            ("CLIENT GETNAME", "$3~you~"),
            ("GET nope", "_~"),
            ("MGET nope", "*1~_~"),
            ("CONFIG GET save", "%1~$4~save~$0~~"),
            ("RESET", "+RESET~"),
            ("GET nope", "$-1~"),
            ("CLIENT GETNAME", "$-1~"),
        ],
    );
    let commands = crate::resp::command::all();
    let documented = include_str!("../../../docs/redis.md");
    for command in commands {
        let name = command.name.to_uppercase();
        assert!(documented.contains(&format!("`{name}`")), "{name} is not in docs/redis.md");
    }
    let count = commands.len();
    assert_eq!(client.line("COMMAND COUNT"), format!(":{count}\r\n"));
    assert!(client.line("COMMAND LIST").starts_with(&format!("*{count}\r\n$3\r\nget\r\n")));
    assert!(client.line("COMMAND").starts_with(&format!("*{count}\r\n*10\r\n")));
    assert!(client.line("COMMAND DOCS").starts_with(&format!("*{}\r\n", 2 * count)));
}

#[test]
fn info_and_client_list_are_made_of_lines() {
    let mut client = Client::new();
    client.line("CLIENT SETNAME me");
    let info = client.line("INFO");
    for wanted in ["# Server\r\nredis_version:7.2.0\r\n", "tcp_port:7379\r\n", "\r\n\r\n# Clients\r\n"] {
        assert!(info.contains(wanted), "{info}");
    }
    let one = client.line("INFO replication");
    assert!(one.contains("# Replication\r\nrole:master\r\n") && !one.contains("# Server"), "{one}");
    assert_eq!(client.line("INFO nope"), "$0\r\n\r\n");
    let list = client.line("CLIENT LIST");
    assert!(list.contains("id=9 addr=127.0.0.1:5000 name=me age=0 idle=0 flags=N db=0 "), "{list}");
    assert!(list.contains(" cmd=client user=default redir=-1 resp=2 "), "{list}");
    assert_eq!(client.line("CLIENT LIST TYPE replica"), "$0\r\n\r\n");
    assert_eq!(client.line("CLIENT LIST ID 1 2"), "$0\r\n\r\n");
    client.line("HELLO 3");
    assert!(client.line("INFO server").starts_with("="));
    assert!(client.line("CLIENT INFO").starts_with("="));
}

#[test]
fn a_page_of_q_scan_says_where_the_next_begins_and_who_said_so() {
    let mut client = Client::new();
    for key in ["cart:1", "cart:2", "stock", "stock:9"] {
        client.line(&format!("SET {key} v"));
    }
    let said = "$5~acked~:2~$5~asked~:2~";
    let whole = |keys: &str| format!("*8~$6~cursor~$1~0~$4~keys~{keys}{said}");
    for (line, keys) in [
        ("Q.SCAN 0", "*4~$6~cart:1~$6~cart:2~$5~stock~$7~stock:9~"),
        ("q.scan 0 prefix stock", "*2~$5~stock~$7~stock:9~"),
        ("Q.SCAN 0 PREFIX cart MATCH *2 COUNT 100 R 3 TIMEOUT 50", "*1~$6~cart:2~"),
        ("Q.SCAN 0 PREFIX nothing", "*0~"),
    ] {
        assert_eq!(client.line(line).replace("\r\n", "~"), whole(keys), "{line}");
    }
    assert_eq!(client.fake.submitted.iter().filter(|submitted| submitted.options.r == Some(3)).count(), 1);
    let token = context_text(&PageToken { keyspace: 0, layout_version: 7, next: 3 }.to_bytes());
    let page = client.line("Q.SCAN 0 COUNT 3").replace("\r\n", "~");
    let keys = "*3~$6~cart:1~$6~cart:2~$5~stock~";
    assert_eq!(page, format!("*8~$6~cursor~${}~{token}~$4~keys~{keys}{said}", token.len()));
    let line = format!("Q.SCAN {token} COUNT 3");
    assert_eq!(client.line(&line).replace("\r\n", "~"), whole("*1~$7~stock:9~"));
    let earlier = context_text(&PageToken { keyspace: 0, layout_version: 6, next: 3 }.to_bytes());
    let page = client.line(&format!("Q.SCAN {earlier}")).replace("\r\n", "~");
    let keys = "*1~$7~stock:9~";
    assert_eq!(page, format!("*10~$6~cursor~$1~0~$4~keys~{keys}{said}$14~layout_changed~:1~"));
    client.line("SELECT 1");
    assert!(client.line(&line).starts_with("-ERR invalid cursor: it is of keyspace 0"));
}

#[test]
fn replies_can_be_turned_off() {
    let mut client = Client::new();
    assert_eq!(client.line("CLIENT REPLY OFF"), "");
    assert_eq!(client.line("SET a 1"), "");
    assert_eq!(client.line("PING"), "");
    assert_eq!(client.line("MGET a b"), "");
    assert_eq!(client.line("DBSIZE"), "");
    assert_eq!(client.line("nonsense"), "");
    assert_eq!(client.line("CLIENT REPLY ON"), "+OK\r\n");
    assert_eq!(client.line("CLIENT REPLY SKIP"), "");
    assert_eq!(client.line("GET a"), "");
    assert_eq!(client.line("GET a"), "$1\r\n1\r\n");
    client.send(b"CLIENT REPLY SKIP\r\nMGET a a\r\nGET a\r\n");
    client.settle(true);
    assert_eq!(client.taken(), "$1\r\n1\r\n");
}

#[test]
fn what_membership_thinks_of_members_is_shown() {
    let mut client = Client::new();
    let member = |name: &str, verdict, unsteady| MemberStatus {
        name: name.into(),
        address: String::new(),
        up: true,
        verdict,
        unsteady,
        partitions: 1,
        generation: None,
    };
    client.fake.members = vec![
        member("a", Some(Verdict::Alive), false),
        member("b", Some(Verdict::Alive), true),
        member("c", Some(Verdict::Down), true),
        member("d", None, false),
    ];
    let answer = client.line("Q.STATUS").replace("\r\n", "~");
    for (name, verdict) in [("a", "$5~alive~"), ("b", "$8~unsteady~"), ("c", "$4~down~"), ("d", "$-1~")] {
        let shown = format!("$1~{name}~$7~address~$0~~$2~up~:1~$7~verdict~{verdict}$10~partitions~");
        assert!(answer.contains(&shown), "{shown} in {answer}");
    }
    let info = client.line("INFO replication");
    for line in ["alive:1", "unsteady:1", "suspect:0", "down:1", "left:0"] {
        assert!(info.contains(&format!("quorate_members_{line}\r\n")), "{line} in {info}");
    }
}

#[test]
fn a_change_feed_is_told_page_by_page() {
    let mut client = Client::new();
    let page = client.line("Q.WATCH 7");
    assert!(page.starts_with("*8\r\n$4\r\nnext\r\n$7\r\nYmVnaW4\r\n$3\r\ngap\r\n:1\r\n"), "{page}");
    assert!(page.contains("$3\r\nkey\r\n$3\r\n7/0\r\n$8\r\nsiblings\r\n*1\r\n"), "{page}");
    let page = client.line("q.watch 7 count 5 from YmVnaW4");
    assert!(page.contains("$3\r\ngap\r\n:0\r\n") && page.contains("\r\n7/5\r\n"), "{page}");
    check(
        &mut client,
        &[
            ("Q.WATCH", "-ERR wrong number of arguments for 'q.watch' command~"),
            ("Q.WATCH x", "-ERR value is not an integer or out of range~"),
            ("Q.WATCH 65536", "-ERR there is no such partition~"),
            ("Q.WATCH 1 COUNT 0", "-ERR syntax error~"),
            ("Q.WATCH 1 FROM", "-ERR syntax error~"),
            ("Q.WATCH 1 FROM !", "-ERR the place was not given by this cluster~"),
            ("Q.WATCH 1 BLOCK 5", "-ERR syntax error~"),
        ],
    );
}
