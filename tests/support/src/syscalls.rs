//! Counts the system calls of a command with `strace`, or has them fail.

use std::collections::BTreeMap;
use std::process::Command;

use crate::command::{Outcome, program, run, wrapped};

/// How often each system call was made, by all processes and threads of a command together, beyond what it takes to be
/// loaded and to print its version: how often the dynamic loader searches depends on the machine and its processor.
pub type SystemCalls = BTreeMap<String, u64>;

/// Counts the system calls of a command, which must succeed.
#[track_caller]
pub fn system_calls(command: &Command) -> SystemCalls {
    let mut version = program(command.get_program());
    let of_loading = count(version.arg("--version"));
    let mut calls = count(command);
    for (name, calls) in &mut calls {
        *calls = calls.saturating_sub(of_loading.get(name).copied().unwrap_or_default());
    }
    calls.retain(|_, calls| *calls > 0);
    calls
}

/// Runs a command under `strace -f -c`.
#[track_caller]
fn count(command: &Command) -> SystemCalls {
    let table = tempfile::NamedTempFile::new().expect("temporary file");
    let path = table.path().to_str().expect("a path of the test's");
    let outcome = run(&mut wrapped(&["strace", "-f", "-c", "-o", path], command));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    parse(&std::fs::read_to_string(table.path()).expect("strace writes its table"))
}

/// Runs a command while `strace --inject` strikes it (`mkdir:error=ENOSPC:when=3`). Returns how it ended, and whether
/// the fault was met at all.
#[track_caller]
pub fn with_fault(command: &Command, fault: &str) -> (Outcome, bool) {
    let log = tempfile::NamedTempFile::new().expect("temporary file");
    let path = log.path().to_str().expect("a path of the test's");
    let inject = format!("inject={fault}");
    let outcome = run(&mut wrapped(&["strace", "-f", "-e", &inject, "-o", path], command));
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
