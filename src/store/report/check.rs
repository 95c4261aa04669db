//! Checks every rule of a store's layout while others work in it, and heals what can be healed without losing a
//! container's data.
//!
//! A thing that somebody works on is locked, and is no finding. What a check cannot decide is left to people: nothing that
//! an image wrote is removed, and nothing that is not the store's own is touched.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::driver::{RootfsState, recorded_limit};
use crate::entries::{self, Place};
use crate::image::ChainId;
use crate::layout::{self, Layout};
use crate::store::error::FirstError;
use crate::store::garbage;
use crate::store::image::dependencies;
use crate::store::layer::durability;
use crate::store::layer::volumes::{self, Entry};
use crate::store::totals;
use crate::store::{ImageId, MountError, Store, StoreError};
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::{lock, loop_device, mount_point};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is, in one word for programs.
    pub kind: &'static str,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What does not work because of it.
    pub blocks: &'static str,
    /// What to do.
    pub remedy: String,
    /// Whether a repair does that.
    pub is_repairable: bool,
}

/// Between the looks at what was found.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(180)];
/// What a create that has given its answer needs to start the process that flushes.
const FLUSH_STARTS_WITHIN: Duration = Duration::from_secs(1);
const NOTHING: &str = "nothing";
const REPAIR: &str = "grootfs check --repair";
/// The kernel rounds limits, and classic quotas of btrfs let them grow by some nodes.
const LIMIT_TOLERANCE: u64 = 1 << 20;

impl Store {
    /// Looks for what is wrong; nothing is changed.
    ///
    /// What others do meanwhile can be seen half done: a name that is listed may be gone when it is looked at. So a finding
    /// counts only if it is there whenever it is looked for.
    ///
    /// # Errors
    /// If there is no store that could be checked.
    pub fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = self.look()?;
        let sure = self.look_closely()?;
        for pause in PAUSES {
            if findings.is_empty() {
                break;
            }
            thread::sleep(pause);
            let again = self.look()?;
            findings.retain(|finding| again.contains(finding));
        }
        findings.extend(sure);
        Ok(findings)
    }

    /// What takes more than two looks, and is sure once it is found.
    fn look_closely(&self) -> Result<Vec<Finding>, StoreError> {
        if !self.is_complete() {
            return Ok(Vec::new());
        }
        let mut check = Check { store: self, layout: &self.layout, findings: Vec::new() };
        check.driver()?;
        check.flushes()?;
        Ok(check.findings)
    }

    fn is_complete(&self) -> bool {
        layout::DIRECTORIES.into_iter().all(|name| self.layout.root().join(name).is_dir())
    }

    fn look(&self) -> Result<Vec<Finding>, StoreError> {
        let mut check = Check { store: self, layout: &self.layout, findings: Vec::new() };
        if check.directories()? {
            check.settings();
            check.images()?;
            check.mounts()?;
            check.records()?;
            check.layers()?;
            check.staging()?;
            check.strangers()?;
        }
        check.backing_file()?;
        Ok(check.findings)
    }

    /// Heals what can be healed without losing anything, whatever steps fail; the error is the first.
    pub fn repair(&self) -> Result<(), MountError> {
        let mut failed = FirstError::none();
        failed.note(garbage::finish_dead_work(self));
        failed.note(volumes::record_missing_sizes(self));
        failed.note(totals::recompute(self).map(drop));
        failed.note(durability::flush(&self.layout));
        failed.note(self.driver.remove_leftovers(&self.layout));
        failed.note(self.mount_all());
        failed.result()
    }
}

struct Check<'a> {
    store: &'a Store,
    layout: &'a Layout,
    findings: Vec<Finding>,
}

