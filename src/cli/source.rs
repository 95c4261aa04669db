//! Where an image comes from: the flags of all commands that read one, and what they come to.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::args::{count, path, size, trimmed, truth};
use super::{Failure, credentials, progress};
use crate::config::{Config, Limits, Overrides, parse_size};
use crate::fetcher::{Options, Patience};

/// The flag whose value others must not see.
pub const PASSWORD: &str = "password";

/// Flags about the source of an image.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Do not verify digests, diff ids and sizes of layers, nor the digests of manifests and configurations (oci:// images
    /// only)
    #[arg(long, help_heading = "Image source", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = truth)]
    skip_layer_validation: Option<bool>,

    /// Registry whose certificate is not verified and which may speak plain HTTP; may be given again
    #[arg(long, help_heading = "Image source", value_name = "HOST[:PORT]", value_delimiter = ',', value_parser = trimmed)]
    insecure_registry: Vec<String>,

    /// User name for the registry
    #[arg(long, help_heading = "Image source", value_name = "NAME")]
    username: Option<String>,

    /// Password for the registry; other users of this machine may see it for a moment, so use --password-file instead
    #[arg(long = PASSWORD, help_heading = "Image source", value_name = "PASSWORD", value_parser = secret)]
    password: Option<Secret>,

    /// File that holds the password for the registry, and perhaps a line feed after it
    #[arg(long, help_heading = "Image source", value_name = "PATH", value_parser = path(), conflicts_with = PASSWORD)]
    password_file: Option<PathBuf>,

    /// Mirror of a registry, asked before it; may be given again [default: none]
    #[arg(long, help_heading = "Image source", value_name = "HOST=ENDPOINT", value_delimiter = ',', value_parser = mirror)]
    registry_mirror: Vec<(String, String)>,

    /// Layers to download side by side [default: 0, as many as is good for most]
    #[arg(long, help_heading = "Image source", value_name = "N", value_parser = count)]
    concurrent_downloads: Option<i64>,

    /// Limit on what an image may have, as in the section create.limits of the configuration; may be given again
    #[arg(long, help_heading = "Image source", value_name = "NAME=NUMBER", value_delimiter = ',', value_parser = limit)]
    limit: Vec<(String, i64)>,

    /// Use no network, only what the store has
    #[arg(long, help_heading = "Image source", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = truth)]
    offline: Option<bool>,

    /// Give up a server that sends nothing for so long [default: 30; 0: never]
    #[arg(long, help_heading = "Image source", value_name = "SECONDS", value_parser = count)]
    stall_timeout_seconds: Option<i64>,

    /// Give up a server that is slower, measured over the stall timeout [default: 1024; 0: never]
    #[arg(long, help_heading = "Image source", value_name = "BYTES", value_parser = size)]
    min_bytes_per_second: Option<i64>,

    /// Give up a manifest or configuration that takes longer in all [default: 60; 0: never]
    #[arg(long, help_heading = "Image source", value_name = "SECONDS", value_parser = count)]
    manifest_timeout_seconds: Option<i64>,

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
    pub(super) fn add_to(&self, overrides: &mut Overrides) {
        overrides.skip_layer_validation = self.skip_layer_validation;
        overrides.insecure_registries.clone_from(&self.insecure_registry);
        for (registry, endpoint) in &self.registry_mirror {
            overrides.registry_mirrors.entry(registry.clone()).or_default().push(endpoint.clone());
        }
        overrides.concurrent_downloads = self.concurrent_downloads;
        overrides.limits.extend(self.limit.iter().cloned());
        overrides.offline = self.offline;
        overrides.stall_timeout_seconds = self.stall_timeout_seconds;
        overrides.min_bytes_per_second = self.min_bytes_per_second;
        overrides.manifest_timeout_seconds = self.manifest_timeout_seconds;
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
        patience: patience(&config.create.limits),
        observer: progress::observer(&config.log, args.no_progress),
    })
}

fn patience(limits: &Limits) -> Patience {
    let time = |seconds| (seconds > 0).then_some(Duration::from_secs(seconds));
    Patience {
        stall_timeout: time(limits.stall_timeout_seconds),
        min_rate: limits.min_bytes_per_second,
        manifest_timeout: time(limits.manifest_timeout_seconds),
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

fn mirror(text: &str) -> Result<(String, String), &'static str> {
    let parts = text.split_once('=').map(|(registry, endpoint)| (registry.trim(), endpoint.trim()));
    let parts = parts.filter(|(registry, endpoint)| !registry.is_empty() && !endpoint.is_empty());
    parts.map(|(registry, endpoint)| (registry.to_owned(), endpoint.to_owned())).ok_or("must be HOST=ENDPOINT")
}

fn limit(text: &str) -> Result<(String, i64), &'static str> {
    let parts = text.split_once('=').map(|(name, value)| (name.trim().replace('-', "_"), parse_size(value.trim())));
    match parts {
        Some((name, Some(value))) if !name.is_empty() => Ok((name, value)),
        _ => Err("must be NAME=NUMBER, as entries=1000 or unpacked_bytes=10GiB"),
    }
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret(text.to_owned()))
}
