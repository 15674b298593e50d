//! The change feed of a partition, or of all that this node holds: what changed in its copy since a place that a reader
//! was given before.
//!
//! It is told at least once, keys in the order of their last changes, and a reader that was away for too long, or comes
//! from another replica, is told so (a *gap*): what it missed then, a scan shows. An event is the key as it is now, not
//! each state that it had in between. What is told may be on this replica alone so far.
//!
//! ```text
//! place, of a partition: version u8 = 1 | partition u16       | generation u64 | sequence u64 | hint u64, u64 | MAC
//!        of all:         version u8 = 2 | layout version u64  | generation u64 | sequence u64 | hint u64, u64 | MAC
//! ```
//!
//! The MAC is 16 bytes, of all before it. Whose partitions have got other replicas since a place of all was given is a
//! gap: what moved away is told elsewhere now, and what arrived was changed before it was here.

use core::ops::ControlFlow;

use super::Node;
use crate::proto::coordinator::views_of;
use crate::proto::error::Outcome;
use crate::proto::io::{ChangePage, Changed, Reply, Siblings};
use crate::proto::limits;
use crate::proto::store::{Change, ChangeCursor, Changes, Sequence, Store};
use crate::proto::time::Now;
use crate::proto::version::Object;
use crate::proto::wire::Reader;

/// Of a place in the feed of one partition, and of all.
const VERSION_ONE: u8 = 1;
const VERSION_ALL: u8 = 2;
const MAC: usize = 16;
/// Events in a page that names no limit.
const LIMIT_DEFAULT: u32 = 100;

impl<S: Store> Node<S> {
    /// A page of changes, of one partition or of all that are held. `since` is a place; without one the page is empty,
    /// and tells where changes are now.
    pub(super) fn changes(
        &self,
        now: Now,
        keyspace: u16,
        partition: Option<u16>,
        since: Option<&[u8]>,
        limit: u32,
    ) -> Reply {
        let bad = |why: &str| Reply::bare(Outcome::BadArgument(why.to_owned().into()));
        if partition.is_some_and(|partition| u32::from(partition) >= self.routes.partitions()) {
            return bad("there is no such partition");
        }
        let own = self.peers.own();
        let is_held =
            |partition| self.routes.replicas(keyspace, partition).readable().any(|(_, slot)| slot == own);
        if partition.is_some_and(|partition| !is_held(partition)) {
            return bad("this node holds no copy of the partition that could tell: ask one of its owners");
        }
        let since = match since.map(|place| self.read_place(partition, place)).transpose() {
            Ok(since) => since,
            Err(why) => return bad(why),
        };
        let store = self.replica.store();
        let concerns = |other| partition.map_or_else(|| is_held(other), |partition| partition == other);
        let is_covered = |since: &ChangeCursor, layout: u64| match partition {
            Some(partition) => store.covers(partition, since),
            None => (0..self.routes.partitions()).map(|partition| partition as u16).all(|partition| {
                self.routes.since(partition) <= layout
                    && (!is_held(partition) || store.covers(partition, since))
            }),
        };
        let mut page = ChangePage::default();
        let mut place = store.change_cursor();
        match since {
            Some((since, layout)) if is_covered(&since, layout) || planted!("feed_skips") => {
                let effort = limits::CHANGES_EFFORT;
                let mut gather = Gather::new(&mut page, keyspace, now, limit);
                match store.changes(&concerns, &since, effort, &mut |change| gather.take(change)) {
                    Changes::More(at) => (place, page.has_more) = (at, true),
                    Changes::End(at) => place = at,
                    Changes::Gap(at) => (place, page.has_gap) = (at, true),
                }
            }
            Some(_) | None => page.has_gap = true,
        }
        page.next = self.place(partition, &place);
        let mut reply = Reply::bare(Outcome::Ok);
        reply.changes = Some(Box::new(page));
        reply
    }

