//! What registries said of images, kept so that it need not be asked again.
//!
//! `meta/documents/<hex>` holds an index, a manifest or a configuration as it was sent, under its own SHA-256, which is
//! compared whenever it is read: one that is torn or tampered with is fetched again. `meta/documents/tag-<hex>` tells
//! what a tag stood for, under the SHA-256 of the tag's name.
//!
//! They are kept once an image's layers are there, and no longer than that: clean removes those of images whose topmost
//! layer is gone. Beyond [`LIMIT`] files or [`LIMIT_BYTES`] the oldest make room.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::entries::{self, Place};
use crate::fetcher::{MetadataCache, Tag};
use crate::image::{self, ManifestOrIndex, chain_ids, digest_hex, is_sha256, parse_config, parse_manifest_or_index};
use crate::layout::{self, Layout};
use crate::store::layer::volumes;
use crate::sys::files;
use crate::sys::owner::Owner;
use crate::sys::path_error::PathError;
use crate::sys::random::random_number;

/// The most files that are kept.
const LIMIT: usize = 1000;
/// The most bytes that are kept.
const LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// A manifest or config that is larger than this is fetched each time.
const LARGEST: u64 = 1024 * 1024;
const TAG: &str = "tag-";
/// A file before its rename. One that a dead process left goes with the next clean.
const NEW: &str = "new-";

/// A tag's record.
#[derive(Deserialize, Serialize)]
struct TagRecord {
    name: String,
    digest: String,
    entity_tag: String,
    server: String,
}

/// The directory of a store's manifest cache.
struct Directory {
    path: PathBuf,
}

impl Directory {
    /// `None` where there is none.
    fn open(layout: &Layout) -> Result<Option<Self>, PathError> {
        match layout.directories().open(layout::MANIFEST_CACHE) {
            Ok(path) => Ok(Some(Directory { path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes it for the store's owner where there is none.
    fn make(layout: &Layout, owner: Owner) -> Result<Self, PathError> {
        layout.directories().ensure_owned(layout::MANIFEST_CACHE, 0o755, owner)?;
        Ok(Directory { path: layout.manifest_cache() })
    }

    /// A file that cannot be read is as good as none: what it held can be fetched again.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        files::read_up_to(LARGEST, &self.path.join(name)).unwrap_or_else(|error| {
            tracing::info!(%error, "reading-document-failed");
            None
        })
    }

    fn read_tag(&self, name: &str) -> Option<TagRecord> {
        serde_json::from_slice(&self.read(name)?).ok()
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), PathError> {
        let temporary = self.path.join(format!("{NEW}{}", random_number()?));
        let written = files::replace(&self.path.join(name), &temporary, content);
        if written.is_err() {
            files::remove_if_there(&temporary)?;
        }
        written
    }

    fn remove(&self, name: &str) -> Result<(), PathError> {
        files::remove_if_there(&self.path.join(name))
    }

    /// Keeps the directory within its limits.
    fn remove_oldest(&self, layout: &Layout) -> Result<(), PathError> {
        let mut entries: Vec<(SystemTime, u64, String)> = Vec::new();
        for name in entries::names(layout, Place::ManifestCache)? {
            // Another create may have made room at the same time.
            let Ok(metadata) = files::status(&self.path.join(&name)) else { continue };
            entries.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), name));
        }
        let (mut count, mut bytes) = (entries.len(), entries.iter().map(|(_, size, _)| size).sum::<u64>());
        entries.sort();
        for (_, size, name) in entries {
            if count <= LIMIT && bytes <= LIMIT_BYTES {
                break;
            }
            self.remove(&name)?;
            (count, bytes) = (count - 1, bytes - size);
        }
        Ok(())
    }
}

/// The manifests and configs of a store, as one create sees them.
pub(in crate::store) struct ManifestCache {
    layout: Layout,
    directory: OnceCell<Option<Directory>>,
    /// What this create has learned: names of files and their contents.
    learned: RefCell<Vec<(String, Vec<u8>)>>,
}

