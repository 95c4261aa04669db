//! Clean: removing layers that no image needs, and what dead processes left.
//!
//! One clean runs at a time. What it shares with creates is told at the head of the store module.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::driver;
use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::store::error::{FirstError, LayersClaimed, StoreError, from_store_errors};
use crate::store::image::dependencies;
use crate::store::image::needed;
use crate::store::image::removal;
use crate::store::layer::durability;
use crate::store::layer::manifest_cache;
use crate::store::layer::sizes;
use crate::store::layer::volumes::{self, Entry};
use crate::store::totals;
use crate::store::{ImageId, Store};
use crate::sys::files;
use crate::sys::interrupt;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::remove_tree::remove_tree;

/// Held by the one who cleans.
pub(in crate::store) const LOCK: &str = "groot-gc-lock";
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// What begins the name of a layer that is being removed, in `tmp/`.
const DEAD: &str = "dead.";

/// A store is nearly full when less than this fraction of it is left, one twentieth.
const NEARLY_FULL: u64 = 20;

/// How a clean ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// Unused layers are gone.
    Completed,
    /// The layers take less than the threshold, or the filesystem is below its high watermark, and there is room left.
    BelowThreshold,
    /// Another process is cleaning.
    AlreadyRunning,
}

/// When a store is cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanWhen {
    /// If its layers take at least as many bytes; all unused ones go. Zero: always, where there are no watermarks.
    pub threshold_bytes: u64,
    /// If at least the first part of the filesystem, in percent, is in use; those that have not been used for longest go,
    /// until it is the second part.
    pub watermarks: Option<(u64, u64)>,
}

impl CleanWhen {
    /// Whatever is in use.
    pub const ALWAYS: CleanWhen = CleanWhen { threshold_bytes: 0, watermarks: None };
}

/// What a clean removed, or would remove.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Layers that no image needs.
    pub layers: Vec<RemovedLayer>,
    /// Paths of what dead processes left: images and layers half made or half removed.
    pub leftovers: Vec<PathBuf>,
}

/// A layer that a clean removed, or would remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedLayer {
    /// Its chain id.
    pub chain_id: String,
    /// Bytes of its files' contents, as they are on record.
    pub bytes: u64,
}

impl Removed {
    /// Bytes of the contents of all layers.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.bytes))
    }

    /// Takes the sizes of layers from their records, which outlive them for a moment.
    fn add_layers(&mut self, layout: &Layout, names: impl IntoIterator<Item = String>) -> Result<(), PathError> {
        for chain_id in names {
            let bytes = volumes::recorded_size(layout, &chain_id)?.unwrap_or_default();
            self.layers.push(RemovedLayer { chain_id, bytes });
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.leftovers.is_empty()
    }

    fn add(&mut self, other: Removed) {
        self.layers.extend(other.layers);
        self.leftovers.extend(other.leftovers);
    }
}

