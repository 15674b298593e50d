//! `quorate cluster …`: a cluster grows and shrinks as its operator says, over real sockets, and each refusal
//! has its exit code.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Ended, PATIENCE, Process, free_address, run};

/// Nodes that are started one by one: the first founds a cluster, the others ask to join it.
struct Growing {
    directory: TempDir,
    nodes: Vec<(Process, SocketAddr, SocketAddr)>,
}

impl Growing {
    fn found() -> Growing {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut growing = Growing { directory, nodes: Vec::new() };
        growing.start("A", &[]);
        growing
    }

    fn start(&mut self, name: &str, flags: &[&str]) {
        let (client, peer) = (free_address(), free_address());
        let data = self.directory.path().join(name);
        let mut arguments = ["node", "--name", name, "--segment-mib", "4", "--partitions", "32", "--data"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(data.to_str().expect("UTF-8").to_owned());
        arguments.extend(["--client".to_owned(), client.to_string(), "--peer".to_owned(), peer.to_string()]);
        if let Some((_, _, first)) = self.nodes.first() {
            arguments.extend(["--join".to_owned(), first.to_string()]);
        }
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let node = Process::start(&arguments, &self.directory.path().join(format!("{name}.stderr")));
        assert!(node.line().starts_with("ready "));
        self.nodes.push((node, client, peer));
    }

    /// Runs `quorate cluster` against a node.
    fn ask(&self, node: usize, words: &[&str]) -> Ended {
        run(&[&["cluster"], words, &["--node", &self.nodes[node].1.to_string()]].concat())
    }

    fn json(&self, node: usize, verb: &str) -> Json {
        let ended = self.ask(node, &[verb, "--json"]);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr))
    }

    /// Waits until so much is staged.
    fn await_staged(&self, changes: &[&str]) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let staged = self.json(0, "staged")["staged"].clone();
            let begins = |at: usize| staged[at].as_str().is_some_and(|text| text.starts_with(changes[at]));
            if staged.as_array().map(Vec::len) == Some(changes.len()) && (0..changes.len()).all(begins) {
                return;
            }
            assert!(Instant::now() < give_up, "{changes:?} are not staged, but {staged}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_cluster_grows_and_shrinks_as_its_operator_says() {
    let mut cluster = Growing::found();
    let status = cluster.ask(0, &["status"]);
    assert!(status.stdout.starts_with("cluster   settled on layout 1: 1 member, 32 partitions\n"));
    let none = cluster.ask(0, &["plan"]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (Some(0), "nothing is staged, so there is nothing to commit\n")
    );

    cluster.start("B", &["--zone", "attic"]);
    cluster.await_staged(&["join B@"]);
    let waiting = cluster.ask(0, &["status"]).stdout;
    assert!(waiting.contains("\nstaged    join B@") && waiting.contains("\nnext      1 change is staged"));
    let plan = cluster.ask(0, &["plan"]).stdout;
    assert!(plan.contains("moves     32 of 64 replicas") && plan.contains("\nWARNING   degraded"), "{plan}");
    let command = plan.lines().last().and_then(|line| line.strip_prefix("commit it with: quorate "));
    let command: Vec<&str> = command.expect("it says how").split(' ').collect();
    let stale = command[2];

    // What somebody else stages meanwhile changes the plan, so the one that was seen is not committed.
    let weighed = cluster.ask(0, &["weight", "A", "2"]);
    assert_eq!(weighed.code, Some(0), "{}", weighed.stderr);
    assert!(weighed.stdout.contains("\nstaged    weight A 2\n"), "{}", weighed.stdout);
    let refused = cluster.ask(0, &["commit", stale]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("look at the plan again"), "{}", refused.stderr);

    let committed = cluster.ask(0, &["commit", "--wait", "--timeout", "60"]);
    assert_eq!(committed.code, Some(0), "{}", committed.stderr);
    assert!(committed.stdout.lines().last().is_some_and(|line| line.starts_with("settled on layout ")));
    let status = cluster.json(1, "status");
    assert_eq!((&status["phase"], &status["members"][1]["zone"]), (&"settled".into(), &"attic".into()));
    assert_eq!((&status["members"][0]["weight"], &status["members"][0]["zone"]), (&2.into(), &"A".into()));

    let left = cluster.ask(0, &["leave", "B", "--commit", "--wait", "--timeout", "60"]);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
    assert!(left.stdout.contains("moves     0 of 32 replicas"), "{}", left.stdout);
    assert_eq!(cluster.json(0, "status")["members"].as_array().map(Vec::len), Some(1));
}

