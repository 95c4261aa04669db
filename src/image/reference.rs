//! The `<image>` argument of `create`: which source it means, and where in it.

use std::path::PathBuf;

use super::docker_reference::DockerReference;
use crate::redact;

/// A parsed image argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A local tar archive, compressed or not.
    Tar(PathBuf),
    /// An OCI image layout directory and, after the first colon of the path, the name of the image in it.
    Oci {
        /// The layout's directory.
        layout: PathBuf,
        /// Value of `org.opencontainers.image.ref.name` to look for.
        name: Option<String>,
    },
    /// An image in a registry.
    Docker(DockerReference),
}

/// An image argument that means nothing.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// A colon before the first slash, in something that is not a URL.
    #[error("parse {0}: first path segment in URL cannot contain colon")]
    ColonInFirstSegment(String),
    /// A scheme nobody serves.
    #[error(
        "image `{0}` has an unknown scheme `{1}`: use oci:///path/to/layout:tag, docker:// or the path of a tar file"
    )]
    UnknownScheme(String, String),
    /// Nothing behind the scheme.
    #[error("image `{0}` names no path")]
    Empty(String),
    /// Not the name of an image in a registry.
    #[error("fetching image reference: parsing url failed: {0}: {1}")]
    Docker(String, String),
}

impl Reference {
    /// Reads an image argument.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        match text.split_once("://") {
            Some(("docker", rest)) if !rest.trim_start_matches('/').is_empty() => {
                DockerReference::parse(text, rest).map(Reference::Docker)
            }
            Some(("oci", rest)) => parse_oci(text, rest),
            Some(("docker", _)) => Err(ParseError::Empty(shown(text))),
            Some((scheme, _)) if is_scheme(scheme) => Err(ParseError::UnknownScheme(shown(text), scheme.to_owned())),
            _ => parse_path(text),
        }
    }
}

/// What stands in place of a host is the path's first component: `oci://tmp/image` is `/tmp/image`.
fn parse_oci(text: &str, rest: &str) -> Result<Reference, ParseError> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name.to_owned())),
        None => (rest, None),
    };
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Err(ParseError::Empty(shown(text)));
    }
    Ok(Reference::Oci { layout: PathBuf::from(format!("/{path}")), name: name.filter(|name| !name.is_empty()) })
}

fn parse_path(text: &str) -> Result<Reference, ParseError> {
    let first_segment = text.split('/').next().unwrap_or_default();
    if first_segment.contains(':') {
        return Err(ParseError::ColonInFirstSegment(shown(text)));
    }
    if text.is_empty() {
        return Err(ParseError::Empty(shown(text)));
    }
    Ok(Reference::Tar(PathBuf::from(text)))
}

fn shown(text: &str) -> String {
    redact::address(text).into_owned()
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oci(layout: &str, name: Option<&str>) -> Reference {
        Reference::Oci { layout: layout.into(), name: name.map(str::to_owned) }
    }

    #[test]
    fn tells_the_sources_apart() {
        let cases = [
            ("/a/b.tar", Reference::Tar("/a/b.tar".into())),
            ("b c.tar", Reference::Tar("b c.tar".into())),
            ("./a:b.tar", Reference::Tar("./a:b.tar".into())),
            ("oci:///a/b:latest", oci("/a/b", Some("latest"))),
            ("oci:///a/b", oci("/a/b", None)),
            ("oci://a/b:x:y", oci("/a/b", Some("x:y"))),
        ];
        for (text, expected) in cases {
            assert_eq!(Reference::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn passwords_are_not_quoted() {
        for text in ["https://u:PW@h/x", "ftp://u:P/W@h/x", "u:PW@h/x", "https:/u:PW@h/x", "docker://u:P/W@h/x"] {
            let message = Reference::parse(text).unwrap_err().to_string();
            assert!(message.contains("[redacted]@h/x") && !message.contains('W'), "{message}");
        }
    }

    #[test]
    fn refuses_what_means_nothing() {
        let message = |text| Reference::parse(text).unwrap_err().to_string();
        assert_eq!(message("foo:bar baz"), "parse foo:bar baz: first path segment in URL cannot contain colon");
        assert!(message("http://host/x.tar").contains("unknown scheme `http`"));
        assert!(message("oci://").contains("names no path"));
        assert!(message("docker:///").contains("names no path"));
        assert!(message("").contains("names no path"));
        assert_eq!(
            message("docker:///A"),
            "fetching image reference: parsing url failed: docker:///A: repository name `A` must be lower case"
        );
    }
}
