//! What is btrfs's own: subvolumes, and the quota groups behind limits.

mod qgroups;
mod subvolumes;
