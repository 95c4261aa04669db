//! `clean`.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, MIB, TempStore, mount, names, small_image, succeed, wait_for,
};

/// An image of `count` layers of a thousand bytes each.
fn image(store: &TempStore, name: &str, count: usize) -> (String, Vec<String>) {
    let image = (0..count).fold(Image::new(), |image, n| {
        let name = format!("{name}-{n}");
        let content = name.repeat(1000).into_bytes();
        image.layer(Layer::new(Archive::new().file(&name, 0o644, &content[..1000]).bytes()))
    });
    let mut chain = image.chain_ids();
    chain.sort();
    (image.write(&store.beside(name), "latest"), chain)
}

/// A store with four used and four unused volumes, 1,000 bytes each.
fn half_used() -> (TempStore, Vec<String>) {
    let store = TempStore::new();
    let (used, chain) = image(&store, "used", 4);
    let (unused, _) = image(&store, "unused", 4);
    store.create(&used, "used");
    store.create(&unused, "unused");
    store.ok(["delete", "unused"]);
    assert_eq!(store.volumes().len(), 8);
    (store, chain)
}

#[test]
fn volumes_that_no_image_uses_go_and_the_others_stay() {
    let (store, used) = half_used();
    assert_eq!(store.ok(["clean"]), "clean completed\n");
    assert_eq!(store.volumes(), used);
    assert!(store.rootfs("used").join("used-3").exists());
    // Nothing about the removed ones stays either.
    let metadata = crate::support::names(&store.path().join("meta"));
    assert_eq!(metadata.iter().filter(|name| name.starts_with("volume-")).count(), 4, "{metadata:?}");
    let links = if *DRIVER == Driver::OverlayXfs { 8 } else { 0 };
    assert_eq!(crate::support::names(&store.path().join("l")).len(), links, "two entries a volume on overlay-xfs");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

/// What `clean` with these flags says in JSON.
fn document(store: &TempStore, flags: &[&str]) -> Value {
    serde_json::from_str(&store.ok([&["clean", "--json"], flags].concat())).unwrap()
}

/// Chain ids of the layers in a document, in order.
fn layers_of(document: &Value) -> Vec<&str> {
    let mut layers: Vec<&str> =
        document["layers"].as_array().unwrap().iter().map(|l| l["chain_id"].as_str().unwrap()).collect();
    layers.sort_unstable();
    layers
}

#[test]
fn a_dry_run_tells_what_a_clean_then_removes_and_takes_nothing() {
    let (store, used) = half_used();
    let dead = format!("volumes/{}-incomplete-1-2", "a".repeat(64));
    let condemned = format!("volumes/gc.{}", "b".repeat(64));
    for name in ["tmp/create.dead", "tmp/dead.1", "tmp/blob-1", &dead, &condemned] {
        fs::create_dir(store.path().join(name)).unwrap();
    }
    succeed("touch", ["--date", "2020-01-01", store.path().join("tmp/blob-1").to_str().unwrap()]);
    let unused: Vec<String> = store.volumes().into_iter().filter(|v| !used.contains(v) && v.len() == 64).collect();
    store.ok(["flush-volumes"]);
    let before = succeed("find", [store.path()]);
    // Whoever cleans, creates or reads records is not waited for.
    let lock = fs::File::open(store.path().join("locks/global-groot-lock.lock")).unwrap();
    lock.lock().unwrap();
    let planned = document(&store, &["--dry-run"]);
    let text = store.ok(["clean", "--dry-run"]);
    lock.unlock().unwrap();
    assert!(succeed("find", [store.path()]) == before, "something has changed");
    assert_eq!((&planned["schema"], &planned["dry_run"]), (&Value::from(1), &Value::from(true)));
    assert_eq!((&planned["outcome"], &planned["freed_bytes"]), (&Value::from("completed"), &Value::from(4000)));
    assert_eq!(layers_of(&planned), unused);
    assert_eq!(planned["leftovers"].as_array().unwrap().len(), 5, "{planned}");
    assert_eq!(text.lines().count(), 4 + 5 + 1, "{text}");
    assert!(text.ends_with("would free 3.9 KiB: 4 layers, 5 leftovers of dead processes\n"), "{text}");

    let done = document(&store, &[]);
    assert_eq!((layers_of(&done), &done["freed_bytes"]), (layers_of(&planned), &planned["freed_bytes"]));
    let leftovers = |document: &Value| {
        let all = document["leftovers"].as_array().unwrap().iter();
        let mut all: Vec<String> = all.map(|path| path.as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(leftovers(&done), leftovers(&planned));
    assert_eq!(done["dry_run"], false);
    assert_eq!(store.volumes(), used);
    for flags in [&["--dry-run"][..], &[]] {
        let nothing = document(&store, flags);
        assert_eq!((layers_of(&nothing), &nothing["leftovers"]), (vec![], &serde_json::json!([])));
    }
    assert_eq!(document(&store, &["--threshold-bytes", "500000000"])["outcome"], "below-threshold");
    let below = store.ok(["clean", "--dry-run", "--threshold-bytes", "500000000"]);
    assert_eq!(below, "threshold not reached: skipping clean\n");
}

#[test]
fn a_dry_run_leaves_out_what_somebody_works_on() {
    let (store, used) = half_used();
    store.ok(["clean"]);
    let pipe = store.beside("pipe");
    succeed("mkfifo", [&pipe]);
    let mut create = store.command(["create", pipe.to_str().unwrap(), "slow"]).stdout(Stdio::null()).spawn().unwrap();
    let writer = fs::File::options().write(true).open(&pipe).unwrap();
    wait_for("the volume", || store.volumes().len() > used.len());
    let planned = document(&store, &["--dry-run"]);
    drop(writer);
    create.wait().unwrap();
    assert_eq!((layers_of(&planned), &planned["leftovers"]), (vec![], &serde_json::json!([])), "{planned}");
}

/// Elsewhere the answer is what callers know.
#[test]
fn a_terminal_is_told_what_was_freed() {
    let (store, _) = half_used();
    let clean = store.command(["clean"]);
    let words = std::iter::once(clean.get_program()).chain(clean.get_args());
    let command: Vec<String> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
    let shown = succeed("script", ["--quiet", "--command", &command.join(" "), "/dev/null"]);
    assert_eq!(shown, "clean completed\r\nfreed 3.9 KiB: 4 layers, 0 leftovers of dead processes\r\n");
}

#[test]
fn a_layer_shared_with_a_living_image_stays() {
    let store = TempStore::new();
    let shared = Layer::new(Archive::new().file("shared", 0o644, b"").bytes());
    let chain = crate::support::chain_ids([shared.diff_id.as_str()]);
    let one = Image::new().layer(shared.clone()).write(&store.beside("one"), "latest");
    let two = Image::new().layer(shared).layer(Layer::new(Archive::new().file("own", 0o644, b"").bytes()));
    let two = two.write(&store.beside("two"), "latest");
    store.create(&one, "one");
    store.create(&two, "two");
    store.ok(["delete", "two"]);
    store.ok(["clean"]);
    assert_eq!(store.volumes(), chain);
}

#[test]
fn nothing_happens_below_the_threshold() {
    let (store, _) = half_used();
    let answer = store.ok(["clean", "--threshold-bytes", "500000000"]);
    assert_eq!(answer, "threshold not reached: skipping clean\n");
    assert_eq!(store.volumes().len(), 8);
}

#[test]
fn the_threshold_is_compared_with_the_sizes_of_the_volumes() {
    let (store, used) = half_used();
    assert_eq!(store.ok(["clean", "--threshold-bytes", "8001"]), "threshold not reached: skipping clean\n");
    assert_eq!(store.ok(["clean", "--threshold-bytes", "8000"]), "clean completed\n");
    assert_eq!(store.volumes(), used);
}

#[test]
fn the_threshold_may_come_from_the_config() {
    let (store, used) = half_used();
    let config = store.beside("config.yml");
    fs::write(&config, "clean:\n  threshold_bytes: 500000000\n").unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(store.ok(["--config", config, "clean"]), "threshold not reached: skipping clean\n");
    assert_eq!(store.ok(["--config", config, "clean", "--threshold-bytes", "0"]), "clean completed\n");
    assert_eq!(store.volumes(), used);
}

#[test]
fn thresholds_that_are_no_sizes_are_refused_and_nothing_is_cleaned() {
    let (store, _) = half_used();
    let message = store.fails(["clean", "--threshold-bytes", "-120"]);
    assert_eq!(message, "invalid argument: clean threshold cannot be negative");
    let outcome = store.run(["clean", "--threshold-bytes", "many"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(store.volumes().len(), 8);
}

#[test]
fn images_of_the_ignore_list_keep_their_layers() {
    let store = TempStore::new();
    let (image, chain) = image(&store, "ignored", 2);
    let config = store.beside("config.yml");
    fs::write(&config, format!("clean:\n  ignore_images:\n  - {image}\n  - docker:///never/pulled\n")).unwrap();
    let config = config.to_str().unwrap();
    store.ok(["--config", config, "create", &image, "x"]);
    store.ok(["delete", "x"]);
    store.ok(["--config", config, "clean"]);
    assert_eq!(store.volumes(), chain);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
}

#[test]
fn what_crashed_commands_left_goes() {
    let (store, used) = half_used();
    let volumes = store.path().join("volumes");
    for name in ["gc.0123", "0123-incomplete-1700000000000000000-42"] {
        fs::create_dir_all(volumes.join(name).join("a/b")).unwrap();
    }
    for name in ["create.dead", "delete.dead"] {
        fs::create_dir_all(store.path().join("tmp").join(name).join("diff")).unwrap();
    }
    // Younger ones may belong to an original that is downloading.
    succeed("touch", ["-d", "2 days ago", store.path().join("tmp/blob-sha256-0123456").to_str().unwrap()]);
    fs::write(store.path().join("meta/dependencies/image:dead.json"), "[\"0123\"]").unwrap();
    assert_eq!(store.ok(["clean"]), "clean completed\n");
    assert_eq!(store.volumes(), used);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert_eq!(store.records(), ["used"]);
}

#[test]
fn a_dead_image_that_cannot_be_removed_keeps_nothing_else() {
    let (store, used) = half_used();
    let stuck = store.path().join("tmp/delete.dead/diff");
    mount(Path::new("none"), &stuck, "tmpfs", "size=1m");
    fs::create_dir_all(store.path().join("tmp/create.other/diff")).unwrap();
    let message = store.fails(["clean"]);
    assert!(message.contains("tmp/delete.dead/diff is a mount point"), "{message}");
    assert_eq!(store.volumes(), used);
    assert!(!store.path().join("tmp/create.other").exists());

    succeed("umount", [&stuck]);
    assert_eq!(store.ok(["clean"]), "clean completed\n");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn a_layer_that_an_original_was_removing_is_not_taken_back() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    store.ok(["delete", "x"]);
    let volume = store.path().join("volumes").join(&store.volumes()[0]);
    let condemned = volume.with_file_name(format!("gc.{}", store.volumes()[0]));
    fs::rename(&volume, &condemned).unwrap();
    fs::remove_file(condemned.join("hello")).unwrap();
    store.create(&url, "y");
    assert_eq!(fs::read_to_string(store.rootfs("y").join("hello")).unwrap(), "hello\n");
    store.ok(["clean"]);
    assert!(!condemned.exists() && volume.exists());
}

#[test]
fn an_image_whose_record_is_missing_loses_no_layers() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    fs::remove_file(store.path().join("meta/dependencies/image:x.json")).unwrap();
    store.run(["clean"]);
    assert_eq!(store.volumes().len(), 1);
    assert_eq!(fs::read_to_string(store.rootfs("x").join("hello")).unwrap(), "hello\n");
}

/// A power cut can leave the names of records without their contents, as the filesystem journals names first.
#[test]
fn records_that_a_power_cut_has_emptied_cost_nobody_anything() {
    let (store, used) = half_used();
    let image = fs::read_dir(store.path().join("images")).unwrap().next().unwrap().unwrap().path();
    let id = image.file_name().unwrap().to_str().unwrap().to_owned();
    let before = store.ok(["stats", &id]);
    let record = store.path().join(format!("meta/dependencies/image:{id}.json"));
    for path in [record, image.join("image_info")].iter().filter(|path| path.exists()) {
        fs::File::options().write(true).truncate(true).open(path).unwrap();
    }
    assert_eq!(store.ok(["stats", &id]), before);
    assert_eq!(store.ok(["clean"]), "clean completed\n");
    assert_eq!(store.volumes(), used);
}

#[test]
fn a_cleaned_layer_is_unpacked_again_when_needed() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
    store.create(&url, "x");
    store.stats("x");
}

#[test]
fn a_missing_store_is_said_but_is_no_failure() {
    let outcome = crate::support::run(crate::support::grootfs().args(["--store", "/invalid-store", "clean"]));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "no store found at /invalid-store\n"), "{outcome:?}");
    let outcome = crate::support::run(crate::support::grootfs().args([
        "--store",
        "/invalid-store",
        "--log-level",
        "error",
        "clean",
    ]));
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.contains(r#""error":"no store found at /invalid-store""#), "{outcome:?}");
}

/// An image of one layer that takes so many mebibytes on the disk.
fn large_image(store: &TempStore, name: &str, mebibytes: u64) -> String {
    let content = vec![7; usize::try_from(mebibytes * MIB).unwrap()];
    Image::new()
        .layer(Layer::new(Archive::new().file(name, 0o644, &content).bytes()))
        .write(&store.beside(name), "latest")
}

/// A threshold that layers cannot reach, as deployments set it.
const UNREACHABLE: &str = "1000000000000";

#[test]
fn a_store_that_is_nearly_full_is_cleaned_whatever_the_threshold() {
    let store = TempStore::with_size(400 * MIB);
    store.create(&large_image(&store, "unused", 100), "x");
    store.create(&small_image(&store.beside("image")), "y");
    store.ok(["delete", "x"]);
    let clean = ["clean", "--threshold-bytes", UNREACHABLE];
    assert_eq!(store.ok(clean), "threshold not reached: skipping clean\n");
    assert_eq!(store.volumes().len(), 2);

    let available = || {
        let status = rustix::fs::statvfs(store.path()).unwrap();
        status.f_bavail * status.f_frsize
    };
    let fill = available() - 10 * MIB;
    fs::write(store.rootfs("y").join("fill"), vec![7; usize::try_from(fill).unwrap()]).unwrap();
    // Btrfs counts what is on the disk.
    succeed("sync", ["-f", store.path().to_str().unwrap()]);
    assert_eq!(store.ok(clean), "clean completed\n");
    assert_eq!(store.volumes().len(), 1);
    assert!(available() > 90 * MIB);
}

#[test]
fn a_create_that_finds_no_room_cleans_if_it_may_and_tries_once_more() {
    let store = TempStore::with_size(400 * MIB);
    store.create(&large_image(&store, "unused", 150), "x");
    store.ok(["delete", "x"]);
    let large = large_image(&store, "large", 250);
    let message = store.fails(["create", &large, "y"]);
    assert!(message.contains("no space left on device"), "{message}");
    let log = store.beside("clean.log");
    let flags = ["--with-clean", "--threshold-bytes", UNREACHABLE, "--clean-log-file", log.to_str().unwrap()];
    store.ok([&["create"], &flags[..], &[&large, "y"]].concat());
    assert_eq!(fs::read(store.rootfs("y").join("large")).unwrap().len() as u64, 250 * MIB);
    assert_eq!(store.volumes().len(), 1, "the unused layer is gone");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert_eq!(fs::read_to_string(&log).unwrap().matches("groot-cleaning.starting").count(), 2);

    // Nothing to be had by another clean: no second attempt.
    let other = large_image(&store, "other", 260);
    let outcome = store.run([&["--log-level", "info", "create"], &flags[..], &[&other, "z"]].concat());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("no space left on device"), "{outcome:?}");
    assert_eq!(outcome.stderr.matches("image-pulling.starting").count(), 1, "{outcome:?}");
}

#[test]
fn an_archive_from_a_pipe_is_not_asked_for_twice() {
    let store = TempStore::with_size(400 * MIB);
    store.create(&large_image(&store, "unused", 150), "x");
    store.ok(["delete", "x"]);
    let pipe = store.beside("pipe");
    succeed("mkfifo", [&pipe]);
    let archive = Archive::new().file("large", 0o644, &vec![7; 250 * MIB as usize]).bytes();
    std::thread::scope(|scope| {
        // Ends with an error when the reader has gone.
        scope.spawn(|| fs::write(&pipe, &archive));
        let flags = ["--with-clean", "--threshold-bytes", UNREACHABLE];
        let message = store.fails([&["create"], &flags[..], &[pipe.to_str().unwrap(), "y"]].concat());
        assert!(message.contains("no space left on device"), "{message}");
    });
}

#[test]
fn a_layer_that_cannot_be_removed_keeps_no_other() {
    let store = TempStore::new();
    let images = ["a", "b", "c"].map(|name| large_image(&store, name, 1));
    // Whichever comes first.
    for n in 0..images.len() {
        for image in &images {
            store.create(image, "x");
            store.ok(["delete", "x"]);
        }
        let held = store.path().join("volumes").join(&store.volumes()[n]);
        succeed("chattr", ["+i", held.to_str().unwrap()]);
        let message = store.fails(["clean"]);
        let volumes = store.volumes();
        succeed("chattr", ["-i", held.to_str().unwrap()]);
        assert!(message.contains("operation not permitted") && message.contains(held.to_str().unwrap()), "{message}");
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        store.ok(["clean"]);
        assert_eq!(store.volumes(), [""; 0]);
    }
}

/// A power cut may have torn them, as far as is known: whoever makes another image of them fetches them again.
#[test]
fn an_image_keeps_the_layers_that_it_shows_when_they_are_fetched_again() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let rootfs = store.create(&url, "running");
    let before = names(&rootfs);
    assert!(before.contains(&"hello".to_owned()), "{before:?}");
    for volume in store.volumes() {
        let mark = store.path().join(format!("meta/unflushed/{volume}~9"));
        std::os::unix::fs::symlink("00000000-0000-0000-0000-000000000000", mark).unwrap();
    }
    let other = store.create(&url, "other");
    assert_eq!((names(&rootfs), names(&other)), (before.clone(), before.clone()));
    store.ok(["clean"]);
    assert_eq!(names(&rootfs), before);
    store.ok(["delete", "running"]);
    store.ok(["delete", "other"]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty() && store.leftovers().is_empty(), "{:?}", store.leftovers());
}

