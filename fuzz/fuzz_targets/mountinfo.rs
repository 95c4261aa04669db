//! A mount table.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs::sys::mount_point::fuzz(data));
