//! The `<image>` argument of `create`: which source it means, and where in it.

use std::path::PathBuf;

use super::docker_reference::DockerReference;
use crate::redact;

/// A parsed image argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A local file, a tar archive above all, or a directory: what is there decides. `-` is standard input.
    Tar(PathBuf),
    /// A name that may be a file's, and is an image's in a registry where there is no such file.
    Name {
        /// The file.
        path: PathBuf,
        /// The image.
        docker: DockerReference,
    },
    /// A tar archive of an OCI image layout.
    OciArchive {
        /// The archive.
        path: PathBuf,
        /// Name of the image in it.
        name: Option<String>,
    },
    /// An archive of `docker save`.
    DockerArchive {
        /// The archive.
        path: PathBuf,
        /// Name of the image in it, or `@` and its position.
        name: Option<String>,
    },
    /// A directory that skopeo's `dir:` has written.
    Directory(PathBuf),
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
    #[error("parse {0}: first path segment in URL cannot contain colon, and no image of a registry has this name: {1}")]
    ColonInFirstSegment(String, String),
    /// A scheme nobody serves.
    #[error("image `{0}` has an unknown scheme `{1}`: {remedy}", remedy = instead(.0, .1))]
    UnknownScheme(String, String),
    /// Nothing behind the scheme.
    #[error("image `{0}` names no path")]
    Empty(String),
    /// Not the name of an image in a registry.
    #[error("fetching image reference: parsing url failed: {0}: {1}")]
    Docker(String, String),
}

/// What to write in place of an address that nothing is read from.
fn instead(text: &str, scheme: &str) -> String {
    let rest = text.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    // With two slashes it would be a URL again.
    let path = rest.find(|c| c != '/').map_or(rest, |start| &rest[start.saturating_sub(1)..]);
    match scheme {
        "http" | "https" if !is_name_of_file(text) && DockerReference::parse(text, rest).is_ok() => {
            format!("write docker://{rest} for an image in a registry, or download the file first and give its path")
        }
        "http" | "https" | "ftp" => format!("download the file first (curl -fLo image.tar '{text}') and give its path"),
        "file" | "tar" | "tarball" => format!("write the path alone, {path}"),
        "dir" | "docker-archive" | "oci-archive" => format!("write {scheme}:{path}"),
        "oci-layout" => format!("write oci:{path}"),
        "docker-daemon" => {
            "write the image to a file first (docker save -o image.tar NAME) and give its path".to_owned()
        }
        "containers-storage" | "podman" => {
            "write the image to a file first (podman save -o image.tar NAME) and give its path".to_owned()
        }
        _ => "use oci:///path/to/layout:tag, docker:// or the path of a tar file".to_owned(),
    }
}

impl Reference {
    /// Reads an image argument.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // As in any URL the case of the scheme is of no meaning.
        let scheme_and_rest = text.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        match scheme_and_rest.as_ref().map(|(scheme, rest)| (scheme.as_str(), *rest)) {
            Some(("docker", rest)) if !rest.trim_start_matches('/').is_empty() => {
                DockerReference::parse(text, rest).map(Reference::Docker)
            }
            Some(("oci", rest)) => parse_oci(text, rest),
            Some(("docker", _)) => Err(ParseError::Empty(shown(text))),
            Some((scheme, _)) if is_scheme(scheme) => Err(unknown_scheme(text, scheme)),
            _ => parse_transport(text).unwrap_or_else(|| parse_path(text)),
        }
    }
}

fn unknown_scheme(text: &str, scheme: &str) -> ParseError {
    ParseError::UnknownScheme(shown(text), scheme.to_owned())
}

/// The forms of skopeo and podman: `transport:path[:name]`.
fn parse_transport(text: &str) -> Option<Result<Reference, ParseError>> {
    let (transport, rest) = text.split_once(':')?;
    let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name.to_owned())));
    let (path, name) = (PathBuf::from(path), name.filter(|name| !name.is_empty()));
    let reference = match transport {
        "oci" => Reference::Oci { layout: path, name },
        "oci-archive" => Reference::OciArchive { path, name },
        "docker-archive" => Reference::DockerArchive { path, name },
        "dir" => Reference::Directory(PathBuf::from(rest)),
        "docker-daemon" | "containers-storage" => return Some(Err(unknown_scheme(text, transport))),
        "file" | "tar" | "tarball" | "oci-layout" if rest.starts_with(['/', '.']) || is_name_of_file(rest) => {
            return Some(Err(unknown_scheme(text, transport)));
        }
        _ => return None,
    };
    Some(if rest.is_empty() || rest.starts_with(':') { Err(ParseError::Empty(shown(text))) } else { Ok(reference) })
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
    if text.is_empty() {
        return Err(ParseError::Empty(shown(text)));
    }
    let path = PathBuf::from(text);
    if text == "-" || text.starts_with(['/', '.', '~']) || is_name_of_file(text) {
        return Ok(Reference::Tar(path));
    }
    match DockerReference::parse(text, &format!("/{text}")) {
        Ok(docker) => Ok(Reference::Name { path, docker }),
        Err(error) if text.contains("@sha256:") => Err(error),
        Err(ParseError::Docker(shown, reason)) if text.split('/').next().is_some_and(|first| first.contains(':')) => {
            Err(ParseError::ColonInFirstSegment(shown, reason))
        }
        Err(_) => Ok(Reference::Tar(path)),
    }
}

