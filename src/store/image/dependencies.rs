//! Dependency records: which layers an image needs.
//!
//! `meta/dependencies/image:<id>.json` holds a bare JSON array of chain ids, bottom first. It is written before the
//! image's first layer is looked for and removed after the image is gone, so whatever a record names is in use.

use std::path::{Path, PathBuf};

use crate::entries::{self, Place};
use crate::image::ChainId;
use crate::layout::Layout;
use crate::redact;
use crate::sys::files;
use crate::sys::path_error::{PathError, named, reason};

/// Bytes of the largest record that is read: some ten thousand layers.
const LARGEST: u64 = 1 << 20;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such record.
    #[error("image `{0}` not found")]
    Missing(String),
    /// The record is not a list of chain ids.
    #[error("dependency record {0} is damaged: {1}")]
    Damaged(PathBuf, String),
    /// The record or its directory could not be read or written.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Key of an image's record.
pub(in crate::store) fn image_key(id: &str) -> String {
    format!("image:{id}")
}

/// Key of a base image's record: its layers as of the last pull.
pub(in crate::store) fn base_image_key(url: &str) -> String {
    format!("baseimage:{}", redact::address(url))
}

/// Writes the record of `key`, replacing an older one, by way of `temporary`, which is nobody else's.
pub(in crate::store) fn write(
    layout: &Layout,
    temporary: &Path,
    key: &str,
    layers: &[&ChainId],
) -> Result<(), PathError> {
    write_at(&path(layout, key), temporary, layers)
}

/// The same with a note, which `note` makes for so many bytes of room.
pub(in crate::store) fn write_with_note(
    layout: &Layout,
    temporary: &Path,
    key: &str,
    layers: &[&ChainId],
    note: impl FnOnce(usize) -> Vec<u8>,
) -> Result<(), PathError> {
    let path = path(layout, key);
    let content = encode(&path, layers)?;
    let note = note(files::room_for_note(content.len()));
    files::replace_with_note(&path, temporary, &content, &note)
}

/// The note of a record; `None` if it has none, or there is no such record.
pub(in crate::store) fn read_note(layout: &Layout, key: &str) -> Result<Option<Vec<u8>>, PathError> {
    files::read_note(&path(layout, key))
}

/// Writes a record somewhere else.
pub(in crate::store) fn write_at(path: &Path, temporary: &Path, layers: &[&ChainId]) -> Result<(), PathError> {
    files::replace_with_copy(path, temporary, &encode(path, layers)?)
}

fn encode(path: &Path, layers: &[&ChainId]) -> Result<Vec<u8>, PathError> {
    let ids: Vec<&str> = layers.iter().map(|layer| layer.as_str()).collect();
    serde_json::to_vec(&ids).map_err(|e| PathError::new("write", path, e))
}

/// Removes the record of `key`, if there is one.
pub(in crate::store) fn remove(layout: &Layout, key: &str) -> Result<(), PathError> {
    entries::remove_record(&path(layout, key))
}

/// Whether there is a record of `key`, be it damaged.
pub(in crate::store) fn exists(layout: &Layout, key: &str) -> Result<bool, PathError> {
    files::exists(&path(layout, key))
}

/// The chain ids that the record of `key` names.
pub(in crate::store) fn read(layout: &Layout, key: &str) -> Result<Vec<String>, Error> {
    read_at(&path(layout, key))?.ok_or_else(|| Error::Missing(key.to_owned()))
}

/// The same from the copy of the record, which takes one system call, if there is one.
pub(in crate::store) fn read_copy(layout: &Layout, key: &str) -> Result<Vec<String>, Error> {
    let copy = files::read_copy(&path(layout, key));
    copy.and_then(|copy| serde_json::from_slice(&copy).ok()).map_or_else(|| read(layout, key), Ok)
}

/// The same of a record somewhere else; `None` if there is none.
pub(in crate::store) fn read_at(path: &Path) -> Result<Option<Vec<String>>, Error> {
    let content = match files::read_up_to(LARGEST, path) {
        Err(error) if files::is_no_small_file(&error) => {
            return Err(Error::Damaged(named(path), reason(&error.into_source())));
        }
        read => read?,
    };
    let Some(content) = content else { return Ok(None) };
    serde_json::from_slice(&content).map_err(|e| Error::Damaged(named(path), e.to_string()))
}

/// Ids of all images that have a record, finished or not.
pub(in crate::store) fn recorded_images(layout: &Layout) -> Result<Vec<String>, PathError> {
    let names = entries::names(layout, Place::Dependencies)?;
    Ok(names.iter().filter_map(|name| name.strip_prefix("image:")?.strip_suffix(".json")).map(str::to_owned).collect())
}

fn path(layout: &Layout, key: &str) -> PathBuf {
    layout.dependencies().join(Path::new(&format!("{}.json", file_stem(key))))
}

fn file_stem(key: &str) -> String {
    key.replace('/', "__")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn store() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        for name in ["meta", "meta/dependencies", "tmp"] {
            layout.directories().ensure(name).unwrap();
        }
        (directory, layout)
    }

    #[test]
    fn is_a_bare_array_under_the_original_name() {
        let (_directory, layout) = store();
        let layers = [ChainId::new("aaa").unwrap(), ChainId::new("bbb").unwrap()];
        let key = base_image_key("docker:///cfgarden/empty:v0.1.1");
        write(&layout, &layout.recording("x"), &key, &layers.each_ref()).unwrap();
        let file = layout.dependencies().join("baseimage:docker:______cfgarden__empty:v0.1.1.json");
        assert_eq!(fs::read_to_string(file).unwrap(), r#"["aaa","bbb"]"#);
    }

    #[test]
    fn tells_missing_from_damaged() {
        let (_directory, layout) = store();
        assert_eq!(read(&layout, "image:x").unwrap_err().to_string(), "image `image:x` not found");
        fs::write(layout.dependencies().join("image:x.json"), "").unwrap();
        assert!(matches!(read(&layout, "image:x"), Err(Error::Damaged(..))));
    }
}
