//! An image configuration.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = grootfs::image::parse_config(data);
});
