//! The command line: parses arguments, runs commands, prints.
//!
//! Only this module prints. Results and error messages go to standard output, because callers of GrootFS read both from
//! there; standard error belongs to the logs. Each command is a file of its own with a `run`; those that keep data go
//! on to [`crate::store`].

mod args;
mod bundle;
mod capacity;
mod check;
mod clean;
mod commit;
mod config;
mod create;
mod credentials;
mod delete;
mod delete_store;
mod diff;
mod doctor;
mod environment;
mod failure;
mod flush_volumes;
mod generate_metadata;
mod go_style;
mod init_store;
mod inspect;
mod interrupted;
mod limit;
mod list;
mod mapped_user;
mod mappings;
mod measure;
mod mount;
pub mod output;
mod progress;
mod pull;
mod remedy;
mod source;
mod stats;
mod table;
mod usage;
mod version;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use tracing::{Metadata, Span};

pub use self::args::Cli;
use self::args::Command;
pub use self::environment::variables;
pub use self::failure::Failure;
pub use self::mapped_user::enter_namespace;
pub use self::source::PASSWORD;
use crate::config::{Config, UnknownKey};
use crate::driver::{self, Helpers};
use crate::observe::Metrics;
use crate::observe::metrics::End;
use crate::panics;
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

/// Commands and flags, from which help, man pages and completions are made.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Reads the arguments, the program's name first.
///
/// # Errors
/// On arguments that mean nothing; the message names the flag.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Failure> {
    let mut program = environment::add_to(definition());
    let arguments = go_style::normalise(&program, arguments);
    match program.try_get_matches_from_mut(&arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Request::Run(Box::new(cli))),
        Err(error) if is_text(error.kind()) => Ok(Request::Print(error.render().to_string())),
        Err(error) => Err(failure::from_usage(&error, |flag| environment::origin(&program, &arguments, flag))),
    }
}

fn is_text(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// What a command that did not fail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// What it is for.
    All,
    /// There was nothing to do, which is not counted.
    Nothing,
}

/// Runs the command inside its log session, and has it measured. `entered` is how [`enter_namespace`] ended.
///
/// # Errors
/// Whatever the command has to tell the user.
pub fn run(cli: &Cli, config: &Config, metrics: &Metrics, entered: Result<(), Failure>) -> Result<(), Failure> {
    for UnknownKey { key, suggestion } in &config.unknown_keys {
        tracing::info!(key, suggestion = suggestion.as_deref().unwrap_or_default(), "unknown-key");
    }
    output::tell("warning", config.warnings());
    let Some(command) = &cli.command else {
        return output::print(&Cli::command().render_help().to_string());
    };
    let session = session(command);
    let name = session.metadata().map_or("", Metadata::name);
    tracing::debug!(parent: &session, currentConfig = ?config, "{name}-config");
    interrupted::prepare(command, config);
    session.in_scope(|| {
        // Here too, so that a panic is logged and counted as any failure.
        let dispatched = panics::caught(|| entered.and_then(|()| dispatch(cli, command, config, metrics)));
        let result = dispatched.unwrap_or_else(|panicked| Err(panicked.into()));
        let result = result.map_err(|failure| interrupted::failure().unwrap_or(failure));
        if let Err(failure) = &result {
            tracing::error!(error = %failure, "failed");
        }
        publish(metrics, &result);
        result.map(drop)
    })
}

fn publish(metrics: &Metrics, result: &Result<Done, Failure>) {
    match result {
        Ok(Done::All) => metrics.publish(End::Success),
        Ok(Done::Nothing) => metrics.publish(End::Nothing),
        Err(failure) => {
            metrics.publish(End::Failure { message: &failure.to_string(), exit_code: failure.status() });
        }
    }
}

