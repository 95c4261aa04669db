//! A layer's bytes as one stream, however many connections it takes.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::{Buf, Bytes};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode, Url};

use super::failure::{Failure, Reason, shown};
use super::is_unannounced_end;
use super::network::Network;
use super::pace::{Pace, TransferLimits};
use super::retry;
use crate::fetcher::Retry;

/// A connection that brought this much was worth making: the count of failures starts anew.
const PROGRESS: u64 = 1024 * 1024;

/// Where a blob can be fetched.
pub(in crate::fetcher) trait BlobSource: Send {
    /// What the user is told of a failure.
    type Error: std::error::Error + Send + Sync + 'static;
    /// See [`BlobSource::ranges`].
    type Ranges: RangeSource;

    /// Asks for the blob from byte `offset` on. The answer may start at 0 all the same, see [`Response::status`].
    fn ask(&mut self, offset: u64) -> Result<Response, Self::Error>;

    /// The place that answered last, to be asked for parts of the blob.
    fn ranges(&self) -> Option<Self::Ranges>;

    /// Gives up the place that was asked last, where connections break without end. An error if there is no other.
    fn disable(&mut self, failure: Failure) -> Result<(), Self::Error>;

    /// Turns a failure into what the user is told.
    fn error(&self, failure: Failure) -> Self::Error;
}

/// One place that has a blob, asked for parts of it.
pub(in crate::fetcher) trait RangeSource: Send + 'static {
    /// Asks once for these bytes of the blob. Any success is an answer, whether it heeds the range or not.
    fn ask(self, range: Range<u64>) -> impl Future<Output = Result<Response, Failure>> + Send;
}

/// Reads a blob. A connection that breaks is replaced by one that goes on where it stopped, so that the reader, who
/// computes the digest, notices nothing.
pub(super) struct BlobStream<'a, S> {
    source: S,
    network: Arc<Network>,
    cancel: &'a AtomicBool,
    /// Size as the manifest states it.
    size: Option<u64>,
    /// `None` after [`BlobStream::hang_up`].
    response: Option<Response>,
    /// Who answered last.
    url: Url,
    /// Received, not read yet.
    chunk: Bytes,
    /// Bytes of the blob received so far.
    position: u64,
    /// Bytes still to come that were received before.
    skip: u64,
    /// Where the current connection began.
    resumed_at: u64,
    failures: u32,
    transfer_limits: TransferLimits,
    /// Of the current connection.
    pace: Pace,
}

impl<'a, S: BlobSource> BlobStream<'a, S> {
    /// Asks for the blob and waits for the answer to begin. Reading ends with an error soon after `cancel` is set.
    pub(super) fn open(
        mut source: S,
        network: Arc<Network>,
        size: Option<u64>,
        transfer_limits: TransferLimits,
        cancel: &'a AtomicBool,
    ) -> Result<Self, S::Error> {
        let response = source.ask(0)?;
        let (chunk, position, skip, resumed_at, failures) = (Bytes::new(), 0, 0, 0, 0);
        let pace = Pace::new(transfer_limits);
        let url = response.url().clone();
        Ok(BlobStream {
            source,
            network,
            cancel,
            size,
            response: Some(response),
            url,
            chunk,
            position,
            skip,
            resumed_at,
            failures,
            transfer_limits,
            pace,
        })
    }

    /// The answer that is being read, unless there is none at the moment.
    pub(super) fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// Who answered last.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Where the blob can be fetched.
    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// Gives up the connection. The next read asks for a new one, from byte `position` on.
    pub(super) fn hang_up(&mut self, position: u64) {
        self.response = None;
        self.chunk = Bytes::new();
        self.position = position;
    }

    /// Receives something to read. `false` at the end.
    fn receive(&mut self) -> Result<bool, S::Error> {
        loop {
            let Some(response) = &mut self.response else {
                self.ask_for_the_rest()?;
                continue;
            };
            let begin = Instant::now();
            let received = self.network.wait(self.cancel, response.chunk());
            let is_end = matches!(&received, Ok(Err(error)) if is_unannounced_end(response, error));
            match received.map(|received| received.map_err(|error| Reason::of(&error))) {
                Ok(Ok(None)) => return Ok(false),
                Ok(Ok(Some(chunk))) => {
                    let pace = self.pace.add(chunk.len(), begin);
                    self.accept(chunk);
                    if let Some(reason) = pace.err().filter(|_| self.size != Some(self.position)) {
                        self.resume(reason)?;
                    }
                    if self.chunk.has_remaining() {
                        return Ok(true);
                    }
                }
                // The end of a chunked body may be lost when all of the blob is here.
                Ok(Err(_)) if self.size == Some(self.position) => return Ok(false),
                Ok(Err(_)) if is_end && self.size.is_none() => return Ok(false),
                Ok(Err(reason)) => self.resume(reason)?,
                Err(cancelled) => return Err(self.error(cancelled)),
            }
        }
    }

    fn accept(&mut self, mut chunk: Bytes) {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
        chunk.advance(known);
        self.skip -= known as u64;
        self.position += chunk.len() as u64;
        self.chunk = chunk;
    }

