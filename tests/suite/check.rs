//! `check` and `doctor`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::{
    DRIVER, Driver, TempStore, detach_loops, grootfs_binary, layers, mount, names, program, run, small_image, succeed,
    unmount_below, wait_for,
};

/// The exit code and the document of a check.
fn check(store: &TempStore, flags: &[&str]) -> (Option<i32>, Value) {
    let outcome = run(&mut store.command([&["check", "--json"], flags].concat()));
    let document = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
    (outcome.code, document)
}

/// Kinds of findings, each once.
fn kinds(findings: &Value) -> Vec<String> {
    let all = findings.as_array().unwrap().iter();
    let mut kinds: Vec<String> = all.map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Waits until the new layers are on disk, which nobody else waits for.
fn flush(store: &TempStore) {
    store.ok(["flush-volumes"]);
    let path = store.path().to_str().unwrap();
    let flushes = |pid: &String| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.contains("flush-volumes") && words.contains(path)
    };
    wait_for("the flush that the create started", || !names(Path::new("/proc")).iter().any(flushes));
}

#[test]
fn a_whole_store_has_no_findings_also_while_others_work() {
    let store = TempStore::new();
    let (url, _) = layers(&store, "image", 2);
    store.create(&url, "x");
    store.ok(["create", "--without-mount", &url, "callers"]);
    flush(&store);
    assert_eq!(store.ok(["check"]), "no findings\n");
    std::thread::scope(|scope| {
        let store = &store;
        // One unpacks layers, which the other cleans away.
        let cold = scope.spawn(move || {
            for n in 0..8 {
                let id = format!("cold-{n}");
                store.create(&layers(store, &id, 3).0, &id);
                store.ok(["delete", &id]);
            }
        });
        let warm = scope.spawn(move || {
            for _ in 0..8 {
                store.create(&url, "warm");
                store.ok(["delete", "warm"]);
                store.ok(["clean"]);
            }
        });
        while !cold.is_finished() || !warm.is_finished() {
            let (code, report) = check(store, &[]);
            assert_eq!(code, Some(0), "{report}");
        }
    });
}

#[test]
fn what_dead_processes_left_is_found_and_repaired() {
    let store = TempStore::new();
    let (url, chain) = layers(&store, "image", 2);
    store.create(&url, "x");
    fs::write(store.own_files("x").join("own"), "own").unwrap();
    flush(&store);
    let root = store.path();
    fs::create_dir(root.join("tmp/create.dead")).unwrap();
    fs::create_dir(root.join("tmp/dead.1")).unwrap();
    fs::create_dir(root.join(format!("volumes/{}-incomplete-1-2", "a".repeat(64)))).unwrap();
    fs::write(root.join("meta/dependencies/image:gone.json"), "[]").unwrap();
    fs::write(root.join(format!("meta/volume-{}", "b".repeat(64))), "{\"Size\":1}").unwrap();
    fs::write(root.join(format!("meta/volume-{}", chain[0])), "").unwrap();
    let mut expected = vec![
        "image-unfinished",
        "layer-half-removed",
        "layer-size-missing",
        "layer-unfinished",
        "record-without-image",
        "record-without-layer",
    ];
    if *DRIVER == Driver::OverlayXfs {
        symlink(root.join("volumes").join("c".repeat(64)), root.join("l/ABCD")).unwrap();
        fs::create_dir(root.join("projectids/77")).unwrap();
        expected.insert(0, "driver-leftover");
    }
    let (code, report) = check(&store, &[]);
    assert_eq!((code, kinds(&report["findings"])), (Some(4), expected.iter().map(ToString::to_string).collect()));
    assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["repairable"] == true), "{report}");
    let (code, again) = check(&store, &[]);
    assert_eq!((code, &again["findings"]), (Some(4), &report["findings"]), "a check changes nothing");

    let (code, repaired) = check(&store, &["--repair"]);
    assert_eq!((code, kinds(&repaired["findings"])), (Some(0), vec![]), "{repaired}");
    assert_eq!(kinds(&repaired["repaired"]), expected);
    assert_eq!(store.leftovers(), [""; 0]);
    assert_eq!(fs::read_to_string(root.join(format!("meta/volume-{}", chain[0]))).unwrap(), "{\"Size\":7}\n");
    assert_eq!(fs::read_to_string(store.rootfs("x").join("own")).unwrap(), "own");
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn damage_and_strangers_are_named_with_the_remedy_and_left_alone() {
    let store = TempStore::new();
    let (url, chain) = layers(&store, "image", 1);
    store.create(&url, "torn");
    store.create(&layers(&store, "other", 1).0, "lost");
    flush(&store);
    let root = store.path();
    fs::write(root.join("meta/dependencies/image:torn.json"), "[").unwrap();
    let lost = store.volumes().into_iter().find(|volume| *volume != chain[0]).unwrap();
    fs::rename(root.join("volumes").join(&lost), store.beside("store/stranger")).unwrap();
    fs::write(root.join("images/stray"), "").unwrap();
    for flags in [&[][..], &["--repair"]] {
        let (code, report) = check(&store, flags);
        assert_eq!(code, Some(4), "{report}");
        let found = kinds(&report["findings"]);
        for kind in ["foreign-entry", "image-record-damaged", "layer-missing"] {
            assert!(found.iter().any(|found| found == kind), "no {kind}: {report}");
        }
    }
    let outcome = run(&mut store.command(["check"]));
    let line =
        outcome.stdout.lines().find(|line| line.starts_with("image torn: ")).unwrap_or_else(|| panic!("{outcome:?}"));
    assert!(line.contains("blocks mounts of the image") && line.contains("grootfs delete torn"), "{line}");
    assert!(root.join("images/stray").exists() && root.join("stranger").exists());
    fs::remove_file(root.join("images/stray")).unwrap();
    fs::remove_dir_all(root.join("stranger")).unwrap();
    for id in ["torn", "lost"] {
        store.ok(["delete", id]);
    }
    store.ok(["clean"]);
    assert_eq!(store.ok(["check"]), "no findings\n");
}

