//! The tests that every driver must pass, on overlay-xfs, and those of its own.

#![allow(clippy::unwrap_used)]

mod overlay_xfs;
mod pages;
mod suite;

use grootfs_test_support as support;
