//! A real registry (the Debian package docker-registry) on loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::command::succeed;

/// A user of registries that ask for one.
pub const USER: &str = "groot";
/// That user's password.
pub const PASSWORD: &str = "secret-word";
/// The password as bcrypt keeps it, for an htpasswd file.
const HTPASSWD: &str = "groot:$2b$05$9ZJXV3UeG6iFY5K7T14jXueZtiLzbTlMFByDQxfihAUuWr/XN0uti\n";

/// What a registry is to be like.
#[derive(Clone, Default)]
pub struct Setup {
    /// Speaks TLS with a certificate of an authority of its own, for this host name.
    pub tls_for: Option<&'static str>,
    /// What its answers say that it is to be had at, `scheme://host:port`.
    pub calls_itself: Option<String>,
    /// That certificate was good until yesterday.
    pub is_expired: bool,
    /// Wants [`USER`] and [`PASSWORD`].
    pub basic_auth: bool,
    /// Wants tokens of a realm: its URL and the certificate of who signs them.
    pub tokens_of: Option<(String, PathBuf)>,
    /// Holds what another registry has, `http://host:port`, and keeps what it was asked for.
    pub pulls_from: Option<String>,
}

/// A running registry. Ends with its owner.
pub struct Registry {
    directory: tempfile::TempDir,
    process: Child,
    setup: Setup,
    port: u16,
}

impl Registry {
    /// A registry that speaks plain HTTP to everybody.
    pub fn plain() -> Self {
        Self::start(Setup::default())
    }

    /// Starts a registry and waits until it answers.
    pub fn start(setup: Setup) -> Self {
        let directory = tempfile::Builder::new().prefix("grootfs-registry-").tempdir().expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").expect("free port").local_addr().expect("address").port();
        let file = directory.path().join("config.yml");
        fs::write(&file, configuration(directory.path(), &setup, port)).expect("written");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tests need a registry; install the package docker-registry");
        crate::wait_for("the registry's start", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Registry { directory, process, setup, port }
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        format!("{}:{}", self.setup.tls_for.unwrap_or("127.0.0.1"), self.port)
    }

    /// URL of an image in it.
    pub fn url(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host())
    }

    /// Certificate of the authority behind the registry's own.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// Copies an image of a layout into the registry with skopeo, in the given format (v2s2, oci).
    pub fn push(&self, layout: &str, name: &str, arguments: &[&str]) -> String {
        let layout = layout.replacen("oci://", "oci:", 1);
        let target = self.url(name);
        let credentials = format!("--dest-creds={USER}:{PASSWORD}");
        let mut all = vec!["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
        if self.setup.basic_auth || self.setup.tokens_of.is_some() {
            all.push(&credentials);
        }
        all.extend(arguments);
        all.extend([layout.as_str(), target.as_str()]);
        // Without what others left in its cache, a memory-mapped file that some filesystems do not keep whole.
        let own_cache = "mkdir -p /var/lib/containers; mount -t tmpfs tmpfs /var/lib/containers; exec skopeo \"$@\"";
        let wrapped = ["--mount", "--propagation", "slave", "sh", "-ec", own_cache, "skopeo"];
        succeed("unshare", [&wrapped[..], &all].concat());
        target
    }

    /// Digest of what a tag stands for.
    pub fn digest(&self, name: &str) -> String {
        let raw = succeed("skopeo", ["inspect", "--raw", "--tls-verify=false", &self.url(name)]);
        format!("sha256:{}", crate::sha256_hex(raw.as_bytes()))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(directory: &Path, setup: &Setup, port: u16) -> String {
    let here = directory.display();
    let mut text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: '{here}/data'}}}}\n"
    );
    if setup.basic_auth {
        fs::write(directory.join("htpasswd"), HTPASSWD).expect("written");
        text += &format!("auth: {{htpasswd: {{realm: test, path: '{here}/htpasswd'}}}}\n");
    }
    if let Some((realm, authority)) = &setup.tokens_of {
        let authority = authority.display();
        text += &format!(
            "auth: {{token: {{realm: '{realm}', service: test, issuer: test, rootcertbundle: '{authority}'}}}}\n"
        );
    }
    if let Some(registry) = &setup.pulls_from {
        text += &format!("proxy: {{remoteurl: '{registry}'}}\n");
    }
    text += &format!("http:\n  addr: '127.0.0.1:{port}'\n");
    if let Some(place) = &setup.calls_itself {
        text += &format!("  host: '{place}'\n");
    }
    if let Some(host) = setup.tls_for {
        make_certificates(directory, host, if setup.is_expired { -1 } else { 2 });
        text += &format!("  tls: {{certificate: '{here}/server.crt', key: '{here}/server.key'}}\n");
    }
    text
}

/// An authority, `ca.crt`, and a certificate for `host` that it has signed, `server.crt` with `server.key`.
pub fn make_certificates(directory: &Path, host: &str, days: i32) {
    let script = format!(
        "set -e; cd '{}'; exec 2>/dev/null\n\
         openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.crt\n\
         openssl req -newkey rsa:2048 -nodes -subj /CN={host} -keyout server.key -out server.csr\n\
         echo 'subjectAltName=DNS:{host}' >ext\n\
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -extfile ext \
             -out server.crt",
        directory.display()
    );
    succeed("sh", ["-c", &script]);
}
