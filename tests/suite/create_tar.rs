//! `create` from local tar archives.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{
    Archive, DRIVER, MIB, Node, TempStore, grootfs_binary, gzip, names, sha256_hex, succeed, write_archive, zstd,
};

/// Writes an archive beside the store and creates an image from it.
fn unpack(store: &TempStore, archive: Archive) -> std::path::PathBuf {
    let path = write_archive(store.path().parent().unwrap(), "base.tar", &archive.bytes());
    store.create(path.to_str().unwrap(), "x")
}

fn touch(path: &Path, seconds: u64) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .unwrap();
}

#[test]
fn content_modes_owners_and_times_are_the_archives() {
    let store = TempStore::new();
    let archive = Archive::new()
        .directory("open", 0o777)
        .owner(4000, 5000)
        .file("private", 0o700, b"content")
        .pax("mtime", b"1200000000.123456789")
        .file("precise", 0o644, b"")
        .mtime(1_100_000_000)
        .symlink("link", "private")
        .fifo("pipe", 0o622)
        .owner(4_294_967_294, 4_294_967_294)
        .file("nobody", 0o644, b"");
    let rootfs = unpack(&store, archive);

    assert_eq!(Node::read(&rootfs.join("open")).mode, 0o777);
    let private = Node::read(&rootfs.join("private"));
    assert_eq!((private.mode, private.owner, private.mtime), (0o700, (4000, 5000), (1_000_000_000, 0)));
    assert_eq!(private.content, sha256_hex(b"content"));
    assert_eq!(Node::read(&rootfs.join("precise")).mtime, (1_200_000_000, 123_456_789));
    let link = Node::read(&rootfs.join("link"));
    assert_eq!((link.content.as_str(), link.owner, link.mtime), ("private", (4000, 5000), (1_100_000_000, 0)));
    assert_eq!(fs::read_to_string(rootfs.join("link")).unwrap(), "content");
    let pipe = fs::symlink_metadata(rootfs.join("pipe")).unwrap();
    assert!(pipe.file_type().is_fifo());
    assert_eq!(pipe.mode() & 0o7777, 0o622);
    assert_eq!(Node::read(&rootfs.join("nobody")).owner, (4_294_967_294, 4_294_967_294));
}

#[test]
fn special_mode_bits_survive_the_change_of_owner_and_any_umask() {
    let store = TempStore::new();
    let archive = Archive::new()
        .owner(1000, 1000)
        .file("setuid", 0o4755, b"x")
        .file("setgid", 0o2755, b"x")
        .directory("sticky", 0o1777)
        .directory("unwritable", 0o555)
        .file("unwritable/inside", 0o400, b"x");
    let path = write_archive(store.path().parent().unwrap(), "base.tar", &archive.bytes());
    let script = format!(
        "umask 0077; exec {} --driver {} --store {} create {} x",
        grootfs_binary(),
        DRIVER.name(),
        store.path().display(),
        path.display()
    );
    succeed("sh", ["-c", &script]);
    let mode = |name: &str| Node::read(&store.rootfs("x").join(name)).mode;
    assert_eq!(mode("setuid"), 0o4755);
    assert_eq!(mode("setgid"), 0o2755);
    assert_eq!(mode("sticky"), 0o1777);
    assert_eq!(mode("unwritable"), 0o555);
    assert_eq!(mode("unwritable/inside"), 0o400);
    assert_eq!(Node::read(&store.rootfs("x")).mode, 0o755);
    assert_eq!(Node::read(&store.image("x")).mode, 0o700);
}

#[test]
fn a_directory_keeps_its_time_though_files_are_written_into_it() {
    let store = TempStore::new();
    let archive = Archive::new()
        .mtime(1_111_111_111)
        .directory("a", 0o755)
        .directory("a/b", 0o755)
        .mtime(1_222_222_222)
        .file("a/b/c", 0o644, b"late")
        .symlink("a/link", "b");
    let rootfs = unpack(&store, archive);
    assert_eq!(Node::read(&rootfs.join("a")).mtime, (1_111_111_111, 0));
    assert_eq!(Node::read(&rootfs.join("a/b")).mtime, (1_111_111_111, 0));
}

