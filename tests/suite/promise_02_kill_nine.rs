//! Promise 2: nothing half-made is ever visible. `kill -9` at random moments of creates and deletes; after each, the
//! next commands work and every image listed is whole. (A power cut needs a machine to cut: `hack/test-power-cut`.)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Archive, DRIVER, Driver, Image, Layer, TempStore, mount_points_below};

const KILLS: usize = 200;
const LAYERS: usize = 3;
const FILES: usize = 40;

/// A reproducible sequence of numbers (Knuth's multiplier).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn content(layer: usize, file: usize) -> String {
    format!("layer {layer}, file {file}\n").repeat(50)
}

fn image(store: &TempStore) -> String {
    let image = (0..LAYERS).fold(Image::new(), |image, layer| {
        let directory = format!("layer-{layer}");
        let archive = (0..FILES).fold(Archive::new().directory(&directory, 0o755), |archive, file| {
            archive.file(&format!("{directory}/{file}"), 0o644, content(layer, file).as_bytes())
        });
        image.layer(Layer::new(archive.whiteout(&format!("layer-{}/0", layer.wrapping_sub(1))).bytes()))
    });
    image.write(&store.beside("image"), "latest")
}

/// Whether an image shows every file of every layer, and only those.
fn assert_whole(store: &TempStore, id: &str, context: &str) {
    let rootfs = store.rootfs(id);
    for layer in 0..LAYERS {
        for file in 0..FILES {
            let path = rootfs.join(format!("layer-{layer}/{file}"));
            if file == 0 && layer + 1 < LAYERS {
                assert!(!path.exists(), "{context}: a whiteout is missing in {id}");
            } else {
                let found = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{context}: {}: {e}", path.display()));
                assert!(found == content(layer, file), "{context}: {} is torn", path.display());
            }
        }
    }
}

