//! Archives of `docker save` and of skopeo's `docker-archive:`. `manifest.json` lists the images in it, each with its
//! config and its layers, bottom first; layers are known by the digests in the config alone.

use std::io::Read;

use serde::Deserialize;

use super::image_archive::ImageArchive;
use super::{Error, Options, metadata};
use crate::image::{Descriptor, DockerReference, Image, Layer, Reference};

const MANIFEST: &str = "manifest.json";
/// Most names of images that a message lists.
const NAMES: usize = 10;

/// One image of an archive.
#[derive(Debug)]
pub(super) struct DockerArchive {
    archive: ImageArchive,
    /// `name:tag`, or `@` and the image's position.
    reference: Option<String>,
    /// Bytes that a manifest or configuration may have.
    document_limit: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Whether a document is such a list of images.
pub(super) fn is_manifest(json: &[u8]) -> bool {
    !configs(json).is_empty()
}

/// The configs that such a list names; none if it is something else.
pub(super) fn configs(json: &[u8]) -> Vec<String> {
    let entries: Vec<Entry> = serde_json::from_slice(json).unwrap_or_default();
    entries.into_iter().map(|entry| entry.config).collect()
}

impl DockerArchive {
    pub(super) fn new(archive: ImageArchive, reference: Option<&str>, options: &Options) -> Self {
        let document_limit = options.transfer_limits.manifest_bytes;
        DockerArchive { archive, reference: reference.map(str::to_owned), document_limit }
    }

    /// Describes the image.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let bad = |reason: String| Error::BadManifest(self.archive.path().join(MANIFEST).display().to_string(), reason);
        let manifest = self.archive.read_document(MANIFEST, self.document_limit).map_err(Error::ManifestOrIndex)?;
        let entries: Vec<Entry> =
            serde_json::from_slice(&manifest).map_err(|error| bad(metadata::flat(&error.to_string())))?;
        let entry = self.choose(entries)?;
        let config = self
            .archive
            .read_document(&entry.config, self.document_limit)
            .map_err(|error| Error::BadConfig(error.to_string()))?;
        let files = entry.layers.unwrap_or_default();
        let descriptors = files.iter().map(|file| Descriptor { digest: file.clone(), ..Descriptor::default() });
        let mut image = metadata::image(&config, descriptors.collect())?;
        for (layer, file) in image.layers.iter_mut().zip(&files) {
            layer.size =
                Some(self.archive.size(file).ok_or_else(|| bad(format!("layer `{file}` is not in the archive")))?);
            layer.has_blob_digest = false;
        }
        Ok(image)
    }

    /// See [`ImageArchive::takes_much_memory`].
    pub(super) fn takes_much_memory(&self) -> bool {
        self.archive.takes_much_memory()
    }

    pub(super) fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, Error> {
        self.archive.open_member(&layer.blob_id).map_err(|error| Error::Blob(layer.blob_id.clone(), error))
    }

    fn choose(&self, mut entries: Vec<Entry>) -> Result<Entry, Error> {
        let names = || entries.iter().flat_map(|entry| entry.repo_tags.iter().flatten()).cloned().collect::<Vec<_>>();
        let position = match &self.reference {
            None if entries.len() == 1 => Some(0),
            None => return Err(Error::Ambiguous { count: entries.len(), names: listed(&names()) }),
            Some(reference) => match reference.strip_prefix('@') {
                Some(position) => position.parse().ok().filter(|position| *position < entries.len()),
                None => entries.iter().position(|entry| has_name(entry, reference)),
            },
        };
        match position {
            Some(position) => Ok(entries.swap_remove(position)),
            None => Err(Error::NoSuchName(self.reference.clone().unwrap_or_default(), listed(&names()))),
        }
    }
}

fn has_name(entry: &Entry, reference: &str) -> bool {
    let wanted = full_name(reference);
    entry.repo_tags.iter().flatten().any(|name| name == reference || wanted.is_some() && full_name(name) == wanted)
}

/// `busybox` as `docker.io/library/busybox:latest`.
fn full_name(name: &str) -> Option<DockerReference> {
    match Reference::parse(&format!("docker:///{name}")) {
        Ok(Reference::Docker(reference)) => Some(reference),
        _ => None,
    }
}

/// Names for a message, not too many.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_full() {
        let entry = |tags: &[&str]| Entry {
            config: String::new(),
            repo_tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
            layers: None,
        };
        for (tag, wanted, expected) in [
            ("busybox:latest", "busybox", true),
            ("busybox:latest", "docker.io/library/busybox:latest", true),
            ("docker.io/library/busybox:1.36", "busybox:1.36", true),
            ("busybox:1.36", "busybox", false),
            ("host.example:5000/a:b", "host.example:5000/a:b", true),
            ("not A name", "not A name", true),
        ] {
            assert_eq!(has_name(&entry(&[tag]), wanted), expected, "{tag} {wanted}");
        }
    }

    #[test]
    fn a_web_application_has_another_manifest() {
        assert!(is_manifest(br#"[{"Config":"c.json","RepoTags":null,"Layers":[]}]"#));
        for json in ["[]", "{}", r#"{"name":"app"}"#, r#"[{"name":"x"}]"#, ""] {
            assert!(!is_manifest(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn no_message_lists_more_than_ten_names() {
        let names: Vec<String> = (0..13).map(|number| format!("n{number}")).collect();
        assert!(listed(&names).ends_with("n9 and 3 more"));
        assert_eq!(listed(&names[..2]), "n0, n1");
        assert!(listed(&names[..10]).ends_with("n9"));
    }
}
