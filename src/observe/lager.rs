//! Logs in the format of lager, Cloud Foundry's logger: one JSON object a line.
//!
//! | here | there |
//! |---|---|
//! | span | session: a part of the message's name, and a number in `data.session` (`1.2` is the second session of the first) |
//! | entering a span the first time, closing it | messages `starting` and `ending` of the span's level |
//! | fields of a span | data of every message inside |
//! | event | message `grootfs.<span>.<span>.<text of the event>` |
//! | debug, info, error | the same |
//! | warn | info; lager has no such level |
//! | trace | not logged |
//!
//! Only events of this program are logged: what libraries say about themselves may hold credentials.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::line::{Data, Line, SOURCE};
use super::timestamp::since_epoch;
use crate::config::{LogLevel, TimestampFormat};

/// Writes events as lager lines.
struct Lager {
    level: LogLevel,
    format: TimestampFormat,
    sink: Mutex<Box<dyn Write + Send>>,
    sessions: AtomicU32,
}

/// Logs messages of `level` and above to `sink`, which gets every line in one call of `write`.
pub fn layer<S>(level: LogLevel, format: TimestampFormat, sink: Box<dyn Write + Send>) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lager = Lager { level, format, sink: Mutex::new(sink), sessions: AtomicU32::new(0) };
    lager.with_filter(filter_fn(move |metadata| is_wanted(metadata, level)))
}

/// Spans pass at every level: without them messages would lose their names.
fn is_wanted(metadata: &Metadata<'_>, least: LogLevel) -> bool {
    is_own(metadata.target()) && (metadata.is_span() || level(*metadata.level()).is_some_and(|level| level >= least))
}

impl Lager {
    /// Says that a session begins or ends.
    fn mark(&self, session: &Session, metadata: &Metadata<'_>, text: &str) {
        if let Some(level) = level(*metadata.level()).filter(|level| *level >= self.level) {
            self.write(level, format!("{}.{text}", session.path), session.data(Data::new()));
        }
    }

    fn write(&self, level: LogLevel, message: String, data: Data) {
        let line = Line { time: since_epoch(SystemTime::now()), level, message, data };
        let encoded = line.encode(self.format);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written must not stop the work it tells of.
        let _ = sink.write_all(&encoded);
    }
}

/// What a span keeps for the messages inside it.
struct Session {
    number: String,
    path: String,
    data: Data,
    children: AtomicU32,
    has_begun: AtomicBool,
}

impl Session {
    fn top(name: &str, count: u32) -> Self {
        Session::new(count.to_string(), format!("{SOURCE}.{name}"), Data::new())
    }

    fn inside(parent: &Session, name: &str) -> Self {
        let number = format!("{}.{}", parent.number, next(&parent.children));
        Session::new(number, format!("{}.{name}", parent.path), parent.data.clone())
    }

    fn new(number: String, path: String, data: Data) -> Self {
        Session { number, path, data, children: AtomicU32::new(0), has_begun: AtomicBool::new(false) }
    }

    /// The data of a message, in which a field of the message's own may not stand in the number's place.
    fn data(&self, fields: Data) -> Data {
        let number = ("session".to_owned(), Value::String(self.number.clone()));
        self.data.clone().into_iter().chain(fields).chain([number]).collect()
    }
}

fn next(counter: &AtomicU32) -> u32 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

