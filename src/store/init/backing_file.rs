//! The file behind a store on a loop device, and the rule that nothing is ever formatted that holds data.
//!
//! A new filesystem is made in a file of its own, which gets its name only when it is complete. A file that has the
//! name is formatted only if it has never been written to.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom as Seek2, seek};
use rustix::io::Errno;

use crate::driver::FilesystemRequest;
use crate::store::{InitError, Store};
use crate::sys::files;
use crate::sys::loop_device;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;

/// The smallest store the original makes.
const MINIMUM_BYTES: u64 = 200 * 1024 * 1024;

/// Signatures by their place in a file, as blkid(8) looks for them.
const SIGNATURES: [(u64, &[u8], &str); 8] = [
    (0, b"XFSB", "an XFS filesystem"),
    (0x1_0040, b"_BHRfS_M", "a btrfs filesystem"),
    (0x438, &[0x53, 0xef], "an ext2, ext3 or ext4 filesystem"),
    (0, b"LUKS", "an encrypted volume"),
    (0, b"hsqs", "a squashfs filesystem"),
    (0x400, &[0xe2, 0xe1, 0xf5, 0xe0], "an EROFS filesystem"),
    (4086, b"SWAPSPACE2", "swap space"),
    (510, &[0x55, 0xaa], "a partition table or a boot sector"),
];

/// Whether there is a backing file. What has its name and cannot be one is an error: a pipe would be waited for.
pub(in crate::store) fn exists(backing: &Path) -> Result<bool, PathError> {
    match fs::metadata(backing) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => files::exists(backing),
        Ok(metadata) if metadata.is_file() || metadata.file_type().is_block_device() => Ok(true),
        Ok(_) => Err(PathError::new("open", backing, io::Error::other("it is no file: move it away"))),
        Err(e) => Err(PathError::new("stat", backing, e)),
    }
}

/// Refuses a file that others can write to, for the kernel would read what they write.
fn check_is_root_s_own(backing: &Path) -> Result<(), PathError> {
    const REASON: &str = "others than root can write to it, and the kernel would read what they write: if you trust what \
                          is in it, chown it to root and chmod it to 600";
    let metadata = fs::metadata(backing).on("stat", backing)?;
    if !metadata.is_file() || metadata.uid() == 0 && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(PathError::new("open", backing, io::Error::other(REASON)))
}

/// Mounts the store's backing file, which is made first if there is none.
pub(in crate::store) fn mount(store: &Store, wanted: Wanted, request: FilesystemRequest) -> Result<(), InitError> {
    let backing = store.layout.backing_file();
    match content(&backing)? {
        Content::Nothing => make_and_mount(store, &backing, wanted, request),
        Content::Found(found) if found == store.driver.content_of_backing_file() => {
            check_is_root_s_own(&backing)?;
            wanted.check_against(&backing)?;
            mount_made(store, &backing, request)
        }
        Content::Found(found) => Err(InitError::NotFormatted { backing, found, store: store.layout.root().to_owned() }),
    }
}

/// A filesystem that turns out not to be mountable was made for nothing.
fn make_and_mount(store: &Store, backing: &Path, wanted: Wanted, request: FilesystemRequest) -> Result<(), InitError> {
    make(store, backing, wanted.bytes)?;
    let mounted = mount_made(store, backing, request);
    if mounted.is_err() {
        files::remove_if_there(backing)?;
    }
    mounted
}

fn mount_made(store: &Store, backing: &Path, request: FilesystemRequest) -> Result<(), InitError> {
    fs::create_dir_all(store.layout.root()).on("mkdir", store.layout.root())?;
    Ok(store.driver.mount_backing(&store.layout, backing, request)?)
}

/// Makes a mounted store as large as it is wanted, if it is smaller: the file, then the loop device, then the
/// filesystem, whatever is in use in it.
///
/// The steps are gone through even where the file is large enough, for a run that was killed between them. None of them
/// does anything that was done before.
pub(in crate::store) fn grow(store: &Store, wanted: Wanted) -> Result<(), InitError> {
    let backing = store.layout.backing_file();
    let actual = length(&backing)?;
    if wanted.bytes > actual {
        tracing::info!(actual, wanted = wanted.bytes, "growing-store");
        let file = fs::OpenOptions::new().write(true).open(&backing).on("open", &backing)?;
        file.set_len(wanted.bytes).on("truncate", &backing)?;
        // A filesystem larger than its file could not be mounted after a power cut.
        file.sync_all().on("fsync", &backing)?;
    }
    // Where the store is mounted from something else, the file and its size are of no concern.
    if loop_device::refresh_size(&backing)? {
        store.driver.grow(&store.layout)?;
    }
    Ok(())
}

