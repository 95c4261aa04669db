//! JSON as Go's `encoding/json` decodes it into a struct, because that is what images are written for.
//!
//! Only members that somebody asks for are decoded; all others must be JSON and nothing more. Names of members are
//! matched whatever their case. Of members of one name the last counts; objects of one name are merged. `null` is no
//! value: it empties lists, and leaves everything else as it is.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// More elements than any list of an image has. Bounds the memory that a small document can ask for.
const ELEMENTS: usize = 16 * 1024;

/// A value that has not been decoded.
#[derive(Clone, Copy)]
pub(crate) struct Json<'a>(&'a RawValue);

impl<'a> Json<'a> {
    /// A whole document. It need not be UTF-8: as in Go, what is not becomes U+FFFD, see [`String::from_utf8_lossy`].
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Json)
    }

    fn is_null(self) -> bool {
        self.0.get() == "null"
    }

    /// Calls `member` with the name, in lower case, and the value of each member of a struct. `what` is what messages
    /// call it.
    pub(crate) fn members(
        self,
        what: &str,
        mut member: impl FnMut(&str, Json<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.entries(what, |name, value| member(&fold(name), value))
    }

    /// Calls `entry` with the name, as it is, and the value of each entry of a map.
    pub(crate) fn entries(
        self,
        what: &str,
        mut entry: impl FnMut(&str, Json<'a>) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.is_null() {
            return Ok(());
        }
        if !self.0.get().starts_with('{') {
            return Err(format!("{what} is not an object"));
        }
        let mut result = Ok(());
        let each = |name: String, value| {
            if result.is_ok() {
                result = entry(&name, Json(value));
            }
        };
        decoded((&mut serde_json::Deserializer::from_str(self.0.get())).deserialize_map(Members(each)), what)?;
        result
    }

    /// The elements of a list; none if it is `null`.
    pub(crate) fn elements(self, what: &str) -> Result<Vec<Json<'a>>, String> {
        if self.is_null() {
            return Ok(Vec::new());
        }
        if !self.0.get().starts_with('[') {
            return Err(format!("{what} is not a list"));
        }
        let elements = (&mut serde_json::Deserializer::from_str(self.0.get())).deserialize_seq(Elements);
        let elements: Vec<&RawValue> = decoded(elements, what)?;
        if elements.len() > ELEMENTS {
            return Err(format!("{what} has more than {ELEMENTS} elements"));
        }
        Ok(elements.into_iter().map(Json).collect())
    }

    /// A list of strings, of which `null` is the empty one.
    pub(crate) fn texts(self, what: &str) -> Result<Vec<String>, String> {
        let text = |element: Json<'a>| {
            let mut text = String::new();
            element.text_into(&mut text, what).map(|()| text).map_err(|_| format!("{what} is not a list of strings"))
        };
        self.elements(what)?.into_iter().map(text).collect()
    }

    /// Sets `text`, unless this is `null`.
    pub(crate) fn text_into(self, text: &mut String, what: &str) -> Result<(), String> {
        if !self.is_null() {
            *text = self.text().ok_or_else(|| format!("{what} is not a string"))?;
        }
        Ok(())
    }

    /// Sets `number`, unless this is `null`.
    pub(crate) fn integer_into(self, number: &mut i64, what: &str) -> Result<(), String> {
        if !self.is_null() {
            *number = self.0.get().parse().map_err(|_| format!("{what} is not an integer of 64 bits"))?;
        }
        Ok(())
    }

    /// The string that this is, if it is one.
    pub(crate) fn text(self) -> Option<String> {
        self.0
            .get()
            .starts_with('"')
            .then(|| (&mut serde_json::Deserializer::from_str(self.0.get())).deserialize_bytes(Text).ok())?
    }

    /// Whether this is a list.
    pub(crate) fn is_list(self) -> bool {
        self.0.get().starts_with('[')
    }

    /// Whether this is an object.
    pub(crate) fn is_object(self) -> bool {
        self.0.get().starts_with('{')
    }

    /// Whether this is anything but `null`.
    pub(crate) fn is_some(self) -> bool {
        !self.is_null()
    }
}

fn decoded<T>(decoded: Result<T, serde_json::Error>, what: &str) -> Result<T, String> {
    decoded.map_err(|error| format!("{what}: {error}"))
}