    fn place(&self, partition: Option<u16>, cursor: &ChangeCursor) -> Vec<u8> {
        let mut bytes = Vec::new();
        match partition {
            Some(partition) => {
                bytes.push(VERSION_ONE);
                bytes.extend_from_slice(&partition.to_le_bytes());
            }
            None => {
                bytes.push(VERSION_ALL);
                bytes.extend_from_slice(&self.routes.version().to_le_bytes());
            }
        }
        for field in [cursor.generation, cursor.sequence.0, cursor.hint.0, cursor.hint.1] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&self.mac_of_place(&bytes));
        bytes
    }

    /// The store trusts a place that it gave, so only such a one may reach it.
    fn mac_of_place(&self, bytes: &[u8]) -> [u8; MAC] {
        self.keys.token.hash128(&[b"change feed\0", bytes]).to_le_bytes()
    }

    /// The place in the store's changes and, of a place of all partitions, the layout that it was given under.
    fn read_place(&self, partition: Option<u16>, place: &[u8]) -> Result<(ChangeCursor, u64), &'static str> {
        const WRONG: &str = "the place was not given by this cluster";
        let (body, mac) = place.split_last_chunk::<MAC>().ok_or(WRONG)?;
        let ours = self.mac_of_place(body);
        if ours.iter().zip(mac).fold(0, |sum, (a, b)| sum | (a ^ b)) != 0 {
            return Err(WRONG);
        }
        let mut reader = Reader::new(body);
        let mut read = || {
            let (of, layout) = match reader.u8("version")? {
                VERSION_ONE => (Some(Some(reader.u16("partition")?)), 0),
                VERSION_ALL => (Some(None), reader.u64("layout version")?),
                _ => (None, 0),
            };
            let (generation, sequence) = (reader.u64("generation")?, Sequence(reader.u64("sequence")?));
            let hint = (reader.u64("hint")?, reader.u64("hint")?);
            reader.end("place end")?;
            Ok((of, layout, ChangeCursor { generation, sequence, hint }))
        };
        let read: Result<_, crate::proto::wire::WireError> = read();
        match read.map_err(|_| WRONG)? {
            (Some(of), layout, cursor) if of == partition => Ok((cursor, layout)),
            (Some(_), ..) => Err("the place is one of another partition"),
            (None, ..) => Err(WRONG),
        }
    }
}

/// A page that is being made.
struct Gather<'a> {
    page: &'a mut ChangePage,
    keyspace: u16,
    now: Now,
    limit: usize,
    bytes: usize,
}

impl<'a> Gather<'a> {
    fn new(page: &'a mut ChangePage, keyspace: u16, now: Now, limit: u32) -> Gather<'a> {
        let limit = if limit == 0 { LIMIT_DEFAULT } else { limit.min(limits::CHANGES_PAGE_MAX) };
        Gather { page, keyspace, now, limit: limit as usize, bytes: 0 }
    }

    /// Takes one change into the page, and says whether another has room.
    fn take(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        match change {
            Change::Put(key, record) if key.keyspace == self.keyspace => {
                match Object::decode(&record.object) {
                    Ok(object) => {
                        let rows = object.rows(self.now.wall.0);
                        let live = rows.iter().filter(|row| row.is_live);
                        self.tell(key.key, live.flat_map(views_of).collect(), record.object.len());
                    }
                    Err(_) => self.page.has_gap = true,
                }
            }
            // Its last record, a tombstone, has gone with it: who has not read that far learns of the delete here.
            Change::Removed(key, _) if key.keyspace == self.keyspace && !planted!("feed_removal_untold") => {
                self.tell(key.key, Siblings::None, 0);
            }
            // What was deleted while the partition was elsewhere is told nowhere.
            Change::Dropped(_) => self.page.has_gap = true,
            Change::Put(..) | Change::Removed(..) => {}
        }
        let is_full = self.page.changed.len() >= self.limit || self.bytes >= limits::CHANGES_BYTES_MAX;
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn tell(&mut self, key: &[u8], siblings: Siblings, bytes: usize) {
        self.bytes += key.len() + bytes;
        self.page.changed.push(Changed { key: key.to_vec(), siblings });
    }
}
