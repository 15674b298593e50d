//! A network of membership machines in one thread: seeded loss and delay, cuts, stopped and killed nodes. Shared
//! by the tests and the bench of membership, which name what it uses in their own root.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{
    Alert, Boot, Change, ClusterKeys, Config, Description, Duration, Gossip, Incarnation, Instant, Keyring,
    Known, MemberId, Mode, Now, Output, Refusal, Rng, Timing, Verdict, WallTime,
};

/// What IP and UDP add to a datagram, in bytes.
pub const OVERHEAD: u64 = 28;
/// Datagrams that a stopped process finds when it goes on: a socket's buffer.
const INBOX_MAX: usize = 256;

/// How a network is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub nodes: usize,
    pub seed: u64,
    pub mode: Mode,
    /// Nodes know each other from the start; otherwise they know the first one's address.
    pub acquainted: bool,
    /// Node i is in zone 1 + i mod zones; 0 for no zones.
    pub zones: u32,
}

impl Setup {
    pub fn new(nodes: usize, seed: u64) -> Setup {
        Setup { nodes, seed, mode: Mode::Gossip, acquainted: true, zones: 0 }
    }

    fn zone(&self, at: usize) -> u32 {
        if self.zones == 0 { 0 } else { 1 + at as u32 % self.zones }
    }

    /// The settings of one node at one opening of its directory.
    pub fn config(&self, at: usize, opens: u32) -> Config {
        let keys = keys();
        let described = |at: usize, opens: u32| Description {
            name: format!("n{at}"),
            address: address(at),
            zone: self.zone(at),
            generation: 1_000 + at as u64,
            nonce: nonce(at, opens),
        };
        let known = |at: usize| Known {
            description: described(at, 1),
            incarnation: Incarnation { opens: 1, bumps: 0 },
        };
        Config {
            name: format!("n{at}"),
            address: address(at),
            zone: self.zone(at),
            generation: 1_000 + at as u64,
            boot: Boot { opens, nonce: nonce(at, opens) },
            keyring: Keyring::new(keys.gossip),
            mode: self.mode,
            members: if self.acquainted { (0..self.nodes).map(known).collect() } else { vec![] },
            seeds: if self.acquainted { vec![] } else { vec![address(0)] },
            timing: Timing::default(),
        }
    }
}

/// The keys of the simulated cluster.
pub fn keys() -> ClusterKeys {
    ClusterKeys::derive("test", &ClusterKeys::PUBLIC)
}

pub fn address(at: usize) -> Vec<u8> {
    at.to_string().into_bytes()
}

