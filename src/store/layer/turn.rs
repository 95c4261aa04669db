//! Which process unpacks a layer that several processes need.
//!
//! One has the layer's lock, and the others wait for it: a layer is read once. But nobody's create hangs on another one's
//! source. A waiter watches how much the holder unpacks, and where that is too little over a while, it unpacks the layer
//! itself. It has a second lock of the layer for that, and a directory of its own; whoever is first publishes the layer.
//!
//! That takes the layer to be told by its digest: two archives may have been unpacked at the path of one local file.

use std::time::{Duration, Instant};

use crate::image::ChainId;
use crate::layout::Layout;
use crate::store::layer::{durability, volumes};
use crate::sys::lock::{self, Lock};
use crate::sys::lock_holders::{self, LockHolder};
use crate::sys::path_error::PathError;

/// How little a holder may unpack.
struct StallLimit {
    /// Over how long.
    window: Duration,
    /// In bytes a second.
    least_rate: u64,
}

/// Of a waiter that needs no network: from a disk it has the layer sooner.
const LOCAL: StallLimit = StallLimit { window: Duration::from_secs(10), least_rate: 1 << 20 };
/// Of a waiter that would read the layer from a network, too: the holder is stalled.
const REMOTE: StallLimit = StallLimit { window: Duration::from_secs(30), least_rate: 1024 };

/// How often a waiter looks at more than the lock.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it says whom it waits for.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How a waiter's own source is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum OwnSource {
    /// From this machine.
    Local,
    /// Over a network.
    Remote,
    /// It may not be what the other one has.
    Doubtful,
}

/// What has come of waiting.
pub(in crate::store) enum Turn {
    /// The layer's lock is held, and with it nobody else's work is in the way.
    First(Lock),
    /// The second lock is held; another process is at work under the first.
    Second(Lock),
    /// Another process has published the layer.
    Published,
    /// The waiter is not to wait any longer.
    Cancelled,
}

/// What a waiter is told by its caller, and tells it.
pub(in crate::store) trait Waiter {
    /// Whether it is to go on.
    fn keeps_waiting(&self) -> bool;
    /// Where it could get the layer itself.
    fn own_source(&self) -> OwnSource;
    /// It waits for this.
    fn waits_for(&self, holder: &str);
}

/// Waits for a turn at the layer `chain_id`.
pub(in crate::store) fn wait(layout: &Layout, chain_id: &ChainId, waiter: &dyn Waiter) -> Result<Turn, PathError> {
    let (file, name) = (layout.lock_file(), chain_id.as_str());
    if let Some(lock) = lock::try_own(&file, name)? {
        return Ok(Turn::First(lock));
    }
    let mut wait =
        Wait { layout, chain_id, begin: Instant::now(), told: None, window: Window::begin(layout, chain_id)? };
    loop {
        let slice = Instant::now();
        let is_to_go_on = || waiter.keeps_waiting() && slice.elapsed() < LOOK_EVERY;
        if let Some(lock) = lock::own_while(&file, name, is_to_go_on)? {
            return Ok(Turn::First(lock));
        }
        if !waiter.keeps_waiting() {
            return Ok(Turn::Cancelled);
        }
        if let Some(turn) = wait.look(waiter)? {
            return Ok(turn);
        }
    }
}

/// One process that waits for another one's layer.
struct Wait<'a> {
    layout: &'a Layout,
    chain_id: &'a ChainId,
    begin: Instant,
    told: Option<Instant>,
    window: Window,
}

impl Wait<'_> {
    fn look(&mut self, waiter: &dyn Waiter) -> Result<Option<Turn>, PathError> {
        self.tell(waiter);
        // A volume that a power cut may have torn is taken away by whoever holds the first lock, and by nobody else.
        if durability::UnflushedLayers::read(self.layout)?.contains(self.chain_id) {
            return Ok(None);
        }
        if volumes::is_present(self.layout, self.chain_id)? {
            return Ok(Some(Turn::Published));
        }
        let is_impatient = match waiter.own_source() {
            OwnSource::Local => self.window.is_too_little(self.layout, self.chain_id, &LOCAL)?,
            OwnSource::Remote => self.window.is_too_little(self.layout, self.chain_id, &REMOTE)?,
            OwnSource::Doubtful => false,
        };
        if !is_impatient {
            return Ok(None);
        }
        // One at a time: the others wait for these two.
        let second = lock::try_own(&self.layout.lock_file(), &second_lock(self.chain_id.as_str()))?;
        if second.is_some() {
            tracing::info!(chainID = %self.chain_id, seconds = self.begin.elapsed().as_secs(), "taking-over-layer");
        }
        Ok(second.map(Turn::Second))
    }

    fn tell(&mut self, waiter: &dyn Waiter) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let holders = lock_holders::holders_of(&self.layout.lock_file(), self.chain_id.as_str()).unwrap_or_default();
        let holders: Vec<String> = holders.iter().map(LockHolder::to_string).collect();
        let holder = if holders.is_empty() { "another process".to_owned() } else { holders.join(", ") };
        let waited = self.begin.elapsed().as_secs();
        tracing::info!(chainID = %self.chain_id, holder, waited, "waiting-for-layer");
        waiter.waits_for(&holder);
    }
}

/// What the holder of the first lock has unpacked at some time.
struct Window {
    begin: Instant,
    bytes: u64,
}

impl Window {
    fn begin(layout: &Layout, chain_id: &ChainId) -> Result<Self, PathError> {
        Ok(Window { begin: Instant::now(), bytes: volumes::unpacked_so_far(layout, chain_id)? })
    }

    /// Whether the window is over and too little came of it; begins another one if enough did.
    fn is_too_little(&mut self, layout: &Layout, chain_id: &ChainId, limit: &StallLimit) -> Result<bool, PathError> {
        let elapsed = self.begin.elapsed();
        if elapsed < limit.window {
            return Ok(false);
        }
        let now = Window::begin(layout, chain_id)?;
        let is_too_little = now.bytes.saturating_sub(self.bytes) < limit.least_rate * elapsed.as_secs();
        // Another waiter may have the second lock for now; then the same holds at the next look.
        if !is_too_little {
            *self = now;
        }
        Ok(is_too_little)
    }
}

/// The lock of the one who unpacks a layer that another process is already at.
pub(in crate::store) fn second_lock(chain_id: &str) -> String {
    format!("{chain_id}{SECOND}")
}

/// The end of the names of such a lock and its directory.
pub(in crate::store) const SECOND: &str = ".second";
