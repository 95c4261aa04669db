//! What the command line says about the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Flags that stand over the configuration file. `None`, empty and `false` are flags that were not given.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub store: Option<PathBuf>,
    pub driver: Option<String>,
    pub tardis_bin: Option<PathBuf>,
    pub drax_bin: Option<PathBuf>,
    pub btrfs_progs_path: Option<PathBuf>,
    pub newuidmap_bin: Option<PathBuf>,
    pub newgidmap_bin: Option<PathBuf>,
    pub metron_endpoint: Option<String>,
    pub metrics_file: Option<PathBuf>,
    pub log_level: Option<String>,
    pub log_file: Option<PathBuf>,
    pub log_timestamp_format: Option<String>,
    pub disk_limit_size_bytes: Option<i64>,
    pub disk_limit_inodes: Option<i64>,
    pub exclude_image_from_quota: Option<bool>,
    pub skip_layer_validation: Option<bool>,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
    pub concurrent_downloads: Option<i64>,
    pub limits: BTreeMap<String, i64>,
    pub offline: Option<bool>,
    pub stall_timeout_seconds: Option<i64>,
    pub min_bytes_per_second: Option<i64>,
    pub manifest_timeout_seconds: Option<i64>,
    pub with_clean: bool,
    pub without_clean: bool,
    pub threshold_bytes: Option<i64>,
    pub clean_log_file: Option<PathBuf>,
    pub with_mount: bool,
    pub without_mount: bool,
    pub image_volumes: Option<String>,
    pub store_size_bytes: Option<i64>,
    pub with_direct_io: bool,
    pub without_quota: bool,
    pub mount_images: bool,
    pub shared_layers: Option<PathBuf>,
}
