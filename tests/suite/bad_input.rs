//! Bad input: one line each, exit code 1, nothing on standard error, nothing left behind, and the next create works.

use std::fs;
use std::path::Path;

use crate::support::{Archive, Image, Layer, MIB, TempStore, gzip, run, sha256_hex, small_image, wrapped};
use serde_json::json;

fn good_layer() -> Layer {
    Layer::new(Archive::new().file("good", 0o644, b"good").bytes())
}

fn other_layer() -> Layer {
    Layer::new(Archive::new().file("other", 0o644, &[7; 100_000]).bytes())
}

/// Creates from `url`, which must fail in a line that contains `expected`; then looks for leftovers and creates a
/// sound image of the same id.
#[track_caller]
fn is_refused(store: &TempStore, url: &str, expected: &str) {
    let before = store.volumes();
    let message = store.fails(["create", url, "x"]);
    assert!(message.contains(expected), "`{message}` does not contain `{expected}`");
    assert!(!store.image("x").exists());
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert!(!store.records().contains(&"x".to_owned()), "a record is left");
    let added: Vec<_> = store.volumes().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(added.iter().all(|name| is_whole(store, name)), "half a layer is left: {added:?}");

    store.create(&small_image(&store.beside("sound")), "x");
    store.ok(["delete", "x"]);
}

/// Sound layers below a broken one may stay; they are known by what is in them.
fn is_whole(store: &TempStore, volume: &str) -> bool {
    fs::read(store.path().join("volumes").join(volume).join("good")).is_ok_and(|content| content == b"good")
}

/// An image of a sound layer and the given one on top.
#[track_caller]
fn layer_is_refused(layer: Layer, expected: &str) {
    let store = TempStore::new();
    let url = Image::new().layer(good_layer()).layer(layer).write(&store.beside("image"), "latest");
    is_refused(&store, &url, expected);
}

#[test]
fn corrupt_layer() {
    let layer = other_layer();
    let mut blob = layer.blob.clone().unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 0xff;
    layer_is_refused(layer.replace_blob(blob), "streaming blob `sha256:");
}

#[test]
fn layer_that_is_something_else() {
    let layer = other_layer();
    let size = layer.size.unwrap() as usize;
    layer_is_refused(layer.replace_blob(vec![b'x'; size]), "mismatch");
}

#[test]
fn truncated_gzip() {
    let archive = Archive::new().file("other", 0o644, &[7; 100_000]).bytes();
    let whole = gzip(&archive);
    let cut = whole[..whole.len() - 20].to_vec();
    // Once as a blob that lost its end, once as one that was made so.
    layer_is_refused(other_layer().replace_blob(cut.clone()), "layer size is different from the value in the manifest");
    let mut layer = other_layer();
    layer.digest = format!("sha256:{}", sha256_hex(&cut));
    layer.size = Some(cut.len() as u64);
    layer_is_refused(layer.replace_blob(cut), "unexpected");
}

#[test]
fn truncated_archive() {
    let archive = Archive::new().file("other", 0o644, &[7; 100_000]).bytes();
    layer_is_refused(Layer::new(archive[..50_000].to_vec()), "unpacking layer");
    let store = TempStore::new();
    let path = crate::support::write_archive(store.path().parent().unwrap(), "cut.tar", &archive[..50_000]);
    is_refused(&store, path.to_str().unwrap(), "cut.tar");
}

#[test]
fn archive_that_is_none() {
    layer_is_refused(Layer::plain(vec![b'x'; 10_000]), "unpacking layer");
}

#[test]
fn wrong_digest() {
    let right = other_layer();
    let other = gzip(&Archive::new().file("other", 0o644, &[8; 100_000]).bytes());
    let mut layer = right.clone();
    layer.size = Some(other.len() as u64);
    let expected = format!("layerID digest mismatch: expected: {}, actual: {}", &right.digest[7..], sha256_hex(&other));
    layer_is_refused(layer.replace_blob(other), &expected);
}

