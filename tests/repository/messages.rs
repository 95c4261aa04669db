//! All messages on one page, for those who review how they read.

use std::collections::BTreeMap;
use std::fs;

use super::{files_below, root};

/// What stands before the text of a message.
const BEFORE: [&str; 5] =
    ["#[error(", "Failure::from(format!(", "write!(f, ", "f.write_str(", "write!(\n                f"];

/// The page `docs/messages.md`: of each file the messages in it, placeholders as they stand in the code.
pub(super) fn page() -> String {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for directory in ["src", "drax/src/helper"] {
        for path in files_below(&root().join(directory)) {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            let is_of_errors = code.contains("#[error(") || name.ends_with("error.rs") || name.starts_with("src/cli/");
            let messages = if is_of_errors { messages(code) } else { Vec::new() };
            if !messages.is_empty() {
                found.insert(name, messages);
            }
        }
    }
    let mut page = "# Messages\n\nWhat users may be told, by the file that says it; `{…}` is filled in. Made by \
                    `UPDATE=1 cargo test --test repository generated`.\n"
        .to_owned();
    for (file, messages) in found {
        page += &format!("\n## {file}\n\n");
        for message in messages {
            page += &format!("- `{}`\n", message.replace('`', "'"));
        }
    }
    page
}

fn messages(code: &str) -> Vec<String> {
    let mut starts: Vec<usize> =
        BEFORE.iter().flat_map(|before| code.match_indices(before).map(|(at, _)| at + before.len())).collect();
    starts.sort_unstable();
    let mut messages: Vec<String> = starts.into_iter().filter_map(|start| literal(&code[start..])).collect();
    messages.retain(|message| message.split_whitespace().count() > 1);
    messages.dedup();
    messages
}

/// The string literal that comes next, but for white space and a comma.
fn literal(code: &str) -> Option<String> {
    let code = code.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    let mut characters = code.strip_prefix('"')?.chars().peekable();
    let mut text = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                '\n' => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                'n' => text.push(' '),
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
}

#[test]
fn literals_are_read_as_the_compiler_does() {
    assert_eq!(literal("\n  \"a \\\n     b \\\"c\\\"\", x").as_deref(), Some("a b \"c\""));
    assert_eq!(literal("transparent)"), None);
    assert!(page().contains("Store path is not initialized. Please run init-store."));
}
