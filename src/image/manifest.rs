//! Indexes and manifests of OCI and Docker images, read as leniently as by the programs that images are made for.
//!
//! Garden writes layouts without sizes and with digests that are not hex, so these types accept what the strict ones
//! of a library refuse; what is trusted of them is decided where it is used.

use std::collections::BTreeMap;

use oci_spec::image::{ANNOTATION_REF_NAME, Arch, MediaType};

use super::json::Json;

/// Annotation of an index entry that names the image (OCI image-layout specification).
pub const REFERENCE_NAME_ANNOTATION: &str = ANNOTATION_REF_NAME;
/// Annotation of a layer whose entries belong below a directory of the image.
pub const BASE_DIRECTORY_ANNOTATION: &str = "org.cloudfoundry.experimental.image.base-directory";
/// Annotation of an index entry that is about another one (BuildKit).
const REFERENCE_TYPE_ANNOTATION: &str = "vnd.docker.reference.type";
/// What BuildKit says of the platform of an attestation.
const UNKNOWN: &str = "unknown";

/// A pointer to a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// What the blob is; empty where the document does not say.
    pub media_type: String,
    /// Digest with its algorithm.
    pub digest: String,
    /// Size in bytes; 0 where unknown.
    pub size: i64,
    /// Places outside the image's own source.
    pub urls: Vec<String>,
    /// Those of the notes that mean something here.
    pub annotations: BTreeMap<String, String>,
    /// The machine an index entry is for.
    pub platform: Option<Platform>,
    /// What is wrong with it. Matters only to whoever uses it.
    pub(crate) problem: Option<String>,
}

impl Descriptor {
    /// Directory of the image below which a layer's entries belong.
    pub fn base_directory(&self) -> Option<&str> {
        self.annotations.get(BASE_DIRECTORY_ANNOTATION).map(String::as_str).filter(|directory| !directory.is_empty())
    }

    /// The blob's size, where one is stated.
    pub fn known_size(&self) -> Option<u64> {
        u64::try_from(self.size).ok().filter(|size| *size > 0)
    }

