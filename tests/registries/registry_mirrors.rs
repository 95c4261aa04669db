//! Mirrors of registries, and proxies on the way to them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{
    Answer, Asked, PASSWORD, Registry, ScriptedRegistry, Setup, TempStore, USER, assert_whole, forget, image,
    large_layer, run, succeed, wrapped,
};
use serde_json::json;

/// A registry with the image, and a server in front of it that counts as the origin.
struct Scene {
    store: TempStore,
    registry: Registry,
    origin: ScriptedRegistry,
}

impl Scene {
    fn new() -> Self {
        let (store, registry) = (TempStore::new(), Registry::plain());
        registry.push(&image().write(&store.beside("layout"), "latest"), "some/image:latest", &["--format", "oci"]);
        let origin = ScriptedRegistry::in_front_of(&registry.host(), |_| Answer::Serve);
        Scene { store, registry, origin }
    }

    /// A mirror that has what the registry has, and does what it is told.
    fn mirror(&self, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> ScriptedRegistry {
        ScriptedRegistry::in_front_of(&self.registry.host(), script)
    }

    /// The image is made with these mirrors.
    #[track_caller]
    fn copes(&self, mirrors: &[String]) {
        let mirrors: Vec<String> = mirrors.iter().map(|mirror| format!("{}={mirror}", self.origin.host())).collect();
        let mut arguments = vec!["create".to_owned(), "--insecure-registry".to_owned(), self.origin.host()];
        mirrors.into_iter().for_each(|mirror| arguments.extend(["--registry-mirror".to_owned(), mirror]));
        self.store.ok([arguments, vec![self.origin.url(), "x".to_owned()]].concat());
        assert_whole(&self.store.rootfs("x"));
        forget(&self.store, "x");
    }
}

/// Plain HTTP, and so said.
fn plain(server: &ScriptedRegistry) -> String {
    format!("http://{}", server.host())
}

fn is_large(asked: &Asked) -> bool {
    asked.path.ends_with(&large_layer().digest)
}

#[test]
fn a_mirror_spares_the_registry() {
    let scene = Scene::new();
    let mirror = scene.mirror(|_| Answer::Serve);
    scene.copes(&[plain(&mirror)]);
    assert_eq!(scene.origin.asked().len(), 0);
    assert_eq!(mirror.asked().len(), 5, "manifest, configuration, three layers");

    let config = scene.store.beside("config.yml");
    let mirrors = format!("create: {{registry_mirrors: {{'{}': ['{}']}}}}\n", scene.origin.host(), plain(&mirror));
    fs::write(&config, mirrors).unwrap();
    scene.store.ok(["--config", config.to_str().unwrap(), "create", &scene.origin.url(), "x"]);
    assert_whole(&scene.store.rootfs("x"));
    assert_eq!((scene.origin.asked().len(), mirror.asked().len()), (0, 10));
}

#[test]
fn mirrors_that_fail_are_passed_over_once_and_for_all() {
    let scene = Scene::new();
    let log = scene.store.beside("log");
    for code in [401, 403, 404, 500] {
        let broken = scene.mirror(move |_| Answer::Status(code, vec![], String::new()));
        let second = scene.mirror(|_| Answer::Serve);
        scene.copes(&["http://127.0.0.1:1".to_owned(), plain(&broken), plain(&second)]);
        assert!(broken.asked().len() <= 2, "{code}");
        assert_eq!(second.asked().len(), 5);
    }
    // One without the layers.
    let partial = scene.mirror(|asked| match asked.is_blob() {
        true => Answer::Status(404, vec![], String::new()),
        false => Answer::Serve,
    });
    scene.copes(&[plain(&partial)]);
    // Whoever has nothing for a stranger is asked at its root whether it knows no strangers.
    let from_mirror: Vec<String> = partial.asked().into_iter().map(|asked| asked.path).collect();
    assert!(from_mirror.len() == 3 && from_mirror[2] == "/v2/", "only the manifest came from it: {from_mirror:?}");
    assert_eq!(scene.origin.asked().len(), 4);
    // One that is not verified, and not said to be insecure.
    let unnamed = scene.mirror(|_| Answer::Serve);
    scene.copes(&[unnamed.host()]);
    assert_eq!(unnamed.asked().len(), 0);
    let flags = ["--log-level", "info", "--log-file", log.to_str().unwrap(), "create"];
    let insecure = format!("{},{}", scene.origin.host(), unnamed.host());
    let mirror = format!("{0}=127.0.0.1:1,{0}={1}", scene.origin.host(), unnamed.host());
    let create = ["--insecure-registry", &insecure, "--registry-mirror", &mirror, &scene.origin.url(), "x"];
    scene.store.ok([&flags[..], &create].concat());
    assert_eq!(unnamed.asked().len(), 5);
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("mirror-failed") && log.contains("127.0.0.1:1") && log.contains("Connection refused"),
        "{log}"
    );
}

