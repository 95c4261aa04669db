//! Layers: pulled, published as volumes, written to disk, and remembered.

pub(in crate::store) mod digests;
pub(in crate::store) mod durability;
pub(in crate::store) mod error;
pub(in crate::store) mod flatten;
pub(in crate::store) mod manifest_cache;
pub(in crate::store) mod publish;
pub(in crate::store) mod pull;
pub(in crate::store) mod sizes;
pub(in crate::store) mod turn;
pub(in crate::store) mod volumes;
