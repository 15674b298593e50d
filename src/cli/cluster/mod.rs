//! `quorate cluster …`: how a cluster is, and how an operator changes it: stage, look at the plan, commit.
//!
//! ```text
//!  leave remove replace weight zone max-per-zone ──► staged ──► plan ──► commit HASH ──► moving ──► settled
//!                                                       └── unstage        revert ──┘
//! ```
//!
//! Every verb is a command of RESP to one node, any of them. What was asked goes to stdout; what is remarked on
//! the way goes to stderr. Nothing is decided here: what a change comes to, and whether it may be, says the node.

mod repair;
mod status;
mod table;
mod wait;

use std::time::Duration;

use quorate::proto::limits;
use quorate::resp::client::Value;

use self::repair::Wanted;
use self::wait::Limits;
use super::answer::{field, list, text, to_json};
use super::client::print_line;
use super::connection::{Connection, Kind};
use super::exit::{BAD_ARGUMENT, Failure};
use super::settings::CLIENT_DEFAULT;

/// `quorate cluster`.
#[derive(clap::Args)]
pub struct ClusterArguments {
    #[command(subcommand)]
    verb: Verb,
    /// The node to ask; any member will do.
    #[arg(long, global = true, env = "QUORATE_NODE", value_name = "ADDR", default_value = CLIENT_DEFAULT)]
    node: String,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Show the members, what the cluster is doing, and what waits for you.
    Status,
    /// Show what that which is staged comes to, and how to commit it.
    Plan,
    /// Begin to move to what is staged.
    Commit {
        /// The hash of a plan that you have seen; without it, whatever the plan is now.
        hash: Option<String>,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Go back to the layout before, as long as reads are on it.
    Revert,
    /// Show what is staged.
    Staged,
    /// Begin a new era with the keepers that are left, where a majority of them is lost for good.
    Keepers {
        /// That it is meant: what the lost ones decided and told nobody of counts no more, and they must not come
        /// back elsewhere.
        #[arg(long, required = true)]
        force: bool,
    },
    /// Have the node compare what it holds with everybody's copies, now, and wait until all are equal.
    Repair {
        /// Wait for this partition only.
        #[arg(long, value_name = "P", conflicts_with = "key")]
        partition: Option<u16>,
        /// Wait for the partition of this key only.
        #[arg(long)]
        key: Option<String>,
        /// Seconds to wait at most [default: no end].
        #[arg(long, value_name = "S")]
        timeout: Option<u64>,
    },
    /// Forget what is staged.
    Unstage,
    /// Stage that a member gives away what it holds and is then none any more.
    Leave {
        /// The member.
        name: String,
        #[command(flatten)]
        then: Then,
    },
    /// Stage that a member is dead: others copy what it held from each other, and it never comes back.
    Remove {
        /// The member.
        name: String,
        #[command(flatten)]
        then: Then,
    },
    /// Stage that a member is dead and another takes over its place: its weight, zone and partitions.
    Replace {
        /// The dead member.
        old: String,
        /// The one that takes over: a member, or one that is staged to join.
        new: String,
        #[command(flatten)]
        then: Then,
    },
    /// Stage another share of the data for a member, relative to others; 0 drains it.
    Weight {
        /// The member.
        name: String,
        /// The weight.
        weight: u32,
        #[command(flatten)]
        then: Then,
    },
    /// Stage what fails with a member, such as a rack or a room.
    Zone {
        /// The member.
        name: String,
        /// The zone; empty for none.
        zone: String,
        #[command(flatten)]
        then: Then,
    },
    /// Stage how many replicas of a partition may lie in one zone.
    MaxPerZone {
        /// A number from 1 on, or `default`: one less than N.
        most: String,
        #[command(flatten)]
        then: Then,
    },
}

/// What follows on a change that was staged.
#[derive(clap::Args)]
struct Then {
    /// Commit it at once, with whatever else is staged.
    #[arg(long)]
    commit: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(clap::Args)]
struct WaitArguments {
    /// Wait until the cluster has moved.
    #[arg(long)]
    wait: bool,
    /// Seconds to wait at most; the cluster goes on after them [default: no end].
    #[arg(long, value_name = "S", requires = "wait")]
    timeout: Option<u64>,
}

/// Carries out a verb.
///
/// # Errors
/// The node refused, did not answer, or the cluster did not come to where it was to go.
pub fn run(arguments: &ClusterArguments) -> Result<(), Failure> {
    let mut operator = Operator::connect(arguments)?;
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let (command, then) = match &arguments.verb {
        Verb::Status => return operator.status(),
        Verb::Plan => return operator.show_plan(),
        Verb::Commit { hash, wait } => return operator.commit(hash.as_deref(), wait),
        Verb::Revert => return operator.revert(),
        Verb::Staged => return operator.staged(),
        Verb::Unstage => return operator.unstage(),
        Verb::Keepers { .. } => return operator.force_keepers(),
        Verb::Repair { partition, key, timeout } => {
            let partition = partition.map(|partition| partition.to_string());
            let timeout = timeout.map(Duration::from_secs);
            let wanted = Wanted { partition: partition.as_deref(), key: key.as_deref(), timeout };
            return repair::run(&mut operator, &wanted);
        }
        Verb::Leave { name, then } => (words(&["LEAVE", name]), then),
        Verb::Remove { name, then } => (words(&["REMOVE", name]), then),
        Verb::Replace { old, new, then } => (words(&["REPLACE", old, new]), then),
        Verb::Weight { name, weight, then } => (words(&["WEIGHT", name, &weight.to_string()]), then),
        Verb::Zone { name, zone, then } => (words(&["ZONE", name, zone]), then),
        Verb::MaxPerZone { most, then } => (words(&["MAXPERZONE", most]), then),
    };
    if then.wait.wait && !then.commit {
        return Err(Failure::setting("wait", "there is nothing to wait for without --commit"));
    }
    operator.stage(&command, then)
}

/// A connection to a node, and how its answers are shown.
struct Operator<'a> {
    connection: Connection,
    node: &'a str,
    json: bool,
}

