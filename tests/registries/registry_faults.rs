//! Bad networks: a server between the program and a real registry does what its script says. Either the image is made,
//! or one line names the registry, the reference and the reason; the store is as it was, and the next create succeeds.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use crate::support::{
    Answer, Archive, Asked, Image, Layer, Outcome, Registry, ScriptedRegistry, Setup, TempStore, assert_insecure,
    create, fails, forget, image, large_layer, noise, run, succeeds, wait_for,
};

/// A store, and a registry that has the image.
struct Scene {
    store: TempStore,
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        Self::with(image())
    }

    fn with(image: Image) -> Self {
        let (store, registry) = (TempStore::new(), Registry::plain());
        registry.push(&image.write(&store.beside("layout"), "latest"), "some/image:latest", &["--format", "oci"]);
        Scene { store, registry }
    }

    fn behind(&self, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> ScriptedRegistry {
        ScriptedRegistry::in_front_of(&self.registry.host(), script)
    }

    /// The image is made in spite of it all.
    #[track_caller]
    fn copes(&self, server: &ScriptedRegistry) {
        succeeds(&self.store, &server.host(), &server.url(), "x");
        assert_eq!(self.store.leftovers(), [""; 0]);
        forget(&self.store, "x");
    }

    /// The image is not made, and why not is told; without the fault it is.
    #[track_caller]
    fn fails(&self, server: &ScriptedRegistry, reason: &str) -> String {
        let message = fails(&self.store, &server.host(), &server.url());
        assert!(message.contains(&server.url()) && message.contains(reason), "{reason}: {message}");
        succeeds(&self.store, &self.registry.host(), &self.registry.url("some/image"), "next");
        forget(&self.store, "next");
        message
    }
}

fn is_large(asked: &Asked) -> bool {
    asked.path.ends_with(&large_layer().digest)
}

fn status(code: u16, retry_after: &str) -> Answer {
    Answer::Status(code, vec![("retry-after", retry_after.to_owned())], "busy".into())
}

#[test]
fn each_of_ten_layers_is_reset_once_on_the_way() {
    let layer = |n: u64| Layer::new(Archive::new().file(&format!("file-{n}"), 0o644, &noise(400_000, n)).bytes());
    let ten = || (0..10).fold(Image::new(), |image, n| image.layer(layer(n)));
    let scene = Scene::with(ten());
    let server = scene.behind(|asked| match asked.before {
        0 if asked.is_blob() => Answer::ResetAfter(123_456),
        _ => Answer::Serve,
    });
    crate::support::create(&scene.store, &server.host(), &server.url(), "x").success();
    for n in 0..10 {
        assert_eq!(std::fs::read(scene.store.rootfs("x").join(format!("file-{n}"))).unwrap(), noise(400_000, n));
    }
    for digest in ten().layer_digests() {
        let asked: Vec<_> = server.asked().into_iter().filter(|asked| asked.path.ends_with(&digest)).collect();
        let ranges: Vec<_> = asked.iter().map(|asked| asked.header("range")).collect();
        assert_eq!(ranges, ["", "bytes=123456-"], "{digest}");
    }
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    type Break = fn(usize) -> Answer;
    let scene = Scene::new();
    for interrupt in [Answer::CloseAfter as Break, Answer::ResetAfter] {
        // Each blob once, the configuration and tiny layers among them.
        let server = scene.behind(move |asked| match asked.before {
            0 if asked.is_blob() => interrupt(70),
            1 if asked.is_blob() => interrupt(1_000_000),
            _ => Answer::Serve,
        });
        scene.copes(&server);
        let ranges: Vec<String> = server.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
        for expected in ["bytes=70-", "bytes=1000070-"] {
            assert!(ranges.iter().any(|range| range == expected), "{ranges:?}");
        }
    }
}

