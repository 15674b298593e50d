//! The structs that C programs see: no implicit padding, largest members first, a zeroed reserve at the
//! end. Every struct that may grow carries its size or is passed with it.

use core::ffi::{c_char, c_void};

use super::cluster::Told;
use super::status::{E_ARG, E_NULL, E_UNSUPPORTED, quorate_status};
use crate::proto::buffer::Buffer;
use crate::proto::limits;

/// Bytes by value. Never NUL-terminated; data may be NULL if len is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_bytes {
    /// The first byte.
    pub data: *const u8,
    /// How many bytes.
    pub len: usize,
}

/// What went wrong in a set-up call, in words. The caller owns it and sets struct_size before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_error {
    /// sizeof(quorate_error), set by the caller.
    pub struct_size: u32,
    /// The code that the call returned.
    pub status: quorate_status,
    /// errno of the system call that failed, or 0.
    pub os_errno: i32,
    /// QUORATE_F_... bits of the code.
    pub flags: u32,
    /// UTF-8, ends with a NUL, cut if it is longer.
    pub text: [c_char; 240],
}

/// Settings of one request. NULL stands for all defaults; 0 in a member for that member's default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_call {
    /// sizeof(quorate_call), set by the caller.
    pub struct_size: u32,
    /// Number of the keyspace; 0 is the default one.
    pub keyspace: u16,
    /// Replicas that must answer a read.
    pub r: u16,
    /// Replicas that must acknowledge a write.
    pub w: u16,
    /// How many of a read's answers must come from primaries; QUORATE_NONE for 0.
    pub pr: u16,
    /// How many of a write's acknowledgements must come from primaries; QUORATE_NONE for 0.
    pub pw: u16,
    /// How many replicas must have the write on disk; QUORATE_NONE for 0.
    pub dw: u16,
    /// QUORATE_VIEW_...: how a read shows siblings.
    pub view: u16,
    /// QUORATE_BLIND_...: what a write without a context means.
    pub blind: u16,
    /// QUORATE_CALL_... bits.
    pub flags: u32,
    /// Nanoseconds until the deadline, an hour at most; 0 for the default.
    pub timeout_ns: u64,
    /// Milliseconds until the value expires; 0 for never.
    pub ttl_ms: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// One request of a batch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_op {
    /// QUORATE_OP_GET, QUORATE_OP_PUT, QUORATE_OP_DELETE, QUORATE_OP_SCAN or QUORATE_OP_WATCH.
    pub kind: u32,
    /// QUORATE_OP_BORROW or 0.
    pub flags: u32,
    /// Comes back in the completion.
    pub tag: u64,
    /// The key; the prefix of a scan.
    pub key: quorate_bytes,
    /// The value of a put; the pattern of a scan.
    pub value: quorate_bytes,
    /// The context of a put or delete, the token of a scan, the place of a feed; empty for none.
    pub context: quorate_bytes,
    /// Settings, or NULL.
    pub call: *const quorate_call,
    /// The partition of a feed; else zero.
    pub number: u64,
    /// Keys of a page of a scan or a feed, 0 for the default; else zero.
    pub limit: u64,
}

/// The event that wrote a version. All zero for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct quorate_dot {
    /// Names the data directory that issued it.
    pub generation: u64,
    /// Random bits of the opening that issued it.
    pub nonce: u64,
    /// Number of the epoch within the directory.
    pub epoch: u64,
    /// Which of the epoch's events on this key, from 1.
    pub counter: u64,
}

/// One version of a key.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_sibling {
    /// The value; it lies inside the result.
    pub value: quorate_bytes,
    /// When it was written, by its coordinator's hybrid clock: milliseconds shifted left by 16, and a count.
    pub hlc: u64,
    /// Absolute expiry in milliseconds since the Unix epoch; 0 for none.
    pub expires_ms: u64,
    /// The event that wrote it.
    pub dot: quorate_dot,
    /// QUORATE_TYPE_...
    pub kind: u32,
    /// Zero.
    pub flags: u32,
}

