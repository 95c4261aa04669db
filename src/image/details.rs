//! What an image's configuration says of the process to start and of itself (OCI image specification, `config.md`). None of
//! it is needed to make a root filesystem, so nothing in it can be wrong: what is not of the expected type is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of an image's configuration that runtimes and people want.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct ImageDetails {
    /// Processor architecture, in Go's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// Operating system, in Go's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Variant of the architecture.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// When the image was built, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub built: String,
    /// What is run, before `cmd`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Arguments of the entrypoint, or what is run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// `user[:group]`, names or ids.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Working directory of the process.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Environment of the process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Declared volumes, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Ports, as `80/tcp`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// Signal that asks the process to end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

impl ImageDetails {
    /// Reads a configuration document. What cannot be read is empty.
    pub fn parse(json: &[u8]) -> Self {
        let document: Value = serde_json::from_str(&String::from_utf8_lossy(json)).unwrap_or_default();
        let config = member(&document, "config");
        let text_of = |name| text(member(&document, name));
        ImageDetails {
            architecture: text_of("architecture"),
            os: text_of("os"),
            variant: text_of("variant"),
            built: text_of("created"),
            entrypoint: texts(member(config, "Entrypoint")),
            cmd: texts(member(config, "Cmd")),
            user: text(member(config, "User")),
            working_dir: text(member(config, "WorkingDir")),
            env: texts(member(config, "Env")),
            labels: labels(member(config, "Labels")),
            volumes: keys(member(config, "Volumes")),
            exposed_ports: keys(member(config, "ExposedPorts")),
            stop_signal: text(member(config, "StopSignal")),
        }
    }

    /// `os/architecture[/variant]`; empty where the configuration does not say.
    pub fn platform(&self) -> String {
        let parts = [&self.os, &self.architecture, &self.variant];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/")
    }
}

/// A member by its name in any case, as Go reads it.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let found = value.as_object().and_then(|members| {
        let exact = members.get(name);
        exact.or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    });
    found.unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A list of texts. Old programs write a single one without its list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(list) => list.iter().map(text).collect(),
        _ => Vec::new(),
    }
}

/// The members of a set, which some programs write as a list.
fn keys(value: &Value) -> Vec<String> {
    let mut keys = match value {
        Value::Object(members) => members.keys().cloned().collect(),
        other => texts(other),
    };
    keys.sort();
    keys.dedup();
    keys
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_container_is_started_with() {
        let details = ImageDetails::parse(
            br#"{"architecture":"arm64","os":"linux","variant":"v8","created":"2024-01-02T03:04:05Z","config":{
                "Entrypoint":["/tini","--"],"cmd":["sh"],"User":"app:staff","WorkingDir":"/srv","Env":["A=b"],
                "Labels":{"x":"y"},"Volumes":{"/b":{},"/a":{}},"ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGINT"}}"#,
        );
        assert_eq!(details.platform(), "linux/arm64/v8");
        assert_eq!(
            (details.entrypoint.as_slice(), details.cmd.as_slice()),
            (&["/tini".into(), "--".into()][..], &["sh".into()][..])
        );
        assert_eq!((details.user.as_str(), details.working_dir.as_str()), ("app:staff", "/srv"));
        assert_eq!(
            (details.volumes.as_slice(), details.exposed_ports.as_slice()),
            (&["/a".into(), "/b".into()][..], &["80/tcp".into()][..])
        );
        assert_eq!(details.labels.get("x").map(String::as_str), Some("y"));
        let json = serde_json::to_vec(&details).unwrap();
        assert_eq!(serde_json::from_slice::<ImageDetails>(&json).unwrap(), details);
    }

    #[test]
    fn what_is_of_another_type_is_left_out() {
        for json in
            [&b"{"[..], b"[]", b"null", br#"{"config":[]}"#, br#"{"os":7,"config":{"Cmd":7,"User":[],"Labels":[]}}"#]
        {
            assert_eq!(ImageDetails::parse(json), ImageDetails::default());
        }
        assert_eq!(ImageDetails::parse(br#"{"config":{"Cmd":"sh"}}"#).cmd, ["sh"]);
    }
}
