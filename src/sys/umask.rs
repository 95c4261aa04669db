//! The umask that the program was started with. What is made in a store does not depend on it; files of the user's own, beside
//! stores, are no more open than it says.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::Mode;

static OF_CALLER: AtomicU32 = AtomicU32::new(0);

/// Sets the umask that files of stores are made with, and remembers the caller's.
pub fn set_for_stores() {
    let of_caller = rustix::process::umask(Mode::WGRP | Mode::WOTH);
    OF_CALLER.store(of_caller.bits(), Ordering::Relaxed);
}

/// What the caller's umask leaves of a mode.
pub fn allowed(mode: u32) -> u32 {
    mode & !OF_CALLER.load(Ordering::Relaxed)
}
