//! A list of what is in a layer, to be compared with it later.
//!
//! `meta/digests-<chain id>` is written before the layer has its name, and flushed with it. For each file it has a
//! fingerprint of content and attributes (see `unpacker::fingerprint`), then the path and a zero byte; the last sixteen bytes
//! are a hash of all before, so that a list which a power cut has torn is none. Where layers are copies of those below, the
//! list has the regular files that the layer itself brought: the filesystem keeps checksums of all else.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use twox_hash::XxHash3_128;

use crate::entries::{self, Place};
use crate::image::ChainId;
use crate::layout::Layout;
use crate::store::Store;
use crate::store::layer::durability::{self, UnflushedLayers};
use crate::store::layer::volumes::Entry;
use crate::sys::caller::Caller;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::{dirfd, files, lock};
use crate::unpacker::{WrittenFiles, fingerprint, fingerprint_of_directory};

const MAGIC: &str = "grootfs digests 1";
const FINGERPRINT: usize = 16;
/// A list of more bytes is not read.
const LARGEST: u64 = 256 << 20;
/// A list of more bytes is not made, so that it takes little memory beside the layer's own: a hundred thousand files have room.
const LARGEST_MADE: usize = 8 << 20;
/// A layer with deeper directories has no list: each level keeps a descriptor open while it is made.
const DEEPEST: usize = 64;
/// How many of a layer's files a message names.
const NAMED: usize = 3;

/// How a layer compares with its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Comparison {
    /// There is no list, none that is whole, or one that was made by a user who sees other ids.
    NotPossible,
    /// All that is on the list is there.
    Whole,
    /// How many files are not what they were, and the first of them.
    Differs(usize, Vec<String>),
}

/// What begins a list: ids, and attributes that not everybody sees, are as whoever unpacked the layer sees them.
fn header(caller: Caller) -> String {
    let whose = match caller {
        Caller::Root => "root",
        Caller::User => "user",
        Caller::MappedUser => "mapped user",
    };
    format!("{MAGIC} {whose}\n")
}

/// The list of a layer that is finished and has not got its name yet. `None` if it would be too long, or if the layer has
/// directories that its owner, an ordinary user, may not read.
pub(in crate::store) fn list(
    store: &Store,
    volume: BorrowedFd<'_>,
    written: &WrittenFiles,
    path: &Path,
) -> Result<Option<Vec<u8>>, PathError> {
    if written.are_too_many() {
        tracing::info!("layer-has-too-many-files-for-a-list-of-digests");
        return Ok(None);
    }
    match whole_list(store, volume, written, path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            tracing::info!(%error, "layer-cannot-be-read-for-a-list-of-digests");
            Ok(None)
        }
        list => list,
    }
}

fn whole_list(
    store: &Store,
    volume: BorrowedFd<'_>,
    written: &WrittenFiles,
    path: &Path,
) -> Result<Option<Vec<u8>>, PathError> {
    let is_copy = store.driver.volumes_are_snapshots();
    let mut list = List { content: header(store.caller).into_bytes(), is_copy, written, volume: path };
    if !is_copy {
        list.add(Path::new(""), fingerprint_of_directory(volume).on("read", path)?);
    }
    if !list.add_content(volume, Path::new(""), 0)? {
        tracing::info!("layer-is-too-deep-or-large-for-a-list-of-digests");
        return Ok(None);
    }
    let mut content = list.content;
    content.extend(XxHash3_128::oneshot(&content).to_le_bytes());
    Ok(Some(content))
}

/// A list in the making.
struct List<'a> {
    content: Vec<u8>,
    /// The volume began as a copy of its parent: only files that the layer wrote are its own.
    is_copy: bool,
    written: &'a WrittenFiles,
    /// The volume's path, for messages.
    volume: &'a Path,
}

