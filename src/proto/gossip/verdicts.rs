//! What is said of members, and what becomes of it. All news go through [`Gossip::judge`], wherever they come
//! from, and of two on one member the greater (incarnation, verdict) stays: so all tables come to the same.

use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::time::Instant;

use super::Gossip;
use super::member::{Incarnation, Member, Verdict};
use super::output::{Alert, Change, Output};
use super::refusal::Refusal;
use super::rumor::Rumor;
use super::suspicion::{self, Suspicion};

/// How long after a change the host is asked to keep a snapshot, so that many make one.
const REMEMBER_AFTER: core::time::Duration = core::time::Duration::from_secs(5);

impl Gossip {
    /// Takes a rumour; in a manual cluster none is taken. What cannot be is counted and leaves no trace.
    pub(super) fn hear(&mut self, now: Instant, rumor: &Rumor) {
        if self.is_manual() {
            return;
        }
        let heard = match rumor {
            Rumor::Word { id, verdict, incarnation, accuser } => {
                self.hear_word(now, *id, *incarnation, *verdict, *accuser)
            }
            Rumor::Row { .. } => self.learn(now, rumor),
        };
        if let Err(refusal) = heard {
            self.refusals.count(refusal);
        }
    }

    fn hear_word(
        &mut self,
        now: Instant,
        id: MemberId,
        incarnation: Incarnation,
        verdict: Verdict,
        accuser: Option<MemberId>,
    ) -> Result<(), Refusal> {
        if id == self.own {
            return self.defend(now, incarnation, verdict);
        }
        // A word about a boot that was not introduced says nothing here; repair brings its row.
        let Some(member) = self.table.get(id) else { return Ok(()) };
        if member.incarnation.opens != incarnation.opens {
            return Ok(());
        }
        if incarnation.is_jump_from(member.incarnation) {
            return Err(Refusal::Incarnation);
        }
        self.judge(now, id, incarnation, verdict, accuser);
        Ok(())
    }

    /// Takes a row: a new member, a new boot of one, or news like a word.
    pub(super) fn learn(&mut self, now: Instant, rumor: &Rumor) -> Result<(), Refusal> {
        let Rumor::Row { verdict, incarnation, description } = rumor else { return Ok(()) };
        let id = self.keys.member_id(&description.name);
        if self.removed.contains(&description.generation) {
            if id == self.own {
                self.alert(now, id, Alert::Removed(id));
            }
            return Err(Refusal::Removed);
        }
        if id == self.own {
            if incarnation.opens == self.config.boot.opens && description.nonce != self.config.boot.nonce {
                self.alert(now, id, Alert::Twin(id));
                return Err(Refusal::Twin);
            }
            return self.defend(now, *incarnation, *verdict);
        }
        let Some(member) = self.table.get_mut(id) else {
            if *verdict == Verdict::Left {
                return Ok(());
            }
            self.make_room()?;
            self.table.insert(Member::new(id, description.clone(), *incarnation, *verdict));
            self.introduced(now, id, None, rumor);
            return Ok(());
        };
        if incarnation.opens < member.incarnation.opens {
            return Ok(());
        }
        if incarnation.is_jump_from(member.incarnation) {
            return Err(Refusal::Incarnation);
        }
        if incarnation.opens > member.incarnation.opens {
            let before = member.verdict;
            member.end_boot(now);
            member.suspicion = None;
            member.description = description.clone();
            self.table.set(id, *incarnation, *verdict);
            self.introduced(now, id, Some(before), rumor);
            return Ok(());
        }
        if member.description.nonce == 0 {
            // It was known by a list that does not say which opening it is about.
            member.description = description.clone();
        } else if member.description.nonce != description.nonce {
            self.alert(now, id, Alert::Twin(id));
            return Err(Refusal::Twin);
        }
        self.judge(now, id, *incarnation, *verdict, None);
        Ok(())
    }

    /// A row is new, or of a new boot.
    fn introduced(&mut self, now: Instant, id: MemberId, before: Option<Verdict>, row: &Rumor) {
        self.pass_on(now, id, row);
        self.remember_at = self.remember_at.min(now + REMEMBER_AFTER);
        self.changed(now, id, before);
        self.look_for_copies(now, id);
    }

    pub(super) fn make_room(&mut self) -> Result<(), Refusal> {
        if self.table.len() >= limits::MEMBERS_MAX {
            let left =
                self.table.rows().find(|member| member.verdict == Verdict::Left && member.id != self.own);
            let id = left.map(|member| member.id).ok_or(Refusal::Full)?;
            self.forget(id);
        }
        Ok(())
    }

    /// Answers what is said of this node itself: a suspicion by a new incarnation (SWIM §4.2).
    fn defend(&mut self, now: Instant, said: Incarnation, verdict: Verdict) -> Result<(), Refusal> {
        let own = self.row(self.own).incarnation;
        if said.opens > own.opens {
            // Only a later opening of our directory can say so: a copy of it, or we are the copy.
            self.alert(now, self.own, Alert::Twin(self.own));
            return Err(Refusal::Incarnation);
        }
        if said.is_jump_from(own) {
            return Err(Refusal::Incarnation);
        }
        let harmless = verdict == Verdict::Alive && said.bumps <= own.bumps;
        if said.opens < own.opens || harmless || self.has_left {
            return Ok(());
        }
        if said.bumps < own.bumps {
            // Refuted already, but not everywhere; unless it is still being told it is told again.
            if !self.rumors.tells_of(self.own) {
                self.declare_alive(now, own);
            }
            return Ok(());
        }
        if verdict == Verdict::Suspect {
            // Others do not hear us: as likely as not it is our own fault.
            self.health.worsen(1);
        }
        self.counters.refuted += 1;
        let incarnation = Incarnation { opens: own.opens, bumps: said.bumps + 1 };
        self.table.set(self.own, incarnation, Verdict::Alive);
        self.declare_alive(now, incarnation);
        Ok(())
    }

