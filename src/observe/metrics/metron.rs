//! Metrics for the Metron agent: dropsonde's envelopes, each in one UDP datagram.
//!
//! The messages are those of Cloud Foundry's dropsonde-protocol (`events.proto`), as far as they are used here. Nothing
//! waits for the agent: what cannot be sent at once is lost, as every datagram may be.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use super::{End, Measurement, Value};
use crate::observe::line::cut;
use crate::sys::spawning;

/// Origin of everything but errors.
const ORIGIN: &str = "grootfs";

/// Longest message of an error event: an agent reads datagrams of 64 KiB at most.
const MAX_MESSAGE: usize = 8 * 1024;

/// How long the end of a command waits for the address of a host name, which has been looked for since its beginning.
const NAME_TIMEOUT: Duration = Duration::from_millis(100);

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("metron endpoint `{0}` is not of the form host:port")]
    Malformed(String),
    #[error("metron endpoint `{0}`: no address was found in time: use a numeric one")]
    Unresolved(String),
    #[error("metron endpoint {0}: {1}")]
    Send(SocketAddr, io::Error),
}

/// Where metrics are sent to.
pub(super) struct Metron {
    endpoint: String,
    address: Address,
}

enum Address {
    Known(SocketAddr),
    /// Being looked up by a thread of its own: a resolver may take its time.
    Asked(Mutex<Receiver<SocketAddr>>),
    Malformed,
}

impl Metron {
    /// Reads `host:port`. What is wrong with it is said by [`Metron::send`].
    pub(super) fn new(endpoint: &str) -> Self {
        let address = match (endpoint.parse(), endpoint.rsplit_once(':')) {
            (Ok(address), _) => Address::Known(address),
            (_, Some((host, port))) if !host.is_empty() && port.parse::<u16>().is_ok() => ask(endpoint.to_owned()),
            _ => Address::Malformed,
        };
        Metron { endpoint: endpoint.to_owned(), address }
    }

    /// Sends what was measured and how the command ended.
    pub(super) fn send(&self, command: &str, measured: &[Measurement], end: End<'_>) -> Result<(), Error> {
        let address = self.address()?;
        let failed = |error| Error::Send(address, error);
        let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = UdpSocket::bind(any).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let envelopes = measured.iter().map(Envelope::of_measurement).chain(Envelope::of_end(command, end));
        let mut result = Ok(());
        for envelope in envelopes {
            // One that cannot be sent must not keep the others.
            result = result.and(socket.send_to(&envelope.encode_to_vec(), address).map(drop).map_err(failed));
        }
        result
    }

    fn address(&self) -> Result<SocketAddr, Error> {
        match &self.address {
            Address::Known(address) => Ok(*address),
            Address::Asked(answer) => {
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                answer.recv_timeout(NAME_TIMEOUT).map_err(|_| Error::Unresolved(self.endpoint.clone()))
            }
            Address::Malformed => Err(Error::Malformed(self.endpoint.clone())),
        }
    }
}

fn ask(endpoint: String) -> Address {
    let (sender, receiver) = mpsc::channel();
    // Without a thread there is no answer, which is said when it is asked for.
    let _ = spawning::thread("resolver").and_then(|resolver| {
        resolver.spawn(move || {
            let addresses: Vec<SocketAddr> = endpoint.to_socket_addrs().into_iter().flatten().collect();
            // Agents listen on IPv4.
            let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
            // The command may have ended.
            let _ = address.map(|address| sender.send(*address));
        })
    });
    Address::Asked(Mutex::new(receiver))
}

/// `events.Envelope`
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, required, tag = "1")]
    origin: String,
    #[prost(enumeration = "EventType", required, tag = "2")]
    event_type: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, optional, tag = "6")]
    timestamp: Option<i64>,
    #[prost(message, optional, tag = "9")]
    value_metric: Option<ValueMetric>,
    #[prost(message, optional, tag = "10")]
    counter_event: Option<CounterEvent>,
    #[prost(message, optional, tag = "11")]
    error: Option<ErrorEvent>,
}

