//! What `fuzz/` drives: what registries and logins say.

use std::path::Path;

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::auth::{self, Challenge};
use super::credentials;

/// A header `WWW-Authenticate`, and the answer of a token server.
pub fn challenge(data: &[u8]) {
    let _ = auth::parse_token(data);
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
    if let Some(Challenge::Bearer { realm, service, scope }) = Challenge::of(&headers)
        && let Ok(realm) = realm.parse()
    {
        auth::token_url(realm, &service.unwrap_or_default(), &scope.unwrap_or_default());
    }
}

/// An auth file. No helper is called.
pub fn auth_file(path: &Path) {
    credentials::fuzz(path);
}
