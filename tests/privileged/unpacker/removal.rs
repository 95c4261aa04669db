//! Volumes that begin as a copy of their parent. A directory that layers are unpacked into one after the other is as good
//! as a chain of copies. What deletions do at large is compared with a model in `model`.

use super::*;

/// Unpacks layers into one volume.
fn stacked(layers: impl IntoIterator<Item = Tar>) -> Volume {
    let volume = Volume::new();
    for layer in layers {
        let unpacked = volume.unpack_stream(&layer.end(), &removal()).unwrap();
        assert!(!unpacked.needs_parents());
    }
    volume
}

fn refused(layers: impl IntoIterator<Item = Tar>, last: Tar) -> String {
    let volume = stacked(layers);
    let unpacked = volume.unpack_stream(&last.end(), &removal());
    text(unpacked.and_then(|unpacked| unpacked.finish(volume.fd(), &[], &LeftOut::default())))
}

fn attributes(volume: &Volume, name: &str) -> (u32, u32, u32, i64) {
    let stat = volume.stat(name);
    (stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime())
}

#[test]
fn deletions_remove_and_leave_no_trace() {
    let bottom = Tar::new().file("d/file", "").file("d/other", "").directory("gone", 0o755).file("gone/deep/file", "");
    let top = Tar::new().file("d/.wh.file", "").file(".wh.gone", "").file(".wh.never-there", "");
    let volume = stacked([bottom, top]);
    assert_eq!(volume.names(""), ["d"]);
    assert_eq!(volume.names("d"), ["other"]);
}

#[test]
fn what_the_same_layer_adds_survives_in_either_order() {
    let bottom = || Tar::new().file("d/f", "old").file("d/s/old", "").file("d/l", "old").file("d/kept", "");
    let add = |tar: Tar| tar.file("d/f", "new").directory("d/s", 0o700).file("d/s/new", "").symlink("d/l", "f");
    let delete = |tar: Tar| tar.file("d/.wh.f", "").file("d/.wh.s", "").file("d/.wh.l", "");
    for top in [add(delete(Tar::new())), delete(add(Tar::new())), delete(add(delete(Tar::new())))] {
        let volume = stacked([bottom(), top]);
        assert_eq!(volume.names("d"), ["f", "kept", "l", "s"]);
        assert_eq!((volume.read("d/f"), volume.read("d/l")), ("new".into(), "new".into()));
        assert_eq!(volume.names("d/s"), ["new"]);
        assert_eq!(attributes(&volume, "d/s"), (0o700, 0, 0, MTIME));
    }
}

#[test]
fn opaque_directories_keep_what_the_layer_adds() {
    let bottom =
        || Tar::new().directory("var", 0o711).file("var/old", "").file("var/lib/old", "").file("var/spool/old", "");
    let opaque = |tar: Tar| tar.file("var/.wh..wh..opq", "");
    let add = |tar: Tar| tar.file("var/new", "").directory("var/lib", 0o750).file("var/spool/new", "");
    for top in [opaque(add(Tar::new())), add(opaque(Tar::new()))] {
        let volume = stacked([bottom(), top]);
        assert_eq!(volume.names("var"), ["lib", "new", "spool"]);
        assert_eq!((volume.names("var/lib"), volume.names("var/spool")), (vec![], vec!["new".to_owned()]));
        assert_eq!(attributes(&volume, "var"), (0o711, 0, 0, MTIME));
        assert_eq!(attributes(&volume, "var/lib"), (0o750, 0, 0, MTIME));
        assert_eq!(attributes(&volume, "var/spool"), (0o755, 0, 0, 0), "as if this layer had made it");
    }
}

#[test]
fn the_root_may_be_opaque() {
    let volume =
        stacked([Tar::new().file("old", "").file("d/old", ""), Tar::new().file(".wh..wh..opq", "").file("d/new", "")]);
    assert_eq!((volume.names(""), volume.names("d")), (vec!["d".to_owned()], vec!["new".to_owned()]));
}

