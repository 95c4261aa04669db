//! What can go wrong with a quota: the step, and what the kernel said.

use crate::btrfs::QgroupId;
use crate::xfs::ProjectId;
use std::fmt;
use std::io;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A quota system call that failed.
///
/// The text names the step and the kernel's reason in lower case, as the original's messages do. It names no path: the
/// functions work on descriptors, and the caller knows which path it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    operation: Operation,
    errno: i32,
}

/// The step of a quota operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reading the project id of a directory.
    GetAttributes,
    /// Writing the project id of a directory.
    SetAttributes,
    /// Setting or removing a limit.
    SetLimit(ProjectId),
    /// Reading usage and limit.
    GetUsage(ProjectId),
    /// Asking which quotas the filesystem enforces.
    GetSupport,
    /// Drawing a random project id.
    Random,
    /// Counting the reserved project ids.
    CountReserved,
    /// ImageCreation the file by which a project id is tried.
    Stake,
    /// Reserving a project id.
    Reserve,
    /// Giving a project id back.
    Release(ProjectId),
    /// Asking whether a btrfs filesystem counts, and how.
    GetQuotaState,
    /// Having a btrfs filesystem count.
    EnableQuota,
    /// Having a btrfs filesystem count what was there before, and waiting until it has.
    Rescan,
    /// Looking up the id of a subvolume.
    GetSubvolumeId,
    /// Looking up the size of the nodes of a btrfs filesystem's trees.
    GetNodeSize,
    /// Setting or removing the limit of a quota group, with all that it takes.
    LimitQgroup(QgroupId),
    /// Reading usage and limit of a quota group.
    GetQgroup(QgroupId),
    /// Removing a quota group.
    RemoveQgroup(QgroupId),
    /// Listing quota groups.
    ListQgroups,
    /// Listing subvolumes.
    ListSubvolumes,
    /// Having a btrfs filesystem write out and count everything.
    Sync,
}

impl Error {
    /// For `map_err`: an error of the system becomes one of this step.
    pub(crate) fn during(operation: Operation) -> impl Fn(io::Error) -> Self {
        move |error| Self { operation, errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }

    /// The step that failed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The kernel's error number.
    pub fn errno(&self) -> i32 {
        self.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::GetAttributes => write!(f, "getting extended attributes"),
            Operation::SetAttributes => write!(f, "setting extended attributes"),
            Operation::SetLimit(ProjectId(id)) => write!(f, "setting quota limit for projid {id}"),
            Operation::GetUsage(ProjectId(id)) => write!(f, "getting quota limit for projid {id}"),
            Operation::GetSupport => write!(f, "asking which quotas are enforced"),
            Operation::Random => write!(f, "allocating project id: reading random bytes"),
            Operation::CountReserved => write!(f, "allocating project id: reading directory"),
            Operation::Stake => write!(f, "allocating project id: making a nameless file"),
            Operation::Reserve => write!(f, "allocating project id: failed to create id file"),
            Operation::Release(ProjectId(id)) => write!(f, "removing project id {id}"),
            Operation::GetQuotaState => write!(f, "asking for the state of btrfs quotas"),
            Operation::EnableQuota => write!(f, "enabling btrfs quotas"),
            Operation::Rescan => write!(f, "btrfs quota rescan"),
            Operation::GetSubvolumeId => write!(f, "looking up the subvolume id"),
            Operation::GetNodeSize => write!(f, "looking up the size of tree nodes"),
            Operation::LimitQgroup(id) => write!(f, "setting the limit of qgroup {id}"),
            Operation::GetQgroup(id) => write!(f, "qgroup usage: reading qgroup {id}"),
            Operation::RemoveQgroup(id) => write!(f, "removing qgroup {id}"),
            Operation::ListQgroups => write!(f, "listing qgroups"),
            Operation::ListSubvolumes => write!(f, "list subvolumes"),
            Operation::Sync => write!(f, "syncing filesystem"),
        }?;
        write!(f, ": {}", reason(self.errno))
    }
}

impl std::error::Error for Error {}

/// The system's text for an error number, in lower case and without the number.
pub(crate) fn reason(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(operation: Operation, errno: i32) -> String {
        Error { operation, errno }.to_string()
    }

    #[test]
    fn messages_read_as_the_original_s_do() {
        assert_eq!(
            text(Operation::SetLimit(ProjectId(12)), libc::ENOSYS),
            "setting quota limit for projid 12: function not implemented"
        );
        assert_eq!(
            text(Operation::GetUsage(ProjectId(3)), libc::EPERM),
            "getting quota limit for projid 3: operation not permitted"
        );
        assert_eq!(
            text(Operation::RemoveQgroup(QgroupId(300)), libc::EPERM),
            "removing qgroup 0/300: operation not permitted"
        );
        assert_eq!(
            text(Operation::Reserve, libc::ENOSPC),
            "allocating project id: failed to create id file: no space left on device"
        );
    }
}
