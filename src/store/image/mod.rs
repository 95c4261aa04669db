//! Images: made, mounted, recorded and removed.

pub(in crate::store) mod commit;
pub(in crate::store) mod create;
pub(in crate::store) mod delete;
pub(in crate::store) mod dependencies;
pub(in crate::store) mod error;
pub(in crate::store) mod id;
pub(in crate::store) mod image_volumes;
pub(in crate::store) mod limit;
pub(in crate::store) mod mounting;
pub(in crate::store) mod needed;
pub(in crate::store) mod origin;
pub(in crate::store) mod removal;
pub(in crate::store) mod users;
