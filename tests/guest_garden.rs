//! Garden's contract where it needs limits, on a kernel that has XFS project quotas. `hack/test` runs this in the guest
//! where the host has none.

#![allow(clippy::unwrap_used)]

mod garden_life;

use std::fs;
use std::io::ErrorKind;

use garden_life::{STORES, life_cycle, rootfs_archive};
use grootfs_test_support as support;
use support::{Archive, Cell, Image, Layer, MIB, Metron, Rootfs, TempStore, names, run, small_image};

#[test]
fn promise_01_a_cell_lives_through_starts_deployments_and_a_reboot_with_limits() {
    life_cycle(&Cell::new(STORES, true), 10);
}

#[test]
fn promise_01_limits_are_what_guardian_asks_for() {
    let cell = Cell::new(STORES, true);
    cell.rewrite(512 * MIB, 0);
    cell.start();
    let guardian = cell.guardian();
    let image = rootfs_archive(&cell);
    let rootfs = Rootfs { image: &image, limit: 2 * MIB, ..Rootfs::default() };
    let exclusive = guardian.create(Rootfs { exclusive: true, ..rootfs }, "exclusive").unwrap();
    let inclusive = guardian.create(rootfs, "inclusive").unwrap();
    // The image takes 0.1 MB of the limit that includes it.
    for (created, bytes, fits) in [(&exclusive, 1_950_000, true), (&inclusive, 2_050_000, false)] {
        let written = fs::write(created.root.join("file"), vec![7; bytes]);
        assert_eq!(written.is_ok(), fits, "{written:?}");
        assert!(fits || written.unwrap_err().kind() == ErrorKind::StorageFull);
    }
    let usage = guardian.metrics("exclusive").unwrap();
    assert!(usage.exclusive >= 1_950_000 && usage.total >= usage.exclusive + 100_000, "{usage:?}");

    // What fits no limit is told in one line, and costs nothing.
    let error = guardian.create(Rootfs { limit: 50_000, ..rootfs }, "tiny").unwrap_err();
    assert!(error.contains("disk limit is smaller than volume size") && error.lines().count() == 2, "{error}");
    assert_eq!(names(&cell.stores()[0].join("images")), ["exclusive", "inclusive"]);
}

/// The thresholder's is about the store's size, which layers alone never reach: what is committed to containers does.
#[test]
fn promise_01_layers_go_when_containers_are_promised_their_room() {
    let cell = Cell::new(STORES, true);
    cell.rewrite(512 * MIB, 500 * MIB);
    cell.start();
    let guardian = cell.guardian();
    let unused = cell.path("unused.tar");
    fs::write(&unused, Archive::new().file("unused", 0o644, &[7; 1000]).bytes()).unwrap();
    guardian.create(Rootfs { image: unused.to_str().unwrap(), ..Rootfs::default() }, "gone").unwrap();
    guardian.destroy("gone").unwrap();
    let image = rootfs_archive(&cell);
    let volumes = || names(&cell.stores()[0].join("volumes")).len();
    for (handle, left) in [("one", 2), ("two", 2), ("three", 1)] {
        let rootfs = Rootfs { image: &image, limit: 200 * MIB, exclusive: true, ..Rootfs::default() };
        guardian.create(rootfs, handle).unwrap();
        assert_eq!(volumes(), left, "{handle}");
    }
}

/// BOSH tries out the helper at every start on a directory that it removes itself.
#[test]
fn promise_01_the_helpers_trial_run_leaks_no_project_id_for_ever() {
    let cell = Cell::new(STORES, true);
    cell.rewrite(512 * MIB, 0);
    for _ in 0..3 {
        cell.start();
    }
    for store in cell.stores() {
        assert_eq!(names(&store.join("projectids")).len(), 3, "one a start");
        assert!(!store.join("images/xfs_test").exists());
        cell.grootfs_says(&store, "clean", "clean completed\n");
        assert!(names(&store.join("projectids")).is_empty());
    }
}

#[test]
fn promise_01_the_helper_limits_a_directory_that_grootfs_does_not_know() {
    let cell = Cell::new(STORES, true);
    cell.rewrite(512 * MIB, 0);
    cell.start();
    let store = &cell.stores()[1];
    let directory = store.join("images/xfs_test");
    fs::create_dir(&directory).unwrap();
    let mut limit = std::process::Command::new(cell.path("bin/tardis"));
    limit.args(["--log-timestamp-format", "unix-epoch", "limit", "--disk-limit-bytes", "1048576", "--image-path"]);
    assert_eq!(run(limit.arg(&directory)).success(), "");
    fs::write(directory.join("half"), vec![7; 500_000]).unwrap();
    assert_eq!(fs::write(directory.join("more"), vec![7; 1_000_000]).unwrap_err().kind(), ErrorKind::StorageFull);
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn committed_quotas_are_measured() {
    let store = TempStore::with_quota();
    let metron = Metron::start();
    let url = small_image(&store.beside("image"));
    let file = store.beside("grootfs.prom");
    let endpoint = metron.endpoint();
    for (id, limit, committed) in [("x", 1, 1.0), ("y", 2, 3.0)] {
        let limit = (limit * MIB).to_string();
        let global = ["--metron-endpoint", &endpoint, "--metrics-file", file.to_str().unwrap()];
        let create = ["create", "--disk-limit-size-bytes", &limit, "--exclude-image-from-quota", &url, id];
        store.ok([&global[..], &create].concat());
        assert_eq!(metron.received().values("CommittedQuotaInBytes", "bytes"), [committed * MIB as f64]);
    }
    let line = format!("grootfs_committed_quota_bytes{{store=\"{}\"}} {}\n", store.path().display(), 3 * MIB);
    assert!(fs::read_to_string(file).unwrap().contains(&line));
}

#[test]
fn a_larger_size_makes_a_store_with_limits_larger() {
    let store = TempStore::with_quota();
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello\n").bytes());
    let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
    store.ok(["create", "--disk-limit-size-bytes", "1048576", "--exclude-image-from-quota", &url, "x"]);
    store.ok(["init-store", "--store-size-bytes", &(2048 * MIB).to_string()]);
    let status = rustix::fs::statvfs(store.path()).unwrap();
    assert!(status.f_blocks * status.f_frsize > 1900 * MIB);
    let written = fs::write(store.rootfs("x").join("file"), vec![7; 2 * MIB as usize]);
    assert_eq!(written.unwrap_err().kind(), ErrorKind::StorageFull, "the limit holds");
    assert_eq!(store.stats("x")["quota_size_bytes"], MIB);
}