#[test]
fn extended_attributes_of_files_and_directories_survive() {
    let store = TempStore::new();
    // cap_net_raw, permitted and effective, in the kernel's second revision of the attribute.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let archive = Archive::new()
        .xattr("security.capability", &capability)
        .xattr("user.note", b"on a file")
        .file("ping", 0o755, b"x")
        .xattr("user.note", b"on a directory")
        .directory("etc", 0o755)
        .xattr("trusted.overlay.opaque", b"y")
        .directory("not-opaque", 0o755);
    let rootfs = unpack(&store, archive);
    let xattrs = |name: &str| Node::read(&rootfs.join(name)).xattrs;
    assert_eq!(xattrs("ping")["security.capability"], capability);
    assert_eq!(xattrs("ping")["user.note"], b"on a file");
    assert_eq!(xattrs("etc")["user.note"], b"on a directory");
    // An image that could set these would decide how the kernel merges layers.
    let volume = store.path().join("volumes").join(&store.volumes()[0]).join("not-opaque");
    assert!(rustix::fs::lgetxattr(&volume, "trusted.overlay.opaque", &mut [0_u8; 8]).is_err());
}

#[test]
fn headers_of_every_dialect_put_files_where_they_belong() {
    let store = TempStore::new();
    let versions: [(&str, &[u8]); 5] =
        [("00", b"00"), ("nul", b"\0\0"), ("spaces", b"  "), ("space", b" \0"), ("zero", b"0\0")];
    let archive = versions.iter().fold(Archive::new(), |archive, (name, version)| {
        archive.header(name, b'0', &[(257, b"ustar\0"), (263, version), (345, b"ustar/prefix")], b"")
    });
    let archive = archive
        .header("gnu", b'0', &[(257, b"ustar  \0"), (345, b"docker/17.05")], b"")
        .header(
            "star",
            b'0',
            &[(257, b"ustar\x0000"), (345, &[b's'; 131]), (476, b"12345670123 "), (508, b"tar\0")],
            b"",
        )
        .header("v7/", 0, &[(100, b"0000750\0")], b"")
        .header("dump", b'D', &[(100, b"0000710\0"), (257, b"ustar  \0")], b"Yfile\0\0")
        .header("padded", b'0', &[(100, b"\0\0\0\x30755\0")], b"")
        .header("binary", b'0', &[(100, b"\x80\0\0\0\0\0\x01\xed"), (108, b"\x80\0\0\0\xff\xff\xff\xfe")], b"");
    let rootfs = unpack(&store, archive);
    let mut expected = versions.map(|(name, _)| name);
    expected.sort_unstable();
    assert_eq!(names(&rootfs.join("ustar/prefix")), expected);
    assert_eq!(names(&rootfs.join("docker/17.05")), ["gnu"]);
    assert_eq!(names(&rootfs.join("s".repeat(131))), ["star"]);
    let node = |name: &str| Node::read(&rootfs.join(name));
    assert_eq!([node("v7").mode, node("dump").mode, node("padded").mode], [0o750, 0o710, 0o755]);
    assert!(rootfs.join("dump").is_dir());
    assert_eq!((node("binary").mode, node("binary").owner), (0o755, (4_294_967_294, 0)));
}

#[test]
fn devices_are_left_out() {
    let store = TempStore::new();
    let rootfs = unpack(&store, Archive::new().character_device("null").block_device("disk").file("file", 0o644, b""));
    assert_eq!(names(&rootfs), ["file"]);
}