/// Why a clean did not do all it should.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// A create is at work.
    #[error(transparent)]
    LayersClaimed(#[from] LayersClaimed),
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

from_store_errors!(CleanError);

impl Store {
    /// Removes unused layers, if it is time to or the store is nearly full. Layers that another store keeps are cleaned there,
    /// after what is left of this one's images.
    pub fn clean(&self, when: CleanWhen, ignore_images: &[String]) -> Result<(Cleaned, Removed), CleanError> {
        let _session = session();
        let Some(_lock) = lock::own_within(&self.layout.lock_file(), LOCK, LOCK_TIMEOUT)? else {
            return Ok((Cleaned::AlreadyRunning, Removed::default()));
        };
        match self.layer_store()? {
            None => self.clean_locked(Threshold::of_layers(when), ignore_images, Reclaim::Awaited),
            Some(layer_store) => {
                let (_, mut removed) = self.clean_locked(Threshold::NONE, ignore_images, Reclaim::Awaited)?;
                let (cleaned, of_layers) = layer_store.store.clean(when, ignore_images)?;
                removed.add(of_layers);
                Ok((cleaned, removed))
            }
        }
    }

    /// What [`Store::clean`] would do now. It takes no lock and removes nothing, so creates that run meanwhile may
    /// come to need some of the layers.
    ///
    /// # Errors
    /// Where a clean would fail for want of knowing which layers are in use.
    pub fn plan_clean(&self, when: CleanWhen, ignore_images: &[String]) -> Result<(Cleaned, Removed), StoreError> {
        match self.layer_store()? {
            None => Ok(self.plan(Threshold::of_layers(when), ignore_images)?),
            Some(layer_store) => {
                let (_, mut removed) = self.plan(Threshold::NONE, ignore_images)?;
                let (cleaned, of_layers) = layer_store.store.plan_clean(when, ignore_images)?;
                removed.add(of_layers);
                Ok((cleaned, removed))
            }
        }
    }

    fn plan(&self, threshold: Threshold, ignore_images: &[String]) -> Result<(Cleaned, Removed), PathError> {
        let (layout, mut removed) = (&self.layout, Removed::default());
        let Some(goal) = self.goal(threshold)? else { return Ok((Cleaned::BelowThreshold, removed)) };
        // Named before the records are read: a layer that a create claims or publishes meanwhile is on one of them.
        let volumes = by_last_use(layout, entries::names(layout, Place::Volumes)?, goal)?;
        let staged = entries::names(layout, Place::Staging)?;
        let in_use = layers_on_record(self, all_images(self)?, ignore_images)?;
        let unused = Unused::of(&volumes, &staged, &in_use, goal);
        removed.add_layers(layout, unused.layers)?;
        removed.leftovers.extend(unused.condemned.iter().map(|name| layout.volume_path(name)));
        removed.leftovers.extend(unused.kept.iter().map(|name| staging_path(layout, name)));
        for volume in &volumes {
            if let Entry::Incomplete(layer) = Entry::of_name(&volume.name)
                && !lock::is_held(&layout.lock_file(), &layer)?
            {
                removed.leftovers.push(layout.volume_path(&volume.name));
            }
        }
        for name in &staged {
            let is_dead = match staged_image(name).and_then(|id| ImageId::new(id).ok()) {
                Some(id) => !lock::is_held(&layout.lock_file(), &id.lock_name())?,
                None => is_retired(layout, name),
            };
            if is_dead {
                removed.leftovers.push(staging_path(layout, name));
            }
        }
        Ok((Cleaned::Completed, removed))
    }

    fn clean_locked(
        &self,
        threshold: Threshold,
        ignore_images: &[String],
        reclaim: Reclaim,
    ) -> Result<(Cleaned, Removed), CleanError> {
        let mut removed = Removed::default();
        let Some(goal) = self.goal(threshold)? else {
            self.flush_if_awaited(reclaim)?;
            return Ok((Cleaned::BelowThreshold, removed));
        };
        name_strangers(&self.layout);
        // Layers that come later are nobody's to take away.
        let volumes = by_last_use(&self.layout, entries::names(&self.layout, Place::Volumes)?, goal)?;
        // What one step could not do is no reason to leave the others undone. The user hears of the first.
        let mut failed = FirstError::<CleanError>::none();
        failed.note(remove_dead_images(self, &mut removed));
        failed.note(retire_unused(self, &volumes, ignore_images, goal, &mut removed));
        failed.note(remove_incomplete(self, &volumes, &mut removed));
        failed.note(remove_retired(self));
        failed.note(forget_missing_volumes(self));
        failed.note(release_unknown(self));
        failed.note(manifest_cache::forget_unneeded(&self.layout));
        failed.note(self.flush_if_awaited(reclaim));
        if !removed.is_empty() {
            failed.note(self.wait_for_space(reclaim));
        }
        // What quotas keep of layers and images can be given back when those are gone for good.
        failed.note(self.driver.remove_leftovers(&self.layout));
        failed.note(interrupt::check().on("clean", self.layout.root()));
        failed.result().map(|()| (Cleaned::Completed, removed))
    }

    /// For layers whose flush was killed. A create that cleans does not wait for the disk: it starts a flush of its own.
    fn flush_if_awaited(&self, reclaim: Reclaim) -> Result<(), PathError> {
        match reclaim {
            Reclaim::Awaited => durability::flush(&self.layout),
            Reclaim::InBackground => Ok(()),
        }
    }

    fn wait_for_space(&self, reclaim: Reclaim) -> Result<(), driver::Error> {
        match reclaim {
            Reclaim::Awaited => self.driver.wait_for_free_space(&self.layout),
            Reclaim::InBackground => Ok(()),
        }
    }

    /// How many bytes of layers a clean is to remove, if it is to remove any.
    ///
    /// Deployments set thresholds that layers alone can never reach: as large as the file that the store is in, of which
    /// the filesystem needs some for itself and the images have their share.
    fn goal(&self, threshold: Threshold) -> Result<Option<u64>, PathError> {
        if threshold.is_none() {
            return Ok(Some(ALL));
        }
        let space = self.space()?;
        let lacks_inodes = space.inodes.is_some_and(|inodes| inodes.available < inodes.total / NEARLY_FULL);
        let used = space.size.saturating_sub(space.available);
        if let Some((high, low)) = threshold.watermarks {
            let part = |percent: u64| space.size / 100 * percent;
            if used >= part(high) {
                return Ok(Some(if lacks_inodes { ALL } else { used.saturating_sub(part(low)) }));
            }
        }
        let is_nearly_full = space.available < space.size / NEARLY_FULL;
        let has_reached = || {
            Ok::<bool, PathError>(sizes::total(&self.layout)?.saturating_add(threshold.committed) >= threshold.bytes)
        };
        let is_due = lacks_inodes || (threshold.bytes > 0 && (is_nearly_full || has_reached()?));
        Ok(is_due.then_some(ALL))
    }
}

/// All unused layers go, however large.
const ALL: u64 = u64::MAX;

/// Whether a clean ends before the kernel has freed what was deleted, by whomever.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    Awaited,
    InBackground,
}

