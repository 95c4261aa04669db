//! Certificates and connections of all kinds that registries have.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use crate::support::{
    Answer, Asked, Outcome, ScriptedRegistry, TempStore, WebServer, assert_insecure, assert_whole, forget, layout,
    make_certificates, program, run, scripted_document, succeed, wait_for,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Puts the image where a server of files serves it like a registry.
fn files(store: &TempStore) -> PathBuf {
    let (layout, root) = (layout(store), store.beside("files"));
    let (manifests, blobs) = (root.join("v2/some/image/manifests"), root.join("v2/some/image/blobs"));
    fs::create_dir_all(&manifests).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    fs::write(manifests.join("latest"), scripted_document(&layout, "/latest").unwrap()).unwrap();
    for entry in fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten() {
        fs::copy(entry.path(), blobs.join(format!("sha256:{}", entry.file_name().to_str().unwrap()))).unwrap();
    }
    root
}

/// An authority, a server's certificate by it and a client's, with keys on `curve` and signatures with `digest`.
fn make_on_curve(directory: &Path, curve: &str, digest: &str) {
    fs::create_dir_all(directory).unwrap();
    let script = format!(
        "set -e; cd '{}'; exec 2>/dev/null\n\
         key() {{ openssl ecparam -name {curve} -genkey -noout -out $1.ec; openssl pkcs8 -topk8 -nocrypt -in $1.ec -out $1.key; }}\n\
         key ca; openssl req -x509 -new -key ca.key -{digest} -subj '/CN=an authority' -days 2 -out ca.crt\n\
         for name in server client; do key $name\n\
         openssl req -new -key $name.key -{digest} -subj /CN=$name -out $name.csr\n\
         printf 'subjectAltName=DNS:localhost' >ext\n\
         openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -{digest} -extfile ext -out $name.crt\n\
         done",
        directory.display()
    );
    succeed("sh", ["-c", &script]);
}

fn create(store: &TempStore, url: &str, authority: &Path) -> Outcome {
    run(store.command(["create", url, "x"]).env("SSL_CERT_FILE", authority))
}

#[test]
fn keys_on_every_curve_and_every_digest() {
    let store = TempStore::new();
    let root = files(&store);
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        for digest in ["sha256", "sha384", "sha512"] {
            let directory = store.beside(&format!("{curve}-{digest}"));
            make_on_curve(&directory, curve, digest);
            // Both the server's certificate and the client's.
            let web = WebServer::start(&root, &directory);
            let certificates = store.beside("certificates");
            fs::create_dir_all(&certificates).unwrap();
            fs::copy(directory.join("client.crt"), certificates.join("client.cert")).unwrap();
            fs::copy(
                directory.join(if digest == "sha512" { "client.ec" } else { "client.key" }),
                certificates.join("client.key"),
            )
            .unwrap();
            fs::copy(directory.join("ca.crt"), certificates.join("ca.crt")).unwrap();
            let blob = crate::support::large_layer();
            let url = web.url(&format!("v2/some/image/blobs/{}", blob.digest));
            let image =
                crate::support::Image::new().layer(blob.urls(&[url])).write(&directory.join("layout"), "latest");
            let config = store.beside("config.yml");
            let key = "remote_layer_client_certificates_path";
            fs::write(&config, format!("create: {{{key}: {}}}\n", certificates.display())).unwrap();
            store.ok(["--config", config.to_str().unwrap(), "create", &image, "x"]);
            forget(&store, "x");
            drop(web);

            // And as a registry, in both versions of TLS.
            fs::rename(directory.join("ca.crt"), directory.join("authority.crt")).unwrap();
            for version in ["TLSv1.2", "TLSv1.3"] {
                let web = WebServer::start_with(version, &root, &directory);
                let url = web.url("some/image").replacen("https", "docker", 1);
                create(&store, &url, &directory.join("authority.crt")).success();
                assert_whole(&store.rootfs("x"));
                forget(&store, "x");
            }
        }
    }
}