#[test]
fn a_registry_without_ranges_starts_again_from_the_beginning() {
    let scene = Scene::new();
    scene.copes(&scene.behind(|asked| match asked.before {
        0 if asked.is_blob() => Answer::CloseAfter(100),
        _ => Answer::ServeWhole,
    }));
}

#[test]
fn a_server_that_resumes_at_the_wrong_place_is_not_believed() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match asked.before {
        0 if is_large(asked) => Answer::CloseAfter(100),
        _ if is_large(asked) => Answer::Status(206, vec![("content-range", "bytes 7-8/9".into())], "xx".into()),
        _ => Answer::Serve,
    });
    scene.fails(&server, "the server resumes at the wrong place: `bytes 7-8/9` instead of byte 100");
}

#[test]
fn a_download_that_never_gets_anywhere_is_given_up() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match (is_large(asked), asked.header("range")) {
        (true, "") => Answer::CloseAfter(150),
        (true, _) => Answer::CloseAfter(0),
        _ => Answer::Serve,
    });
    let message = scene.fails(&server, "the connection broke");
    assert!(message.starts_with("pulling the image: streaming blob `sha256:"), "{message}");
    let message = fails(&scene.store, &server.host(), &server.url());
    assert_eq!(scene.store.volumes().len(), 2, "the layers below are kept: {message}");
}

/// Takes as long as a server may be silent.
#[test]
fn a_server_that_falls_silent_is_left_and_asked_for_the_rest() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match asked.before {
        0 if is_large(asked) => Answer::StallAfter(1_000_000),
        _ => Answer::Serve,
    });
    let begin = Instant::now();
    scene.copes(&server);
    assert!((25..60).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert!(server.asked().iter().any(|asked| asked.header("range") == "bytes=1000000-"));
}

#[test]
fn a_slow_drip_is_no_silence() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match is_large(asked) {
        true => Answer::Drip(100_000, Duration::from_millis(100)),
        false => Answer::Serve,
    });
    let begin = Instant::now();
    scene.copes(&server);
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(server.asked().iter().filter(|asked| is_large(asked)).count(), 1);
}

#[test]
fn wrong_bytes_are_noticed_whatever_the_flags() {
    let scene = Scene::new();
    let right = large_layer().blob.unwrap();
    let mut wrong = right.clone();
    wrong[2_000_000] ^= 1;
    let longer = [&right[..], b"more"].concat();
    for (body, reason) in [
        (wrong, "layerID digest mismatch: expected: "),
        (longer, "layer size is different from the value in the manifest; expected: "),
        (right[..1_000_000].to_vec(), "layer size is different from the value in the manifest; expected: "),
    ] {
        let server = scene.behind(move |asked| match is_large(asked) {
            true => Answer::Body(body.clone()),
            false => Answer::Serve,
        });
        let message = scene.fails(&server, reason);
        assert!(message.starts_with(&format!("pulling the image: streaming blob `{}`: ", large_layer().digest)));
        let (host, url) = (server.host(), server.url());
        let flags = ["create", "--skip-layer-validation", "--insecure-registry", &host, &url, "x"];
        assert!(scene.store.fails(flags).contains(reason));
        assert_eq!(scene.store.leftovers(), [""; 0]);
    }
}

#[test]
fn documents_that_are_none() {
    let scene = Scene::new();
    let huge = vec![b' '; 9 * 1024 * 1024];
    for (body, reason) in [
        (br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec(), "schema 1 manifest, which is not supported"),
        (huge, "raise create.limits.manifest_bytes (now 8388608) if you trust it"),
        (b"<html>".to_vec(), "expected value"),
        (Vec::new(), "EOF"),
    ] {
        let server = scene.behind(move |_| Answer::Body(body.clone()));
        let message = scene.fails(&server, reason);
        assert!(message.contains(&format!("http://{}/v2/some/image/manifests/latest", server.host())), "{message}");
    }
}

#[test]
fn what_content_is_called_matters_less_than_what_it_is() {
    let scene = Scene::new();
    scene.copes(&scene.behind(|_| Answer::Type("text/html")));
}

