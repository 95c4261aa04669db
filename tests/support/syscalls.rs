//! Counts the system calls of a command with `strace`.

use std::collections::BTreeMap;
use std::process::Command;

use super::command::run;

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
