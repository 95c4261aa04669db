//! What is written about settings, from the place where they are written down: the example of a configuration, the page
//! of all settings, the man page.

use grootfs::config::{Setting, settings};

use super::generated::page;

/// Columns of a line of the example.
const WIDTH: usize = 120;

const EXAMPLE_HEAD: &str = "\
# Configuration of grootfs, for `grootfs --config <this file> <command>`.
#
# Every key is here with its default. Environment variables and flags win over this file. An empty or zero value is as
# good as none, and unknown keys have no effect but a line in the log.
";

const PAGE_HEAD: &str = "\
# Configuration

<!-- Made by `UPDATE=1 cargo test --test repository generated` from src/config/options.rs. -->

A setting comes from a flag, an environment variable, the configuration file or its default; the first of these that
says something wins. The file is YAML. It is the one that `--config` names, else the one that `GROOTFS_CONFIG` names, else
`/etc/grootfs/config.yml` if it is there. With `--config ''`, or an empty `GROOTFS_CONFIG`, no file is read.

`grootfs config show` tells each setting with its value and its origin. `grootfs config check` tells everything that is
wrong with the file, with line and column, and with the variables; it exits with 0 if nothing is, with 4 if something is,
and with 1 if the file cannot be read.

- A variable is called `GROOTFS_`, the section and the key, in upper case: `create.limits.entries` is
  `GROOTFS_CREATE_LIMITS_ENTRIES`. An empty variable says nothing. A wrong value is an error that names the variable.
- Sizes are numbers of bytes or have a unit: `100M` and `1.5GiB` are powers of 1024, `10KB` of 1000. Numbers may be
  hexadecimal (`0x10`), octal (`0o17`, `017`) or binary (`0b11`).
- In a flag or a variable, a comma separates the items of a list. A list stands in place of a list of lesser rank, not
  beside it. Limits of images are also set by `create --limit NAME=NUMBER`.
- In the file, an empty or zero value is as good as none. A key that is unknown has no effect and is logged as
  `unknown-key`, at level info, with the key that is most like it. On a terminal, standard error has a warning as well, also
  for a `log_level` that is none, which means `fatal`.
";

const FLAGS_HEAD: &str = "
## Flags that are no settings

A flag that belongs to a command alone is a variable as well: `GROOTFS_`, the command and the flag. Switches are `true` or
`false` there. Programs that grootfs runs inherit its environment, so a file is the better place for a password.

| command | flag | variable |
|---|---|---|
";

/// `config.example.yml`.
pub(super) fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            let name = section.rsplit('.').next().unwrap();
            text += &format!("\n{}{name}:\n", indent(section.matches('.').count()));
        } else {
            text += "\n";
        }
        text += &entry(setting);
    }
    text
}

/// Documentation and default of one key.
fn entry(setting: &Setting) -> String {
    let depth = if setting.section.is_empty() { 0 } else { setting.section.matches('.').count() + 1 };
    let indent = indent(depth);
    let comment: String = wrapped(&sentences(setting), WIDTH - indent.len() - 2)
        .iter()
        .map(|line| format!("{indent}# {line}\n"))
        .collect();
    format!("{comment}{indent}{}: {}\n", setting.key, default(setting))
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

fn default(setting: &Setting) -> &'static str {
    setting.default.unwrap_or(setting.none)
}

/// The documentation as one paragraph.
fn sentences(setting: &Setting) -> String {
    let paragraphs = setting.paragraphs();
    let (first, rest) = paragraphs.split_first().unwrap();
    let first = format!("{}.", first.replace("; repeatable", ""));
    std::iter::once(first).chain(rest.iter().cloned()).collect::<Vec<_>>().join(" ")
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// `docs/configuration.md`.
pub(super) fn reference() -> String {
    let mut text = PAGE_HEAD.to_owned();
    let mut section = None;
    for setting in settings() {
        if section != Some(setting.section) {
            section = Some(setting.section);
            let title =
                if setting.section.is_empty() { "Top level".to_owned() } else { format!("`{}`", setting.section) };
            text += &format!("\n## {title}\n\n| key | flag | variable | default | meaning |\n|---|---|---|---|---|\n");
        }
        let flag = setting.flag_name().map_or(String::new(), |flag| format!("`--{flag}`"));
        text += &format!(
            "| `{}` | {flag} | `{}` | `{}` | {} |\n",
            setting.key,
            setting.variable(),
            default(setting),
            sentences(setting).replace('|', "\\|").replace('<', "\\<")
        );
    }
    text += FLAGS_HEAD;
    for (command, flag, variable) in grootfs::cli::variables() {
        text += &format!("| `{command}` | `--{flag}` | `{variable}` |\n");
    }
    text
}

/// `grootfs-config(5)`.
pub(super) fn man_page() -> Vec<u8> {
    page(
        ("grootfs-config", "5"),
        "configuration file of grootfs",
        "A YAML file, named by \\fB\\-\\-config\\fR or the environment variable \\fBGROOTFS_CONFIG\\fR; where neither names \
         one, not even an empty one, /etc/grootfs/config.yml is read if it is there. \\fBgrootfs config check\\fR tells \
         what is wrong with it, and \\fBgrootfs config show\\fR what the settings are. Every key may be left out. Environment variables win over the file, and flags over both: a variable is called GROOTFS_, the section \
         and the key, in upper case, as GROOTFS_CREATE_LIMITS_ENTRIES. An empty variable says nothing. This is the \
         example that comes with GrootFS.",
        &example(),
        "grootfs(1)",
    )
}
