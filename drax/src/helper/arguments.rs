//! The command line, in Go's spelling: `-flag` and `--flag`, `--flag value` and `--flag=value`, `--` ends the flags.
//!
//! Callers give flags of several generations of the original before the command (`--btrfs-bin B`,
//! `--log-timestamp-format F`). What is not known is passed over. After the command every flag counts, and an unknown one
//! is an error.

use super::btrfs::Form;
use super::error::HelperError;
use super::log::Timestamps;
use crate::limit::{DiskLimit, InodeLimit, MINIMUM_BYTES};
use crate::xfs::Limit;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) command: Command,
    /// For the log lines of `tardis`.
    pub(super) timestamps: Timestamps,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Version,
    /// Limit the disk space and the inodes of an image.
    LimitXfs {
        image: PathBuf,
        limit: Limit,
    },
    /// The same, of the subvolume of an image.
    LimitBtrfs {
        volume: PathBuf,
        limit: DiskLimit,
    },
    /// Print the disk space that an image occupies.
    Stats {
        path: PathBuf,
        sync: bool,
        form: Form,
    },
    /// Remove the quota group of a subvolume.
    Destroy {
        volume: PathBuf,
    },
    /// Print the subvolumes below a directory.
    List {
        path: PathBuf,
    },
    /// Mark directories of layers as opaque.
    HandleWhiteouts {
        paths: Vec<PathBuf>,
    },
    /// Remove quota groups that are nobody's.
    Collect {
        store: PathBuf,
    },
}

const COMMANDS: [&str; 6] = ["limit", "stats", "destroy", "list", "handle-opqwhiteouts", "collect"];

/// Flags before the command whose value may look like a command or a flag.
const GLOBALS: [&str; 2] = ["btrfs-bin", "log-timestamp-format"];

impl Invocation {
    pub(super) fn parse(words: Vec<OsString>) -> Result<Self, HelperError> {
        let mut words = words.into_iter().peekable();
        let mut timestamps = Timestamps::default();
        while let Some(word) = words.next() {
            let (name, value) = match flag(&word) {
                None => return Ok(Self { command: command(&word, words)?, timestamps }),
                Some(("h" | "help", _)) => return Ok(Self { command: Command::Help, timestamps }),
                Some(("v" | "version", _)) => return Ok(Self { command: Command::Version, timestamps }),
                Some((name, Some(value))) => (name, Some(value.to_owned())),
                Some((name, None)) if GLOBALS.contains(&name) => (name, words.next()),
                Some((name, None)) => (name, words.next_if(|value| !is_command(value) && flag(value).is_none())),
            };
            if name == "log-timestamp-format" && value.is_some_and(|value| value == "unix-epoch") {
                timestamps = Timestamps::UnixEpoch;
            }
        }
        Ok(Self { command: Command::Help, timestamps })
    }
}

fn is_command(word: &OsStr) -> bool {
    COMMANDS.iter().any(|name| word == *name)
}

fn command(name: &OsStr, words: impl Iterator<Item = OsString>) -> Result<Command, HelperError> {
    match name.to_str() {
        Some("limit") => {
            let values = ["disk-limit-bytes", "disk-limit-inodes", "image-path", "volume-path"];
            limit(&Flags::read(words, &values, &["exclude-image-from-quota"])?)
        }
        Some("stats") => stats(&Flags::read(words, &["volume-path"], &["force-sync", "json"])?),
        Some("destroy") => {
            let flags = Flags::read(words, &["volume-path"], &[])?;
            Ok(Command::Destroy { volume: flags.required("volume-path")?.into() })
        }
        Some("list") => list(words.collect()),
        Some("handle-opqwhiteouts") => {
            let flags = Flags::read(words, &["opaque-path"], &[])?;
            flags.required("opaque-path")?;
            Ok(Command::HandleWhiteouts { paths: flags.all("opaque-path").map(PathBuf::from).collect() })
        }
        Some("collect") => {
            let flags = Flags::read(words, &["store-path"], &[])?;
            Ok(Command::Collect { store: flags.required("store-path")?.into() })
        }
        Some("help" | "h") => Ok(Command::Help),
        _ => Err(HelperError::Usage(format!("No help topic for '{}'", name.display()))),
    }
}

