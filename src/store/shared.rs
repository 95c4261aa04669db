//! Layers that stores with different id mappings share.
//!
//! One store, the lender, keeps layers with the ids that images have. Others, the borrowers, keep none: they mount the
//! lender's so that they show the borrower's ids (see `driver/overlay_xfs/lowers.rs`). What tells of this:
//!
//! ```text
//! <borrower>/meta/shared-layers.json       the lender's path, and what the borrower is called there
//! <lender>/meta/lent/<borrower>/store      the borrower's path
//!                              /<id>.json  the layers that an image of the borrower needs
//! ```
//!
//! A record is made after the borrower's own of the same image and removed before it, so whatever the borrower does not
//! have on record is not lent. The lender's clean cannot ask a borrower that is not mounted: it takes the records'
//! word, except where another store was made at the borrower's path.
//!
//! Locks of the borrower are taken before the lender's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, ImageId, Store, dependencies, layers};
use crate::driver::{self, SharedLayers};
use crate::idmap::IdMappings;
use crate::image::{ChainId, Image};
use crate::layout::Layout;
use crate::sys::caller::Caller;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;
use crate::sys::remove_tree::remove_tree;

const BORROWER: &str = "store";

/// Where a store's layers are, as it has it on record.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    /// The lender's path.
    store: PathBuf,
    /// What the borrower is called there. Another store at the same path has another name.
    name: String,
}

impl Record {
    fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.shared_layers_file();
        match fs::read(&path) {
            Ok(content) => match serde_json::from_slice(&content) {
                Ok(record) => Ok(Some(record)),
                Err(e) => Err(Error::Path(PathError::new("read", path, io::Error::other(e)))),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(PathError::new("open", path, e).into()),
        }
    }
}

/// The store that keeps another one's layers.
pub(super) struct Lender {
    pub(super) store: Store,
    /// The records of the one borrower, in the lender's store.
    records: PathBuf,
}

impl Store {
    /// The store that keeps this one's layers, where that is another.
    pub(super) fn lender(&self) -> Result<Option<Lender>, Error> {
        match Record::read(&self.layout)? {
            Some(Record { store, name }) => Ok(Some(Lender::new(self, &store, &name)?)),
            None => Ok(None),
        }
    }

    /// Refuses a lender that cannot be one, and another than the store has already.
    fn check_lender(&self, path: &Path) -> Result<(), Error> {
        let path = fs::canonicalize(path).on("resolve", path)?;
        let is_initialised = files::exists(&self.layout.namespace_file())?;
        if is_initialised && Record::read(&self.layout)?.is_none_or(|record| record.store != path) {
            return Err(Error::SharedLayersDiffer);
        }
        let refuse = |reason| Err(Error::CannotShare(path.display().to_string(), reason));
        let lender = Lender::new(self, &path, "")?.store;
        if !lender.is_initialised()? {
            return refuse("it is no store yet: run init-store on it first");
        }
        if fs::canonicalize(self.layout.root()).is_ok_and(|root| root == path) {
            return refuse("a store cannot share its layers with itself");
        }
        if Record::read(&lender.layout)?.is_some() {
            return refuse("its own layers are those of another store: name that one");
        }
        if !lender.mappings()?.is_identity() {
            return refuse("its layers have the ids of its own mappings: it must be one without");
        }
        Ok(())
    }

    /// Checks that the store at `lender` can keep this one's layers.
    pub(super) fn try_lender(&self, lender: &Path, mappings: &IdMappings) -> Result<(), Error> {
        self.check_lender(lender)?;
        let lender = Lender::new(self, lender, "")?.store;
        self.driver.check_shared(&SharedLayers { layout: &lender.layout, mappings })?;
        lender.check_initialised()
    }

    /// Makes the store at `lender` keep this one's layers, as it does already unless this one is new.
    pub(super) fn borrow_from(&self, lender: &Path) -> Result<(), Error> {
        self.check_lender(lender)?;
        if Record::read(&self.layout)?.is_some() {
            return Ok(());
        }
        let store = fs::canonicalize(lender).on("resolve", lender)?;
        let name = random_number()?.to_string();
        let records = Lender::new(self, &store, &name)?.records;
        fs::create_dir_all(&records).on("mkdir", &records)?;
        let borrower = records.join(BORROWER);
        let own = fs::canonicalize(self.layout.root()).on("resolve", self.layout.root())?;
        fs::write(&borrower, own.as_os_str().as_encoded_bytes()).on("write", &borrower)?;
        let (path, temporary) = (self.layout.shared_layers_file(), self.layout.tmp().join("shared-layers.json"));
        let content = serde_json::to_vec(&Record { store, name }).on("write", &path)?;
        Ok(files::replace(&path, &temporary, &content)?)
    }

    /// Chain ids of all layers that images of other stores need.
    pub(super) fn lent_layers(&self) -> Result<Vec<String>, Error> {
        let mut layers = Vec::new();
        for borrower in Borrower::all(&self.layout)? {
            if borrower.is_replaced()? {
                tracing::info!(store = %borrower.path.display(), "borrower-was-replaced");
                remove_tree(&borrower.records)?;
                continue;
            }
            for record in borrower.images()? {
                // One that was deleted since needs nothing.
                layers.extend(dependencies::read_at(&record).map_err(Error::Record)?.unwrap_or_default());
            }
        }
        Ok(layers)
    }