#[test]
fn directories_without_an_entry_stay_as_they_are_and_those_with_one_change_wholly() {
    let bottom = Tar::new()
        .pax(&[("SCHILY.xattr.user.a", b"1")])
        .add(&Fields { name: b"a", kind: b'5', mode: 0o2750, uid: 7, gid: 8, mtime: 22, ..Fields::default() })
        .pax(&[("SCHILY.xattr.user.b", b"1")])
        .add(&Fields { name: b"b", kind: b'5', mode: 0o2750, uid: 7, gid: 8, mtime: 22, ..Fields::default() })
        .file("a/old", "");
    let top =
        Tar::new().file("a/f", "").file("a/.wh.old", "").pax(&[("SCHILY.xattr.user.c", b"2")]).directory("b", 0o700);
    let volume = stacked([bottom, top]);
    assert_eq!(attributes(&volume, "a"), (0o2750, 7, 8, 22));
    assert_eq!(volume.xattr("a", "user.a").as_deref(), Some(&b"1"[..]));
    assert_eq!(attributes(&volume, "b"), (0o700, 0, 0, MTIME));
    assert_eq!(volume.xattr("b", "user.b"), None);
    assert_eq!(volume.xattr("b", "user.c").as_deref(), Some(&b"2"[..]));
}

#[test]
fn inherited_directories_hand_nothing_down_and_stay_what_they_are() {
    let bottom = || {
        Tar::new()
            .add(&Fields { name: b"local", kind: b'5', mode: 0o2775, gid: 50, mtime: 22, ..Fields::default() })
            .pax(&[("SCHILY.xattr.system.posix_acl_default", &DEFAULT_ACL)])
            .add(&Fields { name: b"listed", kind: b'5', mode: 0o755, mtime: 22, ..Fields::default() })
    };
    let fill = |tar: Tar, directory: &str| {
        let path = |name: &str| format!("{directory}/{name}");
        let fifo = path("fifo");
        tar.directory(&path("app"), 0o755)
            .file(&path("app/file"), "")
            .directory(&path("app/sub"), 0o755)
            .file(&path("app/sub/file"), "")
            .file(&path("implicit/file"), "")
            .file(&path("file"), "")
            .symlink(&path("link"), "file")
            .add(&Fields { name: fifo.as_bytes(), kind: b'6', ..Fields::default() })
    };
    let volume = stacked([bottom(), fill(fill(Tar::new(), "local"), "listed")]);
    for directory in ["local", "listed"] {
        for (name, mode) in [
            ("app", 0o755),
            ("app/file", 0o644),
            ("app/sub", 0o755),
            ("app/sub/file", 0o644),
            ("implicit", 0o755),
            ("implicit/file", 0o644),
            ("file", 0o644),
            ("link", 0o777),
            ("fifo", 0o644),
        ] {
            let name = format!("{directory}/{name}");
            assert_eq!((volume.mode(&name), volume.stat(&name).gid()), (mode, 0), "{name}");
            assert_eq!((volume.access_acl(&name), volume.default_acl(&name)), (None, None), "{name}");
        }
    }
    assert_eq!(attributes(&volume, "local"), (0o2775, 0, 50, 22));
    assert_eq!(attributes(&volume, "listed"), (0o755, 0, 0, 22));
    assert_eq!(volume.default_acl("listed").as_deref(), Some(&DEFAULT_ACL[..]));
}

#[test]
fn files_are_replaced_and_not_written_to() {
    let bottom = Tar::new().file("f", "old").hard_link("other-name", "f");
    let volume = stacked([bottom, Tar::new().file("f", "new")]);
    assert_eq!((volume.read("f"), volume.read("other-name")), ("new".into(), "old".into()));
}

