//! gzip members, zstd frames, and archives in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs::archive::fuzzing::decompress(data));