/// The end of one accepted request. Exactly one comes for each; of a feed, one for each page, and a last one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_completion {
    /// As given with the request.
    pub tag: u64,
    /// Owns everything that the pointers below point to; NULL if there is nothing. Given back by
    /// quorate_completions_clear.
    pub result: *mut quorate_result,
    /// The versions that the view shows, inside result; of a write none, but of quorate_add and quorate_put_number the
    /// number.
    pub siblings: *const quorate_sibling,
    /// Opaque causal context, inside result; empty for none. Of a scan the token of the next page, of a feed the place
    /// behind what is shown.
    pub context: quorate_bytes,
    /// The event of a write, set as soon as one was issued, even if the write was not acknowledged.
    pub dot: quorate_dot,
    /// How many siblings.
    pub n_siblings: u32,
    /// How the request ended.
    pub status: quorate_status,
    /// errno behind the status, or 0.
    pub os_errno: i32,
    /// QUORATE_F_... and QUORATE_N_... bits.
    pub flags: u32,
    /// QUORATE_OP_GET, QUORATE_OP_PUT for any write, QUORATE_OP_SCAN, QUORATE_OP_WATCH or QUORATE_OP_CLUSTER.
    pub kind: u32,
    /// Replicas that had to answer.
    pub asked: u16,
    /// Replicas that did.
    pub acked: u16,
    /// Of these, on disk.
    pub durable: u16,
    /// Of these, fallbacks.
    pub fallbacks: u16,
    /// Zero.
    pub zero: u32,
    /// Of a change of a set: how many elements came or went.
    pub count: u64,
    /// Zero.
    pub reserved: u64,
}

/// A key that changed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_change {
    /// The key; it lies inside the result, as do the siblings.
    pub key: quorate_bytes,
    /// Its values as they are now; none if it is deleted or has expired.
    pub siblings: *const quorate_sibling,
    /// How many siblings.
    pub n_siblings: u32,
    /// Zero.
    pub flags: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// An order to the cluster: to look at it, or to change it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_order {
    /// sizeof(quorate_order), set by the caller.
    pub struct_size: u32,
    /// QUORATE_ORDER_...
    pub kind: u32,
    /// The member that it is about.
    pub name: quorate_bytes,
    /// The member that replaces it, or its zone.
    pub other: quorate_bytes,
    /// A weight; replicas in one zone, 0 for the default; the hash of a plan, 0 for whatever it is.
    pub number: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// How the cluster is, as the node that was asked knows it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_cluster {
    /// Counts everything that was ever committed, staged changes included.
    pub version: u64,
    /// Names that: equal on two nodes that follow the same.
    pub hash: u64,
    /// Version of the layout that reads are on.
    pub layout: u64,
    /// Version of the layout that the cluster moves to; 0 for none.
    pub layout_next: u64,
    /// The hash to commit, of an order to plan; 0 otherwise.
    pub plan_hash: u64,
    /// Bytes of records that were copied in the move.
    pub bytes_copied: u64,
    /// Replicas to be copied in the move.
    pub replicas_total: u32,
    /// Of these, how many are not whole yet, or not known to be.
    pub replicas_open: u32,
    /// QUORATE_PHASE_...
    pub phase: u32,
    /// How many members there are, those that join and leave included.
    pub n_members: u32,
    /// How many of them are keepers.
    pub n_keepers: u32,
    /// How many changes are staged.
    pub n_staged: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// One member of the cluster.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_member {
    /// Its name; it lies inside the result or the snapshot, as do the next two.
    pub name: quorate_bytes,
    /// Where its peers reach it.
    pub address: quorate_bytes,
    /// Its zone; empty for none.
    pub zone: quorate_bytes,
    /// The data directory that it is bound to; 0 if it is not.
    pub generation: u64,
    /// Bytes of records that it copied in the move.
    pub bytes_copied: u64,
    /// Its weight.
    pub weight: u32,
    /// QUORATE_MEMBER_STAYS, QUORATE_MEMBER_JOINS or QUORATE_MEMBER_LEAVES.
    pub state: u32,
    /// QUORATE_MEMBER_IS_... bits.
    pub flags: u32,
    /// Partitions that it holds in the layout that reads are on.
    pub partitions: u32,
    /// Partitions that it holds in the latest layout.
    pub partitions_next: u32,
    /// Replicas that it has to copy in the move.
    pub replicas_total: u32,
    /// Of these, how many are not whole yet, or not known to be.
    pub replicas_open: u32,
    /// QUORATE_VERDICT_..., in quorate_members_list; else zero.
    pub verdict: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// One row of quorate_status_table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_status_info {
    /// The code.
    pub code: quorate_status,
    /// Its QUORATE_F_... bits.
    pub flags: u32,
    /// Its name, static.
    pub name: *const c_char,
    /// Its meaning, static.
    pub text: *const c_char,
}

