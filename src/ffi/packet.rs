//! Mode packet: the program moves the bytes between the members, by a stack of its own.
//!
//! A turn of its loop: what came goes in by `quorate_net_rx`, `quorate_node_step` works on it, and
//! `quorate_net_tx` fills empty frames until it has none. Nothing is called back, and no function here waits
//! or makes a system call. What is moved are streams, in order and each byte once, or datagrams, of which
//! the core makes streams. Streams are authentic by their own MACs, whatever carries them.

use super::boundary::{Site, with_node};
use super::node::{Driver, quorate_node};
use super::plain::{quorate_bytes, quorate_frame, read_sized, write_if, write_sized};
use super::status::{
    AGAIN, Constant, E_ARG, E_CLOSED, E_NULL, E_OVERLOADED, E_STATE, E_UNSUPPORTED, OK, quorate_status,
};
use crate::driver::{Carrying, EventLoop, Filled, Told, Uncarried};
use crate::proto::limits::DATAGRAM_MIN;
use crate::proto::time::{Instant, Now, WallTime};

const NET_UP: u32 = 1;
const NET_DOWN: u32 = 2;
const NET_WRITABLE: u32 = 3;
const NET_FULL: u32 = 4;

const FRAME_BYTES: u32 = 1;
const FRAME_CONNECT: u32 = 2;
const FRAME_CLOSE: u32 = 3;

/// What a program says and is told of streams, for the header.
pub fn constants() -> Vec<Constant> {
    let constant = Constant::unsigned::<u32>;
    vec![
        constant("QUORATE_NET_UP", NET_UP, "the stream that was asked for is connected"),
        constant("QUORATE_NET_DOWN", NET_DOWN, "the stream has ended, or could not be connected"),
        constant("QUORATE_NET_WRITABLE", NET_WRITABLE, "bytes of the stream may be given out again"),
        constant("QUORATE_NET_FULL", NET_FULL, "no bytes of the stream until it is writable"),
        constant("QUORATE_FRAME_BYTES", FRAME_BYTES, "the next bytes of the stream, or one datagram of it"),
        constant("QUORATE_FRAME_CONNECT", FRAME_CONNECT, "connect a stream to the address in data"),
        constant(
            "QUORATE_FRAME_CLOSE",
            FRAME_CLOSE,
            "end the stream, behind its bytes; it has no name any more",
        ),
        constant("QUORATE_FRAME_MIN", DATAGRAM_MIN as u32, "bytes that every frame holds at least"),
    ]
}

/// Runs `body` on the loop of a node in mode packet.
///
/// # Safety
/// `node` is NULL or was made by `quorate_node_open` and not freed.
unsafe fn with_loop(
    site: Site,
    node: *const quorate_node,
    body: impl FnOnce(&mut EventLoop) -> Result<quorate_status, quorate_status>,
) -> quorate_status {
    // SAFETY: the caller's promise.
    unsafe {
        with_node(site, node, |node| {
            if !node.is_packet() {
                return Err(E_STATE);
            }
            let mut driver = node.driver()?;
            let Driver::Here(event_loop) = &mut *driver else { return Err(E_CLOSED) };
            body(event_loop)
        })
    }
}

fn now(now_ns: u64, wall_ms: u64) -> Now {
    Now { mono: Instant::from_nanos(now_ns), wall: WallTime(wall_ms) }
}

fn of_uncarried(why: Uncarried) -> quorate_status {
    match why {
        Uncarried::Unknown | Uncarried::Closed => E_CLOSED,
        Uncarried::Overloaded => E_OVERLOADED,
        Uncarried::Unmet => AGAIN,
    }
}

/// Tells a node in mode packet that another member has opened a stream to it. Its bytes follow by
/// quorate_net_rx, under the name that it is given here. With datagrams, quorate_net_rx asks for it.
///
/// Arguments: node; now_ns, wall_ms: as for quorate_node_step; peer: receives the stream's name, which is
/// never used again, or 0.
/// Returns: OK; E_NULL; E_STATE in another mode; E_OVERLOADED if too many streams have not proved
/// themselves, or the frames that tell of their ends are not fetched; E_CLOSED if the node is stopped or cut
/// off; E_BUSY; E_FORKED; E_POISONED; E_PANIC. Unless it is OK, end the stream.
/// Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_net_accept(
    node: *mut quorate_node,
    now_ns: u64,
    wall_ms: u64,
    peer: *mut u64,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(peer, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_loop(Site::NetAccept, node, |event_loop| {
            if peer.is_null() {
                return Err(E_NULL);
            }
            let name = event_loop.net_accept(now(now_ns, wall_ms)).map_err(of_uncarried)?;
            write_if(peer, name);
            Ok(OK)
        })
    }
}

