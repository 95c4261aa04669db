//! Growing where the kernel would not, or would not yet.

use std::fs;
use std::process::Command;

use crate::support::{MIB, TempStore, run, small_image, succeed, wait_for, write};

fn size(store: &TempStore) -> u64 {
    let status = rustix::fs::statvfs(store.path()).unwrap();
    status.f_blocks * status.f_frsize
}

/// The kernel changes the size of no filesystem below 256 MiB, not even to what it is.
#[test]
fn a_small_store_is_initialised_again_and_becomes_a_large_one() {
    let store = TempStore::with_size(200 * MIB);
    let init =
        |mebibytes: u64| ["init-store".to_owned(), "--store-size-bytes".to_owned(), (mebibytes * MIB).to_string()];
    store.ok(["init-store"]);
    store.ok(init(200));
    assert_eq!(size(&store), 200 * MIB);
    let message = store.fails(init(220));
    assert!(message.contains("256 MiB") && message.ends_with("choose a larger size"), "{message}");
    store.create(&small_image(&store.beside("image")), "x");
    store.ok(init(400));
    assert_eq!(size(&store), 400 * MIB);
}

#[test]
fn a_balance_that_is_paused_is_told_of() {
    let store = TempStore::with_size(512 * MIB);
    write(&store.path().join("tmp/data"), 300 * MIB).unwrap();
    let path = store.path().to_str().unwrap();
    // One that is done before it can be paused is started again.
    wait_for("a balance to be paused", || {
        let [_, _, status] = [&["start", "--full-balance", "--background"][..], &["pause"], &["status"]]
            .map(|arguments| run(Command::new("btrfs").arg("balance").args(arguments).arg(path)).stdout);
        status.contains("is paused")
    });
    let init = ["init-store", "--store-size-bytes", "1073741824"];
    let message = store.fails(init);
    assert!(message.contains("balance") && message.ends_with("run init-store again"), "{message}");
    assert_eq!(size(&store), 512 * MIB);
    succeed("btrfs", ["balance", "cancel", path]);
    store.ok(init);
    assert_eq!(size(&store), 1024 * MIB);
    fs::remove_file(store.path().join("tmp/data")).unwrap();
}
