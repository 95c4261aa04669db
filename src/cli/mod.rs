//! The command line: parses arguments, runs commands, prints.
//!
//! Only this module prints. Results and error messages go to standard output, because callers of GrootFS read both from
//! there; standard error belongs to the logs. Each command is a file of its own with a `run`; those that keep data go
//! on to [`crate::store`].

mod args;
mod capacity;
mod clean;
mod create;
mod credentials;
mod delete;
mod delete_store;
mod failure;
mod flush_volumes;
mod generate_metadata;
mod go_style;
mod init_store;
mod list;
mod mappings;
pub mod output;
mod progress;
mod stats;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use tracing::{Metadata, Span};

use self::args::Command;
pub use self::args::{Cli, PASSWORD};
pub use self::failure::Failure;
use crate::config::Config;
use crate::driver;
use crate::store::Store;
use crate::sys::caller::Caller;

/// What the arguments ask for.
#[derive(Debug)]
pub enum Request {
    /// Text to be printed, and nothing more: help or the version.
    Print(String),
    /// A command.
    Run(Box<Cli>),
}

/// Reads the arguments, the program's name first.
///
/// # Errors
/// On arguments that mean nothing; the message names the flag.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Failure> {
    let program = Cli::command();
    let arguments = go_style::normalise(&program, arguments);
    match program.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Request::Run(Box::new(cli))),
        Err(error) if is_text(error.kind()) => Ok(Request::Print(error.render().to_string())),
        Err(error) => Err(failure::from_usage(&error)),
    }
}

fn is_text(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Runs the command inside its log session.
///
/// # Errors
/// Whatever the command has to tell the user.
pub fn run(cli: &Cli, config: &Config) -> Result<(), Failure> {
    let Some(command) = &cli.command else {
        return output::print(&Cli::command().render_help().to_string());
    };
    let session = session(command).entered();
    let name = session.metadata().map_or("", Metadata::name);
    tracing::debug!(currentConfig = ?config, "{name}-config");
    tracing::debug!("starting");
    let result = dispatch(command, config);
    if let Err(failure) = &result {
        tracing::error!(error = %failure, "failed");
    }
    tracing::debug!("ending");
    drop(session);
    result
}

fn dispatch(command: &Command, config: &Config) -> Result<(), Failure> {
    match command {
        Command::InitStore(args) => init_store::run(config, args),
        Command::DeleteStore(args) => delete_store::run(config, args),
        Command::Create(args) => create::run(config, args),
        Command::Delete(args) => delete::run(config, args),
        Command::Stats(args) => stats::run(config, args),
        Command::List(args) => list::run(config, args),
        Command::Clean(args) => clean::run(config, args),
        Command::Capacity(args) => capacity::run(config, args),
        Command::GenerateVolumeSizeMetadata(args) => generate_metadata::run(config, args),
        Command::FlushVolumes => flush_volumes::run(config),
        Command::Unknown(words) => Err(Failure::unknown_command(words.first().map(OsString::as_os_str))),
    }
}

/// The store that the configuration names, with its driver.
fn store(config: &Config) -> Result<Store, Failure> {
    let options = driver::Options { btrfs_progs: config.btrfs_progs_path.clone() };
    Ok(Store::new(&config.store, driver::named(&config.driver, options)?, Caller::of_process())?)
}

/// The log session of a command. Names of spans are literals, hence one line each.
fn session(command: &Command) -> Span {
    match command {
        Command::InitStore(_) => tracing::info_span!("init-store"),
        Command::DeleteStore(_) => tracing::info_span!("delete-store"),
        Command::Create(_) => tracing::info_span!("create"),
        Command::Delete(_) => tracing::info_span!("delete"),
        Command::Stats(_) => tracing::info_span!("stats"),
        Command::List(_) => tracing::info_span!("list"),
        Command::Clean(_) => tracing::info_span!("clean"),
        Command::Capacity(_) => tracing::info_span!("capacity"),
        Command::GenerateVolumeSizeMetadata(_) => tracing::info_span!("generate-metadata"),
        Command::FlushVolumes => tracing::info_span!("flush-volumes"),
        Command::Unknown(_) => tracing::info_span!("unknown-command"),
    }
}
