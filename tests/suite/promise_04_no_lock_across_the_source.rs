//! Promise 4: no lock is held across the network. A create whose source stalls delays nobody, and `clean` neither stops
//! a create nor removes what one needs. A pipe that nobody writes to stands for a network that does not answer.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    Answer, Archive, Asked, Image, Layer, ScriptedRegistry, TempStore, large_layer, names, noise, run, small_image,
    succeed, wait_for,
};

/// Longer than any of these commands takes on a busy machine. What they must not wait for never comes.
const PROMPT: Duration = Duration::from_secs(60);

/// Ends a stalled command however the test ends.
struct Stalled(Child);

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a create and waits until it has come as far as it can.
fn stall(store: &TempStore, source: &str, id: &str) -> Stalled {
    let child = store.command(["create", source, id]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stalled = Stalled(child);
    let deadline = Instant::now() + PROMPT;
    while !store.records().contains(&id.to_owned()) {
        assert!(Instant::now() < deadline, "the create did not begin");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(200));
    stalled
}

#[track_caller]
fn promptly<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < PROMPT, "took {:?}", start.elapsed());
    result
}

/// A clean that was stopped, or hangs on a disk.
#[test]
fn promise_04_who_keeps_the_store_locked_is_named() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let lock = store.path().join("locks/global-groot-lock.lock");
    let mut flock = Command::new("flock");
    let holder = Stalled(flock.args(["--exclusive", "--no-fork"]).arg(&lock).args(["sleep", "60"]).spawn().unwrap());
    let is_held = || run(Command::new("flock").args(["--shared", "--nonblock"]).arg(&lock).arg("true")).code != Some(0);
    wait_for("the lock to be held", is_held);

    let message = store.fails(["create", &url, "x"]);
    assert!(message.contains(&format!("by pid {} (sleep) for at most ", holder.0.id())), "{message}");
    drop(holder);
    assert_eq!(store.leftovers(), [""; 0]);
    store.create(&url, "x");
}

#[test]
fn promise_04_a_create_stalled_on_its_source_delays_no_other_command() {
    let store = TempStore::new();
    let other = small_image(&store.beside("other"));
    store.create(&other, "before");
    let pipe = store.beside("pipe.tar");
    succeed("mkfifo", [&pipe]);
    let mut stalled = stall(&store, pipe.to_str().unwrap(), "stalled");

    promptly(|| store.create(&other, "beside"));
    promptly(|| store.stats("before"));
    promptly(|| store.ok(["list"]));
    promptly(|| store.ok(["delete", "before"]));
    promptly(|| store.ok(["clean"]));
    promptly(|| store.ok(["create", "--with-clean", &other, "cleaning"]));
    promptly(|| store.ok(["init-store", "--without-quota"]));
    promptly(|| store.run(["delete", "stalled"]));
    assert!(stalled.0.try_wait().unwrap().is_none(), "the create gave up");

    // And it has lost nothing by all that.
    fs::write(&pipe, Archive::new().file("late", 0o644, b"arrived").bytes()).unwrap();
    assert!(stalled.0.wait().unwrap().success());
    assert_eq!(fs::read_to_string(store.rootfs("stalled").join("late")).unwrap(), "arrived");
}

#[test]
fn promise_04_a_layer_that_stalls_does_not_hold_up_layers_of_others() {
    let store = TempStore::new();
    let stuck = Layer::new(Archive::new().file("stuck", 0o644, b"stuck").bytes());
    let shared = Layer::new(Archive::new().file("shared", 0o644, b"shared").bytes());
    let layout = store.beside("stuck");
    let slow = Image::new().layer(shared.clone()).layer(stuck.clone()).write(&layout, "latest");
    let fast = Image::new().layer(shared).write(&store.beside("fast"), "latest");
    let blob = layout.join("blobs/sha256").join(&stuck.digest[7..]);
    fs::remove_file(&blob).unwrap();
    succeed("mkfifo", [&blob]);

    let mut stalled = stall(&store, &slow, "slow");
    promptly(|| store.create(&fast, "fast"));
    promptly(|| store.ok(["delete", "fast"]));
    promptly(|| store.ok(["clean"]));
    promptly(|| store.create(&fast, "again"));

    File::options().write(true).open(&blob).unwrap().write_all(&stuck.blob.unwrap()).unwrap();
    assert!(stalled.0.wait().unwrap().success(), "a clean took a layer that the create had already unpacked");
    for name in ["shared", "stuck"] {
        assert_eq!(fs::read_to_string(store.rootfs("slow").join(name)).unwrap(), name);
    }
}

