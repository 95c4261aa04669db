//! Totals over all images: the sum of their limits, and how many of them need each layer.
//!
//! Reading two records of every image takes far longer than a warm create. So the totals are kept in one file,
//! `meta/totals.json`, by whoever puts an image into `images/` or takes one out of it. The file is made when somebody
//! first asks for totals; where there is none, nobody keeps it.
//!
//! It is never trusted on its word:
//! - It bears the state of the directory `images/` (time of last change, number of entries). A version of the program
//!   that knows no totals leaves it with another state, and the totals are computed anew.
//! - Whoever changes `images/` first makes the file unreadable, then changes, then writes it. A process that dies in
//!   between leaves a file that nobody believes.
//! - Who cannot lock or write it removes it, for which even a full disk has room.
//! - Clean computes it anew.
//!
//! The lock is that of the file, flock(2), for the moment of one rename, or of a computation. No other lock is taken
//! meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::driver::recorded_limit;
use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::store::Store;
use crate::store::image::dependencies::{self, image_key};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::{files, lock};

/// Computing the totals of ten thousand images takes about a tenth of this.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A file larger than this is not read: the store may be a stranger's.
const LARGEST: u64 = 16 << 20;

/// What makes any JSON unreadable.
const TORN: &[u8] = b"\0";

#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// Totals over all images that are in `images/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::store) struct Totals {
    images: State,
    /// Sum of the limits in bytes.
    pub(in crate::store) committed: u64,
    /// Number of images that need a layer, by chain id. Layers that no image needs are not listed.
    layers: BTreeMap<String, u64>,
    /// Images whose layers cannot be told. There the other numbers are not the whole truth.
    unreadable: u64,
}

/// Tells whether entries have come to a directory or gone from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct State {
    modified: (i64, i64),
    links: u64,
    size: u64,
}

impl State {
    fn of(directory: &Path) -> Result<Self, PathError> {
        let stat = files::status(directory)?;
        Ok(State { modified: (stat.mtime(), stat.mtime_nsec()), links: stat.nlink(), size: stat.size() })
    }

    /// Whether one directory of this name came or went since `before`, and nothing else. XFS counts directories as links,
    /// btrfs counts the letters of all names twice.
    fn follows(&self, before: &State, name: &str, change: Change) -> bool {
        let (before, now, step) = match before.links {
            1 => (before.size, self.size, 2 * name.len() as u64),
            links => (links, self.links, 1),
        };
        match change {
            Change::Add => before.checked_add(step) == Some(now),
            Change::Remove => before.checked_sub(step) == Some(now),
        }
    }
}

impl Totals {
    /// The totals of a store: those that are kept, if they are right, or else computed, and kept from then on.
    pub(in crate::store) fn of(store: &Store) -> Result<Self, PathError> {
        let Some(file) = TotalsFile::open(&store.layout, true) else {
            return Ok(Self::compute(store)?.0);
        };
        if let Some(kept) = file.read().filter(|kept| kept.is_current(&store.layout)) {
            return Ok(kept);
        }
        Ok(file.recompute(store)?.0)
    }

    /// Whether an image needs the layer.
    pub(in crate::store) fn needs(&self, layer: &str) -> bool {
        self.layers.contains_key(layer)
    }

    /// Chain ids of all layers that some image needs.
    pub(in crate::store) fn into_needed_layers(self) -> impl Iterator<Item = String> {
        self.layers.into_keys()
    }

    /// Whether the layers of every image are known.
    pub(in crate::store) fn knows_all_layers(&self) -> bool {
        self.unreadable == 0
    }

    /// Reads two records of each image, and returns their ids as well.
    fn compute(store: &Store) -> Result<(Self, Vec<String>), PathError> {
        let images = store.layout.images();
        let mut totals = Totals { images: State::of(&images)?, ..Totals::default() };
        let ids = entries::names(&store.layout, Place::Images)?;
        for id in &ids {
            // One that is damaged is no reason to know nothing of the others.
            let limit = recorded_limit(&images.join(id)).unwrap_or_else(|error| {
                tracing::error!(%error, image = id, "limit-of-image-is-not-counted");
                0
            });
            totals.add(&Share { limit, layers: dependencies::read(&store.layout, &image_key(id)).ok() });
        }
        Ok((totals, ids))
    }

    fn is_current(&self, layout: &Layout) -> bool {
        State::of(&layout.images()).is_ok_and(|state| state == self.images)
    }

    fn add(&mut self, share: &Share) {
        self.committed = self.committed.saturating_add(share.limit);
        let Some(layers) = &share.layers else {
            self.unreadable += 1;
            return;
        };
        for layer in layers {
            *self.layers.entry(layer.clone()).or_default() += 1;
        }
    }

