//! Clean: removing layers that no image needs, and what dead processes left.
//!
//! One clean runs at a time. What it shares with creates is told at the head of the store module.

use std::collections::HashSet;
use std::time::Duration;

use crate::store::image::dependencies;
use crate::store::image::removal;
use crate::store::layer::durability;
use crate::store::layer::manifest_cache;
use crate::store::layer::sizes;
use crate::store::layer::volumes::{self, Entry};
use crate::store::totals;
use crate::store::{Error, ImageId, Store};
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::PathError;
use crate::sys::remove_tree::remove_tree;

/// Held by the one who cleans.
pub(in crate::store) const LOCK: &str = "groot-gc-lock";
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A store is nearly full when less than this fraction of it is left, one twentieth.
const NEARLY_FULL: u64 = 20;

/// What a clean came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// Unused layers are gone.
    Completed,
    /// The layers take less than the threshold, and there is room left.
    BelowThreshold,
    /// Another process is cleaning.
    AlreadyRunning,
}

impl Store {
    /// Removes unused layers, if all layers together take at least `threshold` bytes or the store is nearly full. Layers
    /// that another store keeps are cleaned there, after what is left of this one's images.
    pub fn clean(&self, threshold: u64, ignore_images: &[String]) -> Result<Cleaned, Error> {
        let _session = session();
        let Some(_lock) = lock::own_within(&self.layout.lock_file(), LOCK, LOCK_TIMEOUT)? else {
            return Ok(Cleaned::AlreadyRunning);
        };
        match self.layer_store()? {
            None => self.clean_locked(Threshold::of_layers(threshold), ignore_images, Freed::Awaited),
            Some(layer_store) => {
                self.clean_locked(Threshold::NONE, ignore_images, Freed::Awaited)?;
                layer_store.store.clean(threshold, ignore_images)
            }
        }
    }

    fn clean_locked(&self, threshold: Threshold, ignore_images: &[String], freed: Freed) -> Result<Cleaned, Error> {
        if threshold.bytes > 0 && !self.has_reached(threshold)? {
            return Ok(Cleaned::BelowThreshold);
        }
        // What one step could not do is no reason to leave the others undone. The user hears of the first.
        let steps = [
            remove_dead_images(self),
            retire_unused(self, ignore_images),
            remove_incomplete(self),
            remove_retired(self),
            forget_missing_volumes(self),
            release_unknown(self),
            manifest_cache::forget_unneeded(&self.layout).map_err(Error::from),
            // For layers whose create was killed before it could see to that.
            durability::flush(&self.layout).map_err(Error::from),
            self.wait_for_space_freed(freed),
            // What quotas keep of layers and images can be given back when those are gone for good.
            self.driver.reclaim_quotas(&self.layout).map_err(Error::from),
        ];
        steps.into_iter().collect::<Result<(), Error>>().map(|()| Cleaned::Completed)
    }

    fn wait_for_space_freed(&self, freed: Freed) -> Result<(), Error> {
        match freed {
            Freed::Awaited => Ok(self.driver.wait_for_free_space(&self.layout)?),
            Freed::Later => Ok(()),
        }
    }

    /// Whether the layers, and what counts beside them, come to the threshold, or the store is nearly full.
    ///
    /// Deployments set thresholds that layers alone can never reach: as large as the file that the store is in, of which
    /// the filesystem needs some for itself and the images have their share.
    fn has_reached(&self, threshold: Threshold) -> Result<bool, Error> {
        let space = self.space()?;
        let lacks_inodes = space.inodes.is_some_and(|inodes| inodes.available < inodes.total / NEARLY_FULL);
        let is_nearly_full = lacks_inodes || space.available < space.size / NEARLY_FULL;
        Ok(is_nearly_full || sizes::total(&self.layout)?.saturating_add(threshold.committed) >= threshold.bytes)
    }
}

/// Whether a clean ends before the kernel has freed what was deleted, by whomever.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freed {
    Awaited,
    Later,
}

/// What a store has to come to before it is cleaned.
#[derive(Clone, Copy)]
struct Threshold {
    /// Zero cleans always.
    bytes: u64,
    /// What counts beside the sizes of the layers: limits of images.
    committed: u64,
}

impl Threshold {
    const NONE: Threshold = Threshold { bytes: 0, committed: 0 };

    fn of_layers(bytes: u64) -> Self {
        Threshold { bytes, committed: 0 }
    }

