//! Promise 9: a pull is one stream. Each layer is read once, unpacked while it arrives, beside the others, and nothing
//! is written twice.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Archive, DRIVER, Driver, Image, Layer, MIB, TempStore, peak_memory, run, succeed, wrapped};

fn layer(name: &str, size: usize) -> Layer {
    Layer::plain(Archive::new().file(name, 0o644, &vec![b'x'; size]).file(&format!("{name}-last"), 0o644, b"").bytes())
}

/// Replaces a layer's blob by a pipe.
fn pipe(layout: &Path, layer: &Layer) -> PathBuf {
    let blob = layout.join("blobs/sha256").join(&layer.digest[7..]);
    fs::remove_file(&blob).unwrap();
    succeed("mkfifo", [&blob]);
    blob
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn promise_09_files_appear_while_their_layer_still_arrives() {
    let store = TempStore::new();
    let layer = layer("file", 8 * MIB as usize);
    let layout = store.beside("image");
    let url = Image::new().layer(layer.clone()).write(&layout, "latest");
    let blob = pipe(&layout, &layer);
    let bytes = layer.blob.unwrap();
    thread::scope(|scope| {
        let create = scope.spawn(|| store.create(&url, "x"));
        let mut writer = File::options().write(true).open(&blob).unwrap();
        writer.write_all(&bytes[..6 * MIB as usize]).unwrap();
        wait_for("unpacking before the end of the stream", || {
            store.volumes().iter().any(|volume| {
                let file = store.path().join("volumes").join(volume).join("file");
                volume.contains("-incomplete-") && fs::metadata(file).is_ok_and(|metadata| metadata.len() > 4 * MIB)
            })
        });
        assert_eq!(crate::support::names(&store.path().join("images")), [""; 0]);
        writer.write_all(&bytes[6 * MIB as usize..]).unwrap();
        drop(writer);
        assert!(create.join().unwrap().join("file-last").exists());
    });
}

#[test]
fn promise_09_a_layer_is_read_while_the_one_below_it_stalls() {
    let store = TempStore::new();
    let (bottom, top) = (layer("bottom", 1000), layer("top", 2 * MIB as usize));
    let layout = store.beside("image");
    let url = Image::new().layer(bottom.clone()).layer(top.clone()).write(&layout, "latest");
    let (bottom_blob, top_blob) = (pipe(&layout, &bottom), pipe(&layout, &top));
    thread::scope(|scope| {
        let create = scope.spawn(|| store.create(&url, "x"));
        let mut stalled = File::options().write(true).open(bottom_blob).unwrap();
        // Many times what a pipe holds: all but the last of it has been read when this returns.
        fs::write(top_blob, top.blob.unwrap()).unwrap();
        if *DRIVER == Driver::OverlayXfs {
            wait_for("unpacking the upper layer while the lower one stalls", || {
                store.volumes().iter().any(|volume| store.path().join("volumes").join(volume).join("top-last").exists())
            });
        }
        stalled.write_all(&bottom.blob.unwrap()).unwrap();
        drop(stalled);
        assert!(create.join().unwrap().join("bottom-last").exists());
    });
}

#[test]
fn promise_09_nothing_is_written_twice() {
    // 200 MiB of content in a store that has room for it once.
    let store = TempStore::with_size(384 * MIB);
    let url = Image::new().layer(layer("big", 200 * MIB as usize)).write(&store.beside("image"), "latest");
    store.create(&url, "x");
}

#[test]
fn promise_09_twenty_creates_of_one_image_read_each_layer_once() {
    let store = TempStore::new();
    let layers = [layer("a", 500_000), layer("b", 500_000)];
    let url = layers.iter().cloned().fold(Image::new(), Image::layer).write(&store.beside("image"), "latest");
    let traces: Vec<PathBuf> = (0..20).map(|n| store.beside(&format!("trace-{n}"))).collect();
    thread::scope(|scope| {
        for (n, trace) in traces.iter().enumerate() {
            let create = store.command(["create", &url, &format!("x-{n}")]);
            scope.spawn(move || {
                let strace = ["strace", "-f", "-e", "trace=open,openat,openat2", "-o", trace.to_str().unwrap()];
                let outcome = run(&mut wrapped(&strace, &create));
                assert_eq!(outcome.code, Some(0), "{outcome:?}");
            });
        }
    });
    let opened: String = traces.iter().map(|trace| fs::read_to_string(trace).unwrap()).collect();
    for layer in &layers {
        assert_eq!(
            opened.lines().filter(|line| line.contains(&format!("blobs/sha256/{}", &layer.digest[7..]))).count(),
            1
        );
    }
    for n in 0..20 {
        assert!(store.rootfs(&format!("x-{n}")).join("b-last").exists());
    }
    assert_eq!(store.volumes().len(), 2);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn promise_09_memory_does_not_grow_with_the_layer() {
    let store = TempStore::new();
    let archive = Archive::new().file("big", 0o644, &vec![7; 300 * MIB as usize]).bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.beside("image"), "latest");
    let peak = peak_memory(&mut store.command(["create", &url, "x"]));
    assert!((1..48 * 1024).contains(&peak), "peak of {peak} KiB");
}
