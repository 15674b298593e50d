//! Whose datagrams are taken: those of members in their newest boot, each once. A member that is not known in
//! that boot must introduce itself, in the same datagram or when asked to.

use crate::proto::io::MemberId;
use crate::proto::time::Instant;

use super::Gossip;
use super::member::{Boot, Ghost, Incarnation};
use super::message::{ANYONE, Header, LayoutStamp, Message, NoticeCode, Opened};
use super::output::{Alert, Output};
use super::refusal::Refusal;
use super::rumor::Rumor;

/// Signs of life of an older boot after which it is not a late datagram.
const GHOST_SIGNS: u32 = 3;
/// Two signs are at least so far apart.
const GHOST_APART: core::time::Duration = core::time::Duration::from_millis(500);

impl Gossip {
    /// Decides whether an authentic datagram is taken.
    pub(super) fn admit(&mut self, now: Instant, address: &[u8], opened: &Opened) -> Result<(), Refusal> {
        let header = &opened.header;
        if header.from == self.own {
            // Of a seed that is ourselves. It stays in the list: the address that it came from proves nothing.
            if header.boot == self.config.boot {
                return Err(Refusal::Echo);
            }
            if header.boot.opens < self.config.boot.opens {
                return Err(Refusal::Replayed);
            }
            self.alert(now, self.own, Alert::Twin(self.own));
            return Err(Refusal::Twin);
        }
        if header.to != self.own && header.to != ANYONE {
            return Err(Refusal::Misdirected);
        }
        if header.layout.era < self.layout.era {
            self.notify(now, address, opened, NoticeCode::Era);
            return Err(Refusal::Era);
        }
        if !self.knows(header) {
            self.introduce(now, address, opened)?;
        }
        self.check_boot(now, address, opened)?;
        let member = self.table.get_mut(header.from).expect("it is known");
        if !member.window.take(header.counter) {
            return Err(Refusal::Replayed);
        }
        self.compare_layout(header.from, header.layout);
        Ok(())
    }

    /// Whether the sender is known in this boot or a newer one.
    fn knows(&self, header: &Header) -> bool {
        self.table.get(header.from).is_some_and(|member| member.incarnation.opens >= header.boot.opens)
    }

    /// Learns a sender from its own words, or asks for them.
    fn introduce(&mut self, now: Instant, address: &[u8], opened: &Opened) -> Result<(), Refusal> {
        let Header { from, boot, .. } = opened.header;
        if self.is_manual() {
            // The list says who it is; the datagram says which boot.
            let Some(member) = self.table.get_mut(from) else { return Err(Refusal::Stranger) };
            if boot.opens <= member.former {
                return Err(Refusal::Replayed);
            }
            let incarnation = Incarnation { opens: boot.opens, bumps: 0 };
            if member.incarnation.opens > 0 && incarnation.is_jump_from(member.incarnation) {
                return Err(Refusal::Incarnation);
            }
            member.end_boot(now);
            let verdict = member.verdict;
            self.table.set(from, incarnation, verdict).description.nonce = boot.nonce;
            return Ok(());
        }
        let describes = |rumor: &&Rumor| match rumor {
            Rumor::Row { incarnation, description, .. } => {
                let described = Boot { opens: incarnation.opens, nonce: description.nonce };
                described == boot && self.keys.member_id(&description.name) == from
            }
            Rumor::Word { .. } => false,
        };
        let Some(rumor) = opened.rumors.iter().find(describes) else {
            self.notify(now, address, opened, NoticeCode::Introduce);
            return Err(Refusal::Stranger);
        };
        self.learn(now, rumor).inspect_err(|&refusal| {
            if refusal == Refusal::Removed {
                self.notify(now, address, opened, NoticeCode::Removed);
            }
        })
    }

    /// Refuses boots that are over, and finds the processes behind them that are not.
    fn check_boot(&mut self, now: Instant, address: &[u8], opened: &Opened) -> Result<(), Refusal> {
        let Header { from, boot, counter, .. } = opened.header;
        // In a manual cluster it may be a new directory, which begins its count anew; its stream will tell.
        let may_be_new = self.is_manual();
        let member = self.table.get_mut(from).expect("it is known");
        if member.incarnation.opens == boot.opens {
            if member.description.nonce == 0 {
                member.description.nonce = boot.nonce;
            }
            if member.description.nonce == boot.nonce {
                return Ok(());
            }
        }
        if member.incarnation.opens != boot.opens || may_be_new {
            // Late datagrams come once and in a burst. A copied directory, opened again, goes on for ever.
            let ghost = &mut member.ghost;
            if ghost.opens != boot.opens {
                *ghost = Ghost { opens: boot.opens, highest: counter, signs: 0, at: now };
            } else if counter > ghost.highest && now.since(ghost.at) >= GHOST_APART {
                *ghost = Ghost { highest: counter, signs: ghost.signs + 1, at: now, ..*ghost };
            }
            if ghost.signs < GHOST_SIGNS {
                return Err(Refusal::Replayed);
            }
        }
        self.alert(now, from, Alert::Twin(from));
        self.notify(now, address, opened, NoticeCode::Twin);
        Err(Refusal::Twin)
    }

    /// Tells the sender of a refused datagram why, now and then. A notice is never answered by one.
    fn notify(&mut self, now: Instant, address: &[u8], opened: &Opened, code: NoticeCode) {
        let number = match opened.message {
            Message::Notice { .. } => return,
            Message::Ping { number, .. } => number,
            _ => 0,
        };
        if self.notices.allows(now) {
            self.notices.spend(1);
            let message = Message::Notice { code, number };
            let row = self.own_row();
            self.send(opened.header.from, address, &message, core::slice::from_ref(&row));
        }
    }

    /// What somebody found wrong with a datagram of ours.
    pub(super) fn take_notice(
        &mut self,
        now: Instant,
        from: MemberId,
        address: &[u8],
        code: NoticeCode,
        number: u32,
        theirs: LayoutStamp,
    ) {
        match code {
            NoticeCode::Introduce => {
                self.take_ack(now, from, number);
                if !self.is_manual() {
                    let row = self.own_row();
                    self.send(from, address, &Message::Gossip, core::slice::from_ref(&row));
                }
            }
            NoticeCode::Twin => self.alert(now, self.own, Alert::Twin(self.own)),
            NoticeCode::Removed => self.alert(now, self.own, Alert::Removed(self.own)),
            NoticeCode::Era => self.alert(now, from, Alert::EraOver(theirs)),
        }
    }

    fn compare_layout(&mut self, from: MemberId, theirs: LayoutStamp) {
        let mark = if theirs == self.layout {
            0
        } else {
            let place = u64::from(theirs.era) << 32 | u64::from(theirs.version);
            (theirs.hash ^ place.rotate_left(17)).max(1)
        };
        let member = self.table.get_mut(from).expect("it is known");
        if member.layout != mark {
            member.layout = mark;
            if mark != 0 {
                self.outputs.push_back(Output::LayoutDiffers { member: from, theirs });
            }
        }
    }
}
