//! Which extended attributes an image may bring.
//!
//! An attribute that is not on this list could speak for somebody else: `trusted.overlay.*` and `user.overlay.*` for the
//! kernel's overlay, `trusted.SGI_ACL_*` for the permissions that XFS keeps, `security.*` for a security module of the
//! host. It is left out, and so is one on the list with a value that the kernel would refuse: it means nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::archive::Xattr;

/// Longest name of an attribute (`XATTR_NAME_MAX` in linux/limits.h).
const LONGEST_NAME: usize = 255;

/// Attributes outside of `user.*` that are kept, each with its reason.
const ALLOWED: [(&str, &str); 3] = [
    (CAPABILITY, "what a program may do when it is started; set-id bits, which say more, are kept as well"),
    (ACCESS_ACL, "who may access a file: a part of its mode"),
    (DEFAULT_ACL, "what a directory hands down of that"),
];
pub(super) const CAPABILITY: &str = "security.capability";
pub(super) const ACCESS_ACL: &str = "system.posix_acl_access";
pub(super) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Whether an image may bring attributes of this name.
pub(super) fn is_portable(name: &OsStr) -> bool {
    let is_users = name.as_bytes().strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty());
    let is_overlays = name.as_bytes().starts_with(b"user.overlay.");
    is_users && !is_overlays || ALLOWED.iter().any(|(allowed, _)| name == *allowed)
}

/// Why an attribute of an entry is left out; `None` if it is kept.
pub(super) fn objection(xattr: &Xattr, is_directory: bool) -> Option<&'static str> {
    let Xattr { name, value } = xattr;
    if !is_portable(name) {
        return Some("no attribute of a kind that an image may set");
    }
    if name.len() > LONGEST_NAME || name.as_bytes().contains(&0) {
        return Some("no name that an attribute can have");
    }
    let is_valid = match name.to_str() {
        Some(CAPABILITY) => is_capability(value),
        Some(ACCESS_ACL) => is_acl(value),
        Some(DEFAULT_ACL) => is_directory && is_acl(value),
        _ => true,
    };
    (!is_valid).then_some("not valid for this file")
}

/// <linux/capability.h>: the second and third revisions of the attribute. The first is refused since Linux 4.14.
fn is_capability(value: &[u8]) -> bool {
    let revision = value.get(3).copied();
    matches!((revision, value.len()), (Some(2), 20) | (Some(3), 24))
}

/// <linux/posix_acl_xattr.h>, acl(5) "Valid ACLs": a version, then entries of tag, permissions and id. The owner, the group
/// and the others have one entry each, in this order, and a mask is there if anybody else has one.
fn is_acl(value: &[u8]) -> bool {
    const VERSION: [u8; 4] = [2, 0, 0, 0];
    const RWX: u16 = 7;
    let Some(entries) = value.strip_prefix(&VERSION).filter(|entries| entries.len() % 8 == 0) else { return false };
    let mut last = 0;
    let (mut singles, mut needs_mask) = (0, false);
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let is_named = matches!(tag, 0x02 | 0x08);
        let is_single = matches!(tag, 0x01 | 0x04 | 0x10 | 0x20);
        let is_in_order = tag > last || is_named && tag == last;
        let has_id = entry[4..] != [0xff; 4];
        let permissions = u16::from_le_bytes([entry[2], entry[3]]);
        if !(is_named && has_id || is_single) || !is_in_order || permissions & !RWX != 0 {
            return false;
        }
        singles |= if is_single { tag } else { 0 };
        needs_mask |= is_named;
        last = tag;
    }
    singles & 0x25 == 0x25 && (singles & 0x10 != 0 || !needs_mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_attributes_an_image_may_bring() {
        let kept = ["user.a", "user.overlay", CAPABILITY, ACCESS_ACL, DEFAULT_ACL];
        let dropped = [
            "trusted.a",
            "trusted.SGI_ACL_FILE",
            "trusted.SGI_ACL_DEFAULT",
            "trusted.overlay.opaque",
            "user.overlay.opaque",
            "user.",
            "user",
            "security.selinux",
            "security.ima",
            "security.evm",
            "system.x",
            "btrfs.compression",
            "",
        ];
        assert!(kept.iter().all(|name| is_portable(OsStr::new(name))));
        assert!(!dropped.iter().any(|name| is_portable(OsStr::new(name))));
    }

    fn is_kept(name: &str, value: &[u8], is_directory: bool) -> bool {
        objection(&Xattr { name: name.into(), value: value.to_vec() }, is_directory).is_none()
    }

    #[test]
    fn names_that_no_file_can_have() {
        assert!(is_kept(&format!("user.{}", "x".repeat(250)), b"", false));
        assert!(!is_kept(&format!("user.{}", "x".repeat(251)), b"", false));
        assert!(!is_kept("user.a\0b", b"", false));
    }

    #[test]
    fn capabilities() {
        let value = |revision: u8, length: usize| [&[1, 0, 0, revision][..], &vec![0; length - 4]].concat();
        assert!(is_kept(CAPABILITY, &value(2, 20), false) && is_kept(CAPABILITY, &value(3, 24), false));
        for (revision, length) in [(1, 12), (2, 24), (3, 20), (2, 19), (4, 24)] {
            assert!(!is_kept(CAPABILITY, &value(revision, length), false), "{revision} {length}");
        }
        assert!(!is_kept(CAPABILITY, b"", false) && !is_kept(CAPABILITY, b"\x02", false));
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    #[test]
    fn access_control_lists() {
        const NONE: u32 = u32::MAX;
        const OWNER: (u16, u16, u32) = (0x01, 6, NONE);
        const USER: (u16, u16, u32) = (0x02, 7, 33);
        const GROUP: (u16, u16, u32) = (0x04, 4, NONE);
        const NAMED_GROUP: (u16, u16, u32) = (0x08, 4, 33);
        const MASK: (u16, u16, u32) = (0x10, 7, NONE);
        const OTHERS: (u16, u16, u32) = (0x20, 0, NONE);
        let valid: [&[_]; 3] = [
            &[OWNER, GROUP, OTHERS],
            &[OWNER, GROUP, MASK, OTHERS],
            &[OWNER, USER, USER, GROUP, NAMED_GROUP, NAMED_GROUP, MASK, OTHERS],
        ];
        for entries in valid {
            assert!(is_kept(ACCESS_ACL, &acl(entries), false), "{entries:?}");
            assert!(is_kept(DEFAULT_ACL, &acl(entries), true), "{entries:?}");
            assert!(!is_kept(DEFAULT_ACL, &acl(entries), false), "only a directory hands something down");
        }
        let invalid: [&[_]; 9] = [
            &[],
            &[OWNER, GROUP],
            &[GROUP, OWNER, OTHERS],
            &[OWNER, OWNER, GROUP, OTHERS],
            &[OWNER, USER, GROUP, OTHERS],
            &[OWNER, (0x02, 7, NONE), GROUP, MASK, OTHERS],
            &[OWNER, (0x03, 7, 1), GROUP, MASK, OTHERS],
            &[(0x01, 8, NONE), GROUP, OTHERS],
            &[OWNER, GROUP, OTHERS, (0x40, 0, NONE)],
        ];
        for entries in invalid {
            assert!(!is_kept(ACCESS_ACL, &acl(entries), false), "{entries:?}");
        }
        assert!(!is_kept(ACCESS_ACL, b"y", false) && !is_kept(ACCESS_ACL, b"", false));
        assert!(!is_kept(ACCESS_ACL, &[&acl(valid[0])[..], b"x"].concat(), false));
    }
}