    fn resume(&mut self, reason: Reason) -> Result<(), S::Error> {
        if self.position - self.resumed_at >= PROGRESS {
            self.failures = 0;
        }
        self.failures += 1;
        let url = shown(&self.url);
        tracing::info!(url, position = self.position, %reason, "resuming");
        match retry::pause(self.failures, &reason) {
            Some(pause) if self.failures < reason.attempts() => {
                let (attempt, attempts) = (self.failures + 1, reason.attempts());
                let next = Retry { url: &url, reason: &reason, attempt, attempts };
                self.network.pause(self.cancel, pause, &next).map_err(|cancelled| self.error(cancelled))?;
            }
            _ => self.disable(reason)?,
        }
        self.ask_for_the_rest()
    }

    fn ask_for_the_rest(&mut self) -> Result<(), S::Error> {
        loop {
            let response = self.source.ask(self.position)?;
            self.url = response.url().clone();
            self.resumed_at = self.position;
            self.pace = Pace::new(self.transfer_limits);
            match skip(&response, self.position) {
                Ok(skip) => {
                    self.skip = skip;
                    self.response = Some(response);
                    return Ok(());
                }
                Err(reason) => self.disable(reason)?,
            }
        }
    }

    fn disable(&mut self, reason: Reason) -> Result<(), S::Error> {
        self.failures = 0;
        self.source.disable(Failure::new(&self.url, reason))
    }

    /// What the user is told of it.
    pub(super) fn error(&self, reason: Reason) -> S::Error {
        self.source.error(Failure::new(&self.url, reason))
    }
}

impl<S: BlobSource> Read for BlobStream<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (!self.chunk.has_remaining() && !self.receive().map_err(io::Error::other)?) {
            return Ok(0);
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// How much of the response has been read before: nothing if the registry honored the range, else all up to there.
fn skip(response: &Response, position: u64) -> Result<u64, Reason> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(position);
    }
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.trim().parse::<u64>().ok());
    if start == Some(position) { Ok(0) } else { Err(Reason::Range(format!("`{range}` instead of byte {position}"))) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    use reqwest::Url;

    use super::super::{Http, HttpRequest, NOT_CANCELLED, Reach, Trust, successful};
    use super::*;

    const LENGTH: usize = 1000;
    /// Less than the drips take together, and far more than each.
    const LIMITS: TransferLimits = TransferLimits {
        stall_timeout: Some(Duration::from_secs(2)),
        min_rate: 100,
        manifest_timeout: None,
        manifest_bytes: LENGTH as u64,
    };

    /// One URL, asked once each time.
    struct Place {
        network: Arc<Network>,
        http: Http,
        url: Url,
    }

    struct NoRanges;

    impl RangeSource for NoRanges {
        async fn ask(self, _: Range<u64>) -> Result<Response, Failure> {
            unreachable!("nobody asks")
        }
    }

    impl BlobSource for Place {
        type Error = Reason;
        type Ranges = NoRanges;

        fn ranges(&self) -> Option<NoRanges> {
            None
        }

        fn ask(&mut self, offset: u64) -> Result<Response, Reason> {
            let request = HttpRequest { offset, ..HttpRequest::new(self.url.clone(), Reach::Anywhere) };
            let asked =
                self.network.wait(&NOT_CANCELLED, async { successful(self.http.send(&request, None).await?) })?;
            asked.map_err(|failure| failure.reason)
        }

        fn disable(&mut self, failure: Failure) -> Result<(), Reason> {
            Err(failure.reason)
        }

        fn error(&self, failure: Failure) -> Reason {
            failure.reason
        }
    }

    fn place(listener: &TcpListener) -> Place {
        let url = format!("http://{}/blob", listener.local_addr().unwrap());
        let network = Arc::new(Network::start(None).unwrap());
        Place { network, http: Http::new(Trust::default(), LIMITS), url: Url::parse(&url).unwrap() }
    }

    fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Falls silent in the middle of the first answer, and sends the rest of the second in drips.
    fn serve(listener: &TcpListener) {
        let (mut silent, _) = listener.accept().unwrap();
        head(&mut silent);
        let _ = write!(silent, "HTTP/1.1 200 X\r\ncontent-length: {LENGTH}\r\n\r\n");
        let _ = silent.write_all(&[1; LENGTH / 2]);
        let (mut slow, _) = listener.accept().unwrap();
        let head = head(&mut slow);
        assert!(head.to_lowercase().contains("range: bytes=500-\r\n"), "{head}");
        let _ = write!(slow, "HTTP/1.1 206 X\r\ncontent-range: bytes 500-999/1000\r\ncontent-length: 500\r\n\r\n");
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(300));
            let _ = slow.write_all(&[2; LENGTH / 20]);
        }
    }

    #[test]
    fn a_silent_server_is_left_and_a_slow_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = place(&listener);
        let server = thread::spawn(move || serve(&listener));
        let network = Arc::clone(&place.network);
        let mut bytes = Vec::new();
        let stream = BlobStream::open(place, network, Some(LENGTH as u64), LIMITS, &NOT_CANCELLED);
        stream.unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [[1; LENGTH / 2], [2; LENGTH / 2]].concat());
        server.join().unwrap();
    }
}
