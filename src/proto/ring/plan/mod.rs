//! The plan: what an operator reads before a layout is committed.
//!
//! ```text
//!  old layout ┐                     ┌──► fields, for programs
//!  new layout ├──► Plan::new ──► Plan
//!  bytes      ┘                     └──► lines, for people (text.rs)
//! ```
//!
//! A plan is computed from two layouts of one cluster, whichever way they came about, and from the bytes that
//! each partition holds; members are matched by their ids. It decides nothing: it neither makes a layout nor
//! commits one, and equal arguments give equal plans, so whoever is shown a plan can compute it again. All
//! arithmetic is on integers; shares and ratios are in millionths (`_ppm`), rounded to the nearest.
//!
//! A replica here is an entry of a preference list. A keyspace whose N is smaller uses the beginning of the list
//! alone ([`Layout::replicas`]); what it moves is not counted apart, and [`Figures::replicas_least`] tells that
//! there is one. Who is alive is not known here, nor which copy is complete: time and copies are those of a
//! cluster in which everybody answers.

mod text;

#[cfg(test)]
mod tests;

use core::num::NonZeroU64;
use core::time::Duration;

use super::super::io::MemberId;
use super::super::limits;
use super::layout::{Layout, Mode};

/// What it takes to get from one layout to another, and what the other is worth. Its `Display` is
/// [`Plan::to_lines`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The layout that is in force.
    pub from: Figures,
    /// The layout that would follow.
    pub to: Figures,
    /// Q, the same in both.
    pub partitions: u32,
    /// Replicas to copy: those of `to` on a machine that did not hold that partition in `from`. The sum of
    /// what the members receive.
    pub moves: u32,
    /// Fewer moves are impossible with the numbers of partitions that `to` gives to each machine: what each
    /// holds beyond what it held, added up. Rules about zones may ask for more.
    pub moves_min: u32,
    /// Bytes of these replicas.
    pub bytes_moved: u64,
    /// Partitions whose bytes were told. The others were taken for the mean of these; with none, all bytes here
    /// are 0 and shares are shares of partitions.
    pub partitions_measured: u32,
    /// Partitions of which no machine of `to` has a copy in `from`. Anything but 0 is a reason to stop: only
    /// machines that give the partition up could still hand it over.
    pub orphans: u32,
    /// Copies that stay where they are, in the partition that keeps fewest.
    pub kept_min: u32,
    /// Every member of either layout, by name.
    pub members: Vec<MemberPlan>,
    /// Every zone of a member of either layout, by name; the zone of those that have none is empty.
    pub zones: Vec<ZonePlan>,
    /// Bytes that a machine receives or sends in a second while it does everything else, if it was told.
    pub pace: Option<NonZeroU64>,
    /// At this pace the copies take at least so long, rounded up to seconds: until the machine that receives most
    /// has it all, or until those that hold data now have sent everything. `None` without a pace or without
    /// bytes.
    pub duration_min: Option<Duration>,
}

/// What one layout is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Its version.
    pub version: u64,
    /// Its name: equal if all keys are placed alike.
    pub hash: u64,
    /// How its table was filled.
    pub mode: Mode,
    /// Replicas of each partition: the largest N of any keyspace, or the machines that hold data if they are
    /// fewer.
    pub replicas: usize,
    /// The largest N of any keyspace. The layout is *degraded* where this is more than `replicas`.
    pub replicas_asked: usize,
    /// Replicas in the keyspace that has fewest.
    pub replicas_least: usize,
    /// Replicas of a partition that may lie in one zone; `None` where there is no such rule, in mode tokens.
    pub max_per_zone: Option<usize>,
    /// Usable capacity: how much of what the machines could hold is used when the first of them is full, if each
    /// has room in proportion to its weight. A million if all fill at once. By partitions: the figure is
    /// that of the placement, whatever lies in it today.
    pub usable_ppm: u32,
    /// The fullest machine against the mean, both by weight: a million if all are equally full. By bytes as they
    /// are now, so it is no mere inverse of `usable_ppm`; by partitions if no bytes were told.
    pub skew_ppm: u32,
    /// With how many others a machine that holds data shares some of it: from how many it can be
    /// restored.
    pub peers: Peers,
}

impl Figures {
    /// Whether some keyspace has fewer replicas than its N asks for, since there are too few machines.
    pub fn is_degraded(&self) -> bool {
        self.replicas_asked > self.replicas
    }
}

/// How many machines share data with one, over all that hold data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// The machine that shares with fewest.
    pub min: u32,
    /// The mean, in thousandths.
    pub mean_thousandths: u32,
    /// The machine that shares with most.
    pub max: u32,
}

