//! Everything the log does to the outside world, as two traits: a directory and a segment file in it.
//!
//! Each call says what is durable when it returns, and nothing else is. The real implementation is in
//! `file`, with maps in `map`; the simulator implements the same traits over a disk that loses, tears and
//! reorders what was not synced. Names are relative to the directory (`identity`, `log/<number>.seg`);
//! there is one level below it, [`LOG_DIRECTORY`].
//!
//! What a crash leaves, so that every implementation agrees:
//!
//! * [`File::write_at`] is not durable. Until a [`File::sync`] of the same file *that began after the
//!   write returned* has returned `Ok`, a crash may leave any mixture of old and new bytes in its range
//!   (in units of a sector, or torn inside one), in any order with respect to other writes.
//! * [`Disk::create`], [`Disk::replace`], [`Disk::retire`], [`Disk::remove`] and [`Disk::shorten`] are durable when they
//!   return `Ok`. A crash in the middle leaves for `replace` the old or the new content, never a mixture;
//!   for `create` nothing, or a file of any length up to `size` whose header may be missing or torn and
//!   whose rest reads as zeros; for `remove` and `retire` the file or nothing; for `shorten` the old or the new length.
//! * A [`Draft`] is nothing until it was committed: a crash before, and in the middle, leaves the old file
//!   of that name, or none, or the whole new one. What was never committed is gone after a restart, or lies
//!   under the draft's own name, which [`Disk::draft`] uses again.
//! * After a `sync` or `write_at` that failed nothing is known about the unsynced writes of that file:
//!   the log treats it as final and never tries again.

use std::borrow::Cow;
use std::io;
use std::path::Path;

/// The directory below the data directory that holds the segments.
pub const LOG_DIRECTORY: &str = "log";

