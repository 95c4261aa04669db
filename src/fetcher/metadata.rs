//! Indexes, manifests and configurations, wherever they come from.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Error;
use crate::image::{
    BASE_DIRECTORY_ANNOTATION, ChainId, Descriptor, Image, Layer, ManifestOrIndex, Platform, chain_ids, digest_hex,
    is_foreign_media_type, is_layer_media_type, parse_config, parse_manifest_or_index,
};

/// How deep indexes may nest before they are taken for a loop.
pub(super) const INDEX_DEPTH: usize = 5;

/// Reads an index or a manifest; `name` is what messages call it.
pub(super) fn parse(json: &[u8], name: &str) -> Result<ManifestOrIndex, Error> {
    parse_manifest_or_index(json).map_err(|reason| Error::BadManifest(name.to_owned(), flat(&reason)))
}

/// Puts configuration and layers together.
pub(super) fn image(config: &[u8], layers: Vec<Descriptor>) -> Result<Image, Error> {
    let config = parse_config(config).map_err(|e| Error::BadConfig(flat(&e.to_string())))?;
    if config.diff_ids.len() != layers.len() {
        let (diff_ids, layers) = (config.diff_ids.len(), layers.len());
        return Err(Error::BadConfig(format!("it has {diff_ids} diff ids for {layers} layers")));
    }
    let diff_ids: Vec<&str> = config.diff_ids.iter().map(|id| digest_hex(id)).collect();
    let chain = chain_ids(diff_ids.iter().copied())?;
    let layers = layers
        .into_iter()
        .zip(diff_ids)
        .zip(chain)
        .map(|((descriptor, diff_id), chain_id)| layer(descriptor, diff_id, chain_id))
        .collect::<Result<_, _>>()?;
    Ok(Image { layers, env: config.env, volumes: config.volumes })
}

/// Compares a document with the digest it was asked for by.
pub(super) fn check_digest(bytes: &[u8], digest: &str) -> Result<(), Error> {
    digest_mismatch(bytes, digest).map_or(Ok(()), |mismatch| Err(Error::BadManifest(digest.to_owned(), mismatch)))
}

/// What is to be said of a document that does not have this digest.
pub(super) fn digest_mismatch(bytes: &[u8], digest: &str) -> Option<String> {
    let (expected, actual) = (digest_hex(digest), hex(bytes));
    (actual != expected).then(|| format!("digest mismatch: expected: {expected}, actual: {actual}"))
}

/// The digest of a document.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The entry for this machine: one that says no variant or the machine's own, else one that may fit.
pub(super) fn choose_by_platform(entries: Vec<Descriptor>) -> Result<Descriptor, Error> {
    let host = Platform::host();
    let only = entries.len() == 1;
    let fits = |entry: &Descriptor| entry.platform.as_ref().map_or(only, |platform| platform.fits(&host));
    let is_plain = |entry: &Descriptor| {
        let variant = entry.platform.as_ref().map_or("", |platform| &platform.variant);
        variant.is_empty() || variant == host.variant
    };
    let best = entries.iter().position(|entry| fits(entry) && is_plain(entry)).or(entries.iter().position(fits));
    match best.and_then(|best| entries.get(best)) {
        Some(entry) => Ok(entry.clone()),
        None => {
            let found: Vec<String> = entries.iter().map(platform_text).collect();
            Err(Error::NoPlatform { wanted: host.to_string(), found: found.join(", ") })
        }
    }
}

/// A library's message on one line.
pub(super) fn flat(text: &str) -> String {
    text.replace('\n', " ")
}

fn layer(descriptor: Descriptor, diff_id: &str, chain_id: ChainId) -> Result<Layer, Error> {
    if !is_layer_media_type(&descriptor.media_type) {
        return Err(Error::MediaType { digest: descriptor.digest, media_type: descriptor.media_type });
    }
    Ok(Layer {
        size: descriptor.known_size(),
        diff_id: Some(diff_id.to_owned()),
        chain_id,
        base_directory: base_directory(&descriptor),
        is_foreign: is_foreign_media_type(&descriptor.media_type),
        blob_id: descriptor.digest,
        urls: descriptor.urls,
    })
}

fn base_directory(descriptor: &Descriptor) -> Option<PathBuf> {
    let annotation = descriptor.annotations.get(BASE_DIRECTORY_ANNOTATION)?;
    (!annotation.is_empty()).then(|| PathBuf::from(annotation))
}

fn platform_text(entry: &Descriptor) -> String {
    entry.platform.as_ref().map_or_else(|| "an unstated one".to_owned(), Platform::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: &str, architecture: &str, variant: &str) -> Descriptor {
        let platform = Platform { architecture: architecture.into(), os: "linux".into(), variant: variant.into() };
        Descriptor { digest: digest.into(), platform: Some(platform), ..Descriptor::default() }
    }

    #[test]
    fn the_plain_variant_comes_before_one_that_only_may_fit() {
        let Platform { architecture, variant, .. } = Platform::host();
        let entries = || {
            vec![
                entry("other", "s390x-not", ""),
                entry("newer", &architecture, "v9"),
                entry("plain", &architecture, &variant),
            ]
        };
        assert_eq!(choose_by_platform(entries()).unwrap().digest, "plain");
        let message = choose_by_platform(vec![entry("other", "s390x-not", ""), entry("x", "x", "")]).unwrap_err();
        assert!(message.to_string().contains("only for linux/s390x-not, linux/x"), "{message}");
    }
}
