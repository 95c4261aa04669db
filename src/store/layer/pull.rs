//! Getting an image's missing layers into the store.
//!
//! Layers are unpacked side by side, each under its own lock into a directory of its own, and published bottom first:
//! a layer may need its parents to resolve what its archive leaves open, and a volume's parents always exist. A failure
//! stops the layers above it; those below are finished and kept.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::fetcher::{self, Fetcher, transport_of_unpacked};
use crate::image::{Image, Layer, digest_hex};
use crate::layout::Layout;
use crate::limits::{Limits, Usage};
use crate::store::Store;
use crate::store::layer::digests;
use crate::store::layer::durability;
use crate::store::layer::error::LayerError;
use crate::store::layer::publish::{self, Filled};
use crate::store::layer::turn::{OwnSource, Waiter};
use crate::store::layer::volumes::{self, VolumeRecord};
use crate::store::on_disk_format::OnDiskFormat;
use crate::sys::files;
use crate::sys::interrupt;
use crate::sys::path_error::PathError;
use crate::sys::space::space_of;
use crate::sys::spawning;
use crate::unpacker::{self, Budget, DecoderMemory, Expected, UnpackFailure, Unpacked};

/// The most threads that build layers; one more for each that is being read does the writing.
const WORKERS: usize = 32;
/// Uncompressed bytes of a layer that may wait for the volume of the layer below it.
const READ_AHEAD: usize = 8 << 20;
/// The same of all layers together.
const READ_AHEAD_OF_ALL: usize = 24 << 20;

/// Bytes that decoders may keep for each layer that is read beside the lowest: the window of zstd(1) as most use it, and of
/// most builders. The lowest layer may have more, as much as a decoder takes.
const WINDOW: u64 = 8 << 20;

/// How layers are to be pulled.
#[derive(Debug)]
pub(in crate::store) struct PullOptions<'a> {
    /// Whether digests and sizes must be what the manifest says.
    pub(in crate::store) verify: bool,
    /// Bytes all layers of this pull may unpack to.
    pub(in crate::store) budget: Option<Budget>,
    /// Inodes all layers of this pull may have.
    pub(in crate::store) inode_budget: Option<Budget>,
    /// The most layers to read side by side.
    pub(in crate::store) readers: NonZeroUsize,
    /// What the image may have.
    pub(in crate::store) limits: &'a Limits,
    /// Whether to record digests of the layers' files.
    pub(in crate::store) digests: bool,
    /// How the layers are written.
    pub(in crate::store) format: &'a OnDiskFormat,
}

/// Bytes that layers may unpack to: what a limit says or, without one, what the store has room for beside a hundredth of
/// itself, for records, images and deletions.
fn room(store: &Store, limits: &Limits) -> Option<Budget> {
    const RESERVE: u64 = 256 << 20;
    if let Some(bytes) = limits.unpacked_bytes {
        return Some(Budget::of_limit(bytes));
    }
    let space = space_of(store.layout.root()).ok()?;
    Some(Budget::of_room(space.available.saturating_sub((space.size / 100).min(RESERVE))))
}

/// What was found of an image's layers.
#[derive(Debug)]
pub(in crate::store) struct UsableLayers {
    /// Which of them can be used as they are.
    pub(in crate::store) present: Vec<bool>,
    /// Whether layers of the store are to be flushed: a process that did so may have been killed.
    pub(in crate::store) has_unflushed: bool,
}

/// Looks which of an image's layers can be used as they are.
///
/// The caller has written the image's record and holds the claims lock: what is found here stays.
pub(in crate::store) fn usable_layers(layout: &Layout, image: &Image) -> Result<UsableLayers, PathError> {
    let unflushed = durability::UnflushedLayers::read(layout)?;
    let is_usable = |layer: &Layer| {
        let is_whole = !unflushed.contains(&layer.chain_id) && volumes::is_present(layout, &layer.chain_id)?;
        Ok(is_whole && volumes::is_of_source(layout, layer)?)
    };
    let present = image.layers.iter().map(is_usable).collect::<Result<_, PathError>>()?;
    Ok(UsableLayers { present, has_unflushed: unflushed.has_fresh() })
}

/// Gets those of an image's layers that are not yet `present` into the store.
pub(in crate::store) fn pull(
    store: &Store,
    fetcher: &Fetcher,
    image: &Image,
    options: &PullOptions<'_>,
    present: Vec<bool>,
) -> Result<(), LayerError> {
    fetcher.use_scratch(&store.layout.tmp());
    Pull::new(store, fetcher, image, options, present).run()
}

