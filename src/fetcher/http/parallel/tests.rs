//! Against a server whose single connection is slow, and whose parts are what each test says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;

use reqwest::Url;

use super::super::{Http, HttpRequest, NOT_CANCELLED, Reach, Trust, successful};
use super::*;

/// More than ten parts, and one that is shorter.
const LENGTH: u64 = 13 * PART + 37;
/// A client must not ask again on a connection that is about to be closed.
const CLOSE: &str = "connection: close\r\n";

fn content() -> Vec<u8> {
    (0..LENGTH).map(|n| (n * n / 7) as u8).collect()
}

/// What comes of asking for a part.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Right,
    /// All of it, as a success without a range.
    Whole,
    /// The bytes after those.
    Elsewhere,
    /// Fewer bytes, as a server may.
    Fewer,
    /// More bytes than the range that it names.
    More,
    /// Of a blob of another length.
    OtherLength,
    /// Of a blob with another entity tag.
    OtherTag,
    /// A status.
    Status(u16),
    /// Half of it, then the end of the connection.
    Broken,
    /// Half of it, then nothing.
    Silent,
}

/// Asked for: a range, or nothing for all of it.
type Asked = Arc<Mutex<Vec<(u64, Option<u64>)>>>;

struct Server {
    url: Url,
    asked: Asked,
}

impl Server {
    /// `answer` is asked with the number of the part, counted from the beginning of the blob.
    fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/blob", listener.local_addr().unwrap())).unwrap();
        let asked = Asked::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                // A client that leaves is no failure.
                thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Server { url, asked }
    }

    fn parts(&self) -> Vec<(u64, u64)> {
        self.asked.lock().unwrap().iter().filter_map(|(start, end)| Some((*start, (*end)?))).collect()
    }

    fn singles(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().filter(|(_, end)| end.is_none()).map(|(start, _)| *start).collect()
    }
}

fn serve(mut stream: TcpStream, asked: &Asked, answer: &(impl Fn(usize) -> Answer + ?Sized)) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
    let (start, last) = range.map_or((0, ""), |(start, last)| (start.parse().unwrap(), last));
    let end = last.parse().ok().map(|last: u64| last + 1);
    asked.lock().unwrap().push((start, end));
    match end {
        None => send_slowly(stream, start),
        // The first part begins where the single connection has brought as much.
        Some(end) => send_part(stream, start..end, answer((start / PART) as usize - 1)),
    }
}

fn send_slowly(mut stream: TcpStream, start: u64) -> Option<()> {
    let (status, length) = (if start == 0 { 200 } else { 206 }, LENGTH - start);
    let range = format!("content-range: bytes {start}-{}/{LENGTH}", LENGTH - 1);
    write!(stream, "HTTP/1.1 {status} X\r\n{CLOSE}etag: \"one\"\r\n{range}\r\ncontent-length: {length}\r\n\r\n")
        .ok()?;
    for bytes in content()[start as usize..].chunks(25) {
        stream.write_all(bytes).ok()?;
        thread::sleep(Duration::from_millis(2));
    }
    Some(())
}

