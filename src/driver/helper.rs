//! The setuid helpers, for callers who may not set limits themselves.
//!
//! Root never needs one. Which program it is, is the caller's to say; it needs the setuid bit, and is trusted with nothing
//! but the caller's own images (see the crate `drax`).
//!
//! The setuid bit means nothing in a user namespace. A process in one asks its parent outside to run the helper.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::Usage;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::program;
use crate::sys::userns::Inside;

/// The programs that set and read limits on behalf of a caller who may not.
#[derive(Clone)]
pub struct Helpers {
    tardis: PathBuf,
    drax: PathBuf,
    parent: Option<Parent>,
}

/// The parent, outside of the user namespace that this process is in; one request at a time.
pub type Parent = Arc<Mutex<Inside>>;

impl Helpers {
    /// The helper for XFS and that for btrfs: paths, or names to be looked up in `$PATH`. `parent` is to run them where
    /// this process cannot.
    pub fn new(tardis: PathBuf, drax: PathBuf, parent: Option<Parent>) -> Self {
        Helpers { tardis, drax, parent }
    }

    /// The helper for XFS.
    pub(super) fn tardis(&self) -> Helper<'_> {
        Helper { name: TARDIS, program: &self.tardis, parent: self.parent.as_ref() }
    }

    /// The helper for btrfs.
    pub(super) fn drax(&self) -> Helper<'_> {
        Helper { name: DRAX, program: &self.drax, parent: self.parent.as_ref() }
    }

    /// Does, for a child process in a user namespace, what it asks for.
    pub fn answer(&self, request: &[u8]) -> Vec<u8> {
        let mut words = request.split(|byte| *byte == 0).map(OsStr::from_bytes);
        let helper = match words.next().and_then(OsStr::to_str) {
            Some(TARDIS) => self.tardis(),
            Some(DRAX) => self.drax(),
            _ => return Reply::Failed("there is no such helper".to_owned()).to_bytes(),
        };
        match helper.run_here(words) {
            Ok(output) => Reply::Done(output).to_bytes(),
            Err(error) => Reply::Failed(error.to_string()).to_bytes(),
        }
    }
}

impl fmt::Debug for Helpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tardis, drax, parent } = self;
        f.debug_struct("Helpers")
            .field("tardis", tardis)
            .field("drax", drax)
            .field("by_parent", &parent.is_some())
            .finish()
    }
}

const TARDIS: &str = "tardis";
const DRAX: &str = "drax";

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
    /// One of the above, as the parent says it.
    #[error("{0}")]
    ToldByParent(String),
    /// The parent could not be asked.
    #[error("asking the process outside of the user namespace to run {0}: {1}")]
    Ask(&'static str, std::io::Error),
}

/// One helper program.
#[derive(Clone, Copy)]
pub(super) struct Helper<'a> {
    name: &'static str,
    program: &'a Path,
    parent: Option<&'a Parent>,
}

impl Helper<'_> {
    /// Runs a command of the helper and returns what it prints.
    pub(super) fn run<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<String, HelperError> {
        match self.parent {
            Some(parent) => self.ask(parent, arguments),
            None => self.run_here(arguments),
        }
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

    /// The log of the helper goes to ours.
    fn run_here<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<String, HelperError> {
        let program = program::find(self.program).ok_or(HelperError::NotFound(self.name))?;
        if !program::has_setuid_bit(&program) {
            return Err(HelperError::NoSetuidBit(self.name));
        }
        let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output();
        let Output { status, stdout, stderr } =
            output.map_err(|e| HelperError::Start(PathError::new("run", &program, e)))?;
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        tracing::debug!(helper = self.name, %status, stderr = stderr.trim(), "helper-ended");
        if status.success() {
            return Ok(stdout.into_owned());
        }
        Err(HelperError::Failed { said: said(&stdout, &stderr), how: how(status) })
    }

    fn ask<A: AsRef<OsStr>>(
        self,
        parent: &Parent,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String, HelperError> {
        let mut request = OsString::from(self.name);
        for argument in arguments {
            request.push("\0");
            request.push(argument);
        }
        // A thread that panicked in the middle of asking has taken the process with it.
        let parent = parent.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = parent.ask(&request.into_vec()).map_err(|error| HelperError::Ask(self.name, error))?;
        match Reply::from_bytes(&reply) {
            Reply::Done(output) => Ok(output),
            Reply::Failed(error) => Err(HelperError::ToldByParent(error)),
        }
    }
}

/// What a parent answers.
enum Reply {
    Done(String),
    Failed(String),
}

impl Reply {
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Reply::Done(output) => [b"+", output.as_bytes()].concat(),
            Reply::Failed(error) => [b"-", error.as_bytes()].concat(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((b'+', output)) => Reply::Done(String::from_utf8_lossy(output).into_owned()),
            _ => Reply::Failed(String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned()),
        }
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
    use std::os::unix::fs::PermissionsExt;

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
        Helper { name: TARDIS, program, parent: None }.run(arguments).map_err(|error| error.to_string())
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
    fn what_a_child_asks_for_is_done_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), 0o4755, "echo \"$#\" \"$1\"; test \"$1\" = a");
        let helpers = Helpers::new(program, PathBuf::from("/no/such/drax"), None);
        let answer = |request: &[u8]| String::from_utf8(helpers.answer(request)).unwrap();
        assert_eq!(answer(b"tardis\0a\0b c"), "+2 a\n");
        assert_eq!(answer(b"tardis\0b"), "-1 b: exit status 1");
        assert_eq!(answer(b"drax\0limit"), "-drax was not found in the $PATH");
        assert_eq!(answer(b"/bin/sh\0-c\0true"), "-there is no such helper");
        assert_eq!(answer(b""), "-there is no such helper");
    }

    #[test]
    fn usage_is_read_in_the_shape_of_both_versions() {
        let directory = tempfile::tempdir().unwrap();
        let usage = |answer: &str| {
            let program = script(directory.path(), 0o4755, &format!("printf '%s' '{answer}'"));
            Helper { name: TARDIS, program: &program, parent: None }.usage(["stats"]).map_err(|error| error.to_string())
        };
        let old = r#"{"disk_usage":{"total_bytes_used":9,"exclusive_bytes_used":4}}"#;
        assert_eq!(usage(old), Ok(Usage { total: 9, exclusive: 4, ..Usage::default() }));
        let new = r#"{"disk_usage":{"total_bytes_used":9,"exclusive_bytes_used":4,"quota_size_bytes":45,"committed_space_bytes":50}}"#;
        assert_eq!(usage(new), Ok(Usage { total: 9, exclusive: 4, quota: 45, committed: 50 }));
        assert_eq!(usage("nothing"), Err("tardis answered `nothing`, which is no disk usage".to_owned()));
    }
}
