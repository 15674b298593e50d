//! Hooks for tests, in builds with the feature `test-hooks` only; no installed header shows them.

use core::sync::atomic::{AtomicU32, Ordering};

use super::boundary::Site;
use super::node::quorate_node;

/// The site whose next entry panics; 0 for none.
static ARMED: AtomicU32 = AtomicU32::new(0);

/// Arms a panic at the next entry of one function. `site` is its row in `abi/symbols.txt`; 0 disarms.
/// Returns the site that was armed before and did not fire.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_test_panic(site: u32) -> u32 {
    ARMED.swap(site, Ordering::SeqCst)
}

/// Makes the loop of a node pass the site of the library's thread within its next turn, whoever drives it.
///
/// # Safety
/// A live node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_turn(node: *const quorate_node) {
    // SAFETY: the caller's promise.
    if let Some(node) = unsafe { node.as_ref() } {
        node.handle.reload();
    }
}

/// Panics if this site is armed, once.
pub(super) fn panic_if_armed(site: Site) {
    let site = site as u32;
    if ARMED.compare_exchange(site, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        panic!("armed by a test at site {site}");
    }
}
