//! What may go wrong in a run, and how often: drawn from the seed, another mixture for every run.
//!
//! A run in which everything happens all the time explores less than many runs in each of which a few
//! things happen often (swarm testing: Groce, Zhang, Eide, Chen, Regehr 2012). So each kind of fault is
//! switched on or off first, and its rate is drawn then.

use core::time::Duration;

use super::clock::{MS, Time};
use crate::proto::config::KeyspaceConfig;
use crate::proto::limits;
use crate::proto::rng::Rng;
use crate::proto::store::Durability;

/// A kind of fault. The report counts how often each struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A frame was lost.
    Loss,
    /// A frame arrived twice.
    Duplicate,
    /// A frame was overtaken by later ones.
    Reorder,
    /// A frame of before a restart arrived after it, or seconds late.
    LateReplay,
    /// A byte of a frame was changed.
    CorruptFrame,
    /// One direction between two machines carries nothing.
    CutOneWay,
    /// Neither direction does.
    CutTwoWay,
    /// One machine hears nobody and is heard by nobody.
    Isolate,
    /// Machines are split into two groups.
    Split,
    /// A machine stands still, then goes on.
    Pause,
    /// A process is killed: what reached the kernel stays.
    ProcessKill,
    /// A machine loses power: unsynced writes are lost, kept or torn, each for itself.
    MachineCrash,
    /// The power goes in the middle of a disk operation.
    CrashInDisk,
    /// All machines lose power at once.
    CrashAll,
    /// A node is stopped cleanly and started again.
    CleanRestart,
    /// A machine comes back with an empty disk.
    Wipe,
    /// One record of a store can no longer be read.
    LostRecord,
    /// A disk sync fails; the store is read-only until it is opened again.
    SyncFailure,
    /// There is no room for new segments.
    DiskFull,
    /// A read has to wait for the disk.
    ColdRead,
    /// The staging buffer is full.
    StagingFull,
    /// A wall clock jumps.
    WallJump,
    /// Wall clocks disagree from the start, and rates differ.
    Skew,
    /// A member runs with another layout for a while.
    ForeignLayout,
    /// Bits of a segment flip.
    BitRot,
    /// Sectors of a segment are what they were before they were written.
    SectorRot,
    /// Bits of a small file or of the checkpoint flip.
    FileRot,
    /// A write lands elsewhere.
    MisdirectedWrite,
    /// A machine comes back with an older state of its disk.
    Restore,
}

impl Fault {
    /// All kinds, in the order of the report.
    pub const ALL: [Fault; 29] = [
        Fault::Loss,
        Fault::Duplicate,
        Fault::Reorder,
        Fault::LateReplay,
        Fault::CorruptFrame,
        Fault::CutOneWay,
        Fault::CutTwoWay,
        Fault::Isolate,
        Fault::Split,
        Fault::Pause,
        Fault::ProcessKill,
        Fault::MachineCrash,
        Fault::CrashInDisk,
        Fault::CrashAll,
        Fault::CleanRestart,
        Fault::Wipe,
        Fault::LostRecord,
        Fault::SyncFailure,
        Fault::DiskFull,
        Fault::ColdRead,
        Fault::StagingFull,
        Fault::WallJump,
        Fault::Skew,
        Fault::ForeignLayout,
        Fault::BitRot,
        Fault::SectorRot,
        Fault::FileRot,
        Fault::MisdirectedWrite,
        Fault::Restore,
    ];

    /// What strikes the disk that rots, in the profile that has one.
    pub const ROT: [Fault; 4] = [Fault::BitRot, Fault::SectorRot, Fault::FileRot, Fault::MisdirectedWrite];

    /// The kinds that strike at a time of their own, rather than with a frame or a disk operation.
    pub const TIMED: [Fault; 15] = [
        Fault::CutOneWay,
        Fault::CutTwoWay,
        Fault::Isolate,
        Fault::Split,
        Fault::Pause,
        Fault::ProcessKill,
        Fault::MachineCrash,
        Fault::CrashInDisk,
        Fault::CrashAll,
        Fault::CleanRestart,
        Fault::Wipe,
        Fault::LostRecord,
        Fault::SyncFailure,
        Fault::DiskFull,
        Fault::WallJump,
    ];

