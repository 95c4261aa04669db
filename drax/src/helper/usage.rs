//! Disk usage as the callers of the original read it.

use crate::btrfs::ImageUsage;

/// One JSON object without a newline, its keys in the original's order.
pub(super) fn json(usage: ImageUsage) -> String {
    object(&bytes(usage))
}

/// The same where inodes are counted, too.
pub(super) fn json_with_inodes(usage: ImageUsage, used: u64, limit: u64) -> String {
    object(&format!(r#"{},"exclusive_inodes_used":{used},"quota_inodes":{limit}"#, bytes(usage)))
}

fn bytes(usage: ImageUsage) -> String {
    let ImageUsage { total, exclusive, quota, committed } = usage;
    format!(
        r#""total_bytes_used":{total},"exclusive_bytes_used":{exclusive},"quota_size_bytes":{quota},"committed_space_bytes":{committed}"#
    )
}

fn object(members: &str) -> String {
    format!(r#"{{"disk_usage":{{{members}}}}}"#)
}

/// What `btrfs qgroup show --raw -F` of btrfs-progs 4 prints about one subvolume. Callers read the last two numbers of
/// the last line.
pub(super) fn table(subvolume: u64, usage: ImageUsage) -> String {
    let qgroup = format!("0/{subvolume}");
    let ImageUsage { total, exclusive, .. } = usage;
    format!(
        "{:<8} {:>12} {:>12} \n{:<8} {:>12} {:>12} \n{qgroup:<8} {total:>12} {exclusive:>12} \n",
        "qgroupid", "rfer", "excl", "--------", "----", "----"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_read_as_the_original_s_do() {
        let usage = ImageUsage { total: 9_445_376, exclusive: 4_202_496, quota: 47_185_920, committed: 52_428_800 };
        assert_eq!(
            json(usage),
            "{\"disk_usage\":{\"total_bytes_used\":9445376,\"exclusive_bytes_used\":4202496,\
             \"quota_size_bytes\":47185920,\"committed_space_bytes\":52428800}}"
        );
        assert_eq!(
            json_with_inodes(usage, 7, 11_520),
            "{\"disk_usage\":{\"total_bytes_used\":9445376,\"exclusive_bytes_used\":4202496,\
             \"quota_size_bytes\":47185920,\"committed_space_bytes\":52428800,\
             \"exclusive_inodes_used\":7,\"quota_inodes\":11520}}"
        );
        assert_eq!(
            table(257, usage),
            "qgroupid         rfer         excl \n\
             --------         ----         ---- \n\
             0/257         9445376      4202496 \n"
        );
    }
}
