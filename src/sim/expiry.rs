//! Judges what the sweep does: whose bytes may go, when, and that nothing else goes with them.

use super::history::Held;
use super::oracle::{Judged, LastCopy, Oracle, Property, violation};
use crate::proto::limits::CLOCK_DRIFT_MAX_MS;
use crate::proto::version::Object;

impl Oracle {
    /// A machine drops bytes only by its own clock, and rewrites nothing else then; who never had them got
    /// what another machine had dropped.
    pub(super) fn judge_shed(&mut self, machine: usize, key: usize, held: &Held, wall_ms: u64) -> Judged {
        for &event in &held.shed {
            self.checked(Property::Expiry);
            let history = &mut self.histories[key];
            let had = history.held[machine].last().filter(|before| before.siblings.contains(&event));
            let wrong = |text: &str| {
                violation(
                    Property::Expiry,
                    key,
                    format!("machine {machine}: the bytes of event {event} {text}"),
                )
            };
            match had {
                Some(before) if before.shed.contains(&event) => {}
                Some(before) => {
                    let expires_ms = history.events[event].expires_ms;
                    if expires_ms.is_none_or(|at| at.saturating_add(CLOCK_DRIFT_MAX_MS) >= wall_ms) {
                        return wrong(&format!("went at {wall_ms}, and expire at {expires_ms:?}"));
                    }
                    if (before.item_hash, before.epoch) != (held.item_hash, held.epoch) {
                        return wrong("took something else with them");
                    }
                    history.events[event].was_shed = true;
                    self.shed += 1;
                }
                None if !history.events[event].was_shed => return wrong("went at no machine"),
                None => {}
            }
        }
        Ok(())
    }

    /// A copy without the bytes that replicas may drop at different times.
    pub(super) fn settled(&self, copy: &LastCopy) -> LastCopy {
        let (bytes, item_hash) = copy.as_ref()?;
        let mut object = Object::decode(bytes).expect("judged when it was put");
        object.shed(&self.cluster.hash, u64::MAX);
        let mut settled = Vec::new();
        object.encode(&mut settled);
        Some((settled, *item_hash))
    }
}
