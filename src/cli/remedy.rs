//! What may help against an error, which is told from what is wrong where people read it.
//!
//! The error says so by its type. Its text alone says nothing: parts of it come from registries and images, and those could
//! hold the words of any remedy.

use crate::fetcher::{self, RegistryError};
use crate::panics::Panicked;
use crate::store::{
    BaseError, CleanError, CommitError, CreateError, DeleteError, DeleteStoreError, DescribeError, ImageError,
    InitError, InitLockError, LayerError, LimitError, MountError, PullError, SharedLayersError, StoreError,
    VolumeError,
};
use crate::sys::caller::ProcMissing;
use crate::sys::path_error::PathError;
use crate::{config, driver, observe};

/// How the remedies of errors begin that are often met, in their messages.
const CLEAN: &str = "delete images, then run `grootfs clean`";
const MANY_FILES: &str = "delete images with many files, ";
const INIT: &str = "Please run init-store.";
const MOUNT: &str = "Mount it, as root, with `";
const OTHER_VERSION: &str = "use the grootfs that made it, ";
const INSECURE: &str = "To pull images from this registry, ";
const WITHOUT_VOLUMES: &str = "leave its volumes out with --image-volumes=ignore";
const WITHOUT_INODES: &str = "leave out --disk-limit-inodes";
const MOVE_AWAY: &str = "move it away to have a new store made";
const LATER: &str = "try again when it has ended";

#[cfg(test)]
pub(super) const OF_STORES: [&str; 10] =
    [CLEAN, MANY_FILES, INIT, MOUNT, OTHER_VERSION, INSECURE, WITHOUT_VOLUMES, WITHOUT_INODES, MOVE_AWAY, LATER];

/// An error that may know what helps.
pub(super) trait Remedy {
    /// How the last part of its message begins, if that is a remedy.
    fn remedy(&self) -> Option<&'static str> {
        None
    }
}

macro_rules! remedies {
    ($($error:ty { $($pattern:pat => $remedy:expr),+ $(,)? })+) => {$(
        impl Remedy for $error {
            fn remedy(&self) -> Option<&'static str> {
                match self {
                    $($pattern => $remedy,)+
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }
        }
    )+};
}

remedies! {
    StoreError {
        StoreError::NotInitialised => Some(INIT),
        StoreError::NotMounted { .. } => Some(MOUNT),
        StoreError::UnknownFormat { .. } => Some(OTHER_VERSION),
        StoreError::Driver(error) => error.remedy(),
    }
    driver::Error { error => driver::Error::remedy(error) }
    fetcher::Error {
        fetcher::Error::Registry(error) => error.remedy(),
        fetcher::Error::RegistryBlob(_, error) => error.remedy(),
        fetcher::Error::NeitherFileNorImage(error, _) | fetcher::Error::OfImage(error, _) => error.remedy(),
    }
    RegistryError { RegistryError::Insecure { .. } => Some(INSECURE) }
    ImageError {
        ImageError::Busy(_) => Some(LATER),
        ImageError::Store(error) => error.remedy(),
    }
    DeleteError {
        DeleteError::Busy(_) => Some(LATER),
        DeleteError::Store(error) => error.remedy(),
    }
    MountError {
        MountError::OneOfAll { source, .. } => source.remedy(),
        MountError::Image(error) => error.remedy(),
        MountError::Store(error) => error.remedy(),
    }
    LimitError {
        LimitError::NoInodeLimits(_) => Some(WITHOUT_INODES),
        LimitError::Image(error) => error.remedy(),
        LimitError::Store(error) => error.remedy(),
    }
    BaseError {
        BaseError::Fetch(error) | BaseError::Read(error) => error.remedy(),
        BaseError::Image(error) => error.remedy(),
        BaseError::Store(error) => error.remedy(),
    }
    CommitError {
        CommitError::Base { source, .. } => source.remedy(),
        CommitError::Copy(error) => error.remedy(),
        CommitError::Image(error) => error.remedy(),
        CommitError::Store(error) => error.remedy(),
    }
    VolumeError {
        VolumeError::Unusable { .. } => Some(WITHOUT_VOLUMES),
        VolumeError::Make(error) => error.remedy(),
        VolumeError::Store(error) => error.remedy(),
    }
    LayerError {
        LayerError::Read(error) => error.remedy(),
        LayerError::Store(error) => error.remedy(),
    }
    CreateError {
        CreateError::Full { .. } => Some(CLEAN),
        CreateError::NoInodesLeft { .. } => Some(MANY_FILES),
        CreateError::Busy(_) => Some(LATER),
        CreateError::NoInodeLimits(_) => Some(WITHOUT_INODES),
        CreateError::Fetch(error) => error.remedy(),
        CreateError::Layer(error) => error.remedy(),
        CreateError::LayerOf { source, .. } => source.remedy(),
        CreateError::SharedLayers(error) => error.remedy(),
        CreateError::Volume(error) => error.remedy(),
        CreateError::Make(error) => error.remedy(),
        CreateError::Store(error) => error.remedy(),
    }
    PullError { PullError::Create(error) => error.remedy() }
    SharedLayersError { SharedLayersError::Store(error) => error.remedy() }
    InitLockError { InitLockError::Busy { .. } => Some(LATER) }
    InitError {
        InitError::NotFormatted { .. } => Some(MOVE_AWAY),
        InitError::Lock(error) => error.remedy(),
        InitError::SharedLayers(error) => error.remedy(),
        InitError::Store(error) => error.remedy(),
    }
    DeleteStoreError {
        DeleteStoreError::ImageBusy(_) => Some(LATER),
        DeleteStoreError::Lock(error) => error.remedy(),
        DeleteStoreError::Image(error) => error.remedy(),
        DeleteStoreError::Store(error) => error.remedy(),
    }
    CleanError { CleanError::Store(error) => error.remedy() }
    DescribeError {
        DescribeError::Fetch(error) => error.remedy(),
        DescribeError::Store(error) => error.remedy(),
    }
}

impl Remedy for Panicked {}
impl Remedy for ProcMissing {}
impl Remedy for PathError {}
impl Remedy for config::Error {}
impl Remedy for observe::Error {}

/// Where the remedy begins in the message of an error. What the error has of others stands before that.
pub(super) fn begin(error: &(impl Remedy + ?Sized), message: &str) -> Option<usize> {
    error.remedy().and_then(|remedy| message.rfind(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_those_of_messages() {
        // The page has messages between backquotes, and others in place of those inside.
        let messages = include_str!("../../docs/messages.md").replace('\'', "`");
        for remedy in OF_STORES {
            assert!(messages.contains(remedy), "{remedy}");
        }
    }
}
