//! Promise 2, with many processes in one store: they create, pull, delete, clean, check and repair, and kill each other.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::SystemTime;

use crate::support::{Archive, Image, Layer, TempStore, mount_points_below, names};

/// How many at once, and how many one after the other in the place of each. `hack/torture` has more of them.
const PROCESSES: &str = "GROOTFS_TORTURE_PROCESSES";
const FEW: usize = 8;
const EACH: u64 = 12;

const IMAGES: usize = 3;

/// A reproducible sequence of numbers (Knuth's multiplier).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Images that share their lowest layer. A file says which one it is.
fn images(store: &TempStore) -> Vec<String> {
    let shared = Layer::new(Archive::new().file("shared", 0o644, &[b's'; 50_000]).bytes());
    let image = |number: usize| {
        let own = Layer::new(Archive::new().file("own", 0o644, number.to_string().repeat(50_000).as_bytes()).bytes());
        Image::new().layer(shared.clone()).layer(own).write(&store.beside(&format!("image-{number}")), "latest")
    };
    (0..IMAGES).map(image).collect()
}

#[track_caller]
fn assert_whole(store: &TempStore, id: &str, context: &str) {
    let number = id.rsplit('-').next().unwrap();
    let own = fs::read_to_string(store.rootfs(id).join("own")).unwrap_or_else(|e| panic!("{context}: {id}: {e}"));
    assert!(own == number.repeat(50_000), "{context}: {id} is torn");
    assert_eq!(fs::read(store.rootfs(id).join("shared")).unwrap().len(), 50_000, "{context}: {id}");
}

/// One command at random. An image's name ends in what it is made of.
fn arguments(random: &mut Random, urls: &[String]) -> Vec<String> {
    let number = random.below(IMAGES as u64) as usize;
    let (url, id) = (urls[number].clone(), format!("image-{}-{number}", random.below(4)));
    let words = match random.below(10) {
        0..3 => vec!["create", &url, &id],
        3 => vec!["create", "--with-clean", &url, &id],
        4..7 => vec!["delete", &id],
        7 => vec!["clean"],
        8 => vec!["pull", &url],
        _ => vec!["check", "--repair"],
    };
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn promise_02_processes_that_kill_each_other_leave_nothing_half_made() {
    let count = std::env::var(PROCESSES).map_or(FEW, |count| count.parse().expect(PROCESSES));
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let context = format!("{count} processes, seed {seed}");
    let store = TempStore::new();
    let urls = images(&store);
    let running: Vec<Mutex<Option<Child>>> = (0..count).map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for place in 0..count {
            let (store, urls, running) = (&store, &urls, &running);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_add(place as u64 * 7919));
                for _ in 0..EACH {
                    let mut command = store.command(arguments(&mut random, urls));
                    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                    *running[place].lock().unwrap() = Some(child);
                    // Some other one is killed, wherever it is.
                    if random.below(3) == 0 {
                        let other = random.below(count as u64) as usize;
                        if let Some(child) = running[other].lock().unwrap().as_mut() {
                            let _ = child.kill();
                        }
                    }
                    wait(&running[place]);
                }
            });
        }
    });
    assert_sound(&store, &urls, &context);
}

/// Waits without keeping the others from killing the process.
fn wait(running: &Mutex<Option<Child>>) {
    while running.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_none() {
        thread::yield_now();
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Every image there is is whole and can be deleted, others can be made, and then nothing is left.
#[track_caller]
fn assert_sound(store: &TempStore, urls: &[String], context: &str) {
    for id in names(&store.path().join("images")) {
        assert_whole(store, &id, context);
        store.stats(&id);
    }
    store.ok(["check", "--repair"]);
    for (number, url) in urls.iter().enumerate() {
        let id = format!("after-{number}");
        store.create(url, &id);
        assert_whole(store, &id, context);
    }
    for id in names(&store.path().join("images")) {
        store.ok(["delete", &id]);
    }
    store.ok(["clean"]);
    assert!(store.leftovers().is_empty(), "{context}: {:?}", store.leftovers());
    assert!(store.volumes().is_empty(), "{context}: {:?}", store.volumes());
    assert_eq!(mount_points_below(store.path()).len(), 1, "{context}");
    store.ok(["check"]);
}
