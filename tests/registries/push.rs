//! `commit` to registries: real ones of all kinds, and some that misbehave as told.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{
    Answer, Archive, Asked, Image, Layer, Node, PASSWORD, Registry, ScriptedRegistry, Setup, TempStore, TokenServer,
    Tree, USER, buildah, differences, noise, run, succeed, umoci,
};
use serde_json::json;

/// A base of two layers as a layout, and a container `x` of it with a file deleted and one added.
fn container(store: &TempStore) -> Tree {
    let url = base().write(&store.beside("base"), "latest");
    let rootfs = store.create(&url, "x");
    work(&rootfs)
}

fn base() -> Image {
    let first = Archive::new().directory("etc", 0o755).file("etc/one", 0o644, b"1").file("gone", 0o644, b"x");
    Image::new().layer(Layer::new(first.bytes())).layer(Layer::new(Archive::new().file("two", 0o644, b"2").bytes()))
}

fn work(rootfs: &Path) -> Tree {
    fs::remove_file(rootfs.join("gone")).unwrap();
    fs::write(rootfs.join("etc/added"), noise(300_000, 7)).unwrap();
    whole_seconds(Node::read_tree(rootfs))
}

/// Times below a second are beyond some tools.
fn whole_seconds(mut tree: Tree) -> Tree {
    tree.values_mut().for_each(|node| node.mtime = (0, 0));
    tree
}

fn commit(store: &TempStore, host: &str, destination: &str, flags: &[&str]) -> crate::support::Outcome {
    let insecure = ["commit", "--insecure-registry", host];
    run(&mut store.command([&insecure[..], flags, &["x", destination]].concat()))
}

/// An answer to HEAD has no content, and some servers say so.
#[test]
fn a_length_of_zero_is_no_length() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let expected = container(&store);
    let sent = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let seen = Arc::clone(&sent);
    let front = ScriptedRegistry::in_front_of(&registry.host(), move |asked| {
        let name = asked.path.rsplit(['/', '=']).next().unwrap_or_default().replace("%3A", ":");
        if asked.method == "PUT" {
            seen.lock().unwrap().insert(name);
            return Answer::Serve;
        }
        let is_there = is_manifest(asked) || seen.lock().unwrap().contains(&name);
        let empty = || vec![("content-length", "0".to_owned())];
        if asked.method == "HEAD" && is_there { Answer::Status(200, empty(), String::new()) } else { Answer::Serve }
    });
    commit(&store, &front.host(), &front.image("mine/image:1.0"), &[]).success();
    store.ok(["create", "--insecure-registry", &registry.host(), &registry.url("mine/image:1.0"), "y"]);
    assert_eq!(differences(&expected, &whole_seconds(Node::read_tree(&store.rootfs("y"))), 5), [""; 0]);
}

#[test]
fn passwords_of_the_destination_are_not_told() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    container(&store);
    let destination = format!("docker://{USER}:{PASSWORD}@{}/mine/image:1.0", registry.host());
    for flags in [&[][..], &["--json"]] {
        let told = commit(&store, &registry.host(), &destination, flags).success();
        let shown = format!("docker://[redacted]@{}/mine/image:1.0", registry.host());
        assert!(told.contains(&shown) && !told.contains(PASSWORD), "{told}");
    }
}

/// Requests that change something, but for their queries.
fn changes(asked: &[Asked]) -> Vec<String> {
    let changing = asked.iter().filter(|asked| !matches!(asked.method.as_str(), "GET" | "HEAD"));
    changing.map(|asked| format!("{} {}", asked.method, asked.path.split('?').next().unwrap())).collect()
}

fn is_manifest(asked: &Asked) -> bool {
    asked.path.contains("/manifests/")
}

