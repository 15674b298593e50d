//! Who wants to be a member, who is behind, and what becomes of a cluster whose keepers are lost.

use super::change::Change;
use super::orders::{Asker, Pending, Step};
use super::topology::Topology;
use super::{Cluster, Scene};
use crate::proto::config::{MemberSpec, Membership};
use crate::proto::error::Outcome;
use crate::proto::io::{MemberId, RequestId};
use crate::proto::limits;
use crate::proto::message::Message;
use crate::proto::peers::Peers;
use crate::proto::store::{Sequence, Store};
use crate::proto::time::{Instant, Now};

/// What becomes of a copy of a founder that is alone.
const COPIED_ALONE: &str = "this directory was copied, or moved to another machine or file system, and nobody else is in \
    its cluster to let it in: it serves nothing. Start the original instead, or stop this node and make a directory of \
    this one by `quorate store restore`, which founds the cluster anew";

/// A topology that lets this directory in, until it can be followed.
#[derive(Debug)]
pub(super) struct LettingIn {
    topology: Topology,
    /// Up to where the log must be on disk before, once there is room.
    room_at: Option<Sequence>,
    /// When a store that could not make room is asked again.
    again_at: Instant,
}

impl Cluster {
    /// A guest, or a member with another directory, asks to join.
    pub fn take_join<S: Store>(&mut self, scene: &mut Scene<'_, S>, from: u16, commit: bool, bytes: &[u8]) {
        let Ok(Change::Join(member)) = Change::decode(bytes) else { return };
        if scene.keys.member_id(&member.name) != scene.peers.peer(from).id || !self.topology.is_kept() {
            return;
        }
        let known = self.topology.member(scene.peers.peer(from).id);
        let is_staged = self.topology.staged().contains(&Change::Join(member.clone()));
        let is_in = known
            .is_some_and(|known| (known.generation, &known.address) == (member.generation, &member.address));
        if is_in || (is_staged && !commit) {
            return;
        }
        let until = scene.now.mono + limits::ORDER_DEADLINE;
        if self.orders.len() < limits::MEMBERS_MAX {
            let change = Change::Join(member);
            let step = if commit { Step::Admit(change) } else { Step::Stage(change) };
            self.orders.add(Pending { asker: Asker::Guest(from), step, until });
        }
        self.carry_on(scene);
    }

    /// The directory turned out to be an old copy: it is no member's before it was let in.
    pub fn disown_past(&mut self, now: Now, generation: u64) {
        self.register.disown_past(generation);
        (self.wants_in, self.repeat_at) = (true, now.mono);
        self.letting_in = None;
    }

    /// Takes a topology that is committed. One that lets this directory in is followed once what lies here and is not its
    /// own by then has gone, on disk: nobody asked this node when keys were reaped, so it may be what was deleted, and as a
    /// member it would hand it over (trap T5). Whatever of it counts is with those whose it is.
    pub(super) fn learn<S: Store>(&mut self, scene: &mut Scene<'_, S>, topology: Topology) {
        let generation = scene.replica.identity().generation;
        let is_let_in =
            topology.is_kept() && topology.is_seated(scene.own, generation) && !self.is_seated(scene);
        if !is_let_in || planted!("leftovers_offered") {
            self.register.learn(scene.replica.store_mut(), &self.topology, topology);
            return;
        }
        let order = |topology: &Topology| (topology.era(), topology.version());
        if self.letting_in.as_ref().is_none_or(|known| order(&known.topology) < order(&topology)) {
            // Of another layout other partitions are not ours.
            self.letting_in = Some(LettingIn { topology, room_at: None, again_at: Instant::ZERO });
        }
        self.be_let_in(scene);
    }

