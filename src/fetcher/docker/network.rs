//! The thread that connections live in.

use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// An asynchronous runtime for synchronous callers: one thread drives connections and timers, any thread may wait.
///
/// The asynchronous HTTP client is used because only that can give up on a server that falls silent without also
/// limiting how long a download may take. The scheduler with several threads would bring nothing: it is the receiving
/// threads that hash and inflate.
#[derive(Debug)]
pub(super) struct Network {
    handle: Handle,
    /// The thread ends when this is dropped.
    _running: oneshot::Sender<()>,
}

impl Network {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel();
        thread::Builder::new().name("network".to_owned()).spawn(move || {
            // Nothing is ever sent: it is the sender's end that is waited for.
            let _ = runtime.block_on(stopped);
            // A host name that is still being looked up is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Network { handle, _running: running })
    }

    /// Waits for `work` in the calling thread.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn several_threads_wait_at_once() {
        let network = Network::start().unwrap();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|n| {
                    let network = &network;
                    scope.spawn(move || {
                        network.wait(async move {
                            tokio::time::sleep(Duration::from_millis(10 * n)).await;
                            n
                        })
                    })
                })
                .collect();
            let answers: Vec<u64> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
            assert_eq!(answers, [0, 1, 2, 3]);
        });
    }
}
