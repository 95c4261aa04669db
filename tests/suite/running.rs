//! The lines of docs/running.md do what they say.

use std::fs;
use std::path::Path;

use crate::support::{Archive, DRIVER, Image, Layer, TempStore, busybox_layer, grootfs_binary, program, run};

const STORE: &str = "/var/lib/grootfs/store";
const IMAGE: &str = "docker:///library/busybox:latest";

/// Lines of root's of the section `heading`.
fn lines(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/running.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    section.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
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