    /// Its name in the report.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Which store a run's nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The append log over a simulated disk.
    Log,
    /// The store in memory: a stopped node has lost everything.
    Memory,
}

/// Everything about a run that is drawn before it begins.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Machines of the cluster.
    pub machines: usize,
    /// Keyspaces with their N, quorums and durability.
    pub keyspaces: Vec<KeyspaceConfig>,
    /// The store under the nodes.
    pub store: StoreKind,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of log, and time, after which a checkpoint is written.
    pub checkpoint_bytes: u64,
    /// See `checkpoint_bytes`.
    pub checkpoint_interval: Duration,
    /// The time in which every record is re-read.
    pub scrub_interval: Duration,
    /// Bytes of values at least that clients may write: large ones fill segments.
    pub ballast_max: u64,
    /// Replicas that each write must reach at least.
    pub w_min: u8,
    /// The machine whose disk rots.
    pub rotten: Option<usize>,
    /// Acknowledged operations after which the safety phase ends.
    pub acknowledged_target: u64,
    /// True time after which it ends in any case.
    pub time_limit: Time,
    /// Frames arrive in order and once, unless a connection breaks; otherwise anything goes.
    pub stream: bool,
    /// Frames out of 1,000,000 that are lost.
    pub loss_ppm: u64,
    /// That arrive twice.
    pub duplicate_ppm: u64,
    /// That are held back.
    pub reorder_ppm: u64,
    /// Whose copy arrives seconds later.
    pub late_ppm: u64,
    /// In which a byte changes.
    pub corrupt_ppm: u64,
    /// Least and most time a frame takes.
    pub delay: (Time, Time),
    /// Least and most time a disk sync takes.
    pub sync_delay: (Time, Time),
    /// One lookup in so many waits for the disk; 0 for none.
    pub cold_one_in: u64,
    /// One put in so many meets a full staging buffer; 0 for none.
    pub staging_full_one_in: u64,
    /// Largest error of a wall clock at the start, in milliseconds.
    pub skew_ms: u64,
    /// Largest error of a clock's rate, in parts per million.
    pub drift_ppm: u64,
    /// Mean time between two faults of a kind, for those that are switched on.
    pub timed: Vec<(Fault, Time)>,
    /// Longest time a cut, pause or outage lasts.
    pub outage_max: Time,
    /// Longest time until a connection is seen to be broken.
    pub detection_max: Time,
    /// Whether one member starts with another layout, and is corrected later.
    pub foreign_layout: bool,
    /// Deadline of requests that name none.
    pub client_deadline: Duration,
    /// Patience with one replica.
    pub replica_deadline: Duration,
    /// Time between syncs under `interval`.
    pub sync_interval: Duration,
    /// Time between passes of the sweep.
    pub sweep_interval: Duration,
    /// Siblings at which blind puts are refused.
    pub siblings_max: usize,
    /// Requests a node coordinates at one time.
    pub in_flight_max: usize,
    /// One read in so many is compared in the background.
    pub background_read_one_in: u64,
    /// How often copies are compared; never if `None`.
    pub exchange_interval: Option<Duration>,
    /// How old tombstones are before they are reaped; never if `None`.
    pub reap_after: Option<Duration>,
    /// How the members change, if they do.
    pub membership: Option<Moving>,
    /// Whether hints are kept, and requests are sloppy now and then.
    pub hints: Option<Hinting>,
    /// Clients walk through all keys, of which there are more.
    pub walks: bool,
    /// Clients follow change feeds, and write under a condition.
    pub feeds: bool,
    /// Machines are away for long, and what is done for them is counted.
    pub away: bool,
    /// One request in so many is cancelled, if it has no reply by then; 0 for none.
    pub cancel_one_in: u64,
    /// What the keys are used as, in turn.
    pub kinds: Vec<Kind>,
    /// Clients delete as often as they write.
    pub deletes_often: bool,
}

