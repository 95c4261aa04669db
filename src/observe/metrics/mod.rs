//! What one command is measured by: for the Metron agent of Cloud Foundry, and as a file for Prometheus.
//!
//! Code that does the work knows nothing of this. How long something takes is the life of its log session, timed by a
//! `tracing` layer of its own (`stopwatch`); sizes are asked for by the command line when the work is done. Where
//! nobody wants metrics there is no such layer, no clock is read and nothing is asked for. Everything is kept until the
//! command ends, and handed on then.

mod metron;
mod names;
mod stopwatch;
mod textfile;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use self::metron::Metron;
pub use self::names::Size;
use self::names::Timing;
use crate::config::Config;

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// It did what it is for.
    Success,
    /// There was nothing to do: no such image, or no need to clean.
    Nothing,
    /// It failed.
    Failure {
        /// What the user is told.
        message: &'a str,
        /// What the process ends with.
        exit_code: u8,
    },
}

/// The measurements of this process, if anybody wants them.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Recorder>>);

/// What is measured, and where it goes.
struct Recorder {
    command: &'static str,
    store: PathBuf,
    metron: Option<Metron>,
    file: Option<PathBuf>,
    measured: Mutex<Vec<Measurement>>,
}

/// One number and when it was so.
struct Measurement {
    at: SystemTime,
    value: Value,
}

#[derive(Clone, Copy)]
enum Value {
    Time(&'static Timing, Duration),
    Size(Size, u64),
}

impl Metrics {
    /// Metrics of the command `command`, if the configuration says where to put them.
    pub(super) fn new(config: &Config, command: &'static str) -> Self {
        if config.metron_endpoint.is_none() && config.metrics_file.is_none() {
            return Metrics(None);
        }
        Metrics(Some(Arc::new(Recorder {
            command,
            store: config.store.clone(),
            metron: config.metron_endpoint.as_deref().map(Metron::new),
            file: config.metrics_file.clone(),
            measured: Mutex::default(),
        })))
    }

    /// Whether anybody wants to know. What is costly to find out is not to be asked for otherwise.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Notes a size in bytes.
    pub fn note(&self, size: Size, bytes: u64) {
        if let Some(recorder) = &self.0 {
            recorder.record(Value::Size(size, bytes));
        }
    }

    /// Hands on what was measured and how the command ended. Failures to do so are logged and are no failures of the
    /// command.
    pub fn publish(&self, end: End<'_>) {
        let Some(recorder) = &self.0 else { return };
        let measured = std::mem::take(&mut *recorder.measured.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(metron) = &recorder.metron
            && let Err(error) = metron.send(recorder.command, &measured, end)
        {
            tracing::error!(%error, "sending-metrics-failed");
        }
        if let Some(file) = &recorder.file
            && let Err(error) = textfile::update(file, &recorder.store, recorder.command, &measured, end)
        {
            tracing::error!(%error, "writing-metrics-file-failed");
        }
    }

    /// The layer that measures times.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.0.clone().map(stopwatch::layer)
    }
}

impl Recorder {
    fn record(&self, value: Value) {
        let measurement = Measurement { at: SystemTime::now(), value };
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).push(measurement);
    }
}