    /// Checks that it can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match &self.problem {
            Some(problem) => Err(problem.clone()),
            None if self.size < 0 => Err(format!("the size of {} is negative: {}", self.digest, self.size)),
            None => Ok(()),
        }
    }

    /// Whether this may be an image that does not say which machine it is for.
    pub fn is_unstated(&self) -> bool {
        let is_unstated = self.platform.as_ref().is_none_or(|platform| *platform == Platform::default());
        is_unstated && !self.is_attestation()
    }

    /// Whether this tells something about another entry.
    pub fn is_attestation(&self) -> bool {
        let is_unknown = |platform: &Platform| platform.os == UNKNOWN && platform.architecture == UNKNOWN;
        self.annotations.contains_key(REFERENCE_TYPE_ANNOTATION) || self.platform.as_ref().is_some_and(is_unknown)
    }

    /// Reads a descriptor over what is there. What is wrong with it is kept, and the rest read: most entries of an index
    /// are nobody's concern, which the rest may tell.
    fn read(&mut self, json: Json<'_>, what: &str) {
        let mut problem = None;
        let read = json.members(what, |name, value| {
            problem = problem.take().or(self.read_member(name, value, &format!("{what}: {name}")).err());
            Ok(())
        });
        self.problem = self.problem.take().or(problem).or(read.err());
    }

    fn read_member(&mut self, name: &str, value: Json<'_>, what: &str) -> Result<(), String> {
        match name {
            "mediatype" => value.text_into(&mut self.media_type, what),
            "digest" => value.text_into(&mut self.digest, what),
            "size" => value.integer_into(&mut self.size, what),
            "urls" => value.texts(what).map(|urls| self.urls = urls),
            "annotations" => read_annotations(&mut self.annotations, value),
            "platform" if value.is_some() => {
                self.platform.get_or_insert_default().read(value);
                Ok(())
            }
            "platform" => {
                self.platform = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Only where a layer belongs is worth an error: it would end up somewhere else.
fn read_annotations(annotations: &mut BTreeMap<String, String>, json: Json<'_>) -> Result<(), String> {
    const USED: [&str; 3] = [REFERENCE_NAME_ANNOTATION, BASE_DIRECTORY_ANNOTATION, REFERENCE_TYPE_ANNOTATION];
    if !json.is_object() {
        annotations.clear();
        return Ok(());
    }
    json.entries("annotations", |name, value| {
        if !USED.contains(&name) {
            return Ok(());
        }
        match value.text() {
            Some(text) => _ = annotations.insert(name.to_owned(), text),
            None if name == BASE_DIRECTORY_ANNOTATION && value.is_some() => {
                return Err(format!("annotation {name} is not a string"));
            }
            None => _ = annotations.remove(name),
        }
        Ok(())
    })
}

/// The machine an image is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// CPU architecture as Go names it.
    pub architecture: String,
    /// Operating system as Go names it.
    pub os: String,
    /// Variant of the architecture, `v8` for example.
    pub variant: String,
}

impl Platform {
    /// The platform this program was built for.
    pub fn host() -> Self {
        let architecture = Arch::default();
        let variant = match architecture {
            Arch::ARM64 => "v8",
            Arch::ARM => "v7",
            _ => "",
        };
        Platform { architecture: architecture.to_string(), os: "linux".into(), variant: variant.into() }
    }

    /// Reads a platform over what is there. What is not a string cannot be this machine's.
    fn read(&mut self, json: Json<'_>) {
        let mut member = |name: &str, value: Json<'_>| {
            let slot = match name {
                "architecture" => &mut self.architecture,
                "os" => &mut self.os,
                "variant" => &mut self.variant,
                _ => return Ok(()),
            };
            if value.is_some() {
                *slot = value.text().unwrap_or_else(|| UNKNOWN.to_owned());
            }
            Ok(())
        };
        // Anything but an object says nothing.
        let _ = json.members("platform", &mut member);
        self.normalise();
    }

    /// Other names that the field knows for the same things.
    fn normalise(&mut self) {
        self.os.make_ascii_lowercase();
        self.architecture.make_ascii_lowercase();
        self.variant.make_ascii_lowercase();
        let (architecture, variant) = match self.architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", ""),
            "i386" | "i686" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "armhf" => ("arm", "v7"),
            "armel" => ("arm", "v6"),
            _ => return,
        };
        self.architecture = architecture.to_owned();
        if self.variant.is_empty() {
            self.variant = variant.to_owned();
        }
    }

    /// Whether an image for `self` runs on `host`; an unstated variant fits every one.
    pub fn fits(&self, host: &Platform) -> bool {
        (self.os == host.os || self.os.is_empty())
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
    /// A list of manifests, for several platforms or of several names. Never empty.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest {
        /// The image configuration.
        config: Descriptor,
        /// The layers, bottom first.
        layers: Vec<Descriptor>,
    },
}