#[test]
fn wrong_size() {
    for difference in [-1_i64, 1] {
        let mut layer = other_layer();
        layer.size = layer.size.map(|size| size.wrapping_add_signed(difference));
        layer_is_refused(layer, "layer size is different from the value in the manifest");
    }
}

#[test]
fn wrong_diff_id() {
    let mut layer = other_layer();
    let right = std::mem::replace(&mut layer.diff_id, format!("sha256:{}", "0".repeat(64)));
    layer_is_refused(layer, &format!("diffID digest mismatch: expected: {}, actual: {}", "0".repeat(64), &right[7..]));
}

#[test]
fn diff_ids_that_are_no_names() {
    for hex in ["../../../../etc/cron.d/x", "", "a/b", "gc.x", "."] {
        let mut layer = other_layer();
        layer.diff_id = format!("sha256:{hex}");
        let store = TempStore::new();
        let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
        for flags in [vec![], vec!["--skip-layer-validation"]] {
            let message = store.fails([vec!["create"], flags, vec![&url, "x"]].concat());
            assert!(message.contains(&format!("diff id `{hex}` is not usable")), "{message}");
        }
        assert!(store.volumes().is_empty() && store.leftovers().is_empty());
    }
}

#[test]
fn digests_that_climb_out_of_the_layout() {
    let store = TempStore::new();
    fs::write(store.beside("secret"), "not an image's business").unwrap();
    let mut layer = other_layer();
    layer.digest = "sha256:../../../secret".into();
    layer.blob = None;
    let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
    let message = store.fails(["create", "--skip-layer-validation", &url, "x"]);
    assert!(message.contains("invalid digest `sha256:../../../secret`"), "{message}");
}

#[test]
fn missing_blob() {
    let mut layer = other_layer();
    layer.blob = None;
    layer_is_refused(layer, "no such file or directory");
}

#[test]
fn blob_that_is_a_device() {
    for size in [other_layer().size, None] {
        let mut layer = other_layer();
        (layer.blob, layer.size) = (None, size);
        let store = TempStore::new();
        let layout = store.beside("image");
        let blob = layout.join("blobs/sha256").join(&layer.digest[7..]);
        let url = Image::new().layer(layer).write(&layout, "latest");
        std::os::unix::fs::symlink("/dev/zero", blob).unwrap();
        is_refused(&store, &url, "it is a device, not a blob");
    }
}

#[test]
fn unknown_media_type() {
    layer_is_refused(other_layer().media_type("application/x-unheard-of"), "application/x-unheard-of");
}

#[test]
fn bad_json_in_every_document() {
    let store = TempStore::new();
    let layout = store.beside("image");
    let url = Image::new().layer(good_layer()).write(&layout, "latest");
    let index = fs::read(layout.join("index.json")).unwrap();
    for broken in ["", "{", "[]", "null", "{\"manifests\":7}", "\u{0}"] {
        fs::write(layout.join("index.json"), broken).unwrap();
        is_refused(&store, &url, "fetching image reference: ");
    }
    fs::write(layout.join("index.json"), index).unwrap();

    // A document's digest covers its bytes, so broken ones are named by a right digest here.
    for (part, broken, expected) in [
        ("manifest", "{", "EOF while parsing an object at line 1 column 1"),
        ("manifest", "{\"layers\":{}}", "layers is not a list"),
        ("config", "{", "EOF while parsing an object at line 1 column 1"),
        ("config", "{\"rootfs\":[]}", "rootfs is not an object"),
    ] {
        let layout = store.beside(&format!("{part}-{}", broken.len()));
        let url = with_broken(&layout, part, broken);
        is_refused(&store, &url, expected);
    }
}

