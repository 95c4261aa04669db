//! Where everything lies below a store directory. Known to the store and to its drivers.

use std::path::{Path, PathBuf};

/// Directories that every store has, whatever its driver; a store without one of them is not initialised.
pub const DIRECTORIES: [&str; 6] = ["images", "volumes", "meta", "locks", "tmp", "meta/dependencies"];

/// Everything that can be in a store's directory.
pub const ENTRIES: [&str; 8] = ["images", "volumes", "meta", "locks", "tmp", "l", "projectids", "whiteout_dev"];

/// The paths of one store. Knows names, touches nothing.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// `root` is the absolute path of the store.
    pub fn new(root: PathBuf) -> Self {
        Layout { root }
    }

    /// The store itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file behind a store that lives on a loop device; a sibling of the store.
    pub fn backing_file(&self) -> PathBuf {
        let mut path = self.root.clone().into_os_string();
        path.push(".backing-store");
        path.into()
    }

    /// Finished images, one directory each.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// One finished image.
    pub fn image(&self, id: &str) -> PathBuf {
        self.images().join(id)
    }

    /// Unpacked layers, one directory each.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// One unpacked layer, by its directory's name.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// The store's id mappings.
    pub fn namespace_file(&self) -> PathBuf {
        self.root.join("meta/namespace.json")
    }

    /// The recorded size of a layer.
    pub fn volume_size(&self, name: &str) -> PathBuf {
        self.meta().join(format!("volume-{name}"))
    }

    /// A copy of the recorded sizes of all layers.
    pub fn sizes_file(&self) -> PathBuf {
        self.meta().join("sizes.json")
    }

    /// Totals over all images.
    pub fn totals_file(&self) -> PathBuf {
        self.meta().join("totals.json")
    }

    /// Records about volumes and the store.
    pub fn meta(&self) -> PathBuf {
        self.root.join("meta")
    }

    /// Where the layers are, in a store that shares those of another one.
    pub fn shared_layers_file(&self) -> PathBuf {
        self.meta().join("shared-layers.json")
    }

    /// Records of which images of other stores need which layers.
    pub fn client_stores(&self) -> PathBuf {
        self.meta().join("lent")
    }

    /// Records of which image needs which layers.
    pub fn dependencies(&self) -> PathBuf {
        self.root.join("meta/dependencies")
    }

    /// What registries said of images.
    pub fn documents(&self) -> PathBuf {
        self.root.join("meta/documents")
    }

    /// Marks of layers that a power cut could still tear.
    pub fn unflushed(&self) -> PathBuf {
        self.root.join("meta/unflushed")
    }

    /// Where the lock file is.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The file of all locks. As a whole it stands between creates, which share it while they claim their layers, and
    /// clean; the original knows it as such.
    pub fn lock_file(&self) -> PathBuf {
        self.locks().join("global-groot-lock.lock")
    }

    /// Everything unfinished: images being made or removed, files before their rename, dead volumes.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// An image while it is made.
    pub fn creating(&self, id: &str) -> PathBuf {
        self.tmp().join(format!("create.{id}"))
    }

    /// An image's record while it is written.
    pub fn recording(&self, id: &str) -> PathBuf {
        self.tmp().join(format!("record.{id}"))
    }

    /// An image while it is removed.
    pub fn deleting(&self, id: &str) -> PathBuf {
        self.tmp().join(format!("delete.{id}"))
    }

    /// Short names of volumes (overlay-xfs).
    pub fn links(&self) -> PathBuf {
        self.root.join("l")
    }

    /// Project ids in use, an empty directory each (overlay-xfs).
    pub fn project_ids(&self) -> PathBuf {
        self.root.join("projectids")
    }

    /// The character device 0:0 that the original links whiteouts to (overlay-xfs).
    pub fn whiteout_device(&self) -> PathBuf {
        self.root.join("whiteout_dev")
    }
}
