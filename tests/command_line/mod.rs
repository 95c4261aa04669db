//! What holds for every command: arguments, configuration, logs, metrics, pipes, progress; and the script that sets up a first store.

mod cli;
mod completion;
mod config;
mod logging;
mod metrics;
mod pipes;
mod progress;
mod quick_setup;
