//! `grootfs list`.

use super::Failure;
use super::args::ListArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, _args: &ListArgs) -> Result<(), Failure> {
    Err(Failure::from("list is not available in this version".to_owned()))
}
