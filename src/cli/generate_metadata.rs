//! `grootfs generate-volume-size-metadata`: for stores that are older than the sizes on record.

use super::Failure;
use super::args::GenerateMetadataArgs;
use crate::config::Config;
use crate::store::Store;

/// Writes the missing sizes. Silent on success.
pub(crate) fn run(config: &Config, args: &GenerateMetadataArgs) -> Result<(), Failure> {
    args.no_operands()?;
    let store = Store::new(&config.store, &config.driver)?;
    store.check_initialised()?;
    Ok(store.generate_volume_sizes()?)
}
