//! Whole conversations with a session over a plain map.

use super::fake::Client;
use super::session::Next;

#[test]
fn a_value_is_set_and_read() {
    let mut client = Client::new();
    assert_eq!(client.line("SET a 1"), "+OK\r\n");
    assert_eq!(client.line("get a"), "$1\r\n1\r\n");
    assert_eq!(client.line("GET b"), "$-1\r\n");
    assert_eq!(client.line("MSET a 2 b 3 c \"x y\""), "+OK\r\n");
    assert_eq!(client.line("MGET a b nope c"), "*4\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n$3\r\nx y\r\n");
    assert_eq!(client.line("DEL a b nope"), ":2\r\n");
    assert_eq!(client.line("EXISTS a c c"), ":2\r\n");
}

#[test]
fn replies_leave_in_the_order_of_their_commands() {
    let mut client = Client::new();
    let mut sent = String::new();
    let mut expected = String::new();
    for at in 0..40 {
        sent += &format!("SET k{at} v{at}\r\nPING\r\nMGET k{at}x k{at}y\r\n");
        expected += "+OK\r\n+PONG\r\n*2\r\n$-1\r\n$-1\r\n";
    }
    for backwards in [false, true] {
        client.send(sent.as_bytes());
        assert_eq!(client.fake.replies.len(), 120, "all were submitted before one was answered");
        client.settle(backwards);
        assert_eq!(client.taken(), expected);
        assert_eq!((client.next, client.left.len(), client.session.in_flight()), (Next::Read, 0, 0));
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
    client.send(b"DEL b b\r\n");
    assert_eq!(client.fake.replies.len(), 1);
    client.settle(false);
    assert_eq!(client.taken(), ":0\r\n");
}
