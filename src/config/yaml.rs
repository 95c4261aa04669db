//! The configuration file. The YAML crate is seen here and nowhere else.
//!
//! The files at hand were written for a YAML 1.1 reader (Go's yaml.v2), this crate reads YAML 1.2. The difference shows
//! in scalars: `yes` and `off` were truth values, `0755` and `1_000` were numbers, and a number was accepted as a
//! string. The functions below take them as they were meant.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::Error;
use super::number::{parse_int64, parse_size, parse_span};
use super::options::Options;
use super::value::{Count, FilePath, Level, Mirrors, Size, Span, Switch, Text, Texts, Truth};
use crate::sys::path_error::OnPath;

/// A configuration is a few hundred bytes.
const LIMIT: u64 = 1024 * 1024;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) options: Options,
    /// Keys that mean nothing to this program, as `a` or `b.c`.
    pub(super) unknown: Vec<String>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path).on("open", path).map_err(Error::Unreadable)?;
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content).on("read", path).map_err(Error::Unreadable)?;
    if content.len() as u64 > LIMIT {
        return Err(Error::Malformed(format!("{} is larger than any configuration", path.display())));
    }
    Ok(content)
}

/// The first document of a YAML stream; the others are not looked at. No document is an empty one.
pub(super) fn parse(content: &[u8]) -> Result<ConfigFile, Error> {
    let Some(first) = serde_yaml::Deserializer::from_slice(content).next() else { return Ok(ConfigFile::default()) };
    let mut unknown = Vec::new();
    let mut note = |key: String| {
        if !has_no_effect(&key) {
            unknown.push(key);
        }
    };
    let options: Option<Options> = serde_ignored::deserialize(first, |path| note(dotted(&path.to_string())))
        .map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(ConfigFile { options: options.unwrap_or_default(), unknown })
}

/// Keys that Garden's job writes and no version of GrootFS reads.
const WITHOUT_EFFECT: [&str; 2] = ["init.owneruser", "init.ownergroup"];

/// Whether a key that is no setting is written by deployments all the same.
pub(super) fn has_no_effect(key: &str) -> bool {
    WITHOUT_EFFECT.contains(&key)
}

/// A path without the steps through what may be null.
fn dotted(path: &str) -> String {
    path.split('.').filter(|step| *step != "?").collect::<Vec<_>>().join(".")
}

/// A file as YAML, whatever is in it.
pub(super) struct Document<'a> {
    content: &'a [u8],
    root: Value,
}

/// Line and column, from 1 on.
pub(super) type Place = (usize, usize);

impl<'a> Document<'a> {
    /// # Errors
    /// Where and why this is no YAML, or no mapping.
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, (Option<Place>, String)> {
        let of = |error: serde_yaml::Error| (place(&error), without_place(&error));
        let root = match serde_yaml::Deserializer::from_slice(content).next() {
            Some(first) => Value::deserialize(first).map_err(of)?,
            None => Value::Null,
        };
        if !root.is_mapping() && !root.is_null() {
            return Err((None, "this is no mapping of keys to values".to_owned()));
        }
        Ok(Document { content, root })
    }

    /// The paths of all keys that are no section, and of sections that are no mapping.
    pub(super) fn leaves(&self, is_section: impl Fn(&[String]) -> bool) -> Vec<Vec<String>> {
        let mut leaves = Vec::new();
        let mut open = vec![(Vec::new(), &self.root)];
        while let Some((path, value)) = open.pop() {
            for (key, value) in value.as_mapping().into_iter().flatten() {
                let path = [path.clone(), vec![text_of(key)]].concat();
                if is_section(&path) && (value.is_mapping() || value.is_null()) {
                    open.push((path, value));
                } else {
                    leaves.push(path);
                }
            }
        }
        leaves
    }

    /// The options that a file of this key alone would give.
    pub(super) fn only(&self, path: &[String]) -> Result<Options, String> {
        let value = path.iter().try_fold(&self.root, |value, key| value.get(key)).cloned().unwrap_or_default();
        let nested = path
            .iter()
            .rev()
            .fold(value, |value, key| Value::Mapping([(key.clone().into(), value)].into_iter().collect()));
        serde_yaml::from_value(nested).map_err(|error| without_place(&error))
    }

    /// Where a key stands.
    pub(super) fn locate(&self, path: &[String]) -> Option<Place> {
        let first = serde_yaml::Deserializer::from_slice(self.content).next()?;
        // The crate tells places in errors alone.
        Locate(path).deserialize(first).err().as_ref().and_then(place)
    }
}

