//! Who we are to a registry: what the user said, or what a login left on disk.
//!
//! ```text
//! mod        the files, and in which order they are looked through (containers-auth.json(5))
//! auth_file  one file, and what in it is meant for an image
//! helper     programs that keep passwords for a file that names them
//! ```
//!
//! Nothing is read before a registry asks who we are.

mod auth_file;
mod helper;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use self::auth_file::AuthFile;
use crate::sys::path_error::PathError;

/// A name and a password, or what stands for them. Prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) secret: Secret,
    /// Where they come from, for messages.
    pub(super) origin: String,
}

/// What is sent.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// Name and password.
    Password { username: String, password: String },
    /// What is exchanged for a token (OAuth 2.0, `refresh_token`).
    IdentityToken(String),
}

impl Credentials {
    /// What the user said on the command line. `None` if both are empty, which says nothing.
    pub fn of_user(username: &str, password: &str) -> Option<Self> {
        let is_anonymous = username.is_empty() && password.is_empty();
        let (username, password) = (username.to_owned(), password.to_owned());
        (!is_anonymous).then(|| Credentials {
            secret: Secret::Password { username, password },
            origin: "given as --username and --password".to_owned(),
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why credentials could not be looked up. Never quotes what it read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    File(#[from] PathError),
    #[error("{} is not the JSON of an auth file (line {line}, column {column})", .path.display())]
    Syntax { path: PathBuf, line: usize, column: usize },
    #[error("{} is not an auth file: {reason}", .path.display())]
    Content { path: PathBuf, reason: String },
    #[error("{}: `auth` of {registry} is not a name and a password in base64: log in again", .path.display())]
    Encoding { path: PathBuf, registry: String },
    #[error("{} names the credential helper `{name}`, which is not a valid name", .path.display())]
    HelperName { path: PathBuf, name: String },
    #[error("credential helper {program} is not in $PATH; {} names it", .path.display())]
    NoHelper { path: PathBuf, program: String },
    #[error("credential helper {program}: {reason}; {} names it", .path.display())]
    Helper { path: PathBuf, program: String, reason: String },
}

/// The registry of an image, and the image in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) registry: &'a str,
    pub(super) repository: &'a str,
}

impl Wanted<'_> {
    /// The names that the registry goes by in files.
    fn registry_names(&self) -> Vec<&str> {
        const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
        if DOCKER_HUB.contains(&self.registry) { DOCKER_HUB.to_vec() } else { vec![self.registry] }
    }

    /// What credential helpers know the registry by, the likeliest first.
    fn helper_keys(&self) -> Vec<&str> {
        match self.registry_names().as_slice() {
            [one] => vec![one],
            _ => vec!["https://index.docker.io/v1/", "docker.io"],
        }
    }
}

/// Reads an auth file, and looks an image up in it; a file that names helpers is left alone.
#[cfg(fuzzing)]
pub(super) fn fuzz(path: &Path) {
    let wanted = Wanted { registry: "a.example", repository: "b/c" };
    if let Ok(file) = AuthFile::read(path)
        && !file.names_helpers()
    {
        let _ = file.find(wanted, &mut None);
    }
}

/// Where logins without a session go, a directory for each user. In a user namespace that may be another user's.
const OF_ALL_USERS: &str = "/run/containers";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `None` is anonymous.
    pub(super) credentials: Option<Credentials>,
    /// A credential helper that might have had some, were it there. Images that everybody may see do not need it.
    pub(super) missing: Option<Error>,
}

/// Credentials for an image out of the first file that has some.
pub(super) fn find(wanted: Wanted<'_>) -> Result<Found, Error> {
    let environment = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = environment("REGISTRY_AUTH_FILE") {
        let mut missing = None;
        let credentials = AuthFile::read(&path)?.find(wanted, &mut missing)?;
        return Ok(Found { credentials, missing });
    }
    find_in(&usual_files(environment), wanted)
}

/// The first that has some; one that does not exist has none.
fn find_in(files: &[PathBuf], wanted: Wanted<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for path in files {
        found.credentials = match AuthFile::read(path) {
            Ok(file) => file.find(wanted, &mut found.missing)?,
            Err(error) if error.is_missing() || path.starts_with(OF_ALL_USERS) && error.is_denied() => None,
            Err(error) => return Err(error),
        };
        if found.credentials.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Where podman, skopeo and docker leave credentials. A variable that is missing takes its files out of the list.
fn usual_files(environment: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = environment("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let of_user = || Some(Path::new(OF_ALL_USERS).join(rustix::process::geteuid().as_raw().to_string()));
    let runtime = environment("XDG_RUNTIME_DIR").map(|path| path.join("containers")).or_else(of_user);
    let config = environment("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
    let docker = environment("DOCKER_CONFIG").or_else(|| below_home(".docker"));
    let files = [
        runtime.map(|path| path.join("auth.json")),
        config.map(|path| path.join("containers/auth.json")),
        docker.map(|path| path.join("config.json")),
    ];
    files.into_iter().flatten().collect()
}

impl Error {
    fn is_missing(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Error::File(error) if matches!(error.kind(), NotFound | NotADirectory))
    }

    fn is_denied(&self) -> bool {
        matches!(self, Error::File(error) if error.kind() == std::io::ErrorKind::PermissionDenied)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_usual_files_depend_on_the_environment() {
        let variables = [("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")];
        let environment = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        assert_eq!(
            usual_files(environment),
            ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"].map(PathBuf::from)
        );
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(usual_files(|_| None), [PathBuf::from(format!("/run/containers/{user}/auth.json"))]);
        let variables = [("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r"), ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")];
        let environment = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        let expected = ["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json"].map(PathBuf::from);
        assert_eq!(usual_files(environment), expected);
    }

    #[test]
    fn the_first_file_with_credentials_for_the_image_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        // `a:1`, `b:2`
        fs::write(path("one"), r#"{"auths":{"a.example":{"auth":"YTox"}}}"#).unwrap();
        fs::write(path("two"), r#"{"auths":{"a.example":{"auth":"Yjoy"},"b.example":{"auth":"Yjoy"}}}"#).unwrap();
        let files = [path("missing"), path("one/below-a-file"), path("one"), path("two")];
        let username =
            |registry| match find_in(&files, Wanted { registry, repository: "x" }).unwrap().credentials?.secret {
                Secret::Password { username, .. } => Some(username),
                Secret::IdentityToken(_) => None,
            };
        assert_eq!(username("a.example").as_deref(), Some("a"));
        assert_eq!(username("b.example").as_deref(), Some("b"));
        assert_eq!(username("c.example"), None);
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Credentials::of_user("me", "secret").unwrap()), "[redacted]");
        assert_eq!(Credentials::of_user("", ""), None);
    }
}