/// What clients use a key as: nothing else is written under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Bytes,
    /// A number that is counted on.
    Counter,
    /// A set.
    Set,
}

/// What bounds hints in a run.
#[derive(Clone, Copy, Debug)]
pub struct Hinting {
    /// Bytes of them.
    pub bytes_max: u64,
    /// How old they may become.
    pub age_max: Duration,
    /// Bytes a second of them that a node delivers.
    pub rate: u64,
}

/// How the members of a run change.
#[derive(Clone, Debug)]
pub struct Moving {
    /// Machines that found the cluster; the others may join.
    pub founders: usize,
    /// Partitions.
    pub partitions: u32,
    /// How long old copies are kept.
    pub drop_after: Duration,
    /// Mean time between two acts of operators.
    pub act_every: Time,
    /// One machine in so many that follows another topology stops there and then; 0 for none.
    pub crash_one_in: u64,
    /// Members have zones from the start.
    pub has_zones: bool,
    /// Keepers are parted, and one forgets what it voted.
    pub forgets: bool,
}

/// Names of the profiles that `--profile` takes.
pub const PROFILES: [&str; 21] = [
    "swarm",
    "calm",
    "network",
    "crash",
    "always",
    "memory",
    "late",
    "amnesia",
    "stale",
    "rot",
    "membership",
    "exchange",
    "sloppy",
    "counters",
    "reap",
    "sets",
    "scans",
    "feeds",
    "away",
    "cancels",
    "everything",
];

impl Profile {
    /// Draws the settings of a run. `name` is one of [`PROFILES`].
    ///
    /// # Panics
    /// If there is no profile of that name.
    pub fn draw(name: &str, seed: u64) -> Profile {
        let mut rng = Rng::new(seed ^ 0x5eed_fa17);
        let mut profile = Profile::quiet(&mut rng);
        // Drawn apart, so that the rest of a profile is what its seed always gave.
        let mut apart = Rng::new(seed ^ 0x0005_4ee9);
        profile.sweep_interval = Duration::from_millis(20 << apart.below(7));
        profile.checkpoint_bytes = (16 << 10) << apart.below(5);
        profile.checkpoint_interval = Duration::from_millis(500 << apart.below(6));
        profile.scrub_interval = Duration::from_millis(500 << apart.below(5));
        profile.ballast_max = [0, 0, 3_000, 10_000][apart.below(4) as usize];
        match name {
            "swarm" => {
                profile.draw_network_faults(&mut rng);
                profile.draw_disk_faults(&mut rng);
                profile.draw_clock_faults(&mut rng);
            }
            "calm" => {}
            "network" => profile.draw_network_faults(&mut rng),
            "crash" => profile.draw_disk_faults(&mut rng),
            "always" => {
                for keyspace in &mut profile.keyspaces {
                    keyspace.durability = Durability::Always;
                }
                profile.draw_network_faults(&mut rng);
                profile.draw_disk_faults(&mut rng);
            }
            "memory" => {
                profile.store = StoreKind::Memory;
                profile.draw_network_faults(&mut rng);
                profile.draw_clock_faults(&mut rng);
            }
            "late" => profile.make_everything_late(),
            "amnesia" => profile.forget_tails(&mut rng),
            "stale" => profile.leave_replicas_behind(),
            "rot" => profile.let_a_disk_rot(&mut rng),
            "membership" => {
                profile.let_members_change(&mut rng);
                profile.membership.iter_mut().for_each(|drawn| drawn.forgets = seed % 8 == 7);
            }
            "exchange" => {
                match seed % 4 {
                    2 => profile.let_members_change(&mut rng),
                    3 => profile.let_a_disk_rot(&mut rng),
                    _ => {
                        profile.draw_network_faults(&mut rng);
                        profile.draw_disk_faults(&mut rng);
                        profile.draw_clock_faults(&mut rng);
                    }
                }
                profile.compare_copies(&mut rng);
            }
            "sloppy" => profile.let_fallbacks_stand_in(&mut rng),
            "counters" | "sets" => {
                profile.kinds = vec![if name == "sets" { Kind::Set } else { Kind::Counter }];
                if seed % 3 == 2 {
                    profile.let_fallbacks_stand_in(&mut rng);
                } else {
                    profile.draw_network_faults(&mut rng);
                    profile.draw_disk_faults(&mut rng);
                    profile.draw_clock_faults(&mut rng);
                }
            }
            "reap" => profile.reap_deletes(seed, &mut rng),
            "scans" => profile.let_clients_walk(seed, &mut rng),
            "feeds" => profile.let_clients_follow(seed, &mut rng),
            "away" => profile.leave_for_long(&mut rng),
            "cancels" => profile.let_clients_leave(seed, &mut rng),
            "everything" => profile.mix_everything(seed, &mut rng),
            other => panic!("no profile is called `{other}`"),
        }
        if name != "calm" {
            profile.add_until_varied(&mut rng);
        }
        if matches!(name, "reap" | "feeds") {
            // A tombstone of a clock that was an hour ahead is an hour older before it goes.
            profile.timed.retain(|(fault, _)| *fault != Fault::WallJump);
        }
        profile
    }

