//! Who holds which partition, given how many each is to hold.
//!
//! A *chain* is how a partition finds a place when no machine with room may take it, and how surplus leaves
//! a machine: x hands partition r to y, y hands another to z, until somebody has room. Each link is an edge of
//! the residual graph of a flow from partitions through (partition, zone) to machines; the cheapest chain is
//! searched by Dijkstra's algorithm, where a link costs 1 if it takes a partition from a machine that held it
//! before, and 0 if that copy has to be made in any case; of equal cost the shorter one wins.
//!
//! That order keeps chains legal although links are judged one by one. Were a partition passed twice so that
//! the links disturb each other, its first giver could hand it straight to its last taker, at no higher
//! cost and in fewer links. And as the quotas can be met, a flow exists, so a chain is always found.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::super::io::MemberId;
use super::super::rendezvous::{Purpose, Ranking};
use super::Site;

/// Lists of sites for each partition, in no particular order. `old` holds the lists to begin with, in sites.
pub(super) fn assign(
    sites: &[Site],
    quotas: &[u32],
    old: &[Vec<u16>],
    width: usize,
    max_per_zone: usize,
) -> Vec<Vec<u16>> {
    let mut order: Vec<u16> = (0..old.len()).map(|partition| partition as u16).collect();
    let rankings: Vec<Ranking> = order.iter().map(|&number| Ranking::new(Purpose::Tie, number)).collect();
    // By hash: neighbours on the ring must not be treated alike, else few machines would share data with one.
    order.sort_unstable_by_key(|&partition| (rankings[usize::from(partition)].rank(MemberId(0)), partition));

    let mut assignment = Assignment {
        sites,
        quotas,
        old,
        max_per_zone,
        rankings,
        lists: vec![Vec::with_capacity(width); old.len()],
        held: vec![Vec::new(); sites.len()],
        fill: vec![0; sites.len()],
    };
    (0..sites.len()).for_each(|site| assignment.refill(site as u16));
    for &partition in &order {
        old[usize::from(partition)].iter().for_each(|&site| assignment.put(partition, site));
    }
    for &partition in &order {
        while let Some(site) = assignment.illegal(partition, width) {
            assignment.take(partition, site);
        }
    }
    for &partition in &order {
        while assignment.lists[usize::from(partition)].len() < width {
            assignment.fill_hole(partition);
        }
    }
    for site in 0..sites.len() as u16 {
        while assignment.surplus(site) > 0 {
            let chain = assignment.chain(&[site]).expect("the quotas can be met");
            assignment.apply(&chain);
        }
    }
    assignment.lists
}

/// A table in the making.
struct Assignment<'a> {
    sites: &'a [Site],
    quotas: &'a [u32],
    old: &'a [Vec<u16>],
    max_per_zone: usize,
    /// Of each partition.
    rankings: Vec<Ranking>,
    /// Sites of each partition.
    lists: Vec<Vec<u16>>,
    /// Partitions of each site.
    held: Vec<Vec<u16>>,
    /// How full each site is, in steps up to [`FULL`].
    fill: Vec<u64>,
}

/// [`Assignment::fill`] of a site that has its quota. The steps are coarse on purpose: with exact fractions, machines
/// of 103 partitions would always come before those of 102, and share data with nobody else.
const FULL: u64 = 16;

/// A partition goes from one site to another.
#[derive(Clone, Copy)]
struct Link {
    partition: u16,
    from: u16,
    to: u16,
}

/// Price of a chain: copies that it adds, then its links.
type Cost = (u32, u32);

