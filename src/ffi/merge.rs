//! Functions of the host that make one value of several siblings.

use core::ffi::c_void;

use super::boundary::{Site, in_hook, with_node};
use super::node::{Driver, quorate_node};
use super::plain::quorate_bytes;
use super::status::{E_ARG, E_NULL, E_STATE, OK, quorate_status};
use super::user::User;
use crate::proto::io::MergeFunction;
use crate::proto::limits;

/// Bytes of the buffer that a function is given first.
const ROOM: usize = 4_096;

/// Makes one value of count values of a key, at least two: of what concurrent writers left, in the order of their
/// dots. It writes the value to buffer, which has room for cap bytes, sets len to its length, and returns 0. If len is
/// over cap, it is called once more with as much room. Any other result: it cannot, and the siblings are shown.
/// It must come to the same value at every node and call, whatever was merged before; it must not throw, longjmp or
/// fork, and not take long: the loop waits for it. What it is given is good until it returns.
pub type quorate_merge = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        key: quorate_bytes,
        values: *const quorate_bytes,
        count: usize,
        buffer: *mut u8,
        cap: usize,
        len: *mut usize,
    ) -> i32,
>;

/// Calls a function of the host.
fn merged(merge: quorate_merge, user: &User, key: &[u8], values: &[&[u8]]) -> Option<Vec<u8>> {
    let merge = merge?;
    let values: Vec<quorate_bytes> = values.iter().map(|value| quorate_bytes::of(value)).collect();
    let (key, mut buffer) = (quorate_bytes::of(key), vec![0; ROOM]);
    for _ in 0..2 {
        let (cap, mut len) = (buffer.len(), 0);
        // SAFETY: the caller of `quorate_merge_register` promises that the function takes this user until `drop`,
        // and writes no more than `cap` bytes; the rest lives until it returns.
        let result = in_hook(|| unsafe {
            merge(user.pointer(), key, values.as_ptr(), values.len(), buffer.as_mut_ptr(), cap, &mut len)
        });
        if result != 0 || len > limits::VALUE_MAX {
            return None;
        }
        if len <= cap {
            buffer.truncate(len);
            return Some(buffer);
        }
        buffer.resize(len, 0);
    }
    None
}

/// Registers what makes one value of a key's siblings for reads with the view QUORATE_VIEW_HOST + number. The value is
/// a view: nothing is stored until somebody writes it back with the context of the read. A second call with the same
/// number replaces the function. Call it before the node is started; in modes host and packet, between two steps.
///
/// Arguments: node; number: 0 to 15; merge: the function; user: passed to both; drop: may be NULL, called once with
/// user when the node needs it no more, also if this call fails.
/// Returns: OK; E_NULL; E_ARG for another number; E_STATE once a thread drives the node or it has ended; E_BUSY if
/// another thread is driving it; E_REENTRANT; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: D. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_merge_register(
    node: *mut quorate_node,
    number: u32,
    merge: quorate_merge,
    user: *mut c_void,
    drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
) -> quorate_status {
    let user = User::new(user, drop);
    let register = |node: &quorate_node| {
        if merge.is_none() {
            return Err(E_NULL);
        }
        let number = u8::try_from(number).ok().filter(|&number| number < limits::MERGE_FUNCTIONS_MAX);
        let number = number.ok_or(E_ARG)?;
        let mut driver = node.driver()?;
        let Driver::Here(event_loop) = &mut *driver else { return Err(E_STATE) };
        let function: MergeFunction =
            Box::new(move |key: &[u8], values: &[&[u8]]| merged(merge, &user, key, values));
        event_loop.register_merge(number, function);
        Ok(OK)
    };
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::MergeRegister, node, register) }
}
