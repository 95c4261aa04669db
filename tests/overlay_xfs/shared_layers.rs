//! Layers that are kept once for stores with different mappings. On this kernel and, with `guest_mappings`, on one that takes
//! no layers from a mount that nobody could see (before 6.15), nor more of them than a page has room for (before 6.8).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{
    Archive, Driver, Image, Layer, MIB, Node, TempStore, differences, layers, names, run, sha256_hex, shifted,
    small_image, succeed, test_images, umoci, with_fault,
};

const GARDEN: [&str; 2] = ["0:4294967294:1", "1:1:4294967293"];
const USER: [&str; 2] = ["0:1000:1", "1:100000:65000"];

/// Whose files are that no mount can show the owner of.
const NOBODY: u32 = 65_534;

fn flags(mappings: &[&str]) -> Vec<String> {
    let both = |mapping: &&str| ["--uid-mapping", mapping, "--gid-mapping", mapping].map(str::to_owned);
    mappings.iter().flat_map(both).collect()
}

fn init(layer_store: &Path, mappings: &[&str]) -> Vec<String> {
    let shared = ["init-store", "--without-quota", "--store-size-bytes", "1073741824", "--shared-layers"];
    let mut arguments: Vec<String> = shared.map(str::to_owned).to_vec();
    arguments.push(layer_store.display().to_string());
    arguments.extend(flags(mappings));
    arguments
}

fn client_store(layer_store: &TempStore, mappings: &[&str]) -> TempStore {
    let store = TempStore::uninitialised();
    store.ok(init(layer_store.path(), mappings));
    store
}

/// How many images of other stores have layers of this one on record.
fn registered_images(layer_store: &TempStore) -> usize {
    let lent = layer_store.path().join("meta/lent");
    let records =
        |client_store: &String| names(&lent.join(client_store)).iter().filter(|name| *name != "store").count();
    names(&lent).iter().map(records).sum()
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (metadata.uid(), metadata.gid())
}

fn used_bytes(store: &TempStore) -> u64 {
    let statistics = rustix::fs::statvfs(store.path()).unwrap();
    (statistics.f_blocks - statistics.f_bfree) * statistics.f_frsize
}

#[test]
fn a_filter_that_refuses_what_it_takes_is_named() {
    let layer_store = TempStore::new();
    for call in ["open_tree", "mount_setattr", "move_mount"] {
        let store = TempStore::uninitialised();
        let command = store.command(init(layer_store.path(), &GARDEN));
        let (outcome, is_struck) = with_fault(&command, &format!("{call}:error=EPERM"));
        let message = outcome.failure();
        assert!(is_struck && message.contains("seccomp profile must allow open_tree"), "{call}: {message}");
    }
}

/// The layers have ids of images, the containers' own files those of the store.
#[test]
fn directories_are_compared_as_the_client_store_shows_them() {
    let layer_store = TempStore::new();
    let archive = ["way", "owner"].iter().fold(Archive::new().owner(33, 33), |archive, name| {
        archive.directory(name, 0o755).file(&format!("{name}/file"), 0o644, b"before")
    });
    let url = Image::new().layer(Layer::new(archive.bytes())).write(&layer_store.beside("image"), "latest");
    for mappings in [&GARDEN, &USER] {
        let store = client_store(&layer_store, mappings);
        let rootfs = store.create(&url, "x");
        succeed("setfacl", ["-m", "u:100033:rx", rootfs.join("way").to_str().unwrap()]);
        succeed("setfacl", ["-b", rootfs.join("way").to_str().unwrap()]);
        fs::write(rootfs.join("way/file"), "after it").unwrap();
        assert_eq!(store.ok(["diff", "x"]), "C /way/file\n");
        std::os::unix::fs::chown(rootfs.join("owner"), Some(100_033), None).unwrap();
        assert_eq!(store.ok(["diff", "x"]), "C /owner\nC /way/file\n");
    }
}

