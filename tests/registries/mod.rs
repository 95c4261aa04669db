//! Images from registries: logins, caches, faults, mirrors, proxies, certificates.

mod create_docker;
mod push;
mod registry_auth;
mod registry_cache;
mod registry_faults;
mod registry_mirrors;
mod registry_reach;
mod registry_tls;
mod remote_layers;
