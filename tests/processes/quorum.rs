//! What three nodes answer while some of them are dead: N=3, R=W=2 unless a request asks for more.

use quorate::resp::client::Value;

use crate::client::{error_word, field, text, values, words_of};
use crate::cluster::Cluster;
use crate::load::{Answer, Load, Plan, check_all, counts};

const SIXTEEN: Plan = Plan { clients: 16, pipeline: 1, options: &[] };

#[test]
fn a_killed_node_fails_no_request_of_the_others() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Load::start("k", &[cluster.client(0), cluster.client(1)], SIXTEEN);
    load.await_acknowledged(1_000);
    cluster.kill(2);
    load.await_acknowledged(2_000);
    // At once: nothing that its last life left behind may keep its ports from it.
    cluster.start_node(2);
    load.await_acknowledged(1_000);
    let answers = load.stop();
    assert_eq!(counts(&answers), [(Answer::Ok, answers.len())].into(), "a request failed");
    cluster.await_met(&[0, 1, 2]);
    check_all(&mut cluster.connect(2), &answers, &["GET"]);
}

#[test]
fn a_lone_node_refuses_and_what_it_refused_is_not_written() {
    let mut cluster = Cluster::start(3, &[]);
    let load = Load::start("k", &[cluster.client(0)], SIXTEEN);
    load.await_acknowledged(500);
    cluster.kill(1);
    cluster.kill(2);
    cluster.await_alone(0, 2);
    let during = load.stop();
    for (key, answer) in &during {
        // What was in flight, or begun before the survivor knew.
        let errors = match key.starts_with("GET ") {
            true => ["NOREPLICAS", "TIMEOUT"].as_slice(),
            false => &["NOREPLICAS", "PARTIAL", "MAYBE"],
        };
        let may_be = match answer {
            Answer::Ok => true,
            Answer::Error(word) => errors.contains(&word.as_str()),
            Answer::None => false,
        };
        assert!(may_be, "{key} was answered {answer:?}");
    }
    println!("while two of three were killed: {:?}", counts(&during));
    // Begun after the survivor lost both connections: refused, all of them, at every depth.
    let mut refused = during;
    let mut client = cluster.connect(0);
    for depth in [1, 16, 64] {
        let keys: Vec<String> = (0..depth).map(|number| format!("alone:{depth}:{number}")).collect();
        let puts: Vec<_> = keys.iter().map(|key| words_of(&["SET", key, key])).collect();
        for (key, reply) in keys.into_iter().zip(client.pipeline(&puts).unwrap()) {
            assert_eq!(error_word(&reply), Some("NOREPLICAS"), "{reply:?}");
            refused.insert(key, Answer::Error("NOREPLICAS".into()));
        }
        assert_eq!(error_word(&client.call(&["GET", "k"])), Some("NOREPLICAS"));
    }
    cluster.start_all();
    for node in 0..3 {
        check_all(&mut cluster.connect(node), &refused, &["GET"]);
    }
}

#[test]
fn stopped_nodes_are_not_waited_for_past_the_deadline() {
    let mut cluster = Cluster::start(3, &["--timeout-ms", "200"]);
    // Their connections stand, so every request begins.
    for node in [1, 2] {
        cluster.process(node).signal("STOP");
    }
    let keys: Vec<String> = (0..64).map(|number| format!("stopped:{number}")).collect();
    let puts: Vec<_> = keys.iter().map(|key| words_of(&["SET", key, key])).collect();
    let mut client = cluster.connect(0);
    let replies = client.pipeline(&puts).expect("the node answers");
    for reply in replies {
        let Value::Error(text) = &reply else { panic!("ok with one replica of two: {reply:?}") };
        let is_honest = text.starts_with("PARTIAL") || text.starts_with("MAYBE");
        assert!(is_honest && text.contains("acked=1 of=2"), "{text}");
    }
    assert_eq!(error_word(&client.call(&["GET", "stopped:0"])), Some("TIMEOUT"));
    for node in [1, 2] {
        cluster.process(node).signal("CONT");
    }
    cluster.await_met(&[0, 1, 2]);
    // What was written on one of them spreads: every read of all finds it.
    for key in &keys {
        assert_eq!(values(&cluster.connect(1).call(&["Q.GET", key, "R", "3"])), [key.as_str()]);
    }
}

