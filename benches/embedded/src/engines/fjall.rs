//! fjall: an LSM tree with a journal and background threads, as it comes (LZ4, which finds nothing here).

use std::hint::black_box;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::engine::{CACHE, Engine, Found};
use crate::workload::Key;

/// A database with one keyspace.
pub struct Fjall {
    database: Database,
    records: Keyspace,
}

impl Fjall {
    /// Opens or creates it.
    pub fn open(directory: &Path) -> Fjall {
        let database = Database::builder(directory).cache_size(CACHE as u64).open().expect("fjall opens");
        let records = database.keyspace("records", KeyspaceCreateOptions::default).expect("fjall opens");
        Fjall { database, records }
    }
}

impl Engine for Fjall {
    fn write(&self, pairs: &[(Key, &[u8])]) {
        let mut batch = self.database.batch();
        for (key, value) in pairs {
            batch.insert(&self.records, &key[..], *value);
        }
        batch.commit().expect("fjall commits");
    }

    fn commit(&self, key: &Key, value: &[u8]) {
        self.records.insert(&key[..], value).expect("fjall puts");
        self.settle();
    }

    fn get(&self, keys: &mut dyn Iterator<Item = Key>, found: Found<'_>) {
        for key in keys {
            found(self.records.get(key).expect("fjall gets").as_deref());
        }
    }

    fn scan(&self) -> u64 {
        let mut count = 0;
        for guard in self.records.iter() {
            let (key, value) = guard.into_inner().expect("fjall scans");
            black_box((key[0], value[0]));
            count += 1;
        }
        count
    }

    fn settle(&self) {
        self.database.persist(PersistMode::SyncData).expect("fjall syncs");
    }

    fn close(self: Box<Self>) {
        self.settle();
    }
}
