//! `grootfs inspect`: all that is known of one image.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::args::{OutputArgs, invalid_arguments};
use super::failure::Escaped;
use super::source::{self, SourceArgs};
use super::table::{human_age, human_bytes};
use super::{Failure, output, store, unmounted_store};
use crate::config::Config;
use crate::driver::Mount;
use crate::image::ImageDetails;
use crate::redact;
use crate::store::{Described, ImageError, ImageSelector, Inspected, StoreError};

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;
const UNKNOWN: &str = "unknown";

/// What to look at, and how to print it.
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] inspect [options] <id|image path|image>",
    after_long_help = "\
An image of the store is meant where there is one of that name; otherwise an address or a path is an image to create from, \
of which manifest and configuration are read, and no layer.

Examples:
  grootfs --store /mnt/xfs/store inspect my-id
  grootfs --store /mnt/xfs/store inspect --json docker:///library/ubuntu:latest"
)]
pub(crate) struct InspectArgs {
    /// Id of an image, its path <store>/images/<id>, or an image as create takes it
    #[arg(value_name = "id|image path|image")]
    image: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Prints an image.
pub(super) fn run(config: &Config, args: &InspectArgs) -> Result<(), Failure> {
    let (Some(image), []) = (&args.image, args.extra.as_slice()) else {
        return Err(invalid_arguments("inspect [options] <id|image path|image>"));
    };
    match inspect(config, image) {
        Ok(inspected) => print(&Document::of_image(&inspected), args.output.json),
        Err(Missing::Image(failure)) if !may_be_source(image) => Err(failure),
        Err(Missing::Image(_)) => {
            let options = source::options(config, &args.source)?;
            let described = unmounted_store(config)?.describe(image, &options)?;
            print(&Document::of_source(&redact::address(image), &described), args.output.json)
        }
        Err(Missing::Other(failure)) => Err(failure),
    }
}

/// Why there is nothing to print of an image of the store.
enum Missing {
    /// There is no such image, or no store.
    Image(Failure),
    Other(Failure),
}

fn inspect(config: &Config, image: &str) -> Result<Inspected, Missing> {
    let store = store(config).map_err(if may_be_source(image) { Missing::Image } else { Missing::Other })?;
    store.inspect(ImageSelector(image)).map_err(|error| match error {
        ImageError::Select(_) => Missing::Image(error.into()),
        ImageError::Store(StoreError::NotInitialised) if may_be_source(image) => Missing::Image(error.into()),
        other => Missing::Other(other.into()),
    })
}

/// A single word that is no image's id is more likely to be mistyped than to be an image of a registry.
fn may_be_source(text: &str) -> bool {
    let is_address = text.contains(':') || text.contains('/') && !text.starts_with('/');
    is_address || Path::new(text).exists()
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
    source: Option<&'a str>,
    digest: Option<&'a str>,
    config_digest: Option<&'a str>,
    layers: Vec<Layer<'a>>,
    config: Option<ConfigDocument<'a>>,
}

/// What only an image of the store has.
#[derive(Serialize)]
struct Image<'a> {
    id: &'a str,
    rootfs: String,
    created: u64,
    mounted: Option<bool>,
    exclusive_bytes: u64,
    total_bytes: u64,
    limit_bytes: u64,
    exclusive_inodes: Option<u64>,
    limit_inodes: Option<u64>,
    mounts: &'a [Mount],
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct Layer<'a> {
    chain_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_id: Option<&'a str>,
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
}

#[derive(Serialize)]
struct ConfigDocument<'a> {
    platform: String,
    built: &'a str,
    entrypoint: &'a [String],
    cmd: &'a [String],
    user: &'a str,
    working_dir: &'a str,
    env: &'a [String],
    labels: &'a std::collections::BTreeMap<String, String>,
    volumes: &'a [String],
    exposed_ports: &'a [String],
    stop_signal: &'a str,
}

impl<'a> Document<'a> {
    fn of_image(inspected: &'a Inspected) -> Self {
        let (report, origin) = (&inspected.report, inspected.origin.as_ref());
        let layers = inspected.layers.iter().map(|layer| Layer {
            chain_id: &layer.chain_id,
            blob: None,
            diff_id: None,
            bytes: layer.bytes,
            cached: None,
        });
        Document {
            schema: SCHEMA,
            image: Some(Image {
                id: &report.id,
                rootfs: inspected.rootfs.display().to_string(),
                created: origin.map_or(report.created, |origin| origin.created),
                mounted: report.is_mounted,
                exclusive_bytes: report.usage.exclusive,
                total_bytes: report.usage.total,
                limit_bytes: report.usage.quota,
                exclusive_inodes: report.usage.inodes.map(|inodes| inodes.used),
                limit_inodes: report.usage.inodes.map(|inodes| inodes.limit),
                mounts: &inspected.mounts,
                problem: report.problem.as_deref(),
            }),
            source: origin.map(|origin| origin.reference.as_str()),
            digest: origin.and_then(|origin| origin.digest.as_deref()),
            config_digest: origin.and_then(|origin| origin.config_digest.as_deref()),
            layers: layers.collect(),
            // A tar file has no configuration, which is known.
            config: origin
                .filter(|origin| origin.config_digest.is_some())
                .and_then(|origin| origin.details.as_ref())
                .map(ConfigDocument::of),
        }
    }

