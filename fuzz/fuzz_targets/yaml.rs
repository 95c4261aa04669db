//! The configuration file.

#![no_main]

use grootfs::config::{Config, Overrides};
use grootfs_fuzz::with_file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    with_file(data, |path| {
        let _ = Config::load(&Overrides { config: Some(path.to_owned()), ..Overrides::default() });
    });
});
