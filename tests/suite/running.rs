//! The lines of docs/running.md do what they say.

use std::fs;
use std::path::Path;

use crate::support::{
    Archive, CGROUP2_ALONE, DRIVER, Image, Layer, Registry, TempStore, busybox_layer, grootfs_binary, program, run,
};

const STORE: &str = "/var/lib/grootfs/store";
const IMAGE: &str = "docker:///library/busybox:latest";

/// Lines of root's of the section `heading`.
fn lines(heading: &str) -> Vec<String> {
    console(heading).into_iter().map(|(line, _)| line).collect()
}

/// The same, each with the output that the page has for it.
fn console(heading: &str) -> Vec<(String, String)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/running.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let blocks = section.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut lines: Vec<(String, String)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("# "), lines.last_mut()) {
            (Some(command), _) => lines.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("output of no command: {line}"),
        }
    }
    lines
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
    for line in lines("By hand") {
        let line = line.replace(STORE, store.path().to_str().unwrap()).replace(IMAGE, &url);
        if line.starts_with("R=") {
            setup = format!("{setup}; {line}");
            continue;
        }
        let line = line.strip_prefix("grootfs ").map_or(line.clone(), |rest| format!("{grootfs} {rest}"));
        let outcome = run(program("sh").args(["-c", &format!("{setup}; {line}")]));
        assert_eq!(outcome.code, Some(0), "{line}: {outcome:?}");
        // A program may give the shell a terminal, whose lines end otherwise.
        if outcome.stdout.trim_end() == "started" {
            started.extend(line.split(' ').next().map(str::to_owned));
        }
    }
    assert_eq!(started, ["chroot", "unshare", "bwrap", "systemd-nspawn"]);
    assert!(!store.image("x").exists());
}

/// Whether a text is that of the page, in which `…` stands for anything on its line.
fn is_output(text: &str, page: &str) -> bool {
    text.lines().count() == page.lines().count()
        && text.lines().zip(page.lines()).all(|(line, pattern)| {
            let mut rest = Some(line);
            for (n, part) in pattern.split('…').enumerate() {
                rest = rest.and_then(|rest| match n {
                    0 => rest.strip_prefix(part),
                    _ => rest.find(part).map(|at| &rest[at + part.len()..]),
                });
            }
            rest.is_some_and(|rest| rest.is_empty() || pattern.ends_with('…'))
        })
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
    for (line, output) in [console("As an OCI bundle"), console("What a container changed")].concat() {
        let mut command = here(&line);
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
        if !line.contains(" create ") {
            assert!(is_output(&outcome.stdout, &here(&output)), "{line}: {outcome:?}");
        }
    }
    assert_eq!(started, ["runc", "crun"]);
}
