//! Deletions within one volume. What they do to lower layers is compared with a model in `model`.

use super::*;

#[test]
fn a_whiteout_becomes_a_device_in_directories_that_may_be_missing() {
    let volume = Volume::new();
    volume.unpack(Tar::new().file("a/b/.wh.gone", "").file(".wh.top", "").file("x.wh.y", "kept")).unwrap();
    assert!(volume.is_whiteout("a/b/gone") && volume.is_whiteout("top"));
    assert_eq!(volume.stat("top").mode() & 0o7777, 0);
    assert_eq!((volume.mode("a"), volume.stat("a").mtime()), (0o755, 0));
    assert_eq!(volume.read("x.wh.y"), "kept");
}

#[test]
fn what_the_same_layer_adds_survives_in_either_order() {
    let file = |tar: Tar| tar.file("d/f", "x");
    let directory = |tar: Tar| tar.directory("d/s", 0o700).file("d/s/f", "y");
    let link = |tar: Tar| tar.symlink("d/l", "f");
    let whiteouts = |tar: Tar| tar.file("d/.wh.f", "").file("d/.wh.s", "").file("d/.wh.l", "");
    for tar in [
        whiteouts(link(directory(file(Tar::new())))),
        link(directory(file(whiteouts(Tar::new())))),
        whiteouts(link(directory(file(whiteouts(Tar::new()))))),
    ] {
        let volume = Volume::new();
        volume.unpack(tar).unwrap();
        assert_eq!((volume.read("d/f"), volume.read("d/s/f")), ("x".into(), "y".into()));
        assert!(volume.stat("d/l").file_type().is_symlink());
        assert!(volume.is_opaque("d/s") && !volume.is_opaque("d"));
        assert_eq!((volume.mode("d/s"), volume.stat("d/s").mtime()), (0o700, MTIME));
    }
}

#[test]
fn an_implicit_directory_over_a_whiteout_is_opaque() {
    let volume = Volume::new();
    volume.unpack(Tar::new().file(".wh.a", "").file("a/b", "x")).unwrap();
    assert!(volume.is_opaque("a") && volume.exists("a/b"));
}

#[test]
fn a_directory_in_place_of_a_file_hides_the_directory_below_the_file() {
    let volume = Volume::new();
    volume.unpack(Tar::new().file("a", "").directory("a", 0o755)).unwrap();
    assert!(volume.is_opaque("a"));
}

#[test]
fn opaque_directories_keep_what_the_layer_adds() {
    for tar in [
        Tar::new().directory("var", 0o755).file("var/.wh..wh..opq", "").file("var/istillexist", ""),
        Tar::new().file("var/istillexist", "").file("var/.wh..wh..opq", "").directory("var", 0o755),
    ] {
        let volume = Volume::new();
        volume.unpack(tar).unwrap();
        assert!(volume.is_opaque("var"));
        assert_eq!(volume.names("var"), ["istillexist"]);
        assert_eq!((volume.mode("var"), volume.stat("var").mtime()), (0o755, MTIME));
    }
}

#[test]
fn without_marks_each_lower_entry_is_hidden_by_itself() {
    let devices = Layer { whiteouts: WhiteoutFormat::OverlayDevices, ..layer() };
    let bottom =
        Volume::of(Tar::new().file("var/a", "").file("var/b/c/d", "").file("var/b/e", "").file("kept", ""), &[]);
    let volume = Volume::new();
    let tar = Tar::new().file("var/.wh..wh..opq", "").file("var/b/c/own", "").file("var/own", "");
    let unpacked = volume.unpack_stream(&tar.end(), &devices).unwrap();
    assert!(unpacked.needs_parents());
    unpacked.finish(volume.fd(), &[bottom.fd()], &LeftOut::default()).unwrap();
    for hidden in ["var/a", "var/b/e", "var/b/c/d"] {
        assert!(volume.is_whiteout(hidden), "{hidden}");
    }
    assert_eq!(volume.names("var"), ["a", "b", "own"]);
    for directory in ["var", "var/b", "var/b/c"] {
        assert!(!volume.is_opaque(directory) && volume.xattr(directory, "user.overlay.opaque").is_none());
        assert_eq!((volume.mode(directory), volume.stat(directory).mtime()), (0o755, 0), "{directory}");
    }
    assert!(!volume.exists("kept"));
}

#[test]
fn bookkeeping_of_aufs_is_ignored() {
    let volume = Volume::new();
    let tar = Tar::new()
        .directory(".wh..wh.plnk", 0o700)
        .file(".wh..wh.plnk/12.34", "x")
        .file(".wh..wh.aufs", "")
        .directory(".wh..wh.orph", 0o700)
        .file("f", "");
    volume.unpack(tar).unwrap();
    assert_eq!(volume.names(""), ["f"]);
}

#[test]
fn hard_links_of_aufs_are_links_to_each_other() {
    let tar = || {
        Tar::new()
            .directory(".wh..wh.plnk", 0o700)
            .file(".wh..wh.plnk/12.34", "x")
            .file(".wh..wh.plnk/d/12.34", "y")
            .symlink(".wh..wh.plnk/56.78", "/etc")
            .hard_link("d/one", ".wh..wh.plnk/12.34")
            .hard_link("two", "/.wh..wh.plnk/12.34")
    };
    for layer in [layer(), removal()] {
        let volume = Volume::new();
        volume.unpack_stream(&tar().end(), &layer).unwrap();
        assert_eq!((volume.names(""), volume.names("d")), (vec!["d".into(), "two".into()], vec!["one".to_owned()]));
        assert_eq!((volume.read("two"), volume.stat("two").nlink()), ("x".to_owned(), 2));
        assert_eq!(volume.stat("two").ino(), volume.stat("d/one").ino());
    }
}

#[test]
fn a_whiteout_of_nothing_is_an_error() {
    for name in ["a/.wh.", "a/.wh..", "a/.wh..."] {
        let error = text(Volume::new().unpack(Tar::new().file(name, "")));
        assert_eq!(error, format!("invalid whiteout `{name}`: no name follows `.wh.`"));
    }
}
