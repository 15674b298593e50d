//! The driver: one thread, one event loop, that joins the core to sockets and to its store.
//!
//! [`EventLoop::open`] binds and locks everything, so that errors show there. Then either
//! [`EventLoop::run`] turns until [`Handle::stop`], or a host polls [`EventLoop::fd`] and calls
//! [`EventLoop::step`]. Other threads speak to it through a [`Handle`].
//!
//! Nothing here knows the protocol: bytes and requests go into the core and its sessions, and what they
//! want done comes out. No file descriptor of the loop is touched by another thread but its wake-up.

mod cancel;
mod client;
mod clock;
mod datagrams;
mod event_loop;
mod gossip;
pub mod gossip_keys;
mod handle;
mod hint_log;
mod host_disk;
mod insight;
pub mod key_file;
mod known_members;
pub mod layout_file;
pub mod limits;
mod listener;
mod log;
mod open;
mod options;
mod parcel;
mod peer;
pub mod queue;
pub mod signals;
mod slots;
mod socket;
mod storage;
mod subscriptions;
mod sync;
mod sys;
mod wait;
mod waiting;
mod watch;
mod whole_file;

pub use clock::Clock;
pub use event_loop::{EventLoop, LoopError, StepOutcome, Wait};
pub use handle::{Asked, Busy, Completion, Feed, Handle, OwnedOperation, OwnedRequest, PageAsked, Refusal};
pub use host_disk::HostDisk;
pub use insight::Insight;
pub use log::{Level, LogSink, Logger};
pub use options::{DataDir, NodeOptions, OnProgress, OpenError, StoreOptions, Transport, WaitPolicy};
pub use peer::{Carrying, Filled, Told, Uncarried};
pub use watch::Figure;
