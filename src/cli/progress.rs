//! Progress on a terminal, on standard error: a line for all layers of an image together and one for each that is on its
//! way, and lines that say what is waited for.
//!
//! Lines go away when what they are about is over, so that in the end nothing is left but the answer. None is wider than
//! the terminal, as long as that has 40 columns. Which terminals cannot show them (`TERM=dumb`) or do not want colours
//! (`NO_COLOR`) the library knows.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::failure::OneLine;
use super::table::{human_bytes, human_part, human_time};
use crate::config::{LogConfig, LogLevel};
use crate::fetcher::{Progress, ProgressReporter, Retry};
use crate::image::{ChainId, Layer, digest_hex};

const BAR: &str = "{name} {wide_bar:.green} {numbers}";
/// Where the total is not known.
const SPINNER: &str = "{name} {spinner:.green} {numbers}";
const NOTE: &str = "{wide_msg}";

/// Columns of the names of layers.
const NAME: usize = 12;
/// Columns that a bar has at least.
const NARROWEST_BAR: usize = 3;
/// What a terminal has that does not say how many columns it has.
const USUAL_COLUMNS: usize = 80;
/// A terminal with fewer columns than this is shown what is most important.
const NARROW: usize = 60;

/// Whoever is to be told of layers: nobody, where no one is looking or logs would be torn.
pub(super) fn observer(log: &LogConfig, is_unwanted: bool) -> Option<Arc<dyn ProgressReporter>> {
    let is_shown = !is_unwanted && log.level == LogLevel::Fatal && io::stderr().is_terminal();
    is_shown.then(|| Arc::new(Lines::default()) as Arc<dyn ProgressReporter>)
}

/// All lines. Comes into being with the first.
#[derive(Default)]
struct Lines {
    all: OnceLock<MultiProgress>,
    /// The line of all layers together.
    image: Mutex<Option<Arc<ImageLine>>>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines")
    }
}

impl Lines {
    fn all(&self) -> &MultiProgress {
        self.all.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
    }

    fn note(&self, text: &str) -> Box<dyn Progress> {
        let line = self.all().add(ProgressBar::no_length().with_style(style(NOTE)));
        line.set_message(OneLine(text).to_string());
        line.tick();
        Box::new(Line(line))
    }

    fn image_line(&self) -> Option<Arc<ImageLine>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ProgressReporter for Lines {
    fn image(&self, layers: &[&Layer]) -> Box<dyn Progress> {
        let size = layers.iter().map(|layer| layer.size).try_fold(0u64, |sum, size| Some(sum.saturating_add(size?)));
        let finished = Arc::new(AtomicUsize::new(0));
        let name = ImageName { finished: Arc::clone(&finished), layers: layers.len() };
        let line = self.all().insert(0, bar(size, move |columns| name.text(columns)));
        line.tick();
        let image = ImageLine { line: line.clone(), finished, read: Mutex::default() };
        *self.image.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(image));
        Box::new(Line(line))
    }

    fn layer(&self, layer: &Layer) -> Box<dyn Progress> {
        let name = name(layer);
        let line = self.all().add(bar(layer.size, move |_| format!("{name:NAME$}")));
        let image = self.image_line();
        if let Some(image) = &image {
            image.forget(&layer.chain_id);
        }
        Box::new(LayerLine { line: Line(line), image, chain_id: layer.chain_id.clone(), read: 0 })
    }

    fn waiting(&self, layer: &Layer, holder: &str) -> Box<dyn Progress> {
        self.note(&format!("{:NAME$} waiting for {holder}, which unpacks this layer", name(layer)))
    }

    fn retrying(&self, retry: &Retry<'_>) -> Box<dyn Progress> {
        let Retry { url, reason, attempt, attempts } = retry;
        self.note(&format!("retrying ({attempt} of {attempts}): {reason}: {url}"))
    }

    fn finished(&self, layer: &Layer) {
        if let Some(image) = self.image_line() {
            image.finish(layer);
        }
    }
}

/// A line that goes away when it is dropped.
struct Line(ProgressBar);

impl Progress for Line {}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A layer that is being read.
struct LayerLine {
    line: Line,
    image: Option<Arc<ImageLine>>,
    chain_id: ChainId,
    read: u64,
}

impl Progress for LayerLine {
    fn advance(&mut self, bytes: u64) {
        self.read += bytes;
        self.line.0.inc(bytes);
        if let Some(image) = &self.image {
            image.line.inc(bytes);
        }
    }
}

impl Drop for LayerLine {
    fn drop(&mut self) {
        if let Some(image) = &self.image {
            image.read().insert(self.chain_id.clone(), self.read);
        }
    }
}

/// All layers together.
struct ImageLine {
    line: ProgressBar,
    finished: Arc<AtomicUsize>,
    /// Of layers that are read but not finished, how many bytes of them are counted.
    read: Mutex<HashMap<ChainId, u64>>,
}

