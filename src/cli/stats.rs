//! `grootfs stats`.

use serde::Serialize;

use super::args::{ImageArgs, invalid_arguments};
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::{ImageError, ImageSelector, SelectError};

#[derive(Serialize)]
struct Stats {
    disk_usage: DiskUsage,
    /// For people: callers read the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

#[derive(Serialize)]
struct DiskUsage {
    total_bytes_used: u64,
    exclusive_bytes_used: u64,
    quota_size_bytes: u64,
    committed_space_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_inodes_used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_inodes: Option<u64>,
}

/// Words that callers of the original match, out of place as they are.
fn not_found(error: &ImageError) -> Failure {
    match error {
        ImageError::Select(SelectError::NotFound { .. }) => Failure::from(format!("{error} Skipping delete.")),
        _ => Failure::from(error.to_string()),
    }
}

/// Prints the disk usage of an image in bytes, as one JSON object.
pub(crate) fn run(config: &Config, args: &ImageArgs) -> Result<(), Failure> {
    let argument = args.id().map_err(|_| invalid_arguments("stats [options] <id|image path>"))?;
    let store = store(config)?;
    let id = ImageSelector(argument).existing(store).map_err(|error| {
        tracing::error!(%error, id = argument, storePath = %config.store.display(), "find-id-failed");
        not_found(&error)
    })?;
    let usage = store.usage(&id)?;
    let warning = store.lacks_rootfs(&id)?.then(|| {
        let image = store.layout().image(id.as_str());
        format!("the root filesystem {} is not mounted: mount it with grootfs mount", image.join("rootfs").display())
    });
    let stats = Stats {
        warning,
        disk_usage: DiskUsage {
            total_bytes_used: usage.total,
            exclusive_bytes_used: usage.exclusive,
            quota_size_bytes: usage.quota,
            committed_space_bytes: usage.committed,
            exclusive_inodes_used: usage.inodes.map(|inodes| inodes.used),
            quota_inodes: usage.inodes.map(|inodes| inodes.limit),
        },
    };
    let json = serde_json::to_string(&stats).map_err(|e| Failure::from(format!("encoding the result: {e}")))?;
    output::line(&json)
}