#[test]
fn what_a_mirror_began_the_registry_ends() {
    let scene = Scene::new();
    let breaking = scene.mirror(|asked| match is_large(asked) {
        true if asked.header("range").is_empty() => Answer::CloseAfter(1_000_000),
        true => Answer::CloseAfter(0),
        false => Answer::Serve,
    });
    scene.copes(&[plain(&breaking)]);
    let rest: Vec<Asked> = scene.origin.asked().into_iter().filter(is_large).collect();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].header("range"), "bytes=1000000-");
}

#[test]
fn a_mirror_that_lies_is_not_believed() {
    let scene = Scene::new();
    let mut wrong = large_layer().blob.unwrap();
    wrong[1_500_000] ^= 1;
    let longer = [large_layer().blob.unwrap(), b"x".to_vec()].concat();
    for body in [wrong, longer] {
        let lying = scene.mirror(move |asked| match is_large(asked) {
            true => Answer::Body(body.clone()),
            false => Answer::Serve,
        });
        let before = scene.origin.asked().len();
        scene.copes(&[plain(&lying)]);
        assert_eq!(scene.origin.asked().len() - before, 1, "the layer that was wrong");
    }
    for body in ["<html>", "{}", r#"{"schemaVersion":1}"#] {
        let lying = scene.mirror(move |_| Answer::Body(body.into()));
        scene.copes(&[plain(&lying)]);
        assert_eq!(lying.asked().len(), 1);
    }
    let lying = scene.mirror(|_| Answer::Body(br#"{"manifests":[]}"#.to_vec()));
    let pinned = scene.origin.image(&format!("some/image@{}", scene.registry.digest("some/image")));
    let mirror = format!("{}={}", scene.origin.host(), plain(&lying));
    let host = scene.origin.host();
    scene.store.ok(["create", "--insecure-registry", &host, "--registry-mirror", &mirror, &pinned, "x"]);
    assert_eq!(lying.asked().len(), 1);
}

#[test]
fn a_registry_that_pulls_through_is_a_mirror() {
    let scene = Scene::new();
    let cache =
        Registry::start(Setup { pulls_from: Some(format!("http://{}", scene.registry.host())), ..Setup::default() });
    scene.copes(&[format!("http://{}", cache.host())]);
    assert_eq!(scene.origin.asked().len(), 0);
}

#[test]
fn a_mirror_gets_its_own_logins_only() {
    let scene = Scene::new();
    let wants_login = |asked: &Asked| match asked.header("authorization") {
        "" => Answer::Status(401, vec![("www-authenticate", "Basic realm=x".into())], String::new()),
        _ => Answer::Serve,
    };
    let mirror = scene.mirror(wants_login);
    let (host, url, file) = (scene.origin.host(), scene.origin.url(), scene.store.beside("auth.json"));
    let create = |auths: serde_json::Value, id: &str| {
        fs::write(&file, json!({ "auths": auths }).to_string()).unwrap();
        let mirror = format!("{host}={}", plain(&mirror));
        let flags = ["create", "--insecure-registry", &host, "--registry-mirror", &mirror, "--username", USER];
        let mut command = scene.store.command([&flags[..], &["--password", PASSWORD, &url, id]].concat());
        run(command.env("REGISTRY_AUTH_FILE", &file)).success();
    };
    // base64 of `origin:secret` and `mirror:secret`
    create(json!({ (&host): { "auth": "b3JpZ2luOnNlY3JldA==" } }), "one");
    assert!(mirror.asked().iter().all(|asked| asked.header("authorization").is_empty()), "{:?}", mirror.asked());
    assert_eq!(scene.origin.asked().len(), 5);
    forget(&scene.store, "one");
    create(json!({ (mirror.host()): { "auth": "bWlycm9yOnNlY3JldA==" } }), "two");
    let sent: Vec<_> = mirror.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect();
    assert!(sent.contains(&"Basic bWlycm9yOnNlY3JldA==".to_owned()), "{sent:?}");
    assert_eq!(scene.origin.asked().len(), 5, "the mirror had all of it");
}

#[test]
fn a_mirror_may_keep_images_below_a_prefix() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    registry.push(&image().write(&store.beside("layout"), "latest"), "hub/library/busybox:1", &[]);
    let mirror = format!("docker.io=http://{}/hub/", registry.host());
    store.ok(["create", "--registry-mirror", &mirror, "docker:///busybox#1", "x"]);
    assert_whole(&store.rootfs("x"));
}

#[test]
fn a_mirror_that_is_no_address_is_told() {
    let store = TempStore::new();
    for (mirror, reason) in [
        ("docker.io=ftp://m.example", "registry mirror `ftp://m.example` is not an endpoint"),
        ("docker.io=me:secret@m.example", "a mirror of docker.io is named with a user: log in to it instead"),
        ("nothing", "must be HOST=ENDPOINT"),
        ("=m.example", "must be HOST=ENDPOINT"),
    ] {
        let message = store.fails(["create", "--registry-mirror", mirror, "docker:///a", "x"]);
        assert!(message.contains(reason) && !message.contains("secret"), "{message}");
    }
}

// --- proxies ---

/// Takes what comes and sends it on, as a proxy does for encrypted connections (RFC 9110, 9.3.6); tells what for.
struct Tunnel {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let all = Arc::clone(&asked);
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                all.lock().unwrap().push(format!("{} {target}", head.split(' ').next().unwrap_or_default()));
                let port = target.rsplit(':').next().unwrap_or_default().to_owned();
                let Ok(server) = TcpStream::connect(format!("127.0.0.1:{port}")) else { continue };
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        Tunnel { port, asked }
    }
}

