//! OCI image layouts, made right or wrong in any one place.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::archive::{gzip, zstd};

/// Media type of a gzip layer.
pub const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Media type of a zstd layer.
pub const ZSTD_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const BASE_DIRECTORY: &str = "org.cloudfoundry.experimental.image.base-directory";

/// A layer: the blob that is written, and what manifest and config say about it.
#[derive(Clone)]
pub struct Layer {
    /// The bytes of the blob file; `None` leaves the file out.
    pub blob: Option<Vec<u8>>,
    /// Name of the blob file.
    pub digest: String,
    /// What the config says about the unpacked bytes.
    pub diff_id: String,
    /// The descriptor's size; `None` leaves it out.
    pub size: Option<u64>,
    /// The descriptor's media type.
    pub media_type: String,
    /// The descriptor's annotations.
    pub annotations: Vec<(String, String)>,
    /// The descriptor's `urls`; none leaves them out.
    pub urls: Vec<String>,
}

impl Layer {
    /// A gzip layer of an archive, right in every respect.
    pub fn new(archive: Vec<u8>) -> Self {
        Layer::packed(&archive, gzip(&archive), GZIP_LAYER)
    }

    /// A zstd layer.
    pub fn zstd(archive: Vec<u8>) -> Self {
        Layer::packed(&archive, zstd(&archive), ZSTD_LAYER)
    }

    /// A layer that is not compressed.
    pub fn plain(archive: Vec<u8>) -> Self {
        Layer::packed(&archive, archive.clone(), "application/vnd.oci.image.layer.v1.tar")
    }

    /// A layer of an archive that is packed somehow.
    pub fn packed(archive: &[u8], blob: Vec<u8>, media_type: &str) -> Self {
        Layer {
            digest: format!("sha256:{}", sha256_hex(&blob)),
            diff_id: format!("sha256:{}", sha256_hex(archive)),
            size: Some(blob.len() as u64),
            blob: Some(blob),
            media_type: media_type.to_owned(),
            annotations: Vec::new(),
            urls: Vec::new(),
        }
    }

    /// The same layer under another media type.
    pub fn media_type(mut self, media_type: &str) -> Self {
        self.media_type = media_type.to_owned();
        self
    }

    /// The same layer, unpacked below a directory of the image.
    pub fn base_directory(mut self, directory: &str) -> Self {
        self.annotations.push((BASE_DIRECTORY.to_owned(), directory.to_owned()));
        self
    }

    /// The same layer, to be had elsewhere too.
    pub fn urls(mut self, urls: &[String]) -> Self {
        self.urls.extend_from_slice(urls);
        self
    }

    /// Other bytes under the digest of the right ones.
    pub fn replace_blob(mut self, bytes: Vec<u8>) -> Self {
        self.blob = Some(bytes);
        self
    }

    fn descriptor(&self) -> Value {
        let mut descriptor = json!({ "mediaType": self.media_type, "digest": self.digest });
        if let Some(size) = self.size {
            descriptor["size"] = size.into();
        }
        if !self.urls.is_empty() {
            descriptor["urls"] = json!(self.urls);
        }
        for (key, value) in &self.annotations {
            descriptor["annotations"][key] = value.as_str().into();
        }
        descriptor
    }
}

type Edit = Box<dyn FnOnce(&mut Value)>;

/// An image to be written as a layout. The edits see each document just before it is written, so that digests stay
/// right unless an edit is about them.
#[derive(Default)]
pub struct Image {
    layers: Vec<Layer>,
    config: Value,
    edit_config: Option<Edit>,
    edit_manifest: Option<Edit>,
    edit_index: Option<Edit>,
}

impl Image {
    /// No layers yet.
    pub fn new() -> Self {
        Image { config: json!({}), ..Image::default() }
    }

    /// Adds a layer on top.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// The image's environment.
    pub fn env(mut self, env: &[&str]) -> Self {
        self.config["Env"] = env.into();
        self
    }

    /// The image's volumes.
    pub fn volume(mut self, path: &str) -> Self {
        self.config["Volumes"][path] = json!({});
        self
    }

    /// Changes the config.
    pub fn edit_config(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.edit_config = Some(Box::new(edit));
        self
    }

    /// Changes the manifest.
    pub fn edit_manifest(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.edit_manifest = Some(Box::new(edit));
        self
    }

    /// Changes the index.
    pub fn edit_index(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.edit_index = Some(Box::new(edit));
        self
    }

    /// Chain ids of the layers, bottom first.
    pub fn chain_ids(&self) -> Vec<String> {
        chain_ids(self.layers.iter().map(|layer| layer.diff_id.as_str()))
    }

    /// Digests of the layers' blobs, bottom first.
    pub fn layer_digests(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.digest.clone()).collect()
    }

    /// Writes the layout and returns the image's URL.
    pub fn write(self, layout: &Path, name: &str) -> String {
        fs::create_dir_all(layout.join("blobs/sha256")).expect("layout made");
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
        for layer in &self.layers {
            if let (Some(blob), Some(hex)) = (&layer.blob, layer.digest.strip_prefix("sha256:")) {
                fs::write(layout.join("blobs/sha256").join(hex), blob).expect("blob written");
            }
        }
        let diff_ids: Vec<&str> = self.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let mut config = json!({
            "architecture": "amd64", "os": "linux", "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        apply(self.edit_config, &mut config);
        let layers: Vec<Value> = self.layers.iter().map(Layer::descriptor).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": write_document(layout, &config, CONFIG), "layers": layers,
        });
        apply(self.edit_manifest, &mut manifest);
        let mut entry = write_document(layout, &manifest, MANIFEST);
        entry["annotations"]["org.opencontainers.image.ref.name"] = name.into();
        let mut index = json!({ "schemaVersion": 2, "manifests": [entry] });
        apply(self.edit_index, &mut index);
        fs::write(layout.join("index.json"), index.to_string()).expect("index written");
        format!("oci://{}:{name}", layout.display())
    }
}

fn apply(edit: Option<Edit>, document: &mut Value) {
    if let Some(edit) = edit {
        edit(document);
    }
}

/// Writes a document as a blob and returns its descriptor.
pub fn write_document(layout: &Path, document: &Value, media_type: &str) -> Value {
    let bytes = document.to_string().into_bytes();
    let hex = sha256_hex(&bytes);
    fs::write(layout.join("blobs/sha256").join(&hex), &bytes).expect("document written");
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
}

/// Chain ids as GrootFS computes them: hex digests without the algorithm, joined by a space.
pub fn chain_ids<'a>(diff_ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for diff_id in diff_ids {
        let hex = diff_id.trim_start_matches("sha256:");
        let next = match chain.last() {
            Some(parent) => sha256_hex(format!("{parent} {hex}").as_bytes()),
            None => hex.to_owned(),
        };
        chain.push(next);
    }
    chain
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