/// What a store has to come to before it is cleaned.
#[derive(Clone, Copy)]
struct Threshold {
    /// Zero cleans always, unless there are watermarks.
    bytes: u64,
    /// The parts of the filesystem in use, in percent, between which is cleaned.
    watermarks: Option<(u64, u64)>,
    /// What counts beside the sizes of the layers: limits of images.
    committed: u64,
}

impl Threshold {
    const NONE: Threshold = Threshold { bytes: 0, watermarks: None, committed: 0 };

    fn of_layers(when: CleanWhen) -> Self {
        Threshold { bytes: when.threshold_bytes, watermarks: when.watermarks, committed: 0 }
    }

    fn is_none(self) -> bool {
        self.bytes == 0 && self.watermarks.is_none()
    }

    /// Counts what the images of `store` may come to take, too: what is committed to them is not there for layers.
    fn and_limits_of(self, store: &Store) -> Result<Self, PathError> {
        // Nobody compares it with zero.
        let limits = if self.bytes > 0 { store.committed_quota()? } else { 0 };
        Ok(Threshold { committed: self.committed.saturating_add(limits), ..self })
    }
}

/// Removes what dead processes left, and no layer that is whole.
pub(in crate::store) fn finish_dead_work(store: &Store) -> Result<(), StoreError> {
    let Some(_lock) = lock::own_within(&store.layout.lock_file(), LOCK, LOCK_TIMEOUT)? else { return Ok(()) };
    let mut removed = Removed::default();
    let volumes = by_last_use(&store.layout, entries::names(&store.layout, Place::Volumes)?, ALL)?;
    let mut failed = FirstError::none();
    failed.note(remove_dead_images(store, &mut removed));
    failed.note(remove_incomplete(store, &volumes, &mut removed));
    failed.note(remove_retired(store));
    failed.note(forget_missing_volumes(store));
    failed.note(release_unknown(store));
    failed.result()
}

fn session() -> tracing::span::EnteredSpan {
    tracing::info_span!("groot-cleaning").entered()
}

/// Cleans ahead of a create of an image with this limit, if it is time to; limits of all images count against the threshold.
/// The create is never made to wait or to fail by it.
pub(in crate::store) fn clean_before_create(store: &Store, when: CleanWhen, limit: u64, ignore_images: &[String]) {
    let _session = session();
    if let Err(error) =
        clean_with_limits(store, Threshold { committed: limit, ..Threshold::of_layers(when) }, ignore_images)
    {
        tracing::error!(%error, "failed-to-cleanup-store");
    }
}

