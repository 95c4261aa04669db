//! `grootfs doctor`: whether this machine can do what a store needs.

use serde::Serialize;

use super::args::OutputArgs;
use super::failure::OneLine;
use super::table::Table;
use super::{Failure, output, store_with};
use crate::config::Config;
use crate::driver;
use crate::store::{Diagnosis, Programs, Status};

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;
/// Something fails.
const FAILS: u8 = 4;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    diagnoses: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    subject: &'a str,
    status: &'a str,
    found: &'a str,
    remedy: &'a str,
}

/// Prints how everything stands, one line each. Ends with 4 where something fails.
pub(super) fn run(config: &Config, args: &OutputArgs) -> Result<(), Failure> {
    // A store that is not mounted does not tell its driver.
    let found = driver::of_filesystem(&config.store);
    let name = config.driver.as_deref().or(found).unwrap_or(driver::DEFAULT);
    let store = store_with(config, name)?;
    let helper = if name == "btrfs" { &config.drax_bin } else { &config.tardis_bin };
    let programs = Programs { helper, id_mappers: [&config.newuidmap_bin, &config.newgidmap_bin] };
    let diagnoses = store.diagnose(&programs);
    output::line(&if args.json { json(&diagnoses)? } else { text(&diagnoses) })?;
    if diagnoses.iter().any(|diagnosis| diagnosis.status == Status::Fail) {
        return Err(Failure::silent(FAILS));
    }
    Ok(())
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Warn => "warn",
        Status::Fail => "fail",
    }
}

fn json(diagnoses: &[Diagnosis]) -> Result<String, Failure> {
    let item = |diagnosis: &'_ Diagnosis| (diagnosis.subject, word(diagnosis.status));
    let diagnoses = diagnoses.iter().map(|diagnosis| {
        let (subject, status) = item(diagnosis);
        Item { subject, status, found: &diagnosis.found, remedy: &diagnosis.remedy }
    });
    let document = Document { schema: SCHEMA, diagnoses: diagnoses.collect() };
    serde_json::to_string(&document).map_err(|e| Failure::from(format!("encoding the result: {e}")))
}

fn text(diagnoses: &[Diagnosis]) -> String {
    let mut table = Table::new(&["STATUS", "WHAT", "FOUND"]);
    for Diagnosis { subject, status, found, remedy } in diagnoses {
        let found = if remedy.is_empty() { found.clone() } else { format!("{found}; remedy: {remedy}") };
        table.row([word(*status).to_owned(), (*subject).to_owned(), OneLine(&found).to_string()]);
    }
    table.text()
}