#[test]
fn guests_whose_joining_was_taken_back_ask_again() {
    let mut cluster = Growing::found();
    let mut client = Client::connect(cluster.nodes[0].1);
    for number in 0..64 {
        let stored = client.call(&["SET", &format!("key {number}"), &"x".repeat(128 << 10)]);
        assert_eq!(stored, Value::Simple("OK".into()));
    }
    // Slow enough to be met on its way. With three members, guests are keepers from the commit on.
    cluster.start("B", &["--transfer-mib", "1"]);
    cluster.start("C", &["--transfer-mib", "1"]);
    cluster.await_staged(&["join ", "join "]);
    assert_eq!(cluster.ask(0, &["commit"]).code, Some(0));
    let moving = cluster.json(0, "status");
    assert_eq!((&moving["phase"], moving["keepers"].as_array().map(Vec::len)), (&"copying".into(), Some(3)));
    let reverted = cluster.ask(0, &["revert"]);
    assert_eq!(reverted.code, Some(0), "{}", reverted.stderr);
    cluster.await_staged(&["join ", "join "]);
    let guest = cluster.json(2, "status");
    assert_eq!((&guest["phase"], &guest["refusal"]), (&"settled".into(), &Json::Null));
    let waited = cluster.ask(2, &["commit", "--wait", "--timeout", "1"]);
    assert_eq!(waited.code, Some(16), "{}", waited.stderr);
    assert!(waited.stderr.contains("it goes on by itself"), "{}", waited.stderr);
}

#[test]
fn what_an_operator_may_not_is_refused_with_a_reason() {
    let cluster = Growing::found();
    for (words, reason) in [
        (&["leave", "Z"][..], "there is no member `Z`"),
        (&["leave", "A"], "the last member cannot go"),
        (&["replace", "A", "A"], "does not replace itself"),
        (&["zone", "A", "a b"], "`a b` is no name"),
        (&["max-per-zone", "many"], "not an integer"),
        (&["commit"], "nothing is staged"),
        (&["commit", "12"], "no hash of a plan"),
        (&["commit", "0000000000000012"], "nothing is staged"),
        (&["revert"], "no transition is under way"),
    ] {
        let refused = cluster.ask(0, words);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(reason), "{words:?}: {}", refused.stderr);
    }
    for words in
        [&["leave", "A", "--wait"][..], &["weight", "A", "heavy"], &["commit", "--timeout", "3"], &[]]
    {
        assert_eq!(cluster.ask(0, words).code, Some(64), "{words:?}");
    }
    // Changes that move nothing are in force at once.
    let zoned = cluster.ask(0, &["zone", "A", "attic", "--commit", "--wait"]);
    assert_eq!(zoned.code, Some(0), "{}", zoned.stderr);
    assert!(zoned.stdout.ends_with("nothing had to move\n"), "{}", zoned.stdout);
    assert_eq!(cluster.ask(0, &["zone", "A", "attic"]).stdout, "nothing is staged\n");
    let again = cluster.ask(0, &["zone", "A", "attic", "--commit"]);
    assert_eq!(again.stdout, "it is so already, and nothing else is staged\n");
    cluster.ask(0, &["zone", "A", "cellar"]);
    assert_eq!(cluster.ask(0, &["unstage"]).stdout, "nothing is staged\n");
    let nobody = run(&["cluster", "status", "--node", &free_address().to_string()]);
    assert_eq!(nobody.code, Some(15), "{}", nobody.stderr);
}

#[test]
fn a_list_of_members_is_not_changed() {
    let cluster = crate::cluster::Cluster::start(2, &[]);
    let address = cluster.client(0).to_string();
    let ask = |words: &[&str]| run(&[&["cluster"], words, &["--node", &address]].concat());
    let status = ask(&["status"]);
    assert!(status.stdout.contains("the members are a list that was given"), "{}", status.stdout);
    for words in [&["plan"][..], &["leave", "B"], &["weight", "A", "2"]] {
        let refused = ask(words);
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("the members of this cluster are a list"), "{}", refused.stderr);
    }
}

#[test]
fn copies_are_compared_when_an_operator_wants_it() {
    let mut growing = Growing::found();
    let ended = growing.ask(0, &["repair", "--key", "k"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains("shares no copy of that partition"), "{}", ended.stderr);
    growing.start("B", &[]);
    growing.await_staged(&["join "]);
    let moved = growing.ask(0, &["commit", "--wait"]);
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    for words in [&["repair"][..], &["repair", "--key", "k"], &["repair", "--partition", "7"]] {
        let ended = growing.ask(0, words);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("of A are equal to their other copies"), "{}", ended.stdout);
    }
    let ended = growing.ask(0, &["repair", "--partition", "32"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    growing.nodes[1].0.signal("STOP");
    let ended = growing.ask(0, &["repair", "--timeout", "1"]);
    assert_eq!(ended.code, Some(16), "{} {}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("were not compared with every copy"), "{}", ended.stderr);
    growing.nodes[1].0.signal("CONT");
}
