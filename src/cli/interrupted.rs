//! Commands that are ended from outside, by a signal or by their limit of time: what the user is told of what they leave.

use std::sync::OnceLock;
use std::time::Duration;

use super::Failure;
use super::args::Command;
use super::table::human_time;
use crate::config::Config;
use crate::sys::interrupt::{self, Interrupt};
use crate::sys::scratch;

/// What there is to say of an end, from outside the command.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("interrupted: {0}")]
    Interrupted(String),
    #[error("given up after {0} (--timeout): {1}")]
    TimedOut(String, String),
}

/// The command that runs, for a thread that ends it.
static RUNNING: OnceLock<Running> = OnceLock::new();

struct Running {
    leaves: &'static str,
    /// What is said beside that where it is ended at work.
    rest: &'static str,
    limit: Option<Duration>,
}

/// Has the command be ended when its time is over, and where its work is long, tidy up when it is interrupted.
pub(super) fn prepare(command: &Command, config: &Config) {
    // There is one command.
    let _ = RUNNING.set(Running { leaves: leaves(command), rest: rest(command), limit: config.timeout });
    interrupt::prepare(config.timeout, overdue);
    // Others watch when they find that there is something to pull or to remove.
    if matches!(command, Command::Commit(_)) {
        interrupt::watch();
    }
}

/// The failure of a command that was ended from outside, if it was, in place of what it failed with for that.
pub(super) fn failure() -> Option<Failure> {
    interrupt::requested().map(|interrupt| of(interrupt, ""))
}

/// Ends the process of a command that is at work and does not notice.
fn overdue(interrupt: Interrupt) {
    scratch::remove_all();
    let rest = RUNNING.get().map_or("", |running| running.rest);
    std::process::exit(of(interrupt, rest).report());
}

fn of(interrupt: Interrupt, more: &str) -> Failure {
    let Some(Running { leaves, limit, .. }) = RUNNING.get() else { return Failure::from(String::new()) };
    let leaves = format!("{leaves}{more}");
    match interrupt {
        Interrupt::Signal(signal) => {
            let message = Error::Interrupted(leaves).to_string();
            Failure { signal: Some(signal), ..Failure::from(message) }
        }
        Interrupt::TimeLimit => {
            let limit = human_time(limit.unwrap_or_default().as_secs());
            Failure::from(Error::TimedOut(limit, leaves).to_string())
        }
    }
}

/// What a command leaves in the store that is ended at work.
fn rest(command: &Command) -> &'static str {
    match command {
        // It writes elsewhere, and that is removed.
        Command::Commit(_) => "",
        _ => "; what it had begun is removed by the next clean",
    }
}

/// What a command leaves that stops in the middle.
fn leaves(command: &Command) -> &'static str {
    match command {
        Command::Create(_) => "no image was made, and layers that were complete are kept for the next create",
        Command::Pull(_) => "layers that were complete are kept in the store",
        Command::Clean(_) => "what it removed is gone, and the next clean removes the rest",
        Command::Commit(_) => "no image was written; a layout keeps the blobs that were complete",
        Command::Delete(_)
        | Command::DeleteStore
        | Command::InitStore(_)
        | Command::Mount(_)
        | Command::Umount(_)
        | Command::Limit(_)
        | Command::GenerateVolumeSizeMetadata(_) => "run it again to finish what it had begun",
        Command::Stats(_)
        | Command::List(_)
        | Command::Inspect(_)
        | Command::Diff(_)
        | Command::Check(_)
        | Command::Doctor(_)
        | Command::Usage(_)
        | Command::Config(_)
        | Command::Capacity
        | Command::Version(_)
        | Command::FlushVolumes
        | Command::Unknown(_) => "nothing was changed",
    }
}
