//! `create` from registries: a real one, and one that misbehaves as told.

use std::fs;
use std::time::Duration;

use crate::support::{
    Answer, Archive, Image, Layer, Registry, ScriptedRegistry, Setup, TempStore, assert_insecure, assert_whole, create,
    fails, image, layout, noise, peak_memory, run, sha256_hex, succeeds, write_document,
};
use serde_json::json;

#[test]
fn images_of_both_formats_and_all_compressions() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let url = image().write(&store.beside("gzip"), "latest");
    for (n, format) in ["v2s2", "oci"].iter().enumerate() {
        let pushed = registry.push(&url, &format!("a/b:{format}"), &["--format", format]);
        let printed = create(&store, &registry.host(), &pushed, &format!("x{n}")).success();
        assert_whole(&store.rootfs(&format!("x{n}")));
        let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["process"]["env"], json!(["PATH=/bin", "TEST=second-test=true"]));
        assert_eq!(printed["mounts"][0]["destination"], "/foo");
    }
    let mut expected = image().chain_ids();
    expected.sort();
    assert_eq!(store.volumes(), expected, "both formats share their layers");

    let zstd = Image::new()
        .layer(Layer::zstd(Archive::new().file("zstd", 0o644, b"z").bytes()))
        .layer(Layer::plain(Archive::new().file("plain", 0o644, b"p").bytes()));
    let url = registry.push(&zstd.write(&store.beside("zstd"), "latest"), "zstd", &[]);
    create(&store, &registry.host(), &url, "zstd").success();
    assert_eq!(fs::read_to_string(store.rootfs("zstd").join("zstd")).unwrap(), "z");
    assert_eq!(fs::read_to_string(store.rootfs("zstd").join("plain")).unwrap(), "p");
}

#[test]
fn tags_digests_and_both() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let url = image().write(&store.beside("layout"), "latest");
    registry.push(&url, "name:tag", &[]);
    let digest = registry.digest("name:tag");
    for (n, name) in
        ["name:tag", &format!("name@{digest}"), &format!("name:none@{digest}"), "name#tag"].iter().enumerate()
    {
        succeeds(&store, &registry.host(), &registry.url(name), &n.to_string());
    }
    for name in ["name:none", "none", &format!("name@sha256:{}", "0".repeat(64))] {
        let url = registry.url(name);
        let expected = format!(
            "{url} does not exist or you do not have permissions to see it. (requested access to the resource is denied)"
        );
        assert_eq!(fails(&store, &registry.host(), &url), expected);
    }
}

#[test]
fn of_an_index_the_image_for_this_machine() {
    let store = TempStore::new();
    let layout = layout(&store);
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let entry = |os: &str, architecture: &str, digest: &str| {
        let mut entry = index["manifests"][0].clone();
        entry["platform"] = json!({ "os": os, "architecture": architecture });
        if !digest.is_empty() {
            entry["digest"] = digest.into();
        }
        entry
    };
    let other = format!("sha256:{}", "1".repeat(64));
    let nested = |entries: Vec<serde_json::Value>| json!({ "schemaVersion": 2, "manifests": entries });
    let write_top = |entries| {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let top = json!({ "schemaVersion": 2, "manifests": [write_document(&layout, &nested(entries), media_type)] });
        fs::write(layout.join("index.json"), top.to_string()).unwrap();
    };
    let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    write_top(vec![
        entry("windows", "amd64", &other),
        entry("linux", "s390x", &other),
        entry("linux", architecture, ""),
    ]);
    succeeds(&store, &server.host(), &server.url(), "x");
    write_top(vec![entry("windows", "amd64", &other), entry("linux", "s390x", &other)]);
    let message = fails(&store, &server.host(), &server.url());
    assert!(message.contains(&format!("no image for platform linux/{architecture}")), "{message}");
    assert!(message.contains("only for windows/amd64, linux/s390x"), "{message}");
}

#[test]
fn images_for_several_machines_in_both_formats() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let layout = store.beside("layout");
    let first = |layout: &std::path::Path| -> serde_json::Value {
        let index = fs::read(layout.join("index.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&index).unwrap()["manifests"][0].clone()
    };
    // Another image for another machine, then the one for this.
    let other = Image::new().layer(Layer::new(Archive::new().file("other", 0o644, b"x").bytes()));
    other.edit_config(|config| config["architecture"] = "s390x".into()).write(&layout, "latest");
    let mut entries = vec![first(&layout)];
    image().write(&layout, "latest");
    entries.push(first(&layout));
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    for (entry, architecture) in entries.iter_mut().zip(["s390x", here]) {
        entry.as_object_mut().unwrap().remove("annotations");
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    let mut top = write_document(&layout, &index, media_type);
    top["annotations"]["org.opencontainers.image.ref.name"] = "latest".into();
    fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [top] }).to_string()).unwrap();

    let url = format!("oci://{}:latest", layout.display());
    for (format, expected) in [("oci", "image.index"), ("v2s2", "manifest.list")] {
        let pushed = registry.push(&url, &format!("multi:{format}"), &["--all", "--format", format]);
        let raw = crate::support::succeed("skopeo", ["inspect", "--raw", "--tls-verify=false", &pushed]);
        assert!(raw.contains(expected), "{raw}");
        succeeds(&store, &registry.host(), &pushed, format);
        let pinned = registry.url(&format!("multi@{}", registry.digest(&format!("multi:{format}"))));
        succeeds(&store, &registry.host(), &pinned, &format!("{format}-pinned"));
    }
}

