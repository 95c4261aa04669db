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

use serde::de::{SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::Error;
use super::number::{parse_int64, parse_size};
use crate::sys::path_error::OnPath;

/// A configuration is a few hundred bytes.
const LIMIT: u64 = 1024 * 1024;

/// The file as it is: a key that is missing, null or zero is the zero value here.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub(super) struct ConfigFile {
    #[serde(deserialize_with = "text")]
    pub(super) store: String,
    #[serde(deserialize_with = "text")]
    pub(super) driver: String,
    #[serde(deserialize_with = "text")]
    pub(super) tardis_bin: String,
    #[serde(deserialize_with = "text")]
    pub(super) drax_bin: String,
    #[serde(deserialize_with = "text")]
    pub(super) btrfs_progs_path: String,
    #[serde(deserialize_with = "text")]
    pub(super) newuidmap_bin: String,
    #[serde(deserialize_with = "text")]
    pub(super) newgidmap_bin: String,
    #[serde(deserialize_with = "text")]
    pub(super) metron_endpoint: String,
    #[serde(deserialize_with = "text")]
    pub(super) metrics_file: String,
    #[serde(deserialize_with = "text")]
    pub(super) log_level: String,
    #[serde(deserialize_with = "text")]
    pub(super) log_file: String,
    #[serde(deserialize_with = "text")]
    pub(super) log_timestamp_format: String,
    #[serde(deserialize_with = "section")]
    pub(super) create: Create,
    #[serde(deserialize_with = "section")]
    pub(super) clean: Clean,
    #[serde(deserialize_with = "section")]
    pub(super) init: Init,
    /// Keys that mean nothing to this program, as `a` or `b.c`.
    #[serde(skip)]
    pub(super) unknown: Vec<String>,
}

/// The section `create`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub(super) struct Create {
    #[serde(deserialize_with = "truth")]
    pub(super) exclude_image_from_quota: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) skip_layer_validation: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) with_clean: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) without_mount: bool,
    #[serde(deserialize_with = "size")]
    pub(super) disk_limit_size_bytes: i64,
    #[serde(deserialize_with = "optional_int64")]
    pub(super) disk_limit_inodes: Option<i64>,
    #[serde(deserialize_with = "texts")]
    pub(super) insecure_registries: Vec<String>,
    #[serde(deserialize_with = "texts_by_name")]
    pub(super) registry_mirrors: BTreeMap<String, Vec<String>>,
    #[serde(deserialize_with = "int64")]
    pub(super) concurrent_downloads: i64,
    #[serde(deserialize_with = "truth")]
    pub(super) offline: bool,
    #[serde(deserialize_with = "section")]
    pub(super) limits: Limits,
    #[serde(deserialize_with = "text")]
    pub(super) mount_destination: String,
    #[serde(deserialize_with = "text")]
    pub(super) image_volumes: String,
    #[serde(deserialize_with = "text")]
    pub(super) clean_log_file: String,
    #[serde(deserialize_with = "text")]
    pub(super) remote_layer_client_certificates_path: String,
}

/// The section `create.limits`. What is not set has a default that is not 0.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub(super) struct Limits {
    #[serde(deserialize_with = "some_int64")]
    pub(super) stall_timeout_seconds: Option<i64>,
    #[serde(deserialize_with = "some_size")]
    pub(super) min_bytes_per_second: Option<i64>,
    #[serde(deserialize_with = "some_int64")]
    pub(super) manifest_timeout_seconds: Option<i64>,
    #[serde(deserialize_with = "optional_size")]
    pub(super) unpacked_bytes: Option<i64>,
    #[serde(deserialize_with = "some_int64")]
    pub(super) entries: Option<i64>,
    #[serde(deserialize_with = "some_int64")]
    pub(super) layers: Option<i64>,
    #[serde(deserialize_with = "some_size")]
    pub(super) path_bytes: Option<i64>,
    #[serde(deserialize_with = "some_int64")]
    pub(super) path_depth: Option<i64>,
    #[serde(deserialize_with = "some_size")]
    pub(super) xattr_bytes: Option<i64>,
    #[serde(deserialize_with = "some_size")]
    pub(super) pax_bytes: Option<i64>,
    #[serde(deserialize_with = "some_int64")]
    pub(super) compression_ratio: Option<i64>,
    #[serde(deserialize_with = "some_size")]
    pub(super) memory_bytes: Option<i64>,
    #[serde(deserialize_with = "some_int64")]
    pub(super) create_seconds: Option<i64>,
}

