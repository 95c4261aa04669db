//! `create` from OCI image layouts.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::support::{
    Archive, Image, Layer, Node, TempStore, busybox_layer, chain_ids, names, run, sha256_hex, small_image,
    write_document,
};
use serde_json::json;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Creates an image of these layers.
fn create(store: &TempStore, layers: Vec<Layer>) -> std::path::PathBuf {
    let image = layers.into_iter().fold(Image::new(), Image::layer);
    store.create(&image.write(&store.beside("image"), "latest"), "x")
}

#[test]
fn the_layers_are_merged_and_the_root_is_where_it_says() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(Archive::new().file("a", 0o644, b"1").file("b", 0o644, b"1").bytes()),
            Layer::new(Archive::new().file("b", 0o644, b"2").file("c", 0o644, b"2").bytes()),
        ],
    );
    let read = |name: &str| fs::read_to_string(rootfs.join(name)).unwrap();
    assert_eq!([read("a"), read("b"), read("c")], ["1", "2", "2"]);
    assert_eq!(rootfs, store.rootfs("x"));
}

#[test]
fn chain_ids_are_the_originals() {
    let diff_ids = [
        "afe200c63655576eaa5cabe036a2c09920d6aee67653ae75a9d35e0ec27205a5",
        "d7c6a5f0d9a15779521094fa5eaf026b719984fb4bfe8e0012bd1da1b62615b0",
    ];
    assert_eq!(chain_ids(diff_ids)[1], "9242945d3c9c7cf5f127f9352fea38b1d3efe62ee76e25f70a3e6db63a14c233");

    // The same diff ids in an image: layers are then known by those names.
    let store = TempStore::new();
    let layer = |name: &str, diff_id: &str| {
        let mut layer = Layer::new(Archive::new().file(name, 0o644, b"").bytes());
        layer.diff_id = format!("sha256:{diff_id}");
        layer
    };
    let image = Image::new().layer(layer("a", diff_ids[0])).layer(layer("b", diff_ids[1]));
    let url = image.write(&store.beside("image"), "latest");
    store.ok(["create", "--skip-layer-validation", &url, "x"]);
    let mut expected = chain_ids(diff_ids);
    expected.sort();
    assert_eq!(store.volumes(), expected);
}

#[test]
fn anybody_may_enter_the_root() {
    let store = TempStore::new();
    let rootfs = create(&store, vec![busybox_layer()]);
    for directory in [store.path(), &store.path().join("images"), &store.image("x")] {
        assert!(directory.is_dir());
    }
    // Entered first, as a runtime does before it drops privileges: the store itself is for its owner only.
    let mut chroot = std::process::Command::new("chroot");
    let outcome = run(chroot.args(["--userspec=1234:1234"]).arg(&rootfs).args(["/bin/busybox", "ls", "/"]));
    assert!(outcome.success().contains("bin"));
}

#[test]
fn every_compression_and_media_type_is_read() {
    let store = TempStore::new();
    let archive = |name: &str| Archive::new().file(name, 0o644, name.as_bytes()).bytes();
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let rootfs = create(
        &store,
        vec![
            Layer::new(archive("gzip")),
            Layer::zstd(archive("zstd")),
            Layer::plain(archive("plain")),
            Layer::new(archive("docker")).media_type("application/vnd.docker.image.rootfs.diff.tar.gzip"),
            Layer::new(archive("docker-foreign"))
                .media_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            Layer::plain(archive("foreign")).media_type(foreign),
            Layer::new(archive("foreign-gzip")).media_type(&format!("{foreign}+gzip")),
            Layer::zstd(archive("foreign-zstd")).media_type(&format!("{foreign}+zstd")),
            // Registries relabel layers; the bytes decide.
            Layer::zstd(archive("mislabelled")).media_type("application/vnd.oci.image.layer.v1.tar+gzip"),
        ],
    );
    for name in names(&rootfs) {
        assert_eq!(fs::read_to_string(rootfs.join(&name)).unwrap(), name);
    }
    assert_eq!(names(&rootfs).len(), 9);
}

