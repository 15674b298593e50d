//! Losses, and their acceptance: what is not found is absent from now on, not unknown.

use super::report::Damage;
use super::{Inspector, OpenError};
use crate::proto::keys::Key;
use crate::proto::store::Sequence;
use crate::store::checkpoint::CHECKPOINT;
use crate::store::directory::{CLEAN, MANIFEST};
use crate::store::disk::Disk;
use crate::store::manifest;
use crate::store::recovery::{self, Progress, Recovered};

/// What a directory lost.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// Where something does not hold, and nothing made good for it.
    pub damage: Vec<Damage>,
    /// Partitions of which a key that is not found may have been lost.
    pub partitions: Vec<u16>,
    /// No record with a higher sequence is lost.
    pub until: Sequence,
    accepted: manifest::Manifest,
}

impl Losses {
    /// Whether nothing is lost.
    pub fn is_none(&self) -> bool {
        self.damage.is_empty() && self.partitions.is_empty()
    }
}

impl<D: Disk> Inspector<D> {
    /// What is lost, by the manifest and by a look at every record.
    ///
    /// # Errors
    /// Another key; or what keeps an opening from reading the log.
    pub fn losses(&self, hash_key: &Key, progress: &mut dyn FnMut(Progress)) -> Result<Losses, OpenError> {
        self.check_key(hash_key)?;
        let log = self.whole_log(hash_key, progress)?;
        let surveys = self.survey_all(&mut |_| {})?;
        let damage = self.damage(&log, &surveys).into_iter().filter(|damage| !damage.is_accepted).collect();
        let mut accepted = log.manifest;
        let lost = accepted.incomplete.take().unwrap_or_default();
        accepted.accept();
        Ok(Losses { damage, partitions: lost.partitions, until: lost.until, accepted })
    }

    /// The log without its checkpoint, but with what that promises.
    fn whole_log(
        &self,
        hash_key: &Key,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Recovered<D::File>, OpenError> {
        let (disk, contents) = (&*self.disk, &self.contents);
        let promise = match contents.has_checkpoint {
            false => None,
            true => match recovery::from_checkpoint(disk, contents, Some(hash_key), None, progress)? {
                Ok(resumed) => resumed.start,
                Err(void) => void.start,
            },
        };
        recovery::from_log(disk, contents, Some(hash_key), promise, None, progress)
    }

    /// Accepts these losses. Needs a directory that is locked by this inspector alone.
    ///
    /// # Errors
    /// The disk fails: nothing is accepted, or all of it.
    pub fn accept(&self, losses: &Losses) -> Result<(), OpenError> {
        let error = |name| move |error| OpenError::io(&*self.disk, name, error);
        // What was lost may have been the newest record of a key whose older one is now found, with an
        // epoch that was used beyond it: the next opening must not continue any (traps T3, T4).
        self.disk.remove(CLEAN).map_err(error(CLEAN))?;
        // It points at records that are lost.
        self.disk.remove(CHECKPOINT).map_err(error(CHECKPOINT))?;
        self.disk.replace(MANIFEST, &losses.accepted.bytes()).map_err(error(MANIFEST))
    }
}
