//! Flags as Go programs take them, rewritten as clap takes them.
//!
//! Callers of GrootFS write `-store /x`, `--disk-limit-size-bytes -1` and `--with-clean=false`. One pass over the
//! arguments turns these into `--store=/x`, `--disk-limit-size-bytes=-1` and nothing. What a flag is called and whether
//! it has a value is read from the [`clap::Command`], so the argument tree stays the only list of flags. Whatever this
//! pass does not know it leaves alone, for clap to complain about.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

use crate::config::parse_bool;

/// Rewrites `arguments` (the program's name first) for `program`.
pub(super) fn normalise(program: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut normalised: Vec<OsString> = arguments.next().into_iter().collect();
    let mut command = None;
    while let Some(argument) = arguments.next() {
        if argument == "--" && command.is_none() {
            // Ends the global flags only: the command is still to come.
            continue;
        } else if argument == "--" {
            normalised.push(argument);
            break;
        } else if let Some(flag) = Flag::parse(&argument) {
            normalised.extend(flag.normalise(find(program, command, flag.name), &mut arguments));
        } else if command.is_some() {
            normalised.push(argument);
        } else {
            let name = if argument == "h" { OsString::from("help") } else { argument };
            command = program.find_subcommand(&name);
            normalised.push(name);
            if command.is_none() {
                break;
            }
        }
    }
    normalised.extend(arguments);
    normalised
}

/// The flag of this name among those of `command`, if that is known by now, and the global ones.
fn find<'a>(program: &'a Command, command: Option<&'a Command>, name: &[u8]) -> Option<&'a Arg> {
    let name = str::from_utf8(name).ok()?;
    let globals = program.get_arguments().filter(|arg| command.is_none() || arg.is_global_set());
    command.into_iter().flat_map(Command::get_arguments).chain(globals).find(|arg| is_called(arg, name))
}

fn is_called(arg: &Arg, name: &str) -> bool {
    let mut letters = name.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    arg.get_long() == Some(name) || (letter.is_some() && arg.get_short() == letter)
}

/// `-name`, `--name`, `-name=value` or `--name=value`.
struct Flag<'a> {
    typed: &'a OsStr,
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

impl<'a> Flag<'a> {
    fn parse(argument: &'a OsStr) -> Option<Self> {
        let bytes = argument.as_bytes();
        let rest = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-"))?;
        let (name, value) = match rest.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&rest[..equals], Some(&rest[equals + 1..])),
            None => (rest, None),
        };
        (!name.is_empty()).then_some(Flag { typed: argument, name, value })
    }

    /// The flag for clap, if there is anything to tell it; takes the value off `following` where it stands apart.
    fn normalise(&self, known: Option<&Arg>, following: &mut impl Iterator<Item = OsString>) -> Option<OsString> {
        let Some(arg) = known else { return Some(self.unknown()) };
        if !arg.get_action().takes_values() {
            return self.switch(arg);
        }
        match self.value {
            Some(value) => Some(with_value(arg, OsStr::from_bytes(value))),
            None if needs_value(arg) => {
                Some(following.next().map_or_else(|| bare(arg), |value| with_value(arg, &value)))
            }
            None => Some(bare(arg)),
        }
    }

    /// A flag that is there or not; `=true` and `=false` say the same.
    fn switch(&self, arg: &Arg) -> Option<OsString> {
        match self.value.map(|value| str::from_utf8(value).ok().and_then(parse_bool)) {
            None | Some(Some(true)) => Some(bare(arg)),
            Some(Some(false)) => None,
            Some(None) => Some(self.typed.to_owned()),
        }
    }

    /// `-nme` would mean three flags to clap; as `--nme` it is reported whole, with what it may have been meant for.
    fn unknown(&self) -> OsString {
        let is_long_with_one_dash = self.name.len() > 1 && !self.typed.as_bytes().starts_with(b"--");
        if is_long_with_one_dash {
            return OsString::from_vec([b"-", self.typed.as_bytes()].concat());
        }
        self.typed.to_owned()
    }
}

fn needs_value(arg: &Arg) -> bool {
    arg.get_num_args().is_none_or(|range| range.min_values() > 0)
}

fn bare(arg: &Arg) -> OsString {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}").into(),
        (None, Some(short)) => format!("-{short}").into(),
        (None, None) => OsString::new(),
    }
}

fn with_value(arg: &Arg, value: &OsStr) -> OsString {
    let mut flag = bare(arg);
    flag.push("=");
    flag.push(value);
    flag
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    fn normalised(line: &str) -> String {
        let arguments = line.split(' ').map(|word| OsString::from(if word == "''" { "" } else { word }));
        let words = normalise(&Cli::command(), arguments);
        words.iter().map(|word| word.to_str().expect("text")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn go_spellings_become_clap_spellings() {
        for (given, expected) in [
            ("grootfs", "grootfs"),
            ("grootfs -store /s list", "grootfs --store=/s list"),
            ("grootfs --store /s list", "grootfs --store=/s list"),
            ("grootfs -store=/s list", "grootfs --store=/s list"),
            ("grootfs --store=a=b list", "grootfs --store=a=b list"),
            ("grootfs --store '' list", "grootfs --store= list"),
            ("grootfs list -store /s", "grootfs list --store=/s"),
            ("grootfs --store --driver list", "grootfs --store=--driver list"),
            ("grootfs --store", "grootfs --store"),
            ("grootfs -v", "grootfs --version"),
            ("grootfs -version", "grootfs --version"),
            ("grootfs -help", "grootfs --help"),
            ("grootfs -h", "grootfs -h"),
            ("grootfs h create", "grootfs help create"),
            ("grootfs create --disk-limit-size-bytes -200 i x", "grootfs create --disk-limit-size-bytes=-200 i x"),
            ("grootfs create i x -with-clean", "grootfs create i x --with-clean"),
            ("grootfs create --with-clean=false i x", "grootfs create i x"),
            ("grootfs create --with-clean=T i x", "grootfs create --with-clean i x"),
            ("grootfs create --with-clean=maybe i x", "grootfs create --with-clean=maybe i x"),
            ("grootfs create --with-clean false x", "grootfs create --with-clean false x"),
            ("grootfs create -skip-layer-validation=0 i x", "grootfs create --skip-layer-validation=0 i x"),
            ("grootfs create -skip-layer-validation i x", "grootfs create --skip-layer-validation i x"),
            ("grootfs create -- -i --x", "grootfs create -- -i --x"),
            ("grootfs create - x", "grootfs create - x"),
            ("grootfs -- create - x", "grootfs create - x"),
            ("grootfs -stroe /s list", "grootfs --stroe /s list"),
            ("grootfs -x list", "grootfs -x list"),
            ("grootfs --=x list", "grootfs --=x list"),
            ("grootfs ---store=x list", "grootfs ---store=x list"),
            ("grootfs create -v", "grootfs create -v"),
            ("grootfs make -store x", "grootfs make -store x"),
        ] {
            assert_eq!(normalised(given), expected, "{given}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        let odd = OsString::from_vec(b"--st\xff=\xfe".to_vec());
        let arguments = ["grootfs".into(), odd.clone(), "--store".into(), OsString::from_vec(vec![0xff])];
        let expected = ["grootfs".into(), odd, OsString::from_vec(b"--store=\xff".to_vec())];
        assert_eq!(normalise(&Cli::command(), arguments), expected);
    }
}
