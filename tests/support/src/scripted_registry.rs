//! A server that misbehaves as its script says, over plain HTTP: in front of a real registry, or as a registry of its own
//! that serves an OCI layout, for images that no real one would take.

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
pub struct Asked {
    /// GET, for one.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Headers by name in lower case.
    pub headers: HashMap<String, String>,
    /// Their lines.
    lines: Vec<(String, String)>,
    /// How many requests for the same path came before.
    pub before: usize,
    /// What was sent along, as text and as it was.
    pub body: String,
    bytes: Vec<u8>,
}

impl Asked {
    /// A header's value, empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The values of the lines of one header.
    pub fn lines(&self, name: &str) -> Vec<&str> {
        self.lines.iter().filter(|line| line.0 == name).map(|line| line.1.as_str()).collect()
    }

    /// Whether it is for a blob.
    pub fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

/// What the script makes of a request.
pub enum Answer {
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
    /// The right answer, so many bytes at a time with a pause after each.
    Drip(usize, Duration),
    /// The right answer, after a pause.
    Late(Duration),
    /// The right answer, but for the first byte of the body.
    Garbled,
    /// Success, with this for a body.
    Body(Vec<u8>),
    /// The right answer with another content type.
    Type(&'static str),
    /// A status, headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A running server. Its threads end with the test.
pub struct ScriptedRegistry {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    answered: Arc<Mutex<Vec<u16>>>,
}

impl ScriptedRegistry {
    /// Serves `layout` under any repository name.
    pub fn start(layout: &Path, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serving(Source::Layout(layout.to_owned()), script)
    }

    /// Stands in front of a registry that speaks plain HTTP at `host:port`.
    pub fn in_front_of(host: &str, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serving(Source::Registry(host.to_owned()), script)
    }

    fn serving(source: Source, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        // On all addresses: this machine has others than 127.0.0.1, which proxies are not asked for.
        let listener = TcpListener::bind("0.0.0.0:0").expect("free port");
        let port = listener.local_addr().expect("address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answered = Arc::new(Mutex::new(Vec::new()));
        let server = Arc::new(Server {
            source,
            script: Box::new(script),
            asked: Arc::clone(&asked),
            answered: Arc::clone(&answered),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                // A client that goes away is no failure of the server.
                thread::spawn(move || server.serve(stream));
            }
        });
        ScriptedRegistry { port, asked, answered }
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL of its image.
    pub fn url(&self) -> String {
        self.image("some/image:latest")
    }

    /// URL of an image that it may have.
    pub fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host())
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The statuses of what the registry behind has answered so far.
    pub fn answered(&self) -> Vec<u16> {
        self.answered.lock().unwrap().clone()
    }

    /// How many of the requests were for blobs.
    pub fn blobs_asked(&self) -> usize {
        self.asked().iter().filter(|asked| asked.is_blob()).count()
    }
}

/// Where good answers come from.
enum Source {
    Layout(PathBuf),
    Registry(String),
}

/// A whole answer.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct Server {
    source: Source,
    script: Box<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    answered: Arc<Mutex<Vec<u16>>>,
}

impl Server {
    /// Answers one request and closes. `None` when the client went away.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let head = read_head(&mut stream)?;
        let asked = self.record(&head, &mut stream)?;
        let answer = (self.script)(&asked);
        let is_reset = matches!(answer, Answer::ResetAfter(_));
        self.answer(&mut stream, &asked, answer)?;
        if !is_reset && asked.body.is_empty() {
            let _ = stream.read(&mut [0]);
        }
        Some(())
    }

    fn answer(&self, stream: &mut TcpStream, asked: &Asked, answer: Answer) -> Option<()> {
        let (range, whole) = (asked.header("range"), "");
        match answer {
            Answer::Status(status, headers, body) => {
                let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                send(stream, &Reply { status, headers, body: body.into_bytes() }, whole, usize::MAX)
            }
            Answer::Body(body) => send(stream, &Reply { status: 200, headers: Vec::new(), body }, whole, usize::MAX),
            Answer::Type(kind) => {
                let mut reply = self.reply(asked)?;
                reply.headers.retain(|(name, _)| name != "content-type");
                reply.headers.push(("content-type".to_owned(), kind.to_owned()));
                send(stream, &reply, range, usize::MAX)
            }
            Answer::Serve => send(stream, &self.reply(asked)?, range, usize::MAX),
            Answer::Garbled => {
                let mut reply = self.reply(asked)?;
                let first = span(range, reply.body.len()).0;
                reply.body.get_mut(first).into_iter().for_each(|byte| *byte ^= 1);
                send(stream, &reply, range, usize::MAX)
            }
            Answer::ServeWhole => send(stream, &self.reply(asked)?, whole, usize::MAX),
            Answer::Late(pause) => {
                thread::sleep(pause);
                send(stream, &self.reply(asked)?, range, usize::MAX)
            }
            Answer::CloseAfter(limit) => {
                send(stream, &self.reply(asked)?, range, limit)?;
                stream.shutdown(Shutdown::Both).ok()
            }
            Answer::StallAfter(limit) => {
                send(stream, &self.reply(asked)?, range, limit)?;
                std::io::copy(stream, &mut std::io::sink()).ok().map(drop)
            }
            Answer::ResetAfter(limit) => {
                send(stream, &self.reply(asked)?, range, limit)?;
                // What was sent must have arrived. The last byte of the request is still unread, so that closing resets.
                thread::sleep(Duration::from_millis(100));
                Some(())
            }
            Answer::Drip(bytes, pause) => {
                let reply = self.reply(asked)?;
                send(stream, &reply, range, 0)?;
                let (from, to) = span(range, reply.body.len());
                for drop in reply.body[from..to].chunks(bytes) {
                    stream.write_all(drop).ok()?;
                    thread::sleep(pause);
                }
                Some(())
            }
        }
    }

