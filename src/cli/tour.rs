//! The conflict tour: two clients change one key at the same time, nothing is lost, a third resolves it.
//!
//! It speaks to the nodes as any client does, and it is checked: what it promises to show and does not
//! find ends the program as a failure.

use std::net::SocketAddr;

use quorate::proto::limits;
use quorate::resp::client::Value;

use super::answer::{bytes, field, list, text};
use super::client::print_line;
use super::connection::{Connection, Kind};
use super::exit::{BAD_ARGUMENT, Failure};

/// Gives the tour over the nodes with these addresses.
///
/// # Errors
/// A node did not answer *ok*, or showed something else than promised.
pub fn give(nodes: &[SocketAddr]) -> Result<(), Failure> {
    let mut guide = Guide::connect(nodes)?;
    guide.say(
        "A writes a shopping cart; the answer carries a context, which says what the writer has seen.",
    )?;
    let first = guide.put(0, "milk", None)?;
    guide.say("B reads it, and gets the same context or one that covers it.")?;
    let seen = guide.get(1, &["milk"])?;
    guide.say("Two clients add to the cart at the same time, on A and on B, each with what it has read.")?;
    guide.put(0, "milk,eggs", Some(&first))?;
    guide.put(1, "milk,tea", Some(&seen))?;
    guide.say("Neither had seen the other, so neither may replace it: a reader gets both.")?;
    let both = guide.get(2, &["milk,eggs", "milk,tea"])?;
    guide
        .say("Only the program knows how carts merge. It writes the merged cart with the context of both.")?;
    guide.put(2, "milk,eggs,tea", Some(&both))?;
    guide.say("One version again, on every node.")?;
    for node in 0..3 {
        guide.get(node, &["milk,eggs,tea"])?;
    }
    Ok(())
}

/// The key of the tour.
const KEY: &str = "cart";

struct Guide {
    nodes: Vec<Connection>,
}

impl Guide {
    fn connect(nodes: &[SocketAddr]) -> Result<Guide, Failure> {
        let connect = |node: &SocketAddr| Connection::open(&node.to_string(), limits::CLIENT_DEADLINE);
        Ok(Guide { nodes: nodes.iter().map(connect).collect::<Result<_, _>>()? })
    }

    fn say(&self, sentence: &str) -> Result<(), Failure> {
        print_line(format!("\n{sentence}").as_bytes())
    }

    /// Sends a command to the node at a place, which with fewer nodes is one of those there are.
    fn call(&mut self, place: usize, kind: Kind, words: &[&str]) -> Result<Value, Failure> {
        let place = place % self.nodes.len();
        let name = char::from(b'A' + place as u8);
        let shown: Vec<_> = words.iter().map(|word| shortened(word)).collect();
        print_line(format!("  {name}> {}", shown.join(" ")).as_bytes())?;
        let command: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.nodes[place].call(kind, &command)
    }

    /// Writes; returns the context of the answer.
    fn put(&mut self, place: usize, value: &str, context: Option<&str>) -> Result<String, Failure> {
        let mut words = vec!["Q.PUT", KEY, value];
        if let Some(context) = context {
            words.extend(["CONTEXT", context]);
        }
        let answer = self.call(place, Kind::Write, &words)?;
        let (acked, context) = (text(field(&answer, "acked")?), text(field(&answer, "context")?));
        print_line(
            format!("     acknowledged by {acked} nodes, context {}", shortened(&context)).as_bytes(),
        )?;
        Ok(context)
    }

    /// Reads; returns the context of the answer. The values must be those expected, in any order.
    fn get(&mut self, place: usize, expected: &[&str]) -> Result<String, Failure> {
        let answer = self.call(place, Kind::Read, &["Q.GET", KEY])?;
        let mut values = Vec::new();
        for sibling in list(field(&answer, "siblings")?)? {
            values.push(String::from_utf8_lossy(bytes(field(sibling, "value")?)?).into_owned());
        }
        values.sort();
        let context = text(field(&answer, "context")?);
        for value in &values {
            print_line(format!("     {value}").as_bytes())?;
        }
        print_line(format!("     context {}", shortened(&context)).as_bytes())?;
        if values != expected {
            return Err(Failure::new(
                BAD_ARGUMENT,
                format!("the tour expected {expected:?} and read {values:?}"),
            ));
        }
        Ok(context)
    }
}

/// A word as it fits a line: contexts are long and say nothing to a reader.
fn shortened(word: &str) -> String {
    const SHOWN: usize = 16;
    match word.get(..SHOWN) {
        Some(beginning) if word.len() > SHOWN + 3 => format!("{beginning}…"),
        _ => word.to_owned(),
    }
}
