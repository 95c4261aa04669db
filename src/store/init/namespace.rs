//! `meta/namespace.json`: the id mappings every image of the store is made with.

use std::io;

use serde::{Deserialize, Serialize};

use crate::idmap::{IdMap, IdMappings};
use crate::layout::Layout;
use crate::store::init::seal;
use crate::store::{InitError, StoreError};
use crate::sys::caller::Caller;
use crate::sys::files;
use crate::sys::path_error::PathError;

/// Mappings as `<namespace id>:<host id>:<size>`, sorted as text.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Namespace {
    uid_mappings: Vec<String>,
    gid_mappings: Vec<String>,
}

impl Namespace {
    fn of(mappings: &IdMappings) -> Self {
        let texts = |map: &IdMap| {
            let mut texts: Vec<String> = map.ranges().iter().map(ToString::to_string).collect();
            texts.sort();
            texts
        };
        Namespace { uid_mappings: texts(&mappings.uids), gid_mappings: texts(&mappings.gids) }
    }

    fn read(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.namespace_file();
        let Some(content) = files::read_small(&path)? else {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(PathError::new("reading namespace file: open", &path, missing).into());
        };
        serde_json::from_slice(&content).map_err(|e| StoreError::BadNamespaceFile { path, reason: e.to_string() })
    }

    fn write(&self, layout: &Layout) -> Result<(), PathError> {
        let (path, temporary) = (layout.namespace_file(), layout.tmp().join("namespace.json"));
        files::replace_flushed(&path, &temporary, &self.content(), 0o755)
    }

    fn content(&self) -> Vec<u8> {
        // Lists of texts can be written as JSON, whatever they say.
        let mut content = serde_json::to_vec(self).unwrap_or_default();
        content.push(b'\n');
        content
    }
}

/// The mappings of an initialised store. Root acts on nobody else's word.
pub(in crate::store) fn mappings(layout: &Layout, caller: Caller) -> Result<IdMappings, StoreError> {
    let namespace = Namespace::read(layout)?;
    if caller == Caller::Root && !seal::is_trusted(layout, seal::NAMESPACE, &namespace.content())? {
        return Err(StoreError::UntrustedNamespaceFile { path: layout.namespace_file() });
    }
    let map = |kind, texts: &[String]| {
        IdMap::recorded(texts).map_err(|error| StoreError::BadNamespaceFile {
            path: layout.namespace_file(),
            reason: format!("invalid {kind} mappings format: {error}"),
        })
    };
    Ok(IdMappings { uids: map("uid", &namespace.uid_mappings)?, gids: map("gid", &namespace.gid_mappings)? })
}

/// Compares the mappings of a store that has been initialised before. What its seal says counts, for its owner can write
/// the file; stores that were made before there were seals have none.
pub(in crate::store) fn check(layout: &Layout, mappings: &IdMappings) -> Result<(), InitError> {
    let wanted = Namespace::of(mappings);
    let is_initialised = files::exists(&layout.namespace_file())?;
    if !is_initialised || seal::is_sealed(layout, seal::NAMESPACE, &wanted.content())? {
        return Ok(());
    }
    let present = Namespace::read(layout)?;
    match () {
        () if present.uid_mappings != wanted.uid_mappings => Err(InitError::MappingsDiffer { kind: "UID" }),
        () if present.gid_mappings != wanted.gid_mappings => Err(InitError::MappingsDiffer { kind: "GID" }),
        () => Ok(()),
    }
}

/// Records and seals the mappings of a store that [`check`] has found to be new, or to have these.
pub(in crate::store) fn record(layout: &Layout, mappings: &IdMappings) -> Result<(), PathError> {
    let wanted = Namespace::of(mappings);
    seal::seal(layout, seal::NAMESPACE, &wanted.content())?;
    match Namespace::read(layout) {
        Ok(present) if present == wanted => Ok(()),
        _ => wanted.write(layout),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mapped(uids: &[&str]) -> IdMappings {
        let ranges = uids.iter().map(|text| text.parse().unwrap()).collect();
        IdMappings { uids: IdMap::new(ranges).unwrap(), gids: IdMap::default() }
    }

    fn store() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        layout.directories().ensure("meta").unwrap();
        layout.directories().ensure("tmp").unwrap();
        (directory, layout)
    }

    #[test]
    fn is_compared_with_what_is_asked_for() {
        let (_directory, layout) = store();
        check(&layout, &mapped(&["0:1000:1"])).unwrap();
        Namespace::of(&IdMappings::identity()).write(&layout).unwrap();
        let content = fs::read_to_string(layout.namespace_file()).unwrap();
        assert_eq!(content, "{\"uid-mappings\":[],\"gid-mappings\":[]}\n");
        check(&layout, &IdMappings::identity()).unwrap();
        assert_eq!(
            check(&layout, &mapped(&["0:1000:1"])).unwrap_err().to_string(),
            "provided UID mappings do not match those already configured in the store"
        );
    }

    #[test]
    fn the_order_of_mappings_does_not_matter_and_they_are_sorted_as_text() {
        let (_directory, layout) = store();
        Namespace::of(&mapped(&["1:100000:65000", "0:1000:1"])).write(&layout).unwrap();
        let content = fs::read_to_string(layout.namespace_file()).unwrap();
        assert_eq!(content, "{\"uid-mappings\":[\"0:1000:1\",\"1:100000:65000\"],\"gid-mappings\":[]}\n");
        check(&layout, &mapped(&["0:1000:1", "1:100000:65000"])).unwrap();
        assert_eq!(mappings(&layout, Caller::User).unwrap().uid(4000), Ok(103_999));
    }

    #[test]
    fn what_is_no_mapping_is_named() {
        let (_directory, layout) = store();
        fs::write(layout.namespace_file(), r#"{"uid-mappings":["0:1"],"gid-mappings":[]}"#).unwrap();
        let message = mappings(&layout, Caller::User).unwrap_err().to_string();
        assert!(message.starts_with("invalid namespace file: invalid uid mappings format: `0:1`"), "{message}");
    }
}
