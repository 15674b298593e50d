//! Members of whom nothing good is heard: others are asked first, and nobody is left out.

use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options};

use super::{Cluster, put};

#[test]
fn reads_ask_others_first_and_writes_go_to_all() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let (one, two) = (cluster.ids[1], cluster.ids[2]);
    cluster.nodes[0].avoid(one, true);
    let before = cluster.counter(1, "frames_taken");
    for number in 0..20 {
        cluster.get(0, &format!("nothing:{number}"));
    }
    assert_eq!(cluster.counter(1, "frames_taken"), before, "there is another replica for each read");
    assert_eq!(cluster.ask(0, "k", put("v", None), Options::default()).outcome, Outcome::Ok);
    assert!(cluster.counter(1, "frames_taken") > before, "it is written to");
    let all = Options { r: Some(3), ..Options::default() };
    let reply = cluster.ask(0, "k", Operation::Get, all);
    assert_eq!((reply.outcome, reply.achieved.acked), (Outcome::Ok, 3), "who needs all asks all");
    // Where all are avoided, each is asked in its turn.
    cluster.nodes[0].avoid(two, true);
    assert_eq!(cluster.get(0, "k").outcome, Outcome::Ok);
    cluster.nodes[0].avoid(one, false);
    assert_eq!(cluster.get(0, "k").outcome, Outcome::Ok);
}
