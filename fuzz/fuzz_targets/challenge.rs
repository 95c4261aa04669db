//! `WWW-Authenticate`, and what a token server answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| grootfs::fetcher::fuzzing::challenge(data));
