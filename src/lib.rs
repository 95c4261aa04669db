//! GrootFS gives containers their root filesystems.
//!
//! Data goes one way: [`cli`] parses and prints, [`store`] keeps what is on disk and carries out the transactions,
//! [`fetcher`] says where layers come from, [`unpacker`] turns their streams into files, and [`driver`] knows the
//! filesystem underneath. [`archive`], [`image`], [`idmap`], [`limits`], [`redact`], [`shorten`] and [`sys`] know nobody else.

pub mod archive;
pub mod cli;
pub mod config;
pub mod driver;
pub mod entries;
pub mod export;
pub mod fetcher;
pub mod idmap;
pub mod image;
pub mod layout;
pub mod limits;
pub mod observe;
pub mod panics;
pub mod redact;
pub mod shorten;
pub mod store;
pub mod sys;
pub mod unpacker;
