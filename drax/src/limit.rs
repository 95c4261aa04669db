//! What a limit on an image leaves for the image's own data.

use std::fmt;

/// A limit smaller than this leaves an image no room for its own directories. On btrfs it takes more where nodes are large
/// ([`minimum_limit`](crate::btrfs::minimum_limit)).
pub const MINIMUM_BYTES: u64 = 256 * 1024;

/// A limit on the disk space of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimit {
    /// The limit.
    pub bytes: u64,
    /// Whether the layers are left out of it.
    pub is_exclusive: bool,
}

impl DiskLimit {
    /// What it leaves for the image's own data, above layers that take `layers` bytes.
    pub fn own(self, layers: u64) -> Result<u64, SmallerThanLayers> {
        self.own_of_at_least(MINIMUM_BYTES, layers)
    }

    /// The same, where an image cannot do with less than `minimum` bytes.
    pub fn own_of_at_least(self, minimum: u64, layers: u64) -> Result<u64, SmallerThanLayers> {
        let Self { bytes, is_exclusive } = self;
        let own = if is_exclusive { Some(bytes) } else { bytes.checked_sub(layers) };
        Ok(own.ok_or(SmallerThanLayers { limit: bytes, layers })?.max(minimum))
    }
}

/// A limit is to include layers that are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallerThanLayers {
    /// The limit.
    pub limit: u64,
    /// What the layers take.
    pub layers: u64,
}

impl fmt::Display for SmallerThanLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, layers } = self;
        write!(
            f,
            "disk limit is smaller than volume size: the limit is {limit} bytes and the image's layers take {layers}: \
             raise the limit, or use --exclude-image-from-quota"
        )
    }
}

impl std::error::Error for SmallerThanLayers {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_includes_the_layers_leaves_what_they_do_not_take() {
        let own = |bytes, is_exclusive| DiskLimit { bytes, is_exclusive }.own(5_000_000);
        assert_eq!(own(50_000_000, false), Ok(45_000_000));
        assert_eq!(own(50_000_000, true), Ok(50_000_000));
        assert_eq!(own(5_000_000, false), Ok(MINIMUM_BYTES));
        assert_eq!(own(1, true), Ok(MINIMUM_BYTES));
        assert_eq!(
            own(4_999_999, false).unwrap_err().to_string(),
            "disk limit is smaller than volume size: the limit is 4999999 bytes and the image's layers take 5000000: \
             raise the limit, or use --exclude-image-from-quota"
        );
    }
}
