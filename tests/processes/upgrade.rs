//! A rolling upgrade of a cluster that another release has begun. `QUORATE_OLD_PROGRAM` names that program; the long
//! runs build it, and without it there is nothing to upgrade from.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::load::{Rolling, assert_no_failures, check_all};

#[test]
fn a_rolling_upgrade_fails_no_request() {
    let Some(program) = std::env::var_os("QUORATE_OLD_PROGRAM") else {
        println!("QUORATE_OLD_PROGRAM names no program to upgrade from");
        return;
    };
    let mut cluster = Cluster::start_program(PathBuf::from(program), 3);
    let load = Rolling::start(&[cluster.client(0), cluster.client(1), cluster.client(2)]);
    cluster.upgrade();
    for node in 0..3 {
        // Long enough for the newer ones to judge whom they cannot ask.
        thread::sleep(Duration::from_secs(4));
        cluster.stop(node);
        cluster.start_node(node);
        cluster.await_met(&[0, 1, 2]);
    }
    thread::sleep(Duration::from_secs(1));
    let answers = load.stop();
    assert_no_failures(&answers);
    for node in 0..3 {
        check_all(&mut cluster.connect(node), &answers, &["GET"]);
    }
    println!("{} writes, none failed", answers.len());
}