fn listed(store: &TempStore) -> Vec<String> {
    let images = store.ok(["list"]);
    let paths = images.lines().filter(|line| line.starts_with('/'));
    paths.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

/// Starts a command and kills it after a while; returns whether it had ended by itself.
fn kill_after(store: &TempStore, arguments: &[&str], delay: Duration) -> bool {
    let mut child = store.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// How long a command takes undisturbed.
fn duration(store: &TempStore, arguments: &[&str]) -> Duration {
    let start = Instant::now();
    store.ok(arguments);
    start.elapsed()
}

#[test]
fn promise_02_kill_nine_at_random_moments_of_creates_and_deletes() {
    let store = TempStore::new();
    let url = image(&store);
    let cold = duration(&store, &["create", &url, "timing"]);
    let warm = duration(&store, &["create", &url, "timing-too"]);
    let delete = duration(&store, &["delete", "timing-too"]);
    store.ok(["delete", "timing"]);

    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut random = Random(seed);
    let mut finished = 0;
    for kill in 0..KILLS {
        let id = format!("image-{}", kill % 5);
        let exists = listed(&store).contains(&id);
        let (arguments, usual) = match (exists, random.below(2)) {
            (true, _) => (vec!["delete", &id], delete),
            (false, 0) => {
                store.ok(["clean"]);
                (vec!["create", &url, &id], if store.volumes().is_empty() { cold } else { warm })
            }
            (false, _) => (vec!["create", url.as_str(), &id], warm),
        };
        let delay = Duration::from_micros(random.below(usual.as_micros() as u64 * 5 / 4 + 1));
        let context = format!("seed {seed}, kill {kill}: {} {id} after {delay:?}", arguments[0]);
        finished += usize::from(kill_after(&store, &arguments, delay));

        for id in listed(&store) {
            assert_whole(&store, &id, &context);
            store.stats(&id);
        }
        let next = format!("next-{kill}");
        store.create(&url, &next);
        assert_whole(&store, &next, &context);
        store.ok(["delete", &next]);
        if kill % 20 == 19 {
            assert_clean(&store, &context);
        }
    }
    assert!(finished < KILLS * 9 / 10, "only {} of {KILLS} kills struck", KILLS - finished);
}

/// After a clean nothing of any dead command is left, and what lives is as it should be.
fn assert_clean(store: &TempStore, context: &str) {
    store.ok(["clean"]);
    assert!(store.leftovers().is_empty(), "{context}: {:?}", store.leftovers());
    let images = listed(store);
    let points = mount_points_below(store.path());
    assert_eq!(points.len(), 1 + DRIVER.mounts(images.len()), "{context}: stray mounts: {points:?}");
    let metadata = crate::support::names(&store.path().join("meta"));
    let sizes = metadata.iter().filter_map(|name| name.strip_prefix("volume-"));
    assert!(sizes.clone().all(|volume| store.volumes().iter().any(|name| name == volume)), "{context}: {metadata:?}");
    assert_eq!(
        crate::support::names(&store.path().join("l")).len(),
        if *DRIVER == Driver::OverlayXfs { 2 * store.volumes().len() } else { 0 },
        "{context}: stray links"
    );
    assert_eq!(
        crate::support::names(&store.path().join("locks")),
        ["global-groot-lock.lock"],
        "{context}: stray locks"
    );
}

#[test]
fn promise_02_a_delete_killed_half_way_is_finished_by_the_next_one() {
    let store = TempStore::new();
    let url = image(&store);
    for attempt in 0..20 {
        let id = format!("x-{attempt}");
        store.create(&url, &id);
        fs::write(store.rootfs(&id).join("mine"), "written").unwrap();
        kill_after(&store, &["delete", &id], Duration::from_micros(attempt * 400));
        store.ok(["delete", &id]);
        assert!(!store.image(&id).exists());
    }
    store.ok(["clean"]);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn promise_02_init_store_killed_at_any_moment_is_finished_by_the_next_one() {
    for attempt in 0..12 {
        let store = TempStore::uninitialised();
        let arguments = ["init-store", "--store-size-bytes", "1073741824", "--without-quota"];
        kill_after(&store, &arguments, Duration::from_millis(attempt * 8));
        store.ok(arguments);
        store.create(&image(&store), "x");
        assert_whole(&store, "x", "after init-store");
    }
}

#[test]
fn promise_02_a_mkfs_that_outlives_its_init_store_formats_nothing_of_the_next_one() {
    let store = TempStore::uninitialised();
    let programs = store.beside("programs");
    fs::create_dir(&programs).unwrap();
    let mkfs = format!("mkfs.{}", DRIVER.filesystem());
    let slow_mkfs = format!("#!/bin/sh\nsleep $DELAY\nPATH={} exec {mkfs} \"$@\"\n", path());
    fs::write(programs.join(&mkfs), slow_mkfs).unwrap();
    fs::set_permissions(programs.join(&mkfs), fs::Permissions::from_mode(0o755)).unwrap();
    let init = |delay: &str| {
        let mut command = store.command(["init-store", "--store-size-bytes", "1073741824", "--without-quota"]);
        command.env("PATH", format!("{}:{}", programs.display(), path())).env("DELAY", delay);
        command
    };
    let mut killed = init("0.5").stdout(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(250));
    killed.kill().unwrap();
    killed.wait().unwrap();

    crate::support::run(&mut init("0.6")).success();
    thread::sleep(Duration::from_millis(500));
    store.create(&image(&store), "x");
    assert_whole(&store, "x", "after both have ended");
    crate::support::unmount_below(store.path());
    let check = if *DRIVER == Driver::Btrfs { ["btrfs", "check"] } else { ["xfs_repair", "-n"] };
    crate::support::succeed(check[0], [check[1].as_ref(), store.backing_file().as_os_str()]);
}

#[test]
fn promise_02_a_layer_of_another_boot_that_was_never_flushed_is_fetched_again() {
    let store = TempStore::new();
    let url = image(&store);
    store.create(&url, "x");
    store.ok(["delete", "x"]);
    // What a power cut leaves: the layer under its name, its files empty, and the mark of a boot that is over.
    let marks = store.path().join("meta/unflushed");
    crate::support::wait_for("the layers to be flushed", || crate::support::names(&marks).is_empty());
    for volume in store.volumes() {
        for file in 0..FILES {
            for layer in 0..LAYERS {
                let path = store.path().join("volumes").join(&volume).join(format!("layer-{layer}/{file}"));
                if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                    fs::write(path, "").unwrap();
                }
            }
        }
        let mark = marks.join(format!("{volume}~1"));
        std::os::unix::fs::symlink("00000000-0000-0000-0000-000000000000", mark).unwrap();
    }
    store.create(&url, "y");
    assert_whole(&store, "y", "after a power cut");
}
