//! What the fuzz targets share.

pub mod layers;
pub mod second_reader;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Calls `work` with a file of this content, in memory.
pub fn with_file(content: &[u8], work: impl FnOnce(&Path)) {
    let path = scratch().join(format!("grootfs-fuzz-{}", std::process::id()));
    fs::write(&path, content).expect("a file is written");
    work(&path);
}

/// Where files cost least.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Has the extractor do without a root directory of its own, so that its own care for paths is what is tested.
pub fn give_up_chroot() {
    let mut sets = capabilities(None).expect("capabilities are read");
    sets.effective.remove(CapabilitySet::SYS_CHROOT);
    sets.permitted.remove(CapabilitySet::SYS_CHROOT);
    set_capabilities(None, sets).expect("capabilities are given up");
}