fn limit(flags: &Flags) -> Result<Command, HelperError> {
    let bytes = number("disk-limit-bytes", "bytes", flags.required("disk-limit-bytes")?)?;
    let inodes =
        flags.value("disk-limit-inodes").map(|given| number("disk-limit-inodes", "inodes", given)).transpose()?;
    match flags.value("volume-path") {
        Some(_) if flags.value("image-path").is_some() => {
            Err(HelperError::Usage("--image-path is for XFS and --volume-path for btrfs: give one of them".into()))
        }
        Some(_) if inodes.is_some() => {
            Err(HelperError::Usage("--disk-limit-inodes is for XFS: btrfs counts inodes as bytes".into()))
        }
        Some(volume) => {
            let is_exclusive = flags.has("exclude-image-from-quota");
            let limit = DiskLimit { bytes, is_exclusive, inodes: InodeLimit::Proportional };
            Ok(Command::LimitBtrfs { volume: volume.into(), limit })
        }
        None => {
            Ok(Command::LimitXfs { image: flags.required("image-path")?.into(), limit: limit_on_xfs(bytes, inodes) })
        }
    }
}

/// Callers who know nothing of inodes give bytes alone. 0 bytes mean no limit on them only where inodes are limited.
fn limit_on_xfs(bytes: u64, inodes: Option<u64>) -> Limit {
    let raised = bytes.max(MINIMUM_BYTES);
    match inodes {
        None => Limit::of_bytes(raised),
        Some(inodes) if inodes > 0 && bytes == 0 => Limit { bytes, inodes },
        Some(inodes) => Limit { bytes: raised, inodes },
    }
}

fn number(flag: &str, unit: &str, given: &OsStr) -> Result<u64, HelperError> {
    let refused = || HelperError::Usage(format!("--{flag}: `{}` is not a number of {unit}", given.display()));
    given.to_str().and_then(size).ok_or_else(refused)
}

/// A number that fits the signed 64 bits of the original, and is not negative.
fn size(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<i64>().ok()?).ok()
}

fn stats(flags: &Flags) -> Result<Command, HelperError> {
    let form = if flags.has("json") { Form::Json } else { Form::Table };
    Ok(Command::Stats { path: flags.required("volume-path")?.into(), sync: flags.has("force-sync"), form })
}

fn list(mut words: Vec<OsString>) -> Result<Command, HelperError> {
    words.retain(|word| word != "--");
    match <[OsString; 1]>::try_from(words) {
        Ok([path]) => Ok(Command::List { path: path.into() }),
        Err(words) if words.is_empty() => Err(HelperError::Usage("missing path argument".into())),
        Err(words) => Err(HelperError::Usage(format!("unexpected argument `{}`", words[1].display()))),
    }
}

/// The flags of a command.
struct Flags {
    values: Vec<(String, OsString)>,
    switches: Vec<String>,
}

