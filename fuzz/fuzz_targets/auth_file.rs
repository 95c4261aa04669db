//! Files that logins leave.

#![no_main]

use grootfs_fuzz::with_file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| with_file(data, grootfs::fetcher::fuzzing::auth_file));
