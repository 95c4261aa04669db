//! What a user may not do, and what is missing where it does not work; each in one line, and nothing changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::rootless::{IDS, USER, UsersStore};
use crate::support::{DRIVER, Driver, Outcome, TempStore, User, run, small_image};

const OTHER: u32 = 4712;

#[test]
fn another_user_s_images_are_out_of_reach() {
    for store in [UsersStore::mapped(), UsersStore::unmapped()] {
        let url = small_image(&store.images().join("image"));
        store.create(&url, "x");
        let other = User::new(store.store.path().parent().unwrap(), OTHER, &[(900_000, 1000)]);
        for arguments in [
            &["stats", "x"][..],
            &["delete", "x"],
            &["clean"],
            &["list"],
            &["create", "--without-mount", &url, "y"],
            &["delete-store"],
            &["generate-volume-size-metadata"],
        ] {
            let message = other.run(&store.store, arguments).failure();
            assert!(message.contains("permission denied"), "{arguments:?}: {message}");
        }
        assert!(store.store.image("x").exists() && store.store.volumes().len() == 1);
        assert_eq!(store.store.leftovers(), [""; 0]);
        store.ok(&["delete", "x"]);
    }
}

#[test]
fn only_root_initialises_stores() {
    let store = TempStore::uninitialised();
    let user = User::new(store.path().parent().unwrap(), USER, &[IDS]);
    let message = user.run(&store, ["init-store"]).failure();
    assert_eq!(message, format!("store {} can only be initialized by Root user", store.path().display()));
}

/// A copy of layers is there once it is made; an overlay is one by being mounted.
#[test]
fn mounting_an_overlay_is_left_to_the_caller() {
    for store in [UsersStore::mapped(), UsersStore::unmapped()] {
        let url = small_image(&store.images().join("image"));
        if *DRIVER == Driver::Btrfs {
            store.ok(&["create", &url, "x"]);
            continue;
        }
        let message = store.fails(&["create", &url, "x"]);
        assert!(message.ends_with("mounting takes root; use --without-mount to leave it to the caller"), "{message}");
        assert!(!store.store.image("x").exists());
        assert_eq!(store.store.leftovers(), [""; 0]);
    }
}

#[test]
fn the_programs_that_map_ids_must_be_there() {
    let store = UsersStore::mapped();
    let url = small_image(&store.images().join("image"));
    for (kind, program) in [("uid", "newuidmap"), ("gid", "newgidmap")] {
        let flag = format!("--{program}-bin");
        let message = store.fails(&[&flag, "/no/such/program", "create", "--without-mount", &url, "x"]);
        assert_eq!(
            message,
            format!(
                "setting {kind} mapping: /no/such/program, which was not found: install {program}, or name it with \
                 {flag}"
            )
        );
    }
    assert_eq!((store.store.volumes(), store.store.leftovers()), (vec![], vec![]));
}

#[test]
fn the_programs_that_map_ids_need_the_setuid_bit() {
    let store = UsersStore::mapped();
    let url = small_image(&store.images().join("image"));
    let copy = store.user.bin().join("newuidmap");
    fs::copy("/usr/bin/newuidmap", &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    // It is the first in the user's $PATH.
    let message = store.fails(&["create", "--without-mount", &url, "x"]);
    assert!(message.starts_with("setting uid mapping: newuidmap, "), "{message}");
    let hint = format!(": exit status 1; {} has neither the setuid bit nor a file capability", copy.display());
    assert!(message.ends_with(&hint), "{message}");
    assert_eq!((store.store.volumes(), store.store.leftovers()), (vec![], vec![]));

    chown(&copy, Some(0), Some(0)).unwrap();
    run(Command::new("setcap").arg("cap_setuid+ep").arg(&copy)).success();
    store.create(&url, "x");
}

#[test]
fn ids_that_the_user_does_not_have_are_refused() {
    let store = UsersStore::mapped();
    let url = small_image(&store.images().join("image"));
    store.user.give(&[(IDS.0, IDS.1 - 1)]);
    let message = store.fails(&["create", "--without-mount", &url, "x"]);
    assert!(message.starts_with("setting uid mapping: newuidmap, newuidmap: uid range [1-65537) -> "), "{message}");
    assert!(message.ends_with("; ids of a store that are not the caller's own must be given to it in /etc/subuid"));
    assert_eq!((store.store.volumes(), store.store.leftovers()), (vec![], vec![]));
    // What changes nothing needs no namespace.
    store.ok(&["list"]);
}

#[test]
fn a_store_whose_mappings_leave_out_root_is_of_no_use_to_users() {
    let store = TempStore::uninitialised();
    let user = User::new(store.path().parent().unwrap(), USER, &[IDS]);
    let mapping = ["--uid-mapping", "1:100000:65536", "--gid-mapping", "1:100000:65536"].map(str::to_owned);
    store.ok([super::init_flags(), mapping.to_vec()].concat());
    run(Command::new("chown").args(["-R", &USER.to_string()]).arg(store.path())).success();
    let image = user.home().join("image");
    let message = user.run(&store, ["create", "--without-mount", &small_image(&image), "x"]).failure();
    assert!(message.starts_with("the store's id mappings leave out root (id 0)"), "{message}");
}

/// Creates the image `x` by way of another program.
fn create_through(store: &UsersStore, wrapper: &[&str]) -> Outcome {
    let url = small_image(&store.images().join("image"));
    let mut command = store.user.command(wrapper[0]);
    command.args(&wrapper[1..]).args(["grootfs", "--driver", DRIVER.name(), "--store"]).arg(store.store.path());
    run(command.args(["create", "--without-mount", &url, "x"]))
}

#[test]
fn where_there_can_be_no_namespace_the_reason_is_told() {
    let store = UsersStore::mapped();
    let fails = |wrapper: &[&str], reason: &str| {
        let message = create_through(&store, wrapper).failure();
        assert!(message.ends_with(reason), "{message}");
        assert_eq!((store.store.volumes(), store.store.leftovers()), (vec![], vec![]));
    };
    let bound = "; newuidmap may do no more than its caller, who runs with no_new_privs";
    fails(&["setpriv", "--no-new-privs"], bound);
    let refused =
        ["strace", "-f", "-o", "/dev/null", "-e", "trace=unshare", "-e", "inject=unshare:error=ENOSPC:when=1"];
    let hint = "; the sysctl user.max_user_namespaces says how many there may be";
    fails(&refused, &format!("running as root of a user namespace: no space left on device{hint}"));
}

/// Its parent may have had its children forgotten when they end.
#[test]
fn children_are_waited_for_whatever_the_parent_made_of_its_own() {
    let store = UsersStore::mapped();
    create_through(&store, &["env", "--ignore-signal=CHLD"]).success();
    assert!(store.store.image("x").exists());
}