    /// Goes on with being let in.
    pub(super) fn be_let_in<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(LettingIn { topology, room_at, again_at }) = &mut self.letting_in else { return };
        if room_at.is_none() && *again_at <= scene.now.mono {
            *room_at = make_room(scene, topology);
            // With nothing put there is nothing to bring to disk.
            match room_at {
                Some(_) => scene.replica.want_sync(),
                None => *again_at = scene.now.mono + limits::SWEEP_WAIT,
            }
        }
        if !room_at.is_some_and(|room_at| scene.replica.store().marks().durable >= room_at) {
            return;
        }
        let topology = self.letting_in.take().expect("it was looked at").topology;
        self.register.learn(scene.replica.store_mut(), &self.topology, topology);
    }

    /// When a store that could not make room is asked again.
    pub(super) fn room_deadline(&self) -> Instant {
        let waits = self.letting_in.as_ref().filter(|letting_in| letting_in.room_at.is_none());
        waits.map_or(Instant::NEVER, |letting_in| letting_in.again_at)
    }

    /// Why we may not join.
    pub fn take_refusal(&mut self, why: &[u8]) {
        self.refusal = Some(String::from_utf8_lossy(why).chars().filter(|c| !c.is_control()).collect());
    }

    /// A peer follows this version: later than ours, it is asked for it.
    pub fn note_version(&mut self, now: Now, version: u64) {
        if version > self.topology.version() && !self.is_behind {
            self.is_behind = true;
            self.repeat_at = now.mono;
        }
    }

    /// Whoever hears from this node tells it what it does not know.
    pub(super) fn ask_who_is_ahead<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let ours = self.topology.version();
        let slots: Vec<u16> = scene.peers.slots().collect();
        let ahead = |peers: &Peers, slot: u16| peers.peer(slot).connected && peers.peer(slot).version > ours;
        let ahead: Vec<u16> = slots.into_iter().filter(|&slot| ahead(scene.peers, slot)).collect();
        self.is_behind = !ahead.is_empty();
        for slot in ahead {
            scene.peers.send(slot, 0, &Message::Progress(self.own));
        }
    }

    /// Has this node let in, or known by what it is, if it wants that and is not.
    pub(super) fn ask_to_join<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        self.wants_in = false;
        let generation = scene.replica.identity().generation;
        let known = self.topology.member(scene.own);
        let is_listed = self.topology.version() > 0 && !self.topology.is_kept();
        let wants = known.is_some() || scene.config.membership == Membership::Joined;
        let own = scene.config.members.iter().find(|member| member.name == scene.config.name);
        let Some(own) = own.filter(|_| wants && !is_listed) else { return };
        if known.is_some_and(|known| (known.generation, &known.address) == (generation, &own.address)) {
            return;
        }
        self.wants_in = true;
        let change = Change::Join(MemberSpec { generation, ..own.clone() });
        if known.is_some_and(|known| known.generation == generation) {
            // It has only moved: no data does.
            let until = scene.now.mono + limits::ORDER_DEADLINE;
            self.orders.add(Pending { asker: Asker::Own, step: Step::Admit(change), until });
            return;
        }
        if self.topology.has_removed(generation) && !planted!("removed_rejoins") {
            let why = "this node's directory was removed from the cluster and does not return: start it over an empty one";
            self.refusal = Some(why.to_owned()).filter(|_| !self.has_left);
            self.wants_in = false;
            return;
        }
        if scene.config.membership == Membership::Founded && self.topology.members().len() == 1 {
            // Its only member is named as we are and has another directory, so nobody is there to let us in.
            self.refusal = Some(COPIED_ALONE.to_owned());
            self.wants_in = false;
            return;
        }
        let mut members = self.topology.members().into_iter().map(|member| member.id);
        let to = members.find_map(|id| scene.peers.slot_of(id).filter(|&slot| scene.peers.usable(slot)));
        if let Some(to) = to {
            let (commit, change) = (scene.config.auto_commit, change.encode());
            scene.peers.send(to, 0, &Message::Join { commit, change: &change });
        }
    }

    /// Begins a new era, if the keepers of this one are lost.
    pub(super) fn force_keepers<S: Store>(&mut self, scene: &mut Scene<'_, S>, id: RequestId) {
        let is_here = |peers: &Peers, member: MemberId| {
            member == scene.own || peers.slot_of(member).is_some_and(|slot| peers.usable(slot))
        };
        let reachable = |members: &mut dyn Iterator<Item = MemberId>, peers: &Peers| {
            members.filter(|&member| is_here(peers, member)).collect::<Vec<_>>()
        };
        let keepers = reachable(&mut self.topology.keepers().iter().map(|seat| seat.member), scene.peers);
        let members = reachable(&mut self.topology.members().iter().map(|member| member.id), scene.peers);
        let forced = match &self.topology {
            topology if !topology.is_kept() => {
                Err("the members of this cluster are a list that its operator gives".to_owned())
            }
            topology if keepers.len() * 2 > topology.keepers().len() => {
                Err("a majority of the keepers can be reached: nothing needs to be forced".to_owned())
            }
            topology => topology.force(&members, scene.keys),
        };
        let outcome = match forced {
            Ok(topology) => {
                self.register.give_up();
                self.register.learn(scene.replica.store_mut(), &self.topology, topology);
                Outcome::Ok
            }
            Err(why) => Outcome::BadArgument(why.into()),
        };
        self.tell(scene, Asker::Client(id), outcome);
    }
}

/// Drops the partitions that are not this node's by a topology; up to where that must be on disk. `None` if the store cannot
/// do it now.
fn make_room<S: Store>(scene: &mut Scene<'_, S>, topology: &Topology) -> Option<Sequence> {
    let layout = topology.latest();
    // Where nothing is reaped nothing can come back, and a leftover may be the last copy of something.
    let reaps = scene.config.reap_after.is_some();
    for partition in (0..layout.partitions()).map(|partition| partition as u16) {
        let is_ours =
            layout.preference_list(partition).iter().any(|&slot| layout.member(slot).id == scene.own);
        let may_return = reaps || scene.replica.reaps().of(partition) > 0;
        if !is_ours && may_return && scene.replica.store().partition_stats(partition).keys > 0 {
            scene.replica.drop_partition(scene.now, partition).ok()?;
        }
    }
    Some(scene.replica.last_put())
}
