//! Pipelines: replies in order, effects in order, and no more in flight than there is room for.

use super::fake::Client;
use crate::proto::error::Outcome;
use crate::resp::client::encode;
use crate::resp::limits::{REPLIES_MAX, SLOTS_MAX};
use crate::resp::session::Next;

#[test]
fn replies_leave_in_the_order_of_their_commands() {
    let mut client = Client::new();
    let mut sent = String::new();
    let mut expected = String::new();
    for at in 0..40 {
        sent += &format!("SET k{at} v{at}\r\nPING\r\nMGET k{at}x k{at}y\r\n");
        expected += "+OK\r\n+PONG\r\n*2\r\n$-1\r\n$-1\r\n";
    }
    for round in 0..3 {
        client.send(sent.as_bytes());
        assert_eq!(client.fake.replies.len(), 120, "all were submitted before one was answered");
        while !client.fake.replies.is_empty() {
            let count = client.fake.replies.len();
            client.answer([0, count - 1, count / 2][round]);
        }
        assert_eq!(client.taken(), expected);
        assert_eq!((client.next, client.left.len(), client.session.in_flight()), (Next::Read, 0, 0));
    }
}

#[test]
fn a_reply_is_written_in_the_protocol_of_its_command() {
    let mut client = Client::new();
    client.send(b"GET a\r\nHELLO 3\r\nGET b\r\nHELLO 2\r\nGET c\r\nMGET d\r\n");
    client.settle(true);
    let answer = client.taken();
    assert!(answer.starts_with("$-1\r\n%7\r\n"), "{answer}");
    assert!(answer.contains("*0\r\n_\r\n*14\r\n"), "{answer}");
    assert!(answer.ends_with("*0\r\n$-1\r\n*1\r\n$-1\r\n"), "{answer}");
}

#[test]
fn writes_wait_as_long_as_the_node_holds_them_back() {
    for (write, after) in [("SET a 1", "+OK\r\n$1\r\n1\r\n"), ("MSET a 1 b 2", "+OK\r\n$1\r\n1\r\n")] {
        let mut client = Client::new();
        client.fake.is_short = true;
        let sent = format!("GET a\r\n{write}\r\nGET a\r\n");
        assert_eq!(client.talk(sent.as_bytes()), "$-1\r\n", "{write}");
        assert!(client.next == Next::Wait && client.session.is_held(), "{write}");
        assert_eq!(client.talk(b""), "", "{write}");
        assert!(client.session.is_held(), "{write}");
        client.fake.is_short = false;
        assert_eq!(client.talk(b""), after, "{write}");
        assert!(client.next == Next::Read && !client.session.is_held(), "{write}");
        assert_eq!(client.left, b"");
    }
}

#[test]
fn commands_on_one_key_take_effect_in_order() {
    let mut client = Client::new();
    client.send(b"SET a 1\r\nSET a 2\r\nGET a\r\nGET a\r\nDEL a\r\nGET a\r\n");
    assert_eq!(client.fake.replies.len(), 2, "a read waits for the writes before it");
    assert_eq!(client.next, Next::Wait);
    client.settle(true);
    assert_eq!(client.taken(), "+OK\r\n+OK\r\n$1\r\n2\r\n$1\r\n2\r\n:1\r\n$-1\r\n");
    client.send(b"SET b 1\r\nDEL b b\r\n");
    assert_eq!(client.fake.replies.len(), 1);
    client.settle(false);
    assert_eq!(client.taken(), "+OK\r\n:1\r\n");
}

#[test]
fn a_command_that_came_alone_is_still_waited_for() {
    let mut client = Client::new();
    client.send(b"SET a 1\r\n");
    client.send(b"GET b\r\nGET a\r\n");
    assert_eq!(client.fake.replies.len(), 2, "the read of a waits");
    client.settle(false);
    assert_eq!(client.taken(), "+OK\r\n$-1\r\n$1\r\n1\r\n");
    client.send(b"SELECT 1\r\nSET a 2\r\nSELECT 0\r\nGET a\r\n");
    assert_eq!(client.fake.replies.len(), 2, "keys of two keyspaces are two keys");
    client.settle(true);
    assert_eq!(client.taken(), "+OK\r\n+OK\r\n+OK\r\n$1\r\n1\r\n");
}

#[test]
fn a_refused_command_leaves_nothing_to_wait_for() {
    let mut client = Client::new();
    client.send(b"SET a 1 EX x\r\nGET a\r\nPING\r\n");
    client.settle(false);
    assert_eq!(client.taken().matches("\r\n").count(), 3);
    client.send(b"GET b\r\nSET a 1 EX x\r\nGET a\r\nPING\r\n");
    client.settle(false);
    assert_eq!(client.taken().matches("\r\n").count(), 4);
    assert_eq!((client.next, client.left.len()), (Next::Read, 0));
}

#[test]
fn many_small_commands_fill_the_slots_and_then_wait() {
    let mut client = Client::new();
    // Replies turn out to be small, and the window opens.
    for _ in 0..4 {
        client.send(&b"GET warm\r\n".repeat(200));
        client.settle(false);
    }
    client.taken();
    client.send(&b"GET a\r\n".repeat(3 * SLOTS_MAX));
    assert_eq!(client.fake.replies.len(), SLOTS_MAX);
    assert_eq!(client.next, Next::Wait);
    client.settle(true);
    assert_eq!(client.taken(), "$-1\r\n".repeat(3 * SLOTS_MAX));
    assert_eq!(client.next, Next::Read);
}

