//! Where a registry may send its clients: not to what only this machine can reach, unless it is there itself.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Answer, Image, Layer, ScriptedRegistry, TempStore, fails, forget, large_layer, layout, succeeds};

/// What is told of a place that is out of reach.
const REFUSED: &str = "referred to an address that is not allowed";

/// An address of this machine that is not its loopback.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent; it makes the kernel choose an address.
    socket.connect("192.0.2.1:9").expect("the tests need a route to somewhere");
    socket.local_addr().unwrap().ip().to_string()
}

/// Counts who connects to this machine's loopback.
fn witness() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || listener.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::Relaxed)));
    (port, count)
}

fn moved(location: &str) -> Answer {
    Answer::Status(307, vec![("location", location.to_owned())], String::new())
}

/// The ways to name this machine, and its cloud's secrets.
fn forbidden(port: u16) -> Vec<String> {
    let hosts =
        ["127.0.0.1", "127.9.9.9", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"];
    let mut urls: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}/secret")).collect();
    urls.push("http://169.254.169.254/latest/meta-data/".to_owned());
    urls.push("http://[fd00:ec2::254]/latest/meta-data/".to_owned());
    urls
}

#[test]
fn redirects_of_a_remote_registry_do_not_lead_to_this_machine() {
    let store = TempStore::new();
    let (port, count) = witness();
    for target in forbidden(port) {
        for part in ["/manifests/", &large_layer().digest] {
            let (part, location) = (part.to_owned(), target.clone());
            let server = ScriptedRegistry::start(&layout(&store), move |asked| match asked.path.contains(&part) {
                true => moved(&location),
                false => Answer::Serve,
            });
            let host = format!("{}:{}", own_address(), server.port());
            let message = fails(&store, &host, &format!("docker://{host}/some/image"));
            assert!(message.contains(REFUSED), "{target}: {message}");
        }
    }
    assert_eq!(count.load(Ordering::Relaxed), 0, "nobody connects");
}

#[test]
fn a_registry_on_this_machine_may_send_to_another_port_of_it() {
    let store = TempStore::new();
    let blobs = ScriptedRegistry::start(&layout(&store), |_| Answer::Serve);
    for name in ["127.0.0.1", "localhost"] {
        let target = format!("http://{name}:{}", blobs.port());
        let server = ScriptedRegistry::start(&layout(&store), move |asked| match asked.is_blob() {
            true => moved(&format!("{target}{}", asked.path)),
            false => Answer::Serve,
        });
        for registry in ["127.0.0.1", "localhost"] {
            let host = format!("{registry}:{}", server.port());
            succeeds(&store, &host, &format!("docker://{host}/some/image"), "x");
            forget(&store, "x");
        }
    }
    let server = ScriptedRegistry::start(&layout(&store), |_| moved("http://169.254.169.254/latest/meta-data/"));
    assert!(fails(&store, &server.host(), &server.url()).contains(REFUSED), "its link is another place");
}

#[test]
fn a_realm_is_held_to_the_same() {
    let store = TempStore::new();
    let (port, count) = witness();
    for target in forbidden(port) {
        let server = ScriptedRegistry::start(&layout(&store), move |_| {
            let challenge = format!("Bearer realm=\"{target}\",service=\"x\"");
            Answer::Status(401, vec![("www-authenticate", challenge)], String::new())
        });
        let host = format!("{}:{}", own_address(), server.port());
        let message = fails(&store, &host, &format!("docker://{host}/some/image"));
        assert!(message.contains(REFUSED), "{message}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 0, "nobody connects");
}

#[test]
fn urls_of_layers_are_held_to_the_same() {
    let store = TempStore::new();
    let (port, count) = witness();
    for (n, target) in forbidden(port).into_iter().enumerate() {
        let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
        let layer: Layer = large_layer().media_type(foreign).urls(&[target]);
        let directory = store.beside(&format!("foreign-{n}"));
        let url = Image::new().layer(layer).write(&directory, "latest");
        let server = ScriptedRegistry::start(&directory, |_| Answer::Serve);
        let host = format!("{}:{}", own_address(), server.port());
        let message = fails(&store, &host, &format!("docker://{host}/some/image"));
        assert!(message.contains(REFUSED), "{message}");
        if n >= 8 {
            let message = store.fails(["create", &url, "x"]);
            assert!(message.contains(REFUSED), "a layout's own, too: {message}");
        }
    }
    assert_eq!(count.load(Ordering::Relaxed), 0, "nobody connects");
}
