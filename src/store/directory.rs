//! What a data directory is: its format, whose it is, and what it remembers besides records.
//!
//! ```text
//!  LOCK       held by the one opener                       (file)
//!  FORMAT     version, partitions, cluster, directory id   written once
//!  identity   generation, openings, leases, floor, place   replaced at each opening and lease
//!  members    what is remembered of other members          replaced on change
//!  topology   what the core keeps: the latest topology    replaced on change
//!  votes      what the core keeps: its votes as a keeper  replaced on change
//!  clean      how far the log was synced                   written at a clean close, removed at opening
//!  manifest   which segments make the log, what is lost    replaced by compaction
//!  checkpoint the index, as of some place in the log       replaced now and then
//!  log/       segments
//! ```
//!
//! Each small file is replaced as a whole and carries a checksum. *Clean* means: everything was synced,
//! and nothing was appended since. So the marker is written after the last sync and durably removed before
//! the first append, and a store that failed a sync never writes it (trap T3).
//!
//! Epochs and sequences are leased: the bound of what may be issued is on disk before anything below it is
//! issued, and after a stop that was not clean numbering goes on above the bound (trap T19). The bound of
//! hybrid timestamps follows them in the background.

use core::fmt;
use std::io;
use std::path::PathBuf;

use super::checkpoint::CHECKPOINT;
use super::disk::{Disk, LockError, Place};
use super::manifest::Manifest;
use super::notes::Notes;
use super::record::{Mark, u64_at};
use super::segment;
use crate::proto::keys::Key;
use crate::proto::limits::{MEMBERS_MAX, NAME_MAX};
use crate::proto::store::{MemberMemory, OPENINGS_KEPT, Sequence};

/// Name of the file that says what the directory is.
pub const FORMAT: &str = "FORMAT";
/// Name of the identity file.
pub const IDENTITY: &str = "identity";
/// Name of the members file.
pub const MEMBERS: &str = "members";
/// Name of the clean marker.
pub const CLEAN: &str = "clean";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest";

/// The version of the directory's format that this code writes, and the newest that it reads.
pub const VERSION: u32 = 2;

const FORMAT_TITLE: &str = "quorate data directory";
const IDENTITY_LENGTH: usize = IDENTITY_LENGTH_2 + 8 * OPENINGS_KEPT;
/// Length before it knew its earlier openings.
const IDENTITY_LENGTH_2: usize = 88;
/// Length before it had a floor of sequences.
const IDENTITY_LENGTH_1: usize = 80;
const CLEAN_LENGTH: usize = 32;
/// Longest small file that is read, in bytes.
pub(super) const SMALL_FILE_MAX: usize = 1 << 20;
/// A manifest names at most as many segments as a log can have.
pub(super) const MANIFEST_MAX: usize = 64 << 20;
/// Names that a directory may hold before its format was written: an opener was stopped there.
const NAMES_BEFORE_FORMAT: [&str; 2] = ["LOCK", "FORMAT.tmp"];

/// Why a data directory could not be opened. Nothing in it was changed, except as [`OpenError::Io`] says.
#[derive(Debug)]
pub enum OpenError {
    /// Somebody else has it open.
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who.
        holder: String,
    },
    /// It is not a data directory of this cluster, or holds files that are none of ours.
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It was written by a newer version.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest one this program knows.
        known: u32,
    },
    /// It cannot be written.
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A setting does not fit what the directory was created with.
    Settings {
        /// The directory.
        path: PathBuf,
        /// Which, and what it was created with.
        problem: String,
    },
    /// A file of ours whose content cannot be trusted, and that nothing can stand in for.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk failed; steps of opening that came before it may have been taken. Opening again is safe.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// What was leased to this opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// Epochs below it may be issued.
    pub epoch_end: u64,
    /// Sequences below it may be issued.
    pub sequence_end: u64,
    /// No hybrid timestamp above it was issued, as far as the disk kept up.
    pub hlc_bound: u64,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked { path, holder } => write!(f, "{} is in use: {holder}", path.display()),
            OpenError::Foreign { path, problem } => {
                write!(f, "{} is not ours to open: {problem}", path.display())
            }
            OpenError::Newer { path, found, known } => write!(
                f,
                "{} has format version {found}; this program knows versions up to {known}",
                path.display()
            ),
            OpenError::NotWritable { path, error } => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
            OpenError::Settings { path, problem } => write!(f, "{}: {problem}", path.display()),
            OpenError::Corrupt { path, problem } => write!(f, "{} is damaged: {problem}", path.display()),
            OpenError::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// An error of the disk at a file of the directory.
    pub(super) fn io<D: Disk>(disk: &D, name: &str, error: io::Error) -> OpenError {
        OpenError::Io { path: disk.path().join(name), error }
    }
}

