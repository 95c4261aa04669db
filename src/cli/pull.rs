//! `grootfs pull`: gets layers before an image needs them.

use std::num::NonZeroUsize;

use clap::Args;
use serde::Serialize;

use super::args::{OutputArgs, invalid_arguments};
use super::source::{self, SourceArgs};
use super::table::human_bytes;
use super::{Failure, flush_volumes, output, store};
use crate::config::Config;
use crate::store::{PullRequest, Pulled};

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

/// Which images, and how to print what came of it.
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] pull [options] <image>...",
    after_long_help = "\
No root filesystem is created. Until an image needs the layers they are unused, and the next clean removes them.

Examples:
  grootfs --store /mnt/xfs/store pull docker:///library/ubuntu:latest docker:///library/busybox:latest
  grootfs --store /mnt/xfs/store pull --json oci:///layouts/busybox:1.36"
)]
pub(crate) struct PullArgs {
    /// Images, as create takes them
    #[arg(value_name = "image")]
    images: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    images: Vec<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    source: &'a str,
    digest: Option<&'a str>,
    config_digest: Option<&'a str>,
    layers: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    chain_id: &'a str,
    blob: &'a str,
    bytes: u64,
    cached: bool,
}

/// Pulls one image after the other. The first that fails ends it; those before it stay.
pub(super) fn run(config: &Config, args: &PullArgs) -> Result<(), Failure> {
    if args.images.is_empty() {
        return Err(invalid_arguments("pull [options] <image>..."));
    }
    let store = store(config)?;
    let mut all = Vec::new();
    for image in &args.images {
        let pulled = store.pull(&PullRequest {
            image,
            source: source::options(config, &args.source)?,
            concurrent_downloads: NonZeroUsize::new(config.create.concurrent_downloads),
            limits: &config.create.limits.image,
            layer_digests: !config.create.without_layer_digests,
        });
        let pulled = pulled.inspect_err(|_| flush_volumes::spawn_after_failure(store))?;
        if let Some(store) = &pulled.unflushed_layers_in {
            flush_volumes::spawn(store);
        }
        if !args.output.json {
            output::line(&text(&pulled))?;
        }
        all.push(pulled);
    }
    if args.output.json {
        output::json(&Document { schema: SCHEMA, images: all.iter().map(Image::of).collect() })?;
    }
    Ok(())
}

impl<'a> Image<'a> {
    fn of(pulled: &'a Pulled) -> Self {
        let layers = pulled.layers.iter().map(|layer| Layer {
            chain_id: layer.chain_id.as_str(),
            blob: &layer.blob,
            bytes: layer.bytes,
            cached: layer.was_cached,
        });
        Image {
            source: &pulled.origin.reference,
            digest: pulled.origin.digest.as_deref(),
            config_digest: pulled.origin.config_digest.as_deref(),
            layers: layers.collect(),
        }
    }
}

fn text(pulled: &Pulled) -> String {
    let new: Vec<_> = pulled.layers.iter().filter(|layer| !layer.was_cached).collect();
    let bytes = new.iter().map(|layer| layer.bytes).fold(0, u64::saturating_add);
    let (count, new) = (pulled.layers.len(), new.len());
    format!("{} pulled: {count} layers, {new} new ({})", pulled.origin.reference, human_bytes(bytes))
}
