//! `grootfs stats`.

use super::Failure;
use super::args::StatsArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, args: &StatsArgs) -> Result<(), Failure> {
    let _id = args.id()?;
    Err(Failure::from("stats is not available in this version".to_owned()))
}
