//! Backups of a directory that no node has open, and directories made of backups.
//!
//! A backup is a data directory without what belongs to one place and one life of it: no lock, no marker of
//! a clean stop. In a restored one the identity is missing, too. So its first opening gives it a *new
//! generation* and counts as after an unclean stop: what the node wrote after the backup was made is known
//! to others, and no number that was given out then is given out again (rule V1, traps T3 and T5).
//!
//! `FORMAT` is put in place last. Without it a directory is no data directory: one that was begun and not
//! ended is taken for nothing by whoever meets it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Inspector;
use crate::proto::store::Note;
use crate::store::checkpoint::CHECKPOINT;
use crate::store::directory::{FORMAT, IDENTITY, MANIFEST, MEMBERS, OpenError};
use crate::store::disk::{Disk, LOG_DIRECTORY};
use crate::store::file::FileDisk;
use crate::store::notes::{Notes, file_name};
use crate::store::recovery::{self, Progress};
use crate::store::segment::HEADER_LENGTH;

/// Makes the directory of a backup, with room for segments in it.
///
/// # Errors
/// It exists, lies in the data directory, or on another file system although that matters; or it cannot be
/// made.
pub fn make_target(data: &Path, target: &Path, is_linked: bool) -> Result<(), String> {
    let shown = target.display();
    if fs::symlink_metadata(target).is_ok() {
        return Err(format!("{shown} exists already"));
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let place = parent.canonicalize().map_err(|error| format!("{}: {error}", parent.display()))?;
    if let Ok(data) = data.canonicalize() {
        if place.starts_with(&data) {
            return Err(format!("{shown} lies in the data directory {}", data.display()));
        }
        let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
        if is_linked && device(&place) != device(&data) {
            return Err(format!(
                "{shown} is on another file system than {}: a running node makes a backup of hard links, so it \
                 must be on the same one; copy it elsewhere from there",
                data.display()
            ));
        }
    }
    let make = |path: &Path| {
        let made = DirBuilder::new().mode(0o700).create(path);
        made.map_err(|error| format!("{} cannot be made: {error}", path.display()))
    };
    make(target)?;
    make(&target.join(LOG_DIRECTORY))
}

/// Whether the files of a copy share their bytes with the original, where that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Links,
    Copies,
}

impl Inspector<FileDisk> {
    /// What the core has kept, empty if it never was.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn note(&self, note: Note) -> Result<Vec<u8>, OpenError> {
        Ok(Notes::read(&*self.disk)?.content(note).to_vec())
    }

    /// Makes a backup. `also` names files of the directory that go with it. Returns how many ranges of the
    /// log do not hold: they do not in the backup, either.
    ///
    /// # Errors
    /// What is wrong with the target, in words; or the log cannot be read.
    pub fn back_up(
        &self,
        target: &Path,
        also: &[&str],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<usize, BackupError> {
        self.fill(target, also, true, progress)
    }

    /// Makes a data directory of a backup. The target may exist if it is empty. `also` names files of the
    /// backup that go with it; what the core kept of its cluster goes along if `keeps_topology`.
    ///
    /// # Errors
    /// What is wrong with the target, in words; or the backup cannot be read.
    pub fn restore(
        &self,
        target: &Path,
        also: &[&str],
        keeps_topology: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), BackupError> {
        match fs::read_dir(target).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                return Err(BackupError::Target(format!("{} is not empty", target.display())));
            }
            // Made again with the mode that a data directory has.
            Ok(false) => fs::remove_dir(target).map_err(|error| BackupError::io(target, &error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(BackupError::io(target, &error)),
        }
        let topology = [file_name(Note::Topology)];
        let own = if keeps_topology { &topology[..] } else { &[] };
        self.fill(target, &[also, own].concat(), false, progress).map(drop)
    }

    fn fill(
        &self,
        target: &Path,
        also: &[&str],
        is_backup: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<usize, BackupError> {
        let log = recovery::from_log(&*self.disk, &self.contents, None, None, None, progress)?;
        make_target(self.disk.path(), target, false).map_err(BackupError::Target)?;
        let sharing = if is_backup { Sharing::Links } else { Sharing::Copies };
        for (at, found) in (0..).zip(&log.segments) {
            let Some(found) = found else { continue };
            let name = found.segment.plan.name();
            // The newest one is appended to and cut by openings to come.
            match log.newest == Some(at) {
                true => self.copy(&name, target, found.end)?,
                false => self.share(&name, target, sharing)?,
            }
        }
        // Nothing is in it, but the checkpoint may know that it is there.
        if let Some(spare) = &log.spare {
            self.copy(&spare.plan.name(), target, HEADER_LENGTH as u64)?;
        }
        if self.contents.has_checkpoint {
            self.share(CHECKPOINT, target, sharing)?;
        }
        // The small ones are written over in place.
        let own = [IDENTITY, file_name(Note::Topology)];
        let own = if is_backup { &own[..] } else { &[] };
        for name in [MANIFEST, MEMBERS].iter().chain(own).chain(also).chain([&FORMAT]) {
            if self.disk.path().join(name).exists() {
                self.copy(name, target, u64::MAX)?;
            }
        }
        self.disk.sync_elsewhere(target).map_err(|error| BackupError::io(target, &error))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let synced = fs::File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all());
        synced.map_err(|error| BackupError::io(target, &error))?;
        Ok(log.manifest.quarantined.iter().filter(|bad| !bad.is_accepted).count())
    }

    fn share(&self, name: &str, target: &Path, sharing: Sharing) -> Result<(), BackupError> {
        if sharing == Sharing::Links {
            match self.disk.copy_elsewhere(name, target, None) {
                Ok(()) => return Ok(()),
                // Another file system, or one without links, or a file of somebody else: a copy does it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(BackupError::io(&target.join(name), &error));
                }
                Err(_) => {}
            }
        }
        self.copy(name, target, u64::MAX)
    }

    fn copy(&self, name: &str, target: &Path, length: u64) -> Result<(), BackupError> {
        let copied = self.disk.copy_elsewhere(name, target, Some(length));
        copied.map_err(|error| BackupError::io(&target.join(name), &error))
    }
}

/// Why a backup or a directory could not be made.
#[derive(Debug)]
pub enum BackupError {
    /// What it is to be made of cannot be read.
    Source(OpenError),
    /// What is wrong with the target. Nothing was made.
    Target(String),
    /// The disk failed. What was made so far is left, and is no data directory.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
}

impl BackupError {
    fn io(path: &Path, error: &io::Error) -> BackupError {
        BackupError::Io { path: path.to_owned(), problem: error.to_string() }
    }
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> BackupError {
        BackupError::Source(error)
    }
}