impl Limits {
    /// Those of the image itself, by name.
    pub(super) fn of_image(&self) -> Vec<(&'static str, i64)> {
        let all = [
            ("unpacked_bytes", self.unpacked_bytes),
            ("entries", self.entries),
            ("layers", self.layers),
            ("path_bytes", self.path_bytes),
            ("path_depth", self.path_depth),
            ("xattr_bytes", self.xattr_bytes),
            ("pax_bytes", self.pax_bytes),
            ("compression_ratio", self.compression_ratio),
            ("memory_bytes", self.memory_bytes),
            ("create_seconds", self.create_seconds),
        ];
        all.into_iter().filter_map(|(name, number)| Some((name, number?))).collect()
    }
}

/// The section `clean`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub(super) struct Clean {
    #[serde(deserialize_with = "size")]
    pub(super) threshold_bytes: i64,
    #[serde(deserialize_with = "texts")]
    pub(super) ignore_images: Vec<String>,
}

/// The section `init`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default)]
pub(super) struct Init {
    #[serde(deserialize_with = "size")]
    pub(super) store_size_bytes: i64,
    #[serde(deserialize_with = "truth")]
    pub(super) with_direct_io: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) without_quota: bool,
    #[serde(deserialize_with = "truth")]
    pub(super) mount_images: bool,
    #[serde(deserialize_with = "text")]
    pub(super) shared_layers: String,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<ConfigFile, Error> {
    let file = File::open(path).on("open", path).map_err(Error::Unreadable)?;
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content).on("read", path).map_err(Error::Unreadable)?;
    if content.len() as u64 > LIMIT {
        return Err(Error::Malformed(format!("{} is larger than any configuration", path.display())));
    }
    parse(&content)
}

/// The first document of a YAML stream; the others are not looked at. No document is an empty one.
pub(super) fn parse(content: &[u8]) -> Result<ConfigFile, Error> {
    let Some(first) = serde_yaml::Deserializer::from_slice(content).next() else { return Ok(ConfigFile::default()) };
    let mut unknown = Vec::new();
    let mut note = |key: String| {
        if !WITHOUT_EFFECT.contains(&key.as_str()) {
            unknown.push(key);
        }
    };
    let file: Option<ConfigFile> = serde_ignored::deserialize(first, |path| note(dotted(&path.to_string())))
        .map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(ConfigFile { unknown, ..file.unwrap_or_default() })
}

/// Keys that Garden's job writes and no version of GrootFS reads.
const WITHOUT_EFFECT: [&str; 2] = ["init.owneruser", "init.ownergroup"];

/// A path without the steps through what may be null.
fn dotted(path: &str) -> String {
    path.split('.').filter(|step| *step != "?").collect::<Vec<_>>().join(".")
}

/// The key that is meant by one that is none, as far as can be told.
pub(super) fn suggestion(unknown: &str) -> Option<String> {
    /// Below that, two keys have little in common.
    const ALIKE: f64 = 0.85;
    let example: serde_yaml::Value = serde_yaml::from_str(include_str!("../../config.example.yml")).ok()?;
    let rated = keys(&example).into_iter().map(|key| (strsim::jaro_winkler(unknown, &key), key));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(alike, _)| *alike > ALIKE).map(|(_, key)| key)
}

/// `a` and `b.c`, sorted.
fn keys(value: &serde_yaml::Value) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in value.as_mapping().into_iter().flatten() {
        let Some(key) = key.as_str() else { continue };
        match self::keys(value) {
            inner if inner.is_empty() => keys.push(key.to_owned()),
            inner => keys.extend(inner.iter().map(|inner| format!("{key}.{inner}"))),
        }
    }
    keys.sort();
    keys
}

