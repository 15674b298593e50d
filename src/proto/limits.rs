//! Every bound of the core, named. Whatever grows has its bound here; the same names stand in docs.

use core::time::Duration;

/// Longest key, in bytes: what a stored key's length field holds beside the keyspace number.
pub const KEY_MAX: usize = 65_000;
/// Longest key accepted by default, in bytes.
pub const KEY_MAX_DEFAULT: usize = 4_096;
/// Largest value, in bytes.
pub const VALUE_MAX: usize = 64 << 20;
/// Largest value accepted by default, in bytes.
pub const VALUE_MAX_DEFAULT: usize = 16 << 20;
/// Siblings of one key at which a put without full context is refused.
pub const SIBLINGS_MAX: usize = 100;
/// Siblings of one key at which a warning is counted.
pub const SIBLINGS_WARN: usize = 25;
/// Values of one key's siblings together, in bytes, over which a put without full context is refused: two
/// coordinators that do not hear of each other still make an object that fits a frame.
pub const SIBLING_BYTES_MAX: usize = FRAME_MAX / 2;
/// Encoded context, in bytes, from which a put without full context is refused.
pub const CONTEXT_WARN: usize = 4 << 10;
/// Longest context token accepted from a client, in bytes.
pub const CONTEXT_MAX: usize = 64 << 10;
/// Dots beside the clock of a context that is given to a client: 36 bytes each.
pub const CONTEXT_DOTS_MAX: usize = 1_024;
/// Keys of a page of a change feed, bytes of their objects after which it ends, and bytes of the log that are read for it.
pub const CHANGES_PAGE_MAX: u32 = 1_000;
/// See [`CHANGES_PAGE_MAX`].
pub const CHANGES_BYTES_MAX: usize = 1 << 20;
/// See [`CHANGES_PAGE_MAX`].
pub const CHANGES_EFFORT: u64 = 4 << 20;
/// Functions of the host that make one value of several.
pub const MERGE_FUNCTIONS_MAX: u8 = 16;
/// Elements of one set, from which on no more are added.
pub const ELEMENTS_MAX: usize = 10_000;
/// Keyspaces of a cluster.
pub const KEYSPACES_MAX: u16 = 16;
/// Replicas of one key.
pub const REPLICAS_MAX: usize = 16;
/// Partitions of a cluster.
pub const PARTITIONS_MAX: u32 = 1 << 16;
/// Partitions of a new cluster by default.
pub const PARTITIONS_DEFAULT: u32 = 256;
/// Members of a cluster.
pub const MEMBERS_MAX: usize = 1_024;
/// Longest member name, in bytes.
pub const NAME_MAX: usize = 64;
/// Tokens drawn for a member of weight 1.
pub const TOKENS_DEFAULT: u32 = 64;
/// Tokens of all members together: each costs 16 bytes while a layout is made.
pub const TOKENS_TOTAL_MAX: u64 = 1 << 22;
/// Largest frame between peers, in bytes: two of the largest values and what belongs to them.
pub const FRAME_MAX: usize = 130 << 20;
/// Requests a node coordinates at one time.
pub const IN_FLIGHT_MAX: usize = 65_536;
/// Bytes of each buffer that a request's slot keeps for the next request: as many slots stay as were ever
/// in use at one time.
pub const SLOT_BUFFER_KEPT: usize = 1 << 10;
/// Bytes of values that writes in flight on a node bring; beyond it writes are refused as overloaded.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;
/// Bytes queued towards one peer; beyond it the connection is given up, as the peer does not keep up.
pub const PEER_QUEUE_MAX: usize = 64 << 20;
/// Answers kept for one forwarding sender, for its retransmissions.
pub const FORWARD_WINDOW: u64 = 4_096;
/// Largest answer kept for a forward's retransmission, in bytes.
pub const FORWARD_ANSWER_MAX: usize = 16 << 10;
/// Answers that a coordinator keeps of named increments, of each kind of name.
pub const ONCE_WINDOW: usize = 4_096;
/// Keys in one page of a scan.
pub const SCAN_PAGE_MAX: u32 = 1_024;
/// Longest pattern that keys are chosen by, in bytes.
pub const PATTERN_MAX: usize = 1_024;
/// Steps of pattern matching for one page of keys.
pub const PATTERN_STEPS_MAX: u64 = 4 << 20;
/// Records that are looked at for one page, or for what one replica lists of it.
pub const SCAN_VISITS_MAX: usize = 4_096;
/// Bytes of keys after which a page, or what one replica lists of it, ends.
pub const SCAN_BYTES_MAX: usize = 1 << 20;
/// Keys of which copies differ in what is listed at one time, and after which a page ends: each costs a read.
pub const SCAN_READS_MAX: usize = 64;
/// Of these, read at one time.
pub const SCAN_READS_OPEN: usize = 16;
/// How long a client's request may take by default.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(1);
/// How long a coordinator waits for one replica before it asks another, or sends again.
pub const REPLICA_DEADLINE: Duration = Duration::from_millis(500);
/// Longest deadline a request may ask for.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3_600);
/// How long an order to the cluster may take.
pub const ORDER_DEADLINE: Duration = Duration::from_secs(10);
/// How long an old copy of a partition is kept after the cluster has moved it.
pub const DROP_AFTER: Duration = Duration::from_secs(3_600);
/// Bytes a second that a node takes at most of the records of partitions that move to it.
pub const TRANSFER_RATE: u64 = 64 << 20;
/// How long machines have to meet that a topology brings together, before requests fail for it.
pub const MEETING_TIME: Duration = Duration::from_secs(2);
/// Bytes of records in one message of a transfer, unless a single one is larger.
pub const TRANSFER_PAGE: usize = 64 << 10;
/// Digests in one message of a transfer, and records that its reader looks at for it.
pub const TRANSFER_DIGESTS: usize = 256;
/// What a record that is compared counts for, in bytes, where [`TRANSFER_RATE`] is the pace: both sides look at it.
pub const TRANSFER_DIGEST_COST: u64 = 128;
/// Partitions that a node fetches at one time.
pub const TRANSFER_WIDTH: usize = 4;
/// How long a node waits for an answer of a transfer before it asks again, elsewhere if it can.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a node compares its copies with those of one other replica.
pub const EXCHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// What was stored here more recently is not compared: the other copies of it may be on their way.
pub const EXCHANGE_SETTLE: Duration = Duration::from_secs(2);
/// Nodes of trees that are asked about in one message.
pub const EXCHANGE_NODES: usize = 64;
/// Bytes of the log that are looked through at one time for what a member missed.
pub const CATCH_UP_EFFORT: u64 = 128 << 10;
/// How often it is looked whether hints for a member are delivered, behind which comes what else it missed.
pub const CATCH_UP_LOOK: Duration = Duration::from_millis(50);
/// Bytes of hints that a node keeps at least, where no bound was asked for.
pub const HINT_BYTES_LEAST: u64 = 64 << 20;
/// Above that, one part in so many of the bytes of its own data.
pub const HINT_SHARE: u64 = 10;
/// How old a hint may become that was not counted.
pub const HINT_AGE_MAX: Duration = Duration::from_secs(3 * 3_600);
/// Bytes a second that a node gives back at most, of hints and of what else was missed, to all machines.
pub const HINT_RATE: u64 = 16 << 20;
/// Hints on their way to one target at one time.
pub const HINT_WINDOW: usize = 64;
/// Bytes on their way to one target after which no more are sent.
pub const HINT_WINDOW_BYTES: usize = 1 << 20;
/// How long the acknowledgement of a hint may take before there are fewer on their way.
pub const HINT_SLOW: Duration = Duration::from_millis(250);
/// How long it is waited for.
pub const HINT_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon a target that did not take hints is tried again.
pub const HINT_RETRY: Duration = Duration::from_secs(1);
/// Pause between two looks at the hints of one target.
pub const HINT_PAUSE: Duration = Duration::from_millis(2);
/// How often all hints are looked through, at most.
pub const HINT_PATROL: Duration = Duration::from_secs(60);
/// How often unsynced records are synced under `interval`.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// How often the sweep begins to look for expired values, at most.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
/// Records that the sweep looks at in one turn.
pub const SWEEP_RECORDS_MAX: usize = 256;
/// Bytes of records after which a turn of the sweep ends early.
pub const SWEEP_BYTES_MAX: usize = 1 << 20;
/// Pause between two turns of the sweep.
pub const SWEEP_PAUSE: Duration = Duration::from_millis(10);
/// How long work that nobody waits for pauses when the store cannot take a record yet.
pub const SWEEP_WAIT: Duration = Duration::from_millis(100);
/// How old a tombstone is before it is looked at for reaping.
pub const REAP_AFTER: Duration = Duration::from_secs(3_600);
/// Keys that one attempt to reap is about.
pub const REAP_KEYS: usize = 64;
/// How often keys are looked for that may be reaped, at least.
pub const REAP_PASS: Duration = Duration::from_secs(60);
/// Attempts that are made for the same keys, one after another, when somebody has heard of a later count.
pub const REAP_TRIES: u32 = 4;
/// How far ahead of our wall clock a hybrid timestamp may lie before it is not followed.
pub const CLOCK_DRIFT_MAX_MS: u64 = 500;
/// Epochs leased to disk at one time.
pub const EPOCH_LEASE: u64 = 1 << 20;
/// How far beyond the last hybrid timestamp its bound on disk lies, in milliseconds.
pub const HLC_LEASE_MS: u64 = 4_000;
/// Largest datagram of membership, in bytes: what crosses any usual path without being cut.
pub const GOSSIP_DATAGRAM_MAX: usize = 1_400;
/// Smallest datagram that a peer stream may have to do with, in bytes.
pub const DATAGRAM_MIN: usize = 512;
/// Largest datagram that a peer stream makes, however much room there is.
pub const DATAGRAM_MAX: usize = 16 << 10;
/// Datagrams of a peer stream that may be under way at first.
pub const PACKET_CREDITS: usize = 32;
/// However many arrive.
pub const PACKET_CREDITS_MAX: usize = 256;
/// However many are lost.
pub const PACKET_CREDITS_MIN: usize = 16;
/// Bytes of a peer stream over datagrams that may have left, or come early, beyond those that came in order.
pub const PACKET_ROOM: u64 = 1 << 20;
/// Parts that came early and are held.
pub const PACKET_HELD_MAX: usize = 4_096;
/// Runs of bytes that came early which one datagram tells.
pub const PACKET_RANGES_MAX: usize = 16;
/// After so long without a datagram of the other end it is asked for one.
pub const PACKET_PING: Duration = Duration::from_secs(1);
/// After so long it counts as gone.
pub const PACKET_SILENCE: Duration = Duration::from_secs(5);
/// Longest address of a member, in bytes.
pub const GOSSIP_ADDRESS_MAX: usize = 255;
/// Seeds of a node.
pub const GOSSIP_SEEDS_MAX: usize = 64;
/// Rumours on their way at one time; beyond it those told most often end early, and repair does the rest.
pub const GOSSIP_RUMORS_MAX: usize = 2_048;
/// Probes made for others at one time; beyond it others are asked.
pub const GOSSIP_RELAYS_MAX: usize = 64;
/// Keys that a node accepts datagrams under.
pub const KEYRING_MAX: usize = 8;
/// Generations remembered as removed.
pub const GENERATIONS_REMOVED_MAX: usize = 4_096;
/// Openings of a directory that nobody heard of before one is believed.
pub const GOSSIP_OPENS_JUMP_MAX: u32 = 1_024;
/// Refutations that nobody heard of before one is believed.
pub const GOSSIP_BUMPS_JUMP_MAX: u32 = 65_536;
/// Bytes that a node sends at once to repair a table that differs from its own.
pub const GOSSIP_REPAIR_BURST: u64 = 16 << 10;
/// Bytes a second that it sends for that in the long run.
pub const GOSSIP_REPAIR_RATE: u64 = 50;
/// Notices that a node sends in a second.
pub const GOSSIP_NOTICES_MAX: u32 = 20;
