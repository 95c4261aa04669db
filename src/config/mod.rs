//! What the program is to do, from flags, environment variables, the configuration file and defaults.
//!
//! `options` has all settings. Each source fills what it says into `Options`; flags stand over the environment, that
//! over the file, and the file over the defaults. What they say together is checked and becomes a [`Config`], which is all
//! that the rest of the program sees. An empty or zero value in the file (`""`, `0`, `false`, `[]`, `null`) is as good as
//! none: deployment tools rewrite the file with every key present.

mod check;
mod environment;
mod error;
mod findings;
mod flags;
mod number;
mod options;
mod setting;
mod sources;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::Limits as ImageLimits;

pub use self::error::Error;
pub use self::findings::{Finding, findings};
pub use self::flags::SourceOptions;
pub use self::number::{parse_bool, parse_int64, parse_size};
pub use self::options::{CleanOptions, CreateOptions, InitOptions, LimitOptions, Options, settings};
pub use self::setting::Setting;
pub use self::sources::{DEFAULT_PATH, Effective, Origin, Sources};
pub use self::value::{Size, Switch};

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Store directory.
    pub store: PathBuf,
    /// Name of the filesystem driver, not checked yet: an unknown one is reported by the command that needs it. `None` leaves
    /// it to the filesystem of the store.
    pub driver: Option<String>,
    /// Helper for XFS quotas: a path, or a name to be found in `$PATH`.
    pub tardis_bin: PathBuf,
    /// Helper for quotas: a path, or a name to be found in `$PATH`.
    pub drax_bin: PathBuf,
    /// Directory of the btrfs programs; `None` leaves it to `$PATH`.
    pub btrfs_progs_path: Option<PathBuf>,
    /// Program that writes user id maps.
    pub newuidmap_bin: PathBuf,
    /// Program that writes group id maps.
    pub newgidmap_bin: PathBuf,
    /// `host:port` that metrics are sent to.
    pub metron_endpoint: Option<String>,
    /// File that metrics are kept in for Prometheus.
    pub metrics_file: Option<PathBuf>,
    /// How long the command may take; `None` is as long as it takes.
    pub timeout: Option<Duration>,
    /// What the file has that is no setting.
    pub unknown_keys: Vec<UnknownKey>,
    /// What is logged, and where.
    pub log: LogConfig,
    /// For `create`.
    pub create: CreateConfig,
    /// For `clean`, and for the cleaning that is a part of `create`.
    pub clean: CleanConfig,
    /// For `init-store`.
    pub init: InitConfig,
}

/// What is logged, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The word for a level that is none.
    pub unknown_level: Option<String>,
    /// Appended to; `None` is standard error.
    pub file: Option<PathBuf>,
    /// Dialect of the lines.
    pub timestamp_format: TimestampFormat,
}

/// Severities, least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Debug,
    /// Operations.
    Info,
    /// What went wrong.
    Error,
    /// Nothing: no message has this level.
    #[default]
    Fatal,
}

/// The two dialects of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TimestampFormat {
    /// RFC 3339 timestamps and a `level` word.
    #[default]
    Rfc3339,
    /// Seconds since 1970 as a string and a `log_level` number.
    UnixEpoch,
}

/// For `create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateConfig {
    /// Limit of the image in bytes; 0 is none.
    pub disk_limit_bytes: u64,
    /// Limit of the image in inodes; 0 is none, `None` what goes with the bytes.
    pub disk_limit_inodes: Option<u64>,
    /// The limit does not count the base image.
    pub exclude_image_from_quota: bool,
    /// Do not verify layers of `oci:` images.
    pub skip_layer_validation: bool,
    /// `host[:port]` of registries whose certificates are not verified.
    pub insecure_registries: Vec<String>,
    /// For each registry the places to ask before it.
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
    /// Layers to download side by side; 0 leaves it to the program.
    pub concurrent_downloads: usize,
    /// Use no network.
    pub offline: bool,
    /// Do not record what `check --deep` compares with.
    pub without_layer_digests: bool,
    /// Clean unused layers first.
    pub with_clean: bool,
    /// Leave the mount to the caller.
    pub without_mount: bool,
    /// What an image may ask of this machine.
    pub limits: Limits,
    /// Destination of the mount that is left to the caller.
    pub mount_destination: MountDestination,
    /// What becomes of the volumes that an image declares.
    pub image_volumes: ImageVolumes,
    /// Log file of the cleaning; `None` is the ordinary log.
    pub clean_log_file: Option<PathBuf>,
    /// Directory of client certificates for layers that are fetched from `urls`.
    pub remote_layer_client_certificates_path: Option<PathBuf>,
}