    /// Counts what the images of `store` may come to take, too: what is committed to them is not there for layers.
    fn and_limits_of(self, store: &Store) -> Result<Self, Error> {
        // Nobody compares it with zero.
        let limits = if self.bytes > 0 { store.committed_quota()? } else { 0 };
        Ok(Threshold { committed: self.committed.saturating_add(limits), ..self })
    }
}

/// Removes what dead processes left, and no layer that is whole.
pub(in crate::store) fn finish_dead_work(store: &Store) -> Result<(), Error> {
    let Some(_lock) = lock::own_within(&store.layout.lock_file(), LOCK, LOCK_TIMEOUT)? else { return Ok(()) };
    let steps = [
        remove_dead_images(store),
        remove_incomplete(store),
        remove_retired(store),
        forget_missing_volumes(store),
        release_unknown(store),
    ];
    steps.into_iter().collect()
}

fn session() -> tracing::span::EnteredSpan {
    tracing::info_span!("groot-cleaning").entered()
}

/// Cleans ahead of a create of an image with this limit, if the layers and the limits of all images come to `threshold`
/// bytes. The create is never made to wait or to fail by it.
pub(in crate::store) fn clean_before_create(store: &Store, threshold: u64, limit: u64, ignore_images: &[String]) {
    let _session = session();
    if let Err(error) = clean_with_limits(store, Threshold { bytes: threshold, committed: limit }, ignore_images) {
        tracing::error!(%error, "failed-to-cleanup-store");
    }
}

fn clean_with_limits(store: &Store, threshold: Threshold, ignore_images: &[String]) -> Result<(), Error> {
    let threshold = threshold.and_limits_of(store)?;
    match store.layer_store()? {
        None => clean_unless_busy(store, threshold, ignore_images),
        Some(layer_store) => {
            clean_unless_busy(store, Threshold::NONE, ignore_images)?;
            clean_unless_busy(&layer_store.store, threshold.and_limits_of(&layer_store.store)?, ignore_images)
        }
    }
}

fn clean_unless_busy(store: &Store, threshold: Threshold, ignore_images: &[String]) -> Result<(), Error> {
    match lock::try_own(&store.layout.lock_file(), LOCK)? {
        Some(_lock) => store.clean_locked(threshold, ignore_images, Freed::Later).map(drop),
        None => Ok(()),
    }
}

/// A record without an image, or an entry of `tmp/`, whose lock can be had: its process is dead.
pub(in crate::store) fn remove_dead_images(store: &Store) -> Result<(), Error> {
    let mut ids = dependencies::recorded_images(&store.layout)?;
    // Read after the records: an image that has both is whole, unless something of it is in `tmp/`.
    let published: HashSet<String> = files::names(&store.layout.images())?.into_iter().collect();
    ids.retain(|id| !published.contains(id));
    for name in files::names(&store.layout.tmp())? {
        let unfinished = ["create.", "delete.", "record."].iter().find_map(|prefix| name.strip_prefix(prefix));
        ids.extend(unfinished.map(str::to_owned));
    }
    // One that something is mounted in stays.
    each(ids.iter().filter_map(|id| ImageId::new(id).ok()), |id| remove_if_dead(store, &id))
}

/// Does the same for all, also where it fails for some; the error is the first.
fn each<T>(all: impl IntoIterator<Item = T>, mut work: impl FnMut(T) -> Result<(), Error>) -> Result<(), Error> {
    let mut result = Ok(());
    for one in all {
        result = result.and(work(one));
    }
    result
}

fn remove_if_dead(store: &Store, id: &ImageId) -> Result<(), Error> {
    if files::exists(&store.layout.image(id.as_str()))? && !has_leftovers(store, id)? {
        return Ok(());
    }
    match lock::try_own(&store.layout.lock_file(), &id.lock_name())? {
        Some(_lock) => removal::discard_staging(store, id),
        None => Ok(()),
    }
}

fn has_leftovers(store: &Store, id: &ImageId) -> Result<bool, PathError> {
    let (layout, id) = (&store.layout, id.as_str());
    Ok(files::exists(&layout.creating(id))?
        || files::exists(&layout.deleting(id))?
        || files::exists(&layout.recording(id))?)
}