#[test]
fn every_tool_reads_what_was_pushed_and_nothing_is_sent_twice() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    let expected = container(&store);
    let front = ScriptedRegistry::in_front_of(&registry.host(), |_| Answer::Serve);
    let destination = front.image("mine/image:1.0");
    let told = commit(&store, &front.host(), &destination, &["--json"]).success();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["digest"], registry.digest("mine/image:1.0"), "the tag is what was told");
    let sent = changes(&front.asked());
    assert_eq!(sent.iter().filter(|line| line.starts_with("PUT /v2/mine/image/blobs/")).count(), 4, "{sent:?}");
    assert_eq!(sent.last().unwrap(), "PUT /v2/mine/image/manifests/1.0", "last");

    let again = front.image("mine/image:again");
    let before = front.asked().len();
    commit(&store, &front.host(), &again, &[]).success();
    assert_eq!(changes(&front.asked()[before..]), ["PUT /v2/mine/image/manifests/again"]);

    store.ok(["create", "--insecure-registry", &registry.host(), &registry.url("mine/image:1.0"), "y"]);
    assert_eq!(differences(&expected, &whole_seconds(Node::read_tree(&store.rootfs("y"))), 5), [""; 0]);
    let layout = store.beside("copied");
    let to = format!("oci:{}:latest", layout.display());
    let from = registry.url("mine/image:1.0");
    succeed("skopeo", ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", &from, &to]);
    assert_eq!(differences(&expected, &whole_seconds(umoci(&layout, &store.beside("bundle"))), 5), [""; 0]);
    let built = buildah(&from, &store.beside("buildah"));
    assert_eq!(differences(&expected, &whole_seconds(built), 5), [""; 0]);
}

#[test]
fn layers_of_the_same_registry_are_neither_read_nor_sent() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    registry.push(&base().write(&store.beside("base"), "latest"), "some/base:latest", &["--format", "oci"]);
    let front = ScriptedRegistry::in_front_of(&registry.host(), |_| Answer::Serve);
    store.ok(["create", "--insecure-registry", &front.host(), &front.image("some/base:latest"), "x"]);
    let expected = work(&store.rootfs("x"));
    let before = front.asked().len();
    commit(&store, &front.host(), &front.image("other/mine:1"), &[]).success();
    let asked = front.asked();
    let blobs = asked[before..].iter().filter(|asked| asked.method == "GET" && asked.path.contains("/blobs/"));
    assert_eq!(blobs.count(), 0, "the base is not read again");
    let sent = changes(&asked[before..]);
    let puts = sent.iter().filter(|line| line.starts_with("PUT /v2/other/mine/blobs/")).count();
    assert_eq!(puts, 2, "the container's layer and the configuration: {sent:?}");
    store.ok(["create", "--insecure-registry", &registry.host(), &registry.url("other/mine:1"), "y"]);
    assert_eq!(differences(&expected, &whole_seconds(Node::read_tree(&store.rootfs("y"))), 5), [""; 0]);
    // Into the repository of the base itself, nothing need be taken over.
    let before = front.asked().len();
    commit(&store, &front.host(), &front.image("some/base:2"), &[]).success();
    assert!(front.asked()[before..].iter().all(|asked| !asked.path.contains("mount=")));
}

#[test]
fn a_registry_that_takes_nothing_over_is_sent_the_layers() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    registry.push(&base().write(&store.beside("base"), "latest"), "some/base:latest", &["--format", "oci"]);
    for (n, status) in [202, 201, 400, 401, 403, 404, 405, 500].into_iter().enumerate() {
        let front = ScriptedRegistry::in_front_of(&registry.host(), move |asked| {
            let is_lie = asked.path.contains("mount=");
            if is_lie { Answer::Status(status, vec![], String::new()) } else { Answer::Serve }
        });
        store.ok(["create", "--insecure-registry", &front.host(), &front.image("some/base:latest"), "x"]);
        fs::write(store.rootfs("x").join("added"), status.to_string()).unwrap();
        commit(&store, &front.host(), &front.image(&format!("other{n}/mine:1")), &[]).success();
        store.ok(["delete", "x"]);
    }
}