#[test]
fn documents_that_are_no_files() {
    let store = TempStore::new();
    let layout = store.beside("image");
    let url = small_image(&layout);
    let index = layout.join("index.json");
    fs::remove_file(&index).unwrap();
    crate::support::succeed("mkfifo", [&index]);
    is_refused(&store, &url, "index.json: not a regular file");
    fs::remove_file(&index).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &index).unwrap();
    is_refused(&store, &url, "index.json: not a regular file");
}

/// A layout whose manifest or config has the given bytes, everything else being right.
fn with_broken(layout: &Path, part: &str, bytes: &'static str) -> String {
    let blobs = layout.join("blobs/sha256");
    let descriptor = json!({ "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": format!("sha256:{}", sha256_hex(bytes.as_bytes())), "size": bytes.len() });
    let image = Image::new().layer(good_layer());
    let url = if part == "config" {
        image.edit_manifest(move |manifest| manifest["config"] = descriptor).write(layout, "latest")
    } else {
        let edit = move |index: &mut serde_json::Value| index["manifests"][0]["digest"] = descriptor["digest"].clone();
        image.edit_index(edit).write(layout, "latest")
    };
    fs::write(blobs.join(sha256_hex(bytes.as_bytes())), bytes).unwrap();
    url
}

#[test]
fn a_config_that_does_not_fit_the_manifest() {
    let store = TempStore::new();
    let fewer = Image::new()
        .layer(good_layer())
        .layer(other_layer())
        .edit_config(|config| drop(config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()))
        .write(&store.beside("fewer"), "latest");
    is_refused(&store, &fewer, "");
    let none = Image::new()
        .layer(good_layer())
        .edit_config(|config| drop(config.as_object_mut().unwrap().remove("rootfs")))
        .write(&store.beside("none"), "latest");
    is_refused(&store, &none, "");
}

#[test]
fn a_corrupted_config_or_manifest() {
    let store = TempStore::new();
    for part in ["\"rootfs\"", "\"layers\":["] {
        let layout = store.beside(&format!("corrupted-{}", part.len()));
        let url = Image::new().layer(good_layer()).write(&layout, "latest");
        let blobs = layout.join("blobs/sha256");
        let blob = crate::support::names(&blobs).into_iter().map(|name| blobs.join(name)).find(|blob| {
            let bytes = fs::read(blob).unwrap();
            bytes.starts_with(b"{") && String::from_utf8_lossy(&bytes).contains(part)
        });
        let blob = blob.unwrap();
        let changed = fs::read_to_string(&blob).unwrap() + " ";
        fs::write(&blob, changed).unwrap();
        is_refused(&store, &url, "mismatch");
    }
}

#[test]
fn a_missing_config() {
    let store = TempStore::new();
    let layout = store.beside("image");
    let url = Image::new().layer(good_layer()).write(&layout, "latest");
    let blobs = layout.join("blobs/sha256");
    let is_config = |name: &String| fs::read(blobs.join(name)).unwrap().windows(8).any(|part| part == b"\"rootfs\"");
    let config = blobs.join(crate::support::names(&blobs).into_iter().find(is_config).unwrap());
    fs::remove_file(&config).unwrap();
    let message = store.fails(["create", &url, "x"]);
    let config = config.display();
    assert_eq!(message, format!("fetching image configuration: open {config}: no such file or directory"));
}

#[test]
fn no_such_image() {
    let store = TempStore::new();
    is_refused(&store, "oci:///not/here:latest", "Image source doesn't exist");
    is_refused(&store, "/not/here.tar", "stat /not/here.tar: no such file or directory");
    let layout = store.beside("image");
    small_image(&layout);
    is_refused(&store, &format!("oci://{}:absent", layout.display()), "absent");
}

#[test]
fn sources_that_are_none() {
    let store = TempStore::new();
    for url in ["foo:bar baz", "ftp://host/file", "http://host/file", "oci://", "docker://", ""] {
        is_refused(&store, url, "");
    }
}

