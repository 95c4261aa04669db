//! The names of everything that is measured.

/// Something whose duration is measured: the life of a log session.
pub(super) struct Timing {
    /// The session.
    pub(super) session: &'static str,
    /// Name of the metric, as GrootFS has always called it. Its unit is `nanos`.
    pub(super) metron: &'static str,
    /// First part of the names in the metrics file.
    pub(super) prometheus: &'static str,
    /// What it is.
    pub(super) help: &'static str,
}

pub(super) static TIMINGS: [Timing; 8] = [
    Timing {
        session: "groot-creating",
        metron: "ImageCreationTime",
        prometheus: "grootfs_image_creation",
        help: "Time to create an image",
    },
    Timing {
        session: "downloading-layer",
        metron: "DownloadTime",
        prometheus: "grootfs_layer_download",
        help: "Time from asking for a layer until its last byte was read; it is unpacked meanwhile",
    },
    Timing {
        session: "unpacking-layer",
        metron: "UnpackTime",
        prometheus: "grootfs_layer_unpack",
        help: "Time to unpack a layer, from its first byte on",
    },
    Timing {
        session: "acquiring-shared-lock",
        metron: "SharedLockingTime",
        prometheus: "grootfs_shared_locking",
        help: "Time a create waited for the store's lock",
    },
    Timing {
        session: "acquiring-exclusive-lock",
        metron: "ExclusiveLockingTime",
        prometheus: "grootfs_exclusive_locking",
        help: "Time a clean waited for the store's lock, or a create for that of a layer",
    },
    Timing {
        session: "groot-deleting",
        metron: "ImageDeletionTime",
        prometheus: "grootfs_image_deletion",
        help: "Time to delete an image",
    },
    Timing {
        session: "groot-stats",
        metron: "ImageStatsTime",
        prometheus: "grootfs_image_stats",
        help: "Time to read the disk usage of an image",
    },
    Timing {
        session: "groot-cleaning",
        metron: "ImageCleanTime",
        prometheus: "grootfs_image_clean",
        help: "Time to clean the store",
    },
];

/// A size that is measured. Its unit is `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What is in use of the store's filesystem.
    StoreUsage,
    /// Layers that no image needs.
    UnusedLayers,
    /// Layers that some image needs.
    UsedLayers,
    /// All layers.
    DownloadedLayers,
    /// The limits of all images.
    CommittedQuota,
    /// What is in use of the store's filesystem, under its later name.
    UsedBackingStore,
}

impl Size {
    /// Those of the metrics file.
    pub(super) const IN_FILE: [Size; 5] =
        [Size::StoreUsage, Size::UnusedLayers, Size::UsedLayers, Size::DownloadedLayers, Size::CommittedQuota];

    /// Name of the metric, as GrootFS has always called it.
    pub(super) fn metron(self) -> &'static str {
        match self {
            Size::StoreUsage => "StoreUsage",
            Size::UnusedLayers => "UnusedLayersSize",
            Size::UsedLayers => "UsedLayersSize",
            Size::DownloadedLayers => "DownloadedLayersSizeInBytes",
            Size::CommittedQuota => "CommittedQuotaInBytes",
            Size::UsedBackingStore => "UsedBackingStoreInBytes",
        }
    }

    /// Name in the metrics file, and what it is; a number that is there under another name has none.
    pub(super) fn prometheus(self) -> Option<(&'static str, &'static str)> {
        match self {
            Size::StoreUsage => Some(("grootfs_store_used_bytes", "Bytes in use of the filesystem of the store")),
            Size::UnusedLayers => Some(("grootfs_unused_layers_bytes", "Size of the layers that no image needs")),
            Size::UsedLayers => Some(("grootfs_used_layers_bytes", "Size of the layers that some image needs")),
            Size::DownloadedLayers => Some(("grootfs_downloaded_layers_bytes", "Size of all layers in the store")),
            Size::CommittedQuota => Some(("grootfs_committed_quota_bytes", "Sum of the disk limits of all images")),
            Size::UsedBackingStore => None,
        }
    }
}