#[test]
fn names_and_passwords_and_tokens() {
    let store = TempStore::new();
    let expected = container(&store);
    let tokens = TokenServer::start(Duration::from_secs(600), false);
    let tokens_of = Some((tokens.realm(), tokens.authority()));
    for (n, setup) in [Setup { basic_auth: true, ..Setup::default() }, Setup { tokens_of, ..Setup::default() }]
        .into_iter()
        .enumerate()
    {
        let registry = Registry::start(setup);
        let (host, destination) = (registry.host(), registry.url("mine/image:1.0"));
        let refused = commit(&store, &host, &destination, &[]).failure();
        assert!(refused.starts_with(&format!("pushing {destination}: the registry denies access: ")), "{refused}");
        let wrong = commit(&store, &host, &destination, &["--username", USER, "--password", "wrong-word"]).failure();
        assert!(wrong.contains("invalid username/password"), "{wrong}");
        let login = ["--username", USER, "--password", PASSWORD];
        commit(&store, &host, &destination, &login).success();
        let id = format!("y{n}");
        store.ok([&["create", "--insecure-registry", &host][..], &login, &[&destination, &id]].concat());
        assert_eq!(differences(&expected, &whole_seconds(Node::read_tree(&store.rootfs(&id))), 5), [""; 0]);
    }
    let scopes: Vec<String> = tokens.asked().iter().flat_map(Asked::scopes).collect();
    assert!(scopes.contains(&"repository:mine/image:pull,push".to_owned()), "{scopes:?}");
}

#[test]
fn the_password_is_for_the_registry_that_is_written_to() {
    let store = TempStore::new();
    base().write(&store.beside("base"), "latest");
    let challenge = || Answer::Status(401, vec![("www-authenticate", "Basic realm=x".into())], String::new());
    let asks = Arc::new(AtomicBool::new(false));
    let is_asking = Arc::clone(&asks);
    let source = ScriptedRegistry::start(&store.beside("base"), move |_| match is_asking.load(Ordering::Relaxed) {
        true => challenge(),
        false => Answer::Serve,
    });
    let target = ScriptedRegistry::start(&store.beside("base"), move |_| challenge());
    store.ok(["create", "--insecure-registry", &source.host(), &source.url(), "x"]);
    asks.store(true, Ordering::Relaxed);
    let flags = ["--username", USER, "--password", PASSWORD, "--insecure-registry", &source.host()];
    commit(&store, &target.host(), &target.image("a/b:1"), &flags).failure();
    assert!(source.asked().iter().all(|asked| asked.header("authorization").is_empty()));
    assert!(target.asked().iter().any(|asked| !asked.header("authorization").is_empty()));
}

#[test]
fn certificates_are_verified() {
    let store = TempStore::new();
    container(&store);
    let registry = Registry::start(Setup { tls_for: Some("localhost"), ..Setup::default() });
    let destination = registry.url("mine:1");
    let message = store.fails(["commit", "x", &destination]);
    assert!(message.contains("This registry is insecure"), "{message}");
    run(store.command(["commit", "x", &destination]).env("SSL_CERT_FILE", registry.authority())).success();
    commit(&store, &registry.host(), &registry.url("mine:2"), &[]).success();
    let plain = Registry::plain();
    let message = store.fails(["commit", "x", &plain.url("mine:1")]);
    assert!(message.contains("This registry is insecure"), "{message}");
}

/// Passes connections on to a port of this machine, and returns what clients send that is no TLS.
fn plain_requests(listener: TcpListener, port: u16) -> Arc<Mutex<Vec<u8>>> {
    let plain = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&plain);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, seen) = (client.unwrap(), Arc::clone(&seen));
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let (mut buffer, mut is_plain) = ([0; 4096], None);
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    /// A record of TLS that begins its handshake (RFC 8446, 5.1).
                    const HANDSHAKE: u8 = 22;
                    if *is_plain.get_or_insert(buffer[0] != HANDSHAKE) {
                        seen.lock().unwrap().extend_from_slice(&buffer[..count]);
                    }
                    if server.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = server.shutdown(Shutdown::Write);
            });
        }
    });
    plain
}

