//! The tests' own promise: a dropped [`TempStore`] leaves no mount, no loop device and no file, whatever was in it.

use std::path::Path;

use crate::support::{DRIVER, TempStore, assert_no_loops_below, loops_below, mount, mount_points_below, small_image};

#[test]
fn a_dropped_store_leaves_nothing() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    mount(Path::new("tmpfs"), &store.rootfs("x").join("inside"), "tmpfs", "size=1m");
    let directory = store.path().parent().unwrap().to_owned();
    assert_eq!(mount_points_below(&directory).len(), 2 + DRIVER.mounts(1));
    assert_eq!(loops_below(&directory).len(), 1);

    drop(store);
    assert!(mount_points_below(&directory).is_empty());
    assert_no_loops_below(&directory);
    assert!(!directory.exists());
}
