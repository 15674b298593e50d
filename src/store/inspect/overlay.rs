//! A disk over another one that keeps every change to itself: what is written is forgotten.
//!
//! It is enough for a store whose worker is never called: nothing reads back what its opening wrote.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::store::disk::{Disk, Draft, LockError, Place};

/// See the head of this file.
pub struct Overlay<D>(Arc<D>);

/// A file that nobody will see.
pub struct Nothing;

impl<D: Disk> Overlay<D> {
    /// Over a disk that is locked already, or need not be.
    pub(super) fn over(disk: Arc<D>) -> Overlay<D> {
        Overlay(disk)
    }
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl<D: Disk> Disk for Overlay<D> {
    type File = D::File;
    type Draft = Nothing;

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> Result<(), LockError> {
        Ok(())
    }

    fn place(&self) -> io::Result<Place> {
        self.0.place()
    }

    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        self.0.list(under)
    }

    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.0.read(name, limit)
    }

    fn replace(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn retire(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, _: &str, _: u64, _: &[u8]) -> io::Result<D::File> {
        unsupported()
    }

    fn open(&self, name: &str) -> io::Result<D::File> {
        self.0.open(name)
    }

    fn shorten(&self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn draft(&self, _: &str) -> io::Result<Nothing> {
        unsupported()
    }
}

impl Draft for Nothing {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        unsupported()
    }

    fn sync(&mut self) -> io::Result<()> {
        unsupported()
    }

    fn commit(self) -> io::Result<()> {
        unsupported()
    }
}
