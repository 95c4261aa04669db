//! `grootfs config`: what the settings are and who says so; what is wrong with them.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::args::{Cli, OutputArgs, invalid_arguments};
use super::failure::OneLine;
use super::table::Table;
use super::{Failure, output};
use crate::config::{self, DEFAULT_PATH, Effective, Finding, Flags, Origin, Sources};
use crate::redact;

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;
/// There are findings.
const FINDINGS: u8 = 4;

/// What to do with the settings.
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] config <show|check>",
    after_long_help = "\
Examples:
  grootfs --config /etc/grootfs/config.yml config check
  grootfs --store /mnt/xfs/store config show --json"
)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: Option<ConfigCommand>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Shows each setting with its value and where it comes from: a flag, the environment, the file or the default
    Show(OutputArgs),
    /// Checks the configuration file and the environment; exit codes: 0 nothing to tell, 4 findings, 1 it could not be read
    Check,
}

impl ConfigArgs {
    /// Whether it is for this command to tell what is wrong with the settings.
    pub(super) fn checks(&self) -> bool {
        matches!(self.command, Some(ConfigCommand::Check))
    }
}

/// Runs what is asked for.
pub(super) fn run(cli: &Cli, args: &ConfigArgs) -> Result<(), Failure> {
    match &args.command {
        Some(ConfigCommand::Show(args)) => show(cli.flags()?, args),
        Some(ConfigCommand::Check) => check(cli.flags()?),
        None => Err(invalid_arguments("config <show|check>")),
    }
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    settings: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    setting: String,
    value: serde_json::Value,
    /// `default`, `file`, `environment` or `flag`.
    origin: &'static str,
    /// Path of the file or name of the variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Item {
    fn of(effective: Effective) -> Self {
        let (origin, name) = match effective.origin {
            Origin::Default => ("default", None),
            Origin::File(path) => ("file", Some(path.display().to_string())),
            Origin::Environment(variable) => ("environment", Some(variable)),
            Origin::Flag => ("flag", None),
        };
        Item { setting: effective.setting.path(), value: redacted(effective.value), origin, name }
    }

    /// A value as the file could have it.
    fn value(&self) -> String {
        match &self.value {
            serde_json::Value::String(text) if !text.is_empty() => text.clone(),
            value => value.to_string(),
        }
    }

    fn origin(&self) -> String {
        match (&self.name, self.origin) {
            (Some(name), _) => name.clone(),
            (None, "flag") => "command line".to_owned(),
            (None, origin) => origin.to_owned(),
        }
    }
}

/// The value without passwords and tokens.
fn redacted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => redact::message(&text).into_owned().into(),
        serde_json::Value::Array(values) => values.into_iter().map(redacted).collect(),
        serde_json::Value::Object(values) => values.into_iter().map(|(key, value)| (key, redacted(value))).collect(),
        other => other,
    }
}

fn show(flags: Flags, args: &OutputArgs) -> Result<(), Failure> {
    let settings: Vec<_> = Sources::read(flags)?.effective().into_iter().map(Item::of).collect();
    if args.json {
        return output::json(&Document { schema: SCHEMA, settings });
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for item in &settings {
        table.row([item.setting.clone(), item.value(), item.origin()].map(|cell| OneLine(&cell).to_string()));
    }
    output::line(&table.text())
}

fn check(flags: Flags) -> Result<(), Failure> {
    let (path, findings) = config::findings(flags)?;
    let file = path.map(|path| path.display().to_string());
    for Finding { at, problem } in &findings {
        let line = match (at, &file) {
            (Some((line, column)), Some(file)) => format!("{file}:{line}:{column}: {problem}"),
            _ => problem.clone(),
        };
        output::line(&OneLine(&line).to_string())?;
    }
    match file {
        _ if !findings.is_empty() => Err(Failure::silent(FINDINGS)),
        Some(file) => output::line(&OneLine(&format!("{file}: no findings")).to_string()),
        None => output::line(&format!("no findings; no file is named, and {DEFAULT_PATH} is not there or not wanted")),
    }
}
