//! `grootfs init-store`.

use super::args::InitStoreArgs;
use super::{Failure, store};
use crate::config::Config;
use crate::driver::FilesystemRequest;
use crate::store::{Error, InitRequest};

/// Makes a store, or makes sure of one. Silent on success.
pub(crate) fn run(config: &Config, args: &InitStoreArgs) -> Result<(), Failure> {
    args.no_operands()?;
    let store = store(config)?;
    let has_mappings = !args.uid_mapping.is_empty() || !args.gid_mapping.is_empty();
    if args.rootless.is_some() && has_mappings {
        return Err(Failure::from("cannot specify --rootless and --uid-mapping/--gid-mapping".to_owned()));
    }
    if args.rootless.is_some() || has_mappings {
        return Err(Error::MissingMappings.into());
    }
    store.init(InitRequest {
        size_bytes: config.init.store_size_bytes,
        size_is_explicit: config.init.store_size_from_flag,
        filesystem: FilesystemRequest {
            without_quota: config.init.without_quota,
            with_direct_io: config.init.with_direct_io,
        },
    })?;
    Ok(())
}
