//! A Metron agent that keeps what it is sent. `protoc` reads the envelopes, which shares no code with what wrote them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

/// An envelope by its fields, `valueMetric.name` for one.
#[derive(Clone, Debug)]
pub struct Envelope(BTreeMap<String, String>);

impl Envelope {
    fn decode(datagram: &[u8]) -> Self {
        let mut decoder = Command::new("protoc")
            .arg("--proto_path")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(["--decode=events.Envelope", "dropsonde.proto"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need protoc; install the package protobuf-compiler");
        decoder.stdin.take().unwrap().write_all(datagram).unwrap();
        let output = decoder.wait_with_output().unwrap();
        assert!(output.status.success(), "protoc does not understand {datagram:?}");
        Envelope(fields(std::str::from_utf8(&output.stdout).expect("text")))
    }

    /// A field that must be there.
    #[track_caller]
    pub fn get(&self, field: &str) -> &str {
        self.0.get(field).unwrap_or_else(|| panic!("no {field} in {self:?}"))
    }

    /// Whether there is such a field.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }
}

/// `protoc` prints `name: value`, and for a message inside another `name {`, its fields and `}`. What the description
/// does not know has a number for its name.
fn fields(text: &str) -> BTreeMap<String, String> {
    let (mut fields, mut outer) = (BTreeMap::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix(" {") {
            outer = format!("{name}.");
        } else if line == "}" {
            outer.clear();
        } else {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("what is {line}?"));
            assert!(name.parse::<u32>().is_err(), "unknown field in {text}");
            let is_new = fields.insert(format!("{outer}{name}"), value.trim_matches('"').to_owned()).is_none();
            assert!(is_new, "{name} twice in {text}");
        }
    }
    fields
}

/// A socket on loopback.
pub struct Metron(UdpSocket);

impl Metron {
    /// Listens on a port of its own.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a socket");
        Metron(socket)
    }

    /// `host:port`.
    pub fn endpoint(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    /// What has come in since the last call. On loopback a datagram is there when its sender has sent it.
    pub fn received(&self) -> Received {
        let mut buffer = vec![0; 1 << 16];
        let mut envelopes = Vec::new();
        while let Ok(length) = self.0.recv(&mut buffer) {
            envelopes.push(Envelope::decode(&buffer[..length]));
        }
        Received(envelopes)
    }
}

/// Envelopes in the order in which they came.
#[derive(Debug)]
pub struct Received(pub Vec<Envelope>);

impl Received {
    /// Values of a metric, which must come from grootfs, be in this unit and have a time stamp.
    #[track_caller]
    pub fn values(&self, name: &str, unit: &str) -> Vec<f64> {
        let all = self.0.iter().filter(|e| e.has("valueMetric.name") && e.get("valueMetric.name") == name);
        all.map(|envelope| {
            assert_eq!((envelope.get("origin"), envelope.get("eventType")), ("grootfs", "ValueMetric"));
            assert_eq!(envelope.get("valueMetric.unit"), unit, "{name}");
            assert_is_now(envelope.get("timestamp"));
            envelope.get("valueMetric.value").parse().expect("a number")
        })
        .collect()
    }

    /// Names of all value metrics, sorted, each once.
    pub fn value_names(&self) -> Vec<&str> {
        let mut names: Vec<_> =
            self.0.iter().filter(|e| e.has("valueMetric.name")).map(|e| e.get("valueMetric.name")).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Names of the counters in the order of their coming; each must have been counted up by one.
    #[track_caller]
    pub fn counters(&self) -> Vec<&str> {
        let all = self.0.iter().filter(|envelope| envelope.has("counterEvent.name"));
        all.map(|envelope| {
            assert_eq!((envelope.get("origin"), envelope.get("eventType")), ("grootfs", "CounterEvent"));
            assert_eq!(envelope.get("counterEvent.delta"), "1");
            assert!(!envelope.has("counterEvent.total"));
            assert_is_now(envelope.get("timestamp"));
            envelope.get("counterEvent.name")
        })
        .collect()
    }

    /// Source, code and message of the error events, which come before the counters.
    #[track_caller]
    pub fn errors(&self) -> Vec<(&str, &str, &str)> {
        let place = |field: &str| self.0.iter().position(|envelope| envelope.has(field));
        if let (Some(error), Some(counter)) = (place("error.source"), place("counterEvent.name")) {
            assert!(error < counter, "{self:?}");
        }
        let all = self.0.iter().filter(|envelope| envelope.has("error.source"));
        all.map(|envelope| {
            assert_eq!(envelope.get("eventType"), "Error");
            assert_eq!(envelope.get("origin"), envelope.get("error.source"));
            assert!(!envelope.has("timestamp"), "{envelope:?}");
            (envelope.get("error.source"), envelope.get("error.code"), envelope.get("error.message"))
        })
        .collect()
    }
}

/// Nanoseconds since 1970, within an hour of now.
#[track_caller]
fn assert_is_now(timestamp: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let then: u128 = timestamp.parse().expect("a number");
    assert!(now.abs_diff(then) < 3_600_000_000_000, "{timestamp} is not now");
}
