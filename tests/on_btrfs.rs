//! The tests that every driver must pass, on btrfs, and those of its own.

#![allow(clippy::unwrap_used)]

mod btrfs;
mod helpers;
mod nesting;
mod pages;
mod quotas;
mod rootless;
mod suite;

use grootfs_test_support as support;
