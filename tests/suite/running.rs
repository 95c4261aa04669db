//! The lines of docs/running.md do what they say.

use crate::support::pages::{Block, Step, blocks_below};
use crate::support::{
    Archive, CGROUP2_ALONE, DRIVER, Image, Layer, Registry, TempStore, busybox_layer, grootfs_binary, program, run,
};

const STORE: &str = "/var/lib/grootfs/store";
const IMAGE: &str = "docker:///library/busybox:latest";

/// The commands of the section `heading`.
fn steps(heading: &str) -> Vec<Step> {
    blocks_below("docs/running.md", heading).iter().flat_map(Block::steps).collect()
}

#[test]
fn each_program_starts_in_the_root_filesystem() {
    let store = TempStore::new();
    let directories = ["usr", "run", "var", "root"];
    let archive = directories.iter().fold(Archive::new(), |archive, name| archive.directory(name, 0o755));
    let image = Image::new().layer(busybox_layer()).layer(Layer::new(archive.bytes()));
    let url = image.write(&store.beside("image"), "latest");
    let grootfs = format!("{} --driver {}", grootfs_binary(), DRIVER.name());
    let mut setup = "set -e".to_owned();
    let mut started = Vec::new();
    for step in steps("By hand") {
        let line = step.command.replace(STORE, store.path().to_str().unwrap()).replace(IMAGE, &url);
        if line.starts_with("R=") {
            setup = format!("{setup}; {line}");
            continue;
        }
        let line = line.strip_prefix("grootfs ").map_or(line.clone(), |rest| format!("{grootfs} {rest}"));
        let outcome = run(program("sh").args(["-c", &format!("{setup}; {line}")]));
        assert_eq!(outcome.code, Some(0), "{line}: {outcome:?}");
        // A program may give the shell a terminal, whose lines end otherwise.
        assert!(step.shows(&outcome.stdout.replace('\r', "")), "{line}: {outcome:?}");
        if outcome.stdout.trim_end() == "started" {
            started.extend(line.split(' ').next().map(str::to_owned));
        }
    }
    assert_eq!(started, ["chroot", "unshare", "bwrap", "systemd-nspawn"]);
    assert!(!store.image("x").exists());
}

#[test]
fn bundles_start_and_changes_are_told_and_committed() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let url = Image::new().layer(busybox_layer()).write(&store.beside("image"), "latest");
    let grootfs = format!("{} --driver {}", grootfs_binary(), DRIVER.name());
    let layouts = store.beside("layouts");
    let here = |text: &str| {
        let text = text.replace(STORE, store.path().to_str().unwrap()).replace(IMAGE, &url);
        let text = text.replace("oci:///layouts", &format!("oci://{}", layouts.display()));
        text.replace("registry.example", &registry.host())
    };
    let mut started = Vec::new();
    for step in [steps("As an OCI bundle: runc and crun"), steps("What a container changed")].concat() {
        let line = &step.command;
        let mut command = here(line);
        command = command.strip_prefix("grootfs ").map_or(command.clone(), |rest| format!("{grootfs} {rest}"));
        command = command.replace(" commit ", &format!(" commit --insecure-registry {} ", registry.host()));
        let mut shell = program("sh");
        if let Some(runtime) = line.split(' ').next().filter(|word| ["runc", "crun"].contains(word)) {
            started.push(runtime.to_owned());
            // This machine may mount both versions of cgroups, and has no systemd to ask for one.
            command = command.replace("crun run", "crun --cgroup-manager=disabled run");
            command = format!("{CGROUP2_ALONE} && {command}");
            shell = program("unshare");
            shell.args(["--mount", "sh"]);
        }
        let outcome = run(shell.args(["-c", &command]).current_dir(store.path().parent().unwrap()));
        assert_eq!(outcome.code, Some(0), "{line}: {outcome:?}");
        let shown = Step {
            output: step.output.clone().map(|lines| lines.iter().map(|line| here(line)).collect()),
            ..step.clone()
        };
        assert!(shown.shows(&outcome.stdout), "{line}: {outcome:?}");
    }
    assert_eq!(started, ["runc", "crun"]);
}
