//! Counting and hashing of the bytes that pass.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::error::Error;
use crate::limits;
use crate::sys::interrupt;

/// What the manifest says of a layer's bytes; `None` means not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// SHA-256 of the blob as it is stored and sent, in hex.
    pub blob_digest: Option<String>,
    /// Size of the blob in bytes.
    pub blob_size: Option<u64>,
    /// SHA-256 of the uncompressed layer, in hex.
    pub diff_id: Option<String>,
}

/// How many uncompressed bytes, or inodes, the layers of one image may still have together.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    of: Bounds,
}

/// What a budget comes from.
#[derive(Debug, Clone, Copy)]
enum Bounds {
    Quota,
    /// `create.limits.unpacked_bytes`.
    Limit(u64),
    /// All that a store has room for.
    Room,
}

impl Budget {
    /// A budget of `left` bytes, or inodes.
    pub fn new(left: u64) -> Self {
        Self { left: AtomicU64::new(left), of: Bounds::Quota }
    }

    /// A budget of the `left` bytes that a store has room for.
    pub fn of_room(left: u64) -> Self {
        Self { left: AtomicU64::new(left), of: Bounds::Room }
    }

    /// A budget of what an image may unpack to.
    pub fn of_limit(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes), of: Bounds::Limit(bytes) }
    }

    /// Takes `bytes` out.
    ///
    /// # Errors
    /// [`Error::Quota`], [`Error::Limit`] or [`Error::Room`] if there are not that many left.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Error> {
        let left = |left: u64| left.checked_sub(bytes);
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        spent.map(drop).map_err(|_| match self.of {
            Bounds::Quota => Error::Quota,
            Bounds::Limit(limit) => Error::Limit(limits::unpacked(limit)),
            Bounds::Room => Error::Room(Errno::NOSPC.into()),
        })
    }
}

/// SHA-256, if anybody wants to know.
pub(super) struct Hasher {
    expected: Option<String>,
    state: Sha256,
}

impl Hasher {
    pub(super) fn new(expected: Option<&String>) -> Self {
        Self { expected: expected.cloned(), state: Sha256::new() }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if self.expected.is_some() {
            self.state.update(bytes);
        }
    }

    /// The expected and the actual digest in hex, if they differ.
    pub(super) fn mismatch(self) -> Option<(String, String)> {
        let expected = self.expected?;
        let actual: String = self.state.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (!expected.eq_ignore_ascii_case(&actual)).then_some((expected, actual))
    }
}

/// The blob on its way in: counted, hashed, never read past its stated size, and stopped when the caller says so.
pub(super) struct Blob<'a, R> {
    source: R,
    expected_size: Option<u64>,
    count: Arc<AtomicU64>,
    hasher: Hasher,
    cancel: &'a AtomicBool,
    /// Why reading stopped. The decompressor in between only passes on that it did.
    failure: Option<Error>,
}

impl<'a, R: Read> Blob<'a, R> {
    pub(super) fn new(source: R, expected: &Expected, cancel: &'a AtomicBool) -> Self {
        let hasher = Hasher::new(expected.blob_digest.as_ref());
        Self { source, expected_size: expected.blob_size, count: Arc::default(), hasher, cancel, failure: None }
    }

    /// Bytes read so far, to be looked at while the blob is in use.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.count.clone()
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Why reading stopped, if it was not the end of the blob.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Reads what the decompressor left, e.g. padding behind the last gzip member.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        let copied = io::copy(self, &mut io::sink());
        copied.map(drop).map_err(|error| self.take_failure().unwrap_or(Error::Source(error)))
    }

    /// Compares the whole blob, once read, with the manifest.
    pub(super) fn verify(self) -> Result<(), Error> {
        if let Some(expected) = self.expected_size.filter(|expected| *expected != self.count()) {
            return Err(Error::BlobSize { expected, actual: self.count() });
        }
        match self.hasher.mismatch() {
            Some((expected, actual)) => Err(Error::BlobDigest { expected, actual }),
            None => Ok(()),
        }
    }

    /// Decides whether the blob is to blame for an error that its content caused further on, by reading the rest of it.
    /// Without anything to compare with, nothing is read.
    pub(super) fn blame(mut self, error: Error) -> Error {
        if self.expected_size.is_none() && self.hasher.expected.is_none() {
            return error;
        }
        match self.drain().and_then(|()| self.verify()) {
            Err(mismatch @ (Error::BlobSize { .. } | Error::BlobDigest { .. } | Error::Cancelled)) => mismatch,
            Ok(()) | Err(_) => error,
        }
    }

    fn stop(&mut self, error: Error) -> io::Error {
        self.failure = Some(error);
        io::Error::other("stopped")
    }
}

impl<R: Read> Read for Blob<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            if self.cancel.load(Ordering::Relaxed) || interrupt::is_requested() {
                return Err(self.stop(Error::Cancelled));
            }
            match self.source.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.stop(Error::Source(error))),
            }
        };
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(expected) = self.expected_size.filter(|expected| self.count() > *expected) {
            let actual = self.count();
            return Err(self.stop(Error::BlobSize { expected, actual }));
        }
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_and_exact() {
        let budget = Budget::new(10);
        assert!(budget.spend(4).is_ok() && budget.spend(6).is_ok() && budget.spend(0).is_ok());
        assert!(matches!(budget.spend(1), Err(Error::Quota)));
    }
}