fn place(error: &serde_yaml::Error) -> Option<Place> {
    error.location().map(|location| (location.line(), location.column()))
}

fn without_place(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned()
}

fn text_of(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        key => serde_yaml::to_string(key).unwrap_or_default().trim().to_owned(),
    }
}

/// Fails at the key of this path.
struct Locate<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Locate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Locate<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(()) };
        while let Some(is_it) = map.next_key_seed(Key { name: first, is_last: rest.is_empty() })? {
            if is_it {
                map.next_value_seed(Locate(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Whether a key is the one of this name; fails there if it is the last of a path.
struct Key<'a> {
    name: &'a str,
    is_last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.name {
            true if self.is_last => Err(E::custom("here")),
            is_it => Ok(is_it),
        }
    }
}

/// A section that may be null.
pub(super) fn section<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A string, or any other scalar as it is written.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|Text(text)| Level(text))
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|Text(text)| FilePath(text.into()))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor).map(Texts)
    }
}

impl<'de> Deserialize<'de> for Mirrors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names: BTreeMap<Text, OneOrMore> = BTreeMap::deserialize(deserializer)?;
        Ok(Mirrors(names.into_iter().map(|(Text(name), OneOrMore(texts))| (name, texts)).collect()))
    }
}

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TruthVisitor).map(Truth)
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TruthVisitor).map(Switch)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Int64Visitor { unit: Unit::Bytes }).map(Size)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Int64Visitor { unit: Unit::None }).map(Count)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Int64Visitor { unit: Unit::Time }).map(Span)
    }
}

/// A list of strings, or one.
struct OneOrMore(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor).map(OneOrMore)
    }
}

struct OneOrMoreVisitor;

