//! The image configuration: the environment, the volumes and the diff ids.

use super::json::Json;

/// What GrootFS uses of an image configuration. Nothing else in it is decoded.
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
///
/// # Errors
/// That it is not JSON, or which member is not what it should be.
pub fn parse_config(json: &[u8]) -> Result<ImageConfig, String> {
    let text = String::from_utf8_lossy(json);
    let mut config = ImageConfig::default();
    Json::parse(&text).map_err(|error| error.to_string())?.members("the configuration", |name, value| match name {
        "config" => value.members("config", |name, value| match name {
            "env" => value.texts("config.Env").map(|env| config.env = env),
            "volumes" => read_volumes(&mut config.volumes, value),
            _ => Ok(()),
        }),
        "rootfs" => value.members("rootfs", |name, value| match name {
            "diff_ids" => value.texts("rootfs.diff_ids").map(|ids| config.diff_ids = ids),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    config.volumes.sort();
    config.volumes.dedup();
    Ok(config)
}

/// The keys of an object, as in Go where it is a set. Some programs write a list.
fn read_volumes(volumes: &mut Vec<String>, json: Json<'_>) -> Result<(), String> {
    const WHAT: &str = "config.Volumes";
    if json.is_list() {
        return json.texts(WHAT).map(|paths| volumes.extend(paths));
    }
    if !json.is_some() {
        volumes.clear();
    }
    json.entries(WHAT, |path, _| {
        volumes.push(path.to_owned());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(env: &[&str], volumes: &[&str], diff_ids: &[&str]) -> ImageConfig {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ImageConfig { env: owned(env), volumes: owned(volumes), diff_ids: owned(diff_ids) }
    }

    #[test]
    fn reads_env_volumes_and_diff_ids() {
        let json = br#"{"architecture":"amd64","os":"linux","created":null,
            "config":{"Env":["PATH=/bin","A=b"],"Volumes":{"/z":{},"/a":{}},"Labels":null,"ExposedPorts":null},
            "rootfs":{"type":"layers","diff_ids":["sha256:one","sha256:two"]},"history":null,"container":"x"}"#;
        assert_eq!(parse_config(json), Ok(config(&["PATH=/bin", "A=b"], &["/a", "/z"], &["sha256:one", "sha256:two"])));
    }

    #[test]
    fn reads_as_go_does() {
        let a = config(&["A=b"], &[], &[]);
        for (json, expected) in [
            ("{}", config(&[], &[], &[])),
            ("null", config(&[], &[], &[])),
            (r#"{"config":null,"rootfs":null}"#, config(&[], &[], &[])),
            (r#"{"config":{"Env":null,"Volumes":null},"rootfs":{"diff_ids":null}}"#, config(&[], &[], &[])),
            (r#"{"config":{"env":["A=b"]}}"#, a.clone()),
            (r#"{"CONFIG":{"ENV":["A=b"]}}"#, a.clone()),
            (r#"{"config":{},"config":{"Env":["A=b"]}}"#, a.clone()),
            (r#"{"config":{"Env":["x","y"],"Env":["A=b"]}}"#, a.clone()),
            (r#"{"config":{"Env":["x"],"env":["A=b"]}}"#, a.clone()),
            (r#"{"config":{"Env":["A=b"]},"config":{"Cmd":["x"]},"Config":null}"#, a.clone()),
            (r#"{"config":{"Env":["x"],"Env":null}}"#, config(&[], &[], &[])),
            (r#"{"config":{"Env":["=x","A","",null]}}"#, config(&["=x", "A", "", ""], &[], &[])),
            (r#"{"config":{"Volumes":{"/v":null,"/w":{"x":1}}}}"#, config(&[], &["/v", "/w"], &[])),
            (r#"{"config":{"Volumes":["/v"]}}"#, config(&[], &["/v"], &[])),
            (r#"{"config":{"Volumes":{"/v":{}},"volumes":{"/V":{}, "/v":{}}}}"#, config(&[], &["/V", "/v"], &[])),
            (r#"{"rootfs":{"diff_ids":["a"]},"ROOTFS":{"Diff_IDs":["b"]}}"#, config(&[], &[], &["b"])),
        ] {
            assert_eq!(parse_config(json.as_bytes()), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_is_not_used_cannot_be_wrong() {
        let (bad, members) = (
            [r#""x""#, "7", "true", "[null]", r#"{"a":1}"#],
            [
                "User",
                "ExposedPorts",
                "Entrypoint",
                "Cmd",
                "WorkingDir",
                "Labels",
                "StopSignal",
                "Memory",
                "Healthcheck",
                "ArgsEscaped",
                "OnBuild",
                "Shell",
                "Domainname",
            ],
        );
        for value in bad {
            for member in members {
                let json = format!(r#"{{"config":{{"{member}":{value},"Env":["A=b"]}}}}"#);
                assert_eq!(parse_config(json.as_bytes()), Ok(config(&["A=b"], &[], &[])), "{json}");
            }
            for member in
                ["architecture", "os", "variant", "created", "author", "history", "container_config", "id", "Size"]
            {
                let json = format!(r#"{{"{member}":{value},"config":{{"Env":["A=b"]}},"rootfs":{{"type":{value}}}}}"#);
                assert_eq!(parse_config(json.as_bytes()), Ok(config(&["A=b"], &[], &[])), "{json}");
            }
        }
    }

    #[test]
    fn text_that_is_not_unicode_is_replaced() {
        assert_eq!(
            parse_config(b"{\"config\":{\"Env\":[\"A=\xff\",\"\\ud800\"]}}"),
            Ok(config(&["A=\u{fffd}", "\u{fffd}"], &[], &[]))
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (json, reason) in [
            ("{", "EOF"),
            ("[]", "the configuration is not an object"),
            ("\u{feff}{}", "expected value"),
            (r#"{"config":[]}"#, "config is not an object"),
            (r#"{"config":{"Env":"A=b"}}"#, "config.Env is not a list"),
            (r#"{"config":{"Env":[1]}}"#, "config.Env is not a list of strings"),
            (r#"{"config":{"Volumes":"/v"}}"#, "config.Volumes is not an object"),
            (r#"{"rootfs":{"diff_ids":["a",{}]}}"#, "rootfs.diff_ids is not a list of strings"),
        ] {
            let error = parse_config(json.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
