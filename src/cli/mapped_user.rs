//! Ordinary users whose store has id mappings: the command runs in a child process that is root of a user namespace with
//! these ids. There it may make, and remove, files of all of them.

use std::io;
use std::path::Path;
use std::process::{Command as Program, Output, Stdio};

use super::args::{Cli, Command};
use super::{Failure, helpers, store};
use crate::config::Config;
use crate::idmap::{IdMap, IdMappings};
use crate::sys::caller::Caller;
use crate::sys::path_error::reason;
use crate::sys::userns::{self, Ended, Outside, Side};
use crate::sys::{program, signals, spawning};

const NO_ROOT: &str = "the store's id mappings leave out root (id 0) of users or groups, without which only root can \
                       use them: make a store whose mappings have it, as init-store --rootless does";

/// Goes on in a child process, if that is how the command has to be run; this process then ends with the child. Returns
/// in the one that is to run the command.
///
/// For a process of one thread.
///
/// # Errors
/// In this process alone: that there is no `/proc`, that there can be no such child, or that it was killed.
pub fn enter_namespace(cli: &Cli, config: &Config) -> Result<(), Failure> {
    if Caller::of_process()? != Caller::User || !cli.command.as_ref().is_some_and(changes_files) {
        return Ok(());
    }
    // A store whose mappings cannot be read is for the command to complain of.
    let mappings = store(config).ok().and_then(|store| store.mappings().ok());
    let Some(mappings) = mappings.filter(|mappings| !mappings.is_identity()) else { return Ok(()) };
    if mappings.uids.root().is_none() || mappings.gids.root().is_none() {
        return Err(Failure::from(NO_ROOT.to_owned()));
    }
    let failed = |error: io::Error| {
        let hint = namespace_hint(&error);
        Failure::from(format!("running as root of a user namespace: {}{hint}", reason(&error)))
    };
    match userns::fork_into_namespace().map_err(failed)? {
        Side::Inside => Ok(()),
        Side::Outside(outside) => {
            if let Err(failure) = map_ids(&outside, config, &mappings) {
                outside.give_up().map_err(failed)?;
                return Err(failure);
            }
            // The child tells what it leaves. Without this it would be killed when this process dies.
            signals::forward_ends(outside.child()).map_err(failed)?;
            match outside.serve(|request| helpers(config).answer(request)).map_err(failed)? {
                Ended::Exited(code) => std::process::exit(code),
                Ended::Killed(signal) if signals::is_end(signal) => signals::end_by(signal),
                Ended::Killed(signal) => Err(Failure::from(format!("killed by signal {signal}"))),
            }
        }
    }
}

/// Whether the command makes, removes or looks into files of layers and images.
fn changes_files(command: &Command) -> bool {
    match command {
        Command::Create(_)
        | Command::Pull(_)
        | Command::Limit(_)
        | Command::Diff(_)
        | Command::Commit(_)
        | Command::Delete(_)
        | Command::Clean(_)
        | Command::DeleteStore
        | Command::Mount(_)
        | Command::Umount(_)
        | Command::Check(_)
        | Command::GenerateVolumeSizeMetadata(_) => true,
        Command::InitStore(_)
        | Command::Stats(_)
        | Command::List(_)
        | Command::Inspect(_)
        | Command::Usage(_)
        | Command::Doctor(_)
        | Command::Config(_)
        | Command::Capacity
        | Command::FlushVolumes
        | Command::Unknown(_)
        | Command::Version(_) => false,
    }
}

/// What the kernel means by its refusal (user_namespaces(7)).
fn namespace_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "; the sysctl user.max_user_namespaces says how many there may be",
        Some(libc::EPERM | libc::EACCES) => {
            "; users may have none here: see the sysctls kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns, and in a container its seccomp rules"
        }
        Some(libc::EINVAL | libc::ENOSYS) => "; the kernel has none",
        _ => "",
    }
}

fn map_ids(outside: &Outside, config: &Config, mappings: &IdMappings) -> Result<(), Failure> {
    let uids = Setter { kind: "uid", program: &config.newuidmap_bin, name: "newuidmap" };
    let gids = Setter { kind: "gid", program: &config.newgidmap_bin, name: "newgidmap" };
    uids.set(outside.child(), &mappings.uids)?;
    gids.set(outside.child(), &mappings.gids)
}

/// A program that may set the ids of a user's namespace.
struct Setter<'a> {
    kind: &'static str,
    program: &'a Path,
    /// What it is called where nobody gives it another name.
    name: &'static str,
}

impl Setter<'_> {
    fn set(&self, child: i32, map: &IdMap) -> Result<(), Failure> {
        let mut program = spawning::program(self.program);
        program.arg(child.to_string()).stdin(Stdio::null());
        for range in map.ranges() {
            program.args([range.namespace, range.host, range.size].map(|number| number.to_string()));
        }
        self.run(program).map_err(|reason| {
            Failure::from(format!("setting {} mapping: {}, {reason}", self.kind, self.program.display()))
        })
    }

    fn run(&self, mut program: Program) -> Result<(), String> {
        let Output { status, stdout, stderr } = program.output().map_err(|error| self.not_started(&error))?;
        if status.success() {
            return Ok(());
        }
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"));
        Err(format!("{}: {how}{}", said.trim(), self.hint(&said)))
    }

    fn not_started(&self, error: &io::Error) -> String {
        let (name, flag) = (self.name, self.name);
        match error.kind() {
            io::ErrorKind::NotFound => format!("which was not found: install {name}, or name it with --{flag}-bin"),
            _ => reason(error),
        }
    }

    fn hint(&self, said: &str) -> String {
        let file = format!("/etc/sub{}", self.kind);
        if said.contains("not allowed") {
            return format!("; ids of a store that are not the caller's own must be given to it in {file}");
        }
        if rustix::thread::no_new_privs().is_ok_and(|is_set| is_set) {
            return format!("; {} may do no more than its caller, who runs with no_new_privs", self.name);
        }
        match program::find(self.program) {
            Some(program) if !program::has_setuid_bit(&program) && !program::has_capabilities(&program) => {
                format!("; {} has neither the setuid bit nor a file capability", program.display())
            }
            _ => String::new(),
        }
    }
}
