//! What the helper does, on an image that [`super::image`] has opened.

use super::error::HelperError;
use super::image::Image;
use crate::xfs::{self, Usage};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Limits the disk space of an image; prints nothing.
pub(super) fn limit(path: &Path, bytes: u64) -> Result<String, HelperError> {
    let image = Image::open(path)?;
    let projectids = image.project_ids()?;
    let failed = |error| HelperError::Limit { image: image.path.clone(), error };
    let id = project(&image, &projectids).map_err(failed)?;
    xfs::set_limit(image.store(), id, bytes).map_err(failed)?;
    Ok(String::new())
}

/// The project of an image, which is given one unless it has.
///
/// Its number stays reserved when setting the limit fails afterwards: the directory carries it, and deleting the image
/// gives it back.
fn project(image: &Image, projectids: &OwnedFd) -> Result<u32, crate::error::Error> {
    match xfs::project_id(image.directory.as_fd())? {
        0 => xfs::allocate_project(image.directory.as_fd(), projectids.as_fd()),
        id => Ok(id),
    }
}

/// One JSON object without a newline, its keys in the original's order.
pub(super) fn stats(path: &Path) -> Result<String, HelperError> {
    let image = Image::open(path)?;
    let failed = |error| HelperError::Measure { image: image.path.clone(), error };
    let usage = match xfs::project_id(image.directory.as_fd()).map_err(failed)? {
        0 => Usage::default(),
        id => xfs::usage(image.store(), id).map_err(failed)?,
    };
    Ok(render(usage, layers_size(&image)?))
}

fn render(usage: Usage, layers: u64) -> String {
    format!(
        r#"{{"disk_usage":{{"total_bytes_used":{},"exclusive_bytes_used":{},"quota_size_bytes":{},"committed_space_bytes":{}}}}}"#,
        layers.saturating_add(usage.used_bytes),
        usage.used_bytes,
        usage.limit_bytes,
        layers.saturating_add(usage.limit_bytes),
    )
}

/// The size of the layers below an image, which grootfs notes in `image_info` when it makes the image.
fn layers_size(image: &Image) -> Result<u64, HelperError> {
    let mut text = String::new();
    let read = image.info().and_then(|info| info.take(32).read_to_string(&mut text));
    let failed = |error| HelperError::ImageInfo { path: image.path.join("image_info"), error };
    read.map_err(failed)?;
    text.trim_end().parse().map_err(|_| failed(io::Error::other("not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_read_as_the_original_s_do() {
        let usage = Usage { used_bytes: 4_202_496, limit_bytes: 47_185_920 };
        assert_eq!(
            render(usage, 5_242_880),
            "{\"disk_usage\":{\"total_bytes_used\":9445376,\"exclusive_bytes_used\":4202496,\
             \"quota_size_bytes\":47185920,\"committed_space_bytes\":52428800}}"
        );
    }
}