#[test]
fn a_layer_with_nothing_in_it_is_a_layer() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![Layer::new(Archive::new().bytes()), Layer::new(Archive::new().file("a", 0o644, b"").bytes())],
    );
    assert_eq!(names(&rootfs), ["a"]);
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn one_layer_twice_is_two_volumes() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().file("a", 0o644, b"").bytes());
    let rootfs = create(&store, vec![layer.clone(), layer]);
    assert_eq!(names(&rootfs), ["a"]);
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn whiteouts_hide_and_only_whole_names_are_whiteouts() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(
                Archive::new()
                    .file("file", 0o644, b"")
                    .directory("folder", 0o755)
                    .file("folder/inside", 0o644, b"")
                    .file("existing-file", 0o644, b"")
                    .file("foobar", 0o644, b"")
                    .directory("dir", 0o755)
                    .file("dir/gone", 0o644, b"")
                    .bytes(),
            ),
            Layer::new(
                Archive::new()
                    .whiteout("file")
                    .whiteout("folder")
                    .whiteout("dir/gone")
                    .whiteout("never-was")
                    .file("foo.wh.bar", 0o644, b"a file like any other")
                    .bytes(),
            ),
        ],
    );
    assert_eq!(names(&rootfs), ["dir", "existing-file", "foo.wh.bar", "foobar"]);
    assert!(names(&rootfs.join("dir")).is_empty());
}

#[test]
fn a_whiteout_never_removes_what_its_own_layer_adds() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(Archive::new().directory("a", 0o755).file("a/old", 0o644, b"").file("b", 0o644, b"old").bytes()),
            Layer::new(
                Archive::new()
                    .whiteout("a")
                    .directory("a", 0o700)
                    .file("a/new", 0o644, b"")
                    .file("b", 0o644, b"new")
                    .whiteout("b")
                    .bytes(),
            ),
        ],
    );
    assert_eq!(names(&rootfs.join("a")), ["new"]);
    assert_eq!(fs::read_to_string(rootfs.join("b")).unwrap(), "new");
}

#[test]
fn an_opaque_directory_shows_only_its_own_layer_in_either_order() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(
                Archive::new()
                    .directory("var", 0o755)
                    .file("var/hidden", 0o644, b"")
                    .directory("opt", 0o755)
                    .file("opt/hidden", 0o644, b"")
                    .bytes(),
            ),
            Layer::new(
                Archive::new()
                    .directory("var", 0o755)
                    .opaque("var")
                    .file("var/istillexist", 0o644, b"")
                    .directory("opt", 0o755)
                    .file("opt/istillexist", 0o644, b"")
                    .opaque("opt")
                    .bytes(),
            ),
        ],
    );
    assert_eq!(names(&rootfs.join("var")), ["istillexist"]);
    assert_eq!(names(&rootfs.join("opt")), ["istillexist"]);
}

#[test]
fn the_root_itself_may_be_opaque() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(Archive::new().file("hidden", 0o644, b"").bytes()),
            Layer::new(Archive::new().file(".wh..wh..opq", 0o600, b"").file("seen", 0o644, b"").bytes()),
            Layer::new(Archive::new().file("top", 0o644, b"").bytes()),
        ],
    );
    assert_eq!(names(&rootfs), ["seen", "top"]);
}

#[test]
fn hard_links_reach_into_earlier_layers() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(Archive::new().owner(7, 8).directory("lib", 0o755).file("lib/file", 0o750, b"shared").bytes()),
            Layer::new(Archive::new().hard_link("link", "lib/file").hard_link("lib/second", "./lib/file").bytes()),
        ],
    );
    let node = |name: &str| Node::read(&rootfs.join(name));
    assert_eq!(node("link"), node("lib/file"));
    assert_eq!(node("lib/second"), node("lib/file"));
    assert_eq!((node("link").mode, node("link").owner), (0o750, (7, 8)));
    let inode = |name: &str| fs::metadata(rootfs.join(name)).unwrap().ino();
    assert_eq!(inode("link"), inode("lib/file"));
    assert_eq!(node("link").links, 3);
}

