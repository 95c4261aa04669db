//! `grootfs version`: which program this is.

use clap::Args;
use serde::Serialize;

use super::args::OutputArgs;
use super::{Failure, output};

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

/// Print the version
#[derive(Debug, Args)]
#[command(override_usage = "grootfs version [--json]")]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    version: &'static str,
    architecture: &'static str,
    libc: &'static str,
}

pub(super) fn run(args: &VersionArgs) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if !args.output.json {
        return output::line(&format!("grootfs version {version}"));
    }
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    output::json(&Document { schema: SCHEMA, version, architecture: std::env::consts::ARCH, libc })
}
