//! One pass over a layer, in two threads.
//!
//! The calling thread reads the blob, hashes it and decompresses it; a thread of its own, confined to the volume, hashes
//! the result, parses the archive and writes the files. Inflating alone is half of the work for most layers, so neither
//! waits much for the other. Whichever fails first stops the other; what the caller hears is the cause, and a blob that
//! is not the one the manifest names is the cause of whatever its content led to.

use std::hash::RandomState;
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::thread;

use super::channel::{Disconnected, Feed, pipe};
use super::digest::{Blob, Hasher};
use super::error::Error;
use super::extract::extract;
use super::{Layer, UnpackFailure, Unpacked};
use crate::archive::Decoder;
use crate::sys::confine::{self, Confinement};
use crate::sys::{sandbox, spawning};

/// Compressed bytes read at once.
const READ: usize = 64 << 10;

/// Why the reading half stopped before the end.
enum Stop {
    /// The writing half wanted no more.
    Unwanted,
    Failed(Error),
}

impl From<Disconnected> for Stop {
    fn from(_: Disconnected) -> Self {
        Self::Unwanted
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads the whole of `source` and extracts it into the directory `volume`. See [`super::unpack`].
pub(super) fn run<E: Send>(
    source: impl Read + Send,
    volume: impl FnOnce() -> Result<OwnedFd, E> + Send,
    layer: &Layer<'_>,
) -> Result<Unpacked, UnpackFailure<E>> {
    let mut blob = Blob::new(source, &layer.expected, layer.cancel);
    let (feed, mut stream) = pipe(Hasher::new(layer.expected.diff_id.as_ref()), layer.read_ahead);
    let session = tracing::Span::current();
    let (fed, extracted) = thread::scope(|scope| {
        let extractor = spawning::thread("unpack")
            .map_err(Error::Start)?
            .spawn_scoped(scope, move || {
                let _session = session.entered();
                let volume = volume().map_err(UnpackFailure::Volume)?;
                let volume = volume.as_fd();
                let unpacked = confined(volume, &[], |confinement| extract(&mut stream, volume, layer, confinement))?;
                Ok((unpacked, stream.into_hasher()))
            })
            .map_err(Error::Start)?;
        let fed = feed_layer(&mut blob, feed, layer);
        let extracted = extractor.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok::<_, Error>((fed, extracted))
    })?;
    let error = match (fed, extracted) {
        (Ok(()), Ok((unpacked, diff))) => {
            blob.verify()?;
            return match diff.mismatch() {
                Some((expected, actual)) => Err(Error::DiffId { expected, actual }.into()),
                None => Ok(unpacked),
            };
        }
        (_, Err(failure @ UnpackFailure::Volume(_))) => return Err(failure),
        (Err(Stop::Failed(error)), _) | (_, Err(UnpackFailure::Layer(error))) => error,
        (Err(Stop::Unwanted), Ok(_)) => unreachable!("the archive was not read to its end"),
    };
    Err(if error.accuses_content() { blob.blame(error) } else { error }.into())
}

/// Runs `work` in a thread of its own whose root directory is `volume`, and that reaches nothing else but to read in
/// `readable`.
pub(super) fn in_volume<T: Send>(
    volume: BorrowedFd<'_>,
    readable: &[BorrowedFd<'_>],
    work: impl FnOnce(Confinement) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let session = tracing::Span::current();
    thread::scope(|scope| {
        let worker = spawning::thread("unpack")
            .map_err(Error::Start)?
            .spawn_scoped(scope, || session.in_scope(|| confined(volume, readable, work)))
            .map_err(Error::Start)?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn confined<T>(
    volume: BorrowedFd<'_>,
    readable: &[BorrowedFd<'_>],
    work: impl FnOnce(Confinement) -> Result<T, Error>,
) -> Result<T, Error> {
    // Without getrandom(2) the thread's hash maps are seeded from a file, which is out of reach afterwards.
    let _ = RandomState::new();
    let confinement = confine::enter(volume).map_err(Error::Start)?;
    sandbox::restrict_files(volume, readable);
    sandbox::restrict_system_calls();
    work(confinement)
}

/// Sends the whole layer, uncompressed.
fn feed_layer(blob: &mut Blob<'_, impl Read>, feed: Feed, layer: &Layer<'_>) -> Result<(), Stop> {
    if let Err(stop) = send_decompressed(blob, &feed, layer) {
        // The decompressor knows no more than that its input failed.
        return Err(blob.take_failure().map_or(stop, Stop::Failed));
    }
    blob.drain()?;
    Ok(feed.end()?)
}

fn send_decompressed(blob: &mut Blob<'_, impl Read>, feed: &Feed, layer: &Layer<'_>) -> Result<(), Stop> {
    let packed = blob.counter();
    let stream = BufReader::with_capacity(READ, blob);
    let mut decoder = Decoder::with_memory(stream, layer.decoder_memory).map_err(Error::Decompress)?;
    let mut unpacked = 0_u64;
    loop {
        let mut buffer = feed.buffer();
        let length = decoder.fill(&mut buffer).map_err(Error::Decompress)?;
        if length == 0 {
            return Ok(());
        }
        for budget in [layer.budget, layer.room].into_iter().flatten() {
            budget.spend(length as u64)?;
        }
        unpacked += length as u64;
        layer.usage.limits.check_ratio(packed.load(Ordering::Relaxed), unpacked).map_err(Error::Limit)?;
        layer.usage.check_time().map_err(Error::Limit)?;
        feed.send(buffer, length)?;
    }
}
