//! What the end-to-end tests share: throw-away stores, the binary, images made entry by entry, trees to compare.
//!
//! Every test runs the built `grootfs` binary on real filesystems, as root. A test owns what it makes: a [`TempStore`]
//! lives in a directory of its own, and dropping it unmounts and detaches everything below that directory.

// Each test binary compiles this module and uses a part of it.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used)]

mod archive;
mod bosh;
mod canary;
pub(crate) mod chug;
mod command;
mod container;
mod guardian;
mod image;
mod limits;
pub(crate) mod logs;
mod metron;
mod oracle;
mod pull;
mod registry;
mod scripted_registry;
mod store;
mod syscalls;
mod token_server;
mod tree;
mod user;
mod web_server;

pub(crate) use archive::{Archive, gzip, zstd};
pub(crate) use bosh::{Cell, Stores};
pub(crate) use canary::{CANARY_CONTENT, Canary};
pub(crate) use command::{Outcome, grootfs, peak_memory, peak_memory_of, program, run, succeed, wrapped};
pub(crate) use container::{Bundle, Runtime, run_bundle, run_users_bundle};
pub(crate) use guardian::{Guardian, Plugin, Rootfs};
pub(crate) use image::{GZIP_LAYER, Image, Layer, chain_ids, sha256_hex, write_document};
pub(crate) use limits::{five_mebibytes, is_full, make_empty_files, number, write};
pub(crate) use metron::{Metron, Received};
pub(crate) use oracle::{shifted, test_images, umoci};
pub(crate) use pull::{
    WRONG_PASSWORD, assert_insecure, assert_whole, create, fails, forget, image, large_layer, layout, noise, succeeds,
};
pub(crate) use registry::{PASSWORD, Registry, Setup, USER, make_certificates};
pub(crate) use scripted_registry::document as scripted_document;
pub(crate) use scripted_registry::{Answer, Asked, ScriptedRegistry};
pub(crate) use store::{
    DRIVER, Driver, IS_CLASSIC, TempStore, detach_loops, loops_below, mount, mount_points_below, mounted_filesystem,
    unmount_below,
};
pub(crate) use syscalls::{SystemCalls, system_calls, with_fault};
pub(crate) use token_server::{IDENTITY_TOKEN, TokenServer};
pub(crate) use tree::{Node, Tree, differences};
pub(crate) use user::{User, allow_search, install_helper};
pub(crate) use web_server::{WebServer, make_client_certificate, make_own_certificate};

use std::fs;
use std::path::{Path, PathBuf};

/// A mebibyte.
pub(crate) const MIB: u64 = 1024 * 1024;

/// What the tests use for passwords and tokens, and what becomes of them on their way to a registry.
pub(crate) const SECRETS: [&str; 9] = [
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
pub(crate) const SECRET: &str = "correct-horse-battery-staple";

/// The statically linked busybox that test images carry.
pub(crate) fn busybox() -> Vec<u8> {
    let candidates = ["/usr/bin/busybox", "/bin/busybox"];
    let found = candidates.iter().find_map(|path| fs::read(path).ok());
    found.expect("the tests need a static busybox; install the package busybox-static")
}

/// A layer with a busybox, a few of its names and the directories that a container needs.
pub(crate) fn busybox_layer() -> Layer {
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
pub(crate) fn small_image(directory: &Path) -> String {
    Image::new().layer(Layer::new(Archive::new().file("hello", 0o644, b"hello\n").bytes())).write(directory, "latest")
}

/// An image with `count` layers of one file each; no two names give the same layers.
pub(crate) fn layers(store: &TempStore, name: &str, count: usize) -> (String, Vec<String>) {
    let image = (0..count).fold(Image::new(), |image, n| {
        let content = format!("{name} {n}");
        image.layer(Layer::new(Archive::new().file(&format!("file-{n}"), 0o644, content.as_bytes()).bytes()))
    });
    let chain = image.chain_ids();
    (image.write(&store.beside(name), "latest"), chain)
}

/// The names in a directory, sorted; empty when there is no such directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Writes an archive into `directory` and returns its path.
pub(crate) fn write_archive(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).expect("archive written");
    path
}

/// Waits for `condition`, for as long as a busy machine may need.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
