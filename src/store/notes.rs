//! Small files that the core keeps beside the records: its content and a CRC32C of it, replaced as a whole.
//!
//! What the core has kept it has acted upon, so one that cannot be read is not taken for one that was never
//! written: the directory is refused.

use super::directory::OpenError;
use super::disk::Disk;
use crate::proto::store::Note;

/// Longest content, in bytes.
const CONTENT_MAX: usize = 64 << 20;

/// All of them, as they were last given.
#[derive(Debug, Default)]
pub struct Notes {
    contents: [Vec<u8>; Note::ALL.len()],
    /// How often each was given since the opening.
    given: [u64; Note::ALL.len()],
}

/// The name of a note's file.
pub const fn file_name(note: Note) -> &'static str {
    match note {
        Note::Topology => "topology",
        Note::Votes => "votes",
        Note::Reaps => "reaps",
    }
}

/// A content as its file holds it.
pub fn sealed(content: &[u8]) -> Vec<u8> {
    let checksum = crc32c::crc32c(content);
    [content, &checksum.to_le_bytes()].concat()
}

/// The content of a file; `None` if it is damaged.
pub fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(content) == u32::from_le_bytes(*checksum)).then_some(content)
}

impl Notes {
    /// Those of a directory.
    ///
    /// # Errors
    /// One cannot be read or is damaged.
    pub fn read<D: Disk>(disk: &D) -> Result<Notes, OpenError> {
        let mut notes = Notes::default();
        for note in Note::ALL {
            let name = file_name(note);
            let read = disk.read(name, CONTENT_MAX).map_err(|error| OpenError::io(disk, name, error))?;
            let Some(bytes) = read else { continue };
            let Some(content) = unsealed(&bytes) else {
                let problem = "its checksum does not hold".to_owned();
                return Err(OpenError::Corrupt { path: disk.path().join(name), problem });
            };
            notes.contents[note as usize] = content.to_vec();
        }
        Ok(notes)
    }

    /// The content as it was last given; empty if it never was.
    pub fn content(&self, note: Note) -> &[u8] {
        &self.contents[note as usize]
    }

    /// Takes a new content. Returns its number, counted from 1 at each opening.
    pub fn give(&mut self, note: Note, content: Vec<u8>) -> u64 {
        self.contents[note as usize] = content;
        self.given[note as usize] += 1;
        self.given[note as usize]
    }

    /// The number of the content that was last given; 0 if none was since the opening.
    pub fn number(&self, note: Note) -> u64 {
        self.given[note as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = sealed(b"content");
        assert_eq!(unsealed(&bytes), Some(&b"content"[..]));
        assert_eq!(unsealed(&sealed(b"")), Some(&b""[..]));
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 4;
            assert_eq!(unsealed(&bent), None);
            assert_eq!(unsealed(&bytes[..at]), None);
        }
    }
}
