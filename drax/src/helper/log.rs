//! Log lines as the helper of the original's later versions writes them, for callers who know it by its name `tardis`.
//!
//! One JSON object a line: where the work starts, and how it ends.

use crate::sys;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a point in time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Timestamps {
    /// `2017-11-08T14:29:08.123456955Z`, with the level as a word.
    #[default]
    Rfc3339,
    /// `1510151348.123456955`, with the level as a number.
    UnixEpoch,
}

/// What a line is about.
#[derive(Clone, Copy)]
pub(super) enum Event<'a> {
    Starting,
    Ending,
    Failed(&'a str),
}

impl Timestamps {
    /// A line about `command`, with its newline.
    pub(super) fn line(self, command: &str, event: Event<'_>) -> String {
        let (level, number, event, data) = match event {
            Event::Starting => ("info", 1, "starting", String::new()),
            Event::Ending => ("info", 1, "ending", String::new()),
            Event::Failed(error) => ("error", 2, "failed", format!(r#""error":"{}""#, escape(error))),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (now.as_secs(), now.subsec_nanos());
        match self {
            Self::Rfc3339 => format!(
                "{{\"timestamp\":\"{}.{nanos:09}Z\",\"level\":\"{level}\",\"source\":\"tardis\",\
                 \"message\":\"tardis.{command}.{event}\",\"data\":{{{data}}}}}\n",
                date(seconds)
            ),
            Self::UnixEpoch => format!(
                "{{\"timestamp\":\"{seconds}.{nanos:09}\",\"source\":\"tardis\",\
                 \"message\":\"tardis.{command}.{event}\",\"log_level\":{number},\"data\":{{{data}}}}}\n"
            ),
        }
    }
}

fn date(seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = sys::utc(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Escapes what JSON does not allow in a string.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\\' => escaped.extend(['\\', char]),
            control if control < ' ' => escaped.push_str(&format!("\\u{:04x}", control as u32)),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with its digits replaced.
    fn shape(timestamps: Timestamps, event: Event<'_>) -> String {
        timestamps.line("limit", event).replace(|char: char| char.is_ascii_digit(), "0")
    }

    #[test]
    fn known_moments() {
        // `date -u -d @<seconds>`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_510_151_348, "2017-11-08T14:29:08"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn lines_read_as_the_original_s_do() {
        assert_eq!(
            shape(Timestamps::Rfc3339, Event::Starting),
            "{\"timestamp\":\"0000-00-00T00:00:00.000000000Z\",\"level\":\"info\",\"source\":\"tardis\",\
             \"message\":\"tardis.limit.starting\",\"data\":{}}\n"
        );
        assert_eq!(
            shape(Timestamps::UnixEpoch, Event::Ending),
            "{\"timestamp\":\"0000000000.000000000\",\"source\":\"tardis\",\"message\":\"tardis.limit.ending\",\
             \"log_level\":0,\"data\":{}}\n"
        );
    }

    #[test]
    fn an_error_cannot_break_out_of_its_line() {
        let line = shape(Timestamps::Rfc3339, Event::Failed("path `/\"x\\\n\u{1}ü`"));
        assert!(line.ends_with("\"data\":{\"error\":\"path `/\\\"x\\\\\\u000a\\u0000ü`\"}}\n"), "{line}");
    }
}
