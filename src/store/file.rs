//! The real disk: a directory of the file system, through the calls that std does not offer.
//!
//! Files are 0600, the directory 0700. A directory is owned by one opener: an open-file-description lock
//! on `LOCK` keeps other processes out, and a registry by device and inode keeps out a second opener of
//! this process with a message that says so. Both end with the [`FileDisk`].
//!
//! A directory can also be opened to be read only: then the lock is a shared one, which needs no right to
//! write, and every call that would change something fails.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, Draft, File, LOG_DIRECTORY, LockError, Place};
use super::map::Map;

const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".tmp";

/// Directories that this process has open, by device and inode.
static OPENED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// A directory of the file system.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    is_read_only: bool,
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

/// A file under its draft's name.
pub struct FileDraft {
    file: fs::File,
    path: PathBuf,
    temporary: PathBuf,
    is_committed: bool,
}

impl FileDisk {
    /// The directory at `path`, which need not exist yet. Nothing is touched.
    pub fn new(path: impl Into<PathBuf>) -> FileDisk {
        FileDisk { path: path.into(), is_read_only: false, lock: Mutex::new(None) }
    }

    /// The directory at `path`, in which nothing will be changed.
    pub fn read_only(path: impl Into<PathBuf>) -> FileDisk {
        FileDisk { is_read_only: true, ..FileDisk::new(path) }
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.is_read_only {
            true => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            false => Ok(()),
        }
    }

    /// Where the content of a file is written before it takes its place.
    fn temporary(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{TEMPORARY}"))
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

impl Draft for FileDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn commit(mut self) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(&self.temporary, &self.path)?;
        self.is_committed = true;
        sync_parent(&self.path)
    }
}

impl Drop for FileDraft {
    fn drop(&mut self) {
        if !self.is_committed {
            // It would be used again; its room is better given back at once.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Makes the entry `of` of its directory durable.
fn sync_parent(of: &Path) -> io::Result<()> {
    let parent = match of.parent() {
        // A bare name lies in the working directory.
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => of,
    };
    fs::File::open(parent)?.sync_all()
}

impl Disk for FileDisk {
    type File = FileSegment;
    type Draft = FileDraft;

    fn path(&self) -> &Path {
        &self.path
    }

    fn prepare(&self) -> io::Result<()> {
        self.check_writable()?;
        let log = self.path.join(LOG_DIRECTORY);
        if !log.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&log)?;
            sync_parent(&log)?;
            sync_parent(&self.path)?;
        }
        // Asked of the kernel, as a mode says nothing about read-only mounts or the superuser.
        [&self.path, &log].into_iter().try_for_each(|directory| check_writable(directory))?;
        // A process that was killed between a change of these and its sync left one that can be undone.
        fs::File::open(&log)?.sync_all()?;
        fs::File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> Result<(), LockError> {
        let path = self.path.join(LOCK);
        let is_owner = !self.is_read_only;
        let mut options = OpenOptions::new();
        options.read(true).write(is_owner).create(is_owner).truncate(false).mode(0o600);
        let file = options.open(path).map_err(LockError::Io)?;
        let about = fs::metadata(&self.path).map_err(LockError::Io)?;
        let key = (about.dev(), about.ino());
        if !OPENED.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return Err(LockError::Held("this process has it open already".to_owned()));
        }
        let lock = Lock { key, file };
        if !lock_whole_file(&lock.file, is_owner).map_err(LockError::Io)? {
            let mut holder = String::new();
            let named =
                (&lock.file).take(64).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let who = if named { holder.trim() } else { "another process" };
            return Err(LockError::Held(format!("{who} has it open")));
        }
        if is_owner {
            // Who holds it, for the message of the next one; the lock itself does not depend on it.
            let name = format!("process {}\n", std::process::id());
            let _ = lock.file.set_len(0).and_then(|()| lock.file.write_all_at(name.as_bytes(), 0));
        }
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
        self.check_writable()?;
        let (path, temporary) = (self.path.join(name), self.temporary(name));
        // Written over the content before the last, whose blocks it takes: no room is needed.
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(false).mode(0o600).open(&temporary)?;
        file.write_all_at(content, 0)?;
        file.set_len(content.len() as u64)?;
        file.sync_data()?;
        if !exchange(&temporary, &path)? {
            fs::rename(&temporary, &path)?;
            // The room for the next time. Without it that needs some.
            let _ = keep_room(&temporary, content.len() as u64);
        }
        let synced = sync_parent(&path);
        if synced.is_err() {
            // The names may change back, and then this would be the content that is written over.
            let _ = fs::remove_file(&temporary);
        }
        synced
    }

    fn retire(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        let (path, temporary) = (self.path.join(name), self.temporary(name));
        match fs::rename(&path, &temporary) {
            Ok(()) => sync_parent(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = keep_room(&temporary, 1);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_parent(&path),
        }
    }

    fn create(&self, name: &str, size: u64, header: &[u8]) -> io::Result<FileSegment> {
        self.check_writable()?;
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
            sync_parent(&path)?;
            FileSegment::over(file, size)
        })();
        if made.is_err() {
            // A failed allocation keeps what it got; give it back.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn room(&self) -> u64 {
        use std::os::unix::ffi::OsStrExt;
        let Ok(name) = CString::new(self.path.as_os_str().as_bytes()) else { return u64::MAX };
        // SAFETY: a `statvfs` of zeros is a valid value of that C struct.
        let mut about: libc::statvfs = unsafe { core::mem::zeroed() };
        // SAFETY: `name` is a C string that lives over the call; `about` is valid for writing.
        match unsafe { libc::statvfs(name.as_ptr(), &mut about) } {
            0 => about.f_bavail.saturating_mul(about.f_frsize),
            _ => u64::MAX,
        }
    }

    fn open(&self, name: &str) -> io::Result<FileSegment> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(!self.is_read_only).open(self.path.join(name))?;
        let size = file.metadata()?.len();
        FileSegment::over(file, size)
    }