impl ManifestCache {
    /// Those in the store with the layers. Reads nothing yet.
    pub(in crate::store) fn new(layout: &Layout) -> Self {
        ManifestCache { layout: layout.clone(), directory: OnceCell::new(), learned: RefCell::default() }
    }

    /// Writes down what was learned, in a directory of the store's owner. The caller has seen to it that the layers are
    /// there.
    pub(in crate::store) fn keep(&self, owner: Owner) -> Result<(), PathError> {
        let learned = self.learned.take();
        if learned.is_empty() {
            return Ok(());
        }
        let directory = Directory::make(&self.layout, owner)?;
        for (name, content) in learned {
            directory.write(&name, &content)?;
        }
        directory.remove_oldest(&self.layout)
    }

    fn directory(&self) -> Option<&Directory> {
        let open = || {
            Directory::open(&self.layout).unwrap_or_else(|error| {
                tracing::info!(%error, "opening-documents-failed");
                None
            })
        };
        self.directory.get_or_init(open).as_ref()
    }

    fn learn(&self, name: String, content: Vec<u8>) {
        if content.len() as u64 <= LARGEST {
            self.learned.borrow_mut().push((name, content));
        }
    }
}

impl MetadataCache for ManifestCache {
    fn get(&self, digest: &str) -> Option<Vec<u8>> {
        let name = Some(digest_hex(digest)).filter(|_| is_sha256(digest))?;
        let bytes = self.directory()?.read(name)?;
        (hex(&bytes) == name).then_some(bytes)
    }

    fn add(&self, digest: &str, bytes: &[u8]) {
        if is_sha256(digest) {
            self.learn(digest_hex(digest).to_owned(), bytes.to_vec());
        }
    }

    fn tag(&self, name: &str) -> Option<Tag> {
        let record = self.directory()?.read_tag(&tag_file(name))?;
        let TagRecord { name: recorded, digest, entity_tag, server } = record;
        (recorded == name).then_some(Tag { digest, entity_tag, server })
    }

    fn set_tag(&self, name: &str, tag: Tag) {
        let Tag { digest, entity_tag, server } = tag;
        let record = TagRecord { name: name.to_owned(), digest, entity_tag, server };
        if let Ok(content) = serde_json::to_vec(&record) {
            self.learn(tag_file(name), content);
        }
    }
}

/// Removes what is about images whose topmost layer is not there.
pub(in crate::store) fn forget_unneeded(layout: &Layout) -> Result<(), PathError> {
    let Some(directory) = Directory::open(layout)? else { return Ok(()) };
    let names = entries::names(layout, Place::ManifestCache)?;
    let (tags, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with(TAG));
    let needed = needed(layout, &directory, &names)?;
    for name in names.iter().filter(|name| !needed.contains(name.as_str())) {
        directory.remove(name)?;
    }
    for name in tags {
        let tag = directory.read_tag(&name);
        if !tag.is_some_and(|tag| needed.contains(digest_hex(&tag.digest))) {
            directory.remove(&name)?;
        }
    }
    Ok(())
}

/// Names of the manifests whose topmost layer is there, their configurations, and the indexes that lead to them.
fn needed(layout: &Layout, directory: &Directory, names: &[String]) -> Result<HashSet<String>, PathError> {
    let mut needed = HashSet::new();
    let mut indexes = HashMap::new();
    for name in names {
        match directory.read(name).and_then(|bytes| parse_manifest_or_index(&bytes).ok()) {
            Some(ManifestOrIndex::Manifest { config, layers }) if is_sha256(&config.digest) => {
                let config = digest_hex(&config.digest);
                if has_top_layer(layout, directory, config, &layers)? {
                    needed.extend([name.clone(), config.to_owned()]);
                }
            }
            Some(ManifestOrIndex::Index(entries)) => {
                indexes.insert(name, entries);
            }
            _ => {}
        }
    }
    // An index may lead to another.
    let leads = |needed: &HashSet<String>, entries: &[image::Descriptor]| {
        entries.iter().any(|entry| needed.contains(digest_hex(&entry.digest)))
    };
    while let Some(name) = indexes.iter().find_map(|(name, entries)| leads(&needed, entries).then(|| name.to_string()))
    {
        indexes.remove(&name);
        needed.insert(name);
    }
    Ok(needed)
}

