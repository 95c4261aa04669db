//! The program `drax`, which also answers to the name `tardis`.
//!
//! It carries the setuid bit, so it trusts nothing of its surroundings: `harden` comes before anything else, arguments
//! are read by `arguments` and nothing else. Then it becomes the user who called in all that concerns files, keeping
//! the one capability that quotas need (`caller`). A path is only the way to a descriptor (`directory`), which has to
//! be of one of a few forms (`store_path`) and in a store of that user's (`store`). `docs/drax-security.md` has the
//! rules and the tests that pin them.
//!
//! Results go to stdout. So do errors, which is where grootfs reads them, and to stderr with `Error: ` before them,
//! which is where the original's later versions print them. Exit codes: 0 done, 1 failed, 3 the result could not be
//! written.

mod arguments;
mod btrfs;
mod caller;
mod directory;
mod error;
mod log;
mod store;
mod store_path;
mod usage;
mod whiteouts;
mod xfs;

use crate::sys;
use arguments::{Command, Invocation};
use caller::Caller;
use error::HelperError;
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use store_path::StorePath;

const HELP: &str = "\
Sets and reads the disk quota of grootfs images, for users who may not do so themselves. Called by grootfs; must be owned
by root, with the setuid bit. Acts on stores that belong to the caller.

Usage, on XFS:
  drax limit --disk-limit-bytes <bytes> [--disk-limit-inodes <inodes>] --image-path <store>/images/<id>
  drax stats --volume-path <store>/images/<id>
  drax handle-opqwhiteouts --opaque-path <store>/volumes/<layer>/<directory>...

Usage, on btrfs:
  drax limit --disk-limit-bytes <bytes> [--exclude-image-from-quota] --volume-path <store>/images/<id>/rootfs
  drax stats [--force-sync] [--json] --volume-path <store>/images/<id>/rootfs
  drax destroy --volume-path <store>/images/<id>/rootfs
  drax list <store>/images/<id>
  drax collect --store-path <store>
";

/// The name under which the helper is known to callers who look for log lines.
const LOGGING_NAME: &str = "tardis";

/// Runs the helper on the arguments of this process.
pub fn run() -> ExitCode {
    std::panic::set_hook(Box::new(end_after_panic));
    let mut arguments = std::env::args_os();
    // Without this, argv[1] would be read from where the environment begins (CVE-2021-4034).
    let Some(program) = arguments.next() else {
        return ExitCode::FAILURE;
    };
    let program = arguments::base_name(&program);
    let arguments: Vec<OsString> = arguments.collect();
    let invocation = match harden().and_then(|()| Invocation::parse(arguments)) {
        Ok(invocation) => invocation,
        Err(error) => return fail(&error),
    };
    match perform(&invocation.command, &program) {
        Ok(output) => print(&output),
        Err(error) => {
            if program == LOGGING_NAME {
                log_failure(&invocation, &error);
            }
            fail(&error)
        }
    }
}

/// A defect of this program must not have it go on with its rights, so nothing is unwound.
fn end_after_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    sys::exit_with(&format!("internal error{place}; this is a defect of drax, please report it\n"));
}

/// Cuts the process off from whoever started it.
fn harden() -> Result<(), HelperError> {
    /// More than the path to a directory and what is in it ever need.
    const OPEN_FILES: u64 = 256;
    let failed = HelperError::Harden;
    sys::allow_open_files(OPEN_FILES);
    sys::open_standard_descriptors().map_err(failed)?;
    sys::close_other_descriptors().map_err(failed)?;
    sys::clear_environment().map_err(failed)?;
    sys::forbid_dumps().map_err(failed)?;
    sys::block_signals().map_err(failed)?;
    sys::set_umask(0o022);
    Ok(())
}

fn perform(command: &Command, program: &str) -> Result<Vec<u8>, HelperError> {
    let caller = || Caller::assume(program);
    let text = match command {
        Command::Help => HELP.to_owned(),
        Command::Version => format!("{program} version {}\n", env!("CARGO_PKG_VERSION")),
        Command::LimitXfs { image, limit } => xfs::limit(&caller()?, image, *limit)?,
        Command::LimitBtrfs { volume, limit } => btrfs::limit(&caller()?, volume, *limit)?,
        Command::Stats { path, sync, form } if StorePath::is_image_subvolume(path) => {
            btrfs::stats(&caller()?, path, *sync, *form)?
        }
        Command::Stats { path, .. } => xfs::stats(&caller()?, path)?,
        Command::Destroy { volume } => btrfs::destroy(&caller()?, volume)?,
        Command::List { path } => return btrfs::list(&caller()?, path),
        Command::HandleWhiteouts { paths } => whiteouts::make_opaque(&caller()?, paths)?,
        Command::Collect { store } => btrfs::collect(&caller()?, store)?,
    };
    Ok(text.into_bytes())
}

fn print(output: &[u8]) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    }
}

fn fail(error: &HelperError) -> ExitCode {
    // Where nobody listens there is nobody to tell; the exit code remains.
    let _ = writeln!(io::stdout(), "{error}");
    let _ = writeln!(io::stderr(), "Error: {error}");
    ExitCode::FAILURE
}

/// A limit is logged on both streams, stats on stderr alone: their stdout is for the answer.
fn log_failure(invocation: &Invocation, error: &HelperError) {
    let name = match invocation.command {
        Command::LimitXfs { .. } => "limit",
        Command::Stats { .. } => "stats",
        _ => return,
    };
    let line = invocation.timestamps.failed(name, &error.to_string());
    if name == "limit" {
        let _ = io::stdout().write_all(line.as_bytes());
    }
    let _ = io::stderr().write_all(line.as_bytes());
}
