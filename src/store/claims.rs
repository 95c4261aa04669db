//! The lock on the whole lock file, by which creates and clean agree on the layers that are in use: shared by creates while
//! they write their records and look for their layers, exclusive for clean while it takes layers away.

use std::time::Duration;

use crate::layout::Layout;
use crate::store::StoreError;
use crate::sys::lock::{self, Lock};
use crate::sys::lock_holders;

/// Clean holds the lock while it reads the records of all images, which takes a tenth of a second for ten thousand.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Takes the lock together with other creates.
///
/// # Errors
/// Where somebody holds it alone for longer than anybody should, [`StoreError::Locked`] says who.
pub(in crate::store) fn share(layout: &Layout) -> Result<Lock, StoreError> {
    match lock::share_whole_within(&layout.lock_file(), TIMEOUT)? {
        Some(lock) => Ok(lock),
        None => Err(StoreError::Locked { seconds: TIMEOUT.as_secs(), holders: holders(layout) }),
    }
}

fn holders(layout: &Layout) -> String {
    let found = lock_holders::holders(&layout.lock_file()).unwrap_or_default();
    let texts: Vec<String> = found.iter().filter(|holder| holder.holds_whole).map(ToString::to_string).collect();
    if texts.is_empty() { "another process".to_owned() } else { texts.join(", ") }
}
