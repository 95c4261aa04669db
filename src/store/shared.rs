//! Layers that stores with different id mappings share.
//!
//! One store, the lender, keeps layers with the ids that images have. Others, the borrowers, keep none: they mount the
//! lender's so that they show the borrower's ids (see `driver/overlay_xfs/shared.rs`). What tells of this:
//!
//! ```text
//! <borrower>/meta/shared-layers.json       the lender's path, and what the borrower is called there; root's
//! <lender>/meta/lent/<borrower>/store      the borrower's path
//!                              /<id>.json  the layers that an image of the borrower needs
//!                   /new.<borrower>/       one that is being made
//! ```
//!
//! A record is made after the borrower's own of the same image and removed before it, so whatever the borrower does not
//! have on record is not lent. The lender's clean cannot ask a borrower that is not mounted: it takes the records'
//! word, except where another store was made at the borrower's path.
//!
//! A borrower belongs to somebody else, whom the lender's layers do not. So its record counts only if it is root's, and
//! no command on the lender waits for, or fails by, what is in a borrower.
//!
//! Locks of the borrower are taken before the lender's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::garbage::is_old;
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
const MAKING: &str = "new.";

/// Where a store's layers are, as it has it on record.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    /// The lender's path.
    store: PathBuf,
    /// What the borrower is called there. Another store at the same path has another name.
    name: u64,
}

impl Record {
    fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.shared_layers_file();
        let Some((content, owner)) = files::read_small(&path)? else { return Ok(None) };
        let refuse = |reason: String| Err(Error::Path(PathError::new("read", &path, io::Error::other(reason))));
        match serde_json::from_slice(&content) {
            // Root removes and writes where this points.
            _ if owner != 0 && Caller::of_process() == Caller::Root => refuse("it is not root's".to_owned()),
            Ok(record) => Ok(Some(record)),
            Err(error) => refuse(error.to_string()),
        }
    }
}

/// The store that keeps another one's layers.
pub(super) struct Lender {
    pub(super) store: Store,
    /// What the one borrower is called there.
    name: u64,
}

