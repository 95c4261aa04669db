//! What any command may find wrong with a store. Each transaction has an error of its own, which says what else may come of
//! it: [`image`](super::image::error), [`layer`](super::layer::error) and [`init`](super::init::error) have those of their
//! transactions, and the others are beside theirs.

use std::path::PathBuf;

use crate::driver;
use crate::sys::path_error::PathError;

/// Why a store cannot be used, whatever for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory is no store.
    #[error("Store path is not initialized. Please run init-store.")]
    NotInitialised,
    /// There is nothing at the store's path.
    #[error("no store found at {store}")]
    Missing {
        /// The store.
        store: PathBuf,
    },
    /// The filesystem that holds the store is not mounted.
    #[error(
        "the store {store} is not mounted: {backing} holds it. Mount it, as root, with \
         `grootfs --driver {driver} --store {store} init-store`"
    )]
    NotMounted {
        /// The store.
        store: PathBuf,
        /// The file that holds it.
        backing: PathBuf,
        /// The driver it was named with.
        driver: &'static str,
    },
    /// The store is of a later version.
    #[error(
        "the store {store} has the format {recorded}, and this grootfs supports none later than {known}: use the grootfs that \
         made it, or a later one"
    )]
    UnknownFormat {
        /// The store.
        store: PathBuf,
        /// What it has on record.
        recorded: String,
        /// The latest version known.
        known: u32,
    },
    /// The store, or one of its directories, is something else.
    #[error("path `{path}` is not a directory")]
    NotADirectory {
        /// What is no directory.
        path: PathBuf,
    },
    /// The store's id mappings cannot be read.
    #[error("invalid namespace file: {reason} ({path}): remove it and run init-store with the store's mappings")]
    BadNamespaceFile {
        /// The file that has them.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store's id mappings are not what root has recorded.
    #[error("{path} does not match the seal that root has set on this store: run init-store with the store's mappings")]
    UntrustedNamespaceFile {
        /// The file that has them.
        path: PathBuf,
    },
    /// An ordinary user's command on a store whose layers are another one's.
    #[error("the layers of this store are shared with another one: only root can use them")]
    SharedLayersNeedRoot,
    /// A clean that hangs, or was stopped, keeps creates from claiming their layers.
    #[error("the store was locked for {seconds} s by {holders}: end it if it hangs, then try again")]
    Locked {
        /// How long the lock was waited for.
        seconds: u64,
        /// Who holds it.
        holders: String,
    },
    /// The filesystem underneath could not do its part.
    #[error(transparent)]
    Driver(#[from] driver::Error),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Another process claims layers while they are to be taken away: a create of the original holds the lock while it downloads.
#[derive(Debug, thiserror::Error)]
#[error("another process claims layers of the store for more than 3 s: clean again when it has ended")]
pub struct LayersClaimed;

/// The first of the errors of steps that are all taken, whatever becomes of those before.
pub(in crate::store) struct FirstError<E>(Option<E>);

impl<E> FirstError<E> {
    pub(in crate::store) fn none() -> Self {
        FirstError(None)
    }

    /// Notes how a step ended.
    pub(in crate::store) fn note<F: Into<E>>(&mut self, step: Result<(), F>) {
        if let Err(error) = step {
            self.0.get_or_insert_with(|| error.into());
        }
    }

    /// How all of them ended.
    pub(in crate::store) fn result(self) -> Result<(), E> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Lets `?` turn what is wrong with a path or the filesystem underneath into a transaction's error, as something that is
/// wrong with the store.
macro_rules! from_store_errors {
    ($($error:ty),+ $(,)?) => {$(
        impl From<crate::driver::Error> for $error {
            fn from(error: crate::driver::Error) -> Self {
                crate::store::StoreError::from(error).into()
            }
        }
        impl From<crate::sys::path_error::PathError> for $error {
            fn from(error: crate::sys::path_error::PathError) -> Self {
                crate::store::StoreError::from(error).into()
            }
        }
    )+};
}
pub(in crate::store) use from_store_errors;
