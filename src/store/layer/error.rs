//! Why a layer does not get into the store.

use crate::store::error::{StoreError, from_store_errors};
use crate::{fetcher, unpacker};

/// Why a layer could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// What was unpacked as a root filesystem is an image in files.
    #[error("`{blob}` holds an image, not a root filesystem: store it in a file and create from {transport}:FILE")]
    HoldsImage {
        /// The layer.
        blob: String,
        /// How an image in a file of that kind is named.
        transport: &'static str,
    },
    /// A local archive was replaced while two creates read it.
    #[error("`{blob}` was replaced while images were created from it; create the image again")]
    SourceReplaced {
        /// The archive.
        blob: String,
    },
    /// The source does not hand it out.
    #[error("pulling the image: {0}")]
    Read(#[source] fetcher::Error),
    /// It could not be unpacked.
    #[error("pulling the image: {stage} `{blob}`: {source}")]
    Unpack {
        /// Whether reading or unpacking failed.
        stage: &'static str,
        /// The layer.
        blob: String,
        /// What happened.
        source: Box<unpacker::Error>,
    },
    /// An earlier layer of the same image failed.
    #[error("pulling the image: cancelled")]
    Cancelled,
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

from_store_errors!(LayerError);

impl LayerError {
    /// An error of unpacking the layer `blob`.
    pub(in crate::store) fn unpack(blob: &str, source: unpacker::Error) -> Self {
        LayerError::Unpack { stage: stage(&source), blob: blob.to_owned(), source: Box::new(source) }
    }

    /// Whether it could not be read, wherever it is.
    pub(in crate::store) fn is_of_source(&self) -> bool {
        match self {
            LayerError::Read(_) => true,
            LayerError::Unpack { source, .. } => matches!(**source, unpacker::Error::Source(_)),
            _ => false,
        }
    }

    /// Whether the layer is not what the manifest says.
    pub(in crate::store) fn is_wrong_layer(&self) -> bool {
        use unpacker::Error::{BlobDigest, BlobSize, DiffId};
        matches!(self, LayerError::Unpack { source, .. }
            if matches!(**source, BlobDigest { .. } | BlobSize { .. } | DiffId { .. }))
    }
}

/// Whether it was the bytes of the blob, or the files made of them.
fn stage(error: &unpacker::Error) -> &'static str {
    use unpacker::Error::{BlobDigest, BlobSize, Decompress, DiffId, InodeQuota, Quota, Source};
    match error {
        BlobDigest { .. } | BlobSize { .. } | Decompress(_) | DiffId { .. } | InodeQuota | Quota | Source(_) => {
            "streaming blob"
        }
        _ => "unpacking layer",
    }
}
