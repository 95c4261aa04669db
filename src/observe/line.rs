//! One log line: its JSON and its length.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::timestamp;
use crate::config::{LogLevel, TimestampFormat};
use crate::{redact, shorten};

/// Fields of a message, sorted by name.
pub(super) type Data = BTreeMap<String, Value>;

/// Longest line, its end included. Garden reads 32 KiB at a time and reports half a line as an error.
pub(super) const MAX_LENGTH: usize = 32 * 1024 - 1;

/// Bytes that a string keeps when a line is too long, in the order in which they are tried.
const STRING_LIMITS: [usize; 3] = [4096, 512, 64];

/// Who logs: the source of every line, and the first part of its message.
pub(super) const SOURCE: &str = "grootfs";

/// RFC 3339 dialect; the order of the fields is the order on the line.
#[derive(Serialize)]
struct Rfc3339Line<'a> {
    timestamp: &'a str,
    level: &'static str,
    source: &'static str,
    message: &'a str,
    data: &'a Data,
}

/// Unix epoch dialect; the order of the fields is the order on the line.
#[derive(Serialize)]
struct UnixEpochLine<'a> {
    timestamp: &'a str,
    source: &'static str,
    message: &'a str,
    log_level: u8,
    data: &'a Data,
}

/// A message before it is written.
pub(super) struct Line {
    pub(super) time: Duration,
    pub(super) level: LogLevel,
    pub(super) message: String,
    pub(super) data: Data,
}

impl Line {
    /// JSON and a line break, without what [`redact`] knows for secrets, at most [`MAX_LENGTH`] bytes: errors are as short
    /// as users are told them, long strings are cut, and if that is not enough the data go.
    pub(super) fn encode(mut self, format: TimestampFormat) -> Vec<u8> {
        self.redact();
        for limit in STRING_LIMITS {
            let encoded = self.to_json(format);
            if encoded.len() <= MAX_LENGTH {
                return encoded;
            }
            self.cut_strings(limit);
        }
        let encoded = self.to_json(format);
        if encoded.len() <= MAX_LENGTH {
            return encoded;
        }
        self.data.retain(|name, _| name == "session" || name == "error");
        self.to_json(format)
    }

    fn redact(&mut self) {
        for (name, value) in &mut self.data {
            let Value::String(text) = value else { continue };
            if let Cow::Owned(shown) = redact::message(text) {
                *text = shown;
            }
            if matches!(name.as_str(), "error" | "errorMessage")
                && let Cow::Owned(shown) = shorten::message(text)
            {
                *text = shown;
            }
        }
    }

    fn to_json(&self, format: TimestampFormat) -> Vec<u8> {
        let (message, data) = (self.message.as_str(), &self.data);
        let encoded = match format {
            TimestampFormat::Rfc3339 => {
                let timestamp = &timestamp::rfc3339(self.time);
                let level = word(self.level);
                serde_json::to_vec(&Rfc3339Line { timestamp, level, source: SOURCE, message, data })
            }
            TimestampFormat::UnixEpoch => {
                let timestamp = &timestamp::unix_epoch(self.time);
                let log_level = number(self.level);
                serde_json::to_vec(&UnixEpochLine { timestamp, source: SOURCE, message, log_level, data })
            }
        };
        // Strings, numbers and truth values under string keys always have a JSON form.
        let mut line = encoded.unwrap_or_default();
        line.push(b'\n');
        line
    }

    fn cut_strings(&mut self, limit: usize) {
        cut(&mut self.message, limit);
        for value in self.data.values_mut() {
            if let Value::String(text) = value {
                cut(text, limit);
            }
        }
    }
}

/// Shortens a text to `limit` bytes and an ellipsis, if it is longer.
pub(super) fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Error => "error",
        LogLevel::Fatal => "fatal",
    }
}

fn number(level: LogLevel) -> u8 {
    match level {
        LogLevel::Debug => 0,
        LogLevel::Info => 1,
        LogLevel::Error => 2,
        LogLevel::Fatal => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(data: Data) -> Line {
        let time = Duration::new(1_510_151_348, 123_456_955);
        Line { time, level: LogLevel::Info, message: "grootfs.create.starting".to_owned(), data }
    }

    fn encoded(line: Line, format: TimestampFormat) -> String {
        String::from_utf8(line.encode(format)).expect("JSON is text")
    }

    #[test]
    fn rfc3339_dialect() {
        let data = Data::from([("session".to_owned(), "1".into()), ("id".to_owned(), "a\nb".into())]);
        assert_eq!(
            encoded(line(data), TimestampFormat::Rfc3339),
            "{\"timestamp\":\"2017-11-08T14:29:08.123456955Z\",\"level\":\"info\",\"source\":\"grootfs\",\
             \"message\":\"grootfs.create.starting\",\"data\":{\"id\":\"a\\nb\",\"session\":\"1\"}}\n"
        );
    }

    #[test]
    fn unix_epoch_dialect() {
        assert_eq!(
            encoded(line(Data::new()), TimestampFormat::UnixEpoch),
            "{\"timestamp\":\"1510151348.123456955\",\"source\":\"grootfs\",\
             \"message\":\"grootfs.create.starting\",\"log_level\":1,\"data\":{}}\n"
        );
    }

    #[test]
    fn long_strings_are_cut_at_characters() {
        let long = "é".repeat(40_000);
        let data = [("url", long.as_str()), ("error", &long), ("id", "short")];
        let data = Data::from(data.map(|(name, text)| (name.to_owned(), text.into())));
        let text = encoded(line(data), TimestampFormat::Rfc3339);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert!(text.len() <= MAX_LENGTH);
        assert_eq!(value["data"]["url"], "é".repeat(2048) + "…");
        assert!(value["data"]["error"].as_str().is_some_and(|error| error.len() <= 200));
        assert_eq!(value["data"]["id"], "short");
    }

    #[test]
    fn no_line_is_too_long() {
        for count in [1, 10, 100, 1000] {
            let text = "\u{1}".repeat(5_000);
            let mut data: Data = (0..count).map(|n| (format!("key-{n}"), text.as_str().into())).collect();
            data.insert("error".to_owned(), text.as_str().into());
            let mut long = line(data);
            long.message = "m".repeat(100_000);
            let encoded = encoded(long, TimestampFormat::UnixEpoch);
            assert!(encoded.len() <= MAX_LENGTH, "{count} fields: {}", encoded.len());
            let value: Value = serde_json::from_str(&encoded).expect("JSON");
            assert!(value["data"]["error"].is_string());
        }
    }
}
