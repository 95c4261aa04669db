//! Indexes, manifests and configurations, wherever they come from.

use std::io::{self, Read};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Error;
use crate::image::{
    ChainId, Descriptor, EMPTY_ARCHIVE, Image, ImageDetails, Layer, ManifestOrIndex, Platform, chain_ids, digest_hex,
    is_foreign_media_type, is_layer_media_type, parse_config, parse_manifest_or_index,
};

/// How deep indexes may nest before they are taken for a loop.
pub(super) const INDEX_DEPTH: usize = 5;

/// Reads an index or a manifest; `name` is what messages call it.
pub(super) fn parse(json: &[u8], name: &str) -> Result<ManifestOrIndex, Error> {
    parse_manifest_or_index(json).map_err(|reason| Error::BadManifest(name.to_owned(), flat(&reason)))
}

/// Puts configuration and layers together. An image without layers has an empty root filesystem.
pub(super) fn image(document: &[u8], mut layers: Vec<Descriptor>) -> Result<Image, Error> {
    let mut config = parse_config(document).map_err(|reason| Error::BadConfig(flat(&reason)))?;
    if config.diff_ids.len() != layers.len() {
        let (diff_ids, layers) = (config.diff_ids.len(), layers.len());
        return Err(Error::BadConfig(format!("it has {diff_ids} diff ids for {layers} layers")));
    }
    if layers.is_empty() {
        layers.push(Descriptor { digest: EMPTY_ARCHIVE.to_owned(), ..Descriptor::default() });
        config.diff_ids.push(EMPTY_ARCHIVE.to_owned());
    }
    config.diff_ids.iter().try_for_each(|id| check_algorithm(id))?;
    let diff_ids: Vec<&str> = config.diff_ids.iter().map(|id| digest_hex(id)).collect();
    let chain = chain_ids(diff_ids.iter().copied().zip(layers.iter().map(Descriptor::base_directory)))?;
    let layers = layers
        .into_iter()
        .zip(diff_ids)
        .zip(chain)
        .map(|((descriptor, diff_id), chain_id)| layer(descriptor, diff_id, chain_id))
        .collect::<Result<_, _>>()?;
    let (env, volumes) = (config.env, config.volumes);
    let (config_digest, details) = (Some(digest(document)), ImageDetails::parse(document));
    Ok(Image { layers, env, volumes, manifest_digest: None, config_digest, details, document: document.to_vec() })
}

/// The content of [`EMPTY_ARCHIVE`]: two blocks of zeros.
pub(super) fn empty_archive() -> impl Read + Send {
    io::repeat(0).take(1024)
}

/// Names an algorithm that nothing can be verified by here.
pub(super) fn check_algorithm(digest: &str) -> Result<(), Error> {
    match digest.split_once(':') {
        Some((algorithm, _)) if algorithm != "sha256" => {
            let reason = format!("digests of the algorithm `{algorithm}` are not supported, only those of sha256");
            Err(Error::BadManifest(digest.to_owned(), reason))
        }
        _ => Ok(()),
    }
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

/// The entry for this machine: one that says no variant or the machine's own, else one that may fit, else one that does
/// not say what it is for.
pub(super) fn choose_by_platform(entries: Vec<Descriptor>) -> Result<Descriptor, Error> {
    let host = Platform::host();
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| platform.fits(&host));
    let is_plain = |entry: &&Descriptor| {
        let variant = entry.platform.as_ref().map_or("", |platform| &platform.variant);
        variant.is_empty() || variant == host.variant
    };
    let stated = entries.iter().filter(|entry| !entry.is_unstated());
    let mut fitting = stated.filter(fits);
    let first = fitting.clone().next();
    let best = fitting.find(is_plain).or(first).or_else(|| entries.iter().find(|entry| entry.is_unstated()));
    match best {
        Some(entry) => usable(entry),
        None => Err(Error::NoPlatform { wanted: host.to_string(), found: platforms(&entries) }),
    }
}

