//! The verbs that ask a node: what they print, and that each outcome has its exit code.

use serde_json::Value as Json;

use crate::cluster::Cluster;
use crate::process::{Ended, free_address, run};

/// Runs a verb against a node of a cluster.
fn ask(cluster: &Cluster, node: usize, words: &[&str]) -> Ended {
    let address = cluster.client(node).to_string();
    run(&[words, &["--node", &address]].concat())
}

fn json(ended: &Ended) -> Json {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

#[test]
fn values_go_to_stdout_and_the_context_leads_from_read_to_write() {
    let cluster = Cluster::start(3, &[]);
    for (node, value) in [(0, "milk"), (1, "eggs")] {
        let put = ask(&cluster, node, &["put", "cart", value, "--w", "3", "--dw", "1"]);
        assert_eq!(put.code, Some(0), "{}", put.stderr);
        assert!(put.stdout.starts_with("dot=") && put.stdout.contains(" acked=3 "), "{}", put.stdout);
    }
    let both = ask(&cluster, 2, &["get", "cart", "--r", "3"]);
    let mut values: Vec<&str> = both.stdout.lines().collect();
    values.sort_unstable();
    assert_eq!(values, ["eggs", "milk"]);
    assert!(both.stderr.contains("siblings=2"), "{}", both.stderr);
    let latest = ask(&cluster, 2, &["get", "cart", "--view", "latest"]);
    assert_eq!((latest.code, latest.stdout.as_str()), (Some(0), "eggs\n"));

    let both = json(&ask(&cluster, 2, &["get", "cart", "--json"]));
    assert_eq!(both["key"], "cart");
    assert_eq!(both["siblings"].as_array().map(Vec::len), Some(2));
    let context = both["context"].as_str().expect("a context");
    let merged = ask(&cluster, 0, &["put", "cart", "milk,eggs", "--context", context, "--json"]);
    assert_eq!(json(&merged)["asked"], 2);
    assert_eq!(ask(&cluster, 1, &["get", "cart"]).stdout, "milk,eggs\n");

    let context = json(&ask(&cluster, 2, &["get", "cart", "--json"]))["context"].clone();
    let del = ask(&cluster, 1, &["del", "cart", "--context", context.as_str().expect("a context")]);
    assert_eq!(del.code, Some(0), "{}", del.stderr);
    let gone = ask(&cluster, 0, &["get", "cart", "--json"]);
    assert_eq!(gone.code, Some(1));
    assert!(json(&gone)["context"].is_string(), "a deleted key has a context");

    let put = ask(&cluster, 0, &["put", "short", "lived", "--ttl-ms", "1", "--supersede"]);
    assert_eq!(put.code, Some(0), "{}", put.stderr);
}

#[test]
fn owners_and_status_name_the_members() {
    let cluster = Cluster::start(3, &[]);
    let owners = ask(&cluster, 0, &["owners", "cart", "{tag}a", "{tag}b"]);
    let lines: Vec<&str> = owners.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], lines[2], "keys with one tag share a partition");
    assert_eq!(owners.stdout, ask(&cluster, 1, &["owners", "cart", "{tag}a", "{tag}b"]).stdout);
    let owners = json(&ask(&cluster, 0, &["owners", "cart", "--json"]));
    assert_eq!(owners["owners"].as_array().map(Vec::len), Some(3));

    let status = ask(&cluster, 1, &["status"]);
    for word in ["name", "cluster", "generation", "partitions", "member", "verdict", "requests"] {
        assert!(status.stdout.contains(word), "{word} is missing: {}", status.stdout);
    }
    let status = json(&ask(&cluster, 1, &["status", "--json"]));
    assert_eq!((&status["name"], &status["partitions"]), (&Json::from("B"), &Json::from(256)));
    let members = status["members"].as_array().expect("members");
    let up = members.iter().filter(|member| member["up"] == true).count();
    assert_eq!((members.len(), up), (3, 3));
    assert!(members.iter().all(|member| member["verdict"].is_string()), "{members:?}");
    assert!(status["counters"]["requests"].is_u64());
}

#[test]
fn each_outcome_has_its_exit_code() {
    let mut cluster = Cluster::start(3, &[]);
    let code = |cluster: &Cluster, words: &[&str]| ask(cluster, 0, words).code;
    assert_eq!(code(&cluster, &["put", "key", "value"]), Some(0));
    assert_eq!(code(&cluster, &["get", "key"]), Some(0));
    assert_eq!(code(&cluster, &["get", "nothing"]), Some(1));
    assert_eq!(code(&cluster, &["get", "key", "nothing"]), Some(1));
    assert_eq!(code(&cluster, &["put", "key", "value", "--w", "4"]), Some(2));
    assert_eq!(code(&cluster, &["get", "key", "--r", "9"]), Some(2));
    assert_eq!(code(&cluster, &["put", "key", "value", "--context", "AAAA"]), Some(9));
    assert_eq!(code(&cluster, &["put", "key", "value", "--context", "no context"]), Some(9));
    let nobody = free_address().to_string();
    assert_eq!(run(&["get", "key", "--node", &nobody]).code, Some(15));
    assert_eq!(run(&["status", "--node", "nowhere"]).code, Some(64));

    // Stopped, not gone: their connections stand, so requests begin and run out of time.
    for node in [1, 2] {
        cluster.process(node).signal("STOP");
    }
    assert_eq!(code(&cluster, &["get", "key", "--timeout-ms", "100"]), Some(16));
    let put = ask(&cluster, 0, &["put", "key", "value", "--timeout-ms", "100"]);
    assert!([Some(4), Some(5)].contains(&put.code), "{:?}: {}", put.code, put.stderr);
    assert!(put.stderr.contains("acked=1 of=2"), "{}", put.stderr);

    for node in [1, 2] {
        cluster.kill(node);
    }
    cluster.await_alone(0, 2);
    assert_eq!(code(&cluster, &["put", "key", "value"]), Some(3));
    assert_eq!(code(&cluster, &["get", "key"]), Some(3));
    assert_eq!(code(&cluster, &["get", "key", "--r", "1"]), Some(0));
}

#[test]
fn the_tour_ends_by_itself_and_shows_a_conflict() {
    let tour = run(&["dev", "--tour", "--port", "0"]);
    assert_eq!(tour.code, Some(0), "{}", tour.stderr);
    for line in ["  A> Q.PUT cart milk", "     milk,eggs", "     milk,tea", "     milk,eggs,tea"] {
        assert!(tour.stdout.lines().any(|printed| printed == line), "{line} is missing:\n{}", tour.stdout);
    }
}
