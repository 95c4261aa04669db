//! Takes credentials out of what is shown: user information before a host, and the queries of URLs.
//!
//! Users put passwords into addresses of all kinds, well-formed or not: image arguments, mirrors, proxies. A message may
//! quote any of them, so messages and log fields pass through [`message`] on their way out. It would rather hide a word
//! too many: what precedes an `@` is hidden unless the `@` begins a digest or is part of a local path.

use std::borrow::Cow;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// An image argument, mirror or other address as it may be shown. Spaces do not end it.
pub fn address(text: &str) -> Cow<'_, str> {
    match is_suspicious(text) {
        true => word(text),
        false => Cow::Borrowed(text),
    }
}

/// A message, with each address in it as it may be shown.
pub fn message(text: &str) -> Cow<'_, str> {
    if !is_suspicious(text) {
        return Cow::Borrowed(text);
    }
    let words = text.split_inclusive(char::is_whitespace).map(|part| {
        let end = part.trim_end().len();
        word(&part[..end]) + &part[end..]
    });
    Cow::Owned(words.collect())
}

/// Spares most texts the work.
fn is_suspicious(text: &str) -> bool {
    text.contains(['@', '?'])
}

fn word(text: &str) -> Cow<'_, str> {
    let start = text.len() - text.trim_start_matches(['"', '\'', '`', '(', '[', '{', '<']).len();
    let (quotes, address) = text.split_at(start);
    match (secret_before_host(address), secret_query(address)) {
        (None, None) => Cow::Borrowed(text),
        (user, query) => {
            let (begin, end) = user.unwrap_or((0, 0));
            let query = query.filter(|(from, _)| *from >= end);
            let (from, to) = query.unwrap_or((address.len(), address.len()));
            let user = if user.is_some() { REDACTED } else { "" };
            let query = if query.is_some() { REDACTED } else { "" };
            let parts = [quotes, &address[..begin], user, &address[end..from], query, &address[to..]];
            Cow::Owned(parts.concat())
        }
    }
}

/// Where user information is: between the scheme and the last `@`.
fn secret_before_host(address: &str) -> Option<(usize, usize)> {
    if address.starts_with(['/', '.']) {
        return None;
    }
    let end = user_end(address)?;
    let begin = match address[..end].find("://") {
        // The path of a layout may have an `@`.
        Some(scheme) if &address[..scheme] == "oci" && address[scheme..].starts_with(":///") => return None,
        Some(scheme) => scheme + "://".len(),
        None if address[..end].contains(':') => 0,
        None => return None,
    };
    Some((begin, end))
}

/// The last `@` that does not begin the digest of an image.
pub(crate) fn user_end(address: &str) -> Option<usize> {
    let last = address.rfind('@')?;
    if is_digest(&address[last + 1..]) { address[..last].rfind('@') } else { Some(last) }
}

/// `sha256:9f86…`, and whatever is not part of it behind it. A number of up to five digits is a port.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, rest)) = text.split_once(':') else { return false };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let is_port = end <= 5 && rest[..end].bytes().all(|byte| byte.is_ascii_digit());
    let is_algorithm = algorithm.starts_with("sha") && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_algorithm && !is_port && !rest[end..].starts_with('/')
}

/// Where the query of a URL is. Signatures are there, and tokens.
fn secret_query(address: &str) -> Option<(usize, usize)> {
    const WITH_QUERIES: [&str; 5] = ["http", "https", "docker", "socks5", "socks5h"];
    let (scheme, _) = address.split_once("://")?;
    let from = address.find('?')? + 1;
    let length = address[from..].find(['#', '"', '\'', '`', '>']).unwrap_or(address.len() - from);
    (length > 0 && WITH_QUERIES.contains(&scheme)).then_some((from, from + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (text, shown) in [
            ("docker://u:PW@h/x", "docker://[redacted]@h/x"),
            ("https://u:PW@h/x", "https://[redacted]@h/x"),
            ("docker://PW@h/x", "docker://[redacted]@h/x"),
            ("docker://u:P/W@h/x", "docker://[redacted]@h/x"),
            ("docker://u:P@W@h/x", "docker://[redacted]@h/x"),
            ("docker:///u:PW@h/x", "docker://[redacted]@h/x"),
            ("docker://u:P W@h/x", "docker://[redacted]@h/x"),
            ("docker://u:PW@h/x@sha256:9f86d0", "docker://[redacted]@h/x@sha256:9f86d0"),
            ("docker://u:PW@sha256:5000/x", "docker://[redacted]@sha256:5000/x"),
            ("docker://u:PW@sha256:5000", "docker://[redacted]@sha256:5000"),
            ("https:/u:PW@h/x", "[redacted]@h/x"),
            ("u:PW@h/x", "[redacted]@h/x"),
            ("oci://u:PW@h/x", "oci://[redacted]@h/x"),
            ("https://h/x?token=PW#1", "https://h/x?[redacted]#1"),
            ("https://u:PW@h/x?token=PW", "https://[redacted]@h/x?[redacted]"),
            ("https://u:PW@h/x?token=PW@y", "https://[redacted]@y"),
        ] {
            assert_eq!(address(text), shown);
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "",
            "docker:///a@sha256:b",
            "docker:///library/a:1@sha512:9f86d0",
            "docker://h.example:5000/a:b",
            "/a:b@c.tar",
            "./a:b@c.tar",
            "me@c.tar",
            "oci:///a/b@c:d",
            "/a?b",
            "what?",
            "https://h/what?",
        ] {
            assert_eq!(address(text), text);
            assert_eq!(message(text), text);
        }
    }

    #[test]
    fn messages_are_searched_for_addresses() {
        for (text, shown) in [
            ("image `https://u:PW@h/x` is\nodd", "image `https://[redacted]@h/x` is\nodd"),
            ("unexpected argument 'docker://u:PW@h/x' found", "unexpected argument 'docker://[redacted]@h/x' found"),
            (r#"[("h", ["u:PW@m", "https://h?k=PW"])]"#, r#"[("h", ["[redacted]@m", "https://h?[redacted]"])]"#),
            ("docker:///a@sha256:b: no; docker://PW@h: no", "docker:///a@sha256:b: no; docker://[redacted]@h: no"),
            ("proxy http://u:PW@p:3128 refused", "proxy http://[redacted]@p:3128 refused"),
        ] {
            assert_eq!(message(text), shown);
        }
    }
}