/// Gives a node in mode packet the next bytes of a stream, or datagrams. The next quorate_node_step works on
/// what follows from them.
///
/// Arguments: node; peer: the stream's name; with datagrams 0, as each says itself where it belongs; parts,
/// n_parts: the bytes, in their order, or one datagram each; now_ns, wall_ms: as for quorate_node_step.
/// Returns: OK, also for datagrams that are nothing of ours or were changed; AGAIN for a datagram that opens a
/// stream: give it again under a name of quorate_net_accept, and send what has that name to where it came
/// from; E_NULL; E_ARG for a length that cannot be; E_STATE in another mode; E_CLOSED if there is no such stream any
/// more, and the bytes are dropped, or the node is stopped; E_BUSY as quorate_node_step; E_FORKED; E_POISONED; E_PANIC.
/// Unless it is OK, the parts behind the one that it is about are not looked at, so best give one datagram a call.
/// Thread class: C. Blocks: no. Owner: the bytes stay the caller's, who may use them again at once. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_net_rx(
    node: *mut quorate_node,
    peer: u64,
    parts: *const quorate_bytes,
    n_parts: usize,
    now_ns: u64,
    wall_ms: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_loop(Site::NetRx, node, |event_loop| {
            if parts.is_null() && n_parts > 0 {
                return Err(E_NULL);
            }
            for at in 0..n_parts {
                // Each is taken before the next is looked at: a bad one ends the call between two of them.
                let bytes = (*parts.add(at)).as_slice()?;
                event_loop.net_receive(now(now_ns, wall_ms), peer, bytes).map_err(of_uncarried)?;
            }
            Ok(OK)
        })
    }
}

/// Tells a node in mode packet what has become of a stream. With datagrams nothing has to be told.
///
/// Arguments: node; peer: the stream's name, which is over with QUORATE_NET_DOWN; event: QUORATE_NET_...;
/// os_errno: why it is down, or 0; now_ns, wall_ms: as for quorate_node_step.
/// Returns: OK; E_NULL; E_UNSUPPORTED for an event that is not known; E_STATE in another mode; E_CLOSED if
/// there is no such stream any more; E_BUSY; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_net_event(
    node: *mut quorate_node,
    peer: u64,
    event: u32,
    os_errno: i32,
    now_ns: u64,
    wall_ms: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_loop(Site::NetEvent, node, |event_loop| {
            let what = match event {
                NET_UP => Carrying::Up,
                NET_DOWN => Carrying::Down(os_errno),
                NET_WRITABLE => Carrying::Writable,
                NET_FULL => Carrying::Full,
                _ => return Err(E_UNSUPPORTED),
            };
            event_loop.net_event(now(now_ns, wall_ms), peer, what).map_err(of_uncarried)?;
            Ok(OK)
        })
    }
}

/// Fills empty frames with what a node in mode packet has to say: many messages in each, all for one stream.
/// A frame of datagrams is one, no larger than cap. Call it after each step until it fills less than it was
/// offered.
///
/// Arguments: node; frames, size, capacity: the frames, sizeof(quorate_frame) and how many there are; filled:
/// receives how many were filled.
/// Returns: OK; AGAIN if there is nothing to say; E_NULL, also for a frame without data; E_ARG for a frame below
/// QUORATE_FRAME_MIN bytes or a size below that of the first release; E_UNSUPPORTED for flags, reserved or what this
/// library does not know of a frame that is not zero; E_STATE in another mode; E_CLOSED once it is stopped; E_BUSY as
/// quorate_node_step; E_FORKED; E_POISONED; E_PANIC. The first `filled` frames are filled in any case.
/// Thread class: C. Blocks: no. Owner: frames and their data stay the caller's. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_net_tx(
    node: *mut quorate_node,
    frames: *mut quorate_frame,
    size: usize,
    capacity: usize,
    filled: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(filled, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_loop(Site::NetTx, node, |event_loop| {
            if filled.is_null() || (frames.is_null() && capacity > 0) {
                return Err(E_NULL);
            }
            if size < size_of::<quorate_frame>() || !size.is_multiple_of(align_of::<quorate_frame>()) {
                return Err(E_ARG);
            }
            for at in 0..capacity {
                let frame = frames.byte_add(at * size);
                let known: quorate_frame = read_sized(frame, size)?;
                if known.data.is_null() {
                    return Err(E_NULL);
                }
                if known.cap < DATAGRAM_MIN || known.cap > isize::MAX as usize {
                    return Err(E_ARG);
                }
                if known.reserved != [0; 2] || known.flags != 0 {
                    return Err(E_UNSUPPORTED);
                }
                let room = core::slice::from_raw_parts_mut(known.data, known.cap);
                let Some(Filled { peer, told, length }) = event_loop.net_fill(room) else { break };
                let kind = match told {
                    Told::Bytes => FRAME_BYTES,
                    Told::Connect => FRAME_CONNECT,
                    Told::Close => FRAME_CLOSE,
                };
                write_sized(frame, size, &quorate_frame { len: length, peer, kind, ..known })?;
                filled.write(at + 1);
            }
            Ok(if *filled > 0 { OK } else { AGAIN })
        })
    }
}