#[test]
fn hard_links_share_an_inode_and_an_existing_name_is_replaced() {
    let store = TempStore::new();
    let archive = Archive::new()
        .directory("first", 0o755)
        .directory("first/second", 0o755)
        .file("file", 0o644, b"one")
        .hard_link("first/second/file-link", "file")
        .file("first/second/file2", 0o644, b"two")
        .hard_link("file-link2", "first/second/file2")
        .file("taken", 0o644, b"old")
        .hard_link("taken", "file")
        .symlink("pointer", "file")
        .hard_link("pointer-too", "pointer");
    let rootfs = unpack(&store, archive);
    let inode = |name: &str| fs::symlink_metadata(rootfs.join(name)).unwrap().ino();
    assert_eq!(inode("file"), inode("first/second/file-link"));
    assert_eq!(inode("file-link2"), inode("first/second/file2"));
    assert_eq!(inode("taken"), inode("file"));
    assert_eq!(Node::read(&rootfs.join("file")).links, 3);
    assert_eq!(inode("pointer"), inode("pointer-too"), "a link to a symbolic link, not to its target");
}

#[test]
fn later_entries_replace_earlier_ones_of_any_type() {
    let store = TempStore::new();
    let archive = Archive::new()
        .file("file", 0o644, b"old")
        .hard_link("other-name", "file")
        .file("file", 0o600, b"new")
        .symlink("link", "/nowhere")
        .file("link", 0o644, b"a file now")
        .file("became-link", 0o644, b"")
        .symlink("became-link", "file")
        .directory("kept", 0o700)
        .file("kept/inside", 0o644, b"still here")
        .directory("kept", 0o755);
    let rootfs = unpack(&store, archive);
    assert_eq!(fs::read(rootfs.join("file")).unwrap(), b"new");
    assert_eq!(fs::read(rootfs.join("link")).unwrap(), b"a file now");
    assert_eq!(fs::read_link(rootfs.join("became-link")).unwrap(), Path::new("file"));
    assert_eq!(fs::read(rootfs.join("kept/inside")).unwrap(), b"still here");
    assert_eq!(Node::read(&rootfs.join("kept")).mode, 0o755);
}

#[test]
fn missing_parents_are_made() {
    let store = TempStore::new();
    let rootfs = unpack(
        &store,
        Archive::new().owner(33, 33).file("a/b/c", 0o600, b"deep").symlink("d/e", "f").fifo("g/h", 0o600),
    );
    assert_eq!(fs::read(rootfs.join("a/b/c")).unwrap(), b"deep");
    let parent = Node::read(&rootfs.join("a/b"));
    assert_eq!((parent.mode, parent.owner), (0o755, (0, 0)));
    assert!(rootfs.join("d").is_dir() && rootfs.join("g").is_dir());
}

#[test]
fn names_longer_than_a_header_and_not_utf8_are_kept() {
    let store = TempStore::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let archive =
        Archive::new().file(&long, 0o644, b"long").symlink("to-long", &long).file("tab\tquote\"'\\", 0o644, b"");
    let rootfs = unpack(&store, archive);
    assert_eq!(fs::read(rootfs.join(&long)).unwrap(), b"long");
    assert_eq!(fs::read_link(rootfs.join("to-long")).unwrap(), Path::new(&long));
    assert!(rootfs.join("tab\tquote\"'\\").exists());
}

