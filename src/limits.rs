//! How much an image may ask of the machine.
//!
//! An image is a stranger's: it may be small to send and without end to unpack. Each limit has a default that no honest
//! image comes near, a key in the section `create.limits` of the configuration, and one line that names the key when an
//! image exceeds it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of memory for what waits to be finished: about 150,000 directories.
pub const MEMORY: u64 = 24 << 20;

/// Bytes of a manifest, index or configuration; real ones have a few kilobytes.
pub const MANIFEST: u64 = 8 << 20;

/// What a number without a limit is held against.
const NO_LIMIT: u64 = u64::MAX;
const UNPACKED: &str = "unpacked_bytes";
/// What paths of an image can be counted with.
const MOST_MEMORY: u64 = 1 << 30;

/// Uncompressed bytes of a layer up to which nobody asks how well it was packed.
const UNSUSPICIOUS: u64 = 1 << 30;

/// How much of everything an image may have. What is behind the defaults stands in docs/security.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of all layers; `None` is what the store has room for beside a reserve.
    pub unpacked_bytes: Option<u64>,
    /// Entries of all layers' archives.
    pub entries: u64,
    /// Layers.
    pub layers: u64,
    /// Bytes of the path of an entry, or of what a link of it leads to.
    pub path_bytes: u64,
    /// Names in the path of an entry.
    pub path_depth: u64,
    /// Bytes of the extended attributes of an entry, names included.
    pub xattr_bytes: u64,
    /// Bytes of an extended header.
    pub pax_bytes: u64,
    /// Bytes of a manifest, index or configuration.
    pub manifest_bytes: u64,
    /// How many times its packed size a layer, or an archive of an image, may have, if it is large.
    pub compression_ratio: u64,
    /// Bytes of memory for what waits to be finished.
    pub memory_bytes: u64,
    /// Seconds for getting and unpacking the layers.
    pub create_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: None,
            entries: 4_000_000,
            layers: 1024,
            path_bytes: 4095,
            path_depth: 2048,
            xattr_bytes: 64 << 10,
            pax_bytes: 1 << 20,
            manifest_bytes: MANIFEST,
            compression_ratio: 250,
            memory_bytes: MEMORY,
            create_seconds: NO_LIMIT,
        }
    }
}

impl Limits {
    /// The names of the limits.
    pub fn names() -> Vec<&'static str> {
        let mut limits = Self::default();
        std::iter::once(UNPACKED).chain(limits.fields().into_iter().map(|(name, _)| name)).collect()
    }

    /// Changes the limit `name`; 0 is no limit. Returns whether there is such a limit.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let value = if value == 0 { NO_LIMIT } else { value };
        if name == UNPACKED {
            self.unpacked_bytes = Some(value);
            return true;
        }
        let field = self.fields().into_iter().find_map(|(field, limit)| (field == name).then_some(limit));
        field.map(|limit| *limit = value).is_some()
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 10] {
        [
            ("entries", &mut self.entries),
            ("layers", &mut self.layers),
            ("path_bytes", &mut self.path_bytes),
            ("path_depth", &mut self.path_depth),
            ("xattr_bytes", &mut self.xattr_bytes),
            ("pax_bytes", &mut self.pax_bytes),
            ("manifest_bytes", &mut self.manifest_bytes),
            ("compression_ratio", &mut self.compression_ratio),
            ("memory_bytes", &mut self.memory_bytes),
            ("create_seconds", &mut self.create_seconds),
        ]
    }

    /// Checks the number of layers.
    ///
    /// # Errors
    /// When there are too many.
    pub fn check_layers(&self, layers: usize) -> Result<(), Exceeded> {
        at_most(self.layers, layers as u64, "layers", "has too many layers")
    }

    /// Checks the path of an entry, or of what a link leads to.
    ///
    /// # Errors
    /// When it is too long or too deep.
    pub fn check_path(&self, path: &[u8]) -> Result<(), Exceeded> {
        at_most(self.path_bytes, path.len() as u64, "path_bytes", "has too long a path")?;
        let depth = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).count();
        at_most(self.path_depth, depth as u64, "path_depth", "has too deep a path")
    }

    /// Checks the bytes of an entry's extended attributes.
    ///
    /// # Errors
    /// When there are too many.
    pub fn check_xattrs(&self, bytes: usize) -> Result<(), Exceeded> {
        let what = "has too large extended attributes on a file";
        at_most(self.xattr_bytes, bytes as u64, "xattr_bytes", what)
    }

    /// Checks the bytes of an extended header.
    ///
    /// # Errors
    /// When there are too many.
    pub fn check_extended_header(&self, bytes: u64) -> Result<(), Exceeded> {
        at_most(self.pax_bytes, bytes, "pax_bytes", "has too long an extended header in an archive")
    }

    /// Checks how well a layer is packed.
    ///
    /// # Errors
    /// When it is large and unpacks to too many times its size.
    pub fn check_ratio(&self, packed: u64, unpacked: u64) -> Result<(), Exceeded> {
        self.check_ratio_of("has a layer that unpacks to too many times its size", packed, unpacked)
    }

    /// Checks how well an archive of an image is packed.
    ///
    /// # Errors
    /// When it is large and unpacks to too many times its size.
    pub fn check_archive_ratio(&self, packed: u64, unpacked: u64) -> Result<(), Exceeded> {
        self.check_ratio_of("is an archive that unpacks to too many times its size", packed, unpacked)
    }

    fn check_ratio_of(&self, what: &'static str, packed: u64, unpacked: u64) -> Result<(), Exceeded> {
        if unpacked <= UNSUSPICIOUS || unpacked <= packed.saturating_mul(self.compression_ratio) {
            return Ok(());
        }
        at_most(self.compression_ratio, u64::MAX, "compression_ratio", what)
    }
}