#[test]
fn hard_links_to_devices_are_left_out_with_them() {
    let store = TempStore::new();
    let lowest = Archive::new()
        .directory("dev", 0o755)
        .character_device("dev/a")
        .hard_link("dev/b", "dev/a")
        .hard_link("dev/chained", "./dev/b")
        .symlink("devices", "dev")
        .hard_link("dev/through", "devices/a")
        .block_device("devices/disk")
        .hard_link("disk", "dev/disk")
        .file("file", 0o644, b"x");
    let middle = Archive::new()
        .hard_link("dev/a", "dev/a")
        .hard_link("dev/c", "dev/a")
        .hard_link("dev/d", "dev/c")
        .hard_link("other", "file");
    let top = Archive::new().hard_link("dev/e", "dev/c").hard_link("e", "dev/d").file("dev/a", 0o644, b"a file now");
    let over = Archive::new().hard_link("found", "dev/a");
    let rootfs = create(&store, [lowest, middle, top, over].map(|layer| Layer::new(layer.bytes())).to_vec());
    assert_eq!(names(&rootfs), ["dev", "devices", "file", "found", "other"]);
    assert_eq!(names(&rootfs.join("dev")), ["a"]);
    assert_eq!(fs::read_to_string(rootfs.join("found")).unwrap(), "a file now");

    // What the lower layers left out is known when they are cached, too.
    store.ok(["delete", "x"]);
    let lowest = Layer::new(Archive::new().directory("dev", 0o755).character_device("dev/a").bytes());
    let alone = Image::new().layer(lowest.clone()).write(&store.beside("alone"), "latest");
    store.create(&alone, "alone");
    let url = Image::new().layer(lowest).layer(Layer::new(Archive::new().hard_link("dev/c", "dev/a").bytes()));
    let rootfs = store.create(&url.write(&store.beside("both"), "latest"), "both");
    assert!(names(&rootfs.join("dev")).is_empty());
}

#[test]
fn a_hard_link_to_what_no_layer_has_is_an_error() {
    let store = TempStore::new();
    let lowest = Layer::new(Archive::new().directory("dev", 0o755).character_device("dev/a").bytes());
    for (number, target) in ["dev/other", "dev/a/b", "nothing"].into_iter().enumerate() {
        let top = Layer::new(Archive::new().hard_link("link", target).bytes());
        let image = Image::new().layer(lowest.clone()).layer(top);
        let message = store.fails(["create", &image.write(&store.beside(&number.to_string()), "latest"), "x"]);
        assert!(message.contains(&format!("link {target} link: ")), "{message}");
    }
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn a_hard_link_to_itself_leaves_what_a_lower_layer_has() {
    let store = TempStore::new();
    let lowest = || {
        Archive::new()
            .owner(3, 4)
            .directory("d", 0o750)
            .file("d/self", 0o640, b"lower")
            .symlink("link", "d/self")
            .directory("directory", 0o711)
            .fifo("pipe", 0o600)
            .character_device("device")
    };
    type Case<'a> = (&'a str, Archive, &'a str);
    let cases: [Case<'_>; 8] = [
        ("plain", Archive::new().hard_link("d/self", "d/self"), "d/self"),
        ("other spelling", Archive::new().hard_link("d/self", "/d/./x/../self"), "d/self"),
        ("with another", Archive::new().hard_link("d/self", "d/self").hard_link("d/second", "d/self"), "d/self"),
        ("then deleted", Archive::new().hard_link("d/self", "d/self").whiteout("d/self"), "d/self"),
        ("then all hidden", Archive::new().hard_link("d/self", "d/self").opaque("d"), "d/self"),
        ("symlink", Archive::new().hard_link("link", "link"), "link"),
        ("directory", Archive::new().hard_link("directory", "directory"), "directory"),
        ("pipe", Archive::new().hard_link("pipe", "pipe"), "pipe"),
    ];
    let expected = store
        .create(&Image::new().layer(Layer::new(lowest().bytes())).write(&store.beside("lowest"), "latest"), "lowest");
    for (number, (case, upper, path)) in cases.into_iter().enumerate() {
        let image = Image::new().layer(Layer::new(lowest().bytes())).layer(Layer::new(upper.bytes()));
        let id = format!("x{number}");
        let rootfs = store.create(&image.write(&store.beside(&id), "latest"), &id);
        let (mut found, expected) = (Node::read(&rootfs.join(path)), Node::read(&expected.join(path)));
        found.links = expected.links;
        assert_eq!(found, expected, "{case}");
    }
    for (number, upper) in [
        Archive::new().hard_link("nothing", "nothing"),
        Archive::new().whiteout("d/self").hard_link("d/self", "d/self"),
        Archive::new().directory("d", 0o755).opaque("d").hard_link("d/self", "d/self"),
    ]
    .into_iter()
    .enumerate()
    {
        let image = Image::new().layer(Layer::new(lowest().bytes())).layer(Layer::new(upper.bytes()));
        let message = store.fails(["create", &image.write(&store.beside(&format!("y{number}")), "latest"), "y"]);
        assert!(message.contains("no such file or directory"), "{number}: {message}");
    }
}

#[test]
fn a_base_directory_moves_a_layer_with_its_hard_links() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(
                Archive::new()
                    .owner(5, 6)
                    .directory("home", 0o711)
                    .directory("home/app", 0o750)
                    .file("home/app/old", 0o644, b"old")
                    .bytes(),
            ),
            Layer::new(
                Archive::new()
                    .file("example", 0o644, b"moved")
                    .hard_link("linked", "./example")
                    .hard_link("to-old", "old")
                    .file("../../escape", 0o644, b"")
                    .bytes(),
            )
            .base_directory("/home/app"),
        ],
    );
    let app = rootfs.join("home/app");
    assert_eq!(fs::read_to_string(app.join("example")).unwrap(), "moved");
    assert_eq!(fs::metadata(app.join("linked")).unwrap().ino(), fs::metadata(app.join("example")).unwrap().ino());
    assert_eq!(fs::read_to_string(app.join("to-old")).unwrap(), "old");
    assert_eq!(fs::read_to_string(app.join("old")).unwrap(), "old");
    let attributes = |path: &Path| (Node::read(path).mode, Node::read(path).owner);
    assert_eq!(attributes(&rootfs.join("home")), (0o711, (5, 6)), "as in the layer below");
    assert_eq!(attributes(&app), (0o750, (5, 6)), "as in the layer below");
    assert!(!store.path().join("volumes/escape").exists());
}