/// Lower case as far as names of members go, which are ASCII: Go counts the two other letters of Unicode that have ASCII
/// ones for their other case.
fn fold(name: &str) -> String {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

/// Hands each member of an object to a closure.
struct Members<F>(F);

impl<'de, F: FnMut(String, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Text)? {
            (self.0)(name, map.next_value()?);
        }
        Ok(())
    }
}

/// Collects no more elements than show that there are too many.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() <= ELEMENTS {
                elements.push(element);
            }
        }
        Ok(elements)
    }
}

/// A string. Half a surrogate pair in it is U+FFFD, as in Go.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        // The parser's form of a lone surrogate has three bytes, each of which would count as an error of its own.
        let is_surrogate = |three: &[u8]| matches!(three, [0xed, 0xa0..=0xbf, _]);
        let mut text = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first() {
            match rest.get(..3).filter(|three| is_surrogate(three)) {
                Some(_) => {
                    text.extend("\u{fffd}".bytes());
                    rest = &rest[3..];
                }
                None => {
                    text.push(*first);
                    rest = others;
                }
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Result<Vec<String>, String> {
        Json::parse(json).unwrap().texts("x")
    }

    #[test]
    fn what_nobody_asks_for_must_only_be_json() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for value in ["1e999", "\"\\ud800\"", "{\"a\":[null]}", "123456789012345678901234567890", &deep] {
            let json = format!(r#"{{"other":{value},"a":"b"}}"#);
            let mut found = String::new();
            let read = Json::parse(&json).unwrap().members("it", |name, value| match name {
                "a" => value.text_into(&mut found, "a"),
                _ => Ok(()),
            });
            assert_eq!((read, found.as_str()), (Ok(()), "b"));
        }
        for bad in ["", "{", "{\"a\":}", "{\"a\":01}", "{} {}", "\u{feff}{}", "{'a':1}", "{\"a\":1,}"] {
            assert!(Json::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_matched_whatever_their_case() {
        for name in ["diff_ids", "DIFF_IDS", "Diff_Ids", "diff_id\u{17f}", "\\u0064iff_ids"] {
            let json = format!(r#"{{"{name}":0}}"#);
            let mut names = Vec::new();
            Json::parse(&json)
                .unwrap()
                .members("it", |name, _| {
                    names.push(name.to_owned());
                    Ok(())
                })
                .unwrap();
            assert_eq!(names, ["diff_ids"]);
        }
        assert_eq!(fold("Wor\u{212a}ingDir\u{e4}\u{c4}"), "workingdir\u{e4}\u{c4}");
    }

    #[test]
    fn null_is_no_value() {
        let (mut text, mut number) = ("before".to_owned(), 7);
        let null = Json::parse(" null ").unwrap();
        null.text_into(&mut text, "x").unwrap();
        null.integer_into(&mut number, "x").unwrap();
        assert_eq!((text.as_str(), number), ("before", 7));
        assert_eq!(null.texts("x"), Ok(vec![]));
        assert_eq!(null.members("x", |_, _| Err("called".into())), Ok(()));
        assert_eq!(texts(r#"["a", null]"#), Ok(vec!["a".into(), String::new()]));
    }

    #[test]
    fn wrong_types_are_named() {
        let json = |text| Json::parse(text).unwrap();
        assert_eq!(texts(r#""a""#), Err("x is not a list".into()));
        assert_eq!(texts(r#"["a", 1]"#), Err("x is not a list of strings".into()));
        assert_eq!(json("[]").members("x", |_, _| Ok(())), Err("x is not an object".into()));
        assert_eq!(json("{}").text_into(&mut String::new(), "x"), Err("x is not a string".into()));
        for bad in ["1.5", "1e3", "\"1\"", "9223372036854775808", "true"] {
            assert_eq!(json(bad).integer_into(&mut 0, "x"), Err("x is not an integer of 64 bits".into()));
        }
        let long = format!("[{}0]", "0,".repeat(ELEMENTS));
        assert_eq!(json(&long).elements("x").err(), Some(format!("x has more than {ELEMENTS} elements")));
    }

    #[test]
    fn half_a_surrogate_pair_is_one_replacement() {
        assert_eq!(texts(r#"["\ud800", "a\udc00\n", "\ud83d\ude00"]"#).unwrap(), ["\u{fffd}", "a\u{fffd}\n", "😀"]);
    }
}
