//! Judges what clients are told: what was achieved, what they are shown, what their context covers.

use super::faults::Kind;
use super::history::{Acknowledged, Event, EventSet, Stage, Unknown};
use super::oracle::{End, Judged, Oracle, Property, violation};
use super::workload::{Action, Issued, SeenToken};
use crate::proto::error::Outcome;
use crate::proto::io::{Reply, SiblingView, View};
use crate::proto::store::Durability;
use crate::proto::version::{Context, Sibling};

/// What a judged reply leaves behind.
#[derive(Debug, Default)]
pub struct Learned {
    /// A context for the client.
    pub token: Option<SeenToken>,
    /// It counts as an acknowledged operation.
    pub acknowledged: bool,
}

/// The name of an outcome in the report.
pub fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "Ok",
        Outcome::NotFound => "NotFound",
        Outcome::BadArgument(_) => "BadArgument",
        Outcome::WrongType => "WrongType",
        Outcome::NotEnoughReplicas { .. } => "NotEnoughReplicas",
        Outcome::Partial => "Partial",
        Outcome::Maybe => "Maybe",
        Outcome::Overloaded => "Overloaded",
        Outcome::MemoryCeiling => "MemoryCeiling",
        Outcome::WrongLayout => "WrongLayout",
        Outcome::TooManySiblings(_) => "TooManySiblings",
        Outcome::Changed => "Changed",
        Outcome::BadContext(_) => "BadContext",
        Outcome::ClockTooFar => "ClockTooFar",
        Outcome::NoMajority => "NoMajority",
        Outcome::DiskFull => "DiskFull",
        Outcome::ReadOnly => "ReadOnly",
        Outcome::Incomplete => "Incomplete",
        Outcome::Timeout => "Timeout",
    }
}

/// Whether the outcome says that nothing was or will be written.
fn is_refusal(outcome: &Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Ok
            | Outcome::NotFound
            | Outcome::Partial
            | Outcome::Maybe
            | Outcome::NoMajority
            | Outcome::Timeout
    )
}

impl Oracle {
    /// A request was answered.
    ///
    /// # Errors
    /// The answer may not stand.
    pub fn replied(&mut self, id: u64, reply: &Reply) -> Judged<Learned> {
        self.checked(Property::OneReply);
        let Some(tracked) = self.operations.get_mut(&id) else {
            let text = format!("a reply came to operation {id}, which nobody submitted");
            return Err(super::oracle::Violation { property: Property::OneReply, key: None, text });
        };
        let (key, action) = (tracked.issued.key, tracked.issued.action);
        if tracked.end != End::Open {
            return violation(Property::OneReply, key, format!("operation {id} was answered twice"));
        }
        self.replies += 1;
        let refused = is_refusal(&reply.outcome);
        tracked.end = if refused { End::Refused } else { End::Answered };
        if matches!(action, Action::Scan { .. }) {
            return self.judge_scan(id, key, reply);
        }
        self.bind(id, key, reply)?;
        if refused {
            let event = self.operations[&id].event;
            if event.is_some() || reply.dot.is_some() {
                let text = format!("operation {id} was refused ({}) and is event {event:?}", reply.outcome);
                return violation(Property::NoValueFromNowhere, key, text);
            }
            if reply.outcome == Outcome::Changed {
                self.judge_changed(id, key)?;
            }
            return Ok(Learned::default());
        }
        if matches!(action, Action::Wrong(_)) {
            if matches!(reply.outcome, Outcome::Maybe | Outcome::Timeout) && reply.dot.is_none() {
                // It was forwarded, and nobody came to say what was wrong with it.
                return Ok(Learned::default());
            }
            let text = format!("operation {id} is wrong in itself and was answered {}", reply.outcome);
            return violation(Property::AckStands, key, text);
        }
        self.judge_achieved(id, key, reply)?;
        let acknowledged = matches!(reply.outcome, Outcome::Ok | Outcome::NotFound);
        let token = if action.writes() {
            self.judge_write(id, key, reply)?
        } else {
            match self.keys[key].kind {
                Kind::Bytes => self.judge_read(id, key, reply)?,
                Kind::Counter => self.judge_count_read(id, key, reply)?,
                Kind::Set => self.judge_set_read(id, key, reply)?,
            }
        };
        Ok(Learned { token, acknowledged })
    }

