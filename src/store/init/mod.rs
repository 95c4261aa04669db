//! Making a store, or making sure that it is still one. Run at every start of the container engine.

pub(in crate::store) mod backing_file;
pub(in crate::store) mod delete_store;
pub(in crate::store) mod error;
pub(in crate::store) mod format;
pub(in crate::store) mod namespace;
pub(in crate::store) mod seal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::backing_file::Wanted;
use self::error::InitLockError;
use crate::driver::FilesystemRequest;
use crate::idmap::IdMappings;
use crate::layout;
use crate::store::claims;
use crate::store::on_disk_format::OnDiskFormat;
use crate::store::{InitError, Store, StoreError};
use crate::sys::files;
use crate::sys::lock;
use crate::sys::mount_point;
use crate::sys::path_error::{OnPath, PathError};

/// One init-store or delete-store at a time, of any store: they attach and free loop devices.
const LOCK: &str = "/var/run/init-store.lock";
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// What kind of store to make.
#[derive(Clone, Debug, Default)]
pub struct InitRequest {
    /// Size of a store on a loop device; 0 for a directory of an existing filesystem.
    pub size_bytes: u64,
    /// Whether the size was given by hand, rather than configured.
    pub size_is_explicit: bool,
    /// What the filesystem has to do.
    pub filesystem: FilesystemRequest,
    /// What the ids of images are on the host.
    pub mappings: IdMappings,
    /// The store that is to keep this one's layers.
    pub shared_layers: Option<PathBuf>,
}

impl Store {
    /// Makes the store, or checks one that is there. Changes nothing of a store that is as it should be.
    pub fn init(&self, request: &InitRequest) -> Result<(), InitError> {
        let _session = tracing::debug_span!("store-manager-init-store").entered();
        self.check_may_be_initialised()?;
        let root = self.layout.root();
        check_path(root)?;
        let _lock = acquire_init_lock()?;
        if let Some(layer_store) = &request.shared_layers {
            self.try_layer_store(layer_store, &request.mappings)?;
        }
        self.mount_if_needed(request)?;
        // What was found before may be below what is mounted now.
        self.layout.directories().close();
        format::check(&self.layout)?;
        self.driver.check_features(self.existing_path(request.size_bytes), request.filesystem)?;
        self.configure(request)
    }

    /// Checks that the caller may make stores.
    pub fn check_may_be_initialised(&self) -> Result<(), InitError> {
        if rustix::process::getuid().is_root() {
            return Ok(());
        }
        Err(InitError::NotRoot { store: self.layout.root().to_owned() })
    }

    fn mount_if_needed(&self, request: &InitRequest) -> Result<(), InitError> {
        let wanted = Wanted { bytes: request.size_bytes, is_explicit: request.size_is_explicit };
        let backing = self.layout.backing_file();
        let has_backing = backing_file::exists(&backing)?;
        if has_backing && !self.is_mount_point()? {
            backing_file::mount(self, wanted, request.filesystem)?;
            return self.grow(wanted);
        }
        match self.driver.validate(self.existing_path(request.size_bytes)) {
            Ok(()) => {
                tracing::info!("store-already-initialized");
                if !has_backing {
                    return Ok(());
                }
                wanted.check_against(&backing)?;
                self.grow(wanted)
            }
            Err(_) if request.size_bytes > 0 => backing_file::mount(self, wanted, request.filesystem),
            Err(e) => Err(e.into()),
        }
    }

    /// A store that cannot be made larger is as good as it was: no reason not to start, unless somebody asked for it just
    /// now.
    fn grow(&self, wanted: Wanted) -> Result<(), InitError> {
        match backing_file::grow(self, wanted) {
            Err(error) if !wanted.is_explicit => {
                tracing::error!(%error, "growing-store-failed");
                Ok(())
            }
            grown => grown,
        }
    }

    /// The path whose filesystem counts: the store's, or its parent's where there is no store yet.
    fn existing_path(&self, size_bytes: u64) -> &Path {
        let root = self.layout.root();
        match root.parent() {
            Some(parent) if size_bytes == 0 && !root.is_dir() => parent,
            _ => root,
        }
    }

    pub(in crate::store) fn is_mount_point(&self) -> Result<bool, PathError> {
        let root = self.layout.root();
        if !files::exists(root)? {
            return Ok(false);
        }
        // The store's path may be a link.
        let directory = fs::canonicalize(root).on("resolve", root)?;
        mount_point::is_mount_point(&directory)
    }

    fn configure(&self, request: &InitRequest) -> Result<(), InitError> {
        let owner = OnDiskFormat::new(self, &request.mappings).owner;
        let root = self.layout.root();
        if !files::exists(root)? {
            fs::create_dir(root).on("mkdir", root)?;
        }
        if !root.is_dir() {
            return Err(StoreError::NotADirectory { path: root.to_owned() }.into());
        }
        namespace::check(&self.layout, &request.mappings)?;
        self.driver.configure(&self.layout, request.filesystem, owner)?;
        owner.chown(root)?;
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).on("chmod", root)?;
        for directory in layout::DIRECTORIES.iter().chain([&layout::UNFLUSHED]) {
            self.layout.directories().ensure_owned(directory, 0o755, owner)?;
        }
        // Now, while there is room for it: a full store must not be one that cannot be locked.
        drop(claims::share(&self.layout)?);
        files::chown_file(&self.layout.lock_file(), owner)?;
        if let Some(layer_store) = &request.shared_layers {
            self.register_with(layer_store)?;
        }
        format::record(&self.layout)?;
        Ok(namespace::record(&self.layout, &request.mappings)?)
    }
}

/// Waits until no other process makes or removes a store, and keeps others from it.
pub(in crate::store) fn acquire_init_lock() -> Result<lock::Lock, InitLockError> {
    lock::own_whole_within(Path::new(LOCK), LOCK_TIMEOUT)?.ok_or_else(|| InitLockError::Busy { lock: LOCK.into() })
}

/// The store's path becomes part of mount options, which a caller of `--without-mount` cannot escape.
fn check_path(root: &Path) -> Result<(), InitError> {
    if root.as_os_str().as_encoded_bytes().iter().any(|b| b":,\\".contains(b)) {
        return Err(InitError::UnusablePath { store: root.to_owned() });
    }
    if root.to_str().is_none() {
        return Err(InitError::PathIsNoText { store: root.to_owned() });
    }
    if root.parent().is_none() {
        return Err(StoreError::NotADirectory { path: root.to_owned() }.into());
    }
    if files::exists(root)? && !root.is_dir() {
        return Err(StoreError::NotADirectory { path: root.to_owned() }.into());
    }
    Ok(())
}