#[test]
fn a_busy_registry_is_asked_again_when_it_says() {
    let scene = Scene::new();
    let in_two_seconds = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    let server = scene.behind(move |asked| match asked.before {
        0 if asked.path.ends_with("/latest") => status(429, "2"),
        0 if is_large(asked) => status(503, &in_two_seconds()),
        0 if asked.is_blob() => status(503, ""),
        1 if asked.is_blob() && !is_large(asked) => status(500, ""),
        _ => Answer::Serve,
    });
    let begin = Instant::now();
    scene.copes(&server);
    assert!(begin.elapsed() >= Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn a_registry_that_wants_to_be_left_alone_is() {
    let scene = Scene::new();
    let server = scene.behind(|_| status(429, "3600"));
    let begin = Instant::now();
    scene.fails(&server, "the server answers 429 Too Many Requests and asks to be left alone for 3600 s");
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn what_does_not_get_better_is_told_with_registry_reference_and_reason() {
    let scene = Scene::new();
    for (code, requests, reason) in [
        (429, 5, "429 Too Many Requests"),
        (500, 5, "500 Internal Server Error"),
        (502, 5, "502 Bad Gateway"),
        (418, 1, "418"),
        (
            // Its root is asked too, which may ask who we are.
            403,
            2,
            "does not exist or you do not have permissions to see it. (requested access to the resource is denied)",
        ),
        (
            404,
            2,
            "does not exist or you do not have permissions to see it. (requested access to the resource is denied)",
        ),
    ] {
        let server = scene.behind(move |_| Answer::Status(code, vec![], String::new()));
        scene.fails(&server, reason);
        assert_eq!(server.asked().len(), requests, "{code}");
    }
    let server = scene.behind(move |asked| match asked.is_blob() {
        true => Answer::Status(404, vec![], String::new()),
        false => Answer::Serve,
    });
    let message = scene.fails(&server, "the server answers 404 Not Found");
    assert!(message.contains("/blobs/sha256:") && !message.contains("pulling"), "it is the configuration: {message}");
    for code in [403, 404] {
        let server = scene.behind(move |asked| match is_large(asked) {
            true => Answer::Status(code, vec![], String::new()),
            false => Answer::Serve,
        });
        let message = scene.fails(&server, &format!("the server answers {code} "));
        let prefix =
            format!("pulling the image: streaming blob `{}`: fetching {}: ", large_layer().digest, server.url());
        assert!(message.starts_with(&prefix), "{message}");
    }
}

#[test]
fn the_last_failure_is_the_one_that_is_told() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match asked.before {
        0..=3 => Answer::Status(500, vec![], String::new()),
        _ => Answer::Status(504, vec![], String::new()),
    });
    scene.fails(&server, "504 Gateway Timeout");
}

#[test]
fn redirects_that_lead_nowhere() {
    let scene = Scene::new();
    for (location, reason) in [("/v2/loop", "too many redirects"), ("ftp://127.0.0.1/x", "redirected to ftp:")] {
        let server = scene.behind(move |_| Answer::Status(302, vec![("location", location.to_owned())], String::new()));
        scene.fails(&server, reason);
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
fn certificates_that_are_of_no_use() {
    let store = TempStore::new();
    let layout = image().write(&store.beside("layout"), "latest");
    for setup in [
        Setup { tls_for: Some("localhost"), is_expired: true, ..Setup::default() },
        Setup { tls_for: Some("localhost"), ..Setup::default() },
    ] {
        let is_expired = setup.is_expired;
        let registry = Registry::start(setup);
        let url = registry.push(&layout, "name:tag", &[]);
        // The second is good for another name only.
        let url = if is_expired { url } else { url.replacen("localhost", "127.0.0.1", 1) };
        let log = store.beside("log");
        let flags = ["--log-level", "error", "--log-file", log.to_str().unwrap(), "create", &url, "x"];
        let outcome = run(store.command(flags).env("SSL_CERT_FILE", registry.authority()));
        assert_insecure(&outcome.failure(), "invalid peer certificate");
        assert_eq!(store.leftovers(), [""; 0]);
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("registry-is-insecure") && log.contains("invalid peer certificate"), "{log}");
        succeeds(&store, url[9..].split('/').next().unwrap(), &url, "x");
        forget(&store, "x");
    }
}

#[test]
fn a_stalled_pull_delays_nobody_else() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match is_large(asked) {
        true => Answer::StallAfter(1000),
        false => Answer::Serve,
    });
    let store = &scene.store;
    let other = crate::support::small_image(&store.beside("other"));
    let pushed = scene.registry.push(&other, "other", &[]);
    let create = ["create", "--insecure-registry", &server.host(), &server.url(), "stalled"];
    let mut stalled = store.command(create).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the stall", || server.blobs_asked() == 4);
    let begin = Instant::now();
    store.create(&other, "x");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    crate::support::create(store, &scene.registry.host(), &pushed, "x").success();
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(stalled.try_wait().unwrap(), None, "still waiting");
    stalled.kill().unwrap();
    stalled.wait().unwrap();
    store.ok(["clean"]);
    assert_eq!(store.leftovers(), [""; 0]);
}

