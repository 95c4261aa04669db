//! Ids that hide in extended attributes: those that access control lists name, and the root for whom capabilities of a
//! file count. The kernel translates them for a process in a user namespace; outside of one they are translated here.

use std::fmt;

use super::portable::{ACCESS_ACL, CAPABILITY, DEFAULT_ACL};
use crate::archive::Xattr;
use crate::idmap::{IdError, IdMappings};
use crate::sys::userns;

/// Gives the attribute the value that it has in the container's eyes.
///
/// # Errors
/// See [`IdError`].
pub(super) fn translate(xattr: &mut Xattr, ids: &IdMappings) -> Result<(), IdError> {
    match xattr.name.to_str() {
        Some(ACCESS_ACL | DEFAULT_ACL) => translate_acl(&mut xattr.value, ids),
        Some(CAPABILITY) => translate_capability(&mut xattr.value, ids),
        _ => Ok(()),
    }
}

/// The ids that the attribute names.
pub(super) fn ids_of(xattr: &Xattr) -> Vec<Id> {
    let mut value = xattr.value.clone();
    match xattr.name.to_str() {
        Some(ACCESS_ACL | DEFAULT_ACL) => acl_ids(&mut value).map(|(kind, id)| Id(kind, number(id))).collect(),
        Some(CAPABILITY) => capability_root(&mut value).map(|id| Id(IdKind::User, number(id))).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The root for whom the attribute gives capabilities, as an id of the image; `None` for any other attribute.
pub(super) fn root_of_capability(xattr: &Xattr) -> Option<u32> {
    let is_capability = xattr.name == CAPABILITY;
    is_capability.then(|| capability_root(&mut xattr.value.clone()).map_or(0, |id| number(id)))
}

/// The id of a user or of a group.
#[derive(Debug, Clone, Copy)]
pub struct Id(IdKind, u32);

impl Id {
    /// Whether the user namespace of this process has it.
    pub(super) fn is_mapped(self) -> bool {
        match self.0 {
            IdKind::User => userns::has_uid(self.1),
            IdKind::Group => userns::has_gid(self.1),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IdKind::User => write!(f, "user {}", self.1),
            IdKind::Group => write!(f, "group {}", self.1),
        }
    }
}

fn translate_acl(value: &mut [u8], ids: &IdMappings) -> Result<(), IdError> {
    for (kind, id) in acl_ids(value) {
        let translated = match kind {
            IdKind::User => ids.uid(number(id))?,
            IdKind::Group => ids.gid(number(id))?,
        };
        id.copy_from_slice(&translated.to_le_bytes());
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum IdKind {
    User,
    Group,
}

/// <linux/posix_acl_xattr.h>: a version, then entries of tag, permissions and id, all little-endian. What is none of that
/// is left to the kernel to refuse.
fn acl_ids(value: &mut [u8]) -> impl Iterator<Item = (IdKind, &mut [u8; 4])> {
    const HEADER: usize = 4;
    const ENTRY: usize = 8;
    const ACL_USER: u16 = 0x02;
    const ACL_GROUP: u16 = 0x08;
    value.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(ENTRY).filter_map(|entry| {
        let kind = match u16::from_le_bytes([entry[0], entry[1]]) {
            ACL_USER => IdKind::User,
            ACL_GROUP => IdKind::Group,
            _ => return None,
        };
        Some((kind, entry.last_chunk_mut()?))
    })
}

fn number(id: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*id)
}

/// <linux/capability.h>: `struct vfs_cap_data` counts for the host's root alone; with the root of a namespace behind it, it
/// is `struct vfs_ns_cap_data` (Linux 4.14) and counts for him.
fn translate_capability(value: &mut Vec<u8>, ids: &IdMappings) -> Result<(), IdError> {
    if let Some(id) = capability_root(value) {
        let root = ids.uid(number(id))?;
        id.copy_from_slice(&root.to_le_bytes());
    } else if value.len() == LENGTH_2
        && let Some(magic) = value.first_chunk_mut()
        && number(magic) & REVISION == REVISION_2
    {
        let root = ids.uid(0)?;
        if root != 0 {
            *magic = (number(magic) & !REVISION | REVISION_3).to_le_bytes();
            value.extend_from_slice(&root.to_le_bytes());
        }
    }
    Ok(())
}

/// The root that the capabilities name.
fn capability_root(value: &mut [u8]) -> Option<&mut [u8; 4]> {
    let revision = number(value.first_chunk()?) & REVISION;
    if (revision, value.len()) == (REVISION_3, LENGTH_3) { value.last_chunk_mut() } else { None }
}

const REVISION: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const LENGTH_2: usize = 20;
const LENGTH_3: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::IdMap;

    fn mappings() -> IdMappings {
        let map = |root: u32| IdMap::recorded(&[format!("0:{root}:1"), "1:100000:65000".to_owned()]).unwrap();
        IdMappings { uids: map(1000), gids: map(1001) }
    }

    fn translated(name: &str, value: &[u8]) -> Vec<u8> {
        let mut xattr = Xattr { name: name.into(), value: value.to_owned() };
        translate(&mut xattr, &mappings()).unwrap();
        xattr.value
    }

    fn acl(entries: &[(u16, u32)]) -> Vec<u8> {
        let mut value = 2_u32.to_le_bytes().to_vec();
        for (tag, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(7_u16.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    #[test]
    fn users_and_groups_of_access_control_lists() {
        let before =
            acl(&[(0x01, u32::MAX), (0x02, 33), (0x04, u32::MAX), (0x08, 0), (0x10, u32::MAX), (0x20, u32::MAX)]);
        let after = acl(&[
            (0x01, u32::MAX),
            (0x02, 100_032),
            (0x04, u32::MAX),
            (0x08, 1001),
            (0x10, u32::MAX),
            (0x20, u32::MAX),
        ]);
        assert_eq!(translated("system.posix_acl_access", &before), after);
        assert_eq!(translated("system.posix_acl_default", &before), after);
        assert_eq!(translated("user.x", &before), before);
        for odd in [&b""[..], b"ab", b"\x02\0\0\0\x02\0"] {
            assert_eq!(translated("system.posix_acl_access", odd), odd);
        }
    }

    #[test]
    fn capabilities_count_for_the_root_of_the_container() {
        let data = [0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let of_host = [&[1, 0, 0, 2][..], &data].concat();
        let of_root = |root: u32| [&[1, 0, 0, 3][..], &data, &root.to_le_bytes()].concat();
        assert_eq!(translated("security.capability", &of_host), of_root(1000));
        assert_eq!(translated("security.capability", &of_root(0)), of_root(1000));
        let mut unmapped = Xattr { name: "security.capability".into(), value: of_host.clone() };
        translate(&mut unmapped, &IdMappings::identity()).unwrap();
        assert_eq!(unmapped.value, of_host);
        assert_eq!(translated("security.capability", b"odd"), b"odd");
    }
}
