//! What the caller of a read is shown of what was read, and the context that goes with it.

use super::Turn;
use super::read::Reading;
use crate::proto::buffer::Buffer;
use crate::proto::error::Outcome;
use crate::proto::few::Few;
use crate::proto::io::{Achieved, Kind, Reply, SiblingView, Siblings, View};
use crate::proto::routes::RANKS_MAX;
use crate::proto::store::Store;
use crate::proto::version::{Context, Dot, Element, Object, Row};

/// What a majority of the replicas returned.
#[derive(Debug, PartialEq, Eq)]
enum Majority {
    /// No record.
    Nothing,
    /// This, dead or alive.
    Row(Row<'static>),
    /// Nothing in common.
    None,
}

impl<S: Store> Turn<'_, S> {
    /// The answer to a read, and how many siblings there were, live or not.
    pub(super) fn read_reply(&self, index: usize, unrepaired: bool) -> (Reply, usize) {
        let slot = &self.coordinator.slots[index];
        let mut reply = Reply::bare(Outcome::NotFound);
        reply.achieved = Achieved {
            asked: slot.quorum.r,
            acked: self.read_by(index),
            durable: 0,
            fallbacks: self.fallbacks(index),
        };
        reply.weak = slot.quorum.weak || reply.achieved.fallbacks > 0;
        reply.unrepaired = unrepaired;
        let object = slot.reading.object().unwrap_or_default();
        let wall_ms = self.now.wall.0;
        let rows = object.rows(wall_ms);
        let majority = match slot.options.view {
            View::Majority => Some(majority(&slot.reading, slot.quorum.n, wall_ms)),
            View::All | View::Latest | View::Merged(_) => None,
        };
        let no_majority = majority == Some(Majority::None);
        let live = rows.iter().filter(|row| row.is_live);
        let shown: Few<&Row<'_>> = match (&majority, slot.options.view) {
            (Some(Majority::Row(row)), _) => Some(row).filter(|row| row.is_live).into_iter().collect(),
            (Some(Majority::Nothing), _) => Few::None,
            (_, View::Latest) => live.max_by_key(|row| row.age()).into_iter().collect(),
            (..) => live.collect(),
        };
        reply.hid_siblings = match slot.options.view {
            // They show all that is live.
            View::All | View::Merged(_) => false,
            View::Latest | View::Majority => is_any_hidden(&rows, &shown),
        };
        reply.outcome = match (no_majority, shown.is_empty()) {
            (true, _) => Outcome::NoMajority,
            (false, true) => Outcome::NotFound,
            (false, false) => Outcome::Ok,
        };
        if slot.options.want_context {
            let mut context = context_of(&object, &rows, majority.as_ref(), &shown);
            if let [row] = shown[..] {
                context.number = self.number_read(index, row);
            }
            reply.context =
                Some(context.token(&self.keys.token, slot.keyspace, &slot.key, reply.hid_siblings));
        }
        let merged = match slot.options.view {
            View::Merged(merge) if shown.len() > 1 => {
                self.coordinator.merges.merge(merge, &slot.key, &shown, self.config.value_max)
            }
            _ => None,
        };
        reply.merged = merged.is_some();
        reply.siblings = merged.map_or_else(|| shown.into_iter().flat_map(views_of).collect(), Siblings::One);
        // An edit that changed nothing is a read that succeeded.
        if slot.reading.unchanged && reply.outcome == Outcome::NotFound {
            reply.outcome = Outcome::Ok;
        }
        (reply, rows.len())
    }
}

/// Whether a live row has an event that is in none of those that are shown.
fn is_any_hidden(rows: &[Row<'_>], shown: &[&Row<'_>]) -> bool {
    let shown_dots = sorted(shown.iter().copied().flat_map(Row::dots));
    let was_shown = |dot: Dot| shown_dots.binary_search(&dot).is_ok();
    rows.iter().filter(|row| row.is_live).any(|row| !row.dots().all(was_shown))
}

/// The context of what was shown. What is dead hides nothing, so it is covered; but the majority view has
/// settled nothing that lies outside its version.
fn context_of(
    object: &Object<'_>,
    rows: &[Row<'_>],
    majority: Option<&Majority>,
    shown: &[&Row<'_>],
) -> Context {
    let covered: Few<Dot> = match majority {
        Some(Majority::Row(row)) => sorted(row.dots()),
        Some(Majority::Nothing) => Few::None,
        Some(Majority::None) | None => {
            let dead = rows.iter().filter(|row| !row.is_live);
            sorted(shown.iter().copied().chain(dead).flat_map(Row::dots))
        }
    };
    let is_covered = |dot| covered.binary_search(&dot).is_ok() || planted!("token_covers_hidden");
    let mut context = Context::of_shown(object, is_covered);
    // What a majority holds may be superseded by what the others hold, and lie beside the clock.
    if let Some(Majority::Row(row)) = majority {
        context.dots.extend(row.dots().filter(|&dot| !context.covers(dot)).collect::<Vec<_>>());
        context.dots.sort_unstable();
        context.bound();
        row.counts.iter().for_each(|count| context.totals.raise(count.dot.actor, count.totals));
    }
    context
}

/// The version that at least ⌊N/2⌋+1 replicas returned, the newest if there are several.
fn majority(reading: &Reading, n: u8, wall_ms: u64) -> Majority {
    let needed = n / 2 + 1;
    let returned = |test: &dyn Fn(u64) -> bool| {
        let ranks = (0..RANKS_MAX).filter(|&rank| reading.answered.contains(rank));
        ranks.filter(|&rank| test(reading.hashes[rank])).count() as u8
    };
    if returned(&|hash| hash == 0) >= needed {
        return Majority::Nothing;
    }
    let versions: Vec<(u64, Object<'_>)> = reading
        .versions
        .iter()
        .filter_map(|(hash, bytes)| Object::decode(bytes).ok().map(|object| (*hash, object)))
        .collect();
    let rows: Vec<(u64, Row<'_>)> = versions
        .iter()
        .flat_map(|(hash, object)| object.rows(wall_ms).into_iter().map(|row| (*hash, row)))
        .collect();
    let has = |hash: u64, row: &Row<'_>| rows.iter().any(|(of, other)| *of == hash && other.is_same(row));
    let held = rows.iter().filter(|(_, row)| returned(&|hash| has(hash, row)) >= needed);
    let newest = held.max_by_key(|(_, row)| row.age());
    newest.map_or(Majority::None, |(_, row)| Majority::Row(row.clone().into_owned()))
}

fn sorted(dots: impl Iterator<Item = Dot>) -> Few<Dot> {
    let mut dots: Few<Dot> = dots.collect();
    dots.sort_unstable();
    dots
}

/// A live row as a caller sees it: one value, or each element of a set.
pub fn views_of(row: &Row<'_>) -> Siblings {
    if row.is_set() {
        let view = |element: &Element<'_>| SiblingView {
            value: Buffer::from(&*element.value),
            kind: Kind::Element,
            dot: element.dot,
            hlc: element.hlc,
            expires_ms: row.expires_ms,
        };
        return row.members().map(view).collect();
    }
    Siblings::One(SiblingView {
        value: Buffer::from(&*row.value),
        kind: if row.counts.is_empty() { Kind::Bytes } else { Kind::Counter },
        dot: row.dot,
        hlc: row.hlc,
        expires_ms: row.expires_ms,
    })
}
