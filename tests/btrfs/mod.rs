//! What is btrfs's own: subvolumes, and the quota groups behind limits.

mod full;
mod grow;
mod helper;
mod limits;
mod ordinary_users;
mod qgroups;
mod subvolumes;
