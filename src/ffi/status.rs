//! Status codes and versions: numbers that never change, their names, texts and flags.
//!
//! A code is -(class + 256 * detail); programs that do not know a detail mask to the class. A retired
//! number is never used again. How requests end is the table of outcomes in the design; the rest is what
//! an embedding adds.

use core::ffi::{CStr, c_char};

use super::boundary::{Site, entry_or};
use super::plain::quorate_status_info;
use crate::proto::error::Outcome;

/// How a call ended: 0 is ok, above 0 is ok with news, below 0 is an error (QUORATE_E_...).
pub type quorate_status = i32;

/// A constant as the header shows it.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// Its name in C.
    pub name: &'static str,
    /// Its value.
    pub value: i64,
    /// What it means, in one line.
    pub text: &'static str,
    /// Whether C sees it with the suffix `u`.
    pub unsigned: bool,
}

impl Constant {
    /// One that C sees with the suffix `u`.
    pub(super) fn unsigned<N: Into<u64>>(name: &'static str, value: N, text: &'static str) -> Constant {
        Constant { name, value: value.into() as i64, text, unsigned: true }
    }
}

/// May be tried again as it is.
pub const RETRIABLE: u32 = 0x1;
/// The node will not recover by itself.
pub const FATAL: u32 = 0x2;
/// A write may have happened.
pub const UNCERTAIN: u32 = 0x4;
/// The caller broke the rules of the interface.
pub const MISUSE: u32 = 0x8;

/// One row of the table of codes: class, flags, name, text.
struct Row(quorate_status, u32, &'static CStr, &'static CStr);

macro_rules! codes {
    ($($name:ident $number:literal $flags:expr, $text:literal;)*) => {
        $(
            #[doc = $text]
            pub const $name: quorate_status = $number;
        )*
        /// Every code, in the order of their numbers.
        const ROWS: &[Row] = &[
            $(Row($number, $flags,
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) { Ok(s) => s, Err(_) => c"" },
                match CStr::from_bytes_with_nul(concat!($text, "\0").as_bytes()) { Ok(s) => s, Err(_) => c"" })),*
        ];
        /// The same for the header.
        pub const CODES: &[Constant] = &[
            $(Constant { name: concat!("QUORATE_", stringify!($name)), value: $number, text: $text, unsigned: false }),*
        ];
    };
}

codes! {
    OK 0 0, "ok";
    AGAIN 1 0, "nothing now";
    E_NULL -1 MISUSE, "a pointer is NULL that must not be";
    E_ARG -2 MISUSE, "bad argument";
    E_TYPE -3 MISUSE, "the option, or what is stored, has another type";
    E_UNSUPPORTED -4 MISUSE, "not known to this version of the library";
    E_STATE -5 MISUSE, "not allowed in this mode or phase";
    E_REENTRANT -6 MISUSE, "called back into the node from a hook";
    E_FORKED -7 MISUSE, "the process was forked after a node was opened";
    E_PANIC -8 FATAL | UNCERTAIN, "a bug in quorate was caught";
    E_POISONED -9 FATAL, "the node is unusable since a caught bug";
    E_CLOSED -10 0, "the node is stopped";
    E_CANCELLED -11 UNCERTAIN, "ended as it was asked to be, before it was answered";
    E_NOMEM -12 RETRIABLE, "out of memory or descriptors";
    E_LIMIT -13 MISUSE, "key or value longer than any limit allows";
    E_BUSY -14 RETRIABLE, "in use: the directory by another node, or the call by another thread";
    E_IO -15 FATAL, "a system call failed";
    E_CORRUPT -16 FATAL, "the store is damaged";
    E_TIMEOUT -17 RETRIABLE, "too few replicas answered a read before its deadline";
    E_QUORUM -18 RETRIABLE, "not enough replicas; nothing was written";
    E_NOTFOUND -19 0, "no live version";
    E_CONTEXT -20 0, "the context is unreadable, foreign or too long";
    E_NET -21 RETRIABLE, "an address cannot be used or reached";
    E_PARTIAL -22 UNCERTAIN, "fewer replicas than asked have the write; it will spread";
    E_MAYBE -23 UNCERTAIN, "the deadline passed; the write may have happened";
    E_OVERLOADED -24 RETRIABLE, "refused before any work";
    E_LAYOUT -25 RETRIABLE, "nodes disagree on the layout";
    E_SIBLINGS -26 0, "too many siblings for a put without full context";
    E_CLOCK -27 0, "a timestamp lies too far ahead";
    E_MAJORITY -28 0, "no version is held by a majority; the siblings are in the result";
    E_FULL -29 0, "the disk is full; nothing was written";
    E_READONLY -30 FATAL, "the store failed a sync and takes no more writes";
    E_INCOMPLETE -31 RETRIABLE, "the store lost records of this partition";
    E_FOREIGN -32 0, "the directory is not ours, or has a newer format";
    E_CHANGED -33 0, "the key holds what the context does not cover; nothing was written";
}