/// What an image, or the server that it comes from, may ask of this machine. 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a server may send nothing, and over how long its rate is measured.
    pub stall_timeout_seconds: u64,
    /// The rate that a server must keep.
    pub min_bytes_per_second: u64,
    /// How long a manifest or configuration may take.
    pub manifest_timeout_seconds: u64,
    /// What the image itself may have.
    pub image: ImageLimits,
}

/// Where the caller is told to mount the root filesystem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountDestination {
    /// On the image's rootfs directory.
    #[default]
    Rootfs,
    /// On `/`, as the later versions of GrootFS say.
    Root,
}

/// What becomes of the volumes that an image declares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImageVolumes {
    /// Each is a directory for the caller to bind-mount, with what the image has there.
    #[default]
    Bind,
    /// Nothing, as in the later versions of GrootFS.
    Ignore,
}

/// Parts of a filesystem in use, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// At this a clean begins.
    pub high: u64,
    /// At this it ends; not above the other.
    pub low: u64,
}

/// For `clean`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanConfig {
    /// Nothing is cleaned while volumes take fewer bytes than this; 0 cleans always.
    pub threshold_bytes: u64,
    /// Between which parts of the filesystem in use a clean works.
    pub watermarks: Option<Watermarks>,
    /// URLs of base images whose layers stay.
    pub ignore_images: Vec<String>,
}

/// A key of the configuration file that means nothing. Other versions may know it, so it is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// The key, as `a` or `b.c`.
    pub key: String,
    /// The known key that is most like it, if one is.
    pub suggestion: Option<String>,
}

impl UnknownKey {
    fn of(key: &str) -> Self {
        let known: Vec<String> = settings().into_iter().map(Setting::path).collect();
        let name = |path: &str| path.rsplit('.').next().map(str::to_owned);
        let elsewhere = known.iter().find(|path| name(path) == name(key)).cloned();
        let sections = known.iter().filter_map(|path| path.rsplit_once('.')).map(|(section, _)| section.to_owned());
        let suggestion = elsewhere.or_else(|| most_alike(key, known.iter().cloned().chain(sections)));
        UnknownKey { key: key.to_owned(), suggestion }
    }
}

/// The name that is meant by one that is unknown, as far as can be told.
pub fn most_alike(unknown: &str, known: impl Iterator<Item = String>) -> Option<String> {
    /// Below that, two names have little in common.
    const ALIKE: f64 = 0.85;
    let rated = known.map(|name| (strsim::jaro_winkler(unknown, &name), name));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(alike, _)| *alike > ALIKE).map(|(_, name)| name)
}

/// For `init-store`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitConfig {
    /// Size of the backing file in bytes; 0 is none.
    pub store_size_bytes: u64,
    /// The size was given on the command line.
    pub store_size_from_flag: bool,
    /// Direct I/O between the loop device and the backing file.
    pub with_direct_io: bool,
    /// Accept a filesystem that has no project quotas.
    pub without_quota: bool,
    /// Mount images that are not mounted any more.
    pub mount_images: bool,
    /// The store whose layers this one's images are made of; `None` is the store itself.
    pub shared_layers: Option<PathBuf>,
}

/// What the command line says.
#[derive(Debug, Default)]
pub struct Flags {
    /// The configuration file; `None` leaves it to the environment and then to [`DEFAULT_PATH`], an empty path is no file.
    pub config: Option<PathBuf>,
    /// The settings.
    pub options: Options,
}

impl Config {
    /// Reads the file and the environment, and puts the flags over them.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or a value makes no sense.
    pub fn load(flags: Flags) -> Result<Self, Error> {
        Sources::read(flags)?.config()
    }
}

impl Config {
    /// What has no effect and was perhaps meant to have one, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let level = self.log.unknown_level.as_deref().map(check::of_unknown_level);
        self.unknown_keys.iter().map(findings::of_unknown).chain(level).collect()
    }
}

impl Default for Config {
    /// What the program goes by where nobody says anything.
    fn default() -> Self {
        check::check(Options::default()).expect("the defaults make sense, as a test shows")
    }
}
