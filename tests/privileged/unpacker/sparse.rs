//! Sparse files of all formats, by hand and by GNU tar.

use std::os::unix::fs::FileExt;
use std::process::Command;

use super::*;

/// 1 MiB hole, "data", hole up to 8 GiB and a byte at the end.
fn make_sparse(path: &Path) -> File {
    let file = File::options().create(true).write(true).read(true).truncate(true).open(path).unwrap();
    file.set_len(8 << 30).unwrap();
    file.write_all_at(b"data", 1 << 20).unwrap();
    file.write_all_at(b"e", (8 << 30) - 1).unwrap();
    file
}

fn assert_sparse(volume: &Volume, name: &str) {
    let stat = volume.stat(name);
    assert_eq!(stat.size(), 8 << 30);
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
    let file = File::open(volume.path(name)).unwrap();
    let mut bytes = [9; 6];
    file.read_exact_at(&mut bytes, (1 << 20) - 1).unwrap();
    assert_eq!(&bytes, b"\0data\0");
    file.read_exact_at(&mut bytes[..1], (8 << 30) - 1).unwrap();
    assert_eq!(bytes[0], b'e');
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o640, MTIME));
}

#[test]
fn every_format_that_gnu_tar_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse");
    drop(make_sparse(&path));
    fs::write(directory.path().join("after"), "x").unwrap();
    // Many segments, for the continuation blocks of the old format.
    let many = File::create(directory.path().join("many")).unwrap();
    for segment in 0..60 {
        many.write_all_at(b"segment", segment << 16).unwrap();
    }
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    set_times(&path, MTIME);
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .args(format)
            .args(["-cSf", "-", "-C"])
            .arg(directory.path())
            .args(["sparse", "many", "after"])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(output.stdout.len() < 2 << 20, "the test needs a filesystem with holes");
        let volume = Volume::new();
        let unpacked = volume.unpack_stream(&output.stdout, &layer()).unwrap();
        assert!(unpacked.size < 1 << 20, "holes do not count");
        assert_sparse(&volume, "sparse");
        assert_eq!(volume.names(""), ["after", "many", "sparse"], "{format:?}");
        assert_eq!(fs::read(volume.path("many")).unwrap(), fs::read(directory.path().join("many")).unwrap());
    }
}

#[test]
fn a_hole_of_exabytes_costs_nothing() {
    let tar = Tar::new()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4611686018427387904")])
        .file("f", "0\n");
    let error = text(Volume::new().unpack(tar));
    assert_eq!(error, "unexpected EOF", "the map is not padded to a block");
    let mut map = b"0\n".to_vec();
    map.resize(512, 0);
    let tar = Tar::new()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4611686018427387904")])
        .add(&Fields { name: b"f", content: &map, ..Fields::default() });
    let volume = Volume::new();
    match volume.unpack(tar) {
        Ok(unpacked) => assert_eq!(unpacked.size, 0),
        Err(error) => assert_eq!(error.to_string(), "writing to file `f`: file too large"),
    }
}

#[test]
fn maps_without_end_are_refused() {
    let mut map = b"99999999999\n".to_vec();
    for segment in 0..(1 << 20) + 1 {
        map.extend_from_slice(format!("{segment}\n0\n").as_bytes());
    }
    let tar = Tar::new()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")])
        .add(&Fields { name: b"f", content: &map, ..Fields::default() });
    assert_eq!(text(Volume::new().unpack(tar)), "the map of a sparse file is too long");
}
