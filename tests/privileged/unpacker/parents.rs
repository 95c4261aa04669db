//! What needs the lower layers.

use super::*;

#[test]
fn implicit_directories_take_after_lower_ones() {
    let bottom = Volume::of(
        Tar::new()
            .add(&Fields { name: b".", kind: b'5', mode: 0o711, mtime: 11, ..Fields::default() })
            .pax(&[("SCHILY.xattr.user.a", b"1")])
            .add(&Fields { name: b"a", kind: b'5', mode: 0o2750, uid: 7, gid: 8, mtime: 22, ..Fields::default() })
            .add(&Fields { name: b"a/b", kind: b'5', mode: 0o1777, mtime: 33, ..Fields::default() })
            .directory("gone/x", 0o700),
        &[],
    );
    let middle = Volume::of(Tar::new().file("a/other", "").file(".wh.gone", ""), &[&bottom]);
    let volume = Volume::of(
        Tar::new().file("a/b/f", "").file("gone/x/f", "").file("new/f", "").file("file/now-directory", ""),
        &[&middle, &bottom],
    );
    for volume in [&middle, &volume] {
        let stat = volume.stat("a");
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime()), (0o2750, 7, 8, 22));
        assert_eq!(volume.xattr("a", "user.a").as_deref(), Some(&b"1"[..]));
        assert_eq!((volume.mode(""), volume.stat("").mtime()), (0o711, 11));
    }
    assert_eq!((volume.mode("a/b"), volume.stat("a/b").mtime()), (0o1777, 33));
    for name in ["gone", "gone/x", "new"] {
        assert_eq!((volume.mode(name), volume.stat(name).mtime()), (0o755, 0), "{name}");
    }
}

#[test]
fn an_entry_of_its_own_wins_over_lower_layers() {
    let bottom = Volume::of(Tar::new().directory("a", 0o700), &[]);
    let volume = Volume::of(Tar::new().file("a/f", "").directory("a", 0o711), &[&bottom]);
    assert_eq!((volume.mode("a"), volume.stat("a").mtime()), (0o711, MTIME));
}

#[test]
fn below_an_opaque_directory_there_is_nothing_to_take_after() {
    let bottom = Volume::of(Tar::new().directory("a", 0o700).directory("a/b", 0o700), &[]);
    let tar = Tar::new().file("a/.wh..wh..opq", "").file("a/b/f", "");
    let volume = Volume::of(tar, &[&bottom]);
    assert_eq!((volume.mode("a"), volume.mode("a/b")), (0o700, 0o755));
}

#[test]
fn hard_links_to_lower_files_copy_them_up_once() {
    let capability: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let bottom = Volume::of(
        Tar::new()
            .add(&Fields { name: b"bin", kind: b'5', mode: 0o711, mtime: 44, ..Fields::default() })
            .pax(&[("SCHILY.xattr.security.capability", capability)])
            .add(&Fields { name: b"bin/tool", mode: 0o4755, uid: 7, mtime: 55, content: b"tool", ..Fields::default() })
            .symlink("bin/sym", "tool"),
        &[],
    );
    let tar = Tar::new()
        .hard_link("usr/one", "bin/tool")
        .hard_link("usr/two", "/bin/tool")
        .hard_link("usr/three", "usr/one")
        .hard_link("usr/sym", "bin/sym");
    let volume = Volume::new();
    let unpacked = volume.unpack(tar).unwrap();
    assert_eq!(unpacked.size, 0);
    assert_eq!(unpacked.finish(volume.fd(), &[bottom.fd()], &LeftOut::default()).unwrap().size, 4);
    for name in ["bin/tool", "usr/one", "usr/two", "usr/three"] {
        let stat = volume.stat(name);
        assert_eq!((stat.ino(), stat.nlink()), (volume.stat("bin/tool").ino(), 4), "{name}");
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.mtime()), (0o4755, 7, 55));
    }
    assert_eq!(volume.read("usr/one"), "tool");
    assert_eq!(volume.xattr("usr/one", "security.capability").as_deref(), Some(capability));
    assert_eq!((volume.mode("bin"), volume.stat("bin").mtime()), (0o711, 44));
    assert_eq!(fs::read_link(volume.path("usr/sym")).unwrap(), Path::new("tool"));
    assert_eq!(volume.stat("usr").mtime(), 0);
}

#[test]
fn hard_links_to_what_is_nowhere_fail() {
    let bottom = Volume::of(Tar::new().file("a/f", "").file("g", "").directory("d", 0o755), &[]);
    let missing = "link a/f new: no such file or directory";
    let cases = [
        (Tar::new().hard_link("new", "a/f"), None),
        (Tar::new().file("a/.wh.f", "").hard_link("new", "a/f"), Some(missing)),
        (Tar::new().file(".wh.a", "").hard_link("new", "a/f"), Some("link a/f new: not a directory")),
        (Tar::new().file("a/.wh..wh..opq", "").hard_link("new", "a/f"), Some(missing)),
        (Tar::new().file(".wh..wh..opq", "").hard_link("new", "a/f"), Some(missing)),
        (Tar::new().hard_link("new", "nowhere"), Some("link nowhere new: no such file or directory")),
        (Tar::new().hard_link("new", "g/x"), Some("link g/x new: no such file or directory")),
        (Tar::new().hard_link("new", "d"), Some("link d new: operation not permitted")),
    ];
    for (tar, expected) in cases {
        let result = Volume::new().finish(tar, &[&bottom]);
        assert_eq!(result.err().map(|error| error.to_string()).as_deref(), expected);
    }
}