impl<S> Layer<S> for Lager
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent();
        let parent = parent.as_ref().map(SpanRef::extensions);
        let mut session = match parent.as_ref().and_then(|extensions| extensions.get::<Session>()) {
            Some(parent) => Session::inside(parent, span.name()),
            None => Session::top(span.name(), next(&self.sessions)),
        };
        attributes.record(&mut Fields { data: &mut session.data, message: &mut String::new() });
        span.extensions_mut().insert(session);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(session) = span.extensions_mut().get_mut::<Session>() {
            values.record(&mut Fields { data: &mut session.data, message: &mut String::new() });
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let extensions = span.extensions();
        let Some(session) = extensions.get::<Session>() else { return };
        if !session.has_begun.swap(true, Ordering::Relaxed) {
            self.mark(session, span.metadata(), "starting");
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let extensions = span.extensions();
        if let Some(session) = extensions.get::<Session>().filter(|session| session.has_begun.load(Ordering::Relaxed)) {
            self.mark(session, span.metadata(), "ending");
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(level) = level(*event.metadata().level()) else { return };
        let (mut data, mut text) = (Data::new(), String::new());
        event.record(&mut Fields { data: &mut data, message: &mut text });
        let span = context.event_span(event);
        let extensions = span.as_ref().map(SpanRef::extensions);
        match extensions.as_ref().and_then(|extensions| extensions.get::<Session>()) {
            Some(session) => self.write(level, format!("{}.{text}", session.path), session.data(data)),
            None => self.write(level, format!("{SOURCE}.{text}"), data),
        }
    }
}

/// The target of an event is the path of its module.
fn is_own(target: &str) -> bool {
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

fn level(level: Level) -> Option<LogLevel> {
    match level {
        Level::ERROR => Some(LogLevel::Error),
        Level::WARN | Level::INFO => Some(LogLevel::Info),
        Level::DEBUG => Some(LogLevel::Debug),
        _ => None,
    }
}

/// Collects fields; the one called `message` is the event's text.
struct Fields<'a> {
    data: &'a mut Data,
    message: &'a mut String,
}

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: Value) {
        // A field that is called like a keyword keeps its `r#`.
        let name = field.name().trim_start_matches("r#");
        match (name, value) {
            ("message", value) => *self.message = text_of(value),
            // Readers of lager lines refuse anything but a string here.
            ("error" | "session" | "trace", value) => {
                self.data.insert(name.to_owned(), Value::String(text_of(value)));
            }
            (name, value) => {
                self.data.insert(name.to_owned(), value);
            }
        }
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert(field, Value::String(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::{debug, debug_span, error, info, info_span, trace, warn};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry::Registry;

    use super::*;

    /// Keeps what each call of `write` was given.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Sink {
        fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").push(chunk.to_vec());
            Ok(chunk.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs, as Garden understands them.
    fn logged(level: LogLevel, format: TimestampFormat, work: impl FnOnce()) -> Vec<Entry> {
        let sink = Sink::default();
        let lager = layer(level, format, Box::new(sink.clone()));
        tracing::subscriber::with_default(Registry::default().with(lager), work);
        let chunks = sink.0.lock().expect("one thread").clone();
        chunks.iter().map(|chunk| Entry::from_chunk(chunk)).collect()
    }

    fn rfc3339(work: impl FnOnce()) -> Vec<Entry> {
        logged(LogLevel::Debug, TimestampFormat::Rfc3339, work)
    }

    /// A log line by the rules of the reader that Garden has (lager's `chug`).
    #[derive(Debug, PartialEq)]
    struct Entry {
        level: String,
        message: String,
        session: Option<String>,
        error: Option<String>,
        data: Value,
    }

    impl Entry {
        fn from_chunk(chunk: &[u8]) -> Entry {
            // Each chunk is split at line breaks on its own: half a line would be read as garbage.
            assert!(chunk.len() < 32 * 1024, "{} bytes", chunk.len());
            let line = chunk.strip_suffix(b"\n").expect("a chunk is a whole line");
            assert!(!line.contains(&b'\n'), "a chunk is one line");
            let line: Value = serde_json::from_slice(line).expect("a line is JSON");
            assert_eq!(line["source"], "grootfs");
            let is_rfc3339 = check_timestamp(line["timestamp"].as_str().expect("a timestamp is a string"));
            let level = match line["log_level"].as_u64() {
                Some(number) => ["debug", "info", "error", "fatal"][usize::try_from(number).expect("small")].to_owned(),
                None => line["level"].as_str().expect("a level is a word").to_owned(),
            };
            assert!(["debug", "info", "error"].contains(&level.as_str()), "{level}");
            assert_eq!(is_rfc3339, line["log_level"].is_null(), "each dialect has its timestamp");
            let data = line["data"].as_object().expect("data are an object");
            let text = |key| data.get(key).map(|value| value.as_str().expect("must be a string").to_owned());
            let _trace = text("trace");
            Entry {
                level,
                message: line["message"].as_str().expect("a message is a string").to_owned(),
                session: text("session"),
                error: text("error"),
                data: line["data"].clone(),
            }
        }
    }

    /// Whether it is RFC 3339; else it must be seconds. Nine decimals in either.
    fn check_timestamp(text: &str) -> bool {
        let is_rfc3339 = text.ends_with('Z');
        let (whole, decimals) = text.trim_end_matches('Z').split_once('.').expect("decimals");
        assert!(decimals.len() == 9 && decimals.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
        let shape: String = whole.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, if is_rfc3339 { "0000-00-00T00:00:00" } else { "0000000000" });
        is_rfc3339
    }

    #[test]
    fn spans_are_sessions() {
        let entries = rfc3339(|| {
            info!("outside");
            let create = info_span!("create", id = "x").entered();
            info_span!("pulling", layers = 2).in_scope(|| debug!(layer = 1, "unpacked"));
            let making = info_span!("making");
            let deep = debug_span!(parent: &making, "limit").entered();
            error!(error = "no space", id = "y", "failed");
            drop((deep, create));
        });
        let shown: Vec<_> = entries
            .iter()
            .map(|e| (e.level.as_str(), e.message.as_str(), e.session.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            shown,
            [
                ("info", "grootfs.outside", "-"),
                ("info", "grootfs.create.starting", "1"),
                ("info", "grootfs.create.pulling.starting", "1.1"),
                ("debug", "grootfs.create.pulling.unpacked", "1.1"),
                ("info", "grootfs.create.pulling.ending", "1.1"),
                ("debug", "grootfs.create.making.limit.starting", "1.2.1"),
                ("error", "grootfs.create.making.limit.failed", "1.2.1"),
                ("debug", "grootfs.create.making.limit.ending", "1.2.1"),
                ("info", "grootfs.create.ending", "1"),
            ]
        );
        assert_eq!(entries[3].data, serde_json::json!({"id": "x", "layers": 2, "layer": 1, "session": "1.1"}));
        assert_eq!(entries[6].error.as_deref(), Some("no space"));
        assert_eq!(entries[6].data["id"], "y");
    }

    #[test]
    fn a_session_begins_once_and_ends_with_its_last_user() {
        let entries = rfc3339(|| {
            let layer = info_span!("layer");
            layer.in_scope(|| info!("read"));
            let other = layer.clone();
            drop(layer);
            other.in_scope(|| info!("written"));
            let _never_entered = info_span!("unused");
        });
        let messages: Vec<_> = entries.iter().map(|entry| entry.message.rsplit('.').next().expect("text")).collect();
        assert_eq!(messages, ["starting", "read", "written", "ending"]);
    }

    #[test]
    fn sessions_of_other_threads_have_the_parent_they_are_given() {
        let entries = rfc3339(|| {
            let create = info_span!("create");
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    tracing::dispatcher::with_default(&dispatch, || {
                        let _layer = info_span!(parent: &create, "layer").entered();
                        info!("unpacked");
                    });
                });
            });
        });
        let unpacked = entries.iter().find(|entry| entry.message.ends_with("unpacked")).expect("logged");
        assert_eq!(
            (unpacked.message.as_str(), unpacked.session.as_deref()),
            ("grootfs.create.layer.unpacked", Some("1.1"))
        );
    }

    #[test]
    fn values_recorded_later_are_data() {
        let entries = rfc3339(|| {
            let span = info_span!("create", bytes = tracing::field::Empty).entered();
            span.record("bytes", 5);
            info!("done");
        });
        assert_eq!(entries[1].data["bytes"], 5);
    }

    #[test]
    fn levels() {
        let all = || {
            let _span = debug_span!("s").entered();
            trace!("trace");
            debug!("debug");
            info!("info");
            warn!("warn");
            error!("error");
        };
        let levels = |level, format| -> Vec<String> {
            logged(level, format, all).into_iter().map(|e| format!("{} {}", e.level, e.message)).collect()
        };
        let lines = [
            "debug grootfs.s.starting",
            "debug grootfs.s.debug",
            "info grootfs.s.info",
            "info grootfs.s.warn",
            "error grootfs.s.error",
            "debug grootfs.s.ending",
        ];
        for format in [TimestampFormat::Rfc3339, TimestampFormat::UnixEpoch] {
            assert_eq!(levels(LogLevel::Debug, format), lines);
            assert_eq!(levels(LogLevel::Info, format), lines[2..5]);
            assert_eq!(levels(LogLevel::Error, format), lines[4..5]);
            assert!(levels(LogLevel::Fatal, format).is_empty());
        }
    }

    #[test]
    fn what_must_be_a_string_is_one() {
        let failure = std::io::Error::other("broken");
        let entries = rfc3339(|| {
            error!(error = 5, trace = true, session = 1, "number");
            error!(error = &failure as &dyn std::error::Error, r#type = "t", "value");
            error!(error = %failure, path = ?"/a\nb", "display");
        });
        assert_eq!(entries[0].data, serde_json::json!({"error": "5", "trace": "true", "session": "1"}));
        assert_eq!(entries[1].data, serde_json::json!({"error": "broken", "type": "t"}));
        assert_eq!(entries[2].data, serde_json::json!({"error": "broken", "path": "\"/a\\nb\""}));
    }

    #[test]
    fn long_values_do_not_break_lines() {
        let text = "\n\u{1}é".repeat(30_000);
        let entries = rfc3339(|| {
            let _span = info_span!("create", image = text).entered();
            error!(error = text, id = "x", "failed");
        });
        assert_eq!(entries[1].message, "grootfs.create.failed");
        assert_eq!(entries[1].data["id"], "x");
    }

    #[test]
    fn libraries_are_not_logged() {
        let entries = rfc3339(|| {
            info!(target: "reqwest::connect", authorization = "secret", "sending");
            info!(target: "grootfsish", "sending");
        });
        assert_eq!(entries, []);
    }
}
