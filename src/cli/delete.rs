//! `grootfs delete`.

use std::io::{self, IsTerminal};

use super::args::ImageArgs;
use super::failure::OneLine;
use super::{Done, Failure, measure, output, store};
use crate::config::Config;
use crate::observe::Metrics;
use crate::store::{Deleted, ImageSelector};

/// Deletes an image. One that does not exist is as good as deleted: callers repeat deletes until they succeed.
pub(super) fn run(config: &Config, args: &ImageArgs, metrics: &Metrics) -> Result<Done, Failure> {
    let argument = args.id()?;
    let store = store(config)?;
    match store.delete(ImageSelector(argument))? {
        Deleted::Image(id) => {
            output::line(&format!("Image {id} deleted"))?;
            measure::layers(store, metrics);
            Ok(Done::All)
        }
        Deleted::Nothing(reason) => {
            tracing::debug!(id = argument, storePath = %config.store.display(), errorMessage = reason,
                "id-not-found-skipping");
            output::line(&OneLine(&reason).to_string())?;
            // Callers count on success, and whoever keeps standard output from a terminal sees nothing of the line above.
            if !io::stdout().is_terminal() {
                output::tell("warning", vec![reason]);
            }
            Ok(Done::Nothing)
        }
    }
}
