//! Disk limits, as every driver must keep them. Programs whose stores have limits run all of it.
//!
//! Promise 5 is pinned here and in the drivers' own tests: every byte is accounted for, limits are enforced by the
//! kernel, and stats are its numbers.

use std::fs::{self, File};
use std::thread;

use crate::support::{
    Archive, DRIVER, Driver, IS_CLASSIC, Image, Layer, MIB, TempStore, five_mebibytes, is_full, names, number,
    small_image, wait_for, write,
};

#[test]
fn an_inclusive_limit_counts_the_base() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    store.ok(["create", "--disk-limit-size-bytes", "10485760", &url, "x"]);
    write(&store.rootfs("x").join("four"), 4 * MIB).unwrap();
    is_full(write(&store.rootfs("x").join("two-more"), 2 * MIB));
}

#[test]
fn an_exclusive_limit_does_not() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    store.ok(["create", "--disk-limit-size-bytes", "10485760", "--exclude-image-from-quota", &url, "x"]);
    write(&store.rootfs("x").join("six"), 6 * MIB).unwrap();
    is_full(write(&store.rootfs("x").join("five-more"), 5 * MIB));
    store.stats("x");
}

#[test]
fn the_config_may_set_the_limit_and_its_kind() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    let config = store.beside("config.yml");
    fs::write(&config, "create:\n  disk_limit_size_bytes: 10485760\n").unwrap();
    store.ok(["--config", config.to_str().unwrap(), "create", &url, "x"]);
    is_full(write(&store.rootfs("x").join("eleven"), 11 * MIB));

    let url = five_mebibytes(&store);
    fs::write(&config, "create:\n  disk_limit_size_bytes: 10485760\n  exclude_image_from_quota: true\n").unwrap();
    store.ok(["--config", config.to_str().unwrap(), "create", &url, "y"]);
    write(&store.rootfs("y").join("six"), 6 * MIB).unwrap();
    is_full(write(&store.rootfs("y").join("five-more"), 5 * MIB));
    store.ok(["--config", config.to_str().unwrap(), "create", "--exclude-image-from-quota=false", &url, "z"]);
    is_full(write(&store.rootfs("z").join("six"), 6 * MIB));
}

#[test]
fn the_limit_of_a_live_image_can_be_changed_and_taken_off() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    store.ok(["create", "--disk-limit-size-bytes", "10485760", &url, "x"]);
    let quota = || number(&store.stats("x"), "quota_size_bytes");
    let recorded = || fs::read_to_string(store.image("x").join("image_quota")).unwrap().parse::<u64>().unwrap();
    is_full(write(&store.rootfs("x").join("six"), 6 * MIB));
    let before = quota();
    store.ok(["limit", "x", "20971520"]);
    assert!(quota().abs_diff(before + 10 * MIB) < MIB && recorded() > 10 * MIB, "{} {}", quota(), recorded());
    fs::remove_file(store.rootfs("x").join("six")).ok();
    write(&store.rootfs("x").join("eight"), 8 * MIB).unwrap();
    // What is there stays, nothing more is taken.
    let told = store.ok(["limit", "x", "8M"]);
    assert!(told.contains("it can write nothing until"), "{told}");
    assert_eq!(fs::metadata(store.rootfs("x").join("eight")).unwrap().len(), 8 * MIB);
    is_full(write(&store.rootfs("x").join("more"), MIB));
    store.ok(["limit", "--exclude-image", "x", "12M"]);
    assert_eq!(quota(), 12 * MIB);
    // From then on so.
    store.ok(["limit", store.image("x").to_str().unwrap(), "13MiB"]);
    assert_eq!(quota(), 13 * MIB);
    assert_eq!(store.ok(["limit", "x", "0"]).trim_end(), "Image x has no limit");
    assert_eq!((quota(), recorded()), (0, 0));
    write(&store.rootfs("x").join("large"), 30 * MIB).unwrap();
    store.ok(["limit", "x", "100MiB"]);
    assert_eq!(quota(), 100 * MIB);
    if *DRIVER == Driver::OverlayXfs {
        store.ok(["limit", "--inodes", "100", "x", "100MiB"]);
        let inodes = || number(&usage_of(&store), "limit_inodes");
        assert_eq!(inodes(), 100);
        store.ok(["limit", "--inodes", "0", "x", "100MiB"]);
        assert_eq!(inodes(), 0);
    } else {
        assert!(store.fails(["limit", "--inodes", "100", "x", "100MiB"]).contains("counts inodes as bytes"));
    }
    assert_eq!(store.run(["check"]).code, Some(0));
    assert_eq!(store.leftovers(), [""; 0]);
    store.ok(["create", &url, "unlimited"]);
    let refused = store.fails(["limit", "unlimited", "10M"]);
    assert!(refused.contains("was created without a disk limit"), "{refused}");
    assert_eq!(store.fails(["limit", "none", "10M"]), "Image `none` not found.");
    assert!(store.fails(["limit", "x"]).starts_with("invalid arguments - usage: limit"));
    store.ok(["delete", "x"]);
    assert_eq!(store.leftovers(), [""; 0]);
}

