//! What tests of disk limits have in common: something to write, and what becomes of it at the limit.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use crate::{Archive, DRIVER, Driver, Image, Layer, MIB, TempStore};

/// An image with 5 MiB in one file.
pub fn five_mebibytes(store: &TempStore) -> String {
    let archive = Archive::new().file("file-5", 0o644, &vec![7; 5 * MIB as usize]);
    Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("five"), "latest")
}

/// Writes a file of so many bytes, to the disk.
pub fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block = vec![b'x'; 64 * 1024];
    for _ in 0..bytes / block.len() as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()
}

/// Makes empty files until no more can be had, or so many, and tells how many there are.
pub fn make_empty_files(directory: &Path, most: u64) -> u64 {
    let directory = directory.join("empty");
    if std::fs::create_dir(&directory).is_err() {
        return 0;
    }
    // The directory is one of them.
    let made = (1..most).take_while(|n| File::create(directory.join(n.to_string())).is_ok()).count();
    made as u64 + 1
}

/// The write met the limit: XFS says that there is no space, btrfs that the quota is exceeded.
#[track_caller]
pub fn is_full(result: io::Result<()>) {
    let expected = if *DRIVER == Driver::Btrfs { libc::EDQUOT } else { libc::ENOSPC };
    assert_eq!(result.expect_err("written past the limit").raw_os_error(), Some(expected));
}

/// A number of what `stats` says.
pub fn number(stats: &Value, key: &str) -> u64 {
    stats[key].as_u64().unwrap_or_else(|| panic!("no {key} in {stats}"))
}
