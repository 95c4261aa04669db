//! `grootfs delete-store`.

use super::Failure;
use super::args::DeleteStoreArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, _args: &DeleteStoreArgs) -> Result<(), Failure> {
    Err(Failure::from("delete-store is not available in this version".to_owned()))
}