    /// A cluster and its settings, without a fault.
    fn quiet(rng: &mut Rng) -> Profile {
        let machines = match rng.below(100) {
            0..4 => 1,
            4..8 => 2,
            8..76 => 3,
            76..84 => 4,
            _ => 5,
        };
        let durability = match rng.below(5) {
            0 => Durability::Memory,
            1 | 2 => Durability::Interval,
            _ => Durability::Always,
        };
        let mut keyspaces = vec![KeyspaceConfig { durability, ..KeyspaceConfig::default() }];
        if rng.one_in(2) {
            let n = 1 + rng.below(machines.min(5) as u64) as u8;
            let w = if rng.one_in(3) { Some(1) } else { None };
            let other = [Durability::Memory, Durability::Interval, Durability::Always];
            let durability = if rng.one_in(2) { durability } else { other[rng.below(3) as usize] };
            keyspaces.push(KeyspaceConfig { n, r: None, w, durability });
        }
        let deadline_ms = 100 << rng.below(4);
        Profile {
            machines,
            keyspaces,
            store: if rng.one_in(10) { StoreKind::Memory } else { StoreKind::Log },
            segment_bytes: 64 << (10 + rng.below(4)),
            checkpoint_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(60),
            scrub_interval: Duration::from_secs(60),
            ballast_max: 0,
            w_min: 0,
            rotten: None,
            acknowledged_target: 520 + rng.below(200),
            time_limit: 240_000 * MS,
            stream: rng.one_in(3),
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            late_ppm: 0,
            corrupt_ppm: 0,
            delay: (MS / 20, MS / 20 + MS / 10 * (1 + rng.below(50))),
            sync_delay: (MS / 10, MS / 10 + MS / 2 * (1 + rng.below(40))),
            cold_one_in: 0,
            staging_full_one_in: 0,
            skew_ms: 0,
            drift_ppm: 0,
            timed: Vec::new(),
            outage_max: MS * (100 << rng.below(5)),
            detection_max: MS * (5 << rng.below(8)),
            foreign_layout: false,
            client_deadline: Duration::from_millis(deadline_ms),
            replica_deadline: Duration::from_millis((deadline_ms / 4).max(20)),
            sync_interval: Duration::from_millis(20 << rng.below(4)),
            sweep_interval: Duration::from_secs(1),
            siblings_max: if rng.one_in(3) { 4 + rng.below(12) as usize } else { 100 },
            in_flight_max: if rng.one_in(4) { 2 + rng.below(4) as usize } else { 1_024 },
            background_read_one_in: rng.below(5),
            exchange_interval: None,
            reap_after: None,
            membership: None,
            hints: None,
            walks: false,
            feeds: false,
            away: false,
            cancel_one_in: 0,
            kinds: vec![Kind::Bytes],
            deletes_often: false,
        }
    }

