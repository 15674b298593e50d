//! How two nodes introduce themselves: which directory each has, what each remembers of the other's, and what that
//! proves of a directory that went back in time (rule L4).

use super::{HELLO_AGAIN, Node};
use crate::proto::io::{Met, Output};
use crate::proto::message::{Hello, Message, Seen};
use crate::proto::store::{MemberMemory, Sequence, Store};
use crate::proto::time::{Instant, Now};

/// What a peer's introduction is beside what is remembered of its directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// By now the same.
    Same,
    /// Another opening, that may not have heard yet which one is remembered.
    Untold,
    /// It has fewer records than are remembered.
    WentBack,
}

impl<S: Store> Node<S> {
    /// Introduces this node; the peer does so in turn if `answer` asks it to.
    pub(super) fn send_hello(&mut self, slot: u16, answer: bool) {
        // A stop could take the new one back. Who has heard of it would have forgotten what it knew of the old one.
        if self.is_renewed {
            return;
        }
        let identity = *self.replica.identity();
        let hello = Hello {
            boot: identity.nonce,
            generation: identity.generation,
            opens: identity.opens,
            sequence: self.replica.sequence().0,
            layout_hash: self.topology().hash(),
            seen: self.remembered(slot).map(|memory| Seen {
                generation: memory.generation,
                opens: memory.opens,
                boot: memory.boot,
                sequence: memory.sequence.0,
            }),
            answer,
        };
        self.peers.send(slot, 0, &Message::Hello(hello));
    }

    pub(super) fn take_hello(&mut self, now: Now, from: u16, version: u64, hello: &Hello) {
        let (ours, hash) = (self.topology().version(), self.topology().hash());
        let peer = self.peers.peer_mut(from);
        if !peer.connected || (peer.generation == Some(hello.generation) && hello.opens < peer.opens) {
            return;
        }
        let Hello { generation, opens, boot, .. } = *hello;
        self.news.push_back(Output::Met(Met { member: peer.id, generation, opens, boot }));
        if version == ours && hello.layout_hash != hash {
            peer.other_layout = true;
            peer.greeted = false;
            self.counters.other_layout += 1;
            return;
        }
        if self.is_of_the_past(from, hello) {
            // It is told what proves that, or this is a late copy and it says anew who it is. What it acknowledges until
            // then would be promised by a directory that is about to be none.
            self.peers.peer_mut(from).greeted = false;
            self.hello_at = self.hello_at.min(now.mono + HELLO_AGAIN);
            self.check_past(now, hello.seen);
            self.send_hello(from, false);
            return;
        }
        let peer = self.peers.peer_mut(from);
        let is_anew = !peer.greeted || peer.boot != hello.boot;
        // Within one connection only who has disowned its past has another directory. Or this is a late copy, and the
        // peer has to say anew which it has.
        let is_doubtful = peer.greeted && peer.generation != Some(hello.generation);
        peer.greeted = true;
        peer.other_layout = false;
        peer.boot = hello.boot;
        peer.opens = hello.opens;
        peer.generation = Some(hello.generation);
        let are_met =
            self.peers.slots().all(|slot| !self.peers.peer(slot).connected || self.peers.usable(slot));
        if are_met && !self.is_renewed {
            self.hello_at = Instant::NEVER;
        }
        self.check_past(now, hello.seen);
        // Answered before it is remembered: the peer must hear what was known of it before this contact.
        if hello.answer {
            self.send_hello(from, false);
        }
        self.note_version(now, from, version);
        let known = self.remember(from, hello);
        if is_doubtful || (is_anew && known == Some(Known::Untold)) {
            self.send_hello(from, true);
        }
        if let Some(known) = known.filter(|_| is_anew) {
            self.meet_again(now, from, known == Known::WentBack);
        }
    }