/// What a directory was created as; never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The version it has: an older one is raised at the opening.
    pub version: u32,
    /// Partitions: the fingerprints in its checkpoints begin below them.
    pub partitions: u32,
    /// Random id, in the header of each of its segments.
    pub directory: u64,
    /// Tells the cluster's hash key, without giving it away.
    pub cluster: u64,
}

impl Format {
    /// What stands for a hash key in the format file.
    pub fn cluster_of(hash_key: &Key) -> u64 {
        hash_key.hash64(&[b"quorate data directory"])
    }

    /// Raises the directory to this version, before anything is written that an older one cannot read.
    pub fn raise<D: Disk>(&self, disk: &D) -> Result<(), OpenError> {
        let raised = Format { version: VERSION, ..*self };
        if raised == *self {
            return Ok(());
        }
        disk.replace(FORMAT, raised.text().as_bytes()).map_err(|error| OpenError::io(disk, FORMAT, error))
    }

    fn text(&self) -> String {
        let Format { version, partitions, directory, cluster } = self;
        let body = format!(
            "{FORMAT_TITLE}\nversion {version}\npartitions {partitions}\ndirectory {directory:016x}\ncluster {cluster:016x}\n"
        );
        let check = crc32c::crc32c(body.as_bytes());
        format!("{body}check {check:08x}\n")
    }

    /// Reads the format file of a disk.
    pub(super) fn of<D: Disk>(disk: &D, text: &[u8]) -> Result<Format, OpenError> {
        let path = disk.path().join(FORMAT);
        Format::read(text).map_err(|flaw| match flaw {
            FormatFlaw::Foreign => {
                OpenError::Foreign { path, problem: "it is no FORMAT file of ours".to_owned() }
            }
            FormatFlaw::Newer(found) => OpenError::Newer { path, found, known: VERSION },
            FormatFlaw::Damaged => {
                OpenError::Corrupt { path, problem: "its lines or their check do not hold".to_owned() }
            }
        })
    }

    fn read(text: &[u8]) -> Result<Format, FormatFlaw> {
        let text = core::str::from_utf8(text).map_err(|_| FormatFlaw::Foreign)?;
        let mut lines = text.lines();
        if lines.next() != Some(FORMAT_TITLE) {
            return Err(FormatFlaw::Foreign);
        }
        let mut field = |name: &str| {
            let line = lines.next()?.strip_prefix(name)?;
            line.strip_prefix(' ')
        };
        let version: u32 = field("version").and_then(|text| text.parse().ok()).ok_or(FormatFlaw::Damaged)?;
        if version > VERSION {
            return Err(FormatFlaw::Newer(version));
        }
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        let partitions = field("partitions").and_then(|text| text.parse().ok());
        let directory = field("directory").and_then(hexadecimal);
        let cluster = field("cluster").and_then(hexadecimal);
        let (Some(partitions), Some(directory), Some(cluster)) = (partitions, directory, cluster) else {
            return Err(FormatFlaw::Damaged);
        };
        let format = Format { version, partitions, directory, cluster };
        if format.text() != text || !partitions.is_power_of_two() || partitions > 1 << 16 {
            return Err(FormatFlaw::Damaged);
        }
        Ok(format)
    }
}

enum FormatFlaw {
    Foreign,
    Newer(u32),
    Damaged,
}

/// What the directory knows of its own past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityRecord {
    /// The generation.
    pub generation: u64,
    /// How often it was opened.
    pub opens: u64,
    /// How far numbers may have been issued.
    pub leases: Leases,
    /// Epochs with a lower number are from before the last unclean stop.
    pub epoch_floor: u64,
    /// Sequences below it are from before the last unclean stop: some that were seen may be lost.
    pub sequence_floor: u64,
    /// Where it was when this was written.
    pub place: Place,
    /// What was drawn at the last openings, this one first; 0 where that is not known.
    pub nonces: [u64; OPENINGS_KEPT],
}