/// A registry behind a proxy that ends TLS may take itself for one without.
#[test]
fn what_began_with_tls_does_not_go_on_without() {
    let store = TempStore::new();
    container(&store);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    let calls_itself = Some(format!("http://{host}"));
    let setup = Setup { tls_for: Some("localhost"), basic_auth: true, calls_itself, ..Setup::default() };
    let registry = Registry::start(setup);
    let port = registry.host().rsplit_once(':').unwrap().1.parse().unwrap();
    let plain = plain_requests(listener, port);
    let destination = format!("docker://{host}/mine:1");
    let arguments = ["commit", "--username", USER, "--password", PASSWORD, "x", &destination];
    let message = run(store.command(arguments).env("SSL_CERT_FILE", registry.authority())).failure();
    assert!(message.contains(&format!("http://{host}/")), "{message}");
    assert_eq!(String::from_utf8_lossy(&plain.lock().unwrap()), "");
    // Who need not be who he says may be sent on, but is told nothing that is the registry's.
    commit(&store, &host, &destination, &arguments[1..5]).failure();
    let sent = String::from_utf8_lossy(&plain.lock().unwrap()).to_lowercase();
    assert!(sent.contains("put /v2/mine/blobs/uploads/") && !sent.contains("authorization:"), "{sent:.1000}");
}

#[test]
fn names_that_cannot_be_pushed_to_and_offline() {
    let store = TempStore::new();
    container(&store);
    let offline = store.fails(["commit", "--offline", "x", "docker://127.0.0.1:1/a:b"]);
    assert_eq!(offline, "pushing docker://127.0.0.1:1/a:b: --offline is set");
    let digest = format!("docker://127.0.0.1:1/a@sha256:{}", "0".repeat(64));
    assert!(store.fails(["commit", "x", &digest]).ends_with("by a tag, not by a digest"));
    let nobody = store.fails(["commit", "x", "docker://127.0.0.1:1/a:b"]);
    assert!(nobody.starts_with("pushing docker://127.0.0.1:1/a:b: http"), "{nobody}");
    assert!(nobody.contains("cannot connect"), "{nobody}");
    let secret = store.fails(["commit", "x", &format!("docker://me:{PASSWORD}@127.0.0.1:1/A")]);
    assert!(!secret.contains(PASSWORD), "{secret}");
}

/// What one fault in front of a good registry comes to.
fn with_fault(
    store: &TempStore,
    registry: &Registry,
    fault: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
) -> (String, Vec<Asked>) {
    let front = ScriptedRegistry::in_front_of(&registry.host(), move |asked| fault(asked).unwrap_or(Answer::Serve));
    let name = format!("docker://{}/n{}/a:b", front.host(), front.port());
    let message = commit(store, &front.host(), &name, &[]).failure();
    assert!(message.starts_with("pushing docker://") && message.len() < 1200, "{message}");
    assert!(!message.contains('\n'), "{message}");
    (message, front.asked())
}

#[test]
fn refusals_are_one_line_and_say_what_the_registry_says() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    container(&store);
    let body = |code: &str| json!({ "errors": [{ "code": code, "message": "as I say\n\u{1b}[31m" }] }).to_string();
    for (status, method, tries) in [
        (400, "PUT", 1),
        (401, "POST", 1),
        (403, "POST", 1),
        (403, "PUT", 1),
        (404, "POST", 1),
        (405, "POST", 1),
        (413, "PUT", 1),
        (429, "POST", 5),
        (500, "PUT", 5),
        (503, "POST", 5),
    ] {
        let code = format!("CODE_{status}");
        let text = body(&code);
        let (message, asked) = with_fault(&store, &registry, move |asked| {
            (asked.method == method).then(|| Answer::Status(status, vec![], text.clone()))
        });
        assert!(message.contains(&format!("{status} ")) && message.contains(&code), "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
        assert_eq!(asked.iter().filter(|asked| asked.method == method).count(), tries, "{message}");
        assert_eq!(asked.iter().filter(|asked| asked.method == "PUT" && is_manifest(asked)).count(), 0);
    }
    let large = "x".repeat(1 << 20);
    let (message, _) = with_fault(&store, &registry, move |asked| {
        (asked.method == "POST").then(|| Answer::Status(403, vec![], large.clone()))
    });
    assert!(message.contains("403 Forbidden: log in"), "{message}");
    let (message, asked) = with_fault(&store, &registry, |asked| {
        let later = vec![("retry-after", "3600".to_owned())];
        (asked.method == "POST").then(|| Answer::Status(429, later, String::new()))
    });
    assert!(message.ends_with("asks to be left alone for 3600 s"), "{message}");
    assert_eq!(asked.iter().filter(|asked| asked.method == "POST").count(), 1);
    let (message, _) = with_fault(&store, &registry, |asked| {
        (asked.method == "PUT" && is_manifest(asked)).then(|| Answer::Status(400, vec![], String::new()))
    });
    assert!(message.contains("/manifests/b: the server answers 400"), "{message}");
}

