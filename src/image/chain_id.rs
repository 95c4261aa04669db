//! Chain ids: the names of unpacked layers in the store.
//!
//! GrootFS computes them over bare hex strings, without the `sha256:` prefixes that the OCI image specification's
//! ChainID keeps, so the two differ. Stores of the original depend on this form.
//!
//! A layer that belongs below a base directory has that directory in its chain id: unpacked elsewhere it is another
//! volume. The original left it out, and the first image to bring the layer decided for all.

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

/// Chain ids of layers given by their diff ids (hex) and base directories, bottom first.
///
/// The first is the diff id itself, each further one is the digest of `<parent chain id> <diff id>`; ` <base directory>`
/// follows where there is one.
pub fn chain_ids<'a>(
    layers: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<Vec<ChainId>, InvalidChainId> {
    let mut chain: Vec<ChainId> = Vec::new();
    for (diff_id, base_directory) in layers {
        let base = base_directory.map(below_root).unwrap_or_default();
        let own = if base.is_empty() { diff_id.to_owned() } else { format!("{diff_id} {base}") };
        chain.push(match chain.last() {
            None if base.is_empty() => ChainId::new(diff_id)?,
            None => ChainId::of_text(own.as_bytes()),
            Some(parent) => ChainId::of_text(format!("{parent} {own}").as_bytes()),
        });
    }
    Ok(chain)
}

/// A directory in one spelling: absolute, without `.`, `..` and empty components; empty for the root.
fn below_root(directory: &str) -> String {
    let mut components = Vec::new();
    for component in directory.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    components.iter().map(|component| format!("/{component}")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_known_vector() {
        let ids = chain_ids(
            [
                "afe200c63655576eaa5cabe036a2c09920d6aee67653ae75a9d35e0ec27205a5",
                "d7c6a5f0d9a15779521094fa5eaf026b719984fb4bfe8e0012bd1da1b62615b0",
            ]
            .map(|diff_id| (diff_id, None)),
        )
        .unwrap();
        assert_eq!(ids[0].as_str(), "afe200c63655576eaa5cabe036a2c09920d6aee67653ae75a9d35e0ec27205a5");
        assert_eq!(ids[1].as_str(), "9242945d3c9c7cf5f127f9352fea38b1d3efe62ee76e25f70a3e6db63a14c233");
    }

    #[test]
    fn a_base_directory_belongs_to_the_layer_and_to_all_above() {
        let chain = |base| chain_ids([("a", None), ("b", base), ("c", None)]).unwrap();
        let plain = chain(None);
        for root in ["", "/", "/.", "/x/.."] {
            assert_eq!(chain(Some(root)), plain, "{root}");
        }
        let based = chain(Some("/home/vcap"));
        assert_eq!(based[0], plain[0]);
        assert!(based[1] != plain[1] && based[2] != plain[2] && based[1] != chain(Some("/other"))[1]);
        for spelling in ["/home/vcap/", "//home/./vcap", "/home/x/../vcap"] {
            assert_eq!(chain(Some(spelling)), based, "{spelling}");
        }
        let lowest = |base| chain_ids([("a", base)]).unwrap();
        assert_ne!(lowest(Some("/home")), lowest(None));
    }

    #[test]
    fn refuses_names_that_could_leave_or_confuse_the_store() {
        for name in ["", ".", "..", "a/b", "gc.a", "a-incomplete-1", ".hidden", "a b", "a\0b"] {
            assert!(ChainId::new(name).is_err(), "{name:?}");
        }
        assert!(ChainId::new("some-digest").is_ok());
    }
}