/// The flags for the header.
pub const FLAGS: &[Constant] = &[
    Constant {
        name: "QUORATE_F_RETRIABLE",
        value: RETRIABLE as i64,
        text: "may be tried again as it is",
        unsigned: true,
    },
    Constant {
        name: "QUORATE_F_FATAL",
        value: FATAL as i64,
        text: "the node will not recover by itself",
        unsigned: true,
    },
    Constant {
        name: "QUORATE_F_UNCERTAIN",
        value: UNCERTAIN as i64,
        text: "a write may have happened",
        unsigned: true,
    },
    Constant {
        name: "QUORATE_F_MISUSE",
        value: MISUSE as i64,
        text: "the caller broke a rule of this interface",
        unsigned: true,
    },
];

/// Lowest and only level of behaviour so far.
pub const API_LEVEL: u32 = 1;

const fn version_part(text: &str) -> u32 {
    let (bytes, mut at, mut value) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    value
}

/// Major, minor and patch of this package.
pub const VERSION: [u32; 3] = [
    version_part(env!("CARGO_PKG_VERSION_MAJOR")),
    version_part(env!("CARGO_PKG_VERSION_MINOR")),
    version_part(env!("CARGO_PKG_VERSION_PATCH")),
];

/// The version as one number.
pub const VERSION_NUMBER: u32 = VERSION[0] * 1_000_000 + VERSION[1] * 1_000 + VERSION[2];

fn row(code: quorate_status) -> Option<&'static Row> {
    let class = if code < 0 { -(code.unsigned_abs() as i32 & 0xff) } else { code };
    ROWS.iter().find(|row| row.0 == class)
}

/// How an outcome of the core is said in C.
pub(super) fn of_outcome(outcome: &Outcome) -> quorate_status {
    match outcome {
        Outcome::Ok => OK,
        Outcome::NotFound => E_NOTFOUND,
        Outcome::BadArgument(_) => E_ARG,
        Outcome::WrongType => E_TYPE,
        Outcome::NotEnoughReplicas { .. } => E_QUORUM,
        Outcome::Partial => E_PARTIAL,
        Outcome::Maybe => E_MAYBE,
        Outcome::Overloaded | Outcome::MemoryCeiling => E_OVERLOADED,
        Outcome::WrongLayout => E_LAYOUT,
        Outcome::TooManySiblings(_) => E_SIBLINGS,
        Outcome::Changed => E_CHANGED,
        Outcome::BadContext(_) => E_CONTEXT,
        Outcome::ClockTooFar => E_CLOCK,
        Outcome::NoMajority => E_MAJORITY,
        Outcome::DiskFull => E_FULL,
        Outcome::ReadOnly => E_READONLY,
        Outcome::Incomplete => E_INCOMPLETE,
        Outcome::Timeout => E_TIMEOUT,
    }
}

/// The flags of a code.
pub(super) fn flags_of(code: quorate_status) -> u32 {
    row(code).map_or(0, |row| row.1)
}

/// The version of the library as one number: major * 1000000 + minor * 1000 + patch. Compare it with
/// QUORATE_VERSION_NUMBER at start-up.
///
/// Returns: the number.
/// Thread class: A. Blocks: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_version_number() -> u32 {
    VERSION_NUMBER
}

