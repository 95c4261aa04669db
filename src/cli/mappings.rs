//! The id mappings that `init-store` is asked for: by flag, or as a user may have them.

use std::path::Path;

use nix::unistd::{Group, User};

use super::Failure;
use super::args::InitStoreArgs;
use crate::idmap::{IdMap, IdMappings, IdRange, MappingError};
use crate::sys::subordinate_ids::{self, Holder};

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
    let failed =
        |kind, name| move |reason| Failure::from(format!("error reading mappings for {kind} '{name}': {reason}"));
    let uid = user_id(user).map_err(failed("user", user))?;
    let gid = group_id(group).map_err(failed("group", group))?;
    let user_himself = Holder { name: user, id: Some(uid) };
    let holders = [user_himself, Holder { name: group, id: None }];
    Ok(IdMappings {
        uids: own_and_subordinate(uid, &[user_himself], Path::new("/etc/subuid")).map_err(failed("user", user))?,
        gids: own_and_subordinate(gid, &holders, Path::new("/etc/subgid")).map_err(failed("group", group))?,
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

/// The ids from 1 on are the subordinate ones of the first holder that has any, one range after the other. Group ids, too,
/// are given to users (subgid(5)); the original looked for those of a group.
fn own_and_subordinate(id: u32, holders: &[Holder<'_>], file: &Path) -> Result<IdMap, String> {
    let mut subordinate = Vec::new();
    for holder in holders {
        if subordinate.is_empty() {
            subordinate = subordinate_ids::of(file, *holder).map_err(|error| error.to_string())?;
        }
    }
    let mut ranges = vec![IdRange { namespace: 0, host: id, size: 1 }];
    let mut next: u32 = 1;
    for ids in subordinate {
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
        let holders = ["groot", "other", "third"].map(|name| Holder { name, id: None });
        let map = own_and_subordinate(1000, &holders[..1], &file).unwrap();
        let texts: Vec<String> = map.ranges().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["0:1000:1", "1:100000:10", "11:200000:20"]);

        assert_eq!(own_and_subordinate(1000, &holders, &file), Ok(map));
        let map = own_and_subordinate(1000, &[holders[2], holders[1]], &file).unwrap();
        assert_eq!(map.ranges()[1].to_string(), "1:1:1", "the first that has any");

        std::fs::write(&file, "groot:1000:10\n").unwrap();
        let message = own_and_subordinate(1000, &holders, &file).unwrap_err();
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
