//! `grootfs limit`: another disk limit for an image.

use clap::Args;

use super::args::invalid_arguments;
use super::table::human_bytes;
use super::{Failure, output, store};
use crate::config::{Config, parse_size};
use crate::driver::InodeLimit;
use crate::store::{ImageSelector, LimitRequest};

/// Which image, and its limit.
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] limit [options] <id|image path> <size>",
    after_long_help = "\
The image may be in use. A limit below its usage is accepted, as the kernel does: the container can then write nothing \
until it has deleted enough. An image that was created without a limit cannot be given one. On XFS only root may do \
this; on btrfs only root may remove a limit.

Examples:
  grootfs --store /mnt/xfs/store limit my-id 200M
  grootfs --store /mnt/xfs/store limit --inodes 5000 my-id 1GiB
  grootfs --store /mnt/xfs/store limit my-id 0"
)]
pub(crate) struct LimitArgs {
    /// Id of the image, or its path <store>/images/<id>
    #[arg(value_name = "id|image path")]
    id: Option<String>,

    /// Bytes, as 100M or 1.5GiB; 0 removes the limit
    #[arg(value_name = "size", value_parser = bytes)]
    size: Option<u64>,

    #[arg(hide = true)]
    extra: Vec<String>,

    /// Inodes (overlay-xfs only) [default: one for each 4 KiB of the size, 10000 at least; 0: no limit]
    #[arg(long, value_name = "N")]
    inodes: Option<u64>,

    /// Count only what the container writes [default: as it was created]
    #[arg(long, conflicts_with = "include_image")]
    exclude_image: bool,

    /// Count the image, too [default: as it was created]
    #[arg(long)]
    include_image: bool,
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    let size = parse_size(text).and_then(|size| u64::try_from(size).ok());
    size.ok_or("must be a number of bytes, as 100M or 1.5GiB, or 0")
}

/// Changes the limit and prints what came of it.
pub(super) fn run(config: &Config, args: &LimitArgs) -> Result<(), Failure> {
    let (Some(id), Some(bytes), []) = (&args.id, args.size, args.extra.as_slice()) else {
        return Err(invalid_arguments("limit [options] <id|image path> <size>"));
    };
    let request = LimitRequest {
        bytes,
        inodes: match args.inodes {
            None => InodeLimit::Proportional,
            Some(0) => InodeLimit::Unlimited,
            Some(inodes) => InodeLimit::AtMost(inodes),
        },
        is_exclusive: (args.exclude_image || args.include_image).then_some(args.exclude_image),
    };
    let (id, usage) = store(config)?.limit(ImageSelector(id), request)?;
    output::line(&match (usage.quota, usage.exclusive) {
        (0, _) => format!("Image {id} has no limit"),
        (quota, used) if used > quota => format!(
            "Image {id} may write {} and has {}: it can write nothing until it has deleted the rest",
            human_bytes(quota),
            human_bytes(used)
        ),
        (quota, used) => format!("Image {id} may write {} and has {}", human_bytes(quota), human_bytes(used)),
    })
}
