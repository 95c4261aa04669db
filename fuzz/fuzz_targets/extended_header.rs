//! The body of a PAX extended header.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs::archive::fuzzing::extended_header(data));
