//! The program `drax`, which also answers to the name `tardis`.
//!
//! It is meant to carry the setuid bit, so it trusts nothing of its surroundings: [`harden`] comes before anything else,
//! arguments are read by [`arguments`] and nothing else, and a path is only the way to a descriptor (see [`image`]).
//!
//! In this version it acts for root alone, on XFS alone; everything else is refused in one sentence.
//!
//! Results go to stdout. So do errors, which is where grootfs reads them, and to stderr with `Error: ` before them,
//! which is where the original's later versions print them. Exit codes: 0 done, 1 failed, 3 the result could not be
//! written.

mod arguments;
mod commands;
mod error;
mod image;

use crate::sys;
use arguments::{Command, Invocation};
use error::HelperError;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

const HELP: &str = "\
Sets and reads the disk quota of a grootfs image. Called by grootfs; must be owned by root, with the setuid bit.

Usage:
  drax limit --disk-limit-bytes <bytes> --image-path <store>/images/<id>
  drax stats --volume-path <store>/images/<id>
";

/// Runs the helper on the arguments of this process.
pub fn run() -> ExitCode {
    let mut arguments = std::env::args_os();
    // Without this, argv[1] would be read from where the environment begins (CVE-2021-4034).
    let Some(program) = arguments.next() else {
        return ExitCode::FAILURE;
    };
    let arguments: Vec<OsString> = arguments.collect();
    let result = harden()
        .and_then(|()| Invocation::parse(arguments))
        .and_then(|invocation| perform(invocation, &arguments::base_name(&program)));
    match result {
        Ok(output) => print(&output),
        Err(error) => fail(&error),
    }
}

/// Cuts the process off from whoever started it.
fn harden() -> Result<(), HelperError> {
    let failed = HelperError::Harden;
    sys::open_standard_descriptors().map_err(failed)?;
    sys::close_other_descriptors().map_err(failed)?;
    sys::clear_environment().map_err(failed)?;
    sys::forbid_dumps().map_err(failed)?;
    sys::set_umask(0o022);
    Ok(())
}

fn perform(invocation: Invocation, program: &str) -> Result<String, HelperError> {
    match invocation.command {
        Command::Help => Ok(HELP.to_owned()),
        Command::Version => Ok(format!("{program} version {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Limit { image_path, bytes } => {
            check_caller(program)?;
            commands::limit(&image_path, bytes)
        }
        Command::Stats { image_path } => {
            check_caller(program)?;
            commands::stats(&image_path)
        }
    }
}

/// Only with root's rights can anything be done here, and only root itself is trusted with it so far.
fn check_caller(program: &str) -> Result<(), HelperError> {
    if sys::effective_uid() != 0 {
        return Err(HelperError::NotPrivileged { program: program.to_owned() });
    }
    match sys::real_uid() {
        0 => Ok(()),
        uid => Err(HelperError::OnlyRoot { program: program.to_owned(), uid }),
    }
}

fn print(output: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output.as_bytes()).and_then(|()| stdout.flush()) {
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
