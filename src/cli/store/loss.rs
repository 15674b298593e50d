//! `quorate store accept-loss`: what is lost, shown; and with `--yes`, taken for absent.

use std::path::PathBuf;

use quorate::store::FileDisk;
use quorate::store::inspect::{Inspector, Losses};

use super::check::damage_text;
use super::{KeyArguments, inspect, ranges_text};
use crate::cli::client::print_line;
use crate::cli::exit::{DAMAGED, Failure};
use crate::cli::progress::Reading;

/// `quorate store accept-loss`.
#[derive(clap::Args)]
pub struct LossArguments {
    /// The data directory.
    directory: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// Accept the loss.
    #[arg(long)]
    yes: bool,
}

/// Shows what is lost, and accepts it if told so.
///
/// # Errors
/// Something is lost and was not accepted; or the directory cannot be read or written.
pub fn run(arguments: &LossArguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let inspector = match arguments.yes {
        true => Inspector::new(FileDisk::new(directory))?,
        false => inspect(directory)?,
    };
    // Without the lock nobody knows that no node is writing what would be replaced.
    if let Some(warning) = inspector.warnings().first().filter(|_| arguments.yes) {
        return Err(Failure::new(
            crate::cli::exit::CANNOT_WRITE,
            format!("{}: {warning}", directory.display()),
        ));
    }
    let hash_key = arguments.key.keys(directory)?.hash;
    let mut reading = Reading::new(None);
    let losses = inspector.losses(&hash_key, &mut |progress| reading.tell(progress))?;
    if losses.is_none() {
        return print_line(b"nothing is lost");
    }
    print(&losses)?;
    if !arguments.yes {
        let message = format!("{}: nothing was changed; --yes accepts the loss", directory.display());
        return Err(Failure::new(DAMAGED, message));
    }
    inspector.accept(&losses)?;
    print_line(b"accepted: what is not found is absent from now on")
}

fn print(losses: &Losses) -> Result<(), Failure> {
    for damage in &losses.damage {
        print_line(format!("damage       {}", damage_text(damage)).as_bytes())?;
    }
    let (count, partitions) = (losses.partitions.len(), ranges_text(&losses.partitions));
    let until = losses.until.0;
    print_line(
        format!(
            "incomplete   {count} partitions ({partitions}): keys not found may be lost, up to sequence {until}"
        )
        .as_bytes(),
    )
}
