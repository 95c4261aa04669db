//! Where everything lies below a store directory. Known to the store and to its drivers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sys::anchors::Anchors;
use crate::sys::descriptors;
use crate::sys::path_error::PathError;

/// Directories that every store has, whatever its driver; a store without one of them is not initialised.
pub const DIRECTORIES: [&str; 6] = ["images", "volumes", "meta", "locks", "tmp", "meta/dependencies"];

/// Directories that not every store has.
pub const UNFLUSHED: &str = "meta/unflushed";
/// See [`Layout::client_stores`].
pub const CLIENT_STORES: &str = "meta/lent";
/// See [`Layout::manifest_cache`].
pub const MANIFEST_CACHE: &str = "meta/documents";
/// See [`Layout::links`].
pub const LINKS: &str = "l";
/// See [`Layout::project_ids`].
pub const PROJECT_IDS: &str = "projectids";

/// Everything that can be in a store's directory.
pub const ENTRIES: [&str; 8] = ["images", "volumes", "meta", "locks", "tmp", "l", "projectids", "whiteout_dev"];

/// The names in one store, and the only way to them.
///
/// A store may belong to a user, who can put a link in the place of any directory in it. So each directory of the layout is
/// opened once, beneath the store's own and without following links, and the paths that are handed out lead through the
/// descriptor (see [`Anchors`]): what happens to a name later changes nothing. Whoever works on such a path must not follow
/// a link at its end, which the functions of [`crate::sys::files`] do not.
///
/// What the user is told, and what is written down in links and mount options, has the `*_path` of the same name.
#[derive(Clone, Debug)]
pub struct Layout {
    directories: Arc<Anchors>,
}

impl Layout {
    /// `root` is the absolute path of the store. Opens nothing yet.
    pub fn new(root: PathBuf) -> Self {
        Layout { directories: Arc::new(Anchors::new(root)) }
    }

    /// The path of the store itself.
    pub fn root(&self) -> &Path {
        self.directories.root()
    }

    /// Its directories, to be made or looked for.
    pub fn directories(&self) -> &Anchors {
        &self.directories
    }

    /// Whether the store has this directory. A link in its place is an error: it may lead to what is somebody else's.
    ///
    /// # Errors
    /// Those of openat2(2) but `ENOENT`.
    pub fn has_directory(&self, below: &str) -> Result<bool, PathError> {
        match self.directories.open(below) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where users find an image.
    pub fn image_path(&self, id: &str) -> PathBuf {
        self.images_path().join(id)
    }

    /// Where users find all images.
    pub fn images_path(&self) -> PathBuf {
        self.root().join("images")
    }

    /// What a volume's short name leads to.
    pub fn volume_path(&self, name: &str) -> PathBuf {
        self.root().join("volumes").join(name)
    }

    /// A path in the store without the links by which the store may be reached.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        let real = self.directories.open("").ok().and_then(|root| descriptors::resolve(&root).ok());
        match (real, path.strip_prefix(self.root())) {
            (Some(real), Ok(below)) if real.is_absolute() => real.join(below),
            _ => path.to_owned(),
        }
    }

    /// Where mount options find short names.
    pub fn links_path(&self) -> PathBuf {
        self.root().join("l")
    }

    /// The file behind a store that lives on a loop device; a sibling of the store.
    pub fn backing_file(&self) -> PathBuf {
        let mut path = self.root().to_owned().into_os_string();
        path.push(".backing-store");
        path.into()
    }

    /// Finished images, one directory each.
    pub fn images(&self) -> PathBuf {
        self.directories.path("images")
    }

    /// One finished image.
    pub fn image(&self, id: &str) -> PathBuf {
        self.images().join(id)
    }

    /// Unpacked layers, one directory each.
    pub fn volumes(&self) -> PathBuf {
        self.directories.path("volumes")
    }

    /// One unpacked layer, by its directory's name.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// The store's id mappings.
    pub fn namespace_file(&self) -> PathBuf {
        self.meta().join("namespace.json")
    }

    /// The recorded size of a layer.
    pub fn volume_size(&self, name: &str) -> PathBuf {
        self.meta().join(format!("volume-{name}"))
    }

    /// The list of what is in a layer.
    pub fn layer_digests(&self, name: &str) -> PathBuf {
        self.meta().join(format!("digests-{name}"))
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
        self.directories.path("meta")
    }

    /// Where the layers are, in a store that shares those of another one.
    pub fn shared_layers_file(&self) -> PathBuf {
        self.meta().join("shared-layers.json")
    }

