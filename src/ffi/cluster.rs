//! The cluster: orders to it, and what is answered. An order is a request like any other; its completion's
//! result tells how the cluster is then.

use super::boundary::{Site, entry, with_node};
use super::node::quorate_node;
use super::plain::{
    quorate_bytes, quorate_cluster, quorate_completion, quorate_member, quorate_order, quorate_result,
    read_sized, write_if, write_sized,
};
use super::requests::{call_sync, submit};
use super::status::{Constant, E_ARG, E_NULL, E_UNSUPPORTED, OK, quorate_status};
use crate::driver::{OwnedOperation, OwnedRequest};
use crate::proto::buffer::Buffer;
use crate::proto::cluster::{Change, MemberView, Order, Overview, Phase, why_not};
use crate::proto::config::name_is_valid;
use crate::proto::error::Outcome;
use crate::proto::io::Options;

const ORDER_LOOK: u32 = 1;
const ORDER_PLAN: u32 = 2;
const ORDER_LEAVE: u32 = 3;
const ORDER_REMOVE: u32 = 4;
const ORDER_REPLACE: u32 = 5;
const ORDER_WEIGHT: u32 = 6;
const ORDER_ZONE: u32 = 7;
const ORDER_MAX_PER_ZONE: u32 = 8;
const ORDER_UNSTAGE: u32 = 9;
const ORDER_COMMIT: u32 = 10;
const ORDER_REVERT: u32 = 11;
const ORDER_FORCE_KEEPERS: u32 = 12;

const MEMBER_STAYS: u32 = 0;
const MEMBER_JOINS: u32 = 1;
const MEMBER_LEAVES: u32 = 2;
const MEMBER_IS_UP: u32 = 0x1;
const MEMBER_IS_KEEPER: u32 = 0x2;

const TEXT_REASON: u32 = 0;
const TEXT_PLAN: u32 = 1;
const TEXT_STAGED: u32 = 2;
const TEXT_KEEPERS: u32 = 3;
const TEXT_REFUSAL: u32 = 4;

/// The phases by their numbers, which are never changed and never used again.
const PHASES: [(Phase, &str, &str); 5] = [
    (Phase::Outside, "QUORATE_PHASE_OUTSIDE", "the node is of no cluster yet"),
    (Phase::Listed, "QUORATE_PHASE_LISTED", "the members are a list that does not change"),
    (Phase::Settled, "QUORATE_PHASE_SETTLED", "nothing moves"),
    (Phase::Copying, "QUORATE_PHASE_COPYING", "replicas are copied; reads are on the layout before"),
    (Phase::Finishing, "QUORATE_PHASE_FINISHING", "all is copied, and reads go over"),
];

/// What orders and their answers are made of, for the header.
pub fn constants() -> Vec<Constant> {
    let constant = Constant::unsigned::<u32>;
    let mut all = vec![
        constant("QUORATE_ORDER_LOOK", ORDER_LOOK, "say how the cluster is"),
        constant("QUORATE_ORDER_PLAN", ORDER_PLAN, "also say what that which is staged comes to"),
        constant("QUORATE_ORDER_LEAVE", ORDER_LEAVE, "stage that name gives away what it holds and goes"),
        constant("QUORATE_ORDER_REMOVE", ORDER_REMOVE, "stage that name is dead and never comes back"),
        constant("QUORATE_ORDER_REPLACE", ORDER_REPLACE, "stage that name is dead and other takes its place"),
        constant("QUORATE_ORDER_WEIGHT", ORDER_WEIGHT, "stage the weight number for name"),
        constant("QUORATE_ORDER_ZONE", ORDER_ZONE, "stage the zone other for name"),
        constant("QUORATE_ORDER_MAX_PER_ZONE", ORDER_MAX_PER_ZONE, "stage how many replicas a zone may have"),
        constant("QUORATE_ORDER_UNSTAGE", ORDER_UNSTAGE, "forget what is staged"),
        constant("QUORATE_ORDER_COMMIT", ORDER_COMMIT, "begin to move to what is staged"),
        constant("QUORATE_ORDER_REVERT", ORDER_REVERT, "go back, as long as reads are on the layout before"),
        constant(
            "QUORATE_ORDER_FORCE_KEEPERS",
            ORDER_FORCE_KEEPERS,
            "begin anew with the keepers that are left",
        ),
        constant("QUORATE_MEMBER_STAYS", MEMBER_STAYS, "a member before and after the move"),
        constant("QUORATE_MEMBER_JOINS", MEMBER_JOINS, "a member after the move"),
        constant("QUORATE_MEMBER_LEAVES", MEMBER_LEAVES, "a member until the move has ended"),
        constant("QUORATE_MEMBER_IS_UP", MEMBER_IS_UP, "the node that was asked reaches it"),
        constant("QUORATE_MEMBER_IS_KEEPER", MEMBER_IS_KEEPER, "its vote decides what is committed"),
        constant("QUORATE_TEXT_REASON", TEXT_REASON, "why the order was not carried out"),
        constant("QUORATE_TEXT_PLAN", TEXT_PLAN, "the plan, for people"),
        constant("QUORATE_TEXT_STAGED", TEXT_STAGED, "what is staged, a change a line"),
        constant("QUORATE_TEXT_KEEPERS", TEXT_KEEPERS, "names of the keepers, one a line"),
        constant("QUORATE_TEXT_REFUSAL", TEXT_REFUSAL, "why the node is not what it wants to be"),
    ];
    all.extend((0..).zip(PHASES).map(|(number, (_, name, text))| constant(name, number, text)));
    all
}

