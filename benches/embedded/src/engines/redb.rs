//! redb: a copy-on-write B-tree in one file. Unsynced commits are those without durability; their pages
//! are not freed before the next one that has it, which is why the file grows.

use std::hint::black_box;
use std::path::Path;

use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::engine::{CACHE, Engine, Found};
use crate::workload::Key;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

/// A database with one table.
pub struct Redb(Database);

impl Redb {
    /// Opens or creates it.
    pub fn open(directory: &Path) -> Redb {
        let path = directory.join("data.redb");
        Redb(Builder::new().set_cache_size(CACHE).create(path).expect("redb opens"))
    }

    fn transact(&self, durability: Durability, pairs: &[(Key, &[u8])]) {
        let mut transaction = self.0.begin_write().expect("redb writes");
        transaction.set_durability(durability).expect("no savepoint is in the way");
        let mut table = transaction.open_table(TABLE).expect("redb has its table");
        for (key, value) in pairs {
            table.insert(&key[..], *value).expect("redb puts");
        }
        drop(table);
        transaction.commit().expect("redb commits");
    }
}

impl Engine for Redb {
    fn write(&self, pairs: &[(Key, &[u8])]) {
        self.transact(Durability::None, pairs);
    }

    fn commit(&self, key: &Key, value: &[u8]) {
        self.transact(Durability::Immediate, &[(*key, value)]);
    }

    fn get(&self, keys: &mut dyn Iterator<Item = Key>, found: Found<'_>) {
        let transaction = self.0.begin_read().expect("redb reads");
        let table = transaction.open_table(TABLE).expect("redb has its table");
        for key in keys {
            let value = table.get(&key[..]).expect("redb gets");
            found(value.as_ref().map(|value| value.value()));
        }
    }

    fn scan(&self) -> u64 {
        let transaction = self.0.begin_read().expect("redb reads");
        let table = transaction.open_table(TABLE).expect("redb has its table");
        let mut count = 0;
        for pair in table.iter().expect("redb scans") {
            let (key, value) = pair.expect("redb scans");
            black_box((key.value()[0], value.value()[0]));
            count += 1;
        }
        count
    }

    fn settle(&self) {
        self.transact(Durability::Immediate, &[]);
    }

    fn close(self: Box<Self>) {
        self.settle();
    }
}