    /// Records of which images of other stores need which layers.
    pub fn client_stores(&self) -> PathBuf {
        self.directories.path(CLIENT_STORES)
    }

    /// Records of which image needs which layers.
    pub fn dependencies(&self) -> PathBuf {
        self.directories.path("meta/dependencies")
    }

    /// What registries said of images.
    pub fn manifest_cache(&self) -> PathBuf {
        self.directories.path(MANIFEST_CACHE)
    }

    /// Marks of layers that a power cut could still tear.
    pub fn unflushed(&self) -> PathBuf {
        self.directories.path(UNFLUSHED)
    }

    /// Where the lock file is.
    pub fn locks(&self) -> PathBuf {
        self.directories.path("locks")
    }

    /// The file of all locks. As a whole it stands between creates, which share it while they claim their layers, and
    /// clean; the original knows it as such.
    pub fn lock_file(&self) -> PathBuf {
        self.locks().join("global-groot-lock.lock")
    }

    /// Everything unfinished: images being made or removed, files before their rename, dead volumes.
    pub fn tmp(&self) -> PathBuf {
        self.directories.path("tmp")
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
        self.directories.path(LINKS)
    }

    /// Project ids in use, an empty directory each (overlay-xfs).
    pub fn project_ids(&self) -> PathBuf {
        self.directories.path(PROJECT_IDS)
    }

    /// The character device 0:0 that the original links whiteouts to (overlay-xfs).
    pub fn whiteout_device(&self) -> PathBuf {
        self.directories.path("").join("whiteout_dev")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Uses of `std::fs` that are left in the modules that work on stores, none of them for something in one: what they are
    /// for, and how many there are.
    const OTHERS: [(&str, usize, &str); 16] = [
        ("store/image/commit/target.rs", 2, "where an archive is written to, beside the store"),
        ("store/init/backing_file.rs", 9, "the backing file, beside the store"),
        ("store/report/check.rs", 3, "the store's own path; the backing file; sysfs"),
        ("store/init/delete_store.rs", 3, "the store's own path, which may be a link"),
        ("store/layer/durability.rs", 2, "the store's own path; the boot id"),
        ("store/init/mod.rs", 3, "the store's own path"),
        ("store/on_disk_format.rs", 1, "the store's own path"),
        ("store/report/doctor.rs", 4, "what the machine itself has in /proc, /dev and /etc; the store's own path"),
        ("store/report/scan.rs", 1, "the backing file"),
        ("store/shared.rs", 4, "the paths of other stores"),
        ("driver/filesystem.rs", 2, "the backing file; loop devices"),
        ("driver/helper.rs", 1, "a path for the helper, which does not run as root"),
        ("driver/btrfs/filesystem.rs", 1, "its device"),
        ("driver/btrfs/removal.rs", 1, "an open directory"),
        ("driver/overlay_xfs/filesystem.rs", 2, "the store's own path; sysfs"),
        ("driver/overlay_xfs/shared.rs", 4, "an open image; the other store in mounts of one thread's own"),
    ];

    /// `std::fs` follows links, and so does the kernel on the way to a path. What is in a store is reached by the paths of
    /// [`super::Layout`] and worked on by `sys::files`.
    #[test]
    fn nothing_in_a_store_is_reached_by_std_fs() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut pending = vec![source.join("store"), source.join("driver")];
        while let Some(directory) = pending.pop() {
            for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    pending.push(path);
                    continue;
                }
                let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
                let expected = OTHERS.iter().find(|(file, ..)| *file == name).map_or(0, |(_, count, _)| *count);
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]").next().unwrap();
                let used: Vec<&str> = code.lines().filter(|line| uses_std_fs(line)).collect();
                assert_eq!(used.len(), expected, "{name}: {used:#?}");
            }
        }
    }

    fn uses_std_fs(line: &str) -> bool {
        let is_code = !line.trim_start().starts_with("//") && !line.trim_start().starts_with("use ");
        let begins_word = |at: usize| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                || line[..at].ends_with("std::")
        };
        let calls = |name: &str| line.match_indices(name).any(|(at, _)| begins_word(at));
        let is_call = |at: usize| line[at..].split_once('(').is_some_and(|(name, _)| !name.contains([' ', ',', ')']));
        let of_module = line.match_indices("fs::").any(|(at, _)| begins_word(at) && is_call(at));
        is_code && (of_module || calls("File::open(") || calls("File::create("))
    }
}
