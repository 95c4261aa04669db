//! The flags of settings, for clap.

use std::ffi::OsStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::options::{CreateOptions, SOURCE};
use super::setting::{Flag, Section, Setting, Slot};
use super::value::Form;

/// Has clap fill a group, as its own derive would.
macro_rules! args {
    ($name:ident) => {
        impl clap::Args for $name {
            fn augment_args(command: clap::Command) -> clap::Command {
                crate::config::flags::add_to::<Self>(command)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                crate::config::flags::add_to::<Self>(command)
            }
        }

        impl clap::FromArgMatches for $name {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                let mut given = Self::default();
                clap::FromArgMatches::update_from_arg_matches(&mut given, matches)?;
                Ok(given)
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                crate::config::flags::read(self, matches)
            }
        }
    };
}
pub(super) use args;

/// Settings whose flags belong together on the command line.
pub(super) trait Group: Default {
    fn settings(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)>;
}

/// A section, without the sections in it, and without the flags that several commands have.
impl<S: Section> Group for S {
    fn settings(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)> {
        self.own_slots().into_iter().filter(|(setting, _)| !is_about_source(setting)).collect()
    }
}

/// The settings of `create` that say where an image comes from, as flags of all commands that read one.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions(pub CreateOptions);

impl Group for SourceOptions {
    fn settings(&mut self) -> Vec<(&'static Setting, &mut dyn Slot)> {
        self.0.slots().into_iter().filter(|(setting, _)| is_about_source(setting)).collect()
    }
}

args!(SourceOptions);

fn is_about_source(setting: &Setting) -> bool {
    setting.flag.is_some_and(|flag| flag.heading == Some(SOURCE))
}

/// Adds the flags of a group.
pub(super) fn add_to<G: Group>(command: Command) -> Command {
    let settings: Vec<_> = G::default().settings().into_iter().map(|(setting, _)| setting).collect();
    command.args(settings.into_iter().filter_map(|setting| Some(arg(setting, setting.flag?))))
}

fn arg(setting: &'static Setting, flag: Flag) -> Arg {
    let mut arg =
        Arg::new(setting.key).long(setting.flag_name().unwrap_or_default()).global(setting.section.is_empty());
    if let Some(heading) = flag.heading {
        arg = arg.help_heading(heading);
    }
    arg = match setting.form {
        Form::Switch => return with_help(arg.action(ArgAction::SetTrue), setting),
        Form::Truth => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Form::List => arg.action(ArgAction::Append),
        Form::Value => arg,
    };
    let accepts = setting.accepts;
    let parser = OsStringValueParser::new().try_map(move |text| accepts(&text).map(|()| text));
    with_help(arg.value_name(flag.value_name).value_parser(parser), setting)
}

fn with_help(arg: Arg, setting: &Setting) -> Arg {
    let paragraphs = setting.paragraphs();
    let short = format!("{}{}", paragraphs.first().map_or("", String::as_str), default_of(setting));
    let more = paragraphs.iter().skip(1).map(|paragraph| format!("{paragraph} ")).collect::<String>();
    let long = if more.is_empty() { short.clone() } else { format!("{short}\n\n{}", more.trim_end()) };
    arg.help(short).long_help(long)
}

fn default_of(setting: &Setting) -> String {
    setting.default.map_or_else(String::new, |default| format!(" [default: {default}]"))
}

/// Takes over what the command line says.
pub(super) fn read<G: Group>(group: &mut G, matches: &ArgMatches) -> Result<(), clap::Error> {
    for (setting, slot) in group.settings() {
        if setting.flag.is_none() || matches.value_source(setting.key) != Some(ValueSource::CommandLine) {
            continue;
        }
        for text in raw_values(setting, matches) {
            slot.add(text).map_err(|reason| clap::Error::raw(clap::error::ErrorKind::ValueValidation, reason))?;
        }
    }
    Ok(())
}

fn raw_values<'a>(setting: &Setting, matches: &'a ArgMatches) -> Vec<&'a OsStr> {
    match setting.form {
        // It stands there without a value, and does not stand there if it is false.
        Form::Switch => vec![OsStr::new("true")],
        _ => matches.get_raw(setting.key).into_iter().flatten().collect(),
    }
}