/// Two layers: the lower one fails when the upper one has stalled.
#[test]
fn a_failed_layer_ends_those_above_it_at_once() {
    let lower = Layer::new(Archive::new().file("lower", 0o644, &noise(500_000, 7)).bytes());
    let digest = lower.digest.clone();
    let scene = Scene::with(Image::new().layer(lower).layer(large_layer()));
    for stalled in [|| Answer::StallAfter(1000), || status(429, "40")] {
        let digest = digest.clone();
        let server = scene.behind(move |asked| match is_large(asked) {
            true => stalled(),
            false if asked.path.ends_with(&digest) => {
                std::thread::sleep(Duration::from_secs(1));
                Answer::Status(404, vec![], String::new())
            }
            false => Answer::Serve,
        });
        let begin = Instant::now();
        let message = fails(&scene.store, &server.host(), &server.url());
        assert!(message.contains("404 Not Found"), "{message}");
        assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    }
}

#[test]
fn an_image_that_cannot_be_mounted_is_not_downloaded() {
    let store = TempStore::new();
    let layer = |n: u64| Layer::plain(Archive::new().file(&format!("file-{n}"), 0o644, b"x").bytes());
    let layout = store.beside("layout");
    (0..501).fold(Image::new(), |image, n| image.layer(layer(n))).write(&layout, "latest");
    let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    let message = fails(&store, &server.host(), &server.url());
    assert!(message.contains("the image has 501 layers and the kernel takes at most 500"), "{message}");
    assert_eq!(server.blobs_asked(), 1, "only the configuration");
}

/// A create with limits of a second each.
fn impatient(scene: &Scene, server: &ScriptedRegistry, flags: &[&str]) -> (Outcome, Duration) {
    let (host, url) = (server.host(), server.url());
    let begin = Instant::now();
    let outcome = scene.store.run([&["create", "--insecure-registry", &host][..], flags, &[&url, "x"]].concat());
    (outcome, begin.elapsed())
}

#[test]
fn a_manifest_that_drips_is_given_up() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match asked.path.contains("/manifests/") {
        true => Answer::Drip(1, Duration::from_millis(100)),
        false => Answer::Serve,
    });
    let (outcome, time) = impatient(&scene, &server, &["--stall-timeout-seconds", "1"]);
    let message = outcome.failure();
    assert!(message.contains("fewer than 1024 a second count as a stall"), "{message}");
    assert!(message.contains("create.limits.min_bytes_per_second") && message.contains(&server.url()), "{message}");
    assert!(time < Duration::from_secs(10), "{time:?}");
    // Fast enough to be no stall, and yet too long.
    let flags = ["--min-bytes-per-second", "1", "--manifest-timeout-seconds", "1"];
    let (outcome, time) = impatient(&scene, &server, &flags);
    let message = outcome.failure();
    assert!(message.contains("no complete response within 1 s (create.limits.manifest_timeout_seconds)"), "{message}");
    assert!(time < Duration::from_secs(10), "{time:?}");
}

