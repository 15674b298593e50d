//! Who was away is given what it missed, from the log of who stayed.

use std::time::Duration;

use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options};
use quorate::proto::store::Store;

use super::{Cluster, put};

/// Copies are compared once, when the nodes have met, and then not for a day.
fn once(config: &mut Config) {
    config.exchange_interval = Some(Duration::from_secs(86_400));
    config.partitions = 16;
    config.hint_bytes_max = Some(0);
}

impl Cluster {
    /// A cluster in which every node has compared its copies with every other's, which is what claims rest on.
    fn compared(change: impl Fn(&mut Config), keys: usize) -> Cluster {
        let mut cluster = Cluster::new(3, change, 0);
        for number in 0..keys {
            let outcome =
                cluster.ask(number % 3, &format!("k{number}"), put("v", None), Options::default()).outcome;
            assert_eq!(outcome, Outcome::Ok);
        }
        cluster.pass(Duration::from_secs(4));
        cluster.compare();
        cluster
    }

    fn compare(&mut self) {
        for at in 0..3 {
            let now = self.now;
            self.nodes[at].compare_all(now);
        }
        self.pass(Duration::from_secs(1));
        assert!(self.are_equal());
    }

    /// Writes at the nodes that stayed, each key at one of them.
    fn write_without(&mut self, away: usize, keys: std::ops::Range<usize>) {
        for number in keys {
            let at = (away + 1 + number % 2) % 3;
            let outcome = self.ask(at, &format!("k{number}"), put("w", None), Options::default()).outcome;
            assert_eq!(outcome, Outcome::Ok);
        }
    }

    fn rejoin(&mut self) {
        self.heal();
        self.pass(Duration::from_secs(1));
    }
}

#[test]
fn what_was_missed_is_given_once_and_only_that() {
    let mut cluster = Cluster::compared(once, 500);
    cluster.isolate(2);
    cluster.write_without(2, 100..300);
    cluster.write_without(2, 400..600);
    // Only its last version travels.
    cluster.write_without(2, 400..450);
    let before = cluster.sum("exchange_compared_bytes");
    cluster.rejoin();
    assert!(cluster.are_equal());
    assert_eq!(cluster.sum("catch_up_records_sent"), 400, "each by one of the two that stayed");
    assert_eq!(cluster.sum("exchange_compared_bytes"), before, "no exchange had a part in it");
    assert_eq!((cluster.sum("catch_ups"), cluster.sum("catch_up_gaps")), (4, 0), "two, and by whom was away");
    // What was given is known to be there.
    cluster.isolate(2);
    cluster.rejoin();
    assert_eq!(cluster.sum("catch_up_records_sent"), 400);
}

/// What two nodes that stayed have given back in half a second in which each request takes so long, where it took a
/// millisecond before; and then everything, while they take no less.
fn given_beside(after: Duration, change: fn(&mut Config)) -> u64 {
    let paced = move |config: &mut Config| {
        once(config);
        config.hint_rate = 1 << 20;
        change(config);
    };
    let mut cluster = Cluster::compared(paced, 0);
    let serve = |cluster: &mut Cluster, after| {
        (0..2).for_each(|at| _ = cluster.begin(at, "k0", Operation::Get, Options::default()));
        cluster.advance(after);
    };
    (0..3_000).for_each(|_| serve(&mut cluster, Duration::from_millis(1)));
    cluster.isolate(2);
    let value = "w".repeat(1_000);
    for number in 0..1_000 {
        let key = format!("k{number}");
        let outcome = cluster.ask(number % 2, &key, put(&value, None), Options::default()).outcome;
        assert_eq!(outcome, Outcome::Ok);
    }
    (0..1_000).for_each(|_| serve(&mut cluster, Duration::from_millis(1)));
    cluster.heal();
    let given = |cluster: &Cluster| cluster.sum("hints_delivered") + cluster.sum("catch_up_records_sent");
    let began = cluster.now.mono;
    while cluster.now.mono < began + Duration::from_millis(500) {
        serve(&mut cluster, after);
    }
    let soon = given(&cluster);
    while given(&cluster) < 1_000 {
        serve(&mut cluster, after);
        assert!(cluster.now.mono < began + Duration::from_secs(60), "{} were given", given(&cluster));
    }
    soon
}

#[test]
fn what_is_given_back_gives_way_to_requests_and_ends_all_the_same() {
    let by_hints = |config: &mut Config| config.hint_bytes_max = None;
    let by_logs = |_: &mut Config| {};
    for way in [by_hints, by_logs] {
        let [usual, slow] = [1, 3].map(|ms| given_beside(Duration::from_millis(ms), way));
        assert!(slow > 0 && usual > 3 * slow, "{usual} records, and {slow} beside slow requests");
    }
}

