//! `quorate status`: what a node knows of itself and its cluster, for people or as JSON.

use quorate::resp::client::Value;
use serde_json::{Map, Value as Json};

use super::answer::{field, fields, list, text, to_json};
use super::client::{Target, print_line};
use super::connection::Kind;
use super::exit::Failure;

/// `quorate status`.
#[derive(clap::Args)]
pub struct StatusArguments {
    #[command(flatten)]
    target: Target,
}

/// Asks a node and prints what it says.
///
/// # Errors
/// The node cannot be asked.
pub fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let mut connection = arguments.target.connect()?;
    let answer = connection.call(Kind::Read, &[b"Q.STATUS"])?;
    if arguments.target.json {
        return print_line(json(&answer)?.to_string().as_bytes());
    }
    for (name, value) in fields(&answer)? {
        match text(name).as_str() {
            "members" | "counters" => {}
            name => print_line(format!("{name:<16} {}", text(value)).as_bytes())?,
        }
    }
    print_line(b"\nmember           state  verdict   partitions  generation        address")?;
    for member in list(field(&answer, "members")?)? {
        print_line(member_line(member)?.as_bytes())?;
    }
    print_line(b"")?;
    for (name, value) in fields(field(&answer, "counters")?)? {
        print_line(format!("{:<32} {}", text(name), text(value)).as_bytes())?;
    }
    Ok(())
}

/// A member as a row of the table.
fn member_line(member: &Value) -> Result<String, Failure> {
    let part = |name| Ok::<_, Failure>(text(field(member, name)?));
    let state = if matches!(part("up")?.as_str(), "1" | "true") { "up" } else { "down" };
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let (generation, address) = (or_dash(part("generation")?), or_dash(part("address")?));
    let (name, verdict, partitions) = (part("name")?, or_dash(part("verdict")?), part("partitions")?);
    Ok(format!("{name:<16} {state:<5}  {verdict:<8} {partitions:>11}  {generation:<16}  {address}"))
}

/// The whole answer, with its members and counters as objects.
fn json(answer: &Value) -> Result<Json, Failure> {
    let mut object = Map::new();
    for (name, value) in fields(answer)? {
        let shown = match text(name).as_str() {
            "members" => {
                let rows = list(value)?.iter().map(flat_object);
                Json::Array(rows.collect::<Result<_, _>>()?)
            }
            "counters" => flat_object(value)?,
            _ => to_json(value),
        };
        object.insert(text(name), shown);
    }
    Ok(Json::Object(object))
}

fn flat_object(answer: &Value) -> Result<Json, Failure> {
    Ok(Json::Object(fields(answer)?.into_iter().map(|(name, value)| (text(name), to_json(value))).collect()))
}
