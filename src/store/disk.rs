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
//! * [`Disk::create`], [`Disk::replace`], [`Disk::remove`] and [`Disk::shorten`] are durable when they
//!   return `Ok`. A crash in the middle leaves for `replace` the old or the new content, never a mixture;
//!   for `create` nothing, or a file of any length up to `size` whose header may be missing or torn and
//!   whose rest reads as zeros; for `remove` the file or nothing; for `shorten` the old or the new length.
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

    /// Where the directory is, for messages.
    fn path(&self) -> &Path;

    /// Creates the directory (mode 0700) and [`LOG_DIRECTORY`] in it, as far as they are missing.
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

    /// Replaces a small file as a whole, or creates it. Durable and atomic.
    ///
    /// # Errors
    /// The old content or the new one stands there.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()>;

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

    /// Opens an existing segment.
    ///
    /// # Errors
    /// The file is not there or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Shortens a segment that is not open to `size` bytes. Durable.
    ///
    /// # Errors
    /// The old or the new length stands.
    fn shorten(&self, name: &str, size: u64) -> io::Result<()>;
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
