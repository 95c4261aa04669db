//! What a limit on an image leaves for the image's own data.

use std::fmt;

/// A limit smaller than this leaves an image no room for its own directories. On btrfs it takes more where nodes are large
/// ([`minimum_limit`](crate::btrfs::minimum_limit)).
pub const MINIMUM_BYTES: u64 = 256 * 1024;

/// Bytes of a limit for which an image may have one inode: four times as many inodes as mkfs.ext4(8) gives a disk of that
/// size.
const BYTES_PER_INODE: u64 = 4096;

/// A limit on bytes never allows fewer inodes than this.
const MINIMUM_PROPORTIONAL_INODES: u64 = 10_000;

/// What an image of no use to anybody has: its own directories and records, and room for a few files.
const MINIMUM_INODES: u64 = 64;

/// The inodes that go with a limit of `bytes` where nobody says how many.
pub fn proportional_inodes(bytes: u64) -> u64 {
    (bytes / BYTES_PER_INODE).max(MINIMUM_PROPORTIONAL_INODES)
}

/// How many inodes a limited image may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InodeLimit {
    /// As many as [`proportional_inodes`] allows.
    #[default]
    Proportional,
    /// So many.
    AtMost(u64),
    /// Any number.
    Unlimited,
}

/// A limit on the disk space of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimit {
    /// The most bytes; 0 for any number.
    pub bytes: u64,
    /// Whether the layers are left out of it.
    pub is_exclusive: bool,
    /// The most inodes, where the filesystem counts them.
    pub inodes: InodeLimit,
}

impl DiskLimit {
    /// The most bytes of the image and its layers together, if it limits those.
    pub fn bytes_with_layers(self) -> Option<u64> {
        (!self.is_exclusive && self.bytes > 0).then_some(self.bytes)
    }

    /// The same of inodes.
    pub fn inodes_with_layers(self) -> Option<u64> {
        match self.inodes {
            InodeLimit::AtMost(inodes) if !self.is_exclusive => Some(inodes),
            _ => None,
        }
    }

    /// What it leaves for the image's own data, above layers that take `layers` bytes.
    pub fn own(self, layers: u64) -> Result<u64, SmallerThanLayers> {
        self.own_of_at_least(MINIMUM_BYTES, layers)
    }

    /// The same, where an image cannot do with less than `minimum` bytes.
    pub fn own_of_at_least(self, minimum: u64, layers: u64) -> Result<u64, SmallerThanLayers> {
        let own = if self.is_exclusive { Some(self.bytes) } else { self.bytes.checked_sub(layers) };
        Ok(own.ok_or(SmallerThanLayers { limit: self.bytes, layers, unit: Unit::Bytes })?.max(minimum))
    }

    /// The inodes it leaves for the image's own files, given the bytes it leaves; 0 for any number. `layers` tells how many
    /// the layers have, and is asked only where that matters.
    pub fn own_inodes<E: From<SmallerThanLayers>>(
        self,
        own_bytes: u64,
        layers: impl FnOnce() -> Result<u64, E>,
    ) -> Result<u64, E> {
        let limit = match self.inodes {
            InodeLimit::Proportional if self.bytes > 0 => return Ok(proportional_inodes(own_bytes)),
            InodeLimit::Proportional | InodeLimit::Unlimited => return Ok(0),
            InodeLimit::AtMost(limit) => limit,
        };
        let layers = if self.is_exclusive { 0 } else { layers()? };
        let own = limit.checked_sub(layers).ok_or(SmallerThanLayers { limit, layers, unit: Unit::Inodes })?;
        Ok(own.max(MINIMUM_INODES))
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of disk space.
    Bytes,
    /// Files, directories and whatever else has an inode.
    Inodes,
}

/// A limit is to include layers that are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallerThanLayers {
    /// The limit.
    pub limit: u64,
    /// What the layers take.
    pub layers: u64,
    /// What both are numbers of.
    pub unit: Unit,
}

impl fmt::Display for SmallerThanLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, layers, unit } = self;
        let unit = match unit {
            Unit::Bytes => "bytes",
            Unit::Inodes => "inodes",
        };
        write!(
            f,
            "disk limit is smaller than volume size: the limit is {limit} {unit} and the image's layers take {layers}: \
             raise the limit, or use --exclude-image-from-quota"
        )
    }
}

impl std::error::Error for SmallerThanLayers {}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes: u64, is_exclusive: bool, inodes: InodeLimit) -> DiskLimit {
        DiskLimit { bytes, is_exclusive, inodes }
    }

    #[test]
    fn an_inode_goes_with_each_block_of_a_limit_and_ten_thousand_at_least() {
        let own = |own_bytes| {
            limit(own_bytes + 5, false, InodeLimit::Proportional)
                .own_inodes::<SmallerThanLayers>(own_bytes, || panic!("the layers are in the bytes already"))
        };
        assert_eq!(own(1 << 30), Ok(262_144));
        assert_eq!(own(20 << 20), Ok(10_000));
        let none = limit(0, false, InodeLimit::Proportional).own_inodes::<SmallerThanLayers>(0, || Ok(7));
        assert_eq!(none, Ok(0));
    }

    #[test]
    fn inodes_of_layers_count_against_a_limit_that_includes_them() {
        let own = |is_exclusive, inodes| {
            limit(1 << 30, is_exclusive, inodes).own_inodes::<SmallerThanLayers>(1 << 30, || Ok(300))
        };
        assert_eq!(own(false, InodeLimit::AtMost(1000)), Ok(700));
        assert_eq!(own(true, InodeLimit::AtMost(1000)), Ok(1000));
        assert_eq!(own(false, InodeLimit::AtMost(301)), Ok(MINIMUM_INODES));
        assert_eq!(own(false, InodeLimit::Unlimited), Ok(0));
        let refusal = own(false, InodeLimit::AtMost(299)).unwrap_err().to_string();
        assert!(refusal.contains("the limit is 299 inodes and the image's layers take 300"), "{refusal}");
    }

    #[test]
    fn a_limit_that_includes_the_layers_leaves_what_they_do_not_take() {
        let own = |bytes, is_exclusive| limit(bytes, is_exclusive, InodeLimit::Proportional).own(5_000_000);
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
