//! `grootfs clean`.

use super::Failure;
use super::args::CleanArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, _args: &CleanArgs) -> Result<(), Failure> {
    Err(Failure::from("clean is not available in this version".to_owned()))
}