    fn of_source(reference: &'a str, described: &'a Described) -> Self {
        let image = &described.image;
        let layers = described.layers.iter().map(|layer| Layer {
            chain_id: layer.chain_id.as_str(),
            blob: Some(&layer.blob),
            diff_id: layer.diff_id.as_deref(),
            bytes: layer.bytes,
            cached: Some(layer.is_cached),
        });
        Document {
            schema: SCHEMA,
            image: None,
            source: Some(reference),
            digest: image.manifest_digest.as_deref(),
            config_digest: image.config_digest.as_deref(),
            layers: layers.collect(),
            config: image.config_digest.is_some().then(|| ConfigDocument::of(&image.details)),
        }
    }
}

impl<'a> ConfigDocument<'a> {
    fn of(details: &'a ImageDetails) -> Self {
        ConfigDocument {
            platform: details.platform(),
            built: &details.built,
            entrypoint: &details.entrypoint,
            cmd: &details.cmd,
            user: &details.user,
            working_dir: &details.working_dir,
            env: &details.env,
            labels: &details.labels,
            volumes: &details.volumes,
            exposed_ports: &details.exposed_ports,
            stop_signal: &details.stop_signal,
        }
    }
}

fn print(document: &Document<'_>, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(document);
    }
    output::print(&text(document))
}

/// The document for people: a line for each fact, lists indented.
fn text(document: &Document<'_>) -> String {
    let mut lines = Lines::default();
    if let Some(image) = &document.image {
        lines.fact("id", image.id);
        lines.fact("rootfs", &image.rootfs);
        lines.fact("created", &format!("{} ago", human_age(image.created)));
        lines.fact(
            "mounted",
            match image.mounted {
                Some(true) => "yes",
                Some(false) => "no",
                None => "by caller",
            },
        );
        lines.fact("written", &with_limit(human_bytes(image.exclusive_bytes), image.limit_bytes, human_bytes));
        if let Some(inodes) = image.exclusive_inodes {
            lines.fact("inodes", &with_limit(inodes.to_string(), image.limit_inodes.unwrap_or(0), |n| n.to_string()));
        }
        if let Some(problem) = image.problem {
            lines.fact("problem", problem);
        }
    }
    lines.fact("source", document.source.unwrap_or(UNKNOWN));
    let none = if document.source.is_some() { "none" } else { UNKNOWN };
    lines.fact("digest", document.digest.unwrap_or(none));
    match &document.config {
        None if document.config_digest.is_none() => lines.fact("config", none),
        None => lines.fact("config", UNKNOWN),
        Some(config) => lines.config(document.config_digest.unwrap_or(UNKNOWN), config),
    }
    lines.list("layers", document.layers.iter().map(layer_text));
    let mounts = document.image.iter().flat_map(|image| image.mounts);
    lines.list("mounts", mounts.map(|mount| format!("{} from {}", mount.destination, mount.source)));
    lines.0
}

fn with_limit(used: String, limit: u64, shown: impl Fn(u64) -> String) -> String {
    if limit > 0 { format!("{used} of {}", shown(limit)) } else { format!("{used}, no limit") }
}

fn layer_text(layer: &Layer<'_>) -> String {
    let size = layer.bytes.map_or(UNKNOWN.to_owned(), human_bytes);
    let cached = if layer.cached == Some(true) { ", cached" } else { "" };
    format!("{} ({size}{cached})", layer.blob.unwrap_or(layer.chain_id))
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn fact(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{:13}{}", format!("{name}:"), Escaped(value));
    }

    /// Nothing of an empty one.
    fn list(&mut self, name: &str, items: impl Iterator<Item = String>) {
        for (index, item) in items.enumerate() {
            if index == 0 {
                let _ = writeln!(self.0, "{name}:");
            }
            let _ = writeln!(self.0, "  {}", Escaped(&item));
        }
    }

    fn config(&mut self, digest: &str, config: &ConfigDocument<'_>) {
        self.fact("config", digest);
        let words = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
        for (name, value) in [
            ("platform", config.platform.clone()),
            ("built", config.built.to_owned()),
            ("entrypoint", if config.entrypoint.is_empty() { String::new() } else { words(config.entrypoint) }),
            ("cmd", if config.cmd.is_empty() { String::new() } else { words(config.cmd) }),
            ("user", config.user.to_owned()),
            ("working dir", config.working_dir.to_owned()),
            ("stop signal", config.stop_signal.to_owned()),
        ] {
            if !value.is_empty() {
                self.fact(name, &value);
            }
        }
        self.list("env", config.env.iter().cloned());
        self.list("labels", config.labels.iter().map(|(name, value)| format!("{name}={value}")));
        self.list("volumes", config.volumes.iter().cloned());
        self.list("ports", config.exposed_ports.iter().cloned());
    }
}