/// Whether a name ends as those of archives do, and no tag follows.
fn is_name_of_file(text: &str) -> bool {
    const ENDS: [&str; 14] = [
        ".tar",
        ".tgz",
        ".txz",
        ".tbz2",
        ".tzst",
        ".gz",
        ".xz",
        ".bz2",
        ".zst",
        ".zip",
        ".sqfs",
        ".squashfs",
        ".img",
        ".iso",
    ];
    let text = text.to_ascii_lowercase();
    ENDS.iter().any(|end| text.ends_with(end))
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
            ("oci:/a/b:latest", oci("/a/b", Some("latest"))),
            ("oci:a/b", oci("a/b", None)),
            ("dir:/a:b", Reference::Directory("/a:b".into())),
            ("oci-archive:a.tar:x", Reference::OciArchive { path: "a.tar".into(), name: Some("x".into()) }),
            ("docker-archive:/a.tar", Reference::DockerArchive { path: "/a.tar".into(), name: None }),
            (
                "docker-archive:/a.tar:host:5000/b:c",
                Reference::DockerArchive { path: "/a.tar".into(), name: Some("host:5000/b:c".into()) },
            ),
            ("-", Reference::Tar("-".into())),
            ("/dev/stdin", Reference::Tar("/dev/stdin".into())),
            ("images/base.TAR.GZ", Reference::Tar("images/base.TAR.GZ".into())),
            ("OCI:///a/b:x", oci("/a/b", Some("x"))),
            ("./busybox", Reference::Tar("./busybox".into())),
            ("Not an image", Reference::Tar("Not an image".into())),
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
    fn plain_names_are_images_where_there_is_no_such_file() {
        for (text, registry, repository, version) in [
            ("busybox", "docker.io", "library/busybox", "latest"),
            ("ubuntu:22.04", "docker.io", "library/ubuntu", "22.04"),
            ("docker:dind", "docker.io", "library/docker", "dind"),
            ("host.example/a/b:c", "host.example", "a/b", "c"),
            ("localhost:5000/a", "localhost:5000", "a", "latest"),
        ] {
            let Reference::Name { path, docker } = Reference::parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(path, PathBuf::from(text));
            assert_eq!(
                (docker.registry.as_str(), docker.repository.as_str(), docker.version()),
                (registry, repository, version)
            );
        }
    }

    #[test]
    fn says_which_form_works() {
        let message = |text| Reference::parse(text).unwrap_err().to_string();
        assert!(message("https://host/x.tar").contains("curl -fLo image.tar 'https://host/x.tar'"));
        assert!(message("file:///a/b.tar").ends_with("write the path alone, /a/b.tar"));
        assert!(message("file:b.tar").ends_with("write the path alone, b.tar"));
        assert!(message("tarball:/a/b").ends_with("write the path alone, /a/b"));
        assert!(message("oci-archive:////a/b.tar").ends_with("write oci-archive:/a/b.tar"));
        assert!(message("oci-layout:///a/b:c").ends_with("write oci:/a/b:c"));
        assert!(message("https://host.example/a/b:c").contains("write docker://host.example/a/b:c"));
        assert!(message("busybox@sha256:abc").contains("`sha256:abc` is not a digest"));
        assert!(message("Ubuntu:22.04").ends_with("repository name `Ubuntu` must be lower case"));
        assert!(message("docker-archive:///a.tar").ends_with("write docker-archive:/a.tar"));
        assert!(message("docker-daemon:busybox").contains("docker save"));
        assert!(message("containers-storage:busybox").contains("podman save"));
        for empty in ["oci:", "dir:", "docker-archive:", "oci-archive::x"] {
            assert!(message(empty).contains("names no path"), "{empty}");
        }
    }

    #[test]
    fn refuses_what_means_nothing() {
        let message = |text| Reference::parse(text).unwrap_err().to_string();
        assert!(
            message("foo:bar baz").starts_with("parse foo:bar baz: first path segment in URL cannot contain colon")
        );
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
