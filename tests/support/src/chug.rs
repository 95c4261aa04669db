//! The reader of log lines that Garden has (`chug` of lager), by its rules.
//!
//! What a plugin writes to standard error comes to it as it was read from a pipe, 32 KiB at most at a time, and each piece
//! is split at line feeds by itself. From the first brace on a line must be one JSON object; what is none is passed on as
//! an error of the plugin.

use serde_json::Value;

/// Garden reads this much at a time.
pub const READ: usize = 32 * 1024;

/// A log line as Garden understands it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `debug`, `info`, `error` or `fatal`.
    pub level: String,
    /// The message with its sessions.
    pub message: String,
    /// The session's number.
    pub session: Option<String>,
    /// The error of an error.
    pub error: Option<String>,
    /// Everything else.
    pub data: serde_json::Map<String, Value>,
}

/// Reads one piece. Every line must be one that Garden understands, or the reason why it is not is returned.
pub fn read(piece: &[u8]) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(piece).map_err(|e| format!("no text: {e}"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("half a line: {text}"));
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| entry(line).map_err(|reason| format!("{reason}: {line}"))).collect()
}

fn entry(line: &str) -> Result<Entry, String> {
    // A line that a read can cut in two.
    if line.len() >= READ {
        return Err(format!("{} bytes", line.len()));
    }
    let start = line.find('{').ok_or("no JSON")?;
    if start > 0 {
        return Err("something before the JSON".to_owned());
    }
    let mut line: Value = serde_json::from_str(&line[start..]).map_err(|e| e.to_string())?;
    let text = |line: &Value, key: &str| line[key].as_str().map(str::to_owned).ok_or(format!("{key} is no string"));
    if !is_timestamp(&text(&line, "timestamp")?) {
        return Err("no timestamp".to_owned());
    }
    text(&line, "source")?;
    let (level, message) = (level(&line)?, text(&line, "message")?);
    let Value::Object(mut data) = line["data"].take() else { return Err("data is no object".to_owned()) };
    let mut special = |key: &str| match data.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is no string")),
    };
    let (session, error, _trace) = (special("session")?, special("error")?, special("trace")?);
    Ok(Entry { level, message, session, error, data })
}

/// A number in the old dialect, a word in the new one.
fn level(line: &Value) -> Result<String, String> {
    const WORDS: [&str; 4] = ["debug", "info", "error", "fatal"];
    let word = match (line["log_level"].as_u64(), line["level"].as_str()) {
        (Some(number), None) => WORDS.get(usize::try_from(number).unwrap_or(usize::MAX)).copied(),
        (None, word) => word.filter(|word| WORDS.contains(word)),
        _ => None,
    };
    word.map(str::to_owned).ok_or("no level".to_owned())
}

/// RFC 3339, or seconds since 1970 with decimals.
fn is_timestamp(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let rfc3339 = shape.strip_prefix("0000-00-00T00:00:00.").and_then(|rest| rest.strip_suffix('Z'));
    let decimals = rfc3339.or_else(|| shape.strip_prefix("0000000000."));
    decimals.is_some_and(|decimals| !decimals.is_empty() && decimals.chars().all(|c| c == '0'))
}