fn send_part(mut stream: TcpStream, range: Range<u64>, answer: Answer) -> Option<()> {
    let Range { start, end } = range;
    let (mut named, mut length, mut tag, mut status, mut total) = (start..end, end - start, "one", 206, LENGTH);
    match answer {
        Answer::Right | Answer::Broken | Answer::Silent => (),
        Answer::Whole => (named, length, status) = (0..LENGTH, LENGTH, 200),
        Answer::Elsewhere => named = (start + 1)..(end + 1),
        Answer::Fewer => (named, length) = (start..end - 1, length - 1),
        Answer::More => length += 1,
        Answer::OtherLength => total += 1,
        Answer::OtherTag => tag = "two",
        Answer::Status(code) => status = code,
    }
    let content_range = format!("content-range: bytes {}-{}/{total}", named.start, named.end - 1);
    let head =
        format!("HTTP/1.1 {status} X\r\n{CLOSE}etag: \"{tag}\"\r\n{content_range}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut body = content();
    body.push(0);
    let from = if answer == Answer::Whole { 0 } else { start as usize };
    let to = (from + length as usize).min(body.len());
    match answer {
        Answer::Broken => stream.write_all(&body[from..to][..length as usize / 2]).ok(),
        Answer::Silent => {
            stream.write_all(&body[from..to][..length as usize / 2]).ok()?;
            stream.read_exact(&mut [0]).ok()
        }
        _ => stream.write_all(&body[from..to]).ok(),
    }
}

struct Place(Arc<Network>, Arc<Http>, Url);

impl RangeSource for (Arc<Http>, Url) {
    async fn ask(self, range: Range<u64>) -> Result<Response, Failure> {
        let request = HttpRequest { offset: range.start, end: Some(range.end), ..plain(&self.1) };
        successful(self.0.send(&request, None).await?)
    }
}

fn plain(url: &Url) -> HttpRequest {
    HttpRequest::new(url.clone(), Reach::Anywhere)
}

impl BlobSource for Place {
    type Error = Reason;
    type Ranges = (Arc<Http>, Url);

    fn ask(&mut self, offset: u64) -> Result<Response, Reason> {
        let request = HttpRequest { offset, ..plain(&self.2) };
        let asked = self.0.wait(&NOT_CANCELLED, async { successful(self.1.send(&request, None).await?) })?;
        asked.map_err(|failure| failure.reason)
    }

    fn ranges(&self) -> Option<(Arc<Http>, Url)> {
        Some((Arc::clone(&self.1), self.2.clone()))
    }

    fn disable(&mut self, failure: Failure) -> Result<(), Reason> {
        Err(failure.reason)
    }

    fn error(&self, failure: Failure) -> Reason {
        failure.reason
    }
}

fn network() -> Arc<Network> {
    Arc::new(Network::start(None).unwrap())
}

/// Of a blob that is waited for, whatever this machine has to do meanwhile.
fn open<'a>(server: &Server, network: &Arc<Network>, cancel: &'a AtomicBool) -> ParallelStream<'a, Place> {
    open_with(server, network, cancel, TransferLimits::default())
}

fn open_with<'a>(
    server: &Server,
    network: &Arc<Network>,
    cancel: &'a AtomicBool,
    transfer_limits: TransferLimits,
) -> ParallelStream<'a, Place> {
    let http = Arc::new(Http::new(Trust::default(), transfer_limits));
    let place = Place(Arc::clone(network), http, server.url.clone());
    let mut stream = ParallelStream::open(place, Arc::clone(network), Some(LENGTH), transfer_limits, cancel).unwrap();
    stream.waits.is_network = true;
    stream
}

#[track_caller]
fn reads_all(server: &Server, network: &Arc<Network>) {
    reads_to_end(open(server, network, &NOT_CANCELLED));
}

#[track_caller]
fn reads_to_end(mut stream: ParallelStream<'_, Place>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes == content(), "{} bytes", bytes.len());
}

#[test]
fn a_reader_that_waits_for_most_of_a_sample_waits_for_the_network() {
    // How long the reader waits for half a sample, and works before that.
    for (waits, works, expected) in [(0, 100, false), (40, 60, false), (60, 40, true), (100, 0, true)] {
        let mut now = Instant::now();
        let mut sample = Waits::new(now);
        for _ in 0..2 {
            assert!(!sample.is_network, "before the sample is complete");
            let begin = now + Duration::from_millis(works);
            now = begin + Duration::from_millis(waits);
            sample.add(SAMPLE / 2, begin, now);
        }
        assert_eq!(sample.is_network, expected, "{waits} of waiting, {works} of work");
        sample.add(SAMPLE, now, now);
        assert!(!sample.is_network, "a sample says nothing of the next one");
    }
}

