//! Names of images in registries, as Docker reads them (github.com/distribution/reference).
//!
//! The first component is a registry if it looks like a host: it has a dot or a port, or it is `localhost`. All else is
//! in Docker's own registry.

use super::reference::ParseError;
use crate::redact;

/// Docker's own registry by the name people use, and by the name of its server.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";
/// Longest repository name.
const NAME_LIMIT: usize = 255;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerReference {
    /// The registry, `host` or `host:port`.
    pub registry: String,
    /// The repository, with its `library/` where that goes without saying.
    pub repository: String,
    /// The tag; `latest` where neither tag nor digest is given.
    pub tag: Option<String>,
    /// Digest of the manifest or index, with its algorithm. It wins over the tag.
    pub digest: Option<String>,
}

impl DockerReference {
    /// Reads what is behind `docker://` in `text`. User information and queries are dropped; a fragment is a tag, as
    /// Garden writes it.
    pub(super) fn parse(text: &str, rest: &str) -> Result<Self, ParseError> {
        parse(rest).map_err(|reason| ParseError::Docker(redact::address(text).into_owned(), reason))
    }

    /// Where the registry is to be reached, `host` or `host:port`.
    pub fn server(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_SERVER } else { &self.registry }
    }

    /// What the manifest is asked for by.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

/// Whether a digest is one that blobs can be asked for and verified by.
pub fn is_sha256(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn parse(rest: &str) -> Result<DockerReference, String> {
    let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
    let rest = rest.split('?').next().unwrap_or_default();
    let name = without_user(rest)?.trim_start_matches('/');
    let (name, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
    let (registry, path) = split_registry(name);
    let (path, tag) = path.split_once(':').map_or((path, None), |(path, tag)| (path, Some(tag)));
    let tag = tag.or(fragment.filter(|tag| !tag.is_empty()));
    check_registry(registry)?;
    let repository =
        if registry == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
    check_repository(&repository, path)?;
    tag.map_or(Ok(()), check_tag)?;
    if let Some(digest) = digest.filter(|digest| !is_sha256(digest)) {
        return Err(format!(
            "`{digest}` is not a digest: sha256: and 64 hexadecimal digits in lower case are expected"
        ));
    }
    let tag = tag.or(if digest.is_none() { Some("latest") } else { None });
    Ok(DockerReference {
        registry: registry.to_owned(),
        repository,
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

/// In `docker://host/…` the host may have a user before it, which is never quoted. A host alone is no image.
fn without_user(rest: &str) -> Result<&str, String> {
    let (user, name) = redact::user_end(rest).map_or(("", rest), |at| (&rest[..at], &rest[at + 1..]));
    if user.contains('/') || (!user.is_empty() && !name.contains('/')) {
        return Err(
            "what is before the `@` cannot be user information (`/` is %2F there), what is behind it is not a \
                    digest (sha256:…): pass credentials with --username and --password"
                .to_owned(),
        );
    }
    let is_host = !name.contains('/') && name.split('@').next().is_some_and(|name| name.contains(':'));
    if is_host { Err(format!("`{name}` is a registry without an image: docker:///{name} is meant?")) } else { Ok(name) }
}

fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (DOCKER_HUB, path),
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => (DOCKER_HUB, name),
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            !label.is_empty() && is_plain && !label.starts_with('-') && !label.ends_with('-')
        }),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && !port.starts_with('+')));
    if is_host && is_port { Ok(()) } else { Err(format!("`{registry}` is not a registry: expected host or host:port")) }
}

fn check_repository(repository: &str, given: &str) -> Result<(), String> {
    if given.is_empty() {
        return Err("it names no image".to_owned());
    }
    if given.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("repository name `{given}` must be lower case"));
    }
    if repository.len() > NAME_LIMIT {
        return Err(format!("repository name is longer than {NAME_LIMIT} characters"));
    }
    match repository.split('/').all(is_component) {
        true => Ok(()),
        false => Err(format!("`{given}` is not a repository name")),
    }
}

