//! What the end-to-end tests share: temporary stores, the binary, images made entry by entry, trees to compare.
//!
//! Every test runs the built `grootfs` binary on real filesystems, as root. A test owns what it makes: a [`TempStore`]
//! lives in a directory of its own, and dropping it unmounts and detaches everything below that directory.

#![allow(clippy::unwrap_used, clippy::new_without_default)]

mod archive;
mod bosh;
mod canary;
pub mod chug;
mod command;
mod container;
mod guardian;
mod image;
mod limits;
pub mod logs;
mod metron;
mod oracle;
pub mod pages;
mod programs;
mod pull;
mod registry;
mod scripted_registry;
pub mod shown;
mod store;
mod syscalls;
mod token_server;
mod tree;
mod user;
mod web_server;

pub use archive::{Archive, gzip, zstd};
pub use bosh::{Cell, Stores};
pub use canary::{CANARY_CONTENT, Canary};
pub use command::{Outcome, grootfs, peak_memory, peak_memory_of, program, run, succeed, wrapped};
pub use container::{Bundle, CGROUP2_ALONE, Runtime, run_bundle, run_bundle_on_a_terminal, run_users_bundle};
pub use guardian::{Guardian, Rootfs};
pub use image::{GZIP_LAYER, Image, Layer, ZSTD_LAYER, chain_ids, sha256_hex, write_document};
pub use limits::{five_mebibytes, is_full, make_empty_files, number, write};
pub use metron::{Metron, Received};
pub use oracle::{buildah, shifted, test_images, umoci};
pub use programs::grootfs_binary;
pub use pull::{
    WRONG_PASSWORD, assert_insecure, assert_whole, create, fails, forget, image, large_layer, layout, noise, succeeds,
};
pub use registry::{PASSWORD, Registry, Setup, USER, make_certificates};
pub use scripted_registry::document as scripted_document;
pub use scripted_registry::{Answer, Asked, ScriptedRegistry};
pub use store::{
    DRIVER, Driver, IS_CLASSIC, TempStore, assert_no_loops_below, detach_loops, loops_below, mount, mount_points_below,
    mounted_filesystem, unmount_below,
};
pub use syscalls::{SystemCalls, system_calls, with_fault};
pub use token_server::{IDENTITY_TOKEN, TokenServer};
pub use tree::{Node, Tree, differences};
pub use user::{User, allow_search, install_helper};
pub use web_server::{WebServer, make_client_certificate, make_own_certificate};

use std::fs;
use std::path::{Path, PathBuf};

/// A mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// What the tests use for passwords and tokens, and what becomes of them on their way to a registry.
pub const SECRETS: [&str; 9] = [
    PASSWORD,
    SECRET,
    IDENTITY_TOKEN,
    "wrong-word",
    "the-token",
    // base64 of USER:PASSWORD, and of USER:SECRET
    "Z3Jvb3Q6c2VjcmV0LXdvcmQ",
    "Z3Jvb3Q6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ",
    // base64 of what registry_mirrors has for logins
    "b3JpZ2luOnNlY3JldA",
    "bWlycm9yOnNlY3JldA",
];

/// A password that no registry knows.
pub const SECRET: &str = "correct-horse-battery-staple";

/// The statically linked busybox that test images carry.
pub fn busybox() -> Vec<u8> {
    let candidates = ["/usr/bin/busybox", "/bin/busybox"];
    let found = candidates.iter().find_map(|path| fs::read(path).ok());
    found.expect("the tests need a static busybox; install the package busybox-static")
}

/// A layer with a busybox, a few of its names and the directories that a container needs.
pub fn busybox_layer() -> Layer {
    let mut archive = Archive::new();
    for directory in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        archive = archive.directory(directory, 0o755);
    }
    archive = archive.file("bin/busybox", 0o755, &busybox());
    for name in ["sh", "ls", "df", "dd", "cat", "id"] {
        archive = archive.symlink(&format!("bin/{name}"), "busybox");
    }
    Layer::new(archive.bytes())
}

/// An image of one layer with one small file, for tests that look at something else.
pub fn small_image(directory: &Path) -> String {
    Image::new().layer(Layer::new(Archive::new().file("hello", 0o644, b"hello\n").bytes())).write(directory, "latest")
}

/// An image with `count` layers of one file each; no two names give the same layers.
pub fn layers(store: &TempStore, name: &str, count: usize) -> (String, Vec<String>) {
    let image = (0..count).fold(Image::new(), |image, n| {
        let content = format!("{name} {n}");
        image.layer(Layer::new(Archive::new().file(&format!("file-{n}"), 0o644, content.as_bytes()).bytes()))
    });
    let chain = image.chain_ids();
    (image.write(&store.beside(name), "latest"), chain)
}

/// The names in a directory, sorted; empty when there is no such directory.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Writes an archive into `directory` and returns its path.
pub fn write_archive(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).expect("archive written");
    path
}

/// Waits for `condition`, for as long as a busy machine may need.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
