//! Limits of a user with ids of his own. In his namespace no helper has any rights, so the process outside runs it.
//!
//! All else about helpers is the same as without mappings.

use crate::rootless::{IDS, UsersStore};
use crate::support::{DRIVER, Driver, MIB, five_mebibytes, is_full, names, write};

fn limited() -> UsersStore {
    UsersStore::made(&["init-store", "--store-size-bytes", "1073741824"].map(str::to_owned), &[IDS])
}

#[test]
fn an_image_is_limited_counted_and_deleted() {
    let store = limited();
    let image = five_mebibytes(&store.store);
    let create = ["create", "--without-mount", "--disk-limit-size-bytes", "10485760", &image, "x"];
    store.ok(&create);
    let own = store.store.image("x").join(if *DRIVER == Driver::Btrfs { "snapshot" } else { "diff" });
    write(&own.join("four"), 4 * MIB).unwrap();
    is_full(write(&own.join("two-more"), 2 * MIB));

    let stats: serde_json::Value = serde_json::from_str(&store.ok(&["stats", "x"])).unwrap();
    assert_eq!(stats["disk_usage"], store.store.stats("x"));
    assert_eq!(stats["disk_usage"]["quota_size_bytes"].as_u64(), Some(5 * MIB));

    match *DRIVER {
        Driver::Btrfs => {
            store.ok(&["limit", "x", "20MiB"]);
            write(&own.join("six"), 6 * MIB).unwrap();
            assert!(store.fails(&["limit", "x", "0"]).starts_with("only root takes a limit off"));
        }
        Driver::OverlayXfs => {
            let message = store.fails(&["limit", "x", "20MiB"]);
            assert!(message.starts_with("only root changes the limit of an image on XFS"), "{message}");
        }
    }

    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
    if *DRIVER == Driver::OverlayXfs {
        assert_eq!(names(&store.store.path().join("projectids")), [""; 0]);
    }
}

#[test]
fn a_helper_without_the_setuid_bit_is_an_error_and_leaves_nothing() {
    let store = limited();
    let image = five_mebibytes(&store.store);
    let (name, flag) = match *DRIVER {
        Driver::OverlayXfs => ("tardis", "--tardis-bin"),
        Driver::Btrfs => ("drax", "--drax-bin"),
    };
    let create = ["create", "--without-mount", "--disk-limit-size-bytes", "10485760", &image, "x"];
    for (program, reason) in [
        ("/bin/true", format!("missing the setuid bit on {name}")),
        ("/no/such/program", format!("{name} was not found in the $PATH")),
    ] {
        let message = store.fails(&[&[flag, program], &create[..]].concat());
        assert!(message.ends_with(&format!("apply disk limit: {reason}")), "{message}");
        assert!(!store.store.image("x").exists());
        assert_eq!(store.store.leftovers(), [""; 0]);
    }
}