    /// Trap T2: machines are away for longer than hints may become old, and fallbacks stand in for them.
    pub(super) fn let_fallbacks_stand_in(&mut self, rng: &mut Rng) {
        self.machines = 4 + rng.below(3) as usize;
        self.store = StoreKind::Log;
        let levels = [Durability::Memory, Durability::Interval, Durability::Always];
        let durability = levels[rng.below(3) as usize];
        let n = 2 + rng.below(2) as u8;
        self.keyspaces = vec![KeyspaceConfig { n, durability, ..KeyspaceConfig::default() }];
        self.hints = Some(Hinting {
            bytes_max: if rng.one_in(3) { 1 << (8 + rng.below(4)) } else { 1 << 20 },
            age_max: Duration::from_millis(200 << rng.below(5)),
            rate: limits::HINT_RATE,
        });
        self.acknowledged_target += 200;
        if rng.one_in(2) {
            self.draw_network_faults(rng);
        }
        let kinds = [Fault::ProcessKill, Fault::MachineCrash, Fault::CrashInDisk, Fault::CrashAll];
        self.draw_timed(rng, &kinds, 2);
        self.draw_timed(rng, &[Fault::Isolate, Fault::Split, Fault::CutTwoWay, Fault::CleanRestart], 2);
        self.draw_timed(rng, &[Fault::SyncFailure], 5);
        self.foreign_layout = false;
        self.outage_max = MS * (500 << rng.below(4));
        self.detection_max = MS * (5 << rng.below(5));
    }

    /// Traps T1 and T7: every frame comes twice, half of them again seconds later, and more nodes than
    /// replicas, so that writes are forwarded.
    fn make_everything_late(&mut self) {
        self.machines = 5;
        self.stream = false;
        self.duplicate_ppm = 1_000_000;
        self.late_ppm = 500_000;
        self.timed = vec![(Fault::ProcessKill, 900 * MS), (Fault::CutTwoWay, 700 * MS)];
    }

    /// Trap T3: stops of every kind follow each other while little is synced, and records get lost.
    fn forget_tails(&mut self, rng: &mut Rng) {
        self.machines = 3;
        self.store = StoreKind::Log;
        let durability = if rng.one_in(2) { Durability::Memory } else { Durability::Interval };
        self.keyspaces = vec![KeyspaceConfig { durability, ..KeyspaceConfig::default() }];
        let kinds = [Fault::MachineCrash, Fault::ProcessKill, Fault::CleanRestart, Fault::LostRecord];
        self.timed = kinds.map(|kind| (kind, 300 * MS)).to_vec();
        self.outage_max = 200 * MS;
    }

    /// Traps T12 and T20: one machine after the other misses writes and comes back to coordinate.
    fn leave_replicas_behind(&mut self) {
        self.machines = 3;
        self.keyspaces = vec![KeyspaceConfig::default()];
        self.loss_ppm = 100_000;
        self.background_read_one_in = 0;
        self.timed = vec![(Fault::Isolate, 200 * MS), (Fault::Pause, 500 * MS)];
        self.outage_max = 300 * MS;
        self.detection_max = 20 * MS;
    }

    /// Trap T4: one disk rots, and every write that is acknowledged has reached another machine as well.
    fn let_a_disk_rot(&mut self, rng: &mut Rng) {
        self.machines = 3;
        self.store = StoreKind::Log;
        let durability = if rng.one_in(2) { Durability::Interval } else { Durability::Always };
        self.keyspaces = vec![KeyspaceConfig { durability, ..KeyspaceConfig::default() }];
        self.w_min = 2;
        self.rotten = Some(rng.below(3) as usize);
        self.segment_bytes = (64 << 10) << rng.below(2);
        self.ballast_max = 3_000 << rng.below(3);
        self.draw_timed(rng, &Fault::ROT, 1);
        self.draw_timed(rng, &[Fault::ProcessKill, Fault::CleanRestart, Fault::MachineCrash], 1);
        self.draw_timed(rng, &[Fault::Isolate, Fault::CutTwoWay, Fault::SyncFailure], 4);
        self.outage_max = 400 * MS;
    }