impl List<'_> {
    fn add(&mut self, path: &Path, fingerprint: u128) {
        self.content.extend(fingerprint.to_le_bytes());
        self.content.extend(path.as_os_str().as_bytes());
        self.content.push(0);
    }

    /// Adds what is in the open directory `below`, and tells whether there was room for all of it.
    fn add_content(&mut self, directory: BorrowedFd<'_>, below: &Path, depth: usize) -> Result<bool, PathError> {
        if depth > DEEPEST {
            return Ok(false);
        }
        for (name, kind, inode) in dirfd::entries_with_inodes(directory).on("read", self.volume.join(below))? {
            let file = below.join(&name);
            match self.written.get(inode).filter(|_| kind == FileType::RegularFile) {
                Some(fingerprint) => self.add(&file, fingerprint),
                None if self.is_copy => {}
                None => {
                    let stat = dirfd::stat_name(directory, &name).on("stat", self.volume.join(&file))?;
                    let Some(stat) = stat else { continue };
                    let fingerprint = fingerprint(directory, &name, &stat).on("read", self.volume.join(&file))?;
                    self.add(&file, fingerprint);
                }
            }
            if self.content.len() > LARGEST_MADE {
                return Ok(false);
            }
            if kind.is_dir() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let inner = dirfd::open_beneath(directory, Path::new(&name), flags);
                let inner = inner.on("open", self.volume.join(&file))?;
                if !self.add_content(inner.as_fd(), &file, depth + 1)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Writes a layer's list, or removes an older one.
pub(in crate::store) fn replace(layout: &Layout, chain_id: &ChainId, list: Option<&[u8]>) -> Result<(), PathError> {
    let path = layout.layer_digests(chain_id.as_str());
    match list {
        Some(list) => files::write(&path, list),
        None => files::remove_if_there(&path),
    }
}

/// The list without its frame; `None` where there is none that can be used.
fn read(store: &Store, layer: &str) -> Result<Option<Vec<u8>>, PathError> {
    let Some(mut list) = files::read_up_to(LARGEST, &store.layout.layer_digests(layer))? else { return Ok(None) };
    let Some(end) = list.len().checked_sub(FINGERPRINT) else { return Ok(None) };
    let header = header(store.caller);
    let is_whole = list[end..] == XxHash3_128::oneshot(&list[..end]).to_le_bytes();
    if !is_whole || !list[..end].starts_with(header.as_bytes()) {
        return Ok(None);
    }
    list.truncate(end);
    Ok(Some(list.split_off(header.len())))
}

/// Reads all files of a layer that are on its list.
pub(in crate::store) fn compare(store: &Store, layer: &str) -> Result<Comparison, PathError> {
    let Some(list) = read(store, layer)? else { return Ok(Comparison::NotPossible) };
    let path = store.layout.volume(layer);
    let mut volume = Volume { root: files::open_directory(&path)?, open: None };
    let (mut count, mut named, mut rest) = (0, Vec::new(), &list[..]);
    while let Some((expected, tail)) = rest.split_first_chunk::<FINGERPRINT>() {
        let Some(end) = tail.iter().position(|byte| *byte == 0) else { break };
        let file = Path::new(OsStr::from_bytes(&tail[..end]));
        rest = &tail[end + 1..];
        // What cannot be read is not what it was.
        let found = volume.fingerprint(file).unwrap_or_default();
        if found != Some(u128::from_le_bytes(*expected)) {
            count += 1;
            if named.len() < NAMED {
                named.push(Path::new("/").join(file).display().to_string());
            }
        }
    }
    Ok(if count == 0 { Comparison::Whole } else { Comparison::Differs(count, named) })
}

/// A layer that is read file by file, and the directory that the last one was in.
struct Volume {
    root: OwnedFd,
    open: Option<(PathBuf, OwnedFd)>,
}

impl Volume {
    /// `None` if there is no such file.
    fn fingerprint(&mut self, file: &Path) -> std::io::Result<Option<u128>> {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return fingerprint_of_directory(self.root.as_fd()).map(Some);
        };
        if self.open.as_ref().is_none_or(|(open, _)| open != parent) {
            let opened = dirfd::open_beneath(&self.root, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
            self.open = Some((parent.to_owned(), opened));
        }
        let Some((_, directory)) = &self.open else { return Ok(None) };
        let name: OsString = name.to_owned();
        match dirfd::stat_name(directory, &name)? {
            Some(stat) => fingerprint(directory.as_fd(), &name, &stat).map(Some),
            None => Ok(None),
        }
    }
}

/// Compares every layer that nobody works on; calls `see` with its name, and how it compares.
pub(in crate::store) fn compare_all(
    store: &Store,
    mut see: impl FnMut(&str, Comparison) -> Result<(), PathError>,
) -> Result<(), PathError> {
    let layout = &store.layout;
    let mut names = entries::names(layout, Place::Volumes)?;
    names.sort();
    for name in names {
        let Entry::Layer(layer) = Entry::of_name(&name) else { continue };
        let is_settled = || {
            Ok::<bool, PathError>(
                !lock::is_held(&layout.lock_file(), &layer)? && files::exists(&layout.volume(&layer))?,
            )
        };
        if !is_settled()? {
            continue;
        }
        let found = compare(store, &layer);
        // It may have been removed, or unpacked again, while it was read.
        if is_settled()? {
            see(&layer, found?)?;
        }
    }
    Ok(())
}

/// Has a layer that is not what it was unpacked again by the next create of it, and one that is whole served although
/// a power cut may have torn it.
pub(in crate::store) fn update_marks(store: &Store, layer: &str, found: &Comparison) -> Result<(), PathError> {
    let Ok(chain_id) = ChainId::new(layer) else { return Ok(()) };
    let is_marked = UnflushedLayers::read(&store.layout)?.contains(&chain_id);
    match found {
        Comparison::Whole if is_marked => durability::unmark(&store.layout, layer),
        Comparison::Differs(..) if !is_marked => durability::condemn(&store.layout, &chain_id),
        _ => Ok(()),
    }
}