#[test]
fn a_certificate_of_a_private_authority() {
    let (store, registry) =
        (TempStore::new(), Registry::start(Setup { tls_for: Some("localhost"), ..Setup::default() }));
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "name:tag", &[]);
    let message = store.fails(["create", &url, "x"]);
    assert_insecure(&message, &format!("{}: invalid peer certificate: ", registry.host()));
    assert_insecure(&message, "it is signed by an unknown authority, `CN=");
    assert_insecure(&message, &format!("into /etc/containers/certs.d/{}/ca.crt to trust it", registry.host()));
    // Another port is another registry.
    assert_insecure(&fails(&store, "localhost", &url), "unknown authority");

    run(store.command(["create", &url, "by-authority"]).env("SSL_CERT_FILE", registry.authority())).success();
    assert_whole(&store.rootfs("by-authority"));
    // The name is not the certificate's.
    let wrong_name = url.replacen("localhost", "127.0.0.1", 1);
    let outcome = run(store.command(["create", &wrong_name, "x"]).env("SSL_CERT_FILE", registry.authority()));
    assert_insecure(&outcome.failure(), "not valid for name \"127.0.0.1\"");

    store.ok(["delete", "by-authority"]);
    store.ok(["clean"]);
    succeeds(&store, &registry.host(), &url, "unverified");
    let config = store.beside("config.yml");
    fs::write(&config, format!("create: {{insecure_registries: ['{}']}}\n", registry.host())).unwrap();
    store.ok(["--config", config.to_str().unwrap(), "create", &url, "by-config"]);
}

#[test]
fn plain_http_is_insecure() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "name", &[]);
    assert_insecure(&store.fails(["create", &url, "x"]), "the server does not speak TLS");
    succeeds(&store, &registry.host(), &url, "x");
}

#[test]
fn a_wrong_diff_id_is_noticed() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    let zeros = "0".repeat(64);
    let wrong = format!("sha256:{zeros}");
    let archive = Archive::new().file("file", 0o644, b"x").bytes();
    let edited = Image::new().layer(Layer::new(archive));
    edited.edit_config(move |config| config["rootfs"]["diff_ids"][0] = wrong.into()).write(&layout, "latest");
    let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    assert!(fails(&store, &server.host(), &server.url()).contains("diffID digest mismatch"));
    assert!(!store.volumes().contains(&zeros));
}

#[test]
fn documents_must_be_what_their_digest_says() {
    let store = TempStore::new();
    let layout = layout(&store);
    let server = ScriptedRegistry::start(&layout, |asked| match asked.path.contains("/manifests/") {
        true => Answer::Body(br#"{"schemaVersion":2,"config":{"digest":"sha256:x"},"layers":[]}"#.to_vec()),
        false => Answer::Serve,
    });
    let pinned = format!("docker://{}/a@sha256:{}", server.host(), sha256_hex(b"another"));
    assert!(fails(&store, &server.host(), &pinned).contains("digest mismatch"));
    assert!(fails(&store, &server.host(), &server.url()).contains("not a sha256 digest"));

    let config = ScriptedRegistry::start(&layout, |asked| match asked.is_blob() {
        true => Answer::Body(b"{}".to_vec()),
        false => Answer::Serve,
    });
    assert!(fails(&store, &config.host(), &config.url()).contains("digest mismatch"));
}

#[test]
fn a_limit_smaller_than_the_blobs_is_refused_before_they_are_fetched() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    let (host, url) = (server.host(), server.url());
    let message = store.fails(["create", "--insecure-registry", &host, "--disk-limit-size-bytes", "10", &url, "x"]);
    assert!(message.contains("layers exceed disk quota"), "{message}");
    assert_eq!(server.blobs_asked(), 1, "only the configuration");
}

#[test]
fn cached_layers_are_not_fetched_again() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    succeeds(&store, &server.host(), &server.url(), "one");
    assert_eq!(server.blobs_asked(), 4, "the configuration and three layers");
    succeeds(&store, &server.host(), &server.url(), "two");
    assert_eq!(server.blobs_asked(), 4);
}

#[test]
fn ten_creates_of_one_new_image_at_once_download_each_layer_once() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    registry.push(&image().write(&store.beside("layout"), "latest"), "some/image:latest", &["--format", "oci"]);
    let server = ScriptedRegistry::in_front_of(&registry.host(), |_| Answer::Late(Duration::from_millis(20)));
    std::thread::scope(|scope| {
        for n in 0..10 {
            let (store, server) = (&store, &server);
            scope.spawn(move || succeeds(store, &server.host(), &server.url(), &format!("x{n}")));
        }
    });
    for digest in image().layer_digests() {
        let asked = server.asked().iter().filter(|asked| asked.path.ends_with(&digest)).count();
        assert_eq!(asked, 1, "{digest}");
    }
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn memory_stays_flat() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let layer = |n: u64| Layer::plain(Archive::new().file(&format!("file-{n}"), 0o644, &noise(16_000_000, n)).bytes());
    let image = (0..10).fold(Image::new(), |image, n| image.layer(layer(n)));
    let url = registry.push(&image.write(&store.beside("layout"), "latest"), "large", &[]);
    let create = ["create", "--insecure-registry", &registry.host(), &url, "x"];
    let peak = peak_memory(&mut store.command(create));
    assert!((1..48 * 1024).contains(&peak), "peak of {peak} KiB");
}
