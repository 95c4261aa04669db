//! Chain ids: the names of unpacked layers in the store.
//!
//! GrootFS computes them over bare hex strings, without the `sha256:` prefixes that the OCI image specification's
//! ChainID keeps, so the two differ. Stores of the original depend on this form.

use std::fmt;

use sha2::{Digest, Sha256};

/// Name of an unpacked layer: identifies the layer together with everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(String);

/// A diff id that cannot name a directory of the store.
#[derive(Debug, thiserror::Error)]
#[error("diff id `{0}` is not usable: expected letters, digits, `_`, `-` and `.`")]
pub struct InvalidChainId(String);

impl ChainId {
    /// Takes a name as it is found in a manifest or a record.
    ///
    /// Names need not be hex (Garden writes others), but each must be one plain path component that cannot be taken
    /// for a volume under construction or a condemned one.
    pub fn new(name: &str) -> Result<Self, InvalidChainId> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        let reserved = name.starts_with('.') || name.starts_with("gc.") || name.contains("-incomplete-");
        if name.is_empty() || name.len() > 128 || !plain || reserved {
            return Err(InvalidChainId(name.to_owned()));
        }
        Ok(ChainId(name.to_owned()))
    }

    /// The id of a layer without content address, such as a local tar: the digest of what tells it apart.
    pub fn of_text(text: &[u8]) -> Self {
        ChainId(hex(&Sha256::digest(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Chain ids of layers given by their diff ids (hex, bottom first): the first is the diff id itself, each further one
/// is the digest of `<parent chain id> <diff id>`.
pub fn chain_ids<'a>(diff_ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<ChainId>, InvalidChainId> {
    let mut chain: Vec<ChainId> = Vec::new();
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => ChainId::new(diff_id)?,
            Some(parent) => ChainId::of_text(format!("{parent} {diff_id}").as_bytes()),
        });
    }
    Ok(chain)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_known_vector() {
        let ids = chain_ids([
            "afe200c63655576eaa5cabe036a2c09920d6aee67653ae75a9d35e0ec27205a5",
            "d7c6a5f0d9a15779521094fa5eaf026b719984fb4bfe8e0012bd1da1b62615b0",
        ])
        .unwrap();
        assert_eq!(ids[0].as_str(), "afe200c63655576eaa5cabe036a2c09920d6aee67653ae75a9d35e0ec27205a5");
        assert_eq!(ids[1].as_str(), "9242945d3c9c7cf5f127f9352fea38b1d3efe62ee76e25f70a3e6db63a14c233");
    }

    #[test]
    fn refuses_names_that_could_leave_or_confuse_the_store() {
        for name in ["", ".", "..", "a/b", "gc.a", "a-incomplete-1", ".hidden", "a b", "a\0b"] {
            assert!(ChainId::new(name).is_err(), "{name:?}");
        }
        assert!(ChainId::new("some-digest").is_ok());
    }
}