#[test]
fn hard_links_reach_what_lower_layers_have() {
    let bottom = || Tar::new().directory("bin", 0o711).file("bin/tool", "tool").symlink("sbin", "bin");
    let volume = stacked([
        bottom(),
        Tar::new().hard_link("one", "bin/tool").hard_link("two", "sbin/tool").file("bin/.wh.tool", ""),
    ]);
    assert_eq!(volume.names("bin"), [""; 0]);
    assert_eq!((volume.read("one"), volume.stat("two").nlink()), ("tool".into(), 2));
    assert_eq!(attributes(&volume, "bin"), (0o711, 0, 0, MTIME));

    let deleted = Tar::new().file("bin/.wh.tool", "").hard_link("one", "bin/tool");
    assert_eq!(refused([bottom()], deleted), "link bin/tool one: no such file or directory");
    assert_eq!(refused([bottom()], Tar::new().hard_link("x", "no")), "link no x: no such file or directory");
}

#[test]
fn a_hard_link_to_a_lower_file_is_the_layers_own() {
    let bottom = Tar::new().file("d/old", "x").file("d/other", "");
    let top = Tar::new().hard_link("d/new", "d/old").file("d/.wh..wh..opq", "");
    assert_eq!(stacked([bottom, top]).names("d"), ["new"]);
}

#[test]
fn symlinks_of_lower_layers_lead_on_and_give_way_where_they_lead_nowhere() {
    let bottom = Tar::new()
        .directory("usr/lib", 0o755)
        .symlink("lib", "usr/lib")
        .symlink("dangling", "nowhere")
        .file("file", "");
    let top = Tar::new().file("lib/x", "").file("dangling/y", "").file("file/z", "");
    let volume = stacked([bottom, top]);
    assert!(volume.stat("lib").file_type().is_symlink() && volume.exists("usr/lib/x"));
    assert!(volume.stat("dangling").is_dir() && volume.exists("dangling/y") && !volume.exists("nowhere"));
    assert!(volume.exists("file/z"));
}

#[test]
fn a_file_of_the_same_layer_does_not_give_way() {
    for tar in [Tar::new().file("a", "").file("a/b", ""), Tar::new().file("d/a", "").file("d/a/b", "")] {
        assert!(refused([Tar::new().directory("old", 0o755)], tar).ends_with("not a directory"));
    }
}

#[test]
fn a_directory_in_place_of_a_file_and_back() {
    let bottom = Tar::new().file("a", "").file("b/old", "");
    let volume = stacked([bottom, Tar::new().directory("a", 0o750).file("a/new", "").file("b", "file")]);
    assert_eq!((volume.names("a"), volume.read("b")), (vec!["new".to_owned()], "file".into()));
}

#[test]
fn the_base_directory_must_be_there() {
    let base = Layer { base_directory: Some(Path::new("/home/link")), ..removal() };
    let volume = stacked([Tar::new().directory("home/vcap", 0o750).symlink("home/link", "vcap")]);
    volume.unpack_stream(&Tar::new().file("app", "").end(), &base).unwrap();
    assert!(volume.exists("home/vcap/app"));
    let message = |base: &str, tar: Tar| {
        let layer = Layer { base_directory: Some(Path::new(base)), ..removal() };
        text(stacked([tar]).unpack_stream(&Tar::new().file("app", "").end(), &layer))
    };
    let expected = "base directory not found in parent layer: stat /home/no: no such file or directory";
    assert_eq!(message("/home/no/way", Tar::new().directory("home", 0o755)), expected);
    let expected = "base directory not found in parent layer: stat /home: not a directory";
    assert_eq!(message("/home", Tar::new().file("home", "")), expected);
}

#[test]
fn deletions_lead_nowhere_outside() {
    let volume = stacked([Tar::new().symlink("up", "../..").symlink("abs", "/").file("f", "")]);
    fs::write(volume.outside("precious"), "").unwrap();
    let tar = Tar::new().file("up/.wh.precious", "").file("abs/.wh.precious", "").file("up/../../.wh.precious", "");
    unpack_into(volume.fd(), &tar.end()[..], &removal()).unwrap();
    assert!(volume.exists("f") && volume.outside("precious").exists());
}