/// What the answer to an order tells, with its texts made.
pub(super) struct Told {
    overview: Overview,
    /// By their numbers.
    texts: [String; 5],
}

impl Told {
    pub(super) fn new(overview: Overview, outcome: &Outcome) -> Told {
        let mut staged = String::new();
        for change in &overview.staged {
            staged += &format!("{change}\n");
        }
        let texts = [
            if *outcome == Outcome::Ok { String::new() } else { why_not(outcome) },
            overview.to_plan().map(|plan| plan.to_string()).unwrap_or_default(),
            staged,
            overview.keepers.iter().map(|name| format!("{name}\n")).collect(),
            overview.refusal.clone().unwrap_or_default(),
        ];
        Told { overview, texts }
    }

    fn cluster(&self) -> quorate_cluster {
        let (overview, headway) = (&self.overview, self.overview.headway());
        let phase = PHASES.iter().position(|(phase, ..)| *phase == overview.phase());
        quorate_cluster {
            version: overview.version,
            hash: overview.hash,
            layout: overview.layout,
            layout_next: overview.next.unwrap_or(0),
            plan_hash: overview.plan_hash,
            bytes_copied: headway.bytes,
            replicas_total: headway.total,
            replicas_open: headway.open,
            phase: phase.expect("every phase has a number") as u32,
            n_members: overview.members.len() as u32,
            n_keepers: overview.keepers.len() as u32,
            n_staged: overview.staged.len() as u32,
            reserved: [0; 2],
        }
    }
}

/// A member as C sees it; its texts are those of the overview.
pub(super) fn member_of(overview: &Overview, member: &MemberView) -> quorate_member {
    let said = overview.progress(member);
    let flags = [(member.is_up, MEMBER_IS_UP), (overview.keepers.contains(&member.name), MEMBER_IS_KEEPER)];
    quorate_member {
        name: quorate_bytes::of(member.name.as_bytes()),
        address: quorate_bytes::of(member.address.as_bytes()),
        zone: quorate_bytes::of(member.zone.as_bytes()),
        generation: member.generation,
        bytes_copied: said.map_or(0, |said| said.bytes),
        weight: member.weight,
        state: match (member.before, member.after) {
            (false, _) => MEMBER_JOINS,
            (true, false) => MEMBER_LEAVES,
            (true, true) => MEMBER_STAYS,
        },
        flags: flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum(),
        partitions: member.partitions.0,
        partitions_next: member.partitions.1,
        replicas_total: member.receives,
        replicas_open: said.map_or(member.receives, |said| said.open.min(member.receives)),
        verdict: 0,
        reserved: [0; 2],
    }
}

