//! Layers of generated archives, extracted above a layer with links that lead out. Nothing outside of the volume may
//! change; the thread's own root directory, which would hide a mistake, is not to be had.

#![no_main]

use grootfs_fuzz::layers::{Stack, extract};

libfuzzer_sys::fuzz_target!(init: grootfs_fuzz::give_up_chroot(), |stack: Stack| extract(&stack));
