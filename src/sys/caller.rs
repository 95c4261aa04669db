//! On whose behalf this process runs.

use std::fs;

/// What the kernel lets this process do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Everything: give files away, mount, set limits.
    Root,
    /// What any user may. What it makes is its own.
    User,
    /// A user who is root of a user namespace with ids of his own: may give files to these, but not mount what others
    /// see, nor set limits.
    MappedUser,
}

impl Caller {
    /// The caller of this process.
    pub fn of_process() -> Self {
        // A kernel without user namespaces has no such file.
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        match (rustix::process::geteuid().is_root(), is_everything(&map)) {
            (true, true) => Caller::Root,
            (true, false) => Caller::MappedUser,
            (false, _) => Caller::User,
        }
    }
}

/// Whether a namespace with this map has all ids, each as itself: that of the machine has, and to say more of another
/// one that does takes comparing what cannot be seen.
fn is_everything(map: &str) -> bool {
    let mut fields = map.split_whitespace();
    map.is_empty() || (fields.next(), fields.next(), fields.next()) == (Some("0"), Some("0"), Some("4294967295"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_fewer_ids_is_not_the_machine_s() {
        assert!(is_everything("         0          0 4294967295\n") && is_everything(""));
        assert!(!is_everything("         0       1000          1\n         1     100000      65536\n"));
    }
}