#[test]
fn one_layer_with_several_base_directories_is_several_volumes() {
    let store = TempStore::new();
    let directories = Archive::new().directory("home", 0o755).directory("home/vcap", 0o755).directory("other", 0o755);
    let lowest = Layer::new(directories.bytes());
    let upper = Layer::new(Archive::new().file("app", 0o644, b"x").bytes());
    let top = Layer::new(Archive::new().file("top", 0o644, b"x").bytes());
    let create = |id: &str, upper: Layer| {
        let image = Image::new().layer(lowest.clone()).layer(upper).layer(top.clone());
        store.create(&image.write(&store.beside(id), "latest"), id)
    };
    for (id, base, file) in [
        ("vcap", Some("/home/vcap"), "home/vcap/app"),
        ("other", Some("/other"), "other/app"),
        ("none", None, "app"),
        ("root", Some("/"), "app"),
        ("vcap-again", Some("/home/vcap/"), "home/vcap/app"),
    ] {
        let rootfs = create(id, base.map_or(upper.clone(), |base| upper.clone().base_directory(base)));
        let found = ["home/vcap/app", "other/app", "app"].into_iter().filter(|path| rootfs.join(path).exists());
        assert_eq!(found.collect::<Vec<_>>(), [file], "{id}");
        assert!(rootfs.join("top").exists());
    }
    assert_eq!(store.volumes().len(), 1 + 3 + 3, "each directory has its own, and so has what is above");
}

#[test]
fn a_base_directory_that_no_layer_has_is_an_error() {
    let store = TempStore::new();
    let url = Image::new()
        .layer(Layer::new(Archive::new().file("a", 0o644, b"").bytes()))
        .layer(Layer::new(Archive::new().file("b", 0o644, b"").bytes()).base_directory("/home/app"))
        .write(&store.beside("image"), "latest");
    let message = store.fails(["create", &url, "x"]);
    assert!(message.contains("base directory not found in parent layer"), "{message}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn image_volumes_become_bind_mounts_with_a_source() {
    let store = TempStore::new();
    let url = Image::new().layer(busybox_layer()).volume("/foo").volume("/bar").write(&store.beside("image"), "latest");
    let spec: serde_json::Value = serde_json::from_str(&store.ok(["create", &url, "x"])).unwrap();
    let mounts = spec["mounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 2);
    for path in ["/foo", "/bar"] {
        let source = store.image("x").join(format!("vol-{}", sha256_hex(path.as_bytes())));
        let entry = mounts.iter().find(|entry| entry["destination"] == path).unwrap();
        assert_eq!(*entry, json!({ "destination": path, "type": "bind", "source": source, "options": ["bind"] }));
        assert_eq!(Node::read(&source).mode, 0o755);
    }
}

#[test]
fn layers_are_shared_and_trusted_once_unpacked() {
    let store = TempStore::new();
    let shared = Layer::new(Archive::new().file("shared", 0o644, b"").bytes());
    let chain = chain_ids([shared.diff_id.as_str()]);
    let one = Image::new().layer(shared.clone()).write(&store.beside("one"), "latest");
    let two = Image::new()
        .layer(shared)
        .layer(Layer::new(Archive::new().file("own", 0o644, b"").bytes()))
        .write(&store.beside("two"), "latest");
    store.create(&one, "one");
    fs::write(store.path().join("volumes").join(&chain[0]).join("injected"), "seen").unwrap();
    let rootfs = store.create(&two, "two");
    assert_eq!(fs::read_to_string(rootfs.join("injected")).unwrap(), "seen");
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn a_present_top_layer_needs_no_blob() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "one");
    for blob in names(&store.beside("image/blobs/sha256")) {
        let path = store.beside("image/blobs/sha256").join(blob);
        if fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]) {
            fs::remove_file(path).unwrap();
        }
    }
    store.create(&url, "two");
}