impl IdentityRecord {
    /// The content of the identity file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(IDENTITY_LENGTH);
        bytes.extend_from_slice(b"qrt.id3\n");
        let Leases { epoch_end, sequence_end, hlc_bound } = self.leases;
        let Place { machine, inode } = self.place;
        let numbers = [
            self.generation,
            self.opens,
            epoch_end,
            sequence_end,
            hlc_bound,
            self.epoch_floor,
            machine,
            inode,
            self.sequence_floor,
        ];
        for number in numbers.into_iter().chain(self.nonces) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        with_checksum(bytes)
    }

    /// Reads the identity file.
    pub(super) fn read(bytes: &[u8]) -> Option<IdentityRecord> {
        let forms = [
            (b"qrt.id3\n", IDENTITY_LENGTH),
            (b"qrt.id2\n", IDENTITY_LENGTH_2),
            (b"qrt.id1\n", IDENTITY_LENGTH_1),
        ];
        let body = forms.into_iter().find_map(|(magic, length)| checked(bytes, magic, length - 8))?;
        let (has_floor, has_nonces) =
            (body.len() > IDENTITY_LENGTH_1 - 8, body.len() > IDENTITY_LENGTH_2 - 8);
        let number = |at: usize| u64_at(body, 8 + at * 8);
        Some(IdentityRecord {
            generation: number(0),
            opens: number(1),
            leases: Leases { epoch_end: number(2), sequence_end: number(3), hlc_bound: number(4) },
            epoch_floor: number(5),
            // Who does not know it tells everybody that there is a gap.
            sequence_floor: if has_floor { number(8) } else { number(2) },
            place: Place { machine: number(6), inode: number(7) },
            nonces: core::array::from_fn(|at| if has_nonces { number(9 + at) } else { 0 }),
        })
    }
}

/// Appends the checksum, and zeros to a multiple of 8.
pub(super) fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// The body of a small file of known length whose magic and checksum hold.
pub(super) fn checked<'a>(bytes: &'a [u8], magic: &[u8; 8], body_length: usize) -> Option<&'a [u8]> {
    let body = bytes.get(..body_length)?;
    let sound = bytes.len() == body_length + 8
        && body.starts_with(magic)
        && u64_at(bytes, body_length) == u64::from(crc32c::crc32c(body));
    sound.then_some(body)
}

/// The content of the clean marker: everything up to `mark` is on disk and nothing is behind it.
pub fn clean_bytes(mark: &Mark) -> Vec<u8> {
    let mut bytes = b"qrt.cln\n".to_vec();
    for number in [mark.sequence.0, mark.number, mark.offset] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    with_checksum(bytes)
}

/// Reads the clean marker.
pub(super) fn read_clean(bytes: &[u8]) -> Option<Mark> {
    let body = checked(bytes, b"qrt.cln\n", CLEAN_LENGTH)?;
    Some(Mark { sequence: Sequence(u64_at(body, 8)), number: u64_at(body, 16), offset: u64_at(body, 24) })
}

/// The content of the members file.
pub fn members_bytes(members: &[MemberMemory]) -> Vec<u8> {
    let mut bytes = b"qrt.mem\n".to_vec();
    for member in members {
        bytes.extend_from_slice(&(member.name.len() as u64).to_le_bytes());
        for number in [member.generation, member.opens, member.sequence.0, member.boot] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(member.name.as_bytes());
    }
    with_checksum(bytes)
}

/// Reads the members file.
pub(super) fn read_members(bytes: &[u8]) -> Option<Vec<MemberMemory>> {
    let body = checked(bytes, b"qrt.mem\n", bytes.len().checked_sub(8)?)?;
    let mut rest = &body[8..];
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (numbers, after) = rest.split_at_checked(40)?;
        let length = usize::try_from(u64_at(numbers, 0)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        if length > NAME_MAX || members.len() == MEMBERS_MAX {
            return None;
        }
        members.push(MemberMemory {
            name: String::from_utf8(name.to_vec()).ok()?,
            generation: u64_at(numbers, 8),
            opens: u64_at(numbers, 16),
            sequence: Sequence(u64_at(numbers, 24)),
            boot: u64_at(numbers, 32),
        });
        rest = after;
    }
    Some(members)
}

/// What stood in a directory when it was opened.
pub struct Contents {
    /// What it was created as.
    pub format: Format,
    /// The identity file; `None` if the directory is new, or the file is lost.
    pub identity: Option<IdentityRecord>,
    /// Where it is now.
    pub place: Place,
    /// The clean marker.
    pub clean: Option<Mark>,
    /// What is remembered of other members.
    pub members: Vec<MemberMemory>,
    /// Numbers of the segments, rising.
    pub segments: Vec<u64>,
    /// The manifest; `None` if there is none, or it does not hold.
    pub manifest: Option<Manifest>,
    /// Whether there is a checkpoint.
    pub has_checkpoint: bool,
    /// What the core keeps.
    pub notes: Notes,
}

