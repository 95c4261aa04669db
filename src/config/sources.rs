//! Where settings come from, and which source has the last word.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use super::options::Options;
use super::setting::{Section, Setting, Slot, VARIABLE_PREFIX};
use super::yaml::{self, ConfigFile};
use super::{Config, Error, Flags, UnknownKey, check, environment};

/// Read where neither a flag nor the environment names a file.
pub const DEFAULT_PATH: &str = "/etc/grootfs/config.yml";
/// The environment variable that names the file.
const PATH_VARIABLE: &str = "CONFIG";

/// What all sources say.
#[derive(Debug)]
pub struct Sources {
    file: ConfigFile,
    path: Option<PathBuf>,
    environment: Options,
    flags: Options,
}

/// A setting as the program goes by it.
#[derive(Debug)]
pub struct Effective {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value; null is none.
    pub value: serde_json::Value,
    /// Who says so.
    pub origin: Origin,
}

/// Who says what a setting is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The file at this path.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// The command line.
    Flag,
}

impl Sources {
    /// Reads the file and the environment beside the flags.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or a variable has a wrong value.
    pub fn read(flags: Flags) -> Result<Self, Error> {
        let (path, file) = match named(flags.config) {
            Named::Path(path) => (Some(path.clone()), yaml::parse(&yaml::read(&path)?)?),
            Named::Default => match default_file(Path::new(DEFAULT_PATH))? {
                Some(content) => (Some(DEFAULT_PATH.into()), yaml::parse(&content)?),
                None => (None, ConfigFile::default()),
            },
            Named::Nothing => (None, ConfigFile::default()),
        };
        check::check_numbers(file.options.clone())?;
        Ok(Sources { file, path, environment: environment::read()?, flags: flags.options })
    }

    /// What they say together, checked.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn config(self) -> Result<Config, Error> {
        let store_size_from_flag = self.flags.init.store_size_bytes.is_some();
        let mut config = check::check_together(self.together())?;
        config.init.store_size_from_flag = store_size_from_flag;
        config.unknown_keys = self.file.unknown.iter().map(|key| UnknownKey::of(key)).collect();
        Ok(config)
    }

    /// What they say, each over those of lesser rank.
    fn together(&self) -> Options {
        self.flags.clone().over(self.environment.clone()).over(self.file.options.clone()).over(Options::defaults())
    }

    /// Each setting with its value and who says so.
    pub fn effective(mut self) -> Vec<Effective> {
        let mut together = self.together();
        let path = self.path.unwrap_or_default();
        let mut sources = [&mut together, &mut self.flags, &mut self.environment, &mut self.file.options]
            .map(|options| options.slots().into_iter());
        let mut all = Vec::new();
        while let [Some((setting, value)), Some((_, flag)), Some((_, variable)), Some((_, file))] =
            sources.each_mut().map(Iterator::next)
        {
            let origin = if flag.is_given() {
                Origin::Flag
            } else if variable.is_given() {
                Origin::Environment(setting.variable())
            } else if file.is_given() {
                Origin::File(path.clone())
            } else {
                Origin::Default
            };
            all.push(Effective { setting, value: value_of(setting, value), origin });
        }
        all
    }
}

fn value_of(setting: &Setting, slot: &dyn Slot) -> serde_json::Value {
    match slot.json() {
        // As the file has it: `""`, `[]`, `null`.
        serde_json::Value::Null => serde_json::from_str(setting.none).unwrap_or_default(),
        value => value,
    }
}

/// The file to be read.
pub(super) enum Named {
    Path(PathBuf),
    /// The one of the machine, if there is one.
    Default,
    Nothing,
}

/// An empty path is no file, not even the machine's.
pub(super) fn named(flag: Option<PathBuf>) -> Named {
    let variable = || env::var_os(format!("{VARIABLE_PREFIX}{PATH_VARIABLE}")).map(PathBuf::from);
    match flag.or_else(variable) {
        Some(path) if path.as_os_str().is_empty() => Named::Nothing,
        Some(path) => Named::Path(path),
        None => Named::Default,
    }
}

/// The content of the machine's file, if there is one.
pub(super) fn default_file(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match yaml::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(Error::Unreadable(error)) if is_absent(error.kind()) => Ok(None),
        Err(Error::Unreadable(error)) => Err(Error::DefaultUnreadable(error)),
        Err(error) => Err(error),
    }
}

fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Command;
    use serde_json::json;

    use super::*;
    use crate::config::flags::{SourceOptions, add_to, read};
    use crate::config::options::{CleanOptions, CreateOptions, InitOptions, settings};

    /// A value for the file, one for the variable and one for the flag; at least its neighbours differ from each.
    fn samples(setting: &Setting) -> [&'static str; 3] {
        match (setting.key, setting.kind) {
            ("log_timestamp_format", _) => ["unix-epoch", "rfc3339", "unix-epoch"],
            ("mount_destination", _) => ["root", "rootfs", "root"],
            ("image_volumes", _) => ["ignore", "bind", "ignore"],
            (_, "true or false") => ["true", "false", "true"],
            (_, "list for each registry") => ["{h: [a]}", "h=b", "h=c"],
            (_, "list") => ["[a]", "b", "c"],
            (_, "size" | "number" | "duration") => ["11", "12", "13"],
            _ => ["/a", "/b", "/c"],
        }
    }

    /// The value as JSON, whichever way it was written.
    fn value(setting: &Setting, text: &str) -> serde_json::Value {
        match setting.kind {
            "list for each registry" => json!({ "h": [text.trim_matches(|c| "{h: []}=".contains(c))] }),
            "list" => json!([text.trim_matches(['[', ']'])]),
            "true or false" | "size" | "number" | "duration" => serde_json::from_str(text).unwrap(),
            _ => json!(text),
        }
    }

    fn file(setting: &Setting, text: &str) -> ConfigFile {
        let sections = setting.section.split('.').filter(|section| !section.is_empty());
        let (mut content, mut end) = (String::new(), String::new());
        for section in sections {
            content += &format!("{{{section}: ");
            end += "}";
        }
        yaml::parse(format!("{content}{{{}: {text}}}{end}", setting.key).as_bytes()).unwrap()
    }

    fn flag(setting: &Setting, text: &str) -> Options {
        let mut options = Options::default();
        let Some(name) = setting.flag_name() else {
            if setting.section == "create.limits" {
                options.create.limits.set(setting.key, crate::config::Size(text.parse().unwrap())).unwrap();
            }
            return options;
        };
        let command = add_to::<CreateOptions>(add_to::<Options>(Command::new("grootfs")));
        let command = add_to::<InitOptions>(add_to::<CleanOptions>(add_to::<SourceOptions>(command)));
        let is_bare = setting.form == crate::config::value::Form::Switch;
        let argument = if is_bare { format!("--{name}") } else { format!("--{name}={text}") };
        let matches = command.try_get_matches_from(["grootfs", &argument]).unwrap();
        let mut source = SourceOptions::default();
        read(&mut source, &matches).unwrap();
        options.create = source.0;
        read(&mut options.create, &matches).unwrap();
        read(&mut options.clean, &matches).unwrap();
        read(&mut options.init, &matches).unwrap();
        read(&mut options, &matches).unwrap();
        options
    }

    fn told(setting: &Setting, sources: Sources) -> (serde_json::Value, Origin) {
        let effective = sources.effective().into_iter().find(|told| std::ptr::eq(told.setting, setting)).unwrap();
        (effective.value, effective.origin)
    }

    #[test]
    fn each_setting_can_be_given_by_each_source_and_each_source_wins_over_those_before() {
        for setting in settings() {
            let [in_file, in_variable, in_flag] = samples(setting);
            let variable = [(OsString::from(setting.variable()), OsString::from(in_variable))];
            let variable = environment::parse(variable.into_iter()).unwrap();
            let mut given = [None; 3];
            let told = |sources: [Option<()>; 3]| {
                let [has_file, has_variable, has_flag] = sources.map(|source| source.is_some());
                told(
                    setting,
                    Sources {
                        file: if has_file { file(setting, in_file) } else { ConfigFile::default() },
                        path: Some("/c.yml".into()),
                        environment: if has_variable { variable.clone() } else { Options::default() },
                        flags: if has_flag { flag(setting, in_flag) } else { Options::default() },
                    },
                )
            };
            let path = setting.path();
            assert_eq!(told(given).1, Origin::Default, "{path}");
            given[0] = Some(());
            assert_eq!(told(given), (value(setting, in_file), Origin::File("/c.yml".into())), "{path}");
            given[1] = Some(());
            let expected = (value(setting, in_variable), Origin::Environment(setting.variable()));
            assert_eq!(told(given), expected, "{path}");
            given[2] = Some(());
            if setting.flag.is_some() || setting.section == "create.limits" {
                assert_eq!(told(given), (value(setting, in_flag), Origin::Flag), "{path}");
            }
        }
    }

    #[test]
    fn the_machines_file_need_not_be_there_but_must_be_readable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yml");
        assert_eq!(default_file(&path).unwrap(), None);
        assert_eq!(default_file(&path.join("x")).unwrap(), None);
        std::fs::write(&path, "store: /s").unwrap();
        assert_eq!(default_file(&path).unwrap().as_deref(), Some(b"store: /s".as_slice()));
        assert_eq!(default_file(&path.join("x")).unwrap(), None);
        let error = default_file(directory.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("invalid config path: read ") && error.ends_with("goes without that file"),
            "{error}"
        );
    }
}