#[test]
fn the_proxies_of_the_environment_are_used_in_either_case() {
    let scene = Scene::new();
    let url = "docker://registry.invalid/some/image";
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        let proxy = scene.mirror(|_| Answer::Serve);
        let mut command = scene.store.command(["create", "--insecure-registry", "registry.invalid", url, "x"]);
        run(command.env(variable, plain(&proxy))).success();
        assert_whole(&scene.store.rootfs("x"));
        let asked = proxy.asked();
        assert!(asked.len() >= 5 && asked.iter().any(|asked| asked.header("host") == "registry.invalid"), "{asked:?}");
        forget(&scene.store, "x");
    }
    // The certificate is for this name, and the proxy knows the way.
    let registry = Registry::start(Setup { tls_for: Some("registry.invalid"), ..Setup::default() });
    let local = registry.host().replace("registry.invalid", "127.0.0.1");
    let layout = format!("oci:{}:latest", scene.store.beside("layout").display());
    succeed(
        "skopeo",
        ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &layout, &format!("docker://{local}/a")],
    );
    for variable in ["https_proxy", "HTTPS_PROXY"] {
        let tunnel = Tunnel::start();
        let mut command = scene.store.command(["create", &registry.url("a"), "x"]);
        command.env(variable, format!("http://me:secret@127.0.0.1:{}", tunnel.port));
        run(command.env("SSL_CERT_FILE", registry.authority())).success();
        assert_whole(&scene.store.rootfs("x"));
        let asked = tunnel.asked.lock().unwrap().clone();
        assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == format!("CONNECT {}", registry.host())));
        forget(&scene.store, "x");
    }
}