/// The one line of a finding of this kind; nothing else is found.
#[track_caller]
fn only_line(store: &TempStore, kind: &str) -> String {
    let outcome = run(&mut store.command(["check"]));
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!((outcome.code, lines.len()), (Some(4), 1), "{kind}: {outcome:?}");
    let line = lines[0].to_owned();
    let parts = [format!("({kind}); blocks "), "; remedy: ".to_owned()];
    assert!(parts.iter().all(|part| line.contains(part)), "{kind}: {line}");
    line
}

#[test]
fn settings_of_the_store_that_are_wrong_are_named() {
    let store = TempStore::new();
    store.create(&layers(&store, "image", 1).0, "x");
    flush(&store);
    let root = store.path();
    fs::rename(root.join("meta/dependencies"), root.join("aside")).unwrap();
    assert!(run(&mut store.command(["check"])).stdout.contains("meta/dependencies: it is not there"));
    fs::rename(root.join("aside"), root.join("meta/dependencies")).unwrap();

    chown(root.join("volumes"), Some(1234), None).unwrap();
    let line = only_line(&store, "wrong-owner");
    assert!(line.contains("belongs to user 1234") && line.contains("run grootfs init-store"), "{line}");
    chown(root.join("volumes"), Some(0), None).unwrap();

    let settings = fs::read(root.join("meta/namespace.json")).unwrap();
    fs::write(root.join("meta/namespace.json"), "{").unwrap();
    assert!(only_line(&store, "namespace-damaged").contains("blocks create"));
    fs::write(root.join("meta/namespace.json"), settings).unwrap();
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn a_backing_file_that_is_not_what_is_mounted_is_named() {
    let store = TempStore::new();
    let backing = fs::File::options().write(true).open(store.backing_file()).unwrap();
    let length = backing.metadata().unwrap().len();
    backing.set_len(length + (1 << 20)).unwrap();
    let line = only_line(&store, "backing-file-resized");
    assert!(line.contains(&format!("its loop device {length}")) && line.contains("init-store"), "{line}");
    backing.set_len(length).unwrap();

    fs::rename(store.backing_file(), store.beside("mounted")).unwrap();
    fs::write(store.backing_file(), "").unwrap();
    assert!(only_line(&store, "backing-file-unused").contains("after a reboot"));
    fs::rename(store.beside("mounted"), store.backing_file()).unwrap();
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn layers_that_are_not_known_to_be_on_disk_are_named() {
    let store = TempStore::new();
    let (url, chain) = layers(&store, "image", 1);
    store.create(&url, "x");
    flush(&store);
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mark = store.path().join(format!("meta/unflushed/{}~9", chain[0]));
    symlink(boot_id.trim_end(), &mark).unwrap();
    assert!(only_line(&store, "flush-pending").contains("remedy: grootfs check --repair"));
    assert_eq!(kinds(&check(&store, &["--repair"]).1["repaired"]), ["flush-pending"]);
    assert!(!mark.is_symlink());

    symlink("00000000-0000-0000-0000-000000000000", &mark).unwrap();
    assert!(only_line(&store, "layer-unflushed").contains(&chain[0]));
    store.create(&url, "y");
    flush(&store);
    for id in ["x", "y"] {
        store.ok(["delete", id]);
    }
    store.ok(["clean"]);
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn mounts_that_are_in_the_way_are_named_with_what_they_block() {
    let store = TempStore::new();
    store.create(&layers(&store, "image", 1).0, "x");
    flush(&store);
    for (place, blocked) in [("images/x/rootfs/in", "delete of the image"), ("meta/documents", "commands that need")] {
        let place = store.path().join(place);
        mount(Path::new("none"), &place, "tmpfs", "size=1m");
        let line = only_line(&store, "foreign-mount");
        assert!(line.contains(blocked) && line.ends_with(&format!("umount {}", place.display())), "{line}");
        succeed("umount", [&place]);
    }
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn quota_groups_that_nothing_has_are_given_back() {
    if *DRIVER != Driver::Btrfs {
        return;
    }
    let store = TempStore::new();
    succeed("btrfs", ["qgroup", "create", "26482/9999", store.path().to_str().unwrap()]);
    assert!(only_line(&store, "driver-leftover").contains("qgroup 0/9999"));
    assert_eq!(kinds(&check(&store, &["--repair"]).1["repaired"]), ["driver-leftover"]);
    let groups = succeed("btrfs", ["qgroup", "show", store.path().to_str().unwrap()]);
    assert!(!groups.contains("26482/9999"), "{groups}");
}

#[test]
fn a_store_is_the_same_by_whatever_path_it_is_reached() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    store.create(&image, "x");
    let link = store.beside("link");
    symlink(store.path(), &link).unwrap();
    let by_link = |arguments: &[&str]| run(program(grootfs_binary()).arg("--store").arg(&link).args(arguments));
    flush(&store);
    let checked = by_link(&["check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(0), "no findings\n"));

    let links = || if *DRIVER == Driver::OverlayXfs { names(&store.path().join("l")).len() } else { 0 };
    let before = links();
    for n in 0..3 {
        store.create(&image, &format!("by-path-{n}"));
        assert_eq!(by_link(&["create", &image, &format!("by-link-{n}")]).code, Some(0));
    }
    assert_eq!(links(), before);
    let checked = store.ok(["check"]);
    assert_eq!(checked, "no findings\n");
}

#[test]
fn a_store_that_cannot_be_checked_is_no_clean_one() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    flush(&store);
    unmount_below(store.path());
    detach_loops(store.path().parent().unwrap());
    assert!(store.fails(["check"]).contains("is not mounted"));
    let quota: &[&str] = if *DRIVER == Driver::OverlayXfs { &["--without-quota"] } else { &[] };
    store.ok([&["init-store"], quota].concat());
    let (code, report) = check(&store, &["--repair"]);
    assert_eq!(code, Some(0), "{report}");
    let expected: &[&str] = if *DRIVER == Driver::OverlayXfs { &["image-not-mounted"] } else { &[] };
    assert_eq!(kinds(&report["repaired"]), expected);
    assert!(store.rootfs("x").join("hello").exists());
    assert!(TempStore::uninitialised().fails(["check"]).contains("no store found"));

    let path = store.path().to_str().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(store.beside("."), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = store.beside("grootfs");
    fs::copy(grootfs_binary(), &binary).unwrap();
    let as_nobody = |command: &str| {
        let mut setpriv = program("setpriv");
        setpriv.args(["--reuid", "65534", "--clear-groups"]).arg(&binary).args(["--store", path, command]);
        run(&mut setpriv)
    };
    let refused = format!("open {path}/images: permission denied");
    let checked = as_nobody("check");
    assert_eq!((checked.code, checked.stdout.trim()), (Some(1), refused.as_str()));
    let advice = format!("{refused}; remedy: ask as root or as the user whose store it is");
    let diagnosed = as_nobody("doctor").stdout;
    assert!(diagnosed.contains(&advice), "{diagnosed}");
}

#[test]
fn the_doctor_tells_what_the_machine_lacks_and_who_holds_locks() {
    let store = TempStore::new();
    let diagnose = |store: &TempStore| {
        let outcome =
            run(&mut store.command(["--tardis-bin", "/no/such", "--drax-bin", "/no/such", "doctor", "--json"]));
        let document: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
        (outcome.code, document)
    };
    let (code, report) = diagnose(&store);
    assert_eq!((code, &report["schema"]), (Some(0), &Value::from(1)), "{report}");
    let of = |report: &Value, subject: &str| {
        let all = report["diagnoses"].as_array().unwrap();
        all.iter().find(|one| one["subject"] == subject).unwrap_or_else(|| panic!("no {subject}: {report}")).clone()
    };
    assert_eq!(of(&report, "helper")["status"], "warn");
    assert!(of(&report, "helper")["remedy"].as_str().unwrap().contains("make install"));
    assert_eq!(of(&report, "locks")["found"], "nobody holds one");
    let quotas = if *DRIVER == Driver::OverlayXfs { "warn" } else { "ok" };
    assert_eq!(of(&report, "quotas")["status"], quotas, "{report}");

    let lock = fs::File::open(store.path().join("locks/global-groot-lock.lock")).unwrap();
    lock.lock_shared().unwrap();
    let (_, report) = diagnose(&store);
    let holder = format!("pid {} (", std::process::id());
    assert!(of(&report, "locks")["found"].as_str().unwrap().contains(&holder), "{report}");
    assert!(store.ok(["doctor"]).starts_with("STATUS  WHAT"));

    let (code, report) = diagnose(&TempStore::uninitialised());
    assert_eq!((code, &of(&report, "store")["status"]), (Some(4), &Value::from("fail")), "{report}");
    assert!(of(&report, "store")["remedy"].as_str().unwrap().contains("init-store"), "{report}");
}

#[test]
fn the_doctor_names_a_process_that_is_in_a_deleted_image() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let found = || {
        let report: Value = serde_json::from_str(&store.ok(["doctor", "--json"])).unwrap();
        let all = report["diagnoses"].as_array().unwrap();
        all.iter().find(|one| one["subject"] == "deleted-images").unwrap()["found"].as_str().unwrap().to_owned()
    };
    let ids = ["inside", "bound"];
    ids.iter().for_each(|id| _ = store.create(&image, id));
    let mut inside = program("sleep").arg("1000").current_dir(store.rootfs("inside")).spawn().unwrap();
    // As a container has it: a mount of its own, in a mount namespace of its own.
    let (rootfs, root) = (store.rootfs("bound"), store.beside("root"));
    fs::create_dir(&root).unwrap();
    let ready = store.beside("ready");
    let [rootfs, root, done] = [&rootfs, &root, &ready].map(|path| path.display());
    let script = format!("mount --bind {rootfs} {root} && cd {root} && touch {done} && exec sleep 1000");
    let mut bound = program("unshare").args(["--mount", "sh", "-c", &script]).spawn().unwrap();
    wait_for("the mount", || ready.exists());
    let pids = [inside.id(), bound.id()];
    let of_two = |found: &str| pids.map(|pid| found.contains(&format!("pid {pid} (")));
    let before = found();
    ids.iter().for_each(|id| _ = store.ok(["delete", id]));
    let after = found();
    for process in [&mut inside, &mut bound] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(of_two(&before), [false, false], "{before}");
    assert_eq!(of_two(&after), [true, true], "{after}");
    assert!(after.contains("its working directory"), "{after}");
    assert_eq!(after.contains("the deleted image inside"), *DRIVER == Driver::Btrfs, "{after}");
    assert_eq!(of_two(&found()), [false, false]);
}
