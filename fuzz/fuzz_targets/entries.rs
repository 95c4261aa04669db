//! All entries of a plain archive; checksums are not checked in this build.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs::archive::fuzzing::entries(data));
