//! The change feed of a partition: what changed in this node's copy since a place that a reader was given before.
//!
//! It is told at least once, keys in the order of their last changes, and a reader that was away for too long, or comes
//! from another replica, is told so (a *gap*): what it missed then, a scan shows. An event is the key as it is now, not
//! each state that it had in between. What is told may be on this replica alone so far.
//!
//! ```text
//! place: version u8 = 1 | partition u16 | generation u64 | sequence u64 | hint u64, u64 | MAC of these, 16 bytes
//! ```

use core::ops::ControlFlow;

use super::Node;
use crate::proto::coordinator::views_of;
use crate::proto::error::Outcome;
use crate::proto::io::{ChangePage, Changed, Reply, SiblingView};
use crate::proto::limits;
use crate::proto::store::{Change, ChangeCursor, Changes, Sequence, Store};
use crate::proto::time::Now;
use crate::proto::version::Object;
use crate::proto::wire::Reader;

const VERSION: u8 = 1;
const MAC: usize = 16;
/// Events in a page that names no limit.
const LIMIT_DEFAULT: u32 = 100;

impl<S: Store> Node<S> {
    /// A page of changes. `since` is a place; without one the page is empty, and tells where changes are now.
    pub(super) fn changes(
        &self,
        now: Now,
        keyspace: u16,
        partition: u16,
        since: Option<&[u8]>,
        limit: u32,
    ) -> Reply {
        let bad = |why: &str| Reply::bare(Outcome::BadArgument(why.to_owned().into()));
        if u32::from(partition) >= self.routes.partitions() {
            return bad("there is no such partition");
        }
        let own = self.peers.own();
        if !self.routes.replicas(keyspace, partition).readable().any(|(_, slot)| slot == own) {
            return bad("this node holds no copy of the partition that could tell: ask one of its owners");
        }
        let since = match since.map(|place| self.read_place(partition, place)).transpose() {
            Ok(since) => since,
            Err(why) => return bad(why),
        };
        let store = self.replica.store();
        let mut page = ChangePage::default();
        let mut place = store.change_cursor();
        match since {
            Some(since) if store.covers(partition, &since) => {
                let limit = if limit == 0 { LIMIT_DEFAULT } else { limit.min(limits::CHANGES_PAGE_MAX) };
                let mut bytes = 0;
                let mut visit = |change: &Change<'_>| {
                    if let Change::Put(key, record) = change
                        && key.keyspace == keyspace
                        && let Ok(object) = Object::decode(&record.object)
                    {
                        let rows = object.rows(now.wall.0);
                        let live = rows.iter().filter(|row| row.is_live);
                        let siblings: Vec<SiblingView> = live.flat_map(views_of).collect();
                        bytes += key.key.len() + record.object.len();
                        page.changed.push(Changed { key: key.key.to_vec(), siblings });
                    }
                    let is_full = page.changed.len() >= limit as usize || bytes >= limits::CHANGES_BYTES_MAX;
                    if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let effort = limits::CHANGES_EFFORT;
                match store.changes(&|other| other == partition, &since, effort, &mut visit) {
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

    fn place(&self, partition: u16, cursor: &ChangeCursor) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&partition.to_le_bytes());
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

    fn read_place(&self, partition: u16, place: &[u8]) -> Result<ChangeCursor, &'static str> {
        const WRONG: &str = "the place was not given by this cluster";
        let (body, mac) = place.split_last_chunk::<MAC>().ok_or(WRONG)?;
        let ours = self.mac_of_place(body);
        if ours.iter().zip(mac).fold(0, |sum, (a, b)| sum | (a ^ b)) != 0 {
            return Err(WRONG);
        }
        let mut reader = Reader::new(body);
        let mut read = || {
            let (version, of) = (reader.u8("version")?, reader.u16("partition")?);
            let (generation, sequence) = (reader.u64("generation")?, Sequence(reader.u64("sequence")?));
            let hint = (reader.u64("hint")?, reader.u64("hint")?);
            reader.end("place end")?;
            Ok((version, of, ChangeCursor { generation, sequence, hint }))
        };
        let read: Result<_, crate::proto::wire::WireError> = read();
        match read.map_err(|_| WRONG)? {
            (VERSION, of, cursor) if of == partition => Ok(cursor),
            (VERSION, ..) => Err("the place is one of another partition"),
            _ => Err(WRONG),
        }
    }
}
