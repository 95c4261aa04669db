//! Layers that an image keeps on servers of its own, at the `urls` of their descriptors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{
    Answer, Archive, Image, Layer, Outcome, PASSWORD, Registry, ScriptedRegistry, TempStore, USER, WebServer,
    make_certificates, make_client_certificate, make_own_certificate, noise, run, sha256_hex,
};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

fn layer() -> Layer {
    let archive = Archive::new().directory("far", 0o755).file("far/noise", 0o644, &noise(2_000_000, 3));
    Layer::new(archive.hard_link("far/link", "far/noise").bytes())
}

/// A layout whose only layer is elsewhere.
fn image(store: &TempStore, urls: &[String]) -> String {
    let elsewhere = Layer { blob: None, ..layer() }.urls(urls);
    Image::new().layer(elsewhere).write(&store.beside("layout"), "latest")
}

/// Puts the layer's blob where a server finds it, and returns the directory.
fn served(store: &TempStore) -> PathBuf {
    let root = store.beside("served");
    fs::create_dir_all(root.join("blobs")).unwrap();
    fs::write(root.join("blobs").join(layer().digest), layer().blob.unwrap()).unwrap();
    root
}

/// A server without TLS that has the blob.
fn server(
    store: &TempStore,
    script: impl Fn(&crate::support::Asked) -> Answer + Send + Sync + 'static,
) -> (ScriptedRegistry, String) {
    let layout = store.beside("elsewhere");
    Image::new().layer(layer()).write(&layout, "latest");
    let server = ScriptedRegistry::start(&layout, script);
    let url = format!("http://{}/blobs/{}", server.host(), layer().digest);
    (server, url)
}

#[track_caller]
fn assert_whole(rootfs: &Path) {
    assert_eq!(fs::read(rootfs.join("far/noise")).unwrap(), noise(2_000_000, 3));
    assert_eq!(fs::read(rootfs.join("far/link")).unwrap(), noise(2_000_000, 3));
}

/// Certificates of a server and of the authority behind it, and a client's in the form of Garden's jobs.
fn certificates(store: &TempStore) -> (PathBuf, PathBuf) {
    let (ours, theirs) = (store.beside("certs"), store.beside("theirs"));
    fs::create_dir_all(&ours).unwrap();
    fs::create_dir_all(&theirs).unwrap();
    make_certificates(&theirs, "localhost", 2);
    let (certificate, key) = make_client_certificate(&theirs);
    fs::copy(theirs.join("ca.crt"), ours.join("remote-layer.crt")).unwrap();
    fs::copy(certificate, ours.join("remote-layer.cert")).unwrap();
    fs::copy(key, ours.join("remote-layer.key")).unwrap();
    (ours, theirs)
}

/// Creates with a directory of certificates, named relative to the working directory.
fn create_with(store: &TempStore, directory: &str, url: &str, id: &str) -> Outcome {
    let config = store.beside("config.yml");
    fs::write(&config, format!("create: {{remote_layer_client_certificates_path: {directory}}}\n")).unwrap();
    let mut command = store.command(["--config", config.to_str().unwrap(), "create", url, id]);
    run(command.current_dir(store.beside(".")))
}

