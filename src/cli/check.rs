//! `grootfs check`: what is wrong with a store, what it blocks and what heals it.

use clap::Args;
use serde::Serialize;

use super::args::OutputArgs;
use super::failure::OneLine;
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::{Compared, Finding};

/// What to check, and how to print it.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Repair what can be repaired without losing what containers wrote
    #[arg(long)]
    repair: bool,

    /// Read every file of every layer, and compare it with what was unpacked
    #[arg(long)]
    deep: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;
/// There are findings.
const FINDINGS: u8 = 4;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    store: String,
    repaired: Vec<Item<'a>>,
    findings: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_compared: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Item<'a> {
    kind: &'a str,
    subject: &'a str,
    problem: &'a str,
    blocks: &'a str,
    remedy: &'a str,
    repairable: bool,
}

impl<'a> Item<'a> {
    fn of(finding: &'a Finding) -> Self {
        Item {
            kind: finding.kind,
            subject: &finding.subject,
            problem: &finding.problem,
            blocks: finding.blocks,
            remedy: &finding.remedy,
            repairable: finding.is_repairable,
        }
    }
}

/// Prints findings, one a line. Ends with 0 where there are none, with 4 where there are, and with 1 where the store could
/// not be checked.
pub(super) fn run(config: &Config, args: &CheckArgs) -> Result<(), Failure> {
    let store = store(config)?;
    store.check_exists()?;
    let (mut findings, mut repaired) = (store.check()?, Vec::new());
    let compared = if args.deep { Some(store.compare_layers()?) } else { None };
    let of_layers = compared.as_ref().map_or(&[][..], |compared| &compared.findings);
    findings.extend_from_slice(of_layers);
    if args.repair && !findings.is_empty() {
        if let Err(error) = store.repair() {
            tracing::error!(%error, "repair-failed");
        }
        if let Some(Err(error)) = compared.as_ref().map(|compared| store.apply_comparison(compared)) {
            tracing::error!(%error, "repair-failed");
        }
        let mut left = store.check()?;
        left.extend_from_slice(of_layers);
        repaired = findings.into_iter().filter(|finding| !left.contains(finding)).collect();
        findings = left;
    }
    let root = store.layout().root().display().to_string();
    let compared = compared.as_ref();
    output::line(&match args.output.json {
        true => json(root, &repaired, &findings, compared)?,
        false => text(&repaired, &findings, compared),
    })?;
    if findings.is_empty() { Ok(()) } else { Err(Failure::silent(FINDINGS)) }
}

fn json(
    store: String,
    repaired: &[Finding],
    findings: &[Finding],
    compared: Option<&Compared>,
) -> Result<String, Failure> {
    let document = Document {
        schema: SCHEMA,
        store,
        repaired: items_of(repaired),
        findings: items_of(findings),
        not_compared: compared.map(|compared| compared.not_compared.as_slice()),
    };
    serde_json::to_string(&document).map_err(|e| Failure::from(format!("encoding the result: {e}")))
}

fn items_of(findings: &[Finding]) -> Vec<Item<'_>> {
    findings.iter().map(Item::of).collect()
}

fn text(repaired: &[Finding], findings: &[Finding], compared: Option<&Compared>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for Finding { kind, subject, problem, .. } in repaired {
        lines.push(format!("repaired: {subject}: {problem} ({kind})"));
    }
    for Finding { kind, subject, problem, blocks, remedy, .. } in findings {
        lines.push(format!("{subject}: {problem} ({kind}); blocks {blocks}; remedy: {remedy}"));
    }
    if findings.is_empty() {
        lines.push("no findings".to_owned());
    }
    let not_compared = compared.map_or(&[][..], |compared| &compared.not_compared);
    lines.extend(not_compared.iter().map(|layer| format!("layer {layer} has no list of digests: not compared")));
    lines.iter().map(|line| OneLine(line).to_string()).collect::<Vec<_>>().join("\n")
}
