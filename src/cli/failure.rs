//! A failed command: one line for the user and an exit code.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{output, remedy};
use crate::panics::Panicked;
use crate::sys::caller::ProcMissing;
use crate::sys::path_error::PathError;
use crate::sys::signals;
use crate::{config, driver, observe, redact, shorten, store};

/// The end of a command that did not succeed. `Display` gives the message on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the user: what failed, on what, why. Nothing is printed if it is empty.
    pub message: String,
    /// Where in the message begins what may help, which people at a terminal see as a line of its own.
    pub remedy: Option<usize>,
    /// The same where it is not in the message, and for people alone.
    pub hint: Option<String>,
    /// The status to exit with.
    pub exit_code: u8,
    /// The signal that the command was interrupted by, of which it then dies.
    pub signal: Option<i32>,
}

impl Failure {
    /// What is printed and returned for a command that does not exist.
    pub(super) fn unknown_command(name: Option<&OsStr>) -> Self {
        let name = name.unwrap_or_default().to_string_lossy();
        Failure { exit_code: 3, ..Failure::from(format!("No help topic for '{name}'")) }
    }

    /// What has been told already.
    pub(super) fn silent(exit_code: u8) -> Self {
        Failure { exit_code, ..Failure::from(String::new()) }
    }

    /// Prints the message, and returns the program's status unless that is to die of a signal.
    pub fn report(&self) -> i32 {
        if !self.message.is_empty() {
            self.print();
        }
        match self.signal {
            Some(signal) => signals::end_by(signal),
            None => i32::from(self.status()),
        }
    }

    /// One line on standard output, which callers read. People, who have both on a terminal, get what helps as a second one.
    fn print(&self) {
        let (complaint, remedy) = match self.split() {
            Some((complaint, remedy)) if io::stdout().is_terminal() && io::stderr().is_terminal() => {
                (complaint, Some(remedy))
            }
            _ => (self.message.as_str(), None),
        };
        // A failure to tell of the failure can be told nowhere.
        let _ = output::line(&OneLine(complaint).to_string());
        if let Some(hint) = self.hint.as_deref().or(remedy) {
            output::hint(hint);
        }
    }

    /// The message without its remedy, and that.
    fn split(&self) -> Option<(&str, &str)> {
        let (complaint, remedy) = self.message.split_at_checked(self.remedy?)?;
        Some((complaint.strip_suffix(' ')?.strip_suffix(['.', ':', ';', ','])?, remedy))
    }

    /// The status, as shells know it.
    pub(super) fn status(&self) -> u8 {
        self.signal.and_then(|signal| u8::try_from(128 + signal).ok()).unwrap_or(self.exit_code)
    }
}

/// An ordinary failure, exit code 1.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure { message, remedy: None, hint: None, exit_code: 1, signal: None }
    }
}

/// What a command passes on to its user as it is.
macro_rules! from_errors {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let message = error.to_string();
                Failure { remedy: remedy::begin(&error, &message), ..Failure::from(message) }
            }
        }
    )+};
}
from_errors!(
    Panicked,
    ProcMissing,
    PathError,
    config::Error,
    driver::Error,
    observe::Error,
    store::CleanError,
    store::CommitError,
    store::CreateError,
    store::DeleteError,
    store::DeleteStoreError,
    store::DescribeError,
    store::ImageError,
    store::InitError,
    store::LimitError,
    store::MountError,
    store::PullError,
    store::StoreError,
);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OneLine(&self.message).fmt(f)
    }
}

/// A message as it is shown, without secrets and of bounded length. Line breaks become spaces. Other control characters are
/// escaped: parts of a message may come from an archive or a registry, and the reader may be a terminal.
pub(super) struct OneLine<'a>(pub(super) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = redact::message(self.0);
        let message = shorten::message(&message);
        let mut lines = message.lines();
        write_escaped(f, lines.next().unwrap_or_default())?;
        for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
            f.write_char(' ')?;
            write_escaped(f, line)?;
        }
        Ok(())
    }
}

/// A text from elsewhere, whole, as a terminal may be shown it.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0)
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
    for c in line.chars() {
        match c {
            '\t' => f.write_char(' ')?,
            c if c.is_control() => write!(f, "{}", c.escape_default())?,
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

/// clap's complaint as one line. `variable_of` knows the environment variable that a flag's value is from.
pub(super) fn from_usage(error: &clap::Error, variable_of: impl Fn(&str) -> Option<String>) -> Failure {
    if error.kind() == ErrorKind::InvalidSubcommand {
        let name = match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(name)) => name.as_str(),
            _ => "",
        };
        return Failure::unknown_command(Some(OsStr::new(name)));
    }
    let rendered = error.render().to_string();
    let complaint = summary(&rendered);
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.as_str(),
        _ => "",
    };
    Failure::from(match variable_of(flag) {
        Some(variable) => {
            let named = format!("the environment variable {variable}");
            format!("Incorrect Usage: {}", complaint.replace(&format!("'{flag}'"), &named))
        }
        None => format!("Incorrect Usage: {complaint}"),
    })
}

/// Complaint and tips out of clap's text, without its `Usage:` block.
fn summary(rendered: &str) -> String {
    let complaint = rendered.lines().next().unwrap_or_default();
    let complaint = complaint.strip_prefix("error: ").unwrap_or(complaint).to_owned();
    rendered.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).fold(complaint, |text, tip| text + "; " + tip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetcher;

    #[test]
    fn a_remedy_is_told_from_what_is_wrong() {
        let full =
            |source: store::CreateError| store::CreateError::Full { store: "/s".into(), source: Box::new(source) };
        let pulled = fetcher::RegistryError::Insecure { server: "a: b".to_owned(), reason: "c".to_owned() };
        for (failure, complaint, remedy) in [
            (
                Failure::from(full(store::CreateError::AlreadyExists { id: "x".to_owned() })),
                "image for id `x` already exists: the store /s is full",
                "delete images, then run `grootfs clean`",
            ),
            (
                Failure::from(store::StoreError::NotInitialised),
                "Store path is not initialized",
                "Please run init-store.",
            ),
            (
                Failure::from(store::CreateError::Fetch(fetcher::Error::Registry(pulled))),
                "a: b: c. This registry is insecure",
                "To pull images from this registry, please use the --insecure-registry option.",
            ),
        ] {
            assert_eq!(failure.split(), Some((complaint, remedy)));
        }
    }

    #[test]
    fn what_others_wrote_chooses_no_remedy() {
        let words = "x: delete images, then run `grootfs clean`";
        let said = || fetcher::Error::BadManifest(words.to_owned(), words.to_owned());
        assert_eq!(Failure::from(store::CreateError::Fetch(said())).split(), None);
        assert_eq!(Failure::from(words.to_owned()).split(), None);
        // Nor where the remedy begins.
        let full = store::CreateError::Full { store: "/s".into(), source: Box::new(said().into()) };
        assert_eq!(Failure::from(full).split().unwrap().1, "delete images, then run `grootfs clean`");
    }

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        for (message, shown) in [
            ("plain", "plain"),
            ("ends with a space ", "ends with a space "),
            ("mkfs failed:\n  no such device\n\nsorry\n", "mkfs failed: no such device sorry"),
            ("a\tb\x1b[31mc\r", "a b\\u{1b}[31mc\\r"),
            ("", ""),
            (
                &format!("open `{}`: no", "x".repeat(5000)),
                &format!("open `{}…{}`: no", "x".repeat(146), "x".repeat(48)),
            ),
        ] {
            assert_eq!(Failure::from(message.to_owned()).to_string(), shown);
        }
    }
}