    fn record(&self, head: &str, stream: &mut TcpStream) -> Option<Asked> {
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
        // A client that takes this for a proxy names the host as well.
        let path = target.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| rest[at..].to_owned()));
        let path = path.unwrap_or(target);
        let lines = lines.filter_map(|line| line.split_once(": "));
        let lines: Vec<_> = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in &lines {
            // Lines of one name are one list (RFC 9110, 5.3).
            let values = headers.entry(name.clone()).or_default();
            *values += &format!("{}{value}", if values.is_empty() { "" } else { ", " });
        }
        let mut body = Vec::new();
        if let Some(length) = headers.get("content-length").and_then(|length| length.parse::<usize>().ok()) {
            body.resize(length + 1, 0);
            stream.read_exact(&mut body).ok()?;
        }
        let bytes = body.split_off(body.len().min(1));
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let mut all = self.asked.lock().unwrap();
        let before = all.iter().filter(|asked| asked.method == method && asked.path == path).count();
        let asked = Asked { method, path, headers, lines, before, body, bytes };
        all.push(asked.clone());
        Some(asked)
    }

    fn reply(&self, asked: &Asked) -> Option<Reply> {
        match &self.source {
            Source::Layout(layout) => Some(match document(layout, &asked.path) {
                Some(body) => Reply { status: 200, headers: Vec::new(), body },
                None => Reply { status: 404, headers: Vec::new(), body: Vec::new() },
            }),
            Source::Registry(host) => {
                let reply = forward(host, asked)?;
                self.answered.lock().unwrap().push(reply.status);
                Some(reply)
            }
        }
    }
}

/// Sends an answer, but no more than `limit` bytes of its body.
fn send(stream: &mut TcpStream, reply: &Reply, range: &str, limit: usize) -> Option<()> {
    let is_partial = reply.status == 200 && !range.is_empty();
    let (from, to) = if is_partial { span(range, reply.body.len()) } else { (0, reply.body.len()) };
    let status = if is_partial { 206 } else { reply.status };
    let length = to - from;
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    // A script or a HEAD may state another one.
    if !reply.headers.iter().any(|(name, _)| name == "content-length") {
        head += &format!("content-length: {length}\r\n");
    }
    if is_partial {
        head += &format!("content-range: bytes {from}-{}/{}\r\n", to.saturating_sub(1), reply.body.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).ok()?;
    stream.write_all(&reply.body[from..][..limit.min(length)]).ok()
}

/// First byte of a range, and the one behind its last, in a body of `length` bytes.
fn span(range: &str, length: usize) -> (usize, usize) {
    let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap_or_default();
    let end = last.parse().map_or(length, |last: usize| last + 1).min(length);
    (first.parse().unwrap_or(0).min(end), end)
}

/// Asks the registry behind for all of what was asked for. It names the host that its client has named.
fn forward(host: &str, asked: &Asked) -> Option<Reply> {
    const PASSED_ON: [&str; 5] = ["accept", "authorization", "if-none-match", "content-type", "content-length"];
    const PASSED_BACK: [&str; 5] = ["content-type", "etag", "docker-content-digest", "www-authenticate", "location"];
    let mut request = format!("{} {} HTTP/1.0\r\nhost: {}\r\n", asked.method, asked.path, asked.header("host"));
    for name in PASSED_ON.iter().filter(|name| !asked.header(name).is_empty()) {
        request += &format!("{name}: {}\r\n", asked.header(name));
    }
    let mut registry = TcpStream::connect(host).ok()?;
    registry.write_all((request + "\r\n").as_bytes()).ok()?;
    registry.write_all(&asked.bytes).ok()?;
    let mut answer = Vec::new();
    registry.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let is_passed_back = |(name, _): &(String, String)| {
        PASSED_BACK.contains(&name.as_str()) || (name == "content-length" && asked.method == "HEAD")
    };
    Some(Reply {
        status: head.split(' ').nth(1)?.parse().ok()?,
        headers: headers.filter(is_passed_back).collect(),
        body: answer.split_off(end + 4),
    })
}

/// A blob or manifest of a layout by its digest; the layout's first manifest by any tag.
pub fn document(layout: &Path, path: &str) -> Option<Vec<u8>> {
    let (_, version) = path.split('?').next()?.rsplit_once('/')?;
    let hex = match version.strip_prefix("sha256:") {
        Some(hex) => hex.to_owned(),
        None => {
            let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).ok()?).ok()?;
            index["manifests"][0]["digest"].as_str()?.strip_prefix("sha256:")?.to_owned()
        }
    };
    fs::read(layout.join("blobs/sha256").join(hex)).ok()
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
