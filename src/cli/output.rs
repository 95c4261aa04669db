//! Standard output: where results and error messages go.

use std::io::{self, Write};

use super::Failure;
use crate::sys::path_error::reason;

/// Prints a result, one line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints text as it is. A reader who has gone away wants no more of it: not an error.
///
/// # Errors
/// When the text cannot be written, on a full disk say.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::from(format!("write standard output: {}", reason(&error))))
        }
        _ => Ok(()),
    }
}