/// An empty frame of the program's, and what the library has filled it with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_frame {
    /// Where to write: the program's, before and after.
    pub data: *mut u8,
    /// How many bytes there are, QUORATE_FRAME_MIN at least.
    pub cap: usize,
    /// Receives how many were written.
    pub len: usize,
    /// Receives the name of the stream.
    pub peer: u64,
    /// Receives QUORATE_FRAME_...
    pub kind: u32,
    /// Zero.
    pub flags: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// The clocks of a program that steps its nodes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_clock {
    /// sizeof(quorate_clock), set by the caller.
    pub struct_size: u32,
    /// Zero.
    pub zero: u32,
    /// Passed to the functions.
    pub user: *mut c_void,
    /// Nanoseconds since an origin of the program's choice; it does not go back.
    pub monotonic_ns: Option<unsafe extern "C" fn(user: *mut c_void) -> u64>,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: Option<unsafe extern "C" fn(user: *mut c_void) -> u64>,
    /// Called once with user when nothing needs it any more; may be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Zero.
    pub reserved: [u64; 2],
}

/// What a completion points into. Opaque.
#[derive(Default)]
pub struct quorate_result {
    /// Declared first, so that nothing points into freed values while this drops.
    pub(super) views: Vec<quorate_sibling>,
    pub(super) values: Vec<Buffer>,
    pub(super) context: Buffer,
    /// Of an order to the cluster.
    pub(super) told: Option<Box<Told>>,
    /// Of a scan.
    pub(super) page: Option<Page>,
    /// Of a change feed: each with its part of the views.
    pub(super) changes: Vec<Change>,
}

/// The keys of a page.
pub(super) struct Page {
    /// Declared first, so that nothing points into freed keys while this drops.
    pub(super) views: Vec<quorate_bytes>,
    pub(super) _keys: Vec<Vec<u8>>,
}

impl Page {
    pub(super) fn new(keys: Vec<Vec<u8>>) -> Page {
        // The vectors' heap blocks do not move when the vectors do.
        Page { views: keys.iter().map(|key| quorate_bytes::of(key)).collect(), _keys: keys }
    }
}

/// A key that changed.
pub(super) struct Change {
    pub(super) key: Vec<u8>,
    pub(super) siblings: core::ops::Range<usize>,
}

impl quorate_bytes {
    /// No bytes.
    pub const EMPTY: quorate_bytes = quorate_bytes { data: core::ptr::null(), len: 0 };

    /// The same bytes for C; they live as long as the slice.
    pub(super) fn of(bytes: &[u8]) -> quorate_bytes {
        if bytes.is_empty() { Self::EMPTY } else { quorate_bytes { data: bytes.as_ptr(), len: bytes.len() } }
    }

    /// The bytes as a slice.
    ///
    /// # Errors
    /// A NULL with a length, or a length that no object can have.
    ///
    /// # Safety
    /// The caller of the C function promises that `data` points to `len` bytes that stay during the call.
    pub(super) unsafe fn as_slice<'a>(self) -> Result<&'a [u8], quorate_status> {
        match (self.data.is_null(), self.len) {
            (_, 0) => Ok(&[]),
            (true, _) => Err(E_NULL),
            (false, len) if isize::try_from(len).is_err() => Err(E_ARG),
            // SAFETY: not NULL, a possible length, and the caller's promise.
            (false, len) => Ok(unsafe { core::slice::from_raw_parts(self.data, len) }),
        }
    }
}

/// The keyspace of this number.
///
/// # Errors
/// There is none.
pub(super) fn keyspace_of(number: u32) -> Result<u16, quorate_status> {
    let keyspace = u16::try_from(number).ok().filter(|&keyspace| keyspace < limits::KEYSPACES_MAX);
    keyspace.ok_or(E_ARG)
}

/// A struct of numbers and pointers only, for which all bits zero is a value.
///
/// # Safety
/// Every bit pattern a C program can write is a valid value, zeroes included.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: numbers only.
unsafe impl Plain for quorate_call {}
// SAFETY: numbers and raw pointers only.
unsafe impl Plain for quorate_op {}
// SAFETY: numbers and raw pointers only.
unsafe impl Plain for quorate_change {}
// SAFETY: numbers and raw pointers only.
unsafe impl Plain for quorate_order {}
// SAFETY: numbers only.
unsafe impl Plain for quorate_cluster {}
// SAFETY: numbers and raw pointers only.
unsafe impl Plain for quorate_member {}
// SAFETY: numbers and raw pointers only.
unsafe impl Plain for quorate_frame {}
// SAFETY: numbers and pointers, of which those to functions may be NULL.
unsafe impl Plain for quorate_clock {}

/// Largest struct that a newer header may plausibly pass.
const STRUCT_SIZE_MAX: usize = 4_096;