/// The version of the library as text, "quorate/MAJOR.MINOR.PATCH".
///
/// Returns: static text, never NULL; nobody frees it.
/// Thread class: A. Blocks: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_version_string() -> *const c_char {
    concat!("quorate/", env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The highest API level that this library knows.
///
/// Returns: the level.
/// Thread class: A. Blocks: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_api_level_max() -> u32 {
    API_LEVEL
}

/// The name of a status code, such as "E_QUORUM".
///
/// Arguments: any number; a detail is ignored.
/// Returns: static text, never NULL; "E_UNKNOWN" for a number that is no code. Nobody frees it.
/// Thread class: A. Blocks: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_status_name(code: quorate_status) -> *const c_char {
    row(code).map_or(c"E_UNKNOWN", |row| row.2).as_ptr()
}

/// What a status code means, in a few English words.
///
/// Arguments: any number; a detail is ignored.
/// Returns: static text, never NULL. Nobody frees it.
/// Thread class: A. Blocks: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_status_text(code: quorate_status) -> *const c_char {
    row(code).map_or(c"not a status code", |row| row.3).as_ptr()
}

/// What a caller may conclude from a status code.
///
/// Arguments: any number; a detail is ignored.
/// Returns: QUORATE_F_... bits; 0 for a number that is no code.
/// Thread class: A. Blocks: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_status_flags(code: quorate_status) -> u32 {
    flags_of(code)
}

/// Every status code with its flags, name and text, so that bindings can generate their lists.
///
/// Arguments: out: receives a static array; n: receives its length. A NULL of either is ignored.
/// Returns: nothing.
/// Thread class: A. Blocks: no. Owner: the library; nobody frees the array. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_status_table(out: *mut *const quorate_status_info, n: *mut usize) {
    /// Names and texts are static, so sharing their addresses is safe.
    struct Table(Vec<quorate_status_info>);
    // SAFETY: the pointers inside are to static text that nobody writes.
    unsafe impl Send for Table {}
    // SAFETY: as above.
    unsafe impl Sync for Table {}
    static TABLE: std::sync::OnceLock<Table> = std::sync::OnceLock::new();
    entry_or(Site::StatusTable, (), || {
        let table = TABLE.get_or_init(|| {
            let info = |row: &Row| quorate_status_info {
                code: row.0,
                flags: row.1,
                name: row.2.as_ptr(),
                text: row.3.as_ptr(),
            };
            Table(ROWS.iter().map(info).collect())
        });
        if !out.is_null() {
            // SAFETY: not NULL; the caller promises a place for a pointer.
            unsafe { out.write(table.0.as_ptr()) };
        }
        if !n.is_null() {
            // SAFETY: not NULL; the caller promises a place for a number.
            unsafe { n.write(table.0.len()) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_never_move() {
        assert_eq!(ROWS[0].0, OK);
        assert_eq!(ROWS[1].0, AGAIN);
        for (at, row) in ROWS[2..].iter().enumerate() {
            assert_eq!(row.0, -(at as i32) - 1, "codes follow each other");
        }
        // Spot checks against the numbers that programs were compiled with.
        assert_eq!((E_PANIC, E_TIMEOUT, E_NET, E_PARTIAL, E_INCOMPLETE), (-8, -17, -21, -22, -31));
    }

    #[test]
    fn a_detail_does_not_hide_its_class() {
        assert_eq!(flags_of(E_MAYBE - 256 * 3), UNCERTAIN);
        assert_eq!(flags_of(i32::MIN), 0);
        assert_eq!(flags_of(77), 0);
    }

    #[test]
    fn every_outcome_that_leaves_a_write_open_says_so() {
        for outcome in [Outcome::Partial, Outcome::Maybe] {
            assert_ne!(flags_of(of_outcome(&outcome)) & UNCERTAIN, 0);
        }
        for outcome in [Outcome::NotEnoughReplicas { reachable: 1, needed: 2 }, Outcome::Overloaded] {
            assert_eq!(flags_of(of_outcome(&outcome)) & UNCERTAIN, 0);
            assert_ne!(flags_of(of_outcome(&outcome)) & RETRIABLE, 0);
        }
    }
}