/// That an image unpacks to more than `limit` bytes.
pub fn unpacked(limit: u64) -> Exceeded {
    Exceeded { what: "unpacks to too many bytes", key: UNPACKED, limit }
}

/// Checks the bytes of a manifest, index or configuration.
///
/// # Errors
/// When there are more than `limit`.
pub fn check_manifest(limit: u64, bytes: u64) -> Result<(), Exceeded> {
    at_most(limit, bytes, "manifest_bytes", "has too large a manifest, index or configuration")
}

fn at_most(limit: u64, value: u64, key: &'static str, what: &'static str) -> Result<(), Exceeded> {
    if value <= limit { Ok(()) } else { Err(Exceeded { what, key, limit }) }
}

/// What the layers of one image have taken of its limits.
#[derive(Debug)]
pub struct Usage {
    /// The limits.
    pub limits: Limits,
    /// Memory for what waits to be finished.
    pub memory: Arc<MemoryBudget>,
    entries: AtomicU64,
    deadline: Option<Instant>,
}

impl Usage {
    /// Nothing yet; time runs from now.
    pub fn new(limits: &Limits) -> Self {
        let seconds = Some(limits.create_seconds).filter(|seconds| *seconds != NO_LIMIT);
        Self {
            limits: limits.clone(),
            memory: MemoryBudget::new(limits.memory_bytes.min(MOST_MEMORY)),
            entries: AtomicU64::new(0),
            deadline: seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds))),
        }
    }

    /// Counts one more entry.
    ///
    /// # Errors
    /// When there are too many.
    pub fn count_entry(&self) -> Result<(), Exceeded> {
        let entries = self.entries.fetch_add(1, Ordering::Relaxed) + 1;
        at_most(self.limits.entries, entries, "entries", "has too many entries")
    }

    /// Looks at the clock, if there is a limit.
    ///
    /// # Errors
    /// When it is too late.
    pub fn check_time(&self) -> Result<(), Exceeded> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => {
                at_most(self.limits.create_seconds, u64::MAX, "create_seconds", "takes too long to get and unpack")
            }
            _ => Ok(()),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_name_and_an_error_that_tells_it() {
        let mut limits = Limits::default();
        for name in Limits::names() {
            assert!(limits.set(name, 0) && limits.set(name, 3));
        }
        assert!(!limits.set("anything", 3));
        limits.create_seconds = 1;
        let mut usage = Usage::new(&limits);
        usage.deadline = Some(Instant::now() - Duration::from_secs(1));
        (0..3).for_each(|_| usage.count_entry().unwrap());
        let found = [
            usage.count_entry(),
            limits.check_layers(3).and(limits.check_layers(4)),
            limits.check_path(b"a/b").and(limits.check_path(b"/a/b")),
            limits.check_xattrs(3).and(limits.check_xattrs(4)),
            limits.check_extended_header(3).and(limits.check_extended_header(4)),
            check_manifest(limits.manifest_bytes, 3).and(check_manifest(limits.manifest_bytes, 4)),
            limits.check_ratio(1, UNSUSPICIOUS).and(limits.check_ratio(1 << 20, UNSUSPICIOUS + 1)),
            usage.check_time(),
        ];
        let told = found.map(|result| result.unwrap_err().to_string());
        assert_eq!(told[0], "the image has too many entries: raise create.limits.entries (now 3) if you trust it");
        for (text, name) in told.iter().zip([
            "entries",
            "layers",
            "path_bytes",
            "xattr_bytes",
            "pax_bytes",
            "manifest_bytes",
            "compression_ratio",
            "create_seconds",
        ]) {
            assert!(text.contains(&format!("create.limits.{name} (now")), "{text}");
        }
        limits.path_bytes = 100;
        assert_eq!(limits.check_path(b"/./a//b/c/").and(limits.check_path(b"a/b/c/d")).unwrap_err().key, "path_depth");
    }
}