/// Reads an order.
///
/// # Safety
/// `order` is NULL or points to as many bytes as its `struct_size` says, and its bytes to as many as they say.
unsafe fn read_order(order: *const quorate_order) -> Result<OwnedRequest, quorate_status> {
    if order.is_null() {
        return Err(E_NULL);
    }
    // SAFETY: not NULL; the first member is the size, and the caller's promise covers that many bytes.
    let order = unsafe { read_sized(order, (*order).struct_size as usize) }?;
    if order.reserved != [0; 2] {
        return Err(E_UNSUPPORTED);
    }
    // SAFETY: the caller's promise, for both.
    let (name, other) = unsafe { (order.name.as_slice()?, order.other.as_slice()?) };
    // What an order has no use for is empty, so that a slip is told.
    let (uses_name, uses_other, uses_number) = match order.kind {
        ORDER_LOOK | ORDER_PLAN | ORDER_UNSTAGE | ORDER_REVERT | ORDER_FORCE_KEEPERS => (false, false, false),
        ORDER_LEAVE | ORDER_REMOVE => (true, false, false),
        ORDER_REPLACE | ORDER_ZONE => (true, true, false),
        ORDER_WEIGHT => (true, false, true),
        ORDER_MAX_PER_ZONE | ORDER_COMMIT => (false, false, true),
        _ => return Err(E_UNSUPPORTED),
    };
    let is_slip = (!uses_name && !name.is_empty())
        || (!uses_other && !other.is_empty())
        || (!uses_number && order.number != 0);
    if is_slip {
        return Err(E_ARG);
    }
    let text = |bytes: &[u8]| -> Result<String, quorate_status> {
        let text = core::str::from_utf8(bytes).ok().filter(|text| name_is_valid(text));
        text.map(str::to_owned).ok_or(E_ARG)
    };
    let small = |number: u64| u32::try_from(number).map_err(|_| E_ARG);
    let order = match order.kind {
        ORDER_LOOK => Order::Look,
        ORDER_PLAN => Order::Plan,
        ORDER_LEAVE => Order::Stage(Change::Leave(text(name)?)),
        ORDER_REMOVE => Order::Stage(Change::Remove(text(name)?)),
        ORDER_REPLACE => Order::Stage(Change::Replace(text(name)?, text(other)?)),
        ORDER_WEIGHT => Order::Stage(Change::Weight(text(name)?, small(order.number)?)),
        ORDER_ZONE if other.is_empty() => Order::Stage(Change::Zone(text(name)?, String::new())),
        ORDER_ZONE => Order::Stage(Change::Zone(text(name)?, text(other)?)),
        ORDER_MAX_PER_ZONE => {
            let most = u8::try_from(order.number).map_err(|_| E_ARG)?;
            Order::Stage(Change::MaxPerZone(Some(most).filter(|&most| most > 0)))
        }
        ORDER_UNSTAGE => Order::Unstage,
        ORDER_COMMIT => Order::Commit(Some(order.number).filter(|&hash| hash != 0)),
        ORDER_FORCE_KEEPERS => Order::ForceKeepers,
        _ => Order::Revert,
    };
    let operation = OwnedOperation::Cluster(order);
    Ok(OwnedRequest { keyspace: 0, key: Buffer::default(), operation, options: Options::default() })
}

/// What a result tells of the cluster.
///
/// # Safety
/// `result` is NULL or belongs to a completion that was not cleared.
unsafe fn told<'a>(result: *const quorate_result) -> Result<&'a Told, quorate_status> {
    // SAFETY: the caller's promise.
    let result = unsafe { result.as_ref() }.ok_or(E_NULL)?;
    result.told.as_deref().ok_or(E_ARG)
}

