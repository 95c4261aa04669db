//! The argument tree: every command, flag and operand, with its help.
//!
//! This is the one definition of the command line. [`super::go_style`] reads it to understand Go spellings, and help is
//! rendered from it. Defaults are named in the help texts only; the values live in [`crate::config`], because a flag
//! that was not given leaves the choice to the configuration file.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};

use super::clean::CleanArgs;
use super::inspect::InspectArgs;
use super::source::SourceArgs;
use super::{Failure, go_style};
use crate::config::{Overrides, parse_int64, parse_size};

const EXAMPLES: &str = "\
Examples:
  grootfs --store /mnt/xfs/store init-store --store-size-bytes 10737418240
  grootfs --store /mnt/xfs/store create oci:///layouts/busybox:latest my-id
  grootfs --store /mnt/xfs/store create --disk-limit-size-bytes 104857600 /rootfs.tar my-id
  grootfs --store /mnt/xfs/store stats my-id
  grootfs --store /mnt/xfs/store delete my-id

Results and errors go to standard output, one line each; standard error carries logs only.
Exit codes: 0 success, 1 failure, 3 unknown command.";

/// Root filesystems for containers, from layers that are fetched once and shared.
#[derive(Debug, Parser)]
#[command(
    name = "grootfs",
    about = "I am Groot!",
    long_about = "I am Groot!\n\nGives containers their root filesystems: cached layers, disk quotas, no daemon.",
    version = concat!("version ", env!("CARGO_PKG_VERSION")),
    disable_version_flag = true,
    override_usage = "grootfs [global options] <command> [options] [arguments]",
    after_help = "`grootfs help <command>` tells everything about a command.",
    after_long_help = EXAMPLES,
    args_override_self = true,
    next_help_heading = "Global options"
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Flags that stand before the command; accepted after it, too.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Configuration file (YAML); flags win over it
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    config: Option<PathBuf>,

    /// Store directory [default: /var/lib/grootfs]
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    store: Option<PathBuf>,

    /// Filesystem driver, overlay-xfs or btrfs [default: the store's; overlay-xfs for a new one]
    #[arg(long, value_name = "NAME", global = true)]
    driver: Option<String>,

    /// Log level: debug, info, error or fatal [default: fatal, which logs nothing]
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,

    /// Append logs to this file instead of standard error; the level is then info at least
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    log_file: Option<PathBuf>,

    /// Shape of log lines, rfc3339 or unix-epoch [default: rfc3339]
    #[arg(long, value_name = "FORMAT", global = true)]
    log_timestamp_format: Option<String>,

    /// Setuid helper for XFS quotas [default: tardis]
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    tardis_bin: Option<PathBuf>,

    /// Setuid helper for quotas [default: drax]
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    drax_bin: Option<PathBuf>,

    /// Directory that holds btrfs and mkfs.btrfs [default: found in $PATH]
    #[arg(long, value_name = "DIR", value_parser = path(), global = true)]
    btrfs_progs_path: Option<PathBuf>,

    /// Program that maps user ids [default: newuidmap]
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    newuidmap_bin: Option<PathBuf>,

    /// Program that maps group ids [default: newgidmap]
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    newgidmap_bin: Option<PathBuf>,

    /// Send metrics to this Metron agent (UDP)
    #[arg(long, value_name = "HOST:PORT", global = true)]
    metron_endpoint: Option<String>,

    /// Keep metrics in this file, for the textfile collector of Prometheus' node_exporter
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    metrics_file: Option<PathBuf>,
}

/// The commands. A name that is none of them is kept: it is refused only after the global flags have been acted on.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    InitStore(InitStoreArgs),
    DeleteStore(DeleteStoreArgs),
    Create(Box<CreateArgs>),
    Delete(DeleteArgs),
    Stats(StatsArgs),
    List(ListArgs),
    /// Shows an image of the store, or one to create from: source, digest, layers, configuration, limits
    Inspect(InspectArgs),
    /// Checks the store for damage; exit codes: 0 none, 4 findings, 1 it could not be checked
    Check(CheckArgs),
    /// Checks whether this machine can do what a store needs; exit codes: 0 it can, 4 something fails
    Doctor(ReportArgs),
    /// Shows who uses the store: images, layers, what can be freed
    Usage(ReportArgs),
    /// Mounts the root filesystem of an image again, after a reboot for one
    Mount(ImageArgs),
    /// Unmounts the root filesystem of an image that nothing uses
    Umount(ImageArgs),
    Clean(CleanArgs),
    Capacity(CapacityArgs),
    #[command(hide = true)]
    GenerateVolumeSizeMetadata(GenerateMetadataArgs),
    /// Writes new layers to disk; started by create
    #[command(hide = true)]
    FlushVolumes,
    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

