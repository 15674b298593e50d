//! The change feed of a partition.

use std::time::Duration;

use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, ChangePage, Operation, Options};

use super::{Cluster, put, set};

fn one_partition(config: &mut Config) {
    config.partitions = 1;
}

fn ask(
    cluster: &mut Cluster,
    at: usize,
    partition: impl Into<Option<u16>>,
    since: Option<&[u8]>,
    limit: u32,
) -> (Outcome, ChangePage) {
    let partition = partition.into();
    let reply = cluster.ask(at, "", Operation::Changes { partition, since, limit }, Options::default());
    (reply.outcome, reply.changes.map(|page| *page).unwrap_or_default())
}

/// What changed since a place: keys with their values.
fn changed(page: &ChangePage) -> Vec<(String, Vec<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let values = |changed: &quorate::proto::io::Changed| {
        let mut values: Vec<_> = changed.siblings.iter().map(|sibling| text(&sibling.value)).collect();
        values.sort();
        values
    };
    page.changed.iter().map(|changed| (text(&changed.key), values(changed))).collect()
}

fn pair(key: &str, values: &[&str]) -> (String, Vec<String>) {
    (key.to_owned(), values.iter().map(|&value| value.to_owned()).collect())
}

#[test]
fn a_reader_is_told_of_every_key_as_it_is_now_and_of_deletes() {
    let mut cluster = Cluster::new(3, one_partition, 0);
    cluster.ask(0, "before", set("x"), Options::default());
    let (outcome, begin) = ask(&mut cluster, 1, 0, None, 0);
    assert_eq!((outcome, begin.has_gap, begin.has_more), (Outcome::Ok, true, false));
    assert!(begin.changed.is_empty(), "what there was a scan shows");
    cluster.ask(0, "a", set("1"), Options::default());
    cluster.ask(2, "b", put("2", None), Options::default());
    cluster.ask(0, "b", put("3", None), Options::default());
    cluster.ask(0, "a", set("4"), Options::default());
    let delete = Operation::Delete { context: None, blind: Blind::Supersede };
    cluster.ask(1, "before", delete, Options::default());
    let (_, page) = ask(&mut cluster, 1, 0, Some(&begin.next), 0);
    assert_eq!((page.has_gap, page.has_more), (false, false));
    assert_eq!(changed(&page), [pair("b", &["2", "3"]), pair("a", &["4"]), pair("before", &[])]);
    let (_, none) = ask(&mut cluster, 1, 0, Some(&page.next), 0);
    assert_eq!((changed(&none), none.has_gap), (vec![], false));
    // Another keyspace is another feed.
    cluster.ask(0, "c", set("5"), Options::default());
    let (_, again) = ask(&mut cluster, 1, 0, Some(&page.next), 0);
    assert_eq!(changed(&again), [pair("c", &["5"])]);
}

