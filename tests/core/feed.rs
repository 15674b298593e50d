//! The change feed of a partition.

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
    partition: u16,
    since: Option<&[u8]>,
    limit: u32,
) -> (Outcome, ChangePage) {
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
fn a_node_without_a_copy_names_none() {
    let mut cluster = Cluster::new(5, one_partition, 0);
    let told = (0..5).filter(|&at| ask(&mut cluster, at, 0, None, 0).0 == Outcome::Ok).count();
    assert_eq!(told, 3, "N replicas have one");
}
