//! The pages of the documentation: their blocks of commands, who runs each of them, and what the commands print.

use std::fs;
use std::path::Path;

pub use crate::programs::test_program as program_name;
use crate::shown;

/// Who runs a block of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// `tests/pages/`, in this test program.
    In(&'static str),
    /// A test of its own in this file, which reads the page.
    File(&'static str),
    /// Nobody can here, for this reason.
    Nobody(&'static str),
}
use Runner::{File, In, Nobody};

const XFS: Runner = In("on_overlay_xfs");
const BTRFS: Runner = In("on_btrfs");
const QUOTAS: Runner = In("guest_quota");
const RUNBOOK: Runner = File("tests/suite/operations.rs");
const RUNNING: Runner = File("tests/suite/running.rs");
const ROOTLESS: Runner = File("tests/rootless/containers.rs");
const TESTS: Runner = Nobody("builds this repository and runs its tests");

/// The blocks of all pages, by page and heading, in their order below it.
#[rustfmt::skip]
pub const RUNNERS: [(&str, &str, &[Runner]); 38] = [
    ("README.md", "Start", &[File("tests/command_line/quick_setup.rs")]),
    ("README.md", "Use", &[BTRFS]),
    ("CONTRIBUTING.md", "From a clone to the first green test", &[TESTS]),
    ("deploy/bosh/README.md", "A BOSH release", &[Nobody("needs the BOSH CLI and a director")]),
    ("docs/development.md", "Testing", &[TESTS]),
    ("docs/development.md", "Tests that need XFS quotas", &[Nobody("boots guests, as the tests of XFS quotas do")]),
    ("docs/fleets.md", "Fleets: many cells, one registry", &[XFS]),
    ("docs/fleets.md", "Peer to peer", &[XFS]),
    ("docs/garden.md", "Verifying the installation", &[BTRFS]),
    ("docs/garden.md", "One set of layers for both stores", &[XFS]),
    ("docs/operations.md", "The disk is full", &[RUNBOOK]),
    ("docs/operations.md", "Inodes are full", &[RUNBOOK]),
    ("docs/operations.md", "A create is slow", &[RUNBOOK]),
    ("docs/operations.md", "A delete does not finish", &[RUNBOOK]),
    ("docs/operations.md", "The store is damaged", &[RUNBOOK]),
    ("docs/operations.md", "After a power cut", &[RUNBOOK]),
    ("docs/operations.md", "After a reboot", &[RUNBOOK]),
    ("docs/quotas.md", "Switching between simple and classic", &[BTRFS]),
    ("docs/quotas.md", "Looking at it by hand", &[BTRFS, QUOTAS]),
    ("docs/reference.md", "Installation", &[Nobody("needs systemd; hack/test-packages installs the units")]),
    ("docs/reference.md", "init-store", &[XFS, XFS, XFS]),
    ("docs/reference.md", "create", &[XFS]),
    ("docs/reference.md", "Disk limits and drax", &[BTRFS, QUOTAS, BTRFS]),
    ("docs/reference.md", "Unprivileged containers (id-mapped stores)", &[XFS, XFS]),
    ("docs/reference.md", "Ordinary users", &[ROOTLESS]),
    ("docs/reference.md", "stats, list, delete", &[BTRFS]),
    ("docs/reference.md", "mount, umount", &[XFS]),
    ("docs/reference.md", "clean", &[XFS]),
    ("docs/reference.md", "delete-store", &[XFS]),
    ("docs/reference.md", "Output, exit codes, logs", &[XFS]),
    ("docs/reference.md", "Metrics", &[XFS]),
    ("docs/reference.md", "Tests", &[TESTS, Nobody("needs a Concourse server")]),
    ("docs/rootless.md", "Ordinary users", &[ROOTLESS]),
    ("docs/rootless.md", "By hand", &[ROOTLESS, ROOTLESS, ROOTLESS]),
    ("docs/running.md", "By hand", &[RUNNING]),
    ("docs/running.md", "As an OCI bundle: runc and crun", &[RUNNING]),
    ("docs/running.md", "What a container changed", &[RUNNING]),
    ("docs/security-tests.md", "Memory safety", &[Nobody("needs valgrind, or hours with a sanitizer")]),
];

/// A block of commands, or of a configuration.
#[derive(Clone, Debug)]
pub struct Block {
    /// The page's path in the repository.
    pub page: String,
    /// The heading that it is below.
    pub heading: String,
    /// Its number below that heading, from 0.
    pub number: usize,
    /// What follows the fence: `console`, `sh`, `yaml` or nothing.
    pub language: String,
    /// The lines in it.
    pub text: String,
}

/// A command of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What a shell is given.
    pub command: String,
    /// Whether root runs it.
    pub is_of_root: bool,
    /// What it prints, line by line; `None` where the page has no outputs.
    pub output: Option<Vec<String>>,
}

impl Block {
    /// Who runs it, if that is decided.
    pub fn runner(&self) -> Option<Runner> {
        let row = RUNNERS.iter().find(|(page, heading, _)| *page == self.page && *heading == self.heading);
        row.and_then(|(_, _, runners)| runners.get(self.number).copied())
    }

    /// Its commands: in `console` blocks those after a prompt, otherwise each line.
    pub fn steps(&self) -> Vec<Step> {
        let lines = self.text.replace("\\\n", " ");
        let mut steps: Vec<Step> = Vec::new();
        for line in lines.lines() {
            let of_root = line.strip_prefix("# ");
            let is_of_root = of_root.is_some() || self.language != "console";
            match (self.language.as_str(), of_root.or(line.strip_prefix("$ ")), steps.last_mut()) {
                ("console", Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), is_of_root, output: Some(Vec::new()) });
                }
                ("console", None, Some(Step { output: Some(output), .. })) => output.push(line.to_owned()),
                ("console", None, _) => panic!("output of no command: {self:?}"),
                _ => steps.push(Step { command: line.to_owned(), is_of_root, output: None }),
            }
        }
        steps
    }
}

