//! The command line, in Go's spelling: `-flag` and `--flag`, `--flag value` and `--flag=value`, `--` ends the flags.
//!
//! Callers give flags of several generations of the original before the command (`--btrfs-bin B`,
//! `--log-timestamp-format F`). None of them means anything here, so flags before the command are passed over, unknown
//! ones too. After the command every flag counts, and an unknown one is an error.

use super::error::HelperError;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Version,
    /// Limit the disk space of an image to a number of bytes.
    Limit {
        image_path: PathBuf,
        bytes: u64,
    },
    /// Print the disk space that an image occupies.
    Stats {
        image_path: PathBuf,
    },
}

const COMMANDS: [&str; 5] = ["limit", "stats", "destroy", "list", "handle-opqwhiteouts"];

impl Invocation {
    pub(super) fn parse(words: Vec<OsString>) -> Result<Self, HelperError> {
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            match flag(&word) {
                Some(("h" | "help", _)) => return Ok(Self { command: Command::Help }),
                Some(("v" | "version", _)) => return Ok(Self { command: Command::Version }),
                Some((_, Some(_))) => {}
                Some((_, None)) => drop(words.next_if(|value| !is_command(value) && flag(value).is_none())),
                None => return command(&word, words).map(|command| Self { command }),
            }
        }
        Ok(Self { command: Command::Help })
    }
}

fn is_command(word: &OsStr) -> bool {
    COMMANDS.iter().any(|name| word == *name)
}

fn command(name: &OsStr, words: impl Iterator<Item = OsString>) -> Result<Command, HelperError> {
    match name.to_str() {
        Some("limit") => limit(Flags::read(words, &["disk-limit-bytes", "image-path", "volume-path"])?),
        Some("stats") => stats(Flags::read(words, &["volume-path"])?),
        Some("help" | "h") => Ok(Command::Help),
        Some(later) if COMMANDS.contains(&later) => {
            Err(HelperError::Unsupported(format!("`{later}` is not in this version: it handles quotas on XFS only")))
        }
        _ => Err(HelperError::Usage(format!("No help topic for '{}'", name.display()))),
    }
}

fn limit(flags: Flags) -> Result<Command, HelperError> {
    if flags.value("volume-path").is_some() || flags.switches.contains(&"exclude-image-from-quota") {
        return Err(HelperError::Unsupported(
            "limits on btrfs are not in this version: it handles quotas on XFS only".into(),
        ));
    }
    let bytes = flags.required("disk-limit-bytes")?;
    let bytes = bytes.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        HelperError::Usage(format!("--disk-limit-bytes: `{}` is not a number of bytes", bytes.display()))
    })?;
    Ok(Command::Limit { image_path: flags.required("image-path")?.into(), bytes })
}

fn stats(flags: Flags) -> Result<Command, HelperError> {
    Ok(Command::Stats { image_path: flags.required("volume-path")?.into() })
}

/// The flags of a command.
struct Flags {
    values: Vec<(String, OsString)>,
    switches: Vec<&'static str>,
}

impl Flags {
    /// Flags that are given without a value. `force-sync` is for btrfs; XFS counts as it writes.
    const SWITCHES: [&'static str; 2] = ["force-sync", "exclude-image-from-quota"];

    fn read(mut words: impl Iterator<Item = OsString>, with_value: &[&str]) -> Result<Self, HelperError> {
        let mut flags = Self { values: Vec::new(), switches: Vec::new() };
        while let Some(word) = words.next() {
            let Some((name, value)) = flag(&word) else {
                return Err(HelperError::Usage(format!("unexpected argument `{}`", word.display())));
            };
            if let Some(switch) = Self::SWITCHES.into_iter().find(|switch| *switch == name) {
                if value.is_none_or(|value| value != "false") {
                    flags.switches.push(switch);
                }
            } else if with_value.contains(&name) {
                let value = value.map(OsStr::to_owned).or_else(|| words.next());
                let value = value.ok_or_else(|| HelperError::Usage(format!("flag needs an argument: -{name}")))?;
                flags.values.push((name.to_owned(), value));
            } else {
                return Err(HelperError::Usage(format!("flag provided but not defined: -{name}")));
            }
        }
        Ok(flags)
    }

    /// The value of a flag; where it is given more than once, the last one.
    fn value(&self, name: &str) -> Option<&OsStr> {
        self.values.iter().rfind(|(given, _)| given == name).map(|(_, value)| value.as_os_str())
    }

    fn required(&self, name: &str) -> Result<&OsStr, HelperError> {
        self.value(name).ok_or_else(|| HelperError::Usage(format!("missing flag: --{name}")))
    }
}

/// Splits `-name`, `--name`, `-name=value` and `--name=value`. A lone `-` or `--`, and a name that is not UTF-8, are no
/// flags.
fn flag(word: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = word.as_bytes().strip_prefix(b"-")?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
    let name = std::str::from_utf8(&bytes[..end]).ok().filter(|name| !name.is_empty())?;
    Some((name, bytes.get(end + 1..).map(OsStr::from_bytes)))
}

/// The name the program was called by, for messages.
pub(super) fn base_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(OsStr::new("drax")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace().map(OsString::from).collect();
        Invocation::parse(words).map(|invocation| invocation.command).map_err(|error| error.to_string())
    }

    fn limit(bytes: u64) -> Result<Command, String> {
        Ok(Command::Limit { image_path: "/s/images/x".into(), bytes })
    }

    #[test]
    fn every_spelling_of_a_flag_is_understood() {
        assert_eq!(parse("limit --disk-limit-bytes 5 --image-path /s/images/x"), limit(5));
        assert_eq!(parse("limit -disk-limit-bytes=5 --image-path=/s/images/x"), limit(5));
        assert_eq!(parse("limit --image-path /s/images/x -disk-limit-bytes 5 --disk-limit-bytes 6"), limit(6));
    }

    #[test]
    fn flags_before_the_command_are_passed_over_with_their_values() {
        let command = "limit --disk-limit-bytes 5 --image-path /s/images/x";
        for globals in ["--log-timestamp-format rfc3339", "--btrfs-bin=/bin/btrfs", "--quiet", "--a b --c -d"] {
            assert_eq!(parse(&format!("{globals} {command}")), limit(5), "{globals}");
        }
    }

    #[test]
    fn no_command_and_help_flags_show_the_help() {
        for line in ["", "--help", "-h", "help", "--log-level debug"] {
            assert_eq!(parse(line), Ok(Command::Help), "{line}");
        }
        assert_eq!(parse("--version"), Ok(Command::Version));
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for (line, message) in [
            ("limit --image-path /s/images/x", "missing flag: --disk-limit-bytes"),
            ("limit --disk-limit-bytes 5", "missing flag: --image-path"),
            ("limit --disk-limit-bytes", "flag needs an argument: -disk-limit-bytes"),
            ("limit --disk-limit-bytes -5 --image-path /x", "--disk-limit-bytes: `-5` is not a number of bytes"),
            ("limit --projid 7", "flag provided but not defined: -projid"),
            ("stats /s/images/x", "unexpected argument `/s/images/x`"),
            ("frobnicate", "No help topic for 'frobnicate'"),
        ] {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn what_later_versions_do_is_refused_by_name() {
        for line in ["destroy --volume-path /v", "list /v", "handle-opqwhiteouts --opaque-path /v"] {
            assert!(parse(line).unwrap_err().contains("not in this version"), "{line}");
        }
        let btrfs = "limit --volume-path /s/images/x/rootfs --disk-limit-bytes 5 --exclude-image-from-quota";
        assert!(parse(btrfs).unwrap_err().contains("btrfs"));
    }
}
