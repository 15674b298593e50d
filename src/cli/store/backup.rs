//! `quorate store backup` and `quorate store restore`.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use quorate::driver::layout_file;
use quorate::proto::cluster::Topology;
use quorate::proto::store::Note;

use super::check::summary;
use super::{KeyArguments, inspect};
use crate::cli::client::print_line;
use crate::cli::connection::{Connection, Kind};
use crate::cli::exit::{DAMAGED, Failure, USAGE};
use crate::cli::progress::Reading;
use crate::cli::settings::CLIENT_DEFAULT;

/// How long a running node may take: it reads no record, but a disk can be slow.
const BACKUP_MAX: Duration = Duration::from_secs(3_600);

/// `quorate store backup`.
#[derive(clap::Args)]
pub struct BackupArguments {
    /// The directory to make; must not exist.
    target: PathBuf,
    /// The running node, on this machine.
    #[arg(long, env = "QUORATE_NODE", value_name = "ADDR", default_value = CLIENT_DEFAULT)]
    node: String,
    /// In place of a running node: a directory that no node has open.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// `quorate store restore`.
#[derive(clap::Args)]
pub struct RestoreArguments {
    /// The backup.
    backup: PathBuf,
    /// The data directory to make; must not exist, or be empty.
    directory: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
}

/// Makes a backup.
///
/// # Errors
/// It could not be made.
pub fn back_up(arguments: &BackupArguments) -> Result<(), Failure> {
    let target = &arguments.target;
    match &arguments.data {
        None => {
            let path = std::path::absolute(target).map_err(|error| Failure::new(USAGE, error.to_string()))?;
            let mut connection = Connection::open(&arguments.node, BACKUP_MAX)?;
            let command: [&[u8]; 3] = [b"Q.STORE", b"BACKUP", path.as_os_str().as_bytes()];
            connection.call(Kind::Write, &command)?;
        }
        Some(data) => {
            let mut reading = Reading::new(None);
            let damaged = inspect(data)?
                .back_up(target, &[layout_file::FILE_NAME], &mut |progress| reading.tell(progress))?;
            if damaged > 0 {
                let message = format!(
                    "{} was made, but its records are damaged in {damaged} places, as those of {} are",
                    target.display(),
                    data.display()
                );
                return Err(Failure::new(DAMAGED, message));
            }
        }
    }
    print_line(format!("backup in {}", target.display()).as_bytes())
}

/// Makes a data directory of a backup.
///
/// # Errors
/// The backup is damaged, or the directory could not be made.
pub fn restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let (backup, directory) = (&arguments.backup, &arguments.directory);
    let inspector = inspect(backup)?;
    let keys = arguments.key.keys(backup)?;
    let hash_key = keys.hash;
    let is_known = inspector.is_key(&hash_key) || arguments.key.are_given();
    let mut reading = Reading::new(None);
    let report = inspector.check(is_known.then_some(&hash_key), &mut |progress| reading.tell(progress))?;
    let layout = layout_file::names(backup).map_err(|error| error.to_string());
    if !report.is_sound() || layout.is_err() {
        let message = format!(
            "{}: {}; nothing was made: `quorate store check` says more",
            backup.display(),
            summary(&report, &layout)
        );
        return Err(Failure::new(DAMAGED, message));
    }
    let topology = inspector.note(Note::Topology)?;
    let is_alone = Topology::decode(&topology, &keys).is_ok_and(|topology| topology.members().len() == 1);
    let also = [layout_file::FILE_NAME];
    inspector.restore(directory, &also, !is_alone, &mut |progress| reading.tell(progress))?;
    print_line(format!("restored to {}", directory.display()).as_bytes())?;
    if is_alone {
        // Nobody else has its data, and nobody could make it a member again.
        return print_line(
            b"it was its cluster's only member: the node that opens it founds the cluster anew",
        );
    }
    print_line(
        b"its first opening gives it a new generation: to the other members it is a new replica with old records",
    )
}