    /// The totals once the image `id` has come or gone; `None` if something else has, too.
    fn after(mut self, layout: &Layout, id: &str, change: Change, share: &Share) -> Option<Self> {
        let now = State::of(&layout.images()).ok()?;
        if !now.follows(&self.images, id, change) {
            return None;
        }
        self.images = now;
        match change {
            Change::Add => self.add(share),
            Change::Remove => self.subtract(share)?,
        }
        Some(self)
    }

    /// `None` if the image cannot have been counted as it is now.
    fn subtract(&mut self, share: &Share) -> Option<()> {
        self.committed = self.committed.checked_sub(share.limit)?;
        for layer in share.layers.as_ref()? {
            let count = self.layers.get_mut(layer)?;
            *count -= 1;
            if *count == 0 {
                self.layers.remove(layer);
            }
        }
        Some(())
    }
}

/// What one image has in the totals.
#[derive(Debug)]
struct Share {
    limit: u64,
    /// `None` if its record cannot be read.
    layers: Option<Vec<String>>,
}

impl Share {
    /// The share of the image `id`, whose directory is `directory` at the moment.
    fn of(layout: &Layout, id: &str, directory: &Path) -> Option<Self> {
        let layers = dependencies::read(layout, &image_key(id)).ok();
        Some(Share { limit: recorded_limit(directory).ok()?, layers })
    }
}

/// Has `publish` move the image `id` from `directory` into `images/`.
pub(in crate::store) fn with_added<T, E>(
    layout: &Layout,
    id: &str,
    directory: &Path,
    publish: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    with_change(layout, id, directory, Change::Add, publish)
}

/// Has `withdraw` move the image `id` out of `images/`.
pub(in crate::store) fn with_removed<T, E>(
    layout: &Layout,
    id: &str,
    withdraw: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    with_change(layout, id, &layout.image(id), Change::Remove, withdraw)
}

fn with_change<T, E>(
    layout: &Layout,
    id: &str,
    directory: &Path,
    change: Change,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let Some(file) = TotalsFile::open(layout, false) else { return work() };
    let before = file.read().filter(|kept| kept.is_current(layout));
    let share = before.as_ref().and_then(|_| Share::of(layout, id, directory));
    let is_torn = file.tear();
    let done = work();
    // Work that failed may be half done.
    let after = before.zip(share).filter(|_| is_torn && done.is_ok());
    let after = after.and_then(|(before, share)| before.after(layout, id, change, &share));
    if !after.is_some_and(|totals| file.write(&totals)) {
        file.remove();
    }
    done
}

/// Computes the totals anew, where they are kept, and tells the log if they were wrong. Returns them and the ids of the
/// images that are in them.
pub(in crate::store) fn recompute(store: &Store) -> Result<Option<(Totals, Vec<String>)>, PathError> {
    let Some(file) = TotalsFile::open(&store.layout, false) else { return Ok(None) };
    let kept = file.read().filter(|kept| kept.is_current(&store.layout));
    let (computed, ids) = file.recompute(store)?;
    if kept.is_some_and(|kept| kept != computed) {
        tracing::error!(error = "they are computed anew", "totals-of-images-were-wrong");
    }
    Ok(Some((computed, ids)))
}

/// Has the totals computed anew by whoever asks next.
pub(in crate::store) fn forget(layout: &Layout) {
    if let Err(error) = files::remove_if_there(&layout.totals_file()) {
        tracing::debug!(%error, "removing-totals-failed");
    }
}

/// What comes of opening the file.
enum Opened {
    /// The file, locked, and its length.
    Here(File, u64),
    /// It was there until it was locked.
    Removed,
    Missing,
}

/// The file, locked.
struct TotalsFile<'a> {
    file: File,
    /// Its length when it was opened.
    length: u64,
    layout: &'a Layout,
}

impl<'a> TotalsFile<'a> {
    /// `None` where there is no file, and where it cannot be used: then it is removed.
    fn open(layout: &'a Layout, create: bool) -> Option<Self> {
        // It may be removed between being opened and being locked.
        for _ in 0..3 {
            match Self::open_once(layout, create) {
                Ok(Opened::Here(file, length)) => return Some(TotalsFile { file, length, layout }),
                Ok(Opened::Removed) => {}
                Ok(Opened::Missing) => return None,
                Err(error) => {
                    tracing::debug!(%error, "opening-totals-failed");
                    forget(layout);
                    return None;
                }
            }
        }
        forget(layout);
        None
    }