#[test]
fn what_is_waited_for_comes_in_parts_and_in_order() {
    let (server, network) = (Server::start(|_| Answer::Right), network());
    let mut stream = open(&server, &network, &NOT_CANCELLED);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 17]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let ahead = server.parts().iter().map(|part| part.1).max().unwrap_or(0).saturating_sub(bytes.len() as u64);
        // Four parts, and what the single connection brings meanwhile.
        assert!(ahead <= 5 * PART, "{ahead} bytes ahead at {}", bytes.len());
        if count == 0 {
            break;
        }
    }
    assert!(bytes == content(), "{} bytes", bytes.len());
    assert_eq!(server.singles(), [0], "one connection brings the beginning");
    let mut parts = server.parts();
    parts.sort_unstable();
    assert!(parts.windows(2).all(|two| two[0].1 == two[1].0), "{parts:?}");
    assert!(parts.len() >= 10 && parts[parts.len() - 1].1 == LENGTH, "{parts:?}");
}

#[test]
fn after_a_part_that_is_none_a_single_connection_brings_the_rest() {
    let wrong = [Answer::Whole, Answer::Elsewhere, Answer::Fewer, Answer::OtherLength, Answer::OtherTag];
    for answer in wrong.into_iter().chain([429, 503, 416, 404, 204].map(Answer::Status)) {
        for bad in [0, 5] {
            let server = Server::start(move |number| if number >= bad { answer } else { Answer::Right });
            reads_all(&server, &network());
            // Those that had been asked for before it was read.
            assert!(server.parts().len() <= bad + 4, "{answer:?} {bad}: {:?}", server.parts());
            // The first connection is there until the first part proves good.
            let expected = if bad == 0 { 1 } else { 2 };
            assert_eq!(server.singles().len(), expected, "{answer:?} {bad}: {:?}", server.singles());
        }
    }
}

#[test]
fn more_than_was_asked_for_is_not_read() {
    let server = Server::start(|number| if number == 2 { Answer::More } else { Answer::Right });
    reads_all(&server, &network());
}

#[test]
fn a_part_that_breaks_or_falls_silent_is_made_up_for() {
    for answer in [Answer::Broken, Answer::Silent] {
        let server = Server::start(move |number| if number == 2 { answer } else { Answer::Right });
        let transfer_limits =
            TransferLimits { stall_timeout: Some(Duration::from_secs(2)), ..TransferLimits::default() };
        reads_to_end(open_with(&server, &network(), &NOT_CANCELLED, transfer_limits));
        assert_eq!(server.singles().len(), 2, "{answer:?}: {:?}", server.singles());
        assert!(server.parts().len() > 7, "{answer:?}: {:?}", server.parts());
    }
}

#[test]
fn parts_that_keep_breaking_come_to_an_end() {
    let server = Server::start(|_| Answer::Broken);
    reads_all(&server, &network());
    assert!(server.parts().len() <= 3 * 4, "{:?}", server.parts());
}

#[test]
fn all_blobs_together_have_so_many_parts() {
    let (server, network) = (Server::start(|_| Answer::Silent), network());
    let streams: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = open(&server, &network, &NOT_CANCELLED);
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let held: usize = streams.iter().map(|stream| stream.parts.len()).sum();
    assert!((2..=4).contains(&held), "{held} parts");
    drop(streams);
    assert!(network.parts(4).is_some(), "all are given back");
}

#[test]
fn no_parts_where_they_are_forbidden_or_the_blob_is_small() {
    let (server, forbidding) = (Server::start(|_| Answer::Right), network());
    assert!(!forbidding.forbid_parts(), "there were none");
    reads_all(&server, &forbidding);
    assert_eq!(server.parts(), []);
    let using = network();
    reads_all(&server, &using);
    assert!(using.forbid_parts(), "there were some");

    let server = Server::start(|_| Answer::Right);
    let mut stream = open(&server, &network(), &NOT_CANCELLED);
    stream.size = LARGE - 1;
    stream.read_exact(&mut [0; LARGE as usize - 1]).unwrap();
    assert_eq!(server.parts(), []);
}

#[test]
fn waiting_for_a_part_ends_when_it_is_cancelled() {
    let (server, cancel) = (Server::start(|_| Answer::Silent), AtomicBool::new(false));
    let mut stream = open(&server, &network(), &cancel);
    stream.read_exact(&mut [0; PART as usize]).unwrap();
    assert!(!stream.parts.is_empty());
    cancel.store(true, Ordering::Relaxed);
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).unwrap_err().to_string().contains("cancelled"));
}
