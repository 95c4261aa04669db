//! What the program tells about itself: logs and metrics.
//!
//! Code logs through `tracing`. Spans are log sessions, whose beginning and end are logged, and some of which are
//! measured by their names ([`metrics`]); events are messages:
//!
//! ```text
//! let _session = tracing::info_span!("making-image", imageID = id).entered();
//! tracing::error!(error = %e, "mounting-failed");
//! ```

pub mod lager;
mod line;
pub mod metrics;
mod timestamp;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

pub use self::metrics::Metrics;
use crate::config::{Config, LogConfig, LogLevel};
use crate::sys::path_error::{OnPath, PathError};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file cannot be opened.
    #[error(transparent)]
    LogFile(#[from] PathError),
}

/// Starts logging for the whole process, and measuring, if the command is one of those that are `measured`. Where nothing
/// is to be logged (level `fatal`) or measured, nothing is set up.
///
/// # Errors
/// When the log file cannot be opened.
pub fn init(config: &Config, measured: Option<&'static str>) -> Result<Metrics, Error> {
    let log = &config.log;
    let sink: Box<dyn Write + Send> = match &log.file {
        Some(path) => Box::new(open(path)?),
        None => Box::new(io::stderr()),
    };
    let metrics = measured.map(|command| Metrics::new(config, command)).unwrap_or_default();
    if log.level < LogLevel::Fatal || metrics.is_on() {
        // Fails only where there is a logger already.
        let _ = tracing::subscriber::set_global_default(subscriber(log, log.level, sink, &metrics));
    }
    Ok(metrics)
}

/// A subscriber that logs to the file at `path`, at level info at least, and nowhere else. Sessions begin anew there.
///
/// # Errors
/// When the log file cannot be opened.
pub fn to_file(config: &LogConfig, metrics: &Metrics, path: &Path) -> Result<Dispatch, Error> {
    let level = if config.level == LogLevel::Fatal { LogLevel::Info } else { config.level };
    Ok(Dispatch::new(subscriber(config, level, Box::new(open(path)?), metrics)))
}

fn subscriber(
    config: &LogConfig,
    level: LogLevel,
    sink: Box<dyn Write + Send>,
    metrics: &Metrics,
) -> impl tracing::Subscriber + use<> {
    let lager = (level < LogLevel::Fatal).then(|| lager::layer(level, config.timestamp_format, sink));
    Registry::default().with(lager).with(metrics.layer())
}

fn open(path: &Path) -> Result<File, PathError> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path).on("open", path)
}

#[cfg(test)]
mod tests {
    use tracing::dispatcher::with_default;

    use super::*;

    #[test]
    fn a_part_of_the_work_logs_to_its_own_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let (outer, inner) = (directory.path().join("outer"), directory.path().join("inner"));
        let config = LogConfig::default();
        let log = |path: &Path| to_file(&config, &Metrics::default(), path);
        with_default(&log(&outer).expect("opened"), || {
            let _create = tracing::debug_span!("create").entered();
            with_default(&log(&inner).expect("opened"), || {
                let _clean = tracing::debug_span!("clean").entered();
                tracing::info!("cleaning");
                tracing::debug!("detail");
            });
            tracing::info!("created");
        });
        let error = log(Path::new("/no/such/file")).expect_err("no such directory");
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
