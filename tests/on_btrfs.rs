//! The tests that every driver must pass, on btrfs.

#![allow(clippy::unwrap_used)]

mod suite;
mod support;
