//! All settings: the one place where each is written down.
//!
//! What is said here of a setting becomes its key in the file, its environment variable, its flag with its help, and its
//! entry in `config.example.yml`, `docs/configuration.md` and grootfs-config(5). What a value has to be beyond its kind is
//! for [`super::check`].

// The texts are printed as they are.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

use std::ffi::OsStr;

use super::Error;
use super::setting::{Flag, Section, Setting, Slot, accepts, combine, options};
use super::value::{Count, FilePath, Level, Mirrors, Size, Span, Switch, Text, Texts, Truth, Value};

const QUOTA: &str = "Quota";
/// The heading of flags that all commands have which read an image.
pub(super) const SOURCE: &str = "Image source";
const CLEANING: &str = "Cleaning";
const MOUNTING: &str = "Mounting";

options! {
    /// What is said about the settings by one source, or by several together. `None` is what is not said.
    Options in "" {
        /// Directory of the store: layers and images
        ///
        /// It must be on a filesystem that the driver can use.
        store: FilePath = "/var/lib/grootfs", Flag::of("PATH");

        /// Filesystem driver, overlay-xfs or btrfs
        ///
        /// Empty: the driver of the filesystem that the store is on; overlay-xfs for a new store.
        driver: Text, Flag::of("NAME");

        /// Setuid helper for XFS quotas, for callers who are not root
        ///
        /// A path, or a name that is looked up in $PATH.
        tardis_bin: FilePath = "tardis", Flag::of("PATH");

        /// Setuid helper for quotas, for callers who are not root
        ///
        /// A path, or a name that is looked up in $PATH.
        drax_bin: FilePath = "drax", Flag::of("PATH");

        /// Directory that holds mkfs.btrfs
        ///
        /// Empty: it is looked up in $PATH.
        btrfs_progs_path: FilePath, Flag::of("DIR");

        /// Program that maps the user ids of a namespace, for callers who are not root
        newuidmap_bin: FilePath = "newuidmap", Flag::of("PATH");

        /// Program that maps the group ids of a namespace, for callers who are not root
        newgidmap_bin: FilePath = "newgidmap", Flag::of("PATH");

        /// Metron agent that metrics are sent to (UDP)
        ///
        /// An address is better than a name, which has to be resolved each time. Empty: none are sent.
        metron_endpoint: Text, Flag::of("HOST:PORT");

        /// File that metrics are kept in, for the textfile collector of Prometheus' node_exporter
        ///
        /// The collector reads files whose names end in .prom. Empty: none.
        metrics_file: FilePath, Flag::of("PATH");

        /// Log level: debug, info, error or fatal
        ///
        /// Nothing is logged at level fatal.
        log_level: Level = "fatal", Flag::of("LEVEL");

        /// File that logs are appended to, at level info at least
        ///
        /// Empty: standard error.
        log_file: FilePath, Flag::of("PATH");

        /// Timestamp format of log lines: rfc3339 (with a level word) or unix-epoch (with a log_level number)
        log_timestamp_format: Text = "rfc3339", Flag::of("FORMAT");

        /// Give up after this time, as 90, 90s, 5m or 2h
        ///
        /// The command ends as if it were interrupted. 0: never.
        timeout: Span = "0", Flag::of("DURATION");

        [create]: CreateOptions;
        [clean]: CleanOptions;
        [init]: InitOptions;
    }

    /// The section `create`.
    CreateOptions in "create" {
        /// Limit of the root filesystem in bytes, image included
        ///
        /// 0: no limit.
        disk_limit_size_bytes: Size = "0", Flag::of("BYTES").under(QUOTA);

        /// Limit of the root filesystem in inodes (files, directories, links), image included (overlay-xfs only)
        ///
        /// null: one for each 4 KiB of the limit in bytes, 10000 at least. 0: no limit.
        disk_limit_inodes: Count, Flag::of("N").under(QUOTA);

        /// Count only what the container writes against the limits, not the image
        exclude_image_from_quota: Truth, Flag::of("BOOL").under(QUOTA);

        /// Do not verify digests, diff ids and sizes of layers, nor the digests of manifests and configurations (oci://
        /// images only)
        skip_layer_validation: Truth, Flag::of("BOOL").under(SOURCE);

        /// Registry whose certificate is not verified and which may speak plain HTTP; repeatable
        ///
        /// host or host:port, as in the image's URL.
        insecure_registries: Texts, Flag::of("HOST[:PORT]").named("insecure-registry").under(SOURCE);

        /// Mirror of a registry, asked before it; repeatable
        ///
        /// For each registry, by its name in the image's URL or docker.io, a list of [http://|https://]host[:port][/prefix],
        /// asked in this order. Mirrors are verified like registries, and without https:// or http:// may be named as
        /// insecure like them. Only logins for the mirror's own host are sent to it.
        registry_mirrors: Mirrors, Flag::of("HOST=ENDPOINT").named("registry-mirror").under(SOURCE);

        /// Number of layers to download at the same time
        ///
        /// 0: one for each processor, 6 at least; 2 at least if they are read from this machine.
        concurrent_downloads: Count = "0", Flag::of("N").under(SOURCE);

        /// Use no network, only what the store has
        offline: Truth, Flag::of("BOOL").under(SOURCE);

        /// Record no digests of the files of new layers
        ///
        /// They are what `check --deep` compares with. Recording them takes about 5 % of the processor time of a create whose
        /// layers are not cached.
        without_layer_digests: Truth, Flag::of("BOOL").under(SOURCE);

        /// Remove unused layers first
        ///
        /// Layers are removed as clean.threshold_bytes says, and regardless of it when there is no room for the image.
        with_clean: Switch, Flag::of("").under(CLEANING);

        /// Log file of that cleaning
        ///
        /// Empty: with the other logs.
        clean_log_file: FilePath, Flag::of("PATH").under(CLEANING);

        /// Do not mount the root filesystem: print the mount for the caller to make
        without_mount: Switch, Flag::of("").under(MOUNTING);

        /// Destination in the mount that is printed: rootfs (the path of the image's rootfs) or root (/)
        mount_destination: Text = "rootfs";

        /// Volumes that the image declares: bind or ignore
        ///
        /// bind: a directory for the caller to bind-mount on each, which begins with what the image has there.
        image_volumes: Text = "bind", Flag::of("MODE").under(MOUNTING);

        /// Directory of client certificates for layers that an oci:// image keeps on a server (`urls`)
        ///
        /// Empty: none.
        remote_layer_client_certificates_path: FilePath;

        [limits]: LimitOptions;
    }

    /// The section `create.limits`: what an image, or the server that it comes from, may ask of this machine. 0 is no limit.
    LimitOptions in "create.limits" {
        /// Seconds after which a server that sends nothing is dropped
        ///
        /// Its rate is measured over as long. 0: never.
        stall_timeout_seconds: Count = "30", Flag::of("SECONDS").under(SOURCE);

        /// Bytes a second that a server must send, measured over the stall timeout
        ///
        /// Time in which layers are not read does not count. 0: any rate will do.
        min_bytes_per_second: Size = "1024", Flag::of("BYTES").under(SOURCE);

        /// Seconds in which a manifest, configuration or token must arrive, redirects and logins included
        ///
        /// 0: any time will do.
        manifest_timeout_seconds: Count = "60", Flag::of("SECONDS").under(SOURCE);

        /// Bytes that the layers of an image unpack to
        ///
        /// null: what the store has room for, less a hundredth of the store or 256 MiB. docs/security.md says what is behind
        /// this and the following numbers.
        unpacked_bytes: Size;

        /// Entries of the archives of all layers
        entries: Count = "4000000";

        /// Layers of an image
        layers: Count = "1024";

        /// Bytes of the path of an entry
        path_bytes: Size = "4095";

        /// Names in the path of an entry
        path_depth: Count = "2048";

        /// Bytes of the extended attributes of an entry, names included
        xattr_bytes: Size = "65536";

        /// Bytes of an extended header of an archive
        pax_bytes: Size = "1048576";

        /// Bytes of a manifest, index or configuration of an image
        manifest_bytes: Size = "8388608";

        /// How many times its packed size a layer, or an archive of an image, may unpack to, where that is more than 1 GiB
        compression_ratio: Count = "250";

        /// Bytes of memory for what cannot be finished before the end of a layer: about 150,000 directories
        memory_bytes: Size = "25165824";

        /// Seconds to get and unpack the layers
        ///
        /// The time is checked while there is something to unpack.
        create_seconds: Count = "0";
    }

    /// The section `clean`.
    CleanOptions in "clean" {
        /// Clean only if the layers in the store take at least this many bytes
        ///
        /// The threshold is ignored if less than a twentieth of the store is left. For `create --with-clean`
        /// the limits of all images count as well as the layers. 0: always.
        threshold_bytes: Size = "0", Flag::of("BYTES").under(CLEANING);

        /// Clean only if at least this part of the filesystem is in use, and then down to the low watermark
        ///
        /// Unused layers are removed, the least recently used first, until by their recorded sizes the low watermark is
        /// reached; all of them if less than a twentieth of the inodes is left. A threshold that is
        /// reached cleans as well, and a create that has no room cleans regardless of both. 0: off.
        high_watermark_percent: Count = "0", Flag::of("PERCENT").under(CLEANING);

        /// Part of the filesystem in use at which a clean above the high watermark ends
        ///
        /// Needs the high watermark, and is not above it. 0: off.
        low_watermark_percent: Count = "0", Flag::of("PERCENT").under(CLEANING);

        /// Base images whose layers are not cleaned
        ///
        /// Named as in a create under this configuration, e.g. oci:///layouts/busybox:latest. Kept are the layers that the
        /// image had at its last create.
        ignore_images: Texts;
    }

    /// The section `init`.
    InitOptions in "init" {
        /// Size of the filesystem that init-store makes in <store>.backing-store, or makes larger
        ///
        /// 0: use the filesystem that is there.
        store_size_bytes: Size = "0", Flag::of("BYTES");

        /// Use direct I/O between the loop device of that filesystem and its backing file: no double caching
        with_direct_io: Switch, Flag::of("");

        /// Accept a filesystem without project quotas; creating with a limit then fails
        without_quota: Switch, Flag::of("");

        /// Mount the images whose root filesystems a reboot has unmounted (overlay-xfs only)
        mount_images: Switch, Flag::of("");

        /// Use the layers of the store at this path, which has no id mappings, with the ids of this one (overlay-xfs only)
        ///
        /// Layers are kept once. Needs Linux 5.19. For a new store; it cannot be changed later. Empty: the store keeps its
        /// own layers, or stays as it was made.
        shared_layers: FilePath, Flag::of("PATH");
    }
}

impl CreateOptions {
    /// These, with what is given of `others`.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        others.over(self)
    }
}

impl LimitOptions {
    /// Changes the limit `name` of images. Limits of servers have flags of their own.
    ///
    /// # Errors
    /// When there is no such limit.
    pub fn set(&mut self, name: &str, Size(value): Size) -> Result<(), Error> {
        let is_meant = |setting: &Setting| setting.key == name && setting.flag.is_none();
        let slot = self.own_slots().into_iter().find(|(setting, _)| is_meant(setting));
        let (_, slot) = slot.ok_or_else(|| Error::UnknownLimit(name.to_owned()))?;
        // Any number is a value of any limit.
        let _ = slot.add(OsStr::new(&value.to_string()));
        Ok(())
    }

    pub(super) fn names() -> String {
        let of_images = Self::SETTINGS.iter().filter(|setting| setting.flag.is_none());
        let names: Vec<_> = of_images.map(|setting| setting.key).collect();
        names.join(", ")
    }
}

/// All settings, in the order of the file.
pub fn settings() -> Vec<&'static Setting> {
    Options::default().slots().into_iter().map(|(setting, _)| setting).collect()
}