/// An image of one layer of 64 MiB, and the layer's chain id.
fn incompressible_image(store: &TempStore, name: &str) -> (String, String) {
    // What does not repeat cannot be kept compressed.
    let content: Vec<u8> = (0..8_u64 << 20).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let image = Image::new().layer(Layer::new(Archive::new().file(name, 0o644, &content).bytes()));
    let chain_id = image.chain_ids().remove(0);
    (image.write(&store.beside(name), "latest"), chain_id)
}

/// A store with three unused layers of 64 MiB; the third was in use the longest ago, then the first. Returns their chain ids.
fn three_unused() -> (TempStore, [String; 3]) {
    let store = TempStore::new();
    let images = ["first", "second", "third"].map(|name| (name, incompressible_image(&store, name)));
    for (id, (url, _)) in &images {
        store.create(url, id);
    }
    // The last use is the delete of the last image.
    for id in ["third", "first", "second"] {
        store.ok(["delete", id]);
    }
    (store, images.map(|(_, (_, chain_id))| chain_id))
}

/// Bytes of the store's filesystem, and how many of them are in use.
fn size_and_used(store: &TempStore) -> (u64, u64) {
    succeed("sync", ["--file-system", store.path().to_str().unwrap()]);
    let usage: Value = serde_json::from_str(&store.ok(["usage", "--json"])).unwrap();
    let number = |key: &str| usage["filesystem"][key].as_u64().unwrap();
    (number("size_bytes"), number("size_bytes") - number("available_bytes"))
}