/// Locks a directory and reads everything in it but the log. A new one is given its format.
///
/// # Errors
/// See [`OpenError`].
pub fn open<D: Disk>(
    disk: &D,
    partitions: u32,
    hash_key: &Key,
    random: &mut dyn FnMut() -> u64,
) -> Result<Contents, OpenError> {
    refuse_foreign(disk)?;
    disk.prepare().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => OpenError::NotWritable { path: disk.path().to_owned(), error },
        _ => OpenError::io(disk, "", error),
    })?;
    disk.lock().map_err(|error| match error {
        LockError::Held(holder) => OpenError::Locked { path: disk.path().to_owned(), holder },
        // A file system that the kernel turned read-only says so only here.
        LockError::Io(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::NotWritable { path: disk.path().to_owned(), error }
        }
        LockError::Io(error) => OpenError::io(disk, "LOCK", error),
    })?;
    let segments = segments(disk)?;
    let read = |name: &str| disk.read(name, SMALL_FILE_MAX).map_err(|error| OpenError::io(disk, name, error));
    let format = match read(FORMAT)? {
        Some(text) => check_format(disk, &text, partitions, hash_key)?,
        None if segments.is_empty() => {
            let cluster = Format::cluster_of(hash_key);
            let format = Format { version: VERSION, partitions, directory: random(), cluster };
            disk.replace(FORMAT, format.text().as_bytes())
                .map_err(|error| OpenError::io(disk, FORMAT, error))?;
            format
        }
        None => {
            let problem = "there are segments, but no FORMAT file".to_owned();
            return Err(OpenError::Foreign { path: disk.path().to_owned(), problem });
        }
    };
    // Without a readable identity the directory is as good as restored: it gets a new generation and
    // counts as unclean. What is remembered of others is a help, not a promise.
    let identity = read(IDENTITY)?.as_deref().and_then(IdentityRecord::read);
    let members = read(MEMBERS)?.as_deref().and_then(read_members).unwrap_or_default();
    let notes = Notes::read(disk)?;
    let clean = read(CLEAN)?.as_deref().and_then(read_clean);
    let manifest = disk.read(MANIFEST, MANIFEST_MAX).map_err(|error| OpenError::io(disk, MANIFEST, error))?;
    let manifest = manifest.as_deref().and_then(Manifest::read);
    let names = disk.list("").map_err(|error| OpenError::io(disk, "", error))?;
    let has_checkpoint = names.iter().any(|name| name == CHECKPOINT);
    let place = disk.place().map_err(|error| OpenError::io(disk, "", error))?;
    Ok(Contents { format, identity, place, clean, members, segments, manifest, has_checkpoint, notes })
}

/// A directory with files in it but no format is somebody else's; nothing must be created there.
fn refuse_foreign<D: Disk>(disk: &D) -> Result<(), OpenError> {
    let names = match disk.list("") {
        Ok(names) => names,
        // Not there, or no directory: `prepare` makes it or says why not.
        Err(_) => return Ok(()),
    };
    let strange = |name: &&String| !NAMES_BEFORE_FORMAT.contains(&name.as_str());
    match names.iter().find(strange) {
        Some(name) if !names.iter().any(|name| name == FORMAT) => Err(OpenError::Foreign {
            path: disk.path().to_owned(),
            problem: format!("it holds `{name}`, but no FORMAT file"),
        }),
        _ => Ok(()),
    }
}

/// Numbers of the segments, rising.
pub(super) fn segments<D: Disk>(disk: &D) -> Result<Vec<u64>, OpenError> {
    use super::disk::LOG_DIRECTORY;
    let names = disk.list(LOG_DIRECTORY).map_err(|error| OpenError::io(disk, LOG_DIRECTORY, error))?;
    let mut numbers = Vec::new();
    for name in names {
        match segment::number_in(&name) {
            Some(number) => numbers.push(number),
            None => {
                return Err(OpenError::Foreign {
                    path: disk.path().join(LOG_DIRECTORY).join(name),
                    problem: "it is no segment of a log".to_owned(),
                });
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn check_format<D: Disk>(
    disk: &D,
    text: &[u8],
    partitions: u32,
    hash_key: &Key,
) -> Result<Format, OpenError> {
    let format = Format::of(disk, text)?;
    if format.cluster != Format::cluster_of(hash_key) {
        let problem = "it belongs to a cluster of another name or key".to_owned();
        return Err(OpenError::Foreign { path: disk.path().to_owned(), problem });
    }
    if format.partitions != partitions {
        let problem = format!("it was created with {} partitions, not {partitions}", format.partitions);
        return Err(OpenError::Settings { path: disk.path().to_owned(), problem });
    }
    Ok(format)
}