impl<'a> Operator<'a> {
    fn connect(arguments: &'a ClusterArguments) -> Result<Operator<'a>, Failure> {
        let node = &arguments.node;
        Ok(Operator { connection: connect(node)?, node, json: arguments.json })
    }

    fn call(&mut self, kind: Kind, words: &[&str]) -> Result<Value, Failure> {
        let mut command = vec![b"Q.CLUSTER".as_slice()];
        command.extend(words.iter().map(|word| word.as_bytes()));
        self.connection.call(kind, &command)
    }

    /// How an operator types a verb to the node that was asked.
    fn hint(&self, verb: &str) -> String {
        match self.node {
            CLIENT_DEFAULT => format!("quorate cluster {verb}"),
            node => format!("quorate cluster {verb} --node {node}"),
        }
    }

    fn status(&mut self) -> Result<(), Failure> {
        let answer = self.call(Kind::Read, &["STATUS"])?;
        if self.json {
            return print_json(&answer);
        }
        print_lines(status::lines(&answer, &self.hint("plan"))?)
    }

    /// Shows the plan, and how it is committed.
    fn show_plan(&mut self) -> Result<(), Failure> {
        match self.plan()?.filter(|_| !self.json) {
            Some(hash) => {
                let command = self.hint(&format!("commit {hash}"));
                print_line(format!("\ncommit it with: {command}").as_bytes())
            }
            None => Ok(()),
        }
    }

    /// Shows the plan; its hash, if there is something to commit.
    fn plan(&mut self) -> Result<Option<String>, Failure> {
        let answer = self.call(Kind::Read, &["PLAN"])?;
        let staged = list(field(&answer, "staged")?)?;
        let hash = text(field(&answer, "hash")?);
        if self.json {
            print_json(&answer)?;
            return Ok((!staged.is_empty()).then_some(hash));
        }
        if staged.is_empty() {
            print_line(b"nothing is staged, so there is nothing to commit")?;
            return Ok(None);
        }
        let staged: Vec<String> = staged.iter().map(text).collect();
        print_line(format!("staged    {}", staged.join(", ")).as_bytes())?;
        print_lines(list(field(&answer, "lines")?)?.iter().map(text))?;
        Ok(Some(hash))
    }

    fn commit(&mut self, hash: Option<&str>, wait: &WaitArguments) -> Result<(), Failure> {
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => {
                let plan = self.call(Kind::Read, &["PLAN"])?;
                if list(field(&plan, "staged")?)?.is_empty() {
                    return Err(Failure::new(BAD_ARGUMENT, "nothing is staged"));
                }
                text(field(&plan, "hash")?)
            }
        };
        self.commit_plan(&hash, wait)
    }

