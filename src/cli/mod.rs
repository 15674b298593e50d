//! The command line: which verbs there are, and how each of them ends the process.
//!
//! A verb's module parses nothing and prints nothing but its own result; what goes wrong comes back as a
//! [`Failure`] and is printed here, once, with its exit code. The library knows nothing of this program.

mod answer;
mod choices;
mod client;
mod cluster;
mod connection;
mod dev;
mod exit;
mod log;
#[cfg(feature = "man")]
mod man;
mod members;
mod node;
mod progress;
mod proxy;
mod settings;
mod signals;
#[cfg(feature = "sim")]
mod sim;
mod status;
mod store;
mod tour;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Failure, USAGE};

/// An always-writable, replicated key-value store.
#[derive(Parser)]
#[command(name = "quorate", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve as one member of a cluster, until SIGTERM or SIGINT.
    Node(Box<settings::NodeArguments>),
    /// Serve clients without holding any data: ask the members of a cluster.
    Proxy(Box<proxy::ProxyArguments>),
    /// Run a whole cluster in this process, to try things out.
    Dev(dev::DevArguments),
    /// Read keys with all their siblings.
    Get(client::GetArguments),
    /// Write a value.
    Put(client::PutArguments),
    /// Delete keys.
    Del(client::DelArguments),
    /// Show which members hold keys.
    Owners(client::OwnersArguments),
    /// Show what a node knows of itself and its cluster.
    Status(status::StatusArguments),
    /// Show the cluster and change it: members, weights, zones.
    Cluster(cluster::ClusterArguments),
    /// Look after a data directory: check it, list what is in it, back it up, restore it.
    Store(store::StoreArguments),
    /// Run the deterministic simulator.
    #[cfg(feature = "sim")]
    Sim(sim::SimArguments),
    /// Write the manual pages of this program.
    #[cfg(feature = "man")]
    #[command(hide = true)]
    Man(man::ManArguments),
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` come this way too; they go to stdout and are no failure. If
            // nobody reads what is printed there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match arguments.verb {
        Verb::Node(arguments) => node::run(*arguments),
        Verb::Proxy(arguments) => proxy::run(*arguments),
        Verb::Dev(arguments) => dev::run(&arguments),
        Verb::Get(arguments) => client::get(&arguments),
        Verb::Put(arguments) => client::put(&arguments),
        Verb::Del(arguments) => client::del(&arguments),
        Verb::Owners(arguments) => client::owners(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Cluster(arguments) => cluster::run(&arguments),
        Verb::Store(arguments) => store::run(&arguments),
        #[cfg(feature = "sim")]
        Verb::Sim(arguments) => sim::run(&arguments),
        #[cfg(feature = "man")]
        Verb::Man(arguments) => man::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            let _ = writeln!(std::io::stderr(), "quorate: {message}");
            ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}