#[test]
fn later_entries_win_over_links_to_lower_files() {
    let bottom = Volume::of(Tar::new().file("f", "lower").directory("n3", 0o700).file("n3/x", ""), &[]);
    let tar = Tar::new()
        .file("n0", "earlier")
        .hard_link("n0", "f")
        .hard_link("n1", "f")
        .file("n1", "later")
        .hard_link("n2", "f")
        .hard_link("n3", "f")
        .directory("n3", 0o711)
        .file("f", "own")
        .hard_link("n4", "n2")
        .file(".wh.n2", "");
    let volume = Volume::of(tar, &[&bottom]);
    assert_eq!((volume.read("n1"), volume.read("f")), ("later".into(), "own".into()));
    assert_eq!(
        (volume.read("n0"), volume.read("n2"), volume.read("n4")),
        ("lower".into(), "lower".into(), "lower".into())
    );
    assert_eq!(volume.stat("n2").ino(), volume.stat("n4").ino());
    assert_eq!(volume.stat("n2").nlink(), 3);
    assert!(volume.stat("n3").is_dir() && volume.is_opaque("n3"));
}

#[test]
fn copies_keep_their_holes() {
    use std::os::unix::fs::FileExt;
    let bottom = Volume::new();
    let file = File::create(bottom.path("sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(b"x", 1 << 29).unwrap();
    let volume = Volume::of(Tar::new().hard_link("link", "sparse"), &[&bottom]);
    let stat = volume.stat("sparse");
    assert_eq!((stat.size(), stat.nlink()), (1 << 30, 2));
    assert!(stat.blocks() < 100, "{}", stat.blocks());
    let mut byte = [0];
    File::open(volume.path("link")).unwrap().read_exact_at(&mut byte, 1 << 29).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn content_behind_a_lower_symlink_goes_where_it_leads() {
    let bottom = Volume::of(
        Tar::new()
            .add(&Fields { name: b"usr/lib", kind: b'5', mode: 0o711, mtime: 66, ..Fields::default() })
            .add(&Fields { name: b"usr/lib/sub", kind: b'5', mode: 0o700, mtime: 77, ..Fields::default() })
            .file("usr/lib/libc", "libc")
            .file("usr/lib/gone", "")
            .file("usr/lib/fresh2", "")
            .symlink("lib", "usr/lib")
            .symlink("lib64", "/lib"),
        &[],
    );
    let tar = Tar::new()
        .file("lib/new", "1")
        .file("lib64/newer", "2")
        .file("lib/sub/f", "3")
        .file("lib/.wh.gone", "")
        .file("usr/lib/own", "own")
        .file("lib/.wh.own", "")
        .directory("usr/lib/fresh", 0o755)
        .file("lib/.wh.fresh", "")
        .file("usr/lib/.wh.fresh2", "")
        .directory("lib/fresh2", 0o755)
        .hard_link("lib/hard", "lib64/libc")
        .hard_link("hard", "usr/lib/libc")
        .directory("usr/lib/both", 0o750)
        .file("usr/lib/both/one", "")
        .file("lib/both/two", "");
    let volume = Volume::of(tar, &[&bottom]);
    assert_eq!(volume.names(""), ["hard", "usr"]);
    assert_eq!(
        volume.names("usr/lib"),
        ["both", "fresh", "fresh2", "gone", "hard", "libc", "new", "newer", "own", "sub"]
    );
    assert_eq!(volume.names("usr/lib/both"), ["one", "two"]);
    assert_eq!((volume.mode("usr/lib/both"), volume.stat("usr/lib/both").mtime()), (0o750, MTIME));
    assert!(volume.is_whiteout("usr/lib/gone"));
    assert_eq!(volume.read("usr/lib/own"), "own");
    assert!(volume.is_opaque("usr/lib/fresh") && volume.is_opaque("usr/lib/fresh2"));
    assert_eq!(volume.stat("usr/lib/libc").nlink(), 3);
    assert_eq!((volume.mode("usr/lib"), volume.stat("usr/lib").mtime()), (0o711, 66));
    assert_eq!((volume.mode("usr/lib/sub"), volume.stat("usr/lib/sub").mtime()), (0o700, 77));
}

/// The layer's own directories, which have got their attributes when its parents are looked at.
#[test]
fn copies_and_links_inherit_nothing_from_the_directories_they_are_made_in() {
    let bottom = Volume::of(
        Tar::new().file("d/file", "").symlink("d/link", "file").directory("d/deep", 0o755).file("d/deep/file", ""),
        &[],
    );
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &DEFAULT_ACL)])
        .add(&Fields { name: b"d", kind: b'5', mode: 0o2750, gid: 50, mtime: 22, ..Fields::default() })
        .hard_link("one", "d/file")
        .hard_link("two", "d/deep/file")
        .hard_link("three", "d/link");
    let volume = Volume::of(tar, &[&bottom]);
    for (name, mode) in [("one", 0o644), ("two", 0o644), ("three", 0o777), ("d/deep", 0o755)] {
        assert_eq!((volume.mode(name), volume.stat(name).gid()), (mode, 0), "{name}");
        assert_eq!((volume.access_acl(name), volume.default_acl(name)), (None, None), "{name}");
    }
    let stat = volume.stat("d");
    assert_eq!((stat.mode() & 0o7777, stat.gid(), stat.mtime()), (0o2750, 50, 22));
    assert_eq!(volume.default_acl("d").as_deref(), Some(&DEFAULT_ACL[..]));
}