impl Store {
    /// The store that keeps this one's layers, where that is another.
    pub(super) fn lender(&self) -> Result<Option<Lender>, Error> {
        match Record::read(&self.layout)? {
            Some(_) if self.caller != Caller::Root => Err(Error::SharedLayersNeed("only root can use them")),
            Some(Record { store, name }) => Ok(Some(Lender::new(self, &store, name)?)),
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
        let lender = Lender::new(self, &path, 0)?;
        if !lender.store.is_initialised()? {
            return lender.refuse("it is no store yet: run init-store on it first");
        }
        if fs::canonicalize(self.layout.root()).is_ok_and(|root| root == path) {
            return lender.refuse("a store cannot share its layers with itself");
        }
        if Record::read(&lender.store.layout)?.is_some() {
            return lender.refuse("its own layers are those of another store: name that one");
        }
        lender.check_ids()
    }

    /// Checks that the store at `lender` can keep this one's layers.
    pub(super) fn try_lender(&self, lender: &Path, mappings: &IdMappings) -> Result<(), Error> {
        self.check_lender(lender)?;
        let lender = Lender::new(self, lender, 0)?.store;
        self.driver.check_shared(&SharedLayers { layout: &lender.layout, mappings })?;
        lender.check_initialised()
    }

    /// Makes the store at `lender` keep this one's layers.
    pub(super) fn borrow_from(&self, lender: &Path) -> Result<(), Error> {
        self.check_lender(lender)?;
        if let Some(present) = self.lender()? {
            // It may have been deleted and made again.
            return present.enter(&self.layout);
        }
        let store = fs::canonicalize(lender).on("resolve", lender)?;
        let name = random_number()?;
        Lender::new(self, &store, name)?.enter(&self.layout)?;
        let (path, temporary) = (self.layout.shared_layers_file(), self.layout.tmp().join("shared-layers.json"));
        let content = serde_json::to_vec(&Record { store, name }).on("write", &path)?;
        Ok(files::replace_flushed(&path, &temporary, &content, 0o644)?)
    }

    /// Chain ids of all layers that images of other stores need.
    pub(super) fn lent_layers(&self) -> Result<Vec<String>, Error> {
        remove_unfinished(&self.layout)?;
        let mut layers = Vec::new();
        for borrower in Borrower::all(&self.layout)? {
            if borrower.is_replaced() {
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
            if !borrower.is_replaced() && !borrower.images()?.is_empty() {
                return Err(Error::LayersAreLent(borrower.path.display().to_string(), borrower.records));
            }
        }
        Ok(())
    }
}

impl Lender {
    fn new(borrower: &Store, path: &Path, name: u64) -> Result<Self, Error> {
        let driver = driver::named(borrower.driver.name(), driver::Options::default())?;
        let store = Store::new(path, driver, borrower.caller)?;
        Ok(Lender { store, name })
    }

    fn refuse<T>(&self, reason: &'static str) -> Result<T, Error> {
        Err(Error::CannotShare(self.store.layout.root().display().to_string(), reason))
    }

    fn check_ids(&self) -> Result<(), Error> {
        if self.store.mappings()?.is_identity() {
            return Ok(());
        }
        self.refuse("its layers have the ids of its own mappings: it must be one without")
    }

    /// Puts the borrower on record, where it is not. What is there under its name is its own.
    fn enter(&self, borrower: &Layout) -> Result<(), Error> {
        let path = fs::canonicalize(borrower.root()).on("resolve", borrower.root())?;
        let (lent, records) = (self.store.layout.lent(), self.records());
        match files::read_small(&records.join(BORROWER))? {
            Some((known, _)) if known == path.as_os_str().as_encoded_bytes() => return Ok(()),
            Some(_) => return self.refuse("it lends them to another store under this one's name"),
            None => self.check_ids()?,
        }
        files::ensure_directory(&lent)?;
        let making = lent.join(format!("{MAKING}{}", self.name));
        remove_tree(&making)?;
        fs::create_dir(&making).on("mkdir", &making)?;
        let content = path.as_os_str().as_encoded_bytes();
        files::replace_flushed(&making.join(BORROWER), &making.join("new"), content, 0o644)?;
        Ok(fs::rename(&making, &records).on("rename", &making)?)
    }

    /// Refuses what borrowed layers cannot be used for.
    pub(super) fn check_can_be_used(&self, mount: bool) -> Result<(), Error> {
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
    pub(super) fn claim(
        &self,
        borrower: &Layout,
        id: &ImageId,
        image: &Image,
        layers: &[&ChainId],
    ) -> Result<Vec<bool>, Error> {
        let layout = &self.store.layout;
        let _claims = lock::share_whole(&layout.lock_file())?;
        // The store may be on its way out.
        if !files::exists(&layout.namespace_file())? {
            return Err(Error::LenderIsMissing(layout.root().display().to_string()));
        }
        self.enter(borrower)?;
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
        for record in images_of(&self.records())? {
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
        remove_tree(&self.records())
    }

    /// The records of this borrower.
    fn records(&self) -> PathBuf {
        self.store.layout.lent().join(self.name.to_string())
    }

    fn record(&self, id: &ImageId) -> PathBuf {
        self.records().join(format!("{id}.json"))
    }

    fn temporary(&self, id: &ImageId) -> PathBuf {
        self.records().join(format!("{id}.new"))
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
        for name in files::names(&lender.lent())?.iter().filter(|name| !name.starts_with(MAKING)) {
            let records = lender.lent().join(name);
            // Without that, it is being removed: no image of its is there.
            let Some((path, _)) = files::read_small(&records.join(BORROWER))? else { continue };
            all.push(Borrower { path: OsString::from_vec(path).into(), records });
        }
        Ok(all)
    }

    /// Whether there is another store at its path. That there is none, or that it cannot be told, says nothing: it may not
    /// be mounted yet.
    fn is_replaced(&self) -> bool {
        let layout = Layout::new(self.path.clone());
        let is_same = |record: &Record| self.records.ends_with(record.name.to_string());
        files::exists(&layout.namespace_file()).unwrap_or(false)
            && Record::read(&layout).is_ok_and(|record| !record.as_ref().is_some_and(is_same))
    }

    fn images(&self) -> Result<Vec<PathBuf>, PathError> {
        images_of(&self.records)
    }
}

/// Removes what is left of borrowers that died before they were on record.
fn remove_unfinished(lender: &Layout) -> Result<(), PathError> {
    let names = files::names(&lender.lent())?;
    let paths = names.iter().filter(|name| name.starts_with(MAKING)).map(|name| lender.lent().join(name));
    paths.filter(|path| is_old(path)).try_for_each(|path| remove_tree(&path))
}

/// The records of a borrower's images.
fn images_of(records: &Path) -> Result<Vec<PathBuf>, PathError> {
    let names = files::names(records)?;
    Ok(names.iter().filter(|name| name.ends_with(".json")).map(|name| records.join(name)).collect())
}