#[test]
fn who_was_cut_off_gives_what_it_wrote_alone() {
    let mut cluster = Cluster::compared(once, 100);
    cluster.isolate(2);
    for number in 0..50 {
        let options = Options { w: Some(1), ..Options::default() };
        assert_eq!(cluster.ask(2, &format!("own{number}"), put("v", None), options).outcome, Outcome::Ok);
    }
    cluster.rejoin();
    assert!(cluster.are_equal());
    assert_eq!(
        (cluster.counter(2, "catch_up_records_sent"), cluster.sum("exchange_records_taken")),
        (100, 0)
    );
}

#[test]
fn a_run_that_is_cut_short_goes_on_where_it_was() {
    let mut cluster = Cluster::compared(once, 0);
    cluster.isolate(2);
    cluster.write_without(2, 0..2_000);
    cluster.heal();
    for _ in 0..4 {
        cluster.advance(Duration::from_millis(2));
    }
    cluster.isolate(2);
    let (sent, broken) = (cluster.sum("catch_up_records_sent"), cluster.sum("catch_ups_broken"));
    assert!(sent > 0 && sent < 2_000 && broken > 0, "{sent} records, {broken} broken");
    cluster.rejoin();
    assert!(cluster.are_equal());
    // What it was given it has to offer, too, as its own changes.
    let again = cluster.sum("catch_up_records_offered") - 2_000;
    assert!(again <= 2 * 256 + 2 * sent, "{again} were offered twice: not more than a batch of each");
    assert_eq!(cluster.sum("catch_up_records_sent"), 2_000);
}

#[test]
fn an_emptied_directory_is_believed_nothing_and_compared_at_once() {
    let mut cluster = Cluster::compared(once, 300);
    cluster.restart(2);
    assert_eq!(cluster.nodes[2].store().len(), 0);
    cluster.pass(Duration::from_secs(4));
    assert_eq!((cluster.sum("catch_up_gaps"), cluster.sum("catch_up_records_offered")), (2, 0));
    assert!(cluster.are_equal(), "a day before it would have been its turn");
}

#[test]
fn what_hints_deliver_is_not_sent_again() {
    let hinted = |config: &mut Config| {
        once(config);
        config.hint_bytes_max = None;
    };
    let mut cluster = Cluster::compared(hinted, 300);
    cluster.isolate(2);
    cluster.write_without(2, 100..200);
    assert_eq!(cluster.sum("hints"), 100);
    cluster.heal();
    cluster.pass(Duration::from_secs(4));
    assert!(cluster.are_equal());
    assert_eq!((cluster.sum("hints_delivered"), cluster.sum("hints")), (100, 0));
    assert_eq!(cluster.sum("catch_up_records_sent"), 0);
    assert!(cluster.sum("catch_up_records_offered") >= 100);
    assert_eq!(cluster.sum("catch_ups"), 4);
}

#[test]
fn a_claim_waits_for_the_disk_of_who_is_believed() {
    let mut cluster = Cluster::compared(once, 50);
    let claims = |cluster: &Cluster, at: usize| cluster.nodes[at].claims().collect::<Vec<_>>();
    let newest = |cluster: &Cluster| claims(cluster, 0).iter().map(|claim| claim.up_to).max();
    let before = newest(&cluster).expect("it was compared");
    assert_eq!(claims(&cluster, 0).len(), 2 * 16, "of both others, each partition");
    cluster.write_without(2, 0..50);
    cluster.pass(Duration::from_secs(4));
    assert_eq!(newest(&cluster), Some(before), "nothing was compared since");
    cluster.compare();
    assert!(newest(&cluster) > Some(before));
}

#[test]
fn what_the_log_does_not_go_back_to_is_left_to_the_exchange() {
    let mut cluster = Cluster::compared(once, 100);
    cluster.isolate(2);
    // More changes than a store in memory remembers.
    for round in 0..40 {
        cluster.write_without(2, 0..100 + round % 2);
        cluster.write_without(2, 0..100);
    }
    cluster.pass(Duration::from_secs(4));
    cluster.heal();
    cluster.pass(Duration::from_secs(4));
    assert!(cluster.sum("catch_up_gaps") >= 1);
    assert!(cluster.are_equal());
}

#[test]
fn the_exchange_goes_first_where_a_hint_was_refused() {
    let small = |config: &mut Config| {
        once(config);
        (config.exchange_interval, config.catch_up) = (Some(Duration::from_secs(2)), false);
        config.hint_bytes_max = Some(100);
    };
    let mut cluster = Cluster::compared(small, 100);
    cluster.isolate(2);
    cluster.write_without(2, 0..20);
    let dirty = |cluster: &Cluster| cluster.nodes[0].hints().dirty().len();
    assert!(dirty(&cluster) > 0);
    // It is the turn of the other one, each time, but for that.
    cluster.pass(Duration::from_secs(9));
    assert!(dirty(&cluster) > 0, "who lacks something is not there");
    cluster.heal();
    cluster.pass(Duration::from_secs(7));
    assert_eq!(dirty(&cluster), 0);
    assert!(cluster.are_equal());
}
