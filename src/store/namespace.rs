//! `meta/namespace.json`: the id mappings every image of the store is made with.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::layout::Layout;
use crate::sys::files;
use crate::sys::path_error::OnPath;

/// Mappings as `<namespace id>:<host id>:<size>`, sorted as text.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Namespace {
    uid_mappings: Vec<String>,
    gid_mappings: Vec<String>,
}

impl Namespace {
    /// Reads the mappings of an initialised store.
    pub(super) fn read(layout: &Layout) -> Result<Self, Error> {
        let path = layout.namespace_file();
        let content = fs::read(&path).on("reading namespace file: open", &path)?;
        serde_json::from_slice(&content).map_err(|e| Error::BadNamespaceFile(e.to_string()))
    }

    /// Writes the mappings of a new store, or compares them with those it has.
    pub(super) fn settle(&self, layout: &Layout) -> Result<(), Error> {
        let path = layout.namespace_file();
        if files::exists(&path)? {
            let present = Namespace::read(layout)?;
            return match () {
                () if present.uid_mappings != self.uid_mappings => Err(Error::MappingsDiffer("UID")),
                () if present.gid_mappings != self.gid_mappings => Err(Error::MappingsDiffer("GID")),
                () => Ok(()),
            };
        }
        let mut content = serde_json::to_vec(self).map_err(|e| Error::BadNamespaceFile(e.to_string()))?;
        content.push(b'\n');
        let temporary = layout.tmp().join("namespace.json");
        fs::write(&temporary, content).on("write", &temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).on("chmod", &temporary)?;
        // The store hangs on this file: a power cut must not find its name on disk without its content.
        fs::File::open(&temporary).and_then(|file| file.sync_all()).on("fsync", &temporary)?;
        Ok(fs::rename(&temporary, &path).on("rename", &path)?)
    }

    /// Whether ids are left as they are.
    pub(super) fn is_identity(&self) -> bool {
        self.uid_mappings.is_empty() && self.gid_mappings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_once_and_compared_later() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        fs::create_dir(layout.meta()).unwrap();
        fs::create_dir(layout.tmp()).unwrap();
        Namespace::default().settle(&layout).unwrap();
        let content = fs::read_to_string(layout.namespace_file()).unwrap();
        assert_eq!(content, "{\"uid-mappings\":[],\"gid-mappings\":[]}\n");
        Namespace::default().settle(&layout).unwrap();

        let mapped = Namespace { uid_mappings: vec!["0:1000:1".into()], gid_mappings: Vec::new() };
        assert_eq!(
            mapped.settle(&layout).unwrap_err().to_string(),
            "provided UID mappings do not match those already configured in the store"
        );
    }
}
