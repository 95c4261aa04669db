//! The id mappings that `init-store` is asked for: by flag, or as a user may have them.

use std::path::Path;

use nix::unistd::{Group, User};

use super::Failure;
use super::args::InitStoreArgs;
use crate::idmap::{IdMap, IdMappings, IdRange, MappingError};
use crate::sys::subordinate_ids;

/// The mappings; none without flags.
pub(super) fn of(args: &InitStoreArgs) -> Result<IdMappings, Failure> {
    match &args.rootless {
        Some(_) if !args.uid_mapping.is_empty() || !args.gid_mapping.is_empty() => {
            Err(Failure::from("cannot specify --rootless and --uid-mapping/--gid-mapping".to_owned()))
        }
        Some(names) => rootless(names),
        None => Ok(IdMappings {
            uids: flags("uid-mapping", &args.uid_mapping)?,
            gids: flags("gid-mapping", &args.gid_mapping)?,
        }),
    }
}

fn flags(name: &str, texts: &[String]) -> Result<IdMap, Failure> {
    let ranges: Result<Vec<IdRange>, MappingError> = texts.iter().map(|text| text.parse()).collect();
    ranges.and_then(IdMap::new).map_err(|error| Failure::from(format!("parsing {name}: {error}")))
}

/// `<user>:<group>`: root of the container is this user, and other ids are those that he may have beside.
fn rootless(names: &str) -> Result<IdMappings, Failure> {
    let (user, group) = match names.split_once(':') {
        Some((user, group)) if !user.is_empty() && !group.is_empty() && !group.contains(':') => (user, group),
        _ => return Err(Failure::from("invalid --rootless parameter, format must be <user>:<group>".to_owned())),
    };
    let read = |kind, name: &str, id: Result<u32, String>, file| {
        let map = id.and_then(|id| own_and_subordinate(id, name, Path::new(file)));
        map.map_err(|reason| Failure::from(format!("error reading mappings for {kind} '{name}': {reason}")))
    };
    Ok(IdMappings {
        uids: read("user", user, user_id(user), "/etc/subuid")?,
        gids: read("group", group, group_id(group), "/etc/subgid")?,
    })
}

fn user_id(name: &str) -> Result<u32, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("unknown user {name}")),
        Err(errno) => Err(errno.desc().to_lowercase()),
    }
}

fn group_id(name: &str) -> Result<u32, String> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("unknown group {name}")),
        Err(errno) => Err(errno.desc().to_lowercase()),
    }
}

/// The ids from 1 on are the subordinate ones, one range after the other.
fn own_and_subordinate(id: u32, name: &str, file: &Path) -> Result<IdMap, String> {
    let mut ranges = vec![IdRange { namespace: 0, host: id, size: 1 }];
    let mut next: u32 = 1;
    for ids in subordinate_ids::of(file, name, id).map_err(|error| error.to_string())? {
        ranges.push(IdRange { namespace: next, host: ids.first, size: ids.count });
        next = next.checked_add(ids.count).ok_or_else(|| format!("{} has more ids than there are", file.display()))?;
    }
    IdMap::new(ranges).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_ranges_follow_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("subuid");
        std::fs::write(&file, "groot:100000:10\nother:1:1\ngroot:200000:20\n").unwrap();
        let map = own_and_subordinate(1000, "groot", &file).unwrap();
        let texts: Vec<String> = map.ranges().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["0:1000:1", "1:100000:10", "11:200000:20"]);

        std::fs::write(&file, "groot:1000:10\n").unwrap();
        let message = own_and_subordinate(1000, "groot", &file).unwrap_err();
        assert!(message.contains("id 1000 of the host is mapped to twice"), "{message}");
    }

    #[test]
    fn users_and_groups_must_exist() {
        for (names, message) in [
            ("lol", "invalid --rootless parameter, format must be <user>:<group>"),
            (":root", "invalid --rootless parameter, format must be <user>:<group>"),
            ("root:root:root", "invalid --rootless parameter, format must be <user>:<group>"),
            ("someoneelse:root", "error reading mappings for user 'someoneelse': unknown user someoneelse"),
            ("root:something", "error reading mappings for group 'something': unknown group something"),
        ] {
            assert_eq!(rootless(names).unwrap_err().message, message);
        }
    }
}
