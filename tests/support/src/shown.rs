//! What documentation shows of outputs, which differ from run to run, held against one.

/// Stands for any number of lines, or before a space for the beginning of one.
const ANYTHING: &str = "...";

/// A line in which numbers, sizes, times and names of layers are told from nothing else.
fn masked(line: &str) -> String {
    const UNITS: [&str; 8] = ["B", "KiB", "MiB", "GiB", "s", "min", "h", "d"];
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let after_number = words.last().is_some_and(|last| last.ends_with('#'));
        let (unit, rest) = word.split_at(word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len()));
        match after_number && UNITS.contains(&unit) {
            true => words.last_mut().unwrap().push_str(rest),
            false => words.push(masked_word(word)),
        }
    }
    words.join(" ")
}

fn masked_word(word: &str) -> String {
    let mut masked = String::new();
    for piece in word.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
        let end = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_number = !end.is_empty() && end.chars().all(|c| c.is_ascii_digit() || c == '.');
        let is_name_of_layer = end.len() >= 12 && end.chars().all(|c| c.is_ascii_hexdigit());
        let is_masked = is_number || is_name_of_layer;
        masked.push_str(if is_masked { "#" } else { end });
        masked.push_str(&piece[end.len()..]);
    }
    masked
}

fn fits_line(expected: &str, actual: &str) -> bool {
    let (expected, actual) = (masked(expected), masked(actual));
    match expected.strip_prefix("... ") {
        Some(end) => actual.ends_with(end),
        None => fits_pattern(&expected, &actual),
    }
}

/// Whether a line is that of a page, in which `…` stands for anything.
fn fits_pattern(expected: &str, actual: &str) -> bool {
    let Some((first, rest)) = expected.split_once('…') else { return actual == expected };
    let Some(mut actual) = actual.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = actual.find(part) else { return false };
        actual = &actual[at + part.len()..];
    }
    actual.ends_with(last)
}

/// Whether the lines are those expected.
pub fn fits(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first == ANYTHING => (0..=actual.len()).any(|skipped| fits(rest, &actual[skipped..])),
        Some((first, rest)) => actual.first().is_some_and(|line| fits_line(first, line)) && fits(rest, &actual[1..]),
    }
}
