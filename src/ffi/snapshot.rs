//! Snapshots: the members as a node knew them at one moment, and who of them holds a key.

use std::sync::Arc;

use super::boundary::{Site, entry, entry_or, with_node};
use super::cluster::member_of;
use super::node::{insight, quorate_node};
use super::plain::{keyspace_of, quorate_bytes, quorate_member, write_if, write_sized};
use super::status::{AGAIN, Constant, E_ARG, E_NULL, OK, quorate_status};
use crate::driver::Insight;
use crate::proto::gossip::member::Verdict;

const MEMBER_IS_SELF: u32 = 0x4;
const MEMBER_IS_UNSTEADY: u32 = 0x8;

/// The verdicts by their numbers, which are never changed and never used again. 0 is none.
const VERDICTS: [(Verdict, &str, &str); 4] = [
    (Verdict::Alive, "QUORATE_VERDICT_ALIVE", "it answers"),
    (Verdict::Suspect, "QUORATE_VERDICT_SUSPECT", "it did not answer somebody; it is used, after others"),
    (Verdict::Down, "QUORATE_VERDICT_DOWN", "it did not answer for long"),
    (Verdict::Left, "QUORATE_VERDICT_LEFT", "it said that it goes"),
];

/// What a snapshot says of members, for the header.
pub fn constants() -> Vec<Constant> {
    let constant = Constant::unsigned::<u32>;
    let mut all = vec![
        constant("QUORATE_MEMBER_IS_SELF", MEMBER_IS_SELF, "the node that was asked"),
        constant("QUORATE_MEMBER_IS_UNSTEADY", MEMBER_IS_UNSTEADY, "it came and went too often of late"),
        constant("QUORATE_VERDICT_NONE", 0, "nobody probes it, or not yet"),
    ];
    all.extend((1..).zip(VERDICTS).map(|(number, (_, name, text))| constant(name, number, text)));
    all
}

/// The members as a node knew them at one moment. Opaque; it does not change, and any thread may look.
pub struct quorate_members(Arc<Insight>);

impl quorate_members {
    fn member(&self, at: usize) -> quorate_member {
        let overview = &self.0.overview;
        let (verdict, is_unsteady) = self.0.verdicts[at];
        let mut member = member_of(overview, &overview.members[at]);
        let number = |verdict| 1 + VERDICTS.iter().position(|(known, ..)| *known == verdict).unwrap_or(0);
        member.verdict = verdict.map_or(0, number) as u32;
        let is_self = overview.members[at].name == self.0.own;
        let flags = [(is_self, MEMBER_IS_SELF), (is_unsteady, MEMBER_IS_UNSTEADY)];
        member.flags |= flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum::<u32>();
        member
    }
}

/// Takes a snapshot of the members: who they are, whether this node reaches them, what it thinks of them, and what
/// each holds. It does not ask the others.
///
/// Arguments: node; out: receives the snapshot, or NULL.
/// Returns: OK; E_NULL; E_BUSY in modes host and packet if another thread drives the node; E_CLOSED; E_FORKED;
/// E_POISONED; E_PANIC.
/// Thread class: B. Blocks: in mode thread, for a turn of the loop. Owner: the caller, who gives it to
/// quorate_members_free; it outlives the node. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_members_snapshot(
    node: *const quorate_node,
    out: *mut *mut quorate_members,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a pointer.
    unsafe { write_if(out, core::ptr::null_mut()) };
    let take = |node: &quorate_node| {
        if out.is_null() {
            return Err(E_NULL);
        }
        let members = Box::new(quorate_members(insight(node)?));
        // SAFETY: not NULL, the caller's place for a pointer.
        unsafe { out.write(Box::into_raw(members)) };
        Ok(OK)
    };
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::MembersSnapshot, node, take) }
}

/// Writes the members of a snapshot, in the order of their names.
///
/// Arguments: members; array; size: sizeof(quorate_member); capacity: elements of the array, which may be NULL for 0;
/// n: receives how many members there are.
/// Returns: OK; AGAIN if there are more than capacity, and the first ones are written; E_NULL; E_ARG for a size that
/// cannot be; E_FORKED; E_PANIC.
/// Thread class: B, on the snapshot. Blocks: no. Owner: the snapshot; the texts live until quorate_members_free.
/// Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_members_list(
    members: *const quorate_members,
    array: *mut quorate_member,
    size: usize,
    capacity: usize,
    n: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(n, 0) };
    entry(Site::MembersList, || {
        // SAFETY: NULL or a live snapshot, by the contract of the function.
        let members = unsafe { members.as_ref() }.ok_or(E_NULL)?;
        if n.is_null() || (array.is_null() && capacity > 0) {
            return Err(E_NULL);
        }
        if !size.is_multiple_of(align_of::<quorate_member>()) {
            return Err(E_ARG);
        }
        let count = members.0.overview.members.len();
        for at in 0..count.min(capacity) {
            // SAFETY: inside of the caller's array, by the contract of the function.
            unsafe { write_sized(array.byte_add(at * size), size, &members.member(at))? };
        }
        // SAFETY: not NULL, and the caller's place for a number.
        unsafe { n.write(count) };
        Ok(if count > capacity { AGAIN } else { OK })
    })
}

/// Says who holds a key, in preference order, by the layout that reads were on when the snapshot was taken. For a
/// program that sends work to where its data is: any member takes a request, and one of these answers it soonest.
///
/// Arguments: members; keyspace: 0 is the default one; key; partition: may be NULL, receives the partition of the
/// key, as quorate_watch takes it; owners: receives places in quorate_members_list, the first owner first;
/// capacity: elements of owners, which may be NULL for 0; n: receives how many owners there are: 0 if the node is of no
/// cluster yet.
/// Returns: OK; AGAIN if there are more than capacity, and the first ones are written; E_NULL; E_ARG for a keyspace
/// that there is not; E_FORKED; E_PANIC.
/// Thread class: B, on the snapshot. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_key_owners(
    members: *const quorate_members,
    keyspace: u32,
    key: quorate_bytes,
    partition: *mut u32,
    owners: *mut u32,
    capacity: usize,
    n: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's places for numbers.
    unsafe {
        write_if(n, 0);
        write_if(partition, 0);
    }
    entry(Site::KeyOwners, || {
        // SAFETY: NULL or a live snapshot, and the caller's bytes, by the contract of the function.
        let (members, key) = unsafe { (members.as_ref().ok_or(E_NULL)?, key.as_slice()?) };
        if n.is_null() || (owners.is_null() && capacity > 0) {
            return Err(E_NULL);
        }
        let (found, places) = members.0.owners(keyspace_of(keyspace)?, key);
        // SAFETY: the caller's places for numbers, and so many elements of its array.
        unsafe {
            write_if(partition, found.into());
            for (at, &place) in places.iter().take(capacity).enumerate() {
                owners.add(at).write(place as u32);
            }
            n.write(places.len());
        }
        Ok(if places.len() > capacity { AGAIN } else { OK })
    })
}

/// Frees a snapshot. NULL is allowed; so is a forked child.
///
/// Arguments: members: not used afterwards.
/// Returns: nothing.
/// Thread class: D, on the snapshot. Blocks: no. Owner: the library takes it. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_members_free(members: *mut quorate_members) {
    if members.is_null() {
        return;
    }
    // SAFETY: not NULL, so made by Box::into_raw in this file and not freed, by the contract.
    let members = unsafe { Box::from_raw(members) };
    entry_or(Site::MembersFree, (), move || drop(members));
}