/// Letters and digits, with single dots, one or two underscores or any number of dashes between them.
fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let ends_well =
        [component.bytes().next(), component.bytes().last()].into_iter().all(|end| end.is_some_and(is_word));
    ends_well
        && separators.into_iter().all(|text| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = tag.bytes().next().is_some_and(is_word);
    match starts_well && tag.len() <= 128 && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-')) {
        true => Ok(()),
        false => Err(format!("`{tag}` is not a tag")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn passwords_are_not_quoted() {
        for rest in [
            "me:pw@h.example/A",
            "me:p/w@h.example/x",
            "me:p/w@h/A",
            "/me:pw@h/x",
            "me:pw@h",
            "p/w@x@y",
            "me:pw@sha256:1",
        ] {
            let error = DockerReference::parse(&format!("docker://{rest}"), rest).unwrap_err().to_string();
            assert!(!error.contains("me:") && !error.contains("pw") && !error.contains("p/w"), "{error}");
            assert!(error.contains("docker://[redacted]@"), "{error}");
        }
    }

    #[test]
    fn reads_names_as_docker_does() {
        let pinned = format!("/busybox@{DIGEST}");
        let both = format!("h.example:5000/a/b:v1@{DIGEST}");
        let cases = [
            ("/busybox", "docker.io", "library/busybox", Some("latest"), None),
            ("/library/ubuntu:22.04", "docker.io", "library/ubuntu", Some("22.04"), None),
            ("/cfgarden/empty:v0.1.1", "docker.io", "cfgarden/empty", Some("v0.1.1"), None),
            ("cfgarden/empty", "docker.io", "cfgarden/empty", Some("latest"), None),
            ("ubuntu", "docker.io", "library/ubuntu", Some("latest"), None),
            ("/index.docker.io/busybox", "docker.io", "library/busybox", Some("latest"), None),
            ("/quay.io/a/b", "quay.io", "a/b", Some("latest"), None),
            ("host:5000/name", "host:5000", "name", Some("latest"), None),
            ("localhost/a_b/c--d.e__f:T", "localhost", "a_b/c--d.e__f", Some("T"), None),
            ("[::1]:5000/a", "[::1]:5000", "a", Some("latest"), None),
            ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000", "a/b/c", Some("1"), None),
            ("me:secret@host.example/a", "host.example", "a", Some("latest"), None),
            ("/busybox#1.36", "docker.io", "library/busybox", Some("1.36"), None),
            ("/busybox:1?x=y", "docker.io", "library/busybox", Some("1"), None),
            (pinned.as_str(), "docker.io", "library/busybox", None, Some(DIGEST)),
            (both.as_str(), "h.example:5000", "a/b", Some("v1"), Some(DIGEST)),
        ];
        for (text, registry, repository, tag, digest) in cases {
            let expected = DockerReference {
                registry: registry.into(),
                repository: repository.into(),
                tag: tag.map(str::to_owned),
                digest: digest.map(str::to_owned),
            };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_name_and_says_why() {
        let long = format!("/{}", "a".repeat(300));
        for (text, reason) in [
            ("/Ubuntu", "lower case"),
            ("host.example/a/B", "lower case"),
            ("ubuntu:trusty", "docker:///ubuntu:trusty"),
            ("host.example:port/a", "is not a registry"),
            ("host.example:0/a", "is not a registry"),
            ("-host.example/a", "is not a registry"),
            ("[::g]:1/a", "is not a registry"),
            ("/a/../b", "is not a repository name"),
            ("/a//b", "is not a repository name"),
            ("/a b", "is not a repository name"),
            ("/a%2fb", "is not a repository name"),
            ("/a___b", "is not a repository name"),
            ("/a-", "is not a repository name"),
            ("host.example/", "names no image"),
            ("/:tag", "names no image"),
            ("/a:", "is not a tag"),
            ("/a:b/c", "is not a"),
            ("/a:-x", "is not a tag"),
            ("/a@sha256:abc", "is not a digest"),
            ("/a@sha512:abc", "is not a digest"),
            (long.as_str(), "longer than 255"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn asks_the_server_of_docker_hub_and_by_digest_first() {
        let hub = parse(&format!("/a/b:c@{DIGEST}")).unwrap();
        assert_eq!((hub.server(), hub.version()), ("registry-1.docker.io", DIGEST));
        assert_eq!(parse("host:1/a").unwrap().server(), "host:1");
    }
}
