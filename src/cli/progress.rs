//! Progress of layers on a terminal: a bar for each that is on its way, on standard error.
//!
//! The bars of layers that are done go away, so that in the end nothing is left but the answer. Which terminals cannot
//! show bars (`TERM=dumb`) or do not want colours (`NO_COLOR`) the library knows.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::{LogConfig, LogLevel};
use crate::fetcher::{Progress, ProgressReporter};
use crate::image::{Layer, digest_hex};

const WITH_SIZE: &str =
    "{prefix:12} {bar:30.green} {binary_bytes:>10} of {binary_total_bytes:10} {binary_bytes_per_sec}";
const WITHOUT_SIZE: &str = "{prefix:12} {spinner:30.green} {binary_bytes:>10} {binary_bytes_per_sec}";

const WAITING: &str = "{prefix:12} waiting for layer held by {msg}";

/// Whoever is to be told of layers: nobody, where no one is looking or logs would be torn.
pub(super) fn observer(log: &LogConfig, is_unwanted: bool) -> Option<Arc<dyn ProgressReporter>> {
    let is_shown = !is_unwanted && log.level == LogLevel::Fatal && io::stderr().is_terminal();
    is_shown.then(|| Arc::new(Bars::default()) as Arc<dyn ProgressReporter>)
}

/// All bars. Comes into being with the first.
#[derive(Default)]
struct Bars {
    all: OnceLock<MultiProgress>,
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bars")
    }
}

impl ProgressReporter for Bars {
    fn layer(&self, layer: &Layer) -> Box<dyn Progress> {
        let all = self.all.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let (bar, template) = match layer.size {
            Some(size) => (ProgressBar::new(size), WITH_SIZE),
            None => (ProgressBar::no_length(), WITHOUT_SIZE),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = all.add(bar.with_style(style.progress_chars("=> ")));
        bar.set_prefix(name(layer));
        Box::new(Bar(bar))
    }

    fn waiting(&self, layer: &Layer, holder: &str) -> Box<dyn Progress> {
        let all = self.all.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let style = ProgressStyle::with_template(WAITING).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = all.add(ProgressBar::no_length().with_style(style));
        bar.set_prefix(name(layer));
        bar.set_message(holder.to_owned());
        bar.tick();
        Box::new(Bar(bar))
    }
}

/// What a terminal has room for.
fn name(layer: &Layer) -> String {
    let end = layer.blob_id.rsplit('/').next().unwrap_or_default();
    digest_hex(end).chars().filter(|c| !c.is_control()).take(12).collect()
}

struct Bar(ProgressBar);

impl Progress for Bar {
    fn advance(&mut self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
