//! The real disk: a directory of the file system, through the calls that std does not offer.
//!
//! Files are 0600, the directory 0700. A directory is owned by one opener: an open-file-description lock
//! on `LOCK` keeps other processes out, and a registry by device and inode keeps out a second opener of
//! this process with a message that says so. Both end with the [`FileDisk`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, File, LOG_DIRECTORY, LockError, Place};
use super::map::Map;

const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".tmp";

/// Directories that this process has open, by device and inode.
static OPENED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// A directory of the file system.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    lock: Mutex<Option<Lock>>,
}

/// A held lock; released when dropped.
#[derive(Debug)]
struct Lock {
    key: (u64, u64),
    /// The lock belongs to this open file.
    file: fs::File,
}

/// A segment of the file system, mapped for reading.
pub struct FileSegment {
    /// None once it is settled. Behind a lock that is held for no longer than it takes to look.
    file: Mutex<Option<Arc<fs::File>>>,
    /// None if the file is empty: a crash can leave it so, and an empty map does not exist.
    map: Option<Map>,
    size: u64,
}

impl FileDisk {
    /// The directory at `path`, which need not exist yet. Nothing is touched.
    pub fn new(path: impl Into<PathBuf>) -> FileDisk {
        FileDisk { path: path.into(), lock: Mutex::new(None) }
    }

    /// Makes the entry `of` of its directory durable.
    fn sync_directory(&self, of: &Path) -> io::Result<()> {
        let parent = match of.parent() {
            // A bare name lies in the working directory.
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => &self.path,
        };
        fs::File::open(parent)?.sync_all()
    }
}

impl FileSegment {
    fn over(file: fs::File, size: u64) -> io::Result<FileSegment> {
        let map = if size == 0 { None } else { Some(Map::new(&file, size)?) };
        Ok(FileSegment { file: Mutex::new(Some(Arc::new(file))), map, size })
    }

    fn file(&self) -> io::Result<Arc<fs::File>> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        file.ok_or_else(|| io::Error::other("the segment is settled"))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        OPENED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Disk for FileDisk {
    type File = FileSegment;

    fn path(&self) -> &Path {
        &self.path
    }

    fn prepare(&self) -> io::Result<()> {
        let log = self.path.join(LOG_DIRECTORY);
        if !log.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&log)?;
            self.sync_directory(&log)?;
            self.sync_directory(&self.path)?;
        }
        // Asked of the kernel, as a mode says nothing about read-only mounts or the superuser.
        for directory in [&self.path, &log] {
            if !is_writable(directory)? {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied));
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<(), LockError> {
        let path = self.path.join(LOCK);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = opened.map_err(LockError::Io)?;
        let about = fs::metadata(&self.path).map_err(LockError::Io)?;
        let key = (about.dev(), about.ino());
        if !OPENED.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return Err(LockError::Held("this process has it open already".to_owned()));
        }
        let lock = Lock { key, file };
        if !lock_whole_file(&lock.file).map_err(LockError::Io)? {
            let mut holder = String::new();
            let named =
                (&lock.file).take(64).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let who = if named { holder.trim() } else { "another process" };
            return Err(LockError::Held(format!("{who} has it open")));
        }
        // Who holds it, for the message of the next one; the lock itself does not depend on it.
        let name = format!("process {}\n", std::process::id());
        let _ = lock.file.set_len(0).and_then(|()| lock.file.write_all_at(name.as_bytes(), 0));
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        Ok(())
    }

    fn place(&self) -> io::Result<Place> {
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let digits = machine.trim().get(..16).unwrap_or_default();
        Ok(Place {
            machine: u64::from_str_radix(digits, 16).unwrap_or(0),
            inode: fs::metadata(&self.path)?.ino(),
        })
    }

    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path.join(under))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match fs::File::open(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut content = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut content)?;
        if content.len() > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
        }
        Ok(Some(content))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!("{name}{TEMPORARY}"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&temporary, &path)?;
        self.sync_directory(&path)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_directory(&path),
        }
    }

    fn create(&self, name: &str, size: u64, header: &[u8]) -> io::Result<FileSegment> {
        let path = self.path.join(name);
        let made = (|| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            allocate(&file, size)?;
            file.write_all_at(header, 0)?;
            file.sync_all()?;
            self.sync_directory(&path)?;
            FileSegment::over(file, size)
        })();
        if made.is_err() {
            // A failed allocation keeps what it got; give it back.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn open(&self, name: &str) -> io::Result<FileSegment> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        let size = file.metadata()?.len();
        FileSegment::over(file, size)
    }

    fn shorten(&self, name: &str, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(size)?;
        file.sync_all()
    }
}

