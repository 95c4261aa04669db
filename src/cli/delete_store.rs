//! `grootfs delete-store`.

use super::{Failure, store};
use crate::config::Config;

/// Deletes the store. Silent on success, and where there is none.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    Ok(store(config)?.delete_store()?)
}
