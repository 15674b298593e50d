//! The keys of gossip datagrams as an operator lists them: secrets in files, and a word for the key that the
//! cluster's own secret gives.
//!
//! The first of a list seals, all are accepted. So a cluster changes its key by three rounds of restarts, and in
//! none of them two members do not understand each other: the new one is added behind, put first, and left alone.

use std::path::Path;

use super::key_file;
use super::options::OpenError;
use crate::proto::config::Config;
use crate::proto::gossip::keyring::Keyring;
use crate::proto::keys::{ClusterKeys, Key};
use crate::proto::limits::KEYRING_MAX;

/// Stands in a list for the key that follows from the cluster's secret. A file of this name is `./derived`.
pub const DERIVED: &str = "derived";
/// The setting that is the list, by its long flag.
const SETTING: &str = "gossip-key-file";

/// The ring that a list comes to; `None` for an empty one, which leaves everything to the derived key.
///
/// A secret of the list gives its key just as the cluster's does, together with the cluster's name: the file of
/// the cluster's secret is the derived key by another name.
///
/// # Errors
/// There are too many, a file is no secret, or two are one key.
pub fn keyring(core: &Config, list: &[impl AsRef<str>]) -> Result<Option<Keyring>, OpenError> {
    let refuse = |problem: String| OpenError::Setting { setting: SETTING, problem };
    if list.len() > KEYRING_MAX {
        return Err(refuse(format!("{} keys; up to {KEYRING_MAX} are allowed", list.len())));
    }
    let mut known: Vec<(&str, Key)> = Vec::new();
    let mut ring: Option<Keyring> = None;
    for entry in list.iter().map(AsRef::as_ref) {
        let secret = match entry {
            DERIVED => core.secret,
            path => key_file::read(SETTING, Path::new(path))?,
        };
        let key = ClusterKeys::derive(&core.cluster, &secret).gossip;
        if let Some((before, _)) = known.iter().find(|(_, other)| *other == key) {
            return Err(refuse(format!("`{before}` and `{entry}` are one key")));
        }
        known.push((entry, key));
        match &mut ring {
            None => ring = Some(Keyring::new(key)),
            Some(ring) => {
                ring.add(key).map_err(|error| refuse(format!("{entry}: {error}")))?;
            }
        }
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::gossip::keyring::KeyId;
    use std::os::unix::fs::PermissionsExt;

    /// A file of such bytes; its path.
    fn file(directory: &tempfile::TempDir, byte: u8) -> String {
        let path = directory.path().join(byte.to_string());
        std::fs::write(&path, [byte; key_file::SECRET_LEN]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn id(core: &Config, secret: [u8; 32]) -> KeyId {
        KeyId::of(&ClusterKeys::derive(&core.cluster, &secret).gossip)
    }

    #[test]
    fn the_first_is_used_and_all_are_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let core = Config::new("A");
        assert!(keyring(&core, &[""; 0]).unwrap().is_none());
        let list = [file(&directory, 1), DERIVED.to_owned(), file(&directory, 2)];
        let ring = keyring(&core, &list).unwrap().unwrap();
        let (first, derived, last) = (id(&core, [1; 32]), id(&core, core.secret), id(&core, [2; 32]));
        assert_eq!(ring.in_use().0, first);
        assert!([first, derived, last].iter().all(|&id| ring.find(id).is_some()));
        assert!(ring.find(id(&core, [3; 32])).is_none());
        let other = Config { cluster: "other".into(), ..core };
        assert!(keyring(&other, &list).unwrap().unwrap().find(first).is_none(), "keys are of one cluster");
    }

    #[test]
    fn what_is_wrong_with_a_list_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let core = Config { secret: [7; 32], ..Config::new("A") };
        let files: Vec<String> = (1..=KEYRING_MAX as u8 + 1).map(|byte| file(&directory, byte)).collect();
        assert!(keyring(&core, &files[..KEYRING_MAX]).is_ok());
        let (one, own) = (files[0].as_str(), files[6].as_str());
        let table: [(Vec<&str>, String); 4] = [
            (files.iter().map(String::as_str).collect(), "9 keys; up to 8 are allowed".into()),
            (vec![one, DERIVED, one], format!("`{one}` and `{one}` are one key")),
            (vec![DERIVED, own], format!("`derived` and `{own}` are one key")),
            (vec![one, "/no/such/file"], "/no/such/file: ".into()),
        ];
        for (list, named) in table {
            let error = keyring(&core, &list).unwrap_err();
            assert_eq!(error.exit_code(), 64);
            let message = error.to_string();
            assert!(message.starts_with(&format!("gossip-key-file: {named}")), "{message}");
        }
    }
}
