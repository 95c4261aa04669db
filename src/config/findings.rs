//! What is wrong with a configuration, all of it.

use std::path::{Path, PathBuf};

use super::options::{Options, settings};
use super::setting::Setting;
use super::sources::{DEFAULT_PATH, Named, Sources, default_file, named};
use super::yaml::{self, Document};
use super::{Error, Flags, UnknownKey, check, environment};

/// Something that is wrong, or has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line and column in the file, from 1 on; `None` is the environment.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub problem: String,
}

impl Finding {
    fn at(document: &Document, path: &[String], problem: String) -> Self {
        Finding { at: Some(document.locate(path).unwrap_or((1, 1))), problem }
    }
}

/// The file that `flags` or the environment name, if any, and what is wrong with it and with the environment.
///
/// # Errors
/// When the file cannot be read.
pub fn findings(flags: Flags) -> Result<(Option<PathBuf>, Vec<Finding>), Error> {
    let (path, content) = match named(flags.config.clone()) {
        Named::Path(path) => (Some(path.clone()), yaml::read(&path)?),
        Named::Nothing => (None, Vec::new()),
        Named::Default => match default_file(Path::new(DEFAULT_PATH))? {
            Some(content) => (Some(DEFAULT_PATH.into()), content),
            None => (None, Vec::new()),
        },
    };
    let mut findings = of_content(&content);
    if let Err(error) = environment::read() {
        findings.push(Finding { at: None, problem: error.to_string() });
    }
    // What each source may say by itself may be wrong together.
    if findings.is_empty()
        && let Err(error) = Sources::read(flags)?.config()
    {
        findings.push(Finding { at: place_together(&content), problem: error.to_string() });
    }
    Ok((path, findings))
}

/// Where the file says one of the settings that are checked together.
fn place_together(content: &[u8]) -> Option<(usize, usize)> {
    let document = Document::parse(content).ok()?;
    let keys = ["low_watermark_percent", "high_watermark_percent"];
    keys.iter().find_map(|key| document.locate(&["clean".to_owned(), (*key).to_owned()]))
}

fn of_content(content: &[u8]) -> Vec<Finding> {
    let document = match Document::parse(content) {
        Ok(document) => document,
        Err((at, problem)) => return vec![Finding { at: Some(at.unwrap_or((1, 1))), problem }],
    };
    let mut findings: Vec<_> = document.leaves(is_section).iter().filter_map(|path| of_key(&document, path)).collect();
    findings.sort_by_key(|finding| finding.at);
    findings
}

fn is_section(path: &[String]) -> bool {
    let name = path.join(".");
    settings().iter().any(|setting| setting.section == name || setting.section.starts_with(&format!("{name}.")))
}

/// What is wrong with one key, if anything is.
fn of_key(document: &Document, path: &[String]) -> Option<Finding> {
    let name = path.join(".");
    let setting = settings().into_iter().find(|setting| setting.path() == name);
    let problem = match setting {
        Some(setting) => of_value(setting, document.only(path)),
        None if is_section(path) => Some(format!("{name} is a section, and must have keys of its own")),
        None if yaml::has_no_effect(&name) => None,
        None => Some(of_unknown(&UnknownKey::of(&name))),
    };
    problem.map(|problem| Finding::at(document, path, problem))
}

/// What is told of a key that is none.
pub(super) fn of_unknown(UnknownKey { key, suggestion }: &UnknownKey) -> String {
    let meant = suggestion.as_ref().map_or_else(String::new, |suggestion| format!("; did you mean `{suggestion}`?"));
    format!("unknown key `{key}`, which has no effect{meant}")
}

/// `only` is what the file says of this setting.
fn of_value(setting: &Setting, only: Result<Options, String>) -> Option<String> {
    match only.and_then(|options| check::check(options).map_err(|error| error.to_string())) {
        Ok(config) => config.log.unknown_level.map(|word| check::of_unknown_level(&word)),
        Err(problem) if problem.contains(setting.key) => Some(problem),
        Err(problem) => Some(format!("{}: {problem}", setting.path())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: &str) -> Vec<String> {
        let told = |finding: Finding| {
            let (line, column) = finding.at.unwrap();
            format!("{line}:{column}: {}", finding.problem)
        };
        of_content(content.as_bytes()).into_iter().map(told).collect()
    }

    #[test]
    fn everything_is_told_with_its_place() {
        let content = "\
store: /s
stor: /x
log_level: debgu
create:
  withclean: true
  with_clean: maybe
  disk_limit_size_bytes: -1
  image_volumes: tmpfs
  limits: {entries: many, layrs: 3}
clean: 5
init:
  owneruser: ''
nonsense: {a: 1}
";
        assert_eq!(
            told(content),
            [
                "2:1: unknown key `stor`, which has no effect; did you mean `store`?",
                "3:1: log_level: `debgu` is none of debug, info, error and fatal: nothing is logged",
                "5:3: unknown key `create.withclean`, which has no effect; did you mean `create.with_clean`?",
                "6:3: create.with_clean: invalid value: string \"maybe\", expected true or false",
                "7:3: create.disk_limit_size_bytes: invalid argument: disk limit cannot be negative",
                "8:3: invalid argument: create.image_volumes must be bind or ignore, not `tmpfs`",
                "9:12: create.limits.entries: invalid value: string \"many\", expected a 64-bit integer",
                "9:27: unknown key `create.limits.layrs`, which has no effect; did you mean `create.limits.layers`?",
                "10:1: clean is a section, and must have keys of its own",
                "13:1: unknown key `nonsense`, which has no effect",
            ]
        );
    }

    #[test]
    fn a_file_that_is_no_yaml_is_one_finding() {
        assert_eq!(told("").len(), 0);
        assert!(told("store: /s\ncreate: [\n")[0].contains(": "), "{:?}", told("store: /s\ncreate: [\n"));
        assert_eq!(told("- list").len(), 1);
        assert_eq!(told("store: a\nstore: b\n").len(), 1);
        assert_eq!(of_content(b"store: \xff").len(), 1);
    }

    #[test]
    fn an_example_has_no_findings() {
        assert_eq!(told(include_str!("../../config.example.yml")), Vec::<String>::new());
    }
}