    /// Ties an operation to the event that its reply names. Tombstones and changes of expiry do not name
    /// their operation, so until now it may have been taken for another's.
    fn bind(&mut self, id: u64, key: usize, reply: &Reply) -> Judged {
        let named = match reply.dot {
            None => None,
            Some(dot) => match self.histories[key].by_dot(dot) {
                Some(event) => Some(event),
                None => {
                    let text = format!("operation {id} was given {dot:?}, which no store took");
                    return violation(Property::NoValueFromNowhere, key, text);
                }
            },
        };
        let taken = self.operations[&id].event;
        self.operations.get_mut(&id).expect("it is known").is_told = named.is_some();
        let sure = named.is_some() || reply.outcome == Outcome::Ok || is_refusal(&reply.outcome);
        if named == taken || !sure {
            return Ok(());
        }
        // Whoever was taken for the writer of `named` may be the writer of `taken`.
        let other = named.and_then(|event| self.histories[key].events[event].operation);
        if let Some(event) = taken {
            let heir = other.filter(|&other| other != id).or_else(|| self.heir(key, event, id));
            let Some(heir) = heir else {
                if self.histories[key].is_doubtful {
                    self.operations.get_mut(&id).expect("it is known").event = named;
                    return Ok(());
                }
                let text =
                    format!("operation {id} is event {event}; its reply ({}) names {named:?}", reply.outcome);
                return violation(Property::NoValueFromNowhere, key, text);
            };
            self.histories[key].events[event].operation = Some(heir);
            self.operations.get_mut(&heir).expect("it is known").event = Some(event);
            self.learn_the_writer(heir, key, event, Some(id));
        } else if let Some(other) = other {
            if !self.is_interchangeable(other) {
                let text = format!("operation {id} was given the dot of operation {other}: {named:?}");
                return violation(Property::DotsUnique, key, text);
            }
            self.operations.get_mut(&other).expect("it is known").event = None;
        }
        if let Some(event) = named {
            self.histories[key].events[event].operation = Some(id);
            self.learn_the_writer(id, key, event, other);
        }
        self.operations.get_mut(&id).expect("it is known").event = named;
        Ok(())
    }

    /// An event turned out to be another operation's. What that one had seen may be something else; what
    /// was concluded from it since cannot be taken back, so the key is judged no more.
    fn learn_the_writer(&mut self, id: u64, key: usize, event: usize, taken_for: Option<u64>) {
        let edits = |id: u64| self.operations[&id].issued.edits();
        let is_same = match (&self.operations[&id].issued.token, taken_for) {
            (_, Some(other)) if edits(id) || edits(other) => edits(id) && edits(other),
            (Some(seen), _) => self.histories[key].events[event].past == seen.past,
            (None, _) => true,
        };
        if !is_same {
            self.histories[key].is_doubtful = true;
            self.doubtful += 1;
        }
    }

    fn is_interchangeable(&self, id: u64) -> bool {
        let action = self.operations[&id].issued.action;
        action.deletes() || matches!(action, Action::Expire | Action::AddElement)
    }

    /// Another operation that may have written a tombstone or changed an expiry.
    fn heir(&self, key: usize, event: usize, not: u64) -> Option<u64> {
        let tombstone = self.histories[key].events[event].tombstone;
        let value = &self.histories[key].events[event].value;
        let fits = |issued: &Issued| match issued.action {
            Action::AddElement => !tombstone && issued.piece == *value,
            action => {
                if tombstone {
                    action.deletes()
                } else {
                    action == Action::Expire
                }
            }
        };
        let open = self.operations.values().filter(|other| {
            other.issued.key == key
                && other.issued.id != not
                && other.event.is_none()
                && other.end != End::Refused
                && fits(&other.issued)
        });
        open.map(|other| other.issued.id).min()
    }

    /// How many replicas a request needs: R or W, and DW.
    pub(super) fn needs(&self, id: u64, key: usize) -> (u8, u8) {
        let (issued, key) = (&self.operations[&id].issued, &self.keys[key]);
        if !issued.action.writes() {
            return (issued.options.r.unwrap_or(key.r).max(issued.options.pr.unwrap_or(0)), 0);
        }
        let w = issued.options.w.unwrap_or(key.w);
        let always = if key.durability == Durability::Always { w } else { 0 };
        (w.max(issued.options.pw.unwrap_or(0)), issued.options.dw.unwrap_or(always))
    }

