//! Dependency records of a store.

#![no_main]

use grootfs_fuzz::with_file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| with_file(data, grootfs::store::fuzz_record));
