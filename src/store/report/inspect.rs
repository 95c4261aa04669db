//! All that is known of one image, of the store or of a source.

use std::path::PathBuf;

use crate::driver::Mount;
use crate::fetcher::{self, Fetcher, MetadataCache, Options, Tag};
use crate::image::{ChainId, Image, Reference};
use crate::store::error::from_store_errors;
use crate::store::image::image_volumes;
use crate::store::image::origin::Origin;
use crate::store::layer::manifest_cache::ManifestCache;
use crate::store::layer::volumes;
use crate::store::report::scan::ImageReport;
use crate::store::shared::LayersIn;
use crate::store::{ImageError, ImageSelector, SelectError, Store, StoreError};
use crate::sys::path_error::PathError;

/// An image of the store.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// What a look at the whole store tells of it.
    pub report: ImageReport,
    /// Where it came from; `None` for one that was made by a version that kept no record of it.
    pub origin: Option<Origin>,
    /// Its layers, bottom first.
    pub layers: Vec<InspectedLayer>,
    /// Its root filesystem.
    pub rootfs: PathBuf,
    /// Mounts of its volumes, left to the caller.
    pub mounts: Vec<Mount>,
}

/// A layer of an image of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedLayer {
    /// Name of the volume.
    pub chain_id: String,
    /// Bytes of file contents in it; `None` where it is not on record.
    pub bytes: Option<u64>,
}

/// An image that is not in the store, as its source describes it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The image.
    pub image: Image,
    /// Its layers, bottom first.
    pub layers: Vec<DescribedLayer>,
}

/// A layer of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedLayer {
    /// What the source calls the blob: its digest, or a path.
    pub blob: String,
    /// Bytes of the blob, where the manifest states them.
    pub bytes: Option<u64>,
    /// Digest of the uncompressed archive, where one is known.
    pub diff_id: Option<String>,
    /// Name of the unpacked layer in the store.
    pub chain_id: ChainId,
    /// Whether the store has it.
    pub is_cached: bool,
}

/// Why an image of a source cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The source does not describe it.
    #[error(transparent)]
    Fetch(#[from] fetcher::Error),
    /// Something is wrong with the store, which may have its layers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

from_store_errors!(DescribeError);

impl Store {
    /// Looks at one image of the store. Takes no lock.
    pub fn inspect(&self, image: ImageSelector<'_>) -> Result<Inspected, ImageError> {
        self.check_initialised()?;
        let id = image.existing(self)?;
        let report = self.report_image(id.as_str())?.ok_or_else(|| SelectError::NotFound { id: id.to_string() })?;
        let origin = self.origin(&id)?;
        let declared = origin.as_ref().and_then(|origin| origin.details.as_ref()).map(|details| &details.volumes[..]);
        let (directory, published) = (self.layout.image(id.as_str()), self.layout.image_path(id.as_str()));
        let mounts = image_volumes::mounts_of(&directory, &published, declared.unwrap_or_default())?;
        let layers_in = self.layers_in()?;
        let layer = |chain_id: &String| {
            Ok(InspectedLayer {
                bytes: volumes::recorded_size(&layers_in.layout, chain_id)?,
                chain_id: chain_id.clone(),
            })
        };
        let layers = report.layers.iter().map(layer).collect::<Result<_, PathError>>()?;
        Ok(Inspected { report, origin, layers, rootfs: published.join("rootfs"), mounts })
    }

    /// Reads manifest and configuration of an image of a source, and none of its layers. There need be no store.
    pub fn describe(&self, argument: &str, options: &Options) -> Result<Described, DescribeError> {
        let reference = Reference::parse(argument).map_err(fetcher::Error::from)?;
        let fetcher = Fetcher::for_reference(&reference, argument, options)?;
        let is_there = self.is_initialised().unwrap_or(false);
        let layers_in = if is_there { self.layers_in()? } else { LayersIn::Own(self) };
        let layers_in = &layers_in.layout;
        let cache = is_there.then(|| ManifestCache::new(layers_in));
        let cache: &dyn MetadataCache = cache.as_ref().map_or(&NoCache, |cache| cache);
        let mut image = fetcher.image(cache)?;
        if is_there {
            volumes::name_by_source(layers_in, &mut image.layers)?;
        }
        let layers = image.layers.iter().map(|layer| {
            Ok(DescribedLayer {
                blob: layer.blob_id.clone(),
                bytes: layer.size,
                diff_id: layer.diff_id.as_ref().map(|hex| format!("sha256:{hex}")),
                chain_id: layer.chain_id.clone(),
                is_cached: is_there && volumes::is_present(layers_in, &layer.chain_id)?,
            })
        });
        Ok(Described { layers: layers.collect::<Result<_, PathError>>()?, image })
    }
}

/// Where there is no store.
struct NoCache;

impl MetadataCache for NoCache {
    fn get(&self, _digest: &str) -> Option<Vec<u8>> {
        None
    }

    fn add(&self, _digest: &str, _bytes: &[u8]) {}

    fn tag(&self, _name: &str) -> Option<Tag> {
        None
    }

    fn set_tag(&self, _name: &str, _tag: Tag) {}
}
