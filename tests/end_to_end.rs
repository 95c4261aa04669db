//! What every store has in common, tried with one of XFS: the command line, registries, and life with Garden.

#![allow(clippy::unwrap_used)]

mod command_line;
mod garden;
mod garden_life;
mod registries;

use grootfs_test_support as support;
