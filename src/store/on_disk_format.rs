//! How the files of a store are written: whose they are, and how layers record deletions. The name is umoci's.

use std::os::unix::fs::MetadataExt;

use crate::idmap::IdMappings;
use crate::store::Store;
use crate::sys::caller::Caller;
use crate::sys::owner::Owner;
use crate::unpacker::{Privileged, WhiteoutFormat};

/// How one command writes the files of images and layers, worked out once.
#[derive(Clone, Debug)]
pub(in crate::store) struct OnDiskFormat {
    /// How ids are translated. Where they are those of a user namespace, the kernel does it.
    pub(in crate::store) ids: IdMappings,
    /// Whom to give what is made. Root alone makes things that are not its own.
    pub(in crate::store) owner: Owner,
    /// Whose files keep set-id bits and capabilities.
    pub(in crate::store) privileged: Privileged,
    /// How layers record what they delete.
    pub(in crate::store) whiteouts: WhiteoutFormat,
    /// Whether images are mounted by root of the machine, who alone sees all attributes of their files, rather than by root
    /// of a user namespace. Root may have made a layer in the store of a user.
    pub(in crate::store) is_for_root: bool,
}

impl OnDiskFormat {
    /// That of `store`, whose ids have these mappings.
    pub(in crate::store) fn new(store: &Store, mappings: &IdMappings) -> Self {
        let is_root = store.caller == Caller::Root;
        // Only where nothing else decides: it takes a look at the store.
        let is_for_root = is_root && mappings.is_identity() && belongs_to_root(store);
        OnDiskFormat {
            ids: if is_root { mappings.clone() } else { IdMappings::identity() },
            owner: match is_root {
                true => Owner { uid: mappings.uids.root(), gid: mappings.gids.root() },
                false => Owner::default(),
            },
            privileged: match is_root {
                // The kernel lets nobody make files of ids that are not their own.
                false => Privileged::All,
                true if is_for_root => Privileged::All,
                true if mappings.is_identity() => Privileged::Nobody,
                true => Privileged::Mapped,
            },
            whiteouts: store.driver.whiteouts(is_for_root),
            is_for_root,
        }
    }
}

fn belongs_to_root(store: &Store) -> bool {
    std::fs::metadata(store.layout.root()).is_ok_and(|root| root.uid() == 0)
}