#[test]
fn two_mappings_one_set_of_volumes() {
    let layer_store = TempStore::new();
    let (garden, user) = (client_store(&layer_store, &GARDEN), client_store(&layer_store, &USER));
    let empty = used_bytes(&garden);
    let layout = test_images().join("stack");
    let url = format!("oci://{}:latest", layout.display());
    let expected = umoci(&layout, &layer_store.beside("umoci"));
    let maps: [(&TempStore, &dyn Fn(u32) -> u32); 3] = [
        (&layer_store, &|id| id),
        (&garden, &|id| match id {
            0 => 4_294_967_294,
            // What root is shown as cannot be another's too.
            4_294_967_294 => NOBODY,
            mapped => mapped,
        }),
        (&user, &|id| match id {
            0 => 1000,
            1..=65_000 => 99_999 + id,
            100_000..165_000 => NOBODY,
            unmapped => unmapped,
        }),
    ];
    for (store, map) in maps {
        let actual = Node::read_tree(&store.create(&url, "x"));
        let expected =
            if std::ptr::eq(store, &raw const layer_store) { expected.clone() } else { shifted(&expected, map) };
        let differences = differences(&expected, &actual, 20);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
    for store in [&garden, &user] {
        assert_eq!(store.volumes(), [""; 0]);
        assert!(used_bytes(store) - empty < MIB, "{} bytes beside the layers", used_bytes(store) - empty);
        assert_eq!(store.mounted_images(), [store.rootfs("x")]);
        let total = |store: &TempStore| store.stats("x")["total_bytes_used"].as_u64().unwrap();
        assert_eq!(total(store), total(&layer_store));
    }
    // All of them are done with before any layer goes.
    for (store, left) in [(&layer_store, 2), (&garden, 1), (&user, 0)] {
        store.ok(["delete", "x"]);
        layer_store.ok(["clean"]);
        assert_eq!((registered_images(&layer_store), layer_store.volumes().is_empty()), (left, left == 0));
    }
    assert!([&layer_store, &garden, &user].iter().all(|store| store.leftovers().is_empty()));
}

#[test]
fn volumes_of_the_image_have_the_ids_of_the_store() {
    let layer_store = TempStore::new();
    let archive = Archive::new().owner(33, 34).directory("data", 0o750).file("data/file", 0o600, b"www's").bytes();
    let image = Image::new().layer(Layer::new(archive)).volume("/data").volume("/new");
    let url = image.write(&layer_store.beside("image"), "latest");
    for (mapping, ids, root) in [(&USER, (100_032, 100_033), 1000), (&GARDEN, (33, 34), 4_294_967_294)] {
        let store = client_store(&layer_store, mapping);
        store.create(&url, "x");
        let volume = |path: &[u8]| store.image("x").join(format!("vol-{}", sha256_hex(path)));
        assert_eq!((owner(&volume(b"/data")), owner(&volume(b"/data").join("file"))), (ids, ids));
        assert_eq!(fs::read_to_string(volume(b"/data").join("file")).unwrap(), "www's");
        assert_eq!(owner(&volume(b"/new")), (root, root));
    }
}

#[test]
fn what_the_container_writes_is_its_own() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let archive =
        Archive::new().directory("etc", 0o755).file("etc/shadow", 0o600, b"root's").file("etc/old", 0o644, b"");
    let url = Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("image"), "latest");
    let rootfs = store.create(&url, "x");
    crate::support::allow_search(store.path().parent().unwrap());
    let script = format!(
        "cd {} && cat etc/shadow && echo mine >etc/new && echo more >>etc/old && rm -r etc/shadow && ls etc",
        rootfs.display()
    );
    let said = succeed("setpriv", ["--reuid=1000", "--regid=1000", "--clear-groups", "sh", "-c", &script]);
    assert_eq!(said, "root'snew\nold\n");
    for name in ["etc", "etc/new", "etc/old"] {
        assert_eq!(owner(&store.own_files("x").join(name)), (1000, 1000), "{name}");
    }
    let volume = layer_store.path().join("volumes").join(&layer_store.volumes()[0]);
    assert_eq!(owner(&volume.join("etc/old")), (0, 0), "the layer is as it was");
    assert_eq!(fs::read(volume.join("etc/old")).unwrap(), b"");
}

#[test]
fn images_of_many_layers_and_odd_names() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    // Beyond what mount(2) takes under their own names.
    let (url, chain) = layers(&store, "many", 120);
    let rootfs = store.create(&url, "a,b:c");
    assert!((0..120).all(|n| owner(&rootfs.join(format!("file-{n}"))) == (1000, 1000)));
    assert_eq!(layer_store.volumes().len(), chain.len());
    store.ok(["delete", "a,b:c"]);
}