#[test]
fn archives_of_gnu_tar_in_every_format_unpack_alike() {
    let store = TempStore::new();
    let source = store.beside("source");
    let deep = source.join("x".repeat(120)).join("y".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("z"), "deep").unwrap();
    fs::write(source.join("umlaut-ä"), "umlaut").unwrap();
    let mut sparse = File::create(source.join("sparse")).unwrap();
    for megabyte in [0, 7, 40] {
        sparse.seek(SeekFrom::Start(megabyte * MIB)).unwrap();
        sparse.write_all(format!("island {megabyte}").as_bytes()).unwrap();
    }
    sparse.set_len(64 * MIB).unwrap();
    drop(sparse);
    let expected = Node::read_tree(&source);

    for format in [
        "gnu",
        "pax",
        "posix --sparse-version=0.0",
        "posix --sparse-version=0.1",
        "posix --sparse-version=1.0",
        "oldgnu",
    ] {
        let archive = store.beside(&format!("{}.tar", format.replace(' ', "")));
        let mut arguments = vec!["-S", "-c", "-C", source.to_str().unwrap(), "-f", archive.to_str().unwrap()];
        let format_flag = format!("--format={}", format.split(' ').next().unwrap());
        arguments.push(&format_flag);
        arguments.extend(format.split(' ').skip(1));
        arguments.push(".");
        succeed("tar", arguments);
        let id = format.replace(' ', "");
        let rootfs = store.create(archive.to_str().unwrap(), &id);

        let mut actual = Node::read_tree(&rootfs);
        if !format.starts_with("p") {
            // These formats keep whole seconds only.
            for (path, node) in &mut actual {
                node.mtime.1 = expected.get(path).map_or(0, |node| node.mtime.1);
            }
        }
        assert_eq!(crate::support::differences(&expected, &actual, 5), [""; 0], "{format}");
        let blocks = fs::metadata(rootfs.join("sparse")).unwrap().blocks() * 512;
        assert!(blocks < 2 * MIB, "{format}: the holes of a sparse file take {blocks} bytes");
    }
}

#[test]
fn a_file_of_more_than_four_gibibytes_is_whole() {
    const SIZE: u64 = 4 * 1024 * MIB + 12_345;
    let store = TempStore::with_size(6 * 1024 * MIB);
    let path = store.beside("huge.tar");
    // The archive's own content is a hole, so that only the store pays for the size.
    let mut header = tar::Header::new_ustar();
    header.set_path("huge").unwrap();
    header.set_mode(0o644);
    header.set_size(SIZE);
    header.set_cksum();
    let mut file = File::create(&path).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.seek(SeekFrom::Start(512 + SIZE - 3)).unwrap();
    file.write_all(b"end").unwrap();
    file.set_len(512 + SIZE.next_multiple_of(512) + 1024).unwrap();

    let rootfs = store.create(path.to_str().unwrap(), "x");
    let mut huge = File::open(rootfs.join("huge")).unwrap();
    assert_eq!(huge.metadata().unwrap().len(), SIZE);
    huge.seek(SeekFrom::End(-3)).unwrap();
    assert_eq!(std::io::read_to_string(huge).unwrap(), "end");
}

#[test]
fn images_of_one_archive_do_not_see_each_other() {
    let store = TempStore::new();
    let path =
        write_archive(store.path().parent().unwrap(), "base.tar", &Archive::new().file("foo", 0o644, b"hello").bytes());
    let one = store.create(path.to_str().unwrap(), "one");
    let two = store.create(path.to_str().unwrap(), "two");
    fs::write(one.join("bar"), "hello-world").unwrap();
    fs::write(one.join("foo"), "changed").unwrap();
    assert!(!two.join("bar").exists());
    assert_eq!(fs::read_to_string(two.join("foo")).unwrap(), "hello");
    assert_eq!(store.volumes().len(), 1);
}

#[test]
fn a_volume_is_known_by_path_and_time_and_trusted() {
    let store = TempStore::new();
    let path =
        write_archive(store.path().parent().unwrap(), "base.tar", &Archive::new().file("foo", 0o644, b"hello").bytes());
    let name = path.to_str().unwrap();
    store.create(name, "one");
    let metadata = fs::metadata(&path).unwrap();
    let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let chain_id = sha256_hex(format!("{name}-{nanoseconds}").as_bytes());
    assert_eq!(store.volumes(), std::slice::from_ref(&chain_id));

    fs::write(store.path().join("volumes").join(&chain_id).join("injected"), "seen").unwrap();
    assert_eq!(fs::read_to_string(store.create(name, "two").join("injected")).unwrap(), "seen");
}

