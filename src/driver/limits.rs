//! Every bound of the driver, named. What a session may hold stands in `resp::limits`, what the core may
//! hold in `proto::limits`.

use core::time::Duration;

/// Bytes that one read takes at most: the size of the one buffer that all sockets are read into.
pub const READ_MAX: usize = 256 << 10;
/// Events taken from the poll in one turn; more wait for the next.
pub const EVENTS_MAX: usize = 1_024;
/// Connections accepted from one listener in one turn.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Datagrams taken in one turn; more wait in the socket, or are lost as datagrams are.
pub const DATAGRAMS_PER_TURN: usize = 64;
/// Ports that are tried where the system chooses: one that is free for streams may be taken for datagrams.
pub const PORTS_TRIED: usize = 16;
/// Requests of other threads taken in one turn, so that sockets are not starved.
pub const REQUESTS_PER_TURN: usize = 4_096;
/// Change feeds of which a page is read in one turn.
pub const SUBSCRIPTIONS_PER_TURN: usize = 16;
/// Connections that may wait to be accepted.
pub const BACKLOG: i32 = 1_024;
/// How long accepting pauses when no descriptor is left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long writes of clients wait while the log is short of room; then they may be refused.
pub const SHORTAGE_MAX: Duration = Duration::from_secs(1);
/// How often that is looked at.
pub const SHORTAGE_LOOK: Duration = Duration::from_millis(1);
/// Descriptors kept for everything but clients and peers: log segments, poll, timers, the host's own.
pub const RESERVED_FILES: usize = 64;
/// A buffer larger than this is given back as soon as it is empty.
pub const KEPT_MAX: usize = 256 << 10;
/// A connection that was quiet for so long gives its buffers back.
pub const IDLE: Duration = Duration::from_secs(5);

/// Clients at one time, by default.
pub const CLIENTS_MAX: usize = 10_000;
/// Addresses that clients may connect to.
pub const LISTENERS_MAX: usize = 16;
/// How long a client may leave a command half sent.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of replies that a client may leave unread for as long as it likes.
pub const UNREAD_MAX: usize = 1 << 20;
/// How long a client may leave more than [`UNREAD_MAX`] unread.
pub const UNREAD_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of unread replies at which a client is let go at once.
pub const UNSENT_MAX: usize = 256 << 20;
/// Bytes that all clients together may make us hold, unfinished commands and unread replies. Beyond it
/// those that hold more than [`HELD_FAIR`] are let go.
pub const HELD_MAX: usize = 1 << 30;
/// Bytes that a client may hold however much all others do.
pub const HELD_FAIR: usize = 1 << 20;

/// How long both ends of a peer stream have for the handshake.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a record of a peer may stay half received.
pub const RECORD_TIME_MAX: Duration = Duration::from_secs(30);
/// The first pause before a peer is dialled again.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest pause before a peer is dialled again.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long bytes may stay unacknowledged by a peer's machine before the stream is given up.
pub const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);
/// Accepted streams that have not proved themselves yet, beside one for each member.
pub const STRANGERS_MAX: usize = 64;

/// Requests of other threads at one time, by default: submitted, and not yet reaped.
pub const WINDOW: usize = 4_096;
/// The largest such window.
pub const WINDOW_MAX: usize = 1 << 20;
/// How long the loop looks again before it sleeps, by default.
pub const SPIN: Duration = Duration::from_micros(30);
/// How long a stopping loop waits for its store's last sync.
pub const LAST_SYNC_MAX: Duration = Duration::from_secs(30);

/// Nodes that are remembered since the start: members, seeds and guests.
pub const NODES_MAX: usize = 4 * crate::proto::limits::MEMBERS_MAX;
