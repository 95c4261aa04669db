//! Making a volume: filled under a name of its own, published by one rename.

use std::mem;
use std::path::{Path, PathBuf};

use crate::image::ChainId;
use crate::store::layer::durability;
use crate::store::layer::volumes::{self, VolumeRecord};
use crate::store::{Error, Store};
use crate::sys::files;
use crate::sys::lock;

/// Makes the volume `chain_id`, unless it is there by the time its lock is had. `make` is given a path, makes a volume
/// there, fills it and returns what is to be recorded. Gives up with [`Error::Cancelled`] when `keep_waiting` says no.
///
/// The caller has the volume on record, so that clean leaves it alone.
pub(in crate::store) fn publish_layer(
    store: &Store,
    chain_id: &ChainId,
    keep_waiting: impl Fn() -> bool,
    make: impl FnOnce(&Path) -> Result<VolumeRecord, Error>,
) -> Result<(), Error> {
    let layout = &store.layout;
    let lock = tracing::debug_span!("acquiring-exclusive-lock", key = %chain_id)
        .in_scope(|| lock::own_while(&layout.lock_file(), chain_id.as_str(), keep_waiting))?;
    let Some(_lock) = lock else { return Err(Error::Cancelled) };
    let may_be_torn = durability::UnflushedLayers::read(layout)?.contains(chain_id);
    if may_be_torn {
        tracing::info!("fetching-layer-again-that-a-power-cut-may-have-torn");
    } else if volumes::is_present(layout, chain_id)? {
        return Ok(());
    }
    volumes::remove_leftovers(store, chain_id)?;
    let staging = StagingVolume { store, path: layout.volume(&volumes::incomplete_name(chain_id)?) };
    let record = make(&staging.path)?;
    volumes::record(layout, chain_id.as_str(), &record)?;
    store.driver.prepare_volume(layout, chain_id)?;
    if may_be_torn {
        // Before the marks of the old one go.
        volumes::set_aside(store, chain_id)?;
    }
    durability::mark(layout, chain_id)?;
    staging.publish(&layout.volume(chain_id.as_str()))
}

/// A volume being made, removed again unless it is published.
struct StagingVolume<'a> {
    store: &'a Store,
    path: PathBuf,
}

impl StagingVolume<'_> {
    fn publish(self, target: &Path) -> Result<(), Error> {
        files::rename(&self.path, target)?;
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
