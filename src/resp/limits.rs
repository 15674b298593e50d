//! Every bound of a client's connection, named. The core's own are in [`crate::proto::limits`].

/// Arguments of one command, the name included.
pub const ARGUMENTS_MAX: usize = 65_536;
/// Arguments of one command before `AUTH`.
pub const ARGUMENTS_MAX_UNAUTHENTICATED: usize = 10;
/// Bytes of one argument before `AUTH`; afterwards it is the largest value.
pub const ARGUMENT_MAX_UNAUTHENTICATED: usize = 16 << 10;
/// Bytes of one command with its framing before `AUTH`; afterwards two of the largest arguments and
/// [`FRAMING_MAX`].
pub const QUERY_MAX_UNAUTHENTICATED: usize = 32 << 10;
/// Bytes that the framing and the short arguments of one command may take beside its values.
pub const FRAMING_MAX: usize = 1 << 20;
/// Bytes of unsent replies from which a connection is read no further before `AUTH`.
pub const UNSENT_MAX_UNAUTHENTICATED: usize = 4 << 10;
/// Longest inline line, in bytes, with its line end.
pub const INLINE_MAX: usize = 64 << 10;
/// Longest line that announces a number, in bytes: a sign, the 19 digits of an `i64`, the line end.
pub const NUMBER_LINE_MAX: usize = 24;
/// Most slots of one connection that wait at one time. A command on more keys is submitted in pieces.
pub const SLOTS_MAX: usize = 1_024;
/// Bytes of replies, kept or unsent, from which no further command is taken.
pub const REPLIES_MAX: usize = 8 << 20;
/// Most bytes of values that one command may gather.
pub const GATHERED_MAX: usize = 128 << 20;
/// Most bytes that `KEYS` answers.
pub const KEYS_ANSWER_MAX: usize = 64 << 20;
/// Deletes of a flush in flight at one time.
pub const FLUSH_IN_FLIGHT_MAX: u32 = 64;
/// Longest name of a client or its library, in bytes.
pub const NAME_MAX: usize = 256;
/// Most bytes of a client's words that an error line repeats.
pub const SHOWN_MAX: usize = 128;
