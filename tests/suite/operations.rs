//! Every command of the runbook in `docs/operations.md`, on a store in the state that its section is about: it prints what
//! stands there, but for numbers. The runbook shows overlay-xfs; on btrfs some commands print something else.
//!
//! `UPDATE=1` writes into the runbook what the commands have printed. Lines that differ between machines are to be replaced
//! by one of `...` there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::shown::fits;
use crate::support::{DRIVER, MIB, TempStore, detach_loops, layers, run, small_image, unmount_below};

const STORE: &str = "/var/lib/grootfs/xfs";
const IMAGE: &str = "oci:///srv/images/app:latest";
const PROMPT: &str = "# ";
/// The code that the command before has ended with is printed as shells do it. Without this, it is 0.
const EXIT_CODE: &str = "# echo $?";

/// Sections and commands of which the output is another one on btrfs: it has no inodes to count, images there need no mount,
/// and whoever names commands or looks at the machine names the driver.
const DIFFERENT_ON_BTRFS: [(&str, &str); 6] = [
    ("The disk is full", "usage"),
    ("Inodes are full", "usage"),
    ("Inodes are full", "doctor"),
    ("A delete does not finish", "doctor"),
    ("After a reboot", "stats my-image"),
    ("After a reboot", "mount my-image"),
];

/// A command of the runbook.
struct Step {
    /// Its line without the prompt.
    command: String,
    /// What it prints, line by line.
    output: Vec<String>,
    code: i32,
}

const BLOCK: &str = "```console\n";

/// The text of the console block of a section that has one.
fn console(section: &str) -> Option<&str> {
    let mut blocks = section.split(BLOCK).skip(1).map(|rest| rest.split("```").next().unwrap());
    let first = blocks.next();
    assert!(blocks.next().is_none(), "one block a section: {section}");
    first
}

/// The commands in a console block.
fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        if line == EXIT_CODE {
            steps.last_mut().unwrap().code = lines.next().unwrap().parse().unwrap();
        } else if let Some(command) = line.strip_prefix(PROMPT) {
            steps.push(Step { command: command.to_owned(), output: Vec::new(), code: 0 });
        } else {
            steps.last_mut().unwrap().output.push(line.to_owned());
        }
    }
    steps
}

/// The console block of these commands.
fn block(steps: &[Step]) -> String {
    let text = |Step { command, output, code }: &Step| {
        let output: String = output.iter().map(|line| format!("{line}\n")).collect();
        let code = if *code == 0 { String::new() } else { format!("{EXIT_CODE}\n{code}\n") };
        format!("{PROMPT}{command}\n{output}{code}")
    };
    steps.iter().map(text).collect()
}

fn runbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")
}

/// A process that a section is about, ended however the test ends.
struct Background(Child);

impl Background {
    /// Runs a script, which says when it is ready.
    fn run(script: &str) -> Self {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Background(child)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store with an image, with the source of another one, and with what the section is about.
fn store_of(heading: &str) -> (TempStore, String, Option<Background>) {
    let store = TempStore::with_size(400 * MIB);
    store.create(&layers(&store, "image", 2).0, "my-image");
    store.create(&small_image(&store.beside("unused")), "unused");
    store.ok(["delete", "unused"]);
    store.ok(["flush-volumes"]);
    let url = small_image(&store.beside("app"));
    let mut background = None;
    match heading {
        "The disk is full" => {
            fill(&store.rootfs("my-image").join("large"));
        }
        "The store is damaged" => {
            let volumes = store.volumes();
            fs::remove_file(store.path().join(format!("meta/volume-{}", volumes[0]))).unwrap();
            fs::create_dir(store.path().join("tmp/create.dead")).unwrap();
            fs::write(store.path().join("images/notes.txt"), "").unwrap();
        }
        "After a power cut" | "After a reboot" => {
            unmount_below(store.path());
            detach_loops(store.path().parent().unwrap());
        }
        "A create is slow" => {
            // The shell opens it, and with flock(1) locks it.
            let lock = store.path().join("locks/global-groot-lock.lock");
            let script =
                format!("exec 9<>{} && flock --exclusive 9 && echo ready && exec sleep infinity", lock.display());
            background = Some(Background::run(&script));
        }
        "A delete does not finish" => {
            store.create(&url, "gone");
            let script = format!("cd {} && echo ready && exec sleep infinity", store.rootfs("gone").display());
            background = Some(Background::run(&script));
            store.ok(["delete", "gone"]);
        }
        _ => {}
    }
    (store, url, background)
}

/// Writes a file until there is no room for more.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[7; 256 * 1024]).is_ok() {}
    while file.write_all(&[7; 512]).is_ok() {}
    let _ = file.sync_all();
}

/// A command of the runbook on the test's store.
fn arguments(step: &Step, url: &str) -> Vec<String> {
    let line = step.command.strip_prefix(&format!("grootfs --store {STORE} "));
    let line = line.unwrap_or_else(|| panic!("no command on the store of the runbook: {}", step.command));
    let mut arguments: Vec<String> = line.split_whitespace().map(|word| word.replace(IMAGE, url)).collect();
    // This kernel may have no quotas of XFS.
    if arguments[0] == "init-store" && DRIVER.filesystem() == "xfs" {
        arguments.push("--without-quota".to_owned());
    }
    arguments
}

#[test]
fn the_commands_of_the_runbook_print_what_it_shows() {
    let is_update = std::env::var_os("UPDATE").is_some() && DRIVER.filesystem() == "xfs";
    let mut text = fs::read_to_string(runbook()).unwrap();
    let mut sections = 0;
    for section in text.clone().split("\n## ").skip(1) {
        let Some(shown) = console(section) else { continue };
        sections += 1;
        let heading = section.lines().next().unwrap();
        let (store, url, _background) = store_of(heading);
        let mut steps = steps(shown);
        for step in &mut steps {
            let outcome = run(&mut store.command(arguments(step, &url)));
            let context = format!("{heading}: {}: {outcome:?}", step.command);
            let output = outcome.stdout.replace(store.path().to_str().unwrap(), STORE).replace(&url, IMAGE);
            let output: Vec<String> = output.lines().map(|line| line.trim_end().to_owned()).collect();
            if is_update {
                step.code = outcome.code.unwrap();
                if !fits(&step.output, &output) {
                    step.output = output;
                }
            } else {
                assert_eq!(outcome.code, Some(step.code), "{context}");
                let is_same = DRIVER.filesystem() == "xfs"
                    || !DIFFERENT_ON_BTRFS.iter().any(|other| other.0 == heading && step.command.ends_with(other.1));
                assert!(
                    !is_same || fits(&step.output, &output),
                    "{context}: expected {:#?}, printed {output:#?}",
                    step.output
                );
            }
        }
        text = text.replacen(shown, &block(&steps), 1);
    }
    assert_eq!(sections, 7);
    if is_update {
        fs::write(runbook(), text).unwrap();
    }
}
