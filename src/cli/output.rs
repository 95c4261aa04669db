//! Standard output: where results and error messages go.

use super::Failure;
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
