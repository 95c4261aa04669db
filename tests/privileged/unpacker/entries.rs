//! Every kind of entry and attribute.

use std::os::unix::fs::FileTypeExt;

use super::*;
use grootfs::idmap::IdMap;

#[test]
fn files_directories_symlinks_and_fifos() {
    let volume = Volume::new();
    let owned = Fields { uid: 4000, gid: 4001, ..Fields::default() };
    let tar = Tar::new()
        .directory("./", 0o755)
        .add(&Fields { name: b"dir/", kind: b'5', mode: 0o1777, ..owned.clone() })
        .add(&Fields { name: b"dir/file", mode: 0o600, content: b"content", ..owned.clone() })
        .add(&Fields { name: b"dir/link", kind: b'2', link: b"../no/where", ..owned.clone() })
        .add(&Fields { name: b"dir/fifo", kind: b'6', mode: 0o620, ..owned });
    let unpacked = volume.unpack(tar).unwrap();
    assert_eq!(unpacked.size, 7);
    assert!(!unpacked.needs_parents());
    assert!(volume.stat("dir/fifo").file_type().is_fifo());
    for (name, mode) in [("dir", 0o1777), ("dir/file", 0o600), ("dir/link", 0o777), ("dir/fifo", 0o620)] {
        let stat = volume.stat(name);
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (mode, 4000, 4001), "{name}");
        assert_eq!((stat.mtime(), stat.mtime_nsec(), stat.atime()), (MTIME, 0, MTIME), "{name}");
    }
    assert_eq!(volume.read("dir/file"), "content");
    assert_eq!(fs::read_link(volume.path("dir/link")).unwrap(), Path::new("../no/where"));
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let volume = Volume::new();
    let tar = Tar::new().directory("d", 0o777).add(&Fields { name: b"d/f", mode: 0o666, ..Fields::default() });
    std::thread::scope(|scope| {
        let careful = scope.spawn(|| {
            // Other tests run in the same process.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
            volume.finish(tar, &[]).unwrap();
        });
        careful.join().unwrap();
    });
    assert_eq!((volume.mode("d"), volume.mode("d/f")), (0o777, 0o666));
}

#[test]
fn set_id_and_sticky_bits_survive_the_owner() {
    let volume = Volume::new();
    let foreign = Fields { uid: 5, gid: 6, content: b"x", ..Fields::default() };
    let tar = Tar::new()
        .add(&Fields { name: b"f", mode: 0o7755, ..foreign.clone() })
        .add(&Fields { name: b"own", mode: 0o4755, content: b"x", ..Fields::default() })
        .add(&Fields { name: b"d", kind: b'5', mode: 0o2775, content: b"", ..foreign })
        .file("d/inherits-nothing", "");
    volume.unpack(tar).unwrap();
    assert_eq!((volume.mode("f"), volume.mode("own"), volume.mode("d")), (0o7755, 0o4755, 0o2775));
    assert_eq!(volume.stat("d/inherits-nothing").gid(), 0);
}

#[test]
fn directory_times_are_the_archives_although_entries_follow() {
    let volume = Volume::new();
    let tar = Tar::new()
        .add(&Fields { name: b"a", kind: b'5', mode: 0o755, mtime: 100, ..Fields::default() })
        .add(&Fields { name: b"a/b", kind: b'5', mode: 0o755, mtime: 200, ..Fields::default() })
        .file("a/b/c", "")
        .file("a/d", "")
        .add(&Fields { name: b".", kind: b'5', mode: 0o700, mtime: 300, uid: 7, ..Fields::default() });
    volume.unpack(tar).unwrap();
    assert_eq!((volume.stat("a").mtime(), volume.stat("a/b").mtime()), (100, 200));
    let root = volume.stat("");
    assert_eq!((root.mtime(), root.mode() & 0o7777, root.uid()), (300, 0o700, 7));
}

#[test]
fn directories_that_do_not_let_their_owner_write_are_filled() {
    let volume = Volume::new();
    let tar = Tar::new().directory("a", 0o555).directory("a/b", 0).file("a/b/c", "x").file("a/d", "y");
    volume.unpack(tar).unwrap();
    assert_eq!((volume.mode("a"), volume.mode("a/b")), (0o555, 0));
    assert_eq!(volume.read("a/b/c"), "x");
}

