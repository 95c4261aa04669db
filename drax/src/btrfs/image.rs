//! What the disk limit of an image means to the kernel, and what the kernel's numbers mean for an image.
//!
//! An image is one subvolume, a snapshot of its topmost layer. Simple quotas do not count what the layers take, so their
//! size is taken off a limit that includes them and added to the total.
//!
//! Classic quotas do count it, as what the image shares with others; but not as the sum of the files' sizes, which is what
//! is on record of layers: small files take up more. So it is what the kernel says of a new image that a limit is added to.

use super::{Limit, QuotaMode, Usage, make_consistent, quota_state, set_limit, subvolume_id, usage};
use crate::error::{Error, Operation};
use crate::limit::{DiskLimit, MINIMUM_BYTES, SmallerThanLayers};
use crate::sys;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What an image takes and may take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageUsage {
    /// The layers and the image's own data.
    pub total: u64,
    /// The image's own data.
    pub exclusive: u64,
    /// What the image's own data is limited to; 0 without a limit.
    pub quota: u64,
    /// The layers and the limit: what the image may come to take.
    pub committed: u64,
}

/// Why an image could not be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// Quotas are off.
    Off,
    /// Classic quotas have gone wrong, so that no limit would hold, and the kernel has not counted anew in time.
    Inconsistent,
    /// The limit includes layers that are larger.
    TooSmall(SmallerThanLayers),
    /// A step failed.
    Failed(Error),
}

impl From<Error> for LimitError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How long a limit waits for the kernel to have counted anew.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Limits the image whose root filesystem is the subvolume of `subvolume` and whose layers take `layers` bytes, as far as
/// that is known. `fs` is a directory outside of it ([`set_limit`]). Needs `CAP_SYS_ADMIN`.
pub fn limit_image(
    fs: BorrowedFd<'_>,
    subvolume: BorrowedFd<'_>,
    wanted: DiskLimit,
    layers: Option<u64>,
) -> Result<(), LimitError> {
    let mode = quota_state(fs)?.ok_or(LimitError::Off)?.mode;
    if !make_consistent(fs, TIMEOUT)? {
        return Err(LimitError::Inconsistent);
    }
    let shared = match mode {
        QuotaMode::Simple => 0,
        QuotaMode::Classic => usage(subvolume)?.map_or(0, Usage::shared),
    };
    let limit = limit_of_image(mode, wanted, layers.unwrap_or(shared), shared, minimum_limit(fs, 0)?);
    Ok(set_limit(fs, subvolume_id(subvolume)?, limit.map_err(LimitError::TooSmall)?)?)
}

/// The least that an image can do with, in bytes, which has so many volumes under its limit: the kernel reserves a node for
/// each item that a change may have to insert, and each subvolume has one from the beginning. Needs no privilege.
pub fn minimum_limit(fs: BorrowedFd<'_>, volumes: usize) -> Result<u64, Error> {
    const NODES: u64 = 16;
    let node_size = u64::from(sys::node_size(fs).map_err(Error::during(Operation::GetNodeSize))?);
    Ok(MINIMUM_BYTES.max(NODES * node_size).saturating_add(node_size.saturating_mul(volumes as u64)))
}

/// What to ask of the kernel for an image whose layers take `layers` bytes by their files' sizes, and `shared` bytes of the
/// disk where the kernel counts those.
fn limit_of_image(
    mode: QuotaMode,
    wanted: DiskLimit,
    layers: u64,
    shared: u64,
    minimum: u64,
) -> Result<Limit, SmallerThanLayers> {
    let own = wanted.own_of_at_least(minimum, layers)?;
    if wanted.is_exclusive {
        return Ok(Limit { referenced: None, exclusive: Some(own) });
    }
    let referenced = match mode {
        QuotaMode::Simple => own,
        QuotaMode::Classic => shared.saturating_add(own),
    };
    Ok(Limit { referenced: Some(referenced), exclusive: None })
}

/// What the kernel's numbers say about an image whose layers take `layers` bytes, as far as that is known.
pub fn usage_of_image(mode: QuotaMode, usage: Usage, layers: Option<u64>) -> ImageUsage {
    let Usage { referenced, exclusive, limit } = usage;
    let (total, layers, including) = match mode {
        QuotaMode::Simple => {
            let layers = layers.unwrap_or(0);
            (layers.saturating_add(exclusive), layers, limit.referenced)
        }
        QuotaMode::Classic => {
            let own = limit.referenced.map(|bytes| bytes.saturating_sub(usage.shared()));
            (referenced, layers.unwrap_or_else(|| usage.shared()), own)
        }
    };
    // Of two limits the tighter one counts.
    let quota = limit.exclusive.into_iter().chain(including).min().unwrap_or(0);
    ImageUsage { total, exclusive, quota, committed: layers.saturating_add(quota) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::InodeLimit;
    use QuotaMode::{Classic, Simple};

    /// Large enough to be taken as they are.
    const LIMIT: u64 = 50_000_000;
    const LAYERS: u64 = 5_000_000;

    const fn wanted(is_exclusive: bool) -> DiskLimit {
        DiskLimit { bytes: LIMIT, is_exclusive, inodes: InodeLimit::Proportional }
    }

    fn referenced(bytes: u64) -> Limit {
        Limit { referenced: Some(bytes), exclusive: None }
    }

    #[test]
    fn layers_are_taken_off_a_limit_only_where_the_kernel_does_not_count_them() {
        let limit_of_image =
            |mode, wanted, layers| super::limit_of_image(mode, wanted, layers, LAYERS + 7, MINIMUM_BYTES);
        assert_eq!(limit_of_image(Simple, wanted(false), LAYERS), Ok(referenced(LIMIT - LAYERS)));
        assert_eq!(limit_of_image(Classic, wanted(false), LAYERS), Ok(referenced(LIMIT + 7)));
        for mode in [Simple, Classic] {
            let exclusive = Limit { referenced: None, exclusive: Some(LIMIT) };
            assert_eq!(limit_of_image(mode, wanted(true), LAYERS), Ok(exclusive));
            assert!(limit_of_image(mode, wanted(false), LIMIT + 1).is_err());
        }
    }

    #[test]
    fn both_modes_come_to_the_same_numbers() {
        let expected = ImageUsage { total: 9, exclusive: 4, quota: 45, committed: 50 };
        let simple = Usage { referenced: 4, exclusive: 4, limit: referenced(45) };
        assert_eq!(usage_of_image(Simple, simple, Some(5)), expected);
        let classic = Usage { referenced: 9, exclusive: 4, limit: referenced(50) };
        assert_eq!(usage_of_image(Classic, classic, Some(5)), expected);
        assert_eq!(usage_of_image(Classic, classic, None), expected);
    }

    #[test]
    fn without_a_limit_the_layers_are_all_that_is_committed() {
        let usage = Usage { referenced: 9, exclusive: 4, limit: Limit::default() };
        let ImageUsage { quota, committed, .. } = usage_of_image(Classic, usage, Some(5));
        assert_eq!((quota, committed), (0, 5));
    }

    #[test]
    fn of_two_limits_the_tighter_one_counts() {
        let limit = Limit { referenced: Some(50), exclusive: Some(30) };
        let usage = usage_of_image(Classic, Usage { referenced: 9, exclusive: 4, limit }, Some(5));
        assert_eq!(usage.quota, 30);
    }
}