/// `events.Envelope.EventType`, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum EventType {
    ValueMetric = 6,
    CounterEvent = 7,
    Error = 8,
}

/// `events.ValueMetric`
#[derive(Clone, PartialEq, Message)]
struct ValueMetric {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(double, required, tag = "2")]
    value: f64,
    #[prost(string, required, tag = "3")]
    unit: String,
}

/// `events.CounterEvent`
#[derive(Clone, PartialEq, Message)]
struct CounterEvent {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(uint64, required, tag = "2")]
    delta: u64,
}

/// `events.Error`
#[derive(Clone, PartialEq, Message)]
struct ErrorEvent {
    #[prost(string, required, tag = "1")]
    source: String,
    #[prost(int32, required, tag = "2")]
    code: i32,
    #[prost(string, required, tag = "3")]
    message: String,
}

impl Envelope {
    fn of_measurement(measurement: &Measurement) -> Self {
        let (name, value, unit) = match measurement.value {
            Value::Time(timing, duration) => (timing.metron, duration.as_nanos() as f64, "nanos"),
            Value::Size(size, bytes) => (size.metron(), bytes as f64, "bytes"),
        };
        Envelope {
            origin: ORIGIN.to_owned(),
            event_type: EventType::ValueMetric.into(),
            timestamp: Some(nanoseconds(measurement.at)),
            value_metric: Some(ValueMetric { name: name.to_owned(), value, unit: unit.to_owned() }),
            ..Envelope::default()
        }
    }

    /// What the end of a command is counted by: the names that the original sent, and those that its README has.
    fn of_end(command: &str, end: End<'_>) -> Vec<Self> {
        let counters = |names: [&str; 3]| names.map(|name| Envelope::counter(format!("{ORIGIN}-{command}.{name}")));
        match end {
            End::Nothing => Vec::new(),
            End::Success => counters(["run", "run.success", "success"]).into(),
            End::Failure { message, exit_code } => {
                let error = Envelope::failure(format!("{ORIGIN}-error.{command}"), message, exit_code);
                [error].into_iter().chain(counters(["run", "run.fail", "fail"])).collect()
            }
        }
    }

    fn counter(name: String) -> Self {
        Envelope {
            origin: ORIGIN.to_owned(),
            event_type: EventType::CounterEvent.into(),
            timestamp: Some(nanoseconds(SystemTime::now())),
            counter_event: Some(CounterEvent { name, delta: 1 }),
            ..Envelope::default()
        }
    }

    /// Errors have no timestamp, and an origin of their own.
    fn failure(source: String, message: &str, exit_code: u8) -> Self {
        let mut message = message.to_owned();
        cut(&mut message, MAX_MESSAGE);
        Envelope {
            origin: source.clone(),
            event_type: EventType::Error.into(),
            error: Some(ErrorEvent { source, code: exit_code.into(), message }),
            ..Envelope::default()
        }
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(endpoint: &str) -> bool {
        matches!(Metron::new(endpoint).send("create", &[], End::Success), Err(Error::Malformed(_)))
    }

    #[test]
    fn an_endpoint_has_a_host_and_a_port() {
        for endpoint in ["127.0.0.1:9", "[::1]:9", "localhost:9"] {
            assert!(!malformed(endpoint), "{endpoint}");
        }
        for endpoint in ["", "127.0.0.1", "host", ":9", "host:", "host:x", "host:65536", "127.0.0.1:-1"] {
            assert!(malformed(endpoint), "{endpoint}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_costs_a_moment_and_is_named() {
        let start = std::time::Instant::now();
        let error = Metron::new("nobody.invalid:9").send("create", &[], End::Success).unwrap_err();
        assert!(error.to_string().contains("`nobody.invalid:9`"), "{error}");
        assert!(start.elapsed() < NAME_TIMEOUT + Duration::from_secs(1));
    }

    #[test]
    fn an_agent_that_is_not_there_is_no_error() {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let metron = Metron::new(&format!("127.0.0.1:{port}"));
        for _ in 0..3 {
            let end = End::Failure { message: &"é".repeat(100_000), exit_code: 1 };
            metron.send("create", &[], end).unwrap();
        }
    }
}