impl ImageLine {
    fn read(&self) -> MutexGuard<'_, HashMap<ChainId, u64>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A layer is read anew.
    fn forget(&self, chain_id: &ChainId) {
        if let Some(read) = self.read().remove(chain_id) {
            self.line.dec(read);
        }
    }

    /// Whoever has read the layer, all of it is there.
    fn finish(&self, layer: &Layer) {
        let read = self.read().remove(&layer.chain_id).unwrap_or_default();
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.line.inc(layer.size.unwrap_or_default().saturating_sub(read));
        self.line.tick();
    }
}

/// How many layers are finished.
#[derive(Clone)]
struct ImageName {
    finished: Arc<AtomicUsize>,
    layers: usize,
}

impl ImageName {
    fn text(&self, columns: usize) -> String {
        let text = format!("{}/{}", self.finished.load(Ordering::Relaxed), self.layers);
        if columns < NARROW { text } else { format!("{:NAME$}", text + " layers") }
    }
}

/// A line with a bar. `name` is what it begins with in so many columns.
fn bar(size: Option<u64>, name: impl Fn(usize) -> String + Clone + Send + Sync + 'static) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), BAR),
        None => (ProgressBar::no_length(), SPINNER),
    };
    let begin = name.clone();
    let numbers = move |state: &ProgressState, to: &mut dyn fmt::Write| {
        let columns = columns();
        let room = columns.saturating_sub(name(columns).chars().count() + NARROWEST_BAR + 2);
        let _ = to.write_str(&fitting(&numbers(state), room));
    };
    let name = move |_: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = to.write_str(&begin(columns()));
    };
    bar.with_style(style(template).progress_chars("=> ").with_key("name", name).with_key("numbers", numbers))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What there is to say in numbers, the most important first.
fn numbers(state: &ProgressState) -> Vec<String> {
    let (read, rate) = (state.pos(), state.per_sec());
    let mut numbers = vec![state.len().map_or_else(|| human_bytes(read), |size| human_part(read.min(size), size))];
    let left = state.len().and_then(|size| time_left(read, size, state.elapsed()));
    let rate = (rate > 0.0).then(|| format!("{}/s", human_bytes(rate as u64)));
    numbers.extend(left.into_iter().chain(rate));
    numbers
}

/// How long the rest takes at the rate of all so far, once that is enough to tell.
fn time_left(read: u64, size: u64, elapsed: Duration) -> Option<String> {
    let is_enough = read > 0 && read >= size / 50;
    let seconds = elapsed.as_secs_f64() * size.checked_sub(read)? as f64 / read as f64;
    (is_enough && read < size).then(|| format!("{} left", human_time(seconds.ceil() as u64)))
}

/// As many of these, from the first on, as there is room for.
fn fitting(parts: &[String], room: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let separator = if line.is_empty() { "" } else { "  " };
        if line.chars().count() + separator.len() + part.chars().count() > room {
            break;
        }
        line = line + separator + part;
    }
    line
}

fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL_COLUMNS)
}

/// What a terminal has room for.
fn name(layer: &Layer) -> String {
    let end = layer.blob_id.rsplit('/').next().unwrap_or_default();
    digest_hex(end).chars().filter(|c| !c.is_control()).take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_is_said_where_there_is_little_room() {
        let parts = ["1.5 of 3.0 MiB".to_owned(), "12 s left".to_owned(), "1.0 MiB/s".to_owned()];
        for (room, text) in [
            (100, "1.5 of 3.0 MiB  12 s left  1.0 MiB/s"),
            (35, "1.5 of 3.0 MiB  12 s left"),
            (25, "1.5 of 3.0 MiB  12 s left"),
            (24, "1.5 of 3.0 MiB"),
            (13, ""),
        ] {
            assert_eq!(fitting(&parts, room), text);
        }
    }

    #[test]
    fn the_time_left_is_told_once_there_is_a_rate() {
        let left = |read, size| time_left(read, size, Duration::from_secs(10));
        assert_eq!(left(0, 1000), None);
        assert_eq!(left(19, 1000), None);
        assert_eq!(left(20, 1000).as_deref(), Some("8 min left"));
        assert_eq!(left(500, 1000).as_deref(), Some("10 s left"));
        assert_eq!(left(999, 1000).as_deref(), Some("1 s left"));
        assert_eq!(left(1000, 1000), None);
        assert_eq!(left(1001, 1000), None);
    }

    #[test]
    fn layers_are_counted_in_words_where_there_is_room() {
        let name = ImageName { finished: Arc::new(AtomicUsize::new(3)), layers: 7 };
        assert_eq!((name.text(40), name.text(80)), ("3/7".into(), "3/7 layers  ".into()));
    }
}
