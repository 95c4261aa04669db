//! `grootfs usage`: who uses the store, and what can be freed.

use clap::Args;
use serde::Serialize;

use super::args::OutputArgs;
use super::table::{Table, human_age, human_bytes};
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::{ImageReport, LayerReport, OnDisk, StoreReport};

/// Which parts of a usage report are wanted, and how it is printed.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    report: OutputArgs,

    /// Walk all files, and tell what each image and layer takes on the disk
    #[arg(long)]
    exact: bool,
}

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    store: String,
    driver: &'a str,
    filesystem: Filesystem,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_file: Option<Backing>,
    totals: Totals,
    images: Vec<Image<'a>>,
    layers: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Filesystem {
    size_bytes: u64,
    used_bytes: u64,
    available_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_inodes: Option<u64>,
}

#[derive(Serialize)]
struct Backing {
    path: String,
    logical_bytes: u64,
    physical_bytes: u64,
}

#[derive(Serialize)]
struct Totals {
    images: usize,
    layers: usize,
    layer_bytes: u64,
    layers_in_use_bytes: u64,
    reclaimable_bytes: u64,
    exclusive_bytes: u64,
    limit_bytes: u64,
    committed_bytes: u64,
    overhead_bytes: u64,
}

#[derive(Serialize)]
struct Image<'a> {
    id: &'a str,
    created: u64,
    mounted: Option<bool>,
    exclusive_bytes: u64,
    total_bytes: u64,
    limit_bytes: u64,
    committed_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_inodes: Option<u64>,
    layers: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    on_disk: Option<Files>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct Layer<'a> {
    chain_id: &'a str,
    bytes: u64,
    unpacked: u64,
    last_used: Option<u64>,
    used_by: &'a [String],
    used_by_other_stores: bool,
    reclaimable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_disk: Option<Files>,
}

#[derive(Serialize)]
struct Files {
    bytes: u64,
    inodes: u64,
}

impl From<OnDisk> for Files {
    fn from(OnDisk { bytes, inodes }: OnDisk) -> Self {
        Files { bytes, inodes }
    }
}

/// Prints the use of a store as tables, or as one JSON document.
pub(super) fn run(config: &Config, args: &UsageArgs) -> Result<(), Failure> {
    let store = store(config)?;
    store.check_exists()?;
    let mut report = store.report()?;
    if args.exact {
        store.measure_on_disk(&mut report)?;
    }
    let root = store.layout().root().display().to_string();
    if args.report.json {
        let document = Document::of(&report, root, store.driver_name());
        let json = serde_json::to_string(&document).map_err(|e| Failure::from(format!("encoding the result: {e}")))?;
        return output::line(&json);
    }
    output::line(&format!("{}\n\n{}\n\n{}", totals(&report), images(report.images.clone()), layers(&report.layers)))
}

/// Headings of the columns of what has been measured, if it has.
fn measured_headings(are_wanted: bool) -> &'static [&'static str] {
    if are_wanted { &["ON DISK", "FILES"] } else { &[] }
}

/// The cells below them.
fn measured(are_wanted: bool, on_disk: Option<OnDisk>) -> Vec<String> {
    match on_disk {
        Some(OnDisk { bytes, inodes }) => vec![human_bytes(bytes), inodes.to_string()],
        None if are_wanted => vec!["-".to_owned(); 2],
        None => Vec::new(),
    }
}

impl<'a> Document<'a> {
    fn of(report: &'a StoreReport, store: String, driver: &'a str) -> Self {
        let (space, sums) = (&report.space, report.totals());
        Document {
            schema: SCHEMA,
            store,
            driver,
            filesystem: Filesystem {
                size_bytes: space.size,
                used_bytes: space.used,
                available_bytes: space.available,
                used_inodes: space.inodes.map(|inodes| inodes.used),
                available_inodes: space.inodes.map(|inodes| inodes.available),
            },
            backing_file: report.backing_file.as_ref().map(|file| Backing {
                path: file.path.display().to_string(),
                logical_bytes: file.logical_bytes,
                physical_bytes: file.physical_bytes,
            }),
            totals: Totals {
                images: report.images.len(),
                layers: report.layers.len(),
                layer_bytes: sums.layers,
                layers_in_use_bytes: sums.layers_in_use,
                reclaimable_bytes: sums.reclaimable,
                exclusive_bytes: sums.exclusive,
                limit_bytes: sums.limits,
                committed_bytes: sums.layers_in_use.saturating_add(sums.limits),
                overhead_bytes: sums.overhead,
            },
            images: report.images.iter().map(Image::of).collect(),
            layers: report.layers.iter().map(Layer::of).collect(),
        }
    }
}