#[test]
fn hard_links_share_the_file_and_may_go_to_symlinks() {
    let volume = Volume::new();
    let tar = Tar::new()
        .file("a/file", "x")
        .hard_link("b/link", "a/file")
        .hard_link("b/absolute", "/a/file")
        .symlink("sym", "a/file")
        .hard_link("sym2", "./sym")
        .hard_link("a/file", "a/file");
    let unpacked = volume.unpack(tar).unwrap();
    assert_eq!(unpacked.size, 1);
    let inode = |name: &str| volume.stat(name).ino();
    assert_eq!(inode("a/file"), inode("b/link"));
    assert_eq!(inode("a/file"), inode("b/absolute"));
    assert_eq!(inode("sym"), inode("sym2"));
    assert!(volume.stat("sym2").file_type().is_symlink());
    assert_eq!(volume.stat("a/file").nlink(), 3);
}

#[test]
fn what_is_in_the_way_is_replaced() {
    let volume = Volume::new();
    let tar = Tar::new()
        .file("one", "old")
        .hard_link("two", "one")
        .file("one", "new")
        .directory("d", 0o700)
        .file("d/kept", "x")
        .directory("d", 0o755)
        .file("tree/a/b/c", "x")
        .file("tree", "now a file")
        .symlink("target", "d")
        .directory("target", 0o711)
        .file("target/f", "x")
        .symlink("one-link", "one")
        .file("one-link", "own")
        .file("f", "x")
        .symlink("f", "d");
    volume.unpack(tar).unwrap();
    assert_eq!((volume.read("one"), volume.read("two")), ("new".into(), "old".into()));
    assert_eq!((volume.mode("d"), volume.names("d")), (0o755, vec!["kept".to_owned()]));
    assert_eq!(volume.read("tree"), "now a file");
    assert!(volume.stat("target").is_dir() && volume.exists("target/f"));
    assert_eq!(volume.read("one-link"), "own");
    assert!(volume.stat("f").file_type().is_symlink());
}

#[test]
fn a_replaced_directory_is_not_written_to_through_the_cache() {
    let volume = Volume::new();
    let tar = Tar::new()
        .directory("real", 0o755)
        .directory("other", 0o755)
        .symlink("way", "real")
        .file("way/one", "1")
        .symlink("way", "other")
        .file("way/two", "2")
        .directory("way", 0o755)
        .file("way/three", "3")
        .file("way", "")
        .directory("way", 0o750)
        .file("way/four", "4");
    volume.unpack(tar).unwrap();
    assert_eq!(volume.names("real"), ["one"]);
    assert_eq!(volume.names("other"), ["two"]);
    assert_eq!((volume.names("way"), volume.mode("way")), (vec!["four".to_owned()], 0o750));
}

#[test]
fn a_way_that_an_entry_removes_under_itself_is_gone() {
    let tar = Tar::new().directory("b/c", 0o755).symlink("b/c/up", "/b").file("b/c/up/c", "").file("b/c/up/d", "");
    assert_eq!(text(Volume::new().unpack(tar)), "creating parent dir `b/c/up`: not a directory");
}

#[test]
fn symlinked_parents_are_followed_inside_the_volume() {
    let volume = Volume::new();
    let tar = Tar::new()
        .directory("usr/lib", 0o755)
        .symlink("lib", "usr/lib")
        .file("lib/a", "1")
        .symlink("deep/abs", "/lib")
        .file("deep/abs/b", "2")
        .symlink("up", "deep/../usr/./lib")
        .file("up/c", "3")
        .symlink("dangling", "made/here")
        .file("dangling/d", "4");
    volume.unpack(tar).unwrap();
    assert_eq!(volume.names("usr/lib"), ["a", "b", "c"]);
    assert_eq!(volume.read("made/here/d"), "4");
    assert!(volume.stat("lib").file_type().is_symlink() && volume.stat("dangling").file_type().is_symlink());
}

#[test]
fn long_names_of_both_formats() {
    let long = |letter: &str| format!("{}/{}", letter.repeat(200), letter.repeat(255));
    let (gnu, pax, target) = (long("g"), long("p"), "t".repeat(1000));
    let volume = Volume::new();
    let tar = Tar::new()
        .file(&gnu, "gnu")
        .symlink(&long("s"), &target)
        .pax(&[("path", pax.as_bytes())])
        .file("short", "pax")
        .pax(&[("linkpath", gnu.as_bytes())])
        .hard_link("linked", "short");
    volume.unpack(tar).unwrap();
    assert_eq!(
        (volume.read(&gnu), volume.read(&pax), volume.read("linked")),
        ("gnu".into(), "pax".into(), "gnu".into())
    );
    assert_eq!(fs::read_link(volume.path(&long("s"))).unwrap().as_os_str(), os(&target));
    assert!(!volume.exists("short"));
}

