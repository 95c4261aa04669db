//! Standard output: where results and error messages go. What is said on standard error is for people alone.

use std::io::{self, IsTerminal, Write};

use super::Failure;
use super::failure::OneLine;
use crate::sys::path_error::reason;
use crate::sys::stdout;

/// Prints a result, one line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints text as it is.
///
/// # Errors
/// When the text cannot be written: on a full disk, to a pipe that nobody reads any more, or because standard output was
/// closed from the start. An answer that nobody gets is a failure of the command, whatever the command.
pub fn print(text: &str) -> Result<(), Failure> {
    stdout::write_all(text.as_bytes())
        .map_err(|error| Failure::from(format!("write standard output: {}", reason(&error))))
}

/// Prints a document, one line of JSON.
pub(super) fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(document).map_err(|e| Failure::from(format!("encoding the result: {e}")))?;
    line(&json)
}

/// Tells people what may help: on standard error, if that is a terminal.
pub(super) fn hint(hint: &str) {
    if io::stderr().is_terminal() {
        // Nobody has to read it.
        let _ = writeln!(io::stderr(), "hint: {}", OneLine(hint));
    }
}

/// Tells people what they may want to know: on standard error, if that is a terminal.
pub(super) fn tell(kind: &str, lines: Vec<String>) {
    if lines.is_empty() || !io::stderr().is_terminal() {
        return;
    }
    for line in lines {
        let line = OneLine(&format!("grootfs: {kind}: {line}")).to_string();
        // Nobody has to read it.
        let _ = writeln!(io::stderr(), "{line}");
    }
}
