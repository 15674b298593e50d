//! A cluster whose nodes are of two releases, as it is while it is upgraded: the older ones know no probes, no
//! datagrams and no topologies.

use std::time::Duration;

use quorate::driver::EventLoop;

use crate::nodes::{Lines, budget, options};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn nodes_of_two_releases_serve_one_cluster() {
    let lines = Lines::new();
    let mut nodes: Vec<EventLoop> = Vec::new();
    for (name, level) in NAMES.iter().zip([1, 0, 0]) {
        let mut options = options(name, &NAMES);
        options.level = level;
        options.log = lines.logger();
        nodes.push(EventLoop::open(options).unwrap());
    }
    let addresses: Vec<_> = nodes.iter().map(|node| node.peer_address().unwrap()).collect();
    for node in &mut nodes {
        for (name, address) in NAMES.iter().zip(&addresses) {
            assert!(node.set_member_address(name, *address));
        }
    }
    // Long enough for the newer one to suspect and declare down whom it cannot ask.
    let mut now = nodes[0].now();
    let end = now.mono + Duration::from_secs(30);
    while now.mono < end {
        for node in &mut nodes {
            while node.step(now, budget()).unwrap().more {}
        }
        std::thread::sleep(Duration::from_micros(200));
        now.mono = now.mono + Duration::from_millis(20);
    }
    for (node, name) in nodes.iter().zip(NAMES) {
        let status = node.status();
        assert!(status.members.iter().all(|member| member.up), "{name}: {:?}", status.members);
        let counters: std::collections::BTreeMap<_, _> = status.counters.into_iter().collect();
        assert_eq!(counters["frames_refused"], 0, "{name}");
    }
    let newer = nodes[0].status();
    let verdicts: Vec<_> = newer.members.iter().map(|member| member.verdict_name()).collect();
    assert_eq!(verdicts, [Some("alive"); 3], "an older one is believed its stream");
    assert!(!lines.has("is gone"), "{:#?}", lines.with("gone"));
}
