//! Flags from environment variables. Settings have theirs in [`crate::config`]; here are the other flags of commands.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};

use crate::config;

const PREFIX: &str = "GROOTFS_";
/// These say no where the flag of a setting says yes; the variable of that setting says either.
const NEGATIONS: [&str; 2] = ["with-mount", "without-clean"];

/// Lets variables that are set stand for flags that are not given.
pub(super) fn add_to(program: Command) -> Command {
    let is_ours = |name: &OsString| name.as_bytes().starts_with(PREFIX.as_bytes());
    let present: Vec<_> = env::vars_os().filter(|(name, value)| is_ours(name) && !value.is_empty()).collect();
    if present.is_empty() {
        return program;
    }
    let is_set = |name: &str| present.iter().any(|(present, _)| present == name);
    program.mut_subcommands(|command| of_command(command, "", &is_set))
}

fn of_command(command: Command, parents: &str, is_set: &impl Fn(&str) -> bool) -> Command {
    let path = format!("{parents}{} ", command.get_name());
    let command = command.mut_args(|arg| match variable(&path, &arg).filter(|name| is_set(name)) {
        Some(name) if matches!(arg.get_action(), ArgAction::SetTrue) => {
            arg.env(name).value_parser(BoolishValueParser::new())
        }
        Some(name) => arg.env(name),
        None => arg,
    });
    command.mut_subcommands(|command| of_command(command, &path, is_set))
}

/// The variable of a flag of a command that is no setting: `GROOTFS_INIT_STORE_UID_MAPPING`.
fn variable(command: &str, arg: &Arg) -> Option<String> {
    let flag = arg.get_long()?;
    let has_none = NEGATIONS.contains(&flag) || matches!(arg.get_action(), ArgAction::Help | ArgAction::Version);
    let is_setting = config::settings().iter().any(|setting| setting.key == arg.get_id().as_str());
    (!has_none && !is_setting).then(|| format!("{PREFIX}{command}{flag}").replace(['-', ' '], "_").to_ascii_uppercase())
}

/// All flags of commands that have a variable of their own: command, flag, variable.
pub fn variables() -> Vec<(String, String, String)> {
    fn add(command: &Command, parents: &str, all: &mut Vec<(String, String, String)>) {
        let path = format!("{parents}{} ", command.get_name());
        for arg in command.get_arguments() {
            if let (Some(name), Some(flag)) = (variable(&path, arg), arg.get_long()) {
                all.push((path.trim().to_owned(), flag.to_owned(), name));
            }
        }
        command.get_subcommands().for_each(|command| add(command, &path, all));
    }
    let mut all = Vec::new();
    let program = super::definition();
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
    visible.for_each(|command| add(command, "", &mut all));
    all
}

/// The variable that has this value for the flag of this name, if the flag was not given in `arguments`.
pub(super) fn origin(program: &Command, arguments: &[OsString], flag: &str) -> Option<String> {
    let flag = flag.trim_start_matches('-').split([' ', '=', '[']).next()?;
    let given = |argument: &OsString| {
        argument.to_str().and_then(|text| text.strip_prefix("--")).and_then(|text| text.split('=').next()) == Some(flag)
    };
    if arguments.iter().any(given) {
        return None;
    }
    let (mut command, mut path) = (program, String::new());
    for word in arguments.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
            path += &format!("{} ", inner.get_name());
        }
    }
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag))?;
    variable(&path, arg).filter(|name| env::var_os(name).is_some())
}
