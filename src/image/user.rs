//! Which ids the user of an image's process has: `User` of its configuration, looked up in its own `/etc/passwd` and
//! `/etc/group` as Docker does (OCI image specification, `config.md`; passwd(5), group(5)).

use std::collections::BTreeSet;

/// Ids of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Groups that have the user as a member, where the configuration names no group; sorted.
    pub additional_gids: Vec<u32>,
}

/// The files that tell users' ids; a missing one is empty.
#[derive(Clone, Debug, Default)]
pub struct UserFiles {
    /// `/etc/passwd`
    pub passwd: Vec<u8>,
    /// `/etc/group`
    pub group: Vec<u8>,
}

/// A user or group that the image does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownUser {
    /// No line of passwd has this name.
    #[error("the image's user `{0}` is not in its /etc/passwd")]
    User(String),
    /// No line of group has this name.
    #[error("the group `{0}` of the image's user is not in its /etc/group")]
    Group(String),
}

impl UserFiles {
    /// The ids of `user[:group]`, names or numbers. Nothing at all is root; a number need not be on record.
    ///
    /// # Errors
    /// [`UnknownUser`], for a name that is not on record.
    pub fn resolve(&self, user: &str) -> Result<ProcessUser, UnknownUser> {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let found = self.find_user(user).or_else(|| self.find_user_of_id(number?));
        let (uid, primary) = match (&found, number) {
            (Some(found), _) => (found.uid, found.gid),
            (None, Some(number)) => (number, 0),
            (None, None) => return Err(UnknownUser::User(user.to_owned())),
        };
        match group {
            Some(group) => {
                let gid = self.find_group(group).or_else(|| group.parse().ok());
                let gid = gid.ok_or_else(|| UnknownUser::Group(group.to_owned()))?;
                Ok(ProcessUser { uid, gid, additional_gids: Vec::new() })
            }
            None => {
                let additional_gids = found.map_or_else(Vec::new, |found| self.groups_of(&found.name));
                Ok(ProcessUser { uid, gid: primary, additional_gids })
            }
        }
    }

    fn find_user(&self, name: &str) -> Option<PasswdEntry> {
        entries(&self.passwd).filter_map(PasswdEntry::of).find(|entry| entry.name == name)
    }

    fn find_user_of_id(&self, uid: u32) -> Option<PasswdEntry> {
        entries(&self.passwd).filter_map(PasswdEntry::of).find(|entry| entry.uid == uid)
    }

    fn find_group(&self, name: &str) -> Option<u32> {
        entries(&self.group).find(|fields| fields[0] == name).and_then(|fields| fields.get(2)?.parse().ok())
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let has_member =
            |fields: &Vec<String>| fields.get(3).is_some_and(|list| list.split(',').any(|one| one == name));
        let ids = entries(&self.group).filter(has_member).filter_map(|fields| fields.get(2)?.parse().ok());
        ids.collect::<BTreeSet<u32>>().into_iter().collect()
    }
}

struct PasswdEntry {
    name: String,
    uid: u32,
    gid: u32,
}

impl PasswdEntry {
    fn of(fields: Vec<String>) -> Option<Self> {
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        Some(PasswdEntry { name: fields.into_iter().next()?, uid, gid })
    }
}

/// The fields of each line that is an entry.
fn entries(file: &[u8]) -> impl Iterator<Item = Vec<String>> {
    let lines = file.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).trim().to_owned());
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries.map(|line| line.split(':').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken\napp:x:1000:1001::/srv:/bin/sh\n7:x:70:71::/:\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:app,other\napp:x:1001:\nwheel:x:10:other,app\nnone\n";

    #[test]
    fn names_and_numbers_are_looked_up_as_docker_does() {
        let files = UserFiles { passwd: PASSWD.into(), group: GROUP.into() };
        let ids =
            |uid, gid, additional_gids: &[u32]| Ok(ProcessUser { uid, gid, additional_gids: additional_gids.to_vec() });
        for (user, expected) in [
            ("", ids(0, 0, &[])),
            ("root", ids(0, 0, &[])),
            ("app", ids(1000, 1001, &[10, 50])),
            ("1000", ids(1000, 1001, &[10, 50])),
            ("app:", ids(1000, 1001, &[10, 50])),
            ("app:staff", ids(1000, 50, &[])),
            ("app:51", ids(1000, 51, &[])),
            (":staff", ids(0, 50, &[])),
            ("4711", ids(4711, 0, &[])),
            ("4711:4712", ids(4711, 4712, &[])),
            ("7", ids(70, 71, &[])),
            ("nobody", Err(UnknownUser::User("nobody".into()))),
            ("app:nogroup", Err(UnknownUser::Group("nogroup".into()))),
            ("-1", Err(UnknownUser::User("-1".into()))),
            ("4294967296", Err(UnknownUser::User("4294967296".into()))),
        ] {
            assert_eq!(files.resolve(user), expected, "{user:?}");
        }
        assert_eq!(UserFiles::default().resolve("").unwrap(), ProcessUser::default());
    }
}
