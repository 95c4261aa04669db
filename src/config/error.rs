//! What can be wrong with a configuration.

use super::options::LimitOptions;
use crate::sys::path_error::PathError;

/// Why there is no valid configuration. The texts are for the user, and scripts match some of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("invalid config path: {0}")]
    Unreadable(PathError),
    /// The machine's file is there and cannot be read.
    #[error("invalid config path: {0}; --config '' goes without that file")]
    DefaultUnreadable(PathError),
    /// The file is no YAML, or a value has the wrong type.
    #[error("invalid config file: {0}")]
    Malformed(String),
    /// A number of bytes is below zero; names the setting.
    #[error("invalid argument: {0} cannot be negative")]
    Negative(String),
    /// A setting that is one of a few words is another.
    #[error("invalid argument: {setting} must be {expected}, not `{given}`")]
    UnknownWord {
        /// The setting, in words.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        given: String,
    },
    /// A mirror's address has a user in it, and perhaps a password, which configurations are not kept secret for.
    #[error("invalid argument: a mirror of {0} is named with a user: log in to it instead")]
    MirrorWithUser(String),
    /// The value of an environment variable is wrong; says why.
    #[error("invalid value of the environment variable {variable}: {reason}")]
    Variable {
        /// Its name.
        variable: String,
        /// What it must be.
        reason: String,
    },
    /// A limit that there is none of.
    #[error("invalid argument: there is no limit `{0}`; there are {names}", names = LimitOptions::names())]
    UnknownLimit(String),
    /// Watermarks that are no percentages, or not in their order.
    #[error(
        "invalid argument: clean.high_watermark_percent ({high}) and clean.low_watermark_percent ({low}) must both be from 1 \
         to 100, the low one not above the high one, or both 0"
    )]
    Watermarks {
        /// Where a clean would begin.
        high: u64,
        /// Where it would end.
        low: u64,
    },
    /// Both `--with-clean` and `--without-clean`.
    #[error("with-clean and without-clean cannot be used together")]
    CleanConflict,
    /// Both `--with-mount` and `--without-mount`.
    #[error("with-mount and without-mount cannot be used together")]
    MountConflict,
}