/// Submits an order: to look at the cluster, or to change it. A change is staged first; a plan says what all
/// that is staged comes to; a commit begins to move there. Any member can be asked.
///
/// Arguments: node; order: what an order has no use for is empty or 0; tag: comes back in the completion.
/// Returns: OK, and one completion follows; E_NULL; E_ARG for a name that is none, a number out of range, something that
/// the order has no use for, and a size that cannot be;
/// E_UNSUPPORTED for an order this library does not know; E_OVERLOADED if the window is full; E_CLOSED;
/// E_FORKED; E_POISONED; E_PANIC.
/// The completion says OK: what was ordered is committed; E_ARG: it is refused, and QUORATE_TEXT_REASON of its
/// result says why; E_QUORUM: too few keepers can be reached, nothing was changed; E_MAYBE: they did not answer
/// in time, it may still be carried out; E_LAYOUT. Its result tells how the cluster is then. Or E_CLOSED or E_POISONED,
/// without a result: it may still be carried out with QUORATE_F_UNCERTAIN.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_cluster_order(
    node: *mut quorate_node,
    order: *const quorate_order,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::ClusterOrder, node, |node| submit(node, read_order(order)?, tag)) }
}

/// Gives an order and waits for the answer. As quorate_cluster_order.
///
/// Arguments: node; order; out: receives the completion, empty if the call is refused; size:
/// sizeof(quorate_completion).
/// Returns: the status of the completion; what quorate_cluster_order returns if it is refused; E_STATE unless
/// the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, about ten seconds at most. Owner: the caller, who gives out to
/// quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_cluster_order_sync(
    node: *mut quorate_node,
    order: *const quorate_order,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { call_sync(Site::ClusterOrderSync, node, out, size, || read_order(order)) }
}

/// How the cluster was when an order was answered.
///
/// Arguments: result: of the completion of an order; out: receives it, or zeroes; size: sizeof(quorate_cluster).
/// Returns: OK; E_NULL; E_ARG for the result of another request, or a size that cannot be; E_FORKED; E_PANIC.
/// Thread class: E, on the result. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_result_cluster(
    result: *const quorate_result,
    out: *mut quorate_cluster,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function; a cluster is numbers, for which zero is a value.
    let cleared = unsafe { write_sized(out, size, &core::mem::zeroed()) };
    entry(Site::ResultCluster, || {
        cleared?;
        // SAFETY: the contract of the function.
        unsafe {
            write_sized(out, size, &told(result)?.cluster())?;
        }
        Ok(OK)
    })
}

/// One member of the cluster, in the order of their names.
///
/// Arguments: result: of the completion of an order; index: from 0 on, below n_members; out: receives the
/// member, or zeroes; size: sizeof(quorate_member).
/// Returns: OK; E_NULL; E_ARG if there is no such member, for the result of another request, or a size that
/// cannot be; E_FORKED; E_PANIC.
/// Thread class: E, on the result. Blocks: no. Owner: the result; its texts live until
/// quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_result_member(
    result: *const quorate_result,
    index: usize,
    out: *mut quorate_member,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function; a member is numbers and pointers, for which zero is a value.
    let cleared = unsafe { write_sized(out, size, &core::mem::zeroed()) };
    entry(Site::ResultMember, || {
        cleared?;
        // SAFETY: the contract of the function.
        unsafe {
            let told = told(result)?;
            let member = told.overview.members.get(index).ok_or(E_ARG)?;
            write_sized(out, size, &member_of(&told.overview, member))?;
        }
        Ok(OK)
    })
}

/// A text of the answer to an order, lines ending with a line feed.
///
/// Arguments: result: of the completion of an order; which: QUORATE_TEXT_...; out: receives the text, UTF-8,
/// empty if there is none.
/// Returns: OK; E_NULL; E_ARG for the result of another request; E_UNSUPPORTED for a text that this library
/// does not know; E_FORKED; E_PANIC.
/// Thread class: E, on the result. Blocks: no. Owner: the result; the text lives until
/// quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_result_text(
    result: *const quorate_result,
    which: u32,
    out: *mut quorate_bytes,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for bytes.
    unsafe { write_if(out, quorate_bytes::EMPTY) };
    entry(Site::ResultText, || {
        if out.is_null() {
            return Err(E_NULL);
        }
        // SAFETY: the contract of the function.
        let told = unsafe { told(result) }?;
        let text = told.texts.get(which as usize).ok_or(E_UNSUPPORTED)?;
        // SAFETY: not NULL, and the caller's place for bytes.
        unsafe { out.write(quorate_bytes::of(text.as_bytes())) };
        Ok(OK)
    })
}