impl Step {
    /// Whether it may print this.
    pub fn shows(&self, printed: &str) -> bool {
        let lines: Vec<String> = printed.lines().map(|line| line.trim_end().to_owned()).collect();
        self.output.as_ref().is_none_or(|output| shown::fits(output, &lines))
    }
}

/// Languages of blocks that nothing can be done with.
const NOT_RUN: [&str; 4] = ["json", "toml", "nginx", "text"];

/// All blocks of commands of all pages but the man pages, which are generated and have none.
pub fn blocks() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = Vec::new();
    for directory in ["", "docs", "deploy/bosh"] {
        let names = fs::read_dir(root.join(directory)).expect("a directory of pages");
        let names = names.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        let names = names.filter(|name| name.ends_with(".md"));
        pages.extend(names.map(|name| format!("{directory}/{name}").trim_start_matches('/').to_owned()));
    }
    pages.sort();
    let text = |page: &String| fs::read_to_string(root.join(page)).expect("a page");
    pages.iter().flat_map(|page| blocks_of(page, &text(page))).collect()
}

/// Whether it is run by this test program.
pub fn runs_here(block: &Block) -> bool {
    block.runner() == Some(In(program_name()))
}

/// The blocks below one heading, in their order.
pub fn blocks_below(page: &str, heading: &str) -> Vec<Block> {
    let below = |block: &Block| block.page == page && block.heading == heading;
    blocks().into_iter().filter(below).collect()
}

fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut heading, mut number) = (String::new(), 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            (heading, number) = (line.trim_start_matches('#').trim().to_owned(), 0);
        }
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let inner = lines.by_ref().take_while(|line| line.trim_start() != "```");
        let text: String = inner.map(|line| format!("{line}\n")).collect();
        if NOT_RUN.contains(&language) {
            continue;
        }
        let language = language.to_owned();
        blocks.push(Block { page: page.to_owned(), heading: heading.clone(), number, language, text });
        number += 1;
    }
    blocks
}
