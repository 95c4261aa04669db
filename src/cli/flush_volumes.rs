//! `grootfs flush-volumes`, hidden: what `create` leaves running when it has unpacked new layers.

use super::Failure;
use crate::config::Config;
use crate::store;

/// Writes new layers to disk, so that a power cut no longer costs them.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    // A session of its own: whoever ends the create's process group means the create.
    let _ = rustix::process::setsid();
    let store = super::store(config)?;
    store.check_initialised()?;
    store::flush(store.layout()).map_err(|e| Failure::from(e.to_string()))
}
