//! What the host knows of members by other ways than datagrams: the list that was given, addresses that became
//! known later, and which process answers behind a peer stream.

use crate::proto::config::name_is_valid;
use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::time::{Instant, Now};

use super::Gossip;
use super::member::{Boot, Description, Incarnation, Member, Verdict};
use super::output::Alert;
use super::sending;

impl Gossip {
    /// Names a member and where it is: one more, or one that moved. Where members speak for themselves only
    /// one that is not known yet is taken. False if there is no room for it.
    pub fn set_member(&mut self, now: Now, name: &str, address: &[u8], zone: u32) -> bool {
        assert!(name_is_valid(name), "the host checks names");
        assert!((1..=limits::GOSSIP_ADDRESS_MAX).contains(&address.len()), "the host gives an address");
        let (id, is_manual) = (self.keys.member_id(name), self.is_manual());
        if id == self.own {
            return true;
        }
        if let Some(member) = self.table.get_mut(id) {
            if is_manual {
                member.description.address = address.to_vec();
                member.description.zone = zone;
            }
            return true;
        }
        if self.make_room().is_err() {
            return false;
        }
        let (name, address) = (name.to_owned(), address.to_vec());
        let description = Description { name, address, zone, generation: 0, nonce: 0 };
        self.table.insert(Member::new(id, description, Incarnation::default(), Verdict::Alive));
        if self.probe_at == Instant::NEVER && self.probe.is_none() && !self.has_left {
            // Nodes that are given a list at one time do not probe at one time.
            self.probe_at = now.mono + sending::within(&mut self.rng, self.config.timing.probe_interval);
        }
        self.changed(now.mono, id, None);
        true
    }

    /// A member has proved itself on a fresh peer stream, and told which opening of which directory it is.
    ///
    /// In a manual cluster no datagram says of which directory it is. So it is a stream that lets a new one
    /// begin its count anew under an old name, which from datagrams alone looks like a copy. Where members
    /// speak for themselves this changes nothing.
    pub fn handle_met(&mut self, now: Now, id: MemberId, generation: u64, boot: Boot) {
        self.enter(now.mono);
        if !self.is_manual() || id == self.own {
            return;
        }
        let Some(member) = self.table.get_mut(id) else { return };
        let known = Boot { opens: member.incarnation.opens, nonce: member.description.nonce };
        if member.replaced == boot && known != boot {
            // An opening that was followed by another is heard again: both processes live.
            return self.alert(now.mono, id, Alert::Twin(id));
        }
        let was_other = member.description.generation != generation;
        member.description.generation = generation;
        if known != boot && (was_other || boot.opens > known.opens) {
            member.end_boot(now.mono);
            member.replaced = known;
            member.former = if was_other { member.former.max(known.opens) } else { 0 };
            let verdict = member.verdict;
            let incarnation = Incarnation { opens: boot.opens, bumps: 0 };
            self.table.set(id, incarnation, verdict).description.nonce = boot.nonce;
        }
        self.look_for_copies(now.mono, id);
    }

    /// Tells the host if another member that is here has a directory of the same generation.
    pub(super) fn look_for_copies(&mut self, now: Instant, id: MemberId) {
        let generation = self.row(id).description.generation;
        let same = |member: &&Member| {
            member.id != id && member.description.generation == generation && member.verdict.is_here()
        };
        let other = self.table.rows().find(same).map(|member| member.id);
        if let Some(other) = other.filter(|_| generation != 0) {
            self.alert(now, id, Alert::SharedGeneration(other, id));
        }
    }
}