#[test]
fn an_authority_that_nobody_knows() {
    let store = TempStore::new();
    let root = files(&store);
    for (curve, digest) in [("secp521r1", "sha512"), ("prime256v1", "sha256")] {
        let (ours, theirs) = (store.beside(&format!("{curve}-ours")), store.beside(&format!("{curve}-theirs")));
        make_on_curve(&ours, curve, digest);
        make_on_curve(&theirs, curve, digest);
        fs::remove_file(theirs.join("ca.crt")).unwrap();
        let web = WebServer::start(&root, &theirs);
        let url = web.url("some/image").replacen("https", "docker", 1);
        let host = url[9..].split('/').next().unwrap();
        // It goes by the same name, and is another one.
        let message = create(&store, &url, &ours.join("ca.crt")).failure();
        assert_insecure(&message, &format!("{host}: invalid peer certificate"));
        assert_insecure(&message, "");
        make_certificates(&ours, "other", 2);
        let message = create(&store, &url, &ours.join("ca.crt")).failure();
        assert_insecure(&message, "it is signed by an unknown authority, `CN=an authority`");
        assert_insecure(&message, &format!("/etc/containers/certs.d/{host}/ca.crt"));
    }
    let own = store.beside("own");
    fs::create_dir(&own).unwrap();
    crate::support::make_own_certificate(&own, "localhost");
    let web = WebServer::start(&root, &own);
    let message = store.fails(["create", &web.url("some/image").replacen("https", "docker", 1), "x"]);
    assert_insecure(&message, "`CN=localhost` has signed it itself");
}

/// Answers as HTTP did before 1.1: the end of the connection is that of the body. TLS is not told of it.
#[test]
fn a_connection_that_ends_without_a_word() {
    let store = TempStore::new();
    let (layout, directory) = (layout(&store), store.beside("certificates"));
    fs::create_dir(&directory).unwrap();
    make_certificates(&directory, "localhost", 2);
    let certificates =
        CertificateDer::pem_file_iter(directory.join("server.crt")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, layout) = (Arc::clone(&config), layout.clone());
            thread::spawn(move || answer(stream, config, &layout));
        }
    });
    let url = format!("docker://localhost:{port}/some/image");
    create(&store, &url, &directory.join("ca.crt")).success();
    assert_whole(&store.rootfs("x"));
}

/// `None` if the client has gone.
fn answer(mut stream: TcpStream, config: Arc<rustls::ServerConfig>, layout: &Path) -> Option<()> {
    let mut connection = rustls::ServerConnection::new(config).ok()?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let body = scripted_document(layout, head.split(' ').nth(1)?)?;
    tls.write_all(b"HTTP/1.0 200 OK\r\n\r\n").ok()?;
    tls.write_all(&body).ok()?;
    tls.flush().ok()
}

/// A proxy that speaks SOCKS 5 (RFC 1928). Connects to `port` of this machine whatever it is asked for, and says what it
/// was asked for.
fn socks_proxy(port: u16) -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, asked) = (listener.local_addr().unwrap().port(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let all = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let all = Arc::clone(&all);
            thread::spawn(move || relay(stream, port, &all));
        }
    });
    (own, asked)
}

fn relay(mut client: TcpStream, port: u16, all: &std::sync::Mutex<Vec<String>>) -> Option<()> {
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        client.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let methods = usize::from(read(2)?[1]);
    read(methods)?;
    client.write_all(&[5, 0]).ok()?;
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        client.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let target = match read(4)?[3] {
        1 => read(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => {
            let length = usize::from(read(1)?[0]);
            String::from_utf8(read(length)?).ok()?
        }
        _ => return None,
    };
    read(2)?;
    all.lock().unwrap().push(target);
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut server, &mut client).ok().map(drop)
}

