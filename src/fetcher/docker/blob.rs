//! A layer's bytes as one stream, however many connections it takes.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::client::Session;
use super::error::{Error, Reason};
use super::retry::{self, ATTEMPTS};

/// A connection that brought this much was worth making: the count of failures starts anew.
const PROGRESS: u64 = 1024 * 1024;

/// Reads a blob. A connection that breaks is replaced by one that goes on where it stopped, so that the reader, who
/// computes the digest, notices nothing.
pub(super) struct Blob {
    session: Arc<Session>,
    digest: String,
    /// Size as the manifest states it.
    size: Option<u64>,
    response: Response,
    /// Received, not read yet.
    chunk: Bytes,
    /// Bytes of the blob received so far.
    position: u64,
    /// Bytes still to come that were received before.
    skip: u64,
    /// Where the current connection began.
    resumed_at: u64,
    failures: u32,
}

impl Blob {
    /// Asks for the blob and waits for the answer to begin.
    pub(super) fn open(session: Arc<Session>, digest: &str, size: Option<u64>) -> Result<Self, Error> {
        let response = session.blob(digest, 0)?;
        Ok(Blob {
            session,
            digest: digest.to_owned(),
            size,
            response,
            chunk: Bytes::new(),
            position: 0,
            skip: 0,
            resumed_at: 0,
            failures: 0,
        })
    }

    /// Receives something to read. `false` at the end.
    fn receive(&mut self) -> Result<bool, Error> {
        loop {
            let received = self.session.wait(self.response.chunk());
            match received {
                Ok(None) => return Ok(false),
                Ok(Some(chunk)) => {
                    self.accept(chunk);
                    if self.chunk.has_remaining() {
                        return Ok(true);
                    }
                }
                // The end of a chunked body may be lost when all of the blob is here.
                Err(_) if self.size == Some(self.position) => return Ok(false),
                Err(error) => self.resume(Reason::of(&error))?,
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

    fn resume(&mut self, reason: Reason) -> Result<(), Error> {
        if self.position - self.resumed_at >= PROGRESS {
            self.failures = 0;
        }
        self.failures += 1;
        let url = self.response.url();
        if self.failures >= ATTEMPTS {
            return Err(self.session.error(url, reason));
        }
        tracing::info!(digest = self.digest, position = self.position, %reason, "resuming");
        std::thread::sleep(retry::pause(self.failures, &reason)?);
        let response = self.session.blob(&self.digest, self.position)?;
        self.skip = skip(&response, self.position).map_err(|reason| self.session.error(response.url(), reason))?;
        self.resumed_at = self.position;
        self.response = response;
        Ok(())
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (!self.chunk.has_remaining() && !self.receive().map_err(io::Error::other)?) {
            return Ok(0);
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// How much of the answer is known already: nothing if the registry heeded the range, else all up to there.
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

    use super::*;
    use crate::image::Reference;

    const LENGTH: usize = 1000;

    /// Reads a request's head; whoever tries TLS is turned away.
    fn head(stream: &mut TcpStream) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
            if head == [0x16] {
                let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
                return None;
            }
        }
        String::from_utf8(head).ok()
    }

    /// Falls silent in the middle of the first answer, and sends the rest of the second in drips.
    fn serve(listener: &TcpListener) {
        let mut silent = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let Some(head) = head(&mut stream) else { continue };
            if silent.is_empty() {
                let _ = write!(stream, "HTTP/1.1 200 X\r\ncontent-length: {LENGTH}\r\n\r\n");
                let _ = stream.write_all(&[1; LENGTH / 2]);
                silent.push(stream);
                continue;
            }
            assert!(head.to_lowercase().contains("range: bytes=500-\r\n"), "{head}");
            let _ =
                write!(stream, "HTTP/1.1 206 X\r\ncontent-range: bytes 500-999/1000\r\ncontent-length: 500\r\n\r\n");
            for _ in 0..10 {
                thread::sleep(Duration::from_millis(100));
                let _ = stream.write_all(&[2; LENGTH / 20]);
            }
            return;
        }
    }

    #[test]
    fn a_silent_server_is_left_and_a_slow_one_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || serve(&listener));
        let image = format!("docker://{host}/a");
        let Ok(Reference::Docker(reference)) = Reference::parse(&image) else { panic!("{image}") };
        let session = Arc::new(Session::new(reference, &image, &[host], None).unwrap());
        let mut bytes = Vec::new();
        Blob::open(session, "sha256:x", Some(LENGTH as u64)).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [[1; LENGTH / 2], [2; LENGTH / 2]].concat());
        server.join().unwrap();
    }
}
