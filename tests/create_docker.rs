//! `create` from registries: a real one, and one that misbehaves as told.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{
    Answer, Archive, Image, Layer, Outcome, PASSWORD, Registry, ScriptedRegistry, Setup, TempStore, USER, run,
    sha256_hex, write_document,
};

const INSECURE: &str =
    "This registry is insecure. To pull images from this registry, please use the --insecure-registry option.";

const WRONG_PASSWORD: &str = "unable to retrieve auth token: invalid username/password";

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A layer that takes more than a few packets.
fn large_layer() -> Layer {
    Layer::new(Archive::new().whiteout("gone").file("noise", 0o600, &noise(3_000_000, 1)).bytes())
}

/// Three layers, the last of which deletes a file of the first.
fn image() -> Image {
    let first = Archive::new().directory("etc", 0o755).file("etc/one", 0o644, b"1").file("gone", 0o644, b"x");
    let second = Archive::new().directory("etc", 0o755).file("etc/two", 0o4755, b"2");
    Image::new()
        .layer(Layer::new(first.bytes()))
        .layer(Layer::new(second.bytes()))
        .layer(large_layer())
        .env(&["PATH=/bin", "TEST=second-test=true"])
        .volume("/foo")
}

fn assert_whole(rootfs: &Path) {
    assert_eq!(fs::read_to_string(rootfs.join("etc/one")).unwrap(), "1");
    assert_eq!(fs::read_to_string(rootfs.join("etc/two")).unwrap(), "2");
    assert_eq!(fs::metadata(rootfs.join("etc/two")).unwrap().permissions().mode() & 0o7777, 0o4755);
    assert_eq!(fs::read(rootfs.join("noise")).unwrap(), noise(3_000_000, 1));
    assert!(!rootfs.join("gone").exists());
}

fn create(store: &TempStore, insecure: &str, url: &str, id: &str) -> Outcome {
    store.run(["create", "--insecure-registry", insecure, url, id])
}

/// The image is made, whole.
#[track_caller]
fn succeeds(store: &TempStore, insecure: &str, url: &str, id: &str) {
    create(store, insecure, url, id).success();
    assert_whole(&store.rootfs(id));
}

/// The image is not made, for a reason; the store is as it was, and the next create works.
#[track_caller]
fn fails(store: &TempStore, insecure: &str, url: &str) -> String {
    let message = create(store, insecure, url, "failing").failure();
    assert_eq!(store.leftovers(), [""; 0], "{message}");
    assert!(!store.image("failing").exists());
    message
}

fn layout(store: &TempStore) -> std::path::PathBuf {
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    layout
}

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
        let expected = format!("{url} does not exist or you do not have permissions to see it.");
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
fn a_certificate_of_a_private_authority() {
    let (store, registry) =
        (TempStore::new(), Registry::start(Setup { tls_for: Some("localhost"), basic_auth: false }));
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "name:tag", &[]);
    assert_eq!(store.fails(["create", &url, "x"]), INSECURE);
    assert_eq!(fails(&store, "localhost", &url), INSECURE, "another port is another registry");

    run(store.command(["create", &url, "by-authority"]).env("SSL_CERT_FILE", registry.authority())).success();
    assert_whole(&store.rootfs("by-authority"));
    // The name is not the certificate's.
    let wrong_name = url.replacen("localhost", "127.0.0.1", 1);
    let outcome = run(store.command(["create", &wrong_name, "x"]).env("SSL_CERT_FILE", registry.authority()));
    assert_eq!(outcome.failure(), INSECURE);

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
    assert_eq!(store.fails(["create", &url, "x"]), INSECURE);
    succeeds(&store, &registry.host(), &url, "x");
}

#[test]
fn name_and_password() {
    let (store, registry) = (TempStore::new(), Registry::start(Setup { tls_for: None, basic_auth: true }));
    let log = store.beside("log");
    let url = registry.push(&image().write(&store.beside("layout"), "latest"), "name:tag", &[]);
    let with = |user: &str, password: &str| {
        let flags = ["--log-level", "debug", "--log-file", log.to_str().unwrap()];
        let create = ["create", "--insecure-registry", &registry.host(), "--username", user, "--password", password];
        store.run([&flags[..], &create, &[&url, "x"]].concat())
    };
    assert!(with(USER, "wrong").failure().contains(WRONG_PASSWORD));
    let anonymous = fails(&store, &registry.host(), &url);
    assert_eq!(anonymous, format!("{url} does not exist or you do not have permissions to see it."));
    with(USER, PASSWORD).success();
    assert_whole(&store.rootfs("x"));
    assert!(!fs::read_to_string(log).unwrap().contains(PASSWORD));
}

