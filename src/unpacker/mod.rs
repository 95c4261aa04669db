//! One layer's byte stream becomes verified files in one volume directory.
//!
//! The stream is read once: it is counted and hashed as it comes, decompressed, counted and hashed again, parsed as a
//! tar archive and written, by two threads ([`unpack`]). Nothing is trusted before both digests agree; the caller
//! publishes the volume only then. The archive is hostile until proven otherwise: all it can do is to make files below
//! the volume's directory, which is watched over twice, by the paths that are opened and by the writing thread's own
//! root directory.
//!
//! Volumes are made to be stacked by an overlay. Layers are extracted side by side, each without those below it, and
//! what needs a look at them is settled later ([`Unpacked::finish`]).
//!
//! This module writes into the directories it is handed and nowhere else.

mod attribute_ids;
mod attributes;
mod changes;
mod channel;
mod copyup;
mod detours;
mod digest;
mod error;
mod extract;
mod fingerprint;
mod finish;
mod flatten;
mod left_out;
mod merged;
mod pack;
mod path;
mod path_map;
mod pipeline;
mod portable;
mod privilege;
mod route;
mod tree;
mod whiteout;

use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

pub use crate::archive::{ArchiveError, DecoderMemory, OwnMemory};
pub use changes::{Change, ChangeKind, OverlayAttributes, changes_of_copy, changes_of_upper};
pub use digest::{Budget, Expected};
pub use error::Error;
pub use fingerprint::{WrittenFiles, fingerprint, fingerprint_of_directory};
pub use flatten::{copy_directory, directory_size, flatten};
pub use left_out::LeftOut;
pub use merged::{MergedFile, MergedView};
pub use pack::{LayerSource, pack};
pub use privilege::Privileged;
pub use whiteout::WhiteoutFormat;

use crate::idmap::IdMappings;
use crate::limits::Usage;
use attributes::Owner;
use tree::Unfinished;

/// How a layer is to be unpacked.
pub struct Layer<'a> {
    /// What its bytes must be.
    pub expected: Expected,
    /// No digest says what the layer is, so an archive without entries is taken for a file that is none.
    pub is_unnamed: bool,
    /// Absolute path of the directory that all entries are relative to; the lower layers must have it.
    pub base_directory: Option<&'a Path>,
    /// How deletions are written down.
    pub whiteouts: WhiteoutFormat,
    /// Whether to take fingerprints of the files that are written.
    pub fingerprints: bool,
    /// Uncompressed bytes that may wait for the volume, and for the writing half later on. Some always may.
    pub read_ahead: usize,
    /// Whose the files become.
    pub ids: &'a IdMappings,
    /// Whose files keep set-id bits and capabilities.
    pub privileged: Privileged,
    /// Limit on the uncompressed bytes, shared with other layers.
    pub budget: Option<&'a Budget>,
    /// What the store has room for, shared with other layers.
    pub room: Option<&'a Budget>,
    /// Limit on the inodes, shared with other layers.
    pub inode_budget: Option<&'a Budget>,
    /// Where its decoder gets memory, which layers share.
    pub decoder_memory: &'a dyn DecoderMemory,
    /// The limits of the image, and what its layers have taken of them.
    pub usage: &'a Usage,
    /// Set to stop. It is looked at for each buffer of the blob, so a source that blocks delays it.
    pub cancel: &'a AtomicBool,
}

/// Why there is no unpacked layer.
#[derive(Debug)]
pub enum UnpackFailure<E> {
    /// There is no volume to unpack it into.
    Volume(E),
    /// The layer could not be unpacked. A blob that is not the expected one is reported as such, whatever else it led to.
    Layer(Error),
}

impl<E> From<Error> for UnpackFailure<E> {
    fn from(error: Error) -> Self {
        Self::Layer(error)
    }
}

/// Reads the whole of `source`, gzip, zstd or plain, checks it and extracts it into the directory that `volume` opens.
///
/// `volume` may take its time: meanwhile the layer is read ahead, as far as the memory for it goes. On error the volume
/// holds part of the layer, or all of it unverified.
///
/// # Errors
/// See [`UnpackFailure`] and [`Error`].
pub fn unpack<E: Send>(
    source: impl Read + Send,
    volume: impl FnOnce() -> Result<OwnedFd, E> + Send,
    layer: &Layer<'_>,
) -> Result<Unpacked, UnpackFailure<E>> {
    if let Some(base) = layer.base_directory.filter(|base| !base.as_os_str().is_empty() && !base.is_absolute()) {
        return Err(Error::RelativeBaseDirectory(base.to_owned()).into());
    }
    pipeline::run(source, volume, layer)
}

/// A layer that is extracted and verified, but for what its parents have a say in.
pub struct Unpacked {
    /// Bytes of content that the layer brings: regular files without their holes; hard links count nothing.
    pub size: u64,
    unsettled: Unfinished,
    left_out: LeftOut,
    written: Option<WrittenFiles>,
    base: PathBuf,
    implicit_owner: Option<Owner>,
    whiteouts: WhiteoutFormat,
}

/// What is to be remembered of a layer that is whole.
#[derive(Debug)]
pub struct Finished {
    /// Bytes of content that the layer brings; files that had to be copied up for hard links count.
    pub size: u64,
    /// Entries that no file was made of.
    pub left_out: LeftOut,
    /// What the layer's regular files are like.
    pub written: Option<WrittenFiles>,
}

impl Unpacked {
    /// Whether hard links lead out of this layer, so that [`Self::finish`] has to know what lower layers left out.
    pub fn links_to_parents(&self) -> bool {
        self.unsettled.has_links()
    }

    /// Whether the volume cannot be finished without looking at lower layers. True for most layers that have some:
    /// few describe every directory that they put something into, the root among them.
    pub fn needs_parents(&self) -> bool {
        let based = !self.base.as_os_str().is_empty();
        self.whiteouts != WhiteoutFormat::Removal && based || self.unsettled.needs_parents(self.whiteouts)
    }

    /// Settles what depends on the lower layers, topmost first, all of them finished, which left out `left_out`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn finish(
        mut self,
        volume: BorrowedFd<'_>,
        parents: &[BorrowedFd<'_>],
        left_out: &LeftOut,
    ) -> Result<Finished, Error> {
        if !self.needs_parents() {
            return Ok(Finished { size: self.size, left_out: self.left_out, written: self.written });
        }
        if self.whiteouts == WhiteoutFormat::Removal {
            return finish::leave_out_links(self, left_out);
        }
        let written = std::mem::take(&mut self.written);
        let finished = pipeline::in_volume(volume, parents, |confinement| {
            finish::finish(self, volume, parents, left_out, confinement)
        })?;
        Ok(Finished { written, ..finished })
    }
}
