//! `grootfs list`.

use super::args::ListArgs;
use super::{Failure, output, store, usage};
use crate::config::Config;

/// Prints the path of every image, one a line.
pub(crate) fn run(config: &Config, args: &ListArgs) -> Result<(), Failure> {
    let store = store(config)?;
    store.check_exists()?;
    if args.long {
        return output::line(&usage::images(store.report()?.images));
    }
    let images = store
        .images()
        .map_err(|e| Failure::from(format!("Failed to retrieve list of images: failed to list store path: {e}")))?;
    if images.is_empty() {
        return output::line("Store empty");
    }
    let paths: Vec<String> = images.iter().map(|path| path.display().to_string()).collect();
    output::line(&paths.join("\n"))
}
