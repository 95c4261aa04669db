//! Images from a registry, as far as the driver has a say in how their layers are pulled.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Lets somebody go on, however the test ends.
struct Gate(Arc<AtomicBool>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn upper_layers_arrive_while_the_lowest_does_not() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    let is_open = Arc::new(AtomicBool::new(false));
    let (lowest, opened) = (layer(0).digest, Arc::clone(&is_open));
    let server = ScriptedRegistry::start(&layout, move |asked: &Asked| match asked.before {
        0 if asked.path.ends_with(&lowest) => {
            while !opened.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            Answer::Serve
        }
        0 if asked.is_blob() => Answer::ResetAfter(70_000),
        _ => Answer::Serve,
    });
    thread::scope(|scope| {
        scope.spawn(|| create(&store, &server, &[]));
        let gate = Gate(is_open);
        // The configuration, and the layers that may wait for the lowest: all whose volumes do not begin as copies of it.
        let layers = if *DRIVER == Driver::Btrfs { usual_readers() } else { LAYERS as usize };
        let blobs = || server.asked().iter().filter(|asked| asked.is_blob() && asked.before == 0).count();
        wait_for("the others", || blobs() == 1 + layers);
        drop(gate);
    });
}

/// How many layers are read at once where nobody says how many.
fn usual_readers() -> usize {
    thread::available_parallelism().unwrap().get().clamp(6, LAYERS as usize)
}

#[test]
fn no_more_layers_than_asked_for_are_downloaded_at_once() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    let cases =
        [(&["--concurrent-downloads", "1"][..], 1), (&["--concurrent-downloads", "3"], 3), (&[], usual_readers())];
    for (flags, limit) in cases {
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
