//! Secrets, read from files: 32 bytes that nobody but their owner may read or write.
//!
//! Secrets never come from arguments, where every user of the machine can see them, and never go into
//! messages: errors here name the file, its mode and its length only.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::options::OpenError;

/// Bytes of a secret.
pub const SECRET_LEN: usize = 32;

/// Reads the secret that a setting names.
///
/// # Errors
/// The file cannot be read, is open to others than its owner, or is not 32 bytes long.
pub fn read(setting: &'static str, path: &Path) -> Result<[u8; SECRET_LEN], OpenError> {
    let refuse = |problem: String| {
        let problem = format!("{}: {problem}", path.display());
        OpenError::Setting { setting, problem }
    };
    let mut file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let facts = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if !facts.is_file() {
        return Err(refuse("is not a file".into()));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refuse(format!("mode {mode:04o} lets others read the key; 0600 is needed")));
    }
    if facts.len() != SECRET_LEN as u64 {
        return Err(refuse(format!("{} bytes; exactly {SECRET_LEN} are needed", facts.len())));
    }
    let mut secret = [0; SECRET_LEN];
    file.read_exact(&mut secret).map_err(|error| refuse(error.to_string()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn file_with(bytes: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_good_file_gives_its_bytes() {
        for mode in [0o600, 0o400] {
            let (_directory, path) = file_with(&[7; 32], mode);
            assert_eq!(read("key-file", &path).unwrap(), [7; 32]);
        }
    }

    #[test]
    fn wrong_mode_and_length_are_named_and_the_key_is_not() {
        let secret = b"secret-secret-secret-secret-secr";
        let table = [
            (&secret[..], 0o640, "0640"),
            (&secret[..], 0o604, "0604"),
            (&secret[..31], 0o600, "31 bytes"),
            (&[secret.as_slice(), b"\n"].concat(), 0o600, "33 bytes"),
            (&[], 0o600, "0 bytes"),
        ];
        for (bytes, mode, named) in table {
            let (_directory, path) = file_with(bytes, mode);
            let error = read("key-file", &path).unwrap_err();
            assert_eq!(error.exit_code(), 64);
            let message = error.to_string();
            assert!(message.starts_with("key-file: ") && message.contains(named), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
