//! Images from a registry, as far as the driver has a say in how their layers are pulled.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{
    Answer, Archive, Asked, DRIVER, Driver, Image, Layer, ScriptedRegistry, TempStore, noise, wait_for,
};

const LAYERS: u64 = 12;

fn layer(n: u64) -> Layer {
    let archive = Archive::new().directory("d", 0o755).file(&format!("d/{n}"), 0o644, &noise(200_000, n));
    Layer::new(archive.file("same", 0o644, n.to_string().as_bytes()).bytes())
}

fn image() -> Image {
    (0..LAYERS).fold(Image::new(), |image, n| image.layer(layer(n)))
}

fn create(store: &TempStore, server: &ScriptedRegistry, flags: &[&str]) {
    store.ok([&["create", "--insecure-registry", &server.host()], flags, &[&server.url(), "x"]].concat());
    for n in 0..LAYERS {
        assert_eq!(fs::read(store.rootfs("x").join(format!("d/{n}"))).unwrap(), noise(200_000, n), "{n}");
    }
    assert_eq!(fs::read_to_string(store.rootfs("x").join("same")).unwrap(), (LAYERS - 1).to_string());
    assert_eq!(store.leftovers(), [""; 0]);
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
}

#[test]
fn upper_layers_arrive_while_the_lowest_is_slow() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    let lowest = layer(0).digest;
    let server = ScriptedRegistry::start(&layout, move |asked: &Asked| match asked.before {
        0 if asked.path.ends_with(&lowest) => Answer::Drip(20_000, Duration::from_millis(200)),
        0 if asked.is_blob() => Answer::ResetAfter(70_000),
        _ => Answer::Serve,
    });
    thread::scope(|scope| {
        let creating = scope.spawn(|| create(&store, &server, &[]));
        // The configuration, and the layers that may wait for the lowest: all whose volumes do not begin as copies of it.
        let expected = if DRIVER == Driver::Btrfs { 1 + 6 } else { 1 + LAYERS as usize };
        wait_for("the others", || server.blobs_asked() >= expected);
        assert!(!creating.is_finished());
    });
}

#[test]
fn no_more_layers_than_asked_for_are_downloaded_at_once() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    let usual = thread::available_parallelism().unwrap().get().clamp(6, LAYERS as usize);
    for (flags, limit) in
        [(&["--concurrent-downloads", "1"][..], 1), (&["--concurrent-downloads", "3"], 3), (&[], usual)]
    {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let most_seen = Arc::clone(&most);
        let server = ScriptedRegistry::start(&layout, move |asked: &Asked| {
            if asked.is_blob() {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(100));
                now.fetch_sub(1, Ordering::SeqCst);
            }
            Answer::Serve
        });
        create(&store, &server, flags);
        assert_eq!(most_seen.load(Ordering::SeqCst), limit, "{flags:?}");
    }
}