#[test]
fn the_layers_are_cleaned_from_any_of_the_stores() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    store.ok(["delete", "x"]);
    assert_eq!(store.ok(["clean", "--threshold-bytes", "1000"]), "threshold not reached: skipping clean\n");
    assert_eq!(layer_store.volumes().len(), 1);
    assert_eq!(store.ok(["clean", "--threshold-bytes", "5"]), "clean completed\n");
    assert_eq!(layer_store.volumes(), [""; 0]);

    store.create(&url, "x");
    store.ok(["delete", "x"]);
    let (other, _) = layers(&store, "other", 1);
    store.ok(["create", "--with-clean", &other, "y"]);
    assert_eq!(layer_store.volumes().len(), 1, "that of the first is gone");
}

#[test]
fn a_store_that_was_lost_and_made_again_keeps_no_layers() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    store.create(&small_image(&store.beside("image")), "x");
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    layer_store.ok(["clean"]);
    assert_eq!(layer_store.volumes().len(), 1, "the store may be mounted again");

    fs::remove_file(store.backing_file()).unwrap();
    store.ok(init(layer_store.path(), &USER));
    layer_store.ok(["clean"]);
    assert_eq!((layer_store.volumes(), registered_images(&layer_store)), (vec![], 0));
    store.create(&small_image(&store.beside("image-2")), "x");
    assert_eq!((layer_store.volumes().len(), registered_images(&layer_store)), (1, 1));
}

#[test]
fn init_store_can_be_repeated_but_not_changed() {
    let layer_store = TempStore::new();
    let other = TempStore::new();
    let store = client_store(&layer_store, &USER);
    store.ok(init(layer_store.path(), &USER));
    let differ = "the store's layers are not where the option says: init.shared_layers cannot be changed";
    assert_eq!(store.fails(init(other.path(), &USER)), differ);
    // A configuration that does not mention it, as one that was rewritten by somebody who does not know it.
    store.ok([&["init-store".to_owned(), "--without-quota".to_owned()][..], &flags(&USER)].concat());
    store.create(&small_image(&store.beside("image")), "x");
    assert_eq!((store.volumes().len(), layer_store.volumes().len()), (0, 1));
    let plain = TempStore::new();
    assert_eq!(plain.fails(init(layer_store.path(), &[])), differ);
    assert_eq!(names(&layer_store.path().join("meta/lent")).len(), 1);
}

#[test]
fn a_store_that_cannot_keep_them_is_refused_and_nothing_made() {
    let layer_store = TempStore::new();
    let mapped = TempStore::uninitialised();
    mapped.ok([
        &["init-store", "--without-quota", "--store-size-bytes", "1073741824"].map(str::to_owned)[..],
        &flags(&USER),
    ]
    .concat());
    let sharing = client_store(&layer_store, &USER);
    let nothing = layer_store.beside("nothing");
    fs::create_dir(&nothing).unwrap();
    for (path, reason) in [
        (mapped.path(), "its layers have the ids of its own mappings: it must be one without"),
        (sharing.path(), "its own layers are those of another store: name that one"),
        (nothing.as_path(), "it is no store yet: run init-store on it first"),
        (Path::new("/no/such/store"), "no such file or directory"),
    ] {
        let store = TempStore::uninitialised();
        let message = store.fails(init(path, &USER));
        assert!(message.contains(reason) && message.contains(path.to_str().unwrap()), "{message}");
        assert!(!store.path().exists() && !store.backing_file().exists());
    }
    let store = TempStore::uninitialised();
    let mut on_btrfs = store.command(init(layer_store.path(), &USER));
    let message = run(on_btrfs.args(["--driver", Driver::Btrfs.name()])).failure();
    assert!(message.starts_with("layers cannot be shared between stores: btrfs"), "{message}");
    assert!(!store.path().exists() && !store.backing_file().exists());
    assert!(layer_store.fails(init(layer_store.path(), &[])).contains("not where the option says"));
}

#[test]
fn the_mount_cannot_be_left_to_others() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let message = store.fails(["create", "--without-mount", &small_image(&store.beside("image")), "x"]);
    assert!(message.ends_with("leave out --without-mount"), "{message}");
    assert_eq!((store.leftovers(), layer_store.volumes(), registered_images(&layer_store)), (vec![], vec![], 0));
}

#[test]
fn the_keeper_of_lent_layers_is_not_deleted() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    store.create(&small_image(&store.beside("image")), "x");
    let message = layer_store.fails(["delete-store"]);
    assert!(message.starts_with(&format!("images of the store {} need layers", store.path().display())), "{message}");
    store.ok(["stats", "x"]);
    store.create(&small_image(&store.beside("image-2")), "y");

    store.ok(["delete-store"]);
    assert_eq!(names(&layer_store.path().join("meta/lent")), [""; 0]);
    layer_store.ok(["delete-store"]);
    assert!(store.mounted_images().is_empty());
}