    fn declare_alive(&mut self, now: Instant, incarnation: Incarnation) {
        let word = Rumor::Word { id: self.own, verdict: Verdict::Alive, incarnation, accuser: None };
        self.pass_on(now, self.own, &word);
    }

    /// Takes a verdict on a life of another member, if it is greater than the one it has, and passes it on.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        id: MemberId,
        incarnation: Incarnation,
        verdict: Verdict,
        accuser: Option<MemberId>,
    ) {
        let member = self.table.get_mut(id).expect("the row is there");
        let word = Rumor::Word { id, verdict, incarnation, accuser };
        match (incarnation, verdict).cmp(&(member.incarnation, member.verdict)) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Equal => {
                let suspicion = member.suspicion.as_mut();
                if let (Some(suspicion), Some(accuser)) = (suspicion, accuser)
                    && suspicion.accuse(accuser)
                {
                    self.pass_on(now, id, &word);
                }
            }
            core::cmp::Ordering::Greater => {
                let before = member.verdict;
                let member = self.table.set(id, incarnation, verdict);
                member.suspicion = accuser.map(|accuser| Box::new(Suspicion::new(now, accuser)));
                self.pass_on(now, id, &word);
                self.changed(now, id, Some(before));
            }
        }
    }

    /// What follows from a new verdict.
    pub(super) fn changed(&mut self, now: Instant, id: MemberId, before: Option<Verdict>) {
        let member = self.table.get_mut(id).expect("the row is there");
        let verdict = member.verdict;
        if verdict.is_here() && before == Some(Verdict::Down) {
            let is_unsteady = member.returns.get_or_insert_default().note(now);
            if is_unsteady {
                self.unsteady.insert(id);
            }
        }
        let unsteady = member.is_unsteady(now);
        if verdict == Verdict::Left {
            self.remember_at = self.remember_at.min(now + REMEMBER_AFTER);
        }
        if verdict.is_here() {
            self.roster.add(id, &mut self.rng);
            if self.probe_at == Instant::NEVER && self.probe.is_none() && !self.has_left {
                self.probe_at = now;
            }
        }
        if before != Some(verdict) {
            self.outputs.push_back(Output::Changed(Change {
                member: id,
                from: before,
                to: verdict,
                unsteady,
            }));
        }
    }

    /// A member answers, and nobody else's word counts here: it is alive.
    pub(super) fn revive(&mut self, now: Instant, id: MemberId) {
        let (incarnation, before) = (self.row(id).incarnation, self.row(id).verdict);
        if before != Verdict::Alive {
            self.table.set(id, incarnation, Verdict::Alive).suspicion = None;
            self.changed(now, id, Some(before));
        }
    }

    /// When the suspicion of a member is to be judged.
    pub(super) fn suspicion_ends(&self, id: MemberId) -> Instant {
        let suspicion = self.row(id).suspicion.as_ref().expect("a suspect has its suspicion");
        let interval = self.config.timing.probe_interval;
        suspicion.deadline(self.table.here(), self.is_manual(), interval)
    }

    /// Declares down whose time is over, if enough accuse it.
    pub(super) fn end_suspicions(&mut self, now: Instant) {
        let over = |id: &MemberId| self.suspicion_ends(*id) <= now;
        for id in self.table.suspects().iter().copied().filter(over).collect::<Vec<_>>() {
            let member = self.row(id);
            let suspicion = member.suspicion.as_ref().expect("a suspect has its suspicion");
            let zone = |&accuser: &MemberId| self.table.get(accuser).map_or(0, |row| row.description.zone);
            let zones = suspicion.accusers().iter().map(zone);
            let enough = suspicion::suffices(self.table.here(), self.table.alive(), zones);
            if self.is_manual() || enough {
                self.judge(now, id, member.incarnation, Verdict::Down, None);
            } else {
                let again_at = now + self.config.timing.probe_interval;
                let member = self.table.get_mut(id).expect("the row is there");
                member.suspicion.as_mut().expect("it was just there").postpone(again_at);
            }
        }
    }

    /// When a member is steady again.
    pub(super) fn steady_at(&self, id: MemberId) -> Instant {
        self.row(id).returns.as_ref().map_or(Instant::ZERO, |returns| returns.until())
    }

    /// Tells the host whose unsteadiness is over.
    pub(super) fn end_unsteadiness(&mut self, now: Instant) {
        let over = |id: &MemberId| self.steady_at(*id) <= now;
        for id in self.unsteady.iter().copied().filter(over).collect::<Vec<_>>() {
            self.unsteady.remove(&id);
            let verdict = self.row(id).verdict;
            let change = Change { member: id, from: Some(verdict), to: verdict, unsteady: false };
            self.outputs.push_back(Output::Changed(change));
        }
    }
}