fn usage_of(store: &TempStore) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_str(&store.ok(["usage", "--json"])).unwrap();
    report["images"][0].clone()
}

#[test]
fn a_limit_that_is_not_the_one_on_record_is_found() {
    let store = TempStore::with_quota();
    store.ok(["create", "--disk-limit-size-bytes", "10485760", &small_image(&store.beside("image")), "x"]);
    store.ok(["flush-volumes"]);
    assert_eq!(store.ok(["check"]), "no findings\n");
    let record = store.image("x").join("image_quota");
    let limit = fs::read_to_string(&record).unwrap();
    fs::write(&record, "99999999").unwrap();
    let outcome = store.run(["check"]);
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (Some(4), 1), "{outcome:?}");
    let line = outcome.stdout;
    assert!(line.starts_with("image x: its limit on record is 99999999 bytes and the kernel's"), "{line}");
    assert!(line.contains("(limit-differs); blocks the limit of the image; remedy: "), "{line}");
    let remedy = line.trim_end().rsplit("remedy: grootfs ").next().unwrap();
    store.ok(remedy.split(' '));
    // Rounded to blocks.
    assert!(store.stats("x")["quota_size_bytes"].as_u64().unwrap().abs_diff(99_999_999) <= 4096);
    assert_ne!(fs::read_to_string(&record).unwrap(), limit);
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn a_limit_is_never_less_than_256_kibibytes() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    store.create(&url, "cached");
    let quota = |id: &str| fs::read_to_string(store.image(id).join("image_quota")).unwrap();
    store.ok(["create", "--disk-limit-size-bytes", "1", "--exclude-image-from-quota", &url, "one"]);
    assert_eq!(quota("one"), "262144");
    store.ok(["create", "--disk-limit-size-bytes", &(5 * MIB).to_string(), &url, "just-the-base"]);
    assert_eq!(quota("just-the-base"), "262144");
    store.ok(["create", "--disk-limit-size-bytes", &(5 * MIB + 300_000).to_string(), &url, "more"]);
    assert_eq!(quota("more"), "300000");
}

#[test]
fn blobs_larger_than_an_inclusive_limit_are_not_even_read() {
    let store = TempStore::with_quota();
    let layer = Layer::plain(Archive::new().file("file", 0o644, b"some bytes").bytes());
    let size = layer.size.unwrap();
    let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
    let message = store.fails(["create", "--disk-limit-size-bytes", "10", &url, "x"]);
    assert_eq!(message, format!("pulling the image: layers exceed disk quota {size}/10 bytes"));
    assert!(store.volumes().is_empty() && store.leftovers().is_empty());
    store.ok(["create", "--disk-limit-size-bytes", &size.to_string(), &url, "equal-is-allowed"]);
    store.ok(["create", "--disk-limit-size-bytes", "10", "--exclude-image-from-quota", &url, "exclusive"]);
}

#[test]
fn a_bomb_is_stopped_while_it_unpacks() {
    let store = TempStore::with_quota();
    let bomb = Layer::new(Archive::new().file("zeros", 0o644, &vec![0; 40 * MIB as usize]).bytes());
    assert!(bomb.size.unwrap() < 7 * MIB, "compressed it fits");
    let url = Image::new().layer(bomb).write(&store.beside("image"), "latest");
    let message = store.fails(["create", "--disk-limit-size-bytes", &(7 * MIB).to_string(), &url, "x"]);
    assert!(message.contains("uncompressed layer size exceeds quota"), "{message}");
    assert!(store.volumes().is_empty() && store.leftovers().is_empty());
    store.ok(["create", "--disk-limit-size-bytes", &(7 * MIB).to_string(), "--exclude-image-from-quota", &url, "x"]);
}

