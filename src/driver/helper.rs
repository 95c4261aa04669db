//! The setuid helpers, for callers who may not set limits themselves.
//!
//! Root never needs one. The caller chooses the program; it needs the setuid bit, and is trusted with nothing
//! but the caller's own images (see the crate `drax`). In a user namespace the setuid bit does nothing, so there the process
//! outside is asked to run it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use serde::{Deserialize, Serialize};

use super::{InodeUsage, Usage};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::program;
use crate::sys::spawning;
use crate::sys::userns;

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
        self.of_kind(HelperKind::Tardis)
    }

    /// The same for btrfs.
    pub(super) fn drax(&self) -> Helper<'_> {
        self.of_kind(HelperKind::Drax)
    }

    /// What a process in a user namespace is answered that asks for a helper to be run.
    pub fn answer(&self, request: &[u8]) -> Vec<u8> {
        let answer = serde_json::from_slice(request).map_err(|error| error.to_string());
        let answer = answer.and_then(|HelperRequest { helper, arguments }| {
            self.of_kind(helper).run_here(&arguments).map_err(|error| error.to_string())
        });
        serde_json::to_vec(&answer).unwrap_or_default()
    }

    fn of_kind(&self, kind: HelperKind) -> Helper<'_> {
        let program = match kind {
            HelperKind::Tardis => &self.tardis,
            HelperKind::Drax => &self.drax,
        };
        Helper { kind, program }
    }
}

/// What a process in a user namespace asks for. The answer is a `Result<String, String>`.
#[derive(Deserialize, Serialize)]
struct HelperRequest {
    helper: HelperKind,
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum HelperKind {
    Tardis,
    Drax,
}

impl HelperKind {
    fn name(self) -> &'static str {
        match self {
            HelperKind::Tardis => "tardis",
            HelperKind::Drax => "drax",
        }
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
    /// The process outside of this one's user namespace could not have it do its work.
    #[error("{0}")]
    Outside(String),
    /// Its answer makes no sense.
    #[error("{0} answered `{1}`, which is no disk usage")]
    Answer(&'static str, String),
}

/// One helper program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Helper<'a> {
    kind: HelperKind,
    program: &'a Path,
}

impl Helper<'_> {
    /// Runs a command of the helper and returns what it prints. Its own log goes to ours.
    pub(super) fn run<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<String, HelperError> {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let request = HelperRequest { helper: self.kind, arguments };
        let outside = |reason: String| HelperError::Outside(format!("having {} run: {reason}", self.kind.name()));
        let encoded = serde_json::to_vec(&request).map_err(|error| outside(error.to_string()))?;
        let Some(answer) = userns::ask_parent(&encoded) else { return self.run_here(&request.arguments) };
        let answer = answer.map_err(|error| outside(error.to_string()))?;
        let answer: Result<String, String> = serde_json::from_slice(&answer).map_err(|e| outside(e.to_string()))?;
        answer.map_err(HelperError::Outside)
    }

    fn run_here(self, arguments: &[OsString]) -> Result<String, HelperError> {
        let name = self.kind.name();
        let program = program::find(self.program).ok_or(HelperError::NotFound(name))?;
        if !program::has_setuid_bit(&program) {
            return Err(HelperError::NoSetuidBit(name));
        }
        let mut command = spawning::program(&program);
        command.args(arguments).stdin(Stdio::null());
        let output = command.output().map_err(|e| HelperError::Start(PathError::new("run", &program, e)))?;
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        tracing::debug!(helper = name, %status, stderr = stderr.trim(), "helper-ended");
        if status.success() {
            return Ok(stdout.into_owned());
        }
        Err(HelperError::Failed { said: said(&stdout, &stderr), how: how(status) })
    }

    /// Runs a command that prints disk usage as JSON.
    pub(super) fn usage<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Result<Usage, HelperError> {
        let answer = self.run(arguments)?;
        let parsed: Answer = serde_json::from_str(&answer)
            .map_err(|_| HelperError::Answer(self.kind.name(), answer.trim().to_owned()))?;
        let usage = parsed.disk_usage;
        let inodes =
            usage.exclusive_inodes_used.map(|used| InodeUsage { used, limit: usage.quota_inodes.unwrap_or_default() });
        Ok(Usage {
            total: usage.total_bytes_used,
            exclusive: usage.exclusive_bytes_used,
            quota: usage.quota_size_bytes,
            committed: usage.committed_space_bytes,
            inodes,
        })
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
    exclusive_inodes_used: Option<u64>,
    quota_inodes: Option<u64>,
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
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

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
        Helper { kind: HelperKind::Tardis, program }.run(arguments).map_err(|error| error.to_string())
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
    fn a_process_in_a_namespace_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), 0o4755, "echo $1; exit $2");
        let helpers = Helpers { tardis: "/no/such/tardis".into(), drax: program };
        let answer = |request: &str| -> Result<String, String> {
            serde_json::from_slice(&helpers.answer(request.as_bytes())).unwrap()
        };
        let request = |helper, arguments: &[&str]| {
            let arguments = arguments.iter().map(OsString::from).collect();
            serde_json::to_string(&HelperRequest { helper, arguments }).unwrap()
        };
        assert_eq!(answer(&request(HelperKind::Drax, &["done", "0"])), Ok("done\n".to_owned()));
        assert_eq!(answer(&request(HelperKind::Drax, &["failed", "3"])), Err("failed: exit status 3".to_owned()));
        let missing = Err("tardis was not found in the $PATH".to_owned());
        assert_eq!(answer(&request(HelperKind::Tardis, &[])), missing);
        assert!(answer("rm -rf /").is_err());
    }

    #[test]
    fn usage_is_read_in_the_shape_of_both_versions() {
        let directory = tempfile::tempdir().unwrap();
        let usage = |answer: &str| {
            let program = script(directory.path(), 0o4755, &format!("printf '%s' '{answer}'"));
            Helper { kind: HelperKind::Tardis, program: &program }.usage(["stats"]).map_err(|error| error.to_string())
        };
        let old = r#"{"disk_usage":{"total_bytes_used":9,"exclusive_bytes_used":4}}"#;
        assert_eq!(usage(old), Ok(Usage { total: 9, exclusive: 4, ..Usage::default() }));
        let new = r#"{"disk_usage":{"total_bytes_used":9,"exclusive_bytes_used":4,"quota_size_bytes":45,"committed_space_bytes":50}}"#;
        assert_eq!(usage(new), Ok(Usage { total: 9, exclusive: 4, quota: 45, committed: 50, inodes: None }));
        let with_inodes = new.replace("}}", r#","exclusive_inodes_used":7,"quota_inodes":10000}}"#);
        assert_eq!(usage(&with_inodes).map(|usage| usage.inodes), Ok(Some(InodeUsage { used: 7, limit: 10_000 })));
        assert_eq!(usage("nothing"), Err("tardis answered `nothing`, which is no disk usage".to_owned()));
    }
}
