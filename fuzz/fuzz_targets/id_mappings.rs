//! Id mappings, as flags and records have them, and the files of subordinate ids.

#![no_main]

use grootfs::idmap::IdMap;
use grootfs::sys::subordinate_ids::{self, Holder};
use grootfs_fuzz::with_file;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let texts: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Ok(map) = IdMap::recorded(&texts) {
        // Records of older stores may have empty ranges.
        for range in map.ranges().iter().filter(|range| range.size > 0) {
            assert!(range.host.checked_add(range.size - 1).is_some(), "{map:?}");
            assert!(map.has(range.namespace), "{map:?}");
        }
        let _ = map.as_mount_map();
    }
    with_file(text.as_bytes(), |path| {
        let holder = Holder { name: "a", id: Some(1) };
        for ids in subordinate_ids::of(path, holder).unwrap_or_default() {
            assert!(ids.count > 0);
        }
    });
});
