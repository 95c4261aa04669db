//! Why a store is not made, or not removed.

use std::path::PathBuf;

use crate::store::error::{LayersClaimed, StoreError, from_store_errors};
use crate::store::image::error::{DeleteError, ImageBusy};
use crate::store::shared::SharedLayersError;
use crate::sys::path_error::PathError;

/// Why no store can be made or removed at the moment.
#[derive(Debug, thiserror::Error)]
pub enum InitLockError {
    /// Another process takes its time.
    #[error("another init-store or delete-store is running (it holds {lock}): try again when it has ended")]
    Busy {
        /// The file that it has locked.
        lock: PathBuf,
    },
    /// The file cannot be locked.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Why init-store failed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Somebody else than root asked for it.
    #[error("store {store} can only be initialized by Root user")]
    NotRoot {
        /// The store.
        store: PathBuf,
    },
    /// The path has characters that mount options give a meaning.
    #[error("store path `{store}` contains `:`, `,` or `\\`, which mount options do not allow: choose another path")]
    UnusablePath {
        /// The store.
        store: PathBuf,
    },
    /// The path cannot be said in JSON.
    #[error("store path `{store}` is not UTF-8, as the JSON of create has to be: choose another path")]
    PathIsNoText {
        /// The store.
        store: PathBuf,
    },
    /// Another one is running.
    #[error(transparent)]
    Lock(#[from] InitLockError),
    /// A store of the given size cannot be made.
    #[error("store size must be at least 200Mb")]
    TooSmall,
    /// A store cannot be made smaller.
    #[error(
        "store {store} has {actual} bytes and cannot be made smaller: {wanted} were asked for, nothing was changed"
    )]
    CannotShrink {
        /// The file that it is in.
        store: PathBuf,
        /// Its size.
        actual: u64,
        /// The size asked for.
        wanted: u64,
    },
    /// The backing file holds something else.
    #[error(
        "{backing} holds {found} and was left as it is: move it away to have a new store made, \
         or mount it on {store} yourself"
    )]
    NotFormatted {
        /// The backing file.
        backing: PathBuf,
        /// What is in it.
        found: &'static str,
        /// The store.
        store: PathBuf,
    },
    /// The store has other id mappings than asked for.
    #[error("provided {kind} mappings do not match those already configured in the store")]
    MappingsDiffer {
        /// Of users or of groups.
        kind: &'static str,
    },
    /// The layers cannot be where they are to be.
    #[error(transparent)]
    SharedLayers(#[from] SharedLayersError),
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why delete-store failed.
#[derive(Debug, thiserror::Error)]
pub enum DeleteStoreError {
    /// Another one, or an init-store, is running.
    #[error(transparent)]
    Lock(#[from] InitLockError),
    /// The directory is no store.
    #[error("refusing to delete possibly corrupted store: {store} is not a store: it has no {directory}")]
    NotAStore {
        /// The path that was given.
        store: PathBuf,
        /// What every store has.
        directory: &'static str,
    },
    /// Images of another store would lose their layers.
    #[error(
        "images of the store {client} need layers of this one: delete that store first, or {records} if it is lost"
    )]
    LayersInUse {
        /// The other store.
        client: PathBuf,
        /// What this store has on record of it.
        records: PathBuf,
    },
    /// A create is at work.
    #[error(transparent)]
    LayersClaimed(#[from] LayersClaimed),
    /// A create or delete is at work.
    #[error(transparent)]
    ImageBusy(#[from] ImageBusy),
    /// An image could not be deleted.
    #[error(transparent)]
    Image(#[from] DeleteError),
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

from_store_errors!(InitError, DeleteStoreError);