/// Creates a root filesystem for the provided image
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] create [options] <image> <id>",
    after_long_help = "\
Prints a part of an OCI runtime configuration as one line of JSON: root.path, process.env and mounts.

Examples:
  grootfs --store /mnt/xfs/store create docker:///library/ubuntu:latest my-id
  grootfs --store /mnt/xfs/store create --disk-limit-size-bytes 10485760 oci:///layouts/busybox:1.36 my-id
  grootfs --store /mnt/xfs/store create --without-mount /rootfs.tar my-id"
)]
pub(crate) struct CreateArgs {
    /// Image to start from: docker://[host]/name[:tag], oci:///layout[:tag] or the path of a tar file
    #[arg(value_name = "image")]
    image: Option<String>,

    /// Name of the new root filesystem, unique in the store
    #[arg(value_name = "id")]
    id: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,

    /// Limit of the root filesystem in bytes, image included [default: 0, no limit]
    #[arg(long, value_name = "BYTES", value_parser = size, help_heading = "Quota")]
    disk_limit_size_bytes: Option<i64>,

    /// Limit of the root filesystem in inodes, image included; 0 for no limit (overlay-xfs only)
    /// [default: one for each 4 KiB of --disk-limit-size-bytes, 10000 at least]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Quota")]
    disk_limit_inodes: Option<i64>,

    /// Count only what the container writes against the limits, not the image
    #[arg(long, help_heading = "Quota", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = truth)]
    exclude_image_from_quota: Option<bool>,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Remove unused layers first
    #[arg(long, help_heading = "Cleaning")]
    with_clean: bool,

    /// Do not remove unused layers, whatever the configuration says [default]
    #[arg(long, help_heading = "Cleaning")]
    without_clean: bool,

    /// Clean only if layers and the limits of images come to at least this many bytes [default: 0, always]
    #[arg(long, help_heading = "Cleaning", value_name = "BYTES", value_parser = size)]
    threshold_bytes: Option<i64>,

    /// Log the cleaning to this file [default: with the other logs]
    #[arg(long, help_heading = "Cleaning", value_name = "PATH", value_parser = path())]
    clean_log_file: Option<PathBuf>,

    /// Mount the root filesystem, whatever the configuration says [default]
    #[arg(long, help_heading = "Mounting")]
    with_mount: bool,

    /// Do not mount the root filesystem: print the mount to be made
    #[arg(long, help_heading = "Mounting")]
    without_mount: bool,

    /// Volumes that the image declares: bind gives each a directory with what the image has there, ignore leaves them out
    /// [default: bind]
    #[arg(long, help_heading = "Mounting", value_name = "MODE", env = "GROOTFS_CREATE_IMAGE_VOLUMES")]
    image_volumes: Option<String>,
}

/// Deletes a container image
#[derive(Debug, Args)]
#[command(override_usage = "grootfs [global options] delete <id|image path>")]
pub(crate) struct DeleteArgs {
    /// Id of the image, or its path <store>/images/<id>
    #[arg(value_name = "id|image path")]
    id: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,
}

/// What to check, and how to print it.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Heal what can be healed without losing what containers wrote
    #[arg(long)]
    pub(crate) repair: bool,

    /// Print one JSON document; docs/json.md describes it
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to print a report.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Print one JSON document; docs/json.md describes it
    #[arg(long)]
    pub(crate) json: bool,
}

/// An image, and nothing else.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// Id of the image, or its path <store>/images/<id>
    #[arg(value_name = "id|image path")]
    id: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,
}

/// Return filesystem stats
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] stats <id|image path>",
    after_long_help = "Prints one line of JSON; total_bytes_used counts the image's layers, exclusive_bytes_used what \
                       the container wrote."
)]
pub(crate) struct StatsArgs {
    /// Id of the image, or its path <store>/images/<id>
    #[arg(value_name = "id|image path")]
    id: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,
}

