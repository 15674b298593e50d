//! Requests that nobody waits for any more: one reply at once, and a write that was begun goes on.

use std::time::Duration;

use quorate::proto::error::Outcome;
use quorate::proto::io::{Add, Operation, Options, RequestId};

use super::{Blind, Cluster, put, values};

impl Cluster {
    /// Cancels, and carries what follows; whether that ended it.
    fn cancel(&mut self, at: usize, id: u64) -> bool {
        let is_ended = self.nodes[at].cancel(self.now, RequestId(id));
        self.run();
        is_ended
    }

    /// What all three replicas have.
    fn read_all(&mut self, at: usize, key: &str) -> Vec<String> {
        let options = Options { r: Some(3), ..Options::default() };
        values(&self.ask(at, key, Operation::Get, options))
    }
}

/// Three nodes, of which the first reaches nobody and has not noticed.
fn unheard() -> Cluster {
    let mut cluster = Cluster::new(3, |_| (), 0);
    cluster.cut = vec![(0, 1), (0, 2)];
    cluster
}

#[test]
fn a_read_that_waits_ends_at_once() {
    let mut cluster = unheard();
    let id = cluster.submit(0, "k", Operation::Get, Options::default());
    assert!(!cluster.replies.contains_key(&id), "a read needs two");
    assert!(cluster.cancel(0, id));
    assert_eq!(cluster.replies[&id].outcome, Outcome::Timeout);
    assert!(!cluster.cancel(0, id), "it has its reply");
    assert_eq!(cluster.counter(0, "requests_in_flight"), 0);
    cluster.advance(Duration::from_secs(5));
}

#[test]
fn a_write_that_was_begun_may_happen_and_says_what_is_known() {
    let mut cluster = unheard();
    let id = cluster.submit(0, "k", put("v", None), Options::default());
    assert!(cluster.cancel(0, id));
    let reply = &cluster.replies[&id];
    assert_eq!(reply.outcome, Outcome::Maybe);
    assert_eq!((reply.achieved.asked, reply.achieved.acked, reply.dot.is_some()), (2, 1, true));
    // It did: whoever reads sees it, once frames pass.
    cluster.heal();
    assert_eq!(cluster.read_all(1, "k"), ["v"]);
}

#[test]
fn a_write_that_was_forwarded_may_happen() {
    let mut cluster = Cluster::new(4, |_| (), 0);
    let owners = cluster.nodes[0].owners(0, b"k").members;
    let at = (0..4).find(|at| !owners.contains(&format!("n{at}"))).expect("three of four");
    let id = cluster.begin(at, "k", put("v", None), Options::default());
    // The forward is on its way.
    assert!(cluster.cancel(at, id));
    assert_eq!(cluster.replies[&id].outcome, Outcome::Maybe);
    assert_eq!(cluster.read_all(at, "k"), ["v"], "nobody took it back");
    cluster.advance(Duration::from_secs(5));
}

#[test]
fn a_change_that_reads_first_writes_nothing() {
    let mut cluster = unheard();
    let delete = Operation::Delete { context: None, blind: Blind::Siblings };
    let id = cluster.submit(0, "k", delete, Options::default());
    assert!(cluster.cancel(0, id));
    assert_eq!(cluster.replies[&id].outcome, Outcome::Timeout, "which is no `maybe`");
    assert_eq!(cluster.replies[&id].dot, None, "no event was issued");
}

/// A counter that is asked for again under its name counts once, though its first caller went away.
#[test]
fn a_cancelled_increment_is_known_by_its_name() {
    let mut cluster = unheard();
    let add = || Operation::Add(Add::By { by: 5, id: Some(7) });
    let options = Options { w: Some(2), ..Options::default() };
    let id = cluster.submit(0, "n", add(), options);
    assert!(cluster.cancel(0, id));
    assert_eq!(cluster.replies[&id].outcome, Outcome::Maybe);
    cluster.heal();
    assert_eq!(cluster.ask(0, "n", add(), options).outcome, Outcome::Maybe, "as it was told before");
    assert_eq!(cluster.read_all(1, "n"), ["5"]);
}

/// A read that is answered goes on in the background under a number that is free again.
#[test]
fn what_goes_on_in_the_background_is_nobodys_to_cancel() {
    let mut cluster = Cluster::new(3, |config| config.background_read_one_in = 1, 0);
    assert_eq!(cluster.ask(0, "k", put("v", None), Options::default()).outcome, Outcome::Ok);
    cluster.cut = vec![(2, 0)];
    let id = loop {
        let id = cluster.submit(0, "k", Operation::Get, Options::default());
        if cluster.replies.contains_key(&id) {
            break id;
        }
        cluster.advance(Duration::from_secs(2));
    };
    assert!(cluster.counter(0, "requests_in_flight") > 0, "it compares all replicas");
    assert!(!cluster.cancel(0, id));
    assert!(cluster.counter(0, "requests_in_flight") > 0);
}
