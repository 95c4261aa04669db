//! What the disk limit of an image means to the kernel, and what the kernel's numbers mean for an image.
//!
//! An image is one subvolume, a snapshot of its topmost layer. Simple quotas do not count what the layers take, so their
//! size is taken off a limit that includes them and added to the total; classic quotas do.

use super::{Limit, QuotaMode, Usage};
use crate::limit::{DiskLimit, SmallerThanLayers};

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

/// What to ask of the kernel for an image whose layers take `layers` bytes.
pub fn limit_of_image(mode: QuotaMode, wanted: DiskLimit, layers: u64) -> Result<Limit, SmallerThanLayers> {
    let own = wanted.own(layers)?;
    if wanted.is_exclusive {
        return Ok(Limit { referenced: None, exclusive: Some(own) });
    }
    let referenced = match mode {
        QuotaMode::Simple => own,
        QuotaMode::Classic => layers.saturating_add(own),
    };
    Ok(Limit { referenced: Some(referenced), exclusive: None })
}

/// What the kernel's numbers say about an image whose layers take `layers` bytes.
pub fn usage_of_image(mode: QuotaMode, usage: Usage, layers: u64) -> ImageUsage {
    let Usage { referenced, exclusive, limit } = usage;
    let (total, including) = match mode {
        QuotaMode::Simple => (layers.saturating_add(exclusive), limit.referenced),
        QuotaMode::Classic => (referenced, limit.referenced.map(|bytes| bytes.saturating_sub(layers))),
    };
    // Of two limits the tighter one counts.
    let quota = limit.exclusive.into_iter().chain(including).min().unwrap_or(0);
    ImageUsage { total, exclusive, quota, committed: layers.saturating_add(quota) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QuotaMode::{Classic, Simple};

    /// Large enough to be taken as they are.
    const LIMIT: u64 = 50_000_000;
    const LAYERS: u64 = 5_000_000;

    const fn wanted(is_exclusive: bool) -> DiskLimit {
        DiskLimit { bytes: LIMIT, is_exclusive }
    }

    fn referenced(bytes: u64) -> Limit {
        Limit { referenced: Some(bytes), exclusive: None }
    }

    #[test]
    fn layers_are_taken_off_a_limit_only_where_the_kernel_does_not_count_them() {
        assert_eq!(limit_of_image(Simple, wanted(false), LAYERS), Ok(referenced(LIMIT - LAYERS)));
        assert_eq!(limit_of_image(Classic, wanted(false), LAYERS), Ok(referenced(LIMIT)));
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
        assert_eq!(usage_of_image(Simple, simple, 5), expected);
        let classic = Usage { referenced: 9, exclusive: 4, limit: referenced(50) };
        assert_eq!(usage_of_image(Classic, classic, 5), expected);
    }

    #[test]
    fn without_a_limit_the_layers_are_all_that_is_committed() {
        let usage = Usage { referenced: 9, exclusive: 4, limit: Limit::default() };
        let ImageUsage { quota, committed, .. } = usage_of_image(Classic, usage, 5);
        assert_eq!((quota, committed), (0, 5));
    }

    #[test]
    fn of_two_limits_the_tighter_one_counts() {
        let limit = Limit { referenced: Some(50), exclusive: Some(30) };
        let usage = usage_of_image(Classic, Usage { referenced: 9, exclusive: 4, limit }, 5);
        assert_eq!(usage.quota, 30);
    }
}
