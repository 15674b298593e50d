//! The end of a request as C sees it.

use super::cluster::Told;
use super::node::quorate_node;
use super::plain::{
    Change, Page, quorate_bytes, quorate_completion, quorate_dot, quorate_result, quorate_sibling,
};
use super::requests::{
    NEWS_GAP, NEWS_HIDDEN, NEWS_LAYOUT, NEWS_MERGED, NEWS_MORE, NEWS_UNREPAIRED, NEWS_WEAK, OP_CLUSTER,
    OP_GET, OP_PUT, OP_SCAN, OP_WATCH,
};
use super::status::{
    E_ARG, E_CANCELLED, E_CLOSED, E_MAYBE, E_POISONED, E_TIMEOUT, OK, UNCERTAIN, flags_of, of_outcome,
    quorate_status,
};
use crate::driver::Asked;
use crate::proto::buffer::Buffer;
use crate::proto::error::Outcome;
use crate::proto::io::{ChangePage, Kind, Reply, Siblings};
use crate::proto::page_token::PageToken;
use crate::proto::spare::Spare;

/// Results that a thread keeps, and siblings that such a one has room for.
const RESULTS_KEPT: usize = 256;
const SIBLINGS_KEPT: usize = 16;

thread_local! {
    /// Results that were cleared on this thread, for the next completions that need one.
    static RESULTS: Spare<Box<quorate_result>> = const { Spare::new() };
}

/// Takes back what a completion owned, to be used again.
pub(super) fn give_up(mut result: Box<quorate_result>) {
    let quorate_result { views, values, context, told, page, changes } = &mut *result;
    views.clear();
    values.clear();
    changes.clear();
    (*context, *told, *page) = (Buffer::default(), None, None);
    if views.capacity() <= SIBLINGS_KEPT && changes.capacity() == 0 {
        let _ = RESULTS.try_with(|spare| spare.keep(RESULTS_KEPT, result));
    }
}

/// How a request ended that was cancelled before it was answered; `None` if it has an answer all the same.
fn cancelled(outcome: &Outcome) -> Option<(quorate_status, u32)> {
    match outcome {
        Outcome::Ok | Outcome::NotFound | Outcome::NoMajority => None,
        Outcome::Maybe => Some((E_CANCELLED, flags_of(E_CANCELLED))),
        // Nothing was written.
        _ => Some((E_CANCELLED, flags_of(E_CANCELLED) & !UNCERTAIN)),
    }
}

/// How a request ended: its status and flags. What a stopping or poisoned node left open says so.
fn ending(node: &quorate_node, reply: Option<&Reply>, asked: &Asked) -> (quorate_status, u32) {
    let is_write = matches!(asked, Asked::Write | Asked::Order { is_change: true });
    let status = match (reply, asked) {
        (_, Asked::Feed { is_cancelled: true, .. }) => {
            return (E_CANCELLED, flags_of(E_CANCELLED) & !UNCERTAIN);
        }
        (None, _) => E_CLOSED,
        (Some(reply), _) => of_outcome(&reply.outcome),
    };
    let is_open = matches!(status, E_CLOSED | E_MAYBE | E_TIMEOUT);
    let status = match status {
        _ if is_open && node.is_poisoned() => E_POISONED,
        _ if is_open && node.is_ending() => E_CLOSED,
        status => status,
    };
    let mut flags = flags_of(status);
    if is_write && matches!(status, E_CLOSED | E_POISONED) {
        flags |= UNCERTAIN;
    }
    if !is_write {
        flags &= !UNCERTAIN;
    }
    if let Some(reply) = reply {
        let has_gap = reply.changes.as_ref().is_some_and(|page| page.has_gap);
        let has_more = matches!(asked, Asked::Feed { is_last: false, .. });
        let has_moved = match (asked, &reply.page) {
            (Asked::Scan(asked), Some(page)) => {
                asked.token.is_some_and(|token| token.layout_version != page.layout_version)
            }
            _ => false,
        };
        let news = [
            (has_gap, NEWS_GAP),
            (has_more, NEWS_MORE),
            (has_moved, NEWS_LAYOUT),
            (reply.hid_siblings, NEWS_HIDDEN),
            (reply.unrepaired, NEWS_UNREPAIRED),
            (reply.weak, NEWS_WEAK),
            (reply.merged, NEWS_MERGED),
        ];
        flags |= news.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum::<u32>();
    }
    (status, flags)
}

/// A completion with nothing in it.
pub(super) const EMPTY: quorate_completion = quorate_completion {
    tag: 0,
    result: core::ptr::null_mut(),
    siblings: core::ptr::null(),
    context: quorate_bytes::EMPTY,
    dot: quorate_dot { generation: 0, nonce: 0, epoch: 0, counter: 0 },
    n_siblings: 0,
    status: OK,
    os_errno: 0,
    flags: 0,
    kind: 0,
    asked: 0,
    acked: 0,
    durable: 0,
    fallbacks: 0,
    zero: 0,
    count: 0,
    reserved: 0,
};

fn kind_of(asked: &Asked) -> u32 {
    match asked {
        Asked::Read => OP_GET,
        Asked::Write => OP_PUT,
        Asked::Scan(_) => OP_SCAN,
        Asked::Order { .. } => OP_CLUSTER,
        Asked::Feed { .. } => OP_WATCH,
        Asked::Cancelled(asked) => kind_of(asked),
    }
}

