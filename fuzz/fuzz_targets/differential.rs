//! The entries of an archive, as this reader and another one see them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs_fuzz::second_reader::compare(data));