    fn commit_plan(&mut self, hash: &str, wait: &WaitArguments) -> Result<(), Failure> {
        let answer = self.call(Kind::Write, &["COMMIT", hash])?;
        let next = text(field(&answer, "next")?).parse::<u64>().ok();
        if self.json && !wait.wait {
            return print_json(&answer);
        }
        let Some(layout) = next else {
            let layout = text(field(&answer, "layout")?);
            return print_line(format!("committed {hash}: layout {layout}, nothing had to move").as_bytes());
        };
        if !self.json {
            print_line(format!("committed {hash}: the cluster moves to layout {layout}").as_bytes())?;
        }
        if !wait.wait {
            return print_line(format!("follow it with: {}", self.hint("status")).as_bytes());
        }
        let limits = Limits::new(wait.timeout.map(Duration::from_secs));
        let answer = wait::until_settled(self.node, layout, &limits)?;
        if self.json {
            return print_json(&answer);
        }
        let layout = text(field(&answer, "layout")?);
        print_line(format!("settled on layout {layout}").as_bytes())
    }

    fn stage(&mut self, command: &[String], then: &Then) -> Result<(), Failure> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let answer = self.call(Kind::Write, &words)?;
        let count = list(field(&answer, "staged")?)?.len();
        if !then.commit {
            return self.show_staged(&answer);
        }
        if count == 0 {
            return print_line(b"it is so already, and nothing else is staged");
        }
        match self.plan()? {
            Some(hash) => {
                if !self.json {
                    print_line(b"")?;
                }
                self.commit_plan(&hash, &then.wait)
            }
            None => Err(Failure::new(BAD_ARGUMENT, "somebody else committed or unstaged it first")),
        }
    }

    fn staged(&mut self) -> Result<(), Failure> {
        let answer = self.call(Kind::Read, &["STAGED"])?;
        self.show_staged(&answer)
    }

    fn show_staged(&self, answer: &Value) -> Result<(), Failure> {
        if self.json {
            return print_json(answer);
        }
        let staged = list(field(answer, "staged")?)?;
        if staged.is_empty() {
            return print_line(b"nothing is staged");
        }
        for change in staged {
            print_line(format!("staged    {}", text(change)).as_bytes())?;
        }
        print_line(format!("see what it comes to with: {}", self.hint("plan")).as_bytes())
    }

    fn unstage(&mut self) -> Result<(), Failure> {
        let answer = self.call(Kind::Write, &["UNSTAGE"])?;
        self.show_staged(&answer)
    }

    fn force_keepers(&mut self) -> Result<(), Failure> {
        let answer = self.call(Kind::Write, &["KEEPERS", "FORCE"])?;
        if self.json {
            return print_json(&answer);
        }
        let text = "a new era begins; see who keeps it, and remove who is lost, with: ";
        print_line(format!("{text}{}", self.hint("status")).as_bytes())
    }

    fn revert(&mut self) -> Result<(), Failure> {
        let answer = self.call(Kind::Write, &["REVERT"])?;
        if self.json {
            return print_json(&answer);
        }
        let layout = text(field(&answer, "layout")?);
        print_line(
            format!("the cluster is back on layout {layout}; what was copied is dropped later").as_bytes(),
        )
    }
}

/// Connects for orders, which may take longer than requests on keys.
fn connect(node: &str) -> Result<Connection, Failure> {
    Connection::open(node, limits::ORDER_DEADLINE)
}

fn print_json(answer: &Value) -> Result<(), Failure> {
    print_line(to_json(answer).to_string().as_bytes())
}

fn print_lines(lines: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    lines.into_iter().try_for_each(|line| print_line(line.as_bytes()))
}
