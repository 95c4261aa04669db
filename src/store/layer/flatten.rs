//! Making one volume of an image's lowest layers, where a caller's mount options have no room for all of them.
//!
//! The volume is cached like a layer, under an id of its own, and stands in the image's record beside the layers.

use std::os::fd::AsFd;

use crate::driver::Volume;
use crate::image::{ChainId, Layer};
use crate::store::claims;
use crate::store::image::origin::{self, Origin};
use crate::store::layer::error::LayerError;
use crate::store::layer::publish;
use crate::store::layer::pull;
use crate::store::layer::turn::{OwnSource, Waiter};
use crate::store::layer::volumes;
use crate::store::layer::volumes::VolumeRecord;
use crate::store::{ImageId, Store};
use crate::sys::files;
use crate::unpacker::{self, WhiteoutFormat};

/// The volumes to mount instead of `volumes`, the lowest `count` of which are to become one.
pub(in crate::store) fn flatten(
    store: &Store,
    id: &ImageId,
    (image_layers, origin): (&[Layer], &Origin),
    volumes: Vec<Volume>,
    count: usize,
    whiteouts: WhiteoutFormat,
) -> Result<Vec<Volume>, LayerError> {
    let (lowest, others) = volumes.split_at(count);
    let Some(top) = lowest.last() else { return Ok(volumes) };
    let chain_id = name(top.chain_id.as_str());
    if !claim(store, id, (image_layers, origin), &chain_id)? {
        publish::publish_layer(store, &chain_id, &Alone, |path| {
            store.driver.create_volume(path, None)?;
            let parents = pull::open_below(store, &image_layers[..count])?;
            let parents: Vec<_> = parents.iter().map(AsFd::as_fd).collect();
            let target = files::open_directory(path)?;
            unpacker::flatten(&parents, target.as_fd(), whiteouts)
                .map_err(|error| LayerError::unpack(chain_id.as_str(), error))?;
            // Its files share their blocks with those of the layers, which are accounted for.
            Ok(publish::Filled { record: VolumeRecord::of_size(0), digests: None })
        })?;
    }
    let size = Volume::total_size(lowest);
    Ok(std::iter::once(Volume { chain_id, size }).chain(others.iter().cloned()).collect())
}

/// It is made of volumes that are there, which stalls on nothing.
struct Alone;

impl Waiter for Alone {
    fn keeps_waiting(&self) -> bool {
        true
    }

    fn own_source(&self) -> OwnSource {
        OwnSource::Doubtful
    }

    fn waits_for(&self, _holder: &str) {}
}

/// What the volume is called that stands for the layer `top` and those below it.
pub(in crate::store) fn name(top: &str) -> ChainId {
    ChainId::of_text(format!("flat {top}").as_bytes())
}

/// Puts the volume in use beside the layers, and tells whether it is there.
fn claim(
    store: &Store,
    id: &ImageId,
    (layers, origin): (&[Layer], &Origin),
    chain_id: &ChainId,
) -> Result<bool, LayerError> {
    let _claims = claims::share(&store.layout)?;
    let chain_ids: Vec<&ChainId> =
        layers.iter().map(|layer| &layer.chain_id).chain(std::iter::once(chain_id)).collect();
    let temporary = store.layout.recording(id.as_str());
    origin::write(&store.layout, &temporary, id, &chain_ids, origin)?;
    let is_unflushed = crate::store::layer::durability::UnflushedLayers::read(&store.layout)?.contains(chain_id);
    Ok(!is_unflushed && volumes::is_present(&store.layout, chain_id)?)
}