/// A registry that drips, below the rate at which it would be dropped or above it, costs a create of the same layers from a
/// healthy source no more than its timeout.
#[test]
fn promise_04_a_layer_is_taken_over_from_who_is_slow() {
    for (bytes, pause) in [(1, Duration::from_millis(200)), (1000, Duration::from_millis(200))] {
        let store = TempStore::new();
        let url = Image::new().layer(large_layer()).write(&store.beside("layout"), "latest");
        let digest = large_layer().digest;
        let server =
            ScriptedRegistry::start(&store.beside("layout"), move |asked: &Asked| match asked.path.contains(&digest) {
                true => Answer::Drip(bytes, pause),
                false => Answer::Serve,
            });
        let slow = ["create", "--insecure-registry", &server.host(), &server.url(), "slow"];
        let mut slow = Stalled(store.command(slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begun = || names(&store.path().join("volumes")).iter().any(|name| name.contains("-incomplete-"));
        wait_for("the pull", begun);

        let log = store.beside("log");
        store.ok(["--log-level", "info", "--log-file", log.to_str().unwrap(), "create", &url, "fast"]);
        let is_slow_at_it = slow.0.try_wait().unwrap().is_none();
        assert!(is_slow_at_it, "the slow one was not slow");
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.contains("waiting-for-layer") && log.contains(&format!("pid {} (grootfs)", slow.0.id())), "{log}");
        assert!(log.contains("taking-over-layer"), "{log}");
        assert_eq!(fs::read(store.rootfs("fast").join("noise")).unwrap(), noise(3_000_000, 1));
        // A third one does not wait at all.
        let log = store.beside("third.log");
        store.ok(["--log-level", "info", "--log-file", log.to_str().unwrap(), "create", &url, "third"]);
        assert!(!fs::read_to_string(&log).unwrap().contains("waiting-for-layer"));
        drop(slow);
        store.ok(["clean"]);
        assert_eq!(store.leftovers(), [""; 0]);
        assert_eq!(fs::read(store.rootfs("fast").join("noise")).unwrap(), noise(3_000_000, 1));
    }
}

/// Lets a server answer, however the test ends.
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// A registry that does not answer for a layer until its gate is open.
fn stalled_registry(layout: &Path, layer: &Layer) -> (ScriptedRegistry, Gate) {
    let (digest, gate) = (layer.digest.clone(), Arc::new(AtomicBool::new(false)));
    let is_open = Arc::clone(&gate);
    let server = ScriptedRegistry::start(layout, move |asked: &Asked| {
        while asked.path.ends_with(&digest) && !is_open.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        Answer::Serve
    });
    (server, Gate(gate))
}

/// One create pulls from a registry that has stalled, and another takes its layer over, from `fast`. The first one's registry
/// recovers: it finds its layer published, and uses that.
fn overtake(store: &TempStore, fast: &[&str]) {
    let layout = store.beside("layout");
    let (server, gate) = stalled_registry(&layout, &large_layer());
    // Its own time-out is out of the way.
    let (host, url) = (server.host(), server.url());
    let pull = ["--stall-timeout-seconds", "0", "--insecure-registry", &host, &url, "slow"];
    let log = store.beside("log");
    let mut slow = store.command([&["--log-level", "info", "create"], &pull[..]].concat());
    let slow = slow.stdout(Stdio::null()).stderr(File::create(store.beside("slow.log")).unwrap()).spawn().unwrap();
    let mut slow = Stalled(slow);
    // It has the layer's lock by then.
    wait_for("the pull", || server.asked().iter().any(|asked| asked.path.ends_with(&large_layer().digest)));

    let flags = ["--log-level", "info", "--log-file", log.to_str().unwrap(), "create"];
    store.ok([&flags[..], fast, &["fast"]].concat());
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("taking-over-layer"), "{log}");
    assert!(slow.0.try_wait().unwrap().is_none(), "the first one is still at it");
    let volumes = store.volumes();
    let published = fs::metadata(store.path().join("volumes").join(large_layer_volume())).unwrap().ino();

    gate.open();
    let status = slow.0.wait().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(store.beside("slow.log")).unwrap());
    for id in ["slow", "fast"] {
        assert_eq!(fs::read(store.rootfs(id).join("noise")).unwrap(), noise(3_000_000, 1), "{id}");
    }
    let kept = fs::metadata(store.path().join("volumes").join(large_layer_volume())).unwrap().ino();
    assert_eq!(kept, published, "the volume that may be mounted stays");
    assert_eq!((store.volumes().len(), store.leftovers()), (1, vec![]), "of {volumes:?}");
}

fn large_layer_volume() -> String {
    Image::new().layer(large_layer()).chain_ids().remove(0)
}

#[test]
fn promise_04_who_is_overtaken_by_a_local_source_uses_the_layer_of_the_other() {
    let store = TempStore::new();
    let url = Image::new().layer(large_layer()).write(&store.beside("layout"), "latest");
    overtake(&store, &[&url]);
}

#[test]
fn promise_04_who_is_overtaken_by_another_registry_uses_the_layer_of_the_other() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    Image::new().layer(large_layer()).write(&layout, "latest");
    let healthy = ScriptedRegistry::start(&layout, |_: &Asked| Answer::Serve);
    overtake(&store, &["--insecure-registry", &healthy.host(), &healthy.url()]);
}

#[test]
fn promise_04_fifty_creates_against_fifty_cleans_all_succeed() {
    let store = TempStore::new();
    let urls: Vec<String> = (0..5)
        .map(|n| {
            let layer = |m: usize| Layer::new(Archive::new().file(&format!("{n}-{m}"), 0o644, &[b'x'; 10_000]).bytes());
            Image::new().layer(layer(0)).layer(layer(1)).write(&store.beside(&format!("image-{n}")), "latest")
        })
        .collect();
    thread::scope(|scope| {
        for worker in 0..5 {
            let (store, urls) = (&store, &urls);
            scope.spawn(move || {
                for n in 0..10 {
                    let id = format!("image-{worker}-{n}");
                    let rootfs = store.create(&urls[(worker + n) % 5], &id);
                    for layer in 0..2 {
                        let file = rootfs.join(format!("{}-{layer}", (worker + n) % 5));
                        assert_eq!(fs::read(&file).unwrap(), [b'x'; 10_000], "{}", file.display());
                    }
                    store.ok(["delete", &id]);
                }
            });
            scope.spawn(move || {
                for _ in 0..10 {
                    store.ok(["clean"]);
                }
            });
        }
    });
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}