/// A data directory. Calls may block for as long as the disk takes; only the opener and the log worker
/// make them (the loop itself calls nothing here, and on [`File`] only `write_at` and `view`).
pub trait Disk: Send + Sync + 'static {
    /// A segment file of this directory.
    type File: File;
    /// A file that is being written.
    type Draft: Draft;

    /// Where the directory is, for messages.
    fn path(&self) -> &Path;

    /// Creates the directory (mode 0700) and [`LOG_DIRECTORY`] in it, as far as they are missing. Whatever
    /// file is found there afterwards is durably there: an operation that a kill cut short may have left one
    /// that a power cut would take away, with everything that was synced in it since.
    ///
    /// # Errors
    /// `PermissionDenied`, `ReadOnlyFilesystem` or `NotADirectory` if it cannot be written.
    fn prepare(&self) -> io::Result<()>;

    /// Takes the directory for this opener alone, until the `Disk` is dropped or the process ends.
    ///
    /// # Errors
    /// [`LockError::Held`] if another opener has it, in this process or another.
    fn lock(&self) -> Result<(), LockError>;

    /// Where the directory lies.
    ///
    /// # Errors
    /// The directory cannot be examined.
    fn place(&self) -> io::Result<Place>;

    /// Names of all files in the directory (`under` empty) or in [`LOG_DIRECTORY`], without their path,
    /// in any order. Directories are left out.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self, under: &str) -> io::Result<Vec<String>>;

    /// The whole content of a small file, up to `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or is longer than `limit` (`InvalidData`).
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a small file as a whole, or creates it. Durable and atomic. As far as that can be, what is
    /// replaced keeps room for the next content, so that a full disk does not keep small files from being
    /// replaced: what makes room has to be noted in one.
    ///
    /// # Errors
    /// The old content or the new one stands there.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Takes a small file away, if there is one, and keeps room for its next content, as far as that can be.
    /// Durable.
    ///
    /// # Errors
    /// The file may be there or not.
    fn retire(&self, name: &str) -> io::Result<()> {
        self.remove(name)
    }

    /// Removes a file; nothing happens if there is none. Durable.
    ///
    /// # Errors
    /// The file may be there or not.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Creates a segment of `size` bytes with room on the disk for all of them, `header` at its start and
    /// zeros behind, and opens it. Durable. A file of that name is replaced.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` if there is no room; nothing is left behind then.
    fn create(&self, name: &str, size: u64, header: &[u8]) -> io::Result<Self::File>;

    /// Bytes for which there is room, about; what is not known is plenty.
    fn room(&self) -> u64 {
        u64::MAX
    }

    /// Opens an existing segment.
    ///
    /// # Errors
    /// The file is not there or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Shortens a segment to `size` bytes. Durable. If it is open, nothing behind `size` is asked of it any
    /// more.
    ///
    /// # Errors
    /// The old or the new length stands.
    fn shorten(&self, name: &str, size: u64) -> io::Result<()>;

    /// Begins a file that takes the place of `name` once it is committed. One draft of a name at a time.
    ///
    /// # Errors
    /// The file cannot be made.
    fn draft(&self, name: &str) -> io::Result<Self::Draft>;

    /// Gives a file a second name in a directory elsewhere on the same file system. Or, if a length is given,
    /// copies so many bytes of it there, or all if it has fewer: the copy is as long as the file, and zeros
    /// follow. What [`Disk::replace`] writes must be copied, as it may write over old content in place. Not
    /// durable until [`Disk::sync_elsewhere`].
    ///
    /// # Errors
    /// The file is not there, the other file is there already or cannot be made, or this disk cannot do it.
    fn copy_elsewhere(&self, name: &str, directory: &Path, length: Option<u64>) -> io::Result<()> {
        let _ = (name, directory, length);
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Makes what was copied to a directory elsewhere durable.
    ///
    /// # Errors
    /// Nothing is known about the copies.
    fn sync_elsewhere(&self, directory: &Path) -> io::Result<()> {
        let _ = directory;
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// A file that is being written from its start to its end. Dropped without a commit, it never was.
pub trait Draft: Send + 'static {
    /// Adds bytes.
    ///
    /// # Errors
    /// The draft is lost; `StorageFull` or `QuotaExceeded` if there is no room.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Hands what was added to the disk, so that the commit has less to wait for.
    ///
    /// # Errors
    /// The draft is lost.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts the file in its place. Durable and atomic.
    ///
    /// # Errors
    /// The old or the new file stands there.
    fn commit(self) -> io::Result<()>;
}

/// An open segment of fixed size. The log never writes the same bytes twice, and reads no byte through
/// `view` before its write has returned.
pub trait File: Send + Sync + 'static {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads by a system call, so that a bad sector or a shortened file is an error or a short count and
    /// not a signal. Returns how many bytes were read; fewer than asked only at the end of the file.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// From here on it is known to hold nothing but zeros, without a read; its size where nobody knows.
    fn zeros_from(&self) -> u64 {
        self.size()
    }

    /// Hands all of `bytes` to the kernel. Visible to `view` and `read_at` at once; not durable.
    ///
    /// # Errors
    /// Any part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes every write that returned before this call durable.
    ///
    /// # Errors
    /// Nothing is known about these writes any more.
    fn sync(&self) -> io::Result<()>;

    /// Says that everything in it was synced and that only `view` will be called from now on, so that it
    /// need not hold a descriptor: a large log has thousands of segments.
    fn settle(&self) {}

    /// Whether the file still reaches up to `end`: somebody may have shortened it behind our back, and what
    /// is gone must not be viewed. Cheap enough for each turn.
    fn is_whole(&self, end: u64) -> bool {
        let _ = end;
        true
    }

    /// Bytes `offset..offset + length`, without a copy where the file is mapped; `None` if that is not
    /// inside the file.
    fn view(&self, offset: u64, length: usize) -> Option<Cow<'_, [u8]>>;
}

/// Why a directory could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it; who, as far as that is known.
    Held(String),
    /// The lock file cannot be opened or locked.
    Io(io::Error),
}

/// Where a directory lies. A difference to what was recorded there means that it was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// Names the machine; 0 if it has no name.
    pub machine: u64,
    /// Inode of the directory.
    pub inode: u64,
}
