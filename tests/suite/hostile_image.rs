//! Images that are made to do harm: to the host, to other images, or to whoever cleans up after them.

use std::fs;
use std::path::PathBuf;

use nix::mount::{MntFlags, umount2};
use rustix::fs::{XattrFlags, setxattr};

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, Node, TempStore, ZSTD_LAYER, layers, mount, peak_memory, peak_memory_of,
    run, small_image, succeed, wait_for, wrapped, write_archive, zstd,
};

fn image(store: &TempStore, name: &str, archives: impl IntoIterator<Item = Archive>) -> String {
    let image = archives.into_iter().fold(Image::new(), |image, archive| image.layer(Layer::new(archive.bytes())));
    image.write(&store.beside(name), "latest")
}

/// Where the only layer in the store has its files.
fn only_volume(store: &TempStore) -> PathBuf {
    let [volume] = &store.volumes()[..] else { panic!("{:?}", store.volumes()) };
    store.path().join("volumes").join(volume)
}

/// XFS keeps access control lists in attributes of this name, and opens no directory with one that it cannot read.
const XFS_ACL: &str = "trusted.SGI_ACL_FILE";

#[test]
fn an_attribute_that_speaks_for_the_filesystem_or_the_overlay_is_left_out_and_logged() {
    let store = TempStore::new();
    let names = [XFS_ACL, "trusted.SGI_ACL_DEFAULT", "trusted.overlay.redirect", "user.overlay.opaque", "trusted.any"];
    let archive = names.iter().fold(Archive::new(), |archive, name| archive.xattr(name, b"y"));
    let archive = archive.xattr("security.ima", b"x").xattr("system.posix_acl_access", b"y").xattr("user.", b"x");
    let url = image(&store, "image", [archive.xattr("user.kept", b"y").directory("d", 0o755).file("d/f", 0o644, b"x")]);
    let log = store.beside("log");
    store.ok(["--log-level", "debug", "--log-file", log.to_str().unwrap(), "create", &url, "x"]);
    let xattrs = Node::read(&store.rootfs("x").join("d")).xattrs;
    assert_eq!(xattrs.keys().collect::<Vec<_>>(), ["user.kept"]);
    let logged = fs::read_to_string(log).unwrap();
    assert!(names.iter().all(|name| logged.contains(&format!(r#""name":"{name}""#))), "{logged}");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
}

#[test]
fn a_directory_that_cannot_be_opened_can_be_removed() {
    let store = TempStore::new();
    // For their owner the kernel looks at no list.
    let archive = Archive::new().owner(4711, 4711).directory("d/empty", 0o755).directory("full", 0o755);
    let archive = archive.file("full/f", 0o644, b"x");
    store.create(&image(&store, "image", [archive]), "x");
    // As older versions let images do.
    for name in ["d/empty", "full"] {
        setxattr(only_volume(&store).join(name), XFS_ACL, b"y", XattrFlags::empty()).unwrap();
    }
    store.ok(["delete", "x"]);
    // The kernel knows the directories from before.
    wait_for("unmounting", || umount2(store.path(), MntFlags::empty()).is_ok());
    mount(&store.backing_file(), store.path(), DRIVER.filesystem(), "loop");
    if *DRIVER == Driver::OverlayXfs {
        assert!(fs::read_dir(only_volume(&store).join("full")).is_err(), "the attribute does no harm");
    }
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
    store.ok(["delete-store"]);
}

#[test]
fn an_attribute_that_is_too_large_is_no_full_store() {
    let store = TempStore::new();
    let (unused, chain) = layers(&store, "unused", 2);
    store.create(&unused, "unused");
    store.ok(["delete", "unused"]);
    // XFS has room for that with any file, btrfs for less than a block.
    let archive = Archive::new().xattr("user.large", &vec![b'x'; 60_000]).file("f", 0o644, b"");
    let url = image(&store, "image", [archive]);
    if *DRIVER == Driver::OverlayXfs {
        store.create(&url, "x");
    } else {
        let message = store.fails(["create", &url, "x"]);
        let expected =
            "setting xattr `user.large` for file `f`: 60000 bytes are more than the filesystem keeps with one";
        assert!(message.contains(expected) && !message.contains("no space"), "{message}");
    }
    let mut left = store.volumes();
    left.retain(|volume| chain.contains(volume));
    assert_eq!(left.len(), 2, "layers that no image uses were sacrificed");
}

#[test]
fn a_symlink_that_leads_nowhere_gives_way_to_a_directory() {
    let store = TempStore::new();
    let long = "x".repeat(256);
    let targets = ["self", "/self", "self/..", "other", "nothing", "file", "file/x", long.as_str()];
    for (number, target) in targets.iter().enumerate() {
        let lower = Archive::new().file("file", 0o644, b"").symlink("other", "self").symlink("self", target);
        let url = image(&store, &format!("image-{number}"), [lower, Archive::new().file("self/x", 0o644, b"inside")]);
        let rootfs = store.create(&url, &number.to_string());
        assert!(fs::symlink_metadata(rootfs.join("self")).unwrap().is_dir(), "{target}");
        assert_eq!(fs::read_to_string(rootfs.join("self/x")).unwrap(), "inside", "{target}");
    }
    store.create(&small_image(&store.beside("small")), "small");
}

/// What a create of an image with these layers has the kernel do, whether it succeeds or not: system calls, and names that
/// it looks up for their paths.
fn steps(name: &str, archives: Vec<Archive>) -> usize {
    let store = TempStore::new();
    let url = image(&store, name, archives);
    let trace = store.beside("trace");
    let command = store.command(["create", &url, "x"]);
    run(&mut wrapped(&["strace", "-f", "-s", "5000", "-o", trace.to_str().unwrap()], &command));
    // What is written and read has no part in it.
    let trace = fs::read(trace).unwrap();
    let calls = trace.split(|byte| *byte == b'\n');
    let calls = calls.filter(|call| {
        ![&b" write("[..], b" read("].iter().any(|name| call.windows(name.len()).any(|part| part == *name))
    });
    calls.map(|call| 1 + call.iter().filter(|byte| **byte == b'/').count()).sum()
}

/// Names below each other.
fn deep(depth: usize) -> String {
    vec!["d"; depth].join("/")
}

/// A name, and what makes the layers of an image of the size that it is given.
type Case<'a> = (&'a str, &'a dyn Fn(usize) -> Vec<Archive>);
/// A name, and what adds an entry of a number.
type Many<'a> = (&'a str, &'a dyn Fn(Archive, usize) -> Archive);

/// What it takes to make an image grows with the image, whatever is in it.
#[test]
fn no_small_image_makes_much_work() {
    let base = |depth: usize| Archive::new().file(&format!("{}/f", deep(depth)), 0o644, b"");
    let many = |archive: Archive, count: usize, add: &dyn Fn(Archive, usize) -> Archive| (0..count).fold(archive, add);
    let images: [Case<'_>; 9] = [
        ("files that lie deep", &|size| vec![base(size)]),
        ("hard links to nothing, deep", &|size| {
            vec![many(base(size / 2), 10, &|archive, n| {
                archive.hard_link(&n.to_string(), &format!("{}/{n}", deep(size)))
            })]
        }),
        ("hard links to lower files, deep", &|size| {
            let link = |archive: Archive, n: usize| archive.hard_link(&n.to_string(), &format!("{}/f", deep(size)));
            vec![base(size), many(Archive::new(), 10, &link)]
        }),
        ("directories of lower layers, deep", &|size| {
            vec![base(size), base(size).file(&format!("{}/g", deep(size)), 0o644, b"")]
        }),
        ("deletions in deep directories", &|size| {
            vec![base(size), many(Archive::new(), 10, &|archive, n| archive.whiteout(&format!("{}/{n}", deep(size))))]
        }),
        ("deletion of a deep tree with something new in it", &|size| {
            vec![base(size), Archive::new().file(&format!("{}/g", deep(size)), 0o644, b"").whiteout("d")]
        }),
        ("an opaque directory with much below it", &|size| {
            let file = |archive: Archive, n: usize| archive.file(&format!("d/{n}"), 0o644, b"");
            vec![many(Archive::new(), size, &file), Archive::new().opaque("d").file("d/0", 0o644, b"")]
        }),
        ("directories that become files and back again", &|size| {
            let there_and_back = |archive: Archive, n: usize| {
                archive.file(&format!("{}/{n}", deep(size)), 0o644, b"").file("d", 0o644, b"")
            };
            vec![many(Archive::new(), 5, &there_and_back)]
        }),
        ("symlinks behind each other", &|size| {
            let link = |archive: Archive, n: usize| archive.symlink(&format!("l{n}"), &"x/../".repeat(size / 10));
            let file = |archive: Archive, n: usize| archive.file(&format!("l{n}/f{n}"), 0o644, b"");
            vec![many(many(Archive::new().directory("x", 0o755), 5, &link), 5, &file)]
        }),
    ];
    for (name, layers) in images {
        let (small, large) = (steps("small", layers(150)), steps("large", layers(300)));
        assert!(large < small * 5 / 2, "{name}: {small} steps, for twice as much {large}");
    }
}

/// The largest resident set of a create, in KiB, whether it succeeds or not.
fn peak(name: &str, archive: Archive) -> u64 {
    let store = TempStore::new();
    let path = write_archive(store.path().parent().unwrap(), name, &archive.bytes());
    let mut command = store.command(["create".as_ref(), path.as_os_str(), "x".as_ref()]);
    peak_memory_of(&mut command).0
}

#[test]
fn no_image_takes_much_memory() {
    const MANY: usize = 20_000;
    let long = vec!["x".repeat(200); 19].join("/");
    let images: [Many<'_>; 4] = [
        ("links", &|archive, n| archive.hard_link(&n.to_string(), &format!("{long}/{n}"))),
        ("directories", &|archive, n| archive.file(&format!("{long}/{n}/f"), 0o644, b"")),
        ("named", &|archive, n| archive.directory(&format!("{long}/{n}"), 0o755)),
        ("whiteouts", &|archive, n| archive.whiteout(&format!("{long}/{n}"))),
    ];
    for (name, add) in images {
        let peak = peak(name, (0..MANY).fold(Archive::new(), add));
        assert!(peak < 64 * 1024, "{name}: {peak} KiB");
    }
}

#[test]
fn an_image_that_would_take_much_memory_is_refused_by_name_of_the_limit() {
    let store = TempStore::new();
    let attribute = vec![b'x'; 3000];
    let archive = (0..12_000)
        .fold(Archive::new(), |archive, n| archive.xattr("user.a", &attribute).directory(&n.to_string(), 0o755));
    let path = write_archive(store.path().parent().unwrap(), "archive", &archive.bytes());
    let message = store.fails(["create", path.to_str().unwrap(), "x"]);
    assert!(message.contains("raise create.limits.memory_bytes (now 25165824)"), "{message}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

/// Each limit stops the image that exceeds it, with one line that names it, and nothing is left.
#[test]
fn limits_stop_images_by_name() {
    let store = TempStore::new();
    let archive = || Archive::new().xattr("user.a", &[b'x'; 200]).file("a/b/c/d", 0o644, &vec![0; 1 << 20]);
    let image =
        Image::new().layer(Layer::new(archive().bytes())).layer(Layer::new(archive().file("e", 0o644, b"").bytes()));
    let url = image.write(&store.beside("image"), "latest");
    let limits = [
        ("unpacked_bytes", "1000000", "unpacks to too many bytes"),
        ("entries", "2", "has too many entries"),
        ("layers", "1", "has too many layers"),
        ("path_bytes", "6", "has too long a path"),
        ("path_depth", "3", "has too deep a path"),
        ("xattr_bytes", "200", "has too large extended attributes on a file"),
        ("pax_bytes", "200", "has too long an extended header in an archive"),
        ("manifest_bytes", "100", "has too large a manifest, index or configuration"),
        ("memory_bytes", "100", "has more directories, whiteouts and links to lower layers than there is memory for"),
    ];
    let config = store.beside("config.yml");
    for (name, value, text) in limits {
        let message = store.fails(["create", "--limit", &format!("{name}={value}"), &url, "x"]);
        // A layer that was whole may stay.
        store.ok(["clean"]);
        let expected = format!("the image {text}: raise create.limits.{name} (now {value}) if you trust it");
        assert!(message.ends_with(&expected), "{message}");
        fs::write(&config, format!("create: {{limits: {{{name}: {value}}}}}")).unwrap();
        assert_eq!(store.fails(["--config", config.to_str().unwrap(), "create", &url, "x"]), message);
        assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
        store.ok(["clean"]);
    }
    let message = store.fails(["create", "--limit", "anything=1", &url, "x"]);
    assert!(
        message.starts_with("invalid argument: there is no limit `anything`; there are unpacked_bytes, "),
        "{message}"
    );
    let all = limits.map(|(name, ..)| format!("{name}=0")).join(",");
    store.ok(["create", "--limit", &all, &url, "x"]);
}

#[test]
fn a_layer_that_unpacks_to_many_times_its_size_is_refused() {
    let store = TempStore::new();
    // 2 GiB of zeros in a few hundred bytes: frames of zstd, each of which stands for a whole mebibyte.
    let megabyte = zstd(&vec![0; 1 << 20]);
    let header = Archive::new().entry_of_size("zeros", 2 << 30);
    let blob = [zstd(&header), megabyte.repeat(2048)].concat();
    let path = write_archive(store.path().parent().unwrap(), "bomb", &blob);
    let message = store.fails(["create", "--limit", "unpacked_bytes=0", path.to_str().unwrap(), "x"]);
    assert!(message.ends_with("raise create.limits.compression_ratio (now 250) if you trust it"), "{message}");
    assert!(store.volumes().is_empty() && store.leftovers().is_empty());
}

/// A compressed archive of an image is read to its end before anything is known of the image.
#[test]
fn an_archive_of_an_image_that_unpacks_to_many_times_its_size_is_refused() {
    let store = TempStore::new();
    let header = Archive::new().entry_of_size("blobs/sha256/zeros", 2 << 30);
    let bomb = [zstd(&header), zstd(&vec![0; 1 << 20]).repeat(2048)].concat();
    let path = write_archive(store.path().parent().unwrap(), "bomb", &bomb).display().to_string();
    let is_refused = |arguments: &[&str]| {
        let message = store.fails(arguments);
        let knob = "raise create.limits.compression_ratio (now 250) if you trust it";
        assert!(message.ends_with(knob), "{arguments:?}: {message}");
    };
    for image in [format!("oci-archive:{path}"), format!("docker-archive:{path}")] {
        is_refused(&["inspect", &image]);
        is_refused(&["pull", &image]);
        is_refused(&["create", &image, "x"]);
    }
    // What turns out to be no image is unpacked.
    is_refused(&["create", "--limit", "unpacked_bytes=0", &path, "x"]);
    assert!(store.volumes().is_empty() && store.leftovers().is_empty());
}

#[test]
fn a_zstd_window_is_as_large_as_container_tools_make_it_and_no_larger() {
    let store = TempStore::new();
    let archive = Archive::new().file("hello", 0o644, b"hello\n").bytes();
    let with_window = |log: u32| {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        std::io::Write::write_all(&mut encoder, &archive).unwrap();
        write_archive(store.path().parent().unwrap(), &format!("{log}.tar.zst"), &encoder.finish().unwrap())
    };
    store.create(with_window(25).to_str().unwrap(), "x");
    let message = store.fails(["create", with_window(26).to_str().unwrap(), "y"]);
    assert!(message.contains("asks for a window of more than 32 MiB: compress it without --long"), "{message}");
    assert!(store.leftovers().is_empty());
}

/// Decoders that keep much of what they have decoded wait for each other.
#[test]
fn decoders_of_layers_share_their_memory() {
    let store = TempStore::new();
    // Much that is soon read, and then what takes time to write.
    let archive = |layer: usize| {
        let archive = Archive::new().file(".wh.nothing", 0o644, &vec![b'x'; 36 << 20]);
        (0..4000).fold(archive, |archive, n| archive.file(&format!("{layer}/{n}"), 0o644, b"")).bytes()
    };
    let with_large_window = |archive: &[u8]| {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        std::io::Write::write_all(&mut encoder, archive).unwrap();
        encoder.finish().unwrap()
    };
    let xz = |archive: &[u8]| {
        let path = write_archive(store.path().parent().unwrap(), "layer", archive);
        succeed("xz", ["--force", "--threads=1", "--lzma2=preset=0,dict=64MiB", path.to_str().unwrap()]);
        fs::read(path.with_extension("xz")).unwrap()
    };
    let zstd_layer = |n| Layer::packed(&archive(n), with_large_window(&archive(n)), ZSTD_LAYER);
    let xz_layer = |n| Layer::packed(&archive(n), xz(&archive(n)), "application/vnd.oci.image.layer.v1.tar");
    let image = |name: &str, count: usize, layer: &dyn Fn(usize) -> Layer| {
        (0..count).map(layer).fold(Image::new(), Image::layer).write(&store.beside(name), "latest")
    };
    // The lowest layer has the largest window that is allowed, all others together as much as five with usual windows.
    for (url, most) in [(image("zstd", 6, &zstd_layer), 64 + 32 + 40), (image("xz", 4, &xz_layer), 64 + 68)] {
        let create = ["create", "--concurrent-downloads", "6", &url, "x"];
        let peak = peak_memory(&mut store.command(create));
        assert!(peak < most * 1024, "{url}: peak of {peak} KiB");
        store.ok(["delete", "x"]);
        store.ok(["clean"]);
    }
}

#[test]
fn an_image_leaves_the_store_a_reserve_and_cleans_before_it_fails() {
    let store = TempStore::new();
    let (unused, _) = layers(&store, "unused", 1);
    store.create(&unused, "unused");
    store.ok(["delete", "unused"]);
    let large = Archive::new().entry_of_size("zeros", 1 << 30);
    let frame = zstd(&vec![0; 1 << 20]);
    let path = write_archive(store.path().parent().unwrap(), "large", &[zstd(&large), frame.repeat(1024)].concat());
    let message = store.fails([
        "create",
        "--with-clean",
        "--threshold-bytes",
        "1000000000",
        "--limit",
        "compression_ratio=0",
        path.to_str().unwrap(),
        "x",
    ]);
    assert!(message.contains("beside the store's reserve (create.limits.unpacked_bytes)"), "{message}");
    assert!(store.volumes().is_empty(), "unused layers make room");
}
