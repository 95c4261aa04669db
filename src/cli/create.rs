//! `grootfs create`.

use super::Failure;
use super::args::CreateArgs;
use crate::config::Config;

/// Not there yet.
pub(crate) fn run(_config: &Config, args: &CreateArgs) -> Result<(), Failure> {
    let (_image, _id) = args.operands()?;
    Err(Failure::from("create is not available in this version".to_owned()))
}
