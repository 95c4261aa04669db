//! Layers that stores with different id mappings share.
//!
//! One store, the layer store, keeps layers with the ids that images have. Others, the client stores, keep none: they
//! mount the layers of the layer store so that they show their own ids (see `driver/overlay_xfs/shared.rs`). The records:
//!
//! ```text
//! <client>/meta/shared-layers.json        path of the layer store, and the client's name there; root's
//! <layer store>/meta/lent/<client>/store      path of the client store
//!                                 /<id>.json  the layers that an image of the client needs
//!                        /new.<client>/       a registration being made
//! ```
//!
//! A record is made after the client's own of the same image and removed before it, so whatever the client does not have
//! on record is not registered. A clean of the layer store cannot ask a client store that is not mounted: it trusts the
//! records, except where another store was made at the client's path.
//!
//! A client store may belong to an ordinary user, whom the layers do not. So its record counts only if root owns it, and
//! no command on the layer store waits for, or fails by, what is in a client store.
//!
//! Locks of the client store are taken before those of the layer store.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Deref;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::driver::{self, SharedLayers};
use crate::entries::{self, Place};
use crate::idmap::IdMappings;
use crate::image::{ChainId, Image};
use crate::layout::{self, Layout};
use crate::store::claims;
use crate::store::error::{StoreError, from_store_errors};
use crate::store::garbage::is_old;
use crate::store::image::dependencies;
use crate::store::image::needed;
use crate::store::init::error::DeleteStoreError;
use crate::store::init::seal;
use crate::store::layer::pull::{self, UsableLayers};
use crate::store::on_disk_format::OnDiskFormat;
use crate::store::{ImageId, Store};
use crate::sys::caller::Caller;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::random::random_number;
use crate::sys::remove_tree::remove_tree;

const CLIENT_PATH: &str = "store";
const STAGING: &str = "new.";

/// Where a store's layers are, as it has it on record.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    /// The layer store's path.
    store: PathBuf,
    /// What the client store is called there. Another store at the same path has another name.
    name: u64,
}

impl Record {
    fn read(layout: &Layout) -> Result<Option<Self>, PathError> {
        let path = layout.shared_layers_file();
        let Some(content) = files::read_small(&path)? else { return Ok(None) };
        let refuse = |reason: String| Err(PathError::new("read", &path, io::Error::other(reason)));
        match serde_json::from_slice(&content) {
            Ok(record) => Ok(Some(record)),
            Err(error) => refuse(error.to_string()),
        }
    }

    /// The record, which for root must be root's own: it removes and writes where this points.
    fn read_trusted(layout: &Layout, caller: Caller) -> Result<Option<Self>, PathError> {
        let Some(record) = Self::read(layout)? else { return Ok(None) };
        if caller != Caller::Root || seal::is_trusted(layout, seal::SHARED_LAYERS, &record.content())? {
            return Ok(Some(record));
        }
        let reason = io::Error::other("it is not root's: run init-store with the store that keeps the layers");
        Err(PathError::new("read", layout.shared_layers_file(), reason))
    }

    fn content(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Why layers cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum SharedLayersError {
    /// Another, or no, store is to keep the layers than the one that does.
    #[error("the store's layers are not where the option says: init.shared_layers cannot be changed")]
    Differ,
    /// A store that cannot keep another one's layers.
    #[error("the layers cannot be shared with the store {store}: {reason}")]
    CannotShare {
        /// The store that is to keep them.
        store: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// The layers are in a store that is not there.
    #[error("the store {store}, which keeps the layers of this one, is not initialised: run init-store on it")]
    StoreMissing {
        /// The store that keeps them.
        store: PathBuf,
    },
    /// A create whose caller is to mount them.
    #[error(
        "the layers of this store are shared with another one: they show the right ids only as create mounts them: \
         leave out --without-mount"
    )]
    NeedMount,
    /// Something is wrong with one of the two stores.
    #[error(transparent)]
    Store(#[from] StoreError),
}

from_store_errors!(SharedLayersError);

/// The store that keeps another one's layers.
pub(in crate::store) struct LayerStore {
    pub(in crate::store) store: Store,
    /// What the one client store is called there.
    name: u64,
}

/// The store that has a store's layers.
pub(in crate::store) enum LayersIn<'a> {
    /// The store itself.
    Own(&'a Store),
    /// The layer store that it is a client of.
    Shared(LayerStore),
}

impl Deref for LayersIn<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        match self {
            LayersIn::Own(store) => store,
            LayersIn::Shared(layer_store) => &layer_store.store,
        }
    }
}

