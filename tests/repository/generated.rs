//! Files made from the code: man pages and completions from the one definition of flags, the example and the pages of
//! settings, and the messages. `UPDATE=1 cargo test --test repository generated` writes them anew.

use std::fs;
use std::path::PathBuf;

use clap_complete::Shell;
use clap_mangen::Man;

use super::{completion, root, settings};

const HEADER: &str = ".\\\" Made by tests/repository/generated.rs; see there.\n";

/// Each file with what it should hold.
fn generated() -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = man_pages();
    files.push((PathBuf::from("config.example.yml"), settings::example().into_bytes()));
    files.push((PathBuf::from("docs/configuration.md"), settings::reference().into_bytes()));
    files.push((PathBuf::from("docs/man/grootfs-config.5"), settings::man_page()));
    files.push((PathBuf::from("docs/man/drax.8"), helper()));
    files.push((PathBuf::from("docs/messages.md"), super::messages::page().into_bytes()));
    files.push((PathBuf::from("docs/architecture.svg"), super::picture::picture().into_bytes()));
    for (shell, name) in [(Shell::Bash, "grootfs.bash"), (Shell::Zsh, "_grootfs"), (Shell::Fish, "grootfs.fish")] {
        files.push((PathBuf::from("docs/completions").join(name), completion::script(shell).into_bytes()));
    }
    files
}

/// One page for the program and one for each command that is not hidden.
fn man_pages() -> Vec<(PathBuf, Vec<u8>)> {
    let mut program = grootfs::cli::definition().disable_help_subcommand(true);
    program.build();
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let commands: Vec<_> = std::iter::once(program.clone()).chain(visible).collect();
    let page = |command: clap::Command| {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let mut page = HEADER.as_bytes().to_vec();
        Man::new(command).title(name.clone()).date("").manual("GrootFS").render(&mut page).unwrap();
        (PathBuf::from(format!("docs/man/{name}.1")), page)
    };
    commands.into_iter().map(page).collect()
}

/// What the helper says of itself.
fn helper() -> Vec<u8> {
    let source = fs::read_to_string(root().join("drax/src/helper/mod.rs")).unwrap();
    let help = source.split_once("const HELP: &str = \"\\\n").unwrap().1.split_once("\";").unwrap().0;
    let (text, usage) = help.split_once("\n\n").unwrap();
    page(("drax", "8"), "setuid helper of grootfs for disk quotas", text, usage, "grootfs(1)")
}

pub(super) fn page((name, section): (&str, &str), what: &str, text: &str, literal: &str, see: &str) -> Vec<u8> {
    let literal: String = literal.lines().map(|line| format!("{}\n", escape(line))).collect();
    let title = name.to_uppercase().replace('-', "\\-");
    let name = name.replace('-', "\\-");
    format!(
        "{HEADER}.TH {title} {section} \"\" \"\" GrootFS\n.SH NAME\n{name} \\- {what}\n.SH DESCRIPTION\n{text}\n.PP\n\
         .nf\n{literal}.fi\n.SH SEE ALSO\n{see}\n"
    )
    .into_bytes()
}

/// A line as it is, whatever it begins with.
fn escape(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[test]
fn man_pages_and_completions_are_those_of_the_flags() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut stale = Vec::new();
    for (path, content) in generated() {
        let path = root().join(path);
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &content).unwrap();
        } else if fs::read(&path).ok().as_deref() != Some(&content) {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "run UPDATE=1 cargo test --test repository generated, for {stale:?}");
}

#[test]
fn no_page_is_left_of_a_command_that_is_gone() {
    let expected: Vec<PathBuf> = generated().into_iter().map(|(path, _)| root().join(path)).collect();
    for directory in ["docs/man", "docs/completions"] {
        for path in super::files_below(&root().join(directory)) {
            assert!(expected.contains(&path), "{} is made from nothing", path.display());
        }
    }
}
