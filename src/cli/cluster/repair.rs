//! `quorate cluster repair`: has a node compare what it holds with everybody's copies, now, and waits for it.

use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use super::super::answer::{field, fields, text};
use super::super::client::print_line;
use super::super::connection::Kind;
use super::super::exit::{BAD_ARGUMENT, CANNOT_CONNECT, Failure, TIMEOUT};
use super::super::progress::Counting;
use super::Operator;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(200);

/// What is waited for.
pub struct Wanted<'a> {
    /// Only this partition.
    pub partition: Option<&'a str>,
    /// Only the partition of this key.
    pub key: Option<&'a str>,
    /// How long at most.
    pub timeout: Option<Duration>,
}

/// Forces it and waits until every copy was found equal since, or made so.
///
/// # Errors
/// The node refused, or did not get there in time.
pub fn run(operator: &mut Operator<'_>, wanted: &Wanted<'_>) -> Result<(), Failure> {
    let mut question = vec!["VERIFIED"];
    question.extend(wanted.partition.iter().flat_map(|&partition| ["PARTITION", partition]));
    question.extend(wanted.key.iter().flat_map(|&key| ["KEY", key]));
    // Before it is forced: what is refused is refused at once.
    operator.call(Kind::Read, &question)?;
    let began = Instant::now();
    operator.call(Kind::Write, &["REPAIR"])?;
    let mut progress = Counting::new("repairing");
    loop {
        let elapsed = began.elapsed();
        let ages = ages(&operator.call(Kind::Read, &question)?)?;
        let done = ages.iter().filter(|age| **age < elapsed).count();
        if done == ages.len() {
            return report(operator, ages.len());
        }
        let words = format!("{done} of {} partitions", ages.len());
        progress.tell(done as u64, ages.len() as u64, &words);
        if wanted.timeout.is_some_and(|most| elapsed >= most) {
            let why = format!(
                "{} of {} partitions were not compared with every copy after {} s; the node goes on by itself, and \
                 waits for members that are down",
                ages.len() - done,
                ages.len(),
                elapsed.as_secs()
            );
            return Err(Failure::new(TIMEOUT, why));
        }
        std::thread::sleep(PAUSE);
    }
}

/// How long it is since each partition was compared with every other copy.
fn ages(answer: &Value) -> Result<Vec<Duration>, Failure> {
    let fields = fields(answer)?;
    if fields.is_empty() {
        return Err(Failure::new(BAD_ARGUMENT, "this node shares no copy with another"));
    }
    let age = |(_, millis): &(&Value, &Value)| text(millis).parse().map(Duration::from_millis);
    let ages = fields.iter().map(age).collect::<Result<_, _>>();
    ages.map_err(|_| Failure::new(CANNOT_CONNECT, "the node answers with what is no number"))
}

fn report(operator: &mut Operator<'_>, partitions: usize) -> Result<(), Failure> {
    let status = operator.connection.call(Kind::Read, &[b"Q.STATUS"])?;
    let counters = field(&status, "counters")?;
    let figure = |name| field(counters, name).map(text);
    let (taken, sent) = (figure("exchange_records_taken")?, figure("exchange_records_sent")?);
    let node = text(field(&status, "name")?);
    print_line(
        format!(
            "{partitions} partitions of {node} are equal to their other copies; since it was started {node} took {taken} \
             records of others so, and gave them {sent}"
        )
        .as_bytes(),
    )
}