/// One image's pull, shared by its workers.
struct Pull<'a> {
    store: &'a Store,
    fetcher: &'a Fetcher,
    layers: &'a [Layer],
    options: &'a PullOptions<'a>,
    usage: Usage,
    /// What the store has room for, where no limit says what the layers may unpack to.
    room: Option<Budget>,
    /// One flag a layer: stop unpacking it.
    cancel: Vec<AtomicBool>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    /// The next layer that no worker has taken.
    next: usize,
    /// How many layers are being read.
    reading: usize,
    /// Bytes that decoders of layers beside the lowest may keep.
    decoders: u64,
    published: Vec<bool>,
    failure: Option<(usize, LayerError)>,
}

impl Progress {
    /// Whether all layers below are there.
    fn is_lowest(&self, index: usize) -> bool {
        self.published[..index].iter().all(|published| *published)
    }
}

impl<'a> Pull<'a> {
    fn new(
        store: &'a Store,
        fetcher: &'a Fetcher,
        image: &'a Image,
        options: &'a PullOptions<'a>,
        published: Vec<bool>,
    ) -> Self {
        Pull {
            store,
            fetcher,
            layers: &image.layers,
            options,
            usage: Usage::new(options.limits),
            room: room(store, options.limits),
            cancel: image.layers.iter().map(|_| AtomicBool::new(false)).collect(),
            progress: Mutex::new(Progress { next: 0, reading: 0, decoders: 0, published, failure: None }),
            changed: Condvar::new(),
        }
    }

    fn run(self) -> Result<(), LayerError> {
        let missing = self.missing();
        let _shown = self.fetcher.observer().filter(|_| !missing.is_empty()).map(|observer| observer.image(&missing));
        let missing = missing.len();
        interrupt::watch();
        let session = tracing::Span::current();
        thread::scope(|scope| {
            // More than read at once: one that has read its layer may have to wait for those below.
            for _ in 1..missing.min(WORKERS) {
                // Without more threads, those there are do all the work.
                let worker = spawning::thread("pull");
                let worker =
                    worker.and_then(|worker| worker.spawn_scoped(scope, || session.in_scope(|| self.run_worker())));
                if let Err(error) = worker {
                    tracing::info!(%error, "pulling-with-fewer-workers");
                    break;
                }
            }
            self.run_worker();
        });
        let progress = self.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        progress.failure.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn missing(&self) -> Vec<&'a Layer> {
        let progress = self.progress();
        let layers = self.layers.iter().zip(&progress.published);
        layers.filter(|(_, published)| !**published).map(|(layer, _)| layer).collect()
    }

    /// Takes layers bottom first. All workers wait only for lower layers, of this process or another, so that the
    /// lowest unfinished layer of all is always being worked on.
    fn run_worker(&self) {
        let _stop = StopOnPanic(self);
        while let Some((index, permit)) = self.next_layer() {
            match self.session(index).in_scope(|| self.pull_layer(index, permit)) {
                Ok(()) => self.publish(index),
                Err(error) => self.fail(index, error),
            }
        }
    }

