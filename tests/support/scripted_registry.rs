//! A registry that serves an OCI layout over plain HTTP, and misbehaves as its script says.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Path with its query.
    pub(crate) path: String,
    /// Headers by name in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// How many requests for the same path came before.
    pub(crate) before: usize,
}

impl Asked {
    /// A header's value, empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether it is for a blob.
    pub(crate) fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

/// What the script makes of a request.
pub(crate) enum Answer {
    /// What a good registry would answer.
    Serve,
    /// The same, as if no range had been asked for.
    ServeWhole,
    /// The right headers, then so many bytes of the body, then the end of the connection.
    CloseAfter(usize),
    /// The same with a reset of the connection.
    ResetAfter(usize),
    /// The right headers, then so many bytes of the body, then nothing until the client leaves.
    StallAfter(usize),
    /// The right answer with another body.
    Body(Vec<u8>),
    /// A status, headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A running server. Its threads end with the test.
pub(crate) struct ScriptedRegistry {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ScriptedRegistry {
    /// Serves `layout` under any repository name.
    pub(crate) fn start(layout: &Path, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free port");
        let port = listener.local_addr().expect("address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server =
            Arc::new(Server { layout: layout.to_owned(), script: Box::new(script), asked: Arc::clone(&asked) });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                // A client that goes away is no failure of the server.
                thread::spawn(move || server.serve(stream));
            }
        });
        ScriptedRegistry { port, asked }
    }

    /// `host:port`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// URL of its image.
    pub(crate) fn url(&self) -> String {
        format!("docker://{}/some/image:latest", self.host())
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

struct Server {
    layout: PathBuf,
    script: Box<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers one request and closes. `None` when the client went away.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let head = read_head(&mut stream)?;
        let asked = self.record(&head)?;
        let body = self.document(&asked.path);
        let respond = |stream: &mut TcpStream, whole: &[u8], range: &str, limit: usize| {
            let start = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')?.parse().ok());
            let (status, from) = start.map_or((200, 0), |start: usize| (206, start.min(whole.len())));
            let mut head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", whole.len() - from);
            if status == 206 {
                head += &format!("content-range: bytes {from}-{}/{}\r\n", whole.len() - 1, whole.len());
            }
            let body = &whole[from..];
            stream.write_all((head + "\r\n").as_bytes()).ok()?;
            stream.write_all(&body[..limit.min(body.len())]).ok()
        };
        let answer = (self.script)(&asked);
        let is_reset = matches!(answer, Answer::ResetAfter(_));
        match (answer, body) {
            (Answer::Status(status, headers, body), _) => {
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).ok()
            }
            (Answer::Body(body), _) => respond(&mut stream, &body, "", usize::MAX),
            (_, None) => stream.write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").ok(),
            (Answer::Serve, Some(body)) => respond(&mut stream, &body, asked.header("range"), usize::MAX),
            (Answer::ServeWhole, Some(body)) => respond(&mut stream, &body, "", usize::MAX),
            (Answer::CloseAfter(limit), Some(body)) => {
                respond(&mut stream, &body, asked.header("range"), limit)?;
                stream.shutdown(Shutdown::Both).ok()
            }
            (Answer::StallAfter(limit), Some(body)) => {
                respond(&mut stream, &body, asked.header("range"), limit)?;
                std::io::copy(&mut stream, &mut std::io::sink()).ok().map(drop)
            }
            (Answer::ResetAfter(limit), Some(body)) => {
                respond(&mut stream, &body, asked.header("range"), limit)?;
                // What was sent must have arrived. The last byte of the request is still unread, so that closing resets.
                thread::sleep(Duration::from_millis(100));
                Some(())
            }
        }?;
        if !is_reset {
            let _ = stream.read(&mut [0]);
        }
        Some(())
    }

    fn record(&self, head: &str) -> Option<Asked> {
        let mut lines = head.lines();
        let target = lines.next()?.split(' ').nth(1)?.to_owned();
        // A client that takes this for a proxy names the host as well.
        let path = target.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| rest[at..].to_owned()));
        let path = path.unwrap_or(target);
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut all = self.asked.lock().unwrap();
        let before = all.iter().filter(|asked| asked.path == path).count();
        let asked = Asked { path, headers, before };
        all.push(asked.clone());
        Some(asked)
    }

    /// A blob or manifest by its digest; the layout's first manifest by any tag.
    fn document(&self, path: &str) -> Option<Vec<u8>> {
        let (_, version) = path.split('?').next()?.rsplit_once('/')?;
        let hex = match version.strip_prefix("sha256:") {
            Some(hex) => hex.to_owned(),
            None => {
                let index: Value = serde_json::from_slice(&fs::read(self.layout.join("index.json")).ok()?).ok()?;
                index["manifests"][0]["digest"].as_str()?.strip_prefix("sha256:")?.to_owned()
            }
        };
        fs::read(self.layout.join("blobs/sha256").join(hex)).ok()
    }
}

/// Reads a request's head but for its last byte. Whoever tries TLS is told that this is none.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
        if head[0] == 0x16 {
            stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").ok()?;
            thread::sleep(Duration::from_millis(20));
            return None;
        }
    }
    String::from_utf8(head).ok()
}
