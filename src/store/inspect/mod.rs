//! A data directory, looked at without opening it: is it sound, what lies in it, what of it is lost.
//!
//! ```text
//!  Inspector::new    lock, small files                  ── changes nothing
//!    check           every byte of every segment, the judgement of an opening, the checkpoint against it
//!    figures         what lies where, read as an opening reads it
//!    open            a store that can be read: what its opening would write stays in memory
//!    losses, accept  what is lost, taken for absent from now on  ── changes the manifest
//!  copy              backups of a directory that nobody has open, and back
//! ```
//!
//! What is tail and what is damage is not decided here: the same code decides as when a node opens the
//! directory. With a [`FileDisk`](super::FileDisk) that is read only all of it but the last works on a
//! read-only mount, and for a user who may only read.

mod accept;
mod check;
mod compare;
pub mod copy;
mod overlay;
mod report;
mod survey;

use std::io;
use std::sync::Arc;

pub use self::accept::Losses;
pub use self::overlay::Overlay;
pub use self::report::{
    Checkpoint, Damage, Figures, Manifest, PartitionFigures, Records, Report, SegmentKind, SegmentReport,
    Stop, Torn,
};

use super::checkpoint::CHECKPOINT;
use super::directory::{
    self, CLEAN, Contents, FORMAT, Format, IDENTITY, IdentityRecord, MANIFEST, MANIFEST_MAX, MEMBERS,
    OpenError, SMALL_FILE_MAX, read_clean, read_members,
};
use super::disk::{Disk, LockError};
use super::log::{LogOptions, LogStore, WorkerMode};
use super::manifest;
use super::notes::{self, Notes};
use super::recovery::{self, Progress, Recovered};
use crate::proto::keys::Key;
use crate::proto::store::Note;

/// A directory that is looked at, and locked meanwhile if that can be.
pub struct Inspector<D: Disk> {
    disk: Arc<D>,
    contents: Contents,
    /// Small files that are there and do not hold, by their names.
    flawed: Vec<&'static str>,
    /// Files in the directory itself that belong to nothing.
    strange: Vec<String>,
    /// What to know before believing what is said here.
    warnings: Vec<String>,
}

