//! Clients of a run: their turns, their requests at nodes, and what becomes of the replies.

use super::clock::{MS, Time};
use super::feeds::Feeds;
use super::nemesis::Nemesis;
use super::oracle::{Judged, Property, Violation};
use super::replies::outcome_name;
use super::trace::show_dot;
use super::workload::{Action, Issued};
use super::world::{Event, Open, SLACK, World};
use crate::proto::io::{Reply, RequestId};

impl World {
    pub(super) fn take_turn(&mut self, client: usize) -> Judged {
        if !self.is_safety_phase {
            return Ok(());
        }
        let think = self.workload.think();
        self.plan(self.now + think, Event::Turn { client });
        let running: Vec<usize> = (0..self.machines.len()).filter(|&m| self.is_serving(m)).collect();
        if running.is_empty() {
            return Ok(());
        }
        // Now and then a burst, so that requests of one client overlap.
        let requests = if self.workload.draw(10) == 0 { 4 } else { 1 };
        for _ in 0..requests {
            let machine = running[self.workload.draw(running.len() as u64) as usize];
            let wall_ms = self.clock_of(machine).wall.0;
            let issued = self.workload.next(client, wall_ms);
            self.submit(machine, &issued)?;
        }
        Ok(())
    }

    /// Whether clients reach the node of a machine.
    pub(super) fn is_serving(&self, machine: usize) -> bool {
        let this = &self.machines[machine];
        this.node.is_some() && !this.is_foreign && this.paused_until <= self.now && !self.is_removed(machine)
    }

    /// Hands a request to a node.
    pub(super) fn submit(&mut self, machine: usize, issued: &Issued) -> Judged {
        let now = self.clock_of(machine);
        let Some(node) = self.machines[machine].node.as_mut() else { return Ok(()) };
        let (keyspace, key) = self.oracle.keys()[issued.key].name.clone();
        let request = issued.request(keyspace, &key);
        self.trace.note(self.now, 7, &issued.id.to_le_bytes());
        self.trace.say(self.now, Some(issued.key), || {
            let seen = issued.token.as_ref().map(|seen| seen.past.iter().collect::<Vec<_>>());
            let (name, action, options) = (&self.names[machine], issued.action, &issued.options);
            format!(
                "client {} asks {name}: operation {} {action:?} having seen {seen:?} {options:?}",
                issued.client, issued.id
            )
        });
        self.oracle.submitted(machine, issued);
        let timeout = issued.options.timeout.unwrap_or(self.profile.client_deadline);
        let deadline = now.mono + timeout;
        let writes = issued.action.writes() && !matches!(issued.action, Action::Wrong(_));
        self.open.insert(issued.id, Open { machine, deadline, writes });
        self.counts.requests += 1;
        self.oracle.expect(machine, vec![issued.id]);
        node.handle_request(now, RequestId(issued.id), &request);
        let at = self.machines[machine].clock.when(deadline).unwrap_or(Time::MAX) + 2 * SLACK;
        self.plan(at, Event::Overdue { id: issued.id });
        let may_leave = self.is_safety_phase && self.profile.cancel_one_in > 0;
        if may_leave && self.workload.draw(self.profile.cancel_one_in) == 0 {
            // Half of them within milliseconds, when most are still under way.
            let most = MS << self.workload.draw(8);
            let after = self.workload.draw(most);
            self.plan(self.now + after, Event::Leave { id: issued.id });
        }
        self.settle(machine)
    }

    /// Has a node end a request, unless it has a reply or the machine stands still.
    pub(super) fn cancel(&mut self, id: u64) -> Judged {
        let Some(&Open { machine, writes, .. }) = self.open.get(&id) else { return Ok(()) };
        let now = self.clock_of(machine);
        let is_paused = self.machines[machine].paused_until > self.now;
        let Some(node) = self.machines[machine].node.as_mut().filter(|_| !is_paused) else { return Ok(()) };
        self.trace.note(self.now, 21, &id.to_le_bytes());
        let key = self.oracle.key_of(id);
        self.trace.say(self.now, key, || format!("nobody waits for operation {id} any more"));
        self.oracle.expect(machine, vec![id]);
        node.cancel(now, RequestId(id));
        self.act(if writes { "write cancelled" } else { "read cancelled" });
        self.settle(machine)?;
        if self.open.contains_key(&id) {
            let text =
                format!("operation {id} at {} got no reply when it was cancelled", self.names[machine]);
            return Err(Violation { property: Property::OneReply, key, text });
        }
        Ok(())
    }

    pub(super) fn look_for_reply(&mut self, id: u64) -> Judged {
        let Some(open) = self.open.get(&id).copied() else { return Ok(()) };
        let until = self.machines[open.machine].paused_until;
        if until + 2 * SLACK > self.now && until > 0 {
            self.plan(until + 3 * SLACK, Event::Overdue { id });
            return Ok(());
        }
        let text = format!("operation {id} at {} got no reply by its deadline", self.names[open.machine]);
        let key = self.oracle.key_of(id);
        Err(Violation { property: Property::OneReply, key, text })
    }

    pub(super) fn take_reply(&mut self, machine: usize, id: RequestId, reply: &Reply) -> Judged {
        if Nemesis::is_order(id.0) {
            return self.take_order_reply(machine, id.0, reply);
        }
        if Feeds::is_page(id.0) {
            return self.take_changes(machine, id.0, reply);
        }
        let name = outcome_name(&reply.outcome);
        self.trace.note(self.now, 8, &id.0.to_le_bytes());
        self.trace.note(self.now, 9, name.as_bytes());
        let key = self.oracle.key_of(id.0);
        self.trace.say(self.now, key, || {
            let (who, achieved) = (&self.names[machine], reply.achieved);
            let dot = reply.dot.map(show_dot);
            let shown: Vec<_> = reply.siblings.iter().map(|sibling| show_dot(sibling.dot)).collect();
            format!(
                "{who} answers operation {}: {} {achieved:?} dot {dot:?} shows {shown:?}",
                id.0, reply.outcome
            )
        });
        self.counts.outcome(name);
        self.count_fallbacks(reply);
        let learned = self.oracle.replied(id.0, reply)?;
        let open = self.open.remove(&id.0);
        if let Some(open) = open {
            let late = self.clock_of(machine).mono.since(open.deadline);
            let paused = self.machines[machine].paused_until + 2 * SLACK > self.now
                && self.machines[machine].paused_until > 0;
            if u128::from(SLACK) < late.as_nanos() && !paused {
                let text = format!("operation {} was answered {late:?} after its deadline", id.0);
                return Err(Violation { property: Property::OneReply, key, text });
            }
        }
        if learned.acknowledged {
            self.acknowledged += 1;
        }
        if !self.is_safety_phase {
            self.outcomes.insert(id.0, name.to_owned());
        }
        self.take_page(id.0, reply)?;
        if let (Some(token), Some(key)) = (learned.token, key) {
            let client = self.oracle.client_of(id.0);
            self.workload.learn(client, key, token);
        }
        Ok(())
    }
}