fn length(backing: &Path) -> Result<u64, PathError> {
    Ok(fs::metadata(backing).on("stat", backing)?.len())
}

/// The size a store is to have.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Wanted {
    pub(in crate::store) bytes: u64,
    /// Whether somebody asked for exactly this size, just now.
    pub(in crate::store) is_explicit: bool,
}

impl Wanted {
    /// A store is never made smaller. A configured size is computed from what is free at the moment, and may well be
    /// less than the store has; a size given by hand that cannot be had is an error.
    pub(in crate::store) fn check_against(self, backing: &Path) -> Result<(), InitError> {
        let actual = length(backing)?;
        if self.bytes > 0 && self.bytes < actual {
            if self.is_explicit {
                return Err(InitError::CannotShrink { store: backing.to_owned(), actual, wanted: self.bytes });
            }
            tracing::info!(actual, wanted = self.bytes, "store-is-not-made-smaller");
        }
        Ok(())
    }
}

enum Content {
    Nothing,
    Found(&'static str),
}

fn content(backing: &Path) -> Result<Content, PathError> {
    let mut file = match File::open(backing) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
        opened => opened.on("open", backing)?,
    };
    match seek(&file, Seek2::Data(0)) {
        Err(Errno::NXIO) => return Ok(Content::Nothing),
        found => found.on("seek", backing)?,
    };
    for (offset, signature, name) in SIGNATURES {
        let mut bytes = vec![0; signature.len()];
        file.seek(SeekFrom::Start(offset)).on("seek", backing)?;
        let is_long_enough = file.read_exact(&mut bytes).is_ok();
        if is_long_enough && bytes == signature {
            return Ok(Content::Found(name));
        }
    }
    Ok(Content::Found("data of an unknown kind"))
}

fn make(store: &Store, backing: &Path, bytes: u64) -> Result<(), InitError> {
    if bytes < MINIMUM_BYTES {
        return Err(InitError::TooSmall);
    }
    finish_removal(backing)?;
    let unfinished = unfinished(backing, &random_number()?.to_string());
    let made = make_unfinished(store, &unfinished, bytes)
        .and_then(|()| Ok(fs::rename(&unfinished, backing).on("rename", backing)?));
    if made.is_err() {
        files::remove_if_there(&unfinished)?;
    }
    made
}

/// Files of runs that were killed. Each run has a name of its own, so that a mkfs which outlives its run formats none
/// of another's.
fn finish_removal(backing: &Path) -> Result<(), PathError> {
    let prefix = unfinished(backing, "");
    let (Some(parent), Some(prefix)) = (backing.parent(), prefix.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    // The directory may be a link: it is the administrator's.
    let names = files::names(&parent.join("."))?;
    names.iter().filter(|name| name.starts_with(prefix)).try_for_each(|name| files::remove_if_there(&parent.join(name)))
}

fn make_unfinished(store: &Store, path: &Path, bytes: u64) -> Result<(), InitError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).on("mkdir", parent)?;
    }
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .on("creating backing store file: open", path)?;
    file.set_len(bytes).on("truncating backing store file: truncate", path)?;
    store.driver.format(path)?;
    // The rename must not come before the filesystem it names.
    Ok(file.sync_all().on("fsync", path)?)
}

fn unfinished(backing: &Path, suffix: &str) -> PathBuf {
    let mut path = backing.as_os_str().to_owned();
    path.push(".unfinished-");
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(bytes: &[(u64, &[u8])]) -> Option<&'static str> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        for (offset, bytes) in bytes {
            std::os::unix::fs::FileExt::write_all_at(&file, bytes, *offset).unwrap();
        }
        match content(&path).unwrap() {
            Content::Nothing => None,
            Content::Found(name) => Some(name),
        }
    }

    #[test]
    fn only_a_file_that_was_never_written_to_holds_nothing() {
        assert_eq!(found_in(&[]), None);
        assert_eq!(found_in(&[(0, b"XFSB")]), Some("an XFS filesystem"));
        assert_eq!(found_in(&[(0x438, &[0x53, 0xef])]), Some("an ext2, ext3 or ext4 filesystem"));
        assert_eq!(found_in(&[(0x1_0040, b"_BHRfS_M")]), Some("a btrfs filesystem"));
        assert_eq!(found_in(&[(900_000, b"a letter to grandmother")]), Some("data of an unknown kind"));
    }

    #[test]
    fn a_missing_file_holds_nothing() {
        assert!(matches!(content(Path::new("/nonexistent/file")), Ok(Content::Nothing)));
    }
}