    fn shorten(&self, name: &str, size: u64) -> io::Result<()> {
        self.check_writable()?;
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(size)?;
        file.sync_all()
    }

    fn draft(&self, name: &str) -> io::Result<FileDraft> {
        self.check_writable()?;
        let temporary = self.temporary(name);
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        let file = options.open(&temporary)?;
        Ok(FileDraft { file, path: self.path.join(name), temporary, is_committed: false })
    }

    fn copy_elsewhere(&self, name: &str, directory: &Path, length: Option<u64>) -> io::Result<()> {
        let target = directory.join(name);
        let Some(length) = length else { return fs::hard_link(self.path.join(name), target) };
        let source = fs::File::open(self.path.join(name))?;
        let whole = source.metadata()?.len();
        let length = length.min(whole);
        let mut source = source.take(length);
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
        if io::copy(&mut source, &mut copy)? < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        copy.set_len(whole)?;
        copy.sync_all()
    }

    fn sync_elsewhere(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory.join(LOG_DIRECTORY))?.sync_all()?;
        fs::File::open(directory)?.sync_all()
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

    fn zeros_from(&self) -> u64 {
        let Ok(file) = self.file() else { return self.size };
        if !file.metadata().is_ok_and(|metadata| metadata.len() == self.size) {
            return self.size;
        }
        // What was reserved and never written is a hole to who asks so.
        let mut end = 0;
        loop {
            match seek(&file, end, libc::SEEK_DATA) {
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return end,
                Ok(data) if data < self.size => match seek(&file, data, libc::SEEK_HOLE) {
                    Ok(hole) if hole > data => end = hole,
                    _ => return self.size,
                },
                _ => return self.size,
            }
        }
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

    fn is_whole(&self, end: u64) -> bool {
        self.map.as_ref().is_none_or(|map| map.is_whole(end))
    }

    fn view(&self, offset: u64, length: usize) -> Option<Cow<'_, [u8]>> {
        self.map.as_ref()?.view(offset, length).map(Cow::Borrowed)
    }
}

/// Lets two files change places; false if one of them is missing, or the file system cannot do it.
fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let one = CString::new(one.as_os_str().as_bytes())?;
    let other = CString::new(other.as_os_str().as_bytes())?;
    let here = libc::AT_FDCWD;
    // SAFETY: both names are C strings that live over the call. By number, as not every libc has a name.
    let result = unsafe {
        libc::syscall(libc::SYS_renameat2, here, one.as_ptr(), here, other.as_ptr(), libc::RENAME_EXCHANGE)
    };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINVAL | libc::ENOSYS) => Ok(false),
        _ => Err(error),
    }
}

/// Where data, or a hole, begins at or behind an offset.
fn seek(file: &fs::File, from: u64, whence: i32) -> io::Result<u64> {
    let from = i64::try_from(from).map_err(io::Error::other)?;
    // SAFETY: only the descriptor's position changes, which nothing here uses.
    match unsafe { libc::lseek(file.as_raw_fd(), from, whence) } {
        at if at >= 0 => Ok(at as u64),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a file that takes up room, unless it is there.
fn keep_room(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.len() == 0 {
        allocate(&file, length)?;
    }
    Ok(())
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

/// Takes a lock on a whole file, owned by the open file: for itself alone, or shared with other readers.
/// False if somebody else has one that does not go with it.
fn lock_whole_file(file: &fs::File, is_alone: bool) -> io::Result<bool> {
    // SAFETY: a `flock` of zeros is a valid value of that C struct.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = if is_alone { libc::F_WRLCK } else { libc::F_RDLCK } as libc::c_short;
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

fn check_writable(directory: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let name = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: `name` is a C string that lives over the call.
    let result =
        unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
        sync_parent(Path::new("data")).unwrap();
        assert!(sync_parent(Path::new("no such directory/data")).is_err());
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
        assert_eq!(names(&disk), ["name", "name.tmp"]);
        disk.remove("name").unwrap();
        disk.remove("name").unwrap();
        assert_eq!(names(&disk), ["name.tmp"]);
    }

    fn names(disk: &FileDisk) -> Vec<String> {
        let mut names = disk.list("").unwrap();
        names.sort();
        names
    }

    #[test]
    fn a_small_file_keeps_the_room_for_its_next_content() {
        use std::os::unix::fs::MetadataExt;
        let home = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(home.path());
        let inode = |name: &str| fs::metadata(home.path().join(name)).unwrap().ino();
        disk.replace("name", &[1; 5_000]).unwrap();
        let (first, second) = (inode("name"), inode("name.tmp"));
        assert!(fs::metadata(home.path().join("name.tmp")).unwrap().len() >= 5_000);
        disk.replace("name", b"short").unwrap();
        assert_eq!((inode("name"), inode("name.tmp")), (second, first));
        assert_eq!(disk.read("name", 10).unwrap().as_deref(), Some(&b"short"[..]));
        disk.retire("name").unwrap();
        assert_eq!((disk.read("name", 10).unwrap(), inode("name.tmp")), (None, second));
        disk.replace("name", b"again").unwrap();
        assert_eq!((disk.read("name", 10).unwrap().as_deref(), inode("name")), (Some(&b"again"[..]), second));
        // Also of one that never was.
        disk.retire("clean").unwrap();
        assert_eq!(names(&disk), ["clean.tmp", "name", "name.tmp"]);
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
