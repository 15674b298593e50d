//! Forwarding a write to a replica of its key, once, and never twice into a store (trap T1).
//!
//! The receiver issues the dot, so a forward is not idempotent. Its sender numbers it for one boot of the
//! receiver and sends it again only to that boot; if that boot is gone the outcome is *maybe*, never a
//! second coordinator. The receiver keeps its answers for the sender's latest boots, and refuses numbers
//! it may have forgotten.

use std::collections::BTreeMap;

use super::{Origin, Phase, Turn};
use crate::proto::error::Outcome;
use crate::proto::io::{Operation, Reply};
use crate::proto::limits;
use crate::proto::message::{Forward, LEVEL_OF_HINTS, Message, decode_reply, decode_request, encode_reply};
use crate::proto::store::Store;
use core::time::Duration;

/// Boots of one sender whose answers are kept.
const BOOTS_REMEMBERED: usize = 8;

/// Forwards in both directions, by peer slot.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    sent: BTreeMap<u16, Sent>,
    /// For each sender the windows of its latest boots, the newest last: frames of an earlier one may come
    /// late, even behind a late introduction of it.
    received: BTreeMap<u16, Vec<Window>>,
}

/// What we sent to one boot of one receiver.
#[derive(Debug, Default)]
struct Sent {
    boot: u64,
    next: u64,
    /// Number to slot handle.
    open: BTreeMap<u64, u64>,
}

/// What one boot of one sender sent us.
#[derive(Debug, Default)]
struct Window {
    boot: u64,
    /// Numbers below are refused: settled, or too old to be remembered.
    floor: u64,
    answers: BTreeMap<u64, Answer>,
}

/// A forward we took.
#[derive(Debug)]
struct Answer {
    /// What its sender knows it by, to be echoed.
    id: u64,
    /// `None` while it is carried out, then the encoded reply.
    reply: Option<Vec<u8>>,
}

impl Forwards {
    /// Nobody waits any more for the forward with this handle, if it still has the number.
    pub(super) fn give_up(&mut self, to: u16, number: u64, handle: u64) {
        if let Some(sent) = self.sent.get_mut(&to)
            && sent.open.get(&number) == Some(&handle)
        {
            sent.open.remove(&number);
        }
    }
}