/// A registry that wants tokens, which it hands out itself: to [`USER`], or if `anonymous` to all.
fn token_registry(layout: &Path, anonymous: bool) -> ScriptedRegistry {
    // base64 of `groot:secret-word`
    const BASIC: &str = "Basic Z3Jvb3Q6c2VjcmV0LXdvcmQ=";
    ScriptedRegistry::start(layout, move |asked| {
        let host = asked.header("host");
        if asked.path.starts_with("/token") {
            assert_eq!(asked.path, "/token?service=test&scope=repository%3Asome%2Fimage%3Apull");
            return match asked.header("authorization") {
                "" if anonymous => Answer::Status(200, vec![], r#"{"token":"the-token"}"#.into()),
                BASIC => Answer::Status(200, vec![], r#"{"access_token":"the-token"}"#.into()),
                _ => Answer::Status(401, vec![], String::new()),
            };
        }
        match asked.header("authorization") {
            "Bearer the-token" => Answer::Serve,
            _ => {
                let challenge =
                    format!(r#"Bearer realm="http://{host}/token",service="test",scope="repository:some/image:pull""#);
                Answer::Status(401, vec![("www-authenticate", challenge)], String::new())
            }
        }
    })
}

#[test]
fn tokens_for_everybody() {
    let store = TempStore::new();
    let registry = token_registry(&layout(&store), true);
    succeeds(&store, &registry.host(), &registry.url(), "x");
    assert_eq!(registry.asked().iter().filter(|asked| asked.path.starts_with("/token")).count(), 1);
}

#[test]
fn tokens_for_users() {
    let store = TempStore::new();
    let registry = token_registry(&layout(&store), false);
    let (host, url) = (registry.host(), registry.url());
    let with = |user: &str, password: &str, id: &str| {
        store.run(["create", "--insecure-registry", &host, "--username", user, "--password", password, &url, id])
    };
    let expected = format!("{url} does not exist or you do not have permissions to see it.");
    assert_eq!(fails(&store, &host, &url), expected);
    let wrong = with(USER, "wrong", "x").failure();
    assert!(wrong.contains(WRONG_PASSWORD) && wrong.contains(&url), "{wrong}");
    with(USER, PASSWORD, "x").success();
    assert_whole(&store.rootfs("x"));
}

#[test]
fn a_registry_that_accepts_nobody_is_given_up() {
    let store = TempStore::new();
    let registry = ScriptedRegistry::start(&layout(&store), |asked| match asked.path.starts_with("/token") {
        true => Answer::Status(200, vec![], r#"{"token":"t"}"#.into()),
        false => {
            let challenge = format!(r#"Bearer realm="http://{}/token""#, asked.header("host"));
            Answer::Status(401, vec![("www-authenticate", challenge)], String::new())
        }
    });
    assert!(fails(&store, &registry.host(), &registry.url()).contains("does not exist or you do not have permissions"));
    assert!(registry.asked().len() <= 4, "{:?}", registry.asked());
}

#[test]
fn credentials_stay_with_the_registry() {
    let store = TempStore::new();
    let layout = layout(&store);
    let elsewhere = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    let target = elsewhere.host();
    let registry = ScriptedRegistry::start(&layout, move |asked| match asked.header("authorization") {
        "" => Answer::Status(401, vec![("www-authenticate", "Basic realm=x".into())], String::new()),
        _ if asked.is_blob() => {
            let location = format!("http://{target}{}?signature=secret", asked.path);
            Answer::Status(307, vec![("location", location)], String::new())
        }
        _ => Answer::Serve,
    });
    let (host, url) = (registry.host(), registry.url());
    let outcome =
        store.run(["create", "--insecure-registry", &host, "--username", USER, "--password", PASSWORD, &url, "x"]);
    let asked = elsewhere.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.header("authorization").is_empty()), "{asked:?}");
    assert!(registry.asked().iter().any(|asked| !asked.header("authorization").is_empty()));
    assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
    outcome.success();
    assert_whole(&store.rootfs("x"));
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    type Break = fn(usize) -> Answer;
    let store = TempStore::new();
    let layout = layout(&store);
    for (n, interrupt) in [Answer::CloseAfter as Break, Answer::ResetAfter].into_iter().enumerate() {
        // Each blob once, the configuration and tiny layers among them.
        let registry = ScriptedRegistry::start(&layout, move |asked| match asked.before {
            0 if asked.is_blob() => interrupt(70),
            1 if asked.is_blob() => interrupt(1_000_000),
            _ => Answer::Serve,
        });
        succeeds(&store, &registry.host(), &registry.url(), &n.to_string());
        let asked = registry.asked();
        let largest: Vec<&str> =
            asked.iter().map(|asked| asked.header("range")).filter(|range| range.len() > 9).collect();
        assert!(asked.iter().any(|asked| asked.header("range") == "bytes=70-"), "{asked:?}");
        assert!(largest.contains(&"bytes=1000070-"), "{asked:?}");
        store.ok(["delete", &n.to_string()]);
        store.ok(["clean"]);
    }
}

#[test]
fn a_registry_without_ranges_starts_again_from_the_beginning() {
    let store = TempStore::new();
    let registry = ScriptedRegistry::start(&layout(&store), |asked| match asked.before {
        0 if asked.is_blob() => Answer::CloseAfter(100),
        _ => Answer::ServeWhole,
    });
    succeeds(&store, &registry.host(), &registry.url(), "x");
}

#[test]
fn a_download_that_never_gets_anywhere_is_given_up() {
    let store = TempStore::new();
    let path = format!("/v2/some/image/blobs/{}", large_layer().digest);
    let registry = ScriptedRegistry::start(&layout(&store), move |asked| {
        match (asked.is_blob(), asked.header("range"), asked.path == path) {
            (true, "", true) => Answer::CloseAfter(150),
            (true, _, true) => Answer::CloseAfter(0),
            _ => Answer::Serve,
        }
    });
    let message = fails(&store, &registry.host(), &registry.url());
    assert!(message.starts_with("pulling the image: streaming blob `sha256:"), "{message}");
    assert!(message.contains(&registry.url()) && message.contains("the connection broke"), "{message}");
    assert_eq!(store.volumes().len(), 2, "the layers below are kept");
}

#[test]
fn wrong_bytes_are_noticed_whatever_the_flags() {
    let store = TempStore::new();
    let layout = layout(&store);
    let digest = large_layer().digest;
    let right = large_layer().blob.unwrap();
    let mut wrong = right.clone();
    wrong[2_000_000] ^= 1;
    let longer = [&right[..], b"more"].concat();
    for (body, reason) in [
        (wrong, "digest mismatch"),
        (longer, "layer size is different from the value in the manifest"),
        (right[..1_000_000].to_vec(), "layer size is different from the value in the manifest"),
    ] {
        let path = format!("/v2/some/image/blobs/{digest}");
        let server = ScriptedRegistry::start(&layout, move |asked| match asked.path == path {
            true => Answer::Body(body.clone()),
            false => Answer::Serve,
        });
        for flags in [&["--insecure-registry"][..], &["--skip-layer-validation", "--insecure-registry"]] {
            let message = store.fails([&["create"], flags, &[&server.host(), &server.url(), "x"]].concat());
            assert!(message.contains(reason) && message.contains(&digest), "{message}");
            assert_eq!(store.leftovers(), [""; 0]);
        }
    }
    let good = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    succeeds(&store, &good.host(), &good.url(), "x");
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
fn documents_that_are_none() {
    let store = TempStore::new();
    let layout = layout(&store);
    let huge = vec![b' '; 9 * 1024 * 1024];
    for (body, reason) in [
        (br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec(), "schema 1 manifest, which is not supported"),
        (huge, "larger than any image document"),
        (b"<html>".to_vec(), "expected value"),
        (Vec::new(), "EOF"),
    ] {
        let server = ScriptedRegistry::start(&layout, move |_| Answer::Body(body.clone()));
        let message = fails(&store, &server.host(), &server.url());
        assert!(message.contains(reason) && message.contains(&server.url()), "{message}");
    }
}

#[test]
fn a_busy_registry_is_asked_again_when_it_says() {
    let store = TempStore::new();
    let layout = layout(&store);
    let status =
        |code, retry_after: &str| Answer::Status(code, vec![("retry-after", retry_after.to_owned())], "busy".into());
    let server = ScriptedRegistry::start(&layout, move |asked| match asked.before {
        0 if asked.path.ends_with("/latest") => status(429, "2"),
        0 if asked.is_blob() => status(503, ""),
        1 if asked.is_blob() => status(500, ""),
        _ => Answer::Serve,
    });
    let begin = Instant::now();
    succeeds(&store, &server.host(), &server.url(), "x");
    assert!(begin.elapsed() >= Duration::from_secs(2));
}

#[test]
fn what_does_not_get_better_is_told_with_registry_reference_and_reason() {
    let store = TempStore::new();
    let layout = layout(&store);
    for (code, requests, reason) in [(502, 5, "502 Bad Gateway"), (418, 1, "418"), (403, 1, "permissions to see it")] {
        let server = ScriptedRegistry::start(&layout, move |_| Answer::Status(code, vec![], String::new()));
        let message = fails(&store, &server.host(), &server.url());
        assert!(message.contains(&server.url()) && message.contains(reason), "{message}");
        assert_eq!(server.asked().len(), requests, "{code}");
    }
    let path = format!("/v2/some/image/blobs/{}", large_layer().digest);
    let server = ScriptedRegistry::start(&layout, move |asked| match asked.path == path {
        true => Answer::Status(404, vec![], String::new()),
        false => Answer::Serve,
    });
    let message = fails(&store, &server.host(), &server.url());
    let prefix = format!("pulling the image: streaming blob `{}`: fetching {}: ", large_layer().digest, server.url());
    assert!(message.starts_with(&prefix) && message.ends_with("the server answers 404 Not Found"), "{message}");
}

#[test]
fn redirects_that_lead_nowhere() {
    let store = TempStore::new();
    let layout = layout(&store);
    for (location, reason) in [("/v2/loop", "too many redirects"), ("ftp://127.0.0.1/x", "redirected to ftp:")] {
        let server = ScriptedRegistry::start(&layout, move |_| {
            Answer::Status(302, vec![("location", location.to_owned())], String::new())
        });
        let message = fails(&store, &server.host(), &server.url());
        assert!(message.contains(reason) && message.contains(&server.url()), "{message}");
    }
}

#[test]
fn nobody_there() {
    let store = TempStore::new();
    let url = "docker://127.0.0.1:1/name:tag";
    let message = fails(&store, "127.0.0.1:1", url);
    assert!(message.contains(url) && message.contains("Connection refused"), "{message}");
    let message = fails(&store, "", "docker://no-such-host.invalid/name");
    assert!(message.contains("no-such-host.invalid") && message.contains("cannot connect"), "{message}");
    for url in ["docker:///Ubuntu", "docker://host:port/a", "docker:///a@sha256:1"] {
        assert!(fails(&store, "", url).starts_with("fetching image reference: parsing url failed: docker://"));
    }
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    let url = "docker://registry.invalid/some/image";
    let mut command = store.command(["create", "--insecure-registry", "registry.invalid", url, "x"]);
    run(command.env("http_proxy", format!("http://{}", server.host()))).success();
    assert_whole(&store.rootfs("x"));
    assert!(server.asked().iter().all(|asked| asked.header("host") == "registry.invalid"));
}

#[test]
fn a_limit_smaller_than_the_blobs_is_refused_before_they_are_fetched() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    let (host, url) = (server.host(), server.url());
    let message = store.fails(["create", "--insecure-registry", &host, "--disk-limit-size-bytes", "10", &url, "x"]);
    assert!(message.contains("layers exceed disk quota"), "{message}");
    assert_eq!(server.asked().iter().filter(|asked| asked.is_blob()).count(), 1, "only the configuration");
}

#[test]
fn cached_layers_are_not_fetched_again() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    let blobs = || server.asked().iter().filter(|asked| asked.is_blob()).count();
    succeeds(&store, &server.host(), &server.url(), "one");
    assert_eq!(blobs(), 4, "the configuration and three layers");
    succeeds(&store, &server.host(), &server.url(), "two");
    assert_eq!(blobs(), 4);
}

#[test]
fn creates_of_one_image_at_once_fetch_each_layer_once() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (store, server) = (&store, &server);
            scope.spawn(move || succeeds(store, &server.host(), &server.url(), &format!("x{n}")));
        }
    });
    assert_eq!(
        server.asked().iter().filter(|asked| asked.is_blob()).count(),
        6 + 3,
        "six configurations, three layers"
    );
}

#[test]
fn a_stalled_pull_delays_nobody_else() {
    let store = TempStore::new();
    let path = format!("/v2/some/image/blobs/{}", large_layer().digest);
    let stalling = ScriptedRegistry::start(&layout(&store), move |asked| match asked.path == path {
        true => Answer::StallAfter(1000),
        false => Answer::Serve,
    });
    let other = support::small_image(&store.beside("other"));
    let create = ["create", "--insecure-registry", &stalling.host(), &stalling.url(), "stalled"];
    let mut stalled = store.command(create).stdout(std::process::Stdio::null()).spawn().unwrap();
    support::wait_for("the stall", || stalling.asked().len() == 5);
    let begin = Instant::now();
    store.create(&other, "x");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(stalled.try_wait().unwrap(), None, "still waiting");
    stalled.kill().unwrap();
    stalled.wait().unwrap();
    store.ok(["clean"]);
    assert_eq!(store.leftovers(), [""; 0]);
}
