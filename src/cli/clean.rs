//! `grootfs clean`.

use super::args::CleanArgs;
use super::{Done, Failure, measure, output, store};
use crate::config::Config;
use crate::observe::Metrics;
use crate::store::Cleaned;

/// Removes unused layers. A store that is not there is clean: schedulers run this whether or not there is one.
pub(super) fn run(config: &Config, _args: &CleanArgs, metrics: &Metrics) -> Result<Done, Failure> {
    let store = store(config)?;
    store.check_exists().map_err(|error| Failure { exit_code: 0, ..Failure::from(error) })?;
    store.check_initialised()?;
    let cleaned = store.clean(config.clean.threshold_bytes, &config.clean.ignore_images)?;
    output::line(match cleaned {
        Cleaned::Completed => "clean completed",
        Cleaned::BelowThreshold => "threshold not reached: skipping clean",
        Cleaned::AlreadyRunning => "another clean is running: skipping clean",
    })?;
    measure::layers(&store, metrics);
    if cleaned != Cleaned::Completed {
        return Ok(Done::Nothing);
    }
    measure::space(&store, metrics);
    Ok(Done::All)
}
