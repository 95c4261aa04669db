//! Pulling one image of three layers, whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::command::Outcome;
use crate::image::{Image, Layer};
use crate::store::TempStore;

/// What a registry is called that cannot be trusted.
const INSECURE: &str =
    "This registry is insecure. To pull images from this registry, please use the --insecure-registry option.";
/// Checks that it is said of a registry that it cannot be trusted, after the reason.
#[track_caller]
pub fn assert_insecure(message: &str, reason: &str) {
    assert!(message.contains(reason) && message.ends_with(INSECURE) && message.len() > INSECURE.len(), "{message}");
}

/// What a user hears who has mistyped.
pub const WRONG_PASSWORD: &str = "unable to retrieve auth token: invalid username/password";

/// Bytes that do not compress.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The topmost layer, which takes more than a few packets.
pub fn large_layer() -> Layer {
    Layer::new(Archive::new().whiteout("gone").file("noise", 0o600, &noise(3_000_000, 1)).bytes())
}

/// Three layers, the last of which deletes a file of the first.
pub fn image() -> Image {
    let first = Archive::new().directory("etc", 0o755).file("etc/one", 0o644, b"1").file("gone", 0o644, b"x");
    let second = Archive::new().directory("etc", 0o755).file("etc/two", 0o4755, b"2");
    Image::new()
        .layer(Layer::new(first.bytes()))
        .layer(Layer::new(second.bytes()))
        .layer(large_layer())
        .env(&["PATH=/bin", "TEST=second-test=true"])
        .volume("/foo")
}

/// The image as a layout beside the store.
pub fn layout(store: &TempStore) -> PathBuf {
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    layout
}

/// Checks that it is the image that is mounted.
#[track_caller]
pub fn assert_whole(rootfs: &Path) {
    assert_eq!(fs::read_to_string(rootfs.join("etc/one")).unwrap(), "1");
    assert_eq!(fs::read_to_string(rootfs.join("etc/two")).unwrap(), "2");
    assert_eq!(fs::metadata(rootfs.join("etc/two")).unwrap().permissions().mode() & 0o7777, 0o4755);
    assert_eq!(fs::read(rootfs.join("noise")).unwrap(), noise(3_000_000, 1));
    assert!(!rootfs.join("gone").exists());
}

/// Creates an image from a registry that is not verified.
pub fn create(store: &TempStore, insecure: &str, url: &str, id: &str) -> Outcome {
    store.run(["create", "--insecure-registry", insecure, url, id])
}

/// The image is made, whole.
#[track_caller]
pub fn succeeds(store: &TempStore, insecure: &str, url: &str, id: &str) {
    create(store, insecure, url, id).success();
    assert_whole(&store.rootfs(id));
}

/// The image is not made, for a reason; the store is as it was.
#[track_caller]
pub fn fails(store: &TempStore, insecure: &str, url: &str) -> String {
    let message = create(store, insecure, url, "failing").failure();
    assert_eq!(store.leftovers(), [""; 0], "{message}");
    assert!(!store.image("failing").exists());
    message
}

/// Deletes an image and whatever could serve the next create of it.
#[track_caller]
pub fn forget(store: &TempStore, id: &str) {
    store.ok(["delete", id]);
    store.ok(["clean"]);
    assert_eq!(store.volumes(), [""; 0]);
}
