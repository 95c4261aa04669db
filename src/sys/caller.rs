//! On whose behalf this process runs.

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
    /// The caller of a process that has not changed its user namespace.
    pub fn of_process() -> Self {
        if rustix::process::geteuid().is_root() { Caller::Root } else { Caller::User }
    }
}
