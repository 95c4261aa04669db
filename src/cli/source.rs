//! Where an image comes from: the flags of all commands that read one, and what they come to.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::args::path;
use super::{Failure, credentials, progress};
use crate::config::{Config, CreateOptions, Limits, Size, SourceOptions, parse_size};
use crate::fetcher::{Options, TransferLimits};

/// The flag whose value others must not see.
pub const PASSWORD: &str = "password";

/// Flags about the source of an image.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    options: SourceOptions,

    /// User name for the registry
    #[arg(long, help_heading = "Image source", value_name = "NAME")]
    username: Option<String>,

    /// Password for the registry; other users of this machine may see it for a moment, so use --password-file instead
    #[arg(long = PASSWORD, help_heading = "Image source", value_name = "PASSWORD", value_parser = secret)]
    password: Option<Secret>,

    /// File that holds the password for the registry; a trailing newline is ignored
    #[arg(long, help_heading = "Image source", value_name = "PATH", value_parser = path(), conflicts_with = PASSWORD)]
    password_file: Option<PathBuf>,

    /// Limit on what an image may have, as in the section create.limits of the configuration; repeatable
    #[arg(long, help_heading = "Image source", value_name = "NAME=NUMBER", value_delimiter = ',', value_parser = limit)]
    limit: Vec<(String, Size)>,

    /// Show no progress, not even on a terminal
    #[arg(long, help_heading = "Image source")]
    pub(crate) no_progress: bool,
}

impl SourceArgs {
    /// Name, password and the file of a password for the registry; any may be missing.
    pub(crate) fn credentials(&self) -> (Option<&str>, Option<&Secret>, Option<&Path>) {
        let file = self.password_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        (self.username.as_deref(), self.password.as_ref(), file)
    }

    /// What the flags say about the configuration.
    ///
    /// # Errors
    /// When one names a limit that there is none of.
    pub(super) fn settings(&self) -> Result<CreateOptions, Failure> {
        let SourceOptions(mut options) = self.options.clone();
        for (name, value) in &self.limit {
            options.limits.set(name, value.clone())?;
        }
        Ok(options)
    }
}

/// How images are to be fetched.
///
/// # Errors
/// When the file of a password cannot be read.
pub(super) fn options(config: &Config, args: &SourceArgs) -> Result<Options, Failure> {
    Ok(Options {
        skip_validation: config.create.skip_layer_validation,
        insecure: config.create.insecure_registries.clone(),
        credentials: credentials::of_flags(args)?,
        mirrors: config.create.registry_mirrors.clone(),
        offline: config.create.offline,
        certificates: config.create.remote_layer_client_certificates_path.clone(),
        transfer_limits: transfer_limits(&config.create.limits),
        limits: config.create.limits.image.clone(),
        observer: progress::observer(&config.log, args.no_progress),
    })
}

fn transfer_limits(limits: &Limits) -> TransferLimits {
    let time = |seconds| (seconds > 0).then_some(Duration::from_secs(seconds));
    TransferLimits {
        stall_timeout: time(limits.stall_timeout_seconds),
        min_rate: limits.min_bytes_per_second,
        manifest_timeout: time(limits.manifest_timeout_seconds),
        manifest_bytes: limits.image.manifest_bytes,
    }
}

/// A text that must not be shown: prints as `[redacted]`.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn limit(text: &str) -> Result<(String, Size), &'static str> {
    let parts = text.split_once('=').map(|(name, value)| (name.trim().replace('-', "_"), parse_size(value.trim())));
    match parts {
        Some((name, Some(value))) if !name.is_empty() => Ok((name, Size(value))),
        _ => Err("must be NAME=NUMBER, as entries=1000 or unpacked_bytes=10GiB"),
    }
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret(text.to_owned()))
}