#[test]
fn layers_pulled_together_share_the_limit() {
    let store = TempStore::with_quota();
    let layer = |name: &str| Layer::new(Archive::new().file(name, 0o644, &vec![0; 4 * MIB as usize]).bytes());
    let url = Image::new().layer(layer("a")).layer(layer("b")).write(&store.beside("image"), "latest");
    let message = store.fails(["create", "--disk-limit-size-bytes", &(7 * MIB).to_string(), &url, "x"]);
    assert!(message.contains("uncompressed layer size exceeds quota"), "{message}");
    store.ok(["create", "--disk-limit-size-bytes", &(9 * MIB).to_string(), &url, "x"]);
}

#[test]
fn a_limit_outlives_a_remount() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    store.ok(["create", "--disk-limit-size-bytes", "10485760", "--exclude-image-from-quota", &url, "x"]);
    write(&store.rootfs("x").join("file"), MIB).unwrap();
    let before = store.stats("x");
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    store.ok(["init-store", "--store-size-bytes", "1073741824"]);
    assert_eq!(store.stats("x"), before);
    is_full(write(&store.own_files("x").join("more"), 10 * MIB));
}

#[test]
fn volumes_of_the_image_count_as_its_own() {
    let store = TempStore::with_quota();
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"").bytes());
    let url = Image::new().layer(layer).volume("/data").write(&store.beside("image"), "latest");
    store.ok(["create", "--disk-limit-size-bytes", "1048576", "--exclude-image-from-quota", &url, "x"]);
    let source = store.image("x").join(format!("vol-{}", crate::support::sha256_hex(b"/data")));
    is_full(write(&source.join("file"), 2 * MIB));
}

/// What a volume begins with is in the layers, and counted with them: a container has as much to write as without it.
#[test]
fn what_a_volume_begins_with_counts_once() {
    let store = TempStore::with_quota();
    let archive = Archive::new().directory("data", 0o755).file("data/five", 0o644, &vec![b'x'; 5 * MIB as usize]);
    let archive = (0..50).fold(archive, |archive, n| archive.file(&format!("data/{n}"), 0o644, b"small"));
    let url = Image::new().layer(Layer::new(archive.bytes())).volume("/data").write(&store.beside("image"), "latest");
    let volume = |id: &str| store.image(id).join(format!("vol-{}", crate::support::sha256_hex(b"/data")));
    let limit = |bytes: u64| bytes.to_string();
    let exclusive = ["create", "--disk-limit-size-bytes", &limit(2 * MIB), "--exclude-image-from-quota", &url, "x"];
    store.ok(exclusive);
    store.ok(["create", "--disk-limit-size-bytes", &limit(8 * MIB), &url, "y"]);
    for (id, own) in [("x", 2 * MIB), ("y", 3 * MIB - 250)] {
        let stats = store.stats(id);
        assert!(number(&stats, "exclusive_bytes_used") < 512 * 1024, "{id}: {stats}");
        assert!((5 * MIB..6 * MIB).contains(&number(&stats, "total_bytes_used")), "{id}: {stats}");
        assert!((own..own + 256 * 1024).contains(&number(&stats, "quota_size_bytes")), "{id}: {stats}");
        write(&volume(id).join("one"), MIB).unwrap();
        let stats = store.stats(id);
        // Classic quotas count volumes apart.
        let used = if *IS_CLASSIC { 0..MIB } else { MIB..2 * MIB };
        assert!(used.contains(&number(&stats, "exclusive_bytes_used")), "{id}: {stats}");
        is_full(write(&volume(id).join("more"), 3 * MIB));
        is_full(write(&store.rootfs(id).join("more"), 3 * MIB));
        store.ok(["delete", id]);
    }
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

/// Leaves a layer in the store that no image uses.
fn add_unused_layer(store: &TempStore) {
    let unused = Layer::new(Archive::new().file("unused", 0o644, b"unused").bytes());
    store.create(&Image::new().layer(unused).write(&store.beside("unused"), "latest"), "gone");
    store.ok(["delete", "gone"]);
}

/// What is committed to containers is not there for layers.
#[test]
fn limits_of_images_count_against_the_threshold_of_a_create_and_not_of_clean() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    store.create(&url, "cached");
    add_unused_layer(&store);
    let exclusive = ["create", "--exclude-image-from-quota", "--disk-limit-size-bytes"];
    let limited = |id: &str| store.ok([&exclusive[..], &[&(50 * MIB).to_string(), &url, id]].concat());
    let create = |threshold: u64, id: &str| {
        store.ok(["create", "--with-clean", "--threshold-bytes", &threshold.to_string(), &url, id])
    };
    limited("x");
    limited("y");
    create(101 * MIB, "below");
    assert_eq!(store.volumes().len(), 2);
    assert_eq!(store.ok(["clean", "--threshold-bytes", &MIB.to_string()]), "threshold not reached: skipping clean\n");
    create(100 * MIB, "above");
    assert_eq!(store.volumes().len(), 1);
    // What an image held that is gone no longer counts.
    store.ok(["delete", "x"]);
    add_unused_layer(&store);
    create(100 * MIB, "less");
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn the_limit_of_the_image_that_is_made_counts_too() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    store.create(&url, "cached");
    add_unused_layer(&store);
    let create = ["create", "--with-clean", "--threshold-bytes", "10485760", "--disk-limit-size-bytes"];
    store.ok([&create[..], &["10000000", &url, "x"]].concat());
    assert_eq!(store.volumes().len(), 2);
    store.ok(["delete", "x"]);
    store.ok([&create[..], &["10485760", &url, "y"]].concat());
    assert_eq!(store.volumes().len(), 1);
}