fn clean_with_limits(store: &Store, threshold: Threshold, ignore_images: &[String]) -> Result<(), CleanError> {
    let threshold = threshold.and_limits_of(store)?;
    match store.layer_store()? {
        None => clean_unless_busy(store, threshold, ignore_images),
        Some(layer_store) => {
            clean_unless_busy(store, Threshold::NONE, ignore_images)?;
            clean_unless_busy(&layer_store.store, threshold.and_limits_of(&layer_store.store)?, ignore_images)
        }
    }
}

fn clean_unless_busy(store: &Store, threshold: Threshold, ignore_images: &[String]) -> Result<(), CleanError> {
    match lock::try_own(&store.layout.lock_file(), LOCK)? {
        Some(_lock) => store.clean_locked(threshold, ignore_images, Reclaim::InBackground).map(drop),
        None => Ok(()),
    }
}

/// Those of places that no other step of a clean lists.
fn name_strangers(layout: &Layout) {
    for place in [Place::Root, Place::Locks] {
        if let Err(error) = entries::names(layout, place) {
            tracing::debug!(%error, "looking-for-strangers-failed");
        }
    }
}

/// A record without an image, or an entry of `tmp/`, whose lock can be had: its process is dead.
pub(in crate::store) fn remove_dead_images(store: &Store, removed: &mut Removed) -> Result<(), StoreError> {
    let mut ids = dependencies::recorded_images(&store.layout)?;
    // Read after the records: an image that has both is whole, unless something of it is in `tmp/`.
    let published: HashSet<String> = entries::names(&store.layout, Place::Images)?.into_iter().collect();
    ids.retain(|id| !published.contains(id));
    for name in entries::names(&store.layout, Place::Staging)? {
        ids.extend(staged_image(&name).map(str::to_owned));
    }
    // One that something is mounted in stays.
    each(ids.iter().filter_map(|id| ImageId::new(id).ok()), |id| remove_if_dead(store, &id, removed))
}

/// The image that an entry of `tmp/` is a part of.
pub(in crate::store) fn staged_image(name: &str) -> Option<&str> {
    ["create.", "delete.", "record."].iter().find_map(|prefix| name.strip_prefix(prefix))
}

/// Does the same for all, also where it fails for some, unless the program is to end; the error is the first.
fn each<T, E>(all: impl IntoIterator<Item = T>, mut work: impl FnMut(T) -> Result<(), E>) -> Result<(), E> {
    let mut failed = FirstError::none();
    for one in all.into_iter().take_while(|_| !interrupt::is_requested()) {
        failed.note(work(one));
    }
    failed.result()
}

fn remove_if_dead(store: &Store, id: &ImageId, removed: &mut Removed) -> Result<(), StoreError> {
    let leftovers = leftovers(store, id)?;
    if files::exists(&store.layout.image(id.as_str()))? && leftovers.is_empty() {
        return Ok(());
    }
    let Some(_lock) = lock::try_own(&store.layout.lock_file(), &id.lock_name())? else { return Ok(()) };
    interrupt::watch();
    removal::discard_staging(store, id)?;
    removed.leftovers.extend(leftovers);
    Ok(())
}

/// What there is of an image in `tmp/`, as users know it.
fn leftovers(store: &Store, id: &ImageId) -> Result<Vec<PathBuf>, PathError> {
    let (layout, id) = (&store.layout, id.as_str());
    let mut found = Vec::new();
    for path in [layout.creating(id), layout.deleting(id), layout.recording(id)] {
        if files::exists(&path)? {
            found.push(named(&path));
        }
    }
    Ok(found)
}

/// An entry of `volumes/`.
struct Volume {
    name: String,
    /// Bytes on record; read only where they matter.
    bytes: u64,
}