impl LayersIn<'_> {
    /// The layer store, where it is another.
    pub(in crate::store) fn layer_store(&self) -> Option<&LayerStore> {
        match self {
            LayersIn::Own(_) => None,
            LayersIn::Shared(layer_store) => Some(layer_store),
        }
    }

    /// How the layers are written, where those of the client store have these mappings: in a layer store ids are those that
    /// images have.
    pub(in crate::store) fn format(&self, mappings: &IdMappings) -> OnDiskFormat {
        match self {
            LayersIn::Own(store) => OnDiskFormat::new(store, mappings),
            LayersIn::Shared(layer_store) => OnDiskFormat::new(&layer_store.store, &IdMappings::identity()),
        }
    }

    /// The layer store with the mappings that its layers are to be shown with, where it is another.
    pub(in crate::store) fn shared<'s>(&'s self, mappings: &'s IdMappings) -> Option<SharedLayers<'s>> {
        self.layer_store().map(|layer_store| SharedLayers { layout: &layer_store.store.layout, mappings })
    }
}

impl Store {
    /// The store that has this one's layers.
    pub(in crate::store) fn layers_in(&self) -> Result<LayersIn<'_>, StoreError> {
        Ok(self.layer_store()?.map_or(LayersIn::Own(self), LayersIn::Shared))
    }

    /// The store that keeps this one's layers, where that is another.
    pub(in crate::store) fn layer_store(&self) -> Result<Option<LayerStore>, StoreError> {
        match Record::read_trusted(&self.layout, self.caller)? {
            Some(_) if self.caller != Caller::Root => Err(StoreError::SharedLayersNeedRoot),
            Some(Record { store, name }) => Ok(Some(LayerStore::new(self, &store, name)?)),
            None => Ok(None),
        }
    }

    /// Refuses a layer store that cannot be one, and another than the store has already.
    fn check_layer_store(&self, path: &Path) -> Result<(), SharedLayersError> {
        let path = fs::canonicalize(path).on("resolve", path)?;
        let is_initialised = files::exists(&self.layout.namespace_file())?;
        if is_initialised && Record::read(&self.layout)?.is_none_or(|record| record.store != path) {
            return Err(SharedLayersError::Differ);
        }
        let layer_store = LayerStore::new(self, &path, 0)?;
        if !layer_store.store.is_initialised()? {
            return layer_store.refuse("it is no store yet: run init-store on it first");
        }
        if fs::canonicalize(self.layout.root()).is_ok_and(|root| root == path) {
            return layer_store.refuse("a store cannot share its layers with itself");
        }
        if Record::read(&layer_store.store.layout)?.is_some() {
            return layer_store.refuse("its own layers are those of another store: name that one");
        }
        layer_store.check_ids()
    }

    /// Checks that the store at `layer_store` can keep this one's layers.
    pub(in crate::store) fn try_layer_store(
        &self,
        layer_store: &Path,
        mappings: &IdMappings,
    ) -> Result<(), SharedLayersError> {
        self.check_layer_store(layer_store)?;
        let layer_store = LayerStore::new(self, layer_store, 0)?.store;
        self.driver.check_shared(&SharedLayers { layout: &layer_store.layout, mappings })?;
        Ok(layer_store.check_initialised()?)
    }

    /// Makes the store at `layer_store` keep this one's layers.
    pub(in crate::store) fn register_with(&self, layer_store: &Path) -> Result<(), SharedLayersError> {
        self.check_layer_store(layer_store)?;
        if let Some(record) = Record::read(&self.layout)? {
            // It may have been deleted and made again.
            LayerStore::new(self, &record.store, record.name)?.register(&self.layout)?;
            return Ok(seal::seal(&self.layout, seal::SHARED_LAYERS, &record.content())?);
        }
        let store = fs::canonicalize(layer_store).on("resolve", layer_store)?;
        let name = random_number()?;
        LayerStore::new(self, &store, name)?.register(&self.layout)?;
        let (path, temporary) = (self.layout.shared_layers_file(), self.layout.tmp().join("shared-layers.json"));
        let content = Record { store, name }.content();
        seal::seal(&self.layout, seal::SHARED_LAYERS, &content)?;
        Ok(files::replace_flushed(&path, &temporary, &content, 0o644)?)
    }

    /// Chain ids of all layers that images of other stores need.
    pub(in crate::store) fn registered_layers(&self) -> Result<Vec<String>, PathError> {
        finish_removal(&self.layout)?;
        let mut layers = Vec::new();
        for client_store in ClientStore::all(&self.layout)? {
            if client_store.is_replaced(self.caller) {
                tracing::info!(records = %client_store.records.display(), "client-store-was-replaced");
                remove_tree(&client_store.records)?;
                continue;
            }
            for record in client_store.images()? {
                match dependencies::read_at(&record) {
                    // One that was deleted since needs nothing.
                    Ok(recorded) => layers.extend(recorded.unwrap_or_default()),
                    Err(error) => {
                        let store = client_store.path.as_deref().unwrap_or(&client_store.records);
                        tracing::error!(%error, store = %store.display(), "image-record-damaged");
                        let layout = client_store.layout();
                        layers.extend(needed::layers_of_client(self, layout.as_ref(), &record)?);
                    }
                }
            }
        }
        Ok(layers)
    }

    /// Fails if images of other stores need this one's layers.
    pub(in crate::store) fn check_no_client_needs_layers(&self) -> Result<(), DeleteStoreError> {
        for client_store in ClientStore::all(&self.layout)? {
            if !client_store.is_replaced(self.caller) && !client_store.images()?.is_empty() {
                let path = client_store.path.as_ref().unwrap_or(&client_store.records);
                return Err(DeleteStoreError::LayersInUse {
                    client: named(path),
                    records: named(&client_store.records),
                });
            }
        }
        Ok(())
    }
}

