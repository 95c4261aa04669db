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
        // Fails only where there is a logger already.
        let _ = tracing::subscriber::set_global_default(subscriber(config, config.level, sink));
    }
    Ok(())
}

/// Does `work` with this thread's logs going to the file at `path`, at level info at least, and nowhere else. Sessions
/// begin anew there.
///
/// # Errors
/// When the log file cannot be opened; then `work` is not done.
pub fn in_file<T>(config: &LogConfig, path: &Path, work: impl FnOnce() -> T) -> Result<T, Error> {
    let level = if config.level == LogLevel::Fatal { LogLevel::Info } else { config.level };
    let subscriber = subscriber(config, level, Box::new(open(path)?));
    Ok(tracing::subscriber::with_default(subscriber, work))
}

fn subscriber(config: &LogConfig, level: LogLevel, sink: Box<dyn Write + Send>) -> impl tracing::Subscriber + use<> {
    Registry::default().with(lager::layer(level, config.timestamp_format, sink))
}

fn open(path: &Path) -> Result<File, PathError> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path).on("open", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_work_logs_to_its_own_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let (outer, inner) = (directory.path().join("outer"), directory.path().join("inner"));
        let config = LogConfig::default();
        let result = in_file(&config, &outer, || {
            let _create = tracing::debug_span!("create").entered();
            in_file(&config, &inner, || {
                let _clean = tracing::debug_span!("clean").entered();
                tracing::info!("cleaning");
                tracing::debug!("detail");
            })?;
            tracing::info!("created");
            in_file(&config, Path::new("/no/such/file"), || ())
        });
        let error = result.expect("opened").expect_err("no such directory");
        assert_eq!(error.to_string(), "open /no/such/file: no such file or directory");
        let messages = |path: &Path| -> Vec<String> {
            let text = std::fs::read_to_string(path).expect("a log");
            let message =
                |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["message"].to_string();
            text.lines().map(message).collect()
        };
        assert_eq!(messages(&inner), ["\"grootfs.clean.cleaning\""]);
        assert_eq!(messages(&outer), ["\"grootfs.create.created\""]);
    }
}
