//! `grootfs clean`.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde::Serialize;

use super::args::OutputArgs;
use super::failure::OneLine;
use super::table::human_bytes;
use super::{Done, Failure, measure, output, store};
use crate::config::{CleanConfig, CleanOptions, Config, LogLevel, Watermarks};
use crate::observe::Metrics;
use crate::store::{CleanWhen, Cleaned, Removed, Store};

/// Cleans up unused layers
#[derive(Debug, Args)]
#[command(override_usage = "grootfs [global options] clean [options]")]
pub(crate) struct CleanArgs {
    #[command(flatten)]
    pub(super) options: CleanOptions,

    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    store: String,
    dry_run: bool,
    outcome: &'static str,
    freed_bytes: u64,
    layers: Vec<Layer<'a>>,
    leftovers: Vec<String>,
}

#[derive(Serialize)]
struct Layer<'a> {
    chain_id: &'a str,
    bytes: u64,
}

/// Removes unused layers. A store that is not there is clean: schedulers run this whether or not there is one.
pub(super) fn run(config: &Config, args: &CleanArgs, metrics: &Metrics) -> Result<Done, Failure> {
    let store = store(config)?;
    store.check_exists().map_err(|error| Failure { exit_code: 0, ..Failure::from(error) })?;
    store.check_initialised()?;
    let (when, ignored) = (when(config), &config.clean.ignore_images);
    if args.dry_run {
        let (cleaned, removed) = store.plan_clean(when, ignored)?;
        output::line(&if args.output.json { json(store, true, cleaned, &removed)? } else { plan(cleaned, &removed) })?;
        return Ok(Done::Nothing);
    }
    let (cleaned, removed) = store.clean(when, ignored)?;
    output::line(&if args.output.json { json(store, false, cleaned, &removed)? } else { said(cleaned).to_owned() })?;
    // Standard error is the log's where there is one.
    if cleaned == Cleaned::Completed
        && !args.output.json
        && config.log.level == LogLevel::Fatal
        && io::stderr().is_terminal()
    {
        // The answer has been given.
        let _ = writeln!(io::stderr(), "{}", summary("freed", &removed));
    }
    measure::layers(store, metrics);
    if cleaned != Cleaned::Completed {
        return Ok(Done::Nothing);
    }
    measure::space(store, metrics);
    Ok(Done::All)
}

/// When the configuration wants a store to be cleaned.
pub(super) fn when(config: &Config) -> CleanWhen {
    let CleanConfig { threshold_bytes, watermarks, .. } = config.clean;
    let watermarks = watermarks.map(|Watermarks { high, low }| (high, low));
    CleanWhen { threshold_bytes, watermarks }
}

fn said(cleaned: Cleaned) -> &'static str {
    match cleaned {
        Cleaned::Completed => "clean completed",
        Cleaned::BelowThreshold => "threshold not reached: skipping clean",
        Cleaned::AlreadyRunning => "another clean is running: skipping clean",
    }
}

fn json(store: &Store, dry_run: bool, cleaned: Cleaned, removed: &Removed) -> Result<String, Failure> {
    let document = Document {
        schema: SCHEMA,
        store: store.layout().root().display().to_string(),
        dry_run,
        outcome: match cleaned {
            Cleaned::Completed => "completed",
            Cleaned::BelowThreshold => "below-threshold",
            Cleaned::AlreadyRunning => "already-running",
        },
        freed_bytes: removed.bytes(),
        layers: removed.layers.iter().map(|l| Layer { chain_id: &l.chain_id, bytes: l.bytes }).collect(),
        leftovers: removed.leftovers.iter().map(|path| path.display().to_string()).collect(),
    };
    serde_json::to_string(&document).map_err(|e| Failure::from(format!("encoding the result: {e}")))
}

/// What a clean would do, one line for each thing that it would remove.
fn plan(cleaned: Cleaned, removed: &Removed) -> String {
    if cleaned != Cleaned::Completed {
        return said(cleaned).to_owned();
    }
    let layers = removed.layers.iter();
    let layers = layers.map(|layer| format!("would remove layer {} ({})", layer.chain_id, human_bytes(layer.bytes)));
    let leftovers = removed.leftovers.iter().map(|path| format!("would remove {}", path.display()));
    let lines = layers.chain(leftovers).chain([summary("would free", removed)]);
    lines.map(|line| OneLine(&line).to_string()).collect::<Vec<_>>().join("\n")
}

fn summary(verb: &str, removed: &Removed) -> String {
    let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let layers = count(removed.layers.len(), "layer");
    let leftovers = count(removed.leftovers.len(), "leftover");
    format!("{verb} {}: {layers}, {leftovers} of dead processes", human_bytes(removed.bytes()))
}