#[test]
fn a_store_without_its_layer_store_says_so_and_deletes() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    crate::support::unmount_below(layer_store.path());
    let message = store.fails(["create", &url, "y"]);
    let expected = format!("the store {} is not mounted: ", layer_store.path().display());
    assert!(message.starts_with(&expected), "{message}");
    store.ok(["delete", "x"]);
    assert!(store.leftovers().is_empty());
    // What it could not be told then.
    layer_store.ok(["init-store", "--store-size-bytes", "1073741824", "--without-quota"]);
    assert_eq!(registered_images(&layer_store), 1);
    store.ok(["clean"]);
    assert_eq!((registered_images(&layer_store), layer_store.volumes()), (0, vec![]));
}

#[test]
fn the_store_that_is_full_is_the_one_that_keeps_the_layers() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let too_much = Archive::new().file("f", 0o644, &vec![7; 40 << 20]).bytes();
    let url = Image::new().layer(Layer::new(too_much)).write(&store.beside("image"), "latest");
    let status = rustix::fs::statvfs(layer_store.path()).unwrap();
    let room = fs::File::create(layer_store.path().join("room")).unwrap();
    let most = status.f_bavail * status.f_frsize - 20 * MIB;
    rustix::fs::fallocate(&room, rustix::fs::FallocateFlags::empty(), 0, most).unwrap();
    let message = store.fails(["create", &url, "x"]);
    let expected = format!(
        "no space left on device: the store {} is full: delete images, then run `grootfs clean`",
        layer_store.path().display()
    );
    assert!(message.ends_with(&expected), "{message}");
    assert_eq!((layer_store.volumes(), layer_store.leftovers(), registered_images(&layer_store)), (vec![], vec![], 0));
}

/// The filesystem with the layers is the one that counts, and a delete in a client store is a use of theirs.
#[test]
fn watermarks_are_those_of_the_store_that_keeps_the_layers() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    for id in ["first", "second"] {
        let layer = Layer::new(Archive::new().file(id, 0o644, &vec![7; 64 << 20]).bytes());
        store.create(&Image::new().layer(layer).write(&store.beside(id), "latest"), id);
    }
    store.ok(["delete", "second"]);
    let needed_last = |volume: &String| layer_store.path().join("volumes").join(volume).join("first").exists();
    store.ok(["delete", "first"]);
    succeed("sync", ["--file-system", layer_store.path().to_str().unwrap()]);
    let status = rustix::fs::statvfs(layer_store.path()).unwrap();
    let percent = |bytes: u64| (bytes * 100 / (status.f_blocks * status.f_frsize)).to_string();
    let used = used_bytes(&layer_store);
    let clean = |high: String, low: String| {
        store.ok(["clean", "--high-watermark-percent", &high, "--low-watermark-percent", &low]);
        layer_store.volumes()
    };
    assert_eq!(clean(percent(used + 32 * MIB), percent(used - 32 * MIB)).len(), 2);
    let left = clean(percent(used), percent(used - 32 * MIB));
    assert!(left.len() == 1 && needed_last(&left[0]), "{left:?}");
}

#[test]
fn what_is_left_of_one_that_never_became_a_client_store_goes_when_it_is_old() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let lent = layer_store.path().join("meta/lent");
    for name in ["new.1", "new.2"] {
        fs::create_dir_all(lent.join(name)).unwrap();
    }
    run(Command::new("touch").args(["-d", "2 days ago"]).arg(lent.join("new.1"))).success();
    store.ok(["clean"]);
    let left: Vec<String> = names(&lent).into_iter().filter(|name| name.starts_with("new.")).collect();
    assert_eq!(left, ["new.2"]);
}

#[test]
fn creates_in_one_store_against_cleans_in_the_other_all_succeed() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let url = small_image(&store.beside("image"));
    thread::scope(|scope| {
        for worker in 0..3 {
            let (store, layer_store, url) = (&store, &layer_store, &url);
            scope.spawn(move || {
                for n in 0..20 {
                    let id = format!("x-{worker}-{n}");
                    assert_eq!(owner(&store.create(url, &id).join("hello")), (1000, 1000));
                    store.ok(["delete", &id]);
                }
            });
            scope.spawn(move || (0..20).for_each(|_| drop(layer_store.ok(["clean"]))));
        }
    });
    store.ok(["clean"]);
    assert_eq!(
        (registered_images(&layer_store), layer_store.volumes(), layer_store.leftovers(), store.leftovers()),
        (0, vec![], vec![], vec![])
    );
}