fn watermarks(high: u64, low: u64) -> [String; 4] {
    ["--high-watermark-percent".to_owned(), high.to_string(), "--low-watermark-percent".to_owned(), low.to_string()]
}

#[test]
fn above_the_high_watermark_the_least_recently_used_layers_go_until_the_low_one() {
    let (store, chain_ids) = three_unused();
    let (size, used) = size_and_used(&store);
    let percent = used * 100 / size;
    let below = watermarks(percent + 2, 1);
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    assert_eq!(document(&store, &below)["outcome"], "below-threshold");
    assert_eq!(store.volumes().len(), 3);

    // So that more than one layer has to go, and less than two.
    let low = (used - (96 << 20)) * 100 / size;
    let above = watermarks(percent, low);
    let above: Vec<&str> = above.iter().map(String::as_str).collect();
    let expected = |ids: [usize; 2]| {
        let mut expected = ids.map(|id| chain_ids[id].as_str());
        expected.sort_unstable();
        expected
    };
    let planned = document(&store, &[&["--dry-run"][..], &above].concat());
    assert_eq!(layers_of(&planned), expected([2, 0]), "{used} of {size} are in use, low {low}: {planned}");
    assert_eq!(layers_of(&document(&store, &above)), expected([2, 0]));
    assert_eq!(store.volumes(), [chain_ids[1].clone()]);
    // A threshold that is reached cleans, too.
    let both = [&above[..], &["--threshold-bytes", "1"]].concat();
    assert_eq!(document(&store, &both)["outcome"], "completed");
    assert!(store.volumes().is_empty());
    assert!(store.fails(["clean", "--high-watermark-percent", "80"]).contains("low_watermark_percent (0)"));
}

#[test]
fn a_create_that_cleans_goes_by_the_watermarks_too() {
    let (store, chain_ids) = three_unused();
    let (size, used) = size_and_used(&store);
    let url = small_image(&store.beside("small"));
    let create = |id: &str, [high, high_percent, low, low_percent]: [String; 4]| {
        store.ok(["create", "--with-clean", &high, &high_percent, &low, &low_percent, &url, id]);
    };
    create("below", watermarks(used * 100 / size + 2, 1));
    assert_eq!(store.volumes().len(), 4);
    // One layer is enough.
    create("above", watermarks(used * 100 / size, (used - (32 << 20)) * 100 / size));
    let left = store.volumes();
    assert!(left.len() == 3 && !left.contains(&chain_ids[2]), "{left:?} of {chain_ids:?}");
}
