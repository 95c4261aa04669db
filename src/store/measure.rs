//! How large a store is, and what of it is in use.

use super::volumes::{self, Entry};
use super::{Error, Store, garbage};
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
    /// How large the layers are, by whether an image needs them. Reads a record of every image and every layer.
    pub fn layer_sizes(&self) -> Result<LayerSizes, Error> {
        self.check_initialised()?;
        let in_use = garbage::layers_in_use(self, &[])?;
        let mut sizes = LayerSizes::default();
        for name in files::names(&self.layout.volumes())? {
            let (layer, is_used) = match Entry::of_name(&name) {
                Entry::Layer(layer) => (layer.clone(), in_use.contains(&layer)),
                Entry::Condemned(layer) => (layer, false),
                Entry::Incomplete(_) => continue,
            };
            let size = volumes::recorded_size(&self.layout, &layer)?.unwrap_or(0);
            let sum = if is_used { &mut sizes.used } else { &mut sizes.unused };
            *sum = sum.saturating_add(size);
        }
        Ok(sizes)
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
