//! Who called, and what is left of root's rights.

use super::directory::Directory;
use super::error::HelperError;
use crate::sys::{self, capability};
use std::os::unix::fs::MetadataExt;

/// Write permission for the group or for others. An access control list that lets anybody else write shows in the
/// group's.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The user who runs the helper.
pub(super) struct Caller {
    uid: u32,
}

impl Caller {
    /// Gives up what is not needed to act for the user who called.
    ///
    /// For an ordinary user that leaves `CAP_SYS_ADMIN`, which quotas need. Files are opened and made with the user's own
    /// rights from here on: the kernel refuses what it would refuse the user, before any check of ours.
    ///
    /// Root may work on stores of others, and keeps what overrides permissions.
    pub(super) fn assume(program: &str) -> Result<Self, HelperError> {
        if sys::effective_uid() != 0 {
            return Err(HelperError::NotPrivileged { program: program.to_owned(), reason: why_not_privileged() });
        }
        let caller = Self { uid: sys::real_uid() };
        let wanted = match caller.is_root() {
            true => capability::SYS_ADMIN | capability::OF_FILES,
            false => capability::SYS_ADMIN,
        };
        sys::keep_capabilities(wanted).map_err(HelperError::Harden)?;
        sys::set_filesystem_uid(caller.uid).map_err(HelperError::Harden)?;
        sys::forbid_new_privileges().map_err(HelperError::Harden)?;
        // A change of identity may have allowed them again (fs.suid_dumpable).
        sys::forbid_dumps().map_err(HelperError::Harden)?;
        Ok(caller)
    }

    /// Whether it is root, who is trusted.
    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Checks that a directory belongs to the caller, and that nobody else can change what is in it.
    pub(super) fn check_owns(&self, directory: &Directory) -> Result<(), HelperError> {
        if self.is_root() {
            return Ok(());
        }
        let metadata = directory.metadata()?;
        if metadata.uid() != self.uid {
            return Err(HelperError::NotOwner { path: directory.path.clone(), uid: self.uid });
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(HelperError::WritableByOthers(directory.path.clone()));
        }
        Ok(())
    }

    /// Whether a file with this owner is one that the caller vouches for.
    pub(super) fn owns(&self, metadata: &std::fs::Metadata) -> bool {
        self.is_root() || metadata.uid() == self.uid
    }
}

fn why_not_privileged() -> &'static str {
    if sys::are_new_privileges_forbidden() {
        return "it was started with no_new_privs set, as containers and services often are, so that its setuid bit means \
                nothing: start grootfs without";
    }
    if sys::is_own_file_nosuid() {
        return "it is on a filesystem mounted with nosuid: install it on another one";
    }
    "it must be owned by root and have the setuid bit: chown root and chmod u+s"
}
