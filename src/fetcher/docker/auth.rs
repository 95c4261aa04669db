//! Authentication challenges of registries (RFC 7235, and the token protocol of the distribution project).

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from somebody else.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The challenge to meet: a token if it can be had, else name and password.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        // The bytes of a header are Latin-1 (RFC 9110, 5.5), in a realm for people for example.
        let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>();
        let values = headers.get_all(WWW_AUTHENTICATE).iter().map(text);
        let mut challenges: Vec<Self> = values.flat_map(|value| parse(&value)).collect();
        let bearer = challenges.iter().position(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        (!challenges.is_empty()).then(|| challenges.swap_remove(bearer.unwrap_or(0)))
    }
}

/// The address of a token: the realm's own, which may have a query already, with what is asked for. Each of the scopes,
/// which blanks divide, is a parameter of its own.
pub(super) fn token_url(mut realm: Url, service: &str, scope: &str) -> Url {
    if !service.is_empty() {
        realm.query_pairs_mut().append_pair("service", service);
    }
    realm.query_pairs_mut().extend_pairs(scope.split_whitespace().map(|scope| ("scope", scope)));
    realm
}

/// The token in an answer; both names are in use.
pub(super) fn parse_token(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(json).ok()?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token)?;
    token.bytes().all(|byte| byte.is_ascii_graphic()).then_some(token).filter(|token| !token.is_empty())
}

/// The known challenges of one header.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for item in split_outside_quotes(header) {
        let (before, value) = item.split_once('=').map_or((item, None), |(name, value)| (name, Some(value)));
        let mut words = before.split_whitespace();
        let (first, second) = (words.next(), words.next());
        // `Scheme`, `Scheme name=value` or `name=value`.
        let name = match (first, second, value) {
            (Some(scheme), name, _) if name.is_some() || value.is_none() => {
                challenges.push((scheme.to_ascii_lowercase(), Vec::new()));
                name
            }
            (name, ..) => name,
        };
        if let (Some(name), Some(value), Some((_, parameters))) = (name, value, challenges.last_mut()) {
            parameters.push((name.to_ascii_lowercase(), unquote(value.trim())));
        }
    }
    challenges.into_iter().filter_map(|(scheme, parameters)| known(&scheme, &parameters)).collect()
}

fn known(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") }),
        _ => None,
    }
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        c == ',' && !is_quoted
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned), scope: scope.map(str::to_owned) }
    }

    #[test]
    fn reads_challenges() {
        let hub =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        let expected = bearer("https://auth.example/token", Some("registry.example"), Some("repository:a/b:pull,push"));
        assert_eq!(parse(hub), [expected]);
        assert_eq!(parse(r#"Basic realm="a \"b\", c""#), [Challenge::Basic]);
        assert_eq!(parse("basic"), [Challenge::Basic]);
        assert_eq!(parse(r#"BEARER Realm=x , scope=y"#), [bearer("x", None, Some("y"))]);
        assert_eq!(
            parse(r#"Negotiate, Basic realm="x", Bearer realm="y""#),
            [Challenge::Basic, bearer("y", None, None)]
        );
        assert_eq!(parse("Bearer service=x"), []);
        assert_eq!(parse(""), []);
        assert_eq!(parse(r#"Bearer realm="unclosed"#), [bearer("unclosed", None, None)]);
    }

    #[test]
    fn prefers_a_token() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        assert_eq!(Challenge::of(&headers), Some(Challenge::Basic));
        headers.append(WWW_AUTHENTICATE, "Bearer realm=y".parse().unwrap());
        assert_eq!(Challenge::of(&headers), Some(bearer("y", None, None)));
        assert_eq!(Challenge::of(&HeaderMap::new()), None);
        let latin = HeaderValue::from_bytes(b"Basic realm=\"caf\xe9\", Bearer realm=\"z\"").unwrap();
        assert_eq!(Challenge::of(&[(WWW_AUTHENTICATE, latin)].into_iter().collect()), Some(bearer("z", None, None)));
    }

    #[test]
    fn reads_tokens_of_both_names() {
        assert_eq!(parse_token(br#"{"token":"t"}"#).as_deref(), Some("t"));
        assert_eq!(parse_token(br#"{"token":"","access_token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(parse_token(b"{}"), None);
        assert_eq!(parse_token(br#"{"token":"a\nb"}"#), None);
    }

    #[test]
    fn asks_for_the_scope_and_keeps_the_realms_own_query() {
        let url =
            token_url(Url::parse("https://a.example/t?x=1").unwrap(), "s s", "repository:a:pull repository:b:pull");
        let scopes = "scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull";
        assert_eq!(url.as_str(), format!("https://a.example/t?x=1&service=s+s&{scopes}"));
    }
}