/// What is used of either.
#[derive(Default)]
struct Members {
    is_schema_1: bool,
    media_type: String,
    artifact_type: String,
    /// `null` is a list too: some programs write an empty one so.
    has_manifests: bool,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Members {
    fn read(json: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(json);
        let mut members = Members::default();
        Json::parse(&text).map_err(|error| error.to_string())?.members("the document", |name, value| {
            match name {
                "schemaversion" => {
                    let mut version = 0;
                    members.is_schema_1 |= value.integer_into(&mut version, name).is_ok() && version == 1;
                }
                "fslayers" => members.is_schema_1 |= value.is_some(),
                "mediatype" => members.media_type = value.text().unwrap_or_default(),
                "artifacttype" => members.artifact_type = value.text().unwrap_or_default(),
                "manifests" => {
                    members.has_manifests = true;
                    members.manifests = descriptors(value, "manifests")?;
                }
                "config" if value.is_some() => members.config.get_or_insert_default().read(value, "config"),
                "layers" => members.layers = descriptors(value, "layers")?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(members)
    }
}

fn descriptors(json: Json<'_>, what: &str) -> Result<Option<Vec<Descriptor>>, String> {
    let descriptor = |json| {
        let mut descriptor = Descriptor::default();
        descriptor.read(json, what);
        descriptor
    };
    Ok(if json.is_some() { Some(json.elements(what)?.into_iter().map(descriptor).collect()) } else { None })
}

/// Reads an index or a manifest. A document that could be taken for both is refused (CVE-2021-41190).
///
/// # Errors
/// What is wrong with it, which may be that it is no image.
pub fn parse_manifest_or_index(json: &[u8]) -> Result<ManifestOrIndex, String> {
    let members = Members::read(json)?;
    let is_index = members.has_manifests || is_index_media_type(&members.media_type);
    match members {
        Members { manifests: Some(_), config, layers, .. } if config.is_some() || layers.is_some() => {
            Err("the document is both an index and a manifest".into())
        }
        Members { manifests: Some(manifests), .. } if !manifests.is_empty() => Ok(ManifestOrIndex::Index(manifests)),
        Members { config: Some(config), layers, artifact_type, .. } => {
            manifest(config, layers.unwrap_or_default(), &artifact_type)
        }
        Members { is_schema_1: true, .. } => {
            Err("the image has a schema 1 manifest, which is not supported: push it again in a current format".into())
        }
        Members { layers: Some(_), .. } => Err("the manifest names no configuration".into()),
        _ if is_index => Err("it is an index without images".into()),
        _ => Err("the document is neither an index nor a manifest".into()),
    }
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>, artifact_type: &str) -> Result<ManifestOrIndex, String> {
    if let Some(artifact) = artifact(&config, &layers, artifact_type) {
        return Err(format!("it is {artifact}, not a container image"));
    }
    layers.iter().chain([&config]).try_for_each(Descriptor::check)?;
    if config.digest.is_empty() {
        return Err("the manifest names no configuration".into());
    }
    Ok(ManifestOrIndex::Manifest { config, layers })
}

/// What other things than images registries keep. Layers that can be unpacked are taken for an image whatever its
/// configuration is called.
fn artifact(config: &Descriptor, layers: &[Descriptor], artifact_type: &str) -> Option<String> {
    let is_image = is_config_media_type(&config.media_type);
    let other = layers.iter().map(|layer| layer.media_type.as_str()).find(|kind| !is_layer_media_type(kind));
    let kinds =
        if is_image && (layers.is_empty() || other.is_none()) || !is_image && other.is_none() && !layers.is_empty() {
            return None;
        } else if is_image {
            [other.unwrap_or_default(), artifact_type]
        } else {
            [artifact_type, &config.media_type]
        };
    let known = |kind: &str| match kind {
        kind if kind.contains("helm") => Some("a Helm chart"),
        kind if kind.contains("wasm") => Some("a WebAssembly module"),
        kind if kind.contains("in-toto") => Some("an attestation"),
        kind if kind.contains("cosign") => Some("a signature"),
        "application/vnd.docker.plugin.v1+json" => Some("a Docker plugin"),
        _ => None,
    };
    let all = [artifact_type, &config.media_type, other.unwrap_or_default()];
    match all.into_iter().find_map(known) {
        Some(known) => Some(known.to_owned()),
        // One odd layer of an image is named with its digest.
        None if is_image => None,
        None => kinds.into_iter().find(|kind| !kind.is_empty()).map(|kind| format!("an artifact of type `{kind}`")),
    }
}

fn is_config_media_type(media_type: &str) -> bool {
    media_type.is_empty()
        || media_type == "application/vnd.docker.container.image.v1+json"
        || MediaType::from(media_type) == MediaType::ImageConfig
}

fn is_index_media_type(media_type: &str) -> bool {
    media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
        || MediaType::from(media_type) == MediaType::ImageIndex
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

/// What the OCI media type of a layer with this media type ends with; `None` where that cannot be told.
pub fn layer_media_suffix(media_type: &str) -> Option<&'static str> {
    let is_any = |ends: &[&str]| ends.iter().any(|end| media_type.ends_with(end));
    match media_type {
        _ if !is_layer_media_type(media_type) || media_type.is_empty() => None,
        _ if is_any(&["gzip", ".gz"]) => Some("+gzip"),
        _ if is_any(&["zstd"]) => Some("+zstd"),
        _ => Some(""),
    }
}

/// Whether a layer of this media type may not be handed out by registries (OCI image specification, non-distributable
/// layers; Docker's foreign layers).
pub fn is_foreign_media_type(media_type: &str) -> bool {
    [".nondistributable.", ".foreign."].iter().any(|part| media_type.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ManifestOrIndex, String> {
        parse_manifest_or_index(json.as_bytes())
    }

    fn layer(json: &str) -> Result<Descriptor, String> {
        match parse(&format!(r#"{{"config":{{"digest":"sha256:c"}},"layers":[{json}]}}"#))? {
            ManifestOrIndex::Manifest { mut layers, .. } => Ok(layers.remove(0)),
            ManifestOrIndex::Index(_) => panic!("an index"),
        }
    }

    #[test]
    fn accepts_descriptors_without_size_and_with_odd_digests() {
        let read = layer(r#"{"digest":"sha256:some-digest","size":null,"annotations":null,"urls":null}"#).unwrap();
        assert_eq!(read.digest, "sha256:some-digest");
        assert_eq!(read.known_size(), None);
    }

    #[test]
    fn what_is_not_used_cannot_be_wrong() {
        let plain = layer(r#"{"mediaType":"","digest":"sha256:a","size":7}"#).unwrap();
        for json in [
            r#"{"digest":"sha256:a","size":7,"annotations":{"x":1,"y":null},"data":[1],"artifactType":{},"platform":null}"#,
            r#"{"digest":"sha256:x","digest":"sha256:a","size":1,"size":7}"#,
            r#"{"DIGEST":"sha256:a","Size":7}"#,
            r#"{"digest":"sha256:x","Digest":"sha256:a","size":7}"#,
            r#"{"Digest":"sha256:x","digest":"sha256:a","size":7}"#,
            r#"{"digest":"sha256:a","digest":null,"size":7,"size":null,"mediaType":null,"urls":["u"],"urls":null}"#,
            r#"{"digest":"sha256:a","size":7,"annotations":["x"]}"#,
            r#"{"digest":"sha256:a","size":7,"annotations":{"org.opencontainers.image.ref.name":7}}"#,
        ] {
            assert_eq!(layer(json).as_ref(), Ok(&plain), "{json}");
        }
        let manifest = r#"{"schemaVersion":"2","mediaType":7,"config":{"digest":"sha256:c"},"annotations":[],"subject":1,"layers":null}"#;
        assert!(matches!(parse(manifest), Ok(ManifestOrIndex::Manifest { layers, .. }) if layers.is_empty()));
    }

    #[test]
    fn what_is_used_must_be_right() {
        for (json, reason) in [
            (r#"{"digest":7}"#, "layers: digest is not a string"),
            (r#"{"digest":"sha256:a","size":"7"}"#, "layers: size is not an integer of 64 bits"),
            (r#"{"digest":"sha256:a","size":1.5}"#, "layers: size is not an integer of 64 bits"),
            (r#"{"digest":"sha256:a","size":-1}"#, "the size of sha256:a is negative: -1"),
            (r#"{"digest":"sha256:a","urls":"x"}"#, "layers: urls is not a list"),
            (r#""x""#, "layers is not an object"),
            (
                r#"{"digest":"x","annotations":{"org.cloudfoundry.experimental.image.base-directory":1}}"#,
                "annotation org.cloudfoundry.experimental.image.base-directory is not a string",
            ),
        ] {
            assert_eq!(layer(json), Err(reason.to_owned()), "{json}");
        }
        assert_eq!(
            parse(r#"{"config":{"digest":"x","size":-2},"layers":[]}"#),
            Err("the size of x is negative: -2".into())
        );
        assert_eq!(parse(r#"{"config":{},"layers":[]}"#), Err("the manifest names no configuration".into()));
        assert_eq!(parse(r#"{"layers":[]}"#), Err("the manifest names no configuration".into()));
        assert_eq!(parse(r#"{"config":{"digest":"x"},"layers":{}}"#), Err("layers is not a list".into()));
    }

    #[test]
    fn an_entry_that_nobody_chooses_cannot_be_wrong() {
        let index = r#"{"manifests":[{"digest":7},{"digest":"sha256:a","platform":{"architecture":1,"os":"linux"}},
            {"digest":"sha256:b","platform":{"Architecture":"X86_64","OS":"Linux","variant":null,"os.features":7}}]}"#;
        let Ok(ManifestOrIndex::Index(entries)) = parse(index) else { panic!("not an index") };
        assert_eq!(entries[0].check(), Err("manifests: digest is not a string".into()));
        assert_eq!(entries[1].platform.as_ref().unwrap().architecture, UNKNOWN);
        assert_eq!(entries[2].platform.as_ref().unwrap().to_string(), "linux/amd64");
    }

    #[test]
    fn refuses_documents_that_are_two_things_or_none() {
        for both in [
            r#"{"manifests":[],"config":{"digest":"sha256:c"},"layers":[]}"#,
            r#"{"Manifests":[{}],"layers":[]}"#,
            r#"{"manifests":[{}],"CONFIG":{"digest":"sha256:c"}}"#,
        ] {
            assert!(parse(both).unwrap_err().contains("both"), "{both}");
        }
        assert!(parse("{}").unwrap_err().contains("neither"));
        assert!(parse("null").unwrap_err().contains("neither"));
        assert!(parse("[]").unwrap_err().contains("not an object"));
        assert!(parse("[").is_err());
        for old in [r#"{"schemaVersion":1,"fsLayers":[]}"#, r#"{"fsLayers":[],"history":[]}"#] {
            assert!(parse(old).unwrap_err().contains("schema 1"), "{old}");
        }
        for empty in [
            r#"{"schemaVersion":2,"manifests":null}"#,
            r#"{"schemaVersion":2,"manifests":[]}"#,
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
        ] {
            assert_eq!(parse(empty), Err("it is an index without images".into()), "{empty}");
        }
    }

    #[test]
    fn other_artifacts_are_named() {
        let parse = |config: &str, layers: &[&str], artifact: &str| {
            let layers: Vec<String> =
                layers.iter().map(|kind| format!(r#"{{"mediaType":"{kind}","digest":"sha256:l"}}"#)).collect();
            let layers = layers.join(",");
            let config = format!(r#"{{"mediaType":"{config}","digest":"sha256:c"}}"#);
            parse(&format!(r#"{{"artifactType":"{artifact}","config":{config},"layers":[{layers}]}}"#))
        };
        const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
        const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
        const EMPTY: &str = "application/vnd.oci.empty.v1+json";
        for (config, layers, artifact, what) in [
            (
                "application/vnd.cncf.helm.config.v1+json",
                &["application/vnd.cncf.helm.chart.content.v1.tar+gzip"][..],
                "",
                "a Helm chart",
            ),
            ("application/vnd.wasm.config.v0+json", &["application/wasm"], "", "a WebAssembly module"),
            (IMAGE, &["application/wasm"], "", "a WebAssembly module"),
            (IMAGE, &["application/vnd.in-toto+json"], "", "an attestation"),
            (IMAGE, &["application/vnd.dev.cosign.simplesigning.v1+json"], "", "a signature"),
            (EMPTY, &[EMPTY], "application/spdx+json", "an artifact of type `application/spdx+json`"),
            (EMPTY, &[], "", "an artifact of type `application/vnd.oci.empty.v1+json`"),
            ("application/vnd.docker.plugin.v1+json", &[], "", "a Docker plugin"),
        ] {
            assert_eq!(parse(config, layers, artifact), Err(format!("it is {what}, not a container image")));
        }
        for (config, layers) in
            [(IMAGE, &[TAR][..]), (IMAGE, &[]), ("", &[]), ("text/plain", &[TAR]), (IMAGE, &["text/plain"])]
        {
            assert!(parse(config, layers, "").is_ok(), "{config} {layers:?}");
        }
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