/// Lists images in store
#[derive(Debug, Args)]
#[command(override_usage = "grootfs [global options] list")]
pub(crate) struct ListArgs {
    /// Print a table: size, limit, age and mount of each image
    #[arg(long, short = 'l')]
    pub(crate) long: bool,

    #[arg(hide = true)]
    ignored: Vec<OsString>,
}

/// Initialize a Store Directory
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs --store <path> init-store [options]",
    after_long_help = "\
Must be run by root. Running it again on an initialized store changes nothing.

Examples:
  grootfs --store /mnt/xfs/store init-store
  grootfs --store /var/lib/grootfs init-store --store-size-bytes 10737418240
  grootfs --store /mnt/xfs/store init-store --uid-mapping 0:1000:1 --uid-mapping 1:100000:65000 \\
          --gid-mapping 0:1000:1 --gid-mapping 1:100000:65000"
)]
pub(crate) struct InitStoreArgs {
    /// User ids of the store's images: <namespace id>:<host id>:<size>; may be given again
    #[arg(long, value_name = "MAPPING", value_delimiter = ',', value_parser = trimmed)]
    pub(crate) uid_mapping: Vec<String>,

    /// Group ids of the store's images: <namespace id>:<host id>:<size>; may be given again
    #[arg(long, value_name = "MAPPING", value_delimiter = ',', value_parser = trimmed)]
    pub(crate) gid_mapping: Vec<String>,

    /// Take the mappings of this user and group from /etc/subuid and /etc/subgid
    #[arg(long, value_name = "USER:GROUP")]
    pub(crate) rootless: Option<String>,

    /// Make and mount a filesystem of this size in <store>.backing-store [default: 0, use the store's filesystem]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    store_size_bytes: Option<i64>,

    /// Direct I/O between the backing file's loop device and its filesystem
    #[arg(long)]
    with_direct_io: bool,

    /// Accept a filesystem without project quotas; creating with a limit will then fail
    #[arg(long)]
    without_quota: bool,

    /// Mount the images of an existing store whose root filesystems are not mounted, after a reboot for one
    #[arg(long)]
    mount_images: bool,

    /// Use the layers of the store at this path, which has no mappings, with this one's ids [default: none, keep its own]
    #[arg(long, value_name = "PATH", value_parser = path())]
    shared_layers: Option<PathBuf>,

    #[arg(hide = true)]
    extra: Vec<OsString>,
}

/// Deletes the given store from the system
#[derive(Debug, Args)]
#[command(override_usage = "grootfs --store <path> delete-store")]
pub(crate) struct DeleteStoreArgs {
    #[arg(hide = true)]
    ignored: Vec<OsString>,
}

/// Writes the size records that volumes made by old versions lack
#[derive(Debug, Args)]
#[command(override_usage = "grootfs [global options] generate-volume-size-metadata")]
pub(crate) struct GenerateMetadataArgs {
    #[arg(hide = true)]
    extra: Vec<OsString>,
}

/// Return filesystem capacity
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] capacity",
    after_long_help = "Prints the configured init.store_size_bytes as one line of JSON; the store is not looked at."
)]
pub(crate) struct CapacityArgs {
    #[arg(hide = true)]
    ignored: Vec<OsString>,
}

impl Cli {
    /// The command's name, if it is one of those that are measured.
    pub fn measured_command(&self) -> Option<&'static str> {
        match &self.command {
            Some(Command::Create(_)) => Some("create"),
            Some(Command::Delete(_)) => Some("delete"),
            Some(Command::Stats(_)) => Some("stats"),
            Some(Command::Clean(_)) => Some("clean"),
            _ => None,
        }
    }

    /// What the flags say about the configuration.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = self.global.overrides();
        match &self.command {
            Some(Command::Create(args)) => args.add_to(&mut overrides),
            Some(Command::Clean(args)) => args.add_to(&mut overrides),
            Some(Command::InitStore(args)) => args.add_to(&mut overrides),
            Some(Command::Inspect(args)) => args.source.add_to(&mut overrides),
            _ => {}
        }
        overrides
    }
}