impl Check<'_> {
    /// A finding that a repair sees to.
    fn healable(&mut self, kind: &'static str, subject: String, problem: impl Into<String>) {
        let (subject, problem, remedy) = (shown(subject), problem.into(), REPAIR.to_owned());
        self.findings.push(Finding { kind, subject, problem, blocks: NOTHING, remedy, is_repairable: true });
    }

    /// A finding that somebody has to decide about.
    fn report(
        &mut self,
        kind: &'static str,
        subject: String,
        problem: impl Into<String>,
        blocks: &'static str,
        remedy: impl Into<String>,
    ) {
        let (subject, problem, remedy) = (shown(subject), problem.into(), remedy.into());
        self.findings.push(Finding { kind, subject, problem, blocks, remedy, is_repairable: false });
    }

    fn foreign(&mut self, path: &Path) {
        let subject = path.display().to_string();
        self.report("foreign-entry", subject, "it is not the store's", NOTHING, "move it away");
    }

    /// Names of what is the store's own in one of its directories.
    fn names(&mut self, place: Place) -> Result<Vec<String>, StoreError> {
        let mut names = entries::names(self.layout, place)?;
        names.sort();
        Ok(names)
    }

    fn strangers(&mut self) -> Result<(), StoreError> {
        for place in Place::ALL {
            for path in entries::foreign(self.layout, place)? {
                self.foreign(&path);
            }
        }
        Ok(())
    }

    /// Looks at the store's own directory, and tells whether all that every store has is in it.
    fn directories(&mut self) -> Result<bool, StoreError> {
        let root = self.layout.root();
        let mut missing = Vec::new();
        for name in layout::DIRECTORIES {
            match self.layout.has_directory(name) {
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error.into()),
                Ok(false) | Err(_) => missing.push(name),
            }
        }
        if missing.len() == layout::DIRECTORIES.len() {
            return Err(StoreError::NotInitialised);
        }
        let is_complete = missing.is_empty();
        let owner = fs::metadata(root).on("stat", root)?.uid();
        for name in missing {
            let path = root.join(name).display().to_string();
            self.report("directory-missing", path, "it is not there", "every command", "run grootfs init-store");
        }
        for name in layout::DIRECTORIES {
            let path = root.join(name);
            let Ok(metadata) = files::status(&path) else { continue };
            if metadata.uid() != owner {
                let problem = format!("it belongs to user {} and the store to user {owner}", metadata.uid());
                let remedy = "run grootfs init-store";
                self.report(
                    "wrong-owner",
                    path.display().to_string(),
                    problem,
                    "commands of the store's owner",
                    remedy,
                );
            }
        }
        Ok(is_complete)
    }

    fn settings(&mut self) {
        if let Err(error) = self.store.mappings() {
            let subject = self.layout.namespace_file().display().to_string();
            let remedy = "remove it and run grootfs init-store with the store's mappings";
            self.report("namespace-damaged", subject, error.to_string(), "create", remedy);
        }
    }

    fn images(&mut self) -> Result<(), StoreError> {
        for name in self.names(Place::Images)? {
            let path = self.layout.image(&name);
            match ImageId::new(&name) {
                Ok(id) if self.store.is_image(&name)? => self.image(&id, &path)?,
                _ => self.foreign(&named(&path)),
            }
        }
        Ok(())
    }

    fn image(&mut self, id: &ImageId, path: &Path) -> Result<(), StoreError> {
        let subject = format!("image {id}");
        let again = format!("grootfs delete {id}, then create it again");
        let layers = dependencies::read(self.layout, &dependencies::image_key(id.as_str()));
        let usage = self.store.driver.usage(self.layout, path);
        let state = self.store.driver.rootfs_state(path);
        if !files::exists(path)? {
            return Ok(());
        }
        match layers {
            Ok(layers) => self.layers_of(&subject, &layers, &again)?,
            Err(error) => {
                let blocks = "mounts of the image, and clean of the layers it may need";
                self.report("image-record-damaged", subject.clone(), error.to_string(), blocks, again.clone());
            }
        }
        match (usage, recorded_limit(path)) {
            (Err(error), _) => {
                self.report("image-damaged", subject.clone(), error.to_string(), "stats of the image", again.clone());
            }
            (Ok(usage), Ok(limit)) if limit > 0 && usage.quota.abs_diff(limit) > LIMIT_TOLERANCE => {
                let problem = format!("its limit on record is {limit} bytes and the kernel's {}", usage.quota);
                let remedy = format!("grootfs limit --exclude-image {id} {limit}");
                self.report("limit-differs", subject.clone(), problem, "the limit of the image", remedy);
            }
            _ => {}
        }
        if matches!(state, Ok(RootfsState::Unmounted)) {
            self.healable("image-not-mounted", subject, "its root filesystem is not mounted");
        }
        Ok(())
    }

    fn layers_of(&mut self, subject: &str, layers: &[String], again: &str) -> Result<(), StoreError> {
        let layers_in = self.store.layers_in()?;
        let missing = layers.iter().map(|layer| layers_in.layout.volume(layer)).find(|volume| !volume.is_dir());
        if let Some(volume) = missing {
            let problem = format!("its layer {} is missing", volume.display());
            self.report("layer-missing", subject.to_owned(), problem, "mounts of the image", again);
        }
        Ok(())
    }

    fn mounts(&mut self) -> Result<(), StoreError> {
        for below in mount_point::below(self.layout.root())? {
            let path = self.layout.root().join(&below).display().to_string();
            let names: Vec<&str> = below.iter().filter_map(|name| name.to_str()).collect();
            let remedy = format!("umount {path}");
            match names[..] {
                // What is staged is looked at as a whole.
                ["images", _, "rootfs"] => {}
                ["tmp", staged, "rootfs"] if garbage::staged_image(staged).is_some() => {}
                ["images", ..] => {
                    let problem = "something is mounted in the image";
                    self.report("foreign-mount", path, problem, "delete of the image", remedy);
                }
                _ => {
                    let problem = "something is mounted over a part of the store";
                    self.report("foreign-mount", path, problem, "commands that need what it hides", remedy);
                }
            }
        }
        Ok(())
    }

    fn records(&mut self) -> Result<(), StoreError> {
        for id in dependencies::recorded_images(self.layout)? {
            let Ok(id) = ImageId::new(&id) else { continue };
            let image = self.layout.image(id.as_str());
            if self.is_nobodys(&id.lock_name(), || {
                Ok(!files::exists(&image)? && dependencies::exists(self.layout, &dependencies::image_key(id.as_str()))?)
            })? {
                self.healable(
                    "record-without-image",
                    format!("image {id}"),
                    "a record of it is left, and nothing else",
                );
            }
        }
        for name in self.names(Place::Meta)? {
            let Some(layer) = name.strip_prefix("volume-") else { continue };
            let (volume, record) = (self.layout.volume(layer), self.layout.volume_size(layer));
            if self.is_nobodys(layer, || Ok(!files::exists(&volume)? && files::exists(&record)?))? {
                let subject = self.layout.volume_size(layer).display().to_string();
                self.healable("record-without-layer", subject, "its layer does not exist");
            }
        }
        Ok(())
    }

    fn layers(&mut self) -> Result<(), StoreError> {
        let unflushed = durability::UnflushedLayers::read(self.layout)?;
        for name in self.names(Place::Volumes)? {
            let path = self.layout.volume(&name);
            let subject = path.display().to_string();
            match Entry::of_name(&name) {
                Entry::Condemned(_) => {
                    self.report("layer-half-removed", subject, "an earlier clean was killed", NOTHING, "grootfs clean");
                }
                Entry::Incomplete(layer) => {
                    if self.is_nobodys(&layer, || files::exists(&path))? {
                        self.healable("layer-unfinished", subject, "the process that unpacked it is dead");
                    }
                }
                Entry::Layer(layer) => {
                    if volumes::recorded_size(self.layout, &layer)?.is_none() {
                        self.healable("layer-size-missing", subject.clone(), "its size is not on record");
                    }
                    if ChainId::new(&layer).is_ok_and(|chain_id| unflushed.contains(&chain_id)) {
                        let problem = "it had not been written to disk when the machine went down";
                        let remedy = "none is needed: the next create of it unpacks it again";
                        self.report("layer-unflushed", subject, problem, "images that were made of it", remedy);
                    }
                }
            }
        }
        Ok(())
    }

    fn staging(&mut self) -> Result<(), StoreError> {
        for name in self.names(Place::Staging)? {
            let path = self.layout.tmp().join(&name);
            let subject = path.display().to_string();
            if let Some(id) = garbage::staged_image(&name) {
                let Ok(id) = ImageId::new(id) else { continue };
                if self.is_nobodys(&id.lock_name(), || files::exists(&path))? {
                    self.healable("image-unfinished", subject, "the process that created or deleted it is dead");
                }
            } else if name.starts_with("dead.") && self.is_nobodys(garbage::LOCK, || files::exists(&path))? {
                self.healable("layer-half-removed", subject, "the process that removed it is dead");
            }
        }
        Ok(())
    }

    /// New layers that nobody writes to disk.
    fn flushes(&mut self) -> Result<(), StoreError> {
        let left = || match self.is_anybody_creating()? {
            true => Ok(Vec::new()),
            false => durability::pending(self.layout).map_err(StoreError::from),
        };
        let first: Vec<String> = left()?;
        if first.is_empty() {
            return Ok(());
        }
        thread::sleep(FLUSH_STARTS_WITHIN);
        if left()?.iter().any(|mark| first.contains(mark)) {
            let subject = self.layout.unflushed().display().to_string();
            self.healable("flush-pending", subject, "the process that wrote new layers to disk is dead");
        }
        Ok(())
    }

    fn driver(&mut self) -> Result<(), StoreError> {
        for path in self.store.driver.leftovers(self.layout)? {
            self.healable("driver-leftover", path.display().to_string(), "nothing needs it");
        }
        Ok(())
    }

    fn backing_file(&mut self) -> Result<(), StoreError> {
        let backing = self.layout.backing_file();
        let subject = backing.display().to_string();
        if !files::exists(&backing)? || !self.store.is_mount_point()? {
            return Ok(());
        }
        let Some(device) = loop_device::of_file(&backing)? else {
            let problem = "the store is mounted from something else";
            let remedy = "unmount the store and run grootfs init-store, or move the file away";
            self.report("backing-file-unused", subject, problem, "the data written since, after a reboot", remedy);
            return Ok(());
        };
        let (length, size) = (fs::metadata(&backing).on("stat", &backing)?.len(), device_size(&device.node)?);
        if length / 512 != size / 512 {
            let problem = format!("it has {length} bytes and its loop device {size}");
            self.report("backing-file-resized", subject, problem, NOTHING, "run grootfs init-store");
        }
        Ok(())
    }

    /// Whether nobody works on what has this lock, and it is as `look` finds it while nobody does.
    fn is_nobodys(&self, name: &str, look: impl FnOnce() -> Result<bool, PathError>) -> Result<bool, PathError> {
        let is_held = || lock::is_held(&self.layout.lock_file(), name);
        Ok(!is_held()? && look()? && !is_held()?)
    }

    /// Whether an image is being made: its create starts the process that writes its new layers to disk.
    fn is_anybody_creating(&self) -> Result<bool, StoreError> {
        for id in dependencies::recorded_images(self.layout)? {
            let Ok(id) = ImageId::new(&id) else { continue };
            if lock::is_held(&self.layout.lock_file(), &id.lock_name())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn device_size(node: &Path) -> Result<u64, PathError> {
    let name = node.file_name().unwrap_or_default();
    let path = Path::new("/sys/class/block").join(name).join("size");
    let sectors = fs::read_to_string(&path).on("read", &path)?;
    Ok(sectors.trim_end().parse::<u64>().unwrap_or_default().saturating_mul(512))
}

/// A path as users know it; anything else as it is.
fn shown(subject: String) -> String {
    if subject.starts_with('/') { named(Path::new(&subject)).display().to_string() } else { subject }
}