/// The end of a request as C sees it. The caller owns what `result` points to.
pub(super) fn completion(
    node: &quorate_node,
    tag: u64,
    asked: &Asked,
    mut reply: Option<Reply>,
) -> quorate_completion {
    let (asked, is_cancelled) = match asked {
        Asked::Cancelled(asked) => (&**asked, true),
        asked => (asked, false),
    };
    let page = reply.as_mut().and_then(|reply| show_page(asked, reply));
    let outcome = reply.as_ref().map(|reply| &reply.outcome).filter(|_| is_cancelled);
    let (status, flags) = outcome.and_then(cancelled).unwrap_or_else(|| ending(node, reply.as_ref(), asked));
    let mut out = quorate_completion { tag, status, flags, kind: kind_of(asked), ..EMPTY };
    let Some(reply) = reply else { return out };
    out.asked = reply.achieved.asked.into();
    out.acked = reply.achieved.acked.into();
    out.durable = reply.achieved.durable.into();
    out.fallbacks = reply.achieved.fallbacks.into();
    out.count = reply.length;
    if let Some(dot) = reply.dot {
        out.dot = of_dot(dot);
    }
    // The siblings of a write are what it met, not an answer to it, but for the number that it made.
    let told = reply.overview.map(|overview| Told::new(*overview, &reply.outcome));
    let is_write = *asked == Asked::Write;
    let mut siblings = reply.siblings;
    siblings.retain(|sibling| !is_write || reply.dot == Some(sibling.dot));
    if is_write {
        siblings.iter_mut().for_each(|sibling| sibling.kind = Kind::Counter);
    }
    let context = reply.context.unwrap_or_default();
    if siblings.is_empty()
        && context.is_empty()
        && told.is_none()
        && page.is_none()
        && reply.changes.is_none()
    {
        return out;
    }
    let mut result = RESULTS.try_with(Spare::take).ok().flatten().unwrap_or_default();
    (result.context, result.told, result.page) = (context, told.map(Box::new), page);
    out.n_siblings = result.show(siblings).len() as u32;
    if out.n_siblings > 0 {
        out.siblings = result.views.as_ptr();
    }
    if let Some(page) = reply.changes {
        result.show_changes(*page);
    }
    out.context = quorate_bytes::of(&result.context);
    out.result = Box::into_raw(result);
    out
}

/// Takes the keys that a page shows out of a reply, and leaves the token of the next page as its context.
fn show_page(asked: &Asked, reply: &mut Reply) -> Option<Page> {
    let Asked::Scan(asked) = asked else { return None };
    let page = reply.page.as_mut()?;
    if asked.selection.keep(&mut page.keys).is_err() {
        *reply =
            Reply::bare(Outcome::BadArgument("the pattern takes too many steps to match".to_owned().into()));
        return None;
    }
    let (keyspace, layout_version, next) = (asked.keyspace, page.layout_version, page.next);
    reply.context = (next != 0).then(|| PageToken { keyspace, layout_version, next }.to_bytes().into());
    Some(Page::new(core::mem::take(&mut page.keys)))
}

impl quorate_result {
    /// Shows siblings behind those that are shown, and says where they are. Nothing may point at views before.
    fn show(&mut self, siblings: Siblings) -> core::ops::Range<usize> {
        let first = self.views.len();
        for sibling in siblings {
            self.views.push(quorate_sibling {
                // The vector's heap block does not move when the vector does.
                value: quorate_bytes::of(&sibling.value),
                hlc: sibling.hlc.0,
                expires_ms: sibling.expires_ms.unwrap_or(0),
                dot: of_dot(sibling.dot),
                kind: sibling.kind as u32,
                flags: 0,
            });
            self.values.push(sibling.value);
        }
        first..self.views.len()
    }

    fn show_changes(&mut self, page: ChangePage) {
        self.context = page.next.into();
        for changed in page.changed {
            let siblings = self.show(changed.siblings);
            self.changes.push(Change { key: changed.key, siblings });
        }
    }
}

fn of_dot(dot: crate::proto::version::Dot) -> quorate_dot {
    quorate_dot {
        generation: dot.actor.generation,
        nonce: dot.actor.epoch.nonce,
        epoch: dot.actor.epoch.number,
        counter: dot.counter,
    }
}

/// Whether an element of a caller's array can hold a completion.
pub(super) fn check_completion_size(size: usize) -> Result<(), quorate_status> {
    let fits =
        size >= size_of::<quorate_completion>() && size.is_multiple_of(align_of::<quorate_completion>());
    if fits { Ok(()) } else { Err(E_ARG) }
}

/// Writes one element of a caller's array; what it has beyond our struct becomes zero.
///
/// # Safety
/// `array` has an element of `size` bytes at `index`, and `size` was checked.
pub(super) unsafe fn write_completion(
    array: *mut quorate_completion,
    size: usize,
    index: usize,
    value: quorate_completion,
) {
    // SAFETY: inside the element, by the caller's promise.
    unsafe {
        let to = array.cast::<u8>().add(index * size);
        to.cast::<quorate_completion>().write(value);
        to.add(size_of::<quorate_completion>()).write_bytes(0, size - size_of::<quorate_completion>());
    }
}
