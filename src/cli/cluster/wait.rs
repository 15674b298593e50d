//! Waits until a transition has ended, and tells how far it has come meanwhile. The cluster needs nobody who
//! waits: what ends here goes on there.

use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use quorate::resp::client::Value;

use super::super::answer::{field, text};
use super::super::connection::{Connection, Kind};
use super::super::exit::{CANNOT_CONNECT, Failure, TIMEOUT, WRONG_LAYOUT};
use super::super::progress::Counting;
use super::connect;
use super::status::{self, Headway};

/// How long is waited, and for what.
pub struct Limits {
    /// In all.
    pub in_all: Option<Duration>,
    /// For a node that does not answer: it may be on its way back.
    pub silence: Duration,
    /// Between two questions.
    pub pause: Duration,
}

impl Limits {
    /// The usual ones.
    pub fn new(in_all: Option<Duration>) -> Limits {
        Limits { in_all, silence: Duration::from_secs(30), pause: Duration::from_millis(500) }
    }
}

/// Where a transition has come to.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    On,
    There,
    /// Somebody took it back.
    Back,
}

fn way(answer: &Value, layout: u64) -> Result<Way, Failure> {
    let is_settled = text(field(answer, "phase")?) == "settled";
    let on = text(field(answer, "layout")?).parse::<u64>().unwrap_or(0);
    Ok(match (is_settled, on >= layout) {
        (false, _) => Way::On,
        (true, true) => Way::There,
        (true, false) => Way::Back,
    })
}

/// Waits until the cluster has settled on a layout, or on one that followed it. Returns how it is then.
///
/// # Errors
/// It did not come there in time, went back, or the node does not answer any more.
pub fn until_settled(node: &str, layout: u64, limits: &Limits) -> Result<Value, Failure> {
    let (began, mut heard) = (Instant::now(), Instant::now());
    let mut connection: Option<Connection> = None;
    let mut moving = Counting::new("moving");
    let mut last = String::new();
    loop {
        match ask(&mut connection, node) {
            Ok(answer) => {
                heard = Instant::now();
                match way(&answer, layout)? {
                    Way::There => return Ok(answer),
                    Way::Back => {
                        let why =
                            format!("the cluster went back and does not move to layout {layout} any more");
                        return Err(Failure::new(WRONG_LAYOUT, why));
                    }
                    Way::On => {}
                }
                last = status::doing(&answer)?;
                let headway = Headway::of(&answer)?;
                let (done, total) = (headway.done(), headway.total);
                let words = format!("{done} of {total} replicas, {}", HumanBytes(headway.bytes));
                moving.tell(done, total, &words);
            }
            Err(failure) if !matches!(failure.code, CANNOT_CONNECT | TIMEOUT) => return Err(failure),
            Err(failure) => {
                connection = None;
                if heard.elapsed() >= limits.silence {
                    let message = format!("{}; the cluster goes on by itself", failure.message);
                    return Err(Failure::new(failure.code, message));
                }
            }
        }
        if let Some(in_all) = limits.in_all.filter(|in_all| began.elapsed() >= *in_all) {
            let seconds = in_all.as_secs();
            let message = format!("not settled after {seconds} s, and it goes on by itself: {last}");
            return Err(Failure::new(TIMEOUT, message));
        }
        std::thread::sleep(limits.pause);
    }
}

fn ask(connection: &mut Option<Connection>, node: &str) -> Result<Value, Failure> {
    let connected = match connection.take() {
        Some(connected) => connected,
        None => connect(node)?,
    };
    connection.insert(connected).call(Kind::Read, &[b"Q.CLUSTER", b"STATUS"])
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::answer;
    use super::*;

    #[test]
    fn a_transition_ends_on_its_layout_or_a_later_one() {
        for (phase, layouts, expected) in [
            ("copying", (3, Some(7)), Way::On),
            ("finishing", (7, Some(7)), Way::On),
            ("settled", (7, None), Way::There),
            ("settled", (9, None), Way::There),
            ("settled", (3, None), Way::Back),
        ] {
            assert_eq!(way(&answer(phase, layouts, &[], &[]), 7), Ok(expected), "{phase}");
        }
    }

    #[test]
    fn a_node_that_is_gone_is_waited_for_and_then_named() {
        let limits = Limits { in_all: None, silence: Duration::ZERO, pause: Duration::ZERO };
        // Nothing listens on port 1 of this machine.
        let failure = until_settled("127.0.0.1:1", 7, &limits).unwrap_err();
        assert_eq!(failure.code, CANNOT_CONNECT);
        assert!(failure.message.contains("goes on by itself"), "{}", failure.message);
    }
}
