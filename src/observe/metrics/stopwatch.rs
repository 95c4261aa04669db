//! A `tracing` layer that measures how long sessions live.

use std::sync::Arc;
use std::time::Instant;

use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::names::{TIMINGS, Timing};
use super::{Recorder, Value};

struct Stopwatch(Arc<Recorder>);

/// When a session began.
struct Began(Instant);

/// Sees the sessions that are measured, and nothing else.
pub(super) fn layer<S>(recorder: Arc<Recorder>) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Stopwatch(recorder).with_filter(filter_fn(|metadata| timing(metadata).is_some()))
}

fn timing(metadata: &Metadata<'_>) -> Option<&'static Timing> {
    TIMINGS.iter().find(|timing| metadata.is_span() && timing.session == metadata.name())
}

impl<S> Layer<S> for Stopwatch
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Began(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let extensions = span.extensions();
        if let (Some(timing), Some(Began(began))) = (timing(span.metadata()), extensions.get()) {
            self.0.record(Value::Time(timing, began.elapsed()));
        }
    }
}
