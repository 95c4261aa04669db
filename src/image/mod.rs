//! What an image is: how it is named, what its documents say, and how its layers are identified. No I/O.

mod chain_id;
mod config;
mod details;
mod docker_reference;
pub(crate) mod json;
mod manifest;
mod reference;
mod user;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use chain_id::{ChainId, InvalidChainId, chain_ids};
pub use config::{ImageConfig, parse_config};
pub use details::ImageDetails;
pub use docker_reference::{DockerReference, is_sha256};
pub use manifest::{
    BASE_DIRECTORY_ANNOTATION, Descriptor, ManifestOrIndex, Platform, REFERENCE_NAME_ANNOTATION, is_foreign_media_type,
    is_layer_media_type, layer_media_suffix, parse_manifest_or_index,
};
pub use reference::{ParseError, Reference};
pub use user::{ProcessUser, UnknownUser, UserFiles};

/// Digest of an archive without entries, which takes the place of the layers of an image that has none.
pub const EMPTY_ARCHIVE: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// All that `create` needs to know of an image before it reads a byte of its layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The layers, bottom first.
    pub layers: Vec<Layer>,
    /// Environment of the image's process, verbatim.
    pub env: Vec<String>,
    /// Paths the image wants as volumes, sorted.
    pub volumes: Vec<String>,
    /// Digest of the manifest, where there is one.
    pub manifest_digest: Option<String>,
    /// Digest of the configuration, where there is one.
    pub config_digest: Option<String>,
    /// What else the configuration says.
    pub details: ImageDetails,
    /// The configuration as it was read; empty where there is none.
    pub document: Vec<u8>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What messages call the layer: its blob's digest, or the path of a local tar.
    pub blob_id: String,
    /// Whether that is a digest that the blob must have.
    pub has_blob_digest: bool,
    /// Size of the blob in bytes, where the manifest states one.
    pub size: Option<u64>,
    /// Hex digest of the uncompressed archive, where one is known.
    pub diff_id: Option<String>,
    /// Name of the unpacked layer in the store.
    pub chain_id: ChainId,
    /// The file that the layer is made of, where no digest tells what is in it.
    pub source: Option<FileIdentity>,
    /// Places to fetch the blob from instead of the image's own source.
    pub urls: Vec<String>,
    /// Media type of the blob, where the manifest states one.
    pub media_type: String,
    /// Whether the media type says that the image's own source may not have the blob.
    pub is_foreign: bool,
    /// Directory of the image below which the layer's entries belong.
    pub base_directory: Option<PathBuf>,
}

/// What tells a file from another one that takes its path and its time of modification.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileIdentity {
    /// Bytes.
    pub size: u64,
    /// Number of the inode.
    pub inode: u64,
    /// Time of the last change of content or attributes: seconds, nanoseconds.
    pub changed: (i64, i64),
}

impl Layer {
    /// The name that the layer has where another file's layer has its usual one.
    pub fn chain_id_of_source(&self) -> Option<ChainId> {
        let FileIdentity { size, inode, changed: (seconds, nanoseconds) } = self.source?;
        Some(ChainId::of_text(format!("{} {size} {inode} {seconds}.{nanoseconds:09}", self.chain_id).as_bytes()))
    }
}

impl Image {
    /// Sum of the blobs' sizes, as far as the manifest states them.
    pub fn blob_bytes(&self) -> u64 {
        self.layers.iter().filter_map(|layer| layer.size).fold(0, u64::saturating_add)
    }
}

/// The hex part of a digest such as `sha256:9f86…`; the whole text where there is no algorithm.
pub fn digest_hex(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(_, hex)| hex)
}