/// Orders volumes by their last use, the longest ago first, where not all unused ones are to go.
fn by_last_use(layout: &Layout, names: Vec<String>, goal: u64) -> Result<Vec<Volume>, PathError> {
    if goal == ALL {
        return Ok(names.into_iter().map(|name| Volume { name, bytes: 0 }).collect());
    }
    let sizes = sizes::of_all(layout)?;
    let volume = |name: String| Volume { bytes: sizes.get(&name).copied().unwrap_or_default(), name };
    let mut volumes: Vec<Volume> = names.into_iter().map(volume).collect();
    volumes.sort_by_cached_key(|volume| volumes::last_use(layout, &volume.name));
    Ok(volumes)
}

/// What no record names: what a clean takes away, and what a dry run tells.
#[derive(Default)]
struct Unused {
    /// Whole layers, by their chain ids.
    layers: Vec<String>,
    /// Entries of `volumes/` that an original's clean was removing.
    condemned: Vec<String>,
    /// Entries of `tmp/` that were kept for images that needed the layer.
    kept: Vec<String>,
}

impl Unused {
    /// Takes layers in the order of `volumes` until they come to `goal` bytes.
    fn of(volumes: &[Volume], staged: &[String], in_use: &HashSet<String>, goal: u64) -> Self {
        let (mut unused, mut bytes) = (Unused::default(), 0_u64);
        for volume in volumes {
            match Entry::of_name(&volume.name) {
                Entry::Layer(layer) if bytes < goal && !in_use.contains(&layer) => {
                    bytes = bytes.saturating_add(volume.bytes);
                    unused.layers.push(layer);
                }
                Entry::Condemned(_) => unused.condemned.push(volume.name.clone()),
                Entry::Layer(_) | Entry::Incomplete(_) => {}
            }
        }
        let is_needless = |name: &&String| volumes::kept_layer(name).is_some_and(|layer| !in_use.contains(layer));
        unused.kept = staged.iter().filter(is_needless).cloned().collect();
        unused
    }
}

/// An entry of `tmp/` as users know it.
fn staging_path(layout: &Layout, name: &str) -> PathBuf {
    layout.root().join("tmp").join(name)
}

/// Takes away what no record names. A create that wrote its record before this has its layers spared; one that comes
/// after it does not find them.
fn retire_unused(
    store: &Store,
    volumes: &[Volume],
    ignore_images: &[String],
    goal: u64,
    removed: &mut Removed,
) -> Result<(), CleanError> {
    let mut retired = Vec::new();
    let result = retire_what_no_record_names(store, volumes, ignore_images, goal, &mut retired, removed);
    // Not under the lock, which creates wait for.
    removed.add_layers(&store.layout, retired)?;
    result
}

fn retire_what_no_record_names(
    store: &Store,
    volumes: &[Volume],
    ignore_images: &[String],
    goal: u64,
    retired: &mut Vec<String>,
    removed: &mut Removed,
) -> Result<(), CleanError> {
    let _session = tracing::debug_span!("garbage-collector-mark-unused").entered();
    let claims = tracing::debug_span!("acquiring-exclusive-lock")
        .in_scope(|| lock::own_whole_within(&store.layout.lock_file(), LOCK_TIMEOUT))?;
    let Some(_claims) = claims else { return Err(LayersClaimed.into()) };
    let (layout, in_use) = (&store.layout, layers_in_use(store, ignore_images)?);
    let staged = entries::names(layout, Place::Staging)?;
    let unused = Unused::of(volumes, &staged, &in_use, goal);
    // Left by dead processes: this one has not taken anything away yet.
    let left = staged.iter().filter(|name| is_retired(layout, name));
    removed.leftovers.extend(left.map(|name| staging_path(layout, name)));
    let retire = |path: &Path| {
        interrupt::watch();
        volumes::retire(store, path)
    };
    let mut failed = FirstError::<CleanError>::none();
    failed.note(each(unused.layers, |layer| retire(&layout.volume(&layer)).map(|_| retired.push(layer))));
    failed.note(each(unused.condemned, |name| {
        retire(&layout.volume(&name)).map(|_| removed.leftovers.push(layout.volume_path(&name)))
    }));
    failed.note(each(unused.kept, |name| {
        retire(&layout.tmp().join(&name)).map(|_| removed.leftovers.push(staging_path(layout, &name)))
    }));
    failed.result()
}

