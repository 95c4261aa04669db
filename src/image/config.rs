//! The image configuration: the environment, the volumes and the diff ids.

use oci_spec::image::ImageConfiguration;

/// What GrootFS uses of an image configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Environment, verbatim.
    pub env: Vec<String>,
    /// Declared volumes, sorted.
    pub volumes: Vec<String>,
    /// Digests of the uncompressed layers, bottom first, with their algorithm.
    pub diff_ids: Vec<String>,
}

/// Reads an image configuration document.
pub fn parse_config(json: &[u8]) -> Result<ImageConfig, serde_json::Error> {
    // Not by `from_reader`, whose error does not say what is wrong with the document.
    let document: ImageConfiguration = serde_json::from_slice(json)?;
    let process = document.config().clone().unwrap_or_default();
    let mut volumes = process.volumes().clone().unwrap_or_default();
    volumes.sort();
    Ok(ImageConfig {
        env: process.env().clone().unwrap_or_default(),
        volumes,
        diff_ids: document.rootfs().diff_ids().clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_env_volumes_and_diff_ids() {
        let json = br#"{"architecture":"amd64","os":"linux","created":null,
            "config":{"Env":["PATH=/bin","A=b"],"Volumes":{"/z":{},"/a":{}},"Labels":null,"ExposedPorts":null},
            "rootfs":{"type":"layers","diff_ids":["sha256:one","sha256:two"]},"history":null,"container":"x"}"#;
        let config = parse_config(json).unwrap();
        assert_eq!(config.env, ["PATH=/bin", "A=b"]);
        assert_eq!(config.volumes, ["/a", "/z"]);
        assert_eq!(config.diff_ids, ["sha256:one", "sha256:two"]);
    }

    #[test]
    fn reads_the_bare_form_that_garden_writes() {
        let json = br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Volumes":null},
            "rootfs":{"type":"layers","diff_ids":["sha256:some-digest"]}}"#;
        assert_eq!(parse_config(json).unwrap().diff_ids, ["sha256:some-digest"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (json, reason) in [("{", "EOF"), ("[]", "invalid"), ("{}", "missing field `architecture`")] {
            let error = parse_config(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
