//! Archives that want out, or want too much.

use super::*;

#[test]
fn names_that_climb_land_in_the_root() {
    let volume = Volume::new();
    let outside = volume.outside("planted");
    let absolute = outside.to_str().unwrap().to_owned();
    let tar = Tar::new()
        .file("../file_outside_root", "1")
        .file("a/../../../../up", "2")
        .file(&absolute, "3")
        .file("//double", "4")
        .directory("..", 0o700)
        .file("./././here", "5");
    volume.unpack(tar).unwrap();
    assert_eq!((volume.read("file_outside_root"), volume.read("up")), ("1".into(), "2".into()));
    assert_eq!(volume.read(absolute.trim_start_matches('/')), "3");
    assert_eq!((volume.read("double"), volume.read("here")), ("4".into(), "5".into()));
    assert_eq!(volume.mode(""), 0o700);
    assert!(!outside.exists());
}

#[test]
fn files_through_symlinks_stay_inside() {
    for target in ["..", "../..", "/", "/..", "../../../../../../.."] {
        let volume = Volume::new();
        volume.unpack(Tar::new().symlink("way", target).file("way/planted", "x")).unwrap();
        assert_eq!(volume.read("planted"), "x", "{target}");
    }
    let volume = Volume::new();
    let outside = volume.outside("");
    let absolute = outside.to_str().unwrap().trim_end_matches('/').to_owned();
    volume.unpack(Tar::new().symlink("way", &absolute).file("way/planted", "x")).unwrap();
    assert_eq!(volume.read(&format!("{}/planted", absolute.trim_start_matches('/'))), "x");
}

#[test]
fn a_file_never_goes_through_a_symlink_of_its_own_name() {
    let volume = Volume::new();
    let victim = volume.outside("volume/victim");
    fs::write(&victim, "untouched").unwrap();
    let tar =
        Tar::new().symlink("link", "victim").file("link", "x").symlink("chain", "/victim").hard_link("chain2", "chain");
    volume.unpack(tar.file("chain2", "y")).unwrap();
    assert_eq!(volume.read("victim"), "untouched");
    assert_eq!((volume.read("link"), volume.read("chain2")), ("x".into(), "y".into()));
}

#[test]
fn hard_links_do_not_reach_outside() {
    for old in ["../../../../../../etc/hostname", "/etc/hostname", "way/etc/hostname"] {
        let volume = Volume::new();
        let error = text(volume.finish(Tar::new().symlink("way", "/").hard_link("stolen", old), &[]));
        assert!(error.starts_with("link ") && error.ends_with(": no such file or directory"), "{error}");
    }
    let volume = Volume::new();
    volume.unpack(Tar::new().symlink("out", "/etc/hostname").hard_link("again", "out")).unwrap();
    assert!(volume.stat("again").file_type().is_symlink(), "the symlink is linked, not what it points to");
}

#[test]
fn symlinks_in_circles_end() {
    let tar = Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", "");
    assert_eq!(text(Volume::new().unpack(tar)), "creating parent dir `a`: too many levels of symbolic links");
    let mut tar = Tar::new().symlink("l0", "/");
    for level in 1..60 {
        tar = tar.symlink(&format!("l{level}"), &format!("l{}/l{}", level - 1, level - 1));
    }
    assert!(text(Volume::new().unpack(tar.file("l59/x", ""))).contains("symbolic links"));
}

#[test]
fn a_file_as_parent_is_an_error() {
    let tar = Tar::new().file("f", "").file("f/x", "");
    assert_eq!(text(Volume::new().unpack(tar)), "creating parent dir `f`: not a directory");
}

#[test]
fn names_that_are_too_long_are_an_error_and_deep_ones_are_not() {
    let long = "x".repeat(256);
    assert_eq!(
        text(Volume::new().unpack(Tar::new().file(&long, ""))),
        format!("creating file `{long}`: file name too long")
    );
    let volume = Volume::new();
    let deep = format!("{}f", "d/".repeat(1900));
    volume.unpack(Tar::new().file(&deep, "x").file("d", "now a file")).unwrap();
    assert_eq!(volume.read("d"), "now a file");
    let deeper = format!("{}f", "d/".repeat(100_000));
    assert!(text(Volume::new().unpack(Tar::new().file(&deeper, "x"))).contains("create.limits.path_bytes (now 4095)"));
}

#[test]
fn the_root_is_a_directory_whatever_the_archive_says() {
    for (kind, name) in [(b'0', "."), (b'2', "/"), (b'6', "./."), (b'1', "")] {
        let volume = Volume::new();
        let fields = Fields { name: name.as_bytes(), kind, link: b"x", ..Fields::default() };
        assert!(text(volume.unpack(Tar::new().file("x", "").add(&fields))).contains("is a directory") || kind == b'1');
        assert!(volume.stat("").is_dir());
    }
}

#[test]
fn empty_and_odd_link_targets() {
    assert!(text(Volume::new().unpack(Tar::new().symlink("s", ""))).contains("no such file or directory"));
    assert!(text(Volume::new().unpack(Tar::new().hard_link("h", ""))).starts_with("link  h: "));
    assert!(text(Volume::new().unpack(Tar::new().directory("d", 0o755).hard_link("h", "d"))).contains("not permitted"));
    let nul = Tar::new().pax(&[("path", b"a\0b")]).file("x", "");
    assert_eq!(text(Volume::new().unpack(nul)), "invalid tar extended header");
}

#[test]
fn sizes_that_lie() {
    let mut header = Header::new_gnu();
    header.set_path("f").unwrap();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o644);
    header.as_old_mut().size = [0xff; 12];
    assert_eq!(text(Volume::new().unpack(Tar::new().raw(&mut header, b""))), "invalid tar header: bad size of `f`");
    header.set_size(1 << 40);
    assert_eq!(text(Volume::new().unpack(Tar::new().raw(&mut header, b""))), "unexpected EOF");
    let tar = Tar::new().pax(&[("size", b"18446744073709551615")]).file("f", "");
    assert_eq!(text(Volume::new().unpack(tar)), "invalid tar header: bad size of `f`");
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 30);
    let tar = Tar::new().raw(&mut header, b"");
    assert_eq!(
        text(Volume::new().unpack(tar)),
        "the image has too long an extended header in an archive: raise create.limits.pax_bytes (now 1048576) if you trust it"
    );
}

#[test]
fn a_size_before_other_headers_is_for_the_file() {
    // Readers that apply the size to the long-name header see other entries than this one does.
    let inner = Tar::new().file("smuggled", "x");
    let tar = Tar::new()
        .pax(&[("size", b"1024")])
        .add(&Fields { name: b"././@LongLink", kind: b'L', content: b"visible\0", ..Fields::default() })
        .add(&Fields { name: b"short", content: &inner.bytes, ..Fields::default() });
    let volume = Volume::new();
    volume.unpack(tar).unwrap();
    assert_eq!(volume.names(""), ["visible"]);
    assert_eq!(volume.stat("visible").size(), 1024);
}
