//! The ids that users may map into their user namespaces (subuid(5), subgid(5)).

use std::fs;
use std::path::Path;

use super::path_error::{OnPath, PathError};

/// A run of ids on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubordinateIds {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Whose ids they are.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The name.
    pub name: &'a str,
    /// The number, which may stand in place of the name.
    pub id: Option<u32>,
}

/// The ids that the file at `path` gives to `holder`. Lines that are none of the format are passed over, as the programs
/// that use these files do.
pub fn of(path: &Path, holder: Holder<'_>) -> Result<Vec<SubordinateIds>, PathError> {
    // Names of others may be in any encoding.
    Ok(parse(&String::from_utf8_lossy(&fs::read(path).on("open", path)?), holder))
}

fn parse(text: &str, holder: Holder<'_>) -> Vec<SubordinateIds> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let ids = SubordinateIds { first: fields.next()?.parse().ok()?, count: fields.next()?.trim().parse().ok()? };
        let is_holder = owner == holder.name || holder.id.is_some_and(|id| owner == id.to_string());
        is_holder.then_some(ids).filter(|ids| ids.count > 0)
    };
    text.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_concern_their_line_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"# caf\xe9\nren\xe9:1:2\ngroot:100000:65536\n").unwrap();
        let found = of(file.path(), Holder { name: "groot", id: None }).unwrap();
        assert_eq!(found, [SubordinateIds { first: 100_000, count: 65536 }]);
    }

    #[test]
    fn finds_every_line_of_a_user_by_name_or_number() {
        let text =
            "other:1:2\ngroot:100000:65536\n# groot:5:5\ngroot:nonsense\n1000:300000:10\ngroot2:7:7\ngroot:9:0\n";
        let expected = [(100_000, 65536), (300_000, 10)].map(|(first, count)| SubordinateIds { first, count });
        let groot = Holder { name: "groot", id: Some(1000) };
        assert_eq!(parse(text, groot), expected);
        assert_eq!(parse(text, Holder { id: None, ..groot }), expected[..1]);
        assert_eq!(parse("", groot), []);
    }
}