/// A member's part in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPlan {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// What it is in the layout in force; `None` if it joins.
    pub before: Option<Holding>,
    /// What it will be; `None` if it leaves.
    pub after: Option<Holding>,
    /// Replicas that it has to copy from others.
    pub receives: u32,
    /// Replicas that others hold instead of it, or nobody.
    pub gives_up: u32,
    /// Bytes of those that it receives.
    pub bytes_received: u64,
    /// Bytes of those that it gives up.
    pub bytes_given_up: u64,
}

/// What a member has in one layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Share of the data that it asks for, relative to others.
    pub weight: u32,
    /// What fails with it.
    pub zone: String,
    /// Partitions that it holds.
    pub partitions: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Its share of all replicas: of their bytes, or of their number if no bytes were told.
    pub share_ppm: u32,
    /// How many others hold one of its partitions, too.
    pub peers: u32,
}

/// What a zone has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonePlan {
    /// Its name.
    pub zone: String,
    /// Its machines with a weight above 0 in the layout that would follow.
    pub machines: u32,
    /// Replicas that lie in it in the layout in force.
    pub replicas_before: u32,
    /// Replicas that will.
    pub replicas_after: u32,
    /// Its share of all replicas of the layout that would follow, as [`Holding::share_ppm`].
    pub share_ppm: u32,
    /// Partitions that will have more than [`Figures::max_per_zone`] replicas in it. The rule holds where this
    /// is 0.
    pub crowded: u32,
}

impl Plan {
    /// Compares two layouts of one cluster. `bytes` tells how much one replica of a partition holds, as far as
    /// it is known; `pace` how much a machine receives or sends in a second.
    ///
    /// # Panics
    /// If the layouts differ in their number of partitions, which is fixed when a cluster is made.
    pub fn new(
        old: &Layout,
        new: &Layout,
        bytes: impl Fn(u16) -> Option<u64>,
        pace: Option<NonZeroU64>,
    ) -> Plan {
        assert_eq!(old.partitions(), new.partitions(), "partitions are fixed when a cluster is made");
        let sizes = Sizes::gather(old.partitions(), bytes);
        let (before, after) = (holdings(old, &sizes), holdings(new, &sizes));
        let copies = Copies::count(old, new, &sizes);
        let members = members(old, &before, new, &after, &copies);
        let growth = |member: &MemberPlan| {
            let partitions = |holding: &Option<Holding>| holding.as_ref().map_or(0, |held| held.partitions);
            partitions(&member.after).saturating_sub(partitions(&member.before))
        };
        let mut plan = Plan {
            from: Figures::of(old, &before),
            to: Figures::of(new, &after),
            partitions: old.partitions(),
            moves: members.iter().map(|member| member.receives).sum(),
            moves_min: members.iter().map(growth).sum(),
            bytes_moved: members.iter().fold(0, |sum, member| sum.saturating_add(member.bytes_received)),
            partitions_measured: sizes.measured,
            orphans: copies.orphans,
            kept_min: copies.kept_min,
            zones: zones(old, &before, new, &after),
            members,
            pace,
            duration_min: None,
        };
        plan.duration_min = plan.duration();
        plan
    }

    /// How long the copies take at the least.
    fn duration(&self) -> Option<Duration> {
        let pace = self.pace.filter(|_| self.partitions_measured > 0)?;
        let holds = |holding: &Holding| holding.partitions > 0;
        let senders = self.members.iter().filter(|member| member.before.as_ref().is_some_and(holds)).count();
        let sent = self.bytes_moved.div_ceil(senders.max(1) as u64);
        let received = self.members.iter().map(|member| member.bytes_received).max().unwrap_or(0);
        Some(Duration::from_secs(sent.max(received).div_ceil(pace.get())))
    }
}

/// Bytes of each partition, known or taken for the mean.
struct Sizes {
    bytes: Vec<u64>,
    measured: u32,
}

impl Sizes {
    fn gather(partitions: u32, bytes: impl Fn(u16) -> Option<u64>) -> Sizes {
        let told: Vec<Option<u64>> = (0..partitions).map(|partition| bytes(partition as u16)).collect();
        let known = told.iter().flatten();
        let (count, sum) = known.fold((0, 0), |(count, sum), &bytes| (count + 1, sum + u128::from(bytes)));
        let mean = (sum + u128::from(count) / 2).checked_div(u128::from(count)).unwrap_or(0) as u64;
        let bytes = told.into_iter().map(|bytes| bytes.unwrap_or(mean)).collect();
        Sizes { bytes, measured: count }
    }

    /// All partitions with their bytes.
    fn each(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..=u16::MAX).zip(self.bytes.iter().copied())
    }
}