/// A section that may be null.
fn section<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(TextsVisitor)
}

fn texts_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let names: Option<BTreeMap<Text, Texts>> = Option::deserialize(deserializer)?;
    Ok(names.unwrap_or_default().into_iter().map(|(Text(name), Texts(texts))| (name, texts)).collect())
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(TruthVisitor)
}

/// A number that may be null, which is not zero here.
fn optional_int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_option(OptionVisitor { is_size: false })
}

fn optional_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_option(OptionVisitor { is_size: true })
}

struct OptionVisitor {
    is_size: bool,
}

impl<'de> Visitor<'de> for OptionVisitor {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Int64Visitor { is_size: self.is_size }.expecting(f)
    }

    fn visit_none<E>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<i64>, D::Error> {
        deserializer.deserialize_any(Int64Visitor { is_size: self.is_size }).map(Some)
    }
}

fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(Int64Visitor { is_size: false })
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(Int64Visitor { is_size: true })
}

fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    size(deserializer).map(Some)
}

fn some_int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    int64(deserializer).map(Some)
}

/// A string, or any other scalar as it is written.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

/// A list of strings, or one.
struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor).map(Texts)
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

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
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
    /// Whether it is a number of bytes, which may have a unit.
    is_size: bool,
}

impl Visitor<'_> for Int64Visitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_size { "a number of bytes, as 100M or 1.5GiB" } else { "a 64-bit integer" })
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
        let has_unit = self.is_size && value.ends_with(|c: char| c.is_ascii_alphabetic());
        has_unit.then(|| parse_size(value)).flatten().ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(content: &str) -> ConfigFile {
        parse(content.as_bytes()).unwrap_or_else(|error| panic!("{content:?}: {error}"))
    }

    #[test]
    fn an_empty_document_is_valid() {
        for content in ["", "\n", "# nothing\n", "---\n", "--- ~\n", "{}", "create:\nclean:\ninit:\n"] {
            assert_eq!(document(content).store, "", "{content:?}");
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
                assert_eq!(document(&format!("create: {{with_clean: {word}}}")).create.with_clean, value, "{word}");
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
            ("~", 0),
            ("", 0),
            ("100M", 100 << 20),
            ("1.5GiB", 3 << 29),
            ("'10 KB'", 10_000),
        ] {
            assert_eq!(
                document(&format!("clean:\n  threshold_bytes: {word}\n")).clean.threshold_bytes,
                value,
                "{word}"
            );
        }
    }

    #[test]
    fn scalars_are_accepted_as_strings() {
        assert_eq!(document("store: 123").store, "123");
        assert_eq!(document("driver: true").driver, "true");
        assert_eq!(document("log_level: 'yes'").log_level, "yes");
        assert_eq!(document("log_file: ~").log_file, "");
        assert_eq!(document("create: {insecure_registries: [a:1, 2]}").create.insecure_registries, ["a:1", "2"]);
    }

    #[test]
    fn unknown_keys_and_later_documents_are_ignored() {
        assert_eq!(document("stroe: /x\nstore: /s\nmore: {a: [1]}\n---\nstore: /t\n").store, "/s");
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
        let meant = |key| suggestion(key);
        assert_eq!(meant("stor").as_deref(), Some("store"));
        assert_eq!(meant("create.withclean").as_deref(), Some("create.with_clean"));
        assert_eq!(meant("create.limits.entrys").as_deref(), Some("create.limits.entries"));
        assert_eq!(meant("nonsense"), None);
    }

    #[test]
    fn the_example_has_every_key_and_no_other() {
        let example = serde_yaml::from_str(include_str!("../../config.example.yml")).expect("YAML");
        let all = serde_yaml::to_value(ConfigFile::default()).expect("YAML");
        assert_eq!(keys(&example), keys(&all));
    }
}
