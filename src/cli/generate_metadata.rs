//! `grootfs generate-volume-size-metadata`: for stores that are older than the sizes on record.

use super::args::GenerateMetadataArgs;
use super::{Failure, store};
use crate::config::Config;

/// Writes the missing sizes. Silent on success.
pub(crate) fn run(config: &Config, args: &GenerateMetadataArgs) -> Result<(), Failure> {
    args.no_operands()?;
    let store = store(config)?;
    store.check_initialised()?;
    Ok(store.generate_volume_sizes()?)
}