/// Replicas and their bytes.
#[derive(Clone, Copy, Default)]
struct Amount {
    replicas: u32,
    bytes: u64,
}

impl Amount {
    /// Adds a replica. Bytes saturate: they come from outside.
    fn add(&mut self, bytes: u64) {
        self.replicas += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Who has to copy what.
struct Copies {
    /// By slots of the new layout.
    received: Vec<Amount>,
    /// By slots of the old one.
    given_up: Vec<Amount>,
    orphans: u32,
    kept_min: u32,
}

impl Copies {
    fn count(old: &Layout, new: &Layout, sizes: &Sizes) -> Copies {
        let slots = |of: &Layout, within: &Layout| -> Vec<Option<u16>> {
            of.members().iter().map(|member| within.slot_of(member.id)).collect()
        };
        let (to_new, to_old) = (slots(old, new), slots(new, old));
        let mut copies = Copies {
            received: vec![Amount::default(); new.members().len()],
            given_up: vec![Amount::default(); old.members().len()],
            orphans: 0,
            kept_min: u32::MAX,
        };
        for (partition, bytes) in sizes.each() {
            let (before, after) = (old.preference_list(partition), new.preference_list(partition));
            let mut kept = 0;
            for &slot in after {
                match to_old[usize::from(slot)].is_some_and(|slot| before.contains(&slot)) {
                    true => kept += 1,
                    false => copies.received[usize::from(slot)].add(bytes),
                }
            }
            for &slot in before {
                if to_new[usize::from(slot)].is_none_or(|slot| !after.contains(&slot)) {
                    copies.given_up[usize::from(slot)].add(bytes);
                }
            }
            copies.orphans += u32::from(kept == 0);
            copies.kept_min = copies.kept_min.min(kept);
        }
        copies
    }
}

/// What each member of a layout holds, by slot.
fn holdings(layout: &Layout, sizes: &Sizes) -> Vec<Holding> {
    let count = layout.members().len();
    let mut held = vec![Amount::default(); count];
    let mut share_data = vec![false; count * count];
    for (partition, bytes) in sizes.each() {
        let list = layout.preference_list(partition);
        for &slot in list {
            held[usize::from(slot)].add(bytes);
            let row = usize::from(slot) * count;
            list.iter().for_each(|&other| share_data[row + usize::from(other)] = other != slot);
        }
    }
    let holding = |(slot, member): (usize, &super::LayoutMember)| {
        let peers = share_data[slot * count..(slot + 1) * count].iter().filter(|&&shares| shares).count();
        Holding {
            weight: member.weight,
            zone: member.zone.clone(),
            partitions: held[slot].replicas,
            bytes: held[slot].bytes,
            share_ppm: 0,
            peers: peers as u32,
        }
    };
    let mut holdings: Vec<Holding> = layout.members().iter().enumerate().map(holding).collect();
    let load = load(&holdings);
    let total = holdings.iter().map(load).sum();
    for holding in &mut holdings {
        holding.share_ppm = ppm(load(holding), total);
    }
    holdings
}

/// What shares are shares of: bytes, or partitions as long as no bytes are known.
fn load(holdings: &[Holding]) -> fn(&Holding) -> u128 {
    match holdings.iter().any(|held| held.bytes > 0) {
        true => |held| held.bytes.into(),
        false => |held| held.partitions.into(),
    }
}

/// The members of both layouts, by name.
fn members(
    old: &Layout,
    before: &[Holding],
    new: &Layout,
    after: &[Holding],
    copies: &Copies,
) -> Vec<MemberPlan> {
    let left = old.members().iter().filter(|member| new.slot_of(member.id).is_none());
    let plan = |member: &super::LayoutMember| {
        let slot = |layout: &Layout| layout.slot_of(member.id).map(usize::from);
        let (old_slot, new_slot) = (slot(old), slot(new));
        let received = new_slot.map_or(Amount::default(), |slot| copies.received[slot]);
        let given_up = old_slot.map_or(Amount::default(), |slot| copies.given_up[slot]);
        MemberPlan {
            id: member.id,
            name: member.name.clone(),
            before: old_slot.map(|slot| before[slot].clone()),
            after: new_slot.map(|slot| after[slot].clone()),
            receives: received.replicas,
            gives_up: given_up.replicas,
            bytes_received: received.bytes,
            bytes_given_up: given_up.bytes,
        }
    };
    let mut members: Vec<MemberPlan> = new.members().iter().chain(left).map(plan).collect();
    members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    members
}

/// The zones of both layouts, by name.
fn zones(old: &Layout, before: &[Holding], new: &Layout, after: &[Holding]) -> Vec<ZonePlan> {
    let mut names: Vec<&str> = before.iter().chain(after).map(|held| held.zone.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let at = |held: &Holding| names.binary_search(&held.zone.as_str()).expect("all names were gathered");
    let zone_of: Vec<usize> = after.iter().map(at).collect();

    let most = max_per_zone(new).unwrap_or(limits::REPLICAS_MAX) as u32;
    let mut crowded = vec![0; names.len()];
    let mut replicas = vec![0; names.len()];
    for partition in 0..old.partitions() {
        let list = new.preference_list(partition as u16);
        list.iter().for_each(|&slot| replicas[zone_of[usize::from(slot)]] += 1);
        for &slot in list {
            // A zone is judged at its first machine and forgotten there, so the counts are 0 again after each list.
            let zone = zone_of[usize::from(slot)];
            crowded[zone] += u32::from(core::mem::take(&mut replicas[zone]) > most);
        }
    }
    let load = load(after);
    let total = after.iter().map(load).sum();
    let plan = |(number, &zone): (usize, &&str)| {
        let inside = |held: &&Holding| held.zone == zone;
        let replicas = |all: &[Holding]| all.iter().filter(inside).map(|held| held.partitions).sum();
        ZonePlan {
            zone: zone.to_owned(),
            machines: after.iter().filter(inside).filter(|held| held.weight > 0).count() as u32,
            replicas_before: replicas(before),
            replicas_after: replicas(after),
            share_ppm: ppm(after.iter().filter(inside).map(load).sum(), total),
            crowded: crowded[number],
        }
    };
    names.iter().enumerate().map(plan).collect()
}

impl Figures {
    fn of(layout: &Layout, holdings: &[Holding]) -> Figures {
        let keyspaces = || 0..limits::KEYSPACES_MAX;
        let asked = keyspaces().map(|keyspace| layout.replicas_asked(keyspace)).max();
        let least = keyspaces().map(|keyspace| layout.replica_count(keyspace)).min();
        Figures {
            version: layout.version(),
            hash: layout.hash(),
            mode: layout.mode(),
            replicas: layout.width(),
            replicas_asked: asked.expect("there are keyspaces"),
            replicas_least: least.expect("there are keyspaces"),
            max_per_zone: max_per_zone(layout),
            usable_ppm: usable_ppm(holdings),
            skew_ppm: skew_ppm(holdings),
            peers: Peers::of(holdings),
        }
    }
}

/// The least share by weight over share of partitions. When that machine is full, the others have room left, but
/// keys keep falling on it as well.
fn usable_ppm(holdings: &[Holding]) -> u32 {
    let weight: u128 = holdings.iter().map(|held| u128::from(held.weight)).sum();
    let partitions: u128 = holdings.iter().map(|held| u128::from(held.partitions)).sum();
    let usable = |held: &Holding| {
        let (own_weight, own_partitions) = (u128::from(held.weight), u128::from(held.partitions));
        ppm(own_weight * partitions, own_partitions * weight)
    };
    holdings.iter().filter(|held| held.partitions > 0).map(usable).min().unwrap_or(0)
}

/// The largest share over share by weight.
fn skew_ppm(holdings: &[Holding]) -> u32 {
    let load = load(holdings);
    let loads: u128 = holdings.iter().map(load).sum();
    let weights: u128 = holdings.iter().map(|held| u128::from(held.weight)).sum();
    let skew = |held: &Holding| ppm(load(held) * weights, u128::from(held.weight) * loads);
    holdings.iter().filter(|held| held.weight > 0).map(skew).max().unwrap_or(0)
}

impl Peers {
    fn of(holdings: &[Holding]) -> Peers {
        let peers = || holdings.iter().filter(|held| held.partitions > 0).map(|held| held.peers);
        let (count, sum) = (peers().count() as u64, peers().map(u64::from).sum::<u64>());
        Peers {
            min: peers().min().unwrap_or(0),
            mean_thousandths: (sum * 1_000 + count / 2).checked_div(count).unwrap_or(0) as u32,
            max: peers().max().unwrap_or(0),
        }
    }
}

/// The rule about zones, where there is one.
fn max_per_zone(layout: &Layout) -> Option<usize> {
    (layout.mode() == Mode::Balanced).then(|| layout.max_per_zone())
}

/// Millionths that `part` is of `whole`, rounded to the nearest; 0 of nothing.
fn ppm(part: u128, whole: u128) -> u32 {
    // The largest products are bytes of 64 bits by weights of 42, and a million has 20: it fits.
    let millionths = (part * 1_000_000 + whole / 2).checked_div(whole).unwrap_or(0);
    u32::try_from(millionths).unwrap_or(u32::MAX)
}