#[test]
fn a_layer_that_drips_is_given_up() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match is_large(asked) {
        true => Answer::Drip(100, Duration::from_millis(100)),
        false => Answer::Serve,
    });
    let config = scene.store.beside("config.yml");
    std::fs::write(&config, "create: {limits: {stall_timeout_seconds: 1, min_bytes_per_second: 2000}}").unwrap();
    let begin = Instant::now();
    let (host, url) = (server.host(), server.url());
    let message =
        scene.store.fails(["--config", config.to_str().unwrap(), "create", "--insecure-registry", &host, &url, "x"]);
    assert!(message.contains("fewer than 2000 a second count as a stall"), "{message}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(scene.store.leftovers(), [""; 0]);
}

/// A slow connection that is replaced by a fast one costs nothing but its time.
#[test]
fn a_layer_that_drips_once_is_resumed() {
    let scene = Scene::new();
    let server = scene.behind(|asked| match asked.before {
        0 if is_large(asked) => Answer::Drip(100, Duration::from_millis(100)),
        _ => Answer::Serve,
    });
    let (outcome, _) = impatient(&scene, &server, &["--stall-timeout-seconds", "1"]);
    outcome.success();
    crate::support::assert_whole(&scene.store.rootfs("x"));
    assert!(server.asked().iter().any(|asked| is_large(asked) && !asked.header("range").is_empty()));
}

