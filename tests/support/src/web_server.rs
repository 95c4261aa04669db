//! A web server (nginx) with TLS, which may want to see a client's certificate.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::command::succeed;

/// A running server, which ends with its owner.
pub struct WebServer {
    /// Of the configuration and logs; removed with the server.
    _directory: tempfile::TempDir,
    process: Child,
    port: u16,
}

impl WebServer {
    /// Serves what is in `root`. `certificates` has `server.crt`, `server.key` and, for whom clients must know, `ca.crt`.
    pub fn start(root: &Path, certificates: &Path) -> Self {
        Self::with(&format!("root {};", root.display()), certificates)
    }

    /// The same with one version of TLS alone, `TLSv1.2` or `TLSv1.3`.
    pub fn start_with(version: &str, root: &Path, certificates: &Path) -> Self {
        Self::with(&format!("root {}; ssl_protocols {version};", root.display()), certificates)
    }

    /// Sends everybody on to `target`.
    pub fn redirecting(certificates: &Path, target: &str) -> Self {
        Self::with(&format!("return 302 {target};"), certificates)
    }

    fn with(content: &str, certificates: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("grootfs-web-").tempdir().expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").expect("free port").local_addr().expect("address").port();
        let (here, certificates) = (directory.path().display(), certificates.display());
        let client = if Path::new(&format!("{certificates}/ca.crt")).exists() {
            format!("ssl_client_certificate {certificates}/ca.crt; ssl_verify_client on;")
        } else {
            String::new()
        };
        let configuration = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log; events {{}}\n\
             http {{\n access_log off; client_body_temp_path {here}; proxy_temp_path {here}; fastcgi_temp_path {here};\n\
             uwsgi_temp_path {here}; scgi_temp_path {here};\n server {{\n listen 127.0.0.1:{port} ssl; {content}\n\
             ssl_certificate {certificates}/server.crt; ssl_certificate_key {certificates}/server.key; {client}\n }}\n }}\n"
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration).expect("written");
        let process = Command::new("nginx")
            .args(["-e", "/dev/null", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tests need a web server; install the package nginx");
        crate::wait_for("the web server's start", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        WebServer { _directory: directory, process, port }
    }

    /// URL of a file.
    pub fn url(&self, name: &str) -> String {
        format!("https://localhost:{}/{name}", self.port)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate for a client that the authority in `directory` has signed, `client.crt` and `client.key` there.
pub fn make_client_certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let script = format!(
        "set -e; cd '{}'; exec 2>/dev/null\n\
         openssl req -newkey rsa:2048 -nodes -subj /CN=client -keyout client.key -out client.csr\n\
         openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out client.crt",
        directory.display()
    );
    succeed("sh", ["-c", &script]);
    (directory.join("client.crt"), directory.join("client.key"))
}

/// A certificate for `host` that is signed by itself, as `openssl req -x509` makes it: `server.crt` and `server.key`.
pub fn make_own_certificate(directory: &Path, host: &str) {
    let script = format!(
        "cd '{}' && exec openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={host} \
             -addext subjectAltName=DNS:{host} -keyout server.key -out server.crt 2>/dev/null",
        directory.display()
    );
    succeed("sh", ["-c", &script]);
}