#[test]
fn nothing_that_was_not_met_is_ok_at_any_depth() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.connect(0).call(&["SET", "there", "value"]);
    cluster.kill(2);
    let mut answered = 0;
    for depth in [1, 16, 64] {
        let mut client = cluster.connect(depth % 2);
        for asked in [["W", "3"], ["PW", "3"], ["DW", "3"]] {
            let put = |number: usize| {
                words_of(&["Q.PUT", &format!("unmet:{depth}:{number}"), "v", asked[0], asked[1]])
            };
            let puts: Vec<_> = (0..depth).map(put).collect();
            for reply in client.pipeline(&puts).unwrap() {
                let word = error_word(&reply).unwrap_or_else(|| panic!("{asked:?} is met: {reply:?}"));
                assert!(["NOREPLICAS", "PARTIAL", "MAYBE"].contains(&word), "{asked:?}: {reply:?}");
                answered += 1;
            }
        }
        for asked in [["R", "3"], ["PR", "3"]] {
            let gets = vec![words_of(&["Q.GET", "there", asked[0], asked[1]]); depth];
            for reply in client.pipeline(&gets).unwrap() {
                let word = error_word(&reply).unwrap_or_else(|| panic!("{asked:?} is met: {reply:?}"));
                assert!(["NOREPLICAS", "TIMEOUT"].contains(&word), "{asked:?}: {reply:?}");
                answered += 1;
            }
        }
        assert_eq!(client.call(&["GET", "there"]), Value::Bulk(b"value".to_vec()), "R=2 can be met");
    }
    assert_eq!(answered, (1 + 16 + 64) * 5);
}

#[test]
fn what_all_three_acknowledged_is_on_each_alone() {
    for (depth, prefix) in [(1, "one"), (16, "sixteen"), (64, "many")] {
        let mut cluster = Cluster::start(3, &[]);
        let plan = Plan { clients: 8, pipeline: depth, options: &["W", "3"] };
        let load = Load::start(prefix, &[cluster.client(0), cluster.client(1)], plan);
        load.await_acknowledged(500);
        // Some writes are on their way to it; those must not be answered as if it had them.
        cluster.kill(2);
        cluster.await_alone(0, 3);
        cluster.await_alone(1, 3);
        let answers = load.stop();
        cluster.kill(0);
        cluster.kill(1);
        cluster.start_node(2);
        let acknowledged = answers.into_iter().filter(|(_, answer)| *answer == Answer::Ok).collect();
        check_all(&mut cluster.connect(2), &acknowledged, &["Q.GET", "R", "1"]);
    }
}

#[test]
fn two_puts_with_one_context_are_siblings_until_one_covers_both() {
    let cluster = Cluster::start(3, &[]);
    let (mut a, mut b, mut c) = (cluster.connect(0), cluster.connect(1), cluster.connect(2));
    let first = a.call(&["Q.PUT", "cart", "milk"]);
    let context = text(field(&first, "context"));
    for (client, value) in [(&mut a, "milk,eggs"), (&mut b, "milk,tea")] {
        let answer = client.call(&["Q.PUT", "cart", value, "CONTEXT", &context]);
        assert_eq!(error_word(&answer), None, "{answer:?}");
    }
    let both = c.call(&["Q.GET", "cart", "R", "3"]);
    assert_eq!(values(&both), ["milk,eggs", "milk,tea"]);
    let context = text(field(&both, "context"));
    let merged = c.call(&["Q.PUT", "cart", "milk,eggs,tea", "CONTEXT", &context]);
    assert_eq!(error_word(&merged), None, "{merged:?}");
    for client in [&mut a, &mut b, &mut c] {
        let one = client.call(&["Q.GET", "cart"]);
        assert_eq!(values(&one), ["milk,eggs,tea"]);
        assert_eq!(client.call(&["GET", "cart"]), Value::Bulk(b"milk,eggs,tea".to_vec()));
    }
}