#[test]
fn pages_go_on_from_each_other_and_a_place_may_be_used_again() {
    let mut cluster = Cluster::new(3, one_partition, 0);
    let (_, mut page) = ask(&mut cluster, 0, 0, None, 0);
    let begin = page.next.clone();
    for number in 0..25 {
        cluster.ask(number % 3, &format!("k{number}"), set("v"), Options::default());
    }
    let mut keys = Vec::new();
    loop {
        page = ask(&mut cluster, 0, 0, Some(&page.next), 10).1;
        assert!(!page.has_gap && page.changed.len() <= 10);
        keys.extend(changed(&page).into_iter().map(|(key, _)| key));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(keys, (0..25).map(|number| format!("k{number}")).collect::<Vec<_>>());
    assert_eq!(ask(&mut cluster, 0, 0, Some(&begin), 1_000).1.changed.len(), 25);
}

#[test]
fn another_replica_and_a_new_directory_have_a_gap_and_wrong_places_are_refused() {
    let mut cluster = Cluster::new(3, |config| config.partitions = 2, 0);
    let (_, begin) = ask(&mut cluster, 0, 0, None, 0);
    let (_, elsewhere) = ask(&mut cluster, 1, 0, Some(&begin.next), 0);
    assert!(elsewhere.has_gap, "each replica has an order of its own");
    cluster.restart(0);
    let (outcome, again) = ask(&mut cluster, 0, 0, Some(&begin.next), 0);
    assert!(outcome != Outcome::Ok || again.has_gap, "{outcome:?}");
    let mut bent = begin.next.clone();
    bent[5] ^= 1;
    for (partition, place) in [(0, &bent[..]), (0, b""), (1, &begin.next[..]), (9, &begin.next[..])] {
        let (outcome, _) = ask(&mut cluster, 1, partition, Some(place), 0);
        assert!(matches!(outcome, Outcome::BadArgument(_)), "{outcome:?}");
    }
}

#[test]
fn all_partitions_have_one_feed_and_places_of_their_own() {
    let mut cluster = Cluster::new(3, |config| config.partitions = 8, 0);
    let (outcome, begin) = ask(&mut cluster, 1, None, None, 0);
    assert_eq!((outcome, begin.has_gap), (Outcome::Ok, true));
    let keys: Vec<_> = (0..20).map(|number| format!("k{number:02}")).collect();
    keys.iter().for_each(|key| drop(cluster.ask(0, key, set("v"), Options::default())));
    let (mut page, mut told) = (begin.clone(), Vec::new());
    loop {
        page = ask(&mut cluster, 1, None, Some(&page.next), 6).1;
        assert!(!page.has_gap && page.changed.len() <= 6);
        told.extend(changed(&page).into_iter().map(|(key, _)| key));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(told, keys, "in the order of their changes, whatever their partitions");
    let (_, of_one) = ask(&mut cluster, 1, 3, None, 0);
    for (partition, place) in [(None, &of_one.next), (Some(3), &begin.next)] {
        let (outcome, _) = ask(&mut cluster, 1, partition, Some(place), 0);
        assert!(matches!(outcome, Outcome::BadArgument(_)), "{outcome:?}");
    }
    assert!(
        ask(&mut cluster, 0, None, Some(&begin.next), 0).1.has_gap,
        "each replica has an order of its own"
    );
}

#[test]
fn a_node_that_holds_some_partitions_tells_of_those() {
    let mut cluster = Cluster::new(5, |config| config.partitions = 8, 0);
    let begins: Vec<_> = (0..5).map(|at| ask(&mut cluster, at, None, None, 0).1).collect();
    for number in 0..20 {
        cluster.ask(number % 5, &format!("k{number}"), set("v"), Options::default());
    }
    cluster.run();
    let mut times = std::collections::BTreeMap::new();
    for (at, begin) in begins.iter().enumerate() {
        for (key, _) in changed(&ask(&mut cluster, at, None, Some(&begin.next), 0).1) {
            *times.entry(key).or_insert(0) += 1;
        }
    }
    assert_eq!(times.len(), 20);
    assert!(times.values().all(|&times| times == 3), "by each of its replicas: {times:?}");
}

#[test]
fn a_delete_is_told_although_the_key_was_reaped_meanwhile() {
    let reaping = |config: &mut Config| {
        config.partitions = 1;
        config.reap_after = Some(Duration::from_secs(10));
    };
    let mut cluster = Cluster::new(3, reaping, 0);
    let all = Options { w: Some(3), ..Options::default() };
    cluster.ask(0, "cart", set("milk"), all);
    let (_, begin) = ask(&mut cluster, 1, 0, None, 0);
    cluster.ask(0, "cart", Operation::Delete { context: None, blind: Blind::Supersede }, all);
    cluster.pass(Duration::from_secs(30));
    assert_eq!(cluster.sum("reaped"), 3);
    let (_, page) = ask(&mut cluster, 1, 0, Some(&begin.next), 0);
    assert_eq!((changed(&page), page.has_gap), (vec![pair("cart", &[])], false));
}

#[test]
fn a_node_without_a_copy_names_none() {
    let mut cluster = Cluster::new(5, one_partition, 0);
    let told = (0..5).filter(|&at| ask(&mut cluster, at, 0, None, 0).0 == Outcome::Ok).count();
    assert_eq!(told, 3, "N replicas have one");
}
