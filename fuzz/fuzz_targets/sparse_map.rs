//! Maps of sparse files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs::archive::fuzzing::sparse_map(data));
