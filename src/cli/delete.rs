//! `grootfs delete`.

use super::Failure;
use super::args::DeleteArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, args: &DeleteArgs) -> Result<(), Failure> {
    let _id = args.id()?;
    Err(Failure::from("delete is not available in this version".to_owned()))
}
