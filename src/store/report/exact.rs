//! What images and layers take on the disk, by a walk over all their files.

use std::collections::HashSet;
use std::path::Path;

use crate::store::layer::volumes;
use crate::store::{Store, StoreError, StoreReport};
use crate::sys::path_error::PathError;

/// What files take, as du(1) counts it: blocks rather than lengths, directories included, a file with several names once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// Bytes of all blocks. Extents that several files share count for each of them, as do btrfs's snapshots of a layer.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

impl Store {
    /// Adds to a report what each image and layer takes on the disk. The time grows with the number of their files. An image
    /// that cannot be walked has that as its problem; a layer that goes away meanwhile is left out.
    ///
    /// # Errors
    /// Where a layer that is there cannot be walked.
    pub fn measure_on_disk(&self, report: &mut StoreReport) -> Result<(), StoreError> {
        for image in &mut report.images {
            match on_disk(&self.layout.image(&image.id)) {
                Ok(found) => image.on_disk = found,
                Err(error) => _ = image.problem.get_or_insert(error.to_string()),
            }
        }
        let layers_in = self.layers_in()?;
        for layer in &mut report.layers {
            layer.on_disk = on_disk(&layers_in.layout.volume(&layer.chain_id))?;
        }
        Ok(())
    }
}

/// `None` for a directory that is gone.
fn on_disk(directory: &Path) -> Result<Option<OnDisk>, PathError> {
    let (mut found, mut seen) = (OnDisk::default(), HashSet::new());
    let walked = volumes::walk(directory, |stat| {
        if seen.insert((stat.st_dev, stat.st_ino)) {
            found.bytes = found.bytes.saturating_add(stat.st_blocks.unsigned_abs().saturating_mul(512));
            found.inodes += 1;
        }
    });
    match walked {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        walked => walked.map(|()| Some(found)),
    }
}