/// An address of this machine that is not the loopback's, for as long as the test takes.
struct Address(String);

impl Address {
    /// In the block for documentation (RFC 5737), so that nobody else has it.
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let address = format!("192.0.2.{}", COUNT.fetch_add(1, Ordering::Relaxed) + std::process::id() as usize % 200);
        succeed("ip", ["address", "add", &format!("{address}/32"), "dev", "lo"]);
        Address(address)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["address", "del", &format!("{}/32", self.0), "dev", "lo"]).status();
    }
}

#[test]
fn no_proxy_knows_addresses_blocks_and_names() {
    let scene = Scene::new();
    let address = Address::new();
    let host = format!("{}:{}", address.0, scene.origin.port());
    let url = format!("docker://{host}/some/image");
    let with = |variable: &str, value: &str| {
        let mut command = scene.store.command(["create", "--insecure-registry", &host, &url, "x"]);
        // Nobody is there.
        run(command
            .env("http_proxy", "http://127.0.0.1:1")
            .env("https_proxy", "http://127.0.0.1:1")
            .env(variable, value))
    };
    for value in ["192.0.2.0/24", "10.0.0.0/8,192.0.0.0/16", &address.0, &host, "*"] {
        for variable in ["no_proxy", "NO_PROXY"] {
            with(variable, value).success();
            assert_whole(&scene.store.rootfs("x"));
            forget(&scene.store, "x");
        }
    }
    for value in ["", "192.0.3.0/24", "other.example"] {
        let message = with("no_proxy", value).failure();
        assert!(message.contains(&url) && message.contains("cannot connect"), "{message}");
    }
}

#[test]
fn no_proxy_knows_domains() {
    let scene = Scene::new();
    let hosts = scene.store.beside("hosts");
    fs::write(&hosts, "127.0.0.1 registry.some.example\n").unwrap();
    let script = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", hosts.display());
    let host = format!("registry.some.example:{}", scene.origin.port());
    let url = format!("docker://{host}/some/image");
    let with = |variables: &[(&str, &str)]| {
        let create = scene.store.command(["create", "--without-mount", "--insecure-registry", &host, &url, "x"]);
        let mut command = wrapped(&["unshare", "--mount", "sh", "-c", &script, "sh"], &create);
        // Nobody is there.
        command.env("http_proxy", "http://127.0.0.1:1").env("https_proxy", "http://127.0.0.1:1");
        run(command.envs(variables.iter().copied()))
    };
    for value in ["*.some.example", "other.example, *.example", ".some.example", "example", "*.some.example:5000,*"] {
        with(&[("NO_PROXY", value)]).success();
        forget(&scene.store, "x");
    }
    with(&[("NO_PROXY", ""), ("no_proxy", "*.some.example")]).success();
    forget(&scene.store, "x");
    for value in ["*.other.example", "*.registry.some.example", "*.some.example:1"] {
        with(&[("NO_PROXY", value)]).failure();
    }
}

#[test]
fn no_proxy_is_asked_for_this_machine() {
    let scene = Scene::new();
    let mut command =
        scene.store.command(["create", "--insecure-registry", &scene.origin.host(), &scene.origin.url(), "x"]);
    run(command.env("HTTP_PROXY", "http://127.0.0.1:1").env("HTTPS_PROXY", "http://127.0.0.1:1")).success();
    assert_whole(&scene.store.rootfs("x"));
}
