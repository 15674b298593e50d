//! `quorate man`: writes the manual pages of the program, one for each verb, from what it says of itself.
//!
//! Only `make` builds it; the program that is installed has no such verb. The page of the library is
//! docs/libquorate.3.in.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::Arguments;
use super::exit::{CANNOT_WRITE, Failure};

/// What `quorate man` takes.
#[derive(Args)]
pub struct ManArguments {
    /// Where the pages go.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Runs the verb.
///
/// # Errors
/// The folder cannot be made or written.
pub fn run(arguments: &ManArguments) -> Result<(), Failure> {
    // The simulator is in builds for tests only.
    let pages = Arguments::command().mut_subcommands(|verb| {
        let is_installed = verb.get_name() != "sim";
        if is_installed { verb } else { verb.hide(true) }
    });
    fs::create_dir_all(&arguments.folder)
        .and_then(|()| clap_mangen::generate_to(pages, &arguments.folder))
        .map_err(|error| Failure::new(CANNOT_WRITE, format!("{}: {error}", arguments.folder.display())))
}