fn usable(entry: &Descriptor) -> Result<Descriptor, Error> {
    entry.check().map_err(|reason| Error::BadManifest(entry.digest.clone(), reason))?;
    Ok(entry.clone())
}

/// The platforms of an index, as far as anybody wants to read them.
fn platforms(entries: &[Descriptor]) -> String {
    const SHOWN: usize = 10;
    let images = entries.iter().filter(|entry| !entry.is_attestation());
    let mut found: Vec<String> = images.clone().take(SHOWN).map(platform_text).collect();
    if images.count() > SHOWN {
        found.push("…".to_owned());
    }
    found.join(", ")
}

/// A library's message on one line.
pub(super) fn flat(text: &str) -> String {
    text.replace('\n', " ")
}

fn layer(descriptor: Descriptor, diff_id: &str, chain_id: ChainId) -> Result<Layer, Error> {
    check_algorithm(&descriptor.digest)?;
    if !is_layer_media_type(&descriptor.media_type) {
        return Err(Error::MediaType { digest: descriptor.digest, media_type: descriptor.media_type });
    }
    Ok(Layer {
        size: descriptor.known_size(),
        diff_id: Some(diff_id.to_owned()),
        chain_id,
        source: None,
        has_blob_digest: true,
        base_directory: descriptor.base_directory().map(PathBuf::from),
        is_foreign: is_foreign_media_type(&descriptor.media_type),
        media_type: descriptor.media_type,
        blob_id: descriptor.digest,
        urls: descriptor.urls,
    })
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
    fn an_entry_that_does_not_say_what_it_is_for_is_the_last_resort() {
        let Platform { architecture, .. } = Platform::host();
        let unstated = |digest: &str| Descriptor { digest: digest.into(), ..Descriptor::default() };
        let attestation = Descriptor {
            platform: Some(Platform { architecture: "unknown".into(), os: "unknown".into(), variant: String::new() }),
            ..unstated("attestation")
        };
        let bare = Descriptor {
            annotations: [("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned())].into(),
            ..unstated("bare attestation")
        };
        let chosen = |entries: Vec<Descriptor>| choose_by_platform(entries).map(|entry| entry.digest);
        let entries = vec![bare.clone(), attestation.clone(), entry("other", "x", ""), unstated("a"), unstated("b")];
        assert_eq!(chosen(entries.clone()).unwrap(), "a");
        assert_eq!(chosen([entries, vec![entry("own", &architecture, "")]].concat()).unwrap(), "own");
        assert_eq!(chosen(vec![unstated("only")]).unwrap(), "only");
        let empty = Descriptor { platform: Some(Platform::default()), ..unstated("empty") };
        assert_eq!(chosen(vec![attestation.clone(), empty]).unwrap(), "empty");
        let message = chosen(vec![attestation, bare, entry("other", "x", "")]).unwrap_err().to_string();
        assert!(message.ends_with("only for linux/x"), "{message}");
        let many = (0..100).map(|n| entry("x", &format!("x{n}"), "")).collect();
        let message = chosen(many).unwrap_err().to_string();
        assert!(message.ends_with("linux/x9, …"), "{message}");
    }

    #[test]
    fn other_algorithms_are_named() {
        let config = format!(r#"{{"rootfs":{{"diff_ids":["sha512:{}"]}}}}"#, "0".repeat(128));
        let message = image(config.as_bytes(), vec![Descriptor::default()]).unwrap_err().to_string();
        assert!(message.contains("algorithm `sha512` are not supported"), "{message}");
    }

    #[test]
    fn an_image_without_layers_has_an_empty_one() {
        let image = image(b"{}", Vec::new()).unwrap();
        let mut bytes = Vec::new();
        empty_archive().read_to_end(&mut bytes).unwrap();
        assert_eq!(image.layers[0].blob_id, digest(&bytes));
        assert_eq!(image.layers[0].chain_id.as_str(), digest_hex(EMPTY_ARCHIVE));
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