#[test]
fn a_changed_archive_is_unpacked_anew() {
    let store = TempStore::new();
    let path =
        write_archive(store.path().parent().unwrap(), "base.tar", &Archive::new().file("foo", 0o644, b"old").bytes());
    touch(&path, 1_000_000);
    store.create(path.to_str().unwrap(), "one");
    fs::write(&path, Archive::new().file("foo", 0o644, b"new").bytes()).unwrap();
    assert_eq!(fs::read_to_string(store.create(path.to_str().unwrap(), "two").join("foo")).unwrap(), "new");
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn an_archive_that_takes_the_place_and_time_of_another_is_unpacked_anew() {
    let store = TempStore::new();
    let path = store.beside("base.tar");
    let name = path.to_str().unwrap();
    let write = |content: &str| {
        let fresh = store.beside("fresh.tar");
        fs::write(&fresh, Archive::new().file("foo", 0o644, content.as_bytes()).bytes()).unwrap();
        touch(&fresh, 1_000_000);
        fs::rename(&fresh, &path).unwrap();
    };
    let content = |id: &str| fs::read_to_string(store.create(name, id).join("foo")).unwrap();
    write("one");
    assert_eq!(content("a"), "one");
    let usual = store.volumes();
    write("two");
    assert_eq!(content("b"), "two");
    assert_eq!(content("c"), "two");
    assert_eq!(store.volumes().len(), 2, "cached under a name of its own");
    // The same inode and size, written to in place.
    fs::write(&path, Archive::new().file("foo", 0o644, b"tri").bytes()).unwrap();
    touch(&path, 1_000_000);
    assert_eq!(content("d"), "tri");
    assert_eq!(fs::read_to_string(store.rootfs("a").join("foo")).unwrap(), "one");

    // The usual name is free again once nobody uses it.
    for id in ["a", "b", "c", "d"] {
        store.ok(["delete", id]);
    }
    store.ok(["clean"]);
    write("four");
    assert_eq!(content("e"), "four");
    assert_eq!(store.volumes(), usual);

    // A volume that says nothing of its source, as one that the original made, is taken at its name.
    let record = store.path().join("meta").join(format!("volume-{}", usual[0]));
    assert!(fs::read_to_string(&record).unwrap().contains("Source"));
    fs::write(&record, "{\"Size\":4}\n").unwrap();
    write("five");
    assert_eq!(content("f"), "four");
}

#[test]
fn what_is_read_once_is_cached_under_no_name() {
    let store = TempStore::new();
    let archive = |content: &str| Archive::new().file("foo", 0o644, content.as_bytes()).bytes();
    let from = |image: &str, stdin: std::process::Stdio, id: &str| {
        let mut command = store.command(["create", image, id]);
        crate::support::run(command.stdin(stdin)).success();
        fs::read_to_string(store.rootfs(id).join("foo")).unwrap()
    };
    let file = store.beside("stdin.tar");
    for (number, image) in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].into_iter().enumerate() {
        for content in ["one", "two"] {
            fs::write(&file, archive(content)).unwrap();
            touch(&file, 1_000_000);
            let stdin = File::open(&file).unwrap();
            assert_eq!(from(image, stdin.into(), &format!("file-{content}-{number}")), content, "{image}");
            let (reader, mut writer) = std::io::pipe().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || writer.write_all(&gzip(&archive(content))).unwrap());
                assert_eq!(from(image, reader.into(), &format!("pipe-{content}-{number}")), content, "{image}");
            });
        }
    }
    let fifo = store.beside("fifo");
    succeed("mkfifo", [&fifo]);
    for content in ["one", "two"] {
        touch_path(&fifo);
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&fifo, archive(content)).unwrap());
            assert_eq!(from(fifo.to_str().unwrap(), std::process::Stdio::null(), content), content);
        });
    }
    let message = store.fails(["create", "-", "x"]);
    assert!(message.contains("device"), "{message}");
    store.ok(["delete", "one"]);
    assert_eq!(store.volumes().len(), 18, "each create has its own");
}

/// Gives a file that cannot be opened the time that it had.
fn touch_path(path: &Path) {
    succeed("touch", ["-d", "@1000000", path.to_str().unwrap()]);
}

