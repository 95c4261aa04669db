//! Messages of bounded length: a name in one may come from an archive or a registry and be a megabyte long.

use std::borrow::Cow;

/// Bytes that are left of a name: of its beginning, and of its end, which tells the most of a path.
const NAME: Kept = Kept { first: 147, last: 50 };
/// Bytes that are left of a message: what failed, and why.
const MESSAGE: Kept = Kept { first: 597, last: 300 };

const ELLIPSIS: char = '…';

struct Kept {
    first: usize,
    last: usize,
}

impl Kept {
    /// The longest text that is left as it is; what is cut comes to it with its ellipsis.
    const fn most(&self) -> usize {
        self.first + ELLIPSIS.len_utf8() + self.last
    }

    fn of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.len() <= self.most() {
            return Cow::Borrowed(text);
        }
        let boundary = |index: &usize| text.is_char_boundary(*index);
        let end = (0..=self.first).rev().find(boundary).unwrap_or(0);
        let start = (text.len() - self.last..text.len()).find(boundary).unwrap_or(text.len());
        Cow::Owned(format!("{}{ELLIPSIS}{}", &text[..end], &text[start..]))
    }
}

/// A message, with each name in it of at most 200 bytes, and itself of at most 900.
pub fn message(text: &str) -> Cow<'_, str> {
    if text.len() <= NAME.most() {
        return Cow::Borrowed(text);
    }
    let words: String = text
        .split_inclusive(char::is_whitespace)
        .flat_map(|part| {
            let (word, space) = part.split_at(part.trim_end().len());
            [NAME.of(word), Cow::Borrowed(space)]
        })
        .collect();
    Cow::Owned(MESSAGE.of(&words).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_messages_are_cut_in_the_middle() {
        let long = "é".repeat(1_000_000);
        for (text, most) in
            [(format!("open {long}: no such file"), 230), (long.clone(), 200), ("a b ".repeat(1000), 900)]
        {
            let shown = message(&text);
            assert!(shown.len() <= most && shown.contains('…'), "{} {shown}", shown.len());
        }
        assert!(message(&format!("open {long}: no such file")).ends_with("é: no such file"));
    }

    #[test]
    fn what_is_short_stays() {
        for text in ["", "open /x: no", &"x".repeat(200), &format!("a {} b {}", "x".repeat(200), "y".repeat(199))] {
            assert_eq!(message(text), text);
        }
    }
}
