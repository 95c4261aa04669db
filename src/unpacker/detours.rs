//! How far a layer's symbolic links may lead around.
//!
//! A path may go through 40 symlinks of 4,000 bytes each, and so have a hundred thousand names looked up for an entry of
//! 512 bytes. What honest layers need, a few names for each entry, they get; for more the layer is refused as for a loop.

use rustix::io::Errno;

/// Names that a layer may have looked up beside those that its entries consist of, however few entries it has.
const BASE: u64 = 10_000;
/// The same for each of its entries.
const EACH: u64 = 64;

/// What is left of it.
pub(super) struct Detours(u64);

impl Default for Detours {
    fn default() -> Self {
        Self(BASE)
    }
}

impl Detours {
    /// One more entry goes its way.
    pub(super) fn allow_entry(&mut self) {
        self.0 = self.0.saturating_add(EACH);
    }

    /// So many names more are to be looked up.
    ///
    /// # Errors
    /// `ELOOP` where they are too many.
    pub(super) fn spend(&mut self, names: usize) -> Result<(), Errno> {
        self.0 = self.0.checked_sub(names as u64).ok_or(Errno::LOOP)?;
        Ok(())
    }
}
