//! `grootfs commit`: writes what a container changed as an image.

use clap::Args;
use serde::Serialize;

use super::args::{OutputArgs, invalid_arguments};
use super::failure::OneLine;
use super::source::{self, SourceArgs};
use super::table::human_bytes;
use super::{Failure, output, store};
use crate::config::Config;
use crate::image::Reference;
use crate::redact;
use crate::store::ImageSelector;
use crate::sys::stdout;

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

/// Which image, and where to write it.
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] commit [options] <id|image path> <destination>",
    after_long_help = "\
The new image has the layers and the configuration of the one that the container was created from, and a layer of its own \
with what the container changed. The store has layers only unpacked, so the base's blobs are read from its source \
again, by digest if that is a registry. A registry is sent only the blobs that it lacks; --username and --password-file \
are for that registry. With an archive on standard output, what is said is on standard error. Stop the container first. \
Volumes of the image are not part of it.

Examples:
  grootfs --store /mnt/xfs/store commit my-id oci:///layouts/mine:1.0
  grootfs --store /mnt/xfs/store commit my-id oci-archive:mine.tar:1.0
  grootfs --store /mnt/xfs/store commit my-id oci-archive:/dev/stdout | ssh elsewhere podman load
  grootfs --store /mnt/xfs/store commit my-id docker://registry.example/mine:1.0"
)]
pub(crate) struct CommitArgs {
    /// Id of the image, or its path <store>/images/<id>
    #[arg(value_name = "id|image path")]
    id: Option<String>,

    /// Where to write it: oci:///layout[:tag], which is made or added to, oci-archive:PATH[:tag], which is replaced, or
    /// docker://host/name[:tag] in a registry
    #[arg(value_name = "destination")]
    destination: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    id: &'a str,
    destination: &'a str,
    digest: &'a str,
    layer_digest: &'a str,
    layer_bytes: u64,
    changes: usize,
}

/// Writes the image and prints its digest.
pub(super) fn run(config: &Config, args: &CommitArgs) -> Result<(), Failure> {
    let (Some(id), Some(destination), []) = (&args.id, &args.destination, args.extra.as_slice()) else {
        return Err(invalid_arguments("commit [options] <id|image path> <destination>"));
    };
    if let Ok(Reference::OciArchive { path, .. }) = Reference::parse(destination) {
        stdout::give_away_if_at(&path);
    }
    let options = source::options(config, &args.source)?;
    let committed = store(config)?.commit(ImageSelector(id), destination, &options)?;
    let destination = &*redact::address(destination);
    if args.output.json {
        return output::json(&Document {
            schema: SCHEMA,
            id: committed.id.as_str(),
            destination,
            digest: &committed.digest,
            layer_digest: &committed.layer.digest,
            layer_bytes: committed.layer.size,
            changes: committed.changes,
        });
    }
    let size = human_bytes(committed.layer.size);
    let text = format!(
        "Image {} committed to {destination}: {}, {} changes ({size})",
        committed.id, committed.digest, committed.changes
    );
    output::line(&OneLine(&text).to_string())
}
