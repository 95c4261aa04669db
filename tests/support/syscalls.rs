//! Counts the system calls of a command with `strace`, or has them fail.

use std::collections::BTreeMap;
use std::process::Command;

use super::command::{Outcome, run};

/// How often each system call was made, by all processes and threads of a command together.
pub(crate) type SystemCalls = BTreeMap<String, u64>;

/// Runs a command under `strace -f -c`; it must succeed.
#[track_caller]
pub(crate) fn system_calls(command: &Command) -> SystemCalls {
    let table = tempfile::NamedTempFile::new().expect("temporary file");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-c", "-o"]).arg(table.path()).arg(command.get_program()).args(command.get_args());
    let outcome = run(&mut traced);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    parse(&std::fs::read_to_string(table.path()).expect("strace writes its table"))
}

/// Runs a command while `strace --inject` strikes it (`mkdir:error=ENOSPC:when=3`). Returns how it ended, and whether
/// the fault was met at all.
#[track_caller]
pub(crate) fn with_fault(command: &Command, fault: &str) -> (Outcome, bool) {
    let log = tempfile::NamedTempFile::new().expect("temporary file");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", &format!("inject={fault}"), "-o"]).arg(log.path());
    traced.arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
    let outcome = run(&mut traced);
    let log = std::fs::read(log.path()).expect("strace writes its log");
    let is_struck = String::from_utf8_lossy(&log).contains("(INJECTED)") || outcome.code.is_none();
    (outcome, is_struck)
}

/// Rows are `% time, seconds, usecs/call, calls, [errors,] name`; rules and the total come last.
fn parse(table: &str) -> SystemCalls {
    let rows = table.lines().skip(2).take_while(|line| !line.starts_with("---"));
    let calls: SystemCalls = rows
        .filter_map(|row| {
            let fields: Vec<&str> = row.split_whitespace().collect();
            Some((fields.last()?.to_string(), fields.get(3)?.parse().ok()?))
        })
        .collect();
    assert!(!calls.is_empty(), "cannot read strace's table:\n{table}");
    calls
}
