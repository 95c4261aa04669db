//! A large blob over several connections at once.
//!
//! One connection brings the blob, as any other, until it turns out that the reader mostly waits for it. Then what follows
//! is asked for in parts, each over a connection of its own, and read in order. How many parts there are at a time is
//! bounded for all blobs together ([`Network::parts`]), and with it the memory.
//!
//! Nothing depends on parts. The first connection is kept until the first part has answered as it should. A part that
//! breaks, falls silent or drips is left, and a single connection, with all its retries, takes over where it stopped.
//! A server that does not heed ranges, answers with others, has something else by now or refuses is asked for no more
//! parts of this blob.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::failure::{Failure, Reason, shown};
use super::network::{Network, Task};
use super::pace::{Pace, TransferLimits};
use super::stream::{BlobSource, BlobStream, RangeSource};

/// Bytes of a part. With a round trip of 50 ms and 20 MB/s, a connection brings such parts at three fifths of its rate.
const PART: u64 = if cfg!(test) { 100 } else { 3 * 512 * 1024 };
/// Fewer bytes than this are not worth more connections.
const LARGE: u64 = 4 * PART;
/// What is read before it is known what the reader waits for; then that is asked anew.
const SAMPLE: u64 = PART / 2;
/// Parts that may break before there are no more.
const BROKEN_PARTS: u32 = 3;

/// Reads a blob, over more than one connection where that is faster.
pub(in crate::fetcher) struct ParallelStream<'a, S: BlobSource> {
    single: BlobStream<'a, S>,
    network: Arc<Network>,
    cancel: &'a AtomicBool,
    transfer_limits: TransferLimits,
    /// Size as the manifest states it; 0 if it does not.
    size: u64,
    /// What has been read.
    position: u64,
    waits: Waits,
    /// Those after `position`, in order. Between it and the first, and where there is none, it is `single` that is read.
    parts: VecDeque<Part>,
    /// Where the next part begins.
    next: u64,
    /// Strong entity tag of what `single` began to bring.
    tag: Option<HeaderValue>,
    /// How many more may break.
    chances: u32,
}

/// Some bytes of the blob, on their way or here.
struct Part {
    /// What of them is not read yet.
    range: Range<u64>,
    arriving: UnboundedReceiver<Result<Bytes, Failure>>,
    arrived: Bytes,
    permit: OwnedSemaphorePermit,
    _task: Task,
}

/// What the reader does with its time.
struct Waits {
    since: Instant,
    bytes: u64,
    waited: Duration,
    /// Most of the last sample was waited for.
    is_network: bool,
}

impl<'a, S: BlobSource> ParallelStream<'a, S> {
    /// Asks for the blob and waits for the answer to begin. Reading ends with an error soon after `cancel` is set.
    pub(in crate::fetcher) fn open(
        source: S,
        network: Arc<Network>,
        size: Option<u64>,
        transfer_limits: TransferLimits,
        cancel: &'a AtomicBool,
    ) -> Result<Self, S::Error> {
        let single = BlobStream::open(source, Arc::clone(&network), size, transfer_limits, cancel)?;
        Ok(ParallelStream {
            tag: single.response().and_then(entity_tag),
            single,
            network,
            cancel,
            transfer_limits,
            size: size.unwrap_or_default(),
            position: 0,
            waits: Waits::new(Instant::now()),
            parts: VecDeque::new(),
            next: 0,
            chances: BROKEN_PARTS,
        })
    }

    /// Asks for as many parts as are allowed and of use.
    fn read_ahead(&mut self) {
        if self.parts.is_empty() {
            self.begin_parts();
        }
        while !self.parts.is_empty() && self.next < self.size {
            if !self.network.parts(1).is_some_and(|permit| self.add_part(permit)) {
                return;
            }
        }
    }

    /// Asks for the first parts, behind what the single connection is to bring meanwhile.
    fn begin_parts(&mut self) {
        if self.chances == 0 || !self.waits.is_network || self.size.saturating_sub(self.position) < LARGE {
            return;
        }
        if self.single.source().ranges().is_none() {
            self.chances = 0;
            return;
        }
        // One part alone is no faster than the single connection.
        let Some((first, second)) = self.network.parts(2).and_then(|mut both| Some((both.split(1)?, both))) else {
            return;
        };
        tracing::info!(url = shown(self.single.url()), position = self.position, "reading-in-parts");
        self.next = self.position + PART;
        self.add_part(first);
        self.add_part(second);
    }

    /// Asks for the next part. Whether there is one, and somebody to ask.
    fn add_part(&mut self, permit: OwnedSemaphorePermit) -> bool {
        let range = self.next..self.size.min(self.next + PART);
        let Some(source) = self.single.source().ranges().filter(|_| !range.is_empty()) else { return false };
        let (sender, arriving) = unbounded_channel();
        self.next = range.end;
        let wanted = Wanted {
            range: range.clone(),
            size: self.size,
            tag: self.tag.clone(),
            transfer_limits: self.transfer_limits,
        };
        let task = self.network.spawn(wanted.bring_or_tell(source, sender));
        self.parts.push_back(Part { range, arriving, arrived: Bytes::new(), permit, _task: task });
        true
    }

    fn read_single(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.parts.front().map_or(u64::MAX, |part| part.range.start - self.position);
        let length = buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let begin = Instant::now();
        let count = self.single.read(&mut buffer[..length])?;
        self.waits.add(count as u64, begin, Instant::now());
        Ok(count)
    }

