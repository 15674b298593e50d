//! Another Rust archive for a program that links ours (tests/install/two_archives.c): it has a runtime of its own, and
//! catches a panic of its own.

use std::panic::{catch_unwind, set_hook};

#[no_mangle]
pub extern "C" fn other_catches(number: i32) -> i32 {
    set_hook(Box::new(|_| ()));
    catch_unwind(|| if number > 0 { panic!("{number}") } else { number }).unwrap_or(-1)
}
