//! The whole check: every segment surveyed, then read as an opening would, once without the checkpoint and
//! once with it.

use std::collections::BTreeMap;

use super::compare::compare;
use super::report::{Checkpoint, Damage, Manifest, Report, SegmentKind, SegmentReport, Stop, Torn};
use super::survey::{Survey, survey};
use super::{Inspector, OpenError};
use crate::proto::keys::Key;
use crate::store::disk::{Disk, LOG_DIRECTORY};
use crate::store::manifest::Quarantine;
use crate::store::recovery::{self, Progress, Recovered};
use crate::store::segment::{file_name, file_path};

type Surveys = BTreeMap<u64, Survey>;

impl<D: Disk> Inspector<D> {
    /// Reads everything and says what it found. Without the hash key it cannot be told which records are
    /// live, nor whether the checkpoint agrees with the log; all else is the same.
    ///
    /// # Errors
    /// Another key; or what keeps an opening from reading the log.
    pub fn check(
        &self,
        hash_key: Option<&Key>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, OpenError> {
        if let Some(hash_key) = hash_key {
            self.check_key(hash_key)?;
        }
        let (disk, contents) = (&*self.disk, &self.contents);
        let resumed = match contents.has_checkpoint {
            true => Some(recovery::from_checkpoint(disk, contents, hash_key, None, progress)?),
            false => None,
        };
        let promise = match &resumed {
            None => None,
            Some(Ok(resumed)) => resumed.start,
            Some(Err(void)) => void.start,
        };
        let log = recovery::from_log(disk, contents, hash_key, promise, None, progress)?;
        let surveys = self.survey_all(progress)?;
        let damage = self.damage(&log, &surveys);
        let is_damaged = damage.iter().any(|damage| !damage.is_accepted);
        let checkpoint = match &resumed {
            None => Checkpoint::None,
            Some(Err(void)) => Checkpoint::Void(void.why),
            Some(Ok(_)) if hash_key.is_none() => Checkpoint::Unchecked,
            Some(Ok(resumed)) => compare(resumed, &log, contents.format.partitions, is_damaged),
        };
        // What an opening would find.
        let opened = resumed.as_ref().and_then(|resumed| resumed.as_ref().ok()).unwrap_or(&log);
        let leftover = |&number: &u64| format!("{LOG_DIRECTORY}/{}", file_name(number));
        Ok(Report {
            version: contents.format.version,
            partitions: contents.format.partitions,
            directory: contents.format.directory,
            has_key: hash_key.is_some(),
            identity: contents.identity.map(|identity| (identity.generation, identity.opens)),
            stop: match (contents.clean, opened.is_clean) {
                (Some(_), true) => Stop::Clean,
                (Some(_), false) if damage.is_empty() && contents.identity.is_some() => Stop::Doubtful,
                _ => Stop::Unclean,
            },
            segments: self.segments(opened, &surveys, hash_key.is_some()),
            torn: torn(&log, &surveys),
            damage,
            checkpoint,
            manifest: contents.manifest.as_ref().map_or(Manifest::None, |manifest| Manifest::Holds {
                through: manifest.through,
                named: manifest.segments.len(),
            }),
            incomplete: opened.manifest.incomplete.as_ref().map(|lost| (lost.until, lost.partitions.clone())),
            leftovers: log.leftovers.iter().map(leftover).collect(),
            strange: self.strange.clone(),
            flawed: self.flawed.clone(),
            keys: hash_key.map(|_| opened.ledger.keys()),
        })
    }

    pub(super) fn survey_all(&self, progress: &mut dyn FnMut(Progress)) -> Result<Surveys, OpenError> {
        let mut surveys = Surveys::new();
        let total = self.contents.segments.len() as u64;
        for (done, &number) in (1..).zip(&self.contents.segments) {
            let name = file_path(number);
            let file = self.disk.open(&name).map_err(|error| OpenError::io(&*self.disk, &name, error))?;
            surveys.insert(number, survey(&file));
            progress(Progress { done, total });
        }
        Ok(surveys)
    }

    /// Everything that the manifest knows, and what the log was found to have besides.
    pub(super) fn damage(&self, log: &Recovered<D::File>, surveys: &Surveys) -> Vec<Damage> {
        let known = self.contents.manifest.as_ref().map_or(&[][..], |manifest| &manifest.quarantined);
        let describe = |bad: &Quarantine| {
            let to = (bad.to != u64::MAX).then_some(bad.to);
            Damage {
                number: bad.number,
                from: bad.from,
                to,
                why: match surveys.get(&bad.number) {
                    Some(survey) => survey.reason(bad.from, to),
                    None => "the segment is not there".to_owned(),
                },
                is_known: known.contains(bad),
                is_accepted: bad.is_accepted,
            }
        };
        log.manifest.quarantined.iter().map(describe).collect()
    }

    fn segments(&self, log: &Recovered<D::File>, surveys: &Surveys, has_key: bool) -> Vec<SegmentReport> {
        let mut live = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        for (owner, found) in (0..).zip(&log.segments) {
            let Some(found) = found else { continue };
            let plan = found.segment.plan;
            let kind = if plan.is_compacted { SegmentKind::Compacted } else { SegmentKind::Appended };
            live.insert(plan.number, log.ledger.live(owner));
            kinds.insert(plan.number, kind);
        }
        if let Some(spare) = &log.spare {
            kinds.insert(spare.plan.number, SegmentKind::Spare);
        }
        let report = |(&number, survey): (&u64, &Survey)| SegmentReport {
            number,
            kind: kinds.get(&number).copied().unwrap_or(SegmentKind::Leftover),
            size: survey.size,
            end: survey.end,
            records: survey.records,
            live: has_key.then(|| live.get(&number).copied().unwrap_or(0)),
            is_sealed: survey.is_sealed,
            sequences: survey.sequences,
        };
        surveys.iter().map(report).collect()
    }
}

fn torn<F: crate::store::disk::File>(log: &Recovered<F>, surveys: &Surveys) -> Option<Torn> {
    let (number, from) = log.torn?;
    let content = surveys.get(&number).map_or(from, |survey| survey.content);
    Some(Torn { number, from, bytes: content.saturating_sub(from), promised: log.promised })
}
