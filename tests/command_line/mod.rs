//! What holds for every command: arguments, configuration, logs, metrics, pipes, progress.

mod cli;
mod completion;
mod config;
mod logging;
mod metrics;
mod pipes;
mod progress;
