//! Stores with id mappings on overlay-xfs: those of ordinary users, with limits, and those that share their layers.
//! `hack/test` runs this in the guest where the host's kernel has no XFS project quotas.

#![allow(clippy::unwrap_used)]

mod rootless;
#[path = "overlay_xfs/shared_layers.rs"]
mod shared_layers;

use grootfs_test_support as support;
