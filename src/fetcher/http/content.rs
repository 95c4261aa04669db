//! What requests send along: documents, and files of any size, which are read as the connection takes them.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::Body;

use super::failure::Reason;
use super::pace::{Pace, TransferLimits};

/// Bytes of a file that are in memory at a time.
const CHUNK: usize = 128 * 1024;
/// How often it is looked at whether a server still takes anything.
const CHECK: Duration = Duration::from_secs(1);
/// Bytes a second at which a server is expected to verify what it was sent, before it answers.
const VERIFIED: u64 = 10_000_000;

/// What is sent along.
#[derive(Clone, Debug)]
pub(in crate::fetcher) enum Content {
    /// A document of a media type.
    Document(&'static str, Bytes),
    /// So many bytes of a file.
    File(PathBuf, u64),
}

impl Content {
    pub(super) fn media_type(&self) -> &'static str {
        match self {
            Content::Document(media_type, _) => media_type,
            Content::File(..) => "application/octet-stream",
        }
    }

    /// What is sent, and who watches how fast the server takes it.
    ///
    /// # Errors
    /// Those of opening the file.
    pub(super) fn body(&self, transfer_limits: TransferLimits) -> Result<(Body, Option<Watch>), Reason> {
        match self {
            Content::Document(_, bytes) => Ok((Body::from(bytes.clone()), None)),
            Content::File(path, size) => {
                let failed = |error| Reason::Setup(format!("reading {}: {error}", path.display()));
                let file = File::open(path).map_err(failed)?;
                let watch = Watch::new(*size, transfer_limits);
                Ok((Body::wrap(FileBody { file, left: *size, watch: watch.clone() }), Some(watch)))
            }
        }
    }
}

/// A file on its way. It is in the page cache or on a local disk, so that reading it delays no other connection for long.
struct FileBody {
    file: File,
    left: u64,
    watch: Watch,
}

impl FileBody {
    fn read(&mut self) -> io::Result<Bytes> {
        let mut chunk = vec![0; usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK)];
        self.file.read_exact(&mut chunk)?;
        self.left -= chunk.len() as u64;
        Ok(chunk.into())
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.watch.asked_for_more();
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = self.read();
        if let Ok(chunk) = &chunk {
            self.watch.handed_out(chunk.len(), self.left);
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Watches how a server takes a file.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    transfer_limits: TransferLimits,
    /// How long the answer may take, once the file is sent; `None` for ever.
    answer_timeout: Option<Duration>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Bytes that were handed out last, and when.
    last: (usize, Instant),
    is_sent: bool,
    failure: Option<Reason>,
}

impl Watch {
    fn new(size: u64, transfer_limits: TransferLimits) -> Self {
        let verifying = Duration::from_secs(size / VERIFIED);
        let state =
            State { pace: Pace::new(transfer_limits), last: (0, Instant::now()), is_sent: size == 0, failure: None };
        let answer_timeout = transfer_limits.manifest_timeout.map(|timeout| timeout.saturating_add(verifying));
        Watch { transfer_limits, answer_timeout, state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for an answer, as long as the server takes the file and answers in time.
    ///
    /// # Errors
    /// When it does not. The inner result is that of `answer`.
    pub(super) async fn over<T>(&self, answer: impl Future<Output = T>) -> Result<T, Reason> {
        let mut answer = pin!(answer);
        loop {
            if let Ok(answer) = tokio::time::timeout(CHECK, answer.as_mut()).await {
                return Ok(answer);
            }
            self.check()?;
        }
    }

    /// The network has taken what was handed out last.
    fn asked_for_more(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, since) = state.last;
        if let Err(reason) = state.pace.add(bytes, since) {
            state.failure = Some(reason);
        }
        state.last = (0, Instant::now());
    }

    fn handed_out(&self, bytes: usize, left: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = (bytes, Instant::now());
        state.is_sent = left == 0;
    }

    fn check(&self) -> Result<(), Reason> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = state.failure.take() {
            return Err(reason);
        }
        let limit = if state.is_sent { self.answer_timeout } else { self.transfer_limits.stall_timeout };
        match limit.filter(|limit| state.last.1.elapsed() >= *limit) {
            Some(limit) if state.is_sent => Err(Reason::TooLong(limit.as_secs())),
            Some(limit) => Err(Reason::Transport(format!("the server takes nothing for {} s", limit.as_secs()))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(stall: Duration, answer: Duration) -> Watch {
        let transfer_limits =
            TransferLimits { stall_timeout: Some(stall), manifest_timeout: Some(answer), ..TransferLimits::default() };
        Watch::new(1, transfer_limits)
    }

    #[test]
    fn a_server_that_takes_nothing_or_does_not_answer_is_left() {
        let long = Duration::from_secs(1000);
        let stalled = watch(Duration::ZERO, long);
        assert!(matches!(stalled.check(), Err(Reason::Transport(_))));
        stalled.handed_out(1, 0);
        assert!(stalled.check().is_ok(), "all was taken");
        let silent = watch(long, Duration::ZERO);
        assert!(silent.check().is_ok(), "there is more to send");
        silent.handed_out(1, 0);
        assert!(matches!(silent.check(), Err(Reason::TooLong(0))));
    }

    #[test]
    fn the_larger_the_file_the_later_the_answer() {
        let timeout = |size| Watch::new(size, TransferLimits::default()).answer_timeout.unwrap().as_secs();
        assert_eq!((timeout(0), timeout(10_000_000_000)), (60, 1060));
    }
}