/// Reads a struct of which the caller has `size` bytes: what it lacks is zero, and what we do not know
/// must be.
///
/// # Errors
/// A size that cannot be, or a member set that this library does not know.
///
/// # Safety
/// `from` points to `size` readable bytes.
pub(super) unsafe fn read_sized<T: Plain>(from: *const T, size: usize) -> Result<T, quorate_status> {
    if !(4..=STRUCT_SIZE_MAX).contains(&size) {
        return Err(E_ARG);
    }
    // SAFETY: the caller's promise.
    let theirs = unsafe { core::slice::from_raw_parts(from.cast::<u8>(), size) };
    let (known, unknown) = theirs.split_at(size.min(size_of::<T>()));
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(E_UNSUPPORTED);
    }
    let mut ours = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is no longer than T, the two do not overlap, and T: Plain is valid with any bits.
    unsafe {
        core::ptr::copy_nonoverlapping(known.as_ptr(), ours.as_mut_ptr().cast::<u8>(), known.len());
        Ok(ours.assume_init())
    }
}

/// Writes a struct of which the caller has `size` bytes: what it lacks is left out, what it has beyond ours
/// becomes zero.
///
/// # Errors
/// NULL, or a size that cannot be.
///
/// # Safety
/// `out` is NULL or points to `size` writable bytes.
pub(super) unsafe fn write_sized<T: Plain>(
    out: *mut T,
    size: usize,
    value: &T,
) -> Result<(), quorate_status> {
    if out.is_null() {
        return Err(E_NULL);
    }
    if !(4..=STRUCT_SIZE_MAX).contains(&size) {
        return Err(E_ARG);
    }
    let known = size.min(size_of::<T>());
    // SAFETY: `known` is within both, and the rest within the caller's bytes. A T: Plain that C programs see has
    // no padding, so all of its bytes are there to be copied.
    unsafe {
        core::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>(), out.cast::<u8>(), known);
        out.cast::<u8>().add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// Writes `value` through `out`, unless that is NULL.
///
/// # Safety
/// `out` is NULL or a place for a T.
pub(super) unsafe fn write_if<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL, and the caller's promise.
        unsafe { out.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes on 64-bit machines, equal to the sum of the members: nothing is padded.
    #[test]
    fn no_struct_has_padding() {
        assert_eq!(size_of::<quorate_bytes>(), 16);
        assert_eq!(size_of::<quorate_error>(), 4 * 4 + 240);
        assert_eq!(size_of::<quorate_call>(), 4 + 8 * 2 + 4 + 2 * 8 + 2 * 8);
        assert_eq!(size_of::<quorate_op>(), 2 * 4 + 8 + 3 * 16 + 8 + 2 * 8);
        assert_eq!(size_of::<quorate_dot>(), 4 * 8);
        assert_eq!(size_of::<quorate_sibling>(), 16 + 2 * 8 + 32 + 2 * 4);
        assert_eq!(size_of::<quorate_completion>(), 3 * 8 + 16 + 32 + 5 * 4 + 4 * 2 + 4 + 2 * 8);
        assert_eq!(size_of::<quorate_status_info>(), 2 * 4 + 2 * 8);
        assert_eq!(size_of::<quorate_change>(), 16 + 8 + 2 * 4 + 2 * 8);
        assert_eq!(size_of::<quorate_order>(), 2 * 4 + 2 * 16 + 8 + 2 * 8);
        assert_eq!(size_of::<quorate_cluster>(), 6 * 8 + 6 * 4 + 2 * 8);
        assert_eq!(size_of::<quorate_member>(), 3 * 16 + 2 * 8 + 8 * 4 + 2 * 8);
        assert_eq!(size_of::<quorate_frame>(), 4 * 8 + 2 * 4 + 2 * 8);
        assert_eq!(size_of::<quorate_clock>(), 2 * 4 + 4 * 8 + 2 * 8);
    }

    #[test]
    fn a_struct_grows_and_shrinks_by_its_size() {
        /// The call of a header to come.
        #[repr(C)]
        struct Newer {
            known: quorate_call,
            added: u64,
        }
        // SAFETY: numbers only.
        let mut newer: Newer = unsafe { core::mem::zeroed() };
        newer.known.w = 2;
        let pointer = (&raw const newer).cast::<quorate_call>();
        // SAFETY: `newer` has that many bytes.
        let read = |size| unsafe { read_sized(pointer, size) }.map(|call| call.w);
        assert_eq!(read(size_of::<Newer>()), Ok(2));
        assert_eq!(read(8), Ok(0), "a short struct is filled with zeroes");
        assert_eq!(read(3), Err(E_ARG));
        assert_eq!(read(STRUCT_SIZE_MAX + 1), Err(E_ARG));
        newer.added = 1;
        let pointer = (&raw const newer).cast::<quorate_call>();
        // SAFETY: as above.
        assert_eq!(unsafe { read_sized(pointer, size_of::<Newer>()) }.map(|_| ()), Err(E_UNSUPPORTED));
    }
}
