//! The thread that connections live in.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::failure::Reason;
use crate::fetcher::{ProgressReporter, Retry};
use crate::sys::{interrupt, spawning};

/// How soon a thread that waits for the network notices that nobody wants the answer any more.
const NOTICE: Duration = Duration::from_millis(100);

/// For what is never cancelled.
pub(in crate::fetcher) static NOT_CANCELLED: AtomicBool = AtomicBool::new(false);

/// Bounds both the memory, parts of 1.5 MiB, and the connections that a create has more than it reads layers at once.
const PARTS: usize = 4;

/// Work that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An asynchronous runtime for synchronous callers: one thread drives connections and timers, any thread may wait.
///
/// The asynchronous HTTP client is used because only that can give up on a server that falls silent without also
/// limiting how long a download may take. The scheduler with several threads would bring nothing: it is the receiving
/// threads that hash and inflate.
#[derive(Debug)]
pub(in crate::fetcher) struct Network {
    handle: Handle,
    /// Parts of blobs that may be asked for or be kept before they are read, at a time.
    parts: Arc<Semaphore>,
    /// Some were.
    had_parts: AtomicBool,
    /// Is told of pauses.
    observer: Option<Arc<dyn ProgressReporter>>,
    /// The thread ends when this is dropped.
    _running: oneshot::Sender<()>,
}

impl Network {
    /// Starts the thread. `observer` is told of pauses.
    pub(in crate::fetcher) fn start(observer: Option<Arc<dyn ProgressReporter>>) -> io::Result<Self> {
        interrupt::watch();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel();
        spawning::thread("network")?.spawn(move || {
            // Nothing is ever sent: it is the sender's end that is waited for.
            let _ = runtime.block_on(stopped);
            // A host name that is still being looked up is not waited for.
            runtime.shutdown_background();
        })?;
        let parts = Arc::new(Semaphore::new(PARTS));
        Ok(Network { handle, parts, had_parts: AtomicBool::new(false), observer, _running: running })
    }

    /// Waits for `work` in the calling thread, or until `cancel` is set or the program is to end.
    ///
    /// # Errors
    /// [`Reason::Cancelled`] and no other.
    pub(in crate::fetcher) fn wait<T>(&self, cancel: &AtomicBool, work: impl Future<Output = T>) -> Result<T, Reason> {
        self.handle.block_on(async {
            let mut work = pin!(work);
            while !cancel.load(Ordering::Relaxed) && !interrupt::is_requested() {
                if let Ok(done) = timeout(NOTICE, work.as_mut()).await {
                    return Ok(done);
                }
            }
            Err(Reason::Cancelled)
        })
    }

    /// Does `work` in the thread for connections, until it is done or what is returned is dropped.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(self.handle.spawn(work).abort_handle())
    }

    /// Permission to read so many parts ahead; `None` where others have it, or nobody.
    pub(super) fn parts(&self, count: u32) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.parts).try_acquire_many_owned(count).ok()?;
        self.had_parts.store(true, Ordering::Relaxed);
        Some(permit)
    }

    /// Has nobody read parts ahead any more. Whether anybody did.
    pub(in crate::fetcher) fn forbid_parts(&self) -> bool {
        self.parts.close();
        self.had_parts.load(Ordering::Relaxed)
    }

    /// Lets time pass before the next try.
    ///
    /// # Errors
    /// [`Reason::Cancelled`] and no other.
    pub(in crate::fetcher) fn pause(
        &self,
        cancel: &AtomicBool,
        time: Duration,
        next: &Retry<'_>,
    ) -> Result<(), Reason> {
        let _shown = self.observer.as_ref().map(|observer| observer.retrying(next));
        self.wait(cancel, async { tokio::time::sleep(time).await })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn several_threads_wait_at_once() {
        let network = Network::start(None).unwrap();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|n| {
                    let network = &network;
                    scope.spawn(move || {
                        network.wait(&NOT_CANCELLED, async move {
                            tokio::time::sleep(Duration::from_millis(10 * n)).await;
                            n
                        })
                    })
                })
                .collect();
            let answers: Vec<u64> = workers.into_iter().map(|worker| worker.join().unwrap().unwrap()).collect();
            assert_eq!(answers, [0, 1, 2, 3]);
        });
    }

    #[test]
    fn waiting_ends_when_it_is_cancelled() {
        let network = Network::start(None).unwrap();
        let cancel = AtomicBool::new(false);
        let retry = Retry { url: "", reason: &Reason::NotVisible, attempt: 2, attempts: 5 };
        let begin = Instant::now();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| network.pause(&cancel, Duration::from_secs(600), &retry));
            thread::sleep(Duration::from_millis(20));
            cancel.store(true, Ordering::Relaxed);
            assert!(matches!(waiting.join().unwrap(), Err(Reason::Cancelled)));
        });
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