    /// Nothing but the exchange makes copies equal that reads do not meet.
    pub(super) fn compare_copies(&mut self, rng: &mut Rng) {
        self.exchange_interval = Some(Duration::from_millis(50 << rng.below(5)));
        self.background_read_one_in = 0;
        // What cannot be read counts in the trees until a scrub has found it.
        self.timed.retain(|(fault, _)| *fault != Fault::LostRecord);
    }

    /// Traps T5 and T6: keys are deleted and reaped all the time, while hints, repairs and records of exchanges are on
    /// their way, machines are away, and directories change.
    pub(super) fn reap_deletes(&mut self, seed: u64, rng: &mut Rng) {
        match seed % 4 {
            2 => {
                self.machines = 3 + rng.below(2) as usize;
                self.store = StoreKind::Log;
                self.draw_network_faults(rng);
                self.draw_disk_faults(rng);
            }
            3 => self.let_members_change(rng),
            _ => self.let_fallbacks_stand_in(rng),
        }
        if seed % 4 != 2 {
            self.compare_copies(rng);
        }
        self.late_ppm = self.late_ppm.max(20_000 << rng.below(3));
        self.foreign_layout = false;
        // In a cluster that does not change an emptied directory is taken for the one that was there.
        self.timed.retain(|(fault, _)| *fault != Fault::Wipe);
        (self.skew_ms, self.drift_ppm) = (0, 0);
        self.reap_after = Some(Duration::from_millis(200 << rng.below(5)));
        self.deletes_often = true;
        // Replicas that are back may be told of a delete long before they are given what it deletes.
        self.hints.iter_mut().for_each(|hints| hints.rate = 4_000 << rng.below(4));
        self.acknowledged_target += 300;
    }

    /// Traps T5, T8 and T9: members join, leave, die and come back empty, under everything else.
    pub(super) fn let_members_change(&mut self, rng: &mut Rng) {
        let founders = 3 + rng.below(3) as usize;
        self.machines = founders + 1 + rng.below(3) as usize;
        self.store = StoreKind::Log;
        let levels = [Durability::Memory, Durability::Interval, Durability::Always];
        let quorums = [(None, None), (None, None), (None, Some(1)), (Some(1), Some(3)), (Some(3), Some(1))];
        let keyspaces = 1 + rng.below(3);
        self.keyspaces = (0..keyspaces)
            .map(|number| {
                let n = if number == 0 { 3 - u8::from(rng.one_in(4)) } else { 1 + rng.below(3) as u8 };
                let (r, w) = quorums[rng.below(quorums.len() as u64) as usize];
                let of = |count: Option<u8>| count.map(|count| count.min(n));
                let durability = levels[rng.below(3) as usize];
                KeyspaceConfig { n, r: of(r), w: of(w), durability }
            })
            .collect();
        self.membership = Some(Moving {
            founders,
            partitions: 8 << rng.below(2),
            drop_after: Duration::from_millis(200 << rng.below(5)),
            act_every: MS * (100 << rng.below(4)),
            crash_one_in: [0, 0, 8, 30][rng.below(4) as usize],
            has_zones: rng.one_in(4),
            forgets: false,
        });
        self.acknowledged_target += 300;
        if rng.one_in(2) {
            self.draw_network_faults(rng);
        }
        if rng.one_in(2) {
            self.draw_disk_faults(rng);
        }
        if rng.one_in(4) {
            self.draw_clock_faults(rng);
        }
        self.foreign_layout = false;
        self.outage_max = self.outage_max.min(800 * MS);
        // Records that a scan cannot read are another matter; disks are lost by the nemesis.
        self.timed.retain(|(fault, _)| !matches!(fault, Fault::Wipe | Fault::LostRecord));
    }