fn nonce(at: usize, opens: u32) -> u32 {
    1 + at as u32 * 1_000 + opens
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Datagram { to: usize, from: usize, bytes: Vec<u8> },
    Timer { node: usize },
    StreamAnswer { node: usize, number: u32 },
    Resume { node: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Running,
    Stopped,
    Dead,
}

/// The network and its nodes.
pub struct Net {
    pub setup: Setup,
    pub nodes: Vec<Gossip>,
    pub now: Instant,
    /// Of a thousand datagrams, how many are lost.
    pub loss_per_mille: u64,
    /// Whether stream probes come through to living nodes of one side.
    pub streams: bool,
    /// Nodes with other numbers do not hear each other.
    pub sides: Vec<u32>,
    /// One-way cuts: (from, to).
    pub cuts: Vec<(usize, usize)>,
    /// Bytes sent by each node, IP and UDP included.
    pub bytes: Vec<u64>,
    pub changes: Vec<(Instant, usize, Change)>,
    pub alerts: Vec<(usize, Alert)>,
    /// How often each node asked its host to keep a snapshot.
    pub remembered: Vec<u32>,
    /// Every datagram sent, if `tap` is set: (from, to, bytes).
    pub tapped: Vec<(usize, usize, Vec<u8>)>,
    pub tap: bool,
    process: Vec<Process>,
    inboxes: Vec<VecDeque<(usize, Vec<u8>)>>,
    opens: Vec<u32>,
    timers: Vec<Instant>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events: u64,
    rng: Rng,
}

impl Net {
    pub fn new(setup: Setup) -> Net {
        let count = setup.nodes;
        let now = Instant::from_nanos(1_000_000_000);
        let mut net = Net {
            nodes: Vec::new(),
            now,
            loss_per_mille: 0,
            streams: true,
            sides: vec![0; count],
            cuts: Vec::new(),
            bytes: vec![0; count],
            changes: Vec::new(),
            alerts: Vec::new(),
            remembered: vec![0; count],
            tapped: Vec::new(),
            tap: false,
            process: vec![Process::Running; count],
            inboxes: vec![VecDeque::new(); count],
            opens: vec![1; count],
            timers: vec![Instant::NEVER; count],
            queue: BinaryHeap::new(),
            events: 0,
            rng: Rng::new(setup.seed),
            setup,
        };
        for at in 0..count {
            let node = net.start(at);
            net.nodes.push(node);
        }
        for at in 0..count {
            net.drain(at);
        }
        net
    }

    fn start(&mut self, at: usize) -> Gossip {
        let config = self.setup.config(at, self.opens[at]);
        Gossip::new(config, keys(), self.rng.next_u64(), self.time()).expect("a good config")
    }

    pub fn time(&self) -> Now {
        Now { mono: self.now, wall: WallTime(0) }
    }

    /// Lets everything happen that happens in this time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until `done`, asked after each event, or until the time is over; false for the latter.
    pub fn run_until(&mut self, end: Instant, done: impl Fn(&Net) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            let next = self.queue.peek().map(|Reverse((at, _, _))| Instant::from_nanos(*at));
            if next.is_none_or(|next| next > end) {
                return false;
            }
            let Reverse((at, _, event)) = self.queue.pop().expect("it was just there");
            self.now = Instant::from_nanos(at);
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.time();
        match event {
            Event::Datagram { to, from, bytes } => match self.process[to] {
                Process::Running => {
                    let _ = self.nodes[to].handle_datagram(now, &address(from), &bytes);
                    self.drain(to);
                }
                Process::Stopped if self.inboxes[to].len() < INBOX_MAX => {
                    self.inboxes[to].push_back((from, bytes));
                }
                Process::Stopped | Process::Dead => {}
            },
            Event::Timer { node } => {
                if self.process[node] == Process::Running && self.timers[node] == self.now {
                    self.nodes[node].handle_timeout(now);
                    self.timers[node] = Instant::NEVER;
                    self.drain(node);
                }
            }
            Event::StreamAnswer { node, number } => {
                if self.process[node] == Process::Running {
                    self.nodes[node].handle_stream_probe(now, number);
                    self.drain(node);
                }
            }
            Event::Resume { node } => {
                if self.process[node] == Process::Stopped {
                    self.process[node] = Process::Running;
                    for (from, bytes) in core::mem::take(&mut self.inboxes[node]) {
                        let _ = self.nodes[node].handle_datagram(now, &address(from), &bytes);
                    }
                    self.nodes[node].handle_timeout(now);
                    self.drain(node);
                }
            }
        }
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.events += 1;
        self.queue.push(Reverse(((self.now + after).as_nanos(), self.events, event)));
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(200 + self.rng.below(1_800))
    }

    /// Does what a node wants done.
    pub fn drain(&mut self, at: usize) {
        let now = self.time();
        while let Some(output) = self.nodes[at].poll_output(now) {
            match output {
                Output::Send { to, bytes } => {
                    self.bytes[at] += bytes.len() as u64 + OVERHEAD;
                    self.carry(at, &to, bytes);
                }
                Output::StreamProbe { member, number } => {
                    let to = self.index(member);
                    let joined = self.sides[at] == self.sides[to];
                    if self.streams && joined && self.process[to] == Process::Running {
                        let after = self.delay() + self.delay();
                        self.push(after, Event::StreamAnswer { node: at, number });
                    }
                }
                Output::Changed(change) => self.changes.push((self.now, at, change)),
                Output::Alert(alert) => self.alerts.push((at, alert)),
                Output::Remember => self.remembered[at] += 1,
                Output::LayoutDiffers { .. } => {}
            }
        }
        let deadline = self.nodes[at].deadline();
        if deadline != self.timers[at] && deadline != Instant::NEVER {
            self.timers[at] = deadline.max(self.now);
            let after = self.timers[at].since(self.now);
            self.push(after, Event::Timer { node: at });
        }
    }

    fn carry(&mut self, from: usize, to: &[u8], bytes: Vec<u8>) {
        assert!(bytes.len() <= 1_400, "a datagram of {} bytes", bytes.len());
        let to: usize = core::str::from_utf8(to).expect("an address of ours").parse().expect("a number");
        if self.tap {
            self.tapped.push((from, to, bytes.clone()));
        }
        let cut = self.sides[from] != self.sides[to] || self.cuts.contains(&(from, to));
        if cut || self.rng.below(1_000) < self.loss_per_mille {
            return;
        }
        let after = self.delay();
        self.push(after, Event::Datagram { to, from, bytes });
    }

    /// Hands a node a datagram as if it came from another's address.
    pub fn inject(&mut self, to: usize, from: usize, bytes: &[u8]) -> Result<(), Refusal> {
        let now = self.time();
        let taken = self.nodes[to].handle_datagram(now, &address(from), bytes);
        self.drain(to);
        taken
    }

    fn index(&self, id: MemberId) -> usize {
        self.nodes.iter().position(|node| node.own() == id).expect("one of ours")
    }

    /// Ends a process; nothing of it is heard any more.
    pub fn kill(&mut self, at: usize) {
        self.process[at] = Process::Dead;
    }

    /// Starts a dead process again, over the same directory.
    pub fn restart(&mut self, at: usize) {
        self.opens[at] += 1;
        self.nodes[at] = self.start(at);
        self.process[at] = Process::Running;
        self.timers[at] = Instant::NEVER;
        self.drain(at);
    }

    /// Stops a process for a while, as SIGSTOP and SIGCONT do.
    pub fn pause(&mut self, at: usize, time: Duration) {
        self.process[at] = Process::Stopped;
        self.push(time, Event::Resume { node: at });
    }

    pub fn lives(&self, at: usize) -> bool {
        self.process[at] != Process::Dead
    }

    /// What one node thinks of another.
    pub fn verdict(&self, at: usize, of: usize) -> Option<Verdict> {
        self.nodes[at].member(self.nodes[of].own()).map(|member| member.verdict())
    }

    /// Whether every living node thinks so of this one.
    pub fn all_think(&self, of: usize, verdict: Verdict) -> bool {
        (0..self.nodes.len())
            .filter(|&at| at != of && self.lives(at))
            .all(|at| self.verdict(at, of) == Some(verdict))
    }

    /// Whether all living nodes have one table, in which all of them are alive.
    pub fn agrees(&self) -> bool {
        let living: Vec<usize> = (0..self.nodes.len()).filter(|&at| self.lives(at)).collect();
        let digest = self.nodes[living[0]].digest();
        living.iter().all(|&at| {
            self.nodes[at].digest() == digest
                && living.iter().all(|&of| self.verdict(at, of) == Some(Verdict::Alive))
        })
    }

    /// Bytes a second that a node sent on average, IP and UDP included, in this time.
    pub fn bytes_per_second(&self, time: Duration) -> f64 {
        let living = (0..self.nodes.len()).filter(|&at| self.lives(at)).count();
        self.bytes.iter().sum::<u64>() as f64 / living as f64 / time.as_secs_f64()
    }

    /// Times that a living node was declared down by another since `since`.
    pub fn declared_down(&self, since: Instant) -> usize {
        let down = |(at, _, change): &&(Instant, usize, Change)| *at >= since && change.to == Verdict::Down;
        self.changes.iter().filter(down).count()
    }

    /// Probes that failed, at all nodes together.
    pub fn probes_failed(&self) -> u64 {
        self.nodes.iter().map(|node| node.counters().probes_failed).sum()
    }

    /// Kills a node, and says after what time each other one declared it down; fewer if `within` was too short.
    pub fn time_to_declare(&mut self, of: usize, within: Duration) -> Vec<Duration> {
        let (killed_at, seen) = (self.now, self.changes.len());
        self.kill(of);
        let end = self.now + within;
        self.run_until(end, |net| net.all_think(of, Verdict::Down));
        let id = self.nodes[of].own();
        let news = self.changes[seen..].iter();
        news.filter(|(_, _, change)| change.member == id && change.to == Verdict::Down)
            .map(|(at, _, _)| at.since(killed_at))
            .collect()
    }
}