#[test]
fn what_passes_is_tried_again() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    container(&store);
    let breaks = AtomicBool::new(true);
    let fault = move |asked: &Asked| match (asked.method.as_str(), asked.before) {
        ("POST", 0) => Answer::Status(503, vec![], String::new()),
        ("PUT", 0) if !is_manifest(asked) && breaks.swap(false, Ordering::Relaxed) => Answer::CloseAfter(0),
        ("PUT", 0) if is_manifest(asked) => Answer::Status(429, vec![("retry-after", "1".into())], String::new()),
        ("HEAD", 0) => Answer::Status(502, vec![], String::new()),
        _ => Answer::Serve,
    };
    let front = ScriptedRegistry::in_front_of(&registry.host(), fault);
    commit(&store, &front.host(), &front.image("mine:1"), &[]).success();
    store.ok(["create", "--insecure-registry", &registry.host(), &registry.url("mine:1"), "y"]);
}

#[test]
fn places_to_send_to() {
    let (store, registry) = (TempStore::new(), Registry::start(Setup { basic_auth: true, ..Setup::default() }));
    container(&store);
    let login = ["--username", USER, "--password", PASSWORD];
    // An answer without a place, and places that are none.
    for (location, reason) in [
        ("", "does not say where to send"),
        ("file:///etc/passwd", "not an allowed URL"),
        ("ftp://127.0.0.1/x", "not an allowed URL"),
        ("http://[", "not an allowed URL"),
        ("http://169.254.169.254/latest", "to an address that is not allowed"),
        ("http://127.0.0.1:1/v2/x", "cannot connect"),
    ] {
        let host = registry.host();
        let front = ScriptedRegistry::in_front_of(&host, move |asked| match asked.method.as_str() {
            "POST" if !asked.header("authorization").is_empty() => {
                Answer::Status(202, vec![("location", location.to_owned())], String::new())
            }
            _ => Answer::Serve,
        });
        let message = commit(&store, &front.host(), &front.image("a:b"), &login).failure();
        assert!(message.contains(reason), "{location}: {message}");
    }
    // Elsewhere, by the place or by a redirect: the bytes, but not who sends them.
    for is_redirect in [false, true] {
        let elsewhere = ScriptedRegistry::start(Path::new("/nowhere"), |_| Answer::Status(201, vec![], String::new()));
        let place = format!("http://{}/take?it=1", elsewhere.host());
        let front = ScriptedRegistry::in_front_of(&registry.host(), move |asked| {
            let is_known = !asked.header("authorization").is_empty();
            match asked.method.as_str() {
                "POST" if is_known && !is_redirect => {
                    Answer::Status(202, vec![("location", place.clone())], String::new())
                }
                "PUT" if is_known && is_redirect => {
                    Answer::Status(307, vec![("location", place.clone())], String::new())
                }
                _ => Answer::Serve,
            }
        });
        let message = commit(&store, &front.host(), &front.image("c:d"), &login).failure();
        assert!(message.contains("the server answers 404"), "it is not there afterwards: {message}");
        let asked = elsewhere.asked();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked.method == "PUT" && !asked.body.is_empty()));
        assert!(asked.iter().all(|asked| asked.header("authorization").is_empty()));
    }
    // A relative place.
    let front = ScriptedRegistry::in_front_of(&registry.host(), move |asked| match asked.method.as_str() {
        "POST" if !asked.header("authorization").is_empty() => {
            Answer::Status(202, vec![("location", "../uploads/1?state=x".into())], String::new())
        }
        "PUT" => Answer::Status(418, vec![], String::new()),
        _ => Answer::Serve,
    });
    commit(&store, &front.host(), &front.image("e:f"), &login).failure();
    let posts: Vec<Asked> = front.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    assert!(!posts.is_empty() && posts.iter().all(|post| post.header("content-length") == "0"), "{posts:?}");
    let put = front.asked().into_iter().find(|asked| asked.method == "PUT").unwrap();
    assert!(put.path.starts_with("/v2/e/blobs/uploads/1?state=x&digest=sha256%3A"), "{}", put.path);
}