#[test]
fn names_that_are_not_text() {
    let volume = Volume::new();
    let name = b"bad-\xff\n\x01 name";
    volume.unpack(Tar::new().add(&Fields { name, content: b"x", ..Fields::default() })).unwrap();
    let path = volume.path("").join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name));
    assert_eq!(fs::read(path).unwrap(), b"x");
}

#[test]
fn pax_times_owners_and_sizes() {
    let volume = Volume::new();
    let mut zero_size = Header::new_ustar();
    zero_size.set_path("f").unwrap();
    zero_size.set_mode(0o644);
    zero_size.set_uid(0);
    zero_size.set_gid(0);
    zero_size.set_mtime(0);
    zero_size.set_size(0);
    let tar = Tar::new()
        .pax_kind(b'g', &[("comment", b"for all"), ("uid", b"999")])
        .pax(&[
            ("mtime", b"1234567890.123456789"),
            ("uid", b"3000000"),
            ("gid", b"4294967294"),
            ("SCHILY.xattr.user.binary", b"a\n11 size=99\n\0b"),
            ("size", b"5"),
        ])
        .raw(&mut zero_size, b"12345")
        .pax(&[("mtime", b"-1.5")])
        .directory("before-the-epoch", 0o755)
        .file("last", "x");
    volume.unpack(tar).unwrap();
    let stat = volume.stat("f");
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!((stat.uid(), stat.gid(), stat.size()), (3_000_000, 4_294_967_294, 5));
    assert_eq!(volume.xattr("f", "user.binary").unwrap(), b"a\n11 size=99\n\0b");
    let stat = volume.stat("before-the-epoch");
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (-2, 500_000_000));
    assert_eq!(volume.stat("last").uid(), 0, "global headers are for nobody");
}

#[test]
fn xattrs_of_files_directories_and_symlinks() {
    // Version 2 capability with CAP_NET_RAW permitted and effective.
    let capability: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let acl: &[u8] = &[
        2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0,
        7, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255,
    ];
    let all: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.user.a", b"1"),
        ("SCHILY.xattr.security.capability", capability),
        ("SCHILY.xattr.trusted.t", b"2"),
        ("SCHILY.xattr.user.empty", b""),
        ("SCHILY.xattr.security.selinux", b"evil"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
    ];
    let foreign = Fields { uid: 5, gid: 5, mode: 0o755, ..Fields::default() };
    let volume = Volume::new();
    let tar = Tar::new()
        .pax(all)
        .add(&Fields { name: b"f", content: b"x", ..foreign.clone() })
        .pax(all)
        .add(&Fields { name: b"d", kind: b'5', ..foreign })
        .pax(&[("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.user.never-on-symlinks", b"1")])
        .symlink("d/s", "nowhere")
        .pax(&[("SCHILY.xattr.system.posix_acl_default", acl)])
        .directory("acl", 0o750)
        .file("acl/f", "x");
    volume.unpack(tar).unwrap();
    for name in ["f", "d"] {
        assert_eq!(volume.xattr(name, "user.a").as_deref(), Some(&b"1"[..]), "{name}");
        assert_eq!(volume.xattr(name, "user.empty").as_deref(), Some(&b""[..]), "{name}");
        assert_eq!(volume.xattr(name, "security.capability").as_deref(), Some(capability), "{name}");
        for dropped in [
            "security.selinux",
            "trusted.t",
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "user.overlay.opaque",
        ] {
            assert_eq!(volume.xattr(name, dropped), None, "{name}");
        }
    }
    assert_eq!(volume.xattr("d/s", "security.capability").as_deref(), Some(capability));
    assert_eq!(volume.xattr("acl", "system.posix_acl_default").as_deref(), Some(acl));
    assert_eq!(volume.mode("acl/f"), 0o644, "files of the same layer do not inherit from it");
    assert_eq!(volume.stat("d").mtime(), MTIME);
}

#[test]
fn an_xattr_without_a_meaning_is_left_out_and_one_that_cannot_be_set_is_an_error() {
    let volume = Volume::new();
    volume.unpack(Tar::new().pax(&[("SCHILY.xattr.security.capability", b"short")]).file("f", "")).unwrap();
    assert_eq!(volume.xattr("f", "security.capability"), None);
    let tar = Tar::new().pax(&[("SCHILY.xattr.user.large", &[b'x'; 70_000])]).file("f", "");
    assert!(text(Volume::new().unpack(tar)).contains("create.limits.xattr_bytes (now 65536)"));
}