/// Removes layers that were being unpacked by a process that died.
fn remove_incomplete(store: &Store, volumes: &[Volume], removed: &mut Removed) -> Result<(), driver::Error> {
    each(volumes, |Volume { name, .. }| {
        let Entry::Incomplete(layer) = Entry::of_name(name) else { return Ok(()) };
        let Some(_lock) = lock::try_own(&store.layout.lock_file(), &layer)? else { return Ok(()) };
        interrupt::watch();
        volumes::remove(store, &store.layout.volume(name))?;
        removed.leftovers.push(store.layout.volume_path(name));
        Ok(())
    })
}

/// Chain ids that some image needs, or that are to be spared. The totals over all images, where they are kept, are computed
/// anew from the same records.
pub(in crate::store) fn layers_in_use(store: &Store, ignore_images: &[String]) -> Result<HashSet<String>, PathError> {
    match totals::recompute(store)?.filter(|(totals, _)| totals.knows_all_layers()) {
        // Their records have just been read. One that is being deleted is not among them: it may be put back.
        Some((totals, counted)) => {
            let mut others: HashSet<String> = dependencies::recorded_images(&store.layout)?.into_iter().collect();
            counted.iter().for_each(|id| _ = others.remove(id));
            let mut in_use = layers_on_record(store, others, ignore_images)?;
            in_use.extend(totals.into_needed_layers());
            Ok(in_use)
        }
        None => layers_on_record(store, all_images(store)?, ignore_images),
    }
}

/// Images with a record, and those without one, which an original that crashed can leave: they may need any layer.
fn all_images(store: &Store) -> Result<HashSet<String>, PathError> {
    let recorded = dependencies::recorded_images(&store.layout)?;
    Ok(recorded.into_iter().chain(entries::names(&store.layout, Place::Images)?).collect())
}

/// Layers that these images, other stores or `ignore_images` have on record.
fn layers_on_record(
    store: &Store,
    ids: HashSet<String>,
    ignore_images: &[String],
) -> Result<HashSet<String>, PathError> {
    let mut in_use: HashSet<String> = store.registered_layers()?.into_iter().collect();
    for id in ids {
        in_use.extend(needed::layers_of_image(store, &id)?);
    }
    for image in ignore_images {
        match dependencies::read(&store.layout, &dependencies::base_image_key(image)) {
            Ok(layers) => in_use.extend(layers),
            Err(error) => tracing::info!(%error, image, "ignored-image-has-no-record"),
        }
    }
    Ok(in_use)
}

/// Removes layers that were taken away, by this process or one that died, and downloads that an original left.
fn remove_retired(store: &Store) -> Result<(), driver::Error> {
    let _session = tracing::debug_span!("garbage-collector-collect").entered();
    each(entries::names(&store.layout, Place::Staging)?, |name| {
        let path = store.layout.tmp().join(&name);
        if !is_retired(&store.layout, &name) {
            return Ok(());
        }
        interrupt::watch();
        if name.starts_with(DEAD) { store.driver.remove_volume(&path) } else { Ok(remove_tree(&path)?) }
    })
}

/// Whether an entry of `tmp/` is a layer that was taken away, or an original's download that nobody is at work on.
fn is_retired(layout: &Layout, name: &str) -> bool {
    name.starts_with(DEAD) || (name.starts_with("blob-") && is_old(&layout.tmp().join(name)))
}

/// Whether nobody can be at work on it any more: an original may be downloading for as long as the network takes.
pub(in crate::store) fn is_old(path: &Path) -> bool {
    const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);
    let modified = files::status(path).ok().and_then(|metadata| metadata.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > LONG_AGO)
}

/// What another store lends to images that do not exist.
fn release_unknown(store: &Store) -> Result<(), StoreError> {
    let Some(layer_store) = store.layer_store()? else { return Ok(()) };
    Ok(layer_store.release_unknown(store)?)
}

/// Sizes, marks and short names of layers that do not exist.
fn forget_missing_volumes(store: &Store) -> Result<(), driver::Error> {
    let mut layers: Vec<String> = entries::names(&store.layout, Place::Meta)?
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
