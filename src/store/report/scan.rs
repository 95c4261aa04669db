//! One look at a whole store, for whoever runs it: what there is, how large it is, and who needs it.
//!
//! It takes no lock and changes nothing, so creates and deletes go on meanwhile; what goes away while it is looked at is
//! left out. The cost grows with the number of images and layers, not with that of their files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::driver::{RootfsState, Usage};
use crate::entries::{self, Place};
use crate::store::image::{dependencies, needed};
use crate::store::layer::sizes;
use crate::store::layer::volumes::{self, Entry};
use crate::store::{ImageId, OnDisk, Store, StoreError};
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::space::Space;

/// An image as it was found.
#[derive(Clone, Debug)]
pub struct ImageReport {
    /// Its id.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Whether its root filesystem can be seen; `None` where that is its caller's business.
    pub is_mounted: Option<bool>,
    /// Its layers, bottom first.
    pub layers: Vec<String>,
    /// What it takes and may take.
    pub usage: Usage,
    /// What its own files take, if that has been measured.
    pub on_disk: Option<OnDisk>,
    /// Why some of this could not be read.
    pub problem: Option<String>,
}

/// A layer as it was found.
#[derive(Clone, Debug)]
pub struct LayerReport {
    /// Its chain id.
    pub chain_id: String,
    /// Bytes of its files' contents.
    pub bytes: u64,
    /// When it was unpacked, in seconds since 1970.
    pub unpacked: u64,
    /// When an image needed it last, or when it was unpacked, in seconds since 1970; `None` while one needs it.
    pub last_used: Option<u64>,
    /// Images that need it.
    pub images: Vec<String>,
    /// Whether images of other stores need it.
    pub is_registered: bool,
    /// What its files take, if that has been measured.
    pub on_disk: Option<OnDisk>,
}

impl LayerReport {
    /// Whether clean would remove it.
    pub fn is_reclaimable(&self) -> bool {
        self.images.is_empty() && !self.is_registered
    }
}

/// The file that a store is in.
#[derive(Clone, Debug)]
pub struct BackingFile {
    /// Where it is.
    pub path: PathBuf,
    /// How large it seems.
    pub logical_bytes: u64,
    /// What it takes of its own filesystem.
    pub physical_bytes: u64,
}

/// A whole store.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// Its images, by id.
    pub images: Vec<ImageReport>,
    /// Its layers, the largest first.
    pub layers: Vec<LayerReport>,
    /// The filesystem it is on.
    pub space: Space,
    /// The file it is in, if it has one.
    pub backing_file: Option<BackingFile>,
}

/// Sums over a store, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportTotals {
    /// All layers.
    pub layers: u64,
    /// Layers that some image needs.
    pub layers_in_use: u64,
    /// Layers that clean would remove.
    pub reclaimable: u64,
    /// What images have written.
    pub exclusive: u64,
    /// What images may come to write.
    pub limits: u64,
    /// What the filesystem and the store's records take beside these.
    pub overhead: u64,
}

impl StoreReport {
    /// Sums of it all.
    pub fn totals(&self) -> ReportTotals {
        let mut totals = ReportTotals::default();
        for layer in &self.layers {
            totals.layers = totals.layers.saturating_add(layer.bytes);
            let sum = if layer.is_reclaimable() { &mut totals.reclaimable } else { &mut totals.layers_in_use };
            *sum = sum.saturating_add(layer.bytes);
        }
        for image in &self.images {
            totals.exclusive = totals.exclusive.saturating_add(image.usage.exclusive);
            totals.limits = totals.limits.saturating_add(image.usage.quota);
        }
        totals.overhead = self.space.used.saturating_sub(totals.layers).saturating_sub(totals.exclusive);
        totals
    }
}

