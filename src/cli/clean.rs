//! `grootfs clean`.

use super::args::CleanArgs;
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::Cleaned;

/// Removes unused layers. A store that is not there is clean: schedulers run this whether or not there is one.
pub(crate) fn run(config: &Config, _args: &CleanArgs) -> Result<(), Failure> {
    let store = store(config)?;
    if let Err(error) = store.check_exists() {
        tracing::error!(%error, "cleaning-up-unused-resources");
        return output::line(&Failure::from(error).to_string());
    }
    store.check_initialised()?;
    output::line(match store.clean(config.clean.threshold_bytes, &config.clean.ignore_images)? {
        Cleaned::Completed => "clean completed",
        Cleaned::BelowThreshold => "threshold not reached: skipping clean",
        Cleaned::AlreadyRunning => "another clean is running: skipping clean",
    })
}