#[test]
fn killed_commands_leave_nothing_after_a_clean() {
    let layer_store = TempStore::new();
    let store = client_store(&layer_store, &USER);
    let url = small_image(&store.beside("image"));
    let mut finished = 0;
    for n in 0..40 {
        let id = format!("x-{n}");
        for (arguments, delay) in [(vec!["create", &url, &id], n), (vec!["delete", &id], 40 - n)] {
            let mut child = store.command(arguments).stdout(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(delay));
            child.kill().unwrap();
            finished += usize::from(child.wait().unwrap().success());
        }
    }
    assert!(finished < 80, "no kill struck");
    for id in names(&store.path().join("images")) {
        store.ok(["delete", &id]);
    }
    store.ok(["clean"]);
    assert_eq!(
        (registered_images(&layer_store), layer_store.volumes(), layer_store.leftovers(), store.leftovers()),
        (0, vec![], vec![], vec![])
    );
    assert!(store.mounted_images().is_empty());
    let mounts = run(Command::new("grep").args([layer_store.path().to_str().unwrap(), "/proc/self/mountinfo"])).stdout;
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
}

/// What a power cut leaves of the layer store's record of a client's image costs nobody a layer, nor clean its work.
#[test]
fn a_damaged_record_of_a_client_blocks_only_its_own_image() {
    let layer_store = TempStore::new();
    let client = client_store(&layer_store, &GARDEN);
    let (url, chain) = layers(&layer_store, "image", 2);
    let mut chain = chain;
    chain.sort();
    let unused = layers(&layer_store, "unused", 2).0;
    let lent = layer_store.path().join("meta/lent");
    for damage in ["", "[\"", "directory"] {
        for also_in_client in [false, true] {
            let context = format!("{damage:?}, client's record too: {also_in_client}");
            layer_store.create(&unused, "unused");
            client.create(&url, "x");
            layer_store.ok(["delete", "unused"]);
            let record = lent.join(&names(&lent)[0]).join("x.json");
            for record in [Some(record), also_in_client.then(|| client.path().join("meta/dependencies/image:x.json"))]
                .into_iter()
                .flatten()
            {
                fs::remove_file(&record).unwrap();
                match damage {
                    "directory" => fs::create_dir(&record).unwrap(),
                    content => fs::write(&record, content).unwrap(),
                }
            }
            assert_eq!(layer_store.ok(["clean"]), "clean completed\n", "{context}");
            assert_eq!(layer_store.volumes(), chain, "{context}");
            client.ok(["clean"]);
            client.ok(["delete", "x"]);
            let is_left = |path: &Path| path.is_dir().then(|| fs::remove_dir(path).unwrap());
            is_left(&lent.join(&names(&lent)[0]).join("x.json"));
            is_left(&client.path().join("meta/dependencies/image:x.json"));
            assert_eq!(layer_store.ok(["clean"]), "clean completed\n", "{context}");
            assert_eq!(layer_store.volumes(), [""; 0], "{context}");
        }
    }
}

/// Of a client store that is not there nothing can be asked: its images may need what was there when they were made.
#[test]
fn a_damaged_record_of_a_client_that_is_not_there_spares_what_is_older() {
    let layer_store = TempStore::new();
    let client = client_store(&layer_store, &GARDEN);
    let (url, chain) = layers(&layer_store, "image", 2);
    client.create(&url, "x");
    let lent = layer_store.path().join("meta/lent");
    let client_records = lent.join(&names(&lent)[0]);
    fs::write(client_records.join("store"), "/nowhere").unwrap();
    let record = client_records.join("x.json");
    fs::remove_file(&record).unwrap();
    fs::write(&record, "").unwrap();
    fs::write(lent.join("stray"), "").unwrap();
    layer_store.ok(["clean"]);
    let volumes = layer_store.volumes();
    assert!(chain.iter().all(|layer| volumes.contains(layer)), "{volumes:?}");
    fs::write(client_records.join("store"), "").unwrap();
    layer_store.ok(["clean"]);
    assert_eq!(layer_store.volumes(), volumes);
    assert!(lent.join("stray").exists());
}