impl Store {
    /// Looks at everything. What one image keeps from being read is told of that image.
    pub fn report(&self) -> Result<StoreReport, StoreError> {
        self.check_initialised()?;
        let mut names = entries::names(&self.layout, Place::Images)?;
        names.sort();
        let images = names.iter().filter_map(|name| self.report_image(name).transpose());
        let images = images.collect::<Result<Vec<ImageReport>, PathError>>()?;
        let layers_in = self.layer_store()?;
        let layers = match &layers_in {
            Some(layer_store) => layer_store.store.report()?.layers,
            None => self.report_layers(&images)?,
        };
        Ok(StoreReport { images, layers, space: self.space()?, backing_file: self.report_backing_file()? })
    }

    /// Whether the directory of this name in `images/` is an image.
    pub(in crate::store) fn is_image(&self, name: &str) -> Result<bool, PathError> {
        let record = dependencies::read(&self.layout, &dependencies::image_key(name));
        needed::is_image(&self.layout.image(name), record.err().as_ref())
    }

    /// `None` for what is no image, or not any more.
    pub(in crate::store) fn report_image(&self, name: &str) -> Result<Option<ImageReport>, PathError> {
        let (path, Ok(id)) = (self.layout.image(name), ImageId::new(name)) else { return Ok(None) };
        if !files::is_directory(&path)? {
            return Ok(None);
        }
        let mut problem = None;
        let mut note = |text: String| {
            problem.get_or_insert(text);
        };
        let layers = dependencies::read(&self.layout, &dependencies::image_key(id.as_str()));
        if !needed::is_image(&path, layers.as_ref().err())? {
            entries::tell(&path);
            return Ok(None);
        }
        let layers = layers.unwrap_or_else(|error| {
            note(error.to_string());
            Vec::new()
        });
        let usage = self.driver.usage(&self.layout, &path).unwrap_or_else(|error| {
            note(error.to_string());
            Usage::default()
        });
        let is_mounted = match self.driver.rootfs_state(&path) {
            Ok(RootfsState::Present) => Some(true),
            Ok(RootfsState::Unmounted) => Some(false),
            Ok(RootfsState::LeftToCaller) | Err(_) => None,
        };
        if !files::exists(&path)? {
            return Ok(None);
        }
        let report = ImageReport {
            id: name.to_owned(),
            created: created(&path)?,
            is_mounted,
            layers,
            usage,
            on_disk: None,
            problem,
        };
        Ok(Some(report))
    }

    fn report_layers(&self, images: &[ImageReport]) -> Result<Vec<LayerReport>, PathError> {
        let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for image in images {
            for layer in &image.layers {
                users.entry(layer).or_default().push(image.id.clone());
            }
        }
        let registered = self.registered_layers()?;
        let mut layers = Vec::new();
        for (name, bytes) in sizes::of_all(&self.layout)? {
            let Entry::Layer(chain_id) = Entry::of_name(&name) else { continue };
            let images = users.remove(chain_id.as_str()).unwrap_or_default();
            let is_registered = registered.contains(&chain_id);
            let is_in_use = is_registered || !images.is_empty();
            layers.push(LayerReport {
                bytes,
                unpacked: created(&self.layout.volume_size(&chain_id)).unwrap_or_default(),
                last_used: (!is_in_use).then(|| seconds(volumes::last_use(&self.layout, &chain_id))),
                images,
                is_registered,
                on_disk: None,
                chain_id,
            });
        }
        layers.sort_by_key(|layer| std::cmp::Reverse(layer.bytes));
        Ok(layers)
    }

    fn report_backing_file(&self) -> Result<Option<BackingFile>, PathError> {
        let path = self.layout.backing_file();
        if !files::exists(&path)? {
            return Ok(None);
        }
        let metadata = fs::metadata(&path).on("stat", &path)?;
        let physical_bytes = metadata.blocks().saturating_mul(512);
        Ok(Some(BackingFile { path, logical_bytes: metadata.len(), physical_bytes }))
    }
}

/// When something got its name, as far as its time of last change tells: records and images do not change later.
fn created(path: &Path) -> Result<u64, PathError> {
    let metadata = files::status(path)?;
    let made = metadata.created().or_else(|_| metadata.modified()).on("stat", path)?;
    Ok(seconds(made))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
