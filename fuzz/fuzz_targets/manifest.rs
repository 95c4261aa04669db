//! An index or a manifest.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = grootfs::image::parse_manifest_or_index(data);
});
