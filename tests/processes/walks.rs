//! Walking through all keys while the cluster changes under the walk.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, field, text, words_of};
use crate::members::Members;

/// Keys that are there throughout.
const KEYS: usize = 4_000;
/// How long a page is asked for again that failed.
const PAGE_MAX: Duration = Duration::from_secs(30);

/// Asks for the same page until it comes: a cluster that changes may be without enough replicas for a moment.
fn page(client: &mut Client, words: &[&str]) -> Value {
    let give_up = Instant::now() + PAGE_MAX;
    loop {
        match client.call(words) {
            Value::Error(why) if Instant::now() > give_up => panic!("{words:?}: {why:?}"),
            Value::Error(_) => thread::sleep(Duration::from_millis(50)),
            page => return page,
        }
    }
}

fn keys_of(answer: &Value) -> Vec<String> {
    let Value::Array(keys) = answer else { panic!("no keys: {answer:?}") };
    keys.iter().map(text).collect()
}

/// The next cursor and the keys of a page of `SCAN`.
fn parts_of(page: &Value) -> (String, Vec<String>) {
    let Value::Array(parts) = page else { panic!("{page:?}") };
    (text(&parts[0]), keys_of(&parts[1]))
}

#[test]
fn a_walk_shows_each_key_once_while_one_member_leaves_and_one_joins() {
    let mut members = Members::start(5, &["--partitions", "32"]);
    let mut client = members.connect(1);
    let key = |at: usize| format!("key:{at}");
    for batch in 0..KEYS / 500 {
        let sets: Vec<_> = (0..500).map(|at| words_of(&["SET", &key(batch * 500 + at), "v"])).collect();
        let answers = client.pipeline(&sets).expect("the node answers");
        assert!(answers.iter().all(|answer| *answer == Value::Simple("OK".into())), "all are acknowledged");
    }
    let deleted: BTreeSet<String> = (0..KEYS).step_by(10).map(key).collect();
    for key in &deleted {
        assert_eq!(client.call(&["DEL", key]), Value::Integer(1));
    }
    let mut shown: BTreeMap<String, u32> = BTreeMap::new();
    let (mut cursor, mut pages) = ("0".to_owned(), 0);
    loop {
        let (next, keys) = parts_of(&page(&mut client, &["SCAN", &cursor, "COUNT", "20"]));
        keys.into_iter().for_each(|key| *shown.entry(key).or_default() += 1);
        (cursor, pages) = (next, pages + 1);
        match pages {
            20 => {
                members.order(0, &["leave", "D"]);
                members.order(0, &["commit"]);
            }
            100 => {
                members.await_settled(0, 4);
                members.join("F", &["--auto-commit"]);
            }
            _ => thread::sleep(Duration::from_millis(5)),
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(pages > 100, "both changes fall into {pages} pages");
    members.await_settled(0, 5);
    let kept: BTreeSet<String> = (0..KEYS).map(key).filter(|key| !deleted.contains(key)).collect();
    assert_eq!(shown.values().copied().max(), Some(1), "none is shown twice");
    assert_eq!(shown.into_keys().collect::<BTreeSet<_>>(), kept);
    // A, B, C, E and F.
    for at in [0, 1, 2, 4, 5] {
        let mut client = members.connect(at);
        assert_eq!(page(&mut client, &["DBSIZE"]), Value::Integer(kept.len() as i64), "at member {at}");
        let keys: BTreeSet<String> = keys_of(&page(&mut client, &["KEYS", "*"])).into_iter().collect();
        assert_eq!(keys, kept, "at member {at}");
        let mut found = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let words = ["Q.SCAN", &cursor, "PREFIX", "key:1", "MATCH", "*7", "COUNT", "500", "R", "3"];
            let answer = page(&mut client, &words);
            assert_eq!(
                (field(&answer, "acked"), field(&answer, "asked")),
                (&Value::Integer(3), &Value::Integer(3))
            );
            found.extend(keys_of(field(&answer, "keys")));
            cursor = text(field(&answer, "cursor"));
            if cursor == "0" {
                break;
            }
        }
        let matching = kept.iter().filter(|key| key.starts_with("key:1") && key.ends_with('7'));
        assert_eq!(found, matching.cloned().collect(), "at member {at}");
    }
}