/// Takes away what no record names. A create that wrote its record before this has its layers spared; one that comes
/// after it does not find them.
fn retire_unused(store: &Store, ignore_images: &[String]) -> Result<(), Error> {
    let _session = tracing::debug_span!("garbage-collector-mark-unused").entered();
    let claims = tracing::debug_span!("acquiring-exclusive-lock")
        .in_scope(|| lock::own_whole_within(&store.layout.lock_file(), LOCK_TIMEOUT))?;
    let Some(_claims) = claims else { return Err(Error::ClaimsBusy) };
    let in_use = layers_in_use(store, ignore_images)?;
    let is_unused = |name: &String| match Entry::of_name(name) {
        Entry::Layer(layer) => !in_use.contains(&layer),
        Entry::Condemned(_) => true,
        Entry::Incomplete(_) => false,
    };
    let unused = files::names(&store.layout.volumes())?.into_iter().filter(is_unused);
    each(unused, |name| volumes::retire(store, &store.layout.volume(&name)).map(drop))?;
    let kept = files::names(&store.layout.tmp())?;
    let needless = kept.iter().filter(|name| volumes::kept_layer(name).is_some_and(|layer| !in_use.contains(layer)));
    each(needless, |name| volumes::retire(store, &store.layout.tmp().join(name)).map(drop))
}

/// Removes layers that were being unpacked by a process that died.
fn remove_incomplete(store: &Store) -> Result<(), Error> {
    each(files::names(&store.layout.volumes())?, |name| {
        let Entry::Incomplete(layer) = Entry::of_name(&name) else { return Ok(()) };
        match lock::try_own(&store.layout.lock_file(), &layer)? {
            Some(_lock) => volumes::remove(store, &store.layout.volume(&name)),
            None => Ok(()),
        }
    })
}

/// Chain ids that some image needs, or that are to be spared. The totals over all images, where they are kept, are computed
/// anew from the same records.
pub(in crate::store) fn layers_in_use(store: &Store, ignore_images: &[String]) -> Result<HashSet<String>, Error> {
    let mut in_use: HashSet<String> = store.registered_layers()?.into_iter().collect();
    let mut ids: HashSet<String> = dependencies::recorded_images(&store.layout)?.into_iter().collect();
    match totals::recompute(store)?.filter(|(totals, _)| totals.knows_all_layers()) {
        // Their records have just been read. One that is being deleted is not among them: it may be put back.
        Some((totals, counted)) => {
            counted.iter().for_each(|id| _ = ids.remove(id));
            in_use.extend(totals.into_needed_layers());
        }
        // An image without a record, which an original that crashed can leave, may need any layer.
        None => ids.extend(files::names(&store.layout.images())?),
    }
    for id in ids {
        match dependencies::read(&store.layout, &dependencies::image_key(&id)) {
            Ok(layers) => in_use.extend(layers),
            Err(error) => unless_deleted(store, &id, error)?,
        }
    }
    for image in ignore_images {
        match dependencies::read(&store.layout, &dependencies::base_image_key(image)) {
            Ok(layers) => in_use.extend(layers),
            Err(error) => tracing::info!(%error, image, "ignored-image-has-no-record"),
        }
    }
    Ok(in_use)
}

/// The image may have been deleted between the two looks.
fn unless_deleted(store: &Store, id: &str, error: dependencies::Error) -> Result<(), Error> {
    let is_missing = matches!(error, dependencies::Error::Missing(_));
    if is_missing && !files::exists(&store.layout.image(id))? { Ok(()) } else { Err(Error::Record(error)) }
}

/// Removes layers that were taken away, by this process or one that died, and downloads that an original left.
fn remove_retired(store: &Store) -> Result<(), Error> {
    let _session = tracing::debug_span!("garbage-collector-collect").entered();
    each(files::names(&store.layout.tmp())?, |name| {
        let path = store.layout.tmp().join(&name);
        if name.starts_with("dead.") {
            store.driver.remove_volume(&path)?;
        } else if name.starts_with("blob-") && is_old(&path) {
            remove_tree(&path)?;
        }
        Ok(())
    })
}

/// Whether nobody can be at work on it any more: an original may be downloading for as long as the network takes.
pub(in crate::store) fn is_old(path: &std::path::Path) -> bool {
    const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);
    let modified = files::status(path).ok().and_then(|metadata| metadata.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > LONG_AGO)
}

/// What another store lends to images that do not exist.
fn release_unknown(store: &Store) -> Result<(), Error> {
    store.layer_store()?.map_or(Ok(()), |layer_store| layer_store.release_unknown(store))
}

/// Sizes, marks and short names of layers that do not exist.
fn forget_missing_volumes(store: &Store) -> Result<(), Error> {
    let mut layers: Vec<String> = files::names(&store.layout.meta())?
        .iter()
        .filter_map(|name| name.strip_prefix("volume-"))
        .map(str::to_owned)
        .collect();
    layers.extend(durability::marked(&store.layout)?);
    for layer in layers {
        if !files::exists(&store.layout.volume(&layer))? {
            volumes::forget(store, &layer)?;
        }
    }
    Ok(())
}
