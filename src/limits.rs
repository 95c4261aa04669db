//! How much an image may ask of the machine.
//!
//! An image is a stranger's: it may be small to send and without end to unpack. Each limit has a default that no honest
//! image comes near, a key in the section `create.limits` of the configuration, and one line that names the key when an
//! image exceeds it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of memory for what waits to be finished: about 150,000 directories.
pub const MEMORY: u64 = 24 << 20;

/// An image asked for more than a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the image {what}: raise create.limits.{key} (now {limit}) if you trust it")]
pub struct Exceeded {
    /// What the image has too much of.
    pub what: &'static str,
    /// Name of the limit in the configuration.
    pub key: &'static str,
    /// What it allows.
    pub limit: u64,
}

impl From<Exceeded> for io::Error {
    fn from(exceeded: Exceeded) -> Self {
        io::Error::other(exceeded)
    }
}

/// Memory that all layers of an image may take together for what waits to be finished.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: u64,
    left: AtomicU64,
}

impl MemoryBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { limit: bytes, left: AtomicU64::new(bytes) })
    }
}

/// A part of a [`MemoryBudget`] that is in use. Dropping it gives it back.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    taken: u64,
}

impl Reservation {
    /// Nothing yet.
    pub fn of(budget: &Arc<MemoryBudget>) -> Self {
        Self { budget: budget.clone(), taken: 0 }
    }

    /// The budget that this is a part of.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// Takes `bytes` more.
    ///
    /// # Errors
    /// When the budget has no more.
    pub fn take(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = bytes as u64;
        let left = |left: u64| left.checked_sub(bytes);
        if self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
            return Err(Exceeded {
                what: "has more directories, whiteouts and links to lower layers than there is memory for",
                key: "memory_bytes",
                limit: self.budget.limit,
            });
        }
        self.taken += bytes;
        Ok(())
    }

    /// Gives `bytes` back.
    pub fn give(&mut self, bytes: usize) {
        let bytes = (bytes as u64).min(self.taken);
        self.taken -= bytes;
        self.budget.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}