impl<S: Store> Turn<'_, S> {
    /// Hands a write to the first replica that can be reached.
    pub(super) fn forward(&mut self, index: usize, operation: &Operation<'_>) {
        let origin = self.coordinator.slots[index].origin;
        if matches!(origin, Origin::Forward { .. }) {
            if self.coordinate_for_others(index, operation) {
                return;
            }
            // We were taken for a replica that can write: the sender knows better next time, and nothing
            // was done.
            let read_only = self.own_readable_rank(index).is_some();
            let outcome = if read_only { Outcome::ReadOnly } else { Outcome::WrongLayout };
            return self.finish(index, Reply::bare(outcome));
        }
        let own = self.peers.own();
        let replicas = self.replicas(index);
        let usable = replicas.readable().filter(|&(_, slot)| slot != own && self.peers.usable(slot));
        let primary = usable.min_by_key(|&(_, slot)| self.peers.peer(slot).avoided).map(|(_, slot)| slot);
        if primary.is_none() && self.coordinate_for_others(index, operation) {
            return;
        }
        let Some(to) = primary.or_else(|| self.first_live_fallback(index)) else {
            let read_only = self.own_readable_rank(index).is_some();
            if self.routes.are_meeting(self.now.mono) && !read_only {
                return self.wait(index, operation);
            }
            let needed = self.coordinator.slots[index].quorum.w;
            let outcome = if read_only {
                Outcome::ReadOnly
            } else {
                Outcome::NotEnoughReplicas { reachable: 0, needed }
            };
            return self.finish(index, Reply::bare(outcome));
        };
        self.forward_to(index, operation, to);
    }

    /// Hands a write to one machine, which can be reached.
    pub(super) fn forward_to(&mut self, index: usize, operation: &Operation<'_>, to: u16) {
        if self.peers.peer(to).level < LEVEL_OF_HINTS {
            // It would refuse what it does not know; strictly it does no less than was asked for.
            self.coordinator.slots[index].options.sloppy = false;
        }
        let boot = self.peers.peer(to).boot;
        let handle = self.coordinator.handle(index);
        let sent = self.coordinator.forwards.sent.entry(to).or_default();
        if sent.boot != boot {
            // Numbers go on: a late introduction of an earlier boot may make us come back to this one, which
            // remembers what it answered.
            *sent = Sent { boot, next: sent.next, ..Sent::default() };
        }
        if sent.open.first_key_value().is_some_and(|(&first, _)| sent.next - first >= limits::FORWARD_WINDOW)
        {
            return self.finish(index, Reply::bare(Outcome::Overloaded));
        }
        let number = sent.next;
        sent.next += 1;
        sent.open.insert(number, handle);
        self.keep_request(index, operation);
        self.coordinator.slots[index].phase = Phase::Forwarded(to, number);
        self.coordinator.counters.forwards += 1;
        self.send_forward(index, to, number);
    }

    fn send_forward(&mut self, index: usize, to: u16, number: u64) {
        let slot = &self.coordinator.slots[index];
        let sent = &self.coordinator.forwards.sent[&to];
        let left = slot.deadline.since(self.now.mono).as_millis();
        let message = Message::Forward(Forward {
            sender_boot: self.replica.identity().nonce,
            receiver_boot: sent.boot,
            number,
            settled: sent.open.first_key_value().map_or(sent.next, |(&first, _)| first),
            deadline_ms: u32::try_from(left).unwrap_or(u32::MAX),
            request: &slot.request,
        });
        let id = self.wire_id(index);
        self.peers.send(to, id, &message);
    }

    /// No answer yet: the same forward to the same boot, or nobody knows.
    pub(super) fn forward_again(&mut self, index: usize, to: u16, number: u64) {
        let handle = self.coordinator.handle(index);
        // What was sent to an earlier boot is forgotten once a forward went to the present one, which may
        // have taken the same number.
        let sent =
            self.coordinator.forwards.sent.get(&to).filter(|sent| sent.open.get(&number) == Some(&handle));
        let boot = sent.map(|sent| sent.boot);
        if boot.is_none() || (self.peers.usable(to) && boot != Some(self.peers.peer(to).boot)) {
            self.coordinator.forwards.give_up(to, number, handle);
            return self.finish(index, Reply::bare(Outcome::Maybe));
        }
        self.coordinator.counters.retries += 1;
        self.send_forward(index, to, number);
    }

    /// A peer asks us to coordinate.
    pub fn take_forward(&mut self, from: u16, id: u64, forward: &Forward<'_>) {
        let Forward { sender_boot, receiver_boot, number, settled, deadline_ms, request } = *forward;
        // Without an introduction we cannot tell a late copy from an earlier boot; the sender will send
        // it again.
        if self.peers.peer(from).boot != sender_boot {
            return;
        }
        let windows = self.coordinator.forwards.received.entry(from).or_default();
        let known = windows.iter().position(|window| window.boot == sender_boot);
        let at = known.unwrap_or_else(|| {
            if windows.len() == BOOTS_REMEMBERED {
                windows.remove(0);
            }
            windows.push(Window { boot: sender_boot, ..Window::default() });
            windows.len() - 1
        });
        let window = &mut windows[at];
        window.floor = window.floor.max(settled).max(number.saturating_sub(limits::FORWARD_WINDOW));
        let floor = window.floor;
        while window.answers.first_key_value().is_some_and(|(&kept, _)| kept < floor) {
            window.answers.pop_first();
        }
        if receiver_boot != self.replica.identity().nonce || number < floor {
            return self.peers.send(from, id, &Message::Forwarded { number, reply: None });
        }
        if let Some(answer) = window.answers.get(&number) {
            if let Some(reply) = &answer.reply {
                self.peers.send(from, id, &Message::Forwarded { number, reply: Some(reply) });
            }
            return;
        }
        window.answers.insert(number, Answer { id, reply: None });
        let origin = Origin::Forward { from, boot: sender_boot, number };
        match decode_request(request) {
            Ok(request) if !matches!(request.operation, Operation::Scan { .. }) => {
                let deadline = self.now.mono + Duration::from_millis(u64::from(deadline_ms));
                self.begin(origin, &request, Some(deadline));
            }
            _ => self.answer(
                origin,
                Reply::bare(Outcome::BadArgument("the forwarded request is malformed".into())),
            ),
        }
    }

    /// Keeps the answer to a forward and sends it.
    pub(super) fn answer_forward(&mut self, from: u16, boot: u64, number: u64, reply: &Reply) {
        // A sender that was started again waits for nothing it sent before, and may have given the number
        // to something else.
        let windows = self.coordinator.forwards.received.get_mut(&from);
        let window = windows.and_then(|windows| windows.iter_mut().find(|window| window.boot == boot));
        let Some(answer) = window.and_then(|window| window.answers.get_mut(&number)) else { return };
        let mut bytes = Vec::new();
        encode_reply(reply, &mut bytes);
        self.peers.send(from, answer.id, &Message::Forwarded { number, reply: Some(&bytes) });
        // A large answer is not kept: its forward is not carried out again either, and a sender that missed
        // the answer is told *maybe* by its deadline.
        answer.reply = (bytes.len() <= limits::FORWARD_ANSWER_MAX).then_some(bytes);
    }

    /// The answer to a forward of ours: to this very one, as numbers begin anew with every boot of either
    /// side and answers may come late.
    pub fn take_forwarded(&mut self, from: u16, id: u64, number: u64, reply: Option<&[u8]>) {
        let Some(index) = self.find_wire_id(id) else { return };
        if self.coordinator.slots[index].phase != Phase::Forwarded(from, number) {
            return;
        }
        let handle = self.coordinator.handle(index);
        self.coordinator.forwards.give_up(from, number, handle);
        let reply = reply.and_then(|bytes| decode_reply(bytes).ok());
        if reply.as_ref().is_some_and(|reply| reply.outcome == Outcome::WrongLayout) {
            // One of us follows another topology, and nothing was done: tried again when that has changed.
            self.coordinator.slots[index].phase = Phase::Waiting;
            return;
        }
        self.finish(index, reply.unwrap_or_else(|| Reply::bare(Outcome::Maybe)));
    }
}
