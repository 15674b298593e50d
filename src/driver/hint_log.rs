//! The log of hints of a data directory: a log of its own, in `hints/` under the generation of the data.
//!
//! A directory that turns out to be a copy, or was restored from a backup, has a new generation, and so an empty
//! log of hints: what lies under another name is of another time and is removed (trap T5). It need not be told
//! from the present one by anything that could be half written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::options::OpenError;

const FOLDER: &str = "hints";

/// Where the log of hints of a directory's generation lies. Logs of other generations are removed.
pub(super) fn prepare(directory: &Path, generation: u64) -> Result<PathBuf, OpenError> {
    let folder = directory.join(FOLDER);
    let name = format!("{generation:016x}");
    let failed = |error| OpenError::Io { doing: format!("opening {}", folder.display()), error };
    remove_others(&folder, &name).map_err(failed)?;
    Ok(folder.join(name))
}

fn remove_others(folder: &Path, name: &str) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let other = entry.file_name();
        let is_generation =
            |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if other.to_str().is_some_and(|other| other != name && is_generation(other)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