#[test]
fn an_endless_header_is_given_up() {
    let scene = Scene::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drip_header(stream));
        }
    });
    let begin = Instant::now();
    let url = format!("docker://{host}/some/image");
    let flags = ["create", "--insecure-registry", &host, "--manifest-timeout-seconds", "1", &url, "x"];
    let message = scene.store.fails(flags);
    assert!(message.contains("no complete response within 1 s"), "{message}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

fn drip_header(mut stream: std::net::TcpStream) {
    use std::io::{Read, Write};
    // An answer to no request would be an error of another kind.
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
    while stream.write_all(b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_refused_connection_fails_at_once() {
    let store = TempStore::new();
    let begin = Instant::now();
    fails(&store, "", "docker://127.0.0.1:1/name:tag");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// A document as a server sends it that is set up oddly.
fn oddly(body: &[u8], headers: Vec<(&'static str, String)>) -> Answer {
    Answer::Status(200, headers, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn odd_headers_and_compressed_documents_are_read() {
    let store = TempStore::new();
    let layout = crate::support::layout(&store);
    let cases: [fn(&[u8]) -> Answer; 4] = [
        |body| oddly(body, vec![("x-line", "x".repeat(20)); 150]),
        |body| oddly(body, vec![("x-folded", "one\r\n two\r\n\tthree".into())]),
        |body| oddly(body, vec![("x-latin", "caf\u{e9}".into())]),
        |body| Answer::Body(crate::support::gzip(body)),
    ];
    for odd in cases {
        let served = layout.clone();
        let server = ScriptedRegistry::start(&layout, move |asked| {
            let document =
                crate::support::scripted_document(&served, &asked.path).filter(|body| body.starts_with(b"{"));
            document.map_or(Answer::Serve, |body| odd(&body))
        });
        succeeds(&store, &server.host(), &server.url(), "x");
        forget(&store, "x");
    }
    let bomb = crate::support::gzip(&vec![b' '; 9 * 1024 * 1024]);
    let server = ScriptedRegistry::start(&layout, move |_| Answer::Body(bomb.clone()));
    assert!(
        fails(&store, &server.host(), &server.url())
            .contains("raise create.limits.manifest_bytes (now 8388608) if you trust it")
    );
}

#[test]
fn each_media_type_is_accepted_on_a_line_of_its_own() {
    let scene = Scene::new();
    let server = scene.behind(|_| Answer::Serve);
    scene.copes(&server);
    let asked = server.asked();
    let lines = asked.iter().find(|asked| asked.path.contains("/manifests/")).unwrap().lines("accept");
    assert!(lines.len() == 6 && lines.iter().all(|line| !line.contains([',', ';'])), "{lines:?}");
}

/// A scene whose image has one layer of 14 MB, sent slowly over a single connection: 6 MB/s at most.
fn far_away(part: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Scene, ScriptedRegistry) {
    let layer = Layer::plain(Archive::new().file("noise", 0o600, &noise(14_000_000, 1)).bytes());
    let scene = Scene::with(Image::new().layer(layer));
    let server = scene.behind(move |asked| match asked.header("range") {
        _ if !asked.is_blob() => Answer::Serve,
        "" => Answer::Drip(65_536, Duration::from_millis(10)),
        range if range.ends_with('-') => Answer::Serve,
        _ => part(asked),
    });
    (scene, server)
}

/// Makes the image and looks at its file. The ranges that its blobs were asked for with.
#[track_caller]
fn pulls_noise(scene: &Scene, server: &ScriptedRegistry) -> Vec<String> {
    create(&scene.store, &server.host(), &server.url(), "x").success();
    assert!(fs::read(scene.store.rootfs("x").join("noise")).unwrap() == noise(14_000_000, 1));
    assert_eq!(scene.store.leftovers(), [""; 0]);
    forget(&scene.store, "x");
    let asked = server.asked();
    asked.iter().filter(|asked| asked.is_blob()).map(|asked| asked.header("range").to_owned()).collect()
}

fn is_part(range: &&String) -> bool {
    !range.is_empty() && !range.ends_with('-')
}

#[test]
fn a_large_layer_comes_in_parts_from_far_away() {
    let (scene, server) = far_away(|_| Answer::Serve);
    let ranges = pulls_noise(&scene, &server);
    assert!(ranges.iter().filter(is_part).count() >= 4, "{ranges:?}");
    assert!(!ranges.iter().any(|range| range.ends_with('-')), "no part was made up for: {ranges:?}");
}

/// One that pulls through may ask its origin for the whole layer for each part.
#[test]
fn a_mirror_is_not_asked_for_parts() {
    let (scene, mirror) = far_away(|_| Answer::Serve);
    let origin = scene.behind(|_| Answer::Serve);
    let mirrors = format!("{}=http://{}", origin.host(), mirror.host());
    let create = ["create", "--insecure-registry", &origin.host(), "--registry-mirror", &mirrors, &origin.url(), "x"];
    scene.store.ok(create);
    let ranges: Vec<String> =
        mirror.asked().iter().filter(|asked| asked.is_blob()).map(|asked| asked.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", ""], "configuration and layer");
    assert_eq!(origin.asked().len(), 0);
}

#[test]
fn parts_that_fail_are_made_up_for_by_one_connection() {
    let throttled = || status(429, "0");
    for part in [|| Answer::ServeWhole, || Answer::CloseAfter(1_000_000), || Answer::ResetAfter(0), throttled] {
        let (scene, server) = far_away(move |_| part());
        let ranges = pulls_noise(&scene, &server);
        assert!((2..=12).contains(&ranges.iter().filter(is_part).count()), "{ranges:?}");
    }
}

#[test]
fn parts_that_make_up_something_else_are_no_reason_to_fail() {
    let (scene, server) = far_away(|_| Answer::Garbled);
    let ranges = pulls_noise(&scene, &server);
    assert!(ranges.iter().any(|range| is_part(&range)), "{ranges:?}");
    let whole = ranges.iter().filter(|range| range.is_empty()).count();
    assert_eq!(whole, 3, "the configuration, and the layer once more over one connection: {ranges:?}");
}
