//! Archives of `docker save` and of skopeo's `docker-archive:`. `manifest.json` lists the images in it, each with its
//! config and its layers, bottom first; layers are known by the digests in the config alone.

use std::io::Read;
use std::path::Path;

use super::image_archive::ImageArchive;
use super::{Error, Options, metadata};
use crate::image::json::Json;
use crate::image::{Descriptor, DockerReference, Image, Layer, Reference};

pub(super) const MANIFEST: &str = "manifest.json";
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

#[derive(Debug, Default)]
struct Entry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Whether a document is meant as such a list of images, be it a broken one: a web application has another `manifest.json`.
pub(super) fn is_manifest(json: &[u8]) -> bool {
    let text = String::from_utf8_lossy(json);
    let elements = Json::parse(&text).ok().filter(|json| json.is_list()).and_then(|json| json.elements(MANIFEST).ok());
    elements.is_some_and(|elements| !elements.is_empty() && elements.into_iter().all(is_entry))
}

fn is_entry(json: Json<'_>) -> bool {
    let mut is_entry = !json.is_some();
    let read = json.members(MANIFEST, |name, _| {
        is_entry |= matches!(name, "config" | "repotags" | "layers");
        Ok(())
    });
    read.is_ok() && is_entry
}

/// The configs that such a list names; none if it is something else.
pub(super) fn configs(json: &[u8]) -> Vec<String> {
    entries(json).unwrap_or_default().into_iter().map(|entry| entry.config).collect()
}

fn entries(json: &[u8]) -> Result<Vec<Entry>, String> {
    let text = String::from_utf8_lossy(json);
    let json = Json::parse(&text).map_err(|error| metadata::flat(&error.to_string()))?;
    json.elements("the list of images")?.into_iter().map(Entry::decode).collect()
}

impl Entry {
    fn decode(json: Json<'_>) -> Result<Self, String> {
        let mut entry = Entry::default();
        json.members("an image", |name, value| match name {
            "config" => value.text_into(&mut entry.config, "Config"),
            "repotags" => value.texts("RepoTags").map(|tags| entry.repo_tags = tags),
            "layers" => value.texts("Layers").map(|layers| entry.layers = layers),
            _ => Ok(()),
        })?;
        match entry.config.is_empty() {
            true => Err("an image has no Config".to_owned()),
            false => Ok(entry),
        }
    }
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
        let entry = self.choose(entries(&manifest).map_err(bad)?)?;
        let config = self
            .archive
            .read_document(&entry.config, self.document_limit)
            .map_err(|error| Error::BadConfig(error.to_string()))?;
        let files = entry.layers;
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

    /// See [`ImageArchive::use_scratch`].
    pub(super) fn use_scratch(&self, directory: &Path) {
        self.archive.use_scratch(directory);
    }

    pub(super) fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, Error> {
        self.archive.open_member(&layer.blob_id).map_err(|error| Error::Blob(layer.blob_id.clone(), error))
    }

    fn choose(&self, mut entries: Vec<Entry>) -> Result<Entry, Error> {
        let names = || entries.iter().flat_map(|entry| &entry.repo_tags).cloned().collect::<Vec<_>>();
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
    entry.repo_tags.iter().any(|name| name == reference || wanted.is_some() && full_name(name) == wanted)
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
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            layers: Vec::new(),
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
        for json in
            ["[]", "{}", r#"{"name":"app"}"#, r#"[{"name":"x"}]"#, "", "null", "[1]", r#"[{"config":"c"},{"x":1}]"#]
        {
            assert!(!is_manifest(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn lists_are_read_as_docker_reads_them_and_broken_ones_are_told() {
        for json in [
            r#"[{"config":"c","layers":["l"]}]"#,
            r#"[{"Config":"x","Config":"c","Layers":["l"]}]"#,
            r#"[{"Config":"c","RepoTags":[null],"Layers":["l"],"Parent":7}]"#,
        ] {
            let read = entries(json.as_bytes()).unwrap();
            assert!(is_manifest(json.as_bytes()), "{json}");
            assert_eq!((read[0].config.as_str(), &read[0].layers[..]), ("c", &["l".to_owned()][..]), "{json}");
        }
        for (json, reason) in [
            ("[null]", "an image has no Config"),
            (r#"[{"Layers":[null]}]"#, "an image has no Config"),
            (r#"[{"Config":7}]"#, "Config is not a string"),
            (r#"[{"Config":"c","Layers":"l"}]"#, "Layers is not a list"),
        ] {
            assert!(is_manifest(json.as_bytes()), "{json}");
            assert_eq!(entries(json.as_bytes()).unwrap_err(), reason, "{json}");
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
