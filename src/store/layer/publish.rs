//! Making a volume: filled under a name of its own, published by one rename.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use crate::image::ChainId;
use crate::store::Store;
use crate::store::layer::digests;
use crate::store::layer::durability;
use crate::store::layer::error::LayerError;
use crate::store::layer::turn::{self, Turn, Waiter};
use crate::store::layer::volumes::{self, VolumeRecord};
use crate::sys::files;
use crate::sys::path_error::PathError;

/// Makes the volume `chain_id`, unless it is there by the time its turn has come. `make` is given a path, makes a volume
/// there, fills it and returns what is to be recorded. Gives up with [`LayerError::Cancelled`] when `waiter` says so.
///
/// The caller has the volume on record, so that clean leaves it alone.
pub(in crate::store) fn publish_layer(
    store: &Store,
    chain_id: &ChainId,
    waiter: &dyn Waiter,
    make: impl FnOnce(&Path) -> Result<Filled, LayerError>,
) -> Result<(), LayerError> {
    let layout = &store.layout;
    let turn = tracing::debug_span!("acquiring-exclusive-lock", key = %chain_id)
        .in_scope(|| turn::wait(layout, chain_id, waiter))?;
    let (_lock, name, may_be_torn) = match turn {
        Turn::Cancelled => return Err(LayerError::Cancelled),
        Turn::Published => return Ok(()),
        // Nobody takes over a layer that may be torn.
        Turn::Second(lock) => (lock, volumes::second_incomplete_name(chain_id)?, false),
        Turn::First(lock) => {
            let may_be_torn = durability::UnflushedLayers::read(layout)?.contains(chain_id);
            if may_be_torn {
                tracing::info!("fetching-layer-again-that-a-power-cut-may-have-torn");
            } else if volumes::is_present(layout, chain_id)? {
                return Ok(());
            }
            volumes::remove_leftovers(store, chain_id)?;
            (lock, volumes::incomplete_name(chain_id)?, may_be_torn)
        }
    };
    let staging = StagingVolume { store, path: layout.volume(&name) };
    let filled = make(&staging.path)?;
    volumes::record(layout, chain_id.as_str(), &filled.record)?;
    digests::replace(layout, chain_id, filled.digests.as_deref())?;
    store.driver.prepare_volume(layout, chain_id)?;
    if may_be_torn {
        // Before the marks of the old one go.
        volumes::set_aside(store, chain_id)?;
    }
    durability::mark(layout, chain_id)?;
    Ok(staging.publish(&layout.volume(chain_id.as_str()))?)
}

/// What is to be recorded of a volume that has been filled.
pub(in crate::store) struct Filled {
    pub(in crate::store) record: VolumeRecord,
    /// The list of its files, if there is one.
    pub(in crate::store) digests: Option<Vec<u8>>,
}

/// A volume being made, removed again unless it is published.
struct StagingVolume<'a> {
    store: &'a Store,
    path: PathBuf,
}

impl StagingVolume<'_> {
    /// Whoever is second leaves the volume of the first, which may be mounted by now.
    fn publish(self, target: &Path) -> Result<(), PathError> {
        match files::rename_to_new(&self.path, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            renamed => renamed?,
        }
        mem::forget(self);
        Ok(())
    }
}

impl Drop for StagingVolume<'_> {
    fn drop(&mut self) {
        if let Err(error) = volumes::remove(self.store, &self.path) {
            tracing::error!(%error, volume = %self.path.display(), "removing-incomplete-volume-failed");
        }
    }
}
