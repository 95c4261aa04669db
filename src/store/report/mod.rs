//! What there is in a store, told without changing it.

pub(in crate::store) mod check;
pub(in crate::store) mod deep;
pub(in crate::store) mod doctor;
pub(in crate::store) mod exact;
pub(in crate::store) mod inspect;
pub(in crate::store) mod measure;
pub(in crate::store) mod scan;