#[test]
fn devices_and_unknown_types_are_skipped_with_their_content() {
    let volume = Volume::new();
    let tar = Tar::new()
        .add(&Fields { name: b"null", kind: b'3', ..Fields::default() })
        .add(&Fields { name: b"disk", kind: b'4', ..Fields::default() })
        .add(&Fields { name: b"volume-label", kind: b'V', content: b"skipped", ..Fields::default() })
        .add(&Fields { name: b"unknown", kind: b'Z', content: &[b'x'; 2000], ..Fields::default() })
        .add(&Fields { name: b"contiguous", kind: b'7', content: b"c", ..Fields::default() })
        .add(&Fields { name: b"old-style-directory/", kind: 0, ..Fields::default() });
    volume.unpack(tar).unwrap();
    assert_eq!(volume.names(""), ["contiguous", "old-style-directory"]);
    assert!(volume.stat("old-style-directory").is_dir());
}

#[test]
fn owners_are_translated() {
    let map = |root: u32| IdMap::recorded(&[format!("0:{root}:1"), "1:100000:65000".to_owned()]).unwrap();
    let ids = IdMappings { uids: map(1000), gids: map(1001) };
    let volume = Volume::new();
    let tar = Tar::new()
        .add(&Fields { name: b"f", uid: 4000, gid: 4001, ..Fields::default() })
        .symlink("s", "f")
        .file("implicit/f", "")
        .end();
    volume.unpack_stream(&tar, &Layer { ids: &ids, ..layer() }).unwrap();
    let owner = |name: &str| (volume.stat(name).uid(), volume.stat(name).gid());
    assert_eq!(owner("f"), (103_999, 104_000));
    assert_eq!((owner("s"), owner("implicit"), owner("implicit/f")), ((1000, 1001), (1000, 1001), (1000, 1001)));
}

#[test]
fn owners_out_of_range_are_refused() {
    for (key, value) in [("uid", "4294967295"), ("gid", "4294967296"), ("uid", "-1"), ("gid", "9223372036854775807")] {
        let tar = Tar::new().pax(&[(key, value.as_bytes())]).file("f", "");
        assert_eq!(text(Volume::new().unpack(tar)), format!("{key} {value} of `f` is out of range"));
    }
    let tar = Tar::new().add(&Fields { name: b"f", uid: 1 << 40, ..Fields::default() });
    assert_eq!(text(Volume::new().unpack(tar)), "uid 1099511627776 of `f` is out of range");
}

#[test]
fn entries_go_below_the_base_directory() {
    let parent = Volume::of(Tar::new().directory("home", 0o711).directory("home/vcap", 0o700), &[]);
    let volume = Volume::new();
    let tar = Tar::new()
        .directory("./", 0o750)
        .file("app/f", "x")
        .hard_link("link", "app/f")
        .file("../beside", "y")
        .file("../../../root", "z")
        .end();
    let base = Layer { base_directory: Some(Path::new("/home/vcap")), ..layer() };
    let unpacked = volume.unpack_stream(&tar, &base).unwrap();
    unpacked.finish(volume.fd(), &[parent.fd()], &LeftOut::default()).unwrap();
    assert_eq!(volume.stat("home/vcap/app/f").ino(), volume.stat("home/vcap/link").ino());
    assert_eq!((volume.read("home/beside"), volume.read("root")), ("y".into(), "z".into()));
    assert_eq!((volume.mode("home"), volume.mode("home/vcap")), (0o711, 0o750));
}

#[test]
fn a_base_directory_must_exist_below_and_be_absolute() {
    let parent = Volume::of(Tar::new().directory("home", 0o711), &[]);
    let volume = Volume::new();
    let base = Layer { base_directory: Some(Path::new("/home/vcap")), ..layer() };
    let unpacked = volume.unpack_stream(&Tar::new().directory("./", 0o755).end(), &base).unwrap();
    assert!(unpacked.needs_parents());
    assert_eq!(
        text(unpacked.finish(volume.fd(), &[parent.fd()], &LeftOut::default())),
        "base directory not found in parent layer: stat /home/vcap: no such file or directory"
    );
    let relative = Layer { base_directory: Some(Path::new("home")), ..layer() };
    let refused = volume.unpack_stream(&Tar::new().end(), &relative);
    assert_eq!(text(refused), "base directory `home` is not an absolute path");
}
