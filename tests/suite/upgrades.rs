//! Stores of other versions: older ones work, and are taken over by init-store in one step; later ones are left alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use crate::support::{DRIVER, Driver, TempStore, names, run, small_image, succeed, with_fault};

const FORMAT: &str = "user.grootfs.format";

/// Few kernels have XFS quotas.
static INIT: LazyLock<&[&str]> = LazyLock::new(|| match *DRIVER {
    Driver::OverlayXfs => &["init-store", "--without-quota"],
    Driver::Btrfs => &["init-store"],
});

fn format(store: &TempStore) -> Option<String> {
    let path = store.path().to_str().unwrap();
    let output = Command::new("getfattr").args(["--only-values", "-n", FORMAT, path]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn set_format(store: &TempStore, version: &str) {
    succeed("setfattr", ["-n", FORMAT, "-v", version, store.path().to_str().unwrap()]);
}

/// Takes out of a store all that versions before the record of the format did not write.
fn make_older(store: &TempStore) {
    remove_attributes(store.path());
    for directory in ["images", "meta", "volumes"] {
        for name in names(&store.path().join(directory)) {
            remove_attributes(&store.path().join(directory).join(name));
        }
    }
    for record in names(&store.path().join("meta/dependencies")) {
        remove_attributes(&store.path().join("meta/dependencies").join(record));
    }
    for name in names(&store.path().join("meta")) {
        let path = store.path().join("meta").join(&name);
        if ["sizes.json", "totals.json"].contains(&name.as_str()) || name.starts_with("digests-") {
            fs::remove_file(path).unwrap();
        } else if name == "documents" {
            fs::remove_dir_all(path).unwrap();
        }
    }
}

fn remove_attributes(path: &Path) {
    let path = path.to_str().unwrap();
    let listed = Command::new("getfattr").args(["--absolute-names", "-m", "grootfs", path]).output().unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.contains(".grootfs.")) {
        succeed("setfattr", ["-x", name, path]);
    }
}

/// A store of an older version with an image in it.
fn older() -> (TempStore, String) {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "old");
    make_older(&store);
    assert_eq!(format(&store), None);
    (store, url)
}

#[track_caller]
fn assert_works(store: &TempStore, url: &str, context: &str) {
    store.stats("old");
    assert_eq!(fs::read(store.rootfs("old").join("hello")).unwrap(), b"hello\n", "{context}");
    store.create(url, "new");
    assert_eq!(store.volumes().len(), 1, "{context}: the layer was not used again");
    store.ok(["clean"]);
    for id in ["old", "new"] {
        store.ok(["delete", id]);
    }
    store.ok(["clean"]);
    assert_eq!(store.volumes().len(), 0, "{context}");
}

#[test]
fn a_new_store_has_its_version_on_record() {
    assert_eq!(format(&TempStore::new()).as_deref(), Some("1"));
}

#[test]
fn an_older_store_works_as_it_is() {
    let (store, url) = older();
    assert_works(&store, &url, "as it is");
    assert_eq!(format(&store), None);
}

#[test]
fn init_store_takes_an_older_store_over() {
    let (store, url) = older();
    store.ok(*INIT);
    assert_eq!(format(&store).as_deref(), Some("1"));
    assert_works(&store, &url, "taken over");
}

#[test]
fn taking_a_store_over_survives_a_kill_at_any_change() {
    let mut strikes = 0;
    for call in ["?fsetxattr", "?setxattr", "?write", "?rename", "?renameat", "?fchmod", "?chmod", "?fchown", "?ioctl"]
    {
        for nth in 1..100 {
            let (store, url) = older();
            let fault = format!("{call}:signal=KILL:when={nth}");
            let (_, is_struck) = with_fault(&store.command(*INIT), &fault);
            let again = run(&mut store.command(*INIT));
            assert_eq!(again.code, Some(0), "{fault}: {again:?}");
            assert_eq!(format(&store).as_deref(), Some("1"), "{fault}");
            assert_works(&store, &url, &fault);
            if !is_struck {
                break;
            }
            strikes += 1;
        }
    }
    assert!(strikes > 3, "only {strikes} strikes");
}

#[test]
fn a_store_of_a_later_version_is_left_alone() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    for version in ["2", "1.5", "later"] {
        set_format(&store, version);
        let commands: [&[&str]; 12] = [
            &["create", &url, "y"],
            &["delete", "x"],
            &["stats", "x"],
            &["list"],
            &["clean"],
            &["check", "--repair"],
            &["usage"],
            &["pull", &url],
            &["mount", "x"],
            &["umount", "x"],
            &["init-store"],
            &["delete-store"],
        ];
        for command in commands {
            let refused = run(&mut store.command(command));
            let message = format!(
                "the store {} has the format {version}, and this grootfs supports none later than 1: use the grootfs that made \
                 it, or a later one",
                store.path().display()
            );
            assert_eq!((refused.code, refused.stdout.trim_end()), (Some(1), message.as_str()), "{command:?}");
        }
        assert_eq!(format(&store).as_deref(), Some(version));
    }
    set_format(&store, "1");
    store.stats("x");
    assert_eq!(names(&store.path().join("images")), ["x"]);
}