impl File for FileSegment {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.file()?;
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn settle(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn view(&self, offset: u64, length: usize) -> Option<Cow<'_, [u8]>> {
        self.map.as_ref()?.view(offset, length).map(Cow::Borrowed)
    }
}

/// Reserves disk space for a file, so that no later write can meet a full disk.
fn allocate(file: &fs::File, size: u64) -> io::Result<()> {
    let size = libc::off_t::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    loop {
        // SAFETY: the descriptor is open for the length of the call; no memory is passed.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Takes a write lock on a whole file, owned by the open file; false if somebody else has one.
fn lock_whole_file(file: &fs::File) -> io::Result<bool> {
    // SAFETY: a `flock` of zeros is a valid value of that C struct.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open and `lock` is a valid `flock` that the kernel only reads.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

fn is_writable(directory: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let name = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: `name` is a C string that lives over the call.
    let result =
        unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EROFS | libc::EPERM) => Ok(false),
        _ => Err(error),
    }
}

/// Runs `start` with every signal blocked in this thread, so that a thread it starts inherits that and
/// never runs a signal handler of the host. The caller's mask is restored.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: a signal set of zeros is a valid value of that C type; `sigfillset` then sets it whole.
    let mut all: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: as above; the kernel fills it in.
    let mut before: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: `all` is valid for writing.
    unsafe { libc::sigfillset(&mut all) };
    // SAFETY: both sets are valid for the call; only this thread's mask changes.
    let blocked = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) } == 0;
    let value = start();
    if blocked {
        // SAFETY: `before` was filled in by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut()) };
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_working_directory_can_be_made_durable() {
        let disk = FileDisk::new("data");
        disk.sync_directory(Path::new("data")).unwrap();
        assert!(disk.sync_directory(Path::new("no such directory/data")).is_err());
    }

    #[test]
    fn small_files_are_replaced_removed_and_bounded() {
        let home = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(home.path().join("data"));
        disk.prepare().unwrap();
        assert_eq!(disk.read("name", 10).unwrap(), None);
        disk.replace("name", b"first").unwrap();
        disk.replace("name", b"second").unwrap();
        assert_eq!(disk.read("name", 6).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(disk.read("name", 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(disk.list("").unwrap(), ["name"]);
        disk.remove("name").unwrap();
        disk.remove("name").unwrap();
        assert!(disk.list("").unwrap().is_empty());
    }

    #[test]
    fn a_segment_has_its_room_and_shows_what_was_written() {
        let home = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(home.path().join("data"));
        disk.prepare().unwrap();
        let file = disk.create("log/1.seg", 1 << 20, b"header").unwrap();
        assert_eq!(file.size(), 1 << 20);
        file.write_at(4_096, b"record").unwrap();
        file.sync().unwrap();
        assert_eq!(&*file.view(4_096, 6).unwrap(), b"record");
        assert_eq!(&*file.view(0, 8).unwrap(), b"header\0\0");
        assert!(file.view((1 << 20) - 1, 2).is_none() && file.view(u64::MAX, 1).is_none());
        drop(file);
        disk.shorten("log/1.seg", 4_100).unwrap();
        let file = disk.open("log/1.seg").unwrap();
        let mut bytes = [0; 16];
        assert_eq!((file.size(), file.read_at(4_096, &mut bytes).unwrap()), (4_100, 4));
        assert_eq!(&bytes[..4], b"reco");
        file.settle();
        assert_eq!(&*file.view(4_096, 4).unwrap(), b"reco");
        assert!(file.write_at(4_096, b"x").is_err() && file.sync().is_err());
    }

    #[test]
    fn a_segment_that_does_not_fit_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(home.path().join("data"));
        disk.prepare().unwrap();
        // More than any disk has.
        assert!(disk.create("log/1.seg", 1 << 62, b"header").is_err());
        assert!(disk.list(LOG_DIRECTORY).unwrap().is_empty());
    }
}
