//! Runs programs and keeps what they said.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::programs::grootfs_binary;

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
}

impl Outcome {
    /// Standard output of a program that must have succeeded in silence on standard error.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "expected success: {self:?}");
        assert_eq!(self.stderr, "", "expected a silent standard error: {self:?}");
        self.stdout
    }

    /// The message of a command that must have failed as every grootfs command does: exit code 1, one line on
    /// standard output, nothing on standard error.
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.code, Some(1), "expected exit code 1: {self:?}");
        assert_eq!(self.stderr, "", "expected a silent standard error: {self:?}");
        let line = self.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {self:?}"));
        assert!(!line.is_empty() && !line.contains('\n'), "expected one line: {self:?}");
        line.to_owned()
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Outcome {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

/// What a program under test inherits. The rest of the caller's environment (proxies, logins, where the dynamic loader
/// searches) differs between machines and is set by the tests that are about it.
const INHERITED: [&str; 2] = ["PATH", "TMPDIR"];

/// A program in a clean environment, with no input. grootfs there does not read the configuration of this machine.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(inherited).env("GROOTFS_CONFIG", "").stdin(Stdio::null());
    command
}

/// The built binary, in a clean environment, with no input.
pub fn grootfs() -> Command {
    program(grootfs_binary())
}

/// The same command run by `wrapper` (`strace`, `sh -c`), in a clean environment and with what the command sets of it.
pub fn wrapped(wrapper: &[impl AsRef<OsStr>], command: &Command) -> Command {
    let (first, flags) = wrapper.split_first().expect("a program");
    let mut wrapped = program(first);
    wrapped.args(flags).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Runs a prepared command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    if command.get_program() == grootfs_binary() {
        crate::logs::collect(&output.stderr);
    }
    output.into()
}

/// Runs a prepared command, which must succeed, to its end, and returns its largest resident set in KiB.
#[track_caller]
pub fn peak_memory(command: &mut Command) -> u64 {
    let (peak, is_success) = peak_memory_of(command);
    assert!(is_success);
    peak
}

/// Runs a prepared command to its end, and returns its largest resident set in KiB and whether it succeeded.
#[track_caller]
pub fn peak_memory_of(command: &mut Command) -> (u64, bool) {
    let mut child = command.stdout(Stdio::null()).spawn().expect("started");
    // The kernel's own record of the peak, read until the process is gone.
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("waited for").is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (peak, child.wait().expect("waited for").success())
}

/// Runs another program, which must succeed, and returns its standard output.
#[track_caller]
pub fn succeed(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let outcome = run(Command::new(program).args(arguments).env("GROOTFS_CONFIG", "").stdin(Stdio::null()));
    assert_eq!(outcome.code, Some(0), "{program} failed: {outcome:?}");
    outcome.stdout
}
