//! The argument tree: every command, flag and operand, with its help.
//!
//! This is the one definition of the command line. [`super::go_style`] reads it to understand Go spellings, and help is
//! rendered from it. Flags that are settings are written down in [`crate::config`], and have their place here.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};

use super::Failure;
use super::bundle::BundleArgs;
use super::check::CheckArgs;
use super::clean::CleanArgs;
use super::commit::CommitArgs;
use super::config::ConfigArgs;
use super::diff::DiffArgs;
use super::inspect::InspectArgs;
use super::limit::LimitArgs;
use super::pull::PullArgs;
use super::source::SourceArgs;
use super::usage::UsageArgs;
use super::version::VersionArgs;
use crate::config::{self, CleanOptions, CreateOptions, Flags, InitOptions, Options, Switch};

const EXAMPLES: &str = "\
Examples:
  grootfs --store /mnt/xfs/store init-store --store-size-bytes 10737418240
  grootfs --store /mnt/xfs/store create oci:///layouts/busybox:latest my-id
  grootfs --store /mnt/xfs/store create --disk-limit-size-bytes 104857600 /rootfs.tar my-id
  grootfs --store /mnt/xfs/store stats my-id
  grootfs --store /mnt/xfs/store delete my-id

Results and errors go to standard output, one line each; logs go to standard error, and on a terminal
progress, warnings and hints as well.
Flags are environment variables as well: GROOTFS_STORE, GROOTFS_CREATE_OFFLINE; see grootfs-config(5).
Exit codes: 0 success, 1 failure, 3 unknown command, 4 findings of check, doctor and config check.";

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
    /// Configuration file (YAML); environment variables and flags win over it [default: /etc/grootfs/config.yml]
    ///
    /// The default is read if it is there. '' is no file.
    #[arg(long, value_name = "PATH", value_parser = path(), global = true)]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

/// The commands. A name that is none of them is kept: it is refused only after the global flags have been acted on.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    InitStore(InitStoreArgs),
    /// Deletes the given store from the system
    #[command(override_usage = "grootfs --store <path> delete-store")]
    DeleteStore,
    Create(Box<CreateArgs>),
    /// Deletes a container image
    #[command(override_usage = "grootfs [global options] delete <id|image path>")]
    Delete(ImageArgs),
    /// Return filesystem stats
    #[command(
        override_usage = "grootfs [global options] stats <id|image path>",
        after_long_help = "Prints one line of JSON; total_bytes_used counts the image's layers, exclusive_bytes_used what \
                           the container wrote."
    )]
    Stats(ImageArgs),
    List(ListArgs),
    /// Shows an image of the store, or one to create from: source, digest, layers, configuration, limits
    Inspect(Box<InspectArgs>),
    /// Pulls the layers of images into the store ahead of create
    Pull(Box<PullArgs>),
    /// Changes the disk limit of an image
    Limit(LimitArgs),
    /// Shows what a container added, changed and deleted of its image
    Diff(DiffArgs),
    /// Writes what a container changed, on top of its image's layers, as an image
    Commit(Box<CommitArgs>),
    /// Checks the store for damage; exit codes: 0 no findings, 4 findings, 1 not checked
    #[command(override_usage = "grootfs [global options] check [options]")]
    Check(CheckArgs),
    /// Checks whether this machine supports what a store needs; exit codes: 0 it does, 4 something fails
    #[command(override_usage = "grootfs [global options] doctor [options]")]
    Doctor(OutputArgs),
    /// Shows who uses the store: images, layers, what can be freed
    #[command(override_usage = "grootfs [global options] usage [options]")]
    Usage(UsageArgs),
    /// Mounts the root filesystem of an image again, as after a reboot
    #[command(override_usage = "grootfs [global options] mount <id|image path>")]
    Mount(ImageArgs),
    /// Unmounts the root filesystem of an image that is not in use
    #[command(override_usage = "grootfs [global options] umount <id|image path>")]
    Umount(ImageArgs),
    Clean(CleanArgs),
    /// Shows the settings, or checks the configuration
    Config(ConfigArgs),
    /// Return filesystem capacity
    #[command(
        override_usage = "grootfs [global options] capacity",
        after_long_help = "Prints the configured init.store_size_bytes as one line of JSON; the store is not looked at."
    )]
    Capacity,
    Version(VersionArgs),
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
  grootfs --store /mnt/xfs/store create --without-mount /rootfs.tar my-id
  grootfs --store /mnt/xfs/store create --bundle ./my-bundle docker:///library/ubuntu:latest my-id && \\
      runc run --bundle ./my-bundle my-container"
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

    #[command(flatten)]
    options: CreateOptions,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    clean: CleanOptions,

    /// Do not remove unused layers, whatever the configuration says [default]
    #[arg(long, help_heading = "Cleaning")]
    without_clean: bool,

    /// Mount the root filesystem, whatever the configuration says [default]
    #[arg(long, help_heading = "Mounting")]
    with_mount: bool,

    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
}