    /// Reads from the first part. `None` if it has failed.
    fn read_part(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, S::Error> {
        let Some(part) = self.parts.front_mut() else { return Ok(None) };
        if !part.arrived.has_remaining() {
            let arrived = self.network.wait(self.cancel, part.arriving.recv());
            let ended = || Err(Failure::new(self.single.url(), Reason::Transport("the connection ended".to_owned())));
            match arrived.map_err(|cancelled| self.single.error(cancelled))?.unwrap_or_else(ended) {
                Ok(bytes) => part.arrived = bytes,
                Err(failure) => {
                    self.give_up_part(&failure);
                    return Ok(None);
                }
            }
        }
        let count = part.arrived.len().min(buffer.len());
        part.arrived.copy_to_slice(&mut buffer[..count]);
        part.range.start += count as u64;
        let is_read = part.range.is_empty();
        self.single.hang_up(self.position + count as u64);
        if is_read && let Some(part) = self.parts.pop_front() {
            self.add_part(part.permit);
        }
        Ok(Some(count))
    }

    /// The single connection takes over: up to the next part after a break, to the end after anything else.
    fn give_up_part(&mut self, failure: &Failure) {
        let Failure { url, reason } = failure;
        let is_broken = matches!(reason, Reason::Transport(_) | Reason::TooSlow { .. });
        self.chances = if is_broken { self.chances.saturating_sub(1) } else { 0 };
        self.parts.pop_front();
        if self.chances == 0 {
            self.parts.clear();
        }
        self.waits = Waits::new(Instant::now());
        tracing::info!(url, position = self.position, %reason, chances = self.chances, "part-failed");
    }

    /// Whether all of it came, the last of it in a part. A single connection tells its end itself.
    fn is_at_end(&self) -> bool {
        self.single.response().is_none() && self.position == self.size
    }
}

impl<S: BlobSource> Read for ParallelStream<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.is_at_end() {
            return Ok(0);
        }
        self.read_ahead();
        let is_in_part = self.parts.front().is_some_and(|part| part.range.start == self.position);
        let from_part = if is_in_part { self.read_part(buffer).map_err(io::Error::other)? } else { None };
        let count = match from_part {
            Some(count) => count,
            None => self.read_single(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Waits {
    fn new(since: Instant) -> Self {
        Waits { since, bytes: 0, waited: Duration::ZERO, is_network: false }
    }

    /// Counts bytes that were waited for from `begin` until `now`.
    fn add(&mut self, bytes: u64, begin: Instant, now: Instant) {
        self.bytes += bytes;
        self.waited += now - begin;
        if self.bytes >= SAMPLE {
            *self = Waits { is_network: self.waited * 2 > now - self.since, ..Waits::new(now) };
        }
    }
}

/// A part, and what it is to be a part of.
struct Wanted {
    range: Range<u64>,
    size: u64,
    tag: Option<HeaderValue>,
    transfer_limits: TransferLimits,
}

impl Wanted {
    async fn bring_or_tell(self, source: impl RangeSource, to: UnboundedSender<Result<Bytes, Failure>>) {
        if let Err(failure) = self.bring(source, &to).await {
            // Nobody may want to know any more.
            let _ = to.send(Err(failure));
        }
    }

    async fn bring(
        &self,
        source: impl RangeSource,
        to: &UnboundedSender<Result<Bytes, Failure>>,
    ) -> Result<(), Failure> {
        let mut response = source.ask(self.range.clone()).await?;
        let url = response.url().clone();
        let failed = |reason| Failure::new(&url, reason);
        self.check(&response).map_err(failed)?;
        let mut missing = self.range.end - self.range.start;
        let mut pace = Pace::new(self.transfer_limits);
        while missing > 0 {
            let begin = Instant::now();
            let bytes = response.chunk().await.map_err(|error| failed(Reason::of(&error)))?;
            let bytes = bytes.filter(|bytes| bytes.len() as u64 <= missing);
            let bytes = bytes.ok_or_else(|| failed(Reason::Range("not as many bytes as it says".to_owned())))?;
            missing -= bytes.len() as u64;
            let on_time = pace.add(bytes.len(), begin);
            // A copy is as large as it is long: what is received keeps all of the buffer it was received in.
            let _ = to.send(Ok(Bytes::copy_from_slice(&bytes)));
            on_time.map_err(failed)?;
        }
        Ok(())
    }

    /// Whether the answer is this part of the same thing.
    fn check(&self, response: &Response) -> Result<(), Reason> {
        let Range { start, end } = self.range;
        let expected = format!("bytes {start}-{}/{}", end - 1, self.size);
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if response.status() != StatusCode::PARTIAL_CONTENT || !range.eq_ignore_ascii_case(&expected) {
            return Err(Reason::Range(format!("{}, `{range}` instead of `{expected}`", response.status())));
        }
        match (&self.tag, entity_tag(response)) {
            (Some(before), Some(now)) if *before != now => Err(Reason::Range(format!("{now:?} is not {before:?}"))),
            _ => Ok(()),
        }
    }
}

/// The entity tag, if it says that it is of the very same bytes (RFC 9110, 8.8.3).
fn entity_tag(response: &Response) -> Option<HeaderValue> {
    response.headers().get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned()
}

#[cfg(test)]
mod tests;
