//! The setuid helpers, for callers who may not set limits themselves.
//!
//! Root never needs one. Which program it is, is the caller's to say; it needs the setuid bit, and is trusted with nothing
//! but the caller's own images (see the crate `drax`).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use rustix::fs::{Access, access};
use serde::Deserialize;

use super::Usage;
use crate::sys::path_error::{OnPath, PathError};

/// The programs that set and read limits on behalf of a caller who may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helpers {
    /// For XFS: a path, or a name to be looked up in `$PATH`.
    pub tardis: PathBuf,
    /// The same for btrfs.
    pub drax: PathBuf,
}

impl Helpers {
    /// The helper for XFS.
    pub(super) fn tardis(&self) -> Helper<'_> {
        Helper { name: "tardis", program: &self.tardis }
    }

    /// The helper for btrfs.
    pub(super) fn drax(&self) -> Helper<'_> {
        Helper { name: "drax", program: &self.drax }
    }
}

/// Why a helper did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// There is no such program, or it may not be run.
    #[error("{0} was not found in the $PATH")]
    NotFound(&'static str),
    /// It would have no more rights than the caller.
    #[error("missing the setuid bit on {0}")]
    NoSetuidBit(&'static str),
    /// It could not be started.
    #[error(transparent)]
    Start(PathError),
    /// It failed.
    #[error("{said}: {how}")]
    Failed {
        /// What it printed.
        said: String,
        /// How it ended.
        how: String,
    },
    /// Its answer makes no sense.
    #[error("{0} answered `{1}`, which is no disk usage")]
    Answer(&'static str, String),
}

/// One helper program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Helper<'a> {
    name: &'static str,
    program: &'a Path,
}

impl Helper<'_> {
    /// Runs a command of the helper and returns what it prints. Its own log goes to ours.
    pub(super) fn run<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<String, HelperError> {
        let program = self.find()?;
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null());
        let output = command.output().map_err(|e| HelperError::Start(PathError::new("run", &program, e)))?;
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        tracing::debug!(helper = self.name, %status, stderr = stderr.trim(), "helper-ended");
        if status.success() {
            return Ok(stdout.into_owned());
        }
        Err(HelperError::Failed { said: said(&stdout, &stderr), how: how(status) })
    }

    /// Runs a command that prints disk usage as JSON.
    pub(super) fn usage<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<Usage, HelperError> {
        let answer = self.run(arguments)?;
        let parsed: Answer =
            serde_json::from_str(&answer).map_err(|_| HelperError::Answer(self.name, answer.trim().to_owned()))?;
        let DiskUsage { total_bytes_used, exclusive_bytes_used, quota_size_bytes, committed_space_bytes } =
            parsed.disk_usage;
        Ok(Usage {
            total: total_bytes_used,
            exclusive: exclusive_bytes_used,
            quota: quota_size_bytes,
            committed: committed_space_bytes,
        })
    }

    fn find(self) -> Result<PathBuf, HelperError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = candidates(self.program, &path).find(|program| is_program(program));
        let program = found.ok_or(HelperError::NotFound(self.name))?;
        if has_setuid_bit(&program) { Ok(program) } else { Err(HelperError::NoSetuidBit(self.name)) }
    }
}

/// What helpers print as stats. Those of v0.30 print the first two.
#[derive(Deserialize)]
struct Answer {
    disk_usage: DiskUsage,
}

#[derive(Deserialize)]
struct DiskUsage {
    total_bytes_used: u64,
    exclusive_bytes_used: u64,
    #[serde(default)]
    quota_size_bytes: u64,
    #[serde(default)]
    committed_space_bytes: u64,
}

/// Where a program may be: a name without a slash is looked for in `path`, as the shell does.
fn candidates(program: &Path, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    let is_name = program.components().count() == 1 && !program.has_root();
    let directories = if is_name { std::env::split_paths(path).collect() } else { vec![PathBuf::new()] };
    let program = program.to_owned();
    directories.into_iter().map(move |directory| directory.join(&program))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn has_setuid_bit(path: &Path) -> bool {
    const SETUID: u32 = 0o4000;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & SETUID != 0)
}