impl<'a> Image<'a> {
    fn of(image: &'a ImageReport) -> Self {
        Image {
            id: &image.id,
            created: image.created,
            mounted: image.is_mounted,
            exclusive_bytes: image.usage.exclusive,
            total_bytes: image.usage.total,
            limit_bytes: image.usage.quota,
            committed_bytes: image.usage.committed,
            exclusive_inodes: image.usage.inodes.map(|inodes| inodes.used),
            limit_inodes: image.usage.inodes.map(|inodes| inodes.limit),
            layers: &image.layers,
            on_disk: image.on_disk.map(Files::from),
            problem: image.problem.as_deref(),
        }
    }
}

impl<'a> Layer<'a> {
    fn of(layer: &'a LayerReport) -> Self {
        Layer {
            chain_id: &layer.chain_id,
            bytes: layer.bytes,
            unpacked: layer.unpacked,
            last_used: layer.last_used,
            used_by: &layer.images,
            used_by_other_stores: layer.is_registered,
            reclaimable: layer.is_reclaimable(),
            on_disk: layer.on_disk.map(Files::from),
        }
    }
}

fn totals(report: &StoreReport) -> String {
    let (space, sums) = (&report.space, report.totals());
    let mut table = Table::new(&["TOTALS", "SIZE"]);
    let mut row = |name: &str, bytes: u64| table.row([name.to_owned(), human_bytes(bytes)]);
    row("filesystem", space.size);
    row("used", space.used);
    row("free", space.available);
    row("layers in use", sums.layers_in_use);
    row("reclaimable (clean)", sums.reclaimable);
    row("written by images", sums.exclusive);
    row("limits of images", sums.limits);
    row("overhead", sums.overhead);
    if let Some(file) = &report.backing_file {
        row("backing file, logical", file.logical_bytes);
        row("backing file, physical", file.physical_bytes);
    }
    if let Some(inodes) = space.inodes {
        table.row(["inodes used".to_owned(), inodes.used.to_string()]);
        table.row(["inodes free".to_owned(), inodes.available.to_string()]);
    }
    table.text()
}

/// Images, those first whose removal frees most.
pub(super) fn images(mut images: Vec<ImageReport>) -> String {
    images.sort_by_key(|image| std::cmp::Reverse(image.usage.exclusive));
    let headings = ["IMAGE", "EXCLUSIVE", "LIMIT", "INODES", "INODE LIMIT", "AGE", "MOUNTED", "LAYERS"];
    let is_measured = images.iter().any(|image| image.on_disk.is_some());
    let mut table = Table::new(&[&headings, measured_headings(is_measured)].concat());
    for image in &images {
        let limit = |limit: u64, shown: String| if limit > 0 { shown } else { "-".to_owned() };
        let inodes = image.usage.inodes;
        let mounted = match (&image.problem, image.is_mounted) {
            (Some(problem), _) => format!("unknown: {problem}"),
            (None, Some(true)) => "yes".to_owned(),
            (None, Some(false)) => "no".to_owned(),
            (None, None) => "by caller".to_owned(),
        };
        let cells = [
            image.id.clone(),
            human_bytes(image.usage.exclusive),
            limit(image.usage.quota, human_bytes(image.usage.quota)),
            inodes.map_or("-".to_owned(), |inodes| inodes.used.to_string()),
            inodes.map_or("-".to_owned(), |inodes| limit(inodes.limit, inodes.limit.to_string())),
            human_age(image.created),
            mounted,
            image.layers.len().to_string(),
        ];
        table.row(cells.into_iter().chain(measured(is_measured, image.on_disk)));
    }
    table.text()
}

/// Layers, those first that clean removes, then the largest.
fn layers(layers: &[LayerReport]) -> String {
    const SHOWN: usize = 16;
    let is_measured = layers.iter().any(|layer| layer.on_disk.is_some());
    let headings = ["LAYER", "SIZE", "AGE", "LAST USED", "USED BY"];
    let mut table = Table::new(&[&headings, measured_headings(is_measured)].concat());
    let mut sorted: Vec<&LayerReport> = layers.iter().collect();
    sorted.sort_by_key(|layer| !layer.is_reclaimable());
    for layer in sorted {
        let users = match (layer.images.len(), layer.is_registered) {
            (0, false) => "nobody: clean removes it".to_owned(),
            (0, true) => "other stores".to_owned(),
            (1, _) => layer.images[0].clone(),
            (count, _) => format!("{count} images"),
        };
        let short: String = layer.chain_id.chars().take(SHOWN).collect();
        let last_used = layer.last_used.map_or_else(|| "in use".to_owned(), |time| format!("{} ago", human_age(time)));
        let cells = [short, human_bytes(layer.bytes), human_age(layer.unpacked), last_used, users];
        table.row(cells.into_iter().chain(measured(is_measured, layer.on_disk)));
    }
    table.text()
}
