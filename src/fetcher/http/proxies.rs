//! Proxy settings from the environment, where the HTTP client reads them differently than Go programs do.

use std::env;

use reqwest::Url;

/// Whether `NO_PROXY` has an entry for this URL of a kind that the client does not know: `*` for addresses too,
/// `*.domain`, and either with a port. The client knows names, domains, addresses and blocks of them.
pub(super) fn is_excepted(url: &Url) -> bool {
    is_listed(url, &variable("no_proxy"))
}

/// Names of the proxies' hosts.
pub(super) fn names() -> Vec<String> {
    let proxies = ["http_proxy", "https_proxy", "all_proxy"].map(variable);
    let urls =
        proxies.iter().map(|proxy| if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") });
    urls.filter_map(|proxy| Some(Url::parse(&proxy).ok()?.host_str()?.to_owned())).collect()
}

/// An empty variable is none.
fn variable(name: &str) -> String {
    let names = [name.to_ascii_uppercase(), name.to_owned()];
    names.into_iter().filter_map(|name| env::var(name).ok()).find(|value| !value.is_empty()).unwrap_or_default()
}

fn is_listed(url: &Url, no_proxy: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().map(|port| port.to_string()).unwrap_or_default();
    no_proxy.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let (name, wanted) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
            _ => (entry.as_str(), ""),
        };
        let is_below =
            |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
        let fits = match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
            Some(domain) => !domain.is_empty() && is_below(domain),
            None => name == "*" || name == host || (!wanted.is_empty() && !name.is_empty() && is_below(name)),
        };
        fits && (wanted.is_empty() || wanted == port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_those_of_go() {
        let is = |url: &str, list: &str| is_listed(&Url::parse(url).unwrap(), list);
        let address = "http://192.0.2.1:5000/v2/";
        for list in ["*", "a.example, *", "192.0.2.1:5000", "*:5000", " 192.0.2.1 "] {
            assert!(is(address, list), "{list}");
        }
        for list in ["", "192.0.2.1:5001", "*.example", ":5000", ","] {
            assert!(!is(address, list), "{list}");
        }
        let name = "https://a.b.example/v2/";
        for list in ["*.b.example", "*.example", ".example", "*.EXAMPLE:443", "example:443", "x,*.b.example"] {
            assert!(is(name, list), "{list}");
        }
        for list in ["*.a.b.example", "*.xample", "*.", "*.example:80", "*.*", "a.b.exampl", "b*.example"] {
            assert!(!is(name, list), "{list}");
        }
        assert!(!is("https://b.example/", "*.b.example"));
    }
}