    fn open_once(layout: &Layout, create: bool) -> Result<Opened, PathError> {
        let path = layout.totals_file();
        let mut options = File::options();
        options.read(true).write(true).create(create).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Missing),
            opened => opened.on("open", &path)?,
        };
        if !lock::own_file_within(&file, LOCK_TIMEOUT).on("lock", &path)? {
            return Err(PathError::new("lock", &path, io::Error::from(io::ErrorKind::TimedOut)));
        }
        let stat = file.metadata().on("stat", &path)?;
        if !stat.is_file() || stat.len() > LARGEST {
            return Err(PathError::new("read", &path, io::Error::other("it is no file of totals")));
        }
        Ok(if stat.nlink() > 0 { Opened::Here(file, stat.len()) } else { Opened::Removed })
    }

    /// What is in the file, if it is whole.
    fn read(&self) -> Option<Totals> {
        serde_json::from_slice(&files::read_whole((&self.file).take(LARGEST), self.length).ok()?).ok()
    }

    fn recompute(&self, store: &Store) -> Result<(Totals, Vec<String>), PathError> {
        self.tear();
        let computed = Totals::compute(store).inspect_err(|_| self.remove())?;
        if !self.write(&computed.0) {
            self.remove();
        }
        Ok(computed)
    }

    /// Makes the file unreadable.
    fn tear(&self) -> bool {
        self.file.write_all_at(TORN, 0).is_ok()
    }

    fn write(&self, totals: &Totals) -> bool {
        let written = serde_json::to_vec(totals).map_err(io::Error::from).and_then(|content| {
            self.file.set_len(content.len() as u64)?;
            self.file.write_all_at(&content, 0)
        });
        // The store may be full.
        written.inspect_err(|error| tracing::debug!(%error, "keeping-totals-failed")).is_ok()
    }

    fn remove(&self) {
        forget(self.layout);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::driver::overlay_xfs::OverlayXfs;
    use crate::image::ChainId;
    use crate::store::garbage::layers_in_use;
    use crate::sys::caller::Caller;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), Box::new(OverlayXfs::default()), Caller::Root).unwrap();
        for name in ["images", "meta", "tmp", "meta/dependencies"] {
            store.layout.directories().ensure(name).unwrap();
        }
        (directory, store)
    }

    /// An image as it is before it is published.
    fn prepare(store: &Store, id: &str, limit: u64, layers: &[&str]) {
        let layout = &store.layout;
        fs::create_dir(layout.creating(id)).unwrap();
        fs::write(layout.creating(id).join("image_quota"), limit.to_string()).unwrap();
        let chain_ids: Vec<ChainId> = layers.iter().map(|layer| ChainId::new(layer).unwrap()).collect();
        let chain_ids: Vec<&ChainId> = chain_ids.iter().collect();
        dependencies::write(layout, &layout.recording(id), &image_key(id), &chain_ids).unwrap();
    }

    fn publish(store: &Store, id: &str) -> io::Result<()> {
        let layout = &store.layout;
        with_added(layout, id, &layout.creating(id), || fs::rename(layout.creating(id), layout.image(id)))
    }

    fn add(store: &Store, id: &str, limit: u64, layers: &[&str]) {
        prepare(store, id, limit, layers);
        publish(store, id).unwrap();
    }

    fn remove(store: &Store, id: &str) {
        let layout = &store.layout;
        with_removed(layout, id, || fs::rename(layout.image(id), layout.deleting(id))).unwrap();
    }

    /// The kept totals, if they count.
    fn kept(store: &Store) -> Option<Totals> {
        TotalsFile::open(&store.layout, false)?.read().filter(|totals| totals.is_current(&store.layout))
    }

    #[test]
    fn nobody_keeps_what_nobody_asks_for() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        assert!(!store.layout.totals_file().exists());
        recompute(&store).unwrap();
        assert!(!store.layout.totals_file().exists());
    }

    #[test]
    fn once_asked_for_they_are_kept() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a", "b"]);
        assert_eq!(Totals::of(&store).unwrap().committed, 5);
        add(&store, "y", 7, &["b"]);
        let totals = kept(&store).unwrap();
        assert_eq!(totals.committed, 12);
        assert!(totals.needs("a") && totals.needs("b"));
        remove(&store, "x");
        let totals = kept(&store).unwrap();
        assert_eq!(totals.committed, 7);
        assert!(!totals.needs("a") && totals.needs("b"));
        assert_eq!(totals, Totals::compute(&store).unwrap().0);
    }

    #[test]
    fn they_are_read_rather_than_computed() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        Totals::of(&store).unwrap();
        fs::write(store.layout.image("x").join("image_quota"), "6").unwrap();
        assert_eq!(Totals::of(&store).unwrap().committed, 5);
        recompute(&store).unwrap();
        assert_eq!(Totals::of(&store).unwrap().committed, 6);
    }

    #[test]
    fn a_change_by_a_program_that_knows_no_totals_is_seen() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        Totals::of(&store).unwrap();
        prepare(&store, "y", 7, &["b"]);
        fs::rename(store.layout.creating("y"), store.layout.image("y")).unwrap();
        assert_eq!(kept(&store), None);
        assert_eq!(Totals::of(&store).unwrap().committed, 12);
        // At the same moment as one of its own.
        for id in ["z", "another"] {
            prepare(&store, id, 1, &["a"]);
        }
        let layout = &store.layout;
        with_added(layout, "z", &layout.creating("z"), || {
            fs::rename(layout.creating("another"), layout.image("another"))?;
            fs::rename(layout.creating("z"), layout.image("z"))
        })
        .unwrap();
        assert_eq!(kept(&store), None);
        assert_eq!(Totals::of(&store).unwrap().committed, 14);
    }

    #[test]
    fn a_process_that_dies_on_the_way_leaves_nothing_that_is_believed() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        Totals::of(&store).unwrap();
        prepare(&store, "y", 7, &["b"]);
        let layout = &store.layout;
        let died: Result<(), ()> = with_added(layout, "y", &layout.creating("y"), || {
            // Whatever the time of the change is: the file itself says that it does not count.
            let file = File::open(layout.totals_file()).unwrap();
            let mut content = String::new();
            (&file).read_to_string(&mut content).unwrap();
            assert!(serde_json::from_str::<Totals>(&content).is_err(), "{content}");
            Err(())
        });
        assert_eq!((died, kept(&store)), (Err(()), None));
        assert_eq!(Totals::of(&store).unwrap().committed, 5);
        let whole = fs::read(layout.totals_file()).unwrap();
        for length in 0..whole.len() {
            fs::write(layout.totals_file(), &whole[..length]).unwrap();
            assert_eq!(kept(&store), None);
        }
        fs::write(layout.totals_file(), [&whole[..], b"}"].concat()).unwrap();
        assert_eq!(kept(&store), None);
    }

    #[test]
    fn a_lock_that_is_not_to_be_had_delays_for_a_moment_and_costs_the_file() {
        let (_directory, store) = store();
        Totals::of(&store).unwrap();
        let _held = TotalsFile::open(&store.layout, false).unwrap();
        let start = std::time::Instant::now();
        add(&store, "x", 5, &["a"]);
        assert!(start.elapsed() < 10 * LOCK_TIMEOUT);
        assert!(!store.layout.totals_file().exists());
        assert_eq!(Totals::of(&store).unwrap().committed, 5);
    }

    #[test]
    fn clean_spares_the_layers_of_images_that_are_being_made_or_deleted() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        add(&store, "y", 5, &["b"]);
        prepare(&store, "z", 5, &["c"]);
        for is_kept in [false, true] {
            if is_kept {
                Totals::of(&store).unwrap();
            }
            // It may be put back.
            remove(&store, "y");
            let mut layers: Vec<_> = layers_in_use(&store, &[]).unwrap().into_iter().collect();
            layers.sort();
            assert_eq!(layers, ["a", "b", "c"], "{is_kept}");
            let layout = &store.layout;
            with_added(layout, "y", &layout.deleting("y"), || fs::rename(layout.deleting("y"), layout.image("y")))
                .unwrap();
        }
    }

    #[test]
    fn an_image_whose_record_is_damaged_has_a_limit_all_the_same() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        add(&store, "y", 7, &["b"]);
        fs::write(store.layout.dependencies().join("image:x.json"), "[").unwrap();
        let totals = Totals::of(&store).unwrap();
        assert_eq!((totals.committed, totals.knows_all_layers()), (12, false));
        remove(&store, "x");
        let totals = Totals::of(&store).unwrap();
        assert_eq!((totals.committed, totals.knows_all_layers()), (7, true));
    }

    #[test]
    fn what_is_no_file_of_totals_is_replaced() {
        let (_directory, store) = store();
        add(&store, "x", 5, &["a"]);
        let path = store.layout.totals_file();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(Totals::of(&store).unwrap().committed, 5);
        assert!(!path.is_symlink());
        File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(Totals::of(&store).unwrap().committed, 5);
        Totals::of(&store).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < LARGEST);
    }

    #[test]
    fn creates_and_deletes_at_once_lose_nothing() {
        let (_directory, store) = store();
        Totals::of(&store).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..25 {
                        add(store, &format!("{thread}-{n}"), 1, &["a"]);
                        if n % 2 == 0 {
                            remove(store, &format!("{thread}-{n}"));
                        }
                    }
                });
            }
        });
        assert_eq!(Totals::of(&store).unwrap(), Totals::compute(&store).unwrap().0);
        assert_eq!(Totals::of(&store).unwrap().committed, 48);
    }
}