    /// What is remembered of a peer's directory.
    fn remembered(&self, slot: u16) -> Option<&MemberMemory> {
        let member = self.topology().member(self.peers.peer(slot).id)?;
        self.replica.store().members().iter().find(|known| known.name == member.name)
    }

    /// Whether a directory is remembered that was opened again since, or another copy of it: this one went back in time.
    fn is_of_the_past(&self, from: u16, hello: &Hello) -> bool {
        let same = self.remembered(from).filter(|known| known.generation == hello.generation);
        same.is_some_and(|known| {
            known.opens > hello.opens || (known.opens == hello.opens && known.boot != hello.boot)
        })
    }

    /// Remembers a peer's directory. What proves that it went back in time is kept until the peer has heard it.
    fn remember(&mut self, from: u16, hello: &Hello) -> Option<Known> {
        // Who is no member yet may be remembered when it is one.
        let member = self.topology().member(self.peers.peer(from).id)?;
        let memory = MemberMemory {
            name: member.name.clone(),
            generation: hello.generation,
            opens: hello.opens,
            boot: hello.boot,
            sequence: Sequence(hello.sequence),
        };
        let known = self.remembered(from);
        let same = known.filter(|known| known.generation == memory.generation);
        // Fewer records than are remembered of the same directory are a late copy, a lost tail, or a directory that went
        // back in time; so may more be, and only an answer tells that the peer has heard what is remembered.
        if same.is_some_and(|known| known.sequence > memory.sequence) {
            return Some(Known::WentBack);
        }
        if hello.answer && same.is_some_and(|known| known.boot != memory.boot) {
            return Some(Known::Untold);
        }
        if known != Some(&memory) {
            self.replica.store_mut().remember(memory);
        }
        Some(Known::Same)
    }

    /// Trap T3: a peer that remembers more of our directory than the directory does proves that it went
    /// back in time; one that remembers it, and no more, lets its past be continued. After an unclean stop
    /// a lost tail looks the same, and nothing is continued anyway.
    fn check_past(&mut self, now: Now, seen: Option<Seen>) {
        let identity = *self.replica.identity();
        let Some(seen) = seen.filter(|seen| seen.generation == identity.generation) else { return };
        let further = seen.opens.checked_add(1) == Some(identity.opens)
            && seen.sequence > identity.recovered.0
            && identity.clean;
        match identity.had_opening(seen.opens, seen.boot) {
            Some(true) if !further => return self.replica.confirm_past(),
            // Forgotten here, it proves nothing.
            None if !further => return,
            _ => {}
        }
        self.counters.rollbacks += 1;
        let generation = self.keys.hash.hash64(&[
            &identity.generation.to_le_bytes(),
            &identity.nonce.to_le_bytes(),
            &self.rng.next_u64().to_le_bytes(),
        ]);
        self.replica.disown_past(generation);
        self.hints.discard(now);
        if planted!("rollback_stays") {
            return;
        }
        // What it holds is no evidence from here on, and it says so to everybody (trap T5).
        self.cluster.disown_past(now, generation);
        self.transfers.start_over();
        self.adopt(now);
        self.is_renewed = true;
        self.hello_at = now.mono + HELLO_AGAIN;
        self.introduce_anew();
    }

    /// Asks again for a new generation to be brought to disk: it may have failed.
    pub(super) fn keep_generation(&mut self, now: Now) {
        let generation = self.replica.identity().generation;
        self.replica.store_mut().renew_generation(generation);
        self.hello_at = now.mono + HELLO_AGAIN;
    }

    /// Tells everybody of a new generation once it is on disk.
    pub(super) fn introduce_anew(&mut self) {
        if !self.is_renewed || !self.replica.store().has_kept_generation() {
            return;
        }
        self.is_renewed = false;
        for slot in self.peers.slots().filter(|&slot| self.peers.peer(slot).connected).collect::<Vec<_>>() {
            self.send_hello(slot, !self.peers.peer(slot).greeted);
        }
    }
}