fn dispatch(cli: &Cli, command: &Command, config: &Config, metrics: &Metrics) -> Result<Done, Failure> {
    let done = match command {
        Command::Delete(args) => return delete::run(config, args, metrics),
        Command::Clean(args) => return clean::run(config, args, metrics),
        Command::InitStore(args) => init_store::run(config, args),
        Command::DeleteStore => delete_store::run(config),
        Command::Create(args) => create::run(config, args, metrics),
        Command::Stats(args) => stats::run(config, args),
        Command::List(args) => list::run(config, args),
        Command::Inspect(args) => inspect::run(config, args),
        Command::Pull(args) => pull::run(config, args),
        Command::Limit(args) => limit::run(config, args),
        Command::Diff(args) => diff::run(config, args),
        Command::Commit(args) => commit::run(config, args),
        Command::Check(args) => check::run(config, args),
        Command::Doctor(args) => doctor::run(config, args),
        Command::Usage(args) => usage::run(config, args),
        Command::Mount(args) => mount::mount(config, args),
        Command::Umount(args) => mount::unmount(config, args),
        Command::Config(args) => config::run(cli, args),
        Command::Capacity => capacity::run(config),
        Command::Version(args) => version::run(args),
        Command::GenerateVolumeSizeMetadata(args) => generate_metadata::run(config, args),
        Command::FlushVolumes => flush_volumes::run(config),
        Command::Unknown(words) => {
            let name = words.first().map(OsString::as_os_str).unwrap_or_default();
            let hint = similar_command(&name.to_string_lossy());
            Err(Failure { hint, ..Failure::unknown_command(Some(name)) })
        }
    };
    done.map(|()| Done::All)
}

/// The question whether another command is meant, if one is called much like this.
fn similar_command(name: &str) -> Option<String> {
    let program = Cli::command();
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
    let similar = crate::config::most_alike(name, visible.map(|command| command.get_name().to_owned()));
    similar.map(|similar| format!("did you mean `{similar}`?"))
}

/// The store that the configuration names, with its driver. What is below the mount point of a store that is not mounted
/// is nobody's store.
///
/// It lives as long as the process, which then ends: the kernel closes all its directories at once.
fn store(config: &Config) -> Result<&'static Store, Failure> {
    let found = driver::of_filesystem(&config.store);
    let name = config.driver.as_deref().or(found).unwrap_or(driver::DEFAULT);
    let store = store_with(config, name)?;
    store.check_mounted()?;
    store.check_format()?;
    match found {
        Some(found) if found != name => Err(driver::Error::OtherDriver(config.store.display().to_string()))?,
        _ => Ok(Box::leak(Box::new(store))),
    }
}

/// A store that may not be made or mounted yet, so that its filesystem tells nothing of its driver.
fn unmounted_store(config: &Config) -> Result<Store, Failure> {
    store_with(config, config.driver.as_deref().unwrap_or(driver::DEFAULT))
}

fn store_with(config: &Config, driver: &str) -> Result<Store, Failure> {
    let caller = Caller::of_process()?;
    let options = driver::Options {
        btrfs_progs: config.btrfs_progs_path.clone(),
        helpers: (caller != Caller::Root).then(|| helpers(config)),
    };
    Ok(Store::new(&config.store, driver::named(driver, options)?, caller)?)
}

fn helpers(config: &Config) -> Helpers {
    Helpers { tardis: config.tardis_bin.clone(), drax: config.drax_bin.clone() }
}

/// The log session of a command. Names of spans are literals, hence one line each.
fn session(command: &Command) -> Span {
    match command {
        Command::InitStore(_) => tracing::debug_span!("init-store"),
        Command::DeleteStore => tracing::debug_span!("delete-store"),
        Command::Create(_) => tracing::debug_span!("create"),
        Command::Delete(_) => tracing::debug_span!("delete"),
        Command::Stats(_) => tracing::debug_span!("stats"),
        Command::List(_) => tracing::debug_span!("list"),
        Command::Inspect(_) => tracing::debug_span!("inspect"),
        Command::Pull(_) => tracing::debug_span!("pull"),
        Command::Limit(_) => tracing::debug_span!("limit"),
        Command::Diff(_) => tracing::debug_span!("diff"),
        Command::Commit(_) => tracing::debug_span!("commit"),
        Command::Check(_) => tracing::debug_span!("check"),
        Command::Doctor(_) => tracing::debug_span!("doctor"),
        Command::Usage(_) => tracing::debug_span!("usage"),
        Command::Mount(_) => tracing::debug_span!("mount"),
        Command::Umount(_) => tracing::debug_span!("umount"),
        Command::Clean(_) => tracing::debug_span!("clean"),
        Command::Config(_) => tracing::debug_span!("config"),
        Command::Capacity => tracing::debug_span!("capacity"),
        Command::Version(_) => tracing::debug_span!("version"),
        Command::GenerateVolumeSizeMetadata(_) => tracing::debug_span!("generate-metadata"),
        Command::FlushVolumes => tracing::debug_span!("flush-volumes"),
        Command::Unknown(_) => tracing::debug_span!("unknown-command"),
    }
}