#[test]
fn with_a_client_certificate() {
    let store = TempStore::new();
    let (ours, theirs) = certificates(&store);
    let web = WebServer::start(&served(&store), &theirs);
    let url = image(&store, &[web.url(&format!("blobs/{}", layer().digest))]);
    create_with(&store, "certs", &url, "x").success();
    assert_whole(&store.rootfs("x"));
    store.ok(["delete", "x"]);
    store.ok(["clean"]);

    // Another pair that comes first and that the server does not know is passed over.
    let strangers = store.beside("strangers");
    fs::create_dir(&strangers).unwrap();
    make_certificates(&strangers, "stranger", 2);
    let (certificate, key) = make_client_certificate(&strangers);
    fs::copy(certificate, ours.join("a.cert")).unwrap();
    fs::copy(key, ours.join("a.key")).unwrap();
    create_with(&store, "certs", &url, "y").success();
    store.ok(["delete", "y"]);
    store.ok(["clean"]);

    for (missing, reason) in [
        ("remote-layer.cert", "missing client certificate remote-layer.cert for key remote-layer.key in "),
        ("remote-layer.key", "missing key remote-layer.key for client certificate remote-layer.cert in "),
    ] {
        let (from, to) = (ours.join(missing), store.beside("aside"));
        fs::rename(&from, &to).unwrap();
        let message = create_with(&store, "certs", &url, "z").failure();
        let reason = format!("{reason}{}", ours.display());
        assert!(message.contains(&layer().digest) && message.ends_with(&reason), "{message}");
        fs::rename(&to, &from).unwrap();
    }
    // Without any, the server is not trusted; with the authority alone, it does not trust us.
    let message = create_with(&store, "no-such-directory", &url, "z").failure();
    assert!(message.contains("failed fetching external blob from all urls: https://localhost:"), "{message}");
    assert!(message.contains("invalid peer certificate"), "{message}");
    for name in ["remote-layer.cert", "remote-layer.key", "a.cert", "a.key"] {
        fs::remove_file(ours.join(name)).unwrap();
    }
    let message = create_with(&store, "certs", &url, "z").failure();
    assert!(message.contains("400 Bad Request"), "{message}");
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn a_server_whose_certificate_is_its_own_authority() {
    let store = TempStore::new();
    let (ours, theirs) = (store.beside("certs"), store.beside("theirs"));
    for directory in [&ours, &theirs] {
        fs::create_dir(directory).unwrap();
    }
    make_own_certificate(&theirs, "localhost");
    fs::copy(theirs.join("server.crt"), ours.join("remote-layer.crt")).unwrap();
    let web = WebServer::start(&served(&store), &theirs);
    let address = web.url(&format!("blobs/{}", layer().digest));
    create_with(&store, "certs", &image(&store, std::slice::from_ref(&address)), "x").success();
    assert_whole(&store.rootfs("x"));
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    // It is good for its own name only.
    let other = image(&store, &[address.replace("localhost", "127.0.0.1")]);
    let message = create_with(&store, "certs", &other, "x").failure();
    assert!(message.contains("not valid for name"), "{message}");
}

#[test]
fn the_first_url_that_has_it_counts() {
    let store = TempStore::new();
    let (broken, missing) = server(&store, |_| Answer::Status(404, vec![], String::new()));
    let (good, there) = server(&store, |_| Answer::Serve);
    let (unneeded, never) = server(&store, |_| Answer::Serve);
    let urls = ["ftp://a.example/x".to_owned(), "http://127.0.0.1:1/x".to_owned(), missing, there, never];
    store.create(&image(&store, &urls), "x");
    assert_whole(&store.rootfs("x"));
    assert_eq!((broken.asked().len(), good.asked().len(), unneeded.asked().len()), (1, 1, 0));
}

#[test]
fn what_one_url_began_the_next_ends() {
    let store = TempStore::new();
    let (breaking, first) = server(&store, |asked| match asked.header("range") {
        "" => Answer::CloseAfter(1_200_000),
        _ => Answer::ResetAfter(0),
    });
    let (good, second) = server(&store, |_| Answer::Serve);
    store.create(&image(&store, &[first, second]), "x");
    assert_whole(&store.rootfs("x"));
    assert!(breaking.asked().len() > 1);
    assert_eq!(good.asked()[0].header("range"), "bytes=1200000-");
}

#[test]
fn all_failures_are_told() {
    let store = TempStore::new();
    let (_server, missing) = server(&store, |_| Answer::Status(404, vec![], String::new()));
    let url = image(&store, &["http://127.0.0.1:1/x?secret".to_owned(), format!("{missing}?secret")]);
    let message = store.fails(["create", &url, "x"]);
    let expected = format!(
        "pulling the image: streaming blob `{}`: failed fetching external blob from all urls: http://127.0.0.1:1/x: \
         cannot connect: Connection refused (os error 111); {missing}: the server answers 404 Not Found",
        layer().digest
    );
    assert_eq!(message, expected);
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn wrong_bytes_are_noticed() {
    let store = TempStore::new();
    let (_server, url) = server(&store, |_| Answer::Body(vec![7; layer().size.unwrap() as usize]));
    assert!(store.fails(["create", &image(&store, &[url]), "x"]).contains("layerID digest mismatch"));
}

#[test]
fn the_layout_has_it_where_no_url_is_of_use() {
    let store = TempStore::new();
    let url = Image::new().layer(layer().urls(&["ftp://a.example/x".into()])).write(&store.beside("layout"), "latest");
    store.create(&url, "x");
    assert_whole(&store.rootfs("x"));
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    // But a URL that can be asked is, whatever the layout has.
    let url =
        Image::new().layer(layer().urls(&["http://127.0.0.1:1/x".into()])).write(&store.beside("layout"), "latest");
    assert!(store.fails(["create", &url, "x"]).contains("Connection refused"));
    assert!(store.fails(["create", "--offline", &url, "x"]).contains("--offline is set"));
}

#[test]
fn redirects_lead_on_but_not_out_of_encryption() {
    let store = TempStore::new();
    let (_end, there) = server(&store, |_| Answer::Serve);
    let target = there.clone();
    let (_start, moved) =
        server(&store, move |_| Answer::Status(302, vec![("location", target.clone())], String::new()));
    store.create(&image(&store, &[moved]), "x");
    assert_whole(&store.rootfs("x"));
    store.ok(["delete", "x"]);
    store.ok(["clean"]);

    let (ours, theirs) = certificates(&store);
    let web = WebServer::redirecting(&theirs, &there);
    let message = create_with(&store, ours.to_str().unwrap(), &image(&store, &[web.url("x")]), "y").failure();
    assert!(message.contains("which is not an allowed URL"), "{message}");
}

#[test]
fn a_base_directory_applies_to_a_layer_from_elsewhere() {
    let store = TempStore::new();
    let (_server, url) = server(&store, |_| Answer::Serve);
    let base = Layer::new(Archive::new().directory("home", 0o755).directory("home/x", 0o700).bytes());
    let far = Layer { blob: None, ..layer() }.urls(&[url]).base_directory("/home/x");
    let image = Image::new().layer(base).layer(far).write(&store.beside("layout"), "latest");
    let rootfs = store.create(&image, "x");
    assert_whole(&rootfs.join("home/x"));
}

#[test]
fn registries_send_foreign_layers_elsewhere_without_credentials() {
    let store = TempStore::new();
    let (elsewhere, url) = server(&store, |_| Answer::Serve);
    for (n, media_type) in [FOREIGN, crate::support::GZIP_LAYER].into_iter().enumerate() {
        let layout = store.beside(&format!("layout-{n}"));
        let far = Layer { blob: None, ..layer() }.media_type(media_type).urls(std::slice::from_ref(&url));
        Image::new().layer(far).write(&layout, "latest");
        let registry = ScriptedRegistry::start(&layout, |asked| match asked.header("authorization") {
            "" => Answer::Status(401, vec![("www-authenticate", "Basic realm=x".into())], String::new()),
            _ => Answer::Serve,
        });
        let flags = ["create", "--insecure-registry", &registry.host(), "--username", USER, "--password", PASSWORD];
        store.ok([&flags[..], &[&registry.url(), "x"]].concat());
        assert_whole(&store.rootfs("x"));
        let asked = registry.asked().iter().filter(|asked| asked.path.ends_with(&layer().digest)).count();
        assert_eq!(asked, n, "an ordinary layer is asked for in the registry first");
        crate::support::forget(&store, "x");
    }
    assert_eq!(elsewhere.asked().len(), 2);
    assert!(elsewhere.asked().iter().all(|asked| asked.header("authorization").is_empty()));
    // A registry that has the layer is believed to be nearer than what the manifest says.
    let layout = store.beside("layout");
    Image::new().layer(layer().urls(&[url])).write(&layout, "latest");
    let registry = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    store.ok(["create", "--insecure-registry", &registry.host(), &registry.url(), "y"]);
    assert_eq!(elsewhere.asked().len(), 2);
}

#[test]
fn a_registry_trusted_by_its_directory_of_certificates() {
    let store = TempStore::new();
    let registry = Registry::start(crate::support::Setup { tls_for: Some("localhost"), ..Default::default() });
    let url = registry.push(&crate::support::image().write(&store.beside("layout"), "latest"), "name:tag", &[]);
    crate::support::assert_insecure(&store.fails(["create", &url, "x"]), "localhost:");
    let directory = Directory::new(&Path::new("/etc/docker/certs.d").join(registry.host()));
    fs::copy(registry.authority(), directory.0.join("ca.crt")).unwrap();
    store.create(&url, "x");
    crate::support::assert_whole(&store.rootfs("x"));
}

/// A directory of this machine, for as long as a test takes.
struct Directory(PathBuf);

impl Directory {
    fn new(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        Directory(path.to_owned())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // Those above stay if others use them.
        let _ = self.0.ancestors().skip(1).take(2).try_for_each(fs::remove_dir);
    }
}

#[test]
fn a_stall_is_left_when_a_lower_layer_fails() {
    let store = TempStore::new();
    let (_server, url) = server(&store, |_| Answer::StallAfter(1000));
    let bad = Layer::new(Archive::new().file("a", 0o644, b"x").bytes());
    let digest = format!("sha256:{}", sha256_hex(b"other"));
    let bad = Layer { digest, blob: Some(bad.blob.unwrap()), ..layer() };
    let far = Layer { blob: None, ..layer() }.urls(&[url]);
    let image = Image::new().layer(bad).layer(far).write(&store.beside("layout"), "latest");
    let begin = Instant::now();
    let message = store.fails(["create", &image, "x"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}: {message}", begin.elapsed());
}
