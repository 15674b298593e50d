//! Whom this node knows: members of the cluster, seeds of which only an address is known, and guests.

use core::time::Duration;
use std::net::SocketAddr;

use super::super::limits::{BACKOFF_MAX, BACKOFF_MIN};
use crate::proto::io::MemberId;
use crate::proto::keys::ClusterKeys;
use crate::proto::time::Instant;

/// Why there is an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The topology, or a list, has it.
    Member,
    /// It connected, and holds the cluster's key.
    Guest,
    /// An address to ask for the cluster; who listens there gets an entry of its own.
    Seed,
}

/// Another node.
pub(super) struct Member {
    pub(super) standing: Standing,
    pub(super) id: MemberId,
    /// Of a seed, its address.
    pub(super) name: String,
    /// Where it listens; without one it cannot be dialled.
    pub(super) address: Option<SocketAddr>,
    /// The stream that carries messages.
    pub(super) link: Option<u32>,
    /// When that stream was proved.
    pub(super) link_since: Instant,
    /// The attempt under way.
    pub(super) attempt: Option<u32>,
    pub(super) backoff: Duration,
    pub(super) retry_at: Instant,
    /// Why the last attempt failed, so that each reason is logged once.
    pub(super) trouble: String,
}

impl Member {
    fn new(standing: Standing, id: MemberId, name: &str, address: Option<SocketAddr>) -> Member {
        Member {
            standing,
            id,
            name: name.to_owned(),
            address,
            link: None,
            link_since: Instant::ZERO,
            attempt: None,
            backoff: BACKOFF_MIN,
            retry_at: Instant::ZERO,
            trouble: String::new(),
        }
    }

    /// When it is to be dialled next, if nothing connects to it.
    pub(super) fn dial_at(&self, any_link: bool) -> Instant {
        let is_wanted = match self.standing {
            Standing::Member => true,
            Standing::Guest => false,
            // Once anybody is there, everybody is known.
            Standing::Seed => !any_link,
        };
        let is_open = self.link.is_some() || self.attempt.is_some();
        if is_wanted && !is_open && self.address.is_some() { self.retry_at } else { Instant::NEVER }
    }

    /// Tries again after the usual while.
    pub(super) fn back_off(&mut self, now: Instant) {
        self.retry_at = now + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}

/// All of them; their places never change.
pub(super) struct Book {
    entries: Vec<Member>,
    /// Places of all but seeds, sorted by id.
    by_id: Vec<(MemberId, usize)>,
    own: String,
    keys: ClusterKeys,
    /// Whether this node is a member itself, as far as it knows.
    pub(super) is_member: bool,
}

impl Book {
    pub(super) fn new(own: &str, keys: &ClusterKeys) -> Book {
        Book {
            entries: Vec::new(),
            by_id: Vec::new(),
            own: own.to_owned(),
            keys: keys.clone(),
            is_member: true,
        }
    }

    pub(super) fn add_seed(&mut self, address: SocketAddr) {
        let name = address.to_string();
        self.entries.push(Member::new(Standing::Seed, MemberId(0), &name, Some(address)));
    }

    /// The place of a node, which gets an entry if it has none.
    pub(super) fn place_of(&mut self, name: &str) -> usize {
        let id = self.keys.member_id(name);
        match self.by_id.binary_search_by_key(&id, |entry| entry.0) {
            Ok(at) => self.by_id[at].1,
            Err(at) => {
                self.entries.push(Member::new(Standing::Guest, id, name, None));
                self.by_id.insert(at, (id, self.entries.len() - 1));
                self.entries.len() - 1
            }
        }
    }

    /// Takes over who the members are. Whoever is none any more may stay connected, as a guest.
    pub(super) fn set_members<'a>(
        &mut self,
        members: impl Iterator<Item = (&'a str, Option<SocketAddr>)>,
        is_member: bool,
    ) {
        self.is_member = is_member;
        for entry in self.entries.iter_mut().filter(|entry| entry.standing == Standing::Member) {
            entry.standing = Standing::Guest;
        }
        for (name, address) in members {
            if name == self.own {
                continue;
            }
            let place = self.place_of(name);
            let entry = &mut self.entries[place];
            entry.standing = Standing::Member;
            if address.is_some() && entry.address != address {
                entry.address = address;
                entry.retry_at = Instant::ZERO;
                entry.backoff = BACKOFF_MIN;
            }
        }
    }

    /// Whether a stream only tells the other end to dial: of two members, that of the one whose name sorts last.
    /// Where one of the two knows of no other member, whoever connects keeps the stream.
    pub(super) fn is_knock(&self, place: usize, accepted: bool) -> bool {
        let entry = &self.entries[place];
        let dials = self.own < entry.name;
        self.is_member && entry.standing == Standing::Member && dials == accepted
    }

    pub(super) fn find(&self, id: MemberId) -> Option<usize> {
        self.by_id.binary_search_by_key(&id, |entry| entry.0).ok().map(|at| self.by_id[at].1)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.entries.iter_mut()
    }

    /// Whether any node is connected.
    pub(super) fn has_link(&self) -> bool {
        self.entries.iter().any(|entry| entry.link.is_some())
    }
}

impl core::ops::Index<usize> for Book {
    type Output = Member;

    fn index(&self, place: usize) -> &Member {
        &self.entries[place]
    }
}

impl core::ops::IndexMut<usize> for Book {
    fn index_mut(&mut self, place: usize) -> &mut Member {
        &mut self.entries[place]
    }
}
