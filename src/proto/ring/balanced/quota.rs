//! How many partitions each machine is to hold.
//!
//! Shares are in proportion to weights, but nobody holds a partition twice: at most Q on a machine and
//! Q · max_per_zone in a zone. What is over a cap is shared among the others, again by weight, as water
//! that rises evenly and stops where it meets a lid. Then whole numbers: zones first, then the machines
//! inside a zone, the largest remainders up.
//!
//! Quotas within these caps can always be met. Lay the units of all machines in a row, zone by zone, and deal
//! them to partitions 0 to Q−1 around and around: no machine meets a partition twice, as it has at most Q
//! consecutive units, no zone more than max_per_zone times, and every partition gets exactly its width.

use super::{Shape, Site};

/// Partitions of each site; their sum is Q · `width`. `held` is what each site holds now: of equal
/// remainders that one is rounded up which spares a move by it.
pub(super) fn quotas(sites: &[Site], held: &[u32], shape: Shape, width: usize) -> Vec<u32> {
    let partitions = u64::from(shape.partitions);
    let zones: Vec<u16> = sites.iter().map(|site| site.zone).collect();
    let weights: Vec<u32> = sites.iter().map(|site| site.weight).collect();
    let total = partitions * width as u64;
    let zone_max = partitions * shape.max_per_zone as u64;
    let level = Level::rise(&weights, &zones, total, partitions, zone_max);

    let mut quotas = vec![0; sites.len()];
    let of_zones = round(&level.zones(&weights, &zones, held, partitions, zone_max), total);
    for (zone, &total) in of_zones.iter().enumerate() {
        let inside: Vec<usize> = (0..sites.len()).filter(|&site| usize::from(zones[site]) == zone).collect();
        let weights: Vec<u32> = inside.iter().map(|&site| weights[site]).collect();
        let level = Level::rise(&weights, &vec![0; inside.len()], total, partitions, u64::MAX);
        let share = |at: usize| level.share(at, weights[at], u64::from(held[inside[at]]), partitions);
        let shares: Vec<Share> = (0..inside.len()).map(share).collect();
        for (&site, quota) in inside.iter().zip(round(&shares, total)) {
            quotas[site] = quota as u32;
        }
    }
    quotas
}

/// Where the water stands: a site below its lid has `left` · its weight / `weight`.
struct Level {
    left: u64,
    weight: u64,
    /// Sites that hold every partition.
    full_sites: Vec<bool>,
    /// Zones that hold as much as they may.
    full_zones: Vec<bool>,
}

impl Level {
    /// Shares `total` among sites of these weights and zones. The caps must have room for it.
    ///
    /// Each round closes whatever is over its lid. That only raises the level for the others, so nothing that
    /// was closed would open again, and there are at most as many rounds as lids.
    fn rise(weights: &[u32], zones: &[u16], total: u64, site_max: u64, zone_max: u64) -> Level {
        let zone_count = zones.iter().max().map_or(0, |&zone| usize::from(zone) + 1);
        let (full_sites, full_zones) = (vec![false; weights.len()], vec![false; zone_count]);
        let mut level = Level { left: total, weight: 1, full_sites, full_zones };
        loop {
            level.settle(weights, zones, total, site_max, zone_max);
            let over = |&site: &usize| {
                let product = u128::from(level.left) * u128::from(weights[site]);
                level.is_open(site, zones) && product > u128::from(site_max) * u128::from(level.weight)
            };
            let sites: Vec<usize> = (0..weights.len()).filter(over).collect();
            if !sites.is_empty() {
                sites.into_iter().for_each(|site| level.full_sites[site] = true);
                continue;
            }
            let over = |&zone: &usize| {
                let lid = u128::from(zone_max) * u128::from(level.weight);
                !level.full_zones[zone] && level.zone_product(zone, weights, zones, site_max) > lid
            };
            let zones: Vec<usize> = (0..zone_count).filter(over).collect();
            if zones.is_empty() {
                return level;
            }
            zones.into_iter().for_each(|zone| level.full_zones[zone] = true);
        }
    }

    /// Computes what is left for the open sites, and their weight.
    fn settle(&mut self, weights: &[u32], zones: &[u16], total: u64, site_max: u64, zone_max: u64) {
        let in_open_zone = |&site: &usize| !self.full_zones[usize::from(zones[site])];
        let full_sites =
            (0..weights.len()).filter(in_open_zone).filter(|&site| self.full_sites[site]).count();
        let full_zones = self.full_zones.iter().filter(|&&full| full).count();
        let open = (0..weights.len()).filter(|&site| self.is_open(site, zones));
        let weight: u64 = open.map(|site| u64::from(weights[site])).sum();
        self.left = total - full_sites as u64 * site_max - full_zones as u64 * zone_max.min(total);
        // Without open sites nothing is left to share, and any divisor will do.
        self.weight = weight.max(1);
    }

    fn is_open(&self, site: usize, zones: &[u16]) -> bool {
        !self.full_sites[site] && !self.full_zones[usize::from(zones[site])]
    }

    /// The share of a zone that is not full, times `weight`.
    fn zone_product(&self, zone: usize, weights: &[u32], zones: &[u16], site_max: u64) -> u128 {
        let inside = (0..weights.len()).filter(|&site| usize::from(zones[site]) == zone);
        let product = |site: usize| match self.full_sites[site] {
            true => u128::from(site_max) * u128::from(self.weight),
            false => u128::from(self.left) * u128::from(weights[site]),
        };
        inside.map(product).sum()
    }

    /// The share of each zone.
    fn zones(
        &self,
        weights: &[u32],
        zones: &[u16],
        held: &[u32],
        site_max: u64,
        zone_max: u64,
    ) -> Vec<Share> {
        let share = |zone: usize| {
            let of = |site: &usize| usize::from(zones[*site]) == zone;
            let held = (0..held.len()).filter(of).map(|site| u64::from(held[site])).sum();
            match self.full_zones[zone] {
                true => Share { whole: zone_max, rest: 0, held },
                false => self.divide(self.zone_product(zone, weights, zones, site_max), held),
            }
        };
        (0..self.full_zones.len()).map(share).collect()
    }

    /// The share of a site.
    fn share(&self, site: usize, weight: u32, held: u64, site_max: u64) -> Share {
        match self.full_sites[site] {
            true => Share { whole: site_max, rest: 0, held },
            false => self.divide(u128::from(self.left) * u128::from(weight), held),
        }
    }

    fn divide(&self, product: u128, held: u64) -> Share {
        let weight = u128::from(self.weight);
        Share { whole: (product / weight) as u64, rest: (product % weight) as u64, held }
    }
}

/// A share before rounding: `whole`, and `rest` in parts of one divisor that all shares have.
#[derive(Clone, Copy)]
struct Share {
    whole: u64,
    rest: u64,
    held: u64,
}

/// Whole numbers that add up to `total`: the largest remainders are rounded up; of equal ones those that hold
/// more than their whole share already, then those that come first.
fn round(shares: &[Share], total: u64) -> Vec<u64> {
    let mut wholes: Vec<u64> = shares.iter().map(|share| share.whole).collect();
    let missing = total - wholes.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    let spares_a_move = |share: &Share| share.held > share.whole;
    order.sort_by_key(|&at| core::cmp::Reverse((shares[at].rest, spares_a_move(&shares[at]))));
    for &at in &order[..missing as usize] {
        assert!(shares[at].rest > 0, "a whole share is not rounded up");
        wholes[at] += 1;
    }
    wholes
}