    pub(super) fn draw_network_faults(&mut self, rng: &mut Rng) {
        let mut rate = |most: u64| if rng.one_in(2) { most >> rng.below(8) } else { 0 };
        self.loss_ppm = rate(200_000);
        self.duplicate_ppm = rate(300_000);
        self.reorder_ppm = rate(400_000);
        self.late_ppm = rate(50_000);
        self.corrupt_ppm = rate(5_000);
        let kinds = [Fault::CutOneWay, Fault::CutTwoWay, Fault::Isolate, Fault::Split, Fault::Pause];
        self.draw_timed(rng, &kinds, 2);
        self.foreign_layout = rng.one_in(25) && self.machines > 1 && self.store == StoreKind::Log;
    }

    pub(super) fn draw_disk_faults(&mut self, rng: &mut Rng) {
        self.cold_one_in = if rng.one_in(2) { 2 + rng.below(30) } else { 0 };
        self.staging_full_one_in = if rng.one_in(4) { 20 + rng.below(200) } else { 0 };
        let kinds = [
            Fault::ProcessKill,
            Fault::MachineCrash,
            Fault::CrashInDisk,
            Fault::CrashAll,
            Fault::CleanRestart,
            Fault::LostRecord,
            Fault::Wipe,
        ];
        self.draw_timed(rng, &kinds, 3);
        self.draw_timed(rng, &[Fault::SyncFailure, Fault::DiskFull], 5);
    }

    pub(super) fn draw_clock_faults(&mut self, rng: &mut Rng) {
        if rng.one_in(2) {
            self.skew_ms = 1 << rng.below(12);
            self.drift_ppm = rng.below(500);
        }
        self.draw_timed(rng, &[Fault::WallJump], 3);
    }

    pub(super) fn draw_timed(&mut self, rng: &mut Rng, kinds: &[Fault], one_in: u64) {
        for &kind in kinds {
            if rng.one_in(one_in) {
                self.timed.push((kind, MS * (200 << rng.below(5))));
            }
        }
    }

    /// A run counts only if three kinds of fault struck, so at least four are switched on.
    fn add_until_varied(&mut self, rng: &mut Rng) {
        let frames = [self.loss_ppm, self.duplicate_ppm, self.reorder_ppm, self.late_ppm];
        let mut kinds = self.timed.len() + usize::from(self.cold_one_in > 0 && self.store == StoreKind::Log);
        if self.machines > 1 {
            kinds += frames.iter().filter(|&&rate| rate > 10_000).count();
        }
        while kinds < 5 {
            let kind = Fault::TIMED[rng.below(Fault::TIMED.len() as u64) as usize];
            let possible = match kind {
                Fault::CutOneWay | Fault::CutTwoWay | Fault::Isolate | Fault::Split => self.machines > 1,
                Fault::SyncFailure | Fault::DiskFull | Fault::Wipe | Fault::LostRecord => false,
                _ => self.store == StoreKind::Log || kind == Fault::Pause || kind == Fault::WallJump,
            };
            let known = self.timed.iter().any(|&(other, _)| other == kind);
            if possible && !known {
                self.timed.push((kind, MS * (200 << rng.below(3))));
                kinds += 1;
            } else if self.timed.len() + 2 >= Fault::TIMED.len() || (known && rng.one_in(16)) {
                break;
            }
        }
    }

    /// Switches off everything that happens with a frame or a disk operation: the liveness phase.
    pub fn heal(&mut self) {
        self.loss_ppm = 0;
        self.duplicate_ppm = 0;
        self.reorder_ppm = 0;
        self.late_ppm = 0;
        self.corrupt_ppm = 0;
        self.cold_one_in = 0;
        self.staging_full_one_in = 0;
        self.timed.clear();
        self.detection_max = self.detection_max.min(20 * MS);
    }
}
