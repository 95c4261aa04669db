//! What is overlay-xfs's own: how it mounts, and what it keeps in a store.

mod commit;
mod mounting;
mod shared_layers;
mod store_files;
