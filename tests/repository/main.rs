//! What the repository says of itself, held against the code: tables of the documentation, and files made from it.

#![allow(clippy::unwrap_used)]

mod commands;
mod compatibility;
mod completion;
mod generated;
mod imports;
mod messages;
mod paths;
mod picture;
mod promises;
mod security_tests;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the package.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