#[test]
fn socks_proxies() {
    let store = TempStore::new();
    let server = ScriptedRegistry::start(&layout(&store), |_: &Asked| Answer::Serve);
    let (proxy, asked) = socks_proxy(server.port());
    for (scheme, host) in [("socks5", "192.0.2.1"), ("socks5h", "192.0.2.1"), ("socks5h", "registry.invalid")] {
        for variable in ["ALL_PROXY", "https_proxy"] {
            let host = format!("{host}:5000");
            let create = ["create", "--insecure-registry", &host, &format!("docker://{host}/some/image"), "x"];
            let proxy = format!("{scheme}://127.0.0.1:{proxy}");
            // Without TLS it is `http_proxy` that counts.
            run(store.command(create).env(variable, &proxy).env("http_proxy", &proxy)).success();
            forget(&store, "x");
        }
    }
    let asked = asked.lock().unwrap();
    assert!(asked.iter().any(|host| host == "registry.invalid") && asked.iter().any(|host| host == "192.0.2.1"));
}

/// A server of OpenSSL; ended when dropped.
struct OpenSsl {
    port: u16,
    child: std::process::Child,
}

impl OpenSsl {
    fn start(directory: &Path, key: &str, flags: &[&str]) -> Self {
        // Another process may take the port in between.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (certificate, key) = (directory.join(format!("{key}.crt")), directory.join(format!("{key}.key")));
            let mut server = program("openssl");
            server.args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")]);
            server.arg("-cert").arg(certificate).arg("-key").arg(key).args(["-cipher", "ALL:@SECLEVEL=0"]).args(flags);
            let mut child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut is_up = false;
            wait_for("openssl to listen, or to end", || {
                is_up = TcpStream::connect(("127.0.0.1", port)).is_ok();
                is_up || child.try_wait().unwrap().is_some()
            });
            if is_up {
                return OpenSsl { port, child };
            }
        }
        panic!("openssl s_server does not start: {flags:?}");
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_a_server_may_want_and_not_have_is_named() {
    let store = TempStore::new();
    let directory = store.beside("certificates");
    fs::create_dir_all(&directory).unwrap();
    let keys = [
        ("rsa", "rsa:2048"),
        ("rsa-1024", "rsa:1024"),
        ("rsa-pss", "rsa-pss"),
        ("ed25519", "ed25519"),
        ("ed448", "ed448"),
        ("secp256k1", "ec -pkeyopt ec_paramgen_curve:secp256k1"),
        ("brainpool", "ec -pkeyopt ec_paramgen_curve:brainpoolP256r1"),
    ];
    for (name, key) in keys {
        let script = format!(
            "cd '{}' && exec openssl req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.crt -days 2 \
             -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null",
            directory.display()
        );
        succeed("sh", ["-c", &script]);
    }
    let version = "does not speak TLS 1.2 or 1.3";
    let refused = "Not supported are RSA and DHE key exchange, CBC and CCM suites, and keys of DSA";
    // What answers is no registry.
    let connected = "expected value";
    let cases: [(&str, &[&str], &str); 17] = [
        ("rsa", &["-tls1"], version),
        ("rsa", &["-tls1_1"], version),
        ("rsa", &["-tls1_2"], connected),
        ("rsa", &["-tls1_3"], connected),
        ("ed25519", &[], connected),
        ("rsa", &["-tls1_2", "-cipher", "AES128-GCM-SHA256"], refused),
        ("rsa", &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], refused),
        ("rsa", &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"], refused),
        ("rsa", &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384"], refused),
        ("rsa", &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], refused),
        ("rsa", &["-tls1_3", "-groups", "X448"], refused),
        ("rsa-pss", &[], refused),
        ("ed448", &[], refused),
        ("secp256k1", &[], refused),
        ("brainpool", &[], refused),
        ("rsa-1024", &[], "an RSA key of fewer than 2048 bits"),
        ("rsa", &["-Verify", "1"], "requires a client certificate"),
    ];
    for (key, flags, expected) in cases {
        let server = OpenSsl::start(&directory, key, flags);
        let url = format!("docker://localhost:{}/some/image:latest", server.port);
        let message = create(&store, &url, &directory.join(format!("{key}.crt"))).failure();
        assert!(message.contains(expected), "{key} {flags:?}: {message}");
    }
}