#[test]
fn unreadable_config() {
    let store = TempStore::new();
    let message = store.fails(["--config", "/not/here.yml", "list"]);
    assert_eq!(message, "invalid config path: open /not/here.yml: no such file or directory");
    let directory = store.beside("directory");
    fs::create_dir(&directory).unwrap();
    assert!(store.fails(["--config", directory.to_str().unwrap(), "list"]).starts_with("invalid config"));
    let config = store.beside("config.yml");
    for broken in ["store: [", "create: 7\n", "clean:\n  threshold_bytes: many\n", "\t", "store: \u{0}"] {
        fs::write(&config, broken).unwrap();
        let message = store.fails(["--config", config.to_str().unwrap(), "list"]);
        assert!(message.starts_with("invalid config file: "), "{message}");
    }
}

#[test]
fn missing_store() {
    let store = TempStore::uninitialised();
    let url = small_image(&store.beside("image"));
    assert_eq!(store.fails(["create", &url, "x"]), "Store path is not initialized. Please run init-store.");
    assert_eq!(store.fails(["list"]), format!("no store found at {}", store.path().display()));
    store.fails(["stats", "x"]);
    assert!(!store.path().exists());
}

#[test]
fn store_path_that_is_a_file() {
    let store = TempStore::uninitialised();
    fs::write(store.path(), "kept").unwrap();
    let url = small_image(&store.beside("image"));
    store.fails(["create", &url, "x"]);
    store.fails(["list"]);
    store.fails(["stats", "x"]);
    let message = store.fails(["init-store", "--without-quota"]);
    assert!(message.contains("is not a directory"), "{message}");
    store.fails(["init-store", "--store-size-bytes", "1073741824", "--without-quota"]);
    assert_eq!(fs::read_to_string(store.path()).unwrap(), "kept");
    assert!(!store.backing_file().exists());
}

#[test]
fn sizes_that_are_no_numbers() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    for value in ["ten", "1.5", "10MiBs", "", "99999999999999999999"] {
        for arguments in [
            vec!["create", "--disk-limit-size-bytes", value, url.as_str(), "x"],
            vec!["create", "--threshold-bytes", value, url.as_str(), "x"],
            vec!["clean", "--threshold-bytes", value],
            vec!["init-store", "--store-size-bytes", value],
        ] {
            let message = store.fails(&arguments);
            assert!(message.starts_with("Incorrect Usage"), "{arguments:?}: {message}");
        }
    }
    assert!(!store.image("x").exists());
}

#[test]
fn full_store() {
    let store = TempStore::with_size(320 * MIB);
    let big = Layer::new(Archive::new().file("big", 0o644, &vec![7; 400 * MIB as usize]).bytes());
    let url = Image::new().layer(good_layer()).layer(big).write(&store.beside("image"), "latest");
    let before = free(&store);
    is_refused(&store, &url, &store.path().display().to_string());
    let message = store.fails(["create", &url, "x"]);
    assert!(message.contains("no space left on device"), "{message}");
    assert!(message.contains("clean") || message.contains("larger"), "says what to do: {message}");
    assert!(free(&store) + 8 * MIB > before, "the space is given back");
}

fn free(store: &TempStore) -> u64 {
    let statistics = rustix::fs::statvfs(store.path()).unwrap();
    statistics.f_bfree * statistics.f_bsize
}

#[test]
fn a_damaged_store() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let namespace = store.path().join("meta/namespace.json");
    let right = fs::read(&namespace).unwrap();
    fs::write(&namespace, "{").unwrap();
    assert!(store.fails(["create", &url, "x"]).starts_with("invalid namespace file"));
    fs::write(&namespace, right).unwrap();
    store.create(&url, "x");
}

#[test]
fn a_limit_of_the_size_of_files() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let create = store.command(["create", &url, "x"]);
    let said = run(&mut wrapped(&["sh", "-c", "ulimit -f 0; exec \"$@\" | cat", "sh"], &create)).stdout;
    assert!(said.lines().count() == 1 && said.contains("file too large"), "{said}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    store.create(&url, "x");
}
