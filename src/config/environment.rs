//! Settings from environment variables.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::Error;
use super::check::check;
use super::options::Options;
use super::setting::{Section, VARIABLE_PREFIX};

/// What the environment says. An empty variable says nothing.
pub(super) fn read() -> Result<Options, Error> {
    parse(variables())
}

fn variables() -> impl Iterator<Item = (OsString, OsString)> {
    let is_ours = |name: &OsStr| name.as_bytes().starts_with(VARIABLE_PREFIX.as_bytes());
    env::vars_os().filter(move |(name, value)| is_ours(name) && !value.is_empty())
}

pub(super) fn parse(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Options, Error> {
    let mut options = Options::default();
    for (name, value) in variables {
        options = options.over(setting(&name, &value)?);
    }
    Ok(options)
}

/// What one variable says, checked by itself, so that an error names it. A variable that is no setting says nothing.
fn setting(name: &OsStr, value: &OsStr) -> Result<Options, Error> {
    let mut options = Options::default();
    let slot = options.slots().into_iter().find(|(setting, _)| name == setting.variable().as_str());
    let Some((setting, slot)) = slot else { return Ok(options) };
    let wrong = |reason| Error::Variable { variable: setting.variable(), reason };
    slot.add(value).map_err(|reason| wrong(reason.to_owned()))?;
    check(options.clone()).map_err(|error| wrong(error.to_string()))?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(variables: &[(&str, &str)]) -> Result<Options, Error> {
        parse(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    #[test]
    fn every_setting_has_a_variable_and_no_two_share_one() {
        let mut names: Vec<_> = Options::default().slots().iter().map(|(setting, _)| setting.variable()).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.contains(&"GROOTFS_STORE".to_owned()));
        assert!(names.contains(&"GROOTFS_CREATE_LIMITS_ENTRIES".to_owned()));
    }

    #[test]
    fn values_are_read_as_those_of_flags() {
        let options = parsed(&[
            ("GROOTFS_STORE", "/s"),
            ("GROOTFS_CREATE_DISK_LIMIT_SIZE_BYTES", "1.5GiB"),
            ("GROOTFS_CREATE_WITH_CLEAN", "true"),
            ("GROOTFS_CREATE_OFFLINE", "0"),
            ("GROOTFS_CREATE_REGISTRY_MIRRORS", "h=m,h=n,i=k"),
            ("GROOTFS_CLEAN_IGNORE_IMAGES", "docker:///a, docker:///b"),
            ("GROOTFS_SOMETHING_ELSE", "x"),
        ]);
        let config = check(options.unwrap()).unwrap();
        assert_eq!(config.store.to_str(), Some("/s"));
        assert_eq!((config.create.disk_limit_bytes, config.create.with_clean), (3 << 29, true));
        assert_eq!(config.create.registry_mirrors["h"], ["m", "n"]);
        assert_eq!(config.clean.ignore_images, ["docker:///a", "docker:///b"]);
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_the_variable() {
        for (name, value, reason) in [
            ("GROOTFS_CLEAN_THRESHOLD_BYTES", "5Q", "must be a number of bytes, as 100M or 1.5GiB"),
            ("GROOTFS_CLEAN_THRESHOLD_BYTES", "-1", "invalid argument: clean threshold cannot be negative"),
            ("GROOTFS_CREATE_OFFLINE", "maybe", "must be true or false"),
            ("GROOTFS_CREATE_LIMITS_ENTRIES", "many", "must be a number"),
            ("GROOTFS_CREATE_REGISTRY_MIRRORS", "h", "must be HOST=ENDPOINT"),
            (
                "GROOTFS_CREATE_IMAGE_VOLUMES",
                "tmpfs",
                "invalid argument: create.image_volumes must be bind or ignore, not `tmpfs`",
            ),
        ] {
            let error = parsed(&[("GROOTFS_STORE", "/s"), (name, value)]).unwrap_err().to_string();
            assert_eq!(error, format!("invalid value of the environment variable {name}: {reason}"));
        }
    }
}
