//! The bytes themselves: compression, digests, limits, and how failures end.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use grootfs::panics;
use grootfs::unpacker::Budget;

fn sample() -> Vec<u8> {
    let big = "0123456789abcdef".repeat(100_000);
    Tar::new().directory("d", 0o755).file("d/small", "small").file("d/big", &big).symlink("s", "d").end()
}

fn expected(blob: &[u8], tar: &[u8]) -> Expected {
    Expected { blob_digest: Some(sha256(blob)), blob_size: Some(blob.len() as u64), diff_id: Some(sha256(tar)) }
}

fn with(expected: Expected) -> Layer<'static> {
    Layer { expected, ..layer() }
}

/// Unpacks within ten seconds, or the test fails: no input may make it wait for ever.
fn unpack_in_time(blob: Vec<u8>, expected: Expected) -> Result<u64, Error> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let volume = Volume::new();
        send.send(volume.unpack_stream(&blob, &with(expected)).map(|unpacked| unpacked.size))
    });
    receive.recv_timeout(Duration::from_secs(10)).expect("unpacking hangs")
}

#[test]
fn every_compression_is_recognised_by_its_bytes() {
    let tar = sample();
    let (first, second) = tar.split_at(tar.len() / 3);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let mut skippable = b"\x5a\x2a\x4d\x18\x04\0\0\0skip".to_vec();
    skippable.extend_from_slice(&zstd(&tar));
    let blobs = [
        ("plain", tar.clone()),
        ("gzip", gzip(&tar)),
        ("gzip members", [gzip(first), gzip(second)].concat()),
        ("zstd", zstd(&tar)),
        ("zstd frames", [zstd(first), zstd(second)].concat()),
        ("zstd skippable frame", skippable),
    ];
    for (name, blob) in blobs {
        let volume = Volume::new();
        let unpacked = volume.unpack_stream(&blob, &with(expected(&blob, &tar)));
        assert_eq!(unpacked.unwrap_or_else(|error| panic!("{name}: {error}")).size, 1_600_005);
        assert_eq!(volume.read("d/small"), "small", "{name}");
    }
}

#[test]
fn bytes_behind_the_archive_count() {
    let mut tar = sample();
    tar.extend_from_slice(&[0; 10240]);
    tar.extend_from_slice(b"and more");
    for blob in [tar.clone(), gzip(&tar)] {
        Volume::new().unpack_stream(&blob, &with(expected(&blob, &tar))).unwrap();
    }
}

#[test]
fn archives_may_end_without_marker_and_be_empty() {
    let tar = Tar::new().file("f", "x");
    for bytes in [&tar.bytes[..], &[tar.bytes.clone(), vec![0; 512]].concat(), b"", &[0; 1024]] {
        Volume::new().unpack_stream(bytes, &layer()).unwrap();
    }
    let lone_zero_block = [vec![0; 512], tar.bytes].concat();
    assert_eq!(text(Volume::new().unpack_stream(&lone_zero_block, &layer())), "invalid tar header");
}

#[test]
fn digests_and_sizes_that_differ() {
    let (tar, other) = (sample(), sha256(b"other"));
    let blob = gzip(&tar);
    let right = || expected(&blob, &tar);
    let length = blob.len();
    let cases = [
        (
            Expected { blob_digest: Some(other.clone()), ..right() },
            format!("layerID digest mismatch: expected: {other}, actual: {}", sha256(&blob)),
        ),
        (
            Expected { diff_id: Some(other.clone()), ..right() },
            format!("diffID digest mismatch: expected: {other}, actual: {}", sha256(&tar)),
        ),
        (
            Expected { blob_size: Some(length as u64 + 1), ..right() },
            format!(
                "layer size is different from the value in the manifest; expected: {}, actual {length}",
                length + 1
            ),
        ),
        (
            Expected { blob_size: Some(length as u64 - 1), ..right() },
            format!(
                "layer size is different from the value in the manifest; expected: {}, actual {length}",
                length - 1
            ),
        ),
    ];
    for (expected, message) in cases {
        assert_eq!(text(unpack_in_time(blob.clone(), expected)), message);
    }
    let upper_case = Expected { diff_id: Some(sha256(&tar).to_uppercase()), ..Expected::default() };
    unpack_in_time(blob.clone(), upper_case).unwrap();
}

#[test]
fn a_blob_longer_than_stated_is_not_read_to_its_end() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += buffer.len() as u64;
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let volume = Volume::new();
    let mut source = Endless(0);
    let expected = Expected { blob_size: Some(1 << 20), ..Expected::default() };
    let error = text(volume.unpack_source(&mut source, &with(expected)));
    assert!(error.starts_with("layer size is different from the value in the manifest; expected: 1048576, actual "));
    assert!(source.0 < 2 << 20);
}

