//! The keys under which datagrams are sealed. One is used, all are accepted, so that a cluster changes its
//! key without a moment in which two members do not understand each other: add the new one everywhere, use
//! it everywhere, remove the old one everywhere.

use core::fmt;

use crate::proto::keys::Key;
use crate::proto::limits;

/// Names a key in a datagram without telling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl KeyId {
    /// The name of a key.
    pub fn of(key: &Key) -> KeyId {
        KeyId(key.hash64(&[b"gossip key id"]) as u32)
    }
}

/// The keys of a node; never empty, and no two under one id.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The one in use comes first.
    keys: Vec<(KeyId, Key)>,
}

/// Why the ring stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringError {
    /// No key has this id.
    Unknown(KeyId),
    /// The key in use cannot be removed; use another one first.
    InUse(KeyId),
    /// Another key has the same id; choose another secret.
    SameId(KeyId),
    /// It holds as many keys as it may.
    Full,
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyringError::Unknown(id) => write!(f, "no key has the id {:08x}", id.0),
            KeyringError::InUse(id) => write!(f, "key {:08x} is in use; use another one first", id.0),
            KeyringError::SameId(id) => write!(f, "another key has the id {:08x}; choose another", id.0),
            KeyringError::Full => write!(f, "the keyring holds {} keys, the most", limits::KEYRING_MAX),
        }
    }
}

impl std::error::Error for KeyringError {}

impl Keyring {
    /// A ring of one key, in use.
    pub fn new(key: Key) -> Keyring {
        Keyring { keys: vec![(KeyId::of(&key), key)] }
    }

    /// Accepts datagrams under one key more. Adding a key again changes nothing.
    ///
    /// # Errors
    /// The ring is full, or holds another key of that id.
    pub fn add(&mut self, key: Key) -> Result<KeyId, KeyringError> {
        let id = KeyId::of(&key);
        match self.find(id) {
            Some(known) if *known == key => return Ok(id),
            Some(_) => return Err(KeyringError::SameId(id)),
            None if self.keys.len() >= limits::KEYRING_MAX => return Err(KeyringError::Full),
            None => self.keys.push((id, key)),
        }
        Ok(id)
    }

    /// Seals under this key from now on.
    ///
    /// # Errors
    /// The ring does not hold it.
    pub fn select(&mut self, id: KeyId) -> Result<(), KeyringError> {
        let at = self.place(id)?;
        self.keys.swap(0, at);
        Ok(())
    }

    /// Refuses datagrams under this key from now on.
    ///
    /// # Errors
    /// The ring does not hold it, or uses it.
    pub fn remove(&mut self, id: KeyId) -> Result<(), KeyringError> {
        match self.place(id)? {
            0 => Err(KeyringError::InUse(id)),
            at => {
                self.keys.remove(at);
                Ok(())
            }
        }
    }

    /// The key in use.
    pub fn in_use(&self) -> (KeyId, &Key) {
        let (id, key) = &self.keys[0];
        (*id, key)
    }

    /// The key of this id.
    pub fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }

    fn place(&self, id: KeyId) -> Result<usize, KeyringError> {
        self.keys.iter().position(|(known, _)| *known == id).ok_or(KeyringError::Unknown(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_added_used_and_removed() {
        let (old, new) = (Key([1; 16]), Key([2; 16]));
        let (old_id, new_id) = (KeyId::of(&old), KeyId::of(&new));
        let mut ring = Keyring::new(old);
        assert_eq!(ring.remove(old_id), Err(KeyringError::InUse(old_id)));
        assert_eq!(ring.select(new_id), Err(KeyringError::Unknown(new_id)));
        assert_eq!(ring.add(new), Ok(new_id));
        assert_eq!(ring.add(new), Ok(new_id), "again");
        assert_eq!(ring.in_use().0, old_id);
        ring.select(new_id).unwrap();
        assert_eq!((ring.in_use().0, ring.find(old_id)), (new_id, Some(&old)));
        ring.remove(old_id).unwrap();
        assert_eq!(ring.find(old_id), None);
        for more in 3..=1 + limits::KEYRING_MAX as u8 {
            ring.add(Key([more; 16])).unwrap();
        }
        assert_eq!(ring.add(Key([99; 16])), Err(KeyringError::Full));
    }
}
