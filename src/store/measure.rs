//! How large a store is, and what of it is in use.

use super::{Error, Store, garbage, sizes};
use crate::driver::recorded_limit;
use crate::sys::files;
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

impl Store {
    /// How large the layers are, by whether an image needs them; where they are another store's, all of that. Reads a
    /// record of every image.
    pub fn layer_sizes(&self) -> Result<LayerSizes, Error> {
        self.check_initialised()?;
        if let Some(layer_store) = self.layer_store()? {
            return layer_store.store.layer_sizes();
        }
        let in_use = garbage::layers_in_use(self, &[])?;
        let mut sums = LayerSizes::default();
        for (name, size) in sizes::of_all(&self.layout)? {
            let sum = if in_use.contains(&name) { &mut sums.used } else { &mut sums.unused };
            *sum = sum.saturating_add(size);
        }
        Ok(sums)
    }

    /// The filesystem that the store is on.
    pub fn space(&self) -> Result<Space, PathError> {
        space_of(self.layout.root())
    }

    /// Sum of the limits of all images. Reads a record of every image.
    pub fn committed_quota(&self) -> Result<u64, Error> {
        let ids = files::names(&self.layout.images())?;
        ids.iter().try_fold(0, |sum: u64, id| Ok(sum.saturating_add(recorded_limit(&self.layout.image(id))?)))
    }
}