/// What goes where a lower symlink leads goes there with all that is known of it.
#[test]
fn directories_that_are_moved_twice_stay_what_they_are() {
    let bottom = Volume::of(
        Tar::new().directory("real", 0o755).symlink("z", "real").directory("m", 0o755).symlink("a", "m"),
        &[],
    );
    let tar = Tar::new()
        .file("a/x", "")
        .symlink("m", "z/y")
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &DEFAULT_ACL)])
        .add(&Fields { name: b"z/y", kind: b'5', mode: 0o2750, gid: 50, mtime: 22, ..Fields::default() });
    let volume = Volume::of(tar, &[&bottom]);
    assert_eq!(volume.names("real/y"), ["x"]);
    let stat = volume.stat("real/y");
    assert_eq!((stat.mode() & 0o7777, stat.gid(), stat.mtime()), (0o2750, 50, 22));
    assert_eq!(volume.default_acl("real/y").as_deref(), Some(&DEFAULT_ACL[..]));

    let made_on_the_way = Tar::new().file("a/x", "").symlink("m", "z/n").file("z/other", "");
    let volume = Volume::of(made_on_the_way, &[&bottom]);
    assert_eq!(volume.names("real/n"), ["x"]);
    assert_eq!((volume.mode("real/n"), volume.stat("real/n").mtime()), (0o755, 0));
}

#[test]
fn a_directory_entry_over_a_lower_symlink_replaces_it() {
    let bottom = Volume::of(Tar::new().directory("usr/lib", 0o755).symlink("lib", "usr/lib"), &[]);
    let volume = Volume::of(Tar::new().directory("lib", 0o755).file("lib/f", ""), &[&bottom]);
    assert_eq!(volume.names(""), ["lib"]);
    let hidden = Volume::of(Tar::new().file(".wh.lib", "").file("lib/f", ""), &[&bottom]);
    assert_eq!(hidden.names(""), ["lib"]);
}

#[test]
fn lower_symlinks_lead_nowhere_outside() {
    let bottom = Volume::of(Tar::new().symlink("a", "../../../../../..").symlink("b", "/etc").symlink("c", "c"), &[]);
    let volume = Volume::new();
    volume.finish(Tar::new().file("a/planted", "x").file("b/f", "y"), &[&bottom]).unwrap();
    assert_eq!(volume.names(""), ["b", "planted"]);
    let in_its_place = Volume::of(Tar::new().file("c/f", ""), &[&bottom]);
    assert!(in_its_place.stat("c").is_dir() && in_its_place.exists("c/f"));
    let error = text(Volume::new().finish(Tar::new().hard_link("new", "b/hostname"), &[&bottom]));
    assert_eq!(error, "link b/hostname new: no such file or directory");
}

#[test]
fn symlinks_of_two_layers_that_lead_to_each_other() {
    let bottom = Volume::of(Tar::new().directory("real", 0o755).symlink("a", "real"), &[]);
    let volume = Volume::of(Tar::new().file("a/f", "").symlink("real", "a"), &[&bottom]);
    assert_eq!(volume.names("a"), ["f"]);
}

#[test]
fn an_opaque_root_hides_every_lower_name() {
    let bottom = Volume::of(Tar::new().directory("a", 0o755).file("a/x", "").file("b", "").file("c", ""), &[]);
    let volume = Volume::of(Tar::new().file(".wh..wh..opq", "").file("a/y", "").file("c", "own"), &[&bottom]);
    assert_eq!(volume.names(""), ["a", "b", "c"]);
    assert!(volume.is_whiteout("b") && volume.is_opaque("a"));
    assert_eq!(volume.read("c"), "own");
}

#[test]
fn a_bottom_layer_needs_nobody_to_finish() {
    let volume = Volume::new();
    let before = volume.stat("");
    let unpacked = volume.unpack(Tar::new().file("a/f", "x")).unwrap();
    assert!(unpacked.needs_parents());
    assert_eq!(unpacked.finish(volume.fd(), &[], &LeftOut::default()).unwrap().size, 1);
    let after = volume.stat("");
    assert_eq!((after.mode(), after.uid(), after.mtime()), (before.mode(), before.uid(), 0));
    assert_eq!(volume.stat("a").mtime(), 0);
}
