//! `grootfs init-store`.

use super::args::InitStoreArgs;
use super::{Failure, flush_volumes, mappings, unmounted_store};
use crate::config::Config;
use crate::driver::FilesystemRequest;
use crate::store::InitRequest;

/// Makes a store, or makes sure of one. Silent on success.
pub(crate) fn run(config: &Config, args: &InitStoreArgs) -> Result<(), Failure> {
    args.no_operands()?;
    let store = unmounted_store(config)?;
    store.check_may_be_initialised()?;
    store.init(&InitRequest {
        size_bytes: config.init.store_size_bytes,
        size_is_explicit: config.init.store_size_from_flag,
        filesystem: FilesystemRequest {
            without_quota: config.init.without_quota,
            with_direct_io: config.init.with_direct_io,
        },
        mappings: mappings::of(args)?,
        shared_layers: config.init.shared_layers.clone(),
    })?;
    if config.init.mount_images {
        store.mount_all()?;
    }
    if store.has_pending_flush()? {
        flush_volumes::spawn(store.layout().root());
    }
    Ok(())
}