    /// Counts in the answer stand on copies, and an `Ok` on enough of them.
    fn judge_achieved(&mut self, id: u64, key: usize, reply: &Reply) -> Judged {
        self.checked(Property::AckStands);
        let (needed, durable) = self.needs(id, key);
        let achieved = reply.achieved;
        let done = matches!(reply.outcome, Outcome::Ok | Outcome::NotFound);
        let text = |what: &str| {
            let (asked, issued) = (&reply.outcome, &self.operations[&id].issued);
            format!("operation {id} ({:?}) was answered {asked} with {achieved:?}: {what}", issued.action)
        };
        let wrote = reply.dot.is_some();
        if done && achieved.acked < needed && (wrote || !self.operations[&id].issued.action.writes()) {
            return violation(Property::AckStands, key, text(&format!("{needed} were asked for")));
        }
        if done && wrote && achieved.durable < durable {
            return violation(Property::AckStands, key, text(&format!("{durable} durable were asked for")));
        }
        if achieved.acked > self.keys[key].n || achieved.durable > achieved.acked.max(self.keys[key].n) {
            return violation(Property::AckStands, key, text("more than there are"));
        }
        let is_known = wrote && !self.histories[key].is_doubtful;
        let Some(event) = self.operations[&id].event.filter(|_| is_known) else { return Ok(()) };
        let stage = match self.keys[key].durability {
            Durability::Memory => Stage::Staged,
            Durability::Interval => Stage::Written,
            Durability::Always => Stage::Durable,
        };
        let copies = self.copies(key, event, stage);
        if u32::from(achieved.acked) > copies {
            let stages = self.stages(key, event);
            return violation(
                Property::AckStands,
                key,
                text(&format!("{copies} copies are {stage:?}: {stages}")),
            );
        }
        let copies = self.copies(key, event, Stage::Durable);
        if u32::from(achieved.durable) > copies {
            let stages = self.stages(key, event);
            return violation(
                Property::AckStands,
                key,
                text(&format!("{copies} copies are on disk: {stages}")),
            );
        }
        Ok(())
    }

    fn judge_write(&mut self, id: u64, key: usize, reply: &Reply) -> Judged<Option<SeenToken>> {
        let tracked = &self.operations[&id];
        let (started, action, edits) = (tracked.started, tracked.issued.action, tracked.issued.edits());
        let event = tracked.event;
        let missing = reply.outcome == Outcome::Ok && event.is_none() && (!edits || reply.applied);
        if missing || (reply.applied && reply.outcome == Outcome::Ok && reply.dot.is_none() && edits) {
            let text = format!("operation {id} was acknowledged without a dot");
            return violation(Property::AckStands, key, text);
        }
        let Some(event) = event.filter(|_| reply.dot.is_some()) else { return Ok(None) };
        if reply.outcome == Outcome::Ok {
            let (w, _) = self.needs(id, key);
            // What fallbacks keep no strict read meets.
            let w = w.min(reply.achieved.acked - reply.achieved.fallbacks);
            self.histories[key].events[event].acknowledged = Some(Acknowledged { at: self.replies, w });
            // A copy on a disk that was put back, and does not know it, is none; nor does its word count.
            let counts_old = (0..self.physical).any(|machine| {
                let held = self.histories[key].top(machine);
                self.machines[machine].is_old && held.is_some_and(|held| held.past.contains(event))
            });
            let known = &mut self.histories[key].events[event];
            known.damaged |= counts_old;
            known.acknowledged = known.acknowledged.filter(|_| !counts_old);
            if edits && !self.operations[&id].issued.options.sloppy {
                let past = self.histories[key].events[event].past.clone();
                let r = self.operations[&id].issued.options.r.unwrap_or(self.keys[key].r);
                self.judge_quorums(id, key, started, r, &past)?;
            }
            if action == Action::Append
                && reply.length != self.histories[key].events[event].value.len() as u64
            {
                let text = format!("operation {id} appended to {} bytes", reply.length);
                return violation(Property::NoValueFromNowhere, key, text);
            }
        }
        let Some(token) = reply.context.as_ref().filter(|_| !self.histories[key].is_doubtful) else {
            return Ok(None);
        };
        let (covered, has_dots) = self.covered_by(key, token)?;
        let history = &self.histories[key];
        let (past, mut claims) = (history.past_of([event]), history.claims_of([event]));
        if let Some(more) = covered.first_missing_in(&past) {
            let text =
                format!("the context of operation {id} covers event {more}, which its writer never saw");
            return violation(Property::Causality, key, text);
        }
        let partial = has_dots || claims.first_missing_in(&covered).is_some();
        claims.keep(&covered);
        Ok(Some(SeenToken { token: token.to_vec(), past, claims, partial, number: None }))
    }