#[test]
fn a_registry_that_has_something_else_is_not_believed() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    container(&store);
    let other = || ("docker-content-digest", format!("sha256:{}", "1".repeat(64)));
    let (message, _) = with_fault(&store, &registry, move |asked| {
        (asked.method == "PUT").then(|| Answer::Status(201, vec![other()], String::new()))
    });
    assert!(message.contains(&format!("the server has {} where sha256:", other().1)), "{message}");
    let (message, _) = with_fault(&store, &registry, |asked| {
        let size = vec![("content-length", "7".to_owned())];
        (asked.method == "HEAD").then(|| Answer::Status(200, size, String::new()))
    });
    assert!(message.contains("the server has 7 bytes of sha256:"), "{message}");
    // One that throws blobs away, and one that throws the manifest away.
    let (message, _) = with_fault(&store, &registry, |asked| {
        let is_blob = asked.method == "PUT" && !is_manifest(asked);
        is_blob.then(|| Answer::Status(201, vec![], String::new()))
    });
    assert!(message.contains("/blobs/sha256:") && message.contains("the server answers 404"), "{message}");
    let (message, _) = with_fault(&store, &registry, |asked| {
        (asked.method == "PUT" && is_manifest(asked)).then(|| Answer::Status(201, vec![], String::new()))
    });
    assert!(message.contains("/manifests/sha256:") && message.contains("the server answers 404"), "{message}");
}

#[test]
fn a_registry_that_closes_or_takes_nothing_is_given_up() {
    let store = TempStore::new();
    container(&store);
    let config = store.beside("config.yml");
    fs::write(&config, "create: {limits: {stall_timeout_seconds: 1, manifest_timeout_seconds: 1}}").unwrap();
    for is_silent in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut head = [0; 4096];
                    let count = stream.read(&mut head).unwrap_or(0);
                    let answer: &[u8] = match &head[..count] {
                        head if head.starts_with(b"HEAD") => b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n",
                        head if head.starts_with(b"POST") => {
                            b"HTTP/1.1 202 X\r\ncontent-length: 0\r\nlocation: /here\r\n\r\n"
                        }
                        head if head.starts_with(b"PUT") && is_silent => return thread::park(),
                        head if head.starts_with(b"PUT") => b"HTTP/1.1 2",
                        _ => b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n",
                    };
                    let _ = stream.write_all(answer);
                });
            }
        });
        let destination = format!("docker://{host}/a:b");
        let (config, url) = (config.to_str().unwrap(), destination.as_str());
        let message = store.fails(["--config", config, "commit", "--insecure-registry", &host, "x", url]);
        assert!(message.starts_with(&format!("pushing {url}: http://{host}/here: ")), "{message}");
    }
}

#[test]
fn nothing_is_left_beside_the_image_that_was_sent() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    container(&store);
    let temporary = store.beside("temporary");
    fs::create_dir(&temporary).unwrap();
    let host = registry.host();
    for destination in [registry.url("a:b"), "docker://127.0.0.1:1/a:b".to_owned()] {
        let mut command = store.command(["commit", "--insecure-registry", &host, "x", &destination]);
        run(command.env("TMPDIR", &temporary));
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{destination}");
    }
    registry.digest("a:b");
}