#[test]
fn a_corrupt_blob_is_called_that_whatever_it_leads_to() {
    let tar = sample();
    for blob in [gzip(&tar), zstd::encode_all(&tar[..], 1).unwrap(), tar.clone()] {
        let right = expected(&blob, &tar);
        for position in (0..blob.len()).step_by(blob.len() / 40).chain([0, 1, 2, 3, blob.len() - 1]) {
            let mut corrupt = blob.clone();
            corrupt[position] ^= 0x55;
            let error = text(unpack_in_time(corrupt.clone(), right.clone()));
            assert_eq!(
                error,
                format!("layerID digest mismatch: expected: {}, actual: {}", sha256(&blob), sha256(&corrupt)),
                "byte {position}"
            );
            let unchecked = unpack_in_time(corrupt, Expected::default());
            assert!(!unchecked.is_err_and(|error| error.to_string().contains('\n')));
        }
    }
}

#[test]
fn truncation_and_garbage_are_one_clear_line() {
    let tar = sample();
    let compressed = gzip(&tar);
    let garbage: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases = [
        (compressed[..compressed.len() / 2].to_vec(), "decompressing the layer: unexpected EOF"),
        (compressed[..compressed.len() - 3].to_vec(), "decompressing the layer: unexpected EOF"),
        (zstd::encode_all(&tar[..], 1).unwrap()[..100].to_vec(), "decompressing the layer: unexpected EOF"),
        (tar[..tar.len() / 2].to_vec(), "unexpected EOF"),
        (tar[..700].to_vec(), "unexpected EOF"),
        (gzip(&tar[..100_000]), "unexpected EOF"),
        (garbage.clone(), "invalid tar header"),
        (gzip(&garbage), "invalid tar header"),
        ([compressed.clone(), garbage].concat(), "decompressing the layer: invalid gzip header"),
    ];
    for (blob, message) in cases {
        assert_eq!(text(unpack_in_time(blob.clone(), Expected::default())), message);
        // A blob that is what the manifest says is not to blame.
        let right = Expected { diff_id: None, ..expected(&blob, b"") };
        assert_eq!(text(unpack_in_time(blob.clone(), right)), message);
        let short = Expected { blob_size: Some(blob.len() as u64 + 1), ..Expected::default() };
        assert!(text(unpack_in_time(blob, short)).starts_with("layer size is different"));
    }
}

#[test]
fn a_failing_source_is_named() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
                count => Ok(count),
            }
        }
    }
    let tar = sample();
    for blob in [tar.clone(), gzip(&tar)] {
        let volume = Volume::new();
        let layer = with(expected(&blob, &tar));
        let source = Failing(&blob[..blob.len() / 2]);
        assert_eq!(text(volume.unpack_source(source, &layer)), "reading the layer: connection reset by peer");
    }
}

#[test]
fn the_panic_of_a_source_is_its_reader_s() {
    struct Panicking;
    impl Read for Panicking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the source is broken")
        }
    }
    let volume = Volume::new();
    let caught = panics::caught(|| volume.unpack_source(Panicking, &layer()).map(drop)).unwrap_err();
    assert!(caught.to_string().contains("the source is broken"), "{caught}");
}

#[test]
fn the_budget_is_shared_by_layers() {
    let tar = sample();
    let budget = Budget::new(tar.len() as u64 * 2 + 10);
    let unpack = || Volume::new().unpack_stream(&gzip(&tar), &Layer { budget: Some(&budget), ..layer() });
    unpack().unwrap();
    unpack().unwrap();
    assert_eq!(text(unpack()), "uncompressed layer size exceeds quota");
}

#[test]
fn cancelling_stops_a_stream_without_end() {
    struct Zeros<'a>(&'a AtomicBool, u64);
    impl Read for Zeros<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 > 100 {
                self.0.store(true, Ordering::Relaxed);
            }
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    let cancel = AtomicBool::new(false);
    let volume = Volume::new();
    let result = volume.unpack_source(Zeros(&cancel, 0), &Layer { cancel: &cancel, ..layer() });
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn a_failing_write_stops_the_source() {
    struct Counted<'a>(&'a [u8], u64);
    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            assert!(self.1 < 1000, "the source is read on");
            match self.0.read(buffer)? {
                0 => {
                    buffer.fill(0);
                    Ok(buffer.len())
                }
                count => Ok(count),
            }
        }
    }
    let volume = Volume::new();
    let tar = Tar::new().directory("d", 0o755).hard_link("x", "d").end();
    let result = volume.unpack_source(Counted(&tar, 0), &layer());
    assert_eq!(text(result), "link d x: operation not permitted");
}

#[test]
fn a_full_disk_is_recognised() {
    let volume = Volume::new();
    let target = volume.path("");
    let tar = Tar::new().file("f", &"x".repeat(1 << 20)).end();
    std::thread::scope(|scope| {
        let result = scope.spawn(|| {
            use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
            mount("none", &target, "tmpfs", MountFlags::empty(), Some(c"size=64k")).unwrap();
            let full = File::open(&target).unwrap();
            unpack_into(full.as_fd(), &tar[..], &layer()).map(drop)
        });
        let error = result.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "writing to file `f`: no space left on device");
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    });
}
