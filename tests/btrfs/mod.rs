//! What is btrfs's own: subvolumes, and the quota groups behind limits.

mod helper;
mod ordinary_users;
mod qgroups;
mod subvolumes;
