//! `grootfs delete-store`.

use super::Failure;
use super::args::DeleteStoreArgs;
use crate::config::Config;
use crate::store::Store;

/// Deletes the store. Silent on success, and where there is none.
pub(crate) fn run(config: &Config, _args: &DeleteStoreArgs) -> Result<(), Failure> {
    Ok(Store::new(&config.store, &config.driver)?.delete_store()?)
}
