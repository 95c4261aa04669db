//! A token server as registries send their users to (the token protocol of the distribution project). Signs what
//! docker-registry verifies: JSON Web Tokens with the signer's certificate.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::registry::{PASSWORD, USER, make_certificates};
use crate::scripted_registry::{Answer, Asked, ScriptedRegistry};

/// What stands for [`USER`] and [`PASSWORD`].
pub const IDENTITY_TOKEN: &str = "secret-identity-token";
/// How long after its end docker-registry still takes a token.
const LEEWAY: u64 = 60;

/// A running server, which ends with the test.
pub struct TokenServer {
    directory: tempfile::TempDir,
    server: ScriptedRegistry,
}

impl TokenServer {
    /// Gives everybody what a user may see if `is_public`, else only the user. Its tokens are good for `lifetime`.
    pub fn start(lifetime: Duration, is_public: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("grootfs-tokens-").tempdir().expect("temporary directory");
        make_certificates(directory.path(), "tokens", 2);
        let signer = directory.path().to_owned();
        let server = ScriptedRegistry::start(Path::new("/nowhere"), move |asked| {
            let is_user = asked.header("authorization") == format!("Basic {}", STANDARD.encode(user()));
            let is_trusted = asked.body.contains(&format!("refresh_token={IDENTITY_TOKEN}"));
            let is_anybody = is_public && asked.header("authorization").is_empty();
            if !(is_user || is_trusted || is_anybody) {
                return Answer::Status(401, vec![], String::new());
            }
            let token = sign(&signer, &claims(&asked.scopes(), lifetime));
            Answer::Status(200, vec![], json!({ "token": token }).to_string())
        });
        TokenServer { directory, server }
    }

    /// Where tokens are to be had.
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.server.host())
    }

    /// Certificate of who signs them.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.server.asked()
    }
}

fn user() -> String {
    format!("{USER}:{PASSWORD}")
}

impl Asked {
    /// What a token is asked for: `repository:some/image:pull`.
    pub fn scopes(&self) -> Vec<String> {
        let query = self.path.split_once('?').map_or(self.body.as_str(), |(_, query)| query);
        let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
        scopes.map(|scope| scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",")).collect()
    }
}

fn claims(scopes: &[String], lifetime: Duration) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let access = scopes.iter().filter_map(|scope| {
        let [kind, name, actions] = scope.splitn(3, ':').collect::<Vec<_>>().try_into().ok()?;
        Some(json!({ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }))
    });
    json!({
        "iss": "test", "sub": "somebody", "aud": "test", "jti": "1", "iat": now - LEEWAY, "nbf": now - LEEWAY,
        "exp": now + lifetime.as_secs() - LEEWAY, "access": access.collect::<Vec<_>>(),
    })
}

fn sign(directory: &Path, claims: &Value) -> String {
    let pem = fs::read_to_string(directory.join("server.crt")).expect("certificate");
    let certificate: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [certificate] });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(directory.join("server.key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests need openssl");
    openssl.stdin.take().expect("piped").write_all(signed.as_bytes()).expect("written");
    let signature = openssl.wait_with_output().expect("openssl ends").stdout;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