/// How to print the answer.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
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

/// Lists images in store
#[derive(Debug, Args)]
#[command(override_usage = "grootfs [global options] list [options]")]
pub(crate) struct ListArgs {
    /// Print a table: size, limit, age and mount of each image
    #[arg(long, short = 'l')]
    pub(crate) long: bool,

    /// Print one JSON document; docs/json.md describes it
    #[arg(long, conflicts_with = "long")]
    pub(crate) json: bool,
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
    /// User ids of the store's images: <namespace id>:<host id>:<size>; repeatable
    #[arg(long, value_name = "MAPPING", value_delimiter = ',', value_parser = trimmed)]
    pub(crate) uid_mapping: Vec<String>,

    /// Group ids of the store's images: <namespace id>:<host id>:<size>; repeatable
    #[arg(long, value_name = "MAPPING", value_delimiter = ',', value_parser = trimmed)]
    pub(crate) gid_mapping: Vec<String>,

    /// Take the mappings of this user and group from /etc/subuid and /etc/subgid
    #[arg(long, value_name = "USER:GROUP")]
    pub(crate) rootless: Option<String>,

    #[command(flatten)]
    options: InitOptions,

    #[arg(hide = true)]
    extra: Vec<OsString>,
}

/// Writes the size records that volumes made by old versions lack
#[derive(Debug, Args)]
#[command(override_usage = "grootfs [global options] generate-volume-size-metadata")]
pub(crate) struct GenerateMetadataArgs {
    #[arg(hide = true)]
    extra: Vec<OsString>,
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

    /// Whether the command itself tells what is wrong with the configuration, which must not keep it from running.
    pub fn checks_configuration(&self) -> bool {
        matches!(&self.command, Some(Command::Config(args)) if args.checks())
    }

    /// What the flags say about the configuration.
    ///
    /// # Errors
    /// When two of them contradict each other, or one names a limit that there is none of.
    pub fn flags(&self) -> Result<Flags, Failure> {
        let mut options = self.global.options.clone();
        match &self.command {
            Some(Command::Create(args)) => {
                options.create = args.settings()?;
                options.clean = args.clean.clone();
            }
            Some(Command::Clean(args)) => options.clean = args.options.clone(),
            Some(Command::InitStore(args)) => options.init = args.options.clone(),
            Some(Command::Inspect(args)) => options.create = args.source.settings()?,
            Some(Command::Pull(args)) => options.create = args.source.settings()?,
            Some(Command::Commit(args)) => options.create = args.source.settings()?,
            _ => {}
        }
        Ok(Flags { config: self.global.config.clone(), options })
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

    fn settings(&self) -> Result<CreateOptions, Failure> {
        let mut options = self.options.clone();
        if self.without_clean && options.with_clean.replace(Switch(false)).is_some() {
            return Err(config::Error::CleanConflict.into());
        }
        if self.with_mount && options.without_mount.replace(Switch(false)).is_some() {
            return Err(config::Error::MountConflict.into());
        }
        Ok(options.with(self.source.settings()?))
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

impl InitStoreArgs {
    /// # Errors
    /// When there is an operand; the command takes none.
    pub(crate) fn no_operands(&self) -> Result<(), Failure> {
        if self.extra.is_empty() { Ok(()) } else { Err(invalid_arguments("init-store --store <path>")) }
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
