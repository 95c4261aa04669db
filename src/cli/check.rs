//! `grootfs check`: what is wrong with a store, what it blocks and what heals it.

use serde::Serialize;

use super::args::CheckArgs;
use super::failure::OneLine;
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::Finding;

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
    let found = store.check()?;
    let (mut findings, mut repaired) = (found, Vec::new());
    if args.repair && !findings.is_empty() {
        let result = store.repair();
        let left = store.check()?;
        repaired = findings.into_iter().filter(|finding| !left.contains(finding)).collect();
        findings = left;
        if let Err(error) = result {
            tracing::error!(%error, "repair-failed");
        }
    }
    let root = store.layout().root().display().to_string();
    output::line(&if args.json { json(root, &repaired, &findings)? } else { text(&repaired, &findings) })?;
    if findings.is_empty() { Ok(()) } else { Err(Failure { message: String::new(), exit_code: FINDINGS }) }
}

fn json(store: String, repaired: &[Finding], findings: &[Finding]) -> Result<String, Failure> {
    let document = Document { schema: SCHEMA, store, repaired: items_of(repaired), findings: items_of(findings) };
    serde_json::to_string(&document).map_err(|e| Failure::from(format!("encoding the result: {e}")))
}

fn items_of(findings: &[Finding]) -> Vec<Item<'_>> {
    findings.iter().map(Item::of).collect()
}

fn text(repaired: &[Finding], findings: &[Finding]) -> String {
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
    lines.iter().map(|line| OneLine(line).to_string()).collect::<Vec<_>>().join("\n")
}
