//! Promise 8: the warm path is system calls, and its cost does not grow with the number of images. A warm create,
//! `stats` and `delete` make the same system calls in a store of 1,000 images as in one of 10, and start no program.

use std::sync::LazyLock;

use crate::support::{
    Answer, Archive, DRIVER, Driver, Image, Layer, ScriptedRegistry, SystemCalls, TempStore, system_calls,
};

/// The allocator and the loader may map a page more or less; nothing else may differ.
const TOLERANCE: u64 = 4;

fn image(store: &TempStore) -> String {
    let image = (0..3).fold(Image::new(), |image, n| {
        image.layer(Layer::new(Archive::new().file(&format!("file-{n}"), 0o644, b"x").bytes()))
    });
    image.write(&store.beside("image"), "latest")
}

/// With a limit where every kernel has them.
static CREATE: LazyLock<&[&str]> = LazyLock::new(|| match *DRIVER {
    Driver::OverlayXfs => &["create"],
    Driver::Btrfs => &["create", "--disk-limit-size-bytes", "4194304"],
});

fn create<'a>(url: &'a str, id: &'a str) -> Vec<&'a str> {
    [*CREATE, &[url, id]].concat()
}

fn fill(store: &TempStore, url: &str, range: std::ops::Range<usize>) {
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let range = range.clone();
            scope.spawn(move || {
                for n in range.filter(|n| n % 2 == worker) {
                    store.ok(create(url, &format!("filler-{n}")));
                }
            });
        }
    });
}

/// System calls of a warm create, of `stats` and of `delete`.
fn measure(store: &TempStore, url: &str) -> [(&'static str, SystemCalls); 3] {
    // Once for nothing, so that whatever is done once in a while has been done.
    store.ok(create(url, "warm-up"));
    store.ok(["delete", "warm-up"]);
    [
        ("create", system_calls(&store.command(create(url, "measured")))),
        ("stats", system_calls(&store.command(["stats", "measured"]))),
        ("delete", system_calls(&store.command(["delete", "measured"]))),
    ]
}

#[test]
fn promise_08_a_thousand_images_cost_what_ten_cost() {
    let store = TempStore::new();
    let url = image(&store);
    fill(&store, &url, 0..10);
    let few = measure(&store, &url);
    fill(&store, &url, 10..1000);
    let many = measure(&store, &url);

    for ((command, few), (_, many)) in few.iter().zip(&many) {
        let (before, after): (u64, u64) = (few.values().sum(), many.values().sum());
        assert!(after.abs_diff(before) <= TOLERANCE, "{command}: {before} calls became {after}\n{few:?}\n{many:?}");
    }
}

#[test]
fn promise_08_no_program_and_no_thread_is_started() {
    let store = TempStore::new();
    let url = image(&store);
    for (command, calls) in measure(&store, &url) {
        for call in ["execve", "clone", "clone3", "fork", "vfork"] {
            assert_eq!(calls.get(call), None, "{command} starts a program, thread or process: {calls:?}");
        }
        let total: u64 = calls.values().sum();
        assert!(total < 400, "{command} makes {total} system calls: {calls:?}");
    }
}

#[test]
fn promise_08_a_pinned_image_of_a_registry_needs_no_network() {
    let store = TempStore::new();
    image(&store);
    let server = ScriptedRegistry::start(&store.beside("image"), |_| Answer::Serve);
    let index = std::fs::read(store.beside("image/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let url = server.image(&format!("some/image@{}", index["manifests"][0]["digest"].as_str().unwrap()));
    store.ok(["create", "--insecure-registry", &server.host(), &url, "cold"]);
    let asked = server.asked().len();
    for (command, calls) in measure(&store, &url) {
        for call in ["socket", "connect", "clone", "clone3", "fork", "vfork"] {
            assert_eq!(calls.get(call), None, "{command}: {calls:?}");
        }
        let total: u64 = calls.values().sum();
        assert!(total < 400, "{command} makes {total} system calls: {calls:?}");
    }
    assert_eq!(server.asked().len(), asked);
}

/// Volumes that no image needs, as far as clean looks at them.
fn add_volumes(store: &TempStore, range: std::ops::Range<usize>) {
    for n in range {
        std::fs::create_dir(store.path().join(format!("volumes/volume-{n}"))).unwrap();
        std::fs::write(store.path().join(format!("meta/volume-volume-{n}")), "{\"Size\":1}\n").unwrap();
    }
    // What has changed this moment is looked at anew.
    std::thread::sleep(std::time::Duration::from_millis(200));
}

#[test]
fn promise_08_a_threshold_that_is_not_reached_costs_the_same_with_a_thousand_layers() {
    let store = TempStore::new();
    let url = image(&store);
    let calls = |id: &str| {
        let create = ["create", "--with-clean", "--threshold-bytes", "1000000000", &url, id];
        system_calls(&store.command(create)).values().sum::<u64>()
    };
    store.create(&url, "x");
    let mut counts = Vec::new();
    for range in [0..10, 10..1000] {
        add_volumes(&store, range.clone());
        calls(&format!("first-{}", range.end));
        counts.push(calls(&format!("measured-{}", range.end)));
    }
    // Reading one larger file and its memory is all.
    assert!(counts[1] < counts[0] + 40, "{counts:?}");
    assert!(store.volumes().len() > 1000, "nothing was cleaned");
}
