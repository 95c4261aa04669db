//! What ordinary users meet with on btrfs alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::rootless::UsersStore;
use crate::rootless::containers::{SCRIPT, image};
use crate::support::{Archive, Bundle, Image, Layer, Runtime};

/// crun cannot place a root overlay from `mounts`, so this one is for roots that need none.
#[test]
fn run_by_the_user_under_crun() {
    let store = UsersStore::mapped();
    let url = image().write(&store.images().join("image"), "latest");
    let printed = store.create(&url, "x").to_string();
    let bundle = Bundle::of_user(&store.user, &printed, &["/bin/sh", "-ec", SCRIPT]);
    assert_eq!(bundle.run_by(&store.user, Runtime::Crun).success(), "hello\nfile\n0\n");
    store.ok(&["delete", "x"]);
}

#[test]
fn a_directory_that_is_not_the_user_s_cannot_be_written_to() {
    let store = UsersStore::unmapped();
    let lower = || Layer::new(Archive::new().directory("d", 0o755).bytes());
    let upper = Layer::new(Archive::new().file("d/f", 0o644, b"").bytes());
    let below = Image::new().layer(lower()).write(&store.images().join("below"), "latest");
    let url = Image::new().layer(lower()).layer(upper).write(&store.images().join("image"), "latest");
    store.create(&below, "below");
    let volume = store.store.path().join("volumes").join(&store.store.volumes()[0]);
    chown(volume.join("d"), Some(0), Some(0)).unwrap();
    fs::set_permissions(volume.join("d"), fs::Permissions::from_mode(0o555)).unwrap();
    let message = store.fails(&["create", &url, "x"]);
    assert!(
        message.ends_with(
            "'/d' does not give write permission to its owner. This image can only be unpacked using uid and gid \
                 mappings, or by running as root."
        ),
        "{message}"
    );
    store.ok(&["clean"]);
}