#[test]
fn large_replies_close_the_window() {
    let mut client = Client::new();
    let value = "v".repeat(1 << 20);
    client.line(&format!("SET a {}", &value[..60_000]));
    let mut bytes = Vec::new();
    encode(&mut bytes, &[b"SET", b"a", value.as_bytes()]);
    client.talk(&bytes);
    client.line("GET a");
    client.send(&b"GET a\r\n".repeat(100));
    assert!(client.fake.replies.len() <= 8, "{} replies of 1 MiB in flight", client.fake.replies.len());
    let mut kept = 0;
    while !client.fake.replies.is_empty() {
        client.answer(client.fake.replies.len() - 1);
        kept = kept.max(client.out.len());
    }
    assert!(kept <= REPLIES_MAX + (2 << 20), "{kept} bytes wait for a client that reads nothing");
    assert_eq!(client.next, Next::Wait, "until somebody takes what was written");
    let mut count = 0;
    while client.session.in_flight() > 0 || !client.left.is_empty() {
        count += client.taken().matches("\r\n").count() / 2;
        client.send(b"");
        client.settle(false);
    }
    count += client.taken().matches("\r\n").count() / 2;
    assert_eq!(count, 100);
}

#[test]
fn a_command_on_very_many_keys_goes_in_pieces() {
    let mut client = Client::new();
    let keys: Vec<Vec<u8>> = (0..5_000).map(|at| format!("key:{at}").into_bytes()).collect();
    let mut command: Vec<&[u8]> = vec![b"MSET"];
    for key in &keys {
        command.extend([key.as_slice(), key.as_slice()]);
    }
    let mut bytes = Vec::new();
    encode(&mut bytes, &command);
    encode(&mut bytes, &[b"PING"]);
    client.send(&bytes);
    assert!(client.fake.replies.len() <= SLOTS_MAX);
    client.settle(true);
    assert_eq!(client.taken(), "+OK\r\n+PONG\r\n");
    let mut command: Vec<&[u8]> = vec![b"MGET"];
    command.extend(keys.iter().map(Vec::as_slice));
    bytes.clear();
    encode(&mut bytes, &command);
    let answer = client.talk(&bytes);
    assert!(
        answer.starts_with("*5000\r\n$5\r\nkey:0\r\n$5\r\nkey:1\r\n") && answer.ends_with("key:4999\r\n")
    );
    command[0] = b"DEL";
    bytes.clear();
    encode(&mut bytes, &command);
    assert_eq!(client.talk(&bytes), ":5000\r\n");
    assert!(client.fake.values.is_empty());
}

#[test]
fn an_answer_of_too_many_values_is_refused() {
    let mut client = Client::new();
    let mut bytes = Vec::new();
    encode(&mut bytes, &[b"SET", b"a", &vec![b'v'; 8 << 20]]);
    client.talk(&bytes);
    let answer = client.line(&format!("MGET{}", " a".repeat(20)));
    assert!(answer.starts_with("-ERR the values are more than 128 MiB together (key "), "{answer:.80}");
    assert_eq!(client.line("GET nope"), "$-1\r\n");
    let answer = client.line(&format!("MGET{}", " a".repeat(10)));
    assert!(answer.starts_with("*10\r\n$8388608\r\n"), "{answer:.80}");
}

#[test]
fn a_client_that_ends_its_stream_is_answered_first() {
    let mut client = Client::new();
    client.send(b"SET a 1\r\nGET a\r\nMGET a a\r\nGET a\r\nSET a 2\r\nGET");
    client.session.handle_end();
    assert!(!client.session.is_done());
    client.send(b"");
    client.settle(false);
    assert_eq!(client.taken(), "+OK\r\n$1\r\n1\r\n*2\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n+OK\r\n");
    assert_eq!(client.next, Next::Close);
    assert!(client.session.is_done());
    let mut client = Client::new();
    client.session.handle_end();
    client.send(b"");
    assert!(client.session.is_done());
}

#[test]
fn quit_answers_what_was_asked_before_and_nothing_after() {
    let mut client = Client::new();
    client.send(b"GET a\r\nQUIT\r\nSET a 1\r\n");
    assert_eq!(client.next, Next::Close);
    assert!(!client.session.is_done());
    client.settle(false);
    assert_eq!(client.taken(), "$-1\r\n+OK\r\n");
    assert!(client.session.is_done() && client.fake.submitted.len() == 1);
}

#[test]
fn an_idle_connection_gives_its_memory_back_and_goes_on() {
    let mut client = Client::new();
    client.send(&b"SET a 1\r\nSET b 1\r\n".repeat(20));
    client.session.release();
    client.settle(true);
    client.session.release();
    client.taken();
    client.send(b"SET a 2\r\nGET a\r\n");
    client.settle(true);
    assert_eq!(client.taken(), "+OK\r\n$1\r\n2\r\n");
}

#[test]
fn a_failed_write_does_not_hold_up_what_follows() {
    let mut client = Client::new();
    client.fake.failures.insert(b"a".to_vec(), Outcome::Maybe);
    client.send(b"SET a 1\r\nGET b\r\nGET a\r\nGET b\r\n");
    client.settle(true);
    let answer = client.taken();
    assert_eq!(answer.matches("-MAYBE").count(), 2, "{answer}");
    assert_eq!(answer.matches("$-1").count(), 2, "{answer}");
}

#[test]
fn a_walk_stops_once_its_client_has_gone() {
    let mut client = Client::new();
    for at in 0..300 {
        client.line(&format!("SET k{at} v"));
    }
    client.send(b"FLUSHALL\r\n");
    client.answer(0);
    client.answer(0);
    client.session.abandon();
    let deletes = client.fake.replies.len();
    client.settle(false);
    assert!(client.session.is_done() && client.session.in_flight() == 0);
    assert_eq!(client.fake.values.len(), 300 - 1 - deletes, "what was in flight was deleted, no more");
}
