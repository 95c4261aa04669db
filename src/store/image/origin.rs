//! Where an image came from: the argument it was created from, the digests that stood for, the configuration.
//!
//! It is a note beside the image's dependency record, in an attribute of that file: the original reads the file alone, and
//! a create writes nothing more for it. A configuration that has no room there is left to the manifest cache.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::fetcher::MetadataCache;
use crate::image::{ChainId, Image, ImageDetails};
use crate::layout::Layout;
use crate::redact;
use crate::store::image::dependencies;
use crate::store::layer::manifest_cache::ManifestCache;
use crate::store::{ImageId, LimitError, Store, StoreError};
use crate::sys::path_error::PathError;

/// First byte of a note that is compressed; JSON begins with another.
const DEFLATED: u8 = b'z';
/// Bytes of the largest note that is read, unpacked: the store may be somebody else's.
const LARGEST: u64 = 1 << 20;

/// Where an image came from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The image argument as it was given, without passwords.
    pub reference: String,
    /// Digest of the manifest; `None` for a tar file or an archive that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the configuration; `None` for a tar file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    /// When the image was created, in seconds since 1970.
    pub created: u64,
    /// Whether the layers are left out of the image's limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_limit_exclusive: bool,
    /// What the configuration says; `None` where it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<ImageDetails>,
}

impl Origin {
    /// That of an image which is created now.
    pub(in crate::store) fn now(argument: &str, image: &Image, is_limit_exclusive: bool) -> Self {
        Origin {
            reference: redact::address(argument).into_owned(),
            digest: image.manifest_digest.clone(),
            config_digest: image.config_digest.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            is_limit_exclusive,
            details: Some(image.details.clone()),
        }
    }

    /// As many bytes as there is room for; none if there is too little.
    pub(in crate::store) fn encode(&self, room: usize) -> Vec<u8> {
        let fits = |note: &Vec<u8>| note.len() <= room;
        let json = |origin: &Origin| serde_json::to_vec(origin).unwrap_or_default();
        let whole = json(self);
        if fits(&whole) {
            return whole;
        }
        let deflated = deflate(&whole).filter(fits);
        deflated
            .unwrap_or_else(|| Some(json(&Origin { details: None, ..self.clone() })).filter(fits).unwrap_or_default())
    }

    fn decode(note: &[u8]) -> Option<Self> {
        let json = match note.split_first()? {
            (&DEFLATED, deflated) => inflate(deflated)?,
            _ => note.to_vec(),
        };
        serde_json::from_slice(&json).ok()
    }
}

fn deflate(json: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(vec![DEFLATED], Compression::default());
    encoder.write_all(json).ok()?;
    encoder.finish().ok()
}

fn inflate(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::new();
    DeflateDecoder::new(deflated).take(LARGEST).read_to_end(&mut json).ok()?;
    Some(json)
}

/// Where an image came from; `None` for one that was made by a version that kept no record of it.
pub(in crate::store) fn read(layout: &Layout, id: &ImageId) -> Result<Option<Origin>, PathError> {
    let note = dependencies::read_note(layout, &dependencies::image_key(id.as_str()))?;
    Ok(note.as_deref().and_then(Origin::decode))
}

impl Store {
    /// Where an image came from, with a configuration that the manifest cache has where the record has none.
    pub fn origin(&self, id: &ImageId) -> Result<Option<Origin>, StoreError> {
        let Some(mut origin) = read(&self.layout, id)? else { return Ok(None) };
        if origin.details.is_none()
            && let Some(digest) = &origin.config_digest
        {
            let cache = ManifestCache::new(&self.layers_in()?.layout);
            origin.details = cache.get(digest).map(|config| ImageDetails::parse(&config));
        }
        Ok(Some(origin))
    }
}

/// Writes an image's dependency record with its origin.
pub(in crate::store) fn write(
    layout: &Layout,
    temporary: &Path,
    id: &ImageId,
    layers: &[&ChainId],
    origin: &Origin,
) -> Result<(), PathError> {
    dependencies::write_with_note(layout, temporary, &dependencies::image_key(id.as_str()), layers, |room| {
        origin.encode(room)
    })
}

/// Changes the origin of an image whose record stays as it is. The caller holds the image's lock.
pub(in crate::store) fn rewrite(store: &Store, id: &ImageId, origin: &Origin) -> Result<(), LimitError> {
    let layers = dependencies::read(&store.layout, &dependencies::image_key(id.as_str()))
        .map_err(|source| LimitError::UnreadableRecord { id: id.to_string(), source })?;
    let layers: Vec<ChainId> = layers.iter().filter_map(|layer| ChainId::new(layer).ok()).collect();
    let layers: Vec<&ChainId> = layers.iter().collect();
    Ok(write(&store.layout, &store.layout.recording(id.as_str()), id, &layers, origin)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(env: usize) -> Origin {
        let details = ImageDetails { env: vec!["A".repeat(env)], ..ImageDetails::default() };
        Origin {
            reference: "oci:///a:b".into(),
            digest: Some("sha256:x".into()),
            details: Some(details),
            ..Origin::default()
        }
    }

    #[test]
    fn fits_into_the_room_there_is() {
        for (env, room, expected) in [
            (10, 1000, Some(origin(10))),
            (5000, 1000, Some(origin(5000))),
            (10, 60, Some(Origin { details: None, ..origin(10) })),
            (10, 20, None),
        ] {
            let note = origin(env).encode(room);
            assert!(note.len() <= room, "{env} {room}");
            assert_eq!(Origin::decode(&note), expected, "{env} {room}");
        }
    }

    #[test]
    fn no_password_is_recorded() {
        let recorded = Origin::now("docker://user:secret@registry.example/a:b", &Image::default(), false).reference;
        assert!(recorded.ends_with("@registry.example/a:b") && !recorded.contains("secret"), "{recorded}");
    }

    #[test]
    fn damage_is_as_good_as_nothing() {
        for note in [&b""[..], b"z", b"znonsense", b"{", b"[]", b"\xff"] {
            assert_eq!(Origin::decode(note), None, "{note:?}");
        }
        let bomb = deflate(&vec![b' '; 4 << 20]).unwrap();
        assert_eq!(Origin::decode(&bomb), None);
    }
}
