//! One file of credentials: podman's `auth.json` or docker's `config.json`, which have the same form.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Credentials, Error, Secret, Wanted, helper};
use crate::image::json::Json;
use crate::sys::path_error::{OnPath, PathError};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Files of this kind have a few kilobytes.
const LIMIT: u64 = 1024 * 1024;

/// A file that was read.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

/// What is read as Go reads it, by the programs that write such files.
#[derive(Debug, Default)]
struct Content {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

impl Content {
    fn read(&mut self, json: Json<'_>) -> Result<(), String> {
        json.members("the file", |name, value| match name {
            "auths" => value.entries("`auths`", |key, value| {
                self.auths.entry(key.to_owned()).or_default().read(value);
                Ok(())
            }),
            "credhelpers" => value.entries("`credHelpers`", |key, value| {
                self.cred_helpers.insert(key.to_owned(), value.text().unwrap_or_default());
                Ok(())
            }),
            "credsstore" => {
                self.creds_store = value.text();
                Ok(())
            }
            _ => Ok(()),
        })
    }
}

/// What there is for one registry; nothing, where a helper keeps it.
#[derive(Default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identity_token: String,
    /// Something is not a string. Matters only to whoever needs this entry.
    is_malformed: bool,
}

impl Entry {
    fn read(&mut self, json: Json<'_>) {
        let read = json.members("entry", |name, value| match name {
            "auth" => value.text_into(&mut self.auth, name),
            "username" => value.text_into(&mut self.username, name),
            "password" => value.text_into(&mut self.password, name),
            "identitytoken" => value.text_into(&mut self.identity_token, name),
            _ => Ok(()),
        });
        self.is_malformed |= read.is_err();
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl AuthFile {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let content = read(path)?;
        let content = if content.trim_ascii().is_empty() { Content::default() } else { parse(&content, path)? };
        Ok(AuthFile { path: path.to_owned(), content })
    }

    /// What the file has for an image: first from the helper that it names, then from itself. A helper that does not exist
    /// goes to `missing`.
    pub(super) fn find(&self, wanted: Wanted<'_>, missing: &mut Option<Error>) -> Result<Option<Credentials>, Error> {
        if let Some(name) = self.helper(wanted) {
            for key in wanted.helper_keys() {
                match helper::get(&self.path, name, key) {
                    Ok(None) => {}
                    // Images that everybody may see need no login, and the program may be another machine's.
                    Err(error @ Error::NoHelper { .. }) => {
                        missing.get_or_insert(error);
                        break;
                    }
                    found => return found,
                }
            }
        }
        match self.entry(wanted) {
            Some((key, entry)) => self.credentials(key, entry),
            None => Ok(None),
        }
    }

    #[cfg(fuzzing)]
    pub(super) fn names_helpers(&self) -> bool {
        self.content.creds_store.is_some() || !self.content.cred_helpers.is_empty()
    }

    fn helper(&self, wanted: Wanted<'_>) -> Option<&str> {
        let of_registry = self.content.cred_helpers.iter();
        let names = wanted.registry_names();
        let mut of_registry = of_registry.filter(|(key, _)| names.contains(&split_key(key).0)).map(|(_, name)| name);
        of_registry.next().or(self.content.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The entry that says most of the image's name: `host/a/b` before `host/a` before `host`.
    fn entry(&self, wanted: Wanted<'_>) -> Option<(&str, &Entry)> {
        let names = wanted.registry_names();
        let entries = self.content.auths.iter().map(|(key, entry)| (key.as_str(), entry));
        let fitting = entries.filter(|(key, entry)| {
            let (host, namespace) = split_key(key);
            let rest = wanted.repository.strip_prefix(namespace);
            let is_within = namespace.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            names.contains(&host) && is_within && !entry.is_empty()
        });
        fitting.max_by_key(|(key, _)| split_key(key).1.len())
    }

    fn credentials(&self, registry: &str, entry: &Entry) -> Result<Option<Credentials>, Error> {
        let undecodable = || Error::Encoding { path: self.path.clone(), registry: registry.to_owned() };
        let secret = if entry.is_malformed {
            return Err(undecodable());
        } else if !entry.identity_token.is_empty() {
            Secret::IdentityToken(entry.identity_token.clone())
        } else if !entry.auth.is_empty() {
            decode(&entry.auth).ok_or_else(undecodable)?
        } else {
            Secret::Password { username: entry.username.clone(), password: entry.password.clone() }
        };
        Ok(Some(Credentials { secret, origin: format!("from {}", self.path.display()) }))
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.is_malformed && self.auth.is_empty() && self.identity_token.is_empty() && self.username.is_empty()
    }
}

/// What the parser says may quote a password, so that only where it stopped is told.
fn parse(content: &[u8], path: &Path) -> Result<Content, Error> {
    let text = String::from_utf8_lossy(content);
    let json = Json::parse(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::Syntax { path: path.to_owned(), line, column }
    })?;
    let mut content = Content::default();
    content.read(json).map_err(|reason| Error::Content { path: path.to_owned(), reason })?;
    Ok(content)
}

/// Host and namespace that a key is about. Keys with a scheme are of docker's old form, `https://index.docker.io/v1/`,
/// whose paths mean nothing.
fn split_key(key: &str) -> (&str, &str) {
    let of_url = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (host, namespace) = of_url.unwrap_or(key).split_once('/').unwrap_or((of_url.unwrap_or(key), ""));
    let namespace = namespace.trim_end_matches('/');
    if of_url.is_some() || matches!(namespace, "v1" | "v2") { (host, "") } else { (host, namespace) }
}

/// A name and a password, with a colon between them, in base64. Docker ends passwords with zeros.
fn decode(auth: &str) -> Option<Secret> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&STANDARD, lenient).decode(auth.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (username, password) = decoded.split_once(':')?;
    let password = password.trim_end_matches('\0');
    Some(Secret::Password { username: username.to_owned(), password: password.to_owned() })
}

fn read(path: &Path) -> Result<Vec<u8>, PathError> {
    // A FIFO that nobody writes to must not stall the look at what it is.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).on("open", path)?;
    if !file.metadata().on("stat", path)?.is_file() {
        return Err(PathError::new("read", path, io::Error::other("not a regular file")));
    }
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content).on("read", path)?;
    if content.len() as u64 > LIMIT {
        return Err(PathError::new("read", path, io::Error::other("larger than any auth file")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> AuthFile {
        AuthFile { path: "/f".into(), content: parse(json.as_bytes(), Path::new("/f")).unwrap() }
    }

    fn password(username: &str, password: &str) -> Secret {
        Secret::Password { username: username.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn the_longest_key_counts() {
        // The entries are `host:1`, `a:2`, `b:3` and `hub:4`.
        let file = file(
            r#"{"auths":{"h.example:5000":{"auth":"aG9zdDox"},"h.example:5000/a":{"auth":"YToy"},
                "h.example:5000/a/b":{"auth":"Yjoz"},"https://index.docker.io/v1/":{"auth":"aHViOjQ="},
                "empty.example":{},"null.example":null}}"#,
        );
        for (registry, repository, expected) in [
            ("h.example:5000", "x", Some(password("host", "1"))),
            ("h.example:5000", "ab", Some(password("host", "1"))),
            ("h.example:5000", "a/c", Some(password("a", "2"))),
            ("h.example:5000", "a/b", Some(password("b", "3"))),
            ("h.example:5000", "a/b/c", Some(password("b", "3"))),
            ("h.example", "a/b", None),
            ("docker.io", "library/busybox", Some(password("hub", "4"))),
            ("empty.example", "a", None),
            ("null.example", "a", None),
        ] {
            let found = file.find(Wanted { registry, repository }, &mut None).unwrap();
            assert!(found.map(|found| found.secret) == expected, "{registry}/{repository}");
        }
    }

    #[test]
    fn reads_what_docker_and_podman_write() {
        for (entry, expected) in [
            (r#"{"auth":"bWU6cDp3AAA="}"#, password("me", "p:w")),
            (r#"{"auth":"bWU6cHc"}"#, password("me", "pw")),
            (r#"{"username":"me","password":"pw","email":"x"}"#, password("me", "pw")),
            (r#"{"auth":"bWU6","identitytoken":"t"}"#, Secret::IdentityToken("t".into())),
        ] {
            let file = file(&format!(r#"{{"auths":{{"h.example":{entry}}},"HttpHeaders":{{"a":"b"}}}}"#));
            let found = file.find(Wanted { registry: "h.example", repository: "a" }, &mut None).unwrap().unwrap();
            assert!(found.secret == expected, "{entry}");
            assert_eq!(found.origin, "from /f");
        }
    }

    #[test]
    fn nulls_and_other_entries_are_no_matter() {
        let bob = password("bob", "1");
        for json in [
            // `bob:1`
            r#"{"auths":{"h.example":{"auth":"Ym9iOjE=","username":null,"email":7,"identitytoken":null}}}"#,
            r#"{"auths":{"h.example":{"auth":"Ym9iOjE="},"x":7,"y":{"auth":["z"]},"z":null},"credHelpers":null}"#,
            r#"{"Auths":{"h.example":{"AUTH":"Ym9iOjE="}},"credsStore":null,"credHelpers":{"h.example":null}}"#,
            r#"{"auths":{"h.example":{"auth":"x"},"h.example":{"auth":"Ym9iOjE="}},"HttpHeaders":null,"plugins":7}"#,
            r#"{"auths":{"h.example":{"auth":"Ym9iOjE="}},"credsStore":"no-such-helper"}"#,
        ] {
            let found = file(json).find(Wanted { registry: "h.example", repository: "a" }, &mut None).unwrap();
            assert!(found.is_some_and(|found| found.secret == bob), "{json}");
        }
        for nothing in [
            r#"{"auths":null}"#,
            "null",
            r#"{"auths":{"h.example":{"auth":null}}}"#,
            r#"{"credsStore":"no-such-helper"}"#,
        ] {
            let found = file(nothing).find(Wanted { registry: "h.example", repository: "a" }, &mut None);
            assert_eq!(found.unwrap(), None, "{nothing}");
        }
        let mut missing = None;
        let wanted = Wanted { registry: "h.example", repository: "a" };
        file(r#"{"credsStore":"no-such-helper"}"#).find(wanted, &mut missing).unwrap();
        let missing = missing.unwrap().to_string();
        assert_eq!(missing, "credential helper docker-credential-no-such-helper is not in $PATH; /f names it");
    }

    #[test]
    fn what_is_wrong_is_told_without_quoting_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.json");
        let wanted = Wanted { registry: "h.example", repository: "a" };
        for (content, reason) in [
            ("{", "is not the JSON of an auth file (line 1, column 1)"),
            (r#"{"auths":"c2VjcmV0"}"#, "is not an auth file: `auths` is not an object"),
            (r#"{"auths":{"h.example":"c2VjcmV0"}}"#, "`auth` of h.example is not a name and a password"),
            (r#"{"auths":{"h.example":{"auth":7}}}"#, "`auth` of h.example is not a name and a password"),
            (r#"{"auths":{"h.example":{"auth":"c2VjcmV0"}}}"#, "`auth` of h.example is not a name and a password"),
            (r#"{"auths":{"h.example":{"auth":"?secret?"}}}"#, "`auth` of h.example is not a name and a password"),
            (r#"{"credsStore":"../secret"}"#, "which is not a valid name"),
        ] {
            std::fs::write(&path, content).unwrap();
            let found = AuthFile::read(&path).and_then(|file| file.find(wanted, &mut None));
            let message = found.unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("auth.json"), "{message}");
            assert!(!message.contains("c2VjcmV0") && !message.contains("?secret?"), "{message}");
        }
        for nothing in ["", " \n", "{}"] {
            std::fs::write(&path, nothing).unwrap();
            assert_eq!(AuthFile::read(&path).unwrap().find(wanted, &mut None).unwrap(), None);
        }
    }
}
