//! `grootfs flush-volumes`, hidden: what `create` and `init-store` leave running where layers are not on disk.
//!
//! It leaves the session and with it the process group of its caller. A service manager that ends everything its service
//! started still reaches it, and no process without privileges can prevent that. Then the marks of the layers stay, and the
//! next create, clean or init-store starts the flush again.

use std::path::Path;
use std::process::Stdio;

use super::Failure;
use crate::config::Config;
use crate::store::{self, Store};
use crate::sys::{descriptors, spawning};

/// Writes new layers to disk, so that a power cut no longer costs them.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    // A session of its own: whoever ends the create's process group means the create.
    let _ = rustix::process::setsid();
    let store = super::store(config)?;
    store.check_initialised()?;
    store::flush(store.layout()).map_err(|e| Failure::from(e.to_string()))
}

/// Starts a flush of the layers that a create or pull has completed before it failed, if there are any.
pub(super) fn spawn_after_failure(store: &Store) {
    if let Some(store) = store.store_to_flush() {
        spawn(&store);
    }
}

/// Starts a flush of the store in a process of its own, which holds none of our descriptors and is in nobody's way.
pub(super) fn spawn(store: &Path) {
    let mut flush = spawning::program("/proc/self/exe");
    flush
        // It needs nothing but the store, whatever this machine or the environment says of settings.
        .env_clear()
        .args(["--config", "", "--store"])
        .arg(store)
        .arg("flush-volumes")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Err(error) = descriptors::keep_from_programs().and_then(|()| flush.spawn()) {
        // The layers stay marked: the next flush sees to them, or a power cut has them fetched again.
        tracing::error!(%error, "starting-flush-failed");
    }
}