impl Flags {
    fn read(
        mut words: impl Iterator<Item = OsString>,
        with_value: &[&str],
        without: &[&str],
    ) -> Result<Self, HelperError> {
        let mut flags = Self { values: Vec::new(), switches: Vec::new() };
        while let Some(word) = words.next() {
            let Some((name, value)) = flag(&word) else {
                return Err(HelperError::Usage(format!("unexpected argument `{}`", word.display())));
            };
            if without.contains(&name) {
                if value.is_none_or(|value| value != "false") {
                    flags.switches.push(name.to_owned());
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

    /// The values of a flag, in the order in which they are given.
    fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.values.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_os_str())
    }

    /// The value of a flag; where it is given more than once, the last one.
    fn value(&self, name: &str) -> Option<&OsStr> {
        self.all(name).next_back()
    }

    fn required(&self, name: &str) -> Result<&OsStr, HelperError> {
        self.value(name).ok_or_else(|| HelperError::Usage(format!("missing flag: --{name}")))
    }

    fn has(&self, name: &str) -> bool {
        self.switches.iter().any(|given| given == name)
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

    /// A number of MiB, which is more than the least limit.
    fn limit(mib: u64) -> Result<Command, String> {
        Ok(Command::LimitXfs { image: "/s/images/x".into(), limit: Limit::of_bytes(mib << 20) })
    }

    #[test]
    fn inodes_are_limited_as_wanted_or_as_goes_with_the_bytes() {
        let limit = |flags: &str| match parse(&format!("limit --image-path /s/images/x {flags}")) {
            Ok(Command::LimitXfs { limit, .. }) => Ok((limit.bytes, limit.inodes)),
            other => Err(format!("{other:?}")),
        };
        assert_eq!(limit("--disk-limit-bytes 1073741824"), Ok((1 << 30, 262_144)));
        assert_eq!(limit("--disk-limit-bytes 0"), Ok((MINIMUM_BYTES, 10_000)));
        assert_eq!(limit("--disk-limit-bytes 1073741824 --disk-limit-inodes 500"), Ok((1 << 30, 500)));
        assert_eq!(limit("--disk-limit-bytes 1073741824 --disk-limit-inodes 0"), Ok((1 << 30, 0)));
        assert_eq!(limit("--disk-limit-bytes 0 --disk-limit-inodes 500"), Ok((0, 500)));
        assert_eq!(limit("--disk-limit-bytes 0 --disk-limit-inodes 0"), Ok((MINIMUM_BYTES, 0)));
    }

    #[test]
    fn every_spelling_of_a_flag_is_understood() {
        assert_eq!(parse("limit --disk-limit-bytes 5242880 --image-path /s/images/x"), limit(5));
        assert_eq!(parse("limit -disk-limit-bytes=5242880 --image-path=/s/images/x"), limit(5));
        assert_eq!(
            parse("limit --image-path /s/images/x -disk-limit-bytes 5242880 --disk-limit-bytes 6291456"),
            limit(6)
        );
    }

    #[test]
    fn flags_before_the_command_are_passed_over_with_their_values() {
        let command = "limit --disk-limit-bytes 5242880 --image-path /s/images/x";
        for globals in [
            "--log-timestamp-format rfc3339",
            "--btrfs-bin=/bin/btrfs",
            "--btrfs-bin list",
            "--btrfs-bin -x",
            "--quiet",
            "--a b --c -d",
        ] {
            assert_eq!(parse(&format!("{globals} {command}")), limit(5), "{globals}");
        }
    }

    #[test]
    fn the_format_of_timestamps_is_the_one_global_flag_that_counts() {
        let timestamps = |line: &str| {
            Invocation::parse(line.split_whitespace().map(OsString::from).collect())
                .map(|parsed| parsed.timestamps)
                .unwrap()
        };
        assert_eq!(timestamps("--log-timestamp-format unix-epoch help"), Timestamps::UnixEpoch);
        assert_eq!(timestamps("-log-timestamp-format=unix-epoch help"), Timestamps::UnixEpoch);
        assert_eq!(timestamps("--log-timestamp-format rfc3339 help"), Timestamps::Rfc3339);
        assert_eq!(timestamps("help"), Timestamps::Rfc3339);
    }

    #[test]
    fn no_command_and_help_flags_show_the_help() {
        for line in ["", "--help", "-h", "help", "--log-level debug", "--btrfs-bin"] {
            assert_eq!(parse(line), Ok(Command::Help), "{line}");
        }
        assert_eq!(parse("--version"), Ok(Command::Version));
    }

    #[test]
    fn the_command_lines_of_grootfs_for_btrfs() {
        let (volume, bytes) = (PathBuf::from("/s/images/x/rootfs"), 5);
        for (switch, is_exclusive) in [
            ("", false),
            ("--exclude-image-from-quota", true),
            ("--exclude-image-from-quota=true", true),
            ("--exclude-image-from-quota=false", false),
        ] {
            let line = format!("--btrfs-bin B limit --volume-path /s/images/x/rootfs --disk-limit-bytes 5 {switch}");
            let limit = DiskLimit { bytes, is_exclusive, inodes: InodeLimit::Proportional };
            assert_eq!(parse(&line), Ok(Command::LimitBtrfs { volume: volume.clone(), limit }), "{switch}");
        }
        for (switches, sync, form) in [("", false, Form::Table), ("--force-sync --json", true, Form::Json)] {
            let line = format!("--btrfs-bin B stats --volume-path /s/images/x/rootfs {switches}");
            assert_eq!(parse(&line), Ok(Command::Stats { path: volume.clone(), sync, form }), "{switches}");
        }
        assert_eq!(parse("--btrfs-bin B destroy --volume-path /s/images/x/rootfs"), Ok(Command::Destroy { volume }));
        assert_eq!(parse("--btrfs-bin B list /s/images/x"), Ok(Command::List { path: "/s/images/x".into() }));
        assert_eq!(parse("collect --store-path /s"), Ok(Command::Collect { store: "/s".into() }));
    }

    #[test]
    fn whiteouts_are_handled_many_at_a_time() {
        let paths = vec![PathBuf::from("/s/volumes/a/x"), PathBuf::from("/s/volumes/a/y")];
        let line = "handle-opqwhiteouts --opaque-path /s/volumes/a/x --opaque-path=/s/volumes/a/y";
        assert_eq!(parse(line), Ok(Command::HandleWhiteouts { paths }));
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for (line, message) in [
            ("limit --image-path /s/images/x", "missing flag: --disk-limit-bytes"),
            ("limit --disk-limit-bytes 5", "missing flag: --image-path"),
            ("limit --disk-limit-bytes", "flag needs an argument: -disk-limit-bytes"),
            ("limit --projid 7", "flag provided but not defined: -projid"),
            ("limit --force-sync", "flag provided but not defined: -force-sync"),
            (
                "limit --disk-limit-bytes 5 --image-path /x --volume-path /y",
                "--image-path is for XFS and --volume-path for btrfs: give one of them",
            ),
            ("stats /s/images/x", "unexpected argument `/s/images/x`"),
            ("destroy", "missing flag: --volume-path"),
            ("list", "missing path argument"),
            ("list /x /y", "unexpected argument `/y`"),
            ("handle-opqwhiteouts", "missing flag: --opaque-path"),
            ("collect", "missing flag: --store-path"),
            ("frobnicate", "No help topic for 'frobnicate'"),
        ] {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_sixty_three_bits() {
        for size in ["-5", "-1", "9223372036854775808", "18446744073709551616", "1e9", "0x10", "5M", "", "5 "] {
            assert_eq!(super::size(size), None, "{size}");
        }
        assert_eq!(super::size("0"), Some(0));
        assert_eq!(super::size("9223372036854775807"), Some(i64::MAX as u64));
        let refusal = parse("limit --disk-limit-bytes 5 --disk-limit-inodes -5 --image-path /x");
        assert_eq!(refusal, Err("--disk-limit-inodes: `-5` is not a number of inodes".to_owned()));
        let refusal = parse("limit --disk-limit-bytes 5 --disk-limit-inodes 5 --volume-path /s/images/x/rootfs");
        assert_eq!(refusal, Err("--disk-limit-inodes is for XFS: btrfs counts inodes as bytes".to_owned()));
        let refusal = parse("limit --disk-limit-bytes -5 --image-path /x");
        assert_eq!(refusal, Err("--disk-limit-bytes: `-5` is not a number of bytes".to_owned()));
    }
}