impl GlobalArgs {
    fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            store: self.store.clone(),
            driver: self.driver.clone(),
            log_level: self.log_level.clone(),
            log_file: self.log_file.clone(),
            log_timestamp_format: self.log_timestamp_format.clone(),
            tardis_bin: self.tardis_bin.clone(),
            drax_bin: self.drax_bin.clone(),
            btrfs_progs_path: self.btrfs_progs_path.clone(),
            newuidmap_bin: self.newuidmap_bin.clone(),
            newgidmap_bin: self.newgidmap_bin.clone(),
            metron_endpoint: self.metron_endpoint.clone(),
            metrics_file: self.metrics_file.clone(),
            ..Overrides::default()
        }
    }
}

impl CreateArgs {
    /// The image and the id.
    ///
    /// # Errors
    /// When there are not exactly two operands.
    pub(crate) fn operands(&self) -> Result<(&str, &str), Failure> {
        match (&self.image, &self.id, self.extra.as_slice()) {
            (Some(image), Some(id), []) => Ok((image, id)),
            _ => Err(invalid_arguments("create [options] <image> <id>")),
        }
    }

    fn add_to(&self, overrides: &mut Overrides) {
        overrides.disk_limit_size_bytes = self.disk_limit_size_bytes;
        overrides.disk_limit_inodes = self.disk_limit_inodes;
        overrides.exclude_image_from_quota = self.exclude_image_from_quota;
        self.source.add_to(overrides);
        overrides.with_clean = self.with_clean;
        overrides.without_clean = self.without_clean;
        overrides.threshold_bytes = self.threshold_bytes;
        overrides.clean_log_file.clone_from(&self.clean_log_file);
        overrides.with_mount = self.with_mount;
        overrides.without_mount = self.without_mount;
        overrides.image_volumes.clone_from(&self.image_volumes);
    }
}

impl DeleteArgs {
    /// The id or image path.
    ///
    /// # Errors
    /// When there is not exactly one operand.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        match (&self.id, self.extra.as_slice()) {
            (Some(id), []) => Ok(id),
            _ => Err(Failure::from("id was not specified".to_owned())),
        }
    }
}

impl ImageArgs {
    /// The id or image path.
    ///
    /// # Errors
    /// When there is not exactly one operand.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        match (&self.id, self.extra.as_slice()) {
            (Some(id), []) => Ok(id),
            _ => Err(Failure::from("id was not specified".to_owned())),
        }
    }
}

impl StatsArgs {
    /// The id or image path.
    ///
    /// # Errors
    /// When there is not exactly one operand.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        match (&self.id, self.extra.as_slice()) {
            (Some(id), []) => Ok(id),
            _ => Err(invalid_arguments("stats [options] <id|image path>")),
        }
    }
}

impl InitStoreArgs {
    /// # Errors
    /// When there is an operand; the command takes none.
    pub(crate) fn no_operands(&self) -> Result<(), Failure> {
        if self.extra.is_empty() { Ok(()) } else { Err(invalid_arguments("init-store --store <path>")) }
    }

    fn add_to(&self, overrides: &mut Overrides) {
        overrides.store_size_bytes = self.store_size_bytes;
        overrides.with_direct_io = self.with_direct_io;
        overrides.without_quota = self.without_quota;
        overrides.mount_images = self.mount_images;
        overrides.shared_layers.clone_from(&self.shared_layers);
    }
}

impl GenerateMetadataArgs {
    /// # Errors
    /// When there is an operand; the command takes none.
    pub(crate) fn no_operands(&self) -> Result<(), Failure> {
        // The original's usage string is empty.
        if self.extra.is_empty() { Ok(()) } else { Err(invalid_arguments("")) }
    }
}

pub(super) fn invalid_arguments(usage: &str) -> Failure {
    Failure::from(format!("invalid arguments - usage: {usage}"))
}

/// Any path. The parser that clap has for `PathBuf` refuses the empty one, which stands for "not given" here.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

pub(super) fn trimmed(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

pub(super) fn truth(text: &str) -> Result<bool, &'static str> {
    go_style::parse_bool(text).ok_or("must be true or false")
}

pub(super) fn count(text: &str) -> Result<i64, &'static str> {
    parse_int64(text).ok_or("must be a number")
}

pub(super) fn size(text: &str) -> Result<i64, &'static str> {
    parse_size(text).ok_or("must be a number of bytes, as 100M or 1.5GiB")
}
