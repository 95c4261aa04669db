//! `grootfs generate-metadata`.

use super::Failure;
use super::args::GenerateMetadataArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, args: &GenerateMetadataArgs) -> Result<(), Failure> {
    args.no_operands()?;
    Err(Failure::from("generate-metadata is not available in this version".to_owned()))
}