#[test]
fn files_and_folders_their_owner_cannot_write_are_unpacked() {
    let store = TempStore::new();
    let rootfs = create(
        &store,
        vec![
            Layer::new(Archive::new().directory("test", 0o500).file("test/hello", 0o400, b"hi").bytes()),
            Layer::new(Archive::new().file("test/hello", 0o400, b"replaced").bytes()),
        ],
    );
    assert_eq!(fs::read_to_string(rootfs.join("test/hello")).unwrap(), "replaced");
    assert_eq!(Node::read(&rootfs.join("test/hello")).mode, 0o400);
}

/// As tools leave layouts that edit a manifest and not the index.
#[test]
fn a_manifest_that_is_not_the_one_of_its_digest_is_refused_unless_validation_is_skipped() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(store.beside("image/index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let manifest = store.beside("image/blobs/sha256").join(&digest);
    let edited = format!("{} ", fs::read_to_string(&manifest).unwrap());
    fs::write(&manifest, edited).unwrap();
    let message = store.fails(["create", &url, "x"]);
    assert!(message.contains(&digest), "{message}");
    assert!(store.volumes().is_empty() && store.leftovers().is_empty());
    store.ok(["create", "--skip-layer-validation", &url, "x"]);
    let config = store.beside("config.yml");
    fs::write(&config, "create: {skip_layer_validation: true}\n").unwrap();
    store.ok(["--config", config.to_str().unwrap(), "create", &url, "y"]);
}

#[test]
fn skipped_validation_takes_any_bytes() {
    let store = TempStore::new();
    let right = Layer::new(Archive::new().file("right", 0o644, b"").bytes());
    let corrupted = crate::support::gzip(&Archive::new().file("corrupted", 0o644, b"").bytes());
    let url = Image::new().layer(right.replace_blob(corrupted)).write(&store.beside("image"), "latest");
    assert!(store.fails(["create", &url, "x"]).contains("layer size is different from the value in the manifest"));
    store.ok(["create", "--skip-layer-validation", &url, "x"]);
    assert_eq!(names(&store.rootfs("x")), ["corrupted"]);

    let config = store.beside("config.yml");
    fs::write(&config, "create:\n  skip_layer_validation: true\n").unwrap();
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    let config = config.to_str().unwrap();
    store.fails(["--config", config, "create", "--skip-layer-validation=false", &url, "x"]);
    store.ok(["--config", config, "create", &url, "x"]);
}

#[test]
fn a_layout_as_garden_writes_it_is_read() {
    let store = TempStore::new();
    let tar = store.beside("rootfs.tar");
    fs::write(&tar, Archive::new().directory("home", 0o755).directory("home/vcap", 0o750).bytes()).unwrap();
    let metadata = fs::metadata(&tar).unwrap();
    let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let base_digest = sha256_hex(format!("{}-{nanoseconds}", tar.display()).as_bytes());

    let mut base = Layer::plain(Vec::new());
    base.blob = None;
    base.digest = format!("sha256:{base_digest}");
    base.diff_id = base.digest.clone();
    base.size = None;
    let mut app = Layer::new(Archive::new().file("app", 0o644, b"droplet").bytes()).base_directory("/home/vcap");
    let app_blob = app.blob.take().unwrap();
    app.digest = "sha256:some-digest".into();
    app.diff_id = app.digest.clone();
    app.size = None;
    let layout = store.beside("image");
    let url = Image::new().layer(base).layer(app).write(&layout, "latest");
    symlink(&tar, layout.join("blobs/sha256").join(&base_digest)).unwrap();
    fs::write(layout.join("blobs/sha256/some-digest"), app_blob).unwrap();
    fs::remove_file(layout.join("oci-layout")).unwrap();

    store.ok(["create", "--skip-layer-validation", &url, "x"]);
    assert_eq!(fs::read_to_string(store.rootfs("x").join("home/vcap/app")).unwrap(), "droplet");
    assert!(store.volumes().contains(&base_digest));

    // The same archive named directly shares the volume.
    store.create(tar.to_str().unwrap(), "y");
    assert_eq!(store.volumes().len(), 2);
}

#[test]
fn one_image_needs_no_name_and_a_double_slash_is_harmless() {
    let store = TempStore::new();
    let layout = store.beside("image");
    small_image(&layout);
    store.create(&format!("oci://{}", layout.display()), "nameless");
    store.create(&format!("oci:///{}:latest", layout.display()), "slashes");
}

#[test]
fn a_name_that_the_index_lacks_is_an_error_and_so_is_a_choice_left_open() {
    let store = TempStore::new();
    let layout = store.beside("image");
    small_image(&layout);
    let message = store.fails(["create", &format!("oci://{}:other", layout.display()), "x"]);
    assert!(message.contains("no descriptor found for reference \"other\""), "{message}");

    let two = store.beside("two");
    Image::new()
        .layer(busybox_layer())
        .edit_index(|index| {
            let mut second = index["manifests"][0].clone();
            second["annotations"]["org.opencontainers.image.ref.name"] = "second".into();
            index["manifests"].as_array_mut().unwrap().push(second);
        })
        .write(&two, "first");
    let message = store.fails(["create", &format!("oci://{}", two.display()), "x"]);
    assert!(message.contains("first") && message.contains("second"), "names the choices: {message}");
    store.create(&format!("oci://{}:second", two.display()), "x");
}

#[test]
fn a_nested_index_is_followed_to_this_platform() {
    let store = TempStore::new();
    let layout = store.beside("image");
    let (os, architecture) = (std::env::consts::OS, if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let inner = layout.clone();
    let url = Image::new()
        .layer(Layer::new(Archive::new().file("hello", 0o644, b"").bytes()))
        .edit_index(move |index| {
            let mut right = index["manifests"][0].clone();
            right.as_object_mut().unwrap().remove("annotations");
            let mut wrong = right.clone();
            wrong["digest"] = format!("sha256:{}", sha256_hex(b"not here")).into();
            wrong["platform"] = json!({ "os": os, "architecture": "s390x" });
            right["platform"] = json!({ "os": os, "architecture": architecture });
            let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [wrong, right] });
            let mut entry = write_document(&inner, &nested, INDEX);
            entry["annotations"]["org.opencontainers.image.ref.name"] = "latest".into();
            index["manifests"] = json!([entry]);
        })
        .write(&layout, "latest");
    assert_eq!(names(&store.create(&url, "x")), ["hello"]);
}

