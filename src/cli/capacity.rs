//! `grootfs capacity`: how large the store is configured to be.

use super::{Failure, output};
use crate::config::Config;

/// Prints the configured size. Garden asks for it in order to tell its own clients; a key more would break its decoder.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    output::line(&format!("{{\"capacity\":{}}}", config.init.store_size_bytes))
}