    /// The next layer, and the permission to read it.
    fn next_layer(&self) -> Option<(usize, ReadPermit<'_, 'a>)> {
        let mut progress = self.progress();
        loop {
            while *progress.published.get(progress.next)? {
                progress.next += 1;
            }
            if progress.reading < self.options.readers.get() {
                progress.reading += 1;
                progress.next += 1;
                return Some((progress.next - 1, ReadPermit(self)));
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn session(&self, index: usize) -> tracing::Span {
        let Layer { blob_id, chain_id, .. } = &self.layers[index];
        let parent = index.checked_sub(1).map_or("", |below| self.layers[below].chain_id.as_str());
        tracing::info_span!("build-layer", blobID = blob_id, chainID = %chain_id, parentChainID = parent)
    }

    fn pull_layer(&self, index: usize, permit: ReadPermit<'_, '_>) -> Result<(), LayerError> {
        match self.pull_layer_once(index, Some(permit)) {
            Err(error) if error.is_wrong_layer() && self.fetcher.disable_alternatives() => {
                tracing::info!(%error, "wrong-layer-is-read-plainly");
                self.pull_layer_once(index, None)
            }
            built => built,
        }
    }

    fn pull_layer_once(&self, index: usize, permit: Option<ReadPermit<'_, '_>>) -> Result<(), LayerError> {
        let layer = &self.layers[index];
        let waiter = LayerWaiter { pull: self, index, progress: RefCell::default() };
        publish::publish_layer(self.store, &layer.chain_id, &waiter, |path| self.unpack(index, path, permit))?;
        // Another process may have published the layer of a file that was there before.
        match volumes::is_of_source(&self.store.layout, layer)? {
            true => Ok(()),
            false => Err(LayerError::SourceReplaced { blob: layer.blob_id.clone() }),
        }
    }

    /// Unpacks a layer, then waits for its parents and settles what depends on them. Returns what is to be on record.
    fn unpack(&self, index: usize, path: &Path, permit: Option<ReadPermit<'_, '_>>) -> Result<Filled, LayerError> {
        let unpacked = self.read(index, path)?;
        drop(permit);
        self.wait_for_parents(index)?;
        self.finish(index, path, unpacked)
    }

    /// Reads a layer and unpacks it meanwhile, in sessions that overlap.
    fn read(&self, index: usize, path: &Path) -> Result<Unpacked, LayerError> {
        let layer = &self.layers[index];
        let downloading = tracing::info_span!("downloading-layer");
        let source =
            downloading.in_scope(|| self.fetcher.open(layer, &self.cancel[index])).map_err(LayerError::Read)?;
        let memory = LayerMemory { pull: self, index, taken: AtomicU64::new(0) };
        let unpacked = tracing::info_span!("unpacking-layer")
            .in_scope(|| unpacker::unpack(source, || self.make_volume(index, path), &self.job(index, &memory)));
        unpacked.map_err(|failure| match failure {
            UnpackFailure::Volume(error) => error,
            UnpackFailure::Layer(error) => LayerError::unpack(&layer.blob_id, error),
        })
    }

    /// Settles what a layer leaves open until its parents are there.
    fn finish(&self, index: usize, path: &Path, unpacked: Unpacked) -> Result<Filled, LayerError> {
        let (layer, volume) = (&self.layers[index], files::open_directory(path)?);
        // Only a layer that leaves something open pays for looking at its parents.
        let below = if unpacked.needs_parents() { &self.layers[..index] } else { &[] };
        let left_out = volumes::left_out(&self.store.layout, if unpacked.links_to_parents() { below } else { &[] })?;
        let parents = open_below(self.store, below)?;
        let parents: Vec<_> = parents.iter().map(AsFd::as_fd).collect();
        let finished = unpacked.finish(volume.as_fd(), &parents, &left_out);
        if layer.diff_id.is_none()
            && let Some(transport) = transport_of_unpacked(volume.as_fd())
        {
            return Err(LayerError::HoldsImage { blob: layer.blob_id.clone(), transport });
        }
        let finished = finished.map_err(|error| LayerError::unpack(&layer.blob_id, error))?;
        Ok(Filled {
            record: VolumeRecord::of_layer(&finished, layer.source),
            digests: match &finished.written {
                Some(written) => digests::list(self.store, volume.as_fd(), written, path)?,
                None => None,
            },
        })
    }

    /// Makes the volume for a layer; where it is to be a copy of its parent, once that is there.
    fn make_volume(&self, index: usize, path: &Path) -> Result<OwnedFd, LayerError> {
        let mut parent = None;
        if self.store.driver.volumes_are_snapshots() {
            self.wait_for_parents(index)?;
            let below = index.checked_sub(1).map(|below| self.layers[below].chain_id.as_str());
            parent = below.map(|below| self.store.layout.volume(below));
        }
        self.store.driver.create_volume(path, parent.as_deref())?;
        if parent.is_none() {
            self.options.format.owner.chown(path)?;
        }
        Ok(files::open_directory(path)?)
    }

    fn job<'j>(&'j self, index: usize, decoder_memory: &'j dyn DecoderMemory) -> unpacker::Layer<'j> {
        let layer = &self.layers[index];
        let expected = Expected {
            blob_digest: (self.options.verify && layer.has_blob_digest).then(|| digest_hex(&layer.blob_id).to_owned()),
            blob_size: layer.size.filter(|_| self.options.verify),
            diff_id: layer.diff_id.clone().filter(|_| self.options.verify),
        };
        unpacker::Layer {
            expected,
            is_unnamed: layer.diff_id.is_none(),
            base_directory: layer.base_directory.as_deref(),
            whiteouts: self.options.format.whiteouts,
            fingerprints: self.options.digests,
            read_ahead: if self.store.driver.volumes_are_snapshots() {
                READ_AHEAD.min(READ_AHEAD_OF_ALL / self.options.readers)
            } else {
                0
            },
            ids: &self.options.format.ids,
            privileged: self.options.format.privileged,
            budget: self.options.budget.as_ref(),
            inode_budget: self.options.inode_budget.as_ref(),
            decoder_memory,
            usage: &self.usage,
            room: self.room.as_ref(),
            cancel: &self.cancel[index],
        }
    }

    fn wait_for_parents(&self, index: usize) -> Result<(), LayerError> {
        let mut progress = self.progress();
        loop {
            if self.is_cancelled(index) {
                return Err(LayerError::Cancelled);
            }
            if progress.is_lowest(index) {
                return Ok(());
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn publish(&self, index: usize) {
        self.progress().published[index] = true;
        self.changed.notify_all();
        if let Some(observer) = self.fetcher.observer() {
            observer.finished(&self.layers[index]);
        }
    }

    /// Keeps the failure of the lowest layer: those above it were cancelled for its sake.
    fn fail(&self, index: usize, error: LayerError) {
        let mut progress = self.progress();
        let is_lowest = progress.failure.as_ref().is_none_or(|(lowest, _)| index < *lowest);
        if is_lowest {
            progress.failure = Some((index, error));
        }
        self.cancel_from(index);
        drop(progress);
        self.changed.notify_all();
    }

    fn cancel_from(&self, index: usize) {
        for cancel in &self.cancel[index..] {
            cancel.store(true, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self, index: usize) -> bool {
        self.cancel[index].load(Ordering::Relaxed) || interrupt::is_requested()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a layer that another process is unpacking.
struct LayerWaiter<'p, 'a> {
    pull: &'p Pull<'a>,
    index: usize,
    progress: RefCell<Option<Box<dyn fetcher::Progress>>>,
}

impl Waiter for LayerWaiter<'_, '_> {
    fn keeps_waiting(&self) -> bool {
        !self.pull.is_cancelled(self.index)
    }

    fn own_source(&self) -> OwnSource {
        let layer = &self.pull.layers[self.index];
        match layer.diff_id {
            Some(_) if !self.pull.options.verify || layer.source.is_some() => OwnSource::Doubtful,
            Some(_) if self.pull.fetcher.is_remote_layer(layer) => OwnSource::Remote,
            Some(_) => OwnSource::Local,
            None => OwnSource::Doubtful,
        }
    }

    fn waits_for(&self, holder: &str) {
        // The one before goes first.
        self.progress.take();
        let observer = self.pull.fetcher.observer();
        *self.progress.borrow_mut() = observer.map(|observer| observer.waiting(&self.pull.layers[self.index], holder));
    }
}

/// The permission to read a layer, until it is dropped. Given bottom first, so that the layers below a layer that waits
/// for them have theirs or are done.
struct ReadPermit<'p, 'a>(&'p Pull<'a>);

impl Drop for ReadPermit<'_, '_> {
    fn drop(&mut self) {
        self.0.progress().reading -= 1;
        self.0.changed.notify_all();
    }
}

/// The memory that a layer's decoder has, until it is dropped. Layers share what [`WINDOW`] allows, but the lowest waits for
/// none of it: those above may wait for it while they keep theirs.
struct LayerMemory<'p, 'a> {
    pull: &'p Pull<'a>,
    index: usize,
    /// What it has of the shared part.
    taken: AtomicU64,
}

impl DecoderMemory for LayerMemory<'_, '_> {
    fn grow_to(&self, bytes: u64) -> io::Result<()> {
        let shared = WINDOW * (self.pull.options.readers.get() as u64 - 1);
        let mut progress = self.pull.progress();
        loop {
            if self.pull.is_cancelled(self.index) {
                return Err(io::Error::other(unpacker::Error::Cancelled));
            }
            let taken = self.taken.load(Ordering::Relaxed);
            if bytes <= taken || progress.is_lowest(self.index) {
                return Ok(());
            }
            let sum = progress.decoders - taken + bytes;
            if sum <= shared {
                progress.decoders = sum;
                self.taken.store(bytes, Ordering::Relaxed);
                return Ok(());
            }
            progress = self.pull.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for LayerMemory<'_, '_> {
    fn drop(&mut self) {
        self.pull.progress().decoders -= self.taken.load(Ordering::Relaxed);
        self.pull.changed.notify_all();
    }
}

/// Has the other workers stop when this one panics, rather than wait for its layer.
struct StopOnPanic<'p, 'a>(&'p Pull<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let progress = self.0.progress();
            self.0.cancel_from(0);
            drop(progress);
            self.0.changed.notify_all();
        }
    }
}

/// The volumes that show what an image has, topmost first. Where a volume begins as a copy of the one below it, the topmost
/// has everything.
pub(in crate::store) fn open_tree(store: &Store, image: &[Layer]) -> Result<Vec<OwnedFd>, PathError> {
    let lowest = if store.driver.volumes_are_snapshots() { image.len().saturating_sub(1) } else { 0 };
    open_below(store, &image[lowest..])
}

/// Volumes of `layers`, topmost first.
pub(in crate::store) fn open_below(store: &Store, layers: &[Layer]) -> Result<Vec<OwnedFd>, PathError> {
    let topmost_first = layers.iter().rev();
    topmost_first.map(|layer| files::open_directory(&store.layout.volume(layer.chain_id.as_str()))).collect()
}