    /// What a token covers, and whether it names single events beside its clock: those a write with it
    /// supersedes only where its coordinator meets them, as no vector clock can hold them.
    pub(super) fn covered_by(&self, key: usize, token: &[u8]) -> Judged<(EventSet, bool)> {
        let (keyspace, name) = &self.keys[key].name;
        match Context::from_token(token, &self.cluster.token, *keyspace, name) {
            Err(why) => {
                violation(Property::Causality, key, format!("a context came that cannot be read: {why}"))
            }
            Ok(context) => {
                let mut covered = self.histories[key].covered(&context.clock);
                for &dot in &context.dots {
                    match self.histories[key].by_dot(dot) {
                        Some(event) => covered.insert(event),
                        None => {
                            return violation(Property::Causality, key, format!("a context names {dot:?}"));
                        }
                    }
                }
                Ok((covered, !context.dots.is_empty()))
            }
        }
    }

    /// The events that a reply shows.
    fn shown(&mut self, id: u64, key: usize, siblings: &[SiblingView]) -> Judged<Vec<usize>> {
        self.checked(Property::NoValueFromNowhere);
        let mut shown = Vec::with_capacity(siblings.len());
        for view in siblings {
            let sibling = Sibling {
                dot: view.dot,
                hlc: view.hlc,
                tombstone: false,
                expires_ms: view.expires_ms,
                element: false,
                value: view.value[..].into(),
            };
            match self.histories[key].find(&sibling) {
                Ok(event) if self.is_buried(key, event) && !self.reads_an_old_copy(id, key) => {
                    let text = format!("operation {id} shows event {event}, which was deleted and reaped");
                    return violation(Property::Reaped, key, text);
                }
                Ok(event) => shown.push(event),
                Err(Unknown::Dot(dot)) => {
                    let text = format!("operation {id} shows {dot:?}, which nobody issued");
                    return violation(Property::NoValueFromNowhere, key, text);
                }
                Err(Unknown::Content(dot, event)) => {
                    let text =
                        format!("operation {id} shows {dot:?} with another content than event {event}");
                    return violation(Property::NoValueFromNowhere, key, text);
                }
            }
        }
        Ok(shown)
    }

    /// Whether a read asks nobody but a directory that was put back and does not know it.
    fn reads_an_old_copy(&self, id: u64, key: usize) -> bool {
        self.machines[self.operations[&id].asked].is_old && self.needs(id, key).0 <= 1
    }