#[test]
fn sizes_measured_again_serve_an_inclusive_limit() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    store.create(&url, "x");
    let volume = store.volumes().remove(0);
    fs::remove_file(store.path().join("meta").join(format!("volume-{volume}"))).unwrap();
    store.ok(["generate-volume-size-metadata"]);
    store.ok(["create", "--disk-limit-size-bytes", "10485760", &url, "y"]);
    is_full(write(&store.rootfs("y").join("six"), 6 * MIB));
}

#[test]
fn a_limit_smaller_than_the_layers_says_both_numbers() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    store.create(&url, "cached");
    let message = store.fails(["create", "--disk-limit-size-bytes", &(5 * MIB - 1).to_string(), &url, "x"]);
    assert!(message.contains("disk limit is smaller than volume size"), "{message}");
    assert!(message.contains("5242879") && message.contains("5242880"), "{message}");
    assert!(message.contains("--exclude-image-from-quota"), "{message}");
    assert!(!store.image("x").exists() && store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert_eq!(names(&store.path().join("projectids")), [""; 0]);
}

#[test]
fn files_can_be_removed_from_a_full_image() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    store.ok(["create", "--disk-limit-size-bytes", "4194304", "--exclude-image-from-quota", &url, "x"]);
    let file = store.rootfs("x").join("file");
    is_full(write(&file, 8 * MIB));
    fs::remove_file(&file).unwrap();
    // Either filesystem frees in the background.
    rustix::fs::syncfs(File::open(store.path()).unwrap()).unwrap();
    wait_for("the space to be free", || write(&file, 2 * MIB).is_ok());
}

#[test]
fn a_hundred_creates_against_a_hundred_cleans_all_have_their_limits() {
    let store = TempStore::with_quota();
    let url = &small_image(&store.beside("image"));
    thread::scope(|scope| {
        for worker in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..25 {
                    let create = ["create", "--disk-limit-size-bytes", "2621440", "--exclude-image-from-quota", url];
                    store.ok([&create[..], &[&format!("x-{worker}-{n}")]].concat());
                }
            });
            scope.spawn(move || {
                for _ in 0..25 {
                    store.ok(["clean"]);
                }
            });
        }
    });
    let images: Vec<String> = (0..100).map(|n| format!("x-{}-{}", n / 25, n % 25)).collect();
    for id in &images {
        assert!(store.rootfs(id).join("hello").exists(), "{id}");
        assert_eq!(number(&store.stats(id), "quota_size_bytes"), 2_621_440, "a clean took the limit of {id}");
    }
    assert_eq!(names(&store.path().join("images")).len(), images.len());
    let project_ids = if *DRIVER == Driver::OverlayXfs { images.len() } else { 0 };
    assert_eq!(names(&store.path().join("projectids")).len(), project_ids);
}
