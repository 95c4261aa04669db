//! What is btrfs's own: subvolumes, and the quota groups behind limits.

mod full;
mod grow;
mod helper;
mod ordinary_users;
mod qgroups;
mod subvolumes;