#[test]
fn an_index_without_this_platform_names_what_it_has() {
    let store = TempStore::new();
    let layout = store.beside("image");
    let inner = layout.clone();
    let url = Image::new()
        .layer(busybox_layer())
        .edit_index(move |index| {
            let mut only = index["manifests"][0].clone();
            only["platform"] = json!({ "os": "plan9", "architecture": "s390x" });
            let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [only] });
            let mut entry = write_document(&inner, &nested, INDEX);
            entry["annotations"]["org.opencontainers.image.ref.name"] = "latest".into();
            index["manifests"] = json!([entry]);
        })
        .write(&layout, "latest");
    let message = store.fails(["create", &url, "x"]);
    assert!(message.contains("plan9"), "{message}");
}

#[test]
fn a_manifest_named_directly_is_taken_whatever_its_platform() {
    let store = TempStore::new();
    let url = Image::new()
        .layer(Layer::new(Archive::new().file("hello", 0o644, b"").bytes()))
        .edit_config(|config| config["os"] = "darwin".into())
        .edit_index(|index| index["manifests"][0]["platform"] = json!({ "os": "darwin", "architecture": "amd64" }))
        .write(&store.beside("image"), "latest");
    store.create(&url, "x");
}

#[test]
fn docker_media_types_are_accepted_in_a_layout() {
    let store = TempStore::new();
    let url = Image::new()
        .layer(Layer::new(Archive::new().file("hello", 0o644, b"").bytes()))
        .edit_manifest(|manifest| {
            manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
            manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
            manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
        })
        .edit_index(|index| {
            index["manifests"][0]["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
        })
        .write(&store.beside("image"), "latest");
    assert_eq!(names(&store.create(&url, "x")), ["hello"]);
}

#[test]
fn a_missing_layout_is_named_in_the_words_callers_know() {
    let store = TempStore::new();
    assert_eq!(store.fails(["create", "oci:///invalid/image:latest", "x"]), "Image source doesn't exist");
}