    fn judge_read(&mut self, id: u64, key: usize, reply: &Reply) -> Judged<Option<SeenToken>> {
        let shown = self.shown(id, key, &reply.siblings)?;
        let issued = &self.operations[&id].issued;
        // The majority view settles one version only; tombstones beside it stay uncovered too.
        let is_partial_view = reply.hid_siblings || issued.options.view == View::Majority;
        let started = self.operations[&id].started;
        let wrong = |text: String| violation(Property::Causality, key, format!("operation {id}: {text}"));
        self.checked(Property::Causality);
        let history = &self.histories[key];
        if history.is_doubtful {
            return Ok(None);
        }
        for &old in &shown {
            if let Some(new) = shown.iter().find(|&&new| history.events[new].claims.contains(old)) {
                return wrong(format!("event {old} is shown beside event {new}, which had seen it"));
            }
        }
        let mut past = history.past_of(shown.iter().copied());
        let mut claims = history.claims_of(shown.iter().copied());
        let Some(token) = &reply.context else { return Ok(None) };
        let (covered, has_dots) = self.covered_by(key, token)?;
        // Tombstones and expired siblings are covered and not shown.
        let hidden: Vec<usize> =
            covered.iter().filter(|&event| history.events[event].may_be_hidden()).collect();
        past.add(&history.past_of(hidden.iter().copied()));
        while let Some(event) = covered.first_missing_in(&past) {
            // A view that hides a sibling still covers what the hidden one superseded (trap T20).
            let is_superseded = |hidden: &Event| hidden.past.contains(event);
            let mut later =
                history.events.iter().enumerate().filter(|(number, _)| !covered.contains(*number));
            if !is_partial_view || !later.any(|(_, hidden)| is_superseded(hidden)) {
                return wrong(format!("the context covers event {event}, which was not shown"));
            }
            // What it had seen in its turn is known with it, though the clock may not reach so far: beside a
            // hidden sibling it covers only earlier events of that one's actor.
            past.add(&history.past_of([event]));
            claims.insert(event);
        }
        if let Some(&event) = shown.iter().find(|&&event| !covered.contains(event)) {
            return wrong(format!("the context does not cover event {event}, which was shown"));
        }
        let partial = claims.first_missing_in(&covered).is_some();
        if partial && !is_partial_view {
            let event = claims.first_missing_in(&covered).expect("just found");
            return wrong(format!(
                "the context forgets event {event}, which was superseded by what was shown"
            ));
        }
        claims.add(&history.claims_of(hidden));
        claims.keep(&covered);
        if matches!(reply.outcome, Outcome::Ok | Outcome::NotFound) && !is_partial_view {
            let (r, _) = self.needs(id, key);
            // More than R count as answers once they were repaired; what fallbacks said meets no write.
            let r = r.saturating_sub(reply.achieved.fallbacks);
            self.judge_quorums(id, key, started, r, &past)?;
        }
        let partial = partial || has_dots;
        Ok(Some(SeenToken { token: token.to_vec(), past, claims, partial, number: None }))
    }

    /// A strict read quorum meets every write that was acknowledged by a quorum before it began, unless
    /// a fault took a copy of it.
    pub(super) fn judge_quorums(
        &mut self,
        id: u64,
        key: usize,
        started: u64,
        r: u8,
        seen: &EventSet,
    ) -> Judged {
        self.checked(Property::QuorumsMeet);
        if self.histories[key].is_doubtful {
            return Ok(());
        }
        let info = &self.keys[key];
        // Who runs on an old copy and has met nobody since follows the topology of that copy, though it had
        // acknowledged later ones. Its own copy, R = 1, may be of a set that is the key's no more, and no
        // W of the present set meets that. Whoever counts anybody else has met somebody and was told.
        let asked = self.operations[&id].asked;
        if self.machines[asked].is_old && r == 1 && !info.owners.contains(&asked) {
            return Ok(());
        }
        let n = info.n;
        // What moves is reconciled as the keyspace's defaults ask for: who asks for less has less (trap T8).
        let w_least = if self.is_kept { info.w } else { 0 };
        if self.is_kept && r < info.r {
            return Ok(());
        }
        for (number, event) in self.histories[key].events.iter().enumerate() {
            let Some(Acknowledged { at, w }) = event.acknowledged else { continue };
            if self.histories[key].reaped.contains(number) {
                continue;
            }
            if at <= started && !event.damaged && w >= w_least && r + w > n && !seen.contains(number) {
                let text = format!(
                    "operation {id} read {r} of {n} and missed event {number}, acknowledged by {w} before it began"
                );
                return violation(Property::QuorumsMeet, key, text);
            }
        }
        Ok(())
    }

    fn judge_scan(&mut self, id: u64, key: usize, reply: &Reply) -> Judged<Learned> {
        self.checked(Property::NoValueFromNowhere);
        let keyspace = self.keys[key].name.0;
        for name in reply.page.iter().flat_map(|page| &page.keys) {
            if self.key_number(&(keyspace, name.clone())).is_none() {
                let text = format!("scan {id} shows a key that nobody wrote: {name:?}");
                return violation(Property::NoValueFromNowhere, key, text);
            }
        }
        Ok(Learned { token: None, acknowledged: reply.outcome == Outcome::Ok })
    }
}