impl<D: Disk> Inspector<D> {
    /// Locks a directory and reads its small files. Where it cannot be locked for want of a right, or of
    /// the file `LOCK`, it is read all the same: [`Inspector::warnings`] says so.
    ///
    /// # Errors
    /// It is in use, is no data directory of ours, or cannot be read.
    pub fn new(disk: D) -> Result<Inspector<D>, OpenError> {
        let read =
            |name: &str, limit| disk.read(name, limit).map_err(|error| OpenError::io(&disk, name, error));
        let names = disk.list("").map_err(|error| OpenError::io(&disk, "", error))?;
        if !names.iter().any(|name| name == FORMAT) {
            let problem = "it is no data directory: it has no FORMAT file".to_owned();
            return Err(OpenError::Foreign { path: disk.path().to_owned(), problem });
        }
        let mut warnings = Vec::new();
        match disk.lock() {
            Ok(()) => {}
            Err(LockError::Held(holder)) => {
                return Err(OpenError::Locked { path: disk.path().to_owned(), holder });
            }
            // Without it nobody has the directory open now.
            Err(LockError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(LockError::Io(error)) => warnings.push(format!(
                "it was read without a lock ({error}): if a node has it open, what is said here may be wrong"
            )),
        }
        let format = match read(FORMAT, SMALL_FILE_MAX)? {
            Some(text) => Format::of(&disk, &text)?,
            None => return Err(OpenError::io(&disk, FORMAT, io::ErrorKind::NotFound.into())),
        };
        let mut flawed = Vec::new();
        let mut note = |name, is_there: bool, is_sound: bool| {
            if is_there && !is_sound {
                flawed.push(name);
            }
        };
        let bytes = read(IDENTITY, SMALL_FILE_MAX)?;
        let identity = bytes.as_deref().and_then(IdentityRecord::read);
        note(IDENTITY, bytes.is_some(), identity.is_some());
        let bytes = read(MEMBERS, SMALL_FILE_MAX)?;
        let members = bytes.as_deref().and_then(read_members);
        note(MEMBERS, bytes.is_some(), members.is_some());
        let bytes = read(CLEAN, SMALL_FILE_MAX)?;
        let clean = bytes.as_deref().and_then(read_clean);
        note(CLEAN, bytes.is_some(), clean.is_some());
        let bytes = read(MANIFEST, MANIFEST_MAX)?;
        let manifest = bytes.as_deref().and_then(manifest::Manifest::read);
        note(MANIFEST, bytes.is_some(), manifest.is_some());
        let read_notes = Notes::read(&disk);
        note("topology or votes", true, read_notes.is_ok());
        let notes = read_notes.unwrap_or_default();
        let place = disk.place().map_err(|error| OpenError::io(&disk, "", error))?;
        let contents = Contents {
            format,
            identity,
            place,
            clean,
            members: members.unwrap_or_default(),
            segments: directory::segments(&disk)?,
            manifest,
            notes,
            has_checkpoint: names.iter().any(|name| name == CHECKPOINT),
        };
        let own = ["LOCK", FORMAT, IDENTITY, MEMBERS, CLEAN, MANIFEST, CHECKPOINT];
        let own: Vec<&str> = own.into_iter().chain(Note::ALL.map(notes::file_name)).collect();
        let of_the_driver = ["layout", "known-members"];
        // Each small file has a companion, where its next content is written.
        let is_known = |name: &&String| {
            let bare = |suffix| name.strip_suffix(suffix).unwrap_or(name);
            own.contains(&bare(".tmp")) || of_the_driver.contains(&bare(".new"))
        };
        let mut strange: Vec<String> = names.iter().filter(|name| !is_known(name)).cloned().collect();
        strange.sort_unstable();
        Ok(Inspector { disk: Arc::new(disk), contents, flawed, strange, warnings })
    }

    /// What to know before believing what is said here.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether this is the hash key of the cluster that the directory belongs to.
    pub fn is_key(&self, hash_key: &Key) -> bool {
        self.contents.format.cluster == Format::cluster_of(hash_key)
    }

    fn check_key(&self, hash_key: &Key) -> Result<(), OpenError> {
        if self.is_key(hash_key) {
            return Ok(());
        }
        let problem = "it belongs to a cluster of another name or key".to_owned();
        Err(OpenError::Foreign { path: self.disk.path().to_owned(), problem })
    }

    /// Where each record lies, as an opening would find it.
    fn recover(
        &self,
        hash_key: &Key,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Recovered<D::File>, OpenError> {
        self.check_key(hash_key)?;
        recovery::recover(&*self.disk, &self.contents, hash_key, None, progress)
    }

    /// What lies where.
    ///
    /// # Errors
    /// Another key; or as for an opening.
    pub fn figures(&self, hash_key: &Key, progress: &mut dyn FnMut(Progress)) -> Result<Figures, OpenError> {
        let recovered = self.recover(hash_key, progress)?;
        Ok(Figures::of(&recovered, self.contents.format.partitions))
    }

    /// Opens the directory to be read: the store is as an opening makes it, and nothing is written.
    ///
    /// # Errors
    /// Another key; or as for an opening.
    pub fn open(
        self,
        hash_key: &Key,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<LogStore<Overlay<D>>, OpenError> {
        self.check_key(hash_key)?;
        let options = LogOptions {
            worker: WorkerMode::Host,
            compaction: false,
            ..LogOptions::new(self.contents.format.partitions, *hash_key)
        };
        // What is drawn goes nowhere.
        let overlay = Overlay::over(self.disk);
        LogStore::open_with_progress(overlay, options, &mut || 0, Box::new(|| {}), progress)
    }

    /// How many partitions it was made with.
    pub fn partitions(&self) -> u32 {
        self.contents.format.partitions
    }
}
