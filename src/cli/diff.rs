//! `grootfs diff`: what a container changed of its image.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;

use super::args::OutputArgs;
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::{Change, ChangeKind, ImageSelector};

/// The version of the JSON. A key that is added does not change it.
const SCHEMA: u32 = 1;

/// Which image, and how to print its changes.
#[derive(Debug, Args)]
#[command(
    override_usage = "grootfs [global options] diff [options] <id|image path>",
    after_long_help = "\
Prints one line for each path: A for what the container added, C for what it changed, D for what it deleted. Bytes of names \
that are no text are printed as \\xNN, control characters as \\u{N}, and a backslash as \\\\. Volumes of the image are not \
compared."
)]
pub(crate) struct DiffArgs {
    /// Id of the image, or its path <store>/images/<id>
    #[arg(value_name = "id|image path")]
    id: Option<String>,

    #[arg(hide = true)]
    extra: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    id: &'a str,
    changes: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    kind: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
}

/// Prints the changes, sorted by path.
pub(super) fn run(config: &Config, args: &DiffArgs) -> Result<(), Failure> {
    let (Some(id), []) = (&args.id, args.extra.as_slice()) else {
        return Err(Failure::from("id was not specified".to_owned()));
    };
    let (id, changes) = store(config)?.diff(ImageSelector(id))?;
    if args.output.json {
        let changes = changes.iter().map(Item::of).collect();
        return output::json(&Document { schema: SCHEMA, id: id.as_str(), changes });
    }
    let mut text = String::new();
    for Change { path, kind } in &changes {
        let letter = match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        let _ = writeln!(text, "{letter} {}", escaped(path));
    }
    output::print(&text)
}

impl Item {
    fn of(change: &Change) -> Self {
        let absolute = Path::new("/").join(&change.path);
        let bytes = absolute.as_os_str().as_bytes();
        Item {
            kind: match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Changed => "changed",
                ChangeKind::Deleted => "deleted",
            },
            path: String::from_utf8_lossy(bytes).into_owned(),
            path_base64: std::str::from_utf8(bytes).is_err().then(|| STANDARD.encode(bytes)),
        }
    }
}

/// An absolute path on one line, from which its bytes can be told.
fn escaped(path: &Path) -> String {
    let mut text = "/".to_owned();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn names_of_any_bytes_are_on_one_line() {
        let path = Path::new(OsStr::from_bytes(b"a b/\xff\n\x1b\\\xc3\xbc"));
        assert_eq!(escaped(path), "/a b/\\xff\\u{a}\\u{1b}\\\\\u{fc}");
    }
}