    /// Fails if images of other stores need this one's layers.
    pub(super) fn check_nothing_is_lent(&self) -> Result<(), Error> {
        for borrower in Borrower::all(&self.layout)? {
            if !borrower.is_replaced()? && !borrower.images()?.is_empty() {
                return Err(Error::LayersAreLent(borrower.path.display().to_string(), borrower.records));
            }
        }
        Ok(())
    }
}

impl Lender {
    fn new(borrower: &Store, path: &Path, name: &str) -> Result<Self, Error> {
        let options = driver::Options::default();
        let driver = driver::named(borrower.driver.name(), options)?;
        let store = Store::new(path, driver, borrower.caller)?;
        let records = store.layout.lent().join(name);
        Ok(Lender { store, records })
    }

    /// Refuses what borrowed layers cannot be used for.
    pub(super) fn check_can_be_used(&self, caller: Caller, mount: bool) -> Result<(), Error> {
        if caller != Caller::Root {
            return Err(Error::SharedLayersNeed("only root can mount them"));
        }
        if !mount {
            return Err(Error::SharedLayersNeed(
                "they show the right ids only as create mounts them: do without --without-mount",
            ));
        }
        if !self.store.is_initialised()? {
            return Err(Error::LenderIsMissing(self.store.layout.root().display().to_string()));
        }
        Ok(())
    }

    /// Puts an image's layers in use, and tells which are there. The caller holds the image's lock.
    pub(super) fn claim(&self, id: &ImageId, image: &Image, layers: &[&ChainId]) -> Result<Vec<bool>, Error> {
        let layout = &self.store.layout;
        let _claims = lock::share_whole(&layout.lock_file())?;
        // The store may be on its way out.
        if !files::exists(&layout.namespace_file())? {
            return Err(Error::LenderIsMissing(layout.root().display().to_string()));
        }
        dependencies::write_at(&self.record(id), &self.temporary(id), layers)?;
        Ok(layers::claim(layout, image)?)
    }

    /// Records the layers of an image that clean is to spare.
    pub(super) fn spare(&self, id: &ImageId, key: &str, layers: &[&ChainId]) -> Result<(), PathError> {
        dependencies::write(&self.store.layout, &self.temporary(id), key, layers)
    }

    /// Tells the lender that an image needs its layers no more. The caller holds the image's lock.
    pub(super) fn give_back(&self, id: &ImageId) -> Result<(), PathError> {
        files::remove_if_there(&self.temporary(id))?;
        files::remove_if_there(&self.record(id))
    }

    /// Gives back what is lent to images that `borrower` knows nothing of.
    pub(super) fn give_back_unknown(&self, borrower: &Store) -> Result<(), Error> {
        for record in (Borrower { path: PathBuf::new(), records: self.records.clone() }).images()? {
            let Some(Ok(id)) = record.file_stem().and_then(|id| id.to_str()).map(ImageId::new) else { continue };
            let Some(_lock) = lock::try_own(&borrower.layout.lock_file(), &id.lock_name())? else { continue };
            if !dependencies::recorded_images(&borrower.layout)?.iter().any(|recorded| *recorded == id.to_string()) {
                self.give_back(&id)?;
            }
        }
        Ok(())
    }

    /// Tells the lender that there is no borrower any more.
    pub(super) fn forget_borrower(&self) -> Result<(), PathError> {
        remove_tree(&self.records)
    }

    fn record(&self, id: &ImageId) -> PathBuf {
        self.records.join(format!("{id}.json"))
    }

    fn temporary(&self, id: &ImageId) -> PathBuf {
        self.records.join(format!("{id}.new"))
    }
}

/// A store that uses another one's layers, as the other one has it on record.
struct Borrower {
    path: PathBuf,
    records: PathBuf,
}

impl Borrower {
    fn all(lender: &Layout) -> Result<Vec<Self>, Error> {
        let mut all = Vec::new();
        for name in files::names(&lender.lent())? {
            let records = lender.lent().join(name);
            let path = records.join(BORROWER);
            match fs::read_to_string(&path) {
                Ok(borrower) => all.push(Borrower { path: borrower.into(), records }),
                // It was being made, or removed, by a process that died. No image can have been made.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(PathError::new("open", path, e).into()),
            }
        }
        Ok(all)
    }

    /// Whether there is another store at its path. That there is none says nothing: it may not be mounted yet.
    fn is_replaced(&self) -> Result<bool, Error> {
        let layout = Layout::new(self.path.clone());
        if !files::exists(&layout.namespace_file())? {
            return Ok(false);
        }
        let name = Record::read(&layout)?.map(|record| record.name);
        Ok(name.as_deref() != self.records.file_name().and_then(|name| name.to_str()))
    }

    /// The records of its images.
    fn images(&self) -> Result<Vec<PathBuf>, PathError> {
        let names = files::names(&self.records)?;
        Ok(names.iter().filter(|name| name.ends_with(".json")).map(|name| self.records.join(name)).collect())
    }
}
