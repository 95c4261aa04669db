//! `grootfs init-store`.

use super::Failure;
use super::args::InitStoreArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, args: &InitStoreArgs) -> Result<(), Failure> {
    args.no_operands()?;
    Err(Failure::from("init-store is not available in this version".to_owned()))
}
