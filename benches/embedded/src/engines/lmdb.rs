//! LMDB, by heed: a copy-on-write B-tree in a mapped file. Commits do not sync; who wants that asks for it
//! after the commit, so that both kinds of commit can be had from one environment.
#![expect(unsafe_code, reason = "opening a mapped file has conditions that no type can hold")]

use std::hint::black_box;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use crate::engine::{Engine, Found};
use crate::workload::Key;

/// Address space for the map; the file is as long as it needs to be.
const MAP: usize = 64 << 30;

/// An environment with one database. It lives until the process ends, as the handle borrows from it.
pub struct Lmdb {
    environment: &'static Env,
    records: Database<'static, Bytes, Bytes>,
}

impl Lmdb {
    /// Opens or creates it.
    pub fn open(directory: &Path) -> Lmdb {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP);
        // SAFETY: without syncs the file may be damaged by a crash of the machine, which nobody here
        // outlives; a killed process does it no harm.
        unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_READ_AHEAD) };
        // SAFETY: the directory is the bench's own; this process has it open once, and no other one does.
        let environment = unsafe { options.open(directory) }.expect("LMDB opens");
        let environment: &'static Env = Box::leak(Box::new(environment));
        let transaction = environment.write_txn().expect("LMDB writes");
        let records = environment
            .create_databases_and_commit(transaction, |open, transaction| {
                open.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
            })
            .expect("LMDB has its database")
            .unwrap_commit();
        Lmdb { environment, records }
    }
}

impl Engine for Lmdb {
    fn write(&self, pairs: &[(Key, &[u8])]) {
        let mut transaction = self.environment.write_txn().expect("LMDB writes");
        for (key, value) in pairs {
            self.records.put(&mut transaction, key, value).expect("LMDB puts");
        }
        transaction.commit().expect("LMDB commits");
    }

    fn commit(&self, key: &Key, value: &[u8]) {
        self.write(&[(*key, value)]);
        self.settle();
    }

    fn get(&self, keys: &mut dyn Iterator<Item = Key>, found: Found<'_>) {
        let transaction = self.environment.read_txn().expect("LMDB reads");
        for key in keys {
            found(self.records.get(&transaction, &key).expect("LMDB gets"));
        }
    }

    fn scan(&self) -> u64 {
        let transaction = self.environment.read_txn().expect("LMDB reads");
        let mut count = 0;
        for pair in self.records.iter(&transaction).expect("LMDB scans") {
            let (key, value) = pair.expect("LMDB scans");
            black_box((key[0], value[0]));
            count += 1;
        }
        count
    }

    fn settle(&self) {
        self.environment.force_sync().expect("LMDB syncs");
    }

    fn close(self: Box<Self>) {
        self.settle();
    }
}
