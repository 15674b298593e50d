//! Sets as clients see them: on three nodes, one of which is cut down and comes back without what it missed.

use quorate::resp::client::Value;

use crate::client::{Client, error_word, text};
use crate::cluster::Cluster;

fn members(client: &mut Client, key: &str) -> Vec<String> {
    match client.call(&["SMEMBERS", key]) {
        Value::Array(items) => items.iter().map(text).collect(),
        other => panic!("no set: {other:?}"),
    }
}

#[test]
fn a_set_is_the_same_at_every_node_whoever_was_away() {
    let mut cluster = Cluster::start(3, &[]);
    let (mut one, mut two) = (cluster.connect(0), cluster.connect(1));
    assert_eq!(one.call(&["SADD", "cart", "milk", "bread", "milk"]), Value::Integer(2));
    assert_eq!(two.call(&["SADD", "cart", "bread", "eggs"]), Value::Integer(1));
    cluster.kill(2);
    assert_eq!(one.call(&["SREM", "cart", "milk", "salt"]), Value::Integer(1));
    assert_eq!(two.call(&["SADD", "cart", "tea"]), Value::Integer(1));
    assert_eq!(one.call(&["TYPE", "cart"]), Value::Simple("set".into()));
    assert_eq!(error_word(&one.call(&["INCR", "cart"])), Some("WRONGTYPE"));
    assert_eq!(error_word(&one.call(&["GETDEL", "cart"])), Some("WRONGTYPE"));
    cluster.start_node(2);
    cluster.await_met(&[0, 1, 2]);
    for node in 0..3 {
        let mut client = cluster.connect(node);
        assert_eq!(members(&mut client, "cart"), ["bread", "eggs", "tea"], "node {node}");
        assert_eq!(client.call(&["SCARD", "cart"]), Value::Integer(3));
        assert_eq!(client.call(&["SISMEMBER", "cart", "milk"]), Value::Integer(0));
    }
    // All of them stopped and started: what was acknowledged is on disk.
    cluster.kill_all();
    cluster.start_all();
    let mut client = cluster.connect(2);
    assert_eq!(client.call(&["SREM", "cart", "bread", "eggs", "tea"]), Value::Integer(3));
    assert_eq!(client.call(&["EXISTS", "cart"]), Value::Integer(0));
    assert_eq!(members(&mut cluster.connect(0), "cart"), [""; 0]);
}
