//! Indexes and manifests of OCI and Docker images, read leniently.
//!
//! Garden writes layouts without sizes and with digests that are not hex, so these types accept what the strict ones
//! of a library refuse; what is trusted of them is decided where it is used.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Annotation of an index entry that names the image (OCI image-layout specification).
pub const REFERENCE_NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// Annotation of a layer whose entries belong below a directory of the image.
pub const BASE_DIRECTORY_ANNOTATION: &str = "org.cloudfoundry.experimental.image.base-directory";

/// A pointer to a blob.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    /// What the blob is; empty where the document does not say.
    pub media_type: String,
    /// Digest with its algorithm.
    pub digest: String,
    /// Size in bytes; 0 or negative where unknown.
    #[serde(deserialize_with = "null_as_default")]
    pub size: i64,
    /// Places outside the image's own source.
    #[serde(deserialize_with = "null_as_default")]
    pub urls: Vec<String>,
    /// Free-form notes.
    #[serde(deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// The machine an index entry is for.
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// The blob's size, where one is stated.
    pub fn known_size(&self) -> Option<u64> {
        u64::try_from(self.size).ok().filter(|size| *size > 0)
    }
}

/// The machine an image is for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Platform {
    /// CPU architecture as Go names it.
    pub architecture: String,
    /// Operating system as Go names it.
    pub os: String,
    /// Variant of the architecture, `v8` for example.
    #[serde(deserialize_with = "null_as_default")]
    pub variant: String,
}

impl Platform {
    /// The platform this program was built for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" => ("ppc64le", ""),
            other => (other, ""),
        };
        Platform { architecture: architecture.into(), os: "linux".into(), variant: variant.into() }
    }

    /// Whether an image for `self` runs on `host`; an unstated variant fits every one.
    pub fn fits(&self, host: &Platform) -> bool {
        self.os == host.os
            && self.architecture == host.architecture
            && (self.variant.is_empty() || host.variant.is_empty() || self.variant == host.variant)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// An index or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestOrIndex {
    /// A list of manifests, for several platforms or of several names.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest {
        /// The image configuration.
        config: Descriptor,
        /// The layers, bottom first.
        layers: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: Option<i64>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// Reads an index or a manifest. A document that could be taken for both is refused (CVE-2021-41190).
pub fn parse_manifest_or_index(json: &[u8]) -> Result<ManifestOrIndex, String> {
    let raw: RawManifest = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    match raw {
        RawManifest { schema_version: Some(1), .. } => {
            Err("the image has a schema 1 manifest, which is not supported: push it again in a current format".into())
        }
        RawManifest { manifests: Some(_), layers: Some(_), .. } => {
            Err("the document is both an index and a manifest".into())
        }
        RawManifest { manifests: Some(manifests), .. } => Ok(ManifestOrIndex::Index(manifests)),
        RawManifest { config: Some(config), layers, .. } => {
            Ok(ManifestOrIndex::Manifest { config, layers: layers.unwrap_or_default() })
        }
        _ => Err("the document is neither an index nor a manifest".into()),
    }
}

/// Whether a layer of this media type is a tar archive that can be unpacked.
///
/// How it is compressed is told from its first bytes, since media types are known to lie about it.
pub fn is_layer_media_type(media_type: &str) -> bool {
    const TAR: [&str; 5] = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.container.image.rootfs.diff.tar",
    ];
    let plain = ["+gzip", "+zstd", ".gzip", ".zstd", ".gz"]
        .iter()
        .find_map(|suffix| media_type.strip_suffix(suffix))
        .unwrap_or(media_type);
    media_type.is_empty() || TAR.contains(&plain)
}

/// Whether a layer of this media type may not be handed out by registries (OCI image specification, non-distributable
/// layers; Docker's foreign layers).
pub fn is_foreign_media_type(media_type: &str) -> bool {
    [".nondistributable.", ".foreign."].iter().any(|part| media_type.contains(part))
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_descriptors_without_size_and_with_odd_digests() {
        let json = br#"{"schemaVersion":2,"config":{"digest":"sha256:c"},
            "layers":[{"digest":"sha256:some-digest","size":null,"annotations":null,"urls":null}]}"#;
        let ManifestOrIndex::Manifest { layers, .. } = parse_manifest_or_index(json).unwrap() else {
            panic!("not a manifest")
        };
        assert_eq!(layers[0].digest, "sha256:some-digest");
        assert_eq!(layers[0].known_size(), None);
    }

    #[test]
    fn refuses_documents_that_are_two_things_or_none() {
        let both = br#"{"manifests":[],"config":{"digest":"sha256:c"},"layers":[]}"#;
        assert!(parse_manifest_or_index(both).unwrap_err().contains("both"));
        assert!(parse_manifest_or_index(b"{}").unwrap_err().contains("neither"));
        assert!(parse_manifest_or_index(br#"{"schemaVersion":1,"fsLayers":[]}"#).unwrap_err().contains("schema 1"));
        assert!(parse_manifest_or_index(b"[").is_err());
    }

    #[test]
    fn knows_the_media_types_of_layers() {
        for known in [
            "",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        ] {
            assert!(is_layer_media_type(known), "{known}");
        }
        assert!(!is_layer_media_type("application/vnd.oci.image.config.v1+json"));
        assert!(!is_layer_media_type("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"));
    }

    #[test]
    fn a_platform_fits_when_os_architecture_and_stated_variant_agree() {
        let host = Platform { architecture: "arm64".into(), os: "linux".into(), variant: "v8".into() };
        let other = |architecture: &str, variant: &str| Platform {
            architecture: architecture.into(),
            os: "linux".into(),
            variant: variant.into(),
        };
        assert!(other("arm64", "").fits(&host) && other("arm64", "v8").fits(&host));
        assert!(!other("arm64", "v7").fits(&host) && !other("amd64", "").fits(&host));
    }
}