impl LayerStore {
    fn new(client_store: &Store, path: &Path, name: u64) -> Result<Self, StoreError> {
        let driver = driver::named(client_store.driver.name(), driver::Options::default())?;
        let store = Store::new(path, driver, client_store.caller)?;
        Ok(LayerStore { store, name })
    }

    fn refuse<T>(&self, reason: &'static str) -> Result<T, SharedLayersError> {
        Err(SharedLayersError::CannotShare { store: self.store.layout.root().to_owned(), reason })
    }

    fn check_ids(&self) -> Result<(), SharedLayersError> {
        if self.store.mappings()?.is_identity() {
            return Ok(());
        }
        self.refuse("its layers have the ids of its own mappings: it must be one without")
    }

    /// Puts the client store on record, where it is not. What is there under its name is its own.
    fn register(&self, client_store: &Layout) -> Result<(), SharedLayersError> {
        let path = fs::canonicalize(client_store.root()).on("resolve", client_store.root())?;
        let records = self.records();
        match files::read_small(&records.join(CLIENT_PATH))? {
            Some(known) if known == path.as_os_str().as_encoded_bytes() => return Ok(()),
            Some(_) => return self.refuse("it lends them to another store under this one's name"),
            None => self.check_ids()?,
        }
        let clients = self.store.layout.directories().ensure(layout::CLIENT_STORES)?;
        let records = clients.join(self.name.to_string());
        let making = clients.join(format!("{STAGING}{}", self.name));
        remove_tree(&making)?;
        files::create_directory(&making)?;
        let content = path.as_os_str().as_encoded_bytes();
        files::replace_flushed(&making.join(CLIENT_PATH), &making.join("new"), content, 0o644)?;
        Ok(files::rename(&making, &records)?)
    }

    /// Refuses what borrowed layers cannot be used for.
    pub(in crate::store) fn check_can_be_used(&self, mount: bool) -> Result<(), SharedLayersError> {
        if !mount {
            return Err(SharedLayersError::NeedMount);
        }
        self.store.check_mounted()?;
        if !self.store.is_initialised()? {
            return Err(SharedLayersError::StoreMissing { store: self.store.layout.root().to_owned() });
        }
        Ok(())
    }

    /// Puts an image's layers in use, and tells which are there. The caller holds the image's lock.
    pub(in crate::store) fn claim(
        &self,
        client_store: &Layout,
        id: &ImageId,
        image: &Image,
        layers: &[&ChainId],
    ) -> Result<UsableLayers, SharedLayersError> {
        let layout = &self.store.layout;
        let _claims = claims::share(layout)?;
        // The store may be on its way out.
        if !files::exists(&layout.namespace_file())? {
            return Err(SharedLayersError::StoreMissing { store: layout.root().to_owned() });
        }
        self.register(client_store)?;
        dependencies::write_at(&self.record(id), &self.temporary(id), layers)?;
        Ok(pull::usable_layers(layout, image)?)
    }

