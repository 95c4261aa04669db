//! What the program tells about itself: logs.
//!
//! Code logs through `tracing`. Spans are log sessions, events are messages:
//!
//! ```text
//! let _session = tracing::info_span!("create").entered();
//! tracing::info!(image_id = id, "starting");
//! tracing::error!(error = %e, "making-image-failed");
//! ```

pub mod lager;
mod line;
mod timestamp;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::config::{LogConfig, LogLevel};
use crate::sys::path_error::{OnPath, PathError};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file cannot be opened.
    #[error(transparent)]
    LogFile(#[from] PathError),
}

/// Starts logging for the whole process. At level `fatal` there is nothing to be logged, and nothing is set up.
///
/// # Errors
/// When the log file cannot be opened.
pub fn init(config: &LogConfig) -> Result<(), Error> {
    let sink: Box<dyn Write + Send> = match &config.file {
        Some(path) => Box::new(open(path)?),
        None => Box::new(io::stderr()),
    };
    if config.level < LogLevel::Fatal {
        let layer = lager::Lager::new(config.level, config.timestamp_format, sink);
        // Fails only where there is a logger already.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, PathError> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path).on("open", path)
}
