//! What the user calls an image. What is accepted names a server and a version.

#![no_main]

use grootfs::image::{ChainId, Reference};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(Reference::Docker(reference)) = Reference::parse(text) {
        assert!(!reference.server().is_empty() && !reference.version().is_empty(), "{text:?}");
    }
    if let Ok(chain_id) = ChainId::new(text) {
        assert!(!chain_id.as_str().contains('/') && !chain_id.as_str().starts_with(".."), "{text:?}");
    }
});