impl Assignment<'_> {
    /// A site that has to give the partition up, as too many of its zone or too many at all hold it: of those
    /// that might, the one with the largest surplus, which will have to give something up in any case.
    fn illegal(&self, partition: u16, width: usize) -> Option<u16> {
        let list = &self.lists[usize::from(partition)];
        let zone = |site: u16| self.sites[usize::from(site)].zone;
        let in_zone = |site: u16| list.iter().filter(|&&other| zone(other) == zone(site)).count();
        let crowded = list.iter().copied().filter(|&site| in_zone(site) > self.max_per_zone);
        let surplus = |&site: &u16| {
            self.held[usize::from(site)].len() as i64 - i64::from(self.quotas[usize::from(site)])
        };
        let too_many = list.iter().copied().filter(|_| list.len() > width);
        crowded.max_by_key(surplus).or_else(|| too_many.max_by_key(surplus))
    }

    /// One more site for a partition: the emptiest that may take it, or one that makes room by a chain.
    fn fill_hole(&mut self, partition: u16) {
        if let Some(site) = self.emptiest(partition, None) {
            return self.put(partition, site);
        }
        let legal: Vec<u16> =
            (0..self.sites.len() as u16).filter(|&site| self.is_legal(partition, site, None)).collect();
        let chain = self.chain(&legal).expect("the quotas can be met");
        let first = chain[0].from;
        self.apply(&chain);
        self.put(partition, first);
    }

    /// Whether `site` may take the partition, once `leaving` has given it away.
    fn is_legal(&self, partition: u16, site: u16, leaving: Option<u16>) -> bool {
        let list = &self.lists[usize::from(partition)];
        let zone = self.sites[usize::from(site)].zone;
        let mut in_zone = 0;
        for &other in list {
            if other == site {
                return false;
            }
            in_zone += usize::from(self.sites[usize::from(other)].zone == zone && Some(other) != leaving);
        }
        in_zone < self.max_per_zone
    }

    /// The emptiest site below its quota that may take the partition; of equal ones the highest rank.
    fn emptiest(&self, partition: u16, leaving: Option<u16>) -> Option<u16> {
        let ranking = self.rankings[usize::from(partition)];
        // The one beaten so far: how full it is, its rank, who it is.
        let mut best = (FULL, u64::MAX, None);
        for (site, &fill) in self.fill.iter().enumerate() {
            // Most are ruled out here: this loop is most of the time that a first table takes.
            if fill > best.0 || fill >= FULL {
                continue;
            }
            let rank = ranking.rank(self.sites[site].id);
            if (fill < best.0 || rank > best.1) && self.is_legal(partition, site as u16, leaving) {
                best = (fill, rank, Some(site as u16));
            }
        }
        best.2
    }

    /// The cheapest chain from one of `starts` to a site with room; `None` if there is none.
    fn chain(&self, starts: &[u16]) -> Option<Vec<Link>> {
        let mut search = Search::new(self.sites.len(), starts);
        while let Some((cost, giver)) = search.next() {
            self.end_at(giver, cost, &mut search);
            self.widen(giver, cost, &mut search);
        }
        search.chain()
    }

    /// Looks for a site with room that takes a partition from `giver`.
    fn end_at(&self, giver: u16, cost: Cost, search: &mut Search) {
        for is_kept in [false, true] {
            let end = (cost.0 + u32::from(is_kept), cost.1 + 1);
            if search.end.is_some_and(|(best, _)| best <= end) {
                return;
            }
            let mut candidates =
                self.turned(giver).filter(|&partition| self.is_kept(partition, giver) == is_kept);
            let link = candidates.find_map(|partition| {
                let to = self.emptiest(partition, Some(giver))?;
                Some(Link { partition, from: giver, to })
            });
            if let Some(link) = link {
                search.end = Some((end, link));
            }
        }
    }

    /// Goes on from `giver` to sites that have no room themselves.
    fn widen(&self, giver: u16, cost: Cost, search: &mut Search) {
        for partition in self.turned(giver) {
            let next = (cost.0 + u32::from(self.is_kept(partition, giver)), cost.1 + 1);
            if search.end.is_some_and(|(best, _)| best <= next) {
                continue;
            }
            for to in 0..self.sites.len() as u16 {
                if next < search.costs[usize::from(to)] && self.is_legal(partition, to, Some(giver)) {
                    search.reach(Link { partition, from: giver, to }, next);
                }
            }
        }
    }

    /// The partitions of a site, beginning somewhere else for each site and number of them, so that surplus
    /// does not always leave from the same partitions.
    fn turned(&self, site: u16) -> impl Iterator<Item = u16> {
        let held = &self.held[usize::from(site)];
        let (id, length) = (self.sites[usize::from(site)].id, held.len() as u64);
        let start = (Ranking::new(Purpose::Tie, held.len() as u16).rank(id) % length.max(1)) as usize;
        held[start..].iter().chain(&held[..start]).copied()
    }

    /// Whether the site held the partition before: giving it away adds a copy.
    fn is_kept(&self, partition: u16, site: u16) -> bool {
        self.old[usize::from(partition)].contains(&site)
    }

    fn apply(&mut self, chain: &[Link]) {
        for &Link { partition, from, to } in chain {
            self.take(partition, from);
            self.put(partition, to);
        }
    }

    fn take(&mut self, partition: u16, site: u16) {
        self.lists[usize::from(partition)].retain(|&other| other != site);
        let held = &mut self.held[usize::from(site)];
        let at = held.iter().position(|&other| other == partition).expect("only what is held is taken");
        held.swap_remove(at);
        self.refill(site);
    }

    fn put(&mut self, partition: u16, site: u16) {
        self.lists[usize::from(partition)].push(site);
        self.held[usize::from(site)].push(partition);
        self.refill(site);
    }

    fn refill(&mut self, site: u16) {
        let site = usize::from(site);
        let (held, quota) = (self.held[site].len() as u64, u64::from(self.quotas[site]));
        self.fill[site] = (held * FULL).checked_div(quota).map_or(FULL, |fill| fill.min(FULL));
    }

    fn surplus(&self, site: u16) -> usize {
        self.held[usize::from(site)].len().saturating_sub(self.quotas[usize::from(site)] as usize)
    }
}

/// A search for a chain: what was reached, and at which cost.
struct Search {
    costs: Vec<Cost>,
    /// How each site was reached; `None` for those that the search starts at.
    links: Vec<Option<Link>>,
    queue: BinaryHeap<Reverse<(Cost, u16)>>,
    /// The cheapest link to a site with room, with the cost of its chain.
    end: Option<(Cost, Link)>,
}

impl Search {
    fn new(sites: usize, starts: &[u16]) -> Search {
        let mut costs = vec![(u32::MAX, 0); sites];
        starts.iter().for_each(|&site| costs[usize::from(site)] = (0, 0));
        let queue = starts.iter().map(|&site| Reverse(((0, 0), site))).collect();
        Search { costs, links: vec![None; sites], queue, end: None }
    }

    /// The cheapest site that the search has not gone on from; `None` once no chain can be cheaper than the
    /// one found.
    fn next(&mut self) -> Option<(Cost, u16)> {
        loop {
            let Reverse((cost, site)) = self.queue.pop()?;
            if self.end.is_some_and(|(best, _)| best <= (cost.0, cost.1 + 1)) {
                return None;
            }
            if cost == self.costs[usize::from(site)] {
                return Some((cost, site));
            }
        }
    }

    fn reach(&mut self, link: Link, cost: Cost) {
        self.costs[usize::from(link.to)] = cost;
        self.links[usize::from(link.to)] = Some(link);
        self.queue.push(Reverse((cost, link.to)));
    }

    /// The links of the chain found, from its start.
    fn chain(&self) -> Option<Vec<Link>> {
        let mut chain = vec![self.end?.1];
        while let Some(link) = self.links[usize::from(chain[chain.len() - 1].from)] {
            chain.push(link);
        }
        chain.reverse();
        Some(chain)
    }
}