impl<'de> Visitor<'de> for OneOrMoreVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TextsVisitor.expecting(f)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<String>, E> {
        TextsVisitor.visit_unit()
    }

    fn visit_str<E>(self, value: &str) -> Result<Vec<String>, E> {
        Ok(vec![value.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<String>, A::Error> {
        TextsVisitor.visit_seq(list)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_unit<E>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = list.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

struct TruthVisitor;

impl Visitor<'_> for TruthVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    /// The words that are truth values in YAML 1.1 only.
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<bool, E> {
        match value {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
            _ => Err(E::invalid_value(Unexpected::Str(value), &self)),
        }
    }
}

struct Int64Visitor {
    unit: Unit,
}

/// What a number may have for a unit.
#[derive(Clone, Copy)]
enum Unit {
    None,
    Bytes,
    Time,
}

impl Visitor<'_> for Int64Visitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.unit {
            Unit::None => "a 64-bit integer",
            Unit::Bytes => "a number of bytes, as 100M or 1.5GiB",
            Unit::Time => "a number of seconds, or as 90s, 5m or 2h",
        })
    }

    fn visit_unit<E>(self) -> Result<i64, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<i64, E> {
        i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    /// A size in scientific notation, `1e10`.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<i64, E> {
        // 2^63 itself does not fit.
        const BOUND: f64 = 9_223_372_036_854_775_808.0;
        if (-BOUND..BOUND).contains(&value) {
            return Ok(value as i64);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }

    /// The notations that are numbers in YAML 1.1 only. Plain decimals never come here unless they are quoted, and then
    /// they are strings in both.
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<i64, E> {
        let is_leading_zero = value.trim_start_matches(['-', '+']).starts_with('0');
        if (is_leading_zero || value.contains('_'))
            && let Some(number) = parse_int64(&value.replace('_', ""))
        {
            return Ok(number);
        }
        let has_unit = value.ends_with(|c: char| c.is_ascii_alphabetic());
        let with_unit = match self.unit {
            Unit::None => None,
            Unit::Bytes => parse_size(value),
            Unit::Time => parse_span(value),
        };
        with_unit.filter(|_| has_unit).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UnknownKey;

    fn document(content: &str) -> Options {
        parse(content.as_bytes()).unwrap_or_else(|error| panic!("{content:?}: {error}")).options
    }

    #[test]
    fn an_empty_document_is_valid() {
        for content in ["", "\n", "# nothing\n", "---\n", "--- ~\n", "{}", "create:\nclean:\ninit:\n"] {
            assert_eq!(document(content), Options::default(), "{content:?}");
        }
    }

    #[test]
    fn truth_values_of_yaml_1_1() {
        let words = [
            (true, "y Y yes Yes YES on On ON true True TRUE"),
            (false, "n N no No NO off Off OFF false False FALSE ~"),
        ];
        for (value, words) in words {
            for word in words.split(' ') {
                let read = document(&format!("create: {{with_clean: {word}}}")).create.with_clean;
                assert_eq!(read, (word != "~").then_some(Switch(value)), "{word}");
            }
        }
    }

    #[test]
    fn numbers_of_yaml_1_1() {
        for (word, value) in [
            ("1024", 1024),
            ("-1", -1),
            ("0x10", 16),
            ("0755", 493),
            ("0b11", 3),
            ("1_000_000", 1_000_000),
            ("1e10", 10_000_000_000),
            ("100M", 100 << 20),
            ("1.5GiB", 3 << 29),
            ("'10 KB'", 10_000),
        ] {
            let read = document(&format!("clean:\n  threshold_bytes: {word}\n")).clean.threshold_bytes;
            assert_eq!(read, Some(Size(value)), "{word}");
        }
    }

    #[test]
    fn scalars_are_accepted_as_strings() {
        assert_eq!(document("store: 123").store, Some(FilePath("123".into())));
        assert_eq!(document("driver: true").driver, Some(Text("true".into())));
        assert_eq!(document("log_level: 'yes'").log_level, Some(Level("yes".into())));
        assert_eq!(document("log_file: ~").log_file, None);
        let list = document("create: {insecure_registries: [a:1, 2]}").create.insecure_registries;
        assert_eq!(list, Some(Texts(vec!["a:1".into(), "2".into()])));
    }

    #[test]
    fn unknown_keys_and_later_documents_are_ignored() {
        let options = document("stroe: /x\nstore: /s\nmore: {a: [1]}\n---\nstore: /t\n");
        assert_eq!(options.store, Some(FilePath("/s".into())));
    }

    #[test]
    fn wrong_types_are_errors_on_one_line() {
        for (content, part) in [
            ("store: [a]", "store: invalid type: sequence, expected a string"),
            ("create: yes", "create: invalid type"),
            (
                "create: {with_clean: maybe}",
                "create.with_clean: invalid value: string \"maybe\", expected true or false",
            ),
            ("create: {with_clean: 1}", "create.with_clean: invalid type: integer `1`, expected true or false"),
            ("clean: {threshold_bytes: lots}", "clean.threshold_bytes: invalid value"),
            ("clean: {threshold_bytes: 5Q}", "expected a number of bytes, as 100M or 1.5GiB"),
            ("create: {concurrent_downloads: 5K}", "create.concurrent_downloads: invalid value"),
            ("clean: {threshold_bytes: '5'}", "clean.threshold_bytes: invalid value"),
            ("clean: {threshold_bytes: 9223372036854775808}", "clean.threshold_bytes: invalid value"),
            ("clean: {threshold_bytes: 1e19}", "clean.threshold_bytes: invalid value"),
            ("create: {insecure_registries: a}", "create.insecure_registries: invalid type"),
            ("just text", "invalid type"),
            ("a: b: c", "mapping values"),
            ("\tstore: x", "cannot start any token"),
            ("store: \"", "line 1"),
        ] {
            let error = parse(content.as_bytes()).expect_err(content).to_string();
            assert!(error.starts_with("invalid config file: ") && error.contains(part), "{content:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(matches!(parse(b"store: \xff\xfe"), Err(Error::Malformed(_))));
    }

    #[test]
    fn keys_that_are_none_are_told_with_the_one_that_is_meant() {
        let file = parse(b"stor: /s\ncreate: {withclean: true, limits: {entrys: 1}}\nnonsense: {a: {b: 1}}\n").unwrap();
        assert_eq!(file.unknown, ["stor", "create.withclean", "create.limits.entrys", "nonsense"]);
        let meant = |key| UnknownKey::of(key).suggestion;
        assert_eq!(meant("stor").as_deref(), Some("store"));
        assert_eq!(meant("create.withclean").as_deref(), Some("create.with_clean"));
        assert_eq!(meant("create.limits.entrys").as_deref(), Some("create.limits.entries"));
        assert_eq!(meant("nonsense"), None);
        assert_eq!(meant("creat").as_deref(), Some("create"));
        assert_eq!(meant("create.limit").as_deref(), Some("create.limits"));
        assert_eq!(meant("with_clean").as_deref(), Some("create.with_clean"), "at the wrong place");
    }
}
