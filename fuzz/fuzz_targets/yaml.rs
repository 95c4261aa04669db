//! The configuration file.

#![no_main]

use grootfs::config::{Config, Flags};
use grootfs_fuzz::with_file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    with_file(data, |path| {
        let _ = Config::load(Flags { config: Some(path.to_owned()), ..Flags::default() });
    });
});
