//! How large a store is, and what of it is in use.

use std::collections::HashSet;

use crate::store::garbage;
use crate::store::layer::sizes;
use crate::store::totals::Totals;
use crate::store::{Store, StoreError};
use crate::sys::path_error::PathError;
use crate::sys::space::{Space, space_of};

/// Sizes of a store's layers in bytes, as they are on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerSizes {
    /// Of layers that some image needs.
    pub used: u64,
    /// Of all others.
    pub unused: u64,
}

/// Sizes of everything in a store, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSizes {
    /// Its layers; where they are another store's, all of that one's.
    pub layers: LayerSizes,
    /// Sum of the limits of all images.
    pub committed_quota: u64,
}

impl Store {
    /// What all images and layers come to.
    pub fn sizes(&self) -> Result<StoreSizes, StoreError> {
        self.check_initialised()?;
        let totals = Totals::of(self)?;
        let layers = match self.layer_store()? {
            Some(layer_store) => layer_store.store.sizes()?.layers,
            None => self.layer_sizes(&totals)?,
        };
        Ok(StoreSizes { layers, committed_quota: totals.committed })
    }

    /// Sum of the limits of all images, at a cost that does not grow with their number.
    pub fn committed_quota(&self) -> Result<u64, PathError> {
        Ok(Totals::of(self)?.committed)
    }

    fn layer_sizes(&self, totals: &Totals) -> Result<LayerSizes, PathError> {
        let others: HashSet<String> = if totals.knows_all_layers() {
            self.registered_layers()?.into_iter().collect()
        } else {
            // Only the records themselves tell which one is at fault.
            garbage::layers_in_use(self, &[])?
        };
        let mut sums = LayerSizes::default();
        for (name, size) in sizes::of_all(&self.layout)? {
            let is_used = totals.needs(&name) || others.contains(&name);
            let sum = if is_used { &mut sums.used } else { &mut sums.unused };
            *sum = sum.saturating_add(size);
        }
        Ok(sums)
    }

    /// Whether a clean would find a layer to remove, in the store that keeps this one's layers. Reads a record of every
    /// image, those that are being made included.
    pub(in crate::store) fn has_unused_layers(&self) -> Result<bool, StoreError> {
        if let Some(layer_store) = self.layer_store()? {
            return layer_store.store.has_unused_layers();
        }
        let in_use = garbage::layers_in_use(self, &[])?;
        Ok(sizes::of_all(&self.layout)?.into_keys().any(|name| !in_use.contains(&name)))
    }

    /// The filesystem that the store is on.
    pub fn space(&self) -> Result<Space, PathError> {
        space_of(self.layout.root())
    }
}