#[test]
fn cleaning_creates_of_a_touched_archive_leave_one_volume() {
    let store = TempStore::new();
    let path =
        write_archive(store.path().parent().unwrap(), "base.tar", &Archive::new().file("foo", 0o644, b"old").bytes());
    touch(&path, 1_000_000);
    store.create(path.to_str().unwrap(), "one");
    store.ok(["delete", "one"]);
    let before = store.volumes();
    touch(&path, 2_000_000);
    for id in ["two", "three"] {
        store.ok(["create", "--with-clean", path.to_str().unwrap(), id]);
    }
    assert_eq!(store.volumes().len(), 1);
    assert_ne!(store.volumes(), before);
}

#[test]
fn a_clean_keeps_the_volume_of_the_archive_about_to_be_used() {
    let store = TempStore::new();
    let directory = store.path().parent().unwrap();
    let kept = write_archive(directory, "kept.tar", &Archive::new().file("foo", 0o644, b"kept").bytes());
    let other = write_archive(directory, "other.tar", &Archive::new().file("foo", 0o644, b"other").bytes());
    for (path, id) in [(&kept, "a"), (&other, "b")] {
        store.create(path.to_str().unwrap(), id);
        store.ok(["delete", id]);
    }
    assert_eq!(store.volumes().len(), 2);
    store.ok(["create", "--with-clean", kept.to_str().unwrap(), "c"]);
    assert_eq!(store.volumes().len(), 1);
    assert_eq!(fs::read_to_string(store.rootfs("c").join("foo")).unwrap(), "kept");

    store.ok(["create", "--without-clean", other.to_str().unwrap(), "d"]);
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn compressed_archives_are_recognised() {
    let store = TempStore::new();
    let archive = Archive::new().file("foo", 0o644, b"hello").bytes();
    for (name, bytes) in
        [("base.tar", archive.clone()), ("base.tar.gz", gzip(&archive)), ("base.tar.zst", zstd(&archive))]
    {
        let path = write_archive(store.path().parent().unwrap(), name, &bytes);
        let rootfs = store.create(path.to_str().unwrap(), name);
        assert_eq!(fs::read_to_string(rootfs.join("foo")).unwrap(), "hello", "{name}");
    }
}

#[test]
fn an_archive_may_come_through_a_pipe() {
    let store = TempStore::new();
    let pipe = store.beside("pipe.tar");
    succeed("mkfifo", [&pipe]);
    let archive = Archive::new().file("foo", 0o644, b"through a pipe").bytes();
    std::thread::scope(|scope| {
        scope.spawn(|| fs::write(&pipe, gzip(&archive)).unwrap());
        let rootfs = store.create(pipe.to_str().unwrap(), "x");
        assert_eq!(fs::read_to_string(rootfs.join("foo")).unwrap(), "through a pipe");
    });
}

#[test]
fn relative_and_odd_paths_name_an_archive() {
    let store = TempStore::new();
    write_archive(
        store.path().parent().unwrap(),
        "with space%20.tar",
        &Archive::new().file("foo", 0o644, b"hello").bytes(),
    );
    let mut command = store.command(["create", "with space%20.tar", "x"]);
    crate::support::run(command.current_dir(store.path().parent().unwrap())).success();
    assert_eq!(fs::read_to_string(store.rootfs("x").join("foo")).unwrap(), "hello");
}

#[test]
fn a_directory_is_not_an_archive() {
    let store = TempStore::new();
    let directory = store.beside("directory");
    fs::create_dir(&directory).unwrap();
    let message = store.fails(["create", directory.to_str().unwrap(), "x"]);
    assert_eq!(message, "invalid base image: directory provided instead of a tar file");
}

#[test]
fn a_missing_archive_is_named() {
    let store = TempStore::new();
    let message = store.fails(["create", "/invalid/image", "x"]);
    assert!(message.contains("stat /invalid/image: no such file or directory"), "{message}");
    let message = store.fails(["create", "./not-here", "x"]);
    assert!(message.contains("stat ./not-here: no such file or directory"), "{message}");
}