/// What a failed helper has to say. Errors are on standard output, where versions differ in logging as well; the latest
/// of the original say it on standard error.
fn said(stdout: &str, stderr: &str) -> String {
    let is_log = |line: &&str| line.starts_with('{');
    let said: Vec<&str> = stdout.lines().map(str::trim).filter(|line| !line.is_empty() && !is_log(line)).collect();
    if !said.is_empty() {
        return said.join(" ");
    }
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_log(line)).unwrap_or_default();
    last.strip_prefix("Error: ").unwrap_or(last).to_owned()
}

/// In the words of the original.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The path of something in the store as a helper takes it, which follows no links.
pub(super) fn without_links(path: &Path) -> Result<PathBuf, PathError> {
    fs::canonicalize(path).on("resolve", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of a test's own. Another process writes it: what this one has open for writing is inherited by what
    /// other tests start meanwhile, and cannot be run.
    fn script(directory: &Path, mode: u32, text: &str) -> PathBuf {
        let path = directory.join("helper");
        let text = format!("#!/bin/sh\n{text}");
        let write = ["-c", "printf '%s\n' \"$0\" >\"$1\"", &text].map(OsStr::new);
        assert!(Command::new("sh").args(write).arg(&path).status().unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
        Helper { name: "tardis", program }.run(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_that_is_not_there_or_may_not_be_run_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let plain = script(directory.path(), 0o4644, "");
        for program in [plain.as_path(), Path::new("/no/such/tardis"), Path::new("no-such-tardis"), directory.path()] {
            assert_eq!(run(program, &[]), Err("tardis was not found in the $PATH".to_owned()), "{}", program.display());
        }
    }

    #[test]
    fn only_names_are_looked_up() {
        let places = |program: &str| -> Vec<PathBuf> { candidates(Path::new(program), OsStr::new("/a:/b")).collect() };
        assert_eq!(places("drax"), [Path::new("/a/drax"), Path::new("/b/drax")]);
        assert_eq!(places("/opt/drax"), [Path::new("/opt/drax")]);
        assert_eq!(places("./drax"), [Path::new("./drax")]);
        assert_eq!(places("bin/drax"), [Path::new("bin/drax")]);
    }

    #[test]
    fn it_needs_the_setuid_bit() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), 0o755, "");
        assert_eq!(run(&program, &[]), Err("missing the setuid bit on tardis".to_owned()));
    }

    #[test]
    fn it_may_say_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), 0o4755, "");
        assert_eq!(run(&program, &["limit"]), Ok(String::new()));
    }

    #[test]
    fn what_it_says_is_told_without_its_log() {
        assert_eq!(said("{\"timestamp\":1}\n it failed\n", "Error: it failed\n"), "it failed");
        assert_eq!(said("{\"timestamp\":1}\n", "{\"timestamp\":1}\nError: it failed\n"), "it failed");
        assert_eq!(said("", ""), "");
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), 0o4755, "echo $1 $2 failed; exit 3");
        assert_eq!(run(&program, &["a", "b"]), Err("a b failed: exit status 3".to_owned()));
        let program = script(directory.path(), 0o4755, "kill -KILL $$");
        assert_eq!(run(&program, &[]), Err(": killed by signal 9".to_owned()));
    }

    #[test]
    fn usage_is_read_in_the_shape_of_both_versions() {
        let directory = tempfile::tempdir().unwrap();
        let usage = |answer: &str| {
            let program = script(directory.path(), 0o4755, &format!("printf '%s' '{answer}'"));
            Helper { name: "tardis", program: &program }.usage(["stats"]).map_err(|error| error.to_string())
        };
        let old = r#"{"disk_usage":{"total_bytes_used":9,"exclusive_bytes_used":4}}"#;
        assert_eq!(usage(old), Ok(Usage { total: 9, exclusive: 4, ..Usage::default() }));
        let new = r#"{"disk_usage":{"total_bytes_used":9,"exclusive_bytes_used":4,"quota_size_bytes":45,"committed_space_bytes":50}}"#;
        assert_eq!(usage(new), Ok(Usage { total: 9, exclusive: 4, quota: 45, committed: 50 }));
        assert_eq!(usage("nothing"), Err("tardis answered `nothing`, which is no disk usage".to_owned()));
    }
}
