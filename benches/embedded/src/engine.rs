//! What the peers are measured by: the least that all of them offer, in the form that suits each.

use std::path::Path;

use crate::engines::{fjall, lmdb, redb, shared};
use crate::workload::Key;

/// Takes what gets find, in the order of the keys.
pub type Found<'a> = &'a mut dyn FnMut(Option<&[u8]>);

/// The engines side by side, ours first.
pub const NAMES: [&str; 4] = ["quorate", "redb", "fjall", "LMDB"];

/// Memory that an engine may use as its cache, where it has a setting for it.
pub const CACHE: usize = 1 << 30;

/// An embedded store. A failure of one ends the measurement.
pub trait Engine: Send + Sync {
    /// Puts all pairs as one commit that is handed to the kernel but not synced.
    fn write(&self, pairs: &[(Key, &[u8])]);

    /// Puts one pair; it is on disk on return. Called from many threads at once.
    fn commit(&self, key: &Key, value: &[u8]);

    /// Gets keys one by one, under one snapshot where the engine has those.
    fn get(&self, keys: &mut dyn Iterator<Item = Key>, found: Found<'_>);

    /// Gets keys that are known at once; false if the engine has nothing for that.
    fn get_batch(&self, _keys: &[Key], _found: Found<'_>) -> bool {
        false
    }

    /// Visits everything in the engine's own order; returns how much it was.
    fn scan(&self) -> u64;

    /// Syncs what was written.
    fn settle(&self);

    /// Gives an engine without threads of its own a chance to tidy up.
    fn rest(&self) {}

    /// Stops cleanly.
    fn close(self: Box<Self>);
}

/// Opens an engine by its name, in a directory that exists.
///
/// # Panics
/// If it cannot be opened.
pub fn open(name: &str, directory: &Path) -> Box<dyn Engine> {
    match name {
        "quorate" => Box::new(shared::Shared::open(directory)),
        "redb" => Box::new(redb::Redb::open(directory)),
        "fjall" => Box::new(fjall::Fjall::open(directory)),
        "LMDB" => Box::new(lmdb::Lmdb::open(directory)),
        _ => panic!("there is no engine named {name}"),
    }
}
