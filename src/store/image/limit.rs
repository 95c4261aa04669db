//! Another limit for an image that is there.

use crate::driver::{DiskLimit, InodeLimit, Usage};
use crate::store::image::origin;
use crate::store::layer::volumes;
use crate::store::{ImageId, ImageSelector, LimitError, Store, totals};

/// What an image is to be limited to from now on.
#[derive(Clone, Copy, Debug)]
pub struct LimitRequest {
    /// Bytes; 0 for any number.
    pub bytes: u64,
    /// Inodes.
    pub inodes: InodeLimit,
    /// Whether the layers are left out of it; `None` leaves it as the image was created.
    pub is_exclusive: Option<bool>,
}

impl Store {
    /// Changes the limit of an image. As the kernel does, this takes one that is below what the image has: it can then
    /// write nothing until it has deleted enough. Returns what it has and may have now.
    pub fn limit(&self, image: ImageSelector<'_>, request: LimitRequest) -> Result<(ImageId, Usage), LimitError> {
        let (id, _lock) = self.lock_existing(image)?;
        let origin = origin::read(&self.layout, &id)?;
        let was_exclusive = origin.as_ref().is_some_and(|origin| origin.is_limit_exclusive);
        let is_exclusive = request.is_exclusive.unwrap_or(was_exclusive);
        let is_limited = request.bytes > 0 || matches!(request.inodes, InodeLimit::AtMost(_));
        let limit = DiskLimit { bytes: request.bytes, is_exclusive, inodes: request.inodes };
        let limit = is_limited.then_some(limit);
        self.check_inode_limit(limit)?;
        let includes_inodes = limit.and_then(DiskLimit::inodes_with_layers).is_some();
        let layer_inodes = if includes_inodes { self.layer_inodes(&id)? } else { 0 };
        let path = self.layout.image(id.as_str());
        let changed = self.driver.change_limit(&self.layout, &path, limit, layer_inodes);
        // Whatever came of it: they are computed anew.
        totals::forget(&self.layout);
        changed?;
        if let Some(origin) = origin.filter(|_| is_exclusive != was_exclusive) {
            origin::rewrite(self, &id, &origin::Origin { is_limit_exclusive: is_exclusive, ..origin })?;
        }
        let usage = self.driver.usage(&self.layout, &path)?;
        Ok((id, usage))
    }

    fn layer_inodes(&self, id: &ImageId) -> Result<u64, LimitError> {
        let layers_in = self.layers_in()?;
        let mut sum = 0_u64;
        for volume in self.recorded_volumes(id)? {
            sum = sum.saturating_add(volumes::inodes(&layers_in, &volume.chain_id)?);
        }
        Ok(sum)
    }
}