    /// Records the layers of an image that clean is to spare.
    pub(in crate::store) fn spare(&self, id: &ImageId, key: &str, layers: &[&ChainId]) -> Result<(), PathError> {
        dependencies::write(&self.store.layout, &self.temporary(id), key, layers)
    }

    /// Tells the layer store that an image needs its layers no more. The caller holds the image's lock.
    pub(in crate::store) fn release(&self, id: &ImageId) -> Result<(), PathError> {
        files::remove_if_there(&self.temporary(id))?;
        entries::remove_record(&self.record(id))
    }

    /// Releases the layers registered for images that `client_store` knows nothing of.
    pub(in crate::store) fn release_unknown(&self, client_store: &Store) -> Result<(), PathError> {
        for record in images_of(&self.records())? {
            let Some(Ok(id)) = record.file_stem().and_then(|id| id.to_str()).map(ImageId::new) else { continue };
            let Some(_lock) = lock::try_own(&client_store.layout.lock_file(), &id.lock_name())? else { continue };
            if !dependencies::recorded_images(&client_store.layout)?.iter().any(|recorded| *recorded == id.to_string())
            {
                self.release(&id)?;
            }
        }
        Ok(())
    }

    /// Tells the layer store that there is no client store any more.
    pub(in crate::store) fn deregister(&self) -> Result<(), PathError> {
        remove_tree(&self.records())
    }

    /// The records of this client_store.
    fn records(&self) -> PathBuf {
        self.store.layout.client_stores().join(self.name.to_string())
    }

    fn record(&self, id: &ImageId) -> PathBuf {
        self.records().join(format!("{id}.json"))
    }

    fn temporary(&self, id: &ImageId) -> PathBuf {
        self.records().join(format!("{id}.new"))
    }
}

/// A store that uses another one's layers, as the other one has it on record.
struct ClientStore {
    /// `None` if its record is damaged.
    path: Option<PathBuf>,
    records: PathBuf,
}

impl ClientStore {
    fn all(layer_store: &Layout) -> Result<Vec<Self>, PathError> {
        let mut all = Vec::new();
        let names = entries::names(layer_store, Place::ClientStores)?;
        for name in names.iter().filter(|name| !name.starts_with(STAGING)) {
            let records = layer_store.client_stores().join(name);
            let path = match files::read_small(&records.join(CLIENT_PATH)) {
                // Without that, it is being removed: no image of its is there.
                Ok(None) => continue,
                Err(error) if files::is_no_small_file(&error) => None,
                read => read?.filter(|path| !path.is_empty()),
            };
            all.push(ClientStore { path: path.map(|path| OsString::from_vec(path).into()), records });
        }
        Ok(all)
    }

    /// Whether there is another store at its path. That there is none, or that it cannot be told, says nothing: it may not
    /// be mounted yet.
    fn is_replaced(&self, caller: Caller) -> bool {
        let Some(layout) = self.layout() else { return false };
        let is_same = |record: &Record| self.records.ends_with(record.name.to_string());
        files::exists(&layout.namespace_file()).unwrap_or(false)
            && Record::read_trusted(&layout, caller).is_ok_and(|record| !record.as_ref().is_some_and(is_same))
    }

    fn layout(&self) -> Option<Layout> {
        self.path.clone().map(Layout::new)
    }

    fn images(&self) -> Result<Vec<PathBuf>, PathError> {
        images_of(&self.records)
    }
}

/// Removes what is left of client stores that died before they were on record.
fn finish_removal(layer_store: &Layout) -> Result<(), PathError> {
    let names = entries::names(layer_store, Place::ClientStores)?;
    let paths =
        names.iter().filter(|name| name.starts_with(STAGING)).map(|name| layer_store.client_stores().join(name));
    paths.filter(|path| is_old(path)).try_for_each(|path| remove_tree(&path))
}

/// The records of a client store's images.
fn images_of(records: &Path) -> Result<Vec<PathBuf>, PathError> {
    let names = files::names(records)?;
    Ok(names.iter().filter(|name| name.ends_with(".json")).map(|name| records.join(name)).collect())
}
