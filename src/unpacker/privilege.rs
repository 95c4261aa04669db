//! Which files of a layer may run with other rights than those of whoever starts them.
//!
//! A store may belong to somebody who is not root, and who can start every file in it. A file with set-id bits or
//! capabilities gives him the rights of the id that it belongs to, so it keeps them only if that id is the store's own.

use super::attribute_ids;
use crate::archive::Xattr;
use crate::idmap::IdMappings;

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// Why a file does not get an attribute that would give its user capabilities.
pub(super) const WITHHELD: &str = "the file's owner is not one of the store's mapped ids";

/// Whose files keep their set-id bits and capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileged {
    /// Everybody's: the store belongs to root, or the kernel decides what its owner may make.
    All,
    /// Those of ids that the store's mappings translate.
    Mapped,
    /// Nobody's: the store belongs to a user, and all ids in it are those of the host.
    Nobody,
}

impl Privileged {
    /// The part of `mode` that a file of these ids of the image may have.
    pub(super) fn mode(self, mode: u32, uid: u32, gid: u32, ids: &IdMappings) -> u32 {
        let withheld = match (self.has_user(uid, ids), self.has_group(gid, ids)) {
            (true, true) => 0,
            // The rights of the user are the store's own.
            (true, false) if ids.gids.is_identity() => SET_GID,
            _ => SET_UID | SET_GID,
        };
        mode & !withheld
    }

    /// Whether a file of the user `uid` of the image may have this attribute.
    pub(super) fn allows(self, xattr: &Xattr, uid: u32, ids: &IdMappings) -> bool {
        let Some(root) = attribute_ids::root_of_capability(xattr) else { return true };
        self.has_user(uid, ids) && self.has_user(root, ids)
    }

    fn has_user(self, uid: u32, ids: &IdMappings) -> bool {
        match self {
            Privileged::All => true,
            Privileged::Mapped => ids.uids.is_identity() || ids.uids.has(uid),
            Privileged::Nobody => false,
        }
    }

    /// Where users are mapped and groups are not, the groups are those of the host.
    fn has_group(self, gid: u32, ids: &IdMappings) -> bool {
        match self {
            Privileged::All => true,
            Privileged::Mapped if ids.gids.is_identity() => ids.uids.is_identity(),
            Privileged::Mapped => ids.gids.has(gid),
            Privileged::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::IdMap;

    const ALL_BITS: u32 = 0o7755;

    fn map(ranges: &[&str]) -> IdMap {
        IdMap::new(ranges.iter().map(|range| range.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn only_mapped_ids_keep_set_id_bits() {
        let ids = IdMappings { uids: map(&["0:4001:1"]), gids: map(&["0:4001:1"]) };
        for (uid, gid, expected) in [(0, 0, 0o7755), (1, 0, 0o1755), (0, 1, 0o1755), (1, 1, 0o1755)] {
            assert_eq!(Privileged::Mapped.mode(ALL_BITS, uid, gid, &ids), expected, "{uid}:{gid}");
        }
        assert_eq!(Privileged::All.mode(ALL_BITS, 1, 1, &ids), ALL_BITS);
        assert_eq!(Privileged::Nobody.mode(ALL_BITS, 0, 0, &IdMappings::identity()), 0o1755);
    }

    #[test]
    fn groups_of_the_host_give_no_rights_to_a_mapped_user() {
        let ids = IdMappings { uids: map(&["0:4001:1"]), gids: IdMap::default() };
        assert_eq!(Privileged::Mapped.mode(ALL_BITS, 0, 0, &ids), 0o5755);
        let ids = IdMappings { uids: IdMap::default(), gids: map(&["0:4001:1"]) };
        assert_eq!(Privileged::Mapped.mode(ALL_BITS, 0, 0, &ids), 0o7755);
    }

    #[test]
    fn capabilities_are_those_of_a_mapped_user_and_a_mapped_root() {
        let ids = IdMappings { uids: map(&["0:4001:1"]), gids: map(&["0:4001:1"]) };
        let of_root = |root: u32| {
            let value = [&[1, 0, 0, 3][..], &[0; 16], &root.to_le_bytes()].concat();
            Xattr { name: "security.capability".into(), value }
        };
        let of_host = Xattr { name: "security.capability".into(), value: [&[1, 0, 0, 2][..], &[0; 16]].concat() };
        let allows = |xattr: &Xattr, uid| Privileged::Mapped.allows(xattr, uid, &ids);
        assert!(allows(&of_host, 0) && allows(&of_root(0), 0));
        assert!(!allows(&of_host, 5) && !allows(&of_root(5), 0));
        assert!(allows(&Xattr { name: "user.x".into(), value: Vec::new() }, 5));
    }
}