fn has_top_layer(
    layout: &Layout,
    directory: &Directory,
    config: &str,
    layers: &[image::Descriptor],
) -> Result<bool, PathError> {
    let Some(config) = directory.read(config).and_then(|bytes| parse_config(&bytes).ok()) else { return Ok(false) };
    let diff_ids = config.diff_ids.iter().map(|id| digest_hex(id));
    let base_directories = layers.iter().map(image::Descriptor::base_directory).chain(std::iter::repeat(None));
    match chain_ids(diff_ids.zip(base_directories)) {
        Ok(chain) => chain.last().map_or(Ok(false), |top| volumes::is_present(layout, top)),
        Err(_) => Ok(false),
    }
}

fn tag_file(name: &str) -> String {
    format!("{TAG}{}", hex(name.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const NAME: &str = "docker.io/library/busybox:latest";

    fn store() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        for name in ["meta", "tmp", "volumes"] {
            layout.directories().ensure(name).unwrap();
        }
        (directory, layout)
    }

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex(bytes))
    }

    fn keep(layout: &Layout, fill: impl FnOnce(&ManifestCache)) {
        let cache = ManifestCache::new(layout);
        fill(&cache);
        cache.keep(Owner::default()).unwrap();
    }

    #[test]
    fn what_was_learned_is_known_afterwards_and_not_before_it_is_kept() {
        let (_directory, layout) = store();
        let tag = Tag { digest: digest(b"{}"), entity_tag: "\"e\"".into(), server: "h:1".into() };
        let cache = ManifestCache::new(&layout);
        cache.add(&digest(b"{}"), b"{}");
        cache.set_tag(NAME, tag.clone());
        assert_eq!((cache.get(&digest(b"{}")), cache.tag(NAME)), (None, None));
        cache.keep(Owner::default()).unwrap();
        let cache = ManifestCache::new(&layout);
        assert_eq!((cache.get(&digest(b"{}")), cache.tag(NAME)), (Some(b"{}".to_vec()), Some(tag)));
        assert_eq!(cache.tag("docker.io/library/busybox:other"), None);
        assert_eq!(files::names(&layout.manifest_cache()).unwrap().len(), 2);
    }

    #[test]
    fn damage_is_as_good_as_nothing() {
        let (_directory, layout) = store();
        keep(&layout, |cache| {
            cache.add(&digest(b"{}"), b"{}");
            cache.set_tag(NAME, Tag::default());
        });
        for damage in ["", "{\"name\":\"", "{ }"] {
            for name in files::names(&layout.manifest_cache()).unwrap() {
                fs::write(layout.manifest_cache().join(name), damage).unwrap();
            }
            let cache = ManifestCache::new(&layout);
            assert_eq!((cache.get(&digest(b"{}")), cache.tag(NAME)), (None, None));
        }
        assert_eq!(ManifestCache::new(&layout).get("sha256:../../namespace.json"), None);
    }

    /// Config, manifest and index of an image with one layer.
    fn documents(diff_id: &str) -> [Vec<u8>; 3] {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
        );
        let manifest = format!(r#"{{"config":{{"digest":"{}"}},"layers":[]}}"#, digest(config.as_bytes()));
        let inner = format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, digest(manifest.as_bytes()));
        [config, manifest, inner].map(String::into_bytes)
    }

    #[test]
    fn documents_go_with_the_topmost_layer() {
        let (_directory, layout) = store();
        let there = documents("aa");
        let gone = documents("bb");
        let outer = format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, digest(&there[2])).into_bytes();
        keep(&layout, |cache| {
            for bytes in there.iter().chain(&gone).chain([&outer, &b"nonsense".to_vec()]) {
                cache.add(&digest(bytes), bytes);
            }
            cache.set_tag("there", Tag { digest: digest(&outer), ..Tag::default() });
            cache.set_tag("gone", Tag { digest: digest(&gone[2]), ..Tag::default() });
        });
        assert_eq!(files::names(&layout.manifest_cache()).unwrap().len(), 10);
        fs::create_dir(layout.volume("aa")).unwrap();
        forget_unneeded(&layout).unwrap();
        let mut left = files::names(&layout.manifest_cache()).unwrap();
        left.sort();
        let mut expected: Vec<String> = there.iter().chain([&outer]).map(|bytes| hex(bytes)).collect();
        expected.push(tag_file("there"));
        expected.sort();
        assert_eq!(left, expected);
        fs::remove_dir(layout.volume("aa")).unwrap();
        forget_unneeded(&layout).unwrap();
        assert_eq!(files::names(&layout.manifest_cache()).unwrap(), [""; 0]);
    }

    #[test]
    fn no_link_is_followed() {
        let (_directory, layout) = store();
        let elsewhere = tempfile::tempdir().unwrap();
        let kept = || files::names(elsewhere.path()).unwrap();
        fs::write(elsewhere.path().join("precious"), "").unwrap();
        let learned = || {
            let cache = ManifestCache::new(&layout);
            cache.add(&digest(b"{}"), b"{}");
            cache
        };
        let documents = layout.root().join(layout::MANIFEST_CACHE);
        symlink(elsewhere.path(), &documents).unwrap();
        assert!(learned().keep(Owner::default()).is_err());
        assert!(forget_unneeded(&layout).is_err());
        fs::remove_file(&documents).unwrap();
        let (meta, aside) = (layout.root().join("meta"), layout.root().join("aside"));
        fs::rename(&meta, &aside).unwrap();
        symlink(&aside, &meta).unwrap();
        layout.directories().close();
        symlink(elsewhere.path(), aside.join("documents")).unwrap();
        assert!(learned().keep(Owner::default()).is_err());
        assert!(forget_unneeded(&layout).is_err());
        assert_eq!(kept(), ["precious"]);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let (_directory, layout) = store();
        keep(&layout, |cache| cache.add(&digest(b"{}"), b"{}"));
        let name = layout.root().join(layout::MANIFEST_CACHE).join(hex(b"{}"));
        fs::remove_file(&name).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&name).status().unwrap().success());
        assert_eq!(ManifestCache::new(&layout).get(&digest(b"{}")), None);
        fs::remove_file(&name).unwrap();
        fs::write(layout.root().join("same"), "{}").unwrap();
        symlink(layout.root().join("same"), &name).unwrap();
        assert_eq!(ManifestCache::new(&layout).get(&digest(b"{}")), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let (_directory, layout) = store();
        layout.directories().ensure(layout::MANIFEST_CACHE).unwrap();
        let large = vec![b' '; LARGEST as usize];
        for n in 0..LIMIT + 5 {
            let path = layout.manifest_cache().join(format!("{n:064}"));
            let file = fs::File::create(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64)).unwrap();
        }
        keep(&layout, |cache| cache.add(&digest(b"{}"), b"{}"));
        let names = files::names(&layout.manifest_cache()).unwrap();
        assert_eq!(names.len(), LIMIT);
        assert!(
            !names.contains(&format!("{:064}", 5))
                && names.contains(&format!("{:064}", 6))
                && names.contains(&hex(b"{}"))
        );
        keep(&layout, |cache| {
            for n in 0..20u8 {
                let mut bytes = large.clone();
                bytes[0] = n;
                cache.add(&digest(&bytes), &bytes);
            }
        });
        assert!(files::names(&layout.manifest_cache()).unwrap().len() <= 16);
        keep(&layout, |cache| cache.add(&digest(&[&large[..], b" "].concat()), &[&large[..], b" "].concat()));
        assert!(files::names(&layout.manifest_cache()).unwrap().len() <= 16, "too large to be kept");
    }
}
