//! The endpoints of an image: its mirrors, then its own registry.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::image::DockerReference;
use crate::redact;

/// A registry or mirror, and what the image is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// What credentials are kept for, `host` or `host:port`.
    pub(super) registry: String,
    /// Where it is to be reached, `host` or `host:port`.
    pub(super) server: String,
    /// The repository, with the mirror's prefix.
    pub(super) repository: String,
    /// The scheme, where there is no choice.
    pub(super) scheme: Option<&'static str>,
    /// Whether this is the image's own registry.
    pub(super) is_origin: bool,
}

/// A mirror that is no address.
#[derive(Debug, thiserror::Error)]
#[error("registry mirror `{0}` is not an endpoint: expected [http://|https://]host[:port][/prefix]")]
pub(super) struct BadMirror(String);

/// The endpoints to ask for an image, in this order. `mirrors` has the mirrors of each registry.
pub(super) fn endpoints(
    reference: &DockerReference,
    mirrors: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<Endpoint>, BadMirror> {
    let is_own = |registry: &str| {
        [reference.registry.as_str(), reference.server()].iter().any(|own| own.eq_ignore_ascii_case(registry))
    };
    let of_registry = mirrors.iter().filter(|(registry, _)| is_own(registry)).flat_map(|(_, mirrors)| mirrors);
    let mut endpoints =
        of_registry.map(|text| mirror(text, &reference.repository)).collect::<Result<Vec<_>, BadMirror>>()?;
    endpoints.push(origin(reference));
    Ok(endpoints)
}

/// The image's own registry.
pub(super) fn origin(reference: &DockerReference) -> Endpoint {
    Endpoint {
        registry: reference.registry.clone(),
        server: reference.server().to_owned(),
        repository: reference.repository.clone(),
        scheme: None,
        is_origin: true,
    }
}

fn mirror(text: &str, repository: &str) -> Result<Endpoint, BadMirror> {
    let bad = || BadMirror(redact::address(text).into_owned());
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Some("http"), rest),
        Some(("https", rest)) => (Some("https"), rest),
        Some(_) => return Err(bad()),
        None => (None, text),
    };
    let (server, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let url = Url::parse(&format!("https://{server}/")).map_err(|_| bad())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let prefix = prefix.trim_matches('/');
    if server.is_empty()
        || !is_plain
        || prefix.contains(['?', '#', '%', '\\'])
        || prefix.split('/').any(|part| part == "..")
    {
        return Err(bad());
    }
    let repository = if prefix.is_empty() { repository.to_owned() } else { format!("{prefix}/{repository}") };
    let server = server.to_owned();
    Ok(Endpoint { registry: server.clone(), server, repository, scheme, is_origin: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    fn of(image: &str, mirrors: &[(&str, &[&str])]) -> Result<Vec<Endpoint>, BadMirror> {
        let Ok(Reference::Docker(reference)) = Reference::parse(image) else { panic!("{image}") };
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        endpoints(&reference, &mirrors.iter().map(|(host, list)| ((*host).to_owned(), owned(list))).collect())
    }

    #[test]
    fn mirrors_come_in_their_order_and_the_origin_last() {
        let mirrors: &[(&str, &[&str])] = &[
            ("docker.io", &["m.example", "http://n.example:5000/hub/", "https://o.example/a/b"]),
            ("other.example", &["p.example"]),
        ];
        let endpoints = of("docker:///busybox", mirrors).unwrap();
        let shown: Vec<String> =
            endpoints.iter().map(|e| format!("{} {} {:?} {}", e.server, e.repository, e.scheme, e.is_origin)).collect();
        assert_eq!(
            shown,
            [
                "m.example library/busybox None false",
                "n.example:5000 hub/library/busybox Some(\"http\") false",
                "o.example a/b/library/busybox Some(\"https\") false",
                "registry-1.docker.io library/busybox None true",
            ]
        );
        assert_eq!(endpoints[3].registry, "docker.io");
        assert_eq!(of("docker://h.example/a", mirrors).unwrap().len(), 1);
        assert_eq!(of("docker:///a", &[("registry-1.docker.io", &["m.example"])]).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "ftp://m.example", "me:secret@m.example", "http://", "m.example/a?b", "m.example/../x", "a b"] {
            let error = of("docker:///a", &[("docker.io", &[bad])]).unwrap_err().to_string();
            assert!(error.contains("is not an endpoint") && !error.contains("secret"), "{bad}: {error}");
        }
    }
}
