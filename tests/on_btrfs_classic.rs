//! Disk limits on btrfs with classic quotas, as kernels before 6.7 have them and administrators may have chosen.

#![allow(clippy::unwrap_used)]

mod helpers;
mod nesting;
mod quotas;

use grootfs_test_support as support;
